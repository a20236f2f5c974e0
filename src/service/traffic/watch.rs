//! One classifier's watch: what a call does for it, which takes no lock unless its document is wanted, and what was learned.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::review_queue::{ReviewCandidate, ReviewQueue, margin};
use super::shadow_report::ShadowReport;
use super::unknown_terms::UnknownTerms;
use crate::classifier::Classification;
use crate::document::{ContentHash, Document};
use crate::service::live::{LiveVersion, now_ms};
use crate::service::settings::{ReviewSettings, ShadowSettings};

/// Documents that wait to be looked at; what comes on top of them isn't looked at.
const MAX_WAITING: usize = 1024;
/// Bytes of their titles and texts, at most.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// The share of documents whose words are looked up, where a classifier has a review queue.
const UNKNOWN_TERMS_SHARE: f64 = 0.25;

/// A copy of a document that was just served, and what it is wanted for.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) watch: Arc<Watch>,
    /// What answered.
    pub(super) version: Arc<LiveVersion>,
    pub(super) document: Document,
    pub(super) seen_ms: u64,
    pub(super) for_review: bool,
    pub(super) for_terms: bool,
    pub(super) for_shadow: bool,
    /// [`Watch::n_erasures`] when its call began: after another one it is forgotten.
    n_erasures: u64,
}

/// Where copies wait, those of all classifiers.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    seen: VecDeque<Seen>,
    n_bytes: usize,
}

impl Inbox {
    fn has_room(&self, n_bytes: usize) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.seen.len() < MAX_WAITING && waiting.n_bytes + n_bytes <= MAX_WAITING_BYTES
    }

    fn offer(&self, seen: Seen) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let n_bytes = waiting.n_bytes + seen.document.n_bytes();
        if waiting.seen.len() < MAX_WAITING && n_bytes <= MAX_WAITING_BYTES {
            waiting.n_bytes = n_bytes;
            waiting.seen.push_back(seen);
            drop(waiting);
            self.arrived.notify_one();
        }
    }

    /// The oldest ones, at most so many; waits for one if there is none.
    pub(super) async fn next(&self, max_documents: usize) -> Vec<Seen> {
        loop {
            let taken = self.take(max_documents);
            if !taken.is_empty() {
                return taken;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self, max_documents: usize) -> Vec<Seen> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let n = waiting.seen.len().min(max_documents);
        let taken: Vec<Seen> = waiting.seen.drain(..n).collect();
        waiting.n_bytes -= taken.iter().map(|seen| seen.document.n_bytes()).sum::<usize>();
        taken
    }
}

/// See the file's head. The atomics are copies of what calls need of what is behind the lock; a call that reads an old one has its
/// document looked at, or not, as a call just before would have.
#[derive(Debug)]
pub struct Watch {
    /// What is in the inbox holds the watch.
    inbox: Weak<Inbox>,
    /// Bits of the margin below which documents are wanted for review.
    review_bound: AtomicU64,
    /// Bits of the share of documents that are looked at for unknown terms.
    terms_share: AtomicU64,
    /// Bits of the share of documents that the candidate is asked about.
    shadow_share: AtomicU64,
    n_seen: AtomicU64,
    n_erasures: AtomicU64,
    contents: Mutex<Contents>,
}

/// A watch for the documents of one call. What is erased while it runs isn't kept of it.
#[derive(Debug)]
pub(in crate::service) struct WatchedCall {
    watch: Arc<Watch>,
    n_erasures: u64,
}

impl WatchedCall {
    /// Takes note of an answer to a document, which `is_whole` if its end wasn't left out.
    pub(in crate::service) fn see(
        &self,
        version: &Arc<LiveVersion>,
        (document, is_whole): (&Document, bool),
        answer: &Classification,
    ) {
        self.watch.see(self.n_erasures, version, (document, is_whole), answer);
    }
}

/// What was learned, and what may be.
#[derive(Debug, Default)]
pub(super) struct Contents {
    max_review_documents: usize,
    has_shadow: bool,
    pub(super) queue: ReviewQueue,
    /// Words that the version's vocabulary lacks.
    pub(super) unknown_terms: Option<(NonZeroU32, UnknownTerms)>,
    pub(super) shadow: Option<ShadowReport>,
}

/// What came of looking at one document.
#[derive(Debug, Default)]
pub(super) struct Observation {
    pub(super) review: Option<ReviewCandidate>,
    /// Words that the answering version's vocabulary lacks.
    pub(super) unknown_words: Option<Vec<String>>,
    pub(super) shadow: Option<PairedAnswers>,
}

/// Two versions' answers to one document.
#[derive(Debug)]
pub(super) struct PairedAnswers {
    pub(super) candidate: NonZeroU32,
    /// The topics that the stable version assigns, and the candidate.
    pub(super) topics: [Vec<String>; 2],
    /// How long they took.
    pub(super) times: [Duration; 2],
}

impl Watch {
    pub(super) fn new(inbox: &Arc<Inbox>) -> Self {
        Self {
            inbox: Arc::downgrade(inbox),
            review_bound: AtomicU64::new(0),
            terms_share: AtomicU64::new(0),
            shadow_share: AtomicU64::new(0),
            n_seen: AtomicU64::new(0),
            n_erasures: AtomicU64::new(0),
            contents: Mutex::default(),
        }
    }

    /// Obeys these settings, and forgets what they don't ask for.
    pub(super) fn set(&self, review: ReviewSettings, shadow: ShadowSettings) {
        let mut contents = self.contents();
        contents.max_review_documents = review.max_documents.map_or(0, |n| n.get() as usize);
        contents.has_shadow = shadow.share.get() > 0.0;
        if contents.max_review_documents == 0 {
            self.n_erasures.fetch_add(1, Ordering::Relaxed);
            (contents.queue, contents.unknown_terms) = (ReviewQueue::default(), None);
        }
        if !contents.has_shadow {
            contents.shadow = None;
        }
        contents.shrink_queue();
        let terms_share = if contents.max_review_documents > 0 { UNKNOWN_TERMS_SHARE } else { 0.0 };
        self.terms_share.store(terms_share.to_bits(), Ordering::Relaxed);
        self.shadow_share.store(shadow.share.get().to_bits(), Ordering::Relaxed);
        self.update_bound(&contents);
    }

    /// For a call that begins now.
    pub(super) fn of_call(self: Arc<Self>) -> WatchedCall {
        WatchedCall { n_erasures: self.n_erasures.load(Ordering::Relaxed), watch: self }
    }

    /// Takes note of an answer; leaves a copy of the document if it is wanted.
    fn see(
        self: &Arc<Self>,
        n_erasures: u64,
        version: &Arc<LiveVersion>,
        (document, is_whole): (&Document, bool),
        answer: &Classification,
    ) {
        let n = self.n_seen.fetch_add(1, Ordering::Relaxed);
        let load = |bits: &AtomicU64| f64::from_bits(bits.load(Ordering::Relaxed));
        let bound = load(&self.review_bound);
        // A document without a word teaches nothing, and one whose end is missing can't be erased by what it is.
        let for_review = bound > 0.0 && is_whole && answer.stats.n_tokens > 0 && {
            let classifier = &version.classifier;
            margin(answer, classifier.label_kind(), classifier.topics().len()) < bound
        };
        let for_terms = is_sampled(n, load(&self.terms_share));
        let for_shadow = is_sampled(n, load(&self.shadow_share));
        let is_wanted = for_review || for_terms || for_shadow;
        let Some(inbox) = self.inbox.upgrade().filter(|_| is_wanted) else { return };
        if inbox.has_room(document.n_bytes()) {
            inbox.offer(Seen {
                watch: Arc::clone(self),
                version: Arc::clone(version),
                document: document.clone(),
                seen_ms: now_ms(),
                for_review,
                for_terms,
                for_shadow,
                n_erasures,
            });
        }
    }

    /// Keeps what came of a document, unless something was erased since it was copied.
    pub(super) fn keep(&self, seen: &Seen, observation: Observation) {
        let mut contents = self.contents();
        if seen.n_erasures != self.n_erasures.load(Ordering::Relaxed) {
            return;
        }
        let Observation { review, unknown_words, shadow } = observation;
        let stable = seen.version.name.number;
        if contents.max_review_documents > 0 {
            if let Some(candidate) = review {
                let max_documents = contents.max_review_documents;
                contents.queue.add(candidate, max_documents);
            }
            if let Some(words) = unknown_words {
                contents.unknown_terms_of(stable).add(words);
            }
        }
        if let Some(PairedAnswers { candidate, topics, times }) = shadow.filter(|_| contents.has_shadow) {
            contents.shadow_of(stable, candidate).add(&topics, times);
        }
        self.update_bound(&contents);
    }

    /// Forgets documents, also those that are about to be looked at; how many there were of them. The words of others are
    /// counted anew, since counts don't tell whose words they are.
    pub(in crate::service) fn erase(&self, hashes: &[ContentHash]) -> usize {
        let mut contents = self.contents();
        self.n_erasures.fetch_add(1, Ordering::Relaxed);
        contents.unknown_terms = None;
        let n_erased = hashes.iter().filter(|&&hash| contents.queue.remove(hash)).count();
        self.update_bound(&contents);
        n_erased
    }

    /// Forgets all documents; how many there were.
    pub(in crate::service) fn erase_all(&self) -> usize {
        let mut contents = self.contents();
        self.n_erasures.fetch_add(1, Ordering::Relaxed);
        let n_erased = contents.queue.n_documents();
        (contents.queue, contents.unknown_terms) = (ReviewQueue::default(), None);
        self.update_bound(&contents);
        n_erased
    }

    /// Takes documents out of the queue that needn't be labelled any more.
    pub(super) fn drop_labelled(&self, hashes: &[ContentHash]) {
        let mut contents = self.contents();
        for &hash in hashes {
            contents.queue.remove(hash);
        }
        self.update_bound(&contents);
    }

    /// Lets go of what was classified too long ago.
    pub(super) fn expire(&self) {
        let mut contents = self.contents();
        contents.queue.expire(now_ms());
        self.update_bound(&contents);
    }

    pub(super) fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update_bound(&self, contents: &Contents) {
        let bound = contents.queue.bound(contents.max_review_documents);
        self.review_bound.store(bound.to_bits(), Ordering::Relaxed);
    }
}

impl Contents {
    fn shrink_queue(&mut self) {
        self.queue.shrink(self.max_review_documents);
    }

    /// Of another version, words are counted anew: its vocabulary is another one.
    fn unknown_terms_of(&mut self, version: NonZeroU32) -> &mut UnknownTerms {
        if self.unknown_terms.as_ref().is_some_and(|(of, _)| *of != version) {
            self.unknown_terms = None;
        }
        &mut self.unknown_terms.get_or_insert_with(|| (version, UnknownTerms::default())).1
    }

    /// Of another pair, answers are counted anew.
    fn shadow_of(&mut self, stable: NonZeroU32, candidate: NonZeroU32) -> &mut ShadowReport {
        let is_pair = |report: &ShadowReport| (report.stable, report.candidate) == (stable, candidate);
        if !self.shadow.as_ref().is_some_and(is_pair) {
            self.shadow = None;
        }
        self.shadow.get_or_insert_with(|| ShadowReport::new(stable, candidate))
    }
}

/// Whether the nth of all is one of the share that is looked at: evenly spread, without chance.
fn is_sampled(n: u64, share: f64) -> bool {
    share > 0.0 && ((n + 1) as f64 * share).floor() > (n as f64 * share).floor()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_spread_evenly() {
        let sampled = |share: f64| (0..10).map(|n| u8::from(is_sampled(n, share))).collect::<Vec<_>>();
        assert_eq!(sampled(0.0), [0; 10]);
        assert_eq!(sampled(1.0), [1; 10]);
        assert_eq!(sampled(0.25), [0, 0, 0, 1, 0, 0, 0, 1, 0, 0]);
        let n_sampled = (0..10_000).filter(|&n| is_sampled(n, 0.01)).count();
        assert!((99..=101).contains(&n_sampled), "{n_sampled}");
    }
}
