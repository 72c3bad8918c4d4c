//! What a network does to datagrams, decided by a seed: the models of the QUIC network simulator.

use std::{collections::VecDeque, time::Duration};

use crate::capture::Fate;

/// A link with two equal directions, and harm at the end of each.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Link {
    pub(crate) delay: Duration,
    pub(crate) bits_per_second: u64,
    /// Datagrams that may wait for their turn; more are lost.
    pub(crate) queue: usize,
    /// The longest UDP payload that passes.
    pub(crate) mtu: usize,
    pub(crate) to_server: Harm,
    pub(crate) to_client: Harm,
    pub(crate) rebinding: Option<Rebinding>,
}

/// What happens to datagrams.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Harm {
    None,
    /// This many in a hundred are lost, but never more than `burst` in a row.
    Lose {
        percent: u32,
        burst: u32,
    },
    /// This many in a hundred have one of their first bytes changed, never more than `burst` in a
    /// row.
    Corrupt {
        percent: u32,
        burst: u32,
    },
    /// Those with these numbers are lost; the first is 1.
    LoseNumbers(&'static [u64]),
    /// All are lost from one time to another.
    Outage {
        from: Duration,
        until: Duration,
    },
}

/// A NAT that forgets: the server sees the client elsewhere.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Rebinding {
    pub(crate) first: Duration,
    pub(crate) every: Duration,
    /// The IP address changes, and not only the port.
    pub(crate) changes_address: bool,
}

impl Link {
    /// 15 ms each way, 10 Mbit/s, room for 25 datagrams.
    pub(crate) const USUAL: Self = Self {
        delay: Duration::from_millis(15),
        bits_per_second: 10_000_000,
        queue: 25,
        mtu: 1472,
        to_server: Harm::None,
        to_client: Harm::None,
        rebinding: None,
    };

    pub(crate) const fn harm(harm: Harm) -> Self {
        Self {
            to_server: harm,
            to_client: harm,
            ..Self::USUAL
        }
    }
}

/// One direction of a link. Times count from the first datagram.
#[derive(Debug)]
pub(crate) struct Direction {
    link: Link,
    harm: Harm,
    rng: Rng,
    /// When the link has sent all that waits.
    free_at: Duration,
    /// When each that waits begins to be sent.
    waiting: VecDeque<Duration>,
    arrived: u64,
    harmed_in_a_row: u32,
}

impl Direction {
    pub(crate) fn new(link: Link, harm: Harm, seed: u64) -> Self {
        Self {
            link,
            harm,
            rng: Rng(seed),
            free_at: Duration::ZERO,
            waiting: VecDeque::new(),
            arrived: 0,
            harmed_in_a_row: 0,
        }
    }

    /// When a datagram of `len` bytes gets to the end; `None` when the queue is full or it is too
    /// long.
    pub(crate) fn enqueue(&mut self, now: Duration, len: usize) -> Option<Duration> {
        while self.waiting.front().is_some_and(|begins| *begins <= now) {
            self.waiting.pop_front();
        }
        if len > self.link.mtu || self.waiting.len() >= self.link.queue {
            return None;
        }
        let begins = self.free_at.max(now);
        let bits = (len as u64 + IP_UDP_LEN) * 8;
        self.free_at =
            begins + Duration::from_nanos(bits * 1_000_000_000 / self.link.bits_per_second);
        if begins > now {
            self.waiting.push_back(begins);
        }
        Some(self.free_at + self.link.delay)
    }

    /// What happens at the end to the next datagram, which is changed if that is it.
    pub(crate) fn deliver(&mut self, now: Duration, datagram: &mut [u8]) -> Fate {
        self.arrived += 1;
        match self.harm {
            Harm::None => Fate::Delivered(now),
            Harm::Lose { percent, burst } => match self.strikes(percent, burst) {
                true => Fate::Lost,
                false => Fate::Delivered(now),
            },
            // Version Negotiation is spared: it answers an Initial whose version was corrupted.
            Harm::Corrupt { .. } if is_version_negotiation(datagram) => {
                self.harmed_in_a_row = 0;
                Fate::Delivered(now)
            }
            Harm::Corrupt { percent, burst } => {
                if !self.strikes(percent, burst) {
                    return Fate::Delivered(now);
                }
                // Early on, to hit headers often.
                let at = self.rng.below(datagram.len().min(51) as u64) as usize;
                let change = 1 + self.rng.below(255) as u8;
                if let Some(byte) = datagram.get_mut(at) {
                    *byte ^= change;
                }
                Fate::Corrupted
            }
            Harm::LoseNumbers(numbers) if numbers.contains(&self.arrived) => Fate::Lost,
            Harm::Outage { from, until } if (from..until).contains(&now) => Fate::Lost,
            Harm::LoseNumbers(_) | Harm::Outage { .. } => Fate::Delivered(now),
        }
    }

    fn strikes(&mut self, percent: u32, burst: u32) -> bool {
        let strikes = self.harmed_in_a_row < burst && self.rng.below(100) < u64::from(percent);
        self.harmed_in_a_row = if strikes { self.harmed_in_a_row + 1 } else { 0 };
        strikes
    }
}

/// SplitMix64: the same numbers for the same seed.
#[derive(Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }
}

fn is_version_negotiation(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0x80 != 0) && datagram.get(1..5) == Some(&[0; 4])
}

/// Of IPv4 and UDP.
const IP_UDP_LEN: u64 = 28;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn takes_turns_and_overflows() {
        let mut way = Direction::new(Link::USUAL, Harm::None, 1);
        // 1250 bytes with headers take a millisecond.
        let arrivals: Vec<_> = (0..30).map(|_| way.enqueue(MS, 1222)).collect();
        for (i, at) in arrivals.iter().enumerate() {
            let expected = (i < 26).then(|| MS * (1 + 1 + i as u32 + 15));
            assert_eq!(*at, expected, "{i}");
        }
        assert_eq!(way.enqueue(MS * 100, 1222), Some(MS * 116));
        assert_eq!(way.enqueue(MS * 100, 1473), None);
    }

    #[test]
    fn one_seed_one_fate() {
        let harm = Harm::Lose {
            percent: 30,
            burst: 3,
        };
        let fates = |seed| {
            let mut way = Direction::new(Link::USUAL, harm, seed);
            let fate = |_| way.deliver(MS, &mut [0x40]) == Fate::Lost;
            (0..1000).map(fate).collect::<Vec<_>>()
        };
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
        let lost = fates(1).iter().filter(|lost| **lost).count();
        assert!((250..350).contains(&lost), "{lost}");
        assert!(!fates(1).windows(4).any(|four| four == [true; 4]));
    }

    #[test]
    fn corrupts_one_byte_early_on() {
        let harm = Harm::Corrupt {
            percent: 100,
            burst: 1000,
        };
        let mut way = Direction::new(Link::USUAL, harm, 3);
        for _ in 0..500 {
            let mut datagram = [0x40; 100];
            assert_eq!(way.deliver(MS, &mut datagram), Fate::Corrupted);
            let changed: Vec<_> = (0..100).filter(|i| datagram[*i] != 0x40).collect();
            assert!(matches!(changed[..], [at] if at <= 50), "{changed:?}");
        }
        let mut negotiation = [0x80, 0, 0, 0, 0];
        assert_eq!(way.deliver(MS, &mut negotiation), Fate::Delivered(MS));
    }

    #[test]
    fn numbers_and_outages() {
        let mut way = Direction::new(Link::USUAL, Harm::LoseNumbers(&[2, 3]), 1);
        let fates: Vec<_> = (0..4).map(|_| way.deliver(MS, &mut [])).collect();
        let ok = Fate::Delivered(MS);
        assert_eq!(fates, [ok, Fate::Lost, Fate::Lost, ok]);
        let harm = Harm::Outage {
            from: MS * 5,
            until: MS * 7,
        };
        let mut way = Direction::new(Link::USUAL, harm, 1);
        for (at, lost) in [(4, false), (5, true), (6, true), (7, false)] {
            assert_eq!(way.deliver(MS * at, &mut []) == Fate::Lost, lost, "{at}");
        }
    }
}
