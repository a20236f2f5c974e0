//! What served documents are compared with later: how the training documents were answered by models that never saw them.

use super::learning::Learning;
use super::out_of_fold::highest;
use crate::drift::{Bins, Distributions};
use crate::evaluation::Predictions;
use crate::features::counts::TermKind;

/// Counts the out-of-fold predictions of all documents, and the tokens that a vocabulary lacks which never saw them: the
/// final one, which has the terms with a weight, without those that no other document has and no table of words. In-sample predictions would be
/// surer than any of a document that is served, and know nearly every token.
///
/// The folds' own vocabularies are of a third fewer documents than the one that answers. They lack other tokens.
pub(super) fn reference(
    out_of_fold: &Predictions,
    learning: &Learning<'_>,
    weights: &[f32],
    knows_words: bool,
) -> Distributions {
    let counts = learning.counts;
    let meanings = if knows_words { learning.meanings() } else { None };
    let is_learned = |feature: u32| weights[feature as usize] > 0.0 && learning.postings.of(feature as usize).len() > 1;
    let is_known =
        |feature: u32| is_learned(feature) || meanings.is_some_and(|meanings| meanings.word(feature).is_some());
    let mut reference = Distributions::new(out_of_fold.probabilities.ncols());
    for (document, row) in out_of_fold.probabilities.rows().into_iter().enumerate() {
        let (topic, probability) = highest(row);
        let (mut n_known_tokens, mut n_tokens) = (0, counts.n_too_long_tokens(document));
        for (feature, n) in counts.row(document).take_while(|&(feature, _)| counts.kind(feature) == TermKind::Unigram) {
            n_tokens += n as usize;
            n_known_tokens += if is_known(feature) { n as usize } else { 0 };
        }
        let bins = Bins::of(topic, probability, n_known_tokens, n_tokens);
        bins.into_iter().for_each(|bins| reference.add(bins));
    }
    reference
}
