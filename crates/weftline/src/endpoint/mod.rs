//! One UDP socket's worth of connections.

use alloc::{
    boxed::Box,
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    vec::Vec,
};
use core::{fmt, mem, net::SocketAddr};

mod accept;
mod answers;
mod incoming;
mod router;
mod sessions;
mod tokens;

use answers::Answers;
use incoming::Waiting;
pub use incoming::{Incoming, IncomingId};
use router::Router;
pub use sessions::{MemorySessions, SessionStore};
use tokens::{ServerTokens, TokenCache, TokenHome};

use crate::{
    Entropy, Event, Instant, RecvMeta, Transmit,
    config::{Admission, ClientConfig, ClientTokens, EndpointConfig, ServerConfig, ServerSecrets},
    connection::{ClientStart, Connection, StoredSession},
    crypto::{Provider, token::TokenClock},
    error::ConnectError,
    quic::{CID_LEN, Route, Stats},
    wire::{Cid, packet::Invariant},
};

/// A QUIC endpoint: all connections of one UDP socket, as a state machine.
///
/// The loop around it has four duties, in any order, as often as it likes:
/// - hand in each datagram ([`Endpoint::handle_datagram`]);
/// - hand in the time when [`Endpoint::poll_timeout`] has come ([`Endpoint::handle_timeout`]);
/// - take events until there are none ([`Endpoint::poll_event`]) and act on them through
///   [`Endpoint::connection`];
/// - take datagrams to send until there are none ([`Endpoint::poll_transmit`]), at least after each
///   of the others.
pub struct Endpoint {
    server: Option<Arc<ServerConfig>>,
    entropy: Box<dyn Entropy>,
    /// From the server's TLS, or else the first connection's.
    provider: Option<Arc<dyn Provider>>,
    secrets: ServerSecrets,
    has_unix_origin: bool,
    /// A server's.
    tokens: Option<ServerTokens>,
    /// A client's.
    token_cache: TokenCache,
    admission: Admission,
    waiting: Waiting,
    max_connections: usize,
    max_handshakes: usize,
    entries: Vec<Entry>,
    free: Vec<Slot>,
    router: Router,
    /// Connections that may have datagrams to send, and those that may have events.
    to_send: VecDeque<Slot>,
    to_report: VecDeque<Slot>,
    timers: BTreeSet<(Instant, Slot)>,
    answers: Answers,
    /// Of the servers that were connected to.
    sessions: Box<dyn SessionStore>,
    open: usize,
    /// Those that clients began.
    handshakes: usize,
    now: Instant,
}

/// A connection of an [`Endpoint`]. It never stands for another connection, even when its place is
/// used again.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    slot: Slot,
    generation: u32,
}

/// What became of a received datagram. For counters and tests; nothing needs to be done about it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// It went to this connection, which may still have ignored it.
    Routed(ConnId),
    /// It started this connection.
    Accepted(ConnId),
    /// It is of a client that waits for the application's answer.
    Incoming(IncomingId),
    /// It was answered without a connection: Version Negotiation, Retry, a refusal, a stateless
    /// reset.
    Answered,
    /// It was dropped.
    Dropped(DropReason),
}

/// Why a datagram was dropped.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// It is no QUIC packet.
    Malformed,
    /// It belongs to no connection and cannot start one.
    UnknownConnection,
    /// A first packet that breaks the rules for first packets: too small a datagram, too short a
    /// connection ID, or it did not open.
    InvalidInitial,
    /// It would have been answered, but too many answers wait or went out already.
    TooManyAnswers,
    /// It is of a client that waits to be let in, and there is no room for more of its datagrams.
    Waiting,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Slot(u32);

/// A place for a connection.
#[derive(Default)]
struct Entry {
    generation: u32,
    connection: Option<Box<Connection>>,
    timer: Option<Instant>,
    in_to_send: bool,
    in_to_report: bool,
    /// It counts as one of [`Endpoint::handshakes`].
    is_handshaking: bool,
    /// Where tokens go that a client's connection gets.
    token_home: Option<Box<TokenHome>>,
}

impl Endpoint {
    /// An endpoint without connections.
    pub fn new(config: EndpointConfig, mut entropy: Box<dyn Entropy>) -> Self {
        let EndpointConfig {
            server,
            secrets,
            unix_origin,
            admission,
            retry_lifetime,
            token_lifetime,
            limits,
        } = config;
        let mut draw = || {
            let mut key = [0; 32];
            entropy.private(&mut key);
            key
        };
        let (router_key, drawn_secret) = (draw(), draw());
        let secrets = secrets.unwrap_or_else(|| ServerSecrets::new(drawn_secret));
        let provider = server.as_ref().map(|server| server.crypto.provider());
        let clock = TokenClock::new(unix_origin.unwrap_or_default());
        let lifetimes = [retry_lifetime, token_lifetime];
        let max_used = limits.used_tokens;
        let tokens = provider
            .clone()
            .map(|provider| ServerTokens::new(provider, &secrets, clock, lifetimes, max_used));
        Self {
            provider,
            server,
            entropy,
            secrets,
            has_unix_origin: unix_origin.is_some(),
            tokens,
            token_cache: TokenCache::new(limits.stored_tokens),
            admission,
            waiting: Waiting::new(limits.incoming, limits.incoming_bytes),
            max_connections: limits.connections,
            max_handshakes: limits.handshakes,
            entries: Vec::new(),
            free: Vec::new(),
            router: Router::new(router_key),
            to_send: VecDeque::new(),
            to_report: VecDeque::new(),
            timers: BTreeSet::new(),
            answers: Answers::new(limits.pending_answers, limits.stateless_reset_interval),
            sessions: Box::new(MemorySessions::default()),
            open: 0,
            handshakes: 0,
            now: Instant::ZERO,
        }
    }

    /// Keeps the sessions of servers in `store` from now on. Without this call they are in a
    /// [`MemorySessions`] of the endpoint's own; to resume none, give one for none.
    pub fn set_session_store(&mut self, store: Box<dyn SessionStore>) {
        self.sessions = store;
    }

    /// Starts a connection to `to`; `name` is what its certificate must be for, and what SNI tells.
    /// It is usable at once: requests wait for the handshake by themselves.
    ///
    /// A session that is kept from an earlier connection with that name is resumed. Where the TLS of
    /// `config` and the server allow early data, [`Connection::early_data`] is `Pending` then.
    pub fn connect(
        &mut self,
        now: Instant,
        to: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> Result<ConnId, ConnectError> {
        self.advance(now);
        if self.open >= self.max_connections {
            return Err(ConnectError::TooMany(self.max_connections));
        }
        let provider = config.crypto.provider();
        let session = self.sessions.take(name, &|session| session.fits(&config));
        // Sessions and tokens are for the version that they came in (RFC 9369, section 5).
        let version = session.as_ref().map(StoredSession::version);
        let version = version.or(config.transport.versions.first().copied());
        let token = version.map(|version| self.take_token(&config, name, version));
        let key = &self.secrets.current;
        let entropy = self.entropy.as_mut();
        let start = ClientStart {
            config: &config,
            name,
            to,
            session,
            token: token.unwrap_or_default(),
        };
        let connection = Connection::client(self.now, start, key, entropy)?;
        self.provider.get_or_insert(provider);
        let home = match &config.tokens {
            ClientTokens::Never => None,
            ClientTokens::Endpoint => Some(None),
            ClientTokens::Store(store) => Some(Some(store.clone())),
        };
        let home = home.map(|store| {
            let server_name = name.into();
            Box::new(TokenHome { server_name, store })
        });
        let slot = self.insert(connection, Some(home));
        self.touch(slot);
        Ok(self.id(slot))
    }

    /// Takes a received datagram. It is decrypted in place.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        meta: RecvMeta,
        datagram: &mut [u8],
    ) -> Received {
        self.advance(now);
        let Some(invariant) = Invariant::parse(datagram, CID_LEN) else {
            return Received::Dropped(DropReason::Malformed);
        };
        let slot = Cid::new(invariant.destination()).and_then(|cid| self.router.by_cid(&cid));
        if let Some(slot) = slot {
            return self.deliver(slot, &meta, datagram);
        }
        if matches!(invariant, Invariant::Long { .. }) {
            return self.on_stranger(&meta, datagram);
        }
        let provider = self.provider.as_deref();
        match provider.and_then(|provider| self.router.by_token(provider, datagram)) {
            Some(slot) => self.deliver_reset(slot),
            None => self.answer_reset(&meta, datagram),
        }
    }

    /// Takes a batch of datagrams from one sender, as GRO receives them: each `stride` bytes long
    /// but the last, which may be shorter.
    pub fn handle_datagrams(
        &mut self,
        now: Instant,
        meta: RecvMeta,
        batch: &mut [u8],
        stride: usize,
    ) {
        for datagram in batch.chunks_mut(stride.max(1)) {
            self.handle_datagram(now, meta, datagram);
        }
    }

    /// Takes the time. Calling it early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.waiting.handle_timeout(self.now);
        while let Some(&(at, slot)) = self.timers.first() {
            if at > self.now {
                break;
            }
            self.timers.pop_first();
            let Some(entry) = self.entries.get_mut(slot.index()) else {
                continue;
            };
            entry.timer = None;
            if let Some(connection) = &mut entry.connection {
                connection.handle_timeout(self.now);
            }
            self.touch(slot);
        }
    }

    /// Writes the next datagram to send into `out`, or several of equal size for one receiver when
    /// `out` has room: see [`Transmit::segment`]. `None` when there is nothing to send.
    ///
    /// `out` must hold at least one datagram of the configured size.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        self.advance(now);
        while !self.answers.is_empty() {
            if let Some(transmit) = self.answers.pop(out) {
                return Some(transmit);
            }
        }
        while let Some(slot) = self.to_send.pop_front() {
            let Some(entry) = self.entries.get_mut(slot.index()) else {
                continue;
            };
            let transmit = entry
                .connection
                .as_deref_mut()
                .and_then(|connection| connection.poll_transmit(self.now, out));
            if transmit.is_some() {
                // Its turn comes again after the others'.
                self.to_send.push_back(slot);
                return transmit;
            }
            entry.in_to_send = false;
            self.refresh(slot);
        }
        None
    }

    /// The next event, and the connection it is about. `None` when there is none.
    pub fn poll_event(&mut self) -> Option<(ConnId, Event)> {
        while let Some(&slot) = self.to_report.front() {
            let event = self.connection_at(slot).and_then(Connection::poll_event);
            if let Some(event) = event {
                return Some((self.id(slot), event));
            }
            self.to_report.pop_front();
            let Some(entry) = self.entries.get_mut(slot.index()) else {
                continue;
            };
            entry.in_to_report = false;
            if entry
                .connection
                .as_deref()
                .is_some_and(Connection::is_drained)
            {
                self.remove(slot);
            }
        }
        None
    }

    /// When to call [`Endpoint::handle_timeout`] at the latest; `None` for never. When there is
    /// something to do at once, it is the time last handed in.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let is_idle =
            self.to_send.is_empty() && self.to_report.is_empty() && self.answers.is_empty();
        if !is_idle {
            return Some(self.now);
        }
        let first = self.timers.first().map(|(at, _)| *at);
        first.into_iter().chain(self.waiting.deadline()).min()
    }

    /// A connection, to act on. `None` once it is closed and its events are taken.
    pub fn connection(&mut self, id: ConnId) -> Option<&mut Connection> {
        let entry = self.entries.get(id.slot.index())?;
        if entry.generation != id.generation || entry.connection.is_none() {
            return None;
        }
        if !entry.in_to_send || !entry.in_to_report {
            self.touch(id.slot);
        }
        self.connection_at(id.slot)
    }

    /// The connections there are, closing ones included.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> {
        let slots = (0..).map(Slot).zip(&self.entries);
        slots
            .filter(|(_, entry)| entry.connection.is_some())
            .map(|(slot, entry)| ConnId {
                slot,
                generation: entry.generation,
            })
    }

    /// Figures of every connection.
    pub fn all_stats(&self) -> impl Iterator<Item = (ConnId, Stats)> {
        self.connections().filter_map(|id| {
            let connection = self.entries.get(id.slot.index())?.connection.as_deref()?;
            Some((id, connection.stats()))
        })
    }

    /// How many connections there are, closing ones included.
    pub fn len(&self) -> usize {
        self.open
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Closes every connection with this HTTP/3 error code. Accepting goes on.
    pub fn close_all(&mut self, code: u64, reason: &str) {
        let ids: Vec<ConnId> = self.connections().collect();
        for id in ids {
            if let Some(connection) = self.connection(id) {
                connection.close(code, reason);
            }
        }
    }

    /// The socket was exchanged for another, at another address: the connections of this side move
    /// there at once, and [`Event::PathChanged`] tells how it went. Clients of this endpoint lose
    /// it; only [`TransportConfig::preferred_ipv4`](crate::config::TransportConfig::preferred_ipv4)
    /// moves them.
    pub fn handle_rebind(&mut self, now: Instant) {
        self.advance(now);
        let ids: Vec<ConnId> = self.connections().collect();
        for id in ids {
            let now = self.now;
            if let Some(connection) = self.connection(id) {
                connection.on_rebind(now);
            }
        }
    }

    /// Takes no new connections from now on: their first packets are refused with
    /// CONNECTION_REFUSED.
    pub fn stop_accepting(&mut self) {
        self.max_handshakes = 0;
        self.waiting.clear();
    }

    fn deliver(&mut self, slot: Slot, meta: &RecvMeta, datagram: &mut [u8]) -> Received {
        let entry = self.entries.get_mut(slot.index());
        if let Some(connection) = entry.and_then(|entry| entry.connection.as_deref_mut()) {
            connection.handle_datagram(self.now, meta, datagram);
        }
        self.touch(slot);
        Received::Routed(self.id(slot))
    }

    fn deliver_reset(&mut self, slot: Slot) -> Received {
        let now = self.now;
        if let Some(connection) = self.connection_at(slot) {
            connection.handle_stateless_reset(now);
        }
        self.touch(slot);
        Received::Routed(self.id(slot))
    }

    /// Time never goes back.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Gives a connection a place. One of our own says where its tokens go.
    fn insert(
        &mut self,
        connection: Connection,
        of_client: Option<Option<Box<TokenHome>>>,
    ) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            Slot(self.entries.len() as u32 - 1)
        });
        if let Some(entry) = self.entries.get_mut(slot.index()) {
            entry.connection = Some(Box::new(connection));
            entry.is_handshaking = of_client.is_none();
            self.open += 1;
            self.handshakes += usize::from(entry.is_handshaking);
            entry.token_home = of_client.flatten();
        }
        self.refresh(slot);
        slot
    }

    fn remove(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get_mut(slot.index()) else {
            return;
        };
        let Some(mut connection) = entry.connection.take() else {
            return;
        };
        entry.token_home = None;
        if let Some(at) = entry.timer.take() {
            self.timers.remove(&(at, slot));
        }
        self.handshakes -= usize::from(mem::take(&mut entry.is_handshaking));
        self.open -= 1;
        entry.generation = entry.generation.wrapping_add(1);
        // A drained connection gives back all its routes.
        while let Some(route) = connection.next_route() {
            self.route(slot, &route);
        }
        self.free.push(slot);
    }

    /// Marks a connection: it may have events and datagrams now.
    fn touch(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get_mut(slot.index()) else {
            return;
        };
        if !mem::replace(&mut entry.in_to_send, true) {
            self.to_send.push_back(slot);
        }
        if !mem::replace(&mut entry.in_to_report, true) {
            self.to_report.push_back(slot);
        }
    }

    /// Takes over what changed in a connection: its routes, its deadline, its phase.
    fn refresh(&mut self, slot: Slot) {
        while let Some(route) = self.connection_at(slot).and_then(Connection::next_route) {
            self.route(slot, &route);
        }
        self.keep_tokens(slot);
        let Some(entry) = self.entries.get_mut(slot.index()) else {
            return;
        };
        let Some(connection) = entry.connection.as_deref_mut() else {
            return;
        };
        while let Some(session) = connection.take_session() {
            self.sessions.insert(session);
        }
        if entry.is_handshaking && !connection.is_handshaking() {
            entry.is_handshaking = false;
            self.handshakes -= 1;
        }
        let timer = connection.poll_timeout();
        if timer != entry.timer {
            if let Some(old) = mem::replace(&mut entry.timer, timer) {
                self.timers.remove(&(old, slot));
            }
            self.timers.extend(timer.map(|at| (at, slot)));
        }
        // What it still has to say comes first; then `poll_event` removes it.
        if connection.is_drained() && !mem::replace(&mut entry.in_to_report, true) {
            self.to_report.push_back(slot);
        }
    }

    fn route(&mut self, slot: Slot, route: &Route) {
        match (route, self.provider.as_deref()) {
            (Route::AddCid(cid), _) => self.router.add_cid(*cid, slot),
            (Route::RemoveCid(cid), _) => self.router.remove_cid(cid, slot),
            (Route::AddResetToken(token), Some(provider)) => {
                self.router.add_token(provider, token, slot);
            }
            (Route::RemoveResetToken(token), Some(provider)) => {
                self.router.remove_token(provider, token, slot);
            }
            // Every connection comes with a provider.
            (Route::AddResetToken(_) | Route::RemoveResetToken(_), None) => {}
        }
    }

    fn connection_at(&mut self, slot: Slot) -> Option<&mut Connection> {
        self.entries
            .get_mut(slot.index())?
            .connection
            .as_deref_mut()
    }

    fn id(&self, slot: Slot) -> ConnId {
        let generation = self
            .entries
            .get(slot.index())
            .map_or(0, |entry| entry.generation);
        ConnId { slot, generation }
    }
}

impl Slot {
    const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("connections", &self.open)
            .field("handshakes", &self.handshakes)
            .finish_non_exhaustive()
    }
}
