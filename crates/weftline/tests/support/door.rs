//! A server's door, and guests that show tokens there.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use weftline::{
    ConnId, Endpoint, Event, Incoming, Instant, Received, RecvMeta,
    config::{ClientConfig, EndpointConfig, Limits, ServerConfig, TokenStore},
    crypto::{
        Version,
        null::{NullClient, NullServer},
    },
    entropy::SeededEntropy,
    event::CloseReason,
};

pub(crate) const START: Instant = Instant::from_micros(1_000_000);
pub(crate) const SERVER: SocketAddr = host(2, 4433);

pub(crate) const fn host(host: u8, port: u16) -> SocketAddr {
    let ip = std::net::Ipv4Addr::new(10, 0, 0, host);
    SocketAddr::V4(std::net::SocketAddrV4::new(ip, port))
}

/// A server, and what became of each datagram that it got.
pub(crate) struct Door {
    pub(crate) now: Instant,
    pub(crate) server: Endpoint,
    pub(crate) received: Vec<Received>,
    pub(crate) incoming: Vec<Incoming>,
    guests: u64,
}

/// A client with one connection.
pub(crate) struct Guest {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: SocketAddr,
    pub(crate) id: ConnId,
    pub(crate) closed: Option<CloseReason>,
}

/// Tokens that a test gives out as it likes.
#[derive(Clone, Default)]
pub(crate) struct Pocket(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pocket {
    pub(crate) fn holding(token: &[u8]) -> Self {
        let pocket = Self::default();
        pocket.put("", Version::V1, token);
        pocket
    }

    pub(crate) fn tokens(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().clone()
    }
}

impl TokenStore for Pocket {
    fn put(&self, _: &str, _: Version, token: &[u8]) {
        self.0.lock().unwrap().push(token.to_vec());
    }

    /// The newest, again and again.
    fn take(&self, _: &str, _: Version) -> Option<Vec<u8>> {
        self.0.lock().unwrap().last().cloned()
    }
}

pub(crate) fn client_config(pocket: Option<&Pocket>) -> Arc<ClientConfig> {
    let config = ClientConfig::builder(Arc::new(NullClient::insecure()));
    let config = match pocket {
        Some(pocket) => config.token_store(Arc::new(pocket.clone())),
        None => config,
    };
    Arc::new(config.build().unwrap())
}

/// A server endpoint, whose configuration `change` changes.
pub(crate) fn server(
    limits: impl FnOnce(&mut Limits),
    change: impl FnOnce(EndpointConfig) -> EndpointConfig,
) -> Endpoint {
    let config = ServerConfig::builder(Arc::new(NullServer::insecure())).with_limits(limits);
    let config = EndpointConfig::server(Arc::new(config.build().unwrap()));
    Endpoint::new(change(config), Box::new(SeededEntropy::new(2)))
}

impl Door {
    pub(crate) fn new(change: impl FnOnce(EndpointConfig) -> EndpointConfig) -> Self {
        Self::of(server(|_| {}, change))
    }

    pub(crate) fn of(server: Endpoint) -> Self {
        Self {
            now: START,
            server,
            received: Vec::new(),
            incoming: Vec::new(),
            guests: 0,
        }
    }

    /// A client that is about to knock.
    pub(crate) fn guest(&mut self, address: SocketAddr, config: Arc<ClientConfig>) -> Guest {
        self.guests += 1;
        let entropy = Box::new(SeededEntropy::new(100 + self.guests));
        let mut endpoint = Endpoint::new(EndpointConfig::client(), entropy);
        let id = endpoint.connect(self.now, SERVER, "door.test", config);
        Guest {
            endpoint,
            address,
            id: id.unwrap(),
            closed: None,
        }
    }

    /// A client's whole handshake, from the door's first word to its last. Gives what the server
    /// made of the client's datagrams.
    pub(crate) fn visit(&mut self, guest: &mut Guest) -> Vec<Received> {
        self.received.clear();
        for _ in 0..10 {
            self.exchange(guest);
            self.now += Duration::from_millis(20);
            guest.endpoint.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
        }
        self.received.clone()
    }

    /// Everything that either end has to say now.
    pub(crate) fn exchange(&mut self, guest: &mut Guest) {
        for mut datagram in sent(&mut guest.endpoint, self.now) {
            self.knock(guest.address, &mut datagram);
        }
        for (to, mut datagram) in self.answers() {
            if to == guest.address {
                let meta = from(SERVER);
                guest
                    .endpoint
                    .handle_datagram(self.now, meta, &mut datagram);
            }
        }
        while let Some((_, event)) = guest.endpoint.poll_event() {
            if let Event::Closed(reason) = event {
                guest.closed = Some(reason);
            }
        }
    }

    /// Hands a datagram to the server.
    pub(crate) fn knock(&mut self, address: SocketAddr, datagram: &mut [u8]) -> Received {
        let received = self
            .server
            .handle_datagram(self.now, from(address), datagram);
        self.received.push(received);
        while self.server.poll_event().is_some() {}
        while let Some(incoming) = self.server.poll_incoming() {
            self.incoming.push(incoming);
        }
        received
    }

    /// What the server sends, and where to.
    pub(crate) fn answers(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut buffer = vec![0; 1452];
        let mut all = Vec::new();
        while let Some(transmit) = self.server.poll_transmit(self.now, &mut buffer) {
            let segment = transmit.segment.unwrap_or(transmit.len);
            let datagrams = buffer[..transmit.len].chunks(segment);
            all.extend(datagrams.map(|datagram| (transmit.to, datagram.to_vec())));
        }
        all
    }
}

impl Guest {
    pub(crate) fn is_established(&mut self) -> bool {
        let connection = self.endpoint.connection(self.id);
        connection.is_some_and(|connection| connection.is_established())
    }

    pub(crate) fn close_code(&self) -> Option<u64> {
        self.closed.as_ref().map(|reason| reason.code)
    }
}

pub(crate) fn sent(endpoint: &mut Endpoint, now: Instant) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 1452];
    let mut all = Vec::new();
    while let Some(transmit) = endpoint.poll_transmit(now, &mut buffer) {
        let segment = transmit.segment.unwrap_or(transmit.len);
        let datagrams = buffer[..transmit.len].chunks(segment);
        all.extend(datagrams.map(<[u8]>::to_vec));
    }
    all
}

pub(crate) const fn from(address: SocketAddr) -> RecvMeta {
    RecvMeta {
        from: address,
        to: None,
        ecn: None,
    }
}
