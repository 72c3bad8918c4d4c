//! One QUIC connection: its parts, and what the layer above does with it.
//!
//! Every file beside this one adds to [`Connection`] what its name says. Datagrams come in through
//! `receive`, which hands frames to `frames`; they go out through `transmit`, which lets `packet`
//! build packets that `content` fills.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec::Vec};
use bytes::Bytes;
use core::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

mod blocked;
mod close;
mod commands;
mod content;
mod early;
mod figures;
mod frames;
mod handshake;
mod new_token;
mod observe;
mod packet;
mod paths;
mod phase;
mod receive;
mod timers;
mod transmit;
mod version;

pub use self::early::EarlyData;
use self::{
    close::Close, early::Early, handshake::Handshake, receive::Held, timers::Timers,
    version::Negotiation,
};
pub(crate) use self::{early::Remembered, phase::Phase};
use super::{
    StreamChange,
    ack_frequency::AckWishes,
    cids::{LocalCids, RemoteCids},
    datagrams::Datagrams,
    observer::Observer,
    path::{self, Mtu, Paths},
    random::Random,
    recovery::{Outcome, Recovery, RecoveryConfig, SpaceId},
    space::{Space, SpaceKeys},
    streams::Streams,
};
use crate::{
    config::{Limits, TransportConfig},
    crypto::{
        ClientProvider, Provider, ServerProvider, Session, Ticket, TlsError, Version,
        token::TokenIssuer,
    },
    entropy::Entropy,
    event::{CloseReason, PathChange},
    probe::ProbeFactory,
    stats::FrameCounts,
    time::Instant,
    wire::{Cid, ResetToken, Side},
};

/// One QUIC connection, as a state machine.
pub(crate) struct Connection {
    side: Side,
    /// The version in use.
    version: Version,
    phase: Phase,
    /// The latest time that any input told; `None` before the first.
    now: Option<Instant>,
    config: TransportConfig,
    limits: Limits,
    provider: Arc<dyn Provider>,
    reset_key: [u8; 32],
    /// A server's, to give its client a token for later.
    issuer: Option<TokenIssuer>,
    /// Tokens that the server gave, until they are taken.
    new_tokens: Vec<Bytes>,
    random: Random,
    session: Box<dyn Session>,
    handshake: Handshake,
    early: Early,
    /// Sessions of the server's to resume later.
    tickets: VecDeque<Ticket>,
    spaces: [Space; 3],
    recovery: Recovery,
    streams: Streams,
    datagrams: Datagrams,
    paths: Paths,
    ack_wishes: AckWishes,
    local_cids: LocalCids,
    remote_cids: RemoteCids,
    timers: Timers,
    /// Where the layer above knows the peer to be.
    told_route: Option<path::Route>,
    /// When the idle timer was restarted last.
    idle_from: Instant,
    /// The peer's connection ID for us in its latest packet.
    used_cid: Cid,
    /// An ack-eliciting packet was sent since the last packet was received.
    sent_since_heard: bool,
    /// Keys arrived with which held packets may open.
    has_new_keys: bool,
    held: VecDeque<Held>,
    /// Our CONNECTION_CLOSE.
    close: Option<Close>,
    /// How the connection ended, until that is told.
    closed: Option<CloseReason>,
    changes: VecDeque<Change>,
    routes: VecDeque<Route>,
    stats: Counts,
    observer: Observer,
    // Kept for their memory.
    outcome: Outcome,
    crypto_out: Vec<u8>,
}

/// What a connection tells the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The handshake is complete: 1-RTT keys both ways, transport parameters authenticated.
    Connected,
    /// The handshake is confirmed (RFC 9001, section 4.1.2).
    Confirmed,
    /// Server: early data is taken, and may be answered. Before `Connected`.
    EarlyData,
    /// Client: the server rejected early data. No stream is left; `Connected` follows.
    EarlyDataRejected,
    /// Something happened to a stream.
    Stream(StreamChange),
    /// A DATAGRAM frame arrived.
    Datagram(Bytes),
    /// The connection is over. Comes exactly once, and last.
    Closed(CloseReason),
    /// The connection, or the peer, moved or tried to.
    Path(PathChange),
}

/// What a connection tells the endpoint about the datagrams that belong to it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    AddCid(Cid),
    RemoveCid(Cid),
    /// A stateless reset token of the peer's.
    AddResetToken(ResetToken),
    RemoveResetToken(ResetToken),
}

/// A datagram was not queued.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum DatagramFail {
    Full,
    TooLarge {
        max: usize,
    },
    /// The peer takes none, or its parameters are not known yet.
    Unsupported,
}

/// Figures of a connection.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// Its newest sample; zero before the first.
    pub latest_rtt: Duration,
    /// Its smallest sample; zero before the first.
    pub min_rtt: Duration,
    /// The mean deviation of its samples.
    pub rtt_variation: Duration,
    /// The congestion window, in bytes.
    pub congestion_window: u64,
    /// Bytes sent and not yet acknowledged or lost.
    pub bytes_in_flight: u64,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// UDP payload bytes received.
    pub bytes_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received and opened.
    pub packets_received: u64,
    /// Packets received that did not open, or were duplicates.
    pub packets_dropped: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
    /// Packets declared lost that arrived after all: they were late.
    pub packets_late: u64,
    /// Datagrams (RFC 9221) of either direction that were dropped: for want of room here, or
    /// because they no longer fit a packet.
    pub datagrams_dropped: u64,
    /// Frames sent, by type.
    pub frames_sent: FrameCounts,
    /// Frames received, by type.
    pub frames_received: FrameCounts,
    /// Bytes of stream data sent again.
    pub bytes_resent: u64,
    /// UDP datagrams sent.
    pub udp_sent: u64,
    /// UDP datagrams received.
    pub udp_received: u64,
    /// From the connection's beginning to the end of its handshake, once that was.
    pub handshake_time: Option<Duration>,
    /// Updates of the 1-RTT keys, of either side's making.
    pub key_updates: u64,
    /// How often there was something to send, and the congestion window was full.
    pub blocked_by_congestion: u64,
    /// How often there was something to send, and the pacer held it back.
    pub blocked_by_pacer: u64,
    /// Probe timeouts in a row, since the peer last acknowledged something.
    pub pto_count: u32,
    /// Bytes of memory held for the peer or on its behalf, without what is the same for every
    /// connection.
    pub memory: usize,
}

/// The figures that are counted here.
#[derive(Copy, Clone, Debug, Default)]
struct Counts {
    bytes_sent: u64,
    bytes_received: u64,
    packets_sent: u64,
    packets_received: u64,
    packets_dropped: u64,
    frames_sent: FrameCounts,
    frames_received: FrameCounts,
    udp_sent: u64,
    udp_received: u64,
    began: Option<Instant>,
    handshake_time: Option<Duration>,
    blocked_by_congestion: u64,
    blocked_by_pacer: u64,
}

/// What a connection of either side is made from.
pub(crate) struct Setup<'a> {
    pub(crate) transport: &'a TransportConfig,
    pub(crate) limits: &'a Limits,
    /// The application protocols, best first.
    pub(crate) alpn: &'a [&'a [u8]],
    /// The peer's address, and ours if it is known.
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    /// From which our stateless reset tokens follow.
    pub(crate) reset_key: [u8; 32],
    /// Server: what early data relies on above QUIC.
    pub(crate) terms: &'a [u8],
    /// A client's token from an earlier connection; empty for none.
    pub(crate) token: Vec<u8>,
    /// A server's, to give its client such a token.
    pub(crate) issuer: Option<TokenIssuer>,
    pub(crate) entropy: &'a mut dyn Entropy,
    /// The time, and who wants to see what happens.
    pub(crate) now: Instant,
    pub(crate) probe: Option<&'a dyn ProbeFactory>,
}

/// What a server knows of a client from its first Initial packet, and from the token in it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct FirstInitial {
    pub(crate) version: Version,
    /// The destination of the client's very first Initial.
    pub(crate) original: Cid,
    /// The connection ID of our Retry that the client followed: its Initials go there now.
    pub(crate) retry: Option<Cid>,
    pub(crate) source: Cid,
    /// A token proved that the client is where it says (RFC 9000, section 8.1).
    pub(crate) is_validated: bool,
}

impl FirstInitial {
    /// Without a token.
    pub(crate) const fn new(version: Version, destination: Cid, source: Cid) -> Self {
        Self {
            version,
            original: destination,
            retry: None,
            source,
            is_validated: false,
        }
    }
}

impl Connection {
    /// A client's, about to send its first Initial. Its time starts with the first input.
    pub(crate) fn new_client(
        setup: Setup<'_>,
        crypto: &Arc<dyn ClientProvider>,
        server_name: &str,
        resume: Option<Remembered>,
    ) -> Result<Self, TlsError> {
        let provider = crypto.provider();
        let mut random = Random::new(provider.clone(), setup.entropy);
        let (local_cid, original) = (random.cid(), random.cid());
        let best = version::best(&setup.transport.versions);
        // A session is for the version that it began in (RFC 9369, section 5).
        let version = resume.as_ref().map_or(best, |session| session.version);
        let streams = Streams::new(Side::Client, setup.limits);
        let params = handshake::local_params(
            setup.transport,
            setup.limits,
            streams.local_params(),
            local_cid,
            version::of_client(version, &setup.transport.versions, &**crypto),
            None,
            &mut random,
        );
        let (ticket, remembered) = resume.map(Remembered::split).unzip();
        let alpn = setup.alpn;
        let told = setup.probe.map(|_| params.clone());
        let session = crypto.start(version, server_name, alpn, params, ticket)?;
        let negotiation = Negotiation::of_client(version, &setup, crypto, server_name);
        let mut handshake = Handshake::new(local_cid, original, None, negotiation);
        if setup.token.len() <= new_token::MAX_TOKEN {
            handshake.token.clone_from(&setup.token);
        }
        let mut connection = Self::new(
            Side::Client,
            version,
            &setup,
            provider,
            random,
            session,
            handshake,
            streams,
        );
        connection.start_probe(&setup, original, told.as_deref());
        connection.begin_early_data(alpn, remembered);
        if let Err(fault) = connection.advance_handshake(Instant::ZERO) {
            connection.fail(fault);
        }
        Ok(connection)
    }

    /// A server's, for the client that sent this Initial. Its datagram is still to be handed in.
    pub(crate) fn new_server(
        setup: Setup<'_>,
        crypto: &Arc<dyn ServerProvider>,
        first: &FirstInitial,
    ) -> Result<Self, TlsError> {
        let provider = crypto.provider();
        let mut random = Random::new(provider.clone(), setup.entropy);
        let local_cid = random.cid();
        let streams = Streams::new(Side::Server, setup.limits);
        let token_of = |cid: &Cid| reset_token(&*provider, &setup.reset_key, cid);
        let preferred = paths::preferred(setup.transport, || random.cid(), token_of);
        let server = handshake::ServerParams {
            original: first.original,
            retry: first.retry,
            reset_token: token_of(&local_cid),
            preferred,
        };
        let params = handshake::local_params(
            setup.transport,
            setup.limits,
            streams.local_params(),
            local_cid,
            version::of_server(first.version, &setup.transport.versions),
            Some(server),
            &mut random,
        );
        let terms = early::terms(setup.transport, setup.limits, &streams, setup.terms);
        let told = setup.probe.map(|_| params.clone());
        let session = crypto.start(first.version, setup.alpn, params, &terms)?;
        let handshake = Handshake::new(
            local_cid,
            first.retry.unwrap_or(first.original),
            Some(first.source),
            Negotiation::of_server(first.version, &setup, crypto, server, &terms),
        );
        let mut connection = Self::new(
            Side::Server,
            first.version,
            &setup,
            provider,
            random,
            session,
            handshake,
            streams,
        );
        if first.is_validated {
            connection.paths.set_validated();
        }
        if let Some(preferred) = preferred {
            connection.local_cids.issue_preferred(preferred.cid);
            connection.routes.push_back(Route::AddCid(preferred.cid));
        }
        connection.start_probe(&setup, first.original, told.as_deref());
        Ok(connection)
    }

    #[expect(clippy::too_many_arguments, reason = "its parts, each once")]
    fn new(
        side: Side,
        version: Version,
        setup: &Setup<'_>,
        provider: Arc<dyn Provider>,
        mut random: Random,
        session: Box<dyn Session>,
        handshake: Handshake,
        streams: Streams,
    ) -> Self {
        let (config, limits) = (setup.transport.clone(), setup.limits.clone());
        let Handshake {
            local_cid,
            original_cid,
            peer_cid,
            ..
        } = handshake;
        let mut spaces = SpaceId::ALL.map(|id| Space::new(id, config.max_ack_delay, &limits));
        let [initial, ..] = &mut spaces;
        initial.keys = SpaceKeys::Level(provider.initial_keys(version, &original_cid, side));
        let datagram_size = config.datagram_size;
        let mtu = Mtu::new(datagram_size, config.datagram_size_max);
        let recovery = Recovery::new(
            Instant::ZERO,
            RecoveryConfig {
                side,
                initial_rtt: config.initial_rtt,
                max_datagram_size: datagram_size,
                max_sent_packets: limits.sent_packets,
                congestion: config.congestion.clone(),
                seed: random.u64(),
            },
        );
        let route = path::Route {
            remote: setup.remote,
            local: setup.local,
        };
        let mut routes = VecDeque::from([Route::AddCid(local_cid)]);
        if side == Side::Server {
            routes.push_back(Route::AddCid(original_cid));
        }
        Self {
            side,
            version,
            phase: Phase::Handshaking,
            now: None,
            provider,
            reset_key: setup.reset_key,
            issuer: setup.issuer,
            new_tokens: Vec::new(),
            random,
            session,
            spaces,
            recovery,
            streams,
            datagrams: Datagrams::new(&limits),
            paths: Paths::new(side, route, mtu, limits.path_responses),
            ack_wishes: AckWishes::default(),
            local_cids: LocalCids::new(local_cid),
            remote_cids: RemoteCids::new(
                peer_cid.unwrap_or(original_cid),
                limits.peer_cids,
                limits.pending_retirements,
            ),
            timers: Timers::default(),
            told_route: Some(route),
            idle_from: Instant::ZERO,
            used_cid: original_cid,
            sent_since_heard: false,
            has_new_keys: false,
            held: VecDeque::new(),
            close: None,
            closed: None,
            changes: VecDeque::new(),
            routes,
            stats: Counts::default(),
            observer: Observer::default(),
            outcome: Outcome::default(),
            crypto_out: Vec::new(),
            handshake,
            early: Early::default(),
            tickets: VecDeque::new(),
            config,
            limits,
        }
    }

    /// What happened since the last call.
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        if let Some(change) = self.next_news() {
            return Some(change);
        }
        if let Some(datagram) = self.recv_datagram() {
            return Some(Change::Datagram(datagram));
        }
        self.take_closed().map(Change::Closed)
    }

    /// As [`Self::next_change`], but leaves datagrams in their queue, and does not tell the end.
    pub(crate) fn next_news(&mut self) -> Option<Change> {
        let change = self.next_own_news();
        change.or_else(|| self.next_stream_news().map(Change::Stream))
    }

    /// What happened to no stream. Comes before what happened to streams.
    #[inline]
    pub(crate) fn next_own_news(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// What happened to streams.
    #[inline]
    pub(crate) fn next_stream_news(&mut self) -> Option<StreamChange> {
        let change = self.streams.next_change()?;
        self.tell_stream(change);
        Some(change)
    }

    /// How the connection ended, once.
    pub(crate) fn take_closed(&mut self) -> Option<CloseReason> {
        self.closed.take()
    }

    /// What the endpoint must know to route datagrams here.
    pub(crate) fn next_route(&mut self) -> Option<Route> {
        self.routes.pop_front()
    }
}

/// Parts.
impl Connection {
    fn space(&self, id: SpaceId) -> &Space {
        &self.spaces[id as usize]
    }

    fn space_mut(&mut self, id: SpaceId) -> &mut Space {
        &mut self.spaces[id as usize]
    }

    /// Gives the peer as many connection IDs as it takes.
    fn issue_cids(&mut self) {
        while self.local_cids.wants_more() {
            let cid = self.random.cid();
            self.local_cids.issue(cid);
            self.routes.push_back(Route::AddCid(cid));
        }
    }

    /// What proves to the peer that we lost the state of a connection that used `cid`.
    fn reset_token(&self, cid: &Cid) -> ResetToken {
        reset_token(&*self.provider, &self.reset_key, cid)
    }

    /// Does `change` to the peer's IDs, and keeps the endpoint informed of the tokens in use.
    fn change_remote_cids<T>(&mut self, change: impl FnOnce(&mut RemoteCids) -> T) -> T {
        let before = self.remote_cids.reset_tokens();
        let result = change(&mut self.remote_cids);
        let after = self.remote_cids.reset_tokens();
        let gone = before
            .iter()
            .flatten()
            .filter(|t| !after.contains(&Some(**t)));
        let new = after
            .iter()
            .flatten()
            .filter(|t| !before.contains(&Some(**t)));
        self.routes
            .extend(gone.copied().map(Route::RemoveResetToken));
        self.routes.extend(new.copied().map(Route::AddResetToken));
        result
    }

    /// Nothing more is to come here.
    fn release(&mut self) {
        self.timers.clear_all();
        let handshake = (self.side == Side::Server).then_some(self.handshake.original_cid);
        let cids = self.local_cids.iter().chain(handshake);
        self.routes.extend(cids.map(Route::RemoveCid));
        let tokens = self.remote_cids.reset_tokens().into_iter().flatten();
        self.routes.extend(tokens.map(Route::RemoveResetToken));
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("side", &self.side)
            .field("phase", &self.phase)
            .field("remote", &self.paths.route().remote)
            .finish_non_exhaustive()
    }
}

/// The stateless reset token of a connection ID of ours (RFC 9000, section 10.3.2).
pub(crate) fn reset_token(provider: &dyn Provider, key: &[u8; 32], cid: &Cid) -> ResetToken {
    let mut token = ResetToken([0; 16]);
    let mac = provider.hmac(key, cid);
    token
        .0
        .iter_mut()
        .zip(mac)
        .for_each(|(to, from)| *to = from);
    token
}

#[cfg(test)]
mod tests;
