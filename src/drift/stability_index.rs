//! The population stability index: how far the distribution of what is served is from the distribution in training.
//!
//! PSI = Σ (o − e) · ln(o / e) over the bins, with e a bin's share in training and o its share of what is served. It is
//! Jeffreys' divergence, the sum of both Kullback-Leibler divergences (Kullback & Leibler, "On Information and Sufficiency",
//! Annals of Mathematical Statistics 22, 1951): 0 for the same shares, never negative, the same from either side.
//!
//! The levels, below 0.10, from there on, and from 0.25 on, are the rule of thumb of credit scoring (Lewis, "An Introduction to
//! Credit Scoring", 1994; Siddiqi, "Credit Risk Scorecards", Wiley 2006). By chance alone PSI is about (1/n + 1/m) · χ² with
//! one degree of freedom less than there are bins, for n and m documents (Yurdakul & Naranjo, "Statistical properties of the
//! population stability index", Journal of Risk Model Validation 14(4), 2020). With [`MIN_DOCUMENTS_PER_BIN`] that is 0.05 on
//! average for a training set that is much larger than what was served, and 0.1 for one of the same size: far from
//! [`SIGNIFICANT`].

/// From here on a shift is moderate.
pub const MODERATE: f64 = 0.1;
/// From here on it is significant.
pub const SIGNIFICANT: f64 = 0.25;
/// Documents that there must be for each bin that training filled, in training and served, or chance makes the index.
pub const MIN_DOCUMENTS_PER_BIN: u64 = 20;
/// Documents that there must be in any case.
pub const MIN_DOCUMENTS: u64 = 200;
/// How many documents an empty bin counts as where the other side's isn't empty, so that the logarithm is finite.
const EMPTY_BIN: f64 = 0.5;

/// What an index means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// There is nothing to compare with: the model was trained before references were kept.
    NoReference,
    /// Too few documents were served, or trained on, to tell a shift from chance.
    TooFewDocuments,
    /// Below [`MODERATE`].
    Stable,
    /// From [`MODERATE`] on.
    Moderate,
    /// From [`SIGNIFICANT`] on.
    Significant,
}

/// How far one feature of what is served is from training.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureDrift {
    /// What the index means.
    pub level: Level,
    /// The index; `None` where the level says that there is none.
    pub index: Option<f64>,
    /// The documents that must have been served, and trained on, for an index; `None` without a reference.
    pub min_documents: Option<u64>,
    /// Each bin, in the order of the counts.
    pub bins: Vec<BinDrift>,
}

/// One bin of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BinDrift {
    /// Its share in training; `None` without a reference.
    pub expected_share: Option<f64>,
    /// Its share of what was served; `None` if nothing was.
    pub observed_share: Option<f64>,
    /// What it adds to the index, also where there are too few documents for one.
    pub contribution: Option<f64>,
}

impl FeatureDrift {
    /// Compares numbers of documents by bin.
    pub fn of(expected: Option<&[u64]>, observed: &[u64]) -> Self {
        let n_observed = observed.iter().sum::<u64>();
        let Some(expected) = expected else {
            let bin = |&n| BinDrift { observed_share: share(n, n_observed), ..BinDrift::default() };
            let bins = observed.iter().map(bin).collect();
            return Self { level: Level::NoReference, index: None, min_documents: None, bins };
        };
        let n_expected = expected.iter().sum::<u64>();
        let bin = |(&expected, &observed)| BinDrift {
            expected_share: share(expected, n_expected),
            observed_share: share(observed, n_observed),
            contribution: (n_expected > 0 && n_observed > 0)
                .then(|| contribution((expected, n_expected), (observed, n_observed))),
        };
        let bins: Vec<BinDrift> = expected.iter().zip(observed).map(bin).collect();
        let n_filled = expected.iter().filter(|&&n| n > 0).count() as u64;
        let min_documents = MIN_DOCUMENTS.max(MIN_DOCUMENTS_PER_BIN * n_filled);
        let is_enough = n_expected.min(n_observed) >= min_documents;
        let index = is_enough.then(|| bins.iter().filter_map(|bin| bin.contribution).sum());
        let level = index.map_or(Level::TooFewDocuments, Level::of);
        Self { level, index, min_documents: Some(min_documents), bins }
    }
}

impl Level {
    /// The level of an index.
    pub fn of(index: f64) -> Self {
        if index >= SIGNIFICANT {
            Self::Significant
        } else if index >= MODERATE {
            Self::Moderate
        } else {
            Self::Stable
        }
    }
}

/// What a bin with so many documents of all expected ones, and of all observed ones, adds to the index.
fn contribution((expected, n_expected): (u64, u64), (observed, n_observed): (u64, u64)) -> f64 {
    if expected == 0 && observed == 0 {
        return 0.0;
    }
    let share = |n: u64, all: u64| (n as f64).max(EMPTY_BIN) / all as f64;
    let (expected, observed) = (share(expected, n_expected), share(observed, n_observed));
    (observed - expected) * (observed / expected).ln()
}

fn share(n: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| n as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(expected: &[u64], observed: &[u64]) -> f64 {
        FeatureDrift::of(Some(expected), observed).index.unwrap()
    }

    /// 0.1 · ln(0.6 / 0.5) − 0.1 · ln(0.4 / 0.5), by hand.
    #[test]
    fn the_index_is_the_sum_over_bins() {
        assert!((index(&[500, 500], &[600, 400]) - 0.040_546_510_810_816_44).abs() < 1e-12);
        assert_eq!(index(&[500, 300, 200], &[5000, 3000, 2000]), 0.0);
    }

    /// Half a document in the place of none: 0.2 more of 200, (0.2 − 0.0005) · ln(0.2 / 0.0005), beside 0.2 less.
    #[test]
    fn an_empty_bin_counts_as_half_a_document_and_two_empty_ones_as_nothing() {
        let expected = (0.2f64 - 0.0005) * (0.2f64 / 0.0005).ln() + (0.8f64 - 1.0) * 0.8f64.ln();
        assert!((index(&[1000, 0, 0], &[160, 40, 0]) - expected).abs() < 1e-12);
        assert_eq!(index(&[1000, 0, 0], &[200, 0, 0]), 0.0);
    }

    #[test]
    fn levels_begin_at_their_bounds() {
        let bounds =
            [(0.0, Level::Stable), (0.0999, Level::Stable), (0.1, Level::Moderate), (0.25, Level::Significant)];
        assert_eq!(bounds.map(|(index, _)| (index, Level::of(index))), bounds);
    }

    #[test]
    fn few_documents_on_either_side_have_no_index() {
        let of = |expected: &[u64], observed: &[u64]| {
            let drift = FeatureDrift::of(Some(expected), observed);
            (drift.level, drift.index.is_some(), drift.min_documents)
        };
        assert_eq!(of(&[1000, 1000], &[100, 99]), (Level::TooFewDocuments, false, Some(200)));
        assert_eq!(of(&[100, 99], &[1000, 1000]), (Level::TooFewDocuments, false, Some(200)));
        assert_eq!(of(&[1000, 1000], &[100, 100]), (Level::Stable, true, Some(200)));
        assert_eq!(of(&[100; 20], &[10; 20]), (Level::TooFewDocuments, false, Some(400)));
        assert_eq!(of(&[], &[]), (Level::TooFewDocuments, false, Some(200)));
        let shown = FeatureDrift::of(Some(&[1000, 1000]), &[3, 1]).bins[0];
        assert_eq!((shown.expected_share, shown.observed_share), (Some(0.5), Some(0.75)));
        assert!(shown.contribution.is_some());
        assert_eq!(FeatureDrift::of(Some(&[1000, 1000]), &[0, 0]).bins[0].observed_share, None);
    }

    #[test]
    fn without_a_reference_there_are_only_shares_of_what_was_served() {
        let drift = FeatureDrift::of(None, &[300, 100]);
        assert_eq!((drift.level, drift.index, drift.min_documents), (Level::NoReference, None, None));
        let bin = BinDrift { observed_share: Some(0.25), ..BinDrift::default() };
        assert_eq!(drift.bins[1], bin);
    }

    proptest! {
        /// Finite, never negative and the same from either side, whatever the counts are.
        #[test]
        fn any_counts_have_an_index(bins in prop::collection::vec((0u64..1 << 40, 0u64..1 << 40), 1..10)) {
            let (expected, observed): (Vec<u64>, Vec<u64>) = bins.into_iter().unzip();
            prop_assume!(expected.iter().sum::<u64>() >= 1000 && observed.iter().sum::<u64>() >= 1000);
            let index = index(&expected, &observed);
            prop_assert!(index.is_finite() && index >= -1e-12, "{index}");
            let turned = FeatureDrift::of(Some(&observed), &expected).index.unwrap();
            prop_assert!((index - turned).abs() <= 1e-9 * index.max(1.0), "{index} {turned}");
        }
    }
}
