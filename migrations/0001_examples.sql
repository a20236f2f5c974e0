-- Labelled documents, as imports brought them. The SQL here and in src/store runs on SQLite and on PostgreSQL.

-- revision: the newest; 0 before the first. The row is what two imports that publish at once wait for.
CREATE TABLE classifiers (
    name TEXT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
);

-- An import becomes a revision of its classifier's documents when it is published. Until then its revision is NULL,
-- and so are the numbers that only publishing tells. created_at: milliseconds since 1970, UTC.
CREATE TABLE imports (
    id BIGINT NOT NULL PRIMARY KEY,
    classifier TEXT NOT NULL,
    revision BIGINT,
    created_at BIGINT,
    n_added BIGINT,
    n_relabelled BIGINT,
    n_unchanged BIGINT,
    UNIQUE (classifier, revision)
);

-- A document with the topics that one import gave it. It counts from that import's revision on, and up to, but
-- without, until_revision, which gave it other topics. topics: a JSON array of names, sorted. The long columns come
-- last, so that reading the others doesn't walk over them.
CREATE TABLE examples (
    classifier TEXT NOT NULL,
    content_hash BYTEA NOT NULL,
    import_id BIGINT NOT NULL REFERENCES imports (id),
    until_revision BIGINT,
    topics TEXT NOT NULL,
    document_id TEXT NOT NULL,
    publish_date TEXT,
    url TEXT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (classifier, content_hash, import_id)
);

CREATE INDEX examples_by_import ON examples (import_id);
