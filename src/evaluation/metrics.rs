//! The metrics, each by its usual definition (as scikit-learn's, which the tests compare with).

use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use crate::document::Topic;
use crate::targets::Targets;

/// Bins of the expected calibration error.
const CALIBRATION_BINS: usize = 15;
/// Points of the coverage curve.
const COVERAGE_POINTS: usize = 20;
/// The least probability that log loss counts, so that one impossible answer doesn't make it infinite.
const MIN_PROBABILITY: f64 = 1e-15;

/// What a classifier said about some documents.
#[derive(Debug, Clone)]
pub struct Predictions {
    /// Documents × topics.
    pub probabilities: Array2<f64>,
    /// The topics assigned to each document.
    pub assigned: Targets,
}

/// Whose predictions are measured, and of which documents. Nobody is asked about documents that he learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationSource {
    /// Of each training document, by a model of the cross-validation that never saw it.
    #[default]
    OutOfFold,
    /// The classifier's own, of documents that were kept from its training.
    HeldOut,
}

impl EvaluationSource {
    // Models that are evaluated out of fold have the bytes that they had before there was anything else.
    fn is_out_of_fold(&self) -> bool {
        *self == Self::OutOfFold
    }
}

/// How good predictions are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Whose predictions, and of which documents.
    #[serde(default, skip_serializing_if = "EvaluationSource::is_out_of_fold")]
    pub source: EvaluationSource,
    /// Documents with labels that were predicted.
    pub n_documents: usize,
    /// The share of documents whose assigned topics are exactly their labels; of documents with one topic each, the
    /// share with the right one.
    pub accuracy: f64,
    /// The harmonic mean of precision and recall over all (document, topic) pairs.
    pub micro_f1: f64,
    /// The mean of the topics' F1, over topics that are labels or were assigned.
    pub macro_f1: f64,
    /// One topic a document: the mean of -ln p(label). Several: the mean over documents of the summed binary losses.
    pub log_loss: f64,
    /// How far probabilities are from the shares that come true, over 15 equal-width bins (Naeini, Cooper & Hauskrecht
    /// 2015): one topic a document: of the most probable topic; several: of all (document, topic) pairs.
    pub expected_calibration_error: f64,
    /// Each topic, sorted: the classifier's, and, of documents that it wasn't trained on, those of their labels that it doesn't
    /// have.
    pub topics: Vec<TopicEvaluation>,
    /// The 15 bins of the calibration error, by rising probability.
    #[serde(default)]
    pub reliability: Vec<ReliabilityBin>,
    /// What accuracy would be if only the documents with the most probable answers were answered: a point for each
    /// twentieth of the documents, by rising coverage.
    #[serde(default)]
    pub coverage: Vec<CoveragePoint>,
    /// One topic a document: for each label (row), how many documents were assigned each topic (column). Several: empty.
    pub confusion_matrix: Vec<Vec<usize>>,
}

/// How good predictions are for one topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopicEvaluation {
    /// The topic's name.
    pub topic: String,
    /// Of the documents that were assigned the topic, the share that has it; 0 when none was.
    pub precision: f64,
    /// Of the documents that have the topic, the share that was assigned it; 0 when none has it.
    pub recall: f64,
    /// The harmonic mean of the two.
    pub f1: f64,
    /// Documents that have the topic.
    pub n_documents: usize,
    /// Documents that were assigned the topic.
    pub n_assigned: usize,
    /// The raw score that assigns it; `None` where the most probable topic is assigned.
    #[serde(default)]
    pub threshold: Option<f64>,
}

/// Probabilities of about the same size, and what came true of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// How many there are: of the most probable topics of documents, or of (document, topic) pairs.
    pub n: usize,
    /// Their mean; 0 when there is none.
    pub mean_probability: f64,
    /// The share that came true; 0 when there is none.
    pub share_true: f64,
}

/// What happens when only documents with an answer at least so probable are answered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CoveragePoint {
    /// The share of documents that are answered, above 0 to 1.
    pub coverage: f64,
    /// The least probability of the most probable topic among them.
    pub min_probability: f64,
    /// The share of them whose most probable topic is one of their labels.
    pub accuracy: f64,
}

impl Evaluation {
    /// Compares out-of-fold predictions with labels; both number topics as `topics` does. With `single_label`, each document has one
    /// assigned topic, and its first label counts.
    pub fn of(predictions: &Predictions, labels: &Targets, topics: &[Topic], single_label: bool) -> Self {
        let first_label = |document| &labels.of(document)[..labels.of(document).len().min(1)];
        let labels = &if single_label {
            Targets::new(labels.n_topics(), (0..labels.n_documents()).map(first_label))
        } else {
            labels.clone()
        };
        let assigned = &predictions.assigned;
        let topics = evaluate_topics(assigned, labels, topics);
        let (micro_f1, macro_f1) = average_f1(&topics);
        let (log_loss, bins) = if single_label {
            single_label_losses(&predictions.probabilities, labels)
        } else {
            multi_label_losses(&predictions.probabilities, labels)
        };
        Self {
            source: EvaluationSource::OutOfFold,
            n_documents: labels.n_documents(),
            accuracy: accuracy(assigned, labels),
            micro_f1,
            macro_f1,
            log_loss,
            expected_calibration_error: bins.expected_error(),
            reliability: bins.to_reliability(),
            coverage: coverage(&predictions.probabilities, labels),
            confusion_matrix: if single_label { confusion_matrix(assigned, labels) } else { Vec::new() },
            topics,
        }
    }

    /// Whether it can be of at most so many documents: what a file says is no reason for sums of counts to overflow later.
    pub(crate) fn is_valid(&self, max_documents: usize) -> bool {
        let n_in_matrix = self.confusion_matrix.iter().flatten().try_fold(0usize, |sum, &n| sum.checked_add(n));
        self.n_documents <= max_documents
            && n_in_matrix.is_some_and(|n| n <= self.n_documents)
            && self.topics.iter().all(|topic| topic.n_documents.max(topic.n_assigned) <= self.n_documents)
    }
}

/// The mean of the F1 of some topics (sorted numbers), over those that are labels or were assigned.
pub fn macro_f1(assigned: &Targets, labels: &Targets, topics: &[u32]) -> f64 {
    let n_hits = hits_per_topic(assigned, labels);
    let counts = labels.documents_per_topic().into_iter().zip(assigned.documents_per_topic());
    let f1 = |(n_hits, (n_documents, n_assigned)): (usize, (usize, usize))| {
        (n_documents + n_assigned > 0).then(|| ratio(2.0 * n_hits as f64, n_documents + n_assigned))
    };
    let all = n_hits.into_iter().zip(counts).enumerate();
    let counted = all.filter(|(topic, _)| topics.binary_search(&(*topic as u32)).is_ok());
    let seen: Vec<f64> = counted.filter_map(|(_, topic)| f1(topic)).collect();
    ratio(seen.iter().sum(), seen.len())
}

/// The share of documents that were assigned exactly their labels.
pub(super) fn accuracy(assigned: &Targets, labels: &Targets) -> f64 {
    let n_documents = labels.n_documents();
    let n_right = (0..n_documents).filter(|&document| assigned.of(document) == labels.of(document)).count();
    ratio(n_right as f64, n_documents)
}

/// Micro-F1 and macro-F1 of topics, over those that are labels or were assigned.
pub(super) fn average_f1(topics: &[TopicEvaluation]) -> (f64, f64) {
    let seen = || topics.iter().filter(|topic| topic.n_documents + topic.n_assigned > 0);
    let (hits, all): (f64, usize) = seen()
        .map(|topic| (topic.recall * topic.n_documents as f64, topic.n_documents + topic.n_assigned))
        .fold((0.0, 0), |(hits, all), (h, a)| (hits + h, all + a));
    (ratio(2.0 * hits, all), ratio(seen().map(|topic| topic.f1).sum(), seen().count()))
}

fn ratio(sum: f64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// For each topic, the documents that have it and were assigned it.
fn hits_per_topic(assigned: &Targets, labels: &Targets) -> Vec<usize> {
    let mut n_hits = vec![0; labels.n_topics()];
    for document in 0..labels.n_documents() {
        let hits = labels.of(document).iter().filter(|topic| assigned.of(document).contains(topic));
        hits.for_each(|&topic| n_hits[topic as usize] += 1);
    }
    n_hits
}

/// How good predictions are for each topic.
pub(super) fn evaluate_topics(assigned: &Targets, labels: &Targets, topics: &[Topic]) -> Vec<TopicEvaluation> {
    let n_hits = hits_per_topic(assigned, labels);
    let counts = labels.documents_per_topic().into_iter().zip(assigned.documents_per_topic());
    topics
        .iter()
        .zip(n_hits)
        .zip(counts)
        .map(|((topic, n_hits), (n_documents, n_assigned))| TopicEvaluation {
            topic: topic.to_string(),
            precision: ratio(n_hits as f64, n_assigned),
            recall: ratio(n_hits as f64, n_documents),
            f1: ratio(2.0 * n_hits as f64, n_documents + n_assigned),
            n_documents,
            n_assigned,
            threshold: None,
        })
        .collect()
}

fn confusion_matrix(assigned: &Targets, labels: &Targets) -> Vec<Vec<usize>> {
    let mut matrix = vec![vec![0; labels.n_topics()]; labels.n_topics()];
    for document in 0..labels.n_documents() {
        if let (Some(&label), Some(&topic)) = (labels.of(document).first(), assigned.of(document).first()) {
            matrix[label as usize][topic as usize] += 1;
        }
    }
    matrix
}

fn single_label_losses(probabilities: &Array2<f64>, labels: &Targets) -> (f64, CalibrationBins) {
    let (mut loss, mut bins) = (0.0, CalibrationBins::default());
    for (document, row) in probabilities.rows().into_iter().enumerate() {
        let label = labels.of(document).first().map(|&topic| topic as usize);
        loss -= label.map_or(0.0, |label| row[label]).max(MIN_PROBABILITY).ln();
        let best = most_probable(row);
        bins.add(best.1, label == Some(best.0));
    }
    (ratio(loss, labels.n_documents()), bins)
}

fn multi_label_losses(probabilities: &Array2<f64>, labels: &Targets) -> (f64, CalibrationBins) {
    let (mut loss, mut bins) = (0.0, CalibrationBins::default());
    for ((document, topic), &p) in probabilities.indexed_iter() {
        let has = labels.has(document, topic);
        loss -= if has { p } else { 1.0 - p }.max(MIN_PROBABILITY).ln();
        bins.add(p, has);
    }
    (ratio(loss, labels.n_documents()), bins)
}

fn most_probable(row: ArrayView1<'_, f64>) -> (usize, f64) {
    row.iter().enumerate().fold((0, 0.0), |best, (topic, &p)| if p > best.1 { (topic, p) } else { best })
}

fn coverage(probabilities: &Array2<f64>, labels: &Targets) -> Vec<CoveragePoint> {
    let answer = |(document, row): (usize, ArrayView1<'_, f64>)| {
        let (topic, probability) = most_probable(row);
        (probability, labels.has(document, topic))
    };
    let mut answers: Vec<(f64, bool)> = probabilities.rows().into_iter().enumerate().map(answer).collect();
    answers.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut points: Vec<CoveragePoint> = Vec::with_capacity(COVERAGE_POINTS);
    let (mut n_answered, mut n_right) = (0, 0);
    for step in 1..=COVERAGE_POINTS {
        let n_wanted = (answers.len() * step).div_ceil(COVERAGE_POINTS);
        // Documents of the same probability are answered together or not at all.
        while let Some(&(probability, is_right)) = answers.get(n_answered)
            && (n_answered < n_wanted || probability == answers[n_answered - 1].0)
        {
            (n_answered, n_right) = (n_answered + 1, n_right + usize::from(is_right));
        }
        let Some(&(min_probability, _)) = n_answered.checked_sub(1).and_then(|last| answers.get(last)) else { break };
        let coverage = ratio(n_answered as f64, answers.len());
        if points.last().is_none_or(|last| last.coverage < coverage) {
            points.push(CoveragePoint { coverage, min_probability, accuracy: ratio(n_right as f64, n_answered) });
        }
    }
    points
}

/// Probabilities and what came true, by bin.
#[derive(Default)]
struct CalibrationBins {
    bins: [(f64, usize, usize); CALIBRATION_BINS],
}

impl CalibrationBins {
    /// A bin holds its lower edge; the last one holds 1 too.
    fn add(&mut self, probability: f64, came_true: bool) {
        let bin = (probability * CALIBRATION_BINS as f64) as usize;
        let (sum, n_true, n) = &mut self.bins[bin.min(CALIBRATION_BINS - 1)];
        *sum += probability;
        *n_true += usize::from(came_true);
        *n += 1;
    }

    fn expected_error(&self) -> f64 {
        let n = self.bins.iter().map(|bin| bin.2).sum();
        ratio(self.bins.iter().map(|(sum, n_true, _)| (sum - *n_true as f64).abs()).sum(), n)
    }

    fn to_reliability(&self) -> Vec<ReliabilityBin> {
        let bin = |&(sum, n_true, n): &(f64, usize, usize)| ReliabilityBin {
            n,
            mean_probability: ratio(sum, n),
            share_true: ratio(n_true as f64, n),
        };
        self.bins.iter().map(bin).collect()
    }
}
