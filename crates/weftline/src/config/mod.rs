//! Configuration. A built config cannot be wrong: every check is in `build`.

use alloc::{borrow::Cow, sync::Arc, vec::Vec};
use core::fmt;

mod alpn;
mod limits;
mod transport;

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
    pub(crate) reset_key: Option<[u8; 32]>,
    pub(crate) limits: Limits,
}

/// Builds a [`ServerConfig`] or a [`ClientConfig`].
#[derive(Clone)]
pub struct Builder<P: ?Sized> {
    crypto: Arc<P>,
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
        Self {
            server: None,
            reset_key: None,
            limits: Limits::default(),
        }
    }

    /// An endpoint that accepts connections, and may open some.
    pub fn server(config: Arc<ServerConfig>) -> Self {
        let limits = config.limits.clone();
        Self {
            server: Some(config),
            reset_key: None,
            limits,
        }
    }

    /// The key from which stateless reset tokens follow (RFC 9000, section 10.3.2). Give the same
    /// key after a restart to end the connections of the time before. Drawn at random when absent.
    pub fn reset_key(mut self, key: [u8; 32]) -> Self {
        self.reset_key = Some(key);
        self
    }
}

impl<P: ?Sized> Builder<P> {
    fn new(crypto: Arc<P>) -> Self {
        Self {
            crypto,
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
        range("limits.streams_bidi", streams_bidi, 0, 1 << 60)?;
        // Control, QPACK encoder and decoder streams (RFC 9114, section 6.2).
        let critical = if self.protocols.http3 { 3 } else { 0 };
        range("limits.streams_uni", streams_uni, critical, 1 << 60)?;
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
            transport,
            limits,
            dialects,
            protocols,
            probe,
        } = self;
        Ok(ClientConfig {
            crypto,
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
