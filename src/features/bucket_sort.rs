//! Sorting feature numbers: a document has hundreds, and comparing them, two at a time, guesses wrong half of the time.

/// Fewer numbers than this are compared: counting has a cost of its own.
const MIN_COUNTED: usize = 48;
/// Of the most buckets: 256 KiB of counts.
const MAX_BUCKET_BITS: u32 = 16;

/// Sorts numbers below `end`: into about as many buckets as there are numbers, by their share of `end`, and then the few in each bucket.
/// `buffer` and `places` are for numbers on their way.
#[inline(always)]
pub(super) fn sort(numbers: &mut Vec<u32>, end: usize, buffer: &mut Vec<u32>, places: &mut Vec<u32>) {
    if numbers.len() < MIN_COUNTED {
        numbers.sort_unstable();
        return;
    }
    let bucket_bits = (numbers.len().ilog2() + 1).min(MAX_BUCKET_BITS);
    // Bits of a number that are not of its bucket's.
    let shift = (usize::BITS - end.leading_zeros()).saturating_sub(bucket_bits);
    let n_buckets = (end >> shift) + 1;
    places.clear();
    places.resize(n_buckets, 0);
    for &number in &**numbers {
        places[(number >> shift) as usize] += 1;
    }
    let mut n_before = 0;
    for place in &mut **places {
        n_before += std::mem::replace(place, n_before);
    }
    buffer.clear();
    buffer.resize(numbers.len(), 0);
    for &number in &**numbers {
        let place = &mut places[(number >> shift) as usize];
        buffer[*place as usize] = number;
        *place += 1;
    }
    std::mem::swap(numbers, buffer);
    if shift > 0 {
        sort_within_buckets(numbers, places);
    }
}

/// `ends` has the end of each bucket.
#[inline(always)]
fn sort_within_buckets(numbers: &mut [u32], ends: &[u32]) {
    // Numbers of a usual document are a few a bucket; those of one word a million times, or of features that are neighbours, aren't.
    const MAX_INSERTED: u32 = 12;
    let mut begin = 0;
    for &end in ends {
        match end - begin {
            0 | 1 => {}
            2..=MAX_INSERTED => insertion_sort(&mut numbers[begin as usize..end as usize]),
            _ => numbers[begin as usize..end as usize].sort_unstable(),
        }
        begin = end;
    }
}

#[inline(always)]
fn insertion_sort(numbers: &mut [u32]) {
    for sorted in 1..numbers.len() {
        let number = numbers[sorted];
        let mut place = sorted;
        while place > 0 && numbers[place - 1] > number {
            numbers[place] = numbers[place - 1];
            place -= 1;
        }
        numbers[place] = number;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_sorted(mut numbers: Vec<u32>, bits in 0u32..32, n_times in 1usize..60) {
            numbers.iter_mut().for_each(|number| *number >>= bits);
            numbers = numbers.repeat(n_times);
            let mut expected = numbers.clone();
            expected.sort_unstable();
            let end = (u32::MAX >> bits) as usize + 1;
            sort(&mut numbers, end, &mut vec![7; 3], &mut vec![7; 3]);
            prop_assert_eq!(numbers, expected);
        }
    }
}
