//! What the core asks of cryptography: traits only.
//!
//! The core never implements a cipher or a handshake. `weftline-rustls` implements these traits
//! with rustls and ring; `null` (feature `test-util`) implements them without any security, so
//! that tests and fuzzers are deterministic and reach past the handshake.

#[cfg(any(test, feature = "test-util"))]
pub mod null;
pub(crate) mod phase;
pub(crate) mod token;

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use bytes::Bytes;
use core::{any::Any, fmt};

use crate::wire::{Cid, ClientHello, HelloError, Side};

/// The version of QUIC a connection speaks: its number on the wire.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

impl Version {
    /// QUIC version 1 (RFC 9000).
    pub const V1: Self = Self(1);
    /// QUIC version 2 (RFC 9369).
    pub const V2: Self = Self(0x6b33_43cf);
    /// Those this library speaks.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];
}

/// An encryption level with CRYPTO data of its own (RFC 9001, section 4).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Initial packets, with keys anybody can derive.
    Initial,
    /// Handshake packets.
    Handshake,
    /// 1-RTT packets.
    OneRtt,
}

/// A packet could not be opened, or a key could not be used.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packet protection failed")]
pub struct CryptoError;

/// A handshake failure: what a CONNECTION_CLOSE frame will carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TLS handshake failed (alert {alert}): {reason}")]
pub struct TlsError {
    /// The TLS alert; the QUIC error code is 0x100 plus this (RFC 9001, section 4.8).
    pub alert: u8,
    /// What went wrong, for logs. It is not sent to the peer.
    pub reason: String,
}

/// Length of the ciphertext sample that header protection takes.
pub const SAMPLE_LEN: usize = 16;

/// Length of the authentication tag of every AEAD that QUIC allows.
pub const TAG_LEN: usize = 16;

/// Length of the nonces that tokens are sealed with.
pub const TOKEN_NONCE_LEN: usize = 16;

/// A header protection key (RFC 9001, section 5.4).
pub trait HeaderKey: Send + Sync {
    /// The mask for a packet with this sample. Of the first byte only the low five bits are used.
    fn mask(&self, sample: &[u8; SAMPLE_LEN]) -> [u8; 5];
}

/// A packet protection key (RFC 9001, section 5.3).
pub trait PacketKey: Send + Sync {
    /// Seals in place: `buf` holds the payload followed by [`TAG_LEN`] bytes for the tag.
    fn seal(&self, packet_number: u64, header: &[u8], buf: &mut [u8]) -> Result<(), CryptoError>;

    /// Opens in place: `buf` holds ciphertext and tag; gives the length of the payload now at its
    /// front.
    fn open(&self, packet_number: u64, header: &[u8], buf: &mut [u8])
    -> Result<usize, CryptoError>;

    /// How many packets may be sealed with this key (RFC 9001, section 6.6).
    fn confidentiality_limit(&self) -> u64;

    /// How many packets may fail to open under all keys of a connection together.
    fn integrity_limit(&self) -> u64;
}

/// The keys of one direction of one level.
pub struct DirectionalKeys {
    /// Header protection.
    pub header: Box<dyn HeaderKey>,
    /// Packet protection.
    pub packet: Box<dyn PacketKey>,
}

/// The keys of one level.
pub struct Keys {
    /// For what we send.
    pub local: DirectionalKeys,
    /// For what we receive.
    pub remote: DirectionalKeys,
}

/// The packet keys of one key phase. Header keys do not change (RFC 9001, section 6).
pub struct PacketKeys {
    /// For what we send.
    pub local: Box<dyn PacketKey>,
    /// For what we receive.
    pub remote: Box<dyn PacketKey>,
}

/// The 1-RTT secrets, from which each next key phase follows.
pub trait NextKeys: Send {
    /// The packet keys of the next phase.
    fn next(&mut self) -> PacketKeys;
}

/// New keys that a handshake produced.
pub enum KeyChange {
    /// For Handshake packets.
    Handshake(Keys),
    /// For 1-RTT packets.
    OneRtt {
        /// The first key phase.
        keys: Keys,
        /// The phases after it.
        next: Box<dyn NextKeys>,
    },
}

/// What a client keeps of a TLS session to resume it: the provider's own, opaque to the core. A
/// provider ignores tickets that are not of its making.
pub struct Ticket(Box<dyn Any + Send>);

impl Ticket {
    /// Wraps what the provider needs.
    pub fn new(content: impl Any + Send) -> Self {
        Self(Box::new(content))
    }

    /// What was wrapped; `None` when it is of another type.
    pub fn into_inner<T: Any>(self) -> Option<T> {
        self.0.downcast().ok().map(|content| *content)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

/// One TLS 1.3 handshake, as a QUIC endpoint drives it (RFC 9001, section 4).
///
/// What has a default here is only for providers that resume sessions.
pub trait Session: Send {
    /// Takes CRYPTO data of `level`, in order.
    fn read(&mut self, level: Level, data: &[u8]) -> Result<(), TlsError>;

    /// Appends CRYPTO data to send at the current level, and gives the keys of the next level if
    /// they are ready: the data appended by *later* calls belongs to that level. Call until it
    /// appends nothing and gives nothing.
    fn write(&mut self, out: &mut Vec<u8>) -> Option<KeyChange>;

    /// Whether the handshake is still going on.
    fn is_handshaking(&self) -> bool;

    /// The peer's transport parameters, once they arrived. Authenticated only when the handshake
    /// is complete.
    fn peer_transport_parameters(&self) -> Option<&[u8]>;

    /// The application protocol agreed on.
    fn alpn(&self) -> Option<&[u8]>;

    /// The name the client asked for (SNI); servers only.
    fn server_name(&self) -> Option<&str>;

    /// The peer's certificate chain in DER, its own first; empty when it showed none.
    fn peer_certificates(&self) -> Vec<Bytes>;

    /// Client: goes over to another version of QUIC before anything was read, as the server chose
    /// that (RFC 9368, section 2.3): keys will be those of this version. False when it cannot.
    fn set_version(&mut self, version: Version) -> bool {
        let _ = version;
        false
    }

    /// Fills `out` with keying material bound to this handshake (RFC 8446, section 7.5). Fails
    /// before the handshake is complete.
    fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), CryptoError>;

    /// The keys of 0-RTT packets, once. A client may send such packets from the start if it resumes
    /// a session that allows it; a server has the keys once it read a ClientHello whose early data
    /// it takes, and that decides the matter: there will be none later.
    fn early_keys(&mut self) -> Option<DirectionalKeys> {
        None
    }

    /// Client: whether the server takes early data. Counts once the handshake is complete.
    fn is_early_data_accepted(&self) -> bool {
        false
    }

    /// Whether the handshake resumes an earlier session. Counts once the handshake is complete.
    fn is_resumed(&self) -> bool {
        false
    }

    /// Client: the next of the tickets that the server gave so far. Each may be used once.
    fn take_ticket(&mut self) -> Option<Ticket> {
        None
    }
}

/// What both roles need from a crypto library, whatever the handshake says.
pub trait Provider: Send + Sync {
    /// Initial keys of `version` for a client's first destination connection ID (RFC 9001,
    /// section 5.2).
    fn initial_keys(&self, version: Version, destination: &Cid, side: Side) -> Keys;

    /// The integrity tag of a Retry packet: `original` is the destination connection ID of the
    /// client's first Initial, `packet` the whole Retry without its tag (RFC 9001, section 5.8).
    fn retry_tag(&self, version: Version, original: &Cid, packet: &[u8]) -> [u8; TAG_LEN];

    /// HMAC-SHA-256 of `data` under `key`, for stateless reset tokens.
    fn hmac(&self, key: &[u8; 32], data: &[u8]) -> [u8; 32];

    /// Seals a token of our own in place: `buf` holds it, followed by [`TAG_LEN`] bytes for the
    /// tag. No one without `key` can read, change or make one. Nonces are random and tell apart
    /// 2^64 tokens under one key.
    fn seal_token(
        &self,
        key: &[u8; 32],
        nonce: &[u8; TOKEN_NONCE_LEN],
        buf: &mut [u8],
    ) -> Result<(), CryptoError>;

    /// Opens in place what [`Self::seal_token`] sealed: gives the length of the token now at the
    /// front of `buf`.
    fn open_token(
        &self,
        key: &[u8; 32],
        nonce: &[u8; TOKEN_NONCE_LEN],
        buf: &mut [u8],
    ) -> Result<usize, CryptoError>;

    /// Compares secrets in constant time.
    fn secrets_equal(&self, a: &[u8], b: &[u8]) -> bool;
}

/// Starts handshakes as a client. Trust and client certificates live in it.
pub trait ClientProvider: Send + Sync {
    /// The primitives to use beside the handshake.
    fn provider(&self) -> Arc<dyn Provider>;

    /// Whether its handshakes can go over to another version: see [`Session::set_version`]. If so,
    /// servers are told that they may choose.
    fn can_change_version(&self) -> bool {
        false
    }

    /// A handshake with `server_name` (a DNS name or an IP address), offering `alpn` and
    /// `transport_parameters`, and to resume the session of `ticket`.
    fn start(
        &self,
        version: Version,
        server_name: &str,
        alpn: &[&[u8]],
        transport_parameters: Vec<u8>,
        ticket: Option<Ticket>,
    ) -> Result<Box<dyn Session>, TlsError>;
}

/// What a client's first message says before TLS has a look at it. None of it is authentic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The name the client asks for (SNI).
    pub server_name: Option<String>,
    /// The application protocols it offers, its favourite first.
    pub alpn: Vec<Vec<u8>>,
    /// Its transport parameters.
    pub transport_parameters: Option<Vec<u8>>,
}

/// Starts handshakes as a server. Certificates and demands on clients live in it.
pub trait ServerProvider: Send + Sync {
    /// The primitives to use beside the handshake.
    fn provider(&self) -> Arc<dyn Provider>;

    /// Reads a client's first message, from all its CRYPTO data at the Initial level so far. For
    /// handshakes of TLS there is nothing to do but to leave this as it is.
    fn peek(&self, data: &[u8]) -> Result<Hello, HelloError> {
        let hello = ClientHello::parse(data)?;
        Ok(Hello {
            server_name: hello.server_name.map(Into::into),
            alpn: hello.alpn().map(<[u8]>::to_vec).collect(),
            transport_parameters: hello.transport_parameters.map(<[u8]>::to_vec),
        })
    }

    /// A handshake that accepts one of `alpn`, answering with `transport_parameters`.
    ///
    /// `terms` are what early data relies on: the limits and settings that a client remembers. Early
    /// data is only taken from a client whose session began under the very same terms and the same
    /// `version` (RFC 9000, section 7.4.1; RFC 9369, section 5).
    fn start(
        &self,
        version: Version,
        alpn: &[&[u8]],
        transport_parameters: Vec<u8>,
        terms: &[u8],
    ) -> Result<Box<dyn Session>, TlsError>;
}
