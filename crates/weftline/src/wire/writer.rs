//! A cursor over a buffer to fill.

use super::varint;

/// The buffer has no room for the field.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room left in the buffer")]
pub struct NoRoom;

/// A cursor that fills a byte slice from the front. A method that finds no room writes nothing.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// A cursor at the front of `buf`.
    pub const fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, at: 0 }
    }

    /// Bytes written so far.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Room left.
    pub const fn remaining(&self) -> usize {
        self.buf.len() - self.at
    }

    /// What was written so far.
    pub fn written(&self) -> &[u8] {
        self.buf.get(..self.at).unwrap_or_default()
    }

    /// What was written so far, to patch a field whose value comes later (a length).
    pub fn written_mut(&mut self) -> &mut [u8] {
        self.buf.get_mut(..self.at).unwrap_or_default()
    }

    /// Takes the next `n` bytes for the caller to fill. Their content is unspecified.
    #[inline]
    pub fn reserve(&mut self, n: usize) -> Result<&mut [u8], NoRoom> {
        let end = self.at.checked_add(n).ok_or(NoRoom)?;
        let room = self.buf.get_mut(self.at..end).ok_or(NoRoom)?;
        self.at = end;
        Ok(room)
    }

    /// Writes `bytes`.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.reserve(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes one byte.
    #[inline]
    pub fn u8(&mut self, value: u8) -> Result<(), NoRoom> {
        self.bytes(&[value])
    }

    /// Writes a big-endian 16-bit number.
    pub fn u16(&mut self, value: u16) -> Result<(), NoRoom> {
        self.bytes(&value.to_be_bytes())
    }

    /// Writes a big-endian 32-bit number.
    pub fn u32(&mut self, value: u32) -> Result<(), NoRoom> {
        self.bytes(&value.to_be_bytes())
    }

    /// Writes `value` as a variable-length integer in as few bytes as it needs (RFC 9000,
    /// section 16). A value past [`varint::MAX`] is a bug of the caller and is written as that
    /// maximum.
    #[inline]
    pub fn varint(&mut self, value: u64) -> Result<(), NoRoom> {
        // Most are that small.
        if value < 0x40 {
            return self.u8(value as u8);
        }
        self.long_varint(value)
    }

    fn long_varint(&mut self, value: u64) -> Result<(), NoRoom> {
        varint::encode(value, self.reserve(varint::len(value))?);
        Ok(())
    }

    /// Writes the length of `bytes` as a variable-length integer, then `bytes`; both or neither.
    pub fn varint_prefixed(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let len = bytes.len() as u64;
        if self.remaining() < varint::len(len).saturating_add(bytes.len()) {
            return Err(NoRoom);
        }
        self.varint(len)?;
        self.bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_in_order() {
        let mut buf = [0; 12];
        let mut w = Writer::new(&mut buf);
        w.u8(1).unwrap();
        w.u16(2).unwrap();
        w.u32(3).unwrap();
        w.varint_prefixed(b"abc").unwrap();
        assert_eq!(w.remaining(), 1);
        assert_eq!(w.written(), b"\x01\0\x02\0\0\0\x03\x03abc");
    }

    #[test]
    fn no_room_writes_nothing() {
        let mut buf = [0; 2];
        let mut w = Writer::new(&mut buf);
        assert_eq!(w.u32(1), Err(NoRoom));
        assert_eq!(w.varint(1 << 20), Err(NoRoom));
        assert_eq!(w.varint_prefixed(b"ab"), Err(NoRoom));
        assert_eq!(w.position(), 0);
    }
}
