//! Figures: what is counted, and what is worked out when asked for.

use super::Connection;
use crate::{
    quic::{recovery::SpaceId, sent::SentFrame},
    stats::{FrameKind, PathStats},
    wire::frame::Frame,
};

impl Connection {
    /// Counts a frame that arrived.
    #[inline]
    pub(super) fn count_received(&mut self, frame: &Frame<'_>) {
        if let Some(kind) = FrameKind::of(frame) {
            self.stats.frames_received.add(kind);
        }
    }

    /// Counts the frames of the packet of `id` that is being sent.
    #[inline]
    pub(super) fn count_sent(&mut self, id: SpaceId) {
        let sent = self.spaces[id as usize].sent.as_slice();
        for frame in sent {
            self.stats.frames_sent.add(kind(frame));
        }
    }

    /// Figures of the path in use.
    pub(crate) fn path_stats(&self) -> PathStats {
        let (route, path) = (self.paths.route(), self.recovery.active());
        let rtt = path.rtt();
        let window = path.congestion_window();
        PathStats {
            remote: route.remote,
            local: route.local,
            validated: self.paths.is_validated(),
            mtu: self.paths.datagram_size(),
            rtt: rtt.smoothed(),
            latest_rtt: rtt.latest(),
            min_rtt: rtt.min(),
            rtt_variation: rtt.variation(),
            congestion_window: window,
            bytes_in_flight: path.bytes_in_flight(),
            ssthresh: path.ssthresh(),
            pacing_rate: path.pacing_rate(),
            send_rate: per_second(window, rtt.smoothed()),
            ecn: path.may_mark_ect(),
            ecn_reported: path.ecn_reported(),
        }
    }
}

/// `bytes` in each `time`, as bytes a second.
fn per_second(bytes: u64, time: core::time::Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1_000_000) / micros
}

const fn kind(frame: &SentFrame) -> FrameKind {
    match frame {
        SentFrame::Ping => FrameKind::Ping,
        SentFrame::Ack { .. } => FrameKind::Ack,
        SentFrame::Crypto { .. } => FrameKind::Crypto,
        SentFrame::Stream { .. } => FrameKind::Stream,
        SentFrame::ResetStream(_) => FrameKind::ResetStream,
        SentFrame::StopSending(_) => FrameKind::StopSending,
        SentFrame::MaxData(_) => FrameKind::MaxData,
        SentFrame::MaxStreamData(..) => FrameKind::MaxStreamData,
        SentFrame::MaxStreams(..) => FrameKind::MaxStreams,
        SentFrame::DataBlocked(_) => FrameKind::DataBlocked,
        SentFrame::StreamDataBlocked(..) => FrameKind::StreamDataBlocked,
        SentFrame::StreamsBlocked(..) => FrameKind::StreamsBlocked,
        SentFrame::NewConnectionId { .. } => FrameKind::NewConnectionId,
        SentFrame::RetireConnectionId { .. } => FrameKind::RetireConnectionId,
        SentFrame::PathChallenge => FrameKind::PathChallenge,
        SentFrame::PathResponse => FrameKind::PathResponse,
        SentFrame::HandshakeDone => FrameKind::HandshakeDone,
        SentFrame::Datagram => FrameKind::Datagram,
        SentFrame::NewToken => FrameKind::NewToken,
        #[allow(unreachable_patterns, reason = "extensions bring more")]
        _ => FrameKind::Other,
    }
}
