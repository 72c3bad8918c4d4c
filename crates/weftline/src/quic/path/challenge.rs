//! PATH_CHALLENGE frames of one path (RFC 9000, section 8.2).

use core::time::Duration;

use crate::time::Instant;

/// A challenge that is sent until it is answered, a few times at most.
#[derive(Debug)]
pub(super) struct Challenge {
    data: [u8; 8],
    is_unsent: bool,
    /// It went in a full-sized datagram, so that its answer proves that the path carries those.
    padded: bool,
    resend_at: Option<Instant>,
    give_up_at: Instant,
    tries_left: u8,
}

impl Challenge {
    pub(super) const fn new(data: [u8; 8], give_up_at: Instant) -> Self {
        Self {
            data,
            is_unsent: true,
            padded: false,
            resend_at: None,
            give_up_at,
            tries_left: TRIES,
        }
    }

    pub(super) const fn data(&self) -> [u8; 8] {
        self.data
    }

    pub(super) const fn padded(&self) -> bool {
        self.padded
    }

    /// What to send now.
    pub(super) fn unsent(&self) -> Option<[u8; 8]> {
        self.is_unsent.then_some(self.data)
    }

    /// Has it sent again.
    pub(super) const fn repeat(&mut self) {
        self.is_unsent = true;
    }

    pub(super) fn on_sent(&mut self, now: Instant, padded: bool, pto: Duration) {
        self.is_unsent = false;
        self.padded = padded;
        self.tries_left = self.tries_left.saturating_sub(1);
        self.resend_at = (self.tries_left > 0).then(|| now + pto);
    }

    pub(super) fn deadline(&self) -> Instant {
        self.resend_at
            .map_or(self.give_up_at, |at| at.min(self.give_up_at))
    }

    /// False when the time is up.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.resend_at.take_if(|at| *at <= now).is_some() {
            self.is_unsent = true;
        }
        now < self.give_up_at
    }
}

/// How often a challenge is sent.
const TRIES: u8 = 3;
