//! How often a document holds each of its features, counted in a small hash table: a document has hundreds of them, and sorting them took
//! longer.

use std::hash::{BuildHasher, RandomState};

/// No feature's number.
const NONE: u32 = u32::MAX;
/// Slots for each feature that there can be: with more of them fewer features meet, and more slots are to be emptied.
const SLOTS_PER_FEATURE: usize = 4;
const MIN_SLOTS: usize = 64;

/// A feature in the low half, and its place among the counts in the high one: read at once, as what is read only if it is needed is
/// branched on.
type Slot = u64;
const FREE: Slot = Slot::MAX;

/// One document's features, each once, with how often it comes; buffers that serve one document after another.
#[derive(Debug)]
pub(super) struct FeatureCounts {
    /// What features are hashed with: multiplicative hashing by a random odd number (Dietzfelbinger, Hagerup, Katajainen & Penttonen, *A Reliable
    /// Randomized Algorithm for the Closest-Pair Problem*, 1997), so that nobody can choose words that meet. What comes out is the
    /// same with any.
    multiplier: u64,
    slots: Vec<Slot>,
    /// What has been counted, then what longer documents have left.
    counts: Vec<(u32, u32)>,
}

impl Default for FeatureCounts {
    fn default() -> Self {
        Self { multiplier: RandomState::new().hash_one(0) | 1, slots: Vec::new(), counts: Vec::new() }
    }
}

impl FeatureCounts {
    /// Counts features, which are below `n_features`, in place of those before; they come out in the order of their first occurrence. Which one comes again can't be
    /// guessed, so nothing branches on it.
    #[inline(always)]
    pub(super) fn count(&mut self, features: &[u32], n_features: usize) -> &[(u32, u32)] {
        let n_slots = (SLOTS_PER_FEATURE * features.len().min(n_features)).next_power_of_two().max(MIN_SLOTS);
        let shift = u64::BITS - n_slots.ilog2();
        self.slots.clear();
        self.slots.resize(n_slots, FREE);
        self.counts.resize(features.len().max(self.counts.len()), (0, 0));
        let (multiplier, slots, counts) = (self.multiplier, self.slots.as_mut_slice(), self.counts.as_mut_slice());
        let mut n_counted = 0;
        for &feature in features {
            let mut slot = (u64::from(feature).wrapping_mul(multiplier) >> shift) as usize;
            let mut found = slots[slot];
            // Neither the feature's nor free, in one branch: which of the two it is can't be guessed, that it is one can.
            while u64::from(found as u32 ^ feature) * u64::from(found as u32 ^ NONE) != 0 {
                slot = (slot + 1) & (n_slots - 1);
                found = slots[slot];
            }
            let is_new = u32::from(found as u32 == NONE);
            let if_new = is_new.wrapping_neg();
            let place = n_counted & if_new | (found >> 32) as u32 & !if_new;
            slots[slot] = u64::from(place) << 32 | u64::from(feature);
            let count = &mut counts[place as usize];
            *count = (feature, (count.1 & !if_new) + 1);
            n_counted += is_new;
        }
        &counts[..n_counted as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_is_counted_once_in_the_order_of_its_first_occurrence(
            documents in prop::collection::vec(prop::collection::vec(prop_oneof![0u32..20, 0u32..100_000], 0..300), 1..4),
        ) {
            let mut counts = FeatureCounts::default();
            for features in documents {
                let n_features = features.iter().max().map_or(0, |&largest| largest as usize + 1);
                let mut expected: Vec<(u32, u32)> = Vec::new();
                for &feature in &features {
                    match expected.iter_mut().find(|(other, _)| *other == feature) {
                        Some((_, count)) => *count += 1,
                        None => expected.push((feature, 1)),
                    }
                }
                prop_assert_eq!(counts.count(&features, n_features), expected);
            }
        }
    }
}
