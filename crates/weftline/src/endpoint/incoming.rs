//! Clients that wait for the application to let them in.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
    vec::Vec,
};
use core::net::{IpAddr, SocketAddr};

use super::{ConnId, Endpoint, Received, accept::Arrived};
use crate::{
    DropReason, Instant, RecvMeta,
    config::Admission,
    crypto::{Hello, Version},
    error::TransportCode,
    wire::Cid,
};

/// A client that waits at the door of a server with [`Admission::Ask`](crate::config::Admission).
/// Answer with [`Endpoint::accept`], [`Endpoint::retry`], [`Endpoint::refuse`] or
/// [`Endpoint::ignore`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incoming {
    /// What to call it.
    pub id: IncomingId,
    /// Where it says to be.
    pub remote: SocketAddr,
    /// The local address it came to, when the socket tells.
    pub local: Option<IpAddr>,
    /// The version of QUIC it begins with.
    pub version: Version,
    /// The destination connection ID of its first packet.
    pub original_cid: Cid,
    /// It showed a token: it is where it says.
    pub is_validated: bool,
    /// It has not followed a Retry packet yet: it would follow one.
    pub may_retry: bool,
    /// The name it asks for (SNI), when its first packet holds it. Nothing vouches for it yet.
    pub server_name: Option<String>,
    /// The application protocols it offers, when its first packet holds them.
    pub alpn: Vec<Vec<u8>>,
}

/// A client that waits. It never stands for another.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncomingId(u64);

/// Those that wait, in the order they came.
pub(super) struct Waiting {
    all: BTreeMap<IncomingId, Client>,
    by_cid: BTreeMap<Cid, IncomingId>,
    untold: VecDeque<Incoming>,
    next: u64,
    /// Of all datagrams held.
    bytes: usize,
    max: usize,
    max_bytes: usize,
}

struct Client {
    arrived: Arrived,
    datagrams: Vec<(RecvMeta, Vec<u8>)>,
    deadline: Instant,
}

impl Waiting {
    pub(super) const fn new(max: usize, max_bytes: usize) -> Self {
        Self {
            all: BTreeMap::new(),
            by_cid: BTreeMap::new(),
            untold: VecDeque::new(),
            next: 0,
            bytes: 0,
            max,
            max_bytes,
        }
    }

    pub(super) fn is_full(&self, datagram: &[u8]) -> bool {
        self.all.len() >= self.max || !self.has_room(datagram)
    }

    fn has_room(&self, datagram: &[u8]) -> bool {
        self.bytes.saturating_add(datagram.len()) <= self.max_bytes
    }

    /// A client waits from now on, until `deadline` at the latest.
    pub(super) fn push(
        &mut self,
        arrived: Arrived,
        hello: Hello,
        datagram: &[u8],
        deadline: Instant,
    ) -> IncomingId {
        let id = IncomingId(self.next);
        self.next += 1;
        let Arrived {
            meta,
            first,
            destination,
        } = arrived;
        self.untold.push_back(Incoming {
            id,
            remote: meta.from,
            local: meta.to,
            version: first.version,
            original_cid: first.original,
            is_validated: first.is_validated,
            may_retry: first.retry.is_none(),
            server_name: hello.server_name,
            alpn: hello.alpn,
        });
        self.bytes += datagram.len();
        self.by_cid.insert(destination, id);
        let client = Client {
            arrived,
            datagrams: Vec::from([(meta, datagram.to_vec())]),
            deadline,
        };
        self.all.insert(id, client);
        id
    }

    /// Takes another datagram of a client that waits; `None` when it is of no such client.
    pub(super) fn hold(
        &mut self,
        meta: &RecvMeta,
        destination: &Cid,
        datagram: &[u8],
    ) -> Option<Received> {
        let id = *self.by_cid.get(destination)?;
        let has_room = self.has_room(datagram);
        let client = self.all.get_mut(&id)?;
        if client.arrived.meta.from != meta.from || !has_room {
            return Some(Received::Dropped(DropReason::Waiting));
        }
        self.bytes += datagram.len();
        client.datagrams.push((*meta, datagram.to_vec()));
        Some(Received::Incoming(id))
    }

    fn take(&mut self, id: IncomingId) -> Option<Client> {
        let client = self.all.remove(&id)?;
        self.by_cid.remove(&client.arrived.destination);
        self.untold.retain(|incoming| incoming.id != id);
        let held: usize = client.datagrams.iter().map(|(_, data)| data.len()).sum();
        self.bytes -= held;
        Some(client)
    }

    /// When the first of them has waited too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.all
            .first_key_value()
            .map(|(_, client)| client.deadline)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some((&id, client)) = self.all.first_key_value() {
            if client.deadline > now {
                break;
            }
            self.take(id);
        }
    }

    pub(super) fn clear(&mut self) {
        while let Some((&id, _)) = self.all.first_key_value() {
            self.take(id);
        }
    }
}

/// Clients that ask to be let in, with [`Admission::Ask`](crate::config::Admission).
impl Endpoint {
    /// The next client that waits for an answer. Each is told once. Who gets no answer within
    /// [`Limits::handshake_timeout`](crate::config::Limits::handshake_timeout) is ignored.
    pub fn poll_incoming(&mut self) -> Option<Incoming> {
        self.waiting.untold.pop_front()
    }

    /// Whether [`Self::poll_incoming`] has one to tell.
    pub fn has_incoming(&self) -> bool {
        !self.waiting.untold.is_empty()
    }

    /// Lets a client begin its handshake. `None` when it does not wait any more, or there is no room
    /// for another connection: then it is refused.
    pub fn accept(&mut self, id: IncomingId) -> Option<ConnId> {
        let Client {
            arrived, datagrams, ..
        } = self.waiting.take(id)?;
        if !self.has_room() {
            self.refuse_arrived(&arrived, TransportCode::ConnectionRefused);
            return None;
        }
        let mut datagrams = datagrams.into_iter();
        let (_, mut first) = datagrams.next()?;
        let Received::Accepted(conn) = self.start(&arrived, &mut first) else {
            return None;
        };
        for (meta, mut datagram) in datagrams {
            self.handle_datagram(self.now, meta, &mut datagram);
        }
        Some(conn)
    }

    /// Sends a client a Retry packet: it comes again, and proves by that that it is where it says.
    /// False, and it goes on waiting, when it has followed one already.
    pub fn retry(&mut self, id: IncomingId) -> bool {
        let client = self.waiting.all.get(&id);
        if client.is_none_or(|client| client.arrived.first.retry.is_some()) {
            return false;
        }
        if let Some(client) = self.waiting.take(id) {
            self.send_retry(&client.arrived);
        }
        true
    }

    /// Refuses a client with CONNECTION_REFUSED.
    pub fn refuse(&mut self, id: IncomingId) {
        if let Some(client) = self.waiting.take(id) {
            self.refuse_arrived(&client.arrived, TransportCode::ConnectionRefused);
        }
    }

    /// Leaves a client without an answer.
    pub fn ignore(&mut self, id: IncomingId) {
        self.waiting.take(id);
    }

    /// Changes whom to let begin a handshake. Who waits goes on waiting.
    pub fn set_admission(&mut self, admission: Admission) {
        self.admission = admission;
    }
}
