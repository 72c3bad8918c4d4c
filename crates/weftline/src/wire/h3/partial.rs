//! Varints that arrive in pieces.

use crate::wire::varint;

/// Reads varints from a stream whose bytes arrive in pieces of any length. Holds at most 7 bytes.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialVarint {
    bytes: [u8; 8],
    have: u8,
}

impl PartialVarint {
    /// Nothing read yet.
    pub const fn new() -> Self {
        Self {
            bytes: [0; 8],
            have: 0,
        }
    }

    /// Takes bytes from the front of `input` until one integer is complete, and gives it; the next
    /// call begins with the next integer. `None` when all of `input` was taken and more is needed.
    pub fn feed(&mut self, input: &mut &[u8]) -> Option<u64> {
        if self.have == 0
            && let Some((value, rest)) = varint::decode(input)
        {
            *input = rest;
            return Some(value);
        }
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            // One of eight bytes: a complete integer is taken out below.
            if let Some(room) = self.bytes.get_mut(usize::from(self.have)) {
                *room = byte;
                self.have += 1;
            }
            let held = self.bytes.get(..usize::from(self.have)).unwrap_or_default();
            if let Some((value, _)) = varint::decode(held) {
                self.have = 0;
                return Some(value);
            }
        }
        None
    }

    /// Whether no integer was begun: where a stream may end.
    pub const fn is_empty(&self) -> bool {
        self.have == 0
    }

    /// Bytes that the integer takes at least, beyond those read: who reads no more than this never
    /// reads past it.
    pub const fn missing(&self) -> usize {
        if self.have == 0 {
            return 1;
        }
        (1 << (self.bytes[0] >> 6)) - self.have as usize
    }
}

/// Reads pairs of varints, a type and a length, from a stream.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PartialPair {
    first: Option<u64>,
    next: PartialVarint,
}

impl PartialPair {
    pub(super) const fn new() -> Self {
        Self {
            first: None,
            next: PartialVarint::new(),
        }
    }

    /// As [`PartialVarint::feed`].
    pub(super) fn feed(&mut self, input: &mut &[u8]) -> Option<(u64, u64)> {
        let first = match self.first {
            Some(first) => first,
            None => *self.first.insert(self.next.feed(input)?),
        };
        let second = self.next.feed(input)?;
        self.first = None;
        Some((first, second))
    }

    /// As if `first` had been read already.
    pub(super) const fn after_first(first: u64) -> Self {
        Self {
            first: Some(first),
            next: PartialVarint::new(),
        }
    }

    /// As [`PartialVarint::missing`], for both integers.
    pub(super) const fn missing(&self) -> usize {
        // Where the first one is missing, so is at least a byte of the second.
        self.next.missing() + self.first.is_none() as usize
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none() && self.next.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn any_split_gives_the_same() {
        // 2^62 - 1 in eight bytes, 15293 in two, 37 in one and, longer than needed, in two.
        let bytes = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7b, 0xbd, 0x25, 0x40, 0x25,
        ];
        let expected = [varint::MAX, 15293, 37, 37];
        for piece in 1..=bytes.len() {
            let mut reader = PartialVarint::new();
            let mut values = Vec::new();
            for mut input in bytes.chunks(piece) {
                while let Some(value) = reader.feed(&mut input) {
                    values.push(value);
                }
                assert!(input.is_empty());
            }
            assert_eq!(values, expected, "in pieces of {piece}");
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn missing_bytes_lead_exactly_to_the_end() {
        let bytes = [0x40, 0x41, 0xc0, 0, 0, 0, 0, 0, 0, 5, 9];
        let mut reader = PartialPair::new();
        let (mut rest, mut reads) = (&bytes[..], Vec::new());
        let pair = loop {
            reads.push(reader.missing());
            let (mut input, tail) = rest.split_at(reader.missing());
            rest = tail;
            if let Some(pair) = reader.feed(&mut input) {
                break pair;
            }
        };
        assert_eq!((pair, rest), ((0x41, 5), &[9][..]));
        assert_eq!(reads, [2, 1, 7]);
    }

    #[test]
    fn pairs_end_only_between() {
        let mut reader = PartialPair::new();
        for (byte, open) in [(0x40, true), (0x41, true), (0x40, true)] {
            assert_eq!(reader.feed(&mut &[byte][..]), None);
            assert_eq!(reader.is_empty(), !open);
        }
        assert_eq!(reader.feed(&mut &[5][..]), Some((0x41, 5)));
        assert!(reader.is_empty());

        let mut reader = PartialPair::after_first(1);
        assert!(!reader.is_empty());
        assert_eq!(reader.feed(&mut &[2, 3][..]), Some((1, 2)));
    }
}
