//! Bytes as hexadecimal digits, two for each: how hashes are shown and written.

/// The bytes' digits, in lower case.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of which these are the 64 digits, in either case; `None`: they aren't.
pub fn parse_sha256(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut sha256 = [0; 32];
    for (place, byte) in sha256.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_64_hexadecimal_digits() {
        let digits = "00ff".repeat(16);
        assert_eq!(parse_sha256(&digits).map(|sha256| [sha256[0], sha256[31]]), Some([0, 255]));
        assert_eq!(parse_sha256(&digits).map(|sha256| encode(&sha256)), Some(digits.clone()));
        assert_eq!(parse_sha256(&digits.to_uppercase()), parse_sha256(&digits));
        for wrong in [&digits[..63], "", &"+f".repeat(32), &"é".repeat(32), &digits.repeat(2)] {
            assert_eq!(parse_sha256(wrong), None, "{wrong}");
        }
    }
}
