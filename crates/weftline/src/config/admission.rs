//! Whom a server lets in, and what proves where a client is.

use alloc::vec::Vec;
use core::fmt;

use crate::crypto::Version;

/// What a server does with the first packet of a client, before any work on its handshake.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// Lets everybody begin a handshake. Until its address is validated a client gets three times
    /// what it sends, at most.
    #[default]
    Accept,
    /// Lets begin whoever shows a token; everybody else is sent one first, in a Retry packet. It
    /// costs clients a round trip, and the server nothing that it would keep.
    Retry,
    /// [`Accept`](Self::Accept) while fewer than this many handshakes are going on, and
    /// [`Retry`](Self::Retry) above.
    RetryAbove(usize),
    /// Asks the application: see `Endpoint::poll_incoming`. As many as
    /// [`Limits::incoming`](super::Limits::incoming) wait for its answer.
    Ask,
}

/// Secrets of a server, from which the keys of its tokens and stateless resets follow (RFC 9000,
/// sections 8.1.4 and 10.3.2). Servers that may get each other's packets share them, and a server
/// that starts anew with the secrets of before ends the connections of that time.
///
/// Tokens carry the time: servers that share secrets need
/// [`EndpointConfig::unix_origin`](super::EndpointConfig::unix_origin), which the adapters set.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct ServerSecrets {
    pub(crate) current: [u8; 32],
    pub(crate) previous: Option<[u8; 32]>,
}

impl ServerSecrets {
    /// With this secret, which nobody can guess.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self {
            current: secret,
            previous: None,
        }
    }

    /// Still honours what was made with the secret before this one.
    #[must_use]
    pub const fn with_previous(mut self, secret: [u8; 32]) -> Self {
        self.previous = Some(secret);
        self
    }

    /// Goes over to a new secret; the one until now becomes the previous.
    #[must_use]
    pub const fn rotated(self, secret: [u8; 32]) -> Self {
        Self::new(secret).with_previous(self.current)
    }
}

impl fmt::Debug for ServerSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSecrets(..)")
    }
}

/// Where a client keeps the tokens that servers gave it for later (RFC 9000, section 8.1.3), when
/// that is not the endpoint's own memory: on disk, or for several endpoints together.
///
/// It must be bounded: a server may send as many as it likes.
pub trait TokenStore: Send + Sync {
    /// Keeps a token of the server with this name, for this version of QUIC. The newest is the best.
    fn put(&self, server_name: &str, version: Version, token: &[u8]);

    /// Takes a token out. It is used once: whoever sees one twice can tell that both connections
    /// are of one client.
    fn take(&self, server_name: &str, version: Version) -> Option<Vec<u8>>;
}
