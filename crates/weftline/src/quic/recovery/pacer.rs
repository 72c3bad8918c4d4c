//! Spreading packets over the round trip (RFC 9002, section 7.7).

use core::time::Duration;

use crate::time::Instant;

/// A leaky bucket that tells time instead of bytes: `next` is when a packet would go if none ever
/// went early. Packets may go early by the burst allowed, so that whole batches go at once and a
/// late timer costs nothing. It takes one multiplication a packet; divisions happen when the rate
/// changes.
#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    /// In ticks, as the times and durations below.
    next: u64,
    /// When the last packet went.
    sent_at: u64,
    pace: Pace,
    /// How early packets may go.
    burst: u64,
    /// What is gathered before the next batch goes; no more than `burst`.
    batch: u64,
}

/// How long a byte takes, in ticks and 2^-20 of one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pace(u64);

impl Pacer {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            next: ticks(now),
            sent_at: ticks(now),
            pace: Pace(0),
            burst: 0,
            batch: 0,
        }
    }

    /// Sets the rate for what is sent from now on. The burst is ten datagrams, or what two
    /// milliseconds bring when that is more; `quantum` is what should go at once, and about a
    /// millisecond's worth otherwise, or an eighth of a round trip where that is shorter.
    pub(crate) fn set_pace(
        &mut self,
        pace: Pace,
        max_datagram_size: u16,
        smoothed: Duration,
        quantum: Option<u64>,
    ) {
        self.reprice(pace);
        let datagrams = pace.ticks_for(BURST_DATAGRAMS * u64::from(max_datagram_size));
        self.burst = datagrams.max(BURST_TICKS);
        let batch = match quantum {
            Some(bytes) => pace.ticks_for(bytes),
            None => (micros(smoothed) / 8)
                .saturating_mul(TICKS_PER_MICRO)
                .min(BATCH_TICKS),
        };
        self.batch = batch.min(self.burst);
    }

    /// What went early is owed at the new pace: after the first sample of a short round trip nobody
    /// waits as long as the first guess of it said.
    fn reprice(&mut self, pace: Pace) {
        if pace != self.pace {
            let owed = self.next.saturating_sub(self.sent_at);
            let bytes = owed.saturating_mul(FRACTION).checked_div(self.pace.0);
            let owed = bytes.map_or(owed, |bytes| pace.ticks_for(bytes));
            self.next = self.sent_at.saturating_add(owed);
            self.pace = pace;
        }
    }

    /// The rate; `None` when there is none.
    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        (1_000_000 * TICKS_PER_MICRO * FRACTION).checked_div(self.pace.0)
    }

    /// The time at which the next packet may go; `None` for now. Short waits are drawn out to gather
    /// room for a batch.
    pub(crate) fn delay(&self, now: Instant) -> Option<Instant> {
        let now_ticks = ticks(now);
        let latest = now_ticks.saturating_add(self.burst);
        if self.next <= latest {
            return None;
        }
        let wait = (self.next - latest).saturating_add(self.batch);
        let ready = now + Duration::from_micros(wait.div_ceil(TICKS_PER_MICRO));
        // At least one microsecond ahead: never "now" again.
        Some(ready.max(now + Duration::from_micros(1)))
    }

    /// `size` bytes were sent, in time or not.
    pub(crate) fn on_sent(&mut self, now: Instant, size: u16) {
        let cost = self.pace.ticks_for(size.into());
        self.sent_at = ticks(now);
        self.next = self.next.max(self.sent_at).saturating_add(cost);
    }
}

impl Pace {
    /// `bytes` in each `duration`, times `numerator / denominator`.
    pub(crate) fn new(
        bytes: u64,
        duration: Duration,
        (numerator, denominator): (u64, u64),
    ) -> Self {
        let ticks = micros(duration).saturating_mul(TICKS_PER_MICRO * denominator);
        Self(ticks.saturating_mul(FRACTION) / bytes.saturating_mul(numerator).max(1))
    }

    pub(crate) fn per_second(bytes: u64) -> Self {
        Self::new(bytes, Duration::from_secs(1), (1, 1))
    }

    const fn ticks_for(self, bytes: u64) -> u64 {
        self.0.saturating_mul(bytes) / FRACTION
    }
}

const fn ticks(at: Instant) -> u64 {
    at.as_micros().saturating_mul(TICKS_PER_MICRO)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Finer than the clock, as at high rates a packet takes less than a microsecond.
const TICKS_PER_MICRO: u64 = 1024;
const FRACTION: u64 = 1 << 20;
const BURST_DATAGRAMS: u64 = 10;
const BURST_TICKS: u64 = 2000 * TICKS_PER_MICRO;
const BATCH_TICKS: u64 = 1000 * TICKS_PER_MICRO;
