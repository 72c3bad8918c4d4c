//! DATAGRAM (RFC 9221).

use super::types;
use crate::wire::{NoRoom, Reader, Truncated, Writer, varint};

/// A DATAGRAM frame: a message that is sent once.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The message.
    pub data: &'a [u8],
}

impl<'a> Datagram<'a> {
    pub(super) fn parse(r: &mut Reader<'a>) -> Result<Self, Truncated> {
        let data = r.varint_prefixed()?;
        Ok(Self { data })
    }

    pub(super) fn parse_to_end(r: &mut Reader<'a>) -> Self {
        let data = r.take_rest();
        Self { data }
    }

    /// Its header, with a length field.
    pub const fn header(&self) -> DatagramHeader {
        DatagramHeader {
            len: Some(self.data.len() as u64),
        }
    }

    /// Bytes it takes, with a length field.
    pub fn encoded_len(&self) -> usize {
        self.header().encoded_len() + self.data.len()
    }

    /// Writes it with a length field, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        if w.remaining() < self.encoded_len() {
            return Err(NoRoom);
        }
        self.header().encode(w)?;
        w.bytes(self.data)
    }
}

/// A DATAGRAM frame up to its data, for senders that put the data into the packet themselves.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct DatagramHeader {
    /// Length of the data; `None` when it goes to the end of the packet.
    pub len: Option<u64>,
}

impl DatagramHeader {
    /// Bytes it takes, without the data.
    pub fn encoded_len(&self) -> usize {
        1 + self.len.map_or(0, varint::len)
    }

    /// Writes it, all or nothing. Makes no room for the data.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        if w.remaining() < self.encoded_len() {
            return Err(NoRoom);
        }
        match self.len {
            Some(len) => {
                w.varint(types::DATAGRAM_LEN)?;
                w.varint(len)
            }
            None => w.varint(types::DATAGRAM),
        }
    }
}
