//! Loss recovery (RFC 9002): what was sent, what of it arrived, when to probe, and how much and
//! how fast to send.

use alloc::vec::Vec;
use core::time::Duration;

mod ack;
mod ecn;
mod loss;
mod pacer;
mod path;
mod rate;
mod rtt;
mod skip;
mod spurious;
mod timer;

#[cfg(test)]
mod tests;

pub(crate) use ack::Ack;
pub(crate) use path::{PathId, PathState};
pub(crate) use rate::Snapshot;
pub(crate) use rtt::{GRANULARITY, Rtt};

use self::{path::PathStates, skip::SkipPlan, spurious::LostPackets};
use super::{
    congestion::{Congestion, Start},
    observer::Fates,
    sent::{SentFrame, SentFrames, SentPacket, SentPackets},
};
use crate::{time::Instant, wire::Side};

/// A packet number space (RFC 9000, section 12.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SpaceId {
    Initial,
    Handshake,
    /// 1-RTT packets ("Application Data").
    Data,
}

impl SpaceId {
    pub(crate) const ALL: [Self; 3] = [Self::Initial, Self::Handshake, Self::Data];
}

/// What a connection's recovery starts with.
#[derive(Debug)]
pub(crate) struct RecoveryConfig {
    pub(crate) side: Side,
    pub(crate) initial_rtt: Duration,
    pub(crate) max_datagram_size: u16,
    /// `Limits::sent_packets`.
    pub(crate) max_sent_packets: usize,
    /// Makes the controller of each path.
    pub(crate) congestion: Congestion,
    /// Random bits for controllers.
    pub(crate) seed: u64,
}

/// A packet just sent, for [`Recovery::on_packet_sent`].
#[derive(Debug)]
pub(crate) struct PacketSent<'a> {
    /// Bytes of the whole packet, header and tag included.
    pub(crate) size: u16,
    pub(crate) ack_eliciting: bool,
    /// It holds more than ACK and CONNECTION_CLOSE frames.
    pub(crate) in_flight: bool,
    /// Its datagram is marked ECT(0).
    pub(crate) ect: bool,
    /// The path that it goes on. One that recovery does not know has no congestion control.
    pub(crate) path: PathId,
    /// It tries whether the path carries its size (RFC 9000, section 14.4): it is larger than
    /// `max_datagram_size`, and its loss is no sign of congestion.
    pub(crate) mtu_probe: bool,
    pub(crate) frames: &'a SentFrames,
}

/// What became of sent frames. The caller drains it and hands it in again.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) acked: Vec<SentFrame>,
    pub(crate) lost: Vec<SentFrame>,
    /// The packets themselves.
    pub(crate) fates: Fates,
    pub(crate) acked_mtu_probe: Option<MtuProbe>,
    pub(crate) lost_mtu_probe: Option<MtuProbe>,
    /// Of the packets on the active path that are no MTU probes, the size of the largest
    /// acknowledged and of the smallest lost since this was last reset; for finding paths that
    /// swallow what is large (RFC 8899, section 4.3).
    pub(crate) acked_max: Option<u16>,
    pub(crate) lost_min: Option<u16>,
}

/// A packet that tried a size.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct MtuProbe {
    pub(crate) path: PathId,
    /// Bytes of the packet: all of the UDP payload.
    pub(crate) size: u16,
}

/// Loss recovery of one connection, on all of its paths.
#[derive(Debug)]
pub(crate) struct Recovery {
    side: Side,
    spaces: [Space; 3],
    paths: PathStates,
    initial_rtt: Duration,
    congestion: Congestion,
    seed: u64,
    skip: SkipPlan,
    max_sent_packets: usize,
    peer_max_ack_delay: Duration,
    /// The client knows that the server has validated its address.
    peer_validated_address: bool,
    handshake_keys: bool,
    handshake_confirmed: bool,
    /// A server that may send nothing before it receives more (RFC 9000, section 8.1).
    amplification_blocked: bool,
    /// Probe timeouts since the last acknowledgement.
    pto_count: u32,
    last_pto: Instant,
    /// When something last went forward; the client's probes against deadlock count from here.
    last_progress: Instant,
    lost_packets: u64,
    /// Packets declared lost that turned out to be late.
    late_packets: u64,
    lost_recently: LostPackets,
    /// Packets of other paths than the active one that the ACK frame being handled acknowledges;
    /// empty in between.
    acked_elsewhere: Vec<SentPacket>,
}

/// What is particular to a packet number space.
#[derive(Debug, Default)]
struct Space {
    sent: SentPackets,
    largest_acked: Option<u64>,
    largest_acked_path: PathId,
    /// The latest time at which a packet since acknowledged was sent.
    newest_acked_sent: Option<Instant>,
    last_eliciting_sent: Instant,
    /// When the oldest packet that was overtaken counts as lost.
    loss_time: Option<Instant>,
    /// Packets to send as probes, past the congestion window.
    probes: u8,
    /// Packets sent since the last that elicits an acknowledgement.
    silent_run: u32,
}

impl Recovery {
    pub(crate) fn new(now: Instant, config: RecoveryConfig) -> Self {
        let start = Start {
            now,
            max_datagram_size: config.max_datagram_size,
            initial_rtt: config.initial_rtt,
            seed: config.seed,
        };
        let active = PathState::new(PathId::default(), &config.congestion, &start);
        Self {
            side: config.side,
            spaces: Default::default(),
            paths: PathStates::new(active),
            initial_rtt: config.initial_rtt,
            congestion: config.congestion,
            seed: config.seed,
            skip: SkipPlan::default(),
            max_sent_packets: config.max_sent_packets,
            peer_max_ack_delay: Duration::from_millis(25),
            // Clients validate a server's address by what they receive.
            peer_validated_address: config.side == Side::Server,
            handshake_keys: false,
            handshake_confirmed: false,
            amplification_blocked: false,
            pto_count: 0,
            last_pto: Instant::ZERO,
            last_progress: now,
            lost_packets: 0,
            late_packets: 0,
            lost_recently: LostPackets::default(),
            acked_elsewhere: Vec::new(),
        }
    }

    // --- Sending ---

    /// The number that the next packet of `space` has. Every number that was used must be
    /// reported to [`Recovery::on_packet_sent`].
    pub(crate) fn next_packet_number(&self, space: SpaceId) -> u64 {
        self.space(space).sent.next_number()
    }

    /// Leaves out a 1-RTT packet number once in a while, as a trap for peers that acknowledge
    /// what they have not received (RFC 9000, section 21.4). Call before numbering a 1-RTT
    /// packet; `random` is asked only when a number is due.
    pub(crate) fn maybe_skip_packet_number(&mut self, random: impl FnOnce() -> u64) {
        let sent = &mut self.spaces[SpaceId::Data as usize].sent;
        if self.skip.is_due(sent.next_number(), random) {
            sent.skip_number();
        }
    }

    /// Records that the packet numbered [`Recovery::next_packet_number`] was sent.
    pub(crate) fn on_packet_sent(&mut self, now: Instant, id: SpaceId, packet: &PacketSent<'_>) {
        let mut delivery = Snapshot::default();
        if let Some(path) = self.paths.get_mut(packet.path) {
            if packet.ect {
                path.ecn.on_marked_sent(id);
            }
            if packet.in_flight {
                delivery = path.on_in_flight_sent(now, packet.size);
            }
        }
        let space = &mut self.spaces[id as usize];
        let sent = SentPacket {
            number: 0,
            time: now,
            size: packet.size,
            ack_eliciting: packet.ack_eliciting,
            in_flight: packet.in_flight,
            ect: packet.ect,
            path: packet.path,
            mtu_probe: packet.mtu_probe,
            delivery,
        };
        space.sent.push(sent, packet.frames.as_slice());
        if packet.ack_eliciting {
            space.silent_run = 0;
            space.probes = space.probes.saturating_sub(1);
            space.last_eliciting_sent = now;
            self.last_progress = self.last_progress.max(now);
        } else {
            space.silent_run = space.silent_run.saturating_add(1);
        }
    }

    /// Bytes that the active path's congestion window lets go now. Probes and packets with nothing
    /// but ACK frames need none.
    pub(crate) fn send_budget(&self) -> u64 {
        self.paths.active.send_budget()
    }

    /// When the next packet may go by the pacer; `None` for now. To ask means to have something to
    /// send that the window lets go. Probes and packets with nothing but ACK frames do not wait.
    pub(crate) fn pacing_delay(&mut self, now: Instant) -> Option<Instant> {
        let path = &mut self.paths.active;
        let ready = path.pacer.delay(now)?;
        // The pacer, not the application, keeps the window from being full.
        path.window_used = true;
        Some(ready)
    }

    /// Window and pacer would let a packet go, but there is nothing to send.
    pub(crate) fn on_app_limited(&mut self) {
        self.paths.active.on_app_limited();
    }

    /// Whether so many packets are tracked that nothing but acknowledgements and probes may be
    /// sent (`Limits::sent_packets`).
    pub(crate) fn is_full(&self, space: SpaceId) -> bool {
        let sent = &self.space(space).sent;
        let frames_max = self.max_sent_packets.saturating_mul(FRAMES_PER_PACKET);
        sent.len() >= self.max_sent_packets || sent.frames_len() >= frames_max
    }

    /// Memory held for packets sent, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        let spaces = SpaceId::ALL.into_iter().map(|id| self.space(id));
        spaces.map(|space| space.sent.accounted_bytes()).sum()
    }

    /// Ack-eliciting packets to send in `space` as probes, whatever window and pacer say.
    pub(crate) fn probes_pending(&self, space: SpaceId) -> u8 {
        self.space(space).probes
    }

    /// What a probe may carry when there is nothing new to send: the frames of the oldest two
    /// packets that await acknowledgement. They are not lost; their fate is still to be told.
    pub(crate) fn probe_frames(&self, space: SpaceId) -> impl Iterator<Item = SentFrame> + '_ {
        self.space(space).sent.oldest_frames(2)
    }

    /// Whether the next packet should elicit an acknowledgement even if nothing else in it does
    /// (add a PING): the peer has not been made to acknowledge our acknowledgements for long
    /// (RFC 9000, section 13.2.4).
    pub(crate) fn wants_ping(&self, space: SpaceId) -> bool {
        self.space(space).silent_run >= SILENT_RUN_MAX
    }

    /// Whether packets on the active path may be marked ECT(0). Probes are not: should the path
    /// swallow what is marked, they come through.
    pub(crate) const fn may_mark_ect(&self) -> bool {
        self.pto_count == 0 && self.paths.active.may_mark_ect()
    }

    // --- Paths ---

    /// The path in use.
    pub(crate) const fn active(&self) -> &PathState {
        &self.paths.active
    }

    pub(crate) fn path(&self, id: PathId) -> Option<&PathState> {
        self.paths.get(id)
    }

    /// Takes up a path of which nothing is known yet. What is sent there counts there, from the
    /// first packet on.
    pub(crate) fn add_path(&mut self, now: Instant, id: PathId, max_datagram_size: u16) {
        if self.paths.active.id == id {
            return;
        }
        let path = self.fresh_path(now, id, max_datagram_size);
        self.paths.add(path);
    }

    /// Goes on with another path: its window, pacer and round-trip time count from now on. The one
    /// before stays known until it is removed. False when there is no such path.
    pub(crate) fn activate(&mut self, id: PathId) -> bool {
        let changed = self.paths.active.id != id;
        let found = self.paths.activate(id);
        if found && changed {
            self.pto_count = 0;
        }
        found
    }

    /// Forgets a path, unless it is the active one: what becomes of packets sent there changes no
    /// window any more.
    pub(crate) fn remove_path(&mut self, id: PathId) {
        self.paths.remove(id);
    }

    /// The size of UDP payloads on a path changed.
    pub(crate) fn on_mtu_update(&mut self, id: PathId, max_datagram_size: u16) {
        if let Some(path) = self.paths.get_mut(id) {
            path.on_mtu_update(max_datagram_size);
        }
    }

    fn fresh_path(&mut self, now: Instant, id: PathId, max_datagram_size: u16) -> PathState {
        self.seed = self.seed.wrapping_mul(SEED_STEP).wrapping_add(1);
        let start = Start {
            now,
            max_datagram_size,
            initial_rtt: self.initial_rtt,
            seed: self.seed,
        };
        PathState::new(id, &self.congestion, &start)
    }

    // --- The connection's progress ---

    /// Handshake packets can be sent.
    pub(crate) fn set_handshake_keys(&mut self) {
        self.handshake_keys = true;
    }

    /// The handshake is confirmed (RFC 9001, section 4.1.2).
    pub(crate) fn set_handshake_confirmed(&mut self) {
        self.handshake_confirmed = true;
        self.peer_validated_address = true;
    }

    /// The peer's `max_ack_delay` transport parameter.
    pub(crate) fn set_peer_max_ack_delay(&mut self, delay: Duration) {
        self.peer_max_ack_delay = delay;
    }

    /// Whether this server may send nothing until it receives more: no probe timeout runs then.
    pub(crate) fn set_amplification_blocked(&mut self, blocked: bool) {
        self.amplification_blocked = blocked;
    }

    /// The keys of `space` are gone: its packets are neither acknowledged nor lost any more
    /// (RFC 9002, section 6.4).
    pub(crate) fn discard_space(&mut self, now: Instant, space: SpaceId) {
        let space = &mut self.spaces[space as usize];
        for packet in space.sent.outstanding().filter(|packet| packet.in_flight) {
            if let Some(path) = self.paths.get_mut(packet.path) {
                path.on_landed(packet.size.into());
            }
        }
        space.sent.discard();
        *space = Space {
            sent: core::mem::take(&mut space.sent),
            ..Space::default()
        };
        self.pto_count = 0;
        self.last_progress = self.last_progress.max(now);
    }

    /// As [`Self::discard_space`], but all that awaited acknowledgement is to be sent again.
    pub(crate) fn take_back(&mut self, now: Instant, space: SpaceId, outcome: &mut Outcome) {
        let frames = self.space(space).sent.oldest_frames(usize::MAX);
        outcome.lost.extend(frames);
        self.discard_space(now, space);
    }

    /// A Retry packet came: everything starts over, packet numbers go on (RFC 9002, section 6.3).
    pub(crate) fn on_retry(&mut self, now: Instant) {
        self.discard_space(now, SpaceId::Initial);
        let PathState {
            id,
            max_datagram_size,
            ..
        } = self.paths.active;
        self.paths.active = self.fresh_path(now, id, max_datagram_size);
        self.pto_count = 0;
    }

    // --- What is known ---

    /// The active path's round-trip time.
    pub(crate) const fn rtt(&self) -> &Rtt {
        self.paths.active.rtt()
    }

    pub(crate) const fn bytes_in_flight(&self) -> u64 {
        self.paths.active.bytes_in_flight()
    }

    pub(crate) fn congestion_window(&self) -> u64 {
        self.paths.active.congestion_window()
    }

    pub(crate) fn largest_acked(&self, space: SpaceId) -> Option<u64> {
        self.space(space).largest_acked
    }

    /// Probe timeouts in a row.
    pub(crate) const fn pto_count(&self) -> u32 {
        self.pto_count
    }

    /// Packets declared lost that turned out to be late.
    pub(crate) const fn late_packets(&self) -> u64 {
        self.late_packets
    }

    /// Packets declared lost so far.
    pub(crate) const fn lost_packets(&self) -> u64 {
        self.lost_packets
    }

    fn space(&self, id: SpaceId) -> &Space {
        &self.spaces[id as usize]
    }
}

/// Frames a packet may have on average before [`Recovery::is_full`] counts them too.
const FRAMES_PER_PACKET: usize = 4;

/// Makes the next seed from the one before.
const SEED_STEP: u64 = 6_364_136_223_846_793_005;

/// Packets that elicit nothing before [`Recovery::wants_ping`].
const SILENT_RUN_MAX: u32 = 20;
