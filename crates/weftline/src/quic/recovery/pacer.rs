//! Spreading packets over the round trip (RFC 9002, section 7.7).

use core::time::Duration;

use crate::time::Instant;

/// A token bucket in bytes that fills at 1.25 windows per round trip. It holds ten datagrams, or
/// what two milliseconds bring when that is more, so that fast paths get whole batches of packets.
#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    tokens: u64,
    /// When `tokens` was true.
    at: Instant,
    max_datagram_size: u16,
}

/// 1.25 windows per round trip, in whole numbers and without overflow for any round trip up to
/// days: `bytes = micros * window / micros_per_window`.
#[derive(Copy, Clone, Debug)]
struct Rate {
    window: u64,
    micros_per_window: u64,
}

impl Pacer {
    pub(crate) fn new(now: Instant, max_datagram_size: u16) -> Self {
        let mut pacer = Self {
            tokens: 0,
            at: now,
            max_datagram_size,
        };
        pacer.tokens = pacer.burst_min();
        pacer
    }

    pub(crate) fn on_mtu_update(&mut self, max_datagram_size: u16) {
        self.max_datagram_size = max_datagram_size;
    }

    /// The time at which `size` bytes may go; `None` for now. Short waits are drawn out to gather
    /// tokens for several packets: about a millisecond's worth.
    pub(crate) fn delay(
        &mut self,
        now: Instant,
        size: u16,
        window: u64,
        smoothed: Duration,
    ) -> Option<Instant> {
        let rate = Rate::new(window, smoothed);
        self.refill(now, rate);
        let burst = self.burst(rate);
        let size = u64::from(size).min(burst);
        if self.tokens >= size {
            return None;
        }
        let wait = Rate::micros(smoothed / 8).min(BATCH_MICROS);
        let batch = rate.bytes_in(wait).clamp(size, burst);
        let missing = batch - self.tokens;
        let ready = self.at + Duration::from_micros(rate.micros_for(missing));
        // At least one tick ahead: never "now" again.
        Some(ready.max(now + Duration::from_micros(1)))
    }

    /// `size` bytes were sent, in time or not.
    pub(crate) fn on_sent(&mut self, now: Instant, size: u16, window: u64, smoothed: Duration) {
        self.refill(now, Rate::new(window, smoothed));
        self.tokens = self.tokens.saturating_sub(size.into());
    }

    fn refill(&mut self, now: Instant, rate: Rate) {
        let burst = self.burst(rate);
        let elapsed = Rate::micros(now.saturating_since(self.at));
        let missing = burst.saturating_sub(self.tokens);
        if elapsed >= rate.micros_for(missing) {
            self.tokens = burst;
            self.at = self.at.max(now);
            return;
        }
        // The rest of a division stays for the next time: `at` moves only as far as whole bytes
        // were given.
        let bytes = rate.bytes_in(elapsed);
        self.tokens += bytes;
        self.at += Duration::from_micros(rate.micros_for(bytes).min(elapsed));
    }

    fn burst(&self, rate: Rate) -> u64 {
        self.burst_min().max(rate.bytes_in(BURST_MICROS))
    }

    fn burst_min(&self) -> u64 {
        BURST_DATAGRAMS * u64::from(self.max_datagram_size)
    }
}

impl Rate {
    fn new(window: u64, smoothed: Duration) -> Self {
        // 5 windows in 4 round trips.
        Self {
            window: window.saturating_mul(5).max(1),
            micros_per_window: Self::micros(smoothed).saturating_mul(4).max(1),
        }
    }

    fn bytes_in(self, micros: u64) -> u64 {
        micros.saturating_mul(self.window) / self.micros_per_window
    }

    /// Rounded up.
    fn micros_for(self, bytes: u64) -> u64 {
        bytes
            .saturating_mul(self.micros_per_window)
            .div_ceil(self.window)
    }

    fn micros(duration: Duration) -> u64 {
        u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
    }
}

const BURST_DATAGRAMS: u64 = 10;
const BURST_MICROS: u64 = 2000;
const BATCH_MICROS: u64 = 1000;
