//! The weight of each term, from the labelled documents of a training set or of a part of it.
//!
//! weight = idf · block · s, where
//! - idf = ln((1 + n) / (1 + df)) + 1, smoothed as in scikit-learn's `TfidfTransformer`;
//! - block is 1 for unigrams and ½ for bigrams;
//! - s is the supervised weight: the largest over topics of √|ln(((p + 1) / (P + 1)) / ((q + 1) / (N + 1)))|, with p and
//!   q the documents of the topic and of the others that hold the term, P and N all documents of the topic and all
//!   others. It is the log-count ratio of NB-SVM (Wang & Manning 2012), made one weight a term, so that it folds into
//!   idf and costs nothing when answering.
//!
//! A term that the part doesn't hold (a bigram: in fewer than two documents) has the weight 0: it is no feature there.

use rayon::prelude::*;

use super::counts::{MIN_BIGRAM_DOCUMENTS, Postings, TermCounts};
use crate::targets::Targets;

/// What bigrams weigh against unigrams.
const BIGRAM_WEIGHT: f64 = 0.5;

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
    let term = |feature: usize| {
        let mut holders = Vec::new();
        let n_holders = statistics.count_holders(targets, postings.of(feature), &mut holders);
        let is_bigram = feature >= counts.n_unigrams();
        if n_holders < if is_bigram { MIN_BIGRAM_DOCUMENTS } else { 1 } {
            return (0.0, 0.0);
        }
        let block = if is_bigram { BIGRAM_WEIGHT } else { 1.0 };
        let idf = ((1.0 + statistics.n_documents) / (1.0 + n_holders as f64)).ln() + 1.0;
        let weight = idf * block * statistics.supervised_weight(&holders, n_holders);
        (weight as f32, statistics.chi_squared(&holders, n_holders))
    };
    let terms: Vec<(f32, f64)> = (0..counts.n_features()).into_par_iter().with_min_len(4096).map(term).collect();
    let mut weights: Vec<f32> = terms.iter().map(|&(weight, _)| weight).collect();
    if let Some(max_features) = max_features {
        let mut order: Vec<usize> = (0..terms.len()).filter(|&feature| weights[feature] > 0.0).collect();
        order.sort_by(|&a, &b| terms[b].1.total_cmp(&terms[a].1).then(a.cmp(&b)));
        order.iter().skip(max_features).for_each(|&feature| weights[feature] = 0.0);
    }
    weights
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
