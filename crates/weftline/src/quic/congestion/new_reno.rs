//! NewReno, as RFC 9002 has it (section 7.3 and appendix B).

use alloc::boxed::Box;

use super::{AckedPacket, Cause, Controller, initial_window, minimum_window};
use crate::time::Instant;

/// Doubles the window each round trip until the first loss; from then on adds one datagram each
/// round trip and halves at each loss.
#[derive(Clone, Debug)]
pub(crate) struct NewReno {
    max_datagram_size: u16,
    window: u64,
    /// Where slow start ends.
    ssthresh: u64,
    /// When the current recovery period began. Packets sent until then tell nothing new.
    recovery_start: Option<Instant>,
    /// Bytes acknowledged in congestion avoidance that have not yet raised the window.
    acked: u64,
}

impl NewReno {
    pub(crate) fn new(max_datagram_size: u16) -> Self {
        Self {
            max_datagram_size,
            window: initial_window(max_datagram_size),
            ssthresh: u64::MAX,
            recovery_start: None,
            acked: 0,
        }
    }

    fn in_recovery(&self, sent: Instant) -> bool {
        self.recovery_start.is_some_and(|start| sent <= start)
    }

    fn minimum(&self) -> u64 {
        minimum_window(self.max_datagram_size)
    }
}

impl Controller for NewReno {
    fn window(&self) -> u64 {
        self.window
    }

    fn on_sent(&mut self, _now: Instant, _bytes: u16, _in_flight: u64) {}

    fn on_ack(&mut self, ack: &AckedPacket) {
        if ack.app_limited || self.in_recovery(ack.sent) {
            return;
        }
        let bytes = u64::from(ack.bytes);
        if self.window < self.ssthresh {
            self.window = self.window.saturating_add(bytes);
            return;
        }
        // One datagram for each window acknowledged, counted in bytes so that nothing is lost to
        // rounding (RFC 3465, section 2.1).
        self.acked += bytes;
        if self.acked >= self.window {
            self.acked -= self.window;
            self.window = self.window.saturating_add(self.max_datagram_size.into());
        }
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, cause: Cause) {
        match cause {
            Cause::Persistent => {
                self.window = self.minimum();
                self.recovery_start = None;
                self.acked = 0;
            }
            Cause::Loss | Cause::Ecn if self.in_recovery(sent) => {}
            Cause::Loss | Cause::Ecn => {
                self.recovery_start = Some(now);
                self.ssthresh = self.window / 2;
                self.window = self.ssthresh.max(self.minimum());
                self.acked = 0;
            }
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

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
