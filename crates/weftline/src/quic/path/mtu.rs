//! How large a datagram a path carries: packetization layer path MTU discovery (RFC 8899; RFC
//! 9000, section 14.3).
//!
//! ```text
//! Base ---> Searching <---> Complete        Base: the path has yet to be validated
//!               |  ^            |           Error: it swallows what is large
//!               v  |            |
//!              Error <----------+
//! ```
//!
//! The caller sends the probes that [`Mtu::poll_probe`] asks for, and tells what becomes of them
//! and of the datagrams in use. There is no timer: a path is searched again with the traffic that
//! goes there, and an idle connection stays idle.

use core::time::Duration;

use crate::time::Instant;

/// The size of datagrams on one path, in bytes of UDP payload.
#[derive(Clone, Debug)]
pub(crate) struct Mtu {
    state: State,
    /// What datagrams may have now (`PLPMTU`).
    current: u16,
    /// What is looked for at the most (`MAX_PLPMTU`).
    max: u16,
    /// The size of the probe under way.
    probe: Option<u16>,
    /// Round trips in a row in which large datagrams were lost, and none arrived.
    bad_rounds: u8,
    /// Until then losses belong to the last of those.
    round_ends: Instant,
}

/// As in RFC 8899, section 5.2, without what QUIC has no need of: its handshake confirms the base.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Base,
    Searching {
        /// The largest size that may still work.
        ceiling: u16,
        /// Probes of the next size lost so far.
        lost: u8,
    },
    /// To be searched again some day, as paths change.
    Complete {
        raise_at: Instant,
    },
    /// A black hole was found. Searching at once would lead there again.
    Error {
        retry_at: Instant,
    },
}

impl Mtu {
    /// A path that starts with datagrams of `initial` bytes, and may be found to carry `max`.
    pub(crate) fn new(initial: u16, max: u16) -> Self {
        Self {
            state: State::Base,
            current: initial,
            max: max.max(initial),
            probe: None,
            bad_rounds: 0,
            round_ends: Instant::ZERO,
        }
    }

    /// Bytes of UDP payload that datagrams may have.
    pub(crate) const fn current(&self) -> u16 {
        self.current
    }

    /// The peer takes no more than this (`max_udp_payload_size`). True when that is less than
    /// [`Mtu::current`] was.
    pub(crate) fn limit(&mut self, max: u16) -> bool {
        let max = max.max(BASE);
        self.max = self.max.min(max);
        let shrinks = self.current > max;
        self.current = self.current.min(max);
        shrinks
    }

    /// The path is validated and the peer can acknowledge: the search may begin.
    pub(crate) fn start(&mut self) {
        if self.state == State::Base {
            self.search();
        }
    }

    /// The size of a probe to send now into a buffer of `room` bytes.
    pub(crate) fn poll_probe(&mut self, now: Instant, room: usize) -> Option<u16> {
        match self.state {
            State::Complete { raise_at: at } | State::Error { retry_at: at } if at <= now => {
                self.search();
            }
            _ => {}
        }
        let room = u16::try_from(room).unwrap_or(u16::MAX);
        loop {
            let State::Searching { ceiling, lost } = self.state else {
                return None;
            };
            if self.probe.is_some() {
                return None;
            }
            let size = self.next_size(ceiling);
            if let Some(size) = size.filter(|size| *size <= room) {
                return Some(size);
            }
            // Done; or what cannot be sent from here cannot be used either.
            self.state = match size {
                Some(_) if room > self.current => State::Searching {
                    ceiling: room,
                    lost,
                },
                _ => State::Complete {
                    raise_at: now + RAISE_INTERVAL,
                },
            };
        }
    }

    pub(crate) fn on_probe_sent(&mut self, size: u16) {
        self.probe = Some(size);
    }

    /// A probe arrived: the path carries that much. True when [`Mtu::current`] grew.
    pub(crate) fn on_probe_acked(&mut self, size: u16) -> bool {
        self.probe.take_if(|probe| *probe == size);
        let State::Searching { lost, .. } = &mut self.state else {
            // Late news of a path that swallows large datagrams by now.
            return false;
        };
        *lost = 0;
        self.bad_rounds = 0;
        let grows = (self.current + 1..=self.max).contains(&size);
        if grows {
            self.current = size;
        }
        grows
    }

    /// A probe was lost, for its size or by chance: it is repeated a few times.
    pub(crate) fn on_probe_lost(&mut self, size: u16) {
        if self.probe.take_if(|probe| *probe == size).is_none() {
            return;
        }
        if let State::Searching { ceiling, lost } = &mut self.state {
            *lost += 1;
            if *lost >= MAX_PROBES {
                *ceiling = size - 1;
                *lost = 0;
            }
        }
    }

    /// Datagrams in use arrived, the largest of them with this size.
    pub(crate) fn on_acked(&mut self, largest: u16) {
        if largest > BASE {
            self.bad_rounds = 0;
        }
    }

    /// Datagrams in use were lost, the smallest of them with this size, while none of those
    /// acknowledged with them was large. `round` is how long an answer normally takes. True when
    /// [`Mtu::current`] fell: the path carries small datagrams, but large ones no more (RFC 8899,
    /// section 4.3).
    pub(crate) fn on_lost(&mut self, now: Instant, smallest: u16, round: Duration) -> bool {
        if smallest <= BASE || self.current <= BASE || now < self.round_ends {
            return false;
        }
        self.round_ends = now + round;
        self.bad_rounds += 1;
        if self.bad_rounds < BLACK_HOLE_ROUNDS {
            return false;
        }
        self.bad_rounds = 0;
        self.current = BASE;
        self.probe = None;
        self.state = State::Error {
            retry_at: now + RETRY_INTERVAL,
        };
        true
    }

    fn search(&mut self) {
        self.state = State::Searching {
            ceiling: self.max,
            lost: 0,
        };
    }

    /// The largest first, as most paths carry it; then the middle of what is left. `None` when too
    /// little is left to be worth a probe.
    fn next_size(&self, ceiling: u16) -> Option<u16> {
        let left = ceiling.min(self.max).checked_sub(self.current)?;
        if ceiling >= self.max {
            return (left > 0).then_some(self.max);
        }
        (left >= WORTHWHILE).then_some(self.current + left.div_ceil(2))
    }
}

/// What every path must carry (`BASE_PLPMTU`; RFC 9000, section 14.1).
pub(crate) const BASE: u16 = 1200;

/// How often a size is tried.
const MAX_PROBES: u8 = 3;

/// Bytes that a search may leave unfound.
const WORTHWHILE: u16 = 16;

/// `PMTU_RAISE_TIMER`.
const RAISE_INTERVAL: Duration = Duration::from_secs(600);

/// How long a black hole is left alone.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// As many round trips may lose all large datagrams by chance, less one.
const BLACK_HOLE_ROUNDS: u8 = 3;

#[cfg(test)]
mod tests;
