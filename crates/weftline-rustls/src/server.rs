//! Handshakes as a server.

use std::{
    collections::VecDeque,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use rustls::{
    KeyLogFile, RootCertStore, ServerConfig,
    quic::ServerConnection,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::TLS13,
};
use weftline::crypto::{Provider, ServerProvider, Session, TlsError, Version};

use crate::{
    clock::Clock,
    error::{Source, TlsConfigError},
    hash,
    identity::{self, Identity},
    keylog::FileLog,
    keys::quic_version,
    provider::{CipherSuite, RingProvider, crypto_provider},
    session::RustlsSession,
    tickets::{
        ClientTrust, MemorySessions, Scope, ScopedKeys, ScopedSessions, ServerSessions, TicketKeys,
    },
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
    sessions: Option<Arc<dyn ServerSessions>>,
    ticket_keys: Option<TicketKeys>,
    early_data: bool,
}

/// How sessions are resumed.
#[derive(Debug)]
enum Resumption {
    Stored(Arc<dyn ServerSessions>),
    Sealed(TicketKeys),
}

#[derive(Clone, Debug)]
enum ClientCa {
    File(PathBuf),
    Pem(Vec<u8>),
}

struct Shared {
    base: ServerConfig,
    resumption: Resumption,
    trust: ClientTrust,
    /// What was asked for of late, and what came of it.
    configs: Mutex<VecDeque<(Asked, Arc<ServerConfig>)>>,
    resolver: Arc<Resolver>,
    clock: Clock,
}

/// What distinguishes the handshakes of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    alpn: Vec<Vec<u8>>,
    scope: Scope,
}

impl ServerTls {
    /// Begins with this certificate, for all clients.
    pub fn builder(identity: Identity) -> ServerTlsBuilder {
        ServerTlsBuilder {
            identity,
            client_ca: None,
            clock: Clock::system(),
            key_log: false,
            sessions: None,
            ticket_keys: None,
            early_data: false,
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

    /// Keeps the sessions of clients in `sessions`. By default they are in a [`MemorySessions`] of
    /// this server's own.
    #[must_use]
    pub fn sessions(mut self, sessions: Arc<dyn ServerSessions>) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Keeps no sessions, but seals them into the tickets that clients keep: for servers that
    /// resume each other's sessions, and after a restart. They take no early data, as nothing would
    /// keep it from being replayed.
    #[must_use]
    pub fn ticket_keys(mut self, keys: TicketKeys) -> Self {
        self.ticket_keys = Some(keys);
        self
    }

    /// Takes requests before the handshake (0-RTT) from clients that resume a session. Off by
    /// default. Each session is good for one handshake, so early data is not seen twice by servers
    /// that share their [`sessions`](Self::sessions); but on its way to other ones it can be.
    #[must_use]
    pub fn early_data(mut self, on: bool) -> Self {
        self.early_data = on;
        self
    }

    /// Takes only these cipher suites, the best first. The default is all. An empty list is an
    /// error of `build`.
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
    /// A file cannot be read or used, the certificate is not valid now, or early data is wanted with
    /// ticket keys.
    pub fn build(self) -> Result<ServerTls, TlsConfigError> {
        self.identity.check_validity(&self.clock)?;
        let resumption = match (self.ticket_keys, self.sessions) {
            (Some(_), _) if self.early_data => return Err(TlsConfigError::EarlyDataInTickets),
            (Some(keys), _) => Resumption::Sealed(keys),
            (None, Some(sessions)) => Resumption::Stored(sessions),
            (None, None) => Resumption::Stored(Arc::new(MemorySessions::default())),
        };
        let provider = crypto_provider(&self.suites);
        let roots = match self.client_ca {
            Some(ClientCa::File(path)) => Some(identity::roots_from_file(&path)?),
            Some(ClientCa::Pem(pem)) => Some(identity::roots(&pem, &Source::Bytes)?),
            None => None,
        };
        let trust = roots.as_ref().map_or([0; 32], trust_of);
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
        // QUIC knows no other size than all (RFC 9001, section 4.6.1).
        config.max_early_data_size = if self.early_data { u32::MAX } else { 0 };
        if let Some(path) = self.key_log_file {
            let log = FileLog::open(&path);
            let log = log.map_err(|error| TlsConfigError::KeyLog { path, error })?;
            config.key_log = Arc::new(log);
        } else if self.key_log {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        Ok(ServerTls {
            shared: Arc::new(Shared {
                base: config,
                resumption,
                trust,
                configs: Mutex::default(),
                resolver,
                clock: self.clock,
            }),
        })
    }
}

impl Shared {
    /// The configuration for such handshakes. An endpoint asks for few different ones.
    fn config(&self, asked: Asked) -> Arc<ServerConfig> {
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = configs.iter().find(|(known, _)| *known == asked) {
            return Arc::clone(config);
        }
        let mut config = self.base.clone();
        config.alpn_protocols.clone_from(&asked.alpn);
        match &self.resumption {
            Resumption::Stored(sessions) => {
                config.session_storage = Arc::new(ScopedSessions {
                    sessions: Arc::clone(sessions),
                    scope: asked.scope.clone(),
                });
            }
            Resumption::Sealed(keys) => {
                config.ticketer = Arc::new(ScopedKeys::new(keys.clone(), &asked.scope));
            }
        }
        let config = Arc::new(config);
        configs.truncate(CONFIGS - 1);
        configs.push_front((asked, Arc::clone(&config)));
        config
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
        terms: &[u8],
    ) -> Result<Box<dyn Session>, TlsError> {
        let refuse = |reason: String| TlsError {
            alert: INTERNAL_ERROR,
            reason,
        };
        let known = quic_version(version)
            .ok_or_else(|| refuse(format!("no TLS for QUIC version {:#010x}", version.0)))?;
        let config = self.shared.config(Asked {
            alpn: alpn.iter().map(|name| name.to_vec()).collect(),
            scope: Scope {
                version,
                trust: self.shared.trust,
                terms: terms.to_vec(),
            },
        });
        let connection = ServerConnection::new(config, known, transport_parameters)
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Box::new(RustlsSession::server(connection)))
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

/// Tells apart whom servers trust as clients.
fn trust_of(roots: &RootCertStore) -> ClientTrust {
    let mut all = Vec::new();
    for anchor in &roots.roots {
        for part in [
            anchor.subject.as_ref(),
            anchor.subject_public_key_info.as_ref(),
            anchor.name_constraints.as_deref().unwrap_or_default(),
        ] {
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part);
        }
    }
    hash::sha256(&all)
}

/// Configurations kept: versions of QUIC times endpoints with settings of their own.
const CONFIGS: usize = 8;

/// The alert of RFC 8446, section 6, for faults that are our own.
const INTERNAL_ERROR: u8 = 80;
