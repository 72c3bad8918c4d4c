//! Configuration. A built config cannot be wrong: every check is in `build`.

use alloc::{borrow::Cow, sync::Arc, vec::Vec};
use core::{fmt, time::Duration};

mod admission;
mod alpn;
mod limits;
mod transport;

pub use admission::{Admission, ServerSecrets, TokenStore};
pub(crate) use alpn::{HTTP3, Protocols};
pub use limits::Limits;
pub use transport::TransportConfig;

use crate::{
    crypto::{ClientProvider, ServerProvider, Version},
    error::ConfigError,
    probe::ProbeFactory,
    wire::varint,
    wt::Dialect,
};

/// What a server endpoint accepts connections with.
#[derive(Clone)]
pub struct ServerConfig {
    pub(crate) crypto: Arc<dyn ServerProvider>,
    pub(crate) transport: TransportConfig,
    pub(crate) limits: Limits,
    pub(crate) dialects: &'static [Dialect],
    pub(crate) protocols: Protocols,
    pub(crate) probe: Option<Arc<dyn ProbeFactory>>,
}

/// What a client opens a connection with.
#[derive(Clone)]
pub struct ClientConfig {
    pub(crate) crypto: Arc<dyn ClientProvider>,
    pub(crate) tokens: ClientTokens,
    pub(crate) transport: TransportConfig,
    pub(crate) limits: Limits,
    pub(crate) dialects: &'static [Dialect],
    pub(crate) protocols: Protocols,
    pub(crate) probe: Option<Arc<dyn ProbeFactory>>,
}

/// What an endpoint is built with.
#[derive(Clone)]
pub struct EndpointConfig {
    pub(crate) server: Option<Arc<ServerConfig>>,
    pub(crate) secrets: Option<ServerSecrets>,
    pub(crate) unix_origin: Option<Duration>,
    pub(crate) admission: Admission,
    pub(crate) retry_lifetime: Duration,
    pub(crate) token_lifetime: Duration,
    pub(crate) limits: Limits,
}

/// What becomes of tokens for later connections.
#[derive(Clone, Default)]
pub(crate) enum ClientTokens {
    /// The endpoint keeps them.
    #[default]
    Endpoint,
    Store(Arc<dyn TokenStore>),
    /// None are kept or shown.
    Never,
}

/// Builds a [`ServerConfig`] or a [`ClientConfig`].
#[derive(Clone)]
pub struct Builder<P: ?Sized> {
    crypto: Arc<P>,
    tokens: ClientTokens,
    transport: TransportConfig,
    limits: Limits,
    dialects: &'static [Dialect],
    protocols: Protocols,
    probe: Option<Arc<dyn ProbeFactory>>,
}

impl ServerConfig {
    /// Starts a configuration with this TLS.
    pub fn builder(crypto: Arc<dyn ServerProvider>) -> Builder<dyn ServerProvider> {
        Builder::new(crypto)
    }
}

impl ClientConfig {
    /// Starts a configuration with this TLS.
    pub fn builder(crypto: Arc<dyn ClientProvider>) -> Builder<dyn ClientProvider> {
        Builder::new(crypto)
    }
}

impl EndpointConfig {
    /// An endpoint that only opens connections.
    pub fn client() -> Self {
        Self::new(None, Limits::default())
    }

    /// An endpoint that accepts connections, and may open some.
    pub fn server(config: Arc<ServerConfig>) -> Self {
        let limits = config.limits.clone();
        Self::new(Some(config), limits)
    }

    fn new(server: Option<Arc<ServerConfig>>, limits: Limits) -> Self {
        Self {
            server,
            secrets: None,
            unix_origin: None,
            admission: Admission::default(),
            retry_lifetime: Duration::from_secs(15),
            token_lifetime: Duration::from_secs(24 * 60 * 60),
            limits,
        }
    }

    /// What tokens and stateless resets are made with. Drawn at random when absent: then those of
    /// another endpoint, or of a time before this one, are worth nothing.
    pub fn secrets(mut self, secrets: ServerSecrets) -> Self {
        self.secrets = Some(secrets);
        self
    }

    /// The time since the Unix epoch at [`Instant::ZERO`](crate::Instant::ZERO) of the clock that the
    /// endpoint is driven by. Servers that share [`secrets`](Self::secrets) need it, as tokens say
    /// when they were made; their clocks may be ten seconds apart. The adapters set it when it is
    /// not set.
    pub fn unix_origin(mut self, time: Duration) -> Self {
        self.unix_origin = Some(time);
        self
    }

    /// Whom to let begin a handshake; everybody by default.
    pub fn admission(mut self, admission: Admission) -> Self {
        self.admission = admission;
        self
    }

    /// How long the token of a Retry packet counts (15 seconds by default), and how long that of a
    /// NEW_TOKEN frame (a day; zero to give none).
    pub fn token_lifetimes(mut self, retry: Duration, new_token: Duration) -> Self {
        self.retry_lifetime = retry;
        self.token_lifetime = new_token;
        self
    }

    /// Replaces the limits, of which an endpoint heeds those on connections, tokens and answers. A
    /// server's are those of its configuration by default.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Changes the limits in place.
    pub fn with_limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }
}

impl<P: ?Sized> Builder<P> {
    fn new(crypto: Arc<P>) -> Self {
        Self {
            crypto,
            tokens: ClientTokens::default(),
            transport: TransportConfig::default(),
            limits: Limits::default(),
            dialects: Dialect::ALL,
            protocols: Protocols::default(),
            probe: None,
        }
    }

    /// Replaces the transport settings.
    pub fn transport(mut self, transport: TransportConfig) -> Self {
        self.transport = transport;
        self
    }

    /// Changes the transport settings in place.
    pub fn with_transport(mut self, change: impl FnOnce(&mut TransportConfig)) -> Self {
        change(&mut self.transport);
        self
    }

    /// Replaces the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Changes the limits in place.
    pub fn with_limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Restricts the WebTransport dialects; all of [`Dialect::ALL`] by default.
    pub fn dialects(mut self, dialects: &'static [Dialect]) -> Self {
        self.dialects = dialects;
        self
    }

    /// Speaks no HTTP/3: only the protocols of [`raw_alpn`](Self::raw_alpn).
    pub fn without_http3(mut self) -> Self {
        self.protocols.http3 = false;
        self
    }

    fn set_raw<N: Into<Vec<u8>>>(&mut self, names: impl IntoIterator<Item = N>) {
        self.protocols.raw = names.into_iter().map(Into::into).collect();
    }

    /// Has this make a probe for every connection, which sees what happens on it. None by default.
    pub fn probe(mut self, factory: Arc<dyn ProbeFactory>) -> Self {
        self.probe = Some(factory);
        self
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Limits {
            streams_bidi,
            streams_uni,
            ..
        } = self.limits;
        range("limits.streams_bidi", streams_bidi, 0, MAX_STREAMS)?;
        // Control, QPACK encoder and decoder streams (RFC 9114, section 6.2).
        let critical = if self.protocols.http3 { 3 } else { 0 };
        range("limits.streams_uni", streams_uni, critical, MAX_STREAMS)?;
        range(
            "limits.stream_window",
            self.limits.stream_window,
            1024,
            varint::MAX,
        )?;
        range(
            "limits.connection_window",
            self.limits.connection_window,
            1024,
            varint::MAX,
        )?;
        let peer_cids = self.limits.peer_cids as u64;
        range("limits.peer_cids", peer_cids, 2, 64)?;
        range(
            "limits.closed_sessions",
            self.limits.closed_sessions as u64,
            1,
            4096,
        )?;
        range(
            "transport.datagram_size",
            self.transport.datagram_size.into(),
            1200,
            65_527,
        )?;
        range(
            "transport.datagram_size_max",
            self.transport.datagram_size_max.into(),
            1200,
            65_527,
        )?;
        let ack_delay = self.transport.max_ack_delay.as_millis() as u64;
        range("transport.max_ack_delay (ms)", ack_delay, 0, (1 << 14) - 1)?;
        let initial_rtt = self.transport.initial_rtt.as_micros() as u64;
        range("transport.initial_rtt (us)", initial_rtt, 1, 60_000_000)?;
        check_versions(&self.transport.versions)?;
        if self.limits.stream_window > self.limits.stream_window_max {
            return Err(ConfigError::Conflict(
                "limits.stream_window is above stream_window_max",
            ));
        }
        if self.limits.connection_window > self.limits.connection_window_max {
            return Err(ConfigError::Conflict(
                "limits.connection_window is above connection_window_max",
            ));
        }
        let webtransport = self.protocols.http3 && !self.dialects.is_empty();
        if webtransport && !self.transport.datagrams {
            return Err(ConfigError::Conflict(
                "WebTransport needs transport.datagrams",
            ));
        }
        self.protocols.check()
    }
}

impl Builder<dyn ServerProvider> {
    /// Takes connections of these application protocols (ALPN) too, the best first, beside HTTP/3.
    /// They are used through [`Connection::raw`](crate::Connection::raw).
    pub fn raw_alpn<N: Into<Vec<u8>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.set_raw(names);
        self
    }

    /// Checks every setting.
    pub fn build(self) -> Result<ServerConfig, ConfigError> {
        self.check()?;
        let Self {
            crypto,
            transport,
            limits,
            dialects,
            protocols,
            probe,
            ..
        } = self;
        Ok(ServerConfig {
            crypto,
            transport,
            limits,
            dialects,
            protocols,
            probe,
        })
    }
}

impl Builder<dyn ClientProvider> {
    /// Keeps the tokens that servers give for later connections there. By default the endpoint
    /// keeps them, for all its connections.
    pub fn token_store(mut self, store: Arc<dyn TokenStore>) -> Self {
        self.tokens = ClientTokens::Store(store);
        self
    }

    /// Keeps and shows no tokens: a server cannot tell by them that two connections are of one
    /// client.
    pub fn without_tokens(mut self) -> Self {
        self.tokens = ClientTokens::Never;
        self
    }

    /// Offers these application protocols (ALPN), the best first, instead of HTTP/3. The connection
    /// is used through [`Connection::raw`](crate::Connection::raw).
    pub fn raw_alpn<N: Into<Vec<u8>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.set_raw(names);
        self.without_http3()
    }

    /// Checks every setting.
    pub fn build(self) -> Result<ClientConfig, ConfigError> {
        self.check()?;
        let Self {
            crypto,
            tokens,
            transport,
            limits,
            dialects,
            protocols,
            probe,
        } = self;
        Ok(ClientConfig {
            crypto,
            tokens,
            transport,
            limits,
            dialects,
            protocols,
            probe,
        })
    }
}

fn check_versions(versions: &[Version]) -> Result<(), ConfigError> {
    let mut rest = versions;
    while let Some((version, others)) = rest.split_first() {
        if !Version::ALL.contains(version) {
            return Err(ConfigError::Conflict(
                "transport.versions has one that this library does not speak",
            ));
        }
        if others.contains(version) {
            return Err(ConfigError::Conflict("transport.versions has one twice"));
        }
        rest = others;
    }
    if versions.is_empty() {
        return Err(ConfigError::Conflict("transport.versions is empty"));
    }
    Ok(())
}

/// The most streams of a kind that a peer may have open. One frame opens all streams up to the one
/// it names (RFC 9000, section 3.2), and each costs memory.
const MAX_STREAMS: u64 = 1 << 20;

fn range(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let bound = Cow::Owned(alloc::format!("between {min} and {max}"));
    Err(ConfigError::OutOfRange {
        field,
        value,
        bound,
    })
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("transport", &self.transport)
            .field("limits", &self.limits)
            .field("dialects", &self.dialects)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("transport", &self.transport)
            .field("limits", &self.limits)
            .field("dialects", &self.dialects)
            .finish_non_exhaustive()
    }
}
