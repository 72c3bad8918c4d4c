//! RESET_STREAM and STOP_SENDING (RFC 9000, sections 19.4 and 19.5), and RESET_STREAM_AT
//! (draft-ietf-quic-reliable-stream-reset).

use super::{FrameErrorKind, encode_fields, fields_len, types};
use crate::wire::{NoRoom, Reader, StreamId, Truncated, Writer};

/// RESET_STREAM: the sender gives up on a stream.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ResetStream {
    /// The stream.
    pub id: StreamId,
    /// Why, in the application's codes.
    pub code: u64,
    /// How many bytes the stream was charged for in total.
    pub final_size: u64,
}

impl ResetStream {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, Truncated> {
        let id = StreamId::from_u64(r.varint()?);
        let code = r.varint()?;
        let final_size = r.varint()?;
        Ok(Self {
            id,
            code,
            final_size,
        })
    }

    const fn fields(&self) -> [u64; 4] {
        let id = self.id.as_u64();
        [types::RESET_STREAM, id, self.code, self.final_size]
    }

    /// Bytes it takes.
    pub fn encoded_len(&self) -> usize {
        fields_len(&self.fields())
    }

    /// Writes it, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        encode_fields(&self.fields(), w)
    }
}

/// RESET_STREAM_AT: the sender gives up on a stream, but still delivers its beginning.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ResetStreamAt {
    /// The stream.
    pub id: StreamId,
    /// Why, in the application's codes.
    pub code: u64,
    /// How many bytes the stream was charged for in total.
    pub final_size: u64,
    /// How many bytes are delivered all the same; at most `final_size`.
    pub reliable_size: u64,
}

impl ResetStreamAt {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, FrameErrorKind> {
        let id = StreamId::from_u64(r.varint()?);
        let code = r.varint()?;
        let final_size = r.varint()?;
        let reliable_size = r.varint()?;
        if reliable_size > final_size {
            return Err(FrameErrorKind::ReliableSize);
        }
        Ok(Self {
            id,
            code,
            final_size,
            reliable_size,
        })
    }

    const fn fields(&self) -> [u64; 5] {
        let id = self.id.as_u64();
        let (code, size) = (self.code, self.final_size);
        [types::RESET_STREAM_AT, id, code, size, self.reliable_size]
    }

    /// Bytes it takes.
    pub fn encoded_len(&self) -> usize {
        fields_len(&self.fields())
    }

    /// Writes it, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        encode_fields(&self.fields(), w)
    }
}

/// STOP_SENDING: the receiver of a stream wants no more of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct StopSending {
    /// The stream.
    pub id: StreamId,
    /// Why, in the application's codes.
    pub code: u64,
}

impl StopSending {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, Truncated> {
        let id = StreamId::from_u64(r.varint()?);
        let code = r.varint()?;
        Ok(Self { id, code })
    }

    const fn fields(&self) -> [u64; 3] {
        [types::STOP_SENDING, self.id.as_u64(), self.code]
    }

    /// Bytes it takes.
    pub fn encoded_len(&self) -> usize {
        fields_len(&self.fields())
    }

    /// Writes it, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        encode_fields(&self.fields(), w)
    }
}
