//! Acknowledgements (RFC 9002, section 5.1 and appendix A.7).

use core::{ops::RangeInclusive, time::Duration};

use super::{MtuProbe, Outcome, PathId, PathState, Recovery, SpaceId, spurious::LostPacket};
use crate::{
    error::{Fault, TransportCode},
    quic::{
        congestion::{Acked, Cause, CongestionEvent, RateSample},
        observer::Fate,
        sent::SentPacket,
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

/// The packets that an ACK frame newly acknowledges.
#[derive(Debug)]
struct Tally {
    active: PathId,
    /// Number and index of the newest of all.
    newest: Option<(u64, usize)>,
    ack_eliciting: bool,
    /// Sent with ECT(0).
    marked: u64,
    // Of those on the active path:
    bytes: u64,
    newest_in_flight: Option<(u64, usize)>,
    max_size: Option<u16>,
    mtu_probe: Option<MtuProbe>,
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
        let largest_before = space.largest_acked;
        let raised = largest_before.is_none_or(|old| ack.largest > old);
        if raised {
            space.largest_acked = Some(ack.largest);
        }
        let mut tally = Tally::new(self.paths.active.id);
        self.acked_elsewhere.clear();
        for range in ack.ranges.take(RANGES_MAX) {
            self.find_late(now, id, &range, largest_before);
            let elsewhere = &mut self.acked_elsewhere;
            let sent = &mut self.spaces[id as usize].sent;
            let Outcome { acked, fates, .. } = &mut *outcome;
            sent.ack_range(range, acked, |index, packet| {
                fates.note([packet.number].into_iter(), Fate::Acked);
                if !tally.on_acked(index, packet) {
                    elsewhere.push(*packet);
                }
            })?;
        }
        let Some(newest) = self.packet(id, tally.newest) else {
            return Ok(());
        };
        let space = &mut self.spaces[id as usize];
        if raised {
            space.largest_acked_path = newest.path;
        }
        space.newest_acked_sent = space.newest_acked_sent.max(Some(newest.time));
        self.last_progress = self.last_progress.max(now);

        let mut acked = self.land(now, id, &tally, outcome);
        if newest.number == ack.largest {
            acked.rtt = self.sample_rtt(now, id, &newest, &tally, ack.delay);
            if raised {
                self.process_ecn(now, id, &newest, &tally, ack.ecn);
            }
        }
        acked.lost = self.detect_lost(now, id, outcome);
        self.credit(tally.newest_in_flight.is_some(), acked);

        if self.side == Side::Client && id == SpaceId::Handshake {
            self.peer_validated_address = true;
        }
        if self.peer_validated_address {
            self.pto_count = 0;
        }
        Ok(())
    }

    fn packet(&self, id: SpaceId, place: Option<(u64, usize)>) -> Option<SentPacket> {
        let (packet, _) = self.space(id).sent.get(place?.1)?;
        Some(*packet)
    }

    /// Looks for packets of `range` that were declared lost: they were late.
    fn find_late(
        &mut self,
        now: Instant,
        id: SpaceId,
        range: &RangeInclusive<u64>,
        largest_acked: Option<u64>,
    ) {
        if id != SpaceId::Data || self.lost_recently.is_empty() {
            return;
        }
        while let Some(packet) = self.lost_recently.take(range) {
            self.late_packets += 1;
            if let Some(path) = self.paths.get_mut(packet.path) {
                let distance = largest_acked.unwrap_or(0).saturating_sub(packet.number);
                path.on_late(now, &packet, distance);
            }
        }
    }

    /// What arrived is in flight no longer. Packets on other paths are dealt with at once.
    fn land(&mut self, now: Instant, id: SpaceId, tally: &Tally, outcome: &mut Outcome) -> Acked {
        outcome.acked_mtu_probe = tally.mtu_probe.or(outcome.acked_mtu_probe);
        outcome.acked_max = outcome.acked_max.max(tally.max_size);
        for packet in self.acked_elsewhere.drain(..) {
            if packet.mtu_probe {
                outcome.acked_mtu_probe = Some(MtuProbe::of(&packet));
            }
            if let Some(path) = self.paths.get_mut(packet.path).filter(|_| packet.in_flight) {
                let bytes = packet.size.into();
                let acked = path.land(now, bytes, &packet);
                path.credit(acked);
            }
        }
        match self.packet(id, tally.newest_in_flight) {
            Some(newest) => self.paths.active.land(now, tally.bytes, &newest),
            None => Acked::default(),
        }
    }

    /// The largest packet number was newly acknowledged: that is a round trip, if the frame
    /// acknowledges anything that the peer had to answer soon (RFC 9002, section 5.1).
    fn sample_rtt(
        &mut self,
        now: Instant,
        id: SpaceId,
        newest: &SentPacket,
        tally: &Tally,
        delay: Duration,
    ) -> Option<Duration> {
        if !tally.ack_eliciting {
            return None;
        }
        let delay = match id {
            // These are not delayed.
            SpaceId::Initial => Duration::ZERO,
            _ if self.handshake_confirmed => delay.min(self.peer_max_ack_delay),
            _ => delay,
        };
        let sample = now.saturating_since(newest.time);
        let path = self.paths.get_mut(newest.path)?;
        path.rtt.update(now, sample, delay);
        (newest.path == tally.active).then_some(path.rtt.latest())
    }

    fn process_ecn(
        &mut self,
        now: Instant,
        id: SpaceId,
        newest: &SentPacket,
        tally: &Tally,
        counts: Option<EcnCounts>,
    ) {
        let Some(path) = self.paths.get_mut(newest.path) else {
            return;
        };
        if path.ecn.on_ack(id, counts, tally.marked) {
            path.on_congestion_event(now, newest.time, Cause::Ecn, 0);
        }
    }

    /// Tells the active path's controller of what arrived. It comes after losses: these begin a
    /// recovery period in which the window does not grow.
    fn credit(&mut self, any_in_flight: bool, mut acked: Acked) {
        let path = &mut self.paths.active;
        acked.rate.lost += acked.lost;
        if any_in_flight {
            path.credit(acked);
        } else {
            path.refresh();
        }
    }
}

impl PathState {
    /// `bytes` of packets arrived, `newest` last; what the controller is to hear of it.
    fn land(&mut self, now: Instant, bytes: u64, newest: &SentPacket) -> Acked {
        let bytes_in_flight_before = self.bytes_in_flight;
        self.on_landed(bytes);
        Acked {
            now,
            bytes,
            sent: newest.time,
            bytes_in_flight_before,
            rate: self.rate_sample(now, bytes, newest),
            ..Acked::default()
        }
    }

    fn rate_sample(&mut self, now: Instant, bytes: u64, newest: &SentPacket) -> RateSample {
        let min_rtt = self.rtt.min();
        self.delivery
            .on_acked(now, bytes, newest.time, &newest.delivery, min_rtt)
    }

    fn credit(&mut self, mut acked: Acked) {
        acked.smoothed_rtt = self.rtt.smoothed();
        acked.min_rtt = self.rtt.min();
        acked.bytes_in_flight = self.bytes_in_flight;
        acked.app_limited = !self.window_used;
        self.controller.on_ack(&acked);
        self.refresh();
    }

    pub(super) fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        cause: Cause,
        lost: u64,
    ) {
        self.controller.on_congestion_event(&CongestionEvent {
            now,
            sent,
            cause,
            lost,
            bytes_in_flight: self.bytes_in_flight,
        });
        self.refresh();
    }

    /// A packet declared lost arrived, when `distance` after it had.
    fn on_late(&mut self, now: Instant, packet: &LostPacket, distance: u64) {
        let after = now.saturating_since(packet.sent);
        self.reordering.on_spurious_loss(distance, after, &self.rtt);
        if self.loss_event.on_late(packet.event) {
            self.controller.on_spurious_loss(now);
            self.refresh();
        }
    }
}

impl Tally {
    const fn new(active: PathId) -> Self {
        Self {
            active,
            newest: None,
            ack_eliciting: false,
            marked: 0,
            bytes: 0,
            newest_in_flight: None,
            max_size: None,
            mtu_probe: None,
        }
    }

    /// Counts a packet; false when it is not one of the active path.
    fn on_acked(&mut self, index: usize, packet: &SentPacket) -> bool {
        let place = Some((packet.number, index));
        self.newest = self.newest.max(place);
        self.ack_eliciting |= packet.ack_eliciting;
        self.marked += u64::from(packet.ect);
        if packet.path != self.active {
            return false;
        }
        if packet.in_flight {
            self.bytes += u64::from(packet.size);
            self.newest_in_flight = self.newest_in_flight.max(place);
        }
        if packet.mtu_probe {
            self.mtu_probe = Some(MtuProbe::of(packet));
        } else {
            self.max_size = self.max_size.max(Some(packet.size));
        }
        true
    }
}

impl MtuProbe {
    pub(super) const fn of(packet: &SentPacket) -> Self {
        Self {
            path: packet.path,
            size: packet.size,
        }
    }
}

/// Ranges of an ACK frame that are looked at; what older ones say, a later frame may repeat.
const RANGES_MAX: usize = 256;

const UNSENT: Fault = Fault::Transport {
    code: TransportCode::ProtocolViolation,
    frame: 0x02,
    reason: "acknowledgement of a packet that was never sent",
};
