//! An end of Weftline's: an endpoint with one WebTransport session.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use weftline::{
    ConnId, Endpoint, Event, Instant, RecvMeta, SessionId, SessionRequest, StreamId,
    config::{ClientConfig, EndpointConfig, ServerConfig},
    entropy::SeededEntropy,
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
    session: Option<SessionId>,
    events: VecDeque<Happened<StreamId>>,
    out: Vec<u8>,
}

pub(crate) fn pair(tls: &Tls) -> Pair<WeftlineEnd> {
    let server = ServerConfig::builder(Arc::new(tls.weftline_server()))
        .with_transport(|transport| transport.datagram_size = DATAGRAM_SIZE)
        .build();
    let client = ClientConfig::builder(Arc::new(tls.weftline_client()))
        .with_transport(|transport| transport.datagram_size = DATAGRAM_SIZE)
        .build();
    let server = EndpointConfig::server(Arc::new(server.expect("a configuration")));
    let client_config = Arc::new(client.expect("a configuration"));
    let end = |config, seed, peer, client| WeftlineEnd {
        endpoint: Endpoint::new(config, Box::new(SeededEntropy::new(seed))),
        peer,
        config: client,
        connection: None,
        session: None,
        events: VecDeque::new(),
        out: vec![0; usize::from(DATAGRAM_SIZE) * BATCH],
    };
    let [here, there] = [4433, 5000].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let client = end(EndpointConfig::client(), 1, there, Some(client_config));
    Pair::new(client, end(server, 2, here, None))
}

impl WeftlineEnd {
    fn connection(&mut self) -> &mut weftline::Connection {
        let id = self.connection.expect("a connection");
        self.endpoint.connection(id).expect("an open connection")
    }

    fn session(&self) -> SessionId {
        self.session.expect("a session")
    }

    fn on_event(&mut self, event: Event) -> Happened<StreamId> {
        match event {
            Event::Connected if self.config.is_some() => {
                let request = SessionRequest::new("a.bench.test", "/");
                let session = self.connection().request_session(request);
                self.session = Some(session.expect("a request"));
                Happened::Other
            }
            Event::SessionRequested(session, _) => {
                let accepted = self.connection().accept_session(session, None);
                accepted.expect("a session");
                self.session = Some(session);
                Happened::Ready
            }
            Event::SessionReady(..) => Happened::Ready,
            Event::StreamOpened(_, stream) => Happened::Opened(stream),
            Event::Readable(stream) => Happened::Readable(stream),
            Event::Writable(stream) => Happened::Writable(stream),
            Event::StreamsAvailable(_) => Happened::Available,
            Event::Datagrams(_) => Happened::Datagrams,
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
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
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
        let session = self.session();
        self.connection().open_stream(session, dir).ok()
    }

    fn write(&mut self, stream: StreamId, data: &[u8]) -> usize {
        self.connection().write(stream, data).unwrap_or(0)
    }

    fn finish(&mut self, stream: StreamId) {
        self.connection().finish(stream).expect("an open stream");
    }

    fn read(&mut self, stream: StreamId) -> Read {
        let connection = self.connection();
        let mut read = Read::default();
        loop {
            match connection.read(stream, usize::MAX) {
                Ok(Some(data)) => read.len += data.len(),
                Ok(None) => {
                    read.end = true;
                    return read;
                }
                Err(_) => return read,
            }
        }
    }

    fn send_datagram(&mut self, data: &[u8]) {
        let session = self.session();
        let sent = self.connection().send_datagram(session, data);
        sent.expect("room for a datagram");
    }

    fn recv_datagram(&mut self) -> Option<usize> {
        let session = self.session();
        let datagram = self.connection().recv_datagram(session)?;
        Some(datagram.len())
    }
}

fn instant(now: Duration) -> Instant {
    Instant::ZERO + now
}
