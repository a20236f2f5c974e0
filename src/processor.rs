//! What some processors can do in one instruction and LLVM doesn't find by itself; the result is the same with all of them.

#[cfg(target_arch = "x86_64")]
use pulp::x86::V3;

/// A kind of processor.
pub(crate) trait Processor: Copy {
    /// Bit i: number i is `number`.
    fn equal(self, numbers: [u32; 8], number: u32) -> u32;

    /// Bit i: the highest bit of byte i.
    fn high_bits(self, bytes: &[u8; 64]) -> u64;

    /// Has the cache line in which a value begins fetched, without waiting for it.
    fn prefetch<T>(self, value: &T);
}

/// What is done with what a kind of processor can.
pub(crate) trait Work {
    type Output;

    fn on(self, processor: impl Processor) -> Self::Output;
}

/// Does it with what this processor can, compiled for its kind: `on` has to be `#[inline(always)]`, with all that it calls in its loops.
#[inline]
pub(crate) fn dispatch<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(processor) = V3::try_new() {
        return pulp::Simd::vectorize(processor, OnV3 { processor, work });
    }
    work.on(Any)
}

/// Work as pulp takes it to compile it.
#[cfg(target_arch = "x86_64")]
struct OnV3<W> {
    processor: V3,
    work: W,
}

#[cfg(target_arch = "x86_64")]
impl<W: Work> pulp::WithSimd for OnV3<W> {
    type Output = W::Output;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> W::Output {
        self.work.on(self.processor)
    }
}

/// How many values ahead of the one that is worked on are fetched: as many as a processor's cache has on their way at a time.
const AHEAD: usize = 16;

/// Works on each item, first to last, with its place, and has what it will need fetched some items before: memory that is asked for many things at
/// once answers many times faster.
#[inline(always)]
pub(crate) fn each_fetched_ahead<T: Copy>(items: &[T], fetch: impl Fn(T), mut work: impl FnMut(usize, T)) {
    items.iter().take(AHEAD).for_each(|&item| fetch(item));
    for (place, &item) in items.iter().enumerate() {
        if let Some(&ahead) = items.get(place + AHEAD) {
            fetch(ahead);
        }
        work(place, item);
    }
}

/// Any processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Any;

impl Processor for Any {
    #[inline(always)]
    fn equal(self, numbers: [u32; 8], number: u32) -> u32 {
        (0..).zip(numbers).fold(0, |bits, (place, other)| bits | u32::from(other == number) << place)
    }

    #[inline(always)]
    fn high_bits(self, bytes: &[u8; 64]) -> u64 {
        let mut bits = 0;
        for (place, eight) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let high = u64::from_le_bytes(*eight) & 0x8080_8080_8080_8080;
            // Bit 8i + 7 goes to bit 56 + i, by the factor's bit 49 − 7i; no two products share a bit there or below.
            bits |= (high.wrapping_mul(0x0002_0408_1020_4081) >> 56) << (8 * place);
        }
        bits
    }

    /// Does nothing: what is done next fetches it.
    #[inline(always)]
    fn prefetch<T>(self, _: &T) {}
}

/// x86-64 with AVX2.
#[cfg(target_arch = "x86_64")]
impl Processor for V3 {
    #[inline(always)]
    fn equal(self, numbers: [u32; 8], number: u32) -> u32 {
        let numbers = self.avx2._mm256_cmpeq_epi32(pulp::cast(numbers), self.avx._mm256_set1_epi32(number as i32));
        self.avx._mm256_movemask_ps(self.avx._mm256_castsi256_ps(numbers)) as u32
    }

    #[inline(always)]
    fn high_bits(self, bytes: &[u8; 64]) -> u64 {
        let mut bits = 0;
        for (place, half) in bytes.as_chunks::<32>().0.iter().enumerate() {
            let of_half = self.avx2._mm256_movemask_epi8(pulp::cast(*half)) as u32;
            bits |= u64::from(of_half) << (32 * place);
        }
        bits
    }

    #[inline(always)]
    fn prefetch<T>(self, value: &T) {
        self.sse._mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(std::ptr::from_ref(value).cast());
    }
}

#[cfg(test)]
mod tests {
    use proptest::array::uniform32;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_item_is_fetched_once_and_before_it_is_worked_on() {
        for n_items in [0, 1, AHEAD - 1, AHEAD, AHEAD + 1, 3 * AHEAD] {
            let items: Vec<usize> = (0..n_items).collect();
            let (fetched, mut worked_on) = (std::cell::RefCell::new(Vec::new()), Vec::new());
            each_fetched_ahead(
                &items,
                |item| fetched.borrow_mut().push(item),
                |place, item| {
                    assert_eq!(place, item);
                    assert!(fetched.borrow().len() >= n_items.min(item + AHEAD));
                    worked_on.push(item);
                },
            );
            assert_eq!((fetched.into_inner(), worked_on), (items.clone(), items));
        }
    }

    proptest! {
        #[test]
        fn all_processors_say_the_same(numbers in prop::array::uniform8(0u32..4), halves in [uniform32(0u8..), uniform32(0u8..)]) {
            let bytes = std::array::from_fn(|place| halves[place / 32][place % 32]);
            let is_high = |place: usize| u64::from(bytes[place] >> 7) << place;
            prop_assert_eq!(Any.high_bits(&bytes), (0..64).map(is_high).sum::<u64>());
            let is_two = |place: usize| u32::from(numbers[place] == 2) << place;
            prop_assert_eq!(Any.equal(numbers, 2), (0..8).map(is_two).sum::<u32>());
            #[cfg(target_arch = "x86_64")]
            if let Some(v3) = V3::try_new() {
                prop_assert_eq!(v3.high_bits(&bytes), Any.high_bits(&bytes));
                prop_assert_eq!(v3.equal(numbers, 2), Any.equal(numbers, 2));
            }
        }
    }
}
