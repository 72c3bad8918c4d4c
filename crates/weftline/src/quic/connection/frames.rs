//! Frames in: each goes to the part that it is for.

use core::time::Duration;

use super::{
    Connection,
    handshake::{self, DoneFrame},
    new_token::NewTokenFrame,
    phase::Phase,
    receive::{Arrival, OpenedPacket, three_ptos_from},
};
use crate::{
    error::{Fault, TransportCode},
    quic::{
        recovery::{self, SpaceId},
        sent::SentFrame,
    },
    time::Instant,
    wire::{
        Cid, Reader, ResetToken, Side,
        frame::{Ack, Frame, FrameError, types},
    },
};

/// What kind of frames a packet had.
#[derive(Copy, Clone, Debug)]
pub(super) struct Seen {
    pub(super) is_eliciting: bool,
    /// Nothing but frames that probe a path.
    pub(super) is_probing: bool,
}

impl Connection {
    /// Takes the frames of a packet.
    pub(super) fn on_frames(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        packet: &OpenedPacket,
        payload: &[u8],
    ) -> Result<Seen, Fault> {
        if payload.is_empty() {
            return Err(violation("a packet without frames"));
        }
        let mut seen = Seen {
            is_eliciting: false,
            is_probing: true,
        };
        let mut reader = Reader::new(payload);
        while !reader.is_empty() {
            let frame = Frame::parse(&mut reader).map_err(bad_frame)?;
            let frame_type = frame.frame_type();
            if !types::is_allowed_in(frame_type, packet.packet_type) {
                let fault = violation("a frame in a packet of the wrong type");
                return Err(blame(fault, frame_type));
            }
            self.count_received(&frame);
            seen.is_eliciting |= types::is_ack_eliciting(frame_type);
            seen.is_probing &= types::is_probing(frame_type);
            self.on_frame(now, arrival, packet, frame)
                .map_err(|fault| blame(fault, frame_type))?;
            if !self.phase.is_open() {
                break;
            }
        }
        Ok(seen)
    }

    fn on_frame(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        packet: &OpenedPacket,
        frame: Frame<'_>,
    ) -> Result<(), Fault> {
        match frame {
            Frame::Padding(_) | Frame::Ping => Ok(()),
            Frame::Ack(ack) => self.on_ack(now, packet, &ack),
            Frame::Crypto(f) => self.on_crypto(packet.id, f.offset, f.data),
            Frame::Stream(f) => self.streams.on_stream(f.id, f.offset, f.data, f.fin),
            Frame::MaxData(f) => {
                self.streams.on_max_data(f.maximum);
                Ok(())
            }
            Frame::MaxStreamData(f) => self.streams.on_max_stream_data(f.id, f.maximum),
            Frame::Datagram(f) => self.on_datagram_frame(f.data),
            _ => self.on_rare_frame(now, arrival, packet, &frame),
        }
    }

    /// A frame that few packets have. Apart, for what handles the usual ones is faster without.
    #[inline(never)]
    fn on_rare_frame(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        packet: &OpenedPacket,
        frame: &Frame<'_>,
    ) -> Result<(), Fault> {
        match frame {
            Frame::ResetStream(f) => self.streams.on_reset_stream(f.id, f.code, f.final_size),
            Frame::ResetStreamAt(f) => {
                self.streams
                    .on_reset_stream_at(f.id, f.code, f.final_size, f.reliable_size)
            }
            Frame::StopSending(f) => self.streams.on_stop_sending(f.id, f.code),
            Frame::MaxStreams(f) => self.streams.on_max_streams(f.dir, f.maximum),
            // Credit follows from what is read, whether the peer is blocked or not.
            Frame::DataBlocked(_) => Ok(()),
            Frame::StreamDataBlocked(f) => self.streams.on_stream_data_blocked(f.id),
            Frame::StreamsBlocked(f) => self.streams.on_streams_blocked(f.dir, f.limit),
            Frame::NewConnectionId(f) => {
                self.on_new_cid(f.sequence, f.retire_prior_to, f.cid, f.reset_token)
            }
            Frame::RetireConnectionId(f) => self.on_retire_cid(f.sequence, packet),
            Frame::PathChallenge(f) => {
                self.paths.on_challenge(arrival.route, f.data, arrival.len);
                Ok(())
            }
            Frame::PathResponse(f) => {
                self.on_path_response(now, f.data);
                Ok(())
            }
            Frame::ConnectionClose(close) => {
                self.on_peer_close(close);
                Ok(())
            }
            Frame::HandshakeDone => self.on_handshake_done(now),
            Frame::ImmediateAck => {
                self.space_mut(packet.id).acks.on_immediate_ack();
                Ok(())
            }
            Frame::AckFrequency(f) => {
                let min_delay = handshake::min_ack_delay(&self.config);
                let acks = &mut self.space_mut(packet.id).acks;
                acks.on_ack_frequency(f, min_delay)
            }
            Frame::NewToken(f) => self.on_new_token(f.token),
            // The usual ones.
            Frame::Padding(_)
            | Frame::Ping
            | Frame::Ack(_)
            | Frame::Crypto(_)
            | Frame::Stream(_)
            | Frame::MaxData(_)
            | Frame::MaxStreamData(_)
            | Frame::Datagram(_) => Ok(()),
        }
    }

    fn on_ack(&mut self, now: Instant, packet: &OpenedPacket, ack: &Ack<'_>) -> Result<(), Fault> {
        let exponent = match packet.id {
            SpaceId::Initial | SpaceId::Handshake => DEFAULT_ACK_DELAY_EXPONENT,
            SpaceId::Data => self
                .peer_params()
                .map_or(DEFAULT_ACK_DELAY_EXPONENT, |params| {
                    params.ack_delay_exponent
                }),
        };
        let delay = ack.delay.saturating_mul(1 << exponent.min(20));
        let ack_frame = recovery::Ack {
            largest: ack.largest,
            delay: Duration::from_micros(delay),
            ranges: ack.ranges(),
            ecn: ack.ecn,
        };
        self.recovery
            .on_ack(now, packet.id, ack_frame, &mut self.outcome)?;
        let recovery = &self.recovery;
        let update_from = || three_ptos_from(now, recovery);
        let phases = self.spaces[packet.id as usize].keys.phases_mut();
        if let (Some(phases), Some(keys)) = (phases, packet.keys) {
            phases.on_ack(ack.largest, keys, update_from)?;
        }
        self.streams.on_rtt(self.recovery.rtt().smoothed());
        self.apply_outcome(packet.id);
        if self.phase == Phase::Confirmed {
            self.ack_wishes.update(now, self.recovery.active());
        }
        Ok(())
    }

    pub(super) fn on_new_cid(
        &mut self,
        sequence: u64,
        retire_prior_to: u64,
        cid: Cid,
        token: ResetToken,
    ) -> Result<(), Fault> {
        self.change_remote_cids(|cids| cids.on_new(sequence, retire_prior_to, cid, token))
    }

    fn on_retire_cid(&mut self, sequence: u64, packet: &OpenedPacket) -> Result<(), Fault> {
        let retired = self.local_cids.on_retire(sequence, &packet.destination)?;
        self.routes.extend(retired.map(super::Route::RemoveCid));
        self.issue_cids();
        Ok(())
    }

    fn on_handshake_done(&mut self, now: Instant) -> Result<(), Fault> {
        self.expect_side(Side::Client)?;
        self.on_handshake_confirmed(now);
        Ok(())
    }

    fn on_datagram_frame(&mut self, data: &[u8]) -> Result<(), Fault> {
        if !self.config.datagrams {
            // RFC 9221, section 3.
            return Err(violation("a DATAGRAM frame that was not invited"));
        }
        self.datagrams.on_datagram(data);
        Ok(())
    }

    /// A frame that only the other side sends.
    pub(super) fn expect_side(&self, side: Side) -> Result<(), Fault> {
        if self.side == side {
            Ok(())
        } else {
            Err(violation("a frame that only servers send"))
        }
    }

    /// Tells the parts what became of the frames that they sent in `id`.
    pub(super) fn apply_outcome(&mut self, id: SpaceId) {
        self.tell_fates(id);
        let mut outcome = core::mem::take(&mut self.outcome);
        for frame in outcome.acked.drain(..) {
            self.on_frame_acked(id, &frame);
        }
        for frame in outcome.lost.drain(..) {
            self.on_frame_lost(id, &frame);
        }
        self.apply_mtu_outcome(&mut outcome);
        self.outcome = outcome;
    }

    fn on_frame_acked(&mut self, id: SpaceId, frame: &SentFrame) {
        match *frame {
            SentFrame::Ack { largest } => self.space_mut(id).acks.on_acked(largest),
            SentFrame::Crypto { offset, len } => self.space_mut(id).crypto.on_acked(offset, len),
            SentFrame::RetireConnectionId { sequence } => {
                self.remote_cids.on_retirement_acked(sequence);
            }
            SentFrame::NewToken => self.handshake.new_token = NewTokenFrame::None,
            SentFrame::Ping
            | SentFrame::NewConnectionId { .. }
            | SentFrame::PathChallenge
            | SentFrame::PathResponse
            | SentFrame::HandshakeDone
            | SentFrame::Datagram => {}
            SentFrame::AckFrequency { sequence } => {
                self.ack_wishes.on_acked(sequence);
                self.update_peer_ack_delay();
            }
            SentFrame::Stream { .. }
            | SentFrame::ResetStream(_)
            | SentFrame::StopSending(_)
            | SentFrame::MaxData(_)
            | SentFrame::MaxStreamData(..)
            | SentFrame::MaxStreams(..)
            | SentFrame::DataBlocked(_)
            | SentFrame::StreamDataBlocked(..)
            | SentFrame::StreamsBlocked(..) => self.streams.on_acked(frame),
        }
    }

    /// What is lost is sent again, if it still matters (RFC 9000, section 13.3).
    fn on_frame_lost(&mut self, id: SpaceId, frame: &SentFrame) {
        match *frame {
            SentFrame::Crypto { offset, len } => self.space_mut(id).crypto.on_lost(offset, len),
            SentFrame::NewConnectionId { sequence } => self.local_cids.on_lost(sequence),
            SentFrame::RetireConnectionId { sequence } => {
                self.remote_cids.on_retirement_lost(sequence);
            }
            SentFrame::HandshakeDone => self.handshake.done = DoneFrame::Unsent,
            SentFrame::AckFrequency { sequence } => {
                self.ack_wishes.on_lost(sequence);
                self.update_peer_ack_delay();
            }
            SentFrame::NewToken => self.handshake.new_token.on_lost(),
            // Newer ones follow, or challenges have a timer of their own.
            SentFrame::Ping
            | SentFrame::Ack { .. }
            | SentFrame::PathChallenge
            | SentFrame::PathResponse
            | SentFrame::Datagram => {}
            SentFrame::Stream { .. }
            | SentFrame::ResetStream(_)
            | SentFrame::StopSending(_)
            | SentFrame::MaxData(_)
            | SentFrame::MaxStreamData(..)
            | SentFrame::MaxStreams(..)
            | SentFrame::DataBlocked(_)
            | SentFrame::StreamDataBlocked(..)
            | SentFrame::StreamsBlocked(..) => self.streams.on_lost(frame),
        }
    }

    /// Timeouts allow for the longest delay that the peer keeps or is about to keep
    /// (draft-ietf-quic-ack-frequency, section 7).
    pub(super) fn update_peer_ack_delay(&mut self) {
        let delay = self.ack_wishes.max_delay();
        self.recovery.set_peer_max_ack_delay(delay);
    }

    /// Has the oldest frames that await acknowledgement sent again, for a probe to carry.
    pub(super) fn repeat_oldest(&mut self, id: SpaceId) {
        debug_assert!(self.outcome.lost.is_empty(), "the outcome was not applied");
        self.outcome.lost.extend(self.recovery.probe_frames(id));
        self.apply_outcome(id);
    }
}

fn bad_frame(error: FrameError) -> Fault {
    let code = if error.is_protocol_violation() {
        TransportCode::ProtocolViolation
    } else {
        TransportCode::FrameEncodingError
    };
    Fault::Transport {
        code,
        frame: error.frame_type,
        reason: error.kind.reason(),
    }
}

/// Names the frame at fault, unless a better name was given.
fn blame(fault: Fault, frame_type: u64) -> Fault {
    match fault {
        Fault::Transport {
            code,
            frame: 0,
            reason,
        } => Fault::Transport {
            code,
            frame: frame_type,
            reason,
        },
        fault => fault,
    }
}

const fn violation(reason: &'static str) -> Fault {
    Fault::transport(TransportCode::ProtocolViolation, reason)
}

const DEFAULT_ACK_DELAY_EXPONENT: u8 = 3;
