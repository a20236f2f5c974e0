//! Writing labelled documents: staged in batches under an import's id, and published as one revision.

use std::collections::HashMap;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{QueryBuilder, Sqlite};

use super::{Store, StoreError, now_ms, number};
use crate::document::{ContentHash, LabeledDocument, Split, Topic};
use crate::names::ClassifierName;

/// The most documents of one INSERT.
const MAX_BATCH_DOCUMENTS: usize = 500;

/// An INSERT takes no further document when those before it have this many bytes of title and text.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// Documents on their way into a classifier's dataset. Nobody sees them until [`Self::publish`] has returned.
///
/// When it is dropped instead, or the process dies, nothing of it is ever visible, and what it has written is deleted
/// when the store is opened the next time; [`Self::discard`] does so at once.
#[derive(Debug)]
pub struct Import {
    pub(super) store: Store,
    pub(super) id: i64,
    pub(super) classifier: ClassifierName,
    pub(super) n_given: u64,
    pub(super) owner: Option<Owner>,
}

/// Who brings documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The principal's name.
    pub name: String,
    /// How many documents of the principal's may be in datasets, all classifiers together; `None`: any number.
    pub max_documents: Option<NonZeroU64>,
}

/// What became of an import's documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImportOutcome {
    /// The dataset's newest revision, which is a new one if anything was added or relabelled; 0: it is still empty.
    pub revision: u32,
    /// Documents given, repetitions included.
    pub n_given: u64,
    /// Documents whose title and text weren't there.
    pub n_added: u64,
    /// Documents that were there with other topics, another weight or another split, which these replace.
    pub n_relabelled: u64,
    /// Documents that were there with the same topics, weight and split, or given without a split; they stay as they are,
    /// id, date and URL included.
    pub n_unchanged: u64,
}

impl ImportOutcome {
    /// Whether the documents made a new revision.
    pub fn is_new(&self) -> bool {
        self.n_added + self.n_relabelled > 0
    }
}

impl Store {
    /// Begins an import. Any number may go on at a time, also for one classifier.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn begin_import(&self, classifier: &ClassifierName) -> Result<Import, StoreError> {
        let id = sqlx::query_scalar(
            "INSERT INTO imports (id, classifier) SELECT COALESCE(MAX(id), 0) + 1, $1 FROM imports RETURNING id",
        )
        .bind(classifier.as_str())
        .fetch_one(&self.writer)
        .await?;
        Ok(Import { store: self.clone(), id, classifier: classifier.clone(), n_given: 0, owner: None })
    }
}

impl Import {
    /// The same import, of documents that somebody brings.
    pub fn owned_by(self, owner: Option<Owner>) -> Self {
        Self { owner, ..self }
    }

    /// Writes documents, of which there may be any number over any number of calls; memory doesn't grow with them. Of
    /// documents with the same title and text the last one counts, but it is held out if any of them is.
    ///
    /// # Errors
    /// [`StoreError::TooManyDocuments`], [`StoreError::Database`]; the import can only be discarded then.
    pub async fn stage(&mut self, examples: &[LabeledDocument]) -> Result<(), StoreError> {
        let mut rest = examples;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_len(rest));
            self.n_given += batch.len() as u64;
            if let Some(Owner { name, max_documents: Some(limit) }) = &self.owner
                && self.n_given > limit.get()
            {
                // Staging has no other end than the disk's.
                return Err(StoreError::TooManyDocuments { owner: name.clone(), limit: limit.get() });
            }
            self.insert(batch).await?;
            rest = after;
        }
        Ok(())
    }

    async fn insert(&self, batch: &[LabeledDocument]) -> Result<(), StoreError> {
        // PostgreSQL refuses a statement that gives one key twice.
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO examples \
             (classifier, content_hash, import_id, topics, document_id, publish_date, url, title, text, split, weight, \
             stored_by) ",
        );
        let owner = self.owner.as_ref().map_or("", |owner| &owner.name);
        insert.push_values(last_of_each(batch), |mut row, (hash, (example, split))| {
            let document = &example.document;
            row.push_bind(self.classifier.as_str())
                .push_bind(hash.0.to_vec())
                .push_bind(self.id)
                .push_bind(topics_json(example.topics()))
                .push_bind(document.id.as_str())
                .push_bind(document.date.map(|date| date.to_string()))
                .push_bind(document.url.as_str())
                .push_bind(document.title())
                .push_bind(document.text())
                .push_bind(split_name(split))
                .push_bind(f64::from(example.weight.get()))
                .push_bind(owner);
        });
        insert.push(
            " ON CONFLICT (classifier, content_hash, import_id) DO UPDATE SET topics = excluded.topics, \
             document_id = excluded.document_id, publish_date = excluded.publish_date, url = excluded.url, \
             weight = excluded.weight, stored_by = excluded.stored_by, split = CASE WHEN excluded.split = '' OR examples.split = 'held_out' THEN examples.split \
             ELSE excluded.split END",
        );
        insert.build().execute(&self.store.writer).await?;
        Ok(())
    }

    /// Makes the documents a new revision of the classifier's dataset; when this returns, they are safe from anything
    /// short of losing the disk. All or nothing; without anything new there is no new revision.
    ///
    /// # Errors
    /// [`StoreError::TooManyDocuments`], [`StoreError::Database`]: nothing was published.
    pub async fn publish(self) -> Result<ImportOutcome, StoreError> {
        let mut transaction = self.store.writer.begin().await?;
        let outcome = match self.publish_in(&mut transaction).await {
            Ok(outcome) => outcome,
            Err(error) => {
                transaction.rollback().await?;
                self.discard().await?;
                return Err(error);
            }
        };
        if outcome.is_new() {
            transaction.commit().await?;
            self.store.changed.notify_one();
        } else {
            transaction.rollback().await?;
            self.discard().await?;
        }
        Ok(outcome)
    }

    /// [`Self::publish`] as a part of a transaction. Without anything new, what was staged is still there.
    pub(super) async fn publish_in(&self, transaction: &mut SqliteConnection) -> Result<ImportOutcome, StoreError> {
        // The first statement writes, so that the transaction waits here for another writer and nowhere else.
        let newest: i64 = sqlx::query_scalar(
            "INSERT INTO classifiers (name, revision) VALUES ($1, 0) \
             ON CONFLICT (name) DO UPDATE SET revision = classifiers.revision RETURNING revision",
        )
        .bind(self.classifier.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        let (mut n_unchanged, mut n_relabelled) = (0, 0);
        // The first import meets no other documents.
        if newest > 0 {
            self.keep_splits(transaction).await?;
            n_unchanged = self.delete_unchanged(transaction).await?;
            n_relabelled = self.end_relabelled(transaction, newest + 1).await?;
        }
        let n_new: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM examples WHERE import_id = $1")
            .bind(self.id)
            .fetch_one(&mut *transaction)
            .await?;
        let n_added = number::<u64>("number of documents", n_new)?.saturating_sub(n_relabelled);
        let mut outcome = ImportOutcome {
            revision: number("revision", newest)?,
            n_given: self.n_given,
            n_added,
            n_relabelled,
            n_unchanged,
        };
        if outcome.is_new() {
            self.check_owner(transaction).await?;
            outcome.revision = number("revision", newest + 1)?;
            self.record(transaction, outcome).await?;
        }
        Ok(outcome)
    }

    /// Whether the owner's documents, with those that are staged here, are as many as may be.
    async fn check_owner(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let Some(Owner { name, max_documents: Some(limit) }) = &self.owner else { return Ok(()) };
        let n_documents: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM examples JOIN imports ON imports.id = examples.import_id \
             WHERE examples.stored_by = $1 AND examples.stored_by <> '' AND examples.until_revision IS NULL \
             AND (imports.revision IS NOT NULL OR imports.id = $2)",
        )
        .bind(name)
        .bind(self.id)
        .fetch_one(connection)
        .await?;
        if number::<u64>("number of documents", n_documents)? > limit.get() {
            return Err(StoreError::TooManyDocuments { owner: name.clone(), limit: limit.get() });
        }
        Ok(())
    }

    /// Gives staged documents without a split the one that they have in the dataset.
    async fn keep_splits(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE examples SET split = kept.split FROM ( \
                 SELECT current.content_hash, current.split \
                 FROM examples AS staged \
                 JOIN examples AS current \
                     ON current.classifier = staged.classifier AND current.content_hash = staged.content_hash \
                 JOIN imports ON imports.id = current.import_id \
                 WHERE staged.import_id = $1 AND staged.split = '' AND current.until_revision IS NULL \
                 AND imports.revision IS NOT NULL AND current.split <> '') AS kept \
             WHERE examples.classifier = $2 AND examples.content_hash = kept.content_hash AND examples.import_id = $1",
        )
        .bind(self.id)
        .bind(self.classifier.as_str())
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Deletes staged documents that the dataset has with the same topics, weight and split, and counts them.
    async fn delete_unchanged(&self, connection: &mut SqliteConnection) -> Result<u64, StoreError> {
        let deleted = sqlx::query(
            "DELETE FROM examples AS staged WHERE staged.import_id = $1 AND EXISTS ( \
                 SELECT 1 FROM examples AS current JOIN imports ON imports.id = current.import_id \
                 WHERE current.classifier = staged.classifier AND current.content_hash = staged.content_hash \
                 AND current.until_revision IS NULL AND imports.revision IS NOT NULL \
                 AND current.topics = staged.topics AND current.split = staged.split \
                 AND current.weight = staged.weight)",
        )
        .bind(self.id)
        .execute(connection)
        .await?;
        Ok(deleted.rows_affected())
    }

    /// Ends, with the revision to come, the documents that are staged with other topics, another weight or another split, and
    /// counts them.
    async fn end_relabelled(&self, connection: &mut SqliteConnection, revision: i64) -> Result<u64, StoreError> {
        let ended = sqlx::query(END_RELABELLED)
            .bind(revision)
            .bind(self.classifier.as_str())
            .bind(self.id)
            .execute(connection)
            .await?;
        Ok(ended.rows_affected())
    }

    /// Writes down the new revision: the moment that the staged documents become visible.
    async fn record(&self, connection: &mut SqliteConnection, outcome: ImportOutcome) -> Result<(), StoreError> {
        let revision = i64::from(outcome.revision);
        sqlx::query("UPDATE classifiers SET revision = $1 WHERE name = $2")
            .bind(revision)
            .bind(self.classifier.as_str())
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "UPDATE imports SET revision = $1, created_at = $2, n_added = $3, n_relabelled = $4, n_unchanged = $5 \
             WHERE id = $6",
        )
        .bind(revision)
        .bind(now_ms())
        .bind(outcome.n_added as i64)
        .bind(outcome.n_relabelled as i64)
        .bind(outcome.n_unchanged as i64)
        .bind(self.id)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Deletes what was staged.
    ///
    /// # Errors
    /// [`StoreError::Database`]; the next opening of the store deletes it then.
    pub async fn discard(self) -> Result<(), StoreError> {
        let mut transaction = self.store.writer.begin().await?;
        self.discard_in(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// [`Self::discard`] as a part of a transaction.
    pub(super) async fn discard_in(&self, transaction: &mut SqliteConnection) -> Result<(), StoreError> {
        for delete in ["DELETE FROM examples WHERE import_id = $1", "DELETE FROM imports WHERE id = $1"] {
            sqlx::query(delete).bind(self.id).execute(&mut *transaction).await?;
        }
        Ok(())
    }
}

/// The `+` keeps SQLite from looking each hash up once for each import that there was: with many small imports that is what publishing
/// one more would take.
pub(super) const END_RELABELLED: &str = "UPDATE examples SET until_revision = $1 \
     WHERE classifier = $2 AND until_revision IS NULL \
     AND content_hash IN (SELECT staged.content_hash FROM examples AS staged WHERE staged.import_id = $3) \
     AND +import_id IN (SELECT id FROM imports WHERE classifier = $2 AND revision IS NOT NULL)";

/// Deletes what imports have left that were never published: those of a process that is gone.
pub(super) async fn delete_unpublished(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut transaction = pool.begin().await?;
    for delete in [
        "DELETE FROM examples WHERE import_id IN (SELECT id FROM imports WHERE revision IS NULL)",
        "DELETE FROM imports WHERE revision IS NULL",
    ] {
        sqlx::query(delete).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

/// How many of the documents, of which there is one at least, go into one INSERT.
fn batch_len(examples: &[LabeledDocument]) -> usize {
    let mut n_bytes = 0;
    let fits = |example: &&LabeledDocument| {
        let has_room = n_bytes < MAX_BATCH_BYTES;
        n_bytes += example.document.n_bytes();
        has_room
    };
    examples.iter().take(MAX_BATCH_DOCUMENTS).take_while(fits).count()
}

/// What an import makes of documents that are given more than once: of each content the last one, with the split of all its
/// copies, which is held-out if that of any is.
pub fn last_of_each(examples: &[LabeledDocument]) -> HashMap<ContentHash, (&LabeledDocument, Option<Split>)> {
    let mut last_of_each: HashMap<ContentHash, (&LabeledDocument, Option<Split>)> = HashMap::new();
    for example in examples {
        let last = last_of_each.entry(example.document.content_hash()).or_insert((example, None));
        *last = (example, last.1.max(example.split));
    }
    last_of_each
}

/// A split, as the tables hold it.
fn split_name(split: Option<Split>) -> &'static str {
    match split {
        None => "",
        Some(Split::Training) => "training",
        Some(Split::HeldOut) => "held_out",
    }
}

/// The split that the tables hold as this; `None` if none is.
pub(super) fn parse_split(name: &str) -> Option<Option<Split>> {
    [None, Some(Split::Training), Some(Split::HeldOut)].into_iter().find(|&split| split_name(split) == name)
}

/// Topics as a JSON array, in their order, which is sorted: the same topics are the same text.
pub(super) fn topics_json(topics: &[Topic]) -> String {
    serde_json::Value::from_iter(topics.iter().map(Topic::as_str)).to_string()
}
