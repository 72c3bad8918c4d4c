//! The round-trip time (RFC 9002, section 5).

use core::time::Duration;

use crate::time::Instant;

/// Timers are no finer than this (`kGranularity`).
pub(crate) const GRANULARITY: Duration = Duration::from_millis(1);

/// What is known of a path's round-trip time.
#[derive(Clone, Debug)]
pub(crate) struct Rtt {
    latest: Duration,
    min: Duration,
    smoothed: Duration,
    variation: Duration,
    first_sample: Option<Instant>,
    /// Asked for more often than anything else changes.
    pto: Duration,
}

impl Rtt {
    /// Nothing is known; `initial` is assumed.
    pub(crate) fn new(initial: Duration) -> Self {
        Self {
            latest: Duration::ZERO,
            min: Duration::ZERO,
            smoothed: initial,
            variation: initial / 2,
            first_sample: None,
            pto: pto(initial, initial / 2),
        }
    }

    /// The newest sample; zero before the first.
    pub(crate) const fn latest(&self) -> Duration {
        self.latest
    }

    /// The smallest sample, acknowledgement delays included; zero before the first.
    pub(crate) const fn min(&self) -> Duration {
        self.min
    }

    /// The moving average.
    pub(crate) const fn smoothed(&self) -> Duration {
        self.smoothed
    }

    /// The mean deviation from it (`rttvar`).
    pub(crate) const fn variation(&self) -> Duration {
        self.variation
    }

    /// When the first sample was taken.
    pub(crate) const fn first_sample(&self) -> Option<Instant> {
        self.first_sample
    }

    /// Takes a sample. `ack_delay` is what the peer says of its own part in it, already no more
    /// than it may be.
    pub(crate) fn update(&mut self, now: Instant, sample: Duration, ack_delay: Duration) {
        // The clock counts microseconds; a round trip inside one of them is not zero.
        self.latest = sample.max(Duration::from_micros(1));
        if self.first_sample.is_none() {
            self.min = self.latest;
            self.smoothed = self.latest;
            self.variation = self.latest / 2;
            self.first_sample = Some(now);
            self.pto = pto(self.smoothed, self.variation);
            return;
        }
        self.min = self.min.min(self.latest);
        // A delay that would take the sample below what was ever seen is not believed.
        let adjusted = match self.latest.checked_sub(ack_delay) {
            Some(adjusted) if adjusted >= self.min => adjusted,
            _ => self.latest,
        };
        let deviation = self.smoothed.abs_diff(adjusted);
        self.variation = (self.variation * 3 + deviation) / 4;
        self.smoothed = (self.smoothed * 7 + adjusted) / 8;
        self.pto = pto(self.smoothed, self.variation);
    }

    /// The path was lost for a while: the old minimum may no longer hold (RFC 9002, section 5.2).
    pub(crate) fn on_persistent_congestion(&mut self) {
        self.min = self.latest;
    }

    /// How long after its sending a packet that was overtaken counts as lost (RFC 9002, section
    /// 6.1.2): a round trip and its `2^-shift`th part.
    pub(crate) fn loss_delay(&self, shift: u8) -> Duration {
        let rtt = self.smoothed.max(self.latest);
        (rtt + rtt / (1 << shift.min(31))).max(GRANULARITY)
    }

    /// The probe timeout without the peer's delay and without backoff (RFC 9002, section 6.2.1).
    pub(crate) const fn pto(&self) -> Duration {
        self.pto
    }
}

fn pto(smoothed: Duration, variation: Duration) -> Duration {
    smoothed + (variation * 4).max(GRANULARITY)
}
