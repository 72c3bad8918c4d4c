//! Each controller against the equations of its specification.

use core::time::Duration;

use super::*;

mod cubic;
mod new_reno;
mod slow_start;

const MSS: u16 = 1200;

/// A path with a fixed round trip that acknowledges every second packet, evenly spread.
struct Flow<C> {
    controller: C,
    now: Instant,
    rtt: Duration,
}

impl<C: Controller> Flow<C> {
    fn new(build: impl FnOnce(&Start) -> C, rtt: Duration) -> Self {
        let start = Start {
            max_datagram_size: MSS,
            initial_rtt: Duration::from_millis(333),
            ..Start::default()
        };
        Self {
            controller: build(&start),
            now: Instant::ZERO + rtt,
            rtt,
        }
    }

    fn window(&self) -> u64 {
        self.controller.window()
    }

    fn segments(&self) -> f64 {
        self.window() as f64 / f64::from(MSS)
    }

    fn acked(&self, bytes: u64) -> Acked {
        Acked {
            now: self.now,
            bytes,
            sent: self.now - self.rtt,
            rtt: Some(self.rtt),
            smoothed_rtt: self.rtt,
            min_rtt: self.rtt,
            bytes_in_flight_before: self.window(),
            bytes_in_flight: self.window().saturating_sub(bytes),
            ..Acked::default()
        }
    }

    /// A window is acknowledged, in a round trip.
    fn round(&mut self) {
        let acks = (self.window() / u64::from(2 * MSS)).max(1);
        let bytes = self.window() / acks;
        for _ in 0..acks {
            self.now += self.rtt / acks as u32;
            let acked = self.acked(bytes);
            self.controller.on_ack(&acked);
        }
    }

    fn rounds_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.round();
        }
    }

    fn event(&mut self, cause: Cause) {
        let event = CongestionEvent {
            now: self.now,
            sent: self.now - self.rtt / 2,
            cause,
            lost: MSS.into(),
            bytes_in_flight: self.window(),
        };
        self.controller.on_congestion_event(&event);
        // What was sent before it tells nothing.
        self.now += self.rtt + Duration::from_micros(1);
    }

    /// Slow start up to `segments`, ended by a loss.
    fn lose_at(&mut self, segments: u64) {
        while self.window() < segments * u64::from(MSS) {
            let missing = segments * u64::from(MSS) - self.window();
            self.now += Duration::from_millis(1);
            let acked = self.acked(missing.min(self.window()));
            self.controller.on_ack(&acked);
        }
        self.event(Cause::Loss);
    }
}

fn assert_close(is: f64, should_be: f64, tolerance: f64) {
    let error = (is - should_be).abs() / should_be.abs();
    assert!(error <= tolerance, "{is} should be {should_be}");
}
