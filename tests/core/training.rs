//! Training from end to end: the same bytes every time, nothing leaks into out-of-fold scores, no corpus breaks it.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use topicd::artifact;
use topicd::classifier::{Classifier, ClassifyOptions, ClassifyScratch};
use topicd::dataset::issues::IssueKind;
use topicd::dataset::{Dataset, LabelKind};
use topicd::document::LabeledDocument;
use topicd::training::{Findings, Progress, Silent, Stage, TrainError, train};
use topicd::training_config::{ConfigError, TrainingConfig};

use crate::corpus::{dataset, labeled, news_like_corpus, shuffle_labels, with_threads};

fn trained(corpus: &[LabeledDocument], config: &TrainingConfig) -> Classifier {
    train(&dataset(corpus), config, &Silent).unwrap().classifier
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
        assert!(bytes(&corpus, &TrainingConfig { seed: 1, ..config }) != expected, "another seed changes something");
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
    let trained = train(&dataset, &TrainingConfig::default(), &Silent).unwrap();
    let findings = Findings::of(&dataset, &trained.out_of_fold, &topicd::cancellation::never);
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
    let trained = train(&dataset, &TrainingConfig::default(), &Silent).unwrap();
    let findings = Findings::of(&dataset, &trained.out_of_fold, &topicd::cancellation::never);
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
    let classifier = train(&dataset, &TrainingConfig::default(), &Silent).unwrap().classifier;
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
    assert!(matches!(train(&dataset(&corpus), &TrainingConfig::default(), &Silent), Err(TrainError::NoTerms)));
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
        let result = train(&dataset, &TrainingConfig::default(), &progress);
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

    let refused = |config: TrainingConfig| match train(&dataset(&corpus), &config, &Silent) {
        Err(TrainError::Config(error)) => error,
        other => panic!("{other:?}"),
    };
    for c in [0.0, -1.0, 1e5, f32::INFINITY] {
        assert_eq!(refused(TrainingConfig { c: Some(c), ..TrainingConfig::default() }), ConfigError::C(c));
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
