//! Sparse rows: one document's TF-IDF values, and many documents' as one CSR matrix that linfa takes as `Records`.

use std::sync::LazyLock;

use linfa::dataset::Records;
use zerocopy::little_endian::F32;

use crate::processor::{Processor, each_fetched_ahead};

/// Features, or values, of a cache line.
const PER_CACHE_LINE: usize = 16;

/// One document's values by feature, each feature once; borrowed from wherever they are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseRow<'a> {
    /// Feature numbers, in an order that is always the same for a document and a model.
    pub features: &'a [u32],
    /// The value of each feature; an L2 norm of 1, or no values at all.
    pub values: &'a [f32],
}

impl SparseRow<'_> {
    /// Feature and value, pair by pair.
    pub fn iter(&self) -> impl Iterator<Item = (usize, f32)> + '_ {
        self.features.iter().zip(self.values).map(|(&feature, &value)| (feature as usize, value))
    }
}

/// Turns term counts into one TF-IDF row; its buffers serve one document after another.
///
/// value = (1 + ln tf) · weight, then the row is divided by its L2 norm. Features of weight 0 are left out.
#[derive(Debug, Default, Clone)]
pub struct RowBuilder {
    /// The row's, then what longer rows have left.
    features: Vec<u32>,
    values: Vec<f32>,
    n_features: usize,
}

/// A row that isn't complete. What changes with each feature isn't behind a reference, so that it stays in registers.
pub(super) struct OpenRow<'a> {
    damped: &'static [f32; 64],
    features: &'a mut [u32],
    values: &'a mut [f32],
    n_features: usize,
    squared_norm: f64,
}

/// 1 + ln tf, for tf from 0 to 63.
static DAMPED: LazyLock<[f32; 64]> = LazyLock::new(|| std::array::from_fn(|count| damp(count as u32)));

/// 1 + ln tf.
pub(crate) fn damp(count: u32) -> f32 {
    1.0 + (count as f32).ln()
}

impl RowBuilder {
    /// Builds the row of the counted terms, each of which comes once; `weight` gives a feature's weight.
    #[inline(always)]
    pub fn build(
        &mut self,
        counts: impl ExactSizeIterator<Item = (u32, u32)>,
        weight: impl Fn(u32) -> f32,
    ) -> SparseRow<'_> {
        let mut row = self.begin(counts.len());
        counts.for_each(|(feature, count)| row.push(feature, count, weight(feature)));
        self.n_features = row.finish();
        self.row()
    }

    /// The same with the features' weights in `weights`, which are fetched ahead.
    #[inline(always)]
    pub(super) fn build_fetched_ahead(&mut self, processor: impl Processor, counts: &[(u32, u32)], weights: &[F32]) {
        let mut row = self.begin(counts.len());
        let fetch = |(feature, _): (u32, u32)| processor.prefetch(&weights[feature as usize]);
        each_fetched_ahead(counts, fetch, |_, (feature, count)| {
            row.push(feature, count, weights[feature as usize].get())
        });
        self.n_features = row.finish();
    }

    /// Begins a row of at most so many features.
    #[inline(always)]
    fn begin(&mut self, max_features: usize) -> OpenRow<'_> {
        self.features.resize(max_features.max(self.features.len()), 0);
        self.values.resize(max_features.max(self.values.len()), 0.0);
        let Self { features, values, .. } = self;
        OpenRow { damped: &DAMPED, features, values, n_features: 0, squared_norm: 0.0 }
    }

    /// The row that was built last.
    pub fn row(&self) -> SparseRow<'_> {
        SparseRow { features: &self.features[..self.n_features], values: &self.values[..self.n_features] }
    }
}

impl OpenRow<'_> {
    /// Adds a feature that hasn't been added.
    #[inline(always)]
    fn push(&mut self, feature: u32, count: u32, weight: f32) {
        let value = self.damped.get(count as usize).copied().unwrap_or_else(|| damp(count)) * weight;
        // Of weight 0, it adds nothing, and the next one takes its place.
        self.features[self.n_features] = feature;
        self.values[self.n_features] = value;
        self.n_features += usize::from(weight > 0.0);
        self.squared_norm += f64::from(value) * f64::from(value);
    }

    /// Gives the row its length of 1; says how many features it has.
    #[inline(always)]
    fn finish(self) -> usize {
        if self.squared_norm > 0.0 {
            let scale = (1.0 / self.squared_norm.sqrt()) as f32;
            self.values[..self.n_features].iter_mut().for_each(|value| *value *= scale);
        }
        self.n_features
    }
}

/// Documents × features, compressed by row.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseRows {
    n_features: usize,
    offsets: Vec<usize>,
    features: Vec<u32>,
    values: Vec<f32>,
}

impl SparseRows {
    /// A matrix without rows yet.
    pub fn new(n_features: usize) -> Self {
        Self { n_features, offsets: vec![0], features: Vec::new(), values: Vec::new() }
    }

    /// The same, with room for so many rows and values.
    pub(crate) fn with_capacity(n_features: usize, n_rows: usize, n_values: usize) -> Self {
        let mut offsets = Vec::with_capacity(n_rows + 1);
        offsets.push(0);
        Self { n_features, offsets, features: Vec::with_capacity(n_values), values: Vec::with_capacity(n_values) }
    }

    /// The number of values of all rows.
    pub(crate) fn n_values(&self) -> usize {
        self.values.len()
    }

    /// Adds a row below the others.
    ///
    /// # Panics
    /// When a feature isn't below the number of features.
    pub fn push(&mut self, row: SparseRow<'_>) {
        assert!(row.features.iter().all(|&feature| (feature as usize) < self.n_features), "feature out of range");
        self.features.extend_from_slice(row.features);
        self.values.extend_from_slice(row.values);
        self.offsets.push(self.features.len());
    }

    /// Adds all rows of another matrix of as many features below the others.
    pub fn append(&mut self, rows: &Self) {
        assert_eq!(self.n_features, rows.n_features, "matrices of different width");
        let base = self.features.len();
        self.features.extend_from_slice(&rows.features);
        self.values.extend_from_slice(&rows.values);
        self.offsets.extend(rows.offsets[1..].iter().map(|offset| base + offset));
    }

    /// The features that its rows hold, rising, and its rows with these for all features: number i is the i-th of them.
    pub(crate) fn compacted(&self) -> (Vec<u32>, Self) {
        const NONE: u32 = u32::MAX;
        let mut numbers = vec![NONE; self.n_features];
        self.features.iter().for_each(|&feature| numbers[feature as usize] = 0);
        let held: Vec<u32> = (0..self.n_features as u32).filter(|&feature| numbers[feature as usize] != NONE).collect();
        (0..).zip(&held).for_each(|(number, &feature)| numbers[feature as usize] = number);
        let features = self.features.iter().map(|&feature| numbers[feature as usize]).collect();
        let rows =
            Self { n_features: held.len(), offsets: self.offsets.clone(), features, values: self.values.clone() };
        (held, rows)
    }

    /// The same rows, of which each has lost the values of features that aren't kept.
    pub(crate) fn retaining(&self, is_kept: impl Fn(u32) -> bool) -> Self {
        let mut rows = Self::with_capacity(self.n_features, self.offsets.len() - 1, self.n_values());
        for row in self.iter() {
            let kept = || row.features.iter().zip(row.values).filter(|&(&feature, _)| is_kept(feature));
            rows.features.extend(kept().map(|(&feature, _)| feature));
            rows.values.extend(kept().map(|(_, &value)| value));
            rows.offsets.push(rows.features.len());
        }
        rows
    }

    /// One row.
    pub fn row(&self, row: usize) -> SparseRow<'_> {
        let range = self.offsets[row]..self.offsets[row + 1];
        SparseRow { features: &self.features[range.clone()], values: &self.values[range] }
    }

    /// Has what says where a row is fetched.
    #[inline(always)]
    pub(crate) fn fetch_place(&self, processor: impl Processor, row: usize) {
        processor.prefetch(&self.offsets[row]);
    }

    /// Has a row fetched; waits for what [`Self::fetch_place`] fetches.
    #[inline(always)]
    pub(crate) fn fetch_row(&self, processor: impl Processor, row: usize) {
        let SparseRow { features, values } = self.row(row);
        for (features, values) in features.chunks(PER_CACHE_LINE).zip(values.chunks(PER_CACHE_LINE)) {
            processor.prefetch(&features[0]);
            processor.prefetch(&values[0]);
        }
    }

    /// The rows, first to last.
    pub fn iter(&self) -> impl Iterator<Item = SparseRow<'_>> {
        (0..self.nsamples()).map(|row| self.row(row))
    }
}

impl Records for SparseRows {
    type Elem = f32;

    fn nsamples(&self) -> usize {
        self.offsets.len() - 1
    }

    fn nfeatures(&self) -> usize {
        self.n_features
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_length_1_and_leaves_weightless_features_out() {
        let mut builder = RowBuilder::default();
        let weights = [3.0, 0.0, 4.0];
        let row = builder.build([(0, 1), (1, 5), (2, 1)].into_iter(), |feature| weights[feature as usize]);
        assert_eq!((row.features, row.values), (&[0, 2][..], &[0.6, 0.8][..]));
        let row = builder.build([(0, 3), (2, 1)].into_iter(), |feature| weights[feature as usize]);
        assert!((row.values[0] / row.values[1] - (1.0 + 3f32.ln()) * 0.75).abs() < 1e-6);
        assert!((row.values.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(builder.build([(1, 2)].into_iter(), |_| 0.0), SparseRow { features: &[], values: &[] });
    }

    #[test]
    fn appending_gives_the_rows_that_pushing_gives() {
        let rows = [(&[0, 2][..], &[1.0, 2.0][..]), (&[], &[]), (&[1], &[3.0])];
        let rows = rows.map(|(features, values)| SparseRow { features, values });
        let of = |rows: &[SparseRow<'_>]| {
            let mut matrix = SparseRows::new(3);
            rows.iter().for_each(|&row| matrix.push(row));
            matrix
        };
        let mut appended = of(&rows[..1]);
        appended.append(&of(&[]));
        appended.append(&of(&rows[1..]));
        assert_eq!(appended, of(&rows));
        assert!(appended.iter().eq(rows));
        assert_eq!((appended.nsamples(), appended.nfeatures()), (3, 3));
    }

    #[test]
    fn compacted_rows_hold_the_same_features_by_other_numbers() {
        let mut rows = SparseRows::new(9);
        rows.push(SparseRow { features: &[2, 7], values: &[1.0, 2.0] });
        rows.push(SparseRow { features: &[], values: &[] });
        rows.push(SparseRow { features: &[4, 7], values: &[3.0, 4.0] });
        let (held, compacted) = rows.compacted();
        assert_eq!((&*held, compacted.nfeatures(), compacted.nsamples()), (&[2, 4, 7][..], 3, 3));
        for (row, before) in compacted.iter().zip(rows.iter()) {
            let features: Vec<u32> = row.features.iter().map(|&feature| held[feature as usize]).collect();
            assert_eq!((&*features, row.values), (before.features, before.values));
        }
    }

    #[test]
    #[should_panic = "feature out of range"]
    fn a_feature_out_of_range_is_refused() {
        SparseRows::new(3).push(SparseRow { features: &[0, 3], values: &[1.0, 1.0] });
    }
}
