//! XXH3-64 of short tokens without a branch on their length, which no processor can guess: three formulas are cheaper than one wrong
//! guess.
//!
//! The hash is that of xxHash 0.8 (<https://github.com/Cyan4973/xxHash>, `doc/xxhash_spec.md`, "XXH3 algorithm, small inputs"), with its
//! default secret.

use super::blocks::RunBytes;

/// The most bytes that it takes.
pub(super) const MAX_BYTES: usize = 16;

/// Words of the default secret, combined as the formulas for 1–3, 4–8 and 9–16 bytes do.
const SECRET_TINY: u64 = 0x8727_5A9B;
const SECRET_SHORT: u64 = 0xC73A_B174_C5EC_D5A2;
const SECRET_MEDIUM_LOW: u64 = 0x6782_737B_EA42_39B9;
const SECRET_MEDIUM_HIGH: u64 = 0xAF56_BC3B_0996_523A;

const PRIME64_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME64_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME_MX1: u64 = 0x1656_6791_9E37_79F9;
const PRIME_MX2: u64 = 0x9FB2_1C65_1E98_DF25;

/// The hash of a run of `n_bytes`, from 1 to [`MAX_BYTES`].
#[inline(always)]
pub(super) fn hash(bytes: RunBytes, n_bytes: usize, seed: u64) -> u64 {
    let RunBytes { first, last, middle } = bytes;
    let length = n_bytes as u64;
    // Where the length is another formula's, what comes out is anything, and isn't used.
    let tiny = {
        let combined = (first & 0xFF) << 16 | u64::from(middle) << 24 | last >> 56 | length << 8;
        xxh64_avalanche(combined ^ SECRET_TINY.wrapping_add(seed))
    };
    let short = {
        let seed = seed ^ u64::from((seed as u32).swap_bytes()) << 32;
        let combined = (last >> 32).wrapping_add(first << 32);
        rrmxmx(combined ^ SECRET_SHORT.wrapping_sub(seed), length)
    };
    let medium = {
        let low = first ^ SECRET_MEDIUM_LOW.wrapping_add(seed);
        let high = last ^ SECRET_MEDIUM_HIGH.wrapping_sub(seed);
        let product = u128::from(low) * u128::from(high);
        let folded = product as u64 ^ (product >> 64) as u64;
        avalanche(length.wrapping_add(low.swap_bytes()).wrapping_add(high).wrapping_add(folded))
    };
    let select = |is_first: bool, first: u64, second: u64| {
        let mask = u64::from(is_first).wrapping_neg();
        first & mask | second & !mask
    };
    select(n_bytes < 4, tiny, select(n_bytes < 9, short, medium))
}

#[inline(always)]
fn xxh64_avalanche(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 33).wrapping_mul(PRIME64_2);
    hash = (hash ^ hash >> 29).wrapping_mul(PRIME64_3);
    hash ^ hash >> 32
}

#[inline(always)]
fn rrmxmx(mut hash: u64, length: u64) -> u64 {
    hash ^= hash.rotate_left(49) ^ hash.rotate_left(24);
    hash = hash.wrapping_mul(PRIME_MX2);
    hash ^= (hash >> 35).wrapping_add(length);
    hash = hash.wrapping_mul(PRIME_MX2);
    hash ^ hash >> 28
}

#[inline(always)]
fn avalanche(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 37).wrapping_mul(PRIME_MX1);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64_with_seed;

    use super::*;

    proptest! {
        #[test]
        fn it_is_xxh3(bytes: [u8; MAX_BYTES], n_bytes in 1..=MAX_BYTES, seed: u64) {
            for seed in [0, 1, seed] {
                let run = &bytes[..n_bytes];
                prop_assert_eq!(hash(RunBytes::of_slice(run), n_bytes, seed), xxh3_64_with_seed(run, seed));
            }
        }
    }
}
