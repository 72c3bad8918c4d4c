//! One direction of a simulated path.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use weftline::{Instant, entropy::SeededEntropy};

/// How one direction of a path treats datagrams. The default is perfect and instant but for 10 ms
/// of latency.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// One-way delay.
    pub latency: Duration,
    /// Random extra delay up to this much. It reorders.
    pub jitter: Duration,
    /// Bits per second; `None` for unlimited.
    pub bandwidth: Option<u64>,
    /// Bytes that wait for the bandwidth; more are dropped at the tail.
    pub queue: usize,
    /// Share of datagrams lost, 0 to 1.
    pub loss: f64,
    /// Share of datagrams that arrive twice.
    pub duplication: f64,
    /// Share of datagrams that arrive with one to four bytes changed.
    pub corruption: f64,
    /// Share of datagrams delayed by another latency, past those sent after them.
    pub reorder: f64,
    /// Longest datagram carried; longer ones are lost.
    pub mtu: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
            bandwidth: None,
            queue: 1 << 20,
            loss: 0.0,
            duplication: 0.0,
            corruption: 0.0,
            reorder: 0.0,
            mtu: 1500,
        }
    }
}

/// What happened to the datagrams handed to a link.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Handed in.
    pub sent: u64,
    /// Lost at random.
    pub lost: u64,
    /// Dropped because the queue was full or the datagram longer than the MTU.
    pub dropped: u64,
    /// Delivered with changed bytes.
    pub corrupted: u64,
    /// Delivered once more.
    pub duplicated: u64,
    /// Delayed past later ones.
    pub reordered: u64,
}

/// One direction of a path: datagrams go in at one time and come out at another, or never.
#[derive(Debug)]
pub struct Link<T> {
    config: LinkConfig,
    rng: SeededEntropy,
    in_flight: BinaryHeap<Reverse<InFlight<T>>>,
    /// When the last bit of what is queued will have left.
    busy_until: Instant,
    order: u64,
    stats: LinkStats,
}

#[derive(Debug)]
struct InFlight<T> {
    at: Instant,
    order: u64,
    datagram: Vec<u8>,
    tag: T,
}

impl<T: Clone> Link<T> {
    /// A link whose every choice follows from `seed`.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            config,
            rng: SeededEntropy::new(seed),
            in_flight: BinaryHeap::new(),
            busy_until: Instant::ZERO,
            order: 0,
            stats: LinkStats::default(),
        }
    }

    /// Changes how the link treats what is sent from now on.
    pub fn set_config(&mut self, config: LinkConfig) {
        self.config = config;
    }

    /// What happened so far.
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Hands a datagram to the link; `tag` comes out with it.
    pub fn send(&mut self, now: Instant, datagram: &[u8], tag: T) {
        self.stats.sent += 1;
        if self.chance(self.config.loss) {
            self.stats.lost += 1;
            return;
        }
        let Some(leaves) = self.transmit(now, datagram.len()) else {
            self.stats.dropped += 1;
            return;
        };
        let mut at = leaves + self.config.latency + self.jitter();
        if self.chance(self.config.reorder) {
            self.stats.reordered += 1;
            at += self.config.latency.max(Duration::from_micros(1));
        }
        let mut datagram = datagram.to_vec();
        if self.chance(self.config.duplication) {
            self.stats.duplicated += 1;
            let again = at + self.jitter() + Duration::from_micros(1);
            self.push(again, datagram.clone(), tag.clone());
        }
        if self.chance(self.config.corruption) {
            self.stats.corrupted += 1;
            self.corrupt(&mut datagram);
        }
        self.push(at, datagram, tag);
    }

    /// When the next datagram arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.in_flight.peek().map(|Reverse(next)| next.at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<(Vec<u8>, T)> {
        if self.next_arrival()? > now {
            return None;
        }
        self.in_flight
            .pop()
            .map(|Reverse(next)| (next.datagram, next.tag))
    }

    /// When the last bit of a datagram of `len` bytes leaves; `None` when it is dropped.
    fn transmit(&mut self, now: Instant, len: usize) -> Option<Instant> {
        if len > self.config.mtu {
            return None;
        }
        let Some(bandwidth) = self.config.bandwidth else {
            return Some(now);
        };
        let start = self.busy_until.max(now);
        let waiting = start.saturating_since(now);
        let queued = waiting.as_micros() as u64 * bandwidth / 8_000_000;
        if queued as usize + len > self.config.queue {
            return None;
        }
        self.busy_until = start + Duration::from_micros(len as u64 * 8_000_000 / bandwidth);
        Some(self.busy_until)
    }

    fn push(&mut self, at: Instant, datagram: Vec<u8>, tag: T) {
        self.order += 1;
        self.in_flight.push(Reverse(InFlight {
            at,
            order: self.order,
            datagram,
            tag,
        }));
    }

    fn corrupt(&mut self, datagram: &mut [u8]) {
        for _ in 0..=self.rng.next_u64() % 4 {
            let random = self.rng.next_u64();
            if let Some(byte) = pick(datagram, random) {
                // Never a change to the same value.
                *byte ^= (random >> 32) as u8 | 1;
            }
        }
    }

    fn jitter(&mut self) -> Duration {
        let max = self.config.jitter.as_micros() as u64;
        Duration::from_micros(self.rng.next_u64() % (max + 1))
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && ((self.rng.next_u64() >> 11) as f64) < share * (1u64 << 53) as f64
    }
}

fn pick(datagram: &mut [u8], random: u64) -> Option<&mut u8> {
    let len = datagram.len() as u64;
    let at = random.checked_rem(len)?;
    datagram.get_mut(at as usize)
}

impl<T> PartialEq for InFlight<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl<T> Eq for InFlight<T> {}

impl<T> PartialOrd for InFlight<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for InFlight<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(config: LinkConfig) -> Link<()> {
        Link::new(config, 1)
    }

    #[test]
    fn latency_then_order() {
        let mut link = link(LinkConfig::default());
        link.send(Instant::ZERO, b"a", ());
        link.send(Instant::ZERO, b"b", ());
        assert_eq!(link.next_arrival(), Some(Instant::from_micros(10_000)));
        assert_eq!(link.receive(Instant::from_micros(9_999)), None);
        let now = Instant::from_micros(10_000);
        assert_eq!(link.receive(now), Some((b"a".to_vec(), ())));
        assert_eq!(link.receive(now), Some((b"b".to_vec(), ())));
        assert_eq!(link.receive(now), None);
    }

    #[test]
    fn bandwidth_spaces_and_the_queue_overflows() {
        // 8 Mbit/s is one byte each microsecond.
        let config = LinkConfig {
            latency: Duration::ZERO,
            bandwidth: Some(8_000_000),
            queue: 2500,
            ..LinkConfig::default()
        };
        let mut link = link(config);
        for _ in 0..4 {
            link.send(Instant::ZERO, &[0; 1000], ());
        }
        assert_eq!(link.stats().dropped, 2);
        assert!(link.receive(Instant::from_micros(999)).is_none());
        assert!(link.receive(Instant::from_micros(1000)).is_some());
        assert!(link.receive(Instant::from_micros(1999)).is_none());
        assert!(link.receive(Instant::from_micros(2000)).is_some());
    }

    #[test]
    fn shares_are_about_right_and_a_seed_repeats() {
        let run = || {
            let mut link = link(LinkConfig {
                loss: 0.1,
                duplication: 0.2,
                corruption: 0.3,
                reorder: 0.4,
                mtu: 100,
                ..LinkConfig::default()
            });
            for _ in 0..10_000 {
                link.send(Instant::ZERO, &[7; 100], ());
            }
            let mut changed = 0;
            let mut received = 0;
            while let Some((datagram, ())) = link.receive(Instant::from_micros(1_000_000)) {
                received += 1;
                changed += u64::from(datagram != [7; 100]);
            }
            (link.stats(), received, changed)
        };
        let (stats, received, changed) = run();
        assert!((900..1100).contains(&stats.lost), "{stats:?}");
        assert_eq!(received, stats.sent - stats.lost + stats.duplicated);
        assert_eq!(changed, stats.corrupted);
        assert!((1600..2000).contains(&stats.duplicated), "{stats:?}");
        assert!((3300..3900).contains(&stats.reordered), "{stats:?}");
        assert_eq!(run(), (stats, received, changed));
    }
}
