//! What a model makes of the meanings of words, folded into weights: a word's weight for a topic is what was learned from documents that
//! hold it, plus what follows from its vector.
//!
//! A model is fitted over TF-IDF rows beside meanings m = Σ (1 + ln tf) · s(w) · v(w), both divided by the row's norm N. What a word adds to
//! the score of a topic is (1 + ln tf) / N · (g(w) · w_t + a · s(w) · v(w)·u_t), g the word's TF-IDF weight, a that of a word that no document
//! holds. So its folded weight is w_t + (a · s(w) / g(w)) · v(w)·u_t, and answering takes no vectors. A word of the table that isn't
//! learned has g = a · s(w) and w_t = 0: it counts in N as well.

use ndarray::{Array1, Array2};
use rayon::prelude::*;
use zerocopy::little_endian::U16;

use crate::features::Vectorizer;
use crate::features::weighting::weight_of_unseen_word;
use crate::known_words::{KnownLanguage, KnownWords, KnownWordsCard, NearestWord};
use crate::linear::{DenseRows, OneVsRestSolver, QuantizedWeights, RoundedRows};
use crate::packed::Packed;
use crate::targets::Targets;
use crate::words::{Language, Meanings, WordTable};

/// Terms whose weights one task folds.
const TERMS_PER_TASK: usize = 4096;
/// Words that a model names for each topic.
const N_NEAREST_WORDS: usize = 20;

/// A term of a model: learned, known by the table, or both.
#[derive(Debug, Clone, Copy)]
pub(super) struct FoldedTerm {
    /// Its feature among the counted ones, if it was learned.
    pub(super) learned: Option<u32>,
    /// Its number in the table, if it is one of its words.
    pub(super) word: Option<u32>,
    /// What a unit of its value is in meaning: a · s(w) / g(w).
    pub(super) ratio: f32,
}

/// What is known of the terms of a training set when some of its documents are learned from.
#[derive(Debug)]
pub(super) struct Inference<'a> {
    meanings: &'a Meanings,
    /// a: what a word weighs that none of the documents holds.
    unseen_weight: f32,
    /// g: by feature, learned or inferred; 0 of terms that are neither.
    weights: Vec<f32>,
}

impl<'a> Inference<'a> {
    /// `learned_weights`: by feature, 0 of those that these documents don't teach.
    pub(super) fn new(meanings: &'a Meanings, targets: &Targets, documents: &[u32], learned_weights: &[f32]) -> Self {
        let unseen_weight = weight_of_unseen_word(targets, documents);
        let weight = |(feature, &learned): (usize, &f32)| {
            if learned > 0.0 { learned } else { unseen_weight * meanings.frequency_weight(feature as u32) }
        };
        Self { meanings, unseen_weight, weights: learned_weights.iter().enumerate().map(weight).collect() }
    }

    /// The weight of each feature in a row; 0 of those that stand in none.
    pub(super) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The weight in a row of a word of the table that is no learned term.
    pub(super) fn weight_of_word(&self, word: u32) -> f32 {
        self.unseen_weight * self.meanings.table().smooth_inverse_frequency(word as usize)
    }

    /// A counted term.
    pub(super) fn term(&self, feature: u32, is_learned: bool) -> FoldedTerm {
        let word = self.meanings.word(feature);
        let weight = self.weights[feature as usize];
        let ratio = self.unseen_weight * self.meanings.frequency_weight(feature) / weight;
        FoldedTerm { learned: is_learned.then_some(feature), word, ratio: if word.is_some() { ratio } else { 0.0 } }
    }

    /// The meanings of documents as a solver takes them; `norms`: of their rows, in the same order.
    pub(super) fn dense_rows(&self, documents: &[u32], norms: &[f32]) -> DenseRows {
        let scale = |&norm: &f32| if norm > 0.0 { self.unseen_weight / norm } else { 0.0 };
        let scales = norms.iter().map(scale).collect();
        let n_dimensions = self.meanings.table().n_dimensions();
        DenseRows::new(self.meanings.sums().clone(), n_dimensions, documents.to_vec(), scales)
    }

    /// The folded weights of terms in 8 bits.
    pub(super) fn fold(&self, solver: &OneVsRestSolver, terms: &[FoldedTerm]) -> QuantizedWeights {
        let meaning_weights = solver.dense_weights();
        let write = |term: &FoldedTerm, vector: &mut [f32], row: &mut [f32]| {
            if let Some(feature) = term.learned {
                solver.write_weights(feature as usize, row);
            }
            self.add_inferred(term, &meaning_weights, vector, row);
        };
        QuantizedWeights::of_rounded(&self.rounded(terms, &meaning_weights, write), &solver.biases())
    }

    /// Of these weights the part that follows from what the terms mean.
    fn inferred_part(&self, solver: &OneVsRestSolver, terms: &[FoldedTerm]) -> QuantizedWeights {
        let meaning_weights = solver.dense_weights();
        let write = |term: &FoldedTerm, vector: &mut [f32], row: &mut [f32]| {
            self.add_inferred(term, &meaning_weights, vector, row);
        };
        let no_biases = Array1::zeros(meaning_weights.ncols());
        QuantizedWeights::of_rounded(&self.rounded(terms, &meaning_weights, write), &no_biases)
    }

    /// Adds what a term's meaning is worth to a number a topic; `vector` is a buffer.
    fn add_inferred(&self, term: &FoldedTerm, meaning_weights: &Array2<f32>, vector: &mut [f32], row: &mut [f32]) {
        let Some(word) = term.word else { return };
        vector.fill(0.0);
        self.meanings.table().add_vector(word as usize, term.ratio, vector);
        // Made by rows, one after the other.
        let weights = meaning_weights.as_slice().unwrap_or_default().chunks_exact(row.len().max(1));
        for (&component, weights) in vector.iter().zip(weights) {
            row.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += component * weight);
        }
    }

    fn rounded(
        &self,
        terms: &[FoldedTerm],
        meaning_weights: &Array2<f32>,
        write: impl Fn(&FoldedTerm, &mut [f32], &mut [f32]) + Sync,
    ) -> Vec<RoundedRows> {
        let (n_dimensions, n_topics) = meaning_weights.dim();
        let round = |terms: &[FoldedTerm]| {
            let (mut rounded, mut vector, mut row) =
                (RoundedRows::default(), vec![0.0; n_dimensions], vec![0.0; n_topics]);
            for term in terms {
                row.fill(0.0);
                write(term, &mut vector, &mut row);
                rounded.push(row.iter().copied());
            }
            rounded
        };
        terms.par_chunks(TERMS_PER_TASK).map(round).collect()
    }

    /// The words of the table that are known, but for those that are among these features, by their numbers in the table.
    pub(super) fn words_other_than(&self, learned: &[u32]) -> Vec<u32> {
        let mut is_learned = vec![false; self.meanings.table().len()];
        let learned_words = learned.iter().filter_map(|&feature| self.meanings.word(feature));
        learned_words.for_each(|word| is_learned[word as usize] = true);
        self.meanings.kept().numbers().iter().copied().filter(|&word| !is_learned[word as usize]).collect()
    }

    /// A word by its number in the table.
    pub(super) fn word(&self, word: u32) -> &str {
        self.meanings.table().word(word as usize)
    }

    /// A model's weights of the learned features that are kept, then of the words that are only inferred, as the vectorizer has both; and
    /// what it keeps of the table, `None` if the parts don't fit each other.
    pub(super) fn model(
        &self,
        solver: &OneVsRestSolver,
        factor: f32,
        kept: &[u32],
        inferred_words: &[u32],
        vectorizer: &Vectorizer,
    ) -> (QuantizedWeights, Option<KnownWords>) {
        let learned = kept.iter().map(|&feature| self.term(feature, true));
        let inferred = inferred_words.iter().map(|&word| FoldedTerm { learned: None, word: Some(word), ratio: 1.0 });
        let terms: Vec<FoldedTerm> = learned.chain(inferred).collect();
        let weights = self.fold(solver, &terms);
        let (n_unigrams, n_learned) = (vectorizer.vocabulary().n_unigrams(), kept.len());
        let inferred_part = self.inferred_part(solver, &terms[..n_unigrams]);
        let table = self.meanings.table();
        let languages: Vec<U16> = terms[..n_unigrams]
            .iter()
            .chain(&terms[n_learned..])
            .map(|term| U16::new(term.word.map_or(0, |word| table.languages(word as usize))))
            .collect();
        let card = KnownWordsCard {
            table: table.card().name.clone(),
            table_version: table.card().version,
            table_checksum: format!("{:016x}", table.checksum()),
            licence: table.card().licence.clone(),
            attribution: table.card().attribution.clone(),
            factor,
            languages: known_languages(table, &languages),
            nearest_words: self.nearest_words(&weights, n_learned, inferred_words, vectorizer),
        };
        let n_words = (n_unigrams, inferred_words.len());
        (weights, KnownWords::new(card, inferred_part, Packed::from_values(&languages), n_words))
    }

    /// For each topic, the words that are only inferred and speak most for it.
    fn nearest_words(
        &self,
        weights: &QuantizedWeights,
        n_learned: usize,
        inferred_words: &[u32],
        vectorizer: &Vectorizer,
    ) -> Vec<Vec<NearestWord>> {
        let tfidf_weights = vectorizer.weights();
        let of_topic = |topic: usize| {
            let strength = |place: usize| {
                f64::from(tfidf_weights[n_learned + place].get()) * weights.weight(n_learned + place, topic)
            };
            let mut strongest: Vec<(usize, f64)> =
                (0..inferred_words.len()).map(|place| (place, strength(place))).filter(|&(_, s)| s > 0.0).collect();
            let by_strength = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
            if strongest.len() > N_NEAREST_WORDS {
                strongest.select_nth_unstable_by(N_NEAREST_WORDS, by_strength);
                strongest.truncate(N_NEAREST_WORDS);
            }
            strongest.sort_by(by_strength);
            let name = |(place, strength): (usize, f64)| NearestWord {
                word: self.word(inferred_words[place]).to_owned(),
                strength,
            };
            strongest.into_iter().map(name).collect()
        };
        (0..weights.n_topics()).into_par_iter().map(of_topic).collect()
    }
}

/// The table's languages, with how many of these words each has.
fn known_languages(table: &WordTable, languages: &[U16]) -> Vec<KnownLanguage> {
    let known = |(place, language): (usize, &Language)| KnownLanguage {
        code: language.code.clone(),
        iso639_3: language.iso639_3.clone(),
        n_words: languages.iter().filter(|bits| bits.get() >> place & 1 == 1).count(),
        coverage: language.coverage.unwrap_or(1.0),
    };
    table.card().languages.iter().enumerate().map(known).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use linfa::ParamGuard;

    use super::super::learning::{Learning, Words};
    use super::*;
    use crate::cancellation::never;
    use crate::dataset::Dataset;
    use crate::document::{Document, LabeledDocument, Topic};
    use crate::features::TermCounts;
    use crate::linear::LinearSvmParams;
    use crate::training_config::TrainingConfig;
    use crate::words;

    const TEXTS: [(&str, &str); 6] = [
        ("sport", "the striker scored a goal in the final match"),
        ("sport", "the goalkeeper of the team saved a penalty"),
        ("sport", "champion wins tennis tournament and scored"),
        ("economy", "the bank raised interest rates and the market fell"),
        ("economy", "company profits and shares fell on the market"),
        ("economy", "investors sell bonds as prices rise"),
    ];

    /// A score by folded 8-bit weights is that of the model with vectors, within what 8 bits a term lose.
    #[test]
    fn folded_weights_say_what_the_model_with_vectors_says() {
        let examples = TEXTS.map(|(topic, text)| {
            LabeledDocument::new(Document::new("", text).unwrap(), vec![Topic::new(topic).unwrap()])
        });
        let dataset = Dataset::new(examples).unwrap();
        let counts = &TermCounts::of(&dataset.documents(), false);
        let (postings, config) = (&counts.postings(), &TrainingConfig::default());
        let words = Words { table: words::bundled().unwrap(), languages: &[], meanings: OnceLock::new() };
        let learning = Learning { dataset: &dataset, counts, postings, words: Some(words), config };
        // Two documents are not learned from: words that only they have are inferred.
        let (training, all): (Vec<u32>, Vec<u32>) = (vec![0, 1, 3, 4], (0..6).collect());
        let learned = learning.weigh_terms(&training);
        let inference = learning.inference(&training, &learned).unwrap();
        let params = LinearSvmParams::default().check().unwrap();
        let mut solver = learning.solver(&training, &learned, Some((&inference, 0.75)), &params).unwrap();
        solver.solve(0.5, &params, &never);

        let is_learned = |feature: u32| learned[feature as usize] > 0.0;
        let terms: Vec<FoldedTerm> =
            (0..counts.n_features() as u32).map(|feature| inference.term(feature, is_learned(feature))).collect();
        let folded = inference.fold(&solver, &terms);
        let (rows, norms) = (counts.rows(&all, inference.weights()), counts.norms(&all, inference.weights()));
        let (vectors, biases) = (solver.dense_weights(), solver.biases());
        let (mut scores, mut weights, mut n_inferred) = (Vec::new(), vec![0.0; 2], 0);
        for (document, &norm) in norms.iter().enumerate() {
            folded.score(rows.row(document), &mut scores);
            let mut expected: Vec<f64> = biases.iter().map(|&bias| f64::from(bias)).collect();
            for (feature, value) in rows.row(document).iter() {
                n_inferred += usize::from(!is_learned(feature as u32));
                solver.write_weights(feature, &mut weights);
                expected.iter_mut().zip(&weights).for_each(|(sum, w)| *sum += f64::from(value * w));
            }
            let n = vectors.nrows();
            let meaning = &inference.meanings.sums()[document * n..(document + 1) * n];
            let scale = inference.unseen_weight / norm;
            for (component, weights) in meaning.iter().zip(vectors.rows()) {
                expected.iter_mut().zip(weights).for_each(|(sum, w)| *sum += f64::from(scale * component * w));
            }
            for (score, expected) in scores.iter().zip(expected) {
                assert!((score - expected).abs() < 0.01, "{score} instead of {expected}");
            }
        }
        assert!(n_inferred > 5);
    }
}
