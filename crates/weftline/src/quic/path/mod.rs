//! Network paths: where packets go, who proved to be there, and how much may be sent to an
//! address that has not (RFC 9000, sections 8 and 9).
//!
//! At most two paths are kept: the one in use, and the last validated one while the one in use is
//! on trial. Challenges from other addresses are answered without keeping a path.

use alloc::collections::VecDeque;
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::time::Instant;

mod mtu;
#[cfg(test)]
mod tests;

pub(crate) use mtu::{BASE, Mtu};

/// Paths of a connection.
#[derive(Debug)]
pub(crate) struct Paths {
    active: Path,
    /// The last validated path, to return to when the active one fails.
    fallback: Option<Path>,
    /// What a new path starts with.
    fresh_mtu: Mtu,
    /// PATH_RESPONSE frames to send, one for each address.
    responses: VecDeque<Response>,
    max_responses: usize,
}

/// The two addresses of a path.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) remote: SocketAddr,
    /// `None` when the socket does not tell, or does not care.
    pub(crate) local: Option<IpAddr>,
}

/// A PATH_CHALLENGE or PATH_RESPONSE that must go to an address other than the active one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) route: Route,
    pub(crate) frame: ProbeFrame,
    /// Bytes the datagram may have.
    pub(crate) budget: usize,
}

/// What a [`Probe`] carries.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProbeFrame {
    Challenge([u8; 8]),
    Response([u8; 8]),
}

/// How a new address of the peer differs from the old.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The port only: in all likelihood the same path behind another NAT binding.
    Port,
    Address,
    /// Back to the validated path.
    Fallback,
}

/// What came of a timeout.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Nothing, or a challenge is to be sent again.
    None,
    /// The active path failed; the last validated one is active again.
    Reverted,
    /// The active path failed, and there is no other.
    NoPath,
}

#[derive(Debug)]
struct Path {
    route: Route,
    validated: bool,
    /// UDP payload bytes, counted until the path is validated.
    received: u64,
    sent: u64,
    challenge: Option<Challenge>,
    mtu: Mtu,
}

#[derive(Debug)]
struct Challenge {
    data: [u8; 8],
    unsent: bool,
    /// It went in a full-sized datagram, so that its answer proves that the path carries those.
    padded: bool,
    resend_at: Option<Instant>,
    give_up_at: Instant,
    tries_left: u8,
}

#[derive(Debug)]
struct Response {
    route: Route,
    data: [u8; 8],
    /// Three times what the address sent us, when it is not a known path.
    budget: usize,
}

impl Paths {
    /// With the path of the handshake. A client's is validated from the start: it chose the
    /// address.
    pub(crate) fn new(route: Route, validated: bool, mtu: Mtu, max_responses: usize) -> Self {
        Self {
            active: Path::new(route, validated, mtu.clone()),
            fallback: None,
            fresh_mtu: mtu,
            responses: VecDeque::new(),
            max_responses,
        }
    }

    pub(crate) const fn route(&self) -> Route {
        self.active.route
    }

    pub(crate) const fn is_validated(&self) -> bool {
        self.active.validated
    }

    /// Bytes that may be sent on the active path (RFC 9000, section 8.1).
    pub(crate) fn budget(&self) -> usize {
        self.active.budget()
    }

    /// Bytes of UDP payload that datagrams on the active path may have.
    pub(crate) const fn datagram_size(&self) -> u16 {
        self.active.mtu.current()
    }

    /// The size of datagrams on the active path.
    pub(crate) const fn mtu(&mut self) -> &mut Mtu {
        &mut self.active.mtu
    }

    /// The peer takes no larger datagrams, on whatever path.
    pub(crate) fn limit_mtu(&mut self, max: u16) -> bool {
        self.fresh_mtu.limit(max);
        self.active.mtu.limit(max)
    }

    /// The size of a probe that tells whether the active path carries larger datagrams than those
    /// in use.
    pub(crate) fn poll_mtu_probe(&mut self, now: Instant, room: usize) -> Option<u16> {
        if !self.active.validated {
            return None;
        }
        self.active.mtu.start();
        self.active.mtu.poll_probe(now, room)
    }

    /// Whether `remote` is the address in use.
    pub(crate) fn is_active(&self, remote: SocketAddr) -> bool {
        self.active.route.remote == remote
    }

    /// The peer proved to be at the active address by other means: a Handshake packet, a token.
    pub(crate) const fn set_validated(&mut self) {
        self.active.validated = true;
    }

    /// A datagram came. It counts once, whatever is in it.
    pub(crate) fn on_datagram(&mut self, route: Route, len: usize) {
        if let Some(path) = self.find(route.remote) {
            path.received = path.received.saturating_add(len as u64);
            if route.local.is_some() {
                path.route.local = route.local;
            }
        }
    }

    /// A datagram was sent on the active path.
    pub(crate) const fn on_sent(&mut self, len: usize) {
        self.active.sent = self.active.sent.saturating_add(len as u64);
    }

    /// The peer uses a new address: it sent the latest packet from there, and not just to probe.
    /// The new path is on trial for `patience`, and so is the old, lest somebody just forwarded
    /// that packet (RFC 9000, section 9.3.3).
    pub(crate) fn migrate(
        &mut self,
        now: Instant,
        route: Route,
        datagram_len: usize,
        challenges: [[u8; 8]; 2],
        patience: Duration,
    ) -> Change {
        let [for_new, for_old] = challenges;
        if let Some(fallback) = self.fallback.take_if(|p| p.route.remote == route.remote) {
            self.active = fallback;
            return Change::Fallback;
        }
        let change = if route.remote.ip() == self.active.route.remote.ip() {
            Change::Port
        } else {
            Change::Address
        };
        let give_up_at = now + patience;
        let mtu = match change {
            Change::Port => &self.active.mtu,
            Change::Address | Change::Fallback => &self.fresh_mtu,
        };
        let mut new = Path::new(route, false, mtu.clone());
        new.received = datagram_len as u64;
        new.challenge = Some(Challenge::new(for_new, give_up_at));
        let mut old = core::mem::replace(&mut self.active, new);
        if old.validated {
            old.challenge = Some(Challenge::new(for_old, give_up_at));
            self.fallback = Some(old);
        }
        change
    }

    /// A PATH_CHALLENGE came in a datagram of this length. An address has one answer pending at
    /// most, the newest; of all addresses the oldest gives way.
    pub(crate) fn on_challenge(&mut self, route: Route, data: [u8; 8], datagram_len: usize) {
        self.responses.retain(|r| r.route.remote != route.remote);
        if self.responses.len() >= self.max_responses {
            self.responses.pop_front();
        }
        self.responses.push_back(Response {
            route,
            data,
            budget: datagram_len.saturating_mul(AMPLIFICATION as usize),
        });
    }

    /// A PATH_RESPONSE came, on whatever path. True when it validates the active path. One that
    /// answers nothing is ignored: it may be late.
    pub(crate) fn on_response(&mut self, data: [u8; 8]) -> bool {
        if let Some(path) = &mut self.fallback {
            path.challenge.take_if(|c| c.data == data);
        }
        let answered = self
            .active
            .challenge
            .as_ref()
            .is_some_and(|c| c.data == data);
        if !answered {
            return false;
        }
        self.active.validated = true;
        match &mut self.active.challenge {
            // The path's MTU has yet to be proved (RFC 9000, section 8.2.1).
            Some(challenge) if !challenge.padded => challenge.unsent = true,
            _ => {
                self.active.challenge = None;
                self.fallback = None;
            }
        }
        true
    }

    /// The challenge to put into the next packet on the active path.
    pub(crate) fn active_challenge(&self) -> Option<[u8; 8]> {
        let challenge = self.active.challenge.as_ref()?;
        challenge.unsent.then_some(challenge.data)
    }

    /// The active path's challenge was sent.
    pub(crate) fn on_active_challenge_sent(&mut self, now: Instant, padded: bool, pto: Duration) {
        if let Some(challenge) = &mut self.active.challenge {
            challenge.on_sent(now, padded, pto);
        }
    }

    /// Whether an answer waits for the next packet on the active path.
    pub(crate) fn has_active_response(&self) -> bool {
        self.active_response().is_some()
    }

    /// Takes the answer to put into the next packet on the active path.
    pub(crate) fn take_active_response(&mut self) -> Option<[u8; 8]> {
        let at = self.active_response()?;
        self.responses.remove(at).map(|response| response.data)
    }

    /// Takes what must be sent to another address.
    pub(crate) fn take_probe(&mut self, now: Instant, pto: Duration) -> Option<Probe> {
        let active = self.active.route.remote;
        let at = self.responses.iter().position(|r| r.route.remote != active);
        if let Some(response) = at.and_then(|at| self.responses.remove(at)) {
            let known = self.find(response.route.remote).map(|path| path.budget());
            return Some(Probe {
                route: response.route,
                frame: ProbeFrame::Response(response.data),
                budget: known.unwrap_or(response.budget),
            });
        }
        let path = self.fallback.as_mut()?;
        let challenge = path.challenge.as_mut().filter(|c| c.unsent)?;
        challenge.on_sent(now, true, pto);
        Some(Probe {
            route: path.route,
            frame: ProbeFrame::Challenge(challenge.data),
            budget: path.budget(),
        })
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [Some(&self.active), self.fallback.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|path| path.challenge.as_ref())
            .map(Challenge::deadline)
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Expiry {
        if let Some(path) = &mut self.fallback {
            path.challenge.take_if(|c| !c.handle_timeout(now));
        }
        let failed = match &mut self.active.challenge {
            Some(challenge) => !challenge.handle_timeout(now),
            None => return Expiry::None,
        };
        if !failed {
            return Expiry::None;
        }
        if self.active.validated {
            // Only the MTU was not proved.
            self.active.challenge = None;
            self.fallback = None;
            return Expiry::None;
        }
        match self.fallback.take() {
            Some(path) => {
                self.active = path;
                Expiry::Reverted
            }
            None => {
                self.active.challenge = None;
                Expiry::NoPath
            }
        }
    }

    fn active_response(&self) -> Option<usize> {
        let active = self.active.route.remote;
        self.responses.iter().position(|r| r.route.remote == active)
    }

    fn find(&mut self, remote: SocketAddr) -> Option<&mut Path> {
        [Some(&mut self.active), self.fallback.as_mut()]
            .into_iter()
            .flatten()
            .find(|path| path.route.remote == remote)
    }
}

impl Path {
    const fn new(route: Route, validated: bool, mtu: Mtu) -> Self {
        Self {
            route,
            validated,
            received: 0,
            sent: 0,
            challenge: None,
            mtu,
        }
    }

    fn budget(&self) -> usize {
        if self.validated {
            return usize::MAX;
        }
        let left = self
            .received
            .saturating_mul(AMPLIFICATION)
            .saturating_sub(self.sent);
        usize::try_from(left).unwrap_or(usize::MAX)
    }
}

impl Challenge {
    const fn new(data: [u8; 8], give_up_at: Instant) -> Self {
        Self {
            data,
            unsent: true,
            padded: false,
            resend_at: None,
            give_up_at,
            tries_left: CHALLENGE_TRIES,
        }
    }

    fn on_sent(&mut self, now: Instant, padded: bool, pto: Duration) {
        self.unsent = false;
        self.padded = padded;
        self.tries_left = self.tries_left.saturating_sub(1);
        self.resend_at = (self.tries_left > 0).then(|| now + pto);
    }

    fn deadline(&self) -> Instant {
        self.resend_at
            .map_or(self.give_up_at, |at| at.min(self.give_up_at))
    }

    /// False when the time is up.
    fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.resend_at.take_if(|at| *at <= now).is_some() {
            self.unsent = true;
        }
        now < self.give_up_at
    }
}

/// How many bytes may go to an address for each that came from it (RFC 9000, section 8.1).
const AMPLIFICATION: u64 = 3;

/// How often a challenge is sent.
const CHALLENGE_TRIES: u8 = 3;
