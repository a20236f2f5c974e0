-- How much a document counts where a model is fitted, against the usual 1.
ALTER TABLE examples ADD COLUMN weight DOUBLE PRECISION NOT NULL DEFAULT 1;
