-- Documents that a revision erased.
ALTER TABLE imports ADD COLUMN n_deleted BIGINT NOT NULL DEFAULT 0;

-- What a revision called anew: versions that were trained before know the topic by its old name.
CREATE TABLE renamed_topics (
    classifier TEXT NOT NULL,
    revision BIGINT NOT NULL,
    topic TEXT NOT NULL,
    new_topic TEXT NOT NULL,
    PRIMARY KEY (classifier, revision)
);
