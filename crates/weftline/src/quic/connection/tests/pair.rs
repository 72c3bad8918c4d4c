//! Two connections, and the network between them.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    vec,
    vec::Vec,
};
use core::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::super::{Change, Connection, FirstInitial, Remembered, Setup};
use crate::{
    Instant,
    config::{Limits, TransportConfig},
    crypto::{
        ClientProvider, ServerProvider, Version,
        null::{NullClient, NullServer},
    },
    entropy::SeededEntropy,
    probe::ProbeFactory,
    quic::{StreamChange, streams::ReadFail},
    udp::{RecvMeta, Transmit},
    wire::{Cid, Side, StreamId, packet::Invariant},
};

/// What both ends are made with.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) client: TransportConfig,
    pub(super) server: TransportConfig,
    pub(super) client_limits: Limits,
    pub(super) server_limits: Limits,
    pub(super) client_crypto: NullClient,
    pub(super) server_crypto: NullServer,
    pub(super) seed: u64,
    pub(super) latency: Duration,
    /// For both ends.
    pub(super) probe: Option<Arc<dyn ProbeFactory>>,
}

/// Datagrams keep their size, so that tests can count on it; `mtu` has its own.
impl Default for Options {
    fn default() -> Self {
        let transport = TransportConfig {
            datagram_size_max: 1200,
            ..TransportConfig::default()
        };
        Self {
            client: transport.clone(),
            server: transport,
            client_limits: Limits::default(),
            server_limits: Limits::default(),
            client_crypto: NullClient::insecure(),
            server_crypto: NullServer::insecure(),
            seed: 1,
            latency: Duration::from_millis(10),
            probe: None,
        }
    }
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) at: Instant,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) data: Vec<u8>,
}

/// One end, with what it told.
pub(super) struct End {
    pub(super) conn: Connection,
    pub(super) address: SocketAddr,
    /// Others that reach it.
    pub(super) aliases: Vec<SocketAddr>,
    /// Whether its socket tells where a datagram arrived.
    pub(super) tells_local: bool,
    pub(super) inbox: VecDeque<Flight>,
    pub(super) changes: Vec<Change>,
    /// Every datagram it sent: size, and where to.
    pub(super) sent: Vec<(usize, SocketAddr)>,
    /// Bytes received, by sender.
    pub(super) received: BTreeMap<SocketAddr, usize>,
}

/// What becomes of a datagram: how many copies arrive.
type Network = Box<dyn FnMut(Side, usize, &mut Vec<u8>) -> usize>;

pub(super) struct Pair {
    pub(super) client: End,
    /// Made when the first Initial arrives.
    pub(super) server: End,
    pub(super) now: Instant,
    pub(super) latency: Duration,
    /// What the network does with a datagram: its sender, how many that end sent before, and the
    /// bytes, which it may change. Gives how often it is delivered.
    pub(super) network: Network,
    /// Steps until a test is taken to hang.
    pub(super) steps: usize,
    /// Timers that fired since the time last moved.
    timers_at_once: usize,
}

pub(super) const CLIENT: SocketAddr = address(1, 1000);
pub(super) const SERVER: SocketAddr = address(2, 443);
pub(super) const ALPN: &[&[u8]] = &[b"test"];
const RESET_KEY: [u8; 32] = [9; 32];

pub(super) const fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), port)
}

pub(super) fn client(options: &Options) -> Connection {
    client_resuming(options, None)
}

pub(super) fn client_resuming(options: &Options, session: Option<Remembered>) -> Connection {
    let mut entropy = SeededEntropy::new(options.seed);
    let setup = Setup {
        transport: &options.client,
        limits: &options.client_limits,
        alpn: ALPN,
        remote: SERVER,
        local: None,
        reset_key: RESET_KEY,
        terms: &[],
        token: Vec::new(),
        issuer: None,
        entropy: &mut entropy,
        now: Instant::ZERO,
        probe: options.probe.as_deref(),
    };
    let crypto: Arc<dyn ClientProvider> = Arc::new(options.client_crypto);
    Connection::new_client(setup, &crypto, "example.org", session).unwrap()
}

pub(super) fn server(options: &Options, first: &FirstInitial) -> Connection {
    let mut entropy = SeededEntropy::new(options.seed + 1000);
    let setup = Setup {
        transport: &options.server,
        limits: &options.server_limits,
        alpn: ALPN,
        remote: CLIENT,
        local: None,
        reset_key: RESET_KEY,
        terms: &[],
        token: Vec::new(),
        issuer: None,
        entropy: &mut entropy,
        now: Instant::ZERO,
        probe: options.probe.as_deref(),
    };
    let crypto: Arc<dyn ServerProvider> = Arc::new(options.server_crypto);
    Connection::new_server(setup, &crypto, first).unwrap()
}

/// What a client's first Initial tells.
pub(super) fn first_initial(datagram: &[u8]) -> FirstInitial {
    let Some(Invariant::Long { version, .. }) = Invariant::parse(datagram, 8) else {
        panic!("no long header");
    };
    let (destination, source) = first_cids(datagram);
    FirstInitial::new(Version(version), destination, source)
}

/// The connection IDs of a client's first Initial: destination and source.
pub(super) fn first_cids(datagram: &[u8]) -> (Cid, Cid) {
    let Some(Invariant::Long {
        destination,
        source,
        ..
    }) = Invariant::parse(datagram, 8)
    else {
        panic!("no long header");
    };
    (Cid::new(destination).unwrap(), Cid::new(source).unwrap())
}

impl End {
    pub(super) fn new(conn: Connection, address: SocketAddr) -> Self {
        Self {
            conn,
            address,
            aliases: Vec::new(),
            tells_local: false,
            inbox: VecDeque::new(),
            changes: Vec::new(),
            sent: Vec::new(),
            received: BTreeMap::new(),
        }
    }

    fn collect(&mut self) {
        while let Some(change) = self.conn.next_change() {
            self.changes.push(change);
        }
    }

    pub(super) fn has(&self, change: &Change) -> bool {
        self.changes.contains(change)
    }

    pub(super) fn closed(&self) -> Option<&crate::event::CloseReason> {
        self.changes.iter().find_map(|change| match change {
            Change::Closed(reason) => Some(reason),
            _ => None,
        })
    }

    /// Streams the peer opened.
    pub(super) fn opened(&self) -> Vec<StreamId> {
        let opened = self.changes.iter().filter_map(|change| match change {
            Change::Stream(StreamChange::Opened(id)) => Some(*id),
            _ => None,
        });
        opened.collect()
    }

    /// Everything readable now, and whether the end came.
    pub(super) fn read_all(&mut self, id: StreamId) -> (Vec<u8>, bool) {
        let mut data = Vec::new();
        loop {
            match self.conn.read(id, usize::MAX) {
                Ok(Some(chunk)) => data.extend_from_slice(&chunk),
                Ok(None) => return (data, true),
                Err(ReadFail::Blocked) => return (data, false),
                Err(fail) => panic!("{fail:?}"),
            }
        }
    }

    /// Takes what it wants to send now, datagram by datagram.
    pub(super) fn transmit(&mut self, now: Instant) -> Vec<(Transmit, Vec<u8>)> {
        let mut all = Vec::new();
        let mut out = vec![0; 4 * 1200];
        while let Some(transmit) = self.conn.poll_transmit(now, &mut out) {
            let segment = transmit.segment.unwrap_or(transmit.len);
            for datagram in out[..transmit.len].chunks(segment) {
                all.push((transmit, datagram.to_vec()));
                self.sent.push((datagram.len(), transmit.to));
            }
            assert!(all.len() < 10_000, "it never stops sending");
            self.check_amplification();
        }
        all
    }

    /// RFC 9000, section 8.1.
    fn check_amplification(&self) {
        if self.conn.side() == Side::Server && !self.conn.paths.is_validated() {
            let to = self.conn.remote_address();
            let sent = self.sent.iter().filter(|(_, receiver)| *receiver == to);
            let sent = sent.map(|(len, _)| len).sum::<usize>();
            let received = self.received.get(&to).copied().unwrap_or(0);
            assert!(sent <= 3 * received, "{sent} bytes for {received}");
        }
    }

    pub(super) fn receive(&mut self, now: Instant, flight: &Flight) {
        let meta = RecvMeta {
            from: flight.from,
            to: self.tells_local.then_some(flight.to.ip()),
            ecn: None,
        };
        *self.received.entry(flight.from).or_default() += flight.data.len();
        let mut data = flight.data.clone();
        self.conn.handle_datagram(now, &meta, &mut data);
        self.collect();
    }
}

impl Pair {
    /// Both ends; the server has the client's first Initial in its inbox.
    pub(super) fn new(options: &Options) -> Self {
        Self::begun_by(options, client(options))
    }

    /// The same, with a client that has sent nothing yet.
    pub(super) fn begun_by(options: &Options, client: Connection) -> Self {
        let now = Instant::from_micros(1_000_000);
        let mut client = End::new(client, CLIENT);
        let first = client.transmit(now);
        let server = server(options, &first_initial(&first[0].1));
        let server = End::new(server, SERVER);
        let mut pair = Self::of(client, server, now);
        pair.latency = options.latency;
        for (_, data) in first {
            pair.carry(Side::Client, data);
        }
        pair
    }

    pub(super) fn of(client: End, server: End, now: Instant) -> Self {
        Self {
            client,
            server,
            now,
            latency: Duration::from_millis(10),
            network: Box::new(|_, _, _| 1),
            steps: 100_000,
            timers_at_once: 0,
        }
    }

    /// After a handshake that went well.
    pub(super) fn connected(options: &Options) -> Self {
        Self::connected_within(options, Duration::from_secs(2))
    }

    pub(super) fn connected_within(options: &Options, time: Duration) -> Self {
        let mut pair = Self::new(options);
        pair.run_for(time);
        assert!(
            pair.client.has(&Change::Confirmed),
            "{:?}",
            pair.client.changes
        );
        assert!(
            pair.server.has(&Change::Confirmed),
            "{:?}",
            pair.server.changes
        );
        pair
    }

    pub(super) fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Puts a datagram on its way to the other end.
    pub(super) fn carry(&mut self, from: Side, data: Vec<u8>) {
        let [source, to] = [from, from.peer()].map(|side| self.end(side).address);
        self.carry_between(from, source, to, data);
    }

    fn carry_between(&mut self, side: Side, from: SocketAddr, to: SocketAddr, data: Vec<u8>) {
        let at = self.now + self.latency;
        let flight = Flight { at, from, to, data };
        self.end(side.peer()).inbox.push_back(flight);
    }

    /// Sends everything that either end wants to send now.
    pub(super) fn exchange(&mut self) {
        for side in [Side::Client, Side::Server] {
            let now = self.now;
            let before = self.end(side).sent.len();
            let address = self.end(side).address;
            let peer = self.end(side.peer());
            let mut reached = peer.aliases.clone();
            reached.push(peer.address);
            let datagrams = self.end(side).transmit(now);
            for (index, (transmit, mut data)) in datagrams.into_iter().enumerate() {
                check_padding(side, &data);
                let copies = (self.network)(side, before + index, &mut data);
                let from = transmit.from.unwrap_or(address.ip());
                let from = SocketAddr::new(from, address.port());
                for _ in 0..copies {
                    if reached.contains(&transmit.to) {
                        self.carry_between(side, from, transmit.to, data.clone());
                    }
                }
            }
            self.end(side).collect();
        }
    }

    /// The next thing that happens: a datagram arrives, or a timer fires. False when nothing will.
    pub(super) fn step(&mut self) -> bool {
        self.steps = self.steps.checked_sub(1).expect("it never ends");
        self.exchange();
        let arrival = [Side::Client, Side::Server]
            .into_iter()
            .filter_map(|side| Some((self.end(side).inbox.front()?.at, side)))
            .min_by_key(|&(at, _)| at);
        let timer = [Side::Client, Side::Server]
            .into_iter()
            .filter_map(|side| Some((self.end(side).conn.poll_timeout()?, side)))
            .min_by_key(|&(at, _)| at);
        match (arrival, timer) {
            (Some((at, side)), timer) if timer.is_none_or(|(t, _)| at <= t) => {
                self.now = self.now.max(at);
                let now = self.now;
                let end = self.end(side);
                if let Some(flight) = end.inbox.pop_front() {
                    end.receive(now, &flight);
                }
                true
            }
            (_, Some((at, side))) => {
                // A timer that does not move on would keep its loop awake for ever.
                self.timers_at_once = if at > self.now {
                    0
                } else {
                    self.timers_at_once + 1
                };
                assert!(self.timers_at_once < 20, "a timer fires without end");
                self.now = self.now.max(at);
                let now = self.now;
                let end = self.end(side);
                end.conn.handle_timeout(now);
                end.collect();
                true
            }
            _ => false,
        }
    }

    /// Until nothing is under way and only timers far off remain.
    pub(super) fn run(&mut self) {
        self.run_for(Duration::from_secs(2));
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.exchange();
        while self.next_at().is_some_and(|at| at <= end) {
            self.step();
            self.exchange();
        }
        self.now = self.now.max(end);
    }

    /// Until `done` says so.
    pub(super) fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        while !done(self) {
            assert!(self.step(), "nothing will happen any more");
        }
    }

    fn next_at(&mut self) -> Option<Instant> {
        let ends = [&self.client, &self.server];
        let arrivals = ends.iter().filter_map(|end| Some(end.inbox.front()?.at));
        let timers = ends.iter().filter_map(|end| end.conn.poll_timeout());
        arrivals.chain(timers).min()
    }
}

/// RFC 9000, section 14.1.
fn check_padding(side: Side, datagram: &[u8]) {
    let is_initial = datagram.first().is_some_and(|first| first & 0xf0 == 0xc0);
    if side == Side::Client && is_initial {
        assert!(
            datagram.len() >= 1200,
            "an Initial in {} bytes",
            datagram.len()
        );
    }
}
