-- What a classifier is told to do by itself: JSON. What it doesn't say is as if nobody had said anything.
ALTER TABLE classifiers ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
