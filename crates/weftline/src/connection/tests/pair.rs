//! Two connections, and the network between them.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec, vec::Vec};
use core::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::super::{ClientStart, Connection, StoredSession, raw::Raw};
use crate::{
    Event, Instant,
    config::{ClientConfig, Limits, ServerConfig},
    crypto::{
        Version,
        null::{NullClient, NullServer},
    },
    entropy::SeededEntropy,
    error::ReadError,
    event::{CloseReason, SessionClosed},
    h3::Fields,
    quic::FirstInitial,
    udp::RecvMeta,
    wire::{Cid, Dir, StreamId, packet::Invariant},
    wt::{Dialect, SessionId, SessionRequest},
};

/// How both ends are made.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) client: &'static [Dialect],
    pub(super) server: &'static [Dialect],
    pub(super) client_limits: Limits,
    pub(super) server_limits: Limits,
    pub(super) client_crypto: NullClient,
    pub(super) server_crypto: NullServer,
    /// What the client offers instead of HTTP/3, if anything.
    pub(super) client_raw: &'static [&'static str],
    /// What the server takes beside HTTP/3.
    pub(super) server_raw: &'static [&'static str],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            client: Dialect::ALL,
            server: Dialect::ALL,
            client_limits: Limits::default(),
            server_limits: Limits::default(),
            client_crypto: NullClient::insecure(),
            server_crypto: NullServer::insecure(),
            client_raw: &[],
            server_raw: &[],
        }
    }
}

/// One end, and what it told so far.
pub(super) struct End {
    pub(super) conn: Box<Connection>,
    pub(super) events: Vec<Event>,
    address: SocketAddr,
}

pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) client: End,
    pub(super) server: End,
    /// Datagrams under way: when they arrive, whether at the server, and their bytes.
    network: VecDeque<(Instant, bool, Vec<u8>)>,
    /// Which datagrams are lost, by whether they go to the server and their number.
    pub(super) drop: fn(bool, usize) -> bool,
    sent: [usize; 2],
}

impl Pair {
    /// Two ends that have not met: the client's first datagrams are on their way.
    pub(super) fn new(options: &Options) -> Self {
        Self::resuming(options, None, |_| {})
    }

    /// The same, with a session of an earlier connection, and what the client does before it sends
    /// anything.
    pub(super) fn resuming(
        options: &Options,
        session: Option<StoredSession>,
        begin: impl FnOnce(&mut Connection),
    ) -> Self {
        let now = Instant::from_micros(1_000_000);
        let client_address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5000));
        let server_address = SocketAddr::from((Ipv4Addr::LOCALHOST, 4433));
        let mut entropy = SeededEntropy::new(1);
        let mut config = ClientConfig::builder(Arc::new(options.client_crypto))
            .dialects(options.client)
            .limits(options.client_limits.clone());
        if !options.client_raw.is_empty() {
            config = config.raw_alpn(options.client_raw.iter().copied());
        }
        let config = config.build().unwrap();
        let start = ClientStart {
            config: &config,
            name: "a",
            to: server_address,
            session,
            token: Vec::new(),
        };
        let mut client = Connection::client(now, start, &[1; 32], &mut entropy).unwrap();
        begin(&mut client);
        let mut buf = vec![0; 1500];
        let first = client.poll_transmit(now, &mut buf).unwrap();
        let datagram = buf[..first.len].to_vec();
        let Some(Invariant::Long {
            version,
            destination,
            source,
            ..
        }) = Invariant::parse(&datagram, 8)
        else {
            panic!("not an Initial")
        };
        let config = ServerConfig::builder(Arc::new(options.server_crypto))
            .dialects(options.server)
            .limits(options.server_limits.clone())
            .raw_alpn(options.server_raw.iter().copied())
            .build()
            .unwrap();
        let meta = RecvMeta {
            from: client_address,
            to: None,
            ecn: None,
        };
        let (original, peer) = (Cid::new(destination).unwrap(), Cid::new(source).unwrap());
        let first = FirstInitial::new(Version(version), original, peer);
        let server = Connection::server(now, &config, &meta, &first, None, &[2; 32], &mut entropy);
        let end = |conn, address| End {
            conn: Box::new(conn),
            events: Vec::new(),
            address,
        };
        Self {
            now,
            client: end(client, client_address),
            server: end(server.unwrap(), server_address),
            network: VecDeque::from([(now + LATENCY, true, datagram)]),
            drop: |_, _| false,
            sent: [0; 2],
        }
    }

    /// Two ends that know each other's SETTINGS.
    pub(super) fn connected(options: &Options) -> Self {
        let mut pair = Self::new(options);
        pair.run();
        assert!(pair.client.conn.is_established() && pair.server.conn.is_established());
        for end in [&mut pair.client, &mut pair.server] {
            assert_eq!(end.take(), [Event::Connected]);
        }
        pair
    }

    /// Two ends with an open session.
    pub(super) fn with_session(options: &Options) -> (Self, SessionId) {
        let mut pair = Self::connected(options);
        let session = pair.open_session();
        (pair, session)
    }

    /// Opens one more session.
    pub(super) fn open_session(&mut self) -> SessionId {
        let request = SessionRequest::new("example.org", "/");
        let session = self.client.conn.request_session(request).unwrap();
        self.run();
        let asked = self.server.take();
        assert!(
            matches!(asked[..], [Event::SessionRequested(id, _)] if id == session),
            "{asked:?}"
        );
        self.server.conn.accept_session(session, None).unwrap();
        self.run();
        let ready = self.client.take();
        assert!(
            matches!(ready[..], [Event::SessionReady(id, _)] if id == session),
            "{ready:?}"
        );
        session
    }

    /// Lets both ends talk until they have nothing more to say.
    pub(super) fn run(&mut self) {
        self.run_for(Duration::from_millis(300));
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        // Bounded: time goes on with every turn but the few that send.
        for _ in 0..1_000_000 {
            self.transmit();
            let arrival = self.network.front().map(|(at, ..)| *at);
            let timers = [&self.client, &self.server].map(|end| end.conn.poll_timeout());
            let next = timers.into_iter().flatten().chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.deliver();
            for end in [&mut self.client, &mut self.server] {
                if end.conn.poll_timeout().is_some_and(|at| at <= self.now) {
                    end.conn.handle_timeout(self.now);
                }
                end.collect();
            }
        }
        panic!("the pair never comes to rest");
    }

    fn transmit(&mut self) {
        let mut buf = vec![0; 1500];
        let (now, at) = (self.now, self.now + LATENCY);
        for (end, to_server) in [(&mut self.client, true), (&mut self.server, false)] {
            while let Some(transmit) = end.conn.poll_transmit(now, &mut buf) {
                let number = &mut self.sent[usize::from(to_server)];
                *number += 1;
                if (self.drop)(to_server, *number) {
                    continue;
                }
                let segment = transmit.segment.unwrap_or(transmit.len);
                for datagram in buf[..transmit.len].chunks(segment) {
                    self.network.push_back((at, to_server, datagram.to_vec()));
                }
            }
            end.collect();
        }
    }

    fn deliver(&mut self) {
        while let Some((at, ..)) = self.network.front()
            && *at <= self.now
        {
            let Some((_, to_server, mut datagram)) = self.network.pop_front() else {
                return;
            };
            let (to, from) = match to_server {
                true => (&mut self.server, self.client.address),
                false => (&mut self.client, self.server.address),
            };
            let meta = RecvMeta {
                from,
                to: None,
                ecn: None,
            };
            to.conn.handle_datagram(self.now, &meta, &mut datagram);
            to.collect();
        }
    }
}

impl End {
    /// The events since the last time.
    pub(super) fn take(&mut self) -> Vec<Event> {
        self.collect();
        core::mem::take(&mut self.events)
    }

    /// The one stream that the peer opened since the last time, its events aside.
    pub(super) fn opened(&mut self) -> (SessionId, StreamId) {
        let events = self.take();
        let mut opened = events.iter().filter_map(|event| match event {
            Event::StreamOpened(session, id) => Some((*session, *id)),
            _ => None,
        });
        let first = opened.next();
        first
            .filter(|_| opened.next().is_none())
            .unwrap_or_else(|| panic!("{events:?}"))
    }

    /// The end of the one session that ended since the last time.
    pub(super) fn session_closed(&mut self, session: SessionId) -> SessionClosed {
        let events = self.take();
        let last = events.last();
        match last {
            Some(Event::SessionClosed(id, closed)) if *id == session => closed.clone(),
            _ => panic!("{events:?}"),
        }
    }

    /// The end of the connection.
    pub(super) fn closed(&mut self) -> CloseReason {
        let events = self.take();
        match events.last() {
            Some(Event::Closed(reason)) => reason.clone(),
            _ => panic!("{events:?}"),
        }
    }

    /// The raw connection.
    pub(super) fn raw(&mut self) -> Raw<'_> {
        self.conn.raw().unwrap()
    }

    pub(super) fn open(&mut self, session: SessionId, dir: Dir, data: &[u8]) -> StreamId {
        let id = self.conn.open_stream(session, dir).unwrap();
        assert_eq!(self.conn.write(id, data), Ok(data.len()));
        id
    }

    /// Everything there is to read, and how that ends.
    pub(super) fn read(&mut self, id: StreamId) -> (Vec<u8>, Option<ReadError>) {
        let mut data = Vec::new();
        loop {
            match self.conn.read(id, 1000) {
                Ok(Some(bytes)) => data.extend_from_slice(&bytes),
                Ok(None) => return (data, None),
                Err(error) => return (data, Some(error)),
            }
        }
    }

    /// Writes raw bytes as the body of a message: on a CONNECT stream, capsules.
    pub(super) fn write_capsule_bytes(&mut self, session: SessionId, bytes: &[u8]) {
        let Connection { h3, quic, .. } = &mut *self.conn;
        assert_eq!(
            h3.write_body(quic, session.stream(), bytes),
            Ok(bytes.len())
        );
    }

    /// Opens a stream of raw bytes.
    pub(super) fn open_raw(&mut self, dir: Dir, bytes: &[u8]) -> StreamId {
        let quic = &mut self.conn.quic;
        let id = quic.open(dir).unwrap();
        assert_eq!(quic.write(id, bytes), Ok(bytes.len()));
        id
    }

    pub(super) fn reject(&mut self, session: SessionId, status: u16) {
        self.conn
            .reject_session(session, status, Fields::new())
            .unwrap();
    }

    fn collect(&mut self) {
        while let Some(event) = self.conn.poll_event() {
            self.events.push(event);
        }
    }
}

const LATENCY: Duration = Duration::from_millis(10);
