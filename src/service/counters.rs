//! What was done since the start, counted where it is done, without a lock. Who shows the counts is for others to say.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::abstention::{AbstainReason, Decision};
use crate::classifier::Classification;

/// Documents that were classified.
#[derive(Debug, Default)]
pub struct DocumentCounters {
    assigned: AtomicU64,
    abstained: [AtomicU64; REASONS.len()],
    failed: AtomicU64,
    n_bytes: AtomicU64,
    n_tokens: AtomicU64,
    n_known_tokens: AtomicU64,
}

/// All reasons to abstain.
const REASONS: [AbstainReason; 5] = [
    AbstainReason::LowProbability,
    AbstainReason::SmallMargin,
    AbstainReason::FewKnownTokens,
    AbstainReason::NoTokens,
    AbstainReason::OtherLanguage,
];

/// The counts of [`DocumentCounters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentCounts {
    /// Documents that topics were assigned to, or that the decision gives none.
    pub n_assigned: u64,
    /// Documents that the model abstained on, by reason.
    pub n_abstained: [(AbstainReason, u64); REASONS.len()],
    /// Documents that had no answer, for a fault of ours.
    pub n_failed: u64,
    /// Bytes of title and text of those that had one.
    pub n_bytes: u64,
    /// Their tokens.
    pub n_tokens: u64,
    /// Those that the vocabulary of the version that answered has.
    pub n_known_tokens: u64,
}

impl DocumentCounters {
    /// Counts a document's answer.
    pub(super) fn add(&self, answer: &Classification) {
        let of_decision = match answer.decision {
            Decision::Assigned => &self.assigned,
            Decision::Abstained(reason) => &self.abstained[place(reason)],
        };
        add(of_decision, 1);
        add(&self.n_bytes, answer.stats.n_bytes as u64);
        add(&self.n_tokens, answer.stats.n_tokens as u64);
        add(&self.n_known_tokens, answer.stats.n_known_tokens as u64);
    }

    /// Counts a document that had none.
    pub(super) fn add_failed(&self) {
        add(&self.failed, 1);
    }

    /// What was counted so far.
    pub fn counts(&self) -> DocumentCounts {
        DocumentCounts {
            n_assigned: read(&self.assigned),
            n_abstained: REASONS.map(|reason| (reason, read(&self.abstained[place(reason)]))),
            n_failed: read(&self.failed),
            n_bytes: read(&self.n_bytes),
            n_tokens: read(&self.n_tokens),
            n_known_tokens: read(&self.n_known_tokens),
        }
    }
}

/// A reason's place in [`REASONS`].
fn place(reason: AbstainReason) -> usize {
    match reason {
        AbstainReason::LowProbability => 0,
        AbstainReason::SmallMargin => 1,
        AbstainReason::FewKnownTokens => 2,
        AbstainReason::NoTokens => 3,
        AbstainReason::OtherLanguage => 4,
    }
}

/// How a training job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingOutcome {
    /// Its version is the stable one.
    Promoted,
    /// Its version is the candidate.
    Candidate,
    /// Its version has no alias.
    Stored,
    /// It failed.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl TrainingOutcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Promoted, Self::Candidate, Self::Stored, Self::Failed, Self::Cancelled];
}

/// Training jobs that have ended.
#[derive(Debug)]
pub struct TrainingCounters {
    ended: [AtomicU64; TrainingOutcome::ALL.len()],
    microseconds: AtomicU64,
}

impl Default for TrainingCounters {
    fn default() -> Self {
        Self { ended: array::from_fn(|_| AtomicU64::new(0)), microseconds: AtomicU64::new(0) }
    }
}

impl TrainingCounters {
    /// Counts a job that took so long.
    pub(super) fn add(&self, outcome: TrainingOutcome, took: Duration) {
        add(&self.ended[outcome as usize], 1);
        add(&self.microseconds, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Jobs that ended so.
    pub fn n_ended(&self, outcome: TrainingOutcome) -> u64 {
        read(&self.ended[outcome as usize])
    }

    /// How long all of them took together.
    pub fn duration(&self) -> Duration {
        Duration::from_micros(read(&self.microseconds))
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_count() {
        assert_eq!(REASONS.map(place), [0, 1, 2, 3, 4]);
        assert_eq!(TrainingOutcome::ALL.map(|outcome| outcome as usize), [0, 1, 2, 3, 4]);
    }
}
