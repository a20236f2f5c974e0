-- What a document is for: training, held_out, or '' where that isn't settled.
ALTER TABLE examples ADD COLUMN split TEXT NOT NULL DEFAULT '';
