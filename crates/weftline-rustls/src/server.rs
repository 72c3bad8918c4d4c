//! Handshakes as a server.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use rustls::{
    KeyLogFile, ServerConfig,
    quic::ServerConnection,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::TLS13,
};
use weftline::crypto::{Provider, ServerProvider, Session, TlsError, Version};

use crate::{
    clock::Clock,
    error::{Source, TlsConfigError},
    identity::{self, Identity},
    keylog::FileLog,
    keys::quic_version,
    provider::{CipherSuite, RingProvider, crypto_provider},
    session::RustlsSession,
};

/// Starts TLS handshakes as a server. Copies are the same server: replacing the certificate of
/// one replaces it for all.
#[derive(Clone)]
pub struct ServerTls {
    shared: Arc<Shared>,
}

/// Says who a server is and whom it serves.
#[derive(Clone, Debug)]
pub struct ServerTlsBuilder {
    identity: Identity,
    client_ca: Option<ClientCa>,
    clock: Clock,
    key_log: bool,
    suites: Vec<CipherSuite>,
    key_log_file: Option<PathBuf>,
}

#[derive(Clone, Debug)]
enum ClientCa {
    File(PathBuf),
    Pem(Vec<u8>),
}

struct Shared {
    /// With the protocols that were asked for last.
    config: Mutex<Arc<ServerConfig>>,
    resolver: Arc<Resolver>,
    clock: Clock,
}

impl ServerTls {
    /// Begins with this certificate, for all clients.
    pub fn builder(identity: Identity) -> ServerTlsBuilder {
        ServerTlsBuilder {
            identity,
            client_ca: None,
            clock: Clock::system(),
            key_log: false,
            suites: CipherSuite::ALL.into(),
            key_log_file: None,
        }
    }

    /// Shows another certificate from the next handshake on. Open connections stay.
    ///
    /// # Errors
    ///
    /// The certificate is not valid now; the old one stays.
    pub fn replace(&self, identity: Identity) -> Result<(), TlsConfigError> {
        identity.check_validity(&self.shared.clock)?;
        let current = &self.shared.resolver.current;
        *current.write().unwrap_or_else(PoisonError::into_inner) = identity.certified;
        Ok(())
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl ServerTlsBuilder {
    /// Serves only clients with a certificate signed by an authority in this PEM file.
    #[must_use]
    pub fn client_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_ca = Some(ClientCa::File(path.into()));
        self
    }

    /// Serves only clients with a certificate signed by an authority in this PEM.
    #[must_use]
    pub fn client_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.client_ca = Some(ClientCa::Pem(pem.into()));
        self
    }

    /// Takes the time from `clock`. The default is the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Takes only these cipher suites, the best first. The default is all. An empty list is an error of `build`.
    #[must_use]
    pub fn cipher_suites(mut self, suites: impl Into<Vec<CipherSuite>>) -> Self {
        self.suites = suites.into();
        self
    }

    /// Appends TLS secrets to the file that the environment variable `SSLKEYLOGFILE` names, if
    /// any, for packet analysers. Whoever reads that file reads the connections.
    #[must_use]
    pub fn key_log_from_env(mut self) -> Self {
        self.key_log = true;
        self
    }

    /// Appends TLS secrets to this file, for packet analysers, whatever the environment says.
    /// Whoever reads that file reads the connections.
    #[must_use]
    pub fn key_log_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key_log_file = Some(path.into());
        self
    }

    /// Reads files and checks everything.
    ///
    /// # Errors
    ///
    /// A file cannot be read or used, or the certificate is not valid now.
    pub fn build(self) -> Result<ServerTls, TlsConfigError> {
        self.identity.check_validity(&self.clock)?;
        let provider = crypto_provider(&self.suites);
        let roots = match self.client_ca {
            Some(ClientCa::File(path)) => Some(identity::roots_from_file(&path)?),
            Some(ClientCa::Pem(pem)) => Some(identity::roots(&pem, &Source::Bytes)?),
            None => None,
        };
        let resolver = Arc::new(Resolver {
            current: RwLock::new(self.identity.certified),
        });
        let builder =
            ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(self.clock.clone()))
                .with_protocol_versions(&[&TLS13])?;
        let builder = match roots {
            Some(roots) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                let verifier = verifier.map_err(|error| TlsConfigError::Tls(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&resolver) as _);
        config.max_early_data_size = 0;
        if let Some(path) = self.key_log_file {
            let log = FileLog::open(&path);
            let log = log.map_err(|error| TlsConfigError::KeyLog { path, error })?;
            config.key_log = Arc::new(log);
        } else if self.key_log {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        Ok(ServerTls {
            shared: Arc::new(Shared {
                config: Mutex::new(Arc::new(config)),
                resolver,
                clock: self.clock,
            }),
        })
    }
}

impl Shared {
    /// The configuration with these protocols. An endpoint always asks for the same ones.
    fn config(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if current.alpn_protocols != alpn {
            let mut config = ServerConfig::clone(&current);
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            *current = Arc::new(config);
        }
        Arc::clone(&current)
    }
}

impl ServerProvider for ServerTls {
    fn provider(&self) -> Arc<dyn Provider> {
        Arc::new(RingProvider)
    }

    fn start(
        &self,
        version: Version,
        alpn: &[&[u8]],
        transport_parameters: Vec<u8>,
    ) -> Result<Box<dyn Session>, TlsError> {
        let refuse = |reason: String| TlsError {
            alert: INTERNAL_ERROR,
            reason,
        };
        let version = quic_version(version)
            .ok_or_else(|| refuse(format!("no TLS for QUIC version {:#010x}", version.0)))?;
        let config = self.shared.config(alpn);
        let connection = ServerConnection::new(config, version, transport_parameters)
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Box::new(RustlsSession::new(connection)))
    }
}

/// Shows the current certificate to every client.
#[derive(Debug)]
struct Resolver {
    current: RwLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

/// The alert of RFC 8446, section 6, for faults that are our own.
const INTERNAL_ERROR: u8 = 80;
