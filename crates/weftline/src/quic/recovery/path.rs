//! What recovery keeps for each path (RFC 9000, section 9.4): round-trip time, congestion control,
//! pacing and ECN.

use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;

use super::{ecn::EcnValidator, pacer::Pacer, rtt::Rtt};
use crate::{quic::congestion::Controller, time::Instant};

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
    pub(super) pacer: Pacer,
    pub(super) ecn: EcnValidator,
    pub(super) max_datagram_size: u16,
    pub(super) bytes_in_flight: u64,
    /// The window is in use: what is acknowledged now shows that the path carries it.
    pub(super) window_used: bool,
}

impl PathState {
    pub(super) fn new(
        now: Instant,
        id: PathId,
        initial_rtt: Duration,
        max_datagram_size: u16,
        mut controller: Box<dyn Controller>,
    ) -> Self {
        controller.on_mtu_update(max_datagram_size);
        Self {
            id,
            rtt: Rtt::new(initial_rtt),
            controller,
            pacer: Pacer::new(now, max_datagram_size),
            ecn: EcnValidator::default(),
            max_datagram_size,
            bytes_in_flight: 0,
            window_used: false,
        }
    }

    pub(crate) const fn id(&self) -> PathId {
        self.id
    }

    pub(crate) const fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    pub(crate) fn congestion_window(&self) -> u64 {
        self.controller.window()
    }

    pub(crate) const fn bytes_in_flight(&self) -> u64 {
        self.bytes_in_flight
    }

    /// The size of UDP payloads that congestion control counts by.
    #[cfg_attr(not(test), expect(dead_code, reason = "datagrams have one size"))]
    pub(crate) const fn max_datagram_size(&self) -> u16 {
        self.max_datagram_size
    }

    /// Whether packets may be marked ECT(0).
    pub(crate) const fn may_mark_ect(&self) -> bool {
        self.ecn.may_mark()
    }

    pub(super) fn on_mtu_update(&mut self, max_datagram_size: u16) {
        self.max_datagram_size = max_datagram_size;
        self.controller.on_mtu_update(max_datagram_size);
        self.pacer.on_mtu_update(max_datagram_size);
    }

    pub(super) fn on_in_flight_sent(&mut self, now: Instant, size: u16) {
        self.bytes_in_flight += u64::from(size);
        self.controller.on_sent(now, size, self.bytes_in_flight);
        let (window, smoothed) = (self.controller.window(), self.rtt.smoothed());
        self.pacer.on_sent(now, size, window, smoothed);
        self.window_used = self.is_window_full();
    }

    /// A packet is in flight no longer.
    pub(super) fn on_landed(&mut self, bytes: u64) {
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(bytes);
    }

    pub(super) fn send_budget(&self) -> u64 {
        self.controller
            .window()
            .saturating_sub(self.bytes_in_flight)
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
