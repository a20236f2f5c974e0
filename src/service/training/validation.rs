//! What is wrong with a training before it begins: documents that nothing can be learned from, and what the given ones are
//! beside the stored ones.

use std::collections::HashMap;

use super::super::error::{Error, FieldViolation};
use super::TrainingService;
use super::call::{Scope, TrainCall, Validation};
use crate::config::Limits;
use crate::dataset::issues::{DataIssue, IssueKind, find_repetitions, find_small_topics, find_unusable};
use crate::document::{ContentHash, Document, LabeledDocument, Split, Topic};
use crate::store::{StoreError, TopicCount, last_of_each};

impl TrainingService {
    /// Says what a training would find, without storing anything or training.
    ///
    /// # Errors
    /// The documents can't be trained on, or the store fails.
    pub async fn validate(&self, call: &TrainCall) -> Result<Validation, Error> {
        let stored = self.stored_topics(call).await?;
        check_usable(call, &stored, &self.limits)?;
        let earlier = self.stored_copies(call).await?;
        let mut validation = Validation { n_given: call.examples.len() as u64, ..Validation::default() };
        let mut counts: HashMap<&str, i64> = HashMap::new();
        for count in &stored {
            counts.insert(&count.topic, count.n_documents as i64);
        }
        let last_of_each = last_of_each(&call.examples);
        for (hash, (example, split)) in &last_of_each {
            let changes = earlier.get(hash).is_none_or(|copy| differs(copy, example, *split));
            match earlier.get(hash) {
                None => validation.n_added += 1,
                Some(_) if !changes => validation.n_unchanged += 1,
                Some(copy) => {
                    validation.n_relabelled += 1;
                    copy.topics().iter().for_each(|topic| *counts.entry(topic.as_str()).or_default() -= 1);
                }
            }
            if changes {
                example.topics().iter().for_each(|topic| *counts.entry(topic.as_str()).or_default() += 1);
            }
        }
        let mut topics: Vec<TopicCount> = counts
            .into_iter()
            .filter_map(|(topic, n)| Some(TopicCount { topic: topic.to_owned(), n_documents: u64::try_from(n).ok()? }))
            .filter(|count| count.n_documents > 0)
            .collect();
        topics.sort_by(|a, b| a.topic.cmp(&b.topic));
        validation.data_issues = find_repetitions(&call.examples);
        validation.data_issues.extend(relabelled(&call.examples, &earlier));
        validation.data_issues.extend(find_unusable(&call.examples));
        let small = topics.iter().map(|count| (count.topic.as_str(), count.n_documents as usize));
        validation.data_issues.extend(find_small_topics(small));
        validation.topics = topics;
        Ok(validation)
    }

    /// How many documents of each topic are stored, as far as the call uses them.
    pub(super) async fn stored_topics(&self, call: &TrainCall) -> Result<Vec<TopicCount>, StoreError> {
        match call.scope {
            Scope::SourceOnly => Ok(Vec::new()),
            Scope::Stored => self.store.topic_counts(&call.classifier, call.revision).await,
        }
    }

    /// The stored documents that the call gives again.
    pub(super) async fn stored_copies(
        &self,
        call: &TrainCall,
    ) -> Result<HashMap<ContentHash, LabeledDocument>, StoreError> {
        if call.scope == Scope::SourceOnly {
            return Ok(HashMap::new());
        }
        let hashes: Vec<ContentHash> = call.examples.iter().map(|example| example.document.content_hash()).collect();
        let copies = self.store.examples_of(&call.classifier, &hashes).await?;
        Ok(copies.into_iter().map(|copy| (copy.document.content_hash(), copy)).collect())
    }
}

/// Whether there is something to learn: two topics, and a word. What only training finds out fails the job.
pub(super) fn check_usable(call: &TrainCall, stored: &[TopicCount], limits: &Limits) -> Result<(), Error> {
    let given = call.examples.iter().flat_map(|example| example.topics()).map(Topic::as_str);
    let mut topics: Vec<&str> = stored.iter().map(|count| count.topic.as_str()).chain(given).collect();
    topics.sort_unstable();
    topics.dedup();
    let (max_topics, max_documents, max_bytes) =
        (limits.max_topics, limits.max_training_documents, limits.max_training_bytes);
    let n_bytes = call.examples.iter().map(|example| example.document.n_bytes() as u64).sum::<u64>();
    let knows_words =
        !stored.is_empty() || call.examples.iter().any(|example| crate::text::has_tokens(&example.document));
    let problem = match topics[..] {
        [] => "no document has a topic; give labelled documents of at least two topics".to_owned(),
        [only] => format!("every document has the topic {only:?}; give labelled documents of at least two topics"),
        _ if topics.len() > max_topics.get() as usize => {
            format!("there are {} topics; the limit max_topics is {max_topics}; merge some", topics.len())
        }
        _ if call.examples.len() > max_documents.get() as usize => {
            let n_documents = call.examples.len();
            format!(
                "there are {n_documents} documents; the limit max_training_documents is {max_documents}; give fewer"
            )
        }
        _ if n_bytes > max_bytes.get() => {
            format!("the documents have {n_bytes} bytes; the limit max_training_bytes is {max_bytes}; give fewer")
        }
        _ if !knows_words => {
            "no document has a word to learn from; check that the texts are what you meant to send".to_owned()
        }
        _ => return Ok(()),
    };
    if call.examples.is_empty() {
        return Err(Error::UnusableDataset { classifier: call.classifier.clone(), problem });
    }
    let description = format!("can't be trained on: {problem}");
    let field = "inline_examples.examples".to_owned();
    Err(Error::InvalidRequest(vec![FieldViolation { field, reason: "UNUSABLE_EXAMPLES", description }]))
}

/// Whether a document that is given with a split, or without one, replaces the copy that is stored.
fn differs(stored: &LabeledDocument, given: &LabeledDocument, split: Option<Split>) -> bool {
    let other_label = stored.topics() != given.topics() || stored.weight != given.weight;
    other_label || split.is_some_and(|split| stored.split != Some(split))
}

/// The documents that are stored with other topics, another weight or another split.
pub(super) fn relabelled(
    examples: &[LabeledDocument],
    earlier: &HashMap<ContentHash, LabeledDocument>,
) -> Option<DataIssue> {
    // A copy that says another split than one before it doesn't say the last word on it.
    let given = last_of_each(examples);
    let replaces = |example: &&LabeledDocument| {
        let hash = example.document.content_hash();
        let split = given.get(&hash).and_then(|(_, split)| *split);
        earlier.get(&hash).is_some_and(|stored| differs(stored, example, split))
    };
    let documents: Vec<&Document> = examples.iter().filter(replaces).map(|example| &example.document).collect();
    DataIssue::of_documents(IssueKind::Relabelled, &documents)
}
