//! A cursor over received bytes.

use super::varint;

/// The input ended inside a field.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("input ended inside a field")]
pub struct Truncated;

/// A cursor over a byte slice. Every method takes from the front, and takes nothing when it fails.
#[derive(Copy, Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the front of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The unread bytes, without taking them.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes the next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], Truncated> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    /// Takes everything left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Takes the next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, tail) = self.rest.split_first_chunk().ok_or(Truncated)?;
        self.rest = tail;
        Ok(*head)
    }

    /// Takes one byte.
    pub fn u8(&mut self) -> Result<u8, Truncated> {
        self.array().map(|[byte]| byte)
    }

    /// Takes a big-endian 16-bit number.
    pub fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes a big-endian 32-bit number.
    pub fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes a variable-length integer (RFC 9000, section 16). Longer encodings than needed are
    /// legal.
    pub fn varint(&mut self) -> Result<u64, Truncated> {
        let (value, tail) = varint::decode(self.rest).ok_or(Truncated)?;
        self.rest = tail;
        Ok(value)
    }

    /// Takes a variable-length integer and then as many bytes.
    pub fn varint_prefixed(&mut self) -> Result<&'a [u8], Truncated> {
        let mut ahead = *self;
        let len = usize::try_from(ahead.varint()?).map_err(|_| Truncated)?;
        let bytes = ahead.bytes(len)?;
        *self = ahead;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_order() {
        let mut r = Reader::new(&[1, 0, 2, 0, 0, 0, 3, 0x7b, 0xbd, 9, 9]);
        assert_eq!(r.u8(), Ok(1));
        assert_eq!(r.u16(), Ok(2));
        assert_eq!(r.u32(), Ok(3));
        assert_eq!(r.varint(), Ok(15293));
        assert_eq!(r.take_rest(), [9, 9]);
        assert!(r.is_empty());
    }

    #[test]
    fn failing_takes_nothing() {
        let mut r = Reader::new(&[3, 1, 2]);
        assert_eq!(r.u32(), Err(Truncated));
        assert_eq!(r.varint_prefixed(), Err(Truncated));
        assert_eq!(r.bytes(4), Err(Truncated));
        assert_eq!(r.remaining(), 3);
    }
}
