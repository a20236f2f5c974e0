//! Changes of a dataset as a whole: topics that get another name, documents that are erased. Each is a revision. Renamings
//! are remembered.

use std::collections::HashSet;

use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Sqlite};

use super::classifiers::touch_classifier;
use super::examples::{parse_topics, topic_pattern};
use super::import::{Import, topics_json};
use super::{Store, StoreError, now_ms, number};
use crate::document::{ContentHash, Topic};
use crate::names::{ClassifierName, excerpt};

/// Hashes of one statement.
const MAX_HASHES: usize = 500;

/// What became of a topic that was to get another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameOutcome {
    /// It has it.
    Renamed {
        /// The revision that this made.
        revision: u32,
        /// Documents that had the topic.
        n_documents: u64,
    },
    /// No document has it.
    UnknownTopic,
    /// There are documents of the new name already, and merging wasn't asked for.
    Exists,
}

/// A topic that got another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenamedTopic {
    /// The revision that did it.
    pub revision: u32,
    /// Its name before.
    pub topic: Topic,
    /// Its name from then on; others may have had it already.
    pub new_topic: Topic,
}

/// What became of documents that were to be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteOutcome {
    /// The newest revision; a new one if anything was erased.
    pub revision: u32,
    /// Documents that were there, now or in an earlier revision.
    pub n_deleted: u64,
    /// Those that weren't.
    pub unknown: Vec<ContentHash>,
}

impl Store {
    /// Gives a topic another name in all documents of a classifier's newest revision.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`]; then nothing has changed.
    pub async fn rename_topic(
        &self,
        classifier: &ClassifierName,
        topic: &Topic,
        new_topic: &Topic,
        merge: bool,
    ) -> Result<RenameOutcome, StoreError> {
        let mut transaction = self.writer.begin().await?;
        touch_classifier(&mut transaction, classifier).await?;
        let sets = topic_sets(&mut transaction, classifier, topic).await?;
        if sets.is_empty() {
            return Ok(RenameOutcome::UnknownTopic);
        }
        if !merge && !topic_sets(&mut transaction, classifier, new_topic).await?.is_empty() {
            return Ok(RenameOutcome::Exists);
        }
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO imports (id, classifier) SELECT COALESCE(MAX(id), 0) + 1, $1 FROM imports RETURNING id",
        )
        .bind(classifier.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        let mut n_documents = 0;
        for set in sets {
            n_documents += restage(&mut transaction, classifier, id, &set, |other| {
                if other == topic { new_topic.clone() } else { other.clone() }
            })
            .await?;
        }
        let import =
            Import { store: self.clone(), id, classifier: classifier.clone(), n_given: n_documents, owner: None };
        let revision = import.publish_in(&mut transaction).await?.revision;
        sqlx::query("INSERT INTO renamed_topics (classifier, revision, topic, new_topic) VALUES ($1, $2, $3, $4)")
            .bind(classifier.as_str())
            .bind(i64::from(revision))
            .bind(topic.as_str())
            .bind(new_topic.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.changed.notify_one();
        Ok(RenameOutcome::Renamed { revision, n_documents })
    }

    /// The topics of a classifier that got other names after a revision, up to another one (`None`: the newest), in the order in
    /// which that happened.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn renamed_topics(
        &self,
        classifier: &ClassifierName,
        after: u32,
        last: Option<u32>,
    ) -> Result<Vec<RenamedTopic>, StoreError> {
        let rows: Vec<(i64, String, String)> = sqlx::query_as(
            "SELECT revision, topic, new_topic FROM renamed_topics \
             WHERE classifier = $1 AND revision > $2 AND revision <= $3 ORDER BY revision",
        )
        .bind(classifier.as_str())
        .bind(i64::from(after))
        .bind(last.map_or(i64::MAX, i64::from))
        .fetch_all(&self.pool)
        .await?;
        let topic =
            |name: &str| Topic::new(name).map_err(|_| StoreError::Damaged { what: "topic", seen: excerpt(name) });
        let renamed = |(revision, old, new): &(i64, String, String)| {
            Ok(RenamedTopic { revision: number("revision", *revision)?, topic: topic(old)?, new_topic: topic(new)? })
        };
        rows.iter().map(renamed).collect()
    }

    /// Erases documents of a classifier: from its newest revision and from all earlier ones. What the database has freed is
    /// overwritten; [`Self::compact`] leaves no copy of it.
    ///
    /// # Errors
    /// [`StoreError::Database`]: nothing was erased.
    pub async fn delete_examples(
        &self,
        classifier: &ClassifierName,
        hashes: &[ContentHash],
    ) -> Result<DeleteOutcome, StoreError> {
        let mut transaction = self.writer.begin().await?;
        touch_classifier(&mut transaction, classifier).await?;
        let mut known = HashSet::new();
        for hashes in hashes.chunks(MAX_HASHES) {
            known.extend(delete_of(&mut transaction, classifier, hashes).await?);
        }
        let newest: i64 = sqlx::query_scalar("SELECT revision FROM classifiers WHERE name = $1")
            .bind(classifier.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        let mut outcome = DeleteOutcome {
            revision: number("revision", newest)?,
            n_deleted: known.len() as u64,
            unknown: hashes.iter().filter(|hash| !known.contains(&hash.0[..])).copied().collect(),
        };
        if known.is_empty() {
            return Ok(outcome);
        }
        sqlx::query(
            "INSERT INTO imports (id, classifier, revision, created_at, n_added, n_relabelled, n_unchanged, n_deleted) \
             SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, 0, 0, 0, $4 FROM imports",
        )
        .bind(classifier.as_str())
        .bind(newest + 1)
        .bind(now_ms())
        .bind(known.len() as i64)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("UPDATE classifiers SET revision = $1 WHERE name = $2")
            .bind(newest + 1)
            .bind(classifier.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.changed.notify_one();
        outcome.revision = number("revision", newest + 1)?;
        Ok(outcome)
    }
}

/// The sets of topics of a classifier's newest revision that hold a topic, as they are stored.
async fn topic_sets(
    connection: &mut SqliteConnection,
    classifier: &ClassifierName,
    topic: &Topic,
) -> Result<Vec<String>, StoreError> {
    let mut sets: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT examples.topics FROM examples JOIN imports ON imports.id = examples.import_id \
         WHERE examples.classifier = $1 AND examples.until_revision IS NULL AND imports.revision IS NOT NULL \
         AND examples.topics LIKE $2 ESCAPE '!'",
    )
    .bind(classifier.as_str())
    .bind(topic_pattern(topic))
    .fetch_all(connection)
    .await?;
    let mut damaged = None;
    sets.retain(|set| match parse_topics(set) {
        Ok(topics) => topics.contains(topic),
        Err(error) => {
            damaged = Some(error);
            false
        }
    });
    damaged.map_or(Ok(sets), Err)
}

/// Stages the documents with one set of topics anew, with what `rename` makes of it, and counts them.
async fn restage(
    connection: &mut SqliteConnection,
    classifier: &ClassifierName,
    import_id: i64,
    set: &str,
    rename: impl Fn(&Topic) -> Topic,
) -> Result<u64, StoreError> {
    let mut topics: Vec<Topic> = parse_topics(set)?.iter().map(rename).collect();
    topics.sort();
    topics.dedup();
    let staged = sqlx::query(
        "INSERT INTO examples (classifier, content_hash, import_id, topics, document_id, publish_date, url, title, \
         text, split, weight, stored_by) \
         SELECT classifier, content_hash, $1, $2, document_id, publish_date, url, title, text, split, weight, stored_by \
         FROM examples WHERE classifier = $3 AND topics = $4 AND until_revision IS NULL \
         AND import_id IN (SELECT id FROM imports WHERE classifier = $3 AND revision IS NOT NULL)",
    )
    .bind(import_id)
    .bind(topics_json(&topics))
    .bind(classifier.as_str())
    .bind(set)
    .execute(connection)
    .await?;
    Ok(staged.rows_affected())
}

/// Deletes published documents, and says which of them were there.
async fn delete_of(
    connection: &mut SqliteConnection,
    classifier: &ClassifierName,
    hashes: &[ContentHash],
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut delete = QueryBuilder::<Sqlite>::new(
        // With the `+` each hash is looked up once, not once for each import.
        "DELETE FROM examples WHERE +import_id IN (SELECT id FROM imports WHERE revision IS NOT NULL) AND classifier = ",
    );
    delete.push_bind(classifier.as_str()).push(" AND content_hash IN (");
    let mut list = delete.separated(", ");
    hashes.iter().for_each(|hash| _ = list.push_bind(hash.0.to_vec()));
    delete.push(") RETURNING content_hash");
    Ok(delete.build_query_scalar().fetch_all(connection).await?)
}
