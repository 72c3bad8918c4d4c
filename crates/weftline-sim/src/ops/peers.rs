//! The two peers: raw connections that record what they are told.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use weftline::{
    ConnId, Connection, Endpoint, Event, Instant,
    config::{Builder, ClientConfig, EndpointConfig, Limits, ServerConfig},
    crypto::null::{NullClient, NullServer},
    raw::Raw,
};

use super::Draw;
use crate::{App, LinkConfig, World};

/// What the limits of both peers are.
#[derive(Copy, Clone, Debug)]
pub(super) struct Settings {
    streams: u64,
    stream_window: u64,
    connection_window: u64,
    /// The client has two addresses, and may migrate between them.
    pub(super) has_two: bool,
}

/// Keeps events until somebody looks.
pub(super) struct Recorder {
    config: Option<Arc<ClientConfig>>,
    conn: Option<ConnId>,
    pub(super) connected: bool,
    pub(super) events: VecDeque<Event>,
}

impl Settings {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        Self {
            streams: 3 + draw.below(30),
            stream_window: 1024 << draw.below(9),
            connection_window: 4096 << draw.below(9),
            has_two: draw.below(3) == 0,
        }
    }

    fn apply<P: ?Sized>(&self, builder: Builder<P>) -> Builder<P> {
        builder
            .without_http3()
            .with_limits(|limits: &mut Limits| {
                limits.streams_bidi = self.streams;
                limits.streams_uni = self.streams;
                limits.stream_window = self.stream_window;
                limits.connection_window = self.connection_window;
                limits.stream_window_max = limits.stream_window_max.max(self.stream_window);
                limits.connection_window_max =
                    limits.connection_window_max.max(self.connection_window);
                limits.handshake_timeout = Duration::from_secs(3600);
                // None is to be lost here.
                limits.datagrams_in = 1 << 20;
                limits.datagram_bytes_in = 1 << 30;
            })
            .with_transport(|transport| {
                transport.idle_timeout = Duration::ZERO;
                // A client that is behind a NAT and silent cannot be reached.
                transport.keep_alive = Some(Duration::from_secs(2));
            })
    }
}

/// Both peers, and a perfect network between them.
pub(super) fn world(seed: u64, settings: &Settings) -> World<Recorder> {
    let server = ServerConfig::builder(Arc::new(NullServer::insecure()));
    let client = ClientConfig::builder(Arc::new(NullClient::insecure()));
    let server = settings.apply(server.raw_alpn(["ops"]));
    let client = settings.apply(client.raw_alpn(["ops"]));
    let server = Arc::new(server.build().expect("the settings are sound"));
    let client = Arc::new(client.build().expect("the settings are sound"));
    let configs = [EndpointConfig::client(), EndpointConfig::server(server)];
    let apps = [Some(client), None].map(|config| Recorder {
        config,
        conn: None,
        connected: false,
        events: VecDeque::new(),
    });
    let mut world = World::new(seed, &LinkConfig::default(), configs, apps);
    if settings.has_two {
        world.add_address(0, SECOND, &LinkConfig::default());
    }
    world
}

/// The connection of node `at`.
pub(super) fn connection(world: &mut World<Recorder>, at: usize) -> Option<&mut Connection> {
    let node = world.node(at);
    node.endpoint.connection(node.app.conn?)
}

/// What node `at` does with streams and datagrams.
pub(super) fn raw(world: &mut World<Recorder>, at: usize) -> Option<Raw<'_>> {
    connection(world, at)?.raw()
}

/// Memory that an endpoint's connections hold.
pub(super) fn memory(endpoint: &Endpoint) -> usize {
    endpoint.all_stats().map(|(_, stats)| stats.memory).sum()
}

impl App for Recorder {
    fn on_event(&mut self, _: Instant, _: &mut Endpoint, id: ConnId, event: Event) {
        match event {
            Event::Connected => {
                self.conn = Some(id);
                self.connected = true;
            }
            event => self.events.push_back(event),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.config.as_ref().map(|_| Instant::ZERO)
    }

    fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        if let Some(config) = self.config.take() {
            let to = World::<Self>::address(1);
            let id = endpoint.connect(now, to, "ops.test", config);
            self.conn = Some(id.expect("the settings are sound"));
        }
    }
}

/// The client's other address.
pub(super) const SECOND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 1)), 4433);
