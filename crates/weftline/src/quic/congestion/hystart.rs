//! HyStart++ (RFC 9406): leaves slow start when round trips grow longer, before the queue
//! overflows.

use core::time::Duration;

use super::Acked;
use crate::time::Instant;

/// Slow start, round trip by round trip.
#[derive(Clone, Debug)]
pub(super) struct HyStart {
    /// Packets sent after it belong to the next round.
    round_start: Instant,
    /// The smallest samples of this round and the one before.
    current: Option<Duration>,
    last: Option<Duration>,
    samples: u32,
    phase: Phase,
}

/// How a window in slow start changes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// By so many bytes.
    Grow(u64),
    /// Slow start is over.
    Leave,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Phase {
    SlowStart,
    /// Conservative slow start: the round trip was longer than `baseline` explains. A few rounds
    /// more must confirm it.
    Conservative {
        baseline: Duration,
        rounds: u32,
    },
}

impl HyStart {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            round_start: now,
            current: None,
            last: None,
            samples: 0,
            phase: Phase::SlowStart,
        }
    }

    /// What an acknowledgement does to the window. Packets are paced, so growth has no other bound
    /// than what was acknowledged (RFC 9406, section 4.2, L = infinity).
    pub(super) fn on_ack(&mut self, acked: &Acked) -> Step {
        if acked.sent > self.round_start {
            self.on_round(acked.now);
        }
        if let Some(rtt) = acked.rtt {
            self.samples += 1;
            self.current = Some(self.current.map_or(rtt, |current| current.min(rtt)));
        }
        self.change_phase();
        match self.phase {
            Phase::SlowStart => Step::Grow(acked.bytes),
            Phase::Conservative { rounds, .. } if rounds >= CSS_ROUNDS => Step::Leave,
            Phase::Conservative { .. } => Step::Grow(acked.bytes / CSS_GROWTH_DIVISOR),
        }
    }

    fn on_round(&mut self, now: Instant) {
        self.round_start = now;
        self.last = self.current.or(self.last);
        self.current = None;
        self.samples = 0;
        if let Phase::Conservative { rounds, .. } = &mut self.phase {
            *rounds += 1;
        }
    }

    fn change_phase(&mut self) {
        let (Some(current), Some(last)) = (self.current, self.last) else {
            return;
        };
        if self.samples < RTT_SAMPLES {
            return;
        }
        match self.phase {
            Phase::SlowStart => {
                let threshold = (last / RTT_DIVISOR).clamp(RTT_THRESHOLD_MIN, RTT_THRESHOLD_MAX);
                if current >= last + threshold {
                    self.phase = Phase::Conservative {
                        baseline: current,
                        rounds: 0,
                    };
                }
            }
            Phase::Conservative { baseline, .. } if current < baseline => {
                self.phase = Phase::SlowStart;
            }
            Phase::Conservative { .. } => {}
        }
    }
}

const RTT_THRESHOLD_MIN: Duration = Duration::from_millis(4);
const RTT_THRESHOLD_MAX: Duration = Duration::from_millis(16);
const RTT_DIVISOR: u32 = 8;
/// Samples without which a round says nothing.
const RTT_SAMPLES: u32 = 8;
const CSS_GROWTH_DIVISOR: u64 = 4;
const CSS_ROUNDS: u32 = 5;
