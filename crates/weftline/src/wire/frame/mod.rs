//! QUIC frames (RFC 9000, section 19; RFC 9221; RESET_STREAM_AT; ACK frequency).
//!
//! [`Frame::parse`] reads them one by one from the payload of a packet and borrows their data from
//! it. To send, every frame knows its length and writes itself all or nothing; those with bulk data
//! also have a header type, to which the sender appends the data itself.

pub mod types;

mod ack;
mod ack_frequency;
mod cid;
mod close;
mod crypto;
mod datagram;
mod error;
mod flow;
mod path;
mod reset;
mod stream;
#[cfg(test)]
mod tests;

pub use ack::{Ack, AckRanges, EcnCounts, encode_ack};
pub use ack_frequency::AckFrequency;
pub use cid::{NewConnectionId, RetireConnectionId};
pub use close::ConnectionClose;
pub use crypto::{Crypto, CryptoHeader, NewToken};
pub use datagram::{Datagram, DatagramHeader};
pub use error::{FrameError, FrameErrorKind};
pub use flow::{
    DataBlocked, MAX_STREAM_COUNT, MaxData, MaxStreamData, MaxStreams, StreamDataBlocked,
    StreamsBlocked,
};
pub use path::{PathChallenge, PathResponse};
pub use reset::{ResetStream, ResetStreamAt, StopSending};
pub use stream::{Stream, StreamHeader};

use super::packet::PacketType;
use super::{Dir, NoRoom, Reader, Writer, varint};

/// A frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the RFC's own names; each type says what it is"
)]
pub enum Frame<'a> {
    /// This many PADDING frames in a row: each is one zero byte.
    Padding(usize),
    /// Nothing but a wish for an acknowledgement.
    Ping,
    Ack(Ack<'a>),
    ResetStream(ResetStream),
    ResetStreamAt(ResetStreamAt),
    StopSending(StopSending),
    Crypto(Crypto<'a>),
    NewToken(NewToken<'a>),
    Stream(Stream<'a>),
    MaxData(MaxData),
    MaxStreamData(MaxStreamData),
    MaxStreams(MaxStreams),
    DataBlocked(DataBlocked),
    StreamDataBlocked(StreamDataBlocked),
    StreamsBlocked(StreamsBlocked),
    NewConnectionId(NewConnectionId),
    RetireConnectionId(RetireConnectionId),
    PathChallenge(PathChallenge),
    PathResponse(PathResponse),
    ConnectionClose(ConnectionClose<'a>),
    /// The server's word that the handshake is confirmed. From a client it is a
    /// PROTOCOL_VIOLATION.
    HandshakeDone,
    /// A wish to be acknowledged at once (draft-ietf-quic-ack-frequency).
    ImmediateAck,
    AckFrequency(AckFrequency),
    Datagram(Datagram<'a>),
}

impl<'a> Frame<'a> {
    /// Takes the next frame. An error closes the connection; nothing is taken then. A packet
    /// without any frame is the caller's to refuse.
    #[inline]
    pub fn parse(r: &mut Reader<'a>) -> Result<Self, FrameError> {
        let mut ahead = *r;
        let frame_type = parse_type(&mut ahead)?;
        let frame = Self::parse_body(&mut ahead, frame_type)
            .map_err(|kind| FrameError { frame_type, kind })?;
        *r = ahead;
        Ok(frame)
    }

    fn parse_body(r: &mut Reader<'a>, frame_type: u64) -> Result<Self, FrameErrorKind> {
        Ok(match frame_type {
            types::PADDING => Self::Padding(1 + take_zeros(r)),
            types::PING => Self::Ping,
            types::ACK => Self::Ack(Ack::parse(r, false)?),
            types::ACK_ECN => Self::Ack(Ack::parse(r, true)?),
            types::RESET_STREAM => Self::ResetStream(ResetStream::parse(r)?),
            types::RESET_STREAM_AT => Self::ResetStreamAt(ResetStreamAt::parse(r)?),
            types::STOP_SENDING => Self::StopSending(StopSending::parse(r)?),
            types::CRYPTO => Self::Crypto(Crypto::parse(r)?),
            types::NEW_TOKEN => Self::NewToken(NewToken::parse(r)?),
            types::STREAM..=types::STREAM_LAST => Self::Stream(Stream::parse(r, frame_type)?),
            types::MAX_DATA => Self::MaxData(MaxData::parse(r)?),
            types::MAX_STREAM_DATA => Self::MaxStreamData(MaxStreamData::parse(r)?),
            types::MAX_STREAMS_BIDI => Self::MaxStreams(MaxStreams::parse(r, Dir::Bi)?),
            types::MAX_STREAMS_UNI => Self::MaxStreams(MaxStreams::parse(r, Dir::Uni)?),
            types::DATA_BLOCKED => Self::DataBlocked(DataBlocked::parse(r)?),
            types::STREAM_DATA_BLOCKED => Self::StreamDataBlocked(StreamDataBlocked::parse(r)?),
            types::STREAMS_BLOCKED_BIDI => Self::StreamsBlocked(StreamsBlocked::parse(r, Dir::Bi)?),
            types::STREAMS_BLOCKED_UNI => Self::StreamsBlocked(StreamsBlocked::parse(r, Dir::Uni)?),
            types::NEW_CONNECTION_ID => Self::NewConnectionId(NewConnectionId::parse(r)?),
            types::RETIRE_CONNECTION_ID => Self::RetireConnectionId(RetireConnectionId::parse(r)?),
            types::PATH_CHALLENGE => Self::PathChallenge(PathChallenge::parse(r)?),
            types::PATH_RESPONSE => Self::PathResponse(PathResponse::parse(r)?),
            types::CONNECTION_CLOSE => Self::ConnectionClose(ConnectionClose::parse_transport(r)?),
            types::CONNECTION_CLOSE_APP => {
                Self::ConnectionClose(ConnectionClose::parse_application(r)?)
            }
            types::HANDSHAKE_DONE => Self::HandshakeDone,
            types::IMMEDIATE_ACK => Self::ImmediateAck,
            types::ACK_FREQUENCY => Self::AckFrequency(AckFrequency::parse(r)?),
            types::DATAGRAM => Self::Datagram(Datagram::parse_to_end(r)),
            types::DATAGRAM_LEN => Self::Datagram(Datagram::parse(r)?),
            _ => return Err(FrameErrorKind::UnknownType),
        })
    }

    /// The type it has when we send it: STREAM and DATAGRAM with a length field.
    pub const fn frame_type(&self) -> u64 {
        match self {
            Self::Padding(_) => types::PADDING,
            Self::Ping => types::PING,
            Self::Ack(Ack { ecn: None, .. }) => types::ACK,
            Self::Ack(_) => types::ACK_ECN,
            Self::ResetStream(_) => types::RESET_STREAM,
            Self::ResetStreamAt(_) => types::RESET_STREAM_AT,
            Self::StopSending(_) => types::STOP_SENDING,
            Self::Crypto(_) => types::CRYPTO,
            Self::NewToken(_) => types::NEW_TOKEN,
            Self::Stream(stream) => stream.header().frame_type(),
            Self::MaxData(_) => types::MAX_DATA,
            Self::MaxStreamData(_) => types::MAX_STREAM_DATA,
            Self::MaxStreams(frame) => frame.fields()[0],
            Self::DataBlocked(_) => types::DATA_BLOCKED,
            Self::StreamDataBlocked(_) => types::STREAM_DATA_BLOCKED,
            Self::StreamsBlocked(frame) => frame.fields()[0],
            Self::NewConnectionId(_) => types::NEW_CONNECTION_ID,
            Self::RetireConnectionId(_) => types::RETIRE_CONNECTION_ID,
            Self::PathChallenge(_) => types::PATH_CHALLENGE,
            Self::PathResponse(_) => types::PATH_RESPONSE,
            Self::ConnectionClose(close) => close.frame_type(),
            Self::HandshakeDone => types::HANDSHAKE_DONE,
            Self::ImmediateAck => types::IMMEDIATE_ACK,
            Self::AckFrequency(_) => types::ACK_FREQUENCY,
            Self::Datagram(_) => types::DATAGRAM_LEN,
        }
    }

    /// Whether a packet with it must be acknowledged (RFC 9002, section 2).
    pub fn is_ack_eliciting(&self) -> bool {
        types::is_ack_eliciting(self.frame_type())
    }

    /// Whether a packet that holds only such frames probes a path without migrating to it (RFC
    /// 9000, section 9.1).
    pub fn is_probing(&self) -> bool {
        types::is_probing(self.frame_type())
    }

    /// Whether it may be in packets of this type. Elsewhere it is a PROTOCOL_VIOLATION.
    pub fn is_allowed_in(&self, packet_type: PacketType) -> bool {
        types::is_allowed_in(self.frame_type(), packet_type)
    }

    /// Bytes it takes; STREAM and DATAGRAM with a length field.
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Padding(count) => *count,
            Self::Ping | Self::HandshakeDone | Self::ImmediateAck => 1,
            Self::AckFrequency(frame) => frame.encoded_len(),
            Self::Ack(frame) => frame.encoded_len(),
            Self::ResetStream(frame) => frame.encoded_len(),
            Self::ResetStreamAt(frame) => frame.encoded_len(),
            Self::StopSending(frame) => frame.encoded_len(),
            Self::Crypto(frame) => frame.encoded_len(),
            Self::NewToken(frame) => frame.encoded_len(),
            Self::Stream(frame) => frame.encoded_len(),
            Self::MaxData(frame) => frame.encoded_len(),
            Self::MaxStreamData(frame) => frame.encoded_len(),
            Self::MaxStreams(frame) => frame.encoded_len(),
            Self::DataBlocked(frame) => frame.encoded_len(),
            Self::StreamDataBlocked(frame) => frame.encoded_len(),
            Self::StreamsBlocked(frame) => frame.encoded_len(),
            Self::NewConnectionId(frame) => frame.encoded_len(),
            Self::RetireConnectionId(frame) => frame.encoded_len(),
            Self::PathChallenge(frame) => frame.encoded_len(),
            Self::PathResponse(frame) => frame.encoded_len(),
            Self::ConnectionClose(frame) => frame.encoded_len(),
            Self::Datagram(frame) => frame.encoded_len(),
        }
    }

    /// Writes it, all or nothing; STREAM and DATAGRAM with a length field.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        match self {
            Self::Padding(count) => {
                w.reserve(*count)?.fill(0);
                Ok(())
            }
            Self::Ping | Self::HandshakeDone | Self::ImmediateAck => w.varint(self.frame_type()),
            Self::AckFrequency(frame) => frame.encode(w),
            Self::Ack(frame) => frame.encode(w),
            Self::ResetStream(frame) => frame.encode(w),
            Self::ResetStreamAt(frame) => frame.encode(w),
            Self::StopSending(frame) => frame.encode(w),
            Self::Crypto(frame) => frame.encode(w),
            Self::NewToken(frame) => frame.encode(w),
            Self::Stream(frame) => frame.encode(w),
            Self::MaxData(frame) => frame.encode(w),
            Self::MaxStreamData(frame) => frame.encode(w),
            Self::MaxStreams(frame) => frame.encode(w),
            Self::DataBlocked(frame) => frame.encode(w),
            Self::StreamDataBlocked(frame) => frame.encode(w),
            Self::StreamsBlocked(frame) => frame.encode(w),
            Self::NewConnectionId(frame) => frame.encode(w),
            Self::RetireConnectionId(frame) => frame.encode(w),
            Self::PathChallenge(frame) => frame.encode(w),
            Self::PathResponse(frame) => frame.encode(w),
            Self::ConnectionClose(frame) => frame.encode(w),
            Self::Datagram(frame) => frame.encode(w),
        }
    }
}

/// The most data that fits into `room` bytes together with the variable-length integer that gives
/// its length; `None` when not even that does. Packets of a gigabyte are not thought of.
pub fn data_that_fits(room: usize) -> Option<usize> {
    // An integer of one byte goes to 0x3f, one of two to 0x3fff, one of four to 0x3fff_ffff.
    match room {
        0 => None,
        1..=64 => Some(room - 1),
        65..=0x4001 => Some(room - 2),
        0x4002 => Some(0x3fff),
        _ => Some((room - 4).min(0x3fff_ffff)),
    }
}

/// Takes a frame type, which must be in its shortest form (RFC 9000, section 12.4).
#[inline]
fn parse_type(r: &mut Reader<'_>) -> Result<u64, FrameError> {
    let before = r.remaining();
    let frame_type = r.varint().map_err(|_| FrameError {
        frame_type: 0,
        kind: FrameErrorKind::Truncated,
    })?;
    if before - r.remaining() != varint::len(frame_type) {
        return Err(FrameError {
            frame_type,
            kind: FrameErrorKind::NonMinimalType,
        });
    }
    Ok(frame_type)
}

fn take_zeros(r: &mut Reader<'_>) -> usize {
    let zeros = r.rest().iter().take_while(|byte| **byte == 0).count();
    r.bytes(zeros).map_or(0, <[u8]>::len)
}

/// Streams and CRYPTO data end below 2^62.
fn check_end(offset: u64, data: &[u8]) -> Result<(), FrameErrorKind> {
    match offset.checked_add(data.len() as u64) {
        Some(..=varint::MAX) => Ok(()),
        _ => Err(FrameErrorKind::OffsetTooLarge),
    }
}

/// Bytes of a frame that is its type and numbers.
fn fields_len(fields: &[u64]) -> usize {
    fields.iter().map(|field| varint::len(*field)).sum()
}

/// Writes a frame that is its type and numbers, all or nothing.
fn encode_fields(fields: &[u64], w: &mut Writer<'_>) -> Result<(), NoRoom> {
    if w.remaining() < fields_len(fields) {
        return Err(NoRoom);
    }
    fields.iter().try_for_each(|field| w.varint(*field))
}
