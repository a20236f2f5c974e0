//! Reading labelled documents: those of a revision, and what there is.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::import::parse_split;
use super::{Store, StoreError, number};
use crate::document::{ContentHash, Date, Document, DocumentWeight, LabeledDocument, Topic};
use crate::names::{ClassifierName, excerpt};

/// Documents of one SELECT.
const BATCH_DOCUMENTS: u32 = 500;
/// Bytes of titles and texts after which a batch ends early.
const BATCH_BYTES: usize = 4 << 20;
/// Revisions that a summary names: the newest.
const MAX_REVISIONS: u32 = 100;

/// The documents of one revision, ordered by content hash. What is imported meanwhile doesn't change them.
#[derive(Debug)]
pub struct Examples {
    store: Store,
    classifier: ClassifierName,
    revision: u32,
    /// Only those that have it.
    topic: Option<Topic>,
    /// The hash of the last document given; empty, which is less than any, before the first.
    last_hash: Vec<u8>,
}

/// A classifier's stored documents, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetSummary {
    /// The classifier.
    pub classifier: ClassifierName,
    /// The revision; 0: it has no documents yet.
    pub revision: u32,
    /// The revision's documents.
    pub n_documents: u64,
    /// How many of them have each topic; sorted by topic.
    pub topics: Vec<TopicCount>,
    /// The newest 100 revisions up to this one, oldest first; each can be read.
    pub revisions: Vec<RevisionSummary>,
}

/// A topic and how many documents have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicCount {
    /// The topic's name.
    pub topic: String,
    /// The documents that have it, alone or with others.
    pub n_documents: u64,
}

/// What one import changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RevisionSummary {
    /// The revision's number, from 1.
    pub revision: u32,
    /// When it was published: milliseconds since 1970, UTC.
    pub created_at_ms: u64,
    /// Documents that were new.
    pub n_added: u64,
    /// Documents that got other topics, another weight or another split.
    pub n_relabelled: u64,
    /// Documents of the import that changed nothing.
    pub n_unchanged: u64,
    /// Documents that were erased.
    pub n_deleted: u64,
}

#[derive(FromRow)]
struct ExampleRow {
    content_hash: Vec<u8>,
    topics: String,
    document_id: String,
    publish_date: Option<String>,
    url: String,
    title: String,
    text: String,
    split: String,
    weight: f64,
}

#[derive(FromRow)]
struct RevisionRow {
    revision: i64,
    created_at: i64,
    n_added: i64,
    n_relabelled: i64,
    n_unchanged: i64,
    n_deleted: i64,
}

impl Store {
    /// The documents of a classifier's revision; `None`: of its newest.
    ///
    /// # Errors
    /// [`StoreError::UnknownClassifier`], [`StoreError::UnknownRevision`], [`StoreError::Database`].
    pub async fn examples(&self, classifier: &ClassifierName, revision: Option<u32>) -> Result<Examples, StoreError> {
        let newest: Option<i64> = sqlx::query_scalar("SELECT revision FROM classifiers WHERE name = $1")
            .bind(classifier.as_str())
            .fetch_optional(&self.pool)
            .await?;
        let newest = newest.ok_or_else(|| StoreError::UnknownClassifier(classifier.clone()))?;
        let newest = number("revision", newest)?;
        if newest == 0 {
            return Err(StoreError::UnknownClassifier(classifier.clone()));
        }
        let revision = revision.unwrap_or(newest);
        if !(1..=newest).contains(&revision) {
            return Err(StoreError::UnknownRevision { classifier: classifier.clone(), revision, newest });
        }
        let (store, classifier) = (self.clone(), classifier.clone());
        Ok(Examples { store, classifier, revision, topic: None, last_hash: Vec::new() })
    }

    /// All classifiers with stored documents, sorted by name. Reads the topics of every document: about a second for a
    /// million.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn datasets(&self) -> Result<Vec<DatasetSummary>, StoreError> {
        let classifiers: Vec<(String, i64)> =
            sqlx::query_as("SELECT name, revision FROM classifiers WHERE revision > 0 ORDER BY name")
                .fetch_all(&self.pool)
                .await?;
        let mut datasets = Vec::with_capacity(classifiers.len());
        for (name, revision) in classifiers {
            let damaged = |_| StoreError::Damaged { what: "classifier's name", seen: excerpt(&name) };
            let classifier: ClassifierName = name.parse().map_err(damaged)?;
            datasets.push(self.dataset(&classifier, number("revision", revision)?).await?);
        }
        Ok(datasets)
    }

    /// What a classifier's revision holds.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn dataset(&self, classifier: &ClassifierName, revision: u32) -> Result<DatasetSummary, StoreError> {
        let (n_documents, topics) = self.count(classifier, revision).await?;
        let revisions = self.revisions(classifier, revision).await?;
        Ok(DatasetSummary { classifier: classifier.clone(), revision, n_documents, topics, revisions })
    }

    /// How many documents of a classifier's revision have each topic, `None`: of its newest; nothing of a classifier without any.
    ///
    /// # Errors
    /// [`StoreError::UnknownRevision`], [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn topic_counts(
        &self,
        classifier: &ClassifierName,
        revision: Option<u32>,
    ) -> Result<Vec<TopicCount>, StoreError> {
        let newest: Option<i64> = sqlx::query_scalar("SELECT revision FROM classifiers WHERE name = $1")
            .bind(classifier.as_str())
            .fetch_optional(&self.pool)
            .await?;
        let newest = number("revision", newest.unwrap_or(0))?;
        let revision = revision.unwrap_or(newest);
        if revision > newest {
            return Err(StoreError::UnknownRevision { classifier: classifier.clone(), revision, newest });
        }
        Ok(self.count(classifier, revision).await?.1)
    }

    /// How many of a classifier's documents were added, labelled anew or erased after a revision; one that was twice counts twice.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn n_changed_documents(&self, classifier: &ClassifierName, revision: u32) -> Result<u64, StoreError> {
        let n_changed: i64 = sqlx::query_scalar(
            "SELECT CAST(COALESCE(SUM(n_added + n_relabelled + n_deleted), 0) AS BIGINT) FROM imports \
             WHERE classifier = $1 AND revision > $2",
        )
        .bind(classifier.as_str())
        .bind(i64::from(revision))
        .fetch_one(&self.pool)
        .await?;
        number("number of documents", n_changed)
    }

    /// Those of some documents that a classifier's newest revision has, by their content hashes.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn examples_of(
        &self,
        classifier: &ClassifierName,
        hashes: &[ContentHash],
    ) -> Result<Vec<LabeledDocument>, StoreError> {
        let mut examples = Vec::new();
        for hashes in hashes.chunks(BATCH_DOCUMENTS as usize) {
            let mut select = QueryBuilder::<Sqlite>::new(
                "SELECT examples.content_hash, examples.topics, examples.document_id, examples.publish_date, \
                 examples.url, examples.title, examples.text, examples.split, examples.weight \
                 FROM examples JOIN imports ON imports.id = examples.import_id \
                 WHERE imports.revision IS NOT NULL AND examples.until_revision IS NULL AND examples.classifier = ",
            );
            select.push_bind(classifier.as_str()).push(" AND examples.content_hash IN (");
            let mut list = select.separated(", ");
            hashes.iter().for_each(|hash| _ = list.push_bind(hash.0.to_vec()));
            select.push(")");
            let rows: Vec<ExampleRow> = select.build_query_as().fetch_all(&self.pool).await?;
            examples.extend(rows.into_iter().map(LabeledDocument::try_from).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(examples)
    }

    /// How many documents a revision has, and how many of each topic.
    async fn count(&self, classifier: &ClassifierName, revision: u32) -> Result<(u64, Vec<TopicCount>), StoreError> {
        let sets: Vec<(String, i64)> = sqlx::query_as(
            "SELECT examples.topics, COUNT(*) FROM examples JOIN imports ON imports.id = examples.import_id \
             WHERE examples.classifier = $1 AND imports.revision <= $2 \
             AND (examples.until_revision IS NULL OR examples.until_revision > $2) GROUP BY examples.topics",
        )
        .bind(classifier.as_str())
        .bind(i64::from(revision))
        .fetch_all(&self.pool)
        .await?;
        let mut n_documents = 0;
        let mut counts = BTreeMap::<Topic, u64>::new();
        for (topics, n) in sets {
            let n: u64 = number("number of documents", n)?;
            n_documents += n;
            for topic in parse_topics(&topics)? {
                *counts.entry(topic).or_default() += n;
            }
        }
        let topic_count = |(topic, n_documents): (Topic, u64)| TopicCount { topic: topic.to_string(), n_documents };
        Ok((n_documents, counts.into_iter().map(topic_count).collect()))
    }

    /// The newest revisions of a classifier's documents up to one, oldest first.
    async fn revisions(&self, classifier: &ClassifierName, last: u32) -> Result<Vec<RevisionSummary>, StoreError> {
        let rows: Vec<RevisionRow> = sqlx::query_as(
            "SELECT revision, created_at, n_added, n_relabelled, n_unchanged, n_deleted FROM imports \
             WHERE classifier = $1 AND revision <= $2 ORDER BY revision DESC LIMIT $3",
        )
        .bind(classifier.as_str())
        .bind(i64::from(last))
        .bind(i64::from(MAX_REVISIONS))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().rev().map(RevisionSummary::try_from).collect()
    }
}

impl Examples {
    /// The revision that these are the documents of.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// Those of them that have a topic; `None`: all.
    #[must_use]
    pub fn with_topic(mut self, topic: Option<Topic>) -> Self {
        self.topic = topic;
        self
    }

    /// Those of them whose content hash is greater.
    #[must_use]
    pub fn after(mut self, hash: ContentHash) -> Self {
        self.last_hash = hash.0.to_vec();
        self
    }

    /// The next documents, some hundred or some MiB at most, with all that was imported with them; none at the end.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn next_batch(&mut self) -> Result<Vec<LabeledDocument>, StoreError> {
        self.next_of(BATCH_DOCUMENTS, BATCH_BYTES).await
    }

    /// The next documents, at most so many, of at most so many bytes of title and text but for the last one's.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn next_of(&mut self, max_documents: u32, max_bytes: usize) -> Result<Vec<LabeledDocument>, StoreError> {
        loop {
            let mut batch = self.read(max_documents, max_bytes).await?;
            if batch.is_empty() {
                return Ok(batch);
            }
            // LIKE takes A for a.
            batch.retain(|example| self.topic.as_ref().is_none_or(|topic| example.topics().contains(topic)));
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
    }

    async fn read(&mut self, max_documents: u32, max_bytes: usize) -> Result<Vec<LabeledDocument>, StoreError> {
        let pattern = self.topic.as_ref().map_or_else(|| "%".to_owned(), topic_pattern);
        let mut rows = sqlx::query_as::<_, ExampleRow>(
            "SELECT examples.content_hash, examples.topics, examples.document_id, examples.publish_date, \
             examples.url, examples.title, examples.text, examples.split, examples.weight \
             FROM examples JOIN imports ON imports.id = examples.import_id \
             WHERE examples.classifier = $1 AND examples.content_hash > $2 AND imports.revision <= $3 \
             AND (examples.until_revision IS NULL OR examples.until_revision > $3) \
             AND examples.topics LIKE $4 ESCAPE '!' \
             ORDER BY examples.content_hash LIMIT $5",
        )
        .bind(self.classifier.as_str())
        .bind(self.last_hash.clone())
        .bind(i64::from(self.revision))
        .bind(pattern)
        .bind(i64::from(max_documents))
        .fetch(&self.store.pool);
        let (mut batch, mut n_bytes) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await? {
            self.last_hash.clone_from(&row.content_hash);
            n_bytes += row.title.len() + row.text.len();
            batch.push(row.try_into()?);
            if n_bytes >= max_bytes {
                break;
            }
        }
        Ok(batch)
    }
}

/// What stored topics are LIKE that have this one among them, `!` being the escape character. Some others may be, too.
pub(super) fn topic_pattern(topic: &Topic) -> String {
    let quoted = serde_json::Value::from(topic.as_str()).to_string();
    let mut pattern = "%".to_owned();
    for c in quoted.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern + "%"
}

impl TryFrom<ExampleRow> for LabeledDocument {
    type Error = StoreError;

    fn try_from(row: ExampleRow) -> Result<Self, StoreError> {
        let damaged = |what, seen: &str| StoreError::Damaged { what, seen: excerpt(seen) };
        let mut document = Document::new(row.title, row.text).map_err(|_| damaged("document", &row.document_id))?;
        if document.content_hash().0[..] != row.content_hash[..] {
            return Err(damaged("document", &row.document_id));
        }
        document.id = row.document_id;
        document.url = row.url;
        document.date = match row.publish_date {
            None => None,
            Some(date) => Some(Date::parse(&date).ok_or_else(|| damaged("date", &date))?),
        };
        let split = parse_split(&row.split).ok_or_else(|| damaged("split", &row.split))?;
        let weight = DocumentWeight::new(row.weight as f32).map_err(|_| damaged("weight", &row.weight.to_string()))?;
        Ok(Self::new(document, parse_topics(&row.topics)?).with_split(split).with_weight(weight))
    }
}

impl TryFrom<RevisionRow> for RevisionSummary {
    type Error = StoreError;

    fn try_from(row: RevisionRow) -> Result<Self, StoreError> {
        let n_documents = |stored| number("number of documents", stored);
        Ok(Self {
            revision: number("revision", row.revision)?,
            created_at_ms: number("time", row.created_at)?,
            n_added: n_documents(row.n_added)?,
            n_relabelled: n_documents(row.n_relabelled)?,
            n_unchanged: n_documents(row.n_unchanged)?,
            n_deleted: n_documents(row.n_deleted)?,
        })
    }
}

pub(super) fn parse_topics(json: &str) -> Result<Vec<Topic>, StoreError> {
    let damaged = || StoreError::Damaged { what: "list of topics", seen: excerpt(json) };
    let names: Vec<String> = serde_json::from_str(json).map_err(|_| damaged())?;
    names.iter().map(|name| Topic::new(name).map_err(|_| damaged())).collect()
}
