//! What goes into a packet, and in which order.

use super::{Connection, handshake::DoneFrame, packet::Content};
use crate::{
    quic::{
        path::ProbeFrame,
        recovery::SpaceId,
        sent::{SentFrame, SentFrames},
    },
    time::Instant,
    wire::{
        Cid, NoRoom, Writer,
        frame::{Frame, NewConnectionId, PathChallenge, PathResponse, RetireConnectionId},
    },
};

/// What a packet is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// An ACK that is due; `ping` to have it acknowledged itself.
    Ack { ping: bool },
    /// All there is.
    Everything,
    /// What may go before the handshake (RFC 9000, section 12.5): of that, only streams do.
    Early,
    /// The same as `Everything`, and a PING if there is nothing that elicits an acknowledgement.
    Probe,
    /// To find out whether the path carries a datagram of this size.
    MtuProbe,
    /// To prove a path that is not the active one.
    PathProbe { frame: ProbeFrame, to: Cid },
    /// CONNECTION_CLOSE.
    Close,
}

impl Connection {
    /// Whether there is anything to send in `id` but acknowledgements.
    pub(super) fn has_content(&self, id: SpaceId) -> bool {
        let space = self.space(id);
        if space.crypto.has_data() || space.ping {
            return true;
        }
        id == SpaceId::Data
            && (self.streams.has_data()
                || self.streams.has_control()
                || self.datagrams.has_data()
                || self.handshake.done == DoneFrame::Unsent
                || self.handshake.new_token.is_unsent()
                || self.paths.has_active_response()
                || self.paths.active_challenge().is_some()
                || self.local_cids.unsent().is_some()
                || self.remote_cids.unsent_retirement().is_some())
    }

    /// Writes frames; they are noted in the space's `sent`. `capacity` is what the datagram has.
    pub(super) fn write_content(
        &mut self,
        now: Instant,
        id: SpaceId,
        fill: Fill,
        capacity: usize,
        w: &mut Writer<'_>,
    ) -> Content {
        let mut sent = core::mem::take(&mut self.space_mut(id).sent);
        sent.clear();
        let mut content = Content::default();
        match fill {
            Fill::Ack { ping } => {
                content.has_ack = self.write_ack(now, id, w, &mut sent);
                if ping {
                    self.write_ping(id, w, &mut sent);
                }
            }
            Fill::Everything | Fill::Probe => {
                let acks = &self.space(id).acks;
                if acks.should_ack_now(now) || acks.should_bundle() {
                    content.has_ack = self.write_ack(now, id, w, &mut sent);
                }
                self.write_frames(now, id, capacity, w, &mut sent, &mut content);
                if fill == Fill::Probe {
                    self.write_immediate_ack(id, w, &mut sent);
                }
                if self.space(id).ping || fill == Fill::Probe && !is_eliciting(&sent) {
                    self.write_ping(id, w, &mut sent);
                }
            }
            // The PING is for this alone: one that is due goes in a packet that surely fits.
            Fill::MtuProbe => {
                if Frame::Ping.encode(w).is_ok() {
                    sent.push(SentFrame::Ping);
                }
            }
            Fill::PathProbe { frame, .. } => {
                content.expand = true;
                write_path_probe(frame, w, &mut sent);
            }
            Fill::Early => {
                self.streams.write_control(w, &mut sent);
                self.streams.write_data(w, &mut sent);
            }
            Fill::Close => self.write_close(id, w),
        }
        content.is_eliciting = is_eliciting(&sent);
        self.space_mut(id).sent = sent;
        content
    }

    /// In an order that lets what others wait for go first.
    fn write_frames(
        &mut self,
        now: Instant,
        id: SpaceId,
        capacity: usize,
        w: &mut Writer<'_>,
        sent: &mut SentFrames,
        content: &mut Content,
    ) {
        let space = self.space_mut(id);
        space.crypto.write_frames(w, sent);
        if id != SpaceId::Data {
            return;
        }
        self.write_handshake_done(w, sent);
        self.write_new_token(w, sent);
        self.write_path_frames(now, capacity, w, sent, content);
        self.streams.write_control(w, sent);
        self.write_ack_frequency(w, sent);
        // Without room the rest waits for the next packet.
        let _ = self.write_cid_frames(w, sent);
        if self.datagrams.has_data() {
            let room = self.packet_room();
            self.datagrams.write_frames(w, sent, room);
        }
        self.streams.write_data(w, sent);
    }

    fn write_ack(
        &mut self,
        now: Instant,
        id: SpaceId,
        w: &mut Writer<'_>,
        sent: &mut SentFrames,
    ) -> bool {
        self.space_mut(id)
            .acks
            .write(now, ACK_DELAY_EXPONENT, w, sent)
    }

    fn write_ping(&mut self, id: SpaceId, w: &mut Writer<'_>, sent: &mut SentFrames) {
        if Frame::Ping.encode(w).is_ok() {
            self.space_mut(id).ping = false;
            sent.push(SentFrame::Ping);
        }
    }

    /// A probe waits for no delayed acknowledgement.
    fn write_immediate_ack(&mut self, id: SpaceId, w: &mut Writer<'_>, sent: &mut SentFrames) {
        let is_taken = id == SpaceId::Data && self.ack_wishes.are_taken();
        if is_taken && Frame::ImmediateAck.encode(w).is_ok() {
            sent.push(SentFrame::Ping);
        }
    }

    fn write_ack_frequency(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames) {
        if let Some(frame) = self.ack_wishes.unsent()
            && frame.encode(w).is_ok()
        {
            self.ack_wishes.on_sent(&frame);
            self.update_peer_ack_delay();
            let sequence = frame.sequence;
            sent.push(SentFrame::AckFrequency { sequence });
        }
    }

    fn write_handshake_done(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames) {
        if self.handshake.done == DoneFrame::Unsent && Frame::HandshakeDone.encode(w).is_ok() {
            self.handshake.done = DoneFrame::Sent;
            sent.push(SentFrame::HandshakeDone);
        }
    }

    /// PATH_CHALLENGE and PATH_RESPONSE on the active path.
    fn write_path_frames(
        &mut self,
        now: Instant,
        capacity: usize,
        w: &mut Writer<'_>,
        sent: &mut SentFrames,
        content: &mut Content,
    ) {
        if let Some(data) = self.paths.active_challenge()
            && write_path_probe(ProbeFrame::Challenge(data), w, sent)
        {
            let is_full = capacity >= super::transmit::MIN_DATAGRAM;
            let pto = self.recovery.pto(SpaceId::Data);
            self.paths.on_active_challenge_sent(now, is_full, pto);
            content.expand = true;
        }
        if w.remaining() >= PATH_FRAME_LEN
            && let Some(data) = self.paths.take_active_response()
        {
            write_path_probe(ProbeFrame::Response(data), w, sent);
            content.expand = true;
        }
    }

    fn write_cid_frames(
        &mut self,
        w: &mut Writer<'_>,
        sent: &mut SentFrames,
    ) -> Result<(), NoRoom> {
        while let Some((sequence, cid)) = self.local_cids.unsent() {
            let frame = NewConnectionId {
                sequence,
                // One that went out late, or once more, may be among those to retire (RFC 9000,
                // section 19.15).
                retire_prior_to: self.local_cids.retire_prior_to().min(sequence),
                cid,
                reset_token: self.reset_token(&cid),
            };
            frame.encode(w)?;
            self.local_cids.on_sent(sequence);
            sent.push(SentFrame::NewConnectionId { sequence });
        }
        while let Some(sequence) = self.remote_cids.unsent_retirement() {
            RetireConnectionId { sequence }.encode(w)?;
            self.remote_cids.on_retirement_sent(sequence);
            sent.push(SentFrame::RetireConnectionId { sequence });
        }
        Ok(())
    }
}

/// Writes a frame that proves a path; true when there was room.
fn write_path_probe(frame: ProbeFrame, w: &mut Writer<'_>, sent: &mut SentFrames) -> bool {
    let (written, frame) = match frame {
        ProbeFrame::Challenge(data) => (PathChallenge { data }.encode(w), SentFrame::PathChallenge),
        ProbeFrame::Response(data) => (PathResponse { data }.encode(w), SentFrame::PathResponse),
    };
    if written.is_ok() {
        sent.push(frame);
    }
    written.is_ok()
}

/// Everything that is noted elicits an acknowledgement, but acknowledgements.
fn is_eliciting(sent: &SentFrames) -> bool {
    let mut frames = sent.as_slice().iter();
    frames.any(|frame| !matches!(frame, SentFrame::Ack { .. }))
}

/// The default, which we advertise.
const ACK_DELAY_EXPONENT: u8 = 3;

/// Length of a PATH_CHALLENGE or PATH_RESPONSE frame.
const PATH_FRAME_LEN: usize = 9;
