//! What a sent packet carried.

use alloc::vec::Vec;

mod packets;

pub(crate) use packets::{SentPacket, SentPackets, SentState};

use crate::wire::{Dir, StreamId};

/// A frame as remembered until its packet is acknowledged or lost. It holds no payload: what must
/// be sent again is taken from its owner, in its newest form (RFC 9000, section 13.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum SentFrame {
    Ping,
    /// An ACK whose largest packet number this was.
    Ack {
        largest: u64,
    },
    Crypto {
        offset: u64,
        len: u16,
    },
    Stream {
        id: StreamId,
        offset: u64,
        len: u16,
        fin: bool,
    },
    ResetStream(StreamId),
    StopSending(StreamId),
    MaxData(u64),
    MaxStreamData(StreamId, u64),
    MaxStreams(Dir, u64),
    DataBlocked(u64),
    StreamDataBlocked(StreamId, u64),
    StreamsBlocked(Dir, u64),
    NewConnectionId {
        sequence: u64,
    },
    RetireConnectionId {
        sequence: u64,
    },
    PathChallenge,
    PathResponse,
    HandshakeDone,
    AckFrequency {
        sequence: u64,
    },
    NewToken,
    Datagram,
}

/// The frames of the packet being built, in order.
#[derive(Debug, Default)]
pub(crate) struct SentFrames(Vec<SentFrame>);

impl SentFrames {
    pub(crate) fn push(&mut self, frame: SentFrame) {
        self.0.push(frame);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn as_slice(&self) -> &[SentFrame] {
        &self.0
    }
}
