//! Integers that begin inside a byte (RFC 9204, section 4.1.1; RFC 7541, section 5.1).

use alloc::vec::Vec;

use crate::wire::varint;

/// An integer cannot be read.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The input ends inside it.
    #[error("input ended inside an integer")]
    Truncated,
    /// It is past 2^62 - 1, or takes more bytes than any integer up to that needs.
    #[error("an integer is past 2^62 - 1")]
    Overflow,
}

/// Reads an integer from the low `bits` (1 to 8) bits of the first byte and, when they are all
/// ones, the bytes after it. Gives what follows, too.
pub fn decode(bits: u8, bytes: &[u8]) -> Result<(u64, &[u8]), PrefixError> {
    let (&first, mut rest) = bytes.split_first().ok_or(PrefixError::Truncated)?;
    let max = max_in_prefix(bits);
    let mut value = u64::from(first) & max;
    if value < max {
        return Ok((value, rest));
    }
    for shift in (0..MAX_CONTINUATION_BITS).step_by(7) {
        let (&byte, tail) = rest.split_first().ok_or(PrefixError::Truncated)?;
        rest = tail;
        // At most 63 bits plus a prefix: no overflow of 64.
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return if value <= varint::MAX {
                Ok((value, rest))
            } else {
                Err(PrefixError::Overflow)
            };
        }
    }
    Err(PrefixError::Overflow)
}

/// Appends `value` as an integer whose first byte has `pattern` above the low `bits` (1 to 8) bits.
pub fn encode(value: u64, bits: u8, pattern: u8, out: &mut Vec<u8>) {
    let max = max_in_prefix(bits);
    if value < max {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | max as u8);
    let mut left = value - max;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

const fn max_in_prefix(bits: u8) -> u64 {
    debug_assert!(bits >= 1 && bits <= 8);
    (1 << bits) - 1
}

/// Nine bytes of seven bits hold every integer up to 2^62 - 1.
const MAX_CONTINUATION_BITS: u32 = 9 * 7;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: u64, bits: u8, pattern: u8) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, bits, pattern, &mut out);
        out
    }

    // RFC 7541, appendix C.1.
    #[test]
    fn rfc7541_c1() {
        assert_eq!(encoded(10, 5, 0xe0), [0xea]);
        assert_eq!(encoded(1337, 5, 0), [0x1f, 0x9a, 0x0a]);
        assert_eq!(encoded(42, 8, 0), [0x2a]);
        assert_eq!(decode(5, &[0xea, 7]), Ok((10, &[7][..])));
        assert_eq!(decode(5, &[0xff, 0x9a, 0x0a]), Ok((1337, &[][..])));
        assert_eq!(decode(8, &[0x2a]), Ok((42, &[][..])));
    }

    #[test]
    fn bounds() {
        for bits in 1..=8 {
            let edge = (1 << bits) - 1;
            for value in [0, edge - 1, edge, edge + 127, edge + 128, varint::MAX] {
                let bytes = encoded(value, bits, 0);
                assert_eq!(decode(bits, &bytes), Ok((value, &[][..])));
                for end in 0..bytes.len() {
                    assert_eq!(decode(bits, &bytes[..end]), Err(PrefixError::Truncated));
                }
            }
            let past = encoded(varint::MAX + 1, bits, 0);
            assert_eq!(decode(bits, &past), Err(PrefixError::Overflow));
        }
    }

    #[test]
    fn endless_continuation_stops() {
        // Zeros in front of nothing: legal while the integer could still be one of 62 bits.
        let mut bytes = [0x80; 1000];
        bytes[0] = 0xff;
        assert_eq!(decode(7, &bytes), Err(PrefixError::Overflow));
        bytes[9] = 0;
        assert_eq!(decode(7, &bytes).unwrap().0, 127);
        assert_eq!(decode(7, &[0xff; 1000]), Err(PrefixError::Overflow));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn round_trip(value in 0..=varint::MAX, shift in 0u32..62, bits in 1u8..=8) {
            let value = value >> shift;
            let pattern = 0xff_u8.checked_shl(bits.into()).unwrap_or(0);
            let bytes = encoded(value, bits, pattern);
            prop_assert!(bytes.len() <= 10);
            prop_assert_eq!(decode(bits, &bytes), Ok((value, &[][..])));
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>, bits in 1u8..=8) {
            if let Ok((value, rest)) = decode(bits, &bytes) {
                prop_assert!(value <= varint::MAX);
                prop_assert!(bytes.len() - rest.len() <= 10);
            }
        }
    }
}
