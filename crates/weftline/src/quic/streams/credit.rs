//! Flow control credit, of streams and of the connection (RFC 9000, section 4).

use core::time::Duration;

use crate::{time::Instant, wire::varint};

/// What the tuning of windows goes by.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Clock {
    pub(crate) now: Instant,
    /// Zero until it was measured.
    pub(crate) rtt: Duration,
}

/// Credit given to the peer. The window doubles, up to its maximum, when the application consumes
/// a whole one within two round trips: then the window may be what holds the sender back. Only
/// bytes read in order count, so a peer cannot widen it alone.
#[derive(Debug)]
pub(crate) struct RecvCredit {
    /// Bytes the peer used: the sum of the highest offsets.
    received: u64,
    /// Bytes done with.
    consumed: u64,
    /// The limit the peer was last told.
    limit: u64,
    window: u64,
    window_max: u64,
    /// Where and when the window being measured began.
    epoch_consumed: u64,
    epoch: Instant,
    due: bool,
}

/// The peer used more credit than it has.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overdrawn;

impl RecvCredit {
    pub(crate) fn new(window: u64, window_max: u64, now: Instant) -> Self {
        let window = window.min(varint::MAX);
        Self {
            received: 0,
            consumed: 0,
            limit: window,
            window,
            window_max: window_max.clamp(window, varint::MAX),
            epoch_consumed: 0,
            epoch: now,
            due: false,
        }
    }

    /// Bytes the peer used.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Bytes the peer used that are not done with.
    pub(crate) fn outstanding(&self) -> u64 {
        self.received - self.consumed
    }

    /// The window as tuned so far.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// Whether the peer may use `len` bytes more.
    pub(crate) fn check(&self, len: u64) -> Result<(), Overdrawn> {
        if len > self.limit.saturating_sub(self.received) {
            return Err(Overdrawn);
        }
        Ok(())
    }

    /// The peer used `len` bytes, which [`Self::check`] allowed.
    pub(crate) fn on_received(&mut self, len: u64) {
        self.received += len;
    }

    /// The application read `len` bytes.
    pub(crate) fn on_consumed(&mut self, len: u64, clock: Clock) {
        self.consumed += len;
        if self.consumed - self.epoch_consumed >= self.window {
            let elapsed = clock.now.saturating_since(self.epoch);
            if elapsed < clock.rtt.saturating_mul(2) {
                self.window = self.window.saturating_mul(2).min(self.window_max);
            }
            self.epoch = clock.now;
            self.epoch_consumed = self.consumed;
        }
        self.update();
    }

    /// `len` bytes will never be read: the stream was reset or stopped.
    pub(crate) fn on_discarded(&mut self, len: u64) {
        self.consumed += len;
        self.epoch_consumed += len;
        self.update();
    }

    /// Widens the window to at least `window`, within its maximum.
    pub(crate) fn widen(&mut self, window: u64) {
        self.window = self.window.max(window.min(self.window_max));
        self.update();
    }

    /// Whether the peer should be told a new limit.
    pub(crate) fn is_due(&self) -> bool {
        self.due
    }

    /// The limit to tell the peer; it never decreases.
    pub(crate) fn next_limit(&self) -> u64 {
        let limit = self.consumed.saturating_add(self.window);
        limit.min(varint::MAX).max(self.limit)
    }

    /// The peer is being told [`Self::next_limit`].
    pub(crate) fn on_sent(&mut self) {
        self.limit = self.next_limit();
        self.due = false;
    }

    /// The frame that told `limit` was lost.
    pub(crate) fn on_lost(&mut self, limit: u64) {
        self.due |= limit == self.limit;
    }

    fn update(&mut self) {
        let more = self.next_limit() - self.limit;
        self.due |= more > 0 && more >= self.window / 2;
    }
}

/// Credit the peer gave.
#[derive(Debug, Default)]
pub(crate) struct SendCredit {
    limit: u64,
    used: u64,
    /// The part kept for urgent streams.
    reserve: u64,
    told: BlockedNotice,
}

impl SendCredit {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Bytes that may still be sent.
    pub(crate) fn available(&self) -> u64 {
        self.limit - self.used
    }

    /// Bytes that streams that are not urgent may still send.
    pub(crate) fn ordinary(&self) -> u64 {
        self.available().saturating_sub(self.reserve)
    }

    /// Keeps the last bytes of any limit for urgent streams.
    pub(crate) fn keep_reserve(&mut self, bytes: u64) {
        self.reserve = bytes;
    }

    /// The peer's limit.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The peer gave a limit; a lower one than before means nothing (section 4.1).
    pub(crate) fn raise(&mut self, limit: u64) {
        self.limit = self.limit.max(limit.min(varint::MAX));
    }

    /// `len` of the available bytes were sent for the first time.
    pub(crate) fn consume(&mut self, len: u64) {
        self.used += len.min(self.available());
    }

    /// Whether the peer should be told that nothing can be sent, given that there is something.
    pub(crate) fn is_blocked_due(&self) -> bool {
        self.ordinary() == 0 && self.told.is_due(self.limit)
    }

    pub(crate) fn blocked_notice(&mut self) -> &mut BlockedNotice {
        &mut self.told
    }
}

/// The limit that a DATA_BLOCKED, STREAM_DATA_BLOCKED or STREAMS_BLOCKED frame last named: each is
/// sent once per limit.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct BlockedNotice(Option<u64>);

impl BlockedNotice {
    pub(crate) fn is_due(self, limit: u64) -> bool {
        self.0 != Some(limit)
    }

    pub(crate) fn on_sent(&mut self, limit: u64) {
        self.0 = Some(limit);
    }

    pub(crate) fn on_lost(&mut self, limit: u64) {
        if self.0 == Some(limit) {
            self.0 = None;
        }
    }
}

/// A frame that is sent until it is acknowledged: RESET_STREAM, STOP_SENDING, and FIN.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Not wanted.
    #[default]
    Idle,
    /// To be sent, for the first time or again.
    Due,
    /// Sent.
    Sent,
    /// The peer has it.
    Acked,
}

impl Signal {
    pub(crate) fn raise(&mut self) {
        if *self == Self::Idle {
            *self = Self::Due;
        }
    }

    pub(crate) fn on_sent(&mut self) {
        if *self == Self::Due {
            *self = Self::Sent;
        }
    }

    pub(crate) fn on_acked(&mut self) {
        *self = Self::Acked;
    }

    pub(crate) fn on_lost(&mut self) {
        if *self == Self::Sent {
            *self = Self::Due;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Clock {
        Clock {
            now: Instant::from_micros(micros),
            rtt: Duration::from_micros(100),
        }
    }

    #[test]
    fn updates_come_at_half_a_window() {
        let mut credit = RecvCredit::new(1000, 1000, Instant::ZERO);
        assert_eq!(credit.check(1001), Err(Overdrawn));
        assert_eq!(credit.check(1000), Ok(()));
        credit.on_received(1000);
        credit.on_consumed(499, at(0));
        assert!(!credit.is_due());
        credit.on_consumed(1, at(0));
        assert!(credit.is_due());
        credit.on_sent();
        assert_eq!((credit.is_due(), credit.check(500)), (false, Ok(())));
        assert_eq!(credit.check(501), Err(Overdrawn));
        credit.on_lost(1400);
        assert!(!credit.is_due(), "not the latest limit");
        credit.on_lost(1500);
        assert!(credit.is_due());
    }

    #[test]
    fn the_window_grows_only_with_fast_reads() {
        let mut credit = RecvCredit::new(1000, 3000, Instant::ZERO);
        credit.on_received(1000);
        credit.on_consumed(1000, at(200));
        assert_eq!(credit.window(), 1000, "took two round trips");
        credit.on_sent();
        credit.on_received(1000);
        credit.on_discarded(1000);
        assert_eq!(credit.window(), 1000, "nothing was read");
        credit.on_sent();
        credit.on_received(1000);
        credit.on_consumed(1000, at(399));
        assert_eq!(credit.window(), 2000);
        credit.on_sent();
        credit.on_received(2000);
        credit.on_consumed(2000, at(400));
        assert_eq!(credit.window(), 3000, "the maximum");
    }

    #[test]
    fn limits_end_at_the_largest_offset() {
        let mut credit = RecvCredit::new(u64::MAX, u64::MAX, Instant::ZERO);
        assert_eq!(credit.check(varint::MAX + 1), Err(Overdrawn));
        assert_eq!(credit.check(varint::MAX), Ok(()));
        credit.on_received(varint::MAX);
        credit.on_consumed(varint::MAX, at(0));
        assert_eq!(credit.next_limit(), varint::MAX);
        assert!(!credit.is_due(), "there is no more to give");
    }

    #[test]
    fn blocked_is_told_once_per_limit() {
        let mut credit = SendCredit::new(10);
        credit.consume(10);
        assert!(credit.is_blocked_due());
        credit.blocked_notice().on_sent(10);
        assert!(!credit.is_blocked_due());
        credit.blocked_notice().on_lost(10);
        assert!(credit.is_blocked_due());
        credit.blocked_notice().on_sent(10);
        credit.raise(5);
        assert_eq!(credit.available(), 0);
        credit.raise(11);
        assert!(!credit.is_blocked_due());
        credit.consume(1);
        assert!(credit.is_blocked_due());
        credit.blocked_notice().on_lost(10);
        assert!(credit.is_blocked_due(), "an old notice changes nothing");
    }
}
