//! Packet numbers, of which the wire carries only the low bytes (RFC 9000, section 17.1).

use crate::wire::{NoRoom, Reader, Truncated, Writer};

/// The low 1 to 4 bytes of a packet number.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TruncatedNumber {
    value: u32,
    len: u8,
}

impl TruncatedNumber {
    /// `number` in as few bytes as let the peer restore it, when `largest_acked` is the largest
    /// number of its space that the peer acknowledged (RFC 9000, section 17.1 and appendix A.2).
    pub const fn new(number: u64, largest_acked: Option<u64>) -> Self {
        let unacked = match largest_acked {
            Some(acked) => number.saturating_sub(acked),
            None => number.saturating_add(1),
        };
        // More than twice as large a range as the numbers in doubt.
        let len = match unacked {
            0..=0x7f => 1,
            0x80..=0x7fff => 2,
            0x8000..=0x7f_ffff => 3,
            _ => 4,
        };
        Self::with_len(number, len)
    }

    /// The low `len` bytes of `number`; a length outside 1 to 4 is brought into it.
    pub const fn with_len(number: u64, len: usize) -> Self {
        let len = match len {
            0 | 1 => 1,
            2 => 2,
            3 => 3,
            _ => 4,
        };
        Self {
            value: (number & mask(len)) as u32,
            len,
        }
    }

    /// Takes a number of `len` bytes (1 to 4).
    pub(super) fn parse(r: &mut Reader<'_>, len: u8) -> Result<Self, Truncated> {
        let bytes = r.bytes(usize::from(len))?;
        let value = bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u32::from(*byte));
        Ok(Self { value, len })
    }

    /// Writes it.
    pub(super) fn encode(self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        let bytes = self.value.to_be_bytes();
        w.bytes(bytes.get(bytes.len() - self.len()..).unwrap_or_default())
    }

    /// The bits on the wire.
    pub const fn value(self) -> u32 {
        self.value
    }

    /// Bytes on the wire, 1 to 4.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// The full number: the one closest to the next expected, when `largest` is the largest number
    /// received so far in its space (RFC 9000, appendix A.3). Past the end of the number space it
    /// can give up to 2^62 + 2^32: such a packet cannot have been sealed by an honest peer.
    pub const fn expand(self, largest: Option<u64>) -> u64 {
        let expected = match largest {
            Some(largest) => largest.saturating_add(1),
            None => 0,
        };
        let mask = mask(self.len);
        let window = mask + 1;
        let half = window / 2;
        let candidate = expected & !mask | self.value as u64;
        if candidate.saturating_add(half) <= expected && candidate < (1 << 62) - window {
            candidate + window
        } else if candidate > expected.saturating_add(half) && candidate >= window {
            candidate - window
        } else {
            candidate
        }
    }
}

const fn mask(len: u8) -> u64 {
    (1 << (8 * len)) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc9000_a2() {
        let two = TruncatedNumber::new(0xac5c02, Some(0xabe8b3));
        assert_eq!((two.value(), two.len()), (0x5c02, 2));
        let three = TruncatedNumber::new(0xace8fe, Some(0xabe8b3));
        assert_eq!((three.value(), three.len()), (0xace8fe, 3));
    }

    #[test]
    fn rfc9000_a3() {
        let number = TruncatedNumber::with_len(0x9b32, 2);
        assert_eq!(number.expand(Some(0xa82f_30ea)), 0xa82f_9b32);
    }

    #[test]
    fn length_at_bounds() {
        let len = |number, acked| TruncatedNumber::new(number, acked).len();
        assert_eq!(len(0, None), 1);
        assert_eq!(len(126, None), 1);
        assert_eq!(len(127, None), 2);
        assert_eq!(len(127, Some(0)), 1);
        assert_eq!(len(128, Some(0)), 2);
        assert_eq!(len(0x7fff, Some(0)), 2);
        assert_eq!(len(0x8000, Some(0)), 3);
        assert_eq!(len(0x80_0000, Some(0)), 4);
        assert_eq!(len(u64::MAX, None), 4);
        // A number that was acknowledged already is a caller's bug, not a panic.
        assert_eq!(len(1, Some(5)), 1);
    }

    #[test]
    fn expands_around_the_window() {
        let expand = |value, largest| TruncatedNumber::with_len(value, 1).expand(largest);
        assert_eq!(expand(0, None), 0);
        assert_eq!(expand(255, None), 255);
        assert_eq!(expand(0, Some(0xff)), 0x100);
        assert_eq!(expand(0xff, Some(0x100)), 0xff);
        // Exactly half a window ahead is ahead, half a window behind is not behind.
        assert_eq!(expand(0x80, Some(0xff)), 0x180);
        assert_eq!(expand(0x81, Some(0xff)), 0x81);
        assert_eq!(expand(0, Some(0x17f)), 0x200);
        assert_eq!(expand(0, Some(0x17e)), 0x100);
        for largest in [(1 << 62) - 1, u64::MAX] {
            for len in 1..=4 {
                let _ = TruncatedNumber::with_len(0, len).expand(Some(largest));
            }
        }
    }

    proptest! {
        #[test]
        fn restored_by_any_peer_that_has_the_acked(
            acked in proptest::option::of(0..1_u64 << 60),
            ahead in 0..0x7fff_ffff_u64,
            received in 0..0x7fff_ffff_u64,
        ) {
            let first = acked.map_or(0, |acked| acked + 1);
            let number = first + ahead;
            let truncated = TruncatedNumber::new(number, acked);
            // The peer may have anything from the acknowledged to the number before this.
            let largest = (first + received.min(ahead)).checked_sub(1);
            prop_assert_eq!(truncated.expand(largest), number);
        }

        #[test]
        fn wire_round_trip(number: u64, len in 1_usize..=4) {
            let truncated = TruncatedNumber::with_len(number, len);
            let mut buf = [0; 4];
            let mut w = Writer::new(&mut buf);
            truncated.encode(&mut w).unwrap();
            prop_assert_eq!(w.position(), len);
            let parsed = TruncatedNumber::parse(&mut Reader::new(w.written()), len as u8);
            prop_assert_eq!(parsed, Ok(truncated));
        }
    }
}
