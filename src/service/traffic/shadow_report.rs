//! What a candidate would have answered: how often it agrees with the version that answers, where it doesn't, and how long both
//! take. Counted since the pair was first seen together.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

/// Pairs of topics that are told apart; others that come later aren't told.
const MAX_FLIPS: usize = 1000;

/// Two versions side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowReport {
    /// The version that answers.
    pub stable: NonZeroU32,
    /// The one that doesn't.
    pub candidate: NonZeroU32,
    /// Documents that both were asked about.
    pub n_documents: u64,
    /// Documents that both assign the same topics to.
    pub n_agreed: u64,
    /// For documents where they don't: a topic that only the stable version assigns, one that only the candidate does, and how
    /// often. Where either assigns more than the other, the one that is missing is empty.
    pub flips: BTreeMap<(String, String), u64>,
    /// How long the stable version takes.
    pub stable_times: Times,
    /// How long the candidate takes.
    pub candidate_times: Times,
}

/// How long something took: counts by duration, in steps of an eighth.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Times {
    counts: BTreeMap<i32, u64>,
    n: u64,
}

/// Steps between a duration and twice as much.
const STEPS_PER_DOUBLING: f64 = 6.0;

impl Times {
    /// Counts one.
    pub fn add(&mut self, duration: Duration) {
        let step = (duration.as_nanos().max(1) as f64).log2() * STEPS_PER_DOUBLING;
        *self.counts.entry(step.ceil() as i32).or_default() += 1;
        self.n += 1;
    }

    /// The duration that a share of all, from 0 to 1, stays within; at most an eighth too long. `None` without any.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = (share * self.n as f64).ceil().max(1.0) as u64;
        let mut n_within = 0;
        let step = self.counts.iter().find(|&(_, n)| {
            n_within += n;
            n_within >= rank
        });
        step.map(|(&step, _)| Duration::from_nanos((f64::from(step) / STEPS_PER_DOUBLING).exp2() as u64))
    }
}

impl ShadowReport {
    /// Two versions that nothing was asked about yet.
    pub fn new(stable: NonZeroU32, candidate: NonZeroU32) -> Self {
        Self {
            stable,
            candidate,
            n_documents: 0,
            n_agreed: 0,
            flips: BTreeMap::new(),
            stable_times: Times::default(),
            candidate_times: Times::default(),
        }
    }

    /// Counts a document, given the topics that the stable version and the candidate assign, and how long they took.
    pub fn add(&mut self, [stable, candidate]: &[Vec<String>; 2], [stable_time, candidate_time]: [Duration; 2]) {
        self.n_documents += 1;
        self.stable_times.add(stable_time);
        self.candidate_times.add(candidate_time);
        let only_in = |these: &[String], others: &[String]| -> Vec<String> {
            these.iter().filter(|topic| !others.contains(topic)).cloned().collect()
        };
        let (lost, gained) = (only_in(stable, candidate), only_in(candidate, stable));
        if lost.is_empty() && gained.is_empty() {
            self.n_agreed += 1;
        }
        for place in 0..lost.len().max(gained.len()) {
            let topic = |topics: &[String]| topics.get(place).cloned().unwrap_or_default();
            let flip = (topic(&lost), topic(&gained));
            if self.flips.contains_key(&flip) || self.flips.len() < MAX_FLIPS {
                *self.flips.entry(flip).or_default() += 1;
            }
        }
    }

    /// The share of documents that both assign the same topics to; `None` without any.
    pub fn agreement(&self) -> Option<f64> {
        (self.n_documents > 0).then(|| self.n_agreed as f64 / self.n_documents as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_and_flips_are_counted() {
        let mut report = ShadowReport::new(NonZeroU32::MIN, NonZeroU32::MAX);
        assert_eq!(report.agreement(), None);
        let mut add = |stable: &[&str], candidate: &[&str]| {
            let topics = [stable, candidate].map(|topics| topics.iter().map(ToString::to_string).collect());
            report.add(&topics, [Duration::from_micros(30), Duration::from_micros(60)]);
        };
        add(&["war"], &["war"]);
        add(&["war"], &["sport"]);
        add(&["a", "war"], &["sport", "war"]);
        add(&["a", "b"], &["a"]);
        add(&[], &["sport"]);
        let flip = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let expected = [(flip("", "sport"), 1), (flip("a", "sport"), 1), (flip("b", ""), 1), (flip("war", "sport"), 1)];
        assert_eq!(report.flips.clone().into_iter().collect::<Vec<_>>(), expected);
        assert_eq!((report.n_documents, report.n_agreed), (5, 1));
        assert!(report.stable_times.quantile(0.5) < report.candidate_times.quantile(0.5));
    }

    #[test]
    fn quantiles_are_at_most_an_eighth_too_long() {
        let mut times = Times::default();
        assert_eq!(times.quantile(0.5), None);
        (1..=1000).for_each(|microseconds| times.add(Duration::from_micros(microseconds)));
        for (share, exact) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = times.quantile(share).unwrap().as_secs_f64() * 1e6;
            assert!((exact * 0.999..exact * 1.125).contains(&found), "{share}: {found} instead of {exact}");
        }
    }
}
