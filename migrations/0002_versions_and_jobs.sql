-- Model versions, what answers, and training jobs.

-- stable, previous, candidate: numbers of versions that the aliases mean, NULL for none. etag: counts their moves.
-- last_version, last_job: the numbers given last, so that none is ever given again.
ALTER TABLE classifiers ADD COLUMN stable BIGINT;
ALTER TABLE classifiers ADD COLUMN previous BIGINT;
ALTER TABLE classifiers ADD COLUMN candidate BIGINT;
ALTER TABLE classifiers ADD COLUMN etag BIGINT NOT NULL DEFAULT 0;
ALTER TABLE classifiers ADD COLUMN last_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE classifiers ADD COLUMN last_job BIGINT NOT NULL DEFAULT 0;

-- Model files, each once however many versions it is.
CREATE TABLE artifacts (
    sha256 BYTEA NOT NULL PRIMARY KEY,
    n_bytes BIGINT NOT NULL,
    content BYTEA NOT NULL
);

-- A version never changes. created_at: milliseconds since 1970, UTC. origin: BUILT_IN or TRAINED. dataset_revision: the
-- stored documents that it was trained on; NULL when it was trained on others. parent: the version that answered when
-- this one was made. details: JSON. out_of_fold: what training's models said about documents that they never saw.
CREATE TABLE versions (
    classifier TEXT NOT NULL,
    number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    origin TEXT NOT NULL,
    job BIGINT,
    dataset_revision BIGINT,
    parent BIGINT,
    artifact_sha256 BYTEA NOT NULL REFERENCES artifacts (sha256),
    details TEXT NOT NULL,
    out_of_fold BYTEA NOT NULL,
    PRIMARY KEY (classifier, number)
);

-- state: RUNNING, SUCCEEDED, FAILED or CANCELLED. request_id: a caller's own name for the request, for a day.
-- request_sha256: what was asked under it. details: JSON.
CREATE TABLE jobs (
    classifier TEXT NOT NULL,
    number BIGINT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    request_id TEXT UNIQUE,
    request_sha256 BYTEA,
    details TEXT NOT NULL,
    PRIMARY KEY (classifier, number)
);

-- One at a time for each classifier.
CREATE UNIQUE INDEX jobs_running ON jobs (classifier) WHERE state = 'RUNNING';
