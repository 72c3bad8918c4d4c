//! CUBIC (RFC 9438), with HyStart++ in slow start.

use core::time::Duration;

use super::{
    Acked, Cause, CongestionEvent, Controller, Start,
    hystart::{HyStart, Step},
    initial_window, minimum_window,
};
use crate::time::Instant;

/// Grows the window along a cubic curve of the time since the last loss, which does not depend on
/// the round-trip time: quickly back to where the loss was, slowly around there, then quickly
/// beyond. Never slower than NewReno would.
#[derive(Clone, Debug)]
pub struct Cubic {
    max_datagram_size: u16,
    window: u64,
    /// Where slow start ends.
    ssthresh: u64,
    slow_start: HyStart,
    /// When the current recovery period began. Packets sent until then tell nothing new.
    recovery_start: Option<Instant>,
    /// The curve; `None` until congestion avoidance begins.
    epoch: Option<Epoch>,
    /// The window before the last reduction, made smaller where it fell short of the one before
    /// (fast convergence).
    w_max: u64,
    /// The window right before the last reduction.
    prior: u64,
    last_ack: Instant,
    /// The state before the latest loss event.
    before: Option<Before>,
}

/// A stretch of congestion avoidance between two losses.
#[derive(Copy, Clone, Debug)]
struct Epoch {
    /// Moved on for as long as the application sends too little (RFC 9438, section 5.8).
    start: Instant,
    /// Seconds until the curve is back at `w_max`.
    k: f64,
    /// The window that NewReno would have, with CUBIC's factors; a fraction of a byte counts.
    w_est: f64,
    /// The window, likewise.
    window: f64,
}

#[derive(Copy, Clone, Debug)]
struct Before {
    window: u64,
    ssthresh: u64,
    epoch: Option<Epoch>,
    w_max: u64,
    prior: u64,
}

impl Cubic {
    /// In its first state.
    pub fn new(start: &Start) -> Self {
        Self {
            max_datagram_size: start.max_datagram_size,
            window: start.initial_window(),
            ssthresh: u64::MAX,
            slow_start: HyStart::new(start.now),
            recovery_start: None,
            epoch: None,
            w_max: 0,
            prior: 0,
            last_ack: start.now,
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

    /// Congestion avoidance (RFC 9438, section 4.2 to 4.5).
    fn grow_on_curve(&mut self, acked: &Acked) {
        let mss = f64::from(self.max_datagram_size);
        let mut epoch = match self.epoch {
            Some(epoch) => epoch,
            None => self.begin_epoch(acked.now),
        };
        let (window, w_max) = (epoch.window, self.w_max as f64);
        let elapsed = acked.now.saturating_since(epoch.start);
        let curve = |t: Duration| {
            let d = t.as_secs_f64() - epoch.k;
            C * d * d * d * mss + w_max
        };
        let bytes = acked.bytes as f64;
        let alpha = if epoch.w_est < self.prior as f64 {
            ALPHA
        } else {
            1.0
        };
        epoch.w_est += alpha * mss * bytes / window.max(1.0);
        if curve(elapsed) < epoch.w_est {
            epoch.window = window.max(epoch.w_est);
        } else {
            let target = curve(elapsed + acked.smoothed_rtt).clamp(window, 1.5 * window);
            epoch.window = window + (target - window) * (bytes / window.max(1.0)).min(1.0);
        }
        self.window = (epoch.window as u64).max(self.window);
        self.epoch = Some(epoch);
    }

    /// Without a loss before it, the curve begins at its plateau (RFC 9438, section 4.10).
    fn begin_epoch(&mut self, now: Instant) -> Epoch {
        if self.w_max < self.window {
            self.w_max = self.window;
        }
        let below = self.w_max - self.window;
        Epoch {
            start: now,
            k: cube_root_seconds(below, self.max_datagram_size),
            w_est: self.window as f64,
            window: self.window as f64,
        }
    }

    /// A loss or a mark (RFC 9438, section 4.6 and 4.7).
    fn reduce(&mut self, event: &CongestionEvent) {
        self.before = (event.cause == Cause::Loss).then_some(Before {
            window: self.window,
            ssthresh: self.ssthresh,
            epoch: self.epoch,
            w_max: self.w_max,
            prior: self.prior,
        });
        self.recovery_start = Some(event.now);
        self.prior = self.window;
        // Fast convergence: below the last peak, another flow wants room.
        self.w_max = if self.window < self.w_max {
            scale(self.window, (1.0 + BETA) / 2.0)
        } else {
            self.window
        };
        self.ssthresh = scale(self.window, BETA).max(self.minimum());
        self.window = self.ssthresh;
        self.epoch = None;
    }
}

impl Controller for Cubic {
    fn name(&self) -> &'static str {
        "cubic"
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

    fn on_idle_restart(&mut self, now: Instant) {
        if let Some(epoch) = &mut self.epoch {
            epoch.start += now.saturating_since(self.last_ack);
        }
        self.last_ack = self.last_ack.max(now);
    }

    fn on_ack(&mut self, acked: &Acked) {
        let since = acked.now.saturating_since(self.last_ack);
        self.last_ack = acked.now;
        if acked.app_limited {
            if let Some(epoch) = &mut self.epoch {
                epoch.start += since;
            }
            return;
        }
        if self.in_recovery(acked.sent) {
            return;
        }
        if self.in_slow_start() {
            self.grow_in_slow_start(acked);
        } else {
            self.grow_on_curve(acked);
        }
    }

    fn on_congestion_event(&mut self, event: &CongestionEvent) {
        match event.cause {
            Cause::Persistent => {
                self.window = self.minimum();
                self.recovery_start = None;
                self.epoch = None;
                self.before = None;
                self.slow_start = HyStart::new(event.now);
            }
            Cause::Loss | Cause::Ecn if self.in_recovery(event.sent) => {}
            Cause::Loss | Cause::Ecn => self.reduce(event),
        }
    }

    /// RFC 9438, section 4.9.
    fn on_spurious_loss(&mut self, _now: Instant) {
        let Some(before) = self.before.take() else {
            return;
        };
        if self.window >= before.window {
            return;
        }
        self.window = before.window;
        self.ssthresh = before.ssthresh;
        self.epoch = before.epoch;
        self.w_max = before.w_max;
        self.prior = before.prior;
        self.recovery_start = None;
    }

    fn on_mtu_update(&mut self, max_datagram_size: u16) {
        let untouched = self.window == initial_window(self.max_datagram_size);
        self.max_datagram_size = max_datagram_size;
        if untouched {
            self.window = initial_window(max_datagram_size);
        }
        if self.window < self.minimum() {
            self.window = self.minimum();
            self.epoch = None;
        }
    }
}

/// K (RFC 9438, section 4.2): seconds in which the curve rises by `bytes`. The cube root is taken
/// in whole units of 1/1024 s, as `core` has none for floats, and made exact by one step of
/// Newton's.
fn cube_root_seconds(bytes: u64, max_datagram_size: u16) -> f64 {
    let mss = u64::from(max_datagram_size).max(1);
    // 1 / C = 5 / 2, and 1024 to the third.
    let scaled = u128::from(bytes) * (5 << 29) / u128::from(mss);
    let root = cube_root(u64::try_from(scaled).unwrap_or(u64::MAX));
    let k = root as f64 / 1024.0;
    if root == 0 {
        return k;
    }
    let cube = bytes as f64 / (C * mss as f64);
    k - (k * k * k - cube) / (3.0 * k * k)
}

/// The whole part of the cube root, digit by binary digit.
fn cube_root(mut x: u64) -> u64 {
    let mut root = 0_u64;
    for shift in (0..=63).rev().step_by(3) {
        root *= 2;
        let step = 3 * root * (root + 1) + 1;
        if x >> shift >= step {
            x -= step << shift;
            root += 1;
        }
    }
    root
}

fn scale(window: u64, factor: f64) -> u64 {
    (window as f64 * factor) as u64
}

/// How steep the curve is, in datagrams per second to the third.
const C: f64 = 0.4;

/// What is left of the window after a loss.
const BETA: f64 = 0.7;

/// With it, NewReno that keeps 0.7 of its window is as fast as NewReno that keeps half.
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

#[cfg(test)]
mod units {
    use super::*;

    #[test]
    fn cube_roots_are_whole_parts() {
        let cubes = (0..2000_u64).flat_map(|n| [n * n * n, (n + 1) * (n + 1) * (n + 1) - 1]);
        for (i, cube) in cubes.enumerate() {
            assert_eq!(cube_root(cube), i as u64 / 2, "of {cube}");
        }
        assert_eq!(cube_root(u64::MAX), 2_642_245);
        assert_eq!(cube_root(2_642_245_u64.pow(3)), 2_642_245);
        assert_eq!(cube_root(2_642_245_u64.pow(3) - 1), 2_642_244);
    }

    #[test]
    fn k_is_the_cube_root() {
        for segments in [1_u64, 7, 100, 12_345, 1_000_000] {
            let k = cube_root_seconds(segments * 1200, 1200);
            let exact = (segments as f64 / 0.4).cbrt();
            assert!((k - exact).abs() < 1e-6 * exact, "{k} for {exact}");
        }
        assert!(cube_root_seconds(0, 1200) < f64::EPSILON);
        assert!(cube_root_seconds(u64::MAX, 1) > 1e6);
    }
}
