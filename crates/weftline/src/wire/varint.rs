//! Variable-length integers (RFC 9000, section 16).

/// The largest value: 2^62 - 1.
pub const MAX: u64 = (1 << 62) - 1;

/// Bytes that `value` takes: 1, 2, 4 or 8.
pub const fn len(value: u64) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// Reads one integer from the front of `bytes`; also gives what follows it. `None` when the input
/// ends inside it.
#[inline]
pub fn decode(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, tail) = bytes.split_first()?;
    if first < 0x40 {
        return Some((u64::from(first), tail));
    }
    decode_long(first, bytes)
}

fn decode_long(first: u8, bytes: &[u8]) -> Option<(u64, &[u8])> {
    match first >> 6 {
        1 => {
            let (head, tail) = bytes.split_first_chunk()?;
            Some((u64::from(u16::from_be_bytes(*head) & 0x3fff), tail))
        }
        2 => {
            let (head, tail) = bytes.split_first_chunk()?;
            Some((u64::from(u32::from_be_bytes(*head) & 0x3fff_ffff), tail))
        }
        _ => {
            let (head, tail) = bytes.split_first_chunk()?;
            Some((u64::from_be_bytes(*head) & MAX, tail))
        }
    }
}

/// Writes `value` into `out`, which must be [`len`]`(value)` bytes or another legal length that
/// holds it (1, 2, 4, 8). A value past [`MAX`] is written as `MAX`; a buffer of any other length
/// is left alone.
pub fn encode(value: u64, out: &mut [u8]) {
    let value = if value > MAX { MAX } else { value };
    match out.len() {
        1 => out.copy_from_slice(&[value as u8 & 0x3f]),
        2 => out.copy_from_slice(&(value as u16 & 0x3fff | 0x4000).to_be_bytes()),
        4 => out.copy_from_slice(&(value as u32 & 0x3fff_ffff | 0x8000_0000).to_be_bytes()),
        8 => out.copy_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
        _ => debug_assert!(false, "no variable-length integer has {} bytes", out.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9000, appendix A.1.
    const VECTORS: [(&[u8], u64); 5] = [
        (
            &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
            151_288_809_941_952_652,
        ),
        (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
        (&[0x7b, 0xbd], 15293),
        (&[0x25], 37),
        (&[0x40, 0x25], 37),
    ];

    #[test]
    fn rfc9000_a1() {
        for (bytes, value) in VECTORS {
            assert_eq!(decode(bytes), Some((value, &[][..])));
            let mut out = [0; 8];
            encode(value, &mut out[..bytes.len()]);
            assert_eq!(&out[..bytes.len()], bytes);
        }
    }

    #[test]
    fn truncated_at_every_length() {
        for (bytes, _) in VECTORS {
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end]), None);
            }
        }
    }

    #[test]
    fn bounds() {
        for value in [0, 0x3f, 0x40, 0x3fff, 0x4000, 0x3fff_ffff, 0x4000_0000, MAX] {
            let mut out = [0; 8];
            encode(value, &mut out[..len(value)]);
            assert_eq!(decode(&out[..len(value)]), Some((value, &[][..])));
        }
    }
}
