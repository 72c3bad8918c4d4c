//! What we wish of the peer's acknowledgements (draft-ietf-quic-ack-frequency): fewer of them where
//! that costs nothing.

use core::time::Duration;

use super::recovery::PathState;
use crate::{time::Instant, wire::frame::AckFrequency};

#[cfg(test)]
mod tests;

/// Our wishes, for a peer that takes them.
#[derive(Debug, Default)]
pub(crate) struct AckWishes {
    /// The least delay that the peer accepts; `None` when it takes no wishes.
    min_delay: Option<Duration>,
    next_sequence: u64,
    /// The delay that the peer keeps for all we know.
    delay: Duration,
    wanted: Option<Wanted>,
    /// The latest frame, until it is acknowledged, with the delay in it.
    in_flight: Option<(u64, Duration)>,
    unsent: bool,
    /// When the wish was last looked at.
    looked_at: Instant,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Wanted {
    threshold: u64,
    delay: Duration,
    reordering: u64,
}

impl AckWishes {
    /// The peer's parameters are known.
    pub(crate) fn on_peer_params(&mut self, min_delay_us: Option<u64>, max_delay: Duration) {
        self.min_delay = min_delay_us.map(Duration::from_micros);
        self.delay = max_delay;
    }

    /// Whether the peer takes IMMEDIATE_ACK and ACK_FREQUENCY frames.
    pub(crate) const fn are_taken(&self) -> bool {
        self.min_delay.is_some()
    }

    /// Looks, once a round trip, whether there is something else to wish for.
    pub(crate) fn update(&mut self, now: Instant, path: &PathState) {
        let Some(min_delay) = self.min_delay else {
            return;
        };
        let due = now.saturating_since(self.looked_at) >= path.rtt().smoothed();
        if !due || self.unsent || self.in_flight.is_some() || path.in_slow_start() {
            return;
        }
        self.looked_at = now;
        let datagrams = path.congestion_window() / u64::from(path.max_datagram_size()).max(1);
        let wanted = Wanted {
            threshold: (datagrams / ACKS_PER_WINDOW).clamp(1, THRESHOLD_MAX),
            delay: (path.rtt().smoothed() / 4).min(self.delay).max(min_delay),
            reordering: path.packet_threshold().min(REORDERING_MAX),
        };
        if self.wanted.is_none_or(|last| last.differs_from(wanted)) {
            self.wanted = Some(wanted);
            self.unsent = true;
        }
    }

    /// The frame to send with the next packet.
    pub(crate) fn unsent(&self) -> Option<AckFrequency> {
        let wanted = self.wanted.filter(|_| self.unsent)?;
        Some(AckFrequency {
            sequence: self.next_sequence,
            ack_eliciting_threshold: wanted.threshold,
            max_ack_delay_us: u64::try_from(wanted.delay.as_micros()).unwrap_or(u64::MAX),
            reordering_threshold: wanted.reordering,
        })
    }

    /// The frame that [`AckWishes::unsent`] gave was sent.
    pub(crate) fn on_sent(&mut self, frame: &AckFrequency) {
        self.unsent = false;
        self.next_sequence = frame.sequence + 1;
        let delay = Duration::from_micros(frame.max_ack_delay_us);
        self.in_flight = Some((frame.sequence, delay));
    }

    pub(crate) fn on_acked(&mut self, sequence: u64) {
        if let Some((_, delay)) = self.in_flight.take_if(|(latest, _)| *latest == sequence) {
            self.delay = delay;
        }
    }

    /// It goes again, as another.
    pub(crate) fn on_lost(&mut self, sequence: u64) {
        self.unsent |= self
            .in_flight
            .take_if(|(latest, _)| *latest == sequence)
            .is_some();
    }

    /// The longest that the peer delays acknowledgements: what it keeps or is about to keep.
    pub(crate) fn max_delay(&self) -> Duration {
        let coming = self.in_flight.map_or(Duration::ZERO, |(_, delay)| delay);
        self.delay.max(coming)
    }
}

impl Wanted {
    /// Not every change is worth a frame.
    fn differs_from(self, new: Self) -> bool {
        let far = |a: u64, b: u64| a.abs_diff(b) * 2 > a.max(b).saturating_sub(1);
        let (old_delay, new_delay) = (self.delay.as_micros(), new.delay.as_micros());
        far(self.threshold, new.threshold)
            || self.reordering != new.reordering
            || old_delay.abs_diff(new_delay) * 2 > old_delay.max(new_delay)
    }
}

/// At least so many acknowledgements are wished for each window: what sends and what measures needs
/// them often.
const ACKS_PER_WINDOW: u64 = 8;

const THRESHOLD_MAX: u64 = 25;

/// Later than this an acknowledgement of a late packet is of no use.
const REORDERING_MAX: u64 = 100;
