//! A set of labelled documents, as training takes it: each document once, in an order of its own, with numbered topics.

mod folds;
pub mod issues;
pub mod near_duplicates;

pub use folds::cross_validation_folds;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use crate::document::{ContentHash, Document, LabeledDocument, Topic};
use crate::targets::Targets;

/// From this share of the labelled documents on, those with several topics make a dataset multi-label; fewer are slips of the pen.
const MULTI_LABEL_SHARE: f64 = 0.01;

/// Whether a document has one topic or any number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// Each document has exactly one topic.
    SingleLabel,
    /// A document has any number of topics, or none.
    MultiLabel,
}

/// Why labelled documents can't be trained on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatasetError {
    /// No document with a topic at all.
    #[error("there is no document with a topic; give labelled documents of at least two topics")]
    NoLabels,
    /// All documents have the same topic, so there is nothing to tell apart.
    #[error("every document has the topic {0:?}; give labelled documents of at least two topics")]
    OneTopic(String),
}

/// Labelled documents, each content once, ordered by content hash: the same documents make the same dataset in
/// whatever order they come (where labels of the same content differ, the later ones count).
#[derive(Debug, Clone)]
pub struct Dataset {
    examples: Vec<(ContentHash, LabeledDocument)>,
    topics: Vec<Topic>,
    label_kind: LabelKind,
    targets: Targets,
    intake: Intake,
}

/// What became of the documents that a dataset was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Intake {
    /// Documents given.
    pub n_given: usize,
    /// Documents given again with the same topics or none, and left out.
    pub n_duplicates: usize,
    /// Documents given again with other topics, which replaced the earlier ones.
    pub n_relabelled: usize,
    /// Documents with several topics, of which the first by name counts because each document of this dataset has one.
    pub n_several_topics: usize,
    /// Documents without a topic, left out because each document of this dataset has one.
    pub n_without_topic: usize,
}

impl Dataset {
    /// Makes a dataset; whether it is multi-label follows from the documents.
    ///
    /// # Errors
    /// [`DatasetError`] when fewer than two topics occur.
    pub fn new(examples: impl IntoIterator<Item = LabeledDocument>) -> Result<Self, DatasetError> {
        Self::of_kind(examples, None)
    }

    /// [`Self::new`], where it may be settled whether documents have one topic or any number.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_kind(
        examples: impl IntoIterator<Item = LabeledDocument>,
        label_kind: Option<LabelKind>,
    ) -> Result<Self, DatasetError> {
        let mut intake = Intake::default();
        let mut by_content: BTreeMap<ContentHash, LabeledDocument> = BTreeMap::new();
        for example in examples {
            intake.n_given += 1;
            match by_content.entry(example.document.content_hash()) {
                Entry::Vacant(entry) => _ = entry.insert(example),
                // A copy that nobody labelled takes no label away.
                Entry::Occupied(earlier)
                    if example.topics().is_empty() || earlier.get().topics() == example.topics() =>
                {
                    intake.n_duplicates += 1;
                }
                Entry::Occupied(mut earlier) => {
                    intake.n_relabelled += usize::from(!earlier.get().topics().is_empty());
                    earlier.insert(example);
                }
            }
        }
        let label_kind = label_kind.unwrap_or_else(|| label_kind_of(by_content.values()));
        let n_different = by_content.len();
        by_content.retain(|_, example| label_kind == LabelKind::MultiLabel || !example.topics().is_empty());
        intake.n_without_topic = n_different - by_content.len();
        if label_kind == LabelKind::SingleLabel {
            let several = by_content.values_mut().filter(|example| example.topics().len() > 1);
            intake.n_several_topics = several.map(LabeledDocument::keep_first_topic).count();
        }
        let topics = topics_of(by_content.values())?;
        let number = |topic: &Topic| topics.binary_search(topic).ok().map(|number| number as u32);
        let numbers = |example: &LabeledDocument| example.topics().iter().filter_map(number).collect::<Vec<u32>>();
        let targets = Targets::new(topics.len(), by_content.values().map(numbers));
        Ok(Self { examples: by_content.into_iter().collect(), topics, label_kind, targets, intake })
    }

    /// The documents, in the dataset's order.
    pub fn documents(&self) -> Vec<&Document> {
        self.examples.iter().map(|(_, example)| &example.document).collect()
    }

    /// The content hashes, in the dataset's order, which is theirs.
    pub fn content_hashes(&self) -> impl ExactSizeIterator<Item = ContentHash> + '_ {
        self.examples.iter().map(|(hash, _)| *hash)
    }

    /// The topics that occur, sorted.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// Whether documents have one topic or any number.
    pub fn label_kind(&self) -> LabelKind {
        self.label_kind
    }

    /// Each document's topics, by their place in [`Self::topics`].
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// What became of the documents given.
    pub fn intake(&self) -> Intake {
        self.intake
    }
}

fn label_kind_of<'a>(examples: impl Iterator<Item = &'a LabeledDocument>) -> LabelKind {
    let labelled = examples.filter(|example| !example.topics().is_empty());
    let (n_several, n) = labelled.fold((0, 0), |(several, n), e| (several + usize::from(e.topics().len() > 1), n + 1));
    if n_several > 0 && n_several as f64 >= MULTI_LABEL_SHARE * f64::from(n) {
        LabelKind::MultiLabel
    } else {
        LabelKind::SingleLabel
    }
}

fn topics_of<'a>(examples: impl Iterator<Item = &'a LabeledDocument>) -> Result<Vec<Topic>, DatasetError> {
    let mut topics: Vec<Topic> = examples.flat_map(|example| example.topics().iter().cloned()).collect();
    topics.sort();
    topics.dedup();
    match &topics[..] {
        [] => Err(DatasetError::NoLabels),
        [only] => Err(DatasetError::OneTopic(only.to_string())),
        _ => Ok(topics),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(text: &str, topics: &[&str]) -> LabeledDocument {
        let topics = topics.iter().map(|topic| Topic::new(topic).unwrap()).collect();
        LabeledDocument::new(Document::new("", text).unwrap(), topics)
    }

    #[test]
    fn each_content_is_kept_once_and_its_latest_topics_count() {
        let dataset = Dataset::new([
            example("a", &["x"]),
            example("b", &["y"]),
            example("a", &["x"]),
            example("b", &["z"]),
            example("c", &[]),
        ])
        .unwrap();
        assert_eq!(dataset.documents().len(), 2);
        assert_eq!(dataset.topics().iter().map(Topic::as_str).collect::<Vec<_>>(), ["x", "z"]);
        let expected = Intake { n_given: 5, n_duplicates: 1, n_relabelled: 1, n_without_topic: 1, n_several_topics: 0 };
        assert_eq!(dataset.intake(), expected);
    }

    #[test]
    fn a_copy_that_nobody_labelled_takes_no_label_away() {
        let dataset = Dataset::new([
            example("a", &["x"]),
            example("a", &[]),
            example("b", &[]),
            example("b", &["y"]),
            example("c", &["y"]),
        ])
        .unwrap();
        assert_eq!(
            dataset.targets(),
            Dataset::new([("a", "x"), ("b", "y"), ("c", "y")].map(|(text, topic)| example(text, &[topic])))
                .unwrap()
                .targets()
        );
        assert_eq!((dataset.intake().n_duplicates, dataset.intake().n_relabelled), (1, 0));
    }

    #[test]
    fn a_second_topic_among_single_ones_makes_no_topic_of_its_own() {
        let many = (0..300).map(|i| example(&i.to_string(), &[if i % 2 == 0 { "beta" } else { "zeta" }]));
        let dataset = Dataset::new(many.chain([example("slip", &["zeta", "eta"])])).unwrap();
        assert_eq!(dataset.topics().iter().map(Topic::as_str).collect::<Vec<_>>(), ["beta", "eta", "zeta"]);
        assert_eq!(dataset.intake().n_several_topics, 1);
        assert!((0..301).all(|document| dataset.targets().of(document).len() == 1));
    }

    #[test]
    fn the_order_of_arrival_changes_nothing() {
        let examples = ["a", "b", "c", "d"].map(|text| example(text, &[if text < "c" { "x" } else { "y" }]));
        let forward = Dataset::new(examples.clone()).unwrap();
        let backward = Dataset::new(examples.into_iter().rev()).unwrap();
        assert!(forward.content_hashes().eq(backward.content_hashes()));
        assert_eq!(forward.targets(), backward.targets());
    }

    #[test]
    fn one_percent_of_documents_with_several_topics_make_it_multi_label() {
        let kind = |n_several: usize| {
            let single = (n_several..200).map(|i| example(&i.to_string(), &[if i % 2 == 0 { "x" } else { "y" }]));
            let several = (0..n_several).map(|i| example(&i.to_string(), &["x", "y"]));
            Dataset::new(single.chain(several)).unwrap().label_kind()
        };
        assert_eq!([0, 1, 2, 50].map(kind), {
            use LabelKind::*;
            [SingleLabel, SingleLabel, MultiLabel, MultiLabel]
        });
    }

    /// A desk that gives several topics has given each document one so far; one that gives one has slipped often.
    #[test]
    fn the_kind_of_labels_can_be_settled() {
        let single = [example("a", &["x"]), example("b", &["y"]), example("c", &[])];
        let several = [example("a", &["x", "y"]), example("b", &["y"])];
        let of_kind = |examples: &[LabeledDocument], kind| Dataset::of_kind(examples.to_vec(), Some(kind)).unwrap();
        let forced = of_kind(&single, LabelKind::MultiLabel);
        assert_eq!((forced.label_kind(), forced.documents().len()), (LabelKind::MultiLabel, 3));
        let forced = of_kind(&several, LabelKind::SingleLabel);
        assert_eq!((forced.label_kind(), forced.intake().n_several_topics), (LabelKind::SingleLabel, 1));
    }

    #[test]
    fn fewer_than_two_topics_are_refused() {
        assert_eq!(Dataset::new([]).unwrap_err(), DatasetError::NoLabels);
        assert_eq!(Dataset::new([example("a", &[])]).unwrap_err(), DatasetError::NoLabels);
        let one = Dataset::new([example("a", &["x"]), example("b", &["x"])]).unwrap_err();
        assert_eq!(one, DatasetError::OneTopic("x".into()));
    }
}
