//! Flow control: limits on data and streams, and word of being blocked by them (RFC 9000, sections
//! 19.9 to 19.14).

use super::{FrameErrorKind, encode_fields, fields_len, types};
use crate::wire::{Dir, NoRoom, Reader, StreamId, Truncated, Writer};

/// The largest number of streams of a kind, as their identifiers go up to 2^62 - 1.
pub const MAX_STREAM_COUNT: u64 = 1 << 60;

/// MAX_DATA: the connection may now carry this much.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MaxData {
    /// Bytes of stream data in total.
    pub maximum: u64,
}

impl MaxData {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, Truncated> {
        let maximum = r.varint()?;
        Ok(Self { maximum })
    }

    const fn fields(&self) -> [u64; 2] {
        [types::MAX_DATA, self.maximum]
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

/// MAX_STREAM_DATA: the stream may now carry this much.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MaxStreamData {
    /// The stream.
    pub id: StreamId,
    /// Bytes in total.
    pub maximum: u64,
}

impl MaxStreamData {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, Truncated> {
        let id = StreamId::from_u64(r.varint()?);
        let maximum = r.varint()?;
        Ok(Self { id, maximum })
    }

    const fn fields(&self) -> [u64; 3] {
        [types::MAX_STREAM_DATA, self.id.as_u64(), self.maximum]
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

/// MAX_STREAMS: this many streams may now be opened.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MaxStreams {
    /// Which streams.
    pub dir: Dir,
    /// How many in total, at most [`MAX_STREAM_COUNT`].
    pub maximum: u64,
}

impl MaxStreams {
    pub(super) fn parse(r: &mut Reader<'_>, dir: Dir) -> Result<Self, FrameErrorKind> {
        let maximum = stream_count(r)?;
        Ok(Self { dir, maximum })
    }

    pub(super) const fn fields(&self) -> [u64; 2] {
        let frame_type = match self.dir {
            Dir::Bi => types::MAX_STREAMS_BIDI,
            Dir::Uni => types::MAX_STREAMS_UNI,
        };
        [frame_type, self.maximum]
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

/// DATA_BLOCKED: the sender has more data than the connection may carry.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct DataBlocked {
    /// The limit that blocks it.
    pub limit: u64,
}

impl DataBlocked {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, Truncated> {
        let limit = r.varint()?;
        Ok(Self { limit })
    }

    const fn fields(&self) -> [u64; 2] {
        [types::DATA_BLOCKED, self.limit]
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

/// STREAM_DATA_BLOCKED: the sender has more data than the stream may carry.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct StreamDataBlocked {
    /// The stream.
    pub id: StreamId,
    /// The limit that blocks it.
    pub limit: u64,
}

impl StreamDataBlocked {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, Truncated> {
        let id = StreamId::from_u64(r.varint()?);
        let limit = r.varint()?;
        Ok(Self { id, limit })
    }

    const fn fields(&self) -> [u64; 3] {
        [types::STREAM_DATA_BLOCKED, self.id.as_u64(), self.limit]
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

/// STREAMS_BLOCKED: the sender wants to open more streams than it may.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct StreamsBlocked {
    /// Which streams.
    pub dir: Dir,
    /// The limit that blocks it, at most [`MAX_STREAM_COUNT`].
    pub limit: u64,
}

impl StreamsBlocked {
    pub(super) fn parse(r: &mut Reader<'_>, dir: Dir) -> Result<Self, FrameErrorKind> {
        let limit = stream_count(r)?;
        Ok(Self { dir, limit })
    }

    pub(super) const fn fields(&self) -> [u64; 2] {
        let frame_type = match self.dir {
            Dir::Bi => types::STREAMS_BLOCKED_BIDI,
            Dir::Uni => types::STREAMS_BLOCKED_UNI,
        };
        [frame_type, self.limit]
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

fn stream_count(r: &mut Reader<'_>) -> Result<u64, FrameErrorKind> {
    let count = r.varint()?;
    if count > MAX_STREAM_COUNT {
        return Err(FrameErrorKind::TooManyStreams);
    }
    Ok(count)
}
