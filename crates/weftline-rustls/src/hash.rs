//! SHA-256 of certificates, and how they are written.

use std::fmt::Write;

use ring::digest;

/// SHA-256 of `der`.
pub fn sha256(der: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    out
}

/// Lower-case hexadecimal: `ab01..`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Upper-case hexadecimal with colons, as browsers and OpenSSL show fingerprints: `AB:01:..`.
pub fn hex_colons(bytes: &[u8]) -> String {
    let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// Reads a SHA-256 written in either way, in any case. `None` when it is not one.
pub fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let digits: Vec<u8> = if text.contains(':') {
        let pairs = text
            .split(':')
            .map(|pair| <[u8; 2]>::try_from(pair.as_bytes()));
        pairs.collect::<Result<Vec<_>, _>>().ok()?.concat()
    } else {
        text.bytes().collect()
    };
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8))
        .collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_and_back() {
        let hash = sha256(b"");
        let plain = hex(&hash);
        let colons = hex_colons(&hash);
        assert_eq!(
            plain,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert!(colons.starts_with("E3:B0:C4:"));
        assert_eq!(parse_sha256(&plain), Some(hash));
        assert_eq!(parse_sha256(&colons), Some(hash));
        assert_eq!(
            parse_sha256(&format!(" {}\n", plain.to_uppercase())),
            Some(hash)
        );
    }

    #[test]
    fn no_hash() {
        let plain = hex(&sha256(b""));
        let cases = [
            "",
            "e3",
            &plain[1..],
            &format!("{plain}00"),
            &plain.replace('e', "g"),
        ];
        for text in cases {
            assert_eq!(parse_sha256(text), None, "{text}");
        }
        assert_eq!(
            parse_sha256(&hex_colons(&sha256(b"")).replacen(':', "", 1)),
            None
        );
        assert_eq!(parse_sha256("é"), None);
    }
}
