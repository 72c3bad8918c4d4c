//! How fast a path delivers (draft-ietf-ccwg-bbr, section 4.1).

use core::time::Duration;

use crate::{quic::congestion::RateSample, time::Instant};

/// Delivery on one path.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivery {
    /// Bytes acknowledged since the beginning.
    delivered: u64,
    delivered_at: Instant,
    /// When the newest packet acknowledged was sent; after idleness, when sending began again.
    first_sent: Instant,
    /// Bytes lost since the beginning.
    lost: u64,
    /// Until so many bytes are delivered, samples show what the application sends. Zero when they
    /// show what the path carries.
    app_limited_until: u64,
}

/// The state of delivery when a packet was sent.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(super) delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    /// The last bits of [`Delivery::lost`].
    lost: u32,
    /// Bytes in flight, the packet included.
    pub(super) in_flight: u32,
    pub(super) app_limited: bool,
}

impl Delivery {
    pub(super) const fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(super) const fn is_app_limited(&self) -> bool {
        self.app_limited_until > 0
    }

    /// A packet is sent. `in_flight` includes it; `was_idle` says that it is all there is.
    pub(super) fn on_sent(&mut self, now: Instant, in_flight: u64, was_idle: bool) -> Snapshot {
        if was_idle {
            self.first_sent = now;
            self.delivered_at = now;
        }
        Snapshot {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
            lost: self.lost as u32,
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            app_limited: self.is_app_limited(),
        }
    }

    /// There is nothing to send though it could go.
    pub(super) fn on_app_limited(&mut self, in_flight: u64) {
        self.app_limited_until = (self.delivered + in_flight).max(1);
    }

    /// Bytes arrived; `newest` is of the newest packet among them, sent at `sent`. What is lost
    /// is told before [`Delivery::finish`].
    pub(super) fn on_acked(
        &mut self,
        now: Instant,
        bytes: u64,
        sent: Instant,
        newest: &Snapshot,
        min_rtt: Duration,
    ) -> RateSample {
        self.delivered += bytes;
        self.delivered_at = now;
        if self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let send_elapsed = sent.saturating_since(newest.first_sent);
        let ack_elapsed = now.saturating_since(newest.delivered_at);
        self.first_sent = self.first_sent.max(sent);
        let interval = send_elapsed.max(ack_elapsed);
        RateSample {
            delivered: self.delivered - newest.delivered,
            // Shorter than a round trip: acknowledgements came in a bunch.
            interval: if interval < min_rtt {
                Duration::ZERO
            } else {
                interval
            },
            total_delivered: self.delivered,
            prior_delivered: newest.delivered,
            lost: self.lost_since(newest),
            in_flight: newest.in_flight.into(),
            app_limited: newest.app_limited,
        }
    }

    pub(super) fn on_lost(&mut self, bytes: u64) {
        self.lost += bytes;
    }

    /// Bytes lost since a packet was sent.
    pub(super) const fn lost_since(&self, packet: &Snapshot) -> u64 {
        (self.lost as u32).wrapping_sub(packet.lost) as u64
    }
}
