//! A set of labelled documents, as training takes it: each document once, in an order of its own, with numbered topics.

mod folds;
pub mod held_out;
pub mod issues;
pub mod near_duplicates;

pub use folds::cross_validation_folds;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use crate::document::{ContentHash, Document, LabeledDocument, Split, Topic};
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
    /// There are at least two topics, but not among the documents that are trained on.
    #[error(
        "holding out {n_held_out} of {n_documents} documents leaves {} to train on; hold out fewer, so that documents of at \
         least two topics are left",
        only.as_ref().map_or("no document with a topic".to_owned(), |topic| format!("only the topic {topic:?}"))
    )]
    HeldOutLeavesTooFew {
        /// The documents that are held out.
        n_held_out: usize,
        /// These and the training documents, each content once.
        n_documents: usize,
        /// The one topic that is left, if one is.
        only: Option<String>,
    },
}

/// What is settled about a dataset besides its documents.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DatasetOptions {
    /// Whether documents have one topic or any number; `None`: as the training documents say.
    pub label_kind: Option<LabelKind>,
    /// The share, from 0 to 1, of the documents whose split isn't settled that is held out (see [`held_out::place`]).
    pub held_out_share: f64,
}

/// Documents by content hash, which is their order.
type ByContent = BTreeMap<ContentHash, LabeledDocument>;

/// Labelled documents, each content once, ordered by content hash: the same documents make the same dataset in
/// whatever order they come (where topics or weights of the same content differ, the later ones count). It is held out if one of its
/// copies says so: a document must not be on both sides.
///
/// Held-out documents are beside the others: what is said of the dataset's documents, topics and label kind is said of
/// those that are trained on.
#[derive(Debug, Clone)]
pub struct Dataset {
    examples: Vec<(ContentHash, LabeledDocument)>,
    held_out: Vec<LabeledDocument>,
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
    /// Makes a dataset; whether it is multi-label follows from the documents, and held out are those whose split says so.
    ///
    /// # Errors
    /// [`DatasetError`] when fewer than two topics occur.
    pub fn new(examples: impl IntoIterator<Item = LabeledDocument>) -> Result<Self, DatasetError> {
        Self::with_options(examples, DatasetOptions::default())
    }

    /// [`Self::new`], where it may be settled whether documents have one topic or any number, and which share of them is
    /// held out.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_options(
        examples: impl IntoIterator<Item = LabeledDocument>,
        options: DatasetOptions,
    ) -> Result<Self, DatasetError> {
        let mut intake = Intake::default();
        let is_held_out = |(hash, example): &(ContentHash, LabeledDocument)| {
            held_out::side(*hash, example, options.held_out_share) == Split::HeldOut
        };
        let (mut held_out, mut training): (ByContent, ByContent) =
            intake.each_content_once(examples).into_iter().partition(is_held_out);
        let label_kind = options.label_kind.unwrap_or_else(|| label_kind_of(training.values()));
        if label_kind == LabelKind::SingleLabel {
            intake.keep_one_topic(&mut training);
            intake.keep_one_topic(&mut held_out);
        }
        let topics = topics_of(training.values()).map_err(|error| error.of_side(&training, &held_out))?;
        let number = |topic: &Topic| topics.binary_search(topic).ok().map(|number| number as u32);
        let numbers = |example: &LabeledDocument| example.topics().iter().filter_map(number).collect::<Vec<u32>>();
        let targets = Targets::new(topics.len(), training.values().map(numbers));
        let (examples, held_out) = (training.into_iter().collect(), held_out.into_values().collect());
        Ok(Self { examples, held_out, topics, label_kind, targets, intake })
    }

    /// The documents that are trained on, in the dataset's order.
    pub fn documents(&self) -> Vec<&Document> {
        self.examples.iter().map(|(_, example)| &example.document).collect()
    }

    /// The documents that are kept from training, ordered by content hash. They may have topics that no training document
    /// has.
    pub fn held_out(&self) -> &[LabeledDocument] {
        &self.held_out
    }

    /// The content hashes of the documents that are trained on, in the dataset's order, which is theirs.
    pub fn content_hashes(&self) -> impl ExactSizeIterator<Item = ContentHash> + '_ {
        self.examples.iter().map(|(hash, _)| *hash)
    }

    /// How much each of the documents that are trained on counts, in the dataset's order.
    pub fn weights(&self) -> Vec<f32> {
        self.examples.iter().map(|(_, example)| example.weight.get()).collect()
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

impl Intake {
    /// Keeps one of all copies of a document: the later topics, and held out if any of them is.
    fn each_content_once(&mut self, examples: impl IntoIterator<Item = LabeledDocument>) -> ByContent {
        let mut by_content = ByContent::new();
        for mut example in examples {
            self.n_given += 1;
            let mut earlier = match by_content.entry(example.document.content_hash()) {
                Entry::Vacant(entry) => {
                    entry.insert(example);
                    continue;
                }
                Entry::Occupied(earlier) => earlier,
            };
            example.split = example.split.max(earlier.get().split);
            if example.topics().is_empty() {
                // A copy that nobody labelled takes no label away.
                self.n_duplicates += 1;
                earlier.get_mut().split = example.split;
            } else if earlier.get().topics() == example.topics() {
                self.n_duplicates += 1;
                (earlier.get_mut().split, earlier.get_mut().weight) = (example.split, example.weight);
            } else {
                self.n_relabelled += usize::from(!earlier.get().topics().is_empty());
                earlier.insert(example);
            }
        }
        by_content
    }

    /// Leaves out documents without a topic, and all topics of a document but the first by name.
    fn keep_one_topic(&mut self, examples: &mut ByContent) {
        let n_different = examples.len();
        examples.retain(|_, example| !example.topics().is_empty());
        self.n_without_topic += n_different - examples.len();
        let several = examples.values_mut().filter(|example| example.topics().len() > 1);
        self.n_several_topics += several.map(LabeledDocument::keep_first_topic).count();
    }
}

impl DatasetError {
    /// Says that holding out is what has left too few topics, if it is.
    fn of_side(self, training: &ByContent, held_out: &ByContent) -> Self {
        if topics_of(training.values().chain(held_out.values())).is_err() {
            return self;
        }
        let only = match self {
            Self::OneTopic(topic) => Some(topic),
            _ => None,
        };
        let (n_held_out, n_documents) = (held_out.len(), training.len() + held_out.len());
        Self::HeldOutLeavesTooFew { n_held_out, n_documents, only }
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
    use crate::document::DocumentWeight;

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
        let of_kind = |examples: &[LabeledDocument], kind| {
            let options = DatasetOptions { label_kind: Some(kind), ..DatasetOptions::default() };
            Dataset::with_options(examples.to_vec(), options).unwrap()
        };
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

    #[test]
    fn a_document_is_on_one_side_and_held_out_if_a_copy_says_so() {
        let of = |text, topics: &[&str], split| example(text, topics).with_split(split);
        let (training, held_out) = (Some(Split::Training), Some(Split::HeldOut));
        let examples = [
            of("a", &["x"], held_out),
            of("a", &["x"], training),
            of("b", &["x"], None),
            of("b", &[], held_out),
            of("c", &["x"], held_out),
            of("c", &["new", "x"], None),
            of("no topic", &[], held_out),
            of("d", &["x"], training),
            of("e", &["y"], None),
        ];
        for examples in [examples.to_vec(), examples.iter().rev().cloned().collect()] {
            let dataset = Dataset::new(examples).unwrap();
            let texts: Vec<&str> = dataset.documents().iter().map(|document| document.text()).collect();
            let mut held_out: Vec<&str> = dataset.held_out().iter().map(|example| example.document.text()).collect();
            let hashes: Vec<ContentHash> = dataset.held_out().iter().map(|e| e.document.content_hash()).collect();
            assert!(hashes.is_sorted());
            held_out.sort_unstable();
            assert_eq!((texts.len(), &held_out[..]), (2, &["a", "b", "c"][..]), "{texts:?}");
            assert_eq!(dataset.topics().iter().map(Topic::as_str).collect::<Vec<_>>(), ["x", "y"]);
            assert!(dataset.held_out().iter().all(|example| example.topics().len() == 1));
            assert_eq!(dataset.intake().n_without_topic, 1);
        }
    }

    /// What is held out has no say in what kind of labels there are.
    #[test]
    fn training_documents_alone_decide_the_kind_of_labels() {
        let single = (0..20).map(|i| example(&i.to_string(), &[if i % 2 == 0 { "x" } else { "y" }]));
        let several = (20..40).map(|i| example(&i.to_string(), &["x", "y"]).with_split(Some(Split::HeldOut)));
        let dataset = Dataset::new(single.chain(several)).unwrap();
        assert_eq!((dataset.label_kind(), dataset.held_out().len()), (LabelKind::SingleLabel, 20));
    }

    #[test]
    fn holding_out_too_much_is_said_to_be_the_reason() {
        let held_out = |example: LabeledDocument| example.with_split(Some(Split::HeldOut));
        let (x, y) = (example("a", &["x"]), example("b", &["y"]));
        let one = Dataset::new([x.clone(), held_out(y.clone())]).unwrap_err();
        let said = "holding out 1 of 2 documents leaves only the topic \"x\" to train on; hold out fewer, so that documents of \
                    at least two topics are left";
        assert_eq!(one.to_string(), said);
        let none = Dataset::new([held_out(x.clone()), held_out(y)]).unwrap_err();
        assert!(none.to_string().contains("leaves no document with a topic to train on"), "{none}");
        let otherwise = Dataset::new([x.clone(), held_out(example("b", &["x"]))]).unwrap_err();
        assert_eq!(otherwise, DatasetError::OneTopic("x".into()));
    }

    #[test]
    fn the_weight_of_the_last_labelled_copy_counts() {
        let of =
            |text, topics: &[&str], weight| example(text, topics).with_weight(DocumentWeight::new(weight).unwrap());
        let given =
            [of("a", &["x"], 2.0), of("a", &["x"], 0.5), of("a", &[], 9.0), of("b", &["x"], 3.0), of("b", &["y"], 4.0)];
        let mut weights = Dataset::new(given).unwrap().weights();
        weights.sort_by(f32::total_cmp);
        assert_eq!(weights, [0.5, 4.0]);
    }
}
