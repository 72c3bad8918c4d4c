//! What recovery keeps for each path (RFC 9000, section 9.4): round-trip time, congestion control,
//! pacing and ECN.

use alloc::{boxed::Box, vec::Vec};

use super::{
    Snapshot, SpaceId,
    ecn::EcnValidator,
    pacer::{Pace, Pacer},
    rate::Delivery,
    rtt::Rtt,
    spurious::{LossEvent, Reordering},
};
use crate::{
    quic::congestion::{Congestion, Controller, Sent, Start},
    time::Instant,
    wire::frame::EcnCounts,
};

/// Names a path in what is remembered of sent packets. Numbers wrap around; no two paths that
/// recovery knows at once have the same.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathId(pub(crate) u8);

/// Recovery's part of one path.
#[derive(Debug)]
pub(crate) struct PathState {
    pub(super) id: PathId,
    pub(super) rtt: Rtt,
    pub(super) controller: Box<dyn Controller>,
    /// What the controller last said.
    window: u64,
    pub(super) pacer: Pacer,
    pub(super) delivery: Delivery,
    pub(super) ecn: EcnValidator,
    pub(super) reordering: Reordering,
    pub(super) loss_event: LossEvent,
    pub(super) max_datagram_size: u16,
    pub(super) bytes_in_flight: u64,
    /// The window is in use: what is acknowledged now shows that the path carries it.
    pub(super) window_used: bool,
}

impl PathState {
    pub(super) fn new(id: PathId, congestion: &Congestion, start: &Start) -> Self {
        let controller = congestion.build(start);
        let mut path = Self {
            id,
            rtt: Rtt::new(start.initial_rtt),
            window: controller.window(),
            controller,
            pacer: Pacer::new(start.now),
            delivery: Delivery::default(),
            ecn: EcnValidator::default(),
            reordering: Reordering::default(),
            loss_event: LossEvent::default(),
            max_datagram_size: start.max_datagram_size,
            bytes_in_flight: 0,
            window_used: false,
        };
        path.refresh();
        path
    }

    pub(crate) const fn id(&self) -> PathId {
        self.id
    }

    pub(crate) const fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    pub(crate) const fn congestion_window(&self) -> u64 {
        self.window
    }

    pub(crate) const fn bytes_in_flight(&self) -> u64 {
        self.bytes_in_flight
    }

    /// The size of UDP payloads that congestion control counts by.
    pub(crate) const fn max_datagram_size(&self) -> u16 {
        self.max_datagram_size
    }

    /// Bytes per second that the pacer lets go.
    pub(crate) fn pacing_rate(&self) -> Option<u64> {
        self.pacer.bytes_per_second()
    }

    /// The window where slow start ends, for controllers that know one.
    pub(crate) fn ssthresh(&self) -> Option<u64> {
        self.controller.ssthresh()
    }

    /// Later packets that must arrive before one counts as lost.
    pub(crate) const fn packet_threshold(&self) -> u64 {
        self.reordering.packets
    }

    pub(crate) fn in_slow_start(&self) -> bool {
        self.controller.in_slow_start()
    }

    /// How the peer says our 1-RTT packets arrived.
    pub(crate) fn ecn_reported(&self) -> EcnCounts {
        self.ecn.reported(SpaceId::Data)
    }

    /// Whether packets may be marked ECT(0).
    pub(crate) const fn may_mark_ect(&self) -> bool {
        self.ecn.may_mark()
    }

    pub(super) fn on_mtu_update(&mut self, max_datagram_size: u16) {
        self.max_datagram_size = max_datagram_size;
        self.controller.on_mtu_update(max_datagram_size);
        self.refresh();
    }

    /// The controller or the round-trip time changed.
    pub(super) fn refresh(&mut self) {
        self.window = self.controller.window();
        let smoothed = self.rtt.smoothed();
        let pace = match self.controller.pacing_rate() {
            Some(rate) => Pace::per_second(rate),
            None if self.controller.in_slow_start() => Pace::new(self.window, smoothed, (2, 1)),
            None => Pace::new(self.window, smoothed, (5, 4)),
        };
        let quantum = self.controller.send_quantum();
        self.pacer
            .set_pace(pace, self.max_datagram_size, smoothed, quantum);
    }

    pub(super) fn on_in_flight_sent(&mut self, now: Instant, size: u16) -> Snapshot {
        let was_idle = self.bytes_in_flight == 0;
        if was_idle && self.delivery.is_app_limited() {
            self.controller.on_idle_restart(now);
            self.refresh();
        }
        self.bytes_in_flight += u64::from(size);
        let snapshot = self.delivery.on_sent(now, self.bytes_in_flight, was_idle);
        self.controller.on_sent(&Sent {
            now,
            bytes: size,
            bytes_in_flight: self.bytes_in_flight,
        });
        self.pacer.on_sent(now, size);
        self.window_used = self.is_window_full();
        snapshot
    }

    /// Window and pacer would let a packet go, but there is nothing to send.
    pub(super) fn on_app_limited(&mut self) {
        self.window_used = self.is_window_full();
        self.delivery.on_app_limited(self.bytes_in_flight);
    }

    /// A packet is in flight no longer.
    pub(super) fn on_landed(&mut self, bytes: u64) {
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(bytes);
    }

    pub(super) const fn send_budget(&self) -> u64 {
        self.window.saturating_sub(self.bytes_in_flight)
    }

    /// Nearly: less than three datagrams would go.
    pub(super) fn is_window_full(&self) -> bool {
        self.send_budget() < 3 * u64::from(self.max_datagram_size)
    }
}

/// The paths that recovery knows: the one in use, and few others.
#[derive(Debug)]
pub(super) struct PathStates {
    pub(super) active: PathState,
    others: Vec<PathState>,
}

impl PathStates {
    pub(super) const fn new(active: PathState) -> Self {
        Self {
            active,
            others: Vec::new(),
        }
    }

    pub(super) fn get(&self, id: PathId) -> Option<&PathState> {
        if self.active.id == id {
            return Some(&self.active);
        }
        self.others.iter().find(|path| path.id == id)
    }

    pub(super) fn get_mut(&mut self, id: PathId) -> Option<&mut PathState> {
        if self.active.id == id {
            return Some(&mut self.active);
        }
        self.others.iter_mut().find(|path| path.id == id)
    }

    /// Takes up a path that is not the active one. One of the same name is replaced, and of too
    /// many the oldest is forgotten.
    pub(super) fn add(&mut self, path: PathState) {
        self.remove(path.id);
        if self.others.len() >= OTHERS_MAX {
            self.others.remove(0);
        }
        self.others.push(path);
    }

    /// Makes a path the active one; the one before stays known. False when there is no such path.
    pub(super) fn activate(&mut self, id: PathId) -> bool {
        if self.active.id == id {
            return true;
        }
        let Some(path) = self.others.iter_mut().find(|path| path.id == id) else {
            return false;
        };
        core::mem::swap(&mut self.active, path);
        true
    }

    /// Forgets a path, unless it is the active one.
    pub(super) fn remove(&mut self, id: PathId) {
        self.others.retain(|path| path.id != id);
    }
}

/// Paths kept beside the active one. A connection tries few at a time; its path table is the
/// bound on what a peer can do.
const OTHERS_MAX: usize = 8;
