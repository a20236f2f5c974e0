-- What a revision called anew: versions that were trained before know the topic by its old name.
CREATE TABLE renamed_topics (
    classifier TEXT NOT NULL,
    revision BIGINT NOT NULL,
    topic TEXT NOT NULL,
    new_topic TEXT NOT NULL,
    PRIMARY KEY (classifier, revision)
);
