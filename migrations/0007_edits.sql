-- Documents that a revision erased.
ALTER TABLE imports ADD COLUMN n_deleted BIGINT NOT NULL DEFAULT 0;
