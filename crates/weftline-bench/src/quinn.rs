//! An end of quinn-proto's: an endpoint, its connection, and what the `quinn` crate does to carry
//! events between the two.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, Event,
    ServerConfig, StreamEvent, StreamId, TransportConfig, VarInt,
    congestion::ControllerFactory,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};

use crate::{
    pair::{BATCH, DATAGRAM_SIZE, Dir, End, Happened, Pair, Read},
    tls::Tls,
};

pub(crate) struct QuinnEnd {
    /// Where virtual time is zero.
    epoch: Instant,
    endpoint: Endpoint,
    peer: SocketAddr,
    /// A client's.
    config: Option<ClientConfig>,
    connection: Option<(ConnectionHandle, Connection)>,
    events: VecDeque<Happened<StreamId>>,
    /// What the endpoint answers by itself.
    answers: VecDeque<Vec<u8>>,
    out: Vec<u8>,
}

pub(crate) fn pair(tls: &Tls) -> Pair<QuinnEnd> {
    let [client, server] = ends(tls, [1, 2], |_| {});
    Pair::new(client, server)
}

/// A client and a server with windows and send buffers of `window` bytes.
pub(crate) fn ends_with(
    tls: &Tls,
    congestion: Arc<dyn ControllerFactory + Send + Sync>,
    window: u32,
    seeds: [u8; 2],
) -> [QuinnEnd; 2] {
    ends(tls, seeds, |transport| {
        transport
            .congestion_controller_factory(congestion)
            .stream_receive_window(window.into())
            .receive_window(window.into())
            .send_window(window.into());
    })
}

/// A client and a server.
fn ends(tls: &Tls, seeds: [u8; 2], more: impl FnOnce(&mut TransportConfig)) -> [QuinnEnd; 2] {
    let mut transport = TransportConfig::default();
    transport
        .initial_mtu(DATAGRAM_SIZE)
        .mtu_discovery_config(None);
    more(&mut transport);
    let transport = Arc::new(transport);
    let crypto = QuicServerConfig::try_from(tls.rustls_server()).expect("a cipher for Initials");
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    server.transport_config(Arc::clone(&transport));
    let crypto = QuicClientConfig::try_from(tls.rustls_client()).expect("a cipher for Initials");
    let mut client = ClientConfig::new(Arc::new(crypto));
    client.transport_config(transport);

    let epoch = Instant::now();
    let end = |seed, peer, client, server| {
        let mut config = EndpointConfig::default();
        config.rng_seed(Some([seed; 32]));
        QuinnEnd {
            epoch,
            endpoint: Endpoint::new(Arc::new(config), server, true, None),
            peer,
            config: client,
            connection: None,
            events: VecDeque::new(),
            answers: VecDeque::new(),
            out: Vec::with_capacity(usize::from(DATAGRAM_SIZE) * BATCH),
        }
    };
    let [here, there] = [4433, 5000].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let [client_seed, server_seed] = seeds;
    let client = end(client_seed, there, Some(client), None);
    [client, end(server_seed, here, None, Some(Arc::new(server)))]
}

impl QuinnEnd {
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection.as_mut().expect("a connection").1
    }

    /// Carries what the connection has to tell the endpoint, and its answers back.
    fn exchange(&mut self) {
        while let Some((handle, connection)) = &mut self.connection
            && let Some(event) = connection.poll_endpoint_events()
        {
            let is_drained = event.is_drained();
            if let Some(answer) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(answer);
            }
            if is_drained {
                self.connection = None;
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Happened<StreamId> {
        match event {
            Event::Connected => Happened::Ready,
            Event::Stream(StreamEvent::Opened { dir }) => {
                while let Some(stream) = self.connection().streams().accept(dir) {
                    self.events.push_back(Happened::Opened(stream));
                }
                Happened::Other
            }
            Event::Stream(StreamEvent::Readable { id }) => Happened::Readable(id),
            Event::Stream(StreamEvent::Writable { id }) => Happened::Writable(id),
            Event::Stream(StreamEvent::Available { .. }) => Happened::Available,
            Event::DatagramReceived => Happened::Datagrams,
            _ => Happened::Other,
        }
    }
}

impl End for QuinnEnd {
    type Stream = StreamId;

    fn handle_datagram(&mut self, now: Duration, datagram: &mut [u8]) {
        let now = self.epoch + now;
        let mut answer = Vec::new();
        let datagram = BytesMut::from(&*datagram);
        let event = self
            .endpoint
            .handle(now, self.peer, None, None, datagram, &mut answer);
        match event {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut self.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let accepted = self.endpoint.accept(incoming, now, &mut answer, None);
                self.connection = accepted.ok();
            }
            Some(DatagramEvent::Response(_)) => self.answers.push_back(answer),
            None => {}
        }
    }

    fn handle_timeout(&mut self, now: Duration) {
        let now = self.epoch + now;
        if let Some((_, connection)) = &mut self.connection {
            connection.handle_timeout(now);
        }
        self.exchange();
    }

    fn poll_timeout(&mut self) -> Option<Duration> {
        let (_, connection) = self.connection.as_mut()?;
        let at = connection.poll_timeout()?;
        Some(at.saturating_duration_since(self.epoch))
    }

    fn poll_transmit(&mut self, now: Duration) -> Option<(&[u8], usize)> {
        self.out.clear();
        if let Some(answer) = self.answers.pop_front() {
            self.out = answer;
            return Some((&self.out, self.out.len()));
        }
        self.exchange();
        let (_, connection) = self.connection.as_mut()?;
        let transmit = connection.poll_transmit(self.epoch + now, BATCH, &mut self.out)?;
        let segment = transmit.segment_size.unwrap_or(transmit.size);
        Some((&self.out[..transmit.size], segment))
    }

    fn poll_event(&mut self) -> Option<Happened<StreamId>> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let (_, connection) = self.connection.as_mut()?;
        let event = connection.poll()?;
        Some(self.on_event(event))
    }

    fn connect(&mut self, now: Duration, name: &str) {
        let config = self.config.clone().expect("a client");
        let now = self.epoch + now;
        let connection = self.endpoint.connect(now, config, self.peer, name);
        self.connection = Some(connection.expect("a connection"));
    }

    fn close(&mut self, now: Duration) {
        let now = self.epoch + now;
        self.connection()
            .close(now, VarInt::from_u32(0x100), bytes::Bytes::new());
    }

    fn is_empty(&self) -> bool {
        self.connection.is_none()
    }

    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let dir = match dir {
            Dir::Bi => quinn_proto::Dir::Bi,
            Dir::Uni => quinn_proto::Dir::Uni,
        };
        self.connection().streams().open(dir)
    }

    fn write(&mut self, stream: StreamId, data: &[u8]) -> usize {
        let mut stream = self.connection().send_stream(stream);
        stream.write(data).unwrap_or(0)
    }

    fn finish(&mut self, stream: StreamId) {
        let finished = self.connection().send_stream(stream).finish();
        finished.expect("an open stream");
    }

    fn read(&mut self, stream: StreamId) -> Read {
        let mut read = Read::default();
        let mut stream = self.connection().recv_stream(stream);
        // A stream read to its end is gone.
        let Ok(mut chunks) = stream.read(true) else {
            return read;
        };
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => read.len += chunk.bytes.len(),
                Ok(None) => {
                    read.end = true;
                    break;
                }
                Err(_) => break,
            }
        }
        // Whatever is to send follows from `poll_transmit`.
        let _ = chunks.finalize();
        read
    }

    fn send_datagram(&mut self, data: &[u8]) {
        let data = bytes::Bytes::copy_from_slice(data);
        let sent = self.connection().datagrams().send(data, false);
        sent.expect("room for a datagram");
    }

    fn recv_datagram(&mut self) -> Option<usize> {
        let datagram = self.connection().datagrams().recv()?;
        Some(datagram.len())
    }
}
