//! The rows of a problem as the solver wants them: laid out so that it seldom waits for memory.
//!
//! Most features of a text corpus are held by two or three documents. Their weights would make up most of the solver's
//! memory, and each look at one would be a cache miss. But a weight is a sum over the documents that hold the feature,
//! w = Σ dual · value, so what such *rare* features add to a document's margin is a sum over the few documents that
//! share them: Σ dual · (product of the two rows over rare features). The products are computed once; the duals of all
//! documents are far fewer than the weights of all features. The *common* features are numbered by falling frequency:
//! the few thousand that make up most of every text lie together.

use std::cmp::Reverse;

use linfa::dataset::Records;

use crate::features::{SparseRow, SparseRows};
use crate::processor::Processor;

/// Features of at most this many documents are rare.
const MAX_RARE_DOCUMENTS: u32 = 3;
/// The number of a rare feature.
const RARE: u32 = u32::MAX;

/// A problem's rows, in two parts.
pub(super) struct SolverRows {
    /// Documents × common features.
    pub(super) common: SparseRows,
    /// The number among the common features of each original one; of rare ones, [`RARE`].
    common_numbers: Vec<u32>,
    /// Documents × documents: the products of their rows over rare features; a document with itself too.
    pub(super) rare: SparseRows,
    /// Each (document, value) of rare features, feature by feature, and where those of each original feature end.
    rare_entries: Vec<(u32, f32)>,
    rare_ends: Vec<u32>,
    /// Of each whole row, with 1 for the bias: the weight of a feature that is 1 in every document.
    pub(super) squared_norms: Vec<f32>,
    /// One over the weight of each document.
    pub(super) inverse_weights: Vec<f32>,
}

/// What a feature's weights are made of.
pub(super) enum WeightsPlace<'a> {
    /// They are kept, under this number.
    Common(usize),
    /// Σ dual · value over these documents.
    Rare(&'a [(u32, f32)]),
}

impl SolverRows {
    /// Without weights, every document's is 1.
    pub(super) fn of(rows: &SparseRows, weights: Option<&[f32]>) -> Self {
        let mut n_holders = vec![0u32; rows.nfeatures()];
        rows.iter().flat_map(|row| row.features).for_each(|&feature| n_holders[feature as usize] += 1);
        let is_rare = |feature: u32| n_holders[feature as usize] <= MAX_RARE_DOCUMENTS;
        let mut common_features: Vec<u32> = (0..rows.nfeatures() as u32).filter(|&feature| !is_rare(feature)).collect();
        common_features.sort_by_key(|&feature| Reverse(n_holders[feature as usize]));
        let mut numbers = vec![RARE; rows.nfeatures()];
        for (number, &feature) in common_features.iter().enumerate() {
            numbers[feature as usize] = number as u32;
        }
        let n_common = common_features.iter().map(|&feature| n_holders[feature as usize] as usize).sum();
        let mut common = SparseRows::with_capacity(common_features.len(), rows.nsamples(), n_common);
        let mut rare_entries = Vec::with_capacity(rows.n_values() - n_common);
        let (mut features, mut values) = (Vec::new(), Vec::new());
        for (document, row) in rows.iter().enumerate() {
            features.clear();
            values.clear();
            for (&feature, &value) in row.features.iter().zip(row.values) {
                match numbers[feature as usize] {
                    RARE => rare_entries.push((feature, document as u32, value)),
                    number => {
                        features.push(number);
                        values.push(value);
                    }
                }
            }
            common.push(SparseRow { features: &features, values: &values });
        }
        let (rare_entries, rare_ends) = by_feature(&rare_entries, &n_holders);
        Self {
            rare: rare_products(&rare_entries, rows.nsamples()),
            common,
            common_numbers: numbers,
            rare_entries: rare_entries.iter().map(|&(_, document, value)| (document, value)).collect(),
            rare_ends,
            inverse_weights: weights.map_or_else(
                || vec![1.0; rows.nsamples()],
                |weights| weights.iter().map(|weight| 1.0 / weight).collect(),
            ),
            squared_norms: rows.iter().map(|row| 1.0 + row.values.iter().map(|v| v * v).sum::<f32>()).collect(),
        }
    }

    /// Where the weights of a feature, by its original number, are.
    pub(super) fn weights_place(&self, feature: usize) -> WeightsPlace<'_> {
        let start = if feature == 0 { 0 } else { self.rare_ends[feature - 1] };
        match self.common_numbers[feature] {
            RARE => WeightsPlace::Rare(&self.rare_entries[start as usize..self.rare_ends[feature] as usize]),
            number => WeightsPlace::Common(number as usize),
        }
    }

    /// Has a document's numbers fetched, and what says where its rows are.
    #[inline(always)]
    pub(super) fn fetch(&self, processor: impl Processor, document: usize) {
        processor.prefetch(&self.squared_norms[document]);
        processor.prefetch(&self.inverse_weights[document]);
        self.common.fetch_place(processor, document);
        self.rare.fetch_place(processor, document);
    }

    /// Has a document's rows fetched; waits for what [`Self::fetch`] fetches.
    #[inline(always)]
    pub(super) fn fetch_rows(&self, processor: impl Processor, document: usize) {
        self.common.fetch_row(processor, document);
        self.rare.fetch_row(processor, document);
    }
}

/// Entries (feature, document, value) by feature, and where those of each feature end; within a feature, they stay in order. Features that
/// aren't rare have none.
fn by_feature(entries: &[(u32, u32, f32)], n_holders: &[u32]) -> (Vec<(u32, u32, f32)>, Vec<u32>) {
    // There are at most three entries a feature, and fewer than 2³² of them in any memory.
    let (mut n_before, mut places) = (0, Vec::with_capacity(n_holders.len()));
    for &n in n_holders {
        places.push(n_before);
        n_before += if n <= MAX_RARE_DOCUMENTS { n } else { 0 };
    }
    let mut sorted = vec![(0, 0, 0.0); entries.len()];
    for &entry in entries {
        let place = &mut places[entry.0 as usize];
        sorted[*place as usize] = entry;
        *place += 1;
    }
    (sorted, places)
}

/// The products of entries that are sorted by feature.
fn rare_products(entries: &[(u32, u32, f32)], n_documents: usize) -> SparseRows {
    let mut products: Vec<Vec<(u32, f32)>> = vec![Vec::new(); n_documents];
    for holders in entries.chunk_by(|a, b| a.0 == b.0) {
        for &(_, document, value) in holders {
            let of_document = holders.iter().map(|&(_, other, other_value)| (other, value * other_value));
            products[document as usize].extend(of_document);
        }
    }
    let mut rows = SparseRows::new(n_documents);
    let (mut others, mut sums) = (Vec::new(), Vec::new());
    for mut products in products {
        others.clear();
        sums.clear();
        // Stable: sums run in the order of the features.
        products.sort_by_key(|&(other, _)| other);
        for pair in products.chunk_by(|a, b| a.0 == b.0) {
            others.push(pair[0].0);
            sums.push(pair.iter().map(|&(_, product)| product).sum());
        }
        rows.push(SparseRow { features: &others, values: &sums });
    }
    rows
}
