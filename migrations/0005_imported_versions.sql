-- versions.origin may be IMPORTED too. request_id: a caller's own name for the import, for a day. request_sha256: what was
-- asked under it.
ALTER TABLE versions ADD COLUMN request_id TEXT;
ALTER TABLE versions ADD COLUMN request_sha256 BYTEA;
CREATE UNIQUE INDEX versions_by_request ON versions (request_id);

-- Whether a deleted version's file is still another one's.
CREATE INDEX versions_by_artifact ON versions (artifact_sha256);

-- Few documents have ended: with this index and examples_by_import, those that haven't are counted without reading any.
CREATE INDEX examples_ended ON examples (until_revision) WHERE until_revision IS NOT NULL;
