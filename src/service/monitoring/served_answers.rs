//! What one version answered: counted where it answers, without a lock, a clock or an allocation, and looked at over the last
//! day.
//!
//! Calls only add to counts that begin when the version is loaded. What they had come to is noted each hour by somebody else,
//! so that what was answered since is a difference. All of it is in memory only.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::classifier::Classification;
use crate::drift::{Bins, Distributions, N_CONFIDENCE_BINS, UNKNOWN_SHARE_BOUNDS};

/// How often [`ServedAnswers::mark`] is to be called.
pub(super) const SLOT: Duration = Duration::from_secs(60 * 60);
/// Slots of a window.
const N_SLOTS: usize = 24;
/// How far a window reaches back at least.
const WINDOW_MS: u64 = N_SLOTS as u64 * SLOT.as_millis() as u64;

/// The answers of one version, since it was loaded.
#[derive(Debug)]
pub(in crate::service) struct ServedAnswers {
    /// By topic, then by bin of confidence, then by bin of unknown tokens. By themselves on the heap: every call writes here,
    /// and what is beside this in a version every call reads.
    counts: Box<[AtomicU64]>,
    n_topics: usize,
    /// The oldest first; never empty. Nobody who answers takes the lock.
    marks: Mutex<VecDeque<Mark>>,
}

/// What the counts were at some time, in milliseconds since 1970, UTC.
#[derive(Debug)]
struct Mark {
    at_ms: u64,
    counts: Distributions,
}

/// What was answered from one time to another, both in milliseconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// When it begins: 24 to 25 hours before its end, or when the version was loaded.
    pub begin_ms: u64,
    /// When it ends.
    pub end_ms: u64,
    /// The documents with a token that were answered.
    pub answers: Distributions,
}

impl ServedAnswers {
    /// Of a version that is loaded now.
    pub(in crate::service) fn new(n_topics: usize, now_ms: u64) -> Self {
        let n_counts = n_topics + N_CONFIDENCE_BINS + UNKNOWN_SHARE_BOUNDS.len();
        let begin = Mark { at_ms: now_ms, counts: Distributions::new(n_topics) };
        Self {
            counts: (0..n_counts).map(|_| AtomicU64::new(0)).collect(),
            n_topics,
            marks: Mutex::new(VecDeque::from([begin])),
        }
    }

    /// Counts an answer. Its first topic is the most probable one whatever the caller's options are.
    pub(in crate::service) fn add(&self, answer: &Classification) {
        let Some(best) = answer.topics.first() else { return };
        let stats = answer.stats;
        if let Some(bins) = Bins::of(best.topic, best.probability, stats.n_known_tokens, stats.n_tokens) {
            let first_of_unknown = self.n_topics + N_CONFIDENCE_BINS;
            for place in [bins.topic, self.n_topics + bins.confidence, first_of_unknown + bins.unknown_tokens] {
                self.counts[place].fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Notes what the counts are now, and forgets what windows don't reach back to any more.
    pub(super) fn mark(&self, now_ms: u64) {
        let mut marks = self.marks();
        marks.push_back(Mark { at_ms: now_ms, counts: self.counts() });
        // Counted, too: a clock that is set back makes old marks look new.
        while marks.len() > N_SLOTS + 2 || marks.get(1).is_some_and(|second| second.at_ms + WINDOW_MS <= now_ms) {
            marks.pop_front();
        }
    }

    /// What was answered in the last 24 hours, and in the hour before as far as they begin within it.
    pub(super) fn window(&self, now_ms: u64) -> Window {
        let marks = self.marks();
        let mut answers = self.counts();
        let is_old_enough = |mark: &&Mark| mark.at_ms + WINDOW_MS <= now_ms;
        let begin = marks.iter().rev().find(is_old_enough).or(marks.front());
        let Some(begin) = begin else { return Window { begin_ms: now_ms, end_ms: now_ms, answers } };
        subtract(&mut answers.topics, &begin.counts.topics);
        subtract(&mut answers.confidence, &begin.counts.confidence);
        subtract(&mut answers.unknown_tokens, &begin.counts.unknown_tokens);
        Window { begin_ms: begin.at_ms.min(now_ms), end_ms: now_ms, answers }
    }

    /// All answers since the version was loaded. One that is just being counted may be in one of the three and not in another.
    fn counts(&self) -> Distributions {
        let mut counts = Distributions::new(self.n_topics);
        let Distributions { topics, confidence, unknown_tokens } = &mut counts;
        let places = topics.iter_mut().chain(confidence).chain(unknown_tokens);
        places.zip(&self.counts).for_each(|(place, count)| *place = count.load(Ordering::Relaxed));
        counts
    }

    fn marks(&self) -> MutexGuard<'_, VecDeque<Mark>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn subtract(counts: &mut [u64], earlier: &[u64]) {
    counts.iter_mut().zip(earlier).for_each(|(count, earlier)| *count = count.saturating_sub(*earlier));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abstention::Decision;
    use crate::classifier::TopicScore;
    use crate::features::DocumentStats;

    const HOUR: u64 = 60 * 60 * 1000;

    fn answer(topic: usize, probability: f64, n_known_tokens: usize) -> Classification {
        Classification {
            topics: vec![TopicScore { topic, probability, raw_score: 0.0, assigned: true }],
            decision: Decision::Assigned,
            stats: DocumentStats { n_bytes: 40, n_tokens: 10, n_known_tokens },
            explanations: Vec::new(),
        }
    }

    #[test]
    fn an_answer_is_counted_once_for_each_feature() {
        let served = ServedAnswers::new(3, 0);
        served.add(&answer(2, 0.95, 10));
        served.add(&answer(0, 0.35, 3));
        let mut nothing_read = answer(1, 0.5, 0);
        nothing_read.stats.n_tokens = 0;
        served.add(&nothing_read);
        let Window { begin_ms, end_ms, answers } = served.window(7);
        assert_eq!((begin_ms, end_ms, &answers.topics[..]), (0, 7, &[1, 0, 1][..]));
        assert_eq!((answers.confidence[3], answers.confidence[9], answers.confidence.iter().sum()), (1, 1, 2u64));
        assert_eq!((answers.unknown_tokens[0], answers.unknown_tokens[6]), (1, 1));
    }

    #[test]
    fn a_window_is_the_last_day_to_the_hour() {
        let served = ServedAnswers::new(2, 0);
        for hour in 1..=100 {
            served.add(&answer(0, 0.5, 5));
            served.mark(hour * HOUR);
            let begin = hour.saturating_sub(24);
            let window = served.window(hour * HOUR);
            assert_eq!((window.begin_ms, window.answers.n_documents()), (begin * HOUR, hour - begin));
            assert!(served.marks().len() <= 26);
        }
        served.add(&answer(1, 0.5, 5));
        let window = served.window(100 * HOUR + HOUR / 2);
        assert_eq!((window.begin_ms, &window.answers.topics[..]), (76 * HOUR, &[24, 1][..]));
    }

    /// Nothing was asked of the process for days, not even to look at its clock.
    #[test]
    fn a_window_begins_with_the_last_mark_that_is_old_enough() {
        let served = ServedAnswers::new(2, 0);
        served.mark(HOUR);
        served.add(&answer(0, 0.5, 5));
        let window = served.window(90 * HOUR);
        assert_eq!((window.begin_ms, window.answers.n_documents()), (HOUR, 1));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_grow() {
        let served = ServedAnswers::new(2, 1000 * HOUR);
        for hour in (0..100).rev() {
            served.mark(hour * HOUR);
        }
        assert_eq!(served.marks().len(), 26);
        let window = served.window(0);
        assert_eq!((window.begin_ms, window.end_ms), (0, 0));
    }
}
