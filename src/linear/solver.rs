//! Dual coordinate descent for linear SVMs with squared hinge loss (Hsieh, Chang, Lin, Keerthi & Sundararajan, *A Dual
//! Coordinate Descent Method for Large-scale Linear SVM*, ICML 2008; liblinear's solver 1), for several topics at once.
//!
//! Topics are independent problems over the same rows, so a block of [`LANES`] of them walks the rows together: each
//! sparse row is read once, and the arithmetic runs over the lanes side by side. A block stops when all its topics are
//! within tolerance, and blocks are always cut the same way, so the result doesn't depend on the number of threads.
//!
//! Time goes into fetching rows and weights from memory; [`super::rows`] says what is done about weights, and rows are fetched ahead.

use linfa::dataset::Records;
use ndarray::{Array1, Array2};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::dense::DenseRows;
use super::hyperparameters::{LinearError, LinearSvmValidParams};
use super::quantized::{QuantizedWeights, RoundedRows};
use super::rows::{SolverRows, WeightsPlace};
use super::weights::LinearWeights;
use crate::cancellation::IsCancelled;
use crate::features::{SparseRow, SparseRows};
use crate::processor::{Processor, Work, dispatch};
use crate::targets::Targets;

/// Topics that one block fits side by side: two SSE registers, one AVX register.
const LANES: usize = 8;

/// Features whose weights one task rounds.
const FEATURES_PER_TASK: usize = 4096;

/// Sums that a margin is added up in side by side: one addition needn't wait for the one before.
const SUMS: usize = 4;

/// Documents whose projected gradients are within this share of the tolerance, in every lane, are settled: they are left out until the
/// others are within tolerance, and then all are looked at again. What that saves is in docs/decisions.md, "Settled documents are left
/// alone". A document whose dual variable is 0 and whose gradient isn't below 0 is settled, so that the paper's shrinking (§3.2) is part of it.
const SETTLED_SHARE: f32 = 0.1;

/// Documents are worked on in random order, so that no processor guesses which one is next: what says where a document's rows are is
/// fetched so many documents before it is worked on, and its rows so many.
const DOCUMENTS_AHEAD: usize = 8;
const ROWS_AHEAD: usize = 3;

type Lanes = [f32; LANES];

/// Numbers of one feature or document; aligned, so that they never lie across two cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct AlignedLanes(Lanes);

/// All topics' problems over one set of rows. Solving again with another C starts from the last solution, which is
/// always feasible: squared hinge loss puts no upper bound on the dual variables.
pub(crate) struct OneVsRestSolver {
    rows: SolverRows,
    dense: Option<DenseRows>,
    blocks: Vec<BlockSolver>,
    n_topics: usize,
    n_features: usize,
}

impl OneVsRestSolver {
    pub(crate) fn new(
        rows: &SparseRows,
        targets: &Targets,
        weights: Option<&[f32]>,
        params: &LinearSvmValidParams,
    ) -> Result<Self, LinearError> {
        if rows.nsamples() != targets.n_documents() {
            let (n_rows, n_targets) = (rows.nsamples(), targets.n_documents());
            return Err(LinearError::ShapeMismatch { n_rows, n_targets });
        }
        let is_weight = |weight: &f32| weight.is_finite() && *weight > 0.0;
        if let Some(weights) = weights
            && (weights.len() != rows.nsamples() || !weights.iter().all(is_weight))
        {
            return Err(LinearError::Weights { n_rows: rows.nsamples(), n_weights: weights.len() });
        }
        let n_features = rows.nfeatures();
        let rows = SolverRows::of(rows, weights);
        let n_topics = targets.n_topics();
        let n_blocks = n_topics.div_ceil(LANES);
        let blocks = (0..n_blocks)
            .map(|block| (block * n_topics / n_blocks)..((block + 1) * n_topics / n_blocks))
            .map(|topics| BlockSolver::new(&rows, targets, params, topics))
            .collect();
        Ok(Self { rows, dense: None, blocks, n_topics, n_features })
    }

    /// The same with dense features beside the rows' own, multiplied by a factor above 0.
    ///
    /// # Errors
    /// [`LinearError::ShapeMismatch`] unless there is a dense row for each document.
    pub(crate) fn with_dense(self, dense: DenseRows, factor: f32) -> Result<Self, LinearError> {
        let (n_rows, n_targets) = (dense.n_documents(), self.rows.squared_norms.len());
        if n_rows != n_targets {
            return Err(LinearError::ShapeMismatch { n_rows, n_targets });
        }
        let mut solver = Self { dense: Some(dense), ..self };
        solver.set_dense_factor(factor);
        Ok(solver)
    }

    /// Sets what all dense rows are multiplied by, above 0. The last solution stays where the next one starts.
    pub(crate) fn set_dense_factor(&mut self, factor: f32) {
        if let Some(dense) = &mut self.dense {
            dense.set_factor(factor);
            self.blocks.iter_mut().for_each(|block| block.add_up_dense_weights(dense));
        }
    }

    /// The weights of the dense features fitted last, as they are for rows without the factor: dimensions × topics.
    pub(crate) fn dense_weights(&self) -> Array2<f32> {
        let (n_dimensions, factor) =
            self.dense.as_ref().map_or((0, 0.0), |dense| (dense.n_dimensions(), dense.factor()));
        Array2::from_shape_fn((n_dimensions, self.n_topics), |(dimension, topic)| {
            let block = self.blocks.iter().rfind(|block| block.first_topic <= topic);
            block.map_or(0.0, |block| factor * block.dense_weights[dimension].0[topic - block.first_topic])
        })
    }

    /// Fits all topics with this C; says whether all came within tolerance.
    pub(crate) fn solve(&mut self, c: f32, params: &LinearSvmValidParams, is_cancelled: IsCancelled<'_>) -> bool {
        let rows = Rows { sparse: &self.rows, dense: self.dense.as_ref() };
        let blocks = self.blocks.par_iter_mut();
        blocks.map(|block| block.solve(rows, c, params, is_cancelled)).reduce(|| true, |a, b| a && b)
    }

    /// The weights and biases fitted last.
    pub(crate) fn weights(&self) -> LinearWeights {
        let mut weights = Array2::zeros((self.n_features, self.n_topics));
        let rows = weights.as_slice_mut().unwrap_or_default().chunks_exact_mut(self.n_topics.max(1));
        rows.enumerate().for_each(|(feature, row)| self.write_weights(feature, row));
        LinearWeights { weights, biases: self.biases() }
    }

    /// The same of some features, in the order given, in 8 bits.
    pub(crate) fn quantized_weights_of(&self, features: &[u32]) -> QuantizedWeights {
        let round = |features: &[u32]| {
            let (mut rounded, mut row) = (RoundedRows::default(), vec![0.0; self.n_topics]);
            for &feature in features {
                self.write_weights(feature as usize, &mut row);
                rounded.push(row.iter().copied());
            }
            rounded
        };
        let rounded: Vec<RoundedRows> = features.par_chunks(FEATURES_PER_TASK).map(round).collect();
        QuantizedWeights::of_rounded(&rounded, &self.biases())
    }

    /// Writes a feature's weights, one a topic.
    pub(crate) fn write_weights(&self, feature: usize, row: &mut [f32]) {
        let place = self.rows.weights_place(feature);
        for block in &self.blocks {
            let row = &mut row[block.first_topic..block.first_topic + block.n_lanes];
            match place {
                WeightsPlace::Common(number) => row.copy_from_slice(&block.weights[number].0[..block.n_lanes]),
                WeightsPlace::Rare(entries) => {
                    row.fill(0.0);
                    for &(document, value) in entries {
                        let duals = block.duals[document as usize].0;
                        row.iter_mut().zip(duals).for_each(|(weight, dual)| *weight += dual * value);
                    }
                }
            }
        }
    }

    pub(crate) fn biases(&self) -> Array1<f32> {
        self.blocks.iter().flat_map(|block| &block.bias[..block.n_lanes]).copied().collect()
    }
}

/// The problems of one block of topics.
struct BlockSolver {
    first_topic: usize,
    n_lanes: usize,
    /// Bit `lane` of a document's byte says whether it has the lane's topic.
    positives: Vec<u8>,
    positive_factors: Lanes,
    /// The primal solution, by common feature; always Σ signed dual · value.
    weights: Vec<AlignedLanes>,
    bias: Lanes,
    /// The same of the dense features, by dimension.
    dense_weights: Vec<AlignedLanes>,
    /// The dual variables, by document, each with the sign of its document.
    duals: Vec<AlignedLanes>,
}

/// All there is of the documents.
#[derive(Clone, Copy)]
struct Rows<'a> {
    sparse: &'a SolverRows,
    dense: Option<&'a DenseRows>,
}

/// What a pass learns about how far each lane is from its optimum.
#[derive(Clone, Copy)]
struct Violations {
    largest: Lanes,
    smallest: Lanes,
}

impl BlockSolver {
    fn new(
        rows: &SolverRows,
        targets: &Targets,
        params: &LinearSvmValidParams,
        topics: std::ops::Range<usize>,
    ) -> Self {
        let n_documents = targets.n_documents();
        let lane_of = |topic: &u32| (*topic as usize).checked_sub(topics.start).filter(|&lane| lane < topics.len());
        let positives: Vec<u8> = (0..n_documents)
            .map(|document| targets.of(document).iter().filter_map(lane_of).fold(0, |bits, lane| bits | 1 << lane))
            .collect();
        let mut positive_factors = [1.0; LANES];
        for (lane, factor) in positive_factors.iter_mut().enumerate().take(topics.len()) {
            let n_positive = positives.iter().filter(|&&bits| bits >> lane & 1 == 1).count();
            *factor = params.balance.positive_factor(n_positive, n_documents - n_positive);
        }
        Self {
            first_topic: topics.start,
            n_lanes: topics.len(),
            positives,
            positive_factors,
            weights: vec![AlignedLanes([0.0; LANES]); rows.common.nfeatures()],
            bias: [0.0; LANES],
            dense_weights: Vec::new(),
            duals: vec![AlignedLanes([0.0; LANES]); n_documents],
        }
    }

    /// Makes the weights of dense features what the dual variables say.
    fn add_up_dense_weights(&mut self, dense: &DenseRows) {
        let mut weights = vec![AlignedLanes([0.0; LANES]); dense.n_dimensions()];
        for (document, duals) in self.duals.iter().enumerate() {
            if duals.0 != [0.0; LANES] {
                add_scaled_dense(&mut weights, dense.row(document), duals.0);
            }
        }
        self.dense_weights = weights;
    }

    /// Descends until every lane's largest and smallest projected gradient over all documents are within tolerance.
    fn solve(&mut self, rows: Rows<'_>, c: f32, params: &LinearSvmValidParams, is_cancelled: IsCancelled<'_>) -> bool {
        let n_documents = self.duals.len();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(params.seed);
        let mut active: Vec<u32> = (0..n_documents as u32).collect();
        let settled = SETTLED_SHARE * params.tolerance;
        // Passes over a few documents count for what they are.
        let mut n_steps_left = params.max_passes.saturating_mul(n_documents.max(1));
        while n_steps_left > 0 {
            n_steps_left = n_steps_left.saturating_sub(active.len().max(1));
            if is_cancelled() {
                return false;
            }
            shuffle(&mut active, &mut random);
            let whole = active.len() == n_documents;
            let violations = self.pass(rows, c, &mut active, settled);
            let within = |lane: usize| violations.largest[lane] - violations.smallest[lane] <= params.tolerance;
            if (0..self.n_lanes).all(within) {
                if whole {
                    return true;
                }
                // Within tolerance on the documents that were left: look at all of them again.
                active = (0..n_documents as u32).collect();
            }
        }
        false
    }

    /// One step for each active document; those that are settled leave.
    fn pass(&mut self, rows: Rows<'_>, c: f32, active: &mut Vec<u32>, settled: f32) -> Violations {
        let mut violations = Violations { largest: [0.0; LANES], smallest: [0.0; LANES] };
        let diagonals =
            Diagonals { negative: 0.5 / c, positive: self.positive_factors.map(|factor| 0.5 / (c * factor)) };
        let pass = Pass { block: self, rows, active, diagonals: &diagonals, settled, violations: &mut violations };
        // With the widest registers that the processor has; the arithmetic, and so the result, is the same with all.
        dispatch(pass);
        violations
    }

    /// Has what is kept of a document fetched, and what says where its row is.
    #[inline(always)]
    fn fetch(&self, processor: impl Processor, rows: Rows<'_>, document: usize) {
        processor.prefetch(&self.duals[document]);
        processor.prefetch(&self.positives[document]);
        rows.sparse.fetch(processor, document);
    }

    /// Moves a document's dual variables to their optimum given all others; says whether the document stays active.
    #[inline(always)]
    fn step(
        &mut self,
        Rows { sparse: rows, dense }: Rows<'_>,
        document: usize,
        diagonals: &Diagonals,
        settled: f32,
        violations: &mut Violations,
    ) -> bool {
        let row = rows.common.row(document);
        let mut margins = self.bias;
        add_common(&mut margins, &self.weights, row);
        add_rare(&mut margins, &self.duals, rows.rare.row(document));
        let mut squared_norm = rows.squared_norms[document];
        if let Some(dense) = dense {
            add_dense(&mut margins, &self.dense_weights, dense.row(document));
            squared_norm += dense.squared_norm(document);
        }
        let (duals, positives) = (&mut self.duals[document].0, self.positives[document]);
        let inverse_weight = rows.inverse_weights[document];
        let (mut steps, mut stays, mut moves) = ([0.0; LANES], false, false);
        for lane in 0..LANES {
            let is_positive = positives >> lane & 1 == 1;
            let (sign, diagonal) =
                if is_positive { (1.0, diagonals.positive[lane]) } else { (-1.0, diagonals.negative) };
            let diagonal = diagonal * inverse_weight;
            let dual = duals[lane] * sign;
            let gradient = sign * margins[lane] - 1.0 + dual * diagonal;
            let projected = if dual > 0.0 { gradient } else { gradient.min(0.0) };
            // Lanes without a topic move nothing.
            let projected = if lane < self.n_lanes { projected } else { 0.0 };
            stays |= projected.abs() > settled;
            violations.largest[lane] = violations.largest[lane].max(projected);
            violations.smallest[lane] = violations.smallest[lane].min(projected);
            let optimum = (dual - gradient / (squared_norm + diagonal)).max(0.0);
            let next = if projected.abs() > 1e-12 { optimum } else { dual };
            moves |= next != dual;
            steps[lane] = (next - dual) * sign;
            duals[lane] = next * sign;
        }
        if moves {
            add_scaled(&mut self.weights, &mut self.bias, row, steps);
            if let Some(dense) = dense {
                add_scaled_dense(&mut self.dense_weights, dense.row(document), steps);
            }
        }
        stays
    }
}

/// One pass.
struct Pass<'a> {
    block: &'a mut BlockSolver,
    rows: Rows<'a>,
    active: &'a mut Vec<u32>,
    diagonals: &'a Diagonals,
    settled: f32,
    violations: &'a mut Violations,
}

impl Work for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn on(self, processor: impl Processor) {
        let mut n_kept = 0;
        for place in 0..self.active.len() {
            if let Some(&ahead) = self.active.get(place + DOCUMENTS_AHEAD) {
                self.block.fetch(processor, self.rows, ahead as usize);
            }
            if let Some(&ahead) = self.active.get(place + ROWS_AHEAD) {
                self.rows.sparse.fetch_rows(processor, ahead as usize);
                if let Some(dense) = self.rows.dense {
                    dense.fetch_row(processor, ahead as usize);
                }
            }
            let document = self.active[place];
            if self.block.step(self.rows, document as usize, self.diagonals, self.settled, self.violations) {
                self.active[n_kept] = document;
                n_kept += 1;
            }
        }
        self.active.truncate(n_kept);
    }
}

/// What squared hinge loss adds to the diagonal of the dual problem's matrix: 1 / 2C, by the document's sign; of a document
/// with a weight, divided by it.
struct Diagonals {
    negative: f32,
    positive: Lanes,
}

/// Adds weight · value of a row's common features to the margins.
#[inline(always)]
fn add_common(margins: &mut Lanes, weights: &[AlignedLanes], row: SparseRow<'_>) {
    let mut sums = [[0.0; LANES]; SUMS];
    let (features, last_features) = row.features.as_chunks::<SUMS>();
    let (values, last_values) = row.values.as_chunks::<SUMS>();
    for (features, values) in features.iter().zip(values) {
        for place in 0..SUMS {
            let weights = &weights[features[place] as usize].0;
            for lane in 0..LANES {
                sums[place][lane] += weights[lane] * values[place];
            }
        }
    }
    for (&feature, &value) in last_features.iter().zip(last_values) {
        let weights = &weights[feature as usize].0;
        for lane in 0..LANES {
            sums[0][lane] += weights[lane] * value;
        }
    }
    for lane in 0..LANES {
        margins[lane] += (sums[0][lane] + sums[1][lane]) + (sums[2][lane] + sums[3][lane]);
    }
}

/// Adds what the rare features, whose weights aren't kept, add to the margins.
#[inline(always)]
fn add_rare(margins: &mut Lanes, duals: &[AlignedLanes], products: SparseRow<'_>) {
    add_common(margins, duals, products);
}

/// Adds weight · component of a dense row to the margins.
#[inline(always)]
fn add_dense(margins: &mut Lanes, weights: &[AlignedLanes], (row, factor): (&[f32], f32)) {
    let mut sums = [[0.0; LANES]; SUMS];
    let n_whole = row.len() / SUMS * SUMS;
    // As long as each other, so that the compiler needn't look at each place.
    let weights = &weights[..row.len()];
    let mut dimension = 0;
    while dimension < n_whole {
        for place in 0..SUMS {
            let (weights, component) = (&weights[dimension + place].0, row[dimension + place]);
            for lane in 0..LANES {
                sums[place][lane] += weights[lane] * component;
            }
        }
        dimension += SUMS;
    }
    for dimension in n_whole..row.len() {
        let (weights, component) = (&weights[dimension].0, row[dimension]);
        for lane in 0..LANES {
            sums[0][lane] += weights[lane] * component;
        }
    }
    for lane in 0..LANES {
        margins[lane] += factor * ((sums[0][lane] + sums[1][lane]) + (sums[2][lane] + sums[3][lane]));
    }
}

#[inline(always)]
fn add_scaled_dense(weights: &mut [AlignedLanes], (row, factor): (&[f32], f32), steps: Lanes) {
    let mut scaled = [0.0; LANES];
    for lane in 0..LANES {
        scaled[lane] = steps[lane] * factor;
    }
    let weights = &mut weights[..row.len()];
    for dimension in 0..row.len() {
        let (weights, component) = (&mut weights[dimension].0, row[dimension]);
        for lane in 0..LANES {
            weights[lane] += scaled[lane] * component;
        }
    }
}

#[inline(always)]
fn add_scaled(weights: &mut [AlignedLanes], bias: &mut Lanes, row: SparseRow<'_>, steps: Lanes) {
    for (feature, value) in row.iter() {
        let weights = &mut weights[feature].0;
        for lane in 0..LANES {
            weights[lane] += steps[lane] * value;
        }
    }
    for lane in 0..LANES {
        bias[lane] += steps[lane];
    }
}

/// Fisher-Yates. Our own, because what `rand` draws for the same seed may change between its versions.
fn shuffle(documents: &mut [u32], random: &mut Xoshiro256PlusPlus) {
    for last in (1..documents.len()).rev() {
        // The bias of the product method is below 2⁻³², nothing to a solver.
        let other = (u64::from(random.r#gen::<u32>()) * (last as u64 + 1)) >> 32;
        documents.swap(last, other as usize);
    }
}

#[cfg(test)]
mod tests {
    use linfa::ParamGuard;

    use crate::cancellation::never;

    use super::super::{Balance, LinearSvmParams};
    use super::*;

    /// Ten topics, each with a feature of its own, and some wrong labels; two features that say little.
    fn problem() -> (SparseRows, Targets) {
        let mut rows = SparseRows::new(13);
        let topic = |document: u32| (document * 7 + document / 9) % 10;
        for document in 0..60 {
            let features = [topic(document), 10 + document % 2, 12];
            let value = 0.5 + 0.01 * document as f32;
            rows.push(SparseRow { features: &features, values: &[value, 1.0, 0.3] });
        }
        (rows, Targets::new(10, (0..60).map(|document| [if document % 13 == 0 { 3 } else { topic(document) }])))
    }

    /// Of features that many, two, one and no documents hold, in more than one task, in any order and on any number of threads.
    #[test]
    fn weights_in_8_bits_are_those_in_32_bits_rounded() {
        let n_features = 2 * FEATURES_PER_TASK as u32 + 3;
        let mut rows = SparseRows::new(n_features as usize);
        for document in 0..60 {
            let features = [
                document / 2,
                40 + document % 10,
                FEATURES_PER_TASK as u32 - 6 + document,
                n_features - 4 + document % 4,
            ];
            rows.push(SparseRow { features: &features, values: &[0.3, 1.0, 0.5, 0.01 * document as f32] });
        }
        let targets = Targets::new(10, (0..60).map(|document| [document % 10]));
        let params = LinearSvmParams::default().check().unwrap();
        let mut solver = OneVsRestSolver::new(&rows, &targets, None, &params).unwrap();
        solver.solve(1.0, &params, &never);
        let features: Vec<u32> = (0..n_features).rev().filter(|feature| feature % 7 != 3).collect();
        let expected = solver.weights().quantize(&features);
        assert!(expected.weights().iter().any(|&weight| weight != 0));
        for n_threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let rounded = pool.install(|| solver.quantized_weights_of(&features));
            let bytes_of = |of: &QuantizedWeights| {
                [of.weights().as_bytes(), of.scales().as_bytes(), of.biases().as_bytes()].concat()
            };
            assert!(bytes_of(&rounded) == bytes_of(&expected));
        }
    }

    #[test]
    fn going_on_from_a_smaller_c_ends_where_starting_anew_does() {
        let (rows, targets) = problem();
        let params = LinearSvmParams::default().tolerance(1e-5).max_passes(100_000).check().unwrap();
        let mut solver = OneVsRestSolver::new(&rows, &targets, None, &params).unwrap();
        let solve = |solver: &mut OneVsRestSolver, c| {
            assert!(solver.solve(c, &params, &never), "not within tolerance");
            solver.weights()
        };
        let small = solve(&mut solver, 0.25);
        let warm = solve(&mut solver, 4.0);
        let cold = solve(&mut OneVsRestSolver::new(&rows, &targets, None, &params).unwrap(), 4.0);
        let distance = |other: &LinearWeights| {
            let distances = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let weights = [other, &cold].map(|fitted| fitted.weights.iter().copied().collect::<Vec<f32>>());
            distances(&weights[0], &weights[1]).max(distances(&other.biases.to_vec(), &cold.biases.to_vec()))
        };
        assert!(distance(&warm) < 1e-4, "{}", distance(&warm));
        assert!(distance(&small) > 0.1);
    }

    #[test]
    fn fitting_stops_after_the_last_pass_and_says_so() {
        let (rows, targets) = problem();
        let params = LinearSvmParams::default().tolerance(1e-5).max_passes(1).check().unwrap();
        let mut solver = OneVsRestSolver::new(&rows, &targets, None, &params).unwrap();
        assert!(!solver.solve(1.0, &params, &never));
        assert!(solver.weights().weights.iter().all(|weight| weight.is_finite()));
    }

    /// Whatever was left out on the way (documents that were settled, topics that were done before the others of their block):
    /// in the end no document of any topic has a projected gradient beyond the tolerance.
    #[test]
    fn every_document_is_within_tolerance_in_the_end() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(3);
        let (mut rows, mut topics) = (SparseRows::new(30), Vec::new());
        for document in 0..1500 {
            let mut features: Vec<u32> = (0..8).map(|_| random.r#gen::<u32>() % 30).collect();
            features.sort_unstable();
            features.dedup();
            topics.push([if document % 10 == 0 { random.r#gen::<u32>() % 8 } else { (features[0] / 2).min(7) }]);
            rows.push(SparseRow { features: &features, values: &vec![0.4; features.len()] });
        }
        let targets = Targets::new(8, topics);
        let (c, tolerance) = (4.0, 0.01);
        let params = LinearSvmParams::default().balance(Balance::None).tolerance(tolerance).check().unwrap();
        let mut solver = OneVsRestSolver::new(&rows, &targets, None, &params).unwrap();
        assert!(solver.solve(c, &params, &never), "not within tolerance");
        let LinearWeights { weights, biases } = solver.weights();
        for (document, row) in rows.iter().enumerate() {
            for topic in 0..8 {
                let sign = if targets.has(document, topic) { 1.0 } else { -1.0 };
                let dual = solver.blocks[0].duals[document].0[topic] * sign;
                let margin = row.iter().fold(biases[topic], |sum, (f, value)| sum + value * weights[(f, topic)]);
                let gradient = sign * margin - 1.0 + dual * 0.5 / c;
                let violation = if dual > 0.0 { gradient.abs() } else { -gradient };
                assert!(violation <= tolerance, "document {document}, topic {topic}: {violation}");
            }
        }
    }

    /// Another order would change every model's bytes.
    #[test]
    fn the_order_of_documents_is_the_same_in_every_version() {
        let mut documents: Vec<u32> = (0..10).collect();
        shuffle(&mut documents, &mut Xoshiro256PlusPlus::seed_from_u64(1));
        assert_eq!(documents, [4, 7, 9, 3, 2, 1, 5, 0, 6, 8]);
    }
}
