//! A connection: QUIC, HTTP/3 and WebTransport in one, and what an application does with it.
//! Or QUIC alone: `raw`.

mod blocked;
pub mod raw;
mod streams;

use alloc::{
    collections::VecDeque,
    string::{String, ToString},
    vec::Vec,
};
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};

mod requests;
mod session;
mod sessions;

pub(crate) use session::ClientStart;
pub use session::StoredSession;

use crate::{
    config::{HTTP3, Limits, ServerConfig, TransportConfig},
    crypto::{CryptoError, TlsError, Version, token::TokenIssuer},
    entropy::Entropy,
    error::{ConnectError, MigrateError},
    event::{ErrorSpace, Event},
    h3,
    quic::{self, EarlyData, FirstInitial, Route, Stats},
    stats::PathStats,
    time::Instant,
    udp::{RecvMeta, Transmit},
    wire::{Side, StreamId},
    wt::{self, Io},
};

/// A connection of an endpoint.
///
/// Commands never wait and never fail for a peer's fault: what cannot be done now says so
/// (`Blocked`, `Limit`, `Full`), and an [`Event`] tells when it can. What they queue goes out with
/// the endpoint's next datagrams.
///
/// Streams are named by their [`StreamId`], sessions by their [`SessionId`](wt::SessionId). The same
/// methods serve the streams of sessions and the bodies of plain HTTP/3 messages:
/// [`read`](Self::read), [`write`](Self::write), [`finish`](Self::finish) and so on. A connection
/// that speaks another protocol than HTTP/3 is used through [`raw`](Self::raw).
pub struct Connection {
    quic: quic::Connection,
    /// HTTP/3 and WebTransport. Both rest on a connection that speaks another protocol.
    h3: h3::Layer,
    wt: wt::Layer,
    protocol: Protocol,
    events: VecDeque<Event>,
    /// Client: the name that the server was connected to with.
    name: Option<String>,
}

/// What is spoken above QUIC.
#[derive(Debug)]
enum Protocol {
    Http3,
    Raw(raw::State),
    /// Server: the client has not said yet.
    Open,
}

/// The connection itself.
impl Connection {
    /// Closes the connection with an HTTP/3 error code; 0x100 (H3_NO_ERROR) says that nothing is
    /// wrong. Everything on it ends at once; to let sessions keep their reasons, close them first
    /// and wait for [`Event::SessionClosed`].
    pub fn close(&mut self, code: u64, reason: &str) {
        self.quic.close(ErrorSpace::Application, code, reason);
        self.settle();
    }

    /// Asks the peer for no new requests and sessions (GOAWAY), and takes none that come. What
    /// there is goes on.
    pub fn go_away(&mut self) {
        self.h3.go_away(&mut self.quic);
        self.wt.go_away();
    }

    /// Client: tries the path from another local address (`None`: one that the socket chooses),
    /// and moves there if the server answers. [`Event::PathChanged`] tells how it went. The
    /// server sees another connection ID there, so that who watches both paths does not know the
    /// connection again.
    ///
    /// The socket must be able to send from that address: one that is bound to no address can,
    /// where the system supports it.
    pub fn migrate(&mut self, local: Option<IpAddr>) -> Result<(), MigrateError> {
        self.quic.migrate(local)
    }

    /// Goes on with other connection IDs, both ways, so that who watches the path sees another
    /// connection. False when that cannot be now: the peer gave no other, or has not yet answered
    /// the last time.
    pub fn rotate_connection_ids(&mut self) -> bool {
        self.quic.rotate_cids()
    }

    /// Which end this is.
    pub fn side(&self) -> Side {
        self.quic.side()
    }

    /// The version of QUIC in use. A client's may change before the server has answered.
    pub fn version(&self) -> Version {
        self.quic.version()
    }

    /// Whether the handshake is complete, and the connection not closed.
    pub fn is_established(&self) -> bool {
        self.quic.is_established()
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.quic.is_closed()
    }

    /// Where the peer is.
    pub fn remote_address(&self) -> SocketAddr {
        self.quic.remote_address()
    }

    /// The name the client asked for (SNI); servers only.
    pub fn server_name(&self) -> Option<&str> {
        self.quic.server_name()
    }

    /// The application protocol agreed on (ALPN), once it is.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.quic.alpn()
    }

    /// The peer's certificate chain in DER, its own first; empty when it showed none.
    pub fn peer_certificates(&self) -> Vec<Bytes> {
        self.quic.peer_certificates()
    }

    /// Fills `out` with keying material of the connection (RFC 8446, section 7.5).
    pub fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), CryptoError> {
        self.quic.export_keying_material(out, label, context)
    }

    /// Figures of the path in use.
    pub fn path_stats(&self) -> PathStats {
        self.quic.path_stats()
    }

    /// Figures of the connection.
    pub fn stats(&self) -> Stats {
        let quic = self.quic.stats();
        let above = self.h3.accounted_bytes()
            + self.wt.accounted_bytes()
            + self.events.capacity() * size_of::<Event>();
        Stats {
            memory: quic.memory + above,
            ..quic
        }
    }
}

/// What the endpoint does with it.
impl Connection {
    pub(crate) fn client(
        now: Instant,
        start: ClientStart<'_>,
        reset_key: &[u8; 32],
        entropy: &mut dyn Entropy,
    ) -> Result<Self, ConnectError> {
        let ClientStart {
            config,
            name,
            to,
            session,
            token,
        } = start;
        let grease = entropy.public_u64();
        let alpn = config.protocols.names();
        let mut setup = setup(
            &config.transport,
            &config.limits,
            &alpn,
            to,
            reset_key,
            entropy,
        );
        setup.now = now;
        setup.probe = config.probe.as_deref();
        setup.token = token;
        let (resume, settings) = session
            .map(|session| (session.quic, session.settings))
            .unzip();
        let quic = quic::Connection::new_client(setup, &config.crypto, name, resume);
        let quic = quic.map_err(|error| ConnectError::Tls {
            name: name.to_string(),
            reason: error.reason,
        })?;
        let wt = wt::Layer::new(Side::Client, config.dialects, &config.limits);
        let mut connection = Self::new(now, quic, wt, &config.limits, grease);
        connection.name = Some(name.to_string());
        if !config.protocols.http3 {
            connection.be_raw();
        } else if let Some(settings) = settings
            && connection.early_data() == EarlyData::Pending
        {
            let quic = &mut connection.quic;
            connection.h3.begin_early_data(quic, settings);
        }
        Ok(connection)
    }

    /// For the client that sent this Initial. Its datagram is still to be handed in.
    pub(crate) fn server(
        now: Instant,
        config: &ServerConfig,
        meta: &RecvMeta,
        first: &FirstInitial,
        issuer: Option<TokenIssuer>,
        reset_key: &[u8; 32],
        entropy: &mut dyn Entropy,
    ) -> Result<Self, TlsError> {
        let grease = entropy.public_u64();
        let alpn = config.protocols.names();
        let mut setup = setup(
            &config.transport,
            &config.limits,
            &alpn,
            meta.from,
            reset_key,
            entropy,
        );
        setup.local = meta.to;
        setup.issuer = issuer;
        setup.now = now;
        setup.probe = config.probe.as_deref();
        let wt = wt::Layer::new(Side::Server, config.dialects, &config.limits);
        let terms = h3::terms(&config.limits, &wt.extensions());
        setup.terms = &terms;
        let quic = quic::Connection::new_server(setup, &config.crypto, first)?;
        let mut connection = Self::new(now, quic, wt, &config.limits, grease);
        if !config.protocols.raw.is_empty() {
            connection.protocol = Protocol::Open;
        }
        Ok(connection)
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, meta: &RecvMeta, datagram: &mut [u8]) {
        self.wt.set_now(now);
        self.quic.handle_datagram(now, meta, datagram);
        self.settle();
    }

    /// The peer has lost the connection's state.
    pub(crate) fn handle_stateless_reset(&mut self, now: Instant) {
        self.wt.set_now(now);
        self.quic.handle_stateless_reset(now);
        self.settle();
    }

    /// The socket was exchanged for another.
    pub(crate) fn on_rebind(&mut self, now: Instant) {
        self.quic.on_rebind(now);
        self.settle();
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.wt.set_now(now);
        self.quic.handle_timeout(now);
        self.settle();
        if self.wt.timeout().is_some_and(|at| at <= now) {
            self.with_sessions(wt::Layer::handle_timeout);
        }
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        self.wt.set_now(now);
        self.quic.poll_transmit(now, out)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [self.quic.poll_timeout(), self.wt.timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        match &mut self.protocol {
            Protocol::Raw(raw) => raw.poll_event(&mut self.quic),
            Protocol::Http3 | Protocol::Open => self.events.pop_front(),
        }
    }

    pub(crate) fn next_route(&mut self) -> Option<Route> {
        self.quic.next_route()
    }

    /// Tokens for later connections that the server gave since the last call.
    pub(crate) fn take_new_tokens(&mut self) -> Vec<Bytes> {
        self.quic.take_new_tokens()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.quic.is_handshaking()
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.quic.is_drained()
    }
}

impl Connection {
    fn new(
        now: Instant,
        quic: quic::Connection,
        mut wt: wt::Layer,
        limits: &Limits,
        grease: u64,
    ) -> Self {
        wt.set_now(now);
        let h3 = h3::Layer::new(quic.side(), limits, wt.extensions(), grease);
        Self {
            quic,
            h3,
            wt,
            protocol: Protocol::Http3,
            events: VecDeque::new(),
            name: None,
        }
    }

    /// The protocol is not HTTP/3: QUIC's changes are the application's from now on.
    fn be_raw(&mut self) {
        self.wt.rest();
        self.quic.keep_no_reserve();
        self.protocol = Protocol::Raw(raw::State::default());
    }

    /// Whether QUIC's changes are the application's.
    fn is_raw(&mut self) -> bool {
        if let (Protocol::Open, Some(name)) = (&self.protocol, self.quic.alpn()) {
            if name == HTTP3 {
                self.protocol = Protocol::Http3;
            } else {
                self.be_raw();
            }
        }
        matches!(self.protocol, Protocol::Raw(_))
    }

    /// Lets every change rise to the layer it concerns, until there is none.
    fn settle(&mut self) {
        if self.is_raw() {
            return;
        }
        // What an input can cause is bounded by its size, and by the streams and sessions there are.
        loop {
            while let Some(change) = self.h3.next_change() {
                self.on_change(change);
            }
            let Some(change) = self.quic.next_change() else {
                break;
            };
            if let quic::Change::Path(change) = change {
                self.events.push_back(Event::PathChanged(change));
                continue;
            }
            if let Err(fault) = self.h3.on_quic(change, &mut self.quic) {
                self.quic.fail(fault);
            }
        }
        let (wt, mut io) = self.split();
        wt.on_settled(&mut io);
    }

    fn on_change(&mut self, change: h3::Change) {
        let (wt, mut io) = self.split();
        let change = match wt.on_h3(&mut io, change) {
            Ok(Some(change)) => change,
            Ok(None) => return,
            Err(fault) => return self.quic.fail(fault),
        };
        let event = match change {
            h3::Change::Connected => Event::Connected,
            h3::Change::Closed(reason) => Event::Closed(reason),
            h3::Change::Request(id, head) => Event::Request(id, head.into()),
            h3::Change::Response(id, head) => Event::Response(id, head.into()),
            h3::Change::Readable(id) => Event::Readable(id),
            h3::Change::Writable(id) => Event::Writable(id),
            h3::Change::Finished(id) => Event::StreamFinished(id),
            h3::Change::Stopped(id, _) => Event::StreamStopped(id, None),
            h3::Change::Failed(id, code) => Event::RequestFailed(id, code),
            // Told by the layer of sessions, or nothing to tell.
            h3::Change::GoAway
            | h3::Change::Confirmed
            | h3::Change::Settings
            | h3::Change::Foreign { .. }
            | h3::Change::Stream(_)
            | h3::Change::Datagram { .. } => return,
        };
        self.events.push_back(event);
    }

    /// Does something with sessions, and lets what follows from it rise.
    fn with_sessions<T>(&mut self, f: impl FnOnce(&mut wt::Layer, &mut Io<'_>) -> T) -> T {
        let (wt, mut io) = self.split();
        let result = f(wt, &mut io);
        self.settle();
        result
    }

    fn split(&mut self) -> (&mut wt::Layer, Io<'_>) {
        let io = Io {
            quic: &mut self.quic,
            h3: &mut self.h3,
            events: &mut self.events,
        };
        (&mut self.wt, io)
    }

    /// Whether a stream carries a plain HTTP/3 message.
    fn is_message(&self, id: StreamId) -> bool {
        self.wt.session_of(id).is_none() && !self.wt.is_session(id) && self.h3.has_message(id)
    }
}

fn setup<'a>(
    transport: &'a TransportConfig,
    limits: &'a Limits,
    alpn: &'a [&'a [u8]],
    remote: SocketAddr,
    reset_key: &[u8; 32],
    entropy: &'a mut dyn Entropy,
) -> quic::Setup<'a> {
    quic::Setup {
        transport,
        limits,
        alpn,
        remote,
        local: None,
        reset_key: *reset_key,
        terms: &[],
        token: Vec::new(),
        issuer: None,
        entropy,
        now: Instant::ZERO,
        probe: None,
    }
}

#[cfg(test)]
mod tests;
