//! Dense features beside the sparse ones of a problem: a short vector a document, the same number of components for all.

use std::sync::Arc;

use crate::processor::Processor;

/// Components of a cache line.
const PER_CACHE_LINE: usize = 16;

/// Dense features of a problem's documents: factor · scale of the document · its row.
#[derive(Debug, Clone)]
pub(crate) struct DenseRows {
    /// All rows there are, one after the other; other problems may share them.
    values: Arc<Vec<f32>>,
    n_dimensions: usize,
    /// By document of the problem: which row is its.
    places: Vec<u32>,
    /// By document: what its row is multiplied by.
    scales: Vec<f32>,
    /// By document: its row's squared length, scaled.
    squared_norms: Vec<f32>,
    /// What all rows are multiplied by besides.
    factor: f32,
}

impl DenseRows {
    /// Takes rows of `n_dimensions`; the document i of the problem has number `places[i]` of them, times `scales[i]`.
    pub(crate) fn new(values: Arc<Vec<f32>>, n_dimensions: usize, places: Vec<u32>, scales: Vec<f32>) -> Self {
        let squared_norm = |(&place, &scale): (&u32, &f32)| {
            let start = place as usize * n_dimensions;
            scale * scale * values[start..start + n_dimensions].iter().map(|value| value * value).sum::<f32>()
        };
        let squared_norms = places.iter().zip(&scales).map(squared_norm).collect();
        Self { values, n_dimensions, places, scales, squared_norms, factor: 1.0 }
    }

    pub(super) fn set_factor(&mut self, factor: f32) {
        self.factor = factor;
    }

    pub(super) fn factor(&self) -> f32 {
        self.factor
    }

    pub(super) fn n_dimensions(&self) -> usize {
        self.n_dimensions
    }

    pub(super) fn n_documents(&self) -> usize {
        self.places.len()
    }

    /// A document's row, and what it is multiplied by.
    #[inline(always)]
    pub(super) fn row(&self, document: usize) -> (&[f32], f32) {
        let start = self.places[document] as usize * self.n_dimensions;
        (&self.values[start..start + self.n_dimensions], self.factor * self.scales[document])
    }

    /// The squared length of a document's row, multiplied by all.
    #[inline(always)]
    pub(super) fn squared_norm(&self, document: usize) -> f32 {
        self.factor * self.factor * self.squared_norms[document]
    }

    /// Has a document's row fetched.
    #[inline(always)]
    pub(super) fn fetch_row(&self, processor: impl Processor, document: usize) {
        let (row, _) = self.row(document);
        row.chunks(PER_CACHE_LINE).for_each(|line| processor.prefetch(&line[0]));
    }
}
