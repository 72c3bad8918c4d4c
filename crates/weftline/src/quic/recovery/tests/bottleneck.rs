//! Controllers on a path with one bottleneck: sending, queueing, acknowledging and losing, in
//! virtual time.

use alloc::collections::VecDeque;

use super::*;

/// A path of a rate, a round trip and a queue, where every second packet is acknowledged.
struct Path {
    recovery: Recovery,
    now: Instant,
    bytes_per_second: u64,
    rtt: Duration,
    queue: u64,
    busy_until: Instant,
    /// Packets by the time at which they are acknowledged.
    arriving: VecDeque<(Instant, u64)>,
    received: Vec<RangeInclusive<u64>>,
    unacked: u32,
    delivered: u64,
    /// Every so many packets one is lost; 0 for none.
    lose_every: u64,
}

const PATH: PathId = PathId(0);
const MBIT: u64 = 1_000_000 / 8;

impl Path {
    fn new(congestion: Congestion, bytes_per_second: u64, rtt_ms: u64, bdps: u64) -> Self {
        let rtt = Duration::from_millis(rtt_ms);
        Self {
            recovery: recovery_with(congestion),
            now: at(1),
            bytes_per_second,
            rtt,
            queue: bytes_per_second * rtt_ms / 1000 * bdps,
            busy_until: at(1),
            arriving: VecDeque::new(),
            received: Vec::new(),
            unacked: 0,
            delivered: 0,
            lose_every: 0,
        }
    }

    fn bdp(&self) -> u64 {
        self.bytes_per_second * self.rtt.as_millis() as u64 / 1000
    }

    /// Sends as much as may go; gives when more may.
    fn send(&mut self, left: &mut u64) -> Option<Instant> {
        while *left > 0 && self.recovery.send_budget() >= SIZE.into() {
            if let Some(at) = self.recovery.pacing_delay(self.now) {
                return Some(at);
            }
            let number = send(&mut self.recovery, self.now, PATH);
            *left = left.saturating_sub(SIZE.into());
            let start = self.busy_until.max(self.now);
            let waiting = start.saturating_since(self.now).as_micros() as u64;
            let queued = waiting * self.bytes_per_second / 1_000_000;
            let is_lost = self.lose_every > 0 && number % self.lose_every == self.lose_every - 1;
            if queued + u64::from(SIZE) > self.queue || is_lost {
                continue;
            }
            let micros = u64::from(SIZE) * 1_000_000 / self.bytes_per_second;
            self.busy_until = start + Duration::from_micros(micros);
            self.arriving
                .push_back((self.busy_until + self.rtt, number));
        }
        if *left == 0 {
            self.recovery.on_app_limited();
        }
        None
    }

    fn arrive(&mut self) {
        while let Some((_, number)) = self.arriving.pop_front_if(|(at, _)| *at <= self.now) {
            match self.received.first_mut() {
                Some(range) if range.end() + 1 == number => *range = *range.start()..=number,
                _ => self.received.insert(0, number..=number),
            }
            self.received.truncate(32);
            self.unacked += 1;
            self.delivered += u64::from(SIZE);
            if self.unacked == 2 || self.arriving.is_empty() {
                self.unacked = 0;
                ack(&mut self.recovery, self.now, self.received.clone());
            }
        }
    }

    /// Runs with `bytes` to send; gives the bytes that arrived, and calls `look` at each step.
    fn run(&mut self, time: Duration, mut bytes: u64, mut look: impl FnMut(&Self)) -> u64 {
        let (end, before) = (self.now + time, self.delivered);
        while self.now < end {
            let paced = self.send(&mut bytes);
            look(self);
            let next = [
                paced,
                self.recovery.timeout(),
                self.arriving.front().map(|(at, _)| *at),
            ];
            let next = next.into_iter().flatten().min().unwrap_or(end);
            self.now = next.max(self.now + Duration::from_micros(1)).min(end);
            self.arrive();
            let mut outcome = Outcome::default();
            self.recovery.on_timeout(self.now, &mut outcome);
        }
        self.delivered - before
    }

    fn run_full(&mut self, time: Duration) -> f64 {
        let bytes = self.run(time, u64::MAX, |_| {});
        bytes as f64 / (self.bytes_per_second as f64 * time.as_secs_f64())
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const ALL: [Congestion; 3] = [Congestion::NewReno, Congestion::Cubic, Congestion::Bbr];

#[test]
fn each_controller_fills_the_path() {
    for congestion in ALL {
        let mut path = Path::new(congestion.clone(), 50 * MBIT, 40, 1);
        path.run_full(secs(2));
        let used = path.run_full(secs(10));
        assert!(used > 0.95, "{congestion:?}: {used}");
    }
}

#[test]
fn hystart_leaves_before_the_queue_is_full() {
    // Delay shows when some three BDPs are in flight; five rounds of conservative slow start make
    // that ten.
    let mut path = Path::new(Congestion::Cubic, 50 * MBIT, 40, 12);
    path.run_full(secs(3));
    assert!(!path.recovery.active().in_slow_start());
    assert_eq!(path.recovery.lost_packets(), 0);
}

#[test]
fn bbr_finds_the_rate_and_keeps_the_queue_short() {
    let mut path = Path::new(Congestion::Bbr, 50 * MBIT, 40, 8);
    path.run_full(secs(2));
    assert!(!path.recovery.active().in_slow_start());
    let rate = path.recovery.active().pacing_rate().unwrap();
    let off = rate.abs_diff(path.bytes_per_second) as f64 / path.bytes_per_second as f64;
    assert!(off < 0.26, "{rate}");
    let (mut sum, mut count, bdp) = (0, 0, path.bdp());
    path.run(secs(4), u64::MAX, |path| {
        sum += path.recovery.bytes_in_flight();
        count += 1;
    });
    let mean = sum as f64 / count as f64 / bdp as f64;
    assert!((0.8..1.6).contains(&mean), "{mean} of what the path holds");
    assert_eq!(path.recovery.lost_packets(), 0);
    // CUBIC fills the queue whatever its length.
    let mut cubic = Path::new(Congestion::Cubic, 50 * MBIT, 40, 8);
    cubic.run_full(secs(20));
    assert!(cubic.recovery.bytes_in_flight() > 2 * bdp);
}

#[test]
fn bbr_looks_at_the_round_trip_now_and_then() {
    let mut path = Path::new(Congestion::Bbr, 20 * MBIT, 50, 4);
    path.run_full(secs(3));
    let (mut lows, mut low, bdp) = (0, false, path.bdp());
    path.run(secs(20), u64::MAX, |path| {
        let is_low = path.recovery.congestion_window() <= bdp * 6 / 10;
        lows += usize::from(is_low && !low);
        low = is_low;
    });
    assert!((3..=5).contains(&lows), "every five seconds: {lows}");
}

#[test]
fn bbr_finds_ten_times_more_and_ten_times_less() {
    let mut path = Path::new(Congestion::Bbr, 5 * MBIT, 40, 2);
    path.run_full(secs(10));
    path.bytes_per_second = 50 * MBIT;
    path.queue *= 10;
    path.run_full(secs(15));
    assert!(path.run_full(secs(4)) > 0.85, "ten times more");
    path.bytes_per_second = 5 * MBIT;
    // The filter forgets after two cycles, and these are long with that queue.
    path.run_full(secs(30));
    let rate = path.recovery.active().pacing_rate().unwrap();
    assert!(rate < 10 * MBIT, "ten times less: {rate}");
    assert!(path.run_full(secs(4)) > 0.85);
}

#[test]
fn bbr_does_not_mind_one_in_a_hundred() {
    let mut path = Path::new(Congestion::Bbr, 20 * MBIT, 40, 1);
    path.lose_every = 100;
    path.run_full(secs(3));
    let used = path.run_full(secs(20));
    assert!(used > 0.8, "{used}");
    let mut cubic = Path::new(Congestion::Cubic, 20 * MBIT, 40, 1);
    cubic.lose_every = 100;
    cubic.run_full(secs(3));
    assert!(cubic.run_full(secs(20)) < used / 2.0);
}

#[test]
fn bbr_gives_way_to_loss_in_a_short_queue() {
    let mut path = Path::new(Congestion::Bbr, 20 * MBIT, 100, 1);
    path.queue /= 4;
    path.run_full(secs(5));
    let (sent, lost) = (
        path.recovery.next_packet_number(SpaceId::Data),
        path.recovery.lost_packets(),
    );
    let used = path.run_full(secs(20));
    let sent = path.recovery.next_packet_number(SpaceId::Data) - sent;
    let lost = path.recovery.lost_packets() - lost;
    assert!(used > 0.85, "{used}");
    assert!(lost * 100 < sent * 3, "{lost} of {sent}");
}

#[test]
fn what_the_application_sends_is_not_what_the_path_carries() {
    let mut path = Path::new(Congestion::Bbr, 50 * MBIT, 40, 4);
    path.run_full(secs(4));
    let rate = path.recovery.active().pacing_rate().unwrap();
    // A tenth of it, for a while, then nothing.
    for _ in 0..100 {
        path.run(Duration::from_millis(20), 10 * MBIT / 100, |_| {});
    }
    path.run(secs(1), 0, |_| {});
    path.run(Duration::from_millis(200), u64::MAX, |_| {});
    let now = path.recovery.active().pacing_rate().unwrap();
    assert!(now > rate * 7 / 10, "{now} after {rate}");
}
