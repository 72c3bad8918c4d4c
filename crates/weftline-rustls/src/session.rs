//! One handshake of rustls as the core drives it.

use std::sync::Arc;

use bytes::Bytes;
use rustls::{
    CommonState, Error, HandshakeKind,
    quic::{self, Connection},
};
use weftline::crypto::{
    CryptoError, DirectionalKeys, KeyChange, Level, Session, Ticket, TlsError, Version,
};

use crate::{
    follow::{Following, SecretTap},
    keys::{directional, key_change},
    tickets::ClientTickets,
    trust::Refused,
};

pub(crate) struct RustlsSession {
    connection: Connection,
    /// How far the keys have come: where data of the peer must come.
    level: Level,
    /// A client's sessions.
    tickets: Option<Arc<ClientTickets>>,
    early_keys_given: bool,
    following: Following,
}

impl RustlsSession {
    pub(crate) fn client(
        connection: quic::ClientConnection,
        tickets: Arc<ClientTickets>,
        tap: Arc<SecretTap>,
    ) -> Self {
        let following = Following::Possible(tap);
        Self::new(connection.into(), Some(tickets), following)
    }

    pub(crate) fn server(connection: quic::ServerConnection) -> Self {
        Self::new(connection.into(), None, Following::Over)
    }

    const fn new(
        connection: Connection,
        tickets: Option<Arc<ClientTickets>>,
        following: Following,
    ) -> Self {
        Self {
            connection,
            level: Level::Initial,
            tickets,
            early_keys_given: false,
            following,
        }
    }

    fn state(&self) -> &CommonState {
        match &self.connection {
            Connection::Client(client) => client,
            Connection::Server(server) => server,
        }
    }

    /// Keys come in both directions at once, but the last flight of a handshake is still read at
    /// its old level.
    fn read_level(&self) -> Level {
        match self.level {
            Level::OneRtt if self.is_handshaking() => Level::Handshake,
            level => level,
        }
    }

    fn error(&self, error: &Error) -> TlsError {
        if let Some(refused) = Refused::find(error) {
            return TlsError {
                alert: refused.alert,
                reason: refused.reason.clone(),
            };
        }
        TlsError {
            alert: self.connection.alert().map_or(INTERNAL_ERROR, u8::from),
            reason: reason(error, &self.connection),
        }
    }
}

impl Session for RustlsSession {
    fn read(&mut self, level: Level, data: &[u8]) -> Result<(), TlsError> {
        if data.is_empty() {
            return Ok(());
        }
        if level != self.read_level() {
            return Err(TlsError {
                alert: UNEXPECTED_MESSAGE,
                reason: "data at a level where none is expected".into(),
            });
        }
        self.following.on_read();
        self.connection
            .read_hs(data)
            .map_err(|error| self.error(&error))
    }

    fn write(&mut self, out: &mut Vec<u8>) -> Option<KeyChange> {
        let change = self.connection.write_hs(out)?;
        self.level = match change {
            quic::KeyChange::Handshake { .. } => Level::Handshake,
            quic::KeyChange::OneRtt { .. } => Level::OneRtt,
        };
        let suite = self.state().negotiated_cipher_suite();
        let others = suite.and_then(|suite| self.following.keys(self.level, suite.suite()));
        Some(others.unwrap_or_else(|| key_change(change)))
    }

    fn is_handshaking(&self) -> bool {
        self.state().is_handshaking()
    }

    fn peer_transport_parameters(&self) -> Option<&[u8]> {
        // A client that resumes begins with those that the server sent the last time.
        if matches!(self.connection, Connection::Client(_)) && self.is_handshaking() {
            return None;
        }
        self.connection.quic_transport_parameters()
    }

    fn alpn(&self) -> Option<&[u8]> {
        self.state().alpn_protocol()
    }

    fn server_name(&self) -> Option<&str> {
        match &self.connection {
            Connection::Client(_) => None,
            Connection::Server(server) => server.server_name(),
        }
    }

    fn peer_certificates(&self) -> Vec<Bytes> {
        let chain = self.state().peer_certificates().unwrap_or_default();
        chain
            .iter()
            .map(|der| Bytes::copy_from_slice(der))
            .collect()
    }

    fn set_version(&mut self, version: Version) -> bool {
        self.following.go_over_to(version)
    }

    fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), CryptoError> {
        self.connection
            .export_keying_material(out, label, Some(context))
            .map(drop)
            .map_err(|_| CryptoError)
    }

    fn early_keys(&mut self) -> Option<DirectionalKeys> {
        if self.early_keys_given {
            return None;
        }
        let keys = self.connection.zero_rtt_keys()?;
        self.early_keys_given = true;
        Some(directional(keys))
    }

    fn is_early_data_accepted(&self) -> bool {
        match &self.connection {
            Connection::Client(client) => client.is_early_data_accepted(),
            Connection::Server(_) => self.early_keys_given,
        }
    }

    fn is_resumed(&self) -> bool {
        self.state().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn take_ticket(&mut self) -> Option<Ticket> {
        self.tickets.as_ref()?.take().map(Ticket::new)
    }
}

/// What went wrong, with the usual faults in words that say what to change.
fn reason(error: &Error, connection: &Connection) -> String {
    match (error, connection) {
        (Error::NoApplicationProtocol, _) => "no application protocol in common".into(),
        (Error::NoCertificatesPresented, Connection::Server(_)) => {
            "the client showed no certificate, which this server demands".into()
        }
        (Error::InvalidCertificate(error), Connection::Server(_)) => {
            format!("the client's certificate is refused: {error}")
        }
        (error, _) => error.to_string(),
    }
}

// Alerts (RFC 8446, section 6).
const UNEXPECTED_MESSAGE: u8 = 10;
const INTERNAL_ERROR: u8 = 80;
