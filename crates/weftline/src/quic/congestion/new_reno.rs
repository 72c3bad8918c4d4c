//! NewReno, as RFC 9002 has it (section 7.3 and appendix B), with HyStart++ in slow start.

use super::{
    Acked, Cause, CongestionEvent, Controller, Start,
    hystart::{HyStart, Step},
    initial_window, minimum_window,
};
use crate::time::Instant;

/// Doubles the window each round trip until the first loss or sign of a queue; from then on adds
/// one datagram each round trip and halves at each loss.
#[derive(Clone, Debug)]
pub struct NewReno {
    max_datagram_size: u16,
    window: u64,
    /// Where slow start ends.
    ssthresh: u64,
    slow_start: HyStart,
    /// When the current recovery period began. Packets sent until then tell nothing new.
    recovery_start: Option<Instant>,
    /// Bytes acknowledged in congestion avoidance that have not yet raised the window.
    acked: u64,
    /// Window and threshold before the latest loss event.
    before: Option<(u64, u64)>,
}

impl NewReno {
    /// In its first state.
    pub fn new(start: &Start) -> Self {
        Self {
            max_datagram_size: start.max_datagram_size,
            window: start.initial_window(),
            ssthresh: u64::MAX,
            slow_start: HyStart::new(start.now),
            recovery_start: None,
            acked: 0,
            before: None,
        }
    }

    fn in_recovery(&self, sent: Instant) -> bool {
        self.recovery_start.is_some_and(|start| sent <= start)
    }

    fn minimum(&self) -> u64 {
        minimum_window(self.max_datagram_size)
    }

    fn grow_in_slow_start(&mut self, acked: &Acked) {
        match self.slow_start.on_ack(acked) {
            Step::Grow(bytes) => self.window = self.window.saturating_add(bytes),
            Step::Leave => self.ssthresh = self.window,
        }
    }
}

impl Controller for NewReno {
    fn name(&self) -> &'static str {
        "newreno"
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn in_slow_start(&self) -> bool {
        self.window < self.ssthresh
    }

    fn ssthresh(&self) -> Option<u64> {
        (self.ssthresh < u64::MAX).then_some(self.ssthresh)
    }

    fn on_ack(&mut self, acked: &Acked) {
        if acked.app_limited || self.in_recovery(acked.sent) {
            return;
        }
        if self.in_slow_start() {
            self.grow_in_slow_start(acked);
            return;
        }
        // One datagram for each window acknowledged, counted in bytes so that nothing is lost to
        // rounding (RFC 3465, section 2.1).
        self.acked += acked.bytes;
        if self.acked >= self.window {
            self.acked -= self.window;
            self.window = self.window.saturating_add(self.max_datagram_size.into());
        }
    }

    fn on_congestion_event(&mut self, event: &CongestionEvent) {
        match event.cause {
            Cause::Persistent => {
                self.window = self.minimum();
                self.recovery_start = None;
                self.acked = 0;
                self.before = None;
                self.slow_start = HyStart::new(event.now);
            }
            Cause::Loss | Cause::Ecn if self.in_recovery(event.sent) => {}
            cause @ (Cause::Loss | Cause::Ecn) => {
                self.before = (cause == Cause::Loss).then_some((self.window, self.ssthresh));
                self.recovery_start = Some(event.now);
                self.ssthresh = (self.window / 2).max(self.minimum());
                self.window = self.ssthresh;
                self.acked = 0;
            }
        }
    }

    fn on_spurious_loss(&mut self, _now: Instant) {
        if let Some((window, ssthresh)) = self.before.take() {
            self.window = self.window.max(window);
            self.ssthresh = ssthresh;
            self.recovery_start = None;
        }
    }

    fn on_mtu_update(&mut self, max_datagram_size: u16) {
        let untouched = self.window == initial_window(self.max_datagram_size);
        self.max_datagram_size = max_datagram_size;
        if untouched {
            self.window = initial_window(max_datagram_size);
        }
        self.window = self.window.max(self.minimum());
    }
}
