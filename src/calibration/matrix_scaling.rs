//! Matrix scaling: a multinomial logistic regression from raw scores to topics, started from the identity.
//!
//! The problem is linfa-logistic's, which the tests compare with, and the optimiser is the same one: argmin's L-BFGS with the line search of
//! Moré & Thuente. Cost and gradient are ours: exact wherever the line search goes (linfa-logistic subtracts the largest number of all
//! documents before it takes exponentials, so that far from the optimum most of them are 0), both in one pass over the documents, on all
//! threads, and once a point, for which the line search asks for one after the other and L-BFGS for the gradient again.

use std::cell::RefCell;

use argmin::core::{ArgminError, CostFunction, Error, Executor, Gradient, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;

use super::exponential::{LANES, Lanes, exponential};
use crate::cancellation::IsCancelled;
use crate::processor::{Processor, Work, dispatch};

/// Past steps that L-BFGS remembers, as in linfa-logistic.
const N_REMEMBERED: usize = 10;
/// The length of the gradient of the mean loss at which fitting stops, and the iterations after which it stops all the same: what more of
/// them gain, they don't gain out of sample (docs/decisions.md, "Calibration").
const GRADIENT_TOLERANCE: f64 = 1e-3;
const MAX_ITERATIONS: u64 = 20;

/// Documents whose loss one thread adds up. The sums of the chunks are added in their order, so that threads don't change the bits.
const DOCUMENTS_PER_CHUNK: usize = 1024;

/// (Scores + 1) × classes, the weights and then the biases: fitted to documents × scores and each document's class, below the number of
/// columns of `start`, from where it goes. `strength` is that of L2, per document, on the weights alone. Where the line search fails, it is
/// the best point until then; `None` where there is nothing to fit to, or a score is so large that sums aren't finite, with which the
/// line search would look on for ever. Told to stop, it returns early, and what it returns means nothing.
pub(super) fn fit(
    mut scores: Array2<f64>,
    classes: &[usize],
    strength: f64,
    start: Array2<f64>,
    is_cancelled: IsCancelled<'_>,
) -> Option<Array2<f64>> {
    // About their means, the weights say nothing of the biases: it takes a third of the iterations.
    let means = scores.mean_axis(Axis(0))?;
    scores -= &means;
    if !scores.iter().all(|score| score.is_finite()) {
        return None;
    }
    let (n_scores, shape) = (scores.ncols(), start.dim());
    let loss = Loss { scores: scores.as_slice()?, n_scores, classes, n_classes: shape.1, strength };
    let problem = Problem { loss, last: RefCell::default(), is_cancelled };
    let optimizer =
        LBFGS::new(MoreThuenteLineSearch::new(), N_REMEMBERED).with_tolerance_grad(GRADIENT_TOLERANCE).ok()?;
    let begin = Array1::from_iter(with_biases_moved(start, &means));
    let executor = Executor::new(problem, optimizer).configure(|state| state.param(begin).max_iters(MAX_ITERATIONS));
    let fitted = executor.timer(false).run().ok()?;
    let best = Array2::from_shape_vec(shape, fitted.state.get_best_param()?.to_vec()).ok()?;
    Some(with_biases_moved(best, &-means))
}

/// The same for scores that are less by so much each.
fn with_biases_moved(mut fitted: Array2<f64>, by: &Array1<f64>) -> Array2<f64> {
    let (weights, mut biases) = fitted.view_mut().split_at(Axis(0), by.len());
    biases.row_mut(0).scaled_add(1.0, &by.dot(&weights));
    fitted
}

/// What is minimised: the mean of -ln p(class) and the penalty. A point is what [`fit`] returns, row after row.
struct Loss<'a> {
    /// Documents × scores, row after row.
    scores: &'a [f64],
    n_scores: usize,
    classes: &'a [usize],
    n_classes: usize,
    strength: f64,
}

/// The loss, as argmin asks for it.
struct Problem<'a> {
    loss: Loss<'a>,
    /// The point that was asked for last.
    last: RefCell<Option<Evaluated>>,
    is_cancelled: IsCancelled<'a>,
}

struct Evaluated {
    point: Array1<f64>,
    cost: f64,
    gradient: Array1<f64>,
}

impl Loss<'_> {
    fn at(&self, point: &Array1<f64>) -> Evaluated {
        let blocks = self.blocks(point);
        let chunks = self.scores.par_chunks(DOCUMENTS_PER_CHUNK * self.n_scores.max(1));
        let chunks = chunks.zip(self.classes.par_chunks(DOCUMENTS_PER_CHUNK));
        let of_chunk = |(scores, classes)| dispatch(Chunk { loss: self, point: &blocks, scores, classes });
        let sums: Vec<(f64, Vec<Lanes>)> = chunks.map(of_chunk).collect();
        let (mut cost, mut gradient) = (0.0, Array1::zeros(point.len()));
        for (chunk_cost, chunk_gradient) in sums {
            cost += chunk_cost;
            let slopes = chunk_gradient.as_flattened().chunks_exact(self.n_classes.next_multiple_of(LANES));
            let slopes = slopes.flat_map(|slopes| &slopes[..self.n_classes]);
            gradient.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += slope);
        }
        let n_documents = self.classes.len() as f64;
        cost /= n_documents;
        gradient /= n_documents;
        for (slope, weight) in gradient.iter_mut().zip(point).take(self.n_scores * self.n_classes) {
            cost += 0.5 * self.strength * weight * weight;
            *slope += self.strength * weight;
        }
        Evaluated { point: point.clone(), cost, gradient }
    }

    /// A point with its rows in blocks; what there is too much of the last one are classes that are next to impossible.
    fn blocks(&self, point: &Array1<f64>) -> Vec<Lanes> {
        let n_blocks = self.n_classes.div_ceil(LANES);
        let mut blocks = vec![[0.0; LANES]; (self.n_scores + 1) * n_blocks];
        blocks[self.n_scores * n_blocks..].fill([f64::MIN; LANES]);
        let places = blocks.chunks_exact_mut(n_blocks).flat_map(|row| &mut row.as_flattened_mut()[..self.n_classes]);
        places.zip(point).for_each(|(place, &number)| *place = number);
        blocks
    }
}

impl Problem<'_> {
    /// An error, with which the optimiser stops, when it is told to stop.
    fn evaluated<T>(&self, point: &Array1<f64>, get: impl FnOnce(&Evaluated) -> T) -> Result<T, Error> {
        let mut last = self.last.borrow_mut();
        let evaluated = match last.take().filter(|last| last.point == point) {
            Some(known) => known,
            None if (self.is_cancelled)() => {
                return Err(ArgminError::ConditionViolated { text: "cancelled".to_owned() }.into());
            }
            None => self.loss.at(point),
        };
        Ok(get(last.insert(evaluated)))
    }
}

impl CostFunction for Problem<'_> {
    type Param = Array1<f64>;
    type Output = f64;

    fn cost(&self, point: &Array1<f64>) -> Result<f64, Error> {
        self.evaluated(point, |evaluated| evaluated.cost)
    }
}

impl Gradient for Problem<'_> {
    type Param = Array1<f64>;
    type Gradient = Array1<f64>;

    fn gradient(&self, point: &Array1<f64>) -> Result<Array1<f64>, Error> {
        self.evaluated(point, |evaluated| evaluated.gradient.clone())
    }
}

/// A chunk's documents at a point.
struct Chunk<'a> {
    loss: &'a Loss<'a>,
    /// (Scores + 1) × blocks of classes.
    point: &'a [Lanes],
    scores: &'a [f64],
    classes: &'a [usize],
}

impl Work for Chunk<'_> {
    /// Σ -ln p(class) and its gradient.
    type Output = (f64, Vec<Lanes>);

    #[inline(always)]
    fn on(self, _: impl Processor) -> Self::Output {
        let n_scores = self.loss.n_scores;
        let n_blocks = self.point.len() / (n_scores + 1);
        let (weights, biases) = self.point.split_at(n_scores * n_blocks);
        let (mut cost, mut gradient) = (0.0, vec![[0.0; LANES]; self.point.len()]);
        let mut row = vec![[0.0; LANES]; n_blocks];
        for (scores, &class) in self.scores.chunks_exact(n_scores).zip(self.classes) {
            row.copy_from_slice(biases);
            for (&score, weights) in scores.iter().zip(weights.chunks_exact(n_blocks)) {
                add_scaled(&mut row, weights, score);
            }
            cost += off_target(&mut row, class);
            for (&score, slopes) in scores.iter().chain(&[1.0]).zip(gradient.chunks_exact_mut(n_blocks)) {
                add_scaled(slopes, &row, score);
            }
        }
        (cost, gradient)
    }
}

#[inline(always)]
fn add_scaled(sums: &mut [Lanes], numbers: &[Lanes], scale: f64) {
    for (sums, numbers) in sums.iter_mut().zip(numbers) {
        // A copy, because the compiler doesn't see that numbers aren't changed by what is written.
        let mut added = *sums;
        for lane in 0..LANES {
            added[lane] += scale * numbers[lane];
        }
        *sums = added;
    }
}

/// -ln p(class) by the softmax of a row of numbers; makes them the probabilities less what they should be.
#[inline(always)]
fn off_target(row: &mut [Lanes], class: usize) -> f64 {
    let (block, lane) = (class / LANES, class % LANES);
    let own = row[block][lane];
    let largest = row.as_flattened().iter().fold(f64::NEG_INFINITY, |largest, &number| largest.max(number));
    let mut sums = [0.0; LANES];
    for numbers in &mut *row {
        for lane in 0..LANES {
            numbers[lane] = exponential(numbers[lane] - largest);
            sums[lane] += numbers[lane];
        }
    }
    let sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    row.as_flattened_mut().iter_mut().for_each(|number| *number *= 1.0 / sum);
    row[block][lane] -= 1.0;
    sum.ln() + largest - own
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use linfa::dataset::Dataset;
    use linfa::traits::Fit;
    use linfa_logistic::MultiLogisticRegression;
    use ndarray::concatenate;
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::cancellation::never;

    const N_SCORES: usize = 7;
    const N_CLASSES: usize = 6;

    /// Seven scores, high for one of the six classes, or for the next one, and more documents than a chunk.
    fn problem() -> (Array2<f64>, Vec<usize>) {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        let classes: Vec<usize> = (0..2 * DOCUMENTS_PER_CHUNK + 77).map(|document| document / 3 % N_CLASSES).collect();
        let scores = Array2::from_shape_fn((classes.len(), N_SCORES), |(document, score)| {
            let near = f64::from((classes[document] + usize::from(document.is_multiple_of(3))) % N_CLASSES == score);
            near + random.r#gen::<f64>()
        });
        (scores, classes)
    }

    fn identity() -> Array2<f64> {
        Array2::from_shape_fn((N_SCORES + 1, N_CLASSES), |(score, class)| f64::from(score == class))
    }

    #[test]
    fn it_ends_where_linfa_logistic_ends() {
        let (scores, classes) = problem();
        // Few enough for its line search to stay where its loss is right.
        let (scores, classes) = (scores.select(Axis(0), &(0..100).collect::<Vec<_>>()), classes[..100].to_vec());
        let strength = 0.02;
        let expected = MultiLogisticRegression::default()
            .alpha(strength * 100.0)
            .gradient_tolerance(1e-9)
            .fit(&Dataset::new(scores.clone(), Array1::from(classes.clone())))
            .unwrap();
        let fitted = fit(scores, &classes, strength, identity(), &never).unwrap();
        let expected =
            concatenate![Axis(0), expected.params().clone(), expected.intercept().clone().insert_axis(Axis(0))];
        // What all classes have in common says nothing.
        let [fitted, expected] =
            [fitted, expected].map(|all| &all - &all.mean_axis(Axis(1)).unwrap().insert_axis(Axis(1)));
        let distance = (&fitted - &expected).iter().fold(0.0, |most: f64, by| most.max(by.abs()));
        assert!(distance < 0.02, "{distance}");
    }

    /// By differences of the cost.
    #[test]
    fn the_gradient_is_that_of_the_cost() {
        let (scores, classes) = problem();
        let loss = Loss {
            scores: scores.as_slice().unwrap(),
            n_scores: N_SCORES,
            classes: &classes,
            n_classes: N_CLASSES,
            strength: 0.1,
        };
        for scale in [0.3, 30.0] {
            let point = Array1::from_iter(identity()) * scale;
            let gradient = loss.at(&point).gradient;
            for place in 0..point.len() {
                let cost_at = |by: f64| {
                    let mut point = point.clone();
                    point[place] += by;
                    loss.at(&point).cost
                };
                let slope = (cost_at(1e-5) - cost_at(-1e-5)) / 2e-5;
                assert!((gradient[place] - slope).abs() < 1e-6, "{} instead of {slope}", gradient[place]);
            }
        }
    }

    /// Asked before each look at all documents; it has said yes once and isn't asked again.
    #[test]
    fn told_to_stop_it_stops() {
        let (scores, classes) = problem();
        let n_asked = AtomicUsize::new(0);
        fit(scores, &classes, 0.002, identity(), &|| n_asked.fetch_add(1, Ordering::Relaxed) == 2);
        assert_eq!(n_asked.into_inner(), 3);
    }

    #[test]
    fn threads_change_no_bit() {
        let (scores, classes) = problem();
        let with = |n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| fit(scores.clone(), &classes, 0.002, identity(), &never).unwrap())
        };
        assert_eq!(with(1), with(4));
    }

    #[test]
    fn what_is_no_number_is_not_fitted() {
        let (scores, classes) = problem();
        for wrong in [f64::NAN, f64::INFINITY] {
            let mut scores = scores.clone();
            scores[(5, 1)] = wrong;
            assert!(fit(scores, &classes, 0.002, identity(), &never).is_none());
        }
    }
}
