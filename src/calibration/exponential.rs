//! eˣ as arithmetic alone, without a call or a branch, so that the compiler does it for several numbers at once.

/// Numbers that are worked on side by side: one AVX register, two SSE registers.
pub(super) const LANES: usize = 4;

pub(super) type Lanes = [f64; LANES];

/// 1.5 · 2⁵², so that adding it rounds to a whole number, which then is in the last bits; and what exponents of 64-bit numbers are stored
/// with (IEEE 754).
const ROUNDING: f64 = 6_755_399_441_055_744.0;
const EXPONENT_BIAS: f64 = 1023.0;

/// ln 2 in two parts, the first with few enough bits that products with whole numbers up to 2²⁰ are exact.
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// 1 / n! for n from 12 down to 0: with |r| ≤ ln 2 / 2, what Taylor's series leaves out is below 3·10⁻¹⁶ of eʳ.
const TAYLOR: [f64; 13] = [
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// eˣ for x from -600 to 0, within 10⁻¹⁵ of it; below that as at -600, 3·10⁻²⁶¹: what is multiplied with it is still a normal number,
/// with which processors are fast. x = k ln 2 + r, eˣ = 2ᵏ eʳ.
#[inline(always)]
pub(super) fn exponential(x: f64) -> f64 {
    let x = x.max(-600.0);
    let shifted = x * std::f64::consts::LOG2_E + (ROUNDING + EXPONENT_BIAS);
    let k = shifted - (ROUNDING + EXPONENT_BIAS);
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let e_to_r = TAYLOR.iter().fold(0.0, |sum, coefficient| sum * r + coefficient);
    e_to_r * f64::from_bits(shifted.to_bits() << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_e_to_the_x() {
        for step in (0..100_000).chain((0..=60_000_000).step_by(97)) {
            let x = -f64::from(step) / 100_000.0;
            let (found, expected) = (exponential(x), x.exp());
            assert!((found / expected - 1.0).abs() < 1e-15, "{found} instead of {expected} at {x}");
        }
        assert_eq!(exponential(0.0), 1.0);
        assert!([-601.0, -1e300, f64::NEG_INFINITY].iter().all(|&x| exponential(x) == exponential(-600.0)));
        assert!(exponential(-600.0) < 1e-260);
    }
}
