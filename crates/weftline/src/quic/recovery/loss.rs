//! Losses (RFC 9002, sections 6.1 and 7.6, appendix A.10 and B.8).

use core::time::Duration;

use super::{
    GRANULARITY, MtuProbe, Outcome, PathId, PathState, Recovery, SpaceId, path::PathStates,
    spurious::LostPacket,
};
use crate::{
    probe::LossTrigger,
    quic::{
        congestion::{Cause, Lost},
        observer::Fate,
        sent::{SentPacket, SentPackets, SentState},
    },
    time::Instant,
};

impl Recovery {
    /// Declares lost what an acknowledged packet overtook by some packets or by time, and sets the
    /// time for the rest. Gives the bytes that were lost on the active path.
    ///
    /// Packets on different paths overtake each other all the time. One that is not on the path of
    /// the packet that overtook it is lost by time only, by the slower path's.
    pub(super) fn detect_lost(&mut self, now: Instant, id: SpaceId, outcome: &mut Outcome) -> u64 {
        let mut losses = Losses::new(self.persistent_from(id), self.persistent_duration());
        let space = &mut self.spaces[id as usize];
        space.loss_time = None;
        let Some(largest_acked) = space.largest_acked else {
            return 0;
        };
        let active = self.paths.active.id;
        let mut delays = LossDelays::new(&self.paths);
        let mut index = 0;
        while let Some((packet, state)) = space.sent.get(index) {
            if packet.number > largest_acked {
                break;
            }
            match state {
                SentState::Acked if packet.path == active => losses.on_acked(),
                SentState::Acked | SentState::Skipped | SentState::Lost => {}
                SentState::Outstanding => {
                    let lost_at = packet.time + delays.of(&self.paths, packet.path);
                    let threshold = self.paths.packet_threshold(packet.path);
                    let overtaken = packet.path == space.largest_acked_path
                        && is_overtaken(&space.sent, index, largest_acked, threshold);
                    if overtaken || lost_at <= now {
                        let packet = *packet;
                        space.sent.lose(index, &mut outcome.lost);
                        let fate = Fate::Lost(loss_trigger(overtaken));
                        outcome.fates.note([packet.number].into_iter(), fate);
                        self.lost_packets += 1;
                        let lost = self.paths.on_lost(now, &packet, outcome);
                        if let Some(event) = lost.filter(|_| id == SpaceId::Data) {
                            self.lost_recently.push(LostPacket::new(&packet, event));
                        }
                        if lost.is_some() && packet.path == active {
                            losses.on_lost(&packet);
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
        losses.tell(now, &mut self.paths.active);
        losses.bytes
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
    /// A packet is lost. Gives its loss event when it tells of congestion on a path that is still
    /// known; of the active one the caller tells the controller at the end.
    fn on_lost(&mut self, now: Instant, packet: &SentPacket, outcome: &mut Outcome) -> Option<u32> {
        let is_active = self.active.id == packet.path;
        let path = self.get_mut(packet.path)?;
        if packet.in_flight {
            path.on_landed(packet.size.into());
        }
        if packet.mtu_probe {
            outcome.lost_mtu_probe = Some(MtuProbe::of(packet));
            return None;
        }
        if is_active {
            let size = packet.size;
            outcome.lost_min = Some(outcome.lost_min.map_or(size, |min| min.min(size)));
        }
        if !packet.in_flight {
            return None;
        }
        let event = path.on_packet_lost(now, packet);
        if !is_active {
            path.on_congestion_event(now, packet.time, Cause::Loss, packet.size.into());
        }
        Some(event)
    }

    /// How long after its sending an overtaken packet on the path `id` is lost.
    fn loss_delay(&self, id: PathId) -> Duration {
        let active = self.active.loss_delay();
        match self.get(id) {
            Some(path) if id != self.active.id => path.loss_delay().max(active),
            _ => active,
        }
    }

    /// How many later packets must arrive before one on the path `id` is lost.
    fn packet_threshold(&self, id: PathId) -> u64 {
        let path = self.get(id).unwrap_or(&self.active);
        path.reordering.packets
    }
}

impl PathState {
    fn loss_delay(&self) -> Duration {
        self.reordering.loss_delay(&self.rtt)
    }

    fn on_packet_lost(&mut self, now: Instant, packet: &SentPacket) -> u32 {
        self.delivery.on_lost(packet.size.into());
        self.controller.on_lost(&Lost {
            now,
            sent: packet.time,
            bytes: packet.size,
            total_delivered: self.delivery.delivered(),
            lost_since_sent: self.delivery.lost_since(&packet.delivery),
            in_flight: packet.delivery.in_flight.into(),
            app_limited: packet.delivery.app_limited,
        });
        self.loss_event.on_lost(now, packet)
    }
}

/// Whether enough packets after the one at `index` arrived. A number left out is no packet that
/// overtook it.
fn is_overtaken(sent: &SentPackets, index: usize, largest_acked: u64, threshold: u64) -> bool {
    let Some((packet, _)) = sent.get(index) else {
        return false;
    };
    let distance = largest_acked.saturating_sub(packet.number);
    distance > threshold
        || distance == threshold
            && !sent.skipped_after(index, usize::try_from(threshold).unwrap_or(usize::MAX))
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

impl LostPacket {
    const fn new(packet: &SentPacket, event: u32) -> Self {
        Self {
            number: packet.number,
            sent: packet.time,
            path: packet.path,
            event,
        }
    }
}

/// What is lost on the active path at once. It also looks, among packets in the order they were
/// sent, for two lost ones far enough apart with nothing acknowledged in between.
#[derive(Debug)]
struct Losses {
    bytes: u64,
    newest: Option<Instant>,
    /// Only packets sent later count towards persistent congestion.
    after: Option<Instant>,
    duration: Duration,
    streak: Option<Instant>,
    is_persistent: bool,
}

impl Losses {
    const fn new(after: Option<Instant>, duration: Duration) -> Self {
        Self {
            bytes: 0,
            newest: None,
            after,
            duration,
            streak: None,
            is_persistent: false,
        }
    }

    fn on_acked(&mut self) {
        self.streak = None;
    }

    fn on_lost(&mut self, packet: &SentPacket) {
        self.bytes += u64::from(packet.size);
        self.newest = self.newest.max(Some(packet.time));
        if !packet.ack_eliciting || self.after.is_none_or(|after| packet.time <= after) {
            return;
        }
        let start = *self.streak.get_or_insert(packet.time);
        self.is_persistent |= packet.time.saturating_since(start) > self.duration;
    }

    fn tell(&self, now: Instant, path: &mut PathState) {
        let Some(sent) = self.newest else {
            return;
        };
        path.on_congestion_event(now, sent, Cause::Loss, self.bytes);
        if self.is_persistent {
            path.rtt.on_persistent_congestion();
            path.reordering.reset();
            path.on_congestion_event(now, sent, Cause::Persistent, self.bytes);
        }
    }
}

/// `kPersistentCongestionThreshold`.
const PERSISTENT_THRESHOLD: u32 = 3;
