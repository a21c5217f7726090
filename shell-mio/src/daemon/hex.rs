//! Bytes as hexadecimal digits, and back. What came from a secret is wiped where it is dropped.

use zeroize::Zeroizing;

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    Zeroizing::new(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

/// The bytes of pairs of hexadecimal digits of either case; nothing if there is anything else.
pub(crate) fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    // Room for all at once: what grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        bytes.push(u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_pairs_of_digits() {
        for (text, bytes) in [("00ffab", &[0, 255, 171][..]), ("", &[])] {
            assert_eq!(unhex(text).unwrap().as_slice(), bytes);
            assert_eq!(hex(bytes).as_str(), text);
        }
        assert_eq!(unhex("00FFAb").unwrap().as_slice(), [0, 255, 171]);
        for wrong in ["0", "0g", "zz", "é1", "0x00"] {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
    }
}
