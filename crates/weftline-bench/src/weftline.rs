//! An end of Weftline's: an endpoint with one connection, raw or with one WebTransport session.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;

use weftline::{
    ConnId, Connection, Endpoint, Event, Instant, RecvMeta, SessionId, SessionRequest, StreamId,
    config::{ClientConfig, EndpointConfig, Limits, ServerConfig, TransportConfig},
    congestion::Congestion,
    entropy::SeededEntropy,
    raw::Raw,
};

use crate::{
    pair::{BATCH, DATAGRAM_SIZE, Dir, End, Happened, Pair, Read},
    tls::Tls,
};

pub(crate) struct WeftlineEnd {
    endpoint: Endpoint,
    peer: SocketAddr,
    /// A client's.
    config: Option<Arc<ClientConfig>>,
    connection: Option<ConnId>,
    above: Above,
    out: Vec<u8>,
}

/// What is used above QUIC.
#[derive(Copy, Clone)]
enum Above {
    Nothing,
    Session(Option<SessionId>),
}

/// Ends that speak raw QUIC.
pub(crate) fn raw_pair(tls: &Tls) -> Pair<WeftlineEnd> {
    let [client, server] = ends(tls, Above::Nothing, [1, 2], |_| {}, |_| {});
    Pair::new(client, server)
}

/// Ends with a WebTransport session.
pub(crate) fn session_pair(tls: &Tls) -> Pair<WeftlineEnd> {
    let [client, server] = ends(tls, Above::Session(None), [1, 2], |_| {}, |_| {});
    Pair::new(client, server)
}

/// A client and a server that speak raw QUIC, with windows and send buffers of `window` bytes.
pub(crate) fn raw_ends(
    tls: &Tls,
    congestion: &Congestion,
    window: u32,
    seeds: [u64; 2],
) -> [WeftlineEnd; 2] {
    let transport = |transport: &mut TransportConfig| transport.congestion = congestion.clone();
    let limits = |limits: &mut Limits| {
        limits.stream_window = window.into();
        limits.stream_window_max = window.into();
        limits.connection_window = window.into();
        limits.connection_window_max = window.into();
        limits.stream_send_buffer = window as usize;
        limits.connection_send_buffer = window as usize;
    };
    ends(tls, Above::Nothing, seeds, transport, limits)
}

/// A client and a server.
fn ends(
    tls: &Tls,
    above: Above,
    seeds: [u64; 2],
    transport: impl Fn(&mut TransportConfig),
    limits: impl Fn(&mut Limits),
) -> [WeftlineEnd; 2] {
    let mut server = ServerConfig::builder(Arc::new(tls.weftline_server()));
    let mut client = ClientConfig::builder(Arc::new(tls.weftline_client()));
    if matches!(above, Above::Nothing) {
        server = server.raw_alpn([ALPN]).without_http3();
        client = client.raw_alpn([ALPN]);
    }
    let transport = |config: &mut TransportConfig| {
        config.datagram_size = DATAGRAM_SIZE;
        transport(config);
    };
    let server = server.with_transport(transport).with_limits(&limits);
    let client = client.with_transport(transport).with_limits(&limits);
    let server = EndpointConfig::server(Arc::new(server.build().expect("a configuration")));
    let client_config = Arc::new(client.build().expect("a configuration"));
    let end = |config, seed, peer, client| WeftlineEnd {
        endpoint: Endpoint::new(config, Box::new(SeededEntropy::new(seed))),
        peer,
        config: client,
        connection: None,
        above,
        out: vec![0; usize::from(DATAGRAM_SIZE) * BATCH],
    };
    let [here, there] = [4433, 5000].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let [client_seed, server_seed] = seeds;
    let client = end(
        EndpointConfig::client(),
        client_seed,
        there,
        Some(client_config),
    );
    [client, end(server, server_seed, here, None)]
}

impl WeftlineEnd {
    fn connection(&mut self) -> &mut Connection {
        let id = self.connection.expect("a connection");
        self.endpoint.connection(id).expect("an open connection")
    }

    fn raw(&mut self) -> Raw<'_> {
        self.connection().raw().expect("a raw connection")
    }

    /// The session; `None` for raw QUIC.
    fn session(&self) -> Option<SessionId> {
        match self.above {
            Above::Nothing => None,
            Above::Session(session) => Some(session.expect("a session")),
        }
    }

    fn on_event(&mut self, event: Event) -> Happened<StreamId> {
        match event {
            Event::Connected => match self.above {
                Above::Nothing => Happened::Ready,
                Above::Session(_) if self.config.is_some() => {
                    let request = SessionRequest::new("a.bench.test", "/");
                    let session = self.connection().request_session(request);
                    self.above = Above::Session(session.ok());
                    Happened::Other
                }
                Above::Session(_) => Happened::Other,
            },
            Event::SessionRequested(session, _) => {
                let accepted = self.connection().accept_session(session, None);
                accepted.expect("a session");
                self.above = Above::Session(Some(session));
                Happened::Ready
            }
            Event::SessionReady(..) => Happened::Ready,
            Event::StreamOpened(_, stream) | Event::RawStreamOpened(stream) => {
                Happened::Opened(stream)
            }
            Event::Readable(stream) => Happened::Readable(stream),
            Event::Writable(stream) => Happened::Writable(stream),
            Event::StreamsAvailable(_) => Happened::Available,
            Event::Datagrams(_) | Event::RawDatagrams => Happened::Datagrams,
            _ => Happened::Other,
        }
    }
}

impl End for WeftlineEnd {
    type Stream = StreamId;

    fn handle_datagram(&mut self, now: Duration, datagram: &mut [u8]) {
        let meta = RecvMeta {
            from: self.peer,
            to: None,
            ecn: None,
        };
        self.endpoint.handle_datagram(instant(now), meta, datagram);
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.endpoint.handle_timeout(instant(now));
    }

    fn poll_timeout(&mut self) -> Option<Duration> {
        let at = self.endpoint.poll_timeout()?;
        Some(at.saturating_since(Instant::ZERO))
    }

    fn poll_transmit(&mut self, now: Duration) -> Option<(&[u8], usize)> {
        let transmit = self.endpoint.poll_transmit(instant(now), &mut self.out)?;
        let segment = transmit.segment.unwrap_or(transmit.len);
        Some((&self.out[..transmit.len], segment))
    }

    fn poll_event(&mut self) -> Option<Happened<StreamId>> {
        let (id, event) = self.endpoint.poll_event()?;
        self.connection = Some(id);
        Some(self.on_event(event))
    }

    fn connect(&mut self, now: Duration, name: &str) {
        let config = self.config.clone().expect("a client");
        let connection = self.endpoint.connect(instant(now), self.peer, name, config);
        self.connection = Some(connection.expect("a connection"));
    }

    fn close(&mut self, _: Duration) {
        self.connection().close(0x100, "");
    }

    fn is_empty(&self) -> bool {
        self.endpoint.is_empty()
    }

    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let dir = match dir {
            Dir::Bi => weftline::Dir::Bi,
            Dir::Uni => weftline::Dir::Uni,
        };
        match self.session() {
            Some(session) => self.connection().open_stream(session, dir).ok(),
            None => self.raw().open(dir).ok(),
        }
    }

    fn write(&mut self, stream: StreamId, data: &[u8]) -> usize {
        match self.above {
            Above::Session(_) => self.connection().write(stream, data).unwrap_or(0),
            Above::Nothing => self.raw().write(stream, data).unwrap_or(0),
        }
    }

    fn finish(&mut self, stream: StreamId) {
        match self.above {
            Above::Session(_) => drop(self.connection().finish(stream)),
            Above::Nothing => drop(self.raw().finish(stream)),
        }
    }

    fn read(&mut self, stream: StreamId) -> Read {
        match self.above {
            Above::Session(_) => {
                let connection = self.connection();
                read_all(|| connection.read(stream, usize::MAX).ok())
            }
            Above::Nothing => {
                let mut raw = self.raw();
                read_all(|| raw.read(stream, usize::MAX).ok())
            }
        }
    }

    fn send_datagram(&mut self, data: &[u8]) {
        let sent = match self.session() {
            Some(session) => self.connection().send_datagram(session, data),
            None => self.raw().send_datagram(data),
        };
        sent.expect("room for a datagram");
    }

    fn recv_datagram(&mut self) -> Option<usize> {
        let datagram = match self.session() {
            Some(session) => self.connection().recv_datagram(session),
            None => self.raw().recv_datagram(),
        };
        datagram.map(|datagram| datagram.len())
    }
}

/// Reads pieces until there is none (`None`), or the end (`Some(None)`).
fn read_all(mut read: impl FnMut() -> Option<Option<Bytes>>) -> Read {
    let mut all = Read::default();
    while let Some(piece) = read() {
        let Some(data) = piece else {
            all.end = true;
            break;
        };
        all.len += data.len();
    }
    all
}

fn instant(now: Duration) -> Instant {
    Instant::ZERO + now
}

const ALPN: &str = "bench";
