//! Sessions that clients resume.

use alloc::string::String;

use crate::{config::ClientConfig, crypto::Version, quic, wire::h3::Settings};

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
