//! Which words of erased documents live on: terms of versions that learned them, which no other document has.
//!
//! A version that is kept holds no text, but the words of its vocabulary, and pairs and pieces of words. Whoever erases is told
//! those that can't come from anything that is left.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::error::Error;
use super::model_name::VersionName;
use super::panic::incident;
use super::workers::{IsAwaited, run_on};
use crate::artifact;
use crate::document::{ContentHash, Document, LabeledDocument};
use crate::features::unseen_terms::UnseenTerms;
use crate::features::vectorizer::RowScratch;
use crate::names::ClassifierName;
use crate::store::{Store, StoreError};

/// The most terms that are told of a version; the others are counted.
const MAX_TERMS: usize = 1000;
/// The most bytes of terms that are told of all versions: clients read messages of up to 4 MiB.
const MAX_TERM_BYTES: usize = 1 << 20;
/// Erased documents that are in memory at a time; each may have a MiB.
const CHUNK: usize = 16;

/// Terms of erased documents that a version has in its vocabulary, and that are in none of the documents left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnedTerms {
    /// The version.
    pub version: VersionName,
    /// How many terms these are.
    pub n_terms: u64,
    /// The first of them, sorted, as the vocabulary has them: at most 1,000, and fewer where those of all versions take more
    /// than 1 MiB.
    pub terms: Vec<String>,
}

/// What versions will still have of a classifier's documents when these are erased; of versions without any, nothing. Those
/// whose files can't be read are left out. Reads the documents that stay until each term was seen in one of them: all, if a
/// term is in none.
pub(super) async fn of_erased(
    store: &Store,
    pool: &rayon::ThreadPool,
    classifier: &ClassifierName,
    hashes: &[ContentHash],
    versions: &[VersionName],
) -> Result<Vec<LearnedTerms>, Error> {
    let hashes = &*if versions.is_empty() { Vec::new() } else { stored(store, classifier, hashes).await? };
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    // Versions have most terms in common.
    let (mut numbers, mut learned) = (HashMap::new(), Vec::new());
    for version in versions {
        let terms = terms_of(store, pool, version, hashes).await?.into_iter().map(|term| {
            let next = numbers.len();
            *numbers.entry(term).or_insert(next)
        });
        learned.push((version, terms.collect::<Vec<usize>>()));
    }
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let unseen = unseen_in_others(store, pool, classifier, hashes, numbers.keys().cloned()).await?;
    let unseen: HashMap<usize, &String> = unseen.iter().map(|term| (numbers[term], term)).collect();
    let mut n_bytes_left = MAX_TERM_BYTES;
    let of_version = |(version, terms): (&VersionName, Vec<usize>)| {
        let terms: BTreeSet<&String> = terms.iter().filter_map(|number| unseen.get(number).copied()).collect();
        let n_terms = terms.len() as u64;
        let told = terms.into_iter().take(MAX_TERMS).take_while(|term| {
            let left = n_bytes_left.checked_sub(term.len());
            n_bytes_left = left.unwrap_or(0);
            left.is_some()
        });
        LearnedTerms { version: version.clone(), n_terms, terms: told.cloned().collect() }
    };
    Ok(learned.into_iter().map(of_version).filter(|learned| learned.n_terms > 0).collect())
}

/// Those of some documents that are stored.
async fn stored(
    store: &Store,
    classifier: &ClassifierName,
    hashes: &[ContentHash],
) -> Result<Vec<ContentHash>, StoreError> {
    let mut stored = Vec::new();
    for hashes in hashes.chunks(CHUNK) {
        let examples = store.examples_of(classifier, hashes).await?;
        stored.extend(examples.iter().map(|example| example.document.content_hash()));
    }
    Ok(stored)
}

/// The terms of documents that a version has in its vocabulary; none when its file can't be read.
async fn terms_of(
    store: &Store,
    pool: &rayon::ThreadPool,
    version: &VersionName,
    hashes: &[ContentHash],
) -> Result<BTreeSet<String>, Error> {
    let Some(record) = store.version(&version.classifier, version.number).await? else { return Ok(BTreeSet::new()) };
    let bytes = match store.artifact(&record.artifact_sha256).await {
        Ok(bytes) => bytes,
        Err(error @ StoreError::DamagedArtifact) => return Ok(unreadable(version, &error)),
        Err(error) => return Err(error.into()),
    };
    let model = match run_on(pool, move |_| Some(artifact::decode(bytes))).await? {
        Ok(model) => model,
        Err(error) => return Ok(unreadable(version, &error)),
    };
    let mut vectorizer = model.classifier.vectorizer;
    let mut features = BTreeSet::new();
    for hashes in hashes.chunks(CHUNK) {
        let examples = store.examples_of(&version.classifier, hashes).await?;
        let known = move |_: IsAwaited<'_>| {
            let (mut scratch, mut known) = (RowScratch::default(), Vec::new());
            for example in &examples {
                vectorizer.vectorize(&example.document, &mut scratch);
                known.extend_from_slice(scratch.row().features);
            }
            Some((vectorizer, known))
        };
        let known = run_on(pool, known).await?;
        vectorizer = known.0;
        features.extend(known.1);
    }
    Ok(features.into_iter().filter_map(|feature| vectorizer.vocabulary().term(feature)).collect())
}

fn unreadable(version: &VersionName, error: &dyn std::fmt::Display) -> BTreeSet<String> {
    tracing::error!(%version, %error, "which terms of erased documents a version has can't be told");
    BTreeSet::new()
}

/// Those of some terms that none of a classifier's documents has but those with the hashes.
async fn unseen_in_others(
    store: &Store,
    pool: &rayon::ThreadPool,
    classifier: &ClassifierName,
    hashes: &[ContentHash],
    terms: impl Iterator<Item = String>,
) -> Result<BTreeSet<String>, Error> {
    let mut unseen = UnseenTerms::new(terms).map_err(|error| Error::Panicked(incident(&error)))?;
    let hashes: Arc<HashSet<ContentHash>> = Arc::new(hashes.iter().copied().collect());
    let mut stored = store.examples(classifier, None).await?;
    while unseen.any() {
        let batch = stored.next_batch().await?;
        if batch.is_empty() {
            break;
        }
        let hashes = Arc::clone(&hashes);
        let look = move |_: IsAwaited<'_>| {
            let stays = |example: &&LabeledDocument| !hashes.contains(&example.document.content_hash());
            let documents: Vec<&Document> = batch.iter().filter(stays).map(|example| &example.document).collect();
            unseen.look_at(&documents);
            Some(unseen)
        };
        unseen = run_on(pool, look).await?;
    }
    Ok(unseen.into_terms())
}
