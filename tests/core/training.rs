//! Training from end to end: the same bytes every time, nothing leaks into out-of-fold scores, no corpus breaks it.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use topicd::artifact;
use topicd::classifier::{Classifier, ClassifyOptions, ClassifyScratch};
use topicd::dataset::issues::IssueKind;
use topicd::dataset::{Dataset, DatasetOptions, LabelKind};
use topicd::document::{ContentHash, Document, DocumentWeight, LabeledDocument, Split};
use topicd::evaluation::EvaluationSource;
use topicd::training::{Findings, Progress, Silent, Stage, TrainError, train, train_and_look_through};
use topicd::training_config::{ConfigError, TrainingConfig};

use crate::corpus::{dataset, labeled, news_like_corpus, shuffle_labels, with_threads};

fn trained(corpus: &[LabeledDocument], config: &TrainingConfig) -> Classifier {
    train(&dataset(corpus), config, None, &Silent).unwrap().classifier
}

/// Every topic's documents, with the topics of one in four joined by the next document's.
fn multi_label_corpus(n_documents: usize, n_topics: usize, seed: u64) -> Vec<LabeledDocument> {
    let corpus = news_like_corpus(n_documents, n_topics, seed);
    let joined = |pair: &[LabeledDocument]| {
        let topics = [pair[0].topics(), pair[1].topics()].concat();
        let text = format!("{} {}", pair[0].document.text(), pair[1].document.text());
        LabeledDocument::new(topicd::document::Document::new("", text).unwrap(), topics)
    };
    corpus.windows(2).step_by(4).map(joined).chain(corpus.iter().cloned()).collect()
}

#[test]
fn the_same_documents_give_the_same_bytes_in_any_order_on_any_number_of_threads() {
    for corpus in [news_like_corpus(400, 10, 1), multi_label_corpus(200, 10, 2)] {
        let bytes = |corpus: &[LabeledDocument], config| artifact::encode(&trained(corpus, config));
        let config = TrainingConfig::default();
        let expected = with_threads(1, || bytes(&corpus, &config));
        assert!(with_threads(1, || bytes(&corpus, &config)) == expected, "another time");
        assert!(with_threads(2, || bytes(&corpus, &config)) == expected, "two threads");
        let backward: Vec<LabeledDocument> = corpus.iter().rev().cloned().collect();
        assert!(bytes(&backward, &config) == expected, "another order");
        assert!(
            bytes(&corpus, &TrainingConfig { seed: 1, ..config.clone() }) != expected,
            "another seed changes something"
        );
    }
}

#[test]
fn topics_that_can_be_told_apart_are() {
    let classifier = trained(&news_like_corpus(600, 6, 3), &TrainingConfig::default());
    assert_eq!(classifier.label_kind(), LabelKind::SingleLabel);
    let provenance = classifier.provenance();
    assert_eq!(provenance.n_documents, 600);
    assert!(provenance.evaluation.accuracy > 0.95, "{:?}", provenance.evaluation);
    // What was measured out of fold is what other documents get.
    let others = news_like_corpus(800, 6, 3).split_off(600);
    let mut scratch = ClassifyScratch::default();
    let is_right = |example: &&LabeledDocument| {
        let answer = classifier.classify(&example.document, &ClassifyOptions::default(), &mut scratch);
        classifier.topics()[answer.topics[0].topic] == example.topics()[0] && answer.topics[0].assigned
    };
    let n_right = others.iter().filter(is_right).count();
    assert!(n_right > 190, "{n_right} of 200");
}

#[test]
fn several_topics_a_document_are_told_apart() {
    let classifier = trained(&multi_label_corpus(600, 6, 4), &TrainingConfig::default());
    assert_eq!(classifier.label_kind(), LabelKind::MultiLabel);
    assert!(classifier.provenance().evaluation.micro_f1 > 0.9, "{:?}", classifier.provenance().evaluation);
}

/// Labels that were planted head the ranking, with the documents' own topics suggested. By chance it would be 2 of 50; not
/// all can be found, because models are wrong about some of the other documents.
#[test]
fn planted_mislabels_are_found() {
    let clean = news_like_corpus(1000, 5, 21);
    let is_planted = |i: usize| i.is_multiple_of(20);
    let planted: Vec<LabeledDocument> = (0..1000)
        .map(|i| if is_planted(i) { clean[i + 1].topics().to_vec() } else { clean[i].topics().to_vec() })
        .zip(&clean)
        .map(|(topics, example)| LabeledDocument::new(example.document.clone(), topics))
        .collect();
    let dataset = dataset(&planted);
    let (_, findings) = train_and_look_through(&dataset, &TrainingConfig::default(), None, &Silent).unwrap();
    let true_topic = |document: usize| {
        let text = dataset.documents()[document].text();
        let place = clean.iter().position(|example| example.document.text() == text).unwrap();
        (is_planted(place), clean[place].topics()[0].clone())
    };
    let head = &findings.label_ranking.labels[..50];
    let n_found = head.iter().filter(|label| true_topic(label.document).0).count();
    assert!(n_found >= 40, "{n_found} of 50");
    let is_right = |label: &&topicd::evaluation::UnlikelyLabel| {
        label.suggested_topic.map(|topic| &dataset.topics()[topic as usize]) == Some(&true_topic(label.document).1)
    };
    assert!(head.iter().filter(is_right).count() >= 40);
    let n_suspected = findings.label_ranking.n_suspected;
    assert!((25..75).contains(&n_suspected), "{n_suspected}");
    let issue = findings.issues.iter().find(|issue| issue.kind == IssueKind::SuspectedMislabel).unwrap();
    assert_eq!((issue.n_documents, issue.documents.len()), (n_suspected, 20));
}

/// Of documents with several topics: one taken away from each of some, and one given to each of others.
#[test]
fn missing_and_superfluous_topics_are_found() {
    let clean = multi_label_corpus(1000, 5, 22);
    let dataset = {
        let planted = clean.iter().enumerate().map(|(i, example)| {
            let mut topics = example.topics().to_vec();
            if i % 25 == 0 && topics.len() > 1 {
                topics.pop();
            } else if i % 25 == 0 {
                topics.extend(clean[(i + 2) % clean.len()].topics().iter().cloned());
            }
            LabeledDocument::new(example.document.clone(), topics)
        });
        Dataset::new(planted).unwrap()
    };
    let (_, findings) = train_and_look_through(&dataset, &TrainingConfig::default(), None, &Silent).unwrap();
    let is_planted = |document: usize| {
        let example = clean.iter().find(|example| example.document == *dataset.documents()[document]).unwrap();
        let topics = dataset.targets().of(document).iter().map(|&topic| &dataset.topics()[topic as usize]);
        !topics.eq(example.topics().iter())
    };
    let n_planted = (0..dataset.targets().n_documents()).filter(|&document| is_planted(document)).count();
    let head = &findings.label_ranking.labels[..n_planted];
    let n_found = head.iter().filter(|label| is_planted(label.document)).count();
    assert!(n_found * 10 >= n_planted * 6, "{n_found} of {n_planted}");
    assert!(
        head.iter().any(|label| label.given_topic.is_none()) && head.iter().any(|label| label.given_topic.is_some())
    );
}

fn with_splits(corpus: &[LabeledDocument], is_held_out: impl Fn(usize) -> bool) -> Vec<LabeledDocument> {
    let split = |i| if is_held_out(i) { Split::HeldOut } else { Split::Training };
    corpus.iter().enumerate().map(|(i, example)| example.clone().with_split(Some(split(i)))).collect()
}

/// The held-out documents are measured on, and leave no trace in anything else.
#[test]
fn held_out_documents_are_measured_on_and_not_trained_on() {
    for corpus in [news_like_corpus(400, 5, 31), multi_label_corpus(300, 5, 32)] {
        let marked = with_splits(&corpus, |i| i % 4 == 1);
        let is_held_out = |example: &&LabeledDocument| example.split == Some(Split::HeldOut);
        let (held_out, training): (Vec<_>, Vec<_>) = marked.iter().partition(is_held_out);
        let [mut held_out, training] = [held_out, training].map(|side| side.into_iter().cloned().collect::<Vec<_>>());
        // In the dataset's order, in which sums run.
        held_out.sort_by_key(|example| example.document.content_hash());
        // A share changes nothing for documents that have a split.
        let config = TrainingConfig { held_out_share: 0.3, ..TrainingConfig::default() };
        let of = |examples: Vec<LabeledDocument>| Dataset::with_options(examples, config.dataset_options()).unwrap();
        let whole = train(&of(marked.clone()), &config, None, &Silent).unwrap();
        let alone = train(&of(training.clone()), &config, None, &Silent).unwrap();
        let (provenance, alone_provenance) = (whole.classifier.provenance(), alone.classifier.provenance());
        assert_eq!((provenance.n_documents, provenance.n_held_out), (training.len(), held_out.len()));
        assert_eq!((alone_provenance.n_held_out, alone_provenance.evaluation.source), (0, EvaluationSource::OutOfFold));
        assert_ne!(provenance.dataset_hash, alone_provenance.dataset_hash);

        let mut expected = whole.classifier.evaluate(&held_out);
        for (topic, of_alone) in expected.topics.iter_mut().zip(&alone_provenance.evaluation.topics) {
            topic.threshold = of_alone.threshold;
        }
        assert_eq!(provenance.evaluation, expected);
        assert_eq!((expected.source, expected.n_documents), (EvaluationSource::HeldOut, held_out.len()));
        assert!(expected.micro_f1 > 0.8, "{expected:?}");

        assert_eq!(whole.classifier.abstention(), alone.classifier.abstention());
        assert_eq!(whole.out_of_fold.probabilities, alone.out_of_fold.probabilities);
        let (options, mut scratch) = (ClassifyOptions::default(), ClassifyScratch::default());
        for example in &marked {
            let [a, b] = [&whole, &alone].map(|t| t.classifier.classify(&example.document, &options, &mut scratch));
            assert_eq!(a, b);
        }
        let backward = train(&of(marked.into_iter().rev().collect()), &config, None, &Silent).unwrap();
        assert!(artifact::encode(&backward.classifier) == artifact::encode(&whole.classifier), "another order");
        let read = artifact::decode(artifact::encode(&whole.classifier).into()).unwrap().classifier;
        assert_eq!(read.provenance(), provenance);
    }
}

#[test]
fn a_share_holds_out_about_as_many_documents_and_always_the_same() {
    let corpus = news_like_corpus(2000, 5, 33);
    let held_out = |corpus: &[LabeledDocument], held_out_share| -> Vec<ContentHash> {
        let options = DatasetOptions { held_out_share, ..DatasetOptions::default() };
        let dataset = Dataset::with_options(corpus.iter().cloned(), options).unwrap();
        assert_eq!(dataset.held_out().len() + dataset.documents().len(), corpus.len());
        dataset.held_out().iter().map(|example| example.document.content_hash()).collect()
    };
    let fifth = held_out(&corpus, 0.2);
    assert!((350..450).contains(&fifth.len()), "{}", fifth.len());
    // With half of the documents gone, those that are left are where they were.
    let of_half = held_out(&corpus[..1000], 0.2);
    let hashes: Vec<ContentHash> = corpus[..1000].iter().map(|example| example.document.content_hash()).collect();
    assert_eq!(of_half, fifth.iter().copied().filter(|hash| hashes.contains(hash)).collect::<Vec<_>>());
    let third = held_out(&corpus, 0.35);
    assert!(third.len() > fifth.len() && fifth.iter().all(|hash| third.contains(hash)));
    assert!(held_out(&corpus, 0.0).is_empty());
}

/// A topic that sorts before all others is only among the held-out documents: places in the evaluation are others than in
/// the classifier.
#[test]
fn a_topic_that_only_held_out_documents_have_counts_as_never_right() {
    for label_kind in [LabelKind::SingleLabel, LabelKind::MultiLabel] {
        let mut corpus = with_splits(&news_like_corpus(300, 3, 34), |i| i % 3 == 0 && i > 150);
        let strange = topicd::document::Topic::new("a strange one").unwrap();
        let document = topicd::document::Document::new("", "words that nobody has seen").unwrap();
        corpus.push(LabeledDocument::new(document, vec![strange]).with_split(Some(Split::HeldOut)));
        let config = TrainingConfig { label_kind: Some(label_kind), ..TrainingConfig::default() };
        let dataset = Dataset::with_options(corpus, config.dataset_options()).unwrap();
        let classifier = train(&dataset, &config, None, &Silent).unwrap().classifier;
        assert_eq!((classifier.topics().len(), dataset.held_out().len()), (3, 50));
        let evaluation = &classifier.provenance().evaluation;
        let strange = &evaluation.topics[0];
        assert_eq!((evaluation.topics.len(), &*strange.topic, strange.recall), (4, "a strange one", 0.0));
        assert_eq!(strange.threshold, None);
        for topic in 0..3 {
            let description = classifier.describe(topic, 1);
            assert_eq!(description.n_training_documents, dataset.targets().documents_per_topic()[topic]);
            let of_topic = description.evaluation.unwrap();
            assert_eq!((of_topic.topic, of_topic.threshold), (description.topic, description.threshold));
            let n_confused: usize = description.confusions.iter().map(|confusion| confusion.n_lost_to_it).sum();
            if label_kind == LabelKind::SingleLabel {
                assert_eq!(
                    n_confused,
                    evaluation.confusion_matrix[topic + 1].iter().sum::<usize>()
                        - evaluation.confusion_matrix[topic + 1][topic + 1]
                );
            }
        }
    }
}

/// A held-out document that nearly repeats a training document; pairs on one side alone are no leaks.
#[test]
fn leaks_are_found() {
    let text = |i: usize| (0..30).map(|word| format!("w{i}x{word} ")).collect::<String>() + ["war", "sport"][i % 2];
    let example = |i: usize, id: &str, split| {
        let document = topicd::document::Document::new(id, text(i)).unwrap().with_id(id);
        LabeledDocument::new(document, labeled("", "x", &[i % 2]).topics().to_vec()).with_split(Some(split))
    };
    let mut corpus: Vec<LabeledDocument> = (0..40).map(|i| example(i, "", Split::Training)).collect();
    corpus.extend((40..50).map(|i| example(i, "", Split::HeldOut)));
    corpus.push(example(1, "again", Split::HeldOut));
    corpus.push(example(2, "twice", Split::Training));
    corpus.push(example(41, "beside", Split::HeldOut));
    let dataset = dataset(&corpus);
    let (_, Findings { issues, .. }) =
        train_and_look_through(&dataset, &TrainingConfig::default(), None, &Silent).unwrap();
    let found = |kind| issues.iter().find(|issue| issue.kind == kind).unwrap();
    let leak = found(IssueKind::Leak);
    assert_eq!((leak.n_documents, &*leak.documents[0].name.document_id), (1, "again"));
    let hash = leak.documents[0].other_document.as_ref().map(|other| other.content_hash.clone());
    assert_eq!(hash, Some(corpus[1].document.content_hash().to_string()));
    assert_eq!(found(IssueKind::NearDuplicate).n_documents, 1, "{issues:?}");
}

/// Labels that say nothing are guessed as often as chance has it. Anything of a held-out document that found its way
/// into its own score (in term weights, which depend on labels; in duplicates; in the choice of C) would show here.
#[test]
fn nothing_leaks_between_folds() {
    let text_only = |example: &LabeledDocument| {
        let words: Vec<&str> = example.document.text().split(' ').take(15).collect();
        LabeledDocument::new(topicd::document::Document::new("", words.join(" ")).unwrap(), example.topics().to_vec())
    };
    let corpus: Vec<LabeledDocument> = news_like_corpus(3000, 4, 5).iter().map(text_only).collect();
    let accuracy = trained(&shuffle_labels(corpus, 6), &TrainingConfig::default()).provenance().evaluation.accuracy;
    assert!((accuracy - 0.25).abs() < 0.02, "{accuracy}");
}

/// Trains, and sees to it that all that comes of it are finite numbers, and a model file that can be read.
fn assert_usable(name: &str, corpus: &[LabeledDocument], kind: LabelKind) {
    let dataset = Dataset::new(corpus.iter().cloned()).unwrap();
    assert_eq!(dataset.label_kind(), kind, "{name}");
    let classifier = train(&dataset, &TrainingConfig::default(), None, &Silent).unwrap().classifier;
    let evaluation = &classifier.provenance().evaluation;
    let numbers =
        [evaluation.accuracy, evaluation.micro_f1, evaluation.macro_f1, evaluation.expected_calibration_error];
    assert!(numbers.iter().all(|number| (0.0..=1.0).contains(number)), "{name}: {evaluation:?}");
    assert!(evaluation.log_loss.is_finite() && evaluation.log_loss >= 0.0, "{name}: {evaluation:?}");
    assert_eq!(evaluation.topics.len(), classifier.topics().len(), "{name}");
    let classifier = artifact::decode(artifact::encode(&classifier).into()).unwrap().classifier;
    let mut scratch = ClassifyScratch::default();
    for example in corpus.iter().chain(&[labeled("", "🎉", &[]), labeled("", "never heard", &[])]) {
        let answer = classifier.classify(&example.document, &ClassifyOptions::default(), &mut scratch);
        assert_eq!(answer.topics.len(), classifier.topics().len(), "{name}");
        for score in &answer.topics {
            assert!(score.raw_score.is_finite() && (0.0..=1.0).contains(&score.probability), "{name}: {score:?}");
        }
    }
}

#[test]
fn untidy_corpora_give_usable_classifiers() {
    use LabelKind::{MultiLabel, SingleLabel};
    let corpus = news_like_corpus(240, 4, 7);
    let with = |more: &[LabeledDocument]| [&corpus[..], more].concat();
    let emoji = |count: usize| labeled("", &"🎉 ".repeat(count), &[count % 4]);

    let few = [labeled("", "alone in this", &[8]), labeled("", "one of two", &[9]), labeled("", "two of two", &[9])];
    assert_usable("topics of one and two documents", &with(&few), SingleLabel);
    assert_usable("one document with several topics", &with(&[labeled("", "bacoba zizizi", &[0, 3])]), SingleLabel);
    let emojis: Vec<LabeledDocument> = (1..9).map(emoji).collect();
    assert_usable("documents without words", &with(&emojis), SingleLabel);
    let imbalanced: Vec<LabeledDocument> = news_like_corpus(630, 3, 8)
        .into_iter()
        .enumerate()
        .filter(|(i, _)| i % 3 == 0 || i % 60 == 1)
        .map(|(_, e)| e)
        .collect();
    assert_usable("twenty to one", &imbalanced, SingleLabel);

    let unlabelled = |example: &LabeledDocument| LabeledDocument::new(example.document.clone(), Vec::new());
    let unlabelled: Vec<LabeledDocument> = news_like_corpus(50, 4, 9).iter().map(unlabelled).collect();
    let several = [&multi_label_corpus(200, 4, 10)[..], &unlabelled, &few, &emojis].concat();
    assert_usable("several topics and none", &several, MultiLabel);
    assert_eq!(dataset(&several).targets().n_documents(), several.len(), "documents without topics are learned from");

    assert_usable("two documents", &[labeled("", "war", &[0]), labeled("", "peace", &[1])], SingleLabel);
    assert_usable(
        "two documents, three topics",
        &[labeled("", "war", &[0, 1]), labeled("", "peace", &[2])],
        MultiLabel,
    );
    let all_different: Vec<LabeledDocument> = (0..20).map(|i| labeled("", &format!("word{i} same"), &[i])).collect();
    assert_usable("a topic for each document", &all_different, SingleLabel);
}

#[test]
fn a_corpus_without_words_is_refused() {
    let corpus = [labeled("🎉", "🎉🎉", &[0]), labeled("", "— … —", &[1])];
    assert!(matches!(train(&dataset(&corpus), &TrainingConfig::default(), None, &Silent), Err(TrainError::NoTerms)));
}

/// Asks to stop from a stage's first report on, and writes down what is reported.
struct StopAt {
    stage: Option<Stage>,
    stopped: AtomicBool,
    reports: Mutex<Vec<(Stage, f64)>>,
}

impl Progress for StopAt {
    fn report(&self, stage: Stage, fraction: f64) {
        self.reports.lock().unwrap().push((stage, fraction));
        self.stopped.fetch_or(self.stage == Some(stage), Ordering::SeqCst);
    }

    fn is_cancelled(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

#[test]
fn training_reports_its_stages_in_order_and_can_be_stopped_in_each() {
    let dataset = dataset(&news_like_corpus(60, 2, 11));
    let run = |stage| {
        let progress = StopAt { stage, stopped: AtomicBool::new(false), reports: Mutex::default() };
        let result = train(&dataset, &TrainingConfig::default(), None, &progress);
        (result, progress.reports.into_inner().unwrap())
    };
    let (result, reports) = run(None);
    assert!(result.is_ok());
    assert!(reports.is_sorted_by(|a, b| a < b), "{reports:?}");
    assert!(reports.iter().all(|(_, fraction)| (0.0..=1.0).contains(fraction)));
    assert_eq!(reports.last(), Some(&(Stage::FinalFit, 1.0)));

    for stage in [Stage::CountingTerms, Stage::CrossValidation, Stage::Calibration, Stage::FinalFit] {
        assert!(reports.iter().any(|report| report.0 == stage), "{stage:?} isn't reported");
        let (result, reports) = run(Some(stage));
        assert!(matches!(result, Err(TrainError::Cancelled)), "{stage:?}");
        let n_later = reports.iter().filter(|report| report.0 > stage).count();
        assert!(n_later <= 1, "stopped in {stage:?}, yet it went on: {reports:?}");
    }
}

/// Also while near duplicates are looked for, and where the training comes to nothing.
#[test]
fn looking_through_ends_with_its_training() {
    let corpus = dataset(&news_like_corpus(120, 2, 11));
    for stage in [Stage::CountingTerms, Stage::CrossValidation, Stage::Calibration, Stage::FinalFit] {
        let progress = StopAt { stage: Some(stage), stopped: AtomicBool::new(false), reports: Mutex::default() };
        let result = train_and_look_through(&corpus, &TrainingConfig::default(), None, &progress);
        assert!(matches!(result, Err(TrainError::Cancelled)), "{stage:?}");
    }
    let wordless = dataset(&[labeled("🎉", "🎉🎉", &[0]), labeled("", "— … —", &[1])]);
    let result = train_and_look_through(&wordless, &TrainingConfig::default(), None, &Silent);
    assert!(matches!(result, Err(TrainError::NoTerms)));
}

#[test]
fn settings_are_kept_to() {
    let corpus = news_like_corpus(120, 3, 12);
    let n_terms = trained(&corpus, &TrainingConfig::default()).n_terms();
    for max_features in [1, 2, 100, n_terms - 1, n_terms, n_terms + 1] {
        let config = TrainingConfig { max_features: NonZeroUsize::new(max_features), ..TrainingConfig::default() };
        let classifier = trained(&corpus, &config);
        assert_eq!(classifier.n_terms(), max_features.min(n_terms));
        assert_eq!(classifier.provenance().config, config);
    }
    // The larger C, the larger the scores: the model itself is fitted with it, and the scores that measure it.
    let mut last = 0.0;
    for c in [0.003, 0.1, 7.0] {
        let classifier = trained(&corpus, &TrainingConfig { c: Some(c), ..TrainingConfig::default() });
        assert_eq!(classifier.provenance().c, c);
        let answer =
            classifier.classify(&corpus[0].document, &ClassifyOptions::default(), &mut ClassifyScratch::default());
        let raw_scores = answer.topics.iter().map(|score| score.raw_score);
        let spread = raw_scores.clone().fold(f64::MIN, f64::max) - raw_scores.fold(f64::MAX, f64::min);
        assert!(spread > 1.5 * last, "{spread} after {last}");
        last = spread;
    }

    let refused = |config: TrainingConfig| match train(&dataset(&corpus), &config, None, &Silent) {
        Err(TrainError::Config(error)) => error,
        other => panic!("{other:?}"),
    };
    for c in [0.0, -1.0, 1e5, f32::INFINITY] {
        assert_eq!(refused(TrainingConfig { c: Some(c), ..TrainingConfig::default() }), ConfigError::C(c));
    }
    for held_out_share in [-0.1, 0.51, f64::INFINITY] {
        let config = TrainingConfig { held_out_share, ..TrainingConfig::default() };
        assert_eq!(refused(config), ConfigError::HeldOutShare(held_out_share));
    }
    let config = TrainingConfig { c: Some(f32::NAN), ..TrainingConfig::default() };
    assert!(matches!(refused(config), ConfigError::C(c) if c.is_nan()));
}

/// Chi² keeps the words of topics, not the most frequent ones.
#[test]
fn the_terms_kept_are_those_that_tell_topics_apart() {
    let config = TrainingConfig { max_features: NonZeroUsize::new(60), ..TrainingConfig::default() };
    let classifier = trained(&news_like_corpus(300, 2, 13), &config);
    assert!(classifier.provenance().evaluation.accuracy > 0.95, "{:?}", classifier.provenance().evaluation);
}

/// Of two topics that share their words, the one whose documents weigh more gets the document that could be of either.
#[test]
fn documents_that_weigh_more_count_more_and_are_told_apart_by_the_hash() {
    let corpus = news_like_corpus(200, 2, 21);
    let weighted = |of_first: f32| -> Vec<LabeledDocument> {
        let weight = |example: &LabeledDocument| {
            let is_first = example.topics()[0].as_str() == "topic 00";
            example.clone().with_weight(DocumentWeight::new(if is_first { of_first } else { 1.0 }).unwrap())
        };
        corpus.iter().map(weight).collect()
    };
    let config = TrainingConfig { c: Some(0.5), ..TrainingConfig::default() };
    let either = Document::new("", "word of neither").unwrap();
    let lead = |of_first: f32| {
        let classifier = trained(&weighted(of_first), &config);
        let mut topics =
            classifier.classify(&either, &ClassifyOptions::default(), &mut ClassifyScratch::default()).topics;
        topics.sort_by_key(|score| score.topic);
        (topics[0].raw_score - topics[1].raw_score, classifier.provenance().dataset_hash.clone())
    };
    let [(heavy, heavy_hash), (same, same_hash), (light, _)] = [10.0, 1.0, 0.1].map(lead);
    assert!(heavy > same + 0.05 && same > light + 0.05, "{heavy} {same} {light}");
    assert_ne!(heavy_hash, same_hash);
    assert_eq!(same_hash, trained(&corpus, &config).provenance().dataset_hash);
}
