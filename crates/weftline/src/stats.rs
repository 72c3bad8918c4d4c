//! Figures of paths and frames. Those of a connection are [`Stats`](crate::Stats).

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::wire::frame::{EcnCounts, Frame};

/// Figures of a network path.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathStats {
    /// The peer's address.
    pub remote: SocketAddr,
    /// Our address, if it is known.
    pub local: Option<IpAddr>,
    /// Whether the peer proved to be there.
    pub validated: bool,
    /// The size of the UDP payloads that we send there at most.
    pub mtu: u16,
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// Its newest sample; zero before the first.
    pub latest_rtt: Duration,
    /// Its smallest sample; zero before the first.
    pub min_rtt: Duration,
    /// The mean deviation of its samples.
    pub rtt_variation: Duration,
    /// The congestion window, in bytes.
    pub congestion_window: u64,
    /// Bytes sent and not yet acknowledged or lost.
    pub bytes_in_flight: u64,
    /// The window at which slow start ends; `None` before the first congestion, or when the
    /// controller knows no such thing.
    pub ssthresh: Option<u64>,
    /// How fast the pacer lets packets go, in bytes a second.
    pub pacing_rate: Option<u64>,
    /// What the path carries by this window and round-trip time, in bytes a second.
    pub send_rate: u64,
    /// Whether our packets are marked for ECN.
    pub ecn: bool,
    /// How the peer says 1-RTT packets of ours arrived.
    pub ecn_reported: EcnCounts,
}

/// Frames by type.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts([u64; FrameKind::ALL.len()]);

/// Types of frames, as they are counted.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the RFC's own names")]
pub enum FrameKind {
    Ping,
    Ack,
    /// RESET_STREAM and RESET_STREAM_AT.
    ResetStream,
    StopSending,
    Crypto,
    NewToken,
    Stream,
    MaxData,
    MaxStreamData,
    MaxStreams,
    DataBlocked,
    StreamDataBlocked,
    StreamsBlocked,
    NewConnectionId,
    RetireConnectionId,
    PathChallenge,
    PathResponse,
    /// CONNECTION_CLOSE of either kind.
    ConnectionClose,
    HandshakeDone,
    Datagram,
    /// Those of extensions that have no name here.
    Other,
}

impl FrameKind {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Ping,
        Self::Ack,
        Self::ResetStream,
        Self::StopSending,
        Self::Crypto,
        Self::NewToken,
        Self::Stream,
        Self::MaxData,
        Self::MaxStreamData,
        Self::MaxStreams,
        Self::DataBlocked,
        Self::StreamDataBlocked,
        Self::StreamsBlocked,
        Self::NewConnectionId,
        Self::RetireConnectionId,
        Self::PathChallenge,
        Self::PathResponse,
        Self::ConnectionClose,
        Self::HandshakeDone,
        Self::Datagram,
        Self::Other,
    ];

    /// The kind of a frame; `None` for PADDING, which is not counted.
    pub const fn of(frame: &Frame<'_>) -> Option<Self> {
        Some(match frame {
            Frame::Padding(_) => return None,
            Frame::Ping => Self::Ping,
            Frame::Ack(_) => Self::Ack,
            Frame::ResetStream(_) | Frame::ResetStreamAt(_) => Self::ResetStream,
            Frame::StopSending(_) => Self::StopSending,
            Frame::Crypto(_) => Self::Crypto,
            Frame::NewToken(_) => Self::NewToken,
            Frame::Stream(_) => Self::Stream,
            Frame::MaxData(_) => Self::MaxData,
            Frame::MaxStreamData(_) => Self::MaxStreamData,
            Frame::MaxStreams(_) => Self::MaxStreams,
            Frame::DataBlocked(_) => Self::DataBlocked,
            Frame::StreamDataBlocked(_) => Self::StreamDataBlocked,
            Frame::StreamsBlocked(_) => Self::StreamsBlocked,
            Frame::NewConnectionId(_) => Self::NewConnectionId,
            Frame::RetireConnectionId(_) => Self::RetireConnectionId,
            Frame::PathChallenge(_) => Self::PathChallenge,
            Frame::PathResponse(_) => Self::PathResponse,
            Frame::ConnectionClose(_) => Self::ConnectionClose,
            Frame::HandshakeDone => Self::HandshakeDone,
            Frame::Datagram(_) => Self::Datagram,
            #[allow(unreachable_patterns, reason = "extensions bring more")]
            _ => Self::Other,
        })
    }
}

impl FrameCounts {
    /// How many frames of this kind there were.
    pub fn of(&self, kind: FrameKind) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or(0)
    }

    /// How many frames of any kind there were.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every kind, and how many of it there were.
    pub fn iter(&self) -> impl Iterator<Item = (FrameKind, u64)> + '_ {
        FrameKind::ALL.into_iter().zip(self.0.iter().copied())
    }

    #[inline]
    pub(crate) fn add(&mut self, kind: FrameKind) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_each_in_its_place() {
        for (index, kind) in FrameKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{kind:?}");
        }
        let mut counts = FrameCounts::default();
        counts.add(FrameKind::Stream);
        counts.add(FrameKind::Stream);
        counts.add(FrameKind::Other);
        assert_eq!(counts.of(FrameKind::Stream), 2);
        assert_eq!(counts.total(), 3);
        let some: alloc::vec::Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(some, [(FrameKind::Stream, 2), (FrameKind::Other, 1)]);
        assert_eq!(FrameKind::of(&Frame::Padding(3)), None);
    }
}
