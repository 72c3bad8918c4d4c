//! Acknowledgements and what they say of losses (RFC 9002, sections 6.1 and 7.6, appendix A.7,
//! A.10 and B).

use core::{ops::RangeInclusive, time::Duration};

use super::{GRANULARITY, MtuProbe, Outcome, PathId, Recovery, SpaceId, path::PathStates};
use crate::{
    error::{Fault, TransportCode},
    probe::LossTrigger,
    quic::{
        congestion::{AckedPacket, Cause},
        observer::Fate,
        sent::{SentPacket, SentState},
    },
    time::Instant,
    wire::{Side, frame::EcnCounts},
};

/// An ACK frame.
#[derive(Debug)]
pub(crate) struct Ack<R> {
    pub(crate) largest: u64,
    /// How long the peer says it waited, by its exponent.
    pub(crate) delay: Duration,
    /// What is acknowledged, from the largest down.
    pub(crate) ranges: R,
    pub(crate) ecn: Option<EcnCounts>,
}

impl Recovery {
    /// Takes an ACK frame that came in `id`. The work is bounded by the packets it newly
    /// acknowledges and the ranges looked at, of which there are no more than [`RANGES_MAX`].
    pub(crate) fn on_ack<R>(
        &mut self,
        now: Instant,
        id: SpaceId,
        ack: Ack<R>,
        outcome: &mut Outcome,
    ) -> Result<(), Fault>
    where
        R: Iterator<Item = RangeInclusive<u64>>,
    {
        let space = &mut self.spaces[id as usize];
        if ack.largest >= space.sent.next_number() {
            return Err(UNSENT);
        }
        self.newly_acked.clear();
        for range in ack.ranges.take(RANGES_MAX) {
            space
                .sent
                .ack_range(range, &mut self.newly_acked, &mut outcome.acked)?;
        }
        let raised = space.largest_acked.is_none_or(|old| ack.largest > old);
        if raised {
            space.largest_acked = Some(ack.largest);
        }
        let numbers = self.newly_acked.iter().map(|packet| packet.number);
        outcome.fates.note(numbers, Fate::Acked);
        let newest = self.newly_acked.iter().max_by_key(|packet| packet.number);
        let Some(&newest) = newest else {
            return Ok(());
        };
        if raised {
            space.largest_acked_path = newest.path;
        }
        space.newest_acked_sent = space.newest_acked_sent.max(Some(newest.time));
        self.last_progress = self.last_progress.max(now);
        self.land_acked(outcome);
        if newest.number == ack.largest {
            self.sample_rtt(now, id, newest, ack.delay);
            self.process_ecn(now, id, newest, ack.ecn, raised);
        }
        self.detect_lost(now, id, outcome);
        self.credit_acked();

        if self.side == Side::Client && id == SpaceId::Handshake {
            self.peer_validated_address = true;
        }
        if self.peer_validated_address {
            self.pto_count = 0;
        }
        Ok(())
    }

    /// The largest packet number was newly acknowledged: that is a round trip, if the frame
    /// acknowledges anything that the peer had to answer soon (RFC 9002, section 5.1).
    fn sample_rtt(&mut self, now: Instant, id: SpaceId, newest: SentPacket, delay: Duration) {
        if !self.newly_acked.iter().any(|packet| packet.ack_eliciting) {
            return;
        }
        let delay = match id {
            // These are not delayed.
            SpaceId::Initial => Duration::ZERO,
            _ if self.handshake_confirmed => delay.min(self.peer_max_ack_delay),
            _ => delay,
        };
        let sample = now.saturating_since(newest.time);
        if let Some(path) = self.paths.get_mut(newest.path) {
            path.rtt.update(now, sample, delay);
        }
    }

    fn process_ecn(
        &mut self,
        now: Instant,
        id: SpaceId,
        newest: SentPacket,
        counts: Option<EcnCounts>,
        raised: bool,
    ) {
        // Reports out of order prove nothing.
        if !raised {
            return;
        }
        let marked = self.newly_acked.iter().filter(|packet| packet.ect).count();
        let Some(path) = self.paths.get_mut(newest.path) else {
            return;
        };
        if path.ecn.on_ack(id, counts, marked as u64) {
            path.controller
                .on_congestion_event(now, newest.time, Cause::Ecn);
        }
    }

    /// What arrived is in flight no longer.
    fn land_acked(&mut self, outcome: &mut Outcome) {
        for packet in &self.newly_acked {
            let Some(path) = self.paths.get_mut(packet.path) else {
                continue;
            };
            if packet.in_flight {
                path.on_landed(packet.size.into());
            }
            if packet.mtu_probe {
                outcome.acked_mtu_probe = Some(MtuProbe::of(packet));
            } else if packet.path == self.paths.active.id {
                outcome.acked_max = outcome.acked_max.max(Some(packet.size));
            }
        }
    }

    /// Tells the controllers of what arrived. It comes after losses: these begin a recovery period
    /// in which the window does not grow.
    fn credit_acked(&mut self) {
        for packet in self.newly_acked.drain(..) {
            let Some(path) = self.paths.get_mut(packet.path) else {
                continue;
            };
            if packet.in_flight {
                path.controller.on_ack(&AckedPacket {
                    sent: packet.time,
                    bytes: packet.size,
                    app_limited: !path.window_used,
                });
            }
        }
    }

    /// Declares lost what an acknowledged packet overtook by three packets or by time, and sets
    /// the time for the rest.
    ///
    /// Packets on different paths overtake each other all the time. One that is not on the path of
    /// the packet that overtook it is lost by time only, by the slower path's.
    pub(super) fn detect_lost(&mut self, now: Instant, id: SpaceId, outcome: &mut Outcome) {
        let mut streak = LossStreak::new(self.persistent_from(id), self.persistent_duration());
        let mut newest_lost = None;
        let space = &mut self.spaces[id as usize];
        space.loss_time = None;
        let Some(largest_acked) = space.largest_acked else {
            return;
        };
        let active = self.paths.active.id;
        let mut delays = LossDelays::new(&self.paths);
        let mut index = 0;
        while let Some((packet, state)) = space.sent.get(index) {
            if packet.number > largest_acked {
                break;
            }
            match state {
                SentState::Acked if packet.path == active => streak.on_acked(),
                SentState::Acked | SentState::Skipped | SentState::Lost => {}
                SentState::Outstanding => {
                    let lost_at = packet.time + delays.of(&self.paths, packet.path);
                    let overtaken = match largest_acked - packet.number {
                        _ if packet.path != space.largest_acked_path => false,
                        0..PACKET_THRESHOLD => false,
                        // A number left out is no packet that overtook this one.
                        PACKET_THRESHOLD => !space.sent.skipped_after(index, OVERTAKERS),
                        _ => true,
                    };
                    if overtaken || lost_at <= now {
                        space.sent.lose(index, &mut outcome.lost);
                        let fate = Fate::Lost(loss_trigger(overtaken));
                        outcome.fates.note([packet.number].into_iter(), fate);
                        self.lost_packets += 1;
                        let is_congestion = self.paths.on_lost(now, &packet, outcome);
                        if is_congestion && packet.path == active {
                            newest_lost = newest_lost.max(Some(packet.time));
                            streak.on_lost(packet);
                        }
                    } else if packet.in_flight {
                        let earliest = space.loss_time.map_or(lost_at, |at| at.min(lost_at));
                        space.loss_time = Some(earliest);
                        if delays.are_equal() {
                            // What comes after it was sent later and overtaken by less.
                            break;
                        }
                    }
                }
            }
            index += 1;
        }
        space.sent.trim();
        if let Some(sent) = newest_lost {
            let path = &mut self.paths.active;
            path.controller.on_congestion_event(now, sent, Cause::Loss);
            if streak.is_persistent {
                path.controller
                    .on_congestion_event(now, sent, Cause::Persistent);
                path.rtt.on_persistent_congestion();
            }
        }
    }

    /// Only packets sent after this time count towards persistent congestion: there was a
    /// round-trip sample by then, and nothing sent later in another space has arrived. `None`
    /// when none count.
    fn persistent_from(&self, id: SpaceId) -> Option<Instant> {
        let others = SpaceId::ALL.into_iter().filter(|&other| other != id);
        let arrived = others.filter_map(|other| self.space(other).newest_acked_sent);
        let sampled = self.paths.active.rtt.first_sample()?;
        Some(arrived.fold(sampled, Instant::max))
    }

    /// Three probe timeouts, the peer's delay always included (RFC 9002, section 7.6.1).
    fn persistent_duration(&self) -> Duration {
        self.pto(SpaceId::Data)
            .max(GRANULARITY)
            .saturating_mul(PERSISTENT_THRESHOLD)
    }
}

const fn loss_trigger(overtaken: bool) -> LossTrigger {
    if overtaken {
        LossTrigger::Reordering
    } else {
        LossTrigger::Time
    }
}

impl PathStates {
    /// A packet is lost. True when that tells of congestion on a path that is still known; of the
    /// active one the caller tells.
    fn on_lost(&mut self, now: Instant, packet: &SentPacket, outcome: &mut Outcome) -> bool {
        let active = self.active.id;
        let Some(path) = self.get_mut(packet.path) else {
            return false;
        };
        if packet.in_flight {
            path.on_landed(packet.size.into());
        }
        if packet.mtu_probe {
            outcome.lost_mtu_probe = Some(MtuProbe::of(packet));
            return false;
        }
        if packet.path == active {
            let size = packet.size;
            outcome.lost_min = Some(outcome.lost_min.map_or(size, |min| min.min(size)));
        } else if packet.in_flight {
            path.controller
                .on_congestion_event(now, packet.time, Cause::Loss);
        }
        packet.in_flight
    }

    /// How long after its sending an overtaken packet on the path `id` is lost.
    fn loss_delay(&self, id: PathId) -> Duration {
        let active = self.active.rtt.loss_delay();
        match self.get(id) {
            Some(path) if id != self.active.id => path.rtt.loss_delay().max(active),
            _ => active,
        }
    }
}

/// [`PathStates::loss_delay`], worked out once for packets on the same path.
#[derive(Debug)]
struct LossDelays {
    path: PathId,
    delay: Duration,
    changed: bool,
}

impl LossDelays {
    fn new(paths: &PathStates) -> Self {
        let path = paths.active.id;
        Self {
            path,
            delay: paths.loss_delay(path),
            changed: false,
        }
    }

    fn of(&mut self, paths: &PathStates, path: PathId) -> Duration {
        if path != self.path {
            self.path = path;
            self.delay = paths.loss_delay(path);
            self.changed = true;
        }
        self.delay
    }

    /// Whether it was the same for all so far, the packets of the active path.
    const fn are_equal(&self) -> bool {
        !self.changed
    }
}

impl MtuProbe {
    const fn of(packet: &SentPacket) -> Self {
        Self {
            path: packet.path,
            size: packet.size,
        }
    }
}

/// Looks, among packets in the order they were sent, for two lost ones far enough apart with
/// nothing acknowledged in between.
#[derive(Debug)]
struct LossStreak {
    after: Option<Instant>,
    duration: Duration,
    start: Option<Instant>,
    is_persistent: bool,
}

impl LossStreak {
    const fn new(after: Option<Instant>, duration: Duration) -> Self {
        Self {
            after,
            duration,
            start: None,
            is_persistent: false,
        }
    }

    fn on_acked(&mut self) {
        self.start = None;
    }

    fn on_lost(&mut self, packet: SentPacket) {
        if !packet.ack_eliciting || self.after.is_none_or(|after| packet.time <= after) {
            return;
        }
        let start = *self.start.get_or_insert(packet.time);
        self.is_persistent |= packet.time.saturating_since(start) > self.duration;
    }
}

/// `kPacketThreshold`.
const PACKET_THRESHOLD: u64 = 3;
const OVERTAKERS: usize = PACKET_THRESHOLD as usize;

/// `kPersistentCongestionThreshold`.
const PERSISTENT_THRESHOLD: u32 = 3;

/// Ranges of an ACK frame that are looked at; what older ones say, a later frame may repeat.
const RANGES_MAX: usize = 256;

const UNSENT: Fault = Fault::Transport {
    code: TransportCode::ProtocolViolation,
    frame: 0x02,
    reason: "acknowledgement of a packet that was never sent",
};
