-- Which principal brought a document; '' where nobody was asked for a name.
ALTER TABLE examples ADD COLUMN stored_by TEXT NOT NULL DEFAULT '';
CREATE INDEX examples_by_owner ON examples (stored_by) WHERE stored_by <> '';
