//! STREAM (RFC 9000, section 19.8).

use super::{FrameErrorKind, check_end, types};
use crate::wire::{NoRoom, Reader, StreamId, Writer, varint};

/// A STREAM frame: data of a stream.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Stream<'a> {
    /// The stream.
    pub id: StreamId,
    /// Where in the stream the data starts.
    pub offset: u64,
    /// Whether the stream ends with the data.
    pub fin: bool,
    /// The data. The stream stays below 2^62 bytes with it.
    pub data: &'a [u8],
}

impl<'a> Stream<'a> {
    pub(super) fn parse(r: &mut Reader<'a>, frame_type: u64) -> Result<Self, FrameErrorKind> {
        let id = StreamId::from_u64(r.varint()?);
        let offset = if frame_type & types::STREAM_OFF != 0 {
            r.varint()?
        } else {
            0
        };
        let data = if frame_type & types::STREAM_LEN != 0 {
            r.varint_prefixed()?
        } else {
            r.take_rest()
        };
        check_end(offset, data)?;
        Ok(Self {
            id,
            offset,
            fin: frame_type & types::STREAM_FIN != 0,
            data,
        })
    }

    /// Its header, with a length field.
    pub const fn header(&self) -> StreamHeader {
        StreamHeader {
            id: self.id,
            offset: self.offset,
            fin: self.fin,
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

/// A STREAM frame up to its data, for senders that put the data into the packet themselves.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct StreamHeader {
    /// The stream.
    pub id: StreamId,
    /// Where in the stream the data starts.
    pub offset: u64,
    /// Whether the stream ends with the data.
    pub fin: bool,
    /// Length of the data; `None` when it goes to the end of the packet.
    pub len: Option<u64>,
}

impl StreamHeader {
    /// The type of the frame, with its bits.
    pub const fn frame_type(&self) -> u64 {
        let off = if self.offset > 0 {
            types::STREAM_OFF
        } else {
            0
        };
        let len = if self.len.is_some() {
            types::STREAM_LEN
        } else {
            0
        };
        let fin = if self.fin { types::STREAM_FIN } else { 0 };
        types::STREAM | off | len | fin
    }

    /// Bytes it takes, without the data.
    pub fn encoded_len(&self) -> usize {
        let offset = if self.offset > 0 {
            varint::len(self.offset)
        } else {
            0
        };
        1 + varint::len(self.id.as_u64()) + offset + self.len.map_or(0, varint::len)
    }

    /// Writes it, all or nothing. Makes no room for the data.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        if w.remaining() < self.encoded_len() {
            return Err(NoRoom);
        }
        w.varint(self.frame_type())?;
        w.varint(self.id.as_u64())?;
        if self.offset > 0 {
            w.varint(self.offset)?;
        }
        self.len.map_or(Ok(()), |len| w.varint(len))
    }
}
