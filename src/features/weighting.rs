//! The weight of each term, from the labelled documents of a training set or of a part of it.
//!
//! weight = idf · block · s, where
//! - idf = ln((1 + n) / (1 + df)) + 1, smoothed as in scikit-learn's `TfidfTransformer`;
//! - block is 1 for unigrams, ½ for bigrams and character n-grams;
//! - s is the supervised weight: the largest over topics of √|ln(((p + 1) / (P + 1)) / ((q + 1) / (N + 1)))|, with p and
//!   q the documents of the topic and of the others that hold the term, P and N all documents of the topic and all
//!   others. It is the log-count ratio of NB-SVM (Wang & Manning 2012), made one weight a term, so that it folds into
//!   idf and costs nothing when answering.
//!
//! A term that the part doesn't hold (a bigram: in fewer than two documents, a character n-gram: in fewer than three) has the weight 0: it is no feature there.

use rayon::prelude::*;

use super::counts::{Postings, TermCounts, TermKind};
use super::vectorizer::WEIGHT_RANGE;
use crate::targets::Targets;

/// What terms of a kind weigh against unigrams.
fn block_weight(kind: TermKind) -> f64 {
    match kind {
        TermKind::Unigram => 1.0,
        TermKind::Bigram | TermKind::CharacterNgram => 0.5,
    }
}

/// The weights of all terms of `counts`, from the documents of `subset` (numbers, in any order) and their topics.
/// With `max_features`, only the terms that tell topics apart best (by chi², ties to the lower number) have one.
pub fn weigh_terms(
    counts: &TermCounts,
    postings: &Postings,
    targets: &Targets,
    subset: &[u32],
    max_features: Option<usize>,
) -> Vec<f32> {
    let statistics = SubsetStatistics::of(targets, subset);
    let term = |holders: &mut Vec<f64>, feature: usize| {
        let n_holders = statistics.count_holders(targets, postings.of(feature), holders);
        let kind = counts.kind(feature as u32);
        if n_holders < kind.min_documents() {
            return (0.0, 0.0);
        }
        let idf = ((1.0 + statistics.n_documents) / (1.0 + n_holders as f64)).ln() + 1.0;
        let weight = idf * block_weight(kind) * statistics.supervised_weight(holders, n_holders);
        // A term that is spread over all topics alike weighs nothing, but for rounding.
        let weight = if (weight as f32) < *WEIGHT_RANGE.start() { 0.0 } else { weight as f32 };
        (weight, if max_features.is_some() { statistics.chi_squared(holders, n_holders) } else { 0.0 })
    };
    let features = (0..counts.n_features()).into_par_iter().with_min_len(4096);
    let terms: Vec<(f32, f64)> = features.map_init(Vec::new, term).collect();
    let mut weights: Vec<f32> = terms.iter().map(|&(weight, _)| weight).collect();
    if let Some(max_features) = max_features {
        let mut order: Vec<usize> = (0..terms.len()).filter(|&feature| weights[feature] > 0.0).collect();
        order.sort_by(|&a, &b| terms[b].1.total_cmp(&terms[a].1).then(a.cmp(&b)));
        order.iter().skip(max_features).for_each(|&feature| weights[feature] = 0.0);
    }
    weights
}

/// What a word weighs that no document of `subset` holds, but that is known otherwise ([`crate::words`]): as much as one that a single document
/// holds, in the mean over the documents.
pub(crate) fn weight_of_unseen_word(targets: &Targets, subset: &[u32]) -> f32 {
    let statistics = SubsetStatistics::of(targets, subset);
    let idf = ((1.0 + statistics.n_documents) / 2.0).ln() + 1.0;
    let mut holders = vec![0.0; statistics.topic_documents.len()];
    let (mut sum, mut n_labels) = (0.0, 0.0);
    for (topic, &n_documents) in statistics.topic_documents.iter().enumerate() {
        holders[topic] = 1.0;
        sum += n_documents * statistics.supervised_weight(&holders, 1);
        n_labels += n_documents;
        holders[topic] = 0.0;
    }
    let weight = if n_labels > 0.0 { idf * sum / n_labels } else { idf };
    (weight as f32).clamp(*WEIGHT_RANGE.start(), *WEIGHT_RANGE.end())
}

/// How many documents the subset has, in all and by topic, and which they are.
struct SubsetStatistics {
    n_documents: f64,
    topic_documents: Vec<f64>,
    is_member: Vec<bool>,
}

impl SubsetStatistics {
    fn of(targets: &Targets, subset: &[u32]) -> Self {
        let mut is_member = vec![false; targets.n_documents()];
        subset.iter().for_each(|&document| is_member[document as usize] = true);
        let topic_documents = targets.select(subset).documents_per_topic().into_iter().map(|n| n as f64).collect();
        Self { n_documents: subset.len() as f64, topic_documents, is_member }
    }

    /// How many of the subset's documents are among those given; by topic into `holders`.
    fn count_holders(&self, targets: &Targets, documents: &[u32], holders: &mut Vec<f64>) -> usize {
        holders.clear();
        holders.resize(self.topic_documents.len(), 0.0);
        let mut n_holders = 0;
        for &document in documents.iter().filter(|&&document| self.is_member[document as usize]) {
            n_holders += 1;
            targets.of(document as usize).iter().for_each(|&topic| holders[topic as usize] += 1.0);
        }
        n_holders
    }

    fn supervised_weight(&self, holders: &[f64], n_holders: usize) -> f64 {
        let ratios = holders.iter().zip(&self.topic_documents).map(|(&p, &topic_documents)| {
            let (q, others) = (n_holders as f64 - p, self.n_documents - topic_documents);
            ((p + 1.0) * (others + 1.0)) / ((topic_documents + 1.0) * (q + 1.0))
        });
        // |ln r| is largest at the largest or the smallest ratio: one logarithm each instead of one a topic.
        let (smallest, largest) = ratios.fold((1.0f64, 1.0f64), |(low, high), ratio| (low.min(ratio), high.max(ratio)));
        largest.ln().max(-smallest.ln()).sqrt()
    }

    /// Pearson's chi² of holding the term against topic, over the documents that hold it.
    fn chi_squared(&self, holders: &[f64], n_holders: usize) -> f64 {
        let share = n_holders as f64 / self.n_documents;
        holders
            .iter()
            .zip(&self.topic_documents)
            .filter(|&(_, &topic_documents)| topic_documents > 0.0)
            .map(|(&observed, &topic_documents)| {
                let expected = share * topic_documents;
                (observed - expected).powi(2) / expected
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    /// Documents and their topics, one letter each.
    fn weighed(documents: &[(&str, u32)], subset: &[u32], max_features: Option<usize>) -> Vec<(String, f32)> {
        let texts: Vec<Document> = documents.iter().map(|(text, _)| Document::new("", *text).unwrap()).collect();
        let counts = TermCounts::of(&texts.iter().collect::<Vec<_>>(), false);
        let targets = Targets::new(2, documents.iter().map(|&(_, topic)| [topic]));
        let weights = weigh_terms(&counts, &counts.postings(), &targets, subset, max_features);
        (0..).zip(weights).filter(|&(_, weight)| weight > 0.0).map(|(f, weight)| (counts.term(f), weight)).collect()
    }

    const DOCUMENTS: [(&str, u32); 6] =
        [("the war a b", 0), ("the war", 0), ("the war c", 0), ("the cup a b", 1), ("the cup", 1), ("the c d", 1)];

    fn terms(subset: &[u32], max_features: Option<usize>) -> Vec<String> {
        weighed(&DOCUMENTS, subset, max_features).into_iter().map(|(term, _)| term).collect()
    }

    /// "the", "a b" and so on are as frequent in both topics, so they say nothing and weigh nothing.
    #[test]
    fn terms_weigh_what_they_say_about_topics() {
        let weights = weighed(&DOCUMENTS, &[0, 1, 2, 3, 4, 5], None);
        let weight = |term: &str| weights.iter().find(|(other, _)| other == term).map_or(0.0, |&(_, weight)| weight);
        assert_eq!((weight("the"), weight("a"), weight("a b"), weight("c")), (0.0, 0.0, 0.0, 0.0));
        // In 3 documents of topic 0's 3, and in none of the other 3: ratio 4/4 to 1/4.
        let idf = |n_holders: f64| (7.0 / (1.0 + n_holders)).ln() + 1.0;
        assert!((f64::from(weight("war")) - idf(3.0) * 4f64.ln().sqrt()).abs() < 1e-6);
        assert!((f64::from(weight("the war")) - 0.5 * idf(3.0) * 4f64.ln().sqrt()).abs() < 1e-6);
        assert!((f64::from(weight("cup")) - idf(2.0) * 3f64.ln().sqrt()).abs() < 1e-6);
    }

    #[test]
    fn a_subset_has_only_terms_of_its_own_and_bigrams_of_two_of_its_documents() {
        assert_eq!(terms(&[0, 1, 4], None), ["a", "b", "cup", "war", "the war"]);
        assert_eq!(terms(&[0, 4], None), ["a", "b", "cup", "war"]);
    }

    /// Chi²: "war" and "the war" 3, "cup" and "the cup" 2, "d" 1; of equals, the lower number.
    #[test]
    fn the_terms_that_tell_topics_apart_best_are_kept() {
        let kept = |n| terms(&[0, 1, 2, 3, 4, 5], Some(n));
        assert_eq!(kept(1), ["war"]);
        assert_eq!(kept(2), ["war", "the war"]);
        assert_eq!(kept(3), ["cup", "war", "the war"]);
        assert_eq!(kept(9), ["cup", "d", "war", "the cup", "the war"]);
    }
}
