//! Sessions that clients resume.

use alloc::{string::String, vec::Vec};
use core::net::SocketAddr;

use super::{Connection, Protocol};
#[cfg(doc)]
use crate::event::Event;
use crate::{
    config::ClientConfig,
    crypto::Version,
    quic::{self, EarlyData},
    wire::h3::Settings,
};

/// What a client keeps of a connection, so that the next one to that server begins faster: the TLS
/// session, and the limits and settings by which early data may be sent. Use each once: whoever
/// watches could link the connections otherwise (RFC 8446, appendix C.4).
#[derive(Debug)]
pub struct StoredSession {
    pub(crate) server_name: String,
    pub(crate) quic: quic::Remembered,
    /// The server's, as the client saw them.
    pub(crate) settings: Settings,
}

impl StoredSession {
    /// The server, by the name it was connected to with.
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// The version of QUIC it is for (RFC 9369, section 5).
    pub fn version(&self) -> Version {
        self.quic.version
    }

    /// The application protocol that was spoken.
    pub fn alpn(&self) -> &[u8] {
        &self.quic.alpn
    }

    /// Whether a connection of this client can begin with it.
    pub(crate) fn fits(&self, config: &ClientConfig) -> bool {
        config.transport.versions.contains(&self.version())
            && config.protocols.names().contains(&self.alpn())
    }
}

/// What a client's connection begins with.
pub(crate) struct ClientStart<'a> {
    pub(crate) config: &'a ClientConfig,
    pub(crate) name: &'a str,
    pub(crate) to: SocketAddr,
    /// A session to resume.
    pub(crate) session: Option<StoredSession>,
    /// A token of the server's; empty for none.
    pub(crate) token: Vec<u8>,
}

/// Sessions of TLS, what they allow, and keys.
impl Connection {
    /// Whether the handshake resumed a session of an earlier connection; known once it is complete.
    pub fn is_resumed(&self) -> bool {
        self.quic.is_resumed()
    }

    /// What became of early data (0-RTT). On a client it is known from the start whether there can
    /// be any, and with [`Event::Connected`] whether the server took it.
    pub fn early_data(&self) -> EarlyData {
        self.quic.early_data()
    }

    /// Turns to new keys for what is sent, and has the peer follow (RFC 9001, section 6). Never
    /// needed: keys are changed in time by themselves. False when it is not possible now: before the
    /// handshake is confirmed, and until the update before was acknowledged and three probe timeouts
    /// went by.
    pub fn update_keys(&mut self) -> bool {
        self.quic.update_keys()
    }

    /// Client: the next session that the server gave, once its SETTINGS are there to be kept, too.
    pub(crate) fn take_session(&mut self) -> Option<StoredSession> {
        let settings = match self.protocol {
            Protocol::Raw(_) => Settings::new(),
            Protocol::Http3 | Protocol::Open => self.h3.peer_settings()?.clone(),
        };
        let quic = self.quic.take_session()?;
        Some(StoredSession {
            server_name: self.name.clone().unwrap_or_default(),
            quic,
            settings,
        })
    }
}
