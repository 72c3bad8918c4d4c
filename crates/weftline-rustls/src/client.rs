//! Handshakes as a client.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, KeyLogFile,
    client::{ClientSessionMemoryCache, Resumption, Tls13ClientSessionValue},
    pki_types::ServerName,
    quic::ClientConnection,
    sign::SingleCertAndKey,
    version::TLS13,
};
use weftline::crypto::{ClientProvider, Provider, Session, Ticket, TlsError, Version};

use crate::{
    clock::Clock,
    error::TlsConfigError,
    follow::SecretTap,
    identity::Identity,
    keylog::FileLog,
    keys::quic_version,
    provider::{CipherSuite, RingProvider, crypto_provider},
    session::RustlsSession,
    tickets::ClientTickets,
    trust::Trust,
};

/// Starts TLS handshakes as a client. A session is only resumed by copies of the one that it began
/// with: others may trust other servers.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    /// Which key exchange servers chose, by name.
    hints: Arc<ClientSessionMemoryCache>,
}

/// Says whom a client trusts and who it is. The last call that says whom to trust counts.
#[derive(Clone, Debug)]
pub struct ClientTlsBuilder {
    trust: Trust,
    identity: Option<Identity>,
    clock: Clock,
    key_log: bool,
    early_data: bool,
    suites: Vec<CipherSuite>,
    key_log_file: Option<PathBuf>,
}

impl ClientTls {
    /// Begins with trust in the system's certificate authorities, and no client certificate.
    pub fn builder() -> ClientTlsBuilder {
        ClientTlsBuilder {
            trust: Trust::SystemRoots,
            identity: None,
            clock: Clock::system(),
            key_log: false,
            early_data: false,
            suites: CipherSuite::ALL.into(),
            key_log_file: None,
        }
    }
}

impl ClientTlsBuilder {
    /// Trusts the system's certificate authorities. This is the default.
    #[must_use]
    pub fn system_roots(mut self) -> Self {
        self.trust = Trust::SystemRoots;
        self
    }

    /// Trusts the certificate authorities in a PEM file, and no others.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.trust = Trust::CaFile(path.into());
        self
    }

    /// Trusts the certificate authorities in this PEM, and no others.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.trust = Trust::CaPem(pem.into());
        self
    }

    /// Trusts certificates with one of these SHA-256, and no others, by the rules of browsers'
    /// `serverCertificateHashes`: X.509 version 3, valid now and for at most 14 days altogether,
    /// with an ECDSA P-256 key. Names do not matter.
    #[must_use]
    pub fn certificate_hashes(mut self, hashes: Vec<[u8; 32]>) -> Self {
        self.trust = Trust::Hashes(hashes);
        self
    }

    /// Trusts anybody: no protection from an attacker on the way. For tests only.
    #[must_use]
    pub fn insecure_no_verification(mut self) -> Self {
        self.trust = Trust::Anybody;
        self
    }

    /// Shows this certificate to servers that ask for one.
    #[must_use]
    pub fn client_certificate(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Takes the time from `clock`. The default is the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Lets requests go out before the handshake (0-RTT) where a session is resumed that allows it.
    /// Off by default: whoever is on the way can have the server see such requests again.
    #[must_use]
    pub fn early_data(mut self, on: bool) -> Self {
        self.early_data = on;
        self
    }

    /// Offers only these cipher suites, the best first. The default is all. An empty list is an
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
    /// A file cannot be read or used, there is nothing to trust, or the client certificate is not
    /// valid now.
    pub fn build(self) -> Result<ClientTls, TlsConfigError> {
        let provider = crypto_provider(&self.suites);
        let verifier = self.trust.verifier(&provider)?;
        if let Some(identity) = &self.identity {
            identity.check_validity(&self.clock)?;
        }
        let builder = ClientConfig::builder_with_details(provider, Arc::new(self.clock))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match self.identity {
            Some(identity) => {
                let resolver = SingleCertAndKey::from(identity.certified);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        config.enable_early_data = self.early_data;
        if let Some(path) = self.key_log_file {
            let log = FileLog::open(&path);
            let log = log.map_err(|error| TlsConfigError::KeyLog { path, error })?;
            config.key_log = Arc::new(log);
        } else if self.key_log {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        Ok(ClientTls {
            config: Arc::new(config),
            hints: Arc::new(ClientSessionMemoryCache::new(HINTS)),
        })
    }
}

impl ClientProvider for ClientTls {
    fn provider(&self) -> Arc<dyn Provider> {
        Arc::new(RingProvider)
    }

    fn can_change_version(&self) -> bool {
        true
    }

    fn start(
        &self,
        version: Version,
        server_name: &str,
        alpn: &[&[u8]],
        transport_parameters: Vec<u8>,
        ticket: Option<Ticket>,
    ) -> Result<Box<dyn Session>, TlsError> {
        let refuse = |reason: String| TlsError {
            alert: INTERNAL_ERROR,
            reason,
        };
        let version = quic_version(version)
            .ok_or_else(|| refuse(format!("no TLS for QUIC version {:#010x}", version.0)))?;
        let name = ServerName::try_from(server_name.to_owned()).map_err(|_| {
            refuse(format!(
                "{server_name:?} is neither a DNS name nor an IP address"
            ))
        })?;
        let ticket = ticket.and_then(Ticket::into_inner::<Tls13ClientSessionValue>);
        let tickets = Arc::new(ClientTickets::new(ticket, Arc::clone(&self.hints)));
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::store(Arc::clone(&tickets) as _);
        let tap = Arc::new(SecretTap::new(config.key_log));
        config.key_log = Arc::clone(&tap) as _;
        let connection = ClientConnection::new_with_alpn(
            Arc::new(config),
            version,
            name,
            transport_parameters,
            alpn.iter().map(|name| name.to_vec()).collect(),
        )
        .map_err(|error| refuse(error.to_string()))?;
        Ok(Box::new(RustlsSession::client(connection, tickets, tap)))
    }
}

/// For so many sessions' worth of servers are their choices kept.
const HINTS: usize = 256;

/// The alert of RFC 8446, section 6, for faults that are our own.
const INTERNAL_ERROR: u8 = 80;
