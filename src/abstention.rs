//! When a document's answer is nothing to go by, so that no topic is assigned; learned from out-of-fold predictions.

use std::collections::BTreeMap;

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::decision::Probability;
use crate::document::Document;
use crate::features::DocumentStats;
use crate::targets::Targets;
use crate::text::language::detect_language;

/// Documents below which thresholds would be those of chance: nothing is abstained from for a low probability then.
const MIN_DOCUMENTS: usize = 50;
/// Margins that are tried together with each least probability.
const MARGINS: [f64; 8] = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5];
/// Where the wanted accuracy is out of reach, the thresholds are those that come nearest to it on at least this share of
/// the documents.
const MIN_COVERAGE: f64 = 0.05;
/// The share of the training documents that are less familiar than is usual, out of fold.
const UNUSUAL_SHARE: f64 = 0.005;
/// Documents whose languages are looked at; they are spread over the whole dataset, being the first by content hash.
const MAX_LANGUAGE_DOCUMENTS: usize = 1000;
/// A language is known when it is that of this share of them.
const MIN_LANGUAGE_SHARE: f64 = 0.01;

/// Of a document in a language whose words a model knows from a table, those that are known are at least this share of what is usual
/// (docs/decisions.md, "A language is known by its words").
const MIN_LANGUAGE_FIT: f64 = 0.65;
/// With a smaller share of known tokens, it is asked in which language these are.
const CERTAINLY_KNOWN_SHARE: f64 = 0.9;

/// Whether topics were assigned to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The topics marked as assigned are the answer.
    Assigned,
    /// No topic is assigned.
    Abstained(AbstainReason),
}

/// Why no topic was assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbstainReason {
    /// No topic is probable enough.
    LowProbability,
    /// The most probable topic is hardly more probable than the second one.
    SmallMargin,
    /// The vocabulary has none of the document's terms, or far fewer of its tokens than is usual.
    FewKnownTokens,
    /// The document has no tokens: white space, punctuation or emoji only.
    NoTokens,
    /// The document is in a language that none of the training documents was in.
    OtherLanguage,
}

/// What a caller wants other than training found.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AbstentionOptions {
    /// Instead of [`Abstention::min_probability`].
    pub abstain_below: Option<Probability>,
    /// Instead of [`Abstention::min_margin`].
    pub min_margin: Option<Probability>,
}

/// What a document has to have so that topics are assigned to it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Abstention {
    /// The most probable topic's least probability, from 0 to 1.
    pub min_probability: f64,
    /// The least difference between the probabilities of the two most probable topics, from 0 to 1.
    pub min_margin: f64,
    /// The share of a document's tokens that the vocabulary usually knows at least: all but 0.5 % of the training
    /// documents had more, as seen by models that never saw them. From 0 to 1.
    pub usual_known_share: f64,
    /// The languages of the training documents, as ISO 639-3 codes; empty when they can't be told.
    pub languages: Vec<String>,
}

impl Abstention {
    /// Thresholds under which, out of fold, topics are assigned to as many documents as possible while the most
    /// probable topic is right for at least `selective_accuracy` (0 to 1) of these: the selective classification of
    /// El-Yaniv & Wiener (JMLR 2010), with the pair of least probability and least margin of the largest coverage.
    #[must_use]
    pub fn with_thresholds(mut self, predictions: &Array2<f64>, targets: &Targets, selective_accuracy: f64) -> Self {
        let answers: Vec<Answer> = predictions
            .rows()
            .into_iter()
            .enumerate()
            .map(|(document, row)| Answer::of(row.iter().copied(), |topic| targets.has(document, topic)))
            .collect();
        if answers.len() >= MIN_DOCUMENTS && selective_accuracy > 0.0 {
            (self.min_probability, self.min_margin) = fit_thresholds(&answers, selective_accuracy);
        }
        self
    }

    /// What is usual: how many of a document's tokens are known (for each document its share, out of fold), and which
    /// languages the documents are in.
    #[must_use]
    pub fn with_usual(mut self, known_shares: &[f64], languages: Vec<String>) -> Self {
        let mut shares = known_shares.to_vec();
        shares.sort_by(f64::total_cmp);
        self.usual_known_share = shares.get((shares.len() as f64 * UNUSUAL_SHARE) as usize).copied().unwrap_or(0.0);
        self.languages = languages;
        self
    }

    /// Whether a model that knows words of several languages should look in which of them a document's words are.
    pub fn asks_for_language(&self, stats: DocumentStats) -> bool {
        (stats.n_known_tokens as f64) < self.usual_known_share.max(CERTAINLY_KNOWN_SHARE) * stats.n_tokens as f64
    }

    /// Whether topics are assigned; `best` and `second` are the probabilities of the two most probable topics. `language_fit`: of the
    /// language in which most of the document's tokens are known, their share against what is usual there; only if the model
    /// knows words of several languages and [`Self::asks_for_language`].
    pub fn decide(
        &self,
        document: &Document,
        stats: DocumentStats,
        has_known_terms: bool,
        (best, second): (f64, f64),
        language_fit: Option<f64>,
        options: &AbstentionOptions,
    ) -> Decision {
        let min_probability = options.abstain_below.map_or(self.min_probability, Probability::get);
        let min_margin = options.min_margin.map_or(self.min_margin, Probability::get);
        let known_share = stats.n_known_tokens as f64 / stats.n_tokens.max(1) as f64;
        let (is_unusual, has_few_known) = match language_fit {
            Some(fit) => (fit < MIN_LANGUAGE_FIT, fit < MIN_LANGUAGE_FIT),
            None => (known_share < self.usual_known_share, known_share < 0.5 * self.usual_known_share),
        };
        if stats.n_tokens == 0 {
            Decision::Abstained(AbstainReason::NoTokens)
        } else if (is_unusual || !has_known_terms) && self.is_in_other_language(document) {
            Decision::Abstained(AbstainReason::OtherLanguage)
        } else if has_few_known || !has_known_terms {
            Decision::Abstained(AbstainReason::FewKnownTokens)
        } else if best < min_probability {
            Decision::Abstained(AbstainReason::LowProbability)
        } else if best - second < min_margin {
            Decision::Abstained(AbstainReason::SmallMargin)
        } else {
            Decision::Assigned
        }
    }

    fn is_in_other_language(&self, document: &Document) -> bool {
        let is_known = |language: &str| self.languages.iter().any(|known| known == language);
        !self.languages.is_empty() && detect_language(document).is_some_and(|language| !is_known(language))
    }

    /// Whether all its numbers are usable.
    pub(crate) fn is_valid(&self) -> bool {
        [self.min_probability, self.min_margin, self.usual_known_share].iter().all(|share| (0.0..=1.0).contains(share))
    }
}

/// What there is to say of one document's probabilities.
struct Answer {
    best: f64,
    margin: f64,
    is_right: bool,
}

impl Answer {
    fn of(probabilities: impl Iterator<Item = f64>, is_label: impl Fn(usize) -> bool) -> Self {
        let (mut best, mut second, mut topic) = (0.0, 0.0, 0);
        for (place, probability) in probabilities.enumerate() {
            if probability > best {
                (best, second, topic) = (probability, best, place);
            } else if probability > second {
                second = probability;
            }
        }
        Self { best, margin: best - second, is_right: is_label(topic) }
    }
}

/// The least probability and the least margin with which most answers are given, of those that are right often enough.
fn fit_thresholds(answers: &[Answer], selective_accuracy: f64) -> (f64, f64) {
    let min_answers = ((answers.len() as f64 * MIN_COVERAGE) as usize).max(1);
    // By accuracy up to what is wanted, then by the number of answers.
    let mut best = (0.0, 0, (0.0, 0.0));
    for margin in MARGINS {
        let mut given: Vec<&Answer> = answers.iter().filter(|answer| answer.margin >= margin).collect();
        given.sort_by(|a, b| b.best.total_cmp(&a.best));
        let mut n_right = 0;
        for (place, answer) in given.iter().enumerate() {
            n_right += usize::from(answer.is_right);
            let n_answers = place + 1;
            let is_edge = given.get(n_answers).is_none_or(|next| next.best < answer.best);
            if n_answers < min_answers || !is_edge {
                continue;
            }
            let accuracy = (n_right as f64 / n_answers as f64).min(selective_accuracy);
            if (accuracy, n_answers) > (best.0, best.1) {
                let is_all = n_answers == given.len();
                best = (accuracy, n_answers, (if is_all { 0.0 } else { answer.best }, margin));
            }
        }
    }
    best.2
}

/// The languages of documents, as ISO 639-3 codes; the same for the same documents.
pub(crate) fn languages_of(documents: &[&Document]) -> Vec<String> {
    let looked_at = &documents[..documents.len().min(MAX_LANGUAGE_DOCUMENTS)];
    let detected: Vec<Option<&str>> = looked_at.par_iter().map(|document| detect_language(document)).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    detected.into_iter().flatten().for_each(|language| *counts.entry(language).or_default() += 1);
    let is_known = |n: usize| n as f64 >= MIN_LANGUAGE_SHARE * looked_at.len() as f64;
    counts.into_iter().filter(|(_, n)| is_known(*n)).map(|(language, _)| language.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(best: f64, margin: f64, is_right: bool) -> Answer {
        Answer { best, margin, is_right }
    }

    #[test]
    fn an_answer_is_the_most_probable_topic_and_its_lead() {
        let answer = Answer::of([0.1, 0.2, 0.5, 0.2].into_iter(), |topic| topic == 2);
        assert!((answer.best, answer.is_right) == (0.5, true) && (answer.margin - 0.3).abs() < 1e-12);
        assert!(!Answer::of([0.5, 0.5].into_iter(), |topic| topic == 1).is_right);
    }

    #[test]
    fn thresholds_leave_out_as_little_as_the_wanted_accuracy_allows() {
        let mut answers: Vec<Answer> = (0..80).map(|_| answer(0.9, 0.85, true)).collect();
        answers.extend((0..20).map(|i| answer(0.6, 0.4, i % 2 == 0)));
        answers.extend((0..20).map(|i| answer(0.4, 0.1, i % 4 == 0)));
        // All 120: 95 right (0.79). The first 100: 0.9. The first 80: 1.
        assert_eq!(fit_thresholds(&answers, 0.7), (0.0, 0.0));
        assert_eq!(fit_thresholds(&answers, 0.9), (0.6, 0.0));
        assert_eq!(fit_thresholds(&answers, 0.95), (0.9, 0.0));
    }

    /// Close races are wrong, however probable: leaving them out keeps more than a higher least probability does.
    #[test]
    fn a_least_margin_is_taken_where_it_keeps_more() {
        let mut answers: Vec<Answer> = (0..90).map(|i| answer(0.5 + 0.001 * f64::from(i), 0.3, true)).collect();
        answers.extend((0..30).map(|i| answer(0.5 + 0.001 * f64::from(i), 0.02, false)));
        assert_eq!(fit_thresholds(&answers, 0.95), (0.0, 0.05));
    }

    #[test]
    fn what_is_out_of_reach_is_approached() {
        let is_right = |i: i32| i != 79 && (i % 2 == 0 || (i > 60 && i % 5 != 0));
        let answers: Vec<Answer> = (0..80).map(|i| answer(0.01 * f64::from(i), 0.0, is_right(i))).collect();
        // Of the 14 from 0.66 on 12 are right; of those from anywhere else a smaller share.
        assert_eq!(fit_thresholds(&answers, 0.99), (0.66, 0.0));
    }

    #[test]
    fn few_documents_say_nothing_about_thresholds() {
        let (predictions, targets) = (Array2::from_elem((49, 2), 0.5), Targets::new(2, [[1]; 49]));
        let fitted = Abstention::default().with_thresholds(&predictions, &targets, 0.9);
        assert_eq!(fitted, Abstention::default());
    }
}
