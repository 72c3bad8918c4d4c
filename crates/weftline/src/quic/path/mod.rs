//! Network paths: where packets go, who proved to be there, and how much may be sent to an
//! address that has not (RFC 9000, sections 8 and 9).
//!
//! At most two paths are kept: the one in use, and one other (see [`Role`]). Challenges from yet
//! other addresses are answered without keeping a path.

use alloc::collections::VecDeque;
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::recovery::PathId;
use crate::{time::Instant, wire::Side};

mod challenge;
mod mtu;
mod prefer;
#[cfg(test)]
mod tests;

use challenge::Challenge;
pub(crate) use mtu::{BASE, Mtu};
pub(crate) use prefer::may_prefer;

/// Paths of a connection.
#[derive(Debug)]
pub(crate) struct Paths {
    side: Side,
    active: Path,
    other: Option<Other>,
    last_id: PathId,
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

/// Which path a route is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Active,
    Other,
    Elsewhere,
}

/// What the path beside the active one is kept for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The last validated one, to return to when the active one fails.
    Fallback,
    /// The peer probes it, and may move there.
    Probed,
    /// This side probes it, to move there.
    Trial,
}

/// A PATH_CHALLENGE or PATH_RESPONSE that must go to an address other than the active one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) route: Route,
    pub(crate) place: Place,
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
    /// The peer's port only: in all likelihood the same path behind another NAT binding. It keeps
    /// its ID, and what was learned of it.
    Port,
    Address,
    /// The peer has probed it before.
    Probed,
    /// Back to the validated path.
    Fallback,
}

/// What came of a timeout.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Nothing, or a challenge is to be sent again, or the path beside the active one is given up.
    None,
    /// This path that we wanted to move to does not work.
    TrialFailed(Route),
    /// The active path failed; the last validated one is active again.
    Reverted,
    /// The active path failed, and there is no other.
    NoPath,
}

#[derive(Debug)]
struct Other {
    role: Role,
    path: Path,
}

#[derive(Debug)]
struct Path {
    id: PathId,
    route: Route,
    validated: bool,
    /// UDP payload bytes, counted until the path is validated.
    received: u64,
    sent: u64,
    challenge: Option<Challenge>,
    mtu: Mtu,
}

#[derive(Debug)]
struct Response {
    route: Route,
    data: [u8; 8],
    /// Three times what the address sent us, when it is not a known path.
    budget: usize,
}

/// What is known.
impl Paths {
    /// With the path of the handshake. A client's is validated from the start: it chose the
    /// address.
    pub(crate) fn new(side: Side, route: Route, mtu: Mtu, max_responses: usize) -> Self {
        let id = PathId::default();
        let mut active = Path::new(id, route, mtu.clone());
        active.validated = side == Side::Client;
        Self {
            side,
            active,
            other: None,
            last_id: id,
            fresh_mtu: mtu,
            responses: VecDeque::new(),
            max_responses,
        }
    }

    pub(crate) const fn id(&self) -> PathId {
        self.active.id
    }

    /// The ID of the path beside the active one; the same after a change of port.
    pub(crate) fn other_id(&self) -> Option<PathId> {
        self.other.as_ref().map(|other| other.path.id)
    }

    pub(crate) fn role(&self) -> Option<Role> {
        self.other.as_ref().map(|other| other.role)
    }

    /// A name that no path has.
    pub(crate) fn unused_id(&self) -> PathId {
        let mut id = PathId(self.last_id.0.wrapping_add(1));
        while id == self.active.id || Some(id) == self.other_id() {
            id.0 = id.0.wrapping_add(1);
        }
        id
    }

    pub(crate) const fn route(&self) -> Route {
        self.active.route
    }

    pub(crate) const fn is_validated(&self) -> bool {
        self.active.validated
    }

    /// Whether no more may be sent on the active path than three times what came from there.
    pub(crate) fn is_limited(&self) -> bool {
        self.side == Side::Server && !self.active.validated
    }

    /// Bytes that may be sent on the active path (RFC 9000, section 8.1).
    pub(crate) fn budget(&self) -> usize {
        self.active.budget(self.side)
    }

    /// Bytes of UDP payload that datagrams on the active path may have.
    pub(crate) const fn datagram_size(&self) -> u16 {
        self.active.mtu.current()
    }

    /// The path that a datagram with these addresses came over.
    pub(crate) fn place(&self, route: &Route) -> Place {
        let other = self.other.as_ref().map(|other| other.path.route);
        if other == Some(*route) {
            Place::Other
        } else if self.active.route.matches(route) {
            Place::Active
        } else if other.is_some_and(|other| other.matches(route)) {
            Place::Other
        } else {
            Place::Elsewhere
        }
    }

    /// Whether a path leads to `remote`.
    pub(crate) fn leads_to(&self, remote: SocketAddr) -> bool {
        let other = self.other.as_ref().map(|other| other.path.route.remote);
        self.active.route.remote == remote || other == Some(remote)
    }
}

/// The size of datagrams on the active path.
impl Paths {
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
}

/// Moving.
impl Paths {
    /// The peer proved to be at the active address by other means: a Handshake packet, a token.
    pub(crate) const fn set_validated(&mut self) {
        self.active.validated = true;
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
        let give_up_at = now + patience;
        let known = self
            .other
            .take_if(|other| other.path.route.matches(&route) || other.role != Role::Fallback)
            .filter(|other| other.path.route.matches(&route));
        let (new, change) = match known {
            Some(other) if other.role == Role::Fallback => {
                self.active = other.path;
                return Change::Fallback;
            }
            Some(other) => (other.path, Change::Probed),
            None => {
                let change = match route.is_other_port_of(&self.active.route) {
                    true => Change::Port,
                    false => Change::Address,
                };
                let mut new = self.fresh_path(route, change);
                new.received = datagram_len as u64;
                new.challenge = Some(Challenge::new(for_new, give_up_at));
                (new, change)
            }
        };
        let is_proved = new.validated;
        let mut old = core::mem::replace(&mut self.active, new);
        if old.validated && !is_proved {
            old.challenge = Some(Challenge::new(for_old, give_up_at));
            self.other = Some(Other {
                role: Role::Fallback,
                path: old,
            });
        }
        change
    }

    /// The peer probes a path from an address where it may move. It is validated by the way, so
    /// that nothing holds up what is sent there then. False when another path is in the way.
    pub(crate) fn on_probed(
        &mut self,
        now: Instant,
        route: Route,
        datagram_len: usize,
        challenge: [u8; 8],
        patience: Duration,
    ) -> bool {
        if self.role().is_some_and(|role| role != Role::Probed) {
            return false;
        }
        let mut path = self.fresh_path(route, Change::Address);
        path.received = datagram_len as u64;
        path.challenge = Some(Challenge::new(challenge, now + patience));
        self.other = Some(Other {
            role: Role::Probed,
            path,
        });
        true
    }

    /// Probes a path to move there. False when another path is in the way.
    pub(crate) fn try_route(
        &mut self,
        now: Instant,
        route: Route,
        challenge: [u8; 8],
        patience: Duration,
    ) -> bool {
        if self.other.is_some() {
            return false;
        }
        let mut path = self.fresh_path(route, Change::Address);
        path.challenge = Some(Challenge::new(challenge, now + patience));
        self.other = Some(Other {
            role: Role::Trial,
            path,
        });
        true
    }

    /// Gives up the path beside the active one.
    pub(crate) fn drop_other(&mut self) -> Option<Route> {
        self.other.take().map(|other| other.path.route)
    }

    /// The socket was exchanged for another: the path is a new one, and the old is gone.
    pub(crate) fn replace(&mut self, now: Instant, challenge: [u8; 8], patience: Duration) {
        let route = Route {
            local: None,
            ..self.active.route
        };
        let mut path = self.fresh_path(route, Change::Address);
        path.challenge = Some(Challenge::new(challenge, now + patience));
        self.active = path;
        self.other = None;
    }

    fn fresh_path(&mut self, route: Route, change: Change) -> Path {
        if change == Change::Port {
            return Path::new(self.active.id, route, self.active.mtu.clone());
        }
        self.last_id = self.unused_id();
        Path::new(self.last_id, route, self.fresh_mtu.clone())
    }
}

/// Datagrams and their frames.
impl Paths {
    /// A datagram came. It counts once, whatever is in it.
    pub(crate) fn on_datagram(&mut self, route: &Route, len: usize) {
        // A client's system chooses the local address, until this side does.
        let local = route.local.filter(|_| self.side == Side::Server);
        if let Some(path) = self.at(self.place(route)) {
            path.received = path.received.saturating_add(len as u64);
            path.route.local = path.route.local.or(local);
        }
    }

    /// A datagram was sent on the active path.
    pub(crate) const fn on_sent(&mut self, len: usize) {
        self.active.sent = self.active.sent.saturating_add(len as u64);
    }

    /// The datagram of a [`Probe`] was sent.
    pub(crate) fn on_probe_sent(&mut self, place: Place, len: usize) {
        if let Some(path) = self.at(place) {
            path.sent = path.sent.saturating_add(len as u64);
        }
    }

    /// A PATH_CHALLENGE came in a datagram of this length. An address has one answer pending at
    /// most, the newest; of all addresses the oldest gives way.
    pub(crate) fn on_challenge(&mut self, route: Route, data: [u8; 8], datagram_len: usize) {
        self.responses.retain(|r| r.route != route);
        if self.responses.len() >= self.max_responses {
            self.responses.pop_front();
        }
        self.responses.push_back(Response {
            route,
            data,
            budget: datagram_len.saturating_mul(AMPLIFICATION as usize),
        });
    }

    /// A PATH_RESPONSE came, on whatever path. A path that we tried becomes the active one. One
    /// that answers nothing is ignored: it may be late.
    pub(crate) fn on_response(&mut self, data: [u8; 8]) {
        if self.active.is_answered_by(data) {
            self.active.validated = true;
            match &mut self.active.challenge {
                // The path's MTU has yet to be proved (RFC 9000, section 8.2.1).
                Some(challenge) if !challenge.padded() => challenge.repeat(),
                _ => {
                    self.active.challenge = None;
                    self.other.take_if(|other| other.role == Role::Fallback);
                }
            }
            return;
        }
        let Some(other) = &mut self.other else { return };
        if other.path.is_answered_by(data) {
            other.path.validated = true;
            other.path.challenge = None;
            if let Some(other) = self.other.take_if(|other| other.role == Role::Trial) {
                self.active = other.path;
            }
        }
    }

    /// The challenge to put into the next packet on the active path.
    pub(crate) fn active_challenge(&self) -> Option<[u8; 8]> {
        self.active.challenge.as_ref()?.unsent()
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
    #[inline]
    pub(crate) fn take_probe(&mut self, now: Instant, pto: Duration) -> Option<Probe> {
        if self.responses.is_empty() && self.other.is_none() {
            return None;
        }
        self.choose_probe(now, pto)
    }

    fn choose_probe(&mut self, now: Instant, pto: Duration) -> Option<Probe> {
        let mut responses = self.responses.iter();
        let at = responses.position(|r| self.place(&r.route) != Place::Active);
        if let Some(response) = at.and_then(|at| self.responses.remove(at)) {
            let place = self.place(&response.route);
            let side = self.side;
            let known = self.at(place).map(|path| path.budget(side));
            return Some(Probe {
                route: response.route,
                place,
                frame: ProbeFrame::Response(response.data),
                budget: known.unwrap_or(response.budget),
            });
        }
        let Other { path, .. } = self.other.as_mut()?;
        let challenge = path.challenge.as_mut()?;
        let data = challenge.unsent()?;
        challenge.on_sent(now, true, pto);
        Some(Probe {
            route: path.route,
            place: Place::Other,
            frame: ProbeFrame::Challenge(data),
            budget: path.budget(self.side),
        })
    }

    fn active_response(&self) -> Option<usize> {
        let mut responses = self.responses.iter();
        responses.position(|r| self.place(&r.route) == Place::Active)
    }

    fn at(&mut self, place: Place) -> Option<&mut Path> {
        match place {
            Place::Active => Some(&mut self.active),
            Place::Other => self.other.as_mut().map(|other| &mut other.path),
            Place::Elsewhere => None,
        }
    }
}

/// Time.
impl Paths {
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [Some(&self.active), self.other.as_ref().map(|o| &o.path)]
            .into_iter()
            .flatten()
            .filter_map(|path| path.challenge.as_ref())
            .map(Challenge::deadline)
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Expiry {
        if let Some(other) = &mut self.other
            && other.path.has_failed(now)
        {
            other.path.challenge = None;
            let gone = self.other.take_if(|other| other.role != Role::Fallback);
            if let Some(other) = gone.filter(|other| other.role == Role::Trial) {
                return Expiry::TrialFailed(other.path.route);
            }
        }
        if !self.active.has_failed(now) {
            return Expiry::None;
        }
        self.active.challenge = None;
        let fallback = self.other.take_if(|other| other.role == Role::Fallback);
        if self.active.validated {
            // Only the MTU was not proved.
            return Expiry::None;
        }
        match fallback {
            Some(other) => {
                self.active = other.path;
                Expiry::Reverted
            }
            None => Expiry::NoPath,
        }
    }
}

impl Route {
    /// Whether two routes may be the same, as far as their local addresses are known.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        let known = self.local.zip(other.local);
        self.remote == other.remote && known.is_none_or(|(a, b)| a == b)
    }

    fn is_other_port_of(&self, other: &Self) -> bool {
        let remote = SocketAddr::new(self.remote.ip(), other.remote.port());
        Self { remote, ..*self }.matches(other)
    }
}

impl Path {
    fn new(id: PathId, route: Route, mtu: Mtu) -> Self {
        Self {
            id,
            route,
            validated: false,
            received: 0,
            sent: 0,
            challenge: None,
            mtu,
        }
    }

    /// Whoever chose the address itself is not limited.
    fn budget(&self, side: Side) -> usize {
        if self.validated || side == Side::Client {
            return usize::MAX;
        }
        let left = self
            .received
            .saturating_mul(AMPLIFICATION)
            .saturating_sub(self.sent);
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    fn is_answered_by(&self, data: [u8; 8]) -> bool {
        let challenge = self.challenge.as_ref();
        challenge.is_some_and(|challenge| challenge.data() == data)
    }

    /// Whether its challenge was not answered in time.
    fn has_failed(&mut self, now: Instant) -> bool {
        let challenge = self.challenge.as_mut();
        challenge.is_some_and(|challenge| !challenge.handle_timeout(now))
    }
}

/// How many bytes may go to an address for each that came from it (RFC 9000, section 8.1).
const AMPLIFICATION: u64 = 3;
