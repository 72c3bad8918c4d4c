//! Crypto without any security, for tests, simulation and fuzzing.
//!
//! The handshake has the shape of TLS 1.3 (flights, levels, ALPN, transport parameters, alerts),
//! the AEAD leaves the payload readable and appends a checksum. Keys differ per connection, level,
//! direction and phase, so that a packet sealed with the wrong key does not open. All output
//! follows from the input: nothing is random.

mod keys;
mod message;
mod mix;
mod session;
mod ticket;

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use super::{
    ClientProvider, CryptoError, Hello, Keys, NextKeys, Provider, ServerProvider, Session, TAG_LEN,
    TOKEN_NONCE_LEN, Ticket, TlsError, Version,
};
use crate::wire::{Cid, HelloError, Side};
use keys::{NullNextKeys, Secrets};
use mix::Mix;
use session::NullSession;

/// Primitives without security.
#[derive(Copy, Clone, Debug)]
pub struct NullProvider {
    limits: KeyOptions,
}

#[derive(Copy, Clone, Debug)]
struct KeyOptions {
    confidentiality: u64,
    integrity: u64,
    /// 1-RTT keys are those of [`NullProvider::one_rtt_keys`].
    known: bool,
}

impl NullProvider {
    /// With the limits of AES-GCM (RFC 9001, section 6.6).
    pub const fn insecure() -> Self {
        Self {
            limits: KeyOptions {
                confidentiality: 1 << 23,
                integrity: 1 << 52,
                known: false,
            },
        }
    }

    /// How many packets a key of this provider may seal.
    #[must_use]
    pub const fn with_confidentiality_limit(mut self, packets: u64) -> Self {
        self.limits.confidentiality = packets;
        self
    }

    /// How many packets may fail to open on one connection.
    #[must_use]
    pub const fn with_integrity_limit(mut self, packets: u64) -> Self {
        self.limits.integrity = packets;
        self
    }

    /// Lets handshakes end in the keys of [`Self::one_rtt_keys`], so that a test can speak in the
    /// name of either end. Both ends need it.
    #[must_use]
    pub const fn with_known_one_rtt_keys(mut self) -> Self {
        self.limits.known = true;
        self
    }

    /// 1-RTT keys that follow from no handshake: the same pair of sides for every call.
    pub fn one_rtt_keys(&self, side: Side) -> (Keys, Box<dyn NextKeys>) {
        let secrets = Secrets::new(ONE_RTT);
        let next = NullNextKeys::new(secrets, side, self.limits);
        (secrets.keys(side, self.limits), Box::new(next))
    }
}

impl Provider for NullProvider {
    fn initial_keys(&self, version: Version, destination: &Cid, side: Side) -> Keys {
        let secret = Mix::new(INITIAL)
            .number(u64::from(version.0))
            .bytes(destination)
            .finish();
        Secrets::new(secret).keys(side, self.limits)
    }

    fn retry_tag(&self, version: Version, original: &Cid, packet: &[u8]) -> [u8; TAG_LEN] {
        Mix::new(RETRY)
            .number(u64::from(version.0))
            .bytes(original)
            .bytes(packet)
            .finish_array()
    }

    fn hmac(&self, key: &[u8; 32], data: &[u8]) -> [u8; 32] {
        Mix::new(HMAC).bytes(key).bytes(data).finish_array()
    }

    fn seal_token(
        &self,
        key: &[u8; 32],
        nonce: &[u8; TOKEN_NONCE_LEN],
        buf: &mut [u8],
    ) -> Result<(), CryptoError> {
        let (plain, tag) = buf.split_last_chunk_mut().ok_or(CryptoError)?;
        *tag = token_tag(key, nonce, plain);
        Ok(())
    }

    fn open_token(
        &self,
        key: &[u8; 32],
        nonce: &[u8; TOKEN_NONCE_LEN],
        buf: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let (plain, tag) = buf.split_last_chunk::<TAG_LEN>().ok_or(CryptoError)?;
        if *tag != token_tag(key, nonce, plain) {
            return Err(CryptoError);
        }
        Ok(plain.len())
    }

    fn secrets_equal(&self, a: &[u8], b: &[u8]) -> bool {
        a == b
    }
}

fn token_tag(key: &[u8; 32], nonce: &[u8; TOKEN_NONCE_LEN], plain: &[u8]) -> [u8; TAG_LEN] {
    Mix::new(TOKEN)
        .bytes(key)
        .bytes(nonce)
        .bytes(plain)
        .finish_array()
}

/// Starts handshakes without security as a client: it trusts every server.
#[derive(Copy, Clone, Debug)]
pub struct NullClient {
    provider: NullProvider,
    hello_padding: usize,
    early_data: bool,
}

impl NullClient {
    /// With the default [`NullProvider`] and a short hello.
    pub const fn insecure() -> Self {
        Self {
            provider: NullProvider::insecure(),
            hello_padding: 0,
            early_data: false,
        }
    }

    /// Offers early data whenever it resumes a session that allows it.
    #[must_use]
    pub const fn with_early_data(mut self) -> Self {
        self.early_data = true;
        self
    }

    /// Uses these primitives.
    #[must_use]
    pub const fn with_provider(mut self, provider: NullProvider) -> Self {
        self.provider = provider;
        self
    }

    /// Makes the client's hello this many bytes longer, up to 64 KiB, so that it takes more than
    /// one packet.
    #[must_use]
    pub const fn with_hello_padding(mut self, bytes: usize) -> Self {
        self.hello_padding = bytes;
        self
    }
}

impl ClientProvider for NullClient {
    fn provider(&self) -> Arc<dyn Provider> {
        Arc::new(self.provider)
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
        Ok(Box::new(NullSession::client(
            version,
            self.provider.limits,
            session::ClientHello {
                server_name,
                alpn,
                transport_parameters: &transport_parameters,
                padding: self.hello_padding.min(MAX_FILLER),
                ticket: None,
                early_data: false,
            },
            ticket.and_then(Ticket::into_inner),
            self.early_data,
        )))
    }
}

/// Starts handshakes without security as a server.
#[derive(Copy, Clone, Debug)]
pub struct NullServer {
    provider: NullProvider,
    certificate_bytes: usize,
    ticket_bytes: Option<usize>,
    ticket_key: Option<u64>,
    early_data: bool,
}

impl NullServer {
    /// With the default [`NullProvider`], a "certificate" of 700 bytes and no ticket.
    pub const fn insecure() -> Self {
        Self {
            provider: NullProvider::insecure(),
            certificate_bytes: 700,
            ticket_bytes: None,
            ticket_key: None,
            early_data: false,
        }
    }

    /// Uses these primitives.
    #[must_use]
    pub const fn with_provider(mut self, provider: NullProvider) -> Self {
        self.provider = provider;
        self
    }

    /// Shows a "certificate" of this many bytes, up to 64 KiB, so that the server's flight takes
    /// as many packets as a test wants.
    #[must_use]
    pub const fn with_certificate_bytes(mut self, bytes: usize) -> Self {
        self.certificate_bytes = bytes;
        self
    }

    /// Gives each client a session to resume with a server of the same key. Nothing is remembered,
    /// so nothing keeps a session from being resumed twice.
    #[must_use]
    pub const fn with_sessions(mut self, key: u64) -> Self {
        self.ticket_key = Some(key);
        self
    }

    /// Takes early data, and allows it in the sessions it gives.
    #[must_use]
    pub const fn with_early_data(mut self) -> Self {
        self.early_data = true;
        self
    }

    /// Sends a filler in place of a session ticket, of this many bytes, up to 64 KiB, in 1-RTT packets when the
    /// handshake is complete.
    #[must_use]
    pub const fn with_ticket_bytes(mut self, bytes: usize) -> Self {
        self.ticket_bytes = Some(bytes);
        self
    }
}

impl ServerProvider for NullServer {
    fn provider(&self) -> Arc<dyn Provider> {
        Arc::new(self.provider)
    }

    fn peek(&self, data: &[u8]) -> Result<Hello, HelloError> {
        message::peek(data)
    }

    fn start(
        &self,
        version: Version,
        alpn: &[&[u8]],
        transport_parameters: Vec<u8>,
        terms: &[u8],
    ) -> Result<Box<dyn Session>, TlsError> {
        Ok(Box::new(NullSession::server(
            version,
            self.provider.limits,
            session::ServerSettings {
                alpn: alpn.iter().map(|name| name.to_vec()).collect(),
                transport_parameters,
                certificate_bytes: self.certificate_bytes.min(MAX_FILLER),
                tickets: session::Tickets {
                    filler: self.ticket_bytes.map(|bytes| bytes.min(MAX_FILLER)),
                    key: self
                        .ticket_key
                        .map(|key| Mix::new(TICKET).number(key).number(u64::from(version.0))),
                    terms: Mix::new(TICKET).bytes(terms).finish(),
                    early_data: self.early_data,
                },
            },
        )))
    }
}

/// The longest filler a handshake message may be given.
const MAX_FILLER: usize = 64 << 10;

// What a mix is for: no two uses share a starting point.
const INITIAL: u64 = 1;
const RETRY: u64 = 2;
const HMAC: u64 = 3;
const TRANSCRIPT: u64 = 4;
const EXPORTER: u64 = 5;
const CLIENT: u64 = 6;
const SERVER: u64 = 7;
const UPDATE: u64 = 8;
const HEADER_KEY: u64 = 9;
const PACKET_KEY: u64 = 10;
const ONE_RTT: u64 = 11;
const TOKEN: u64 = 12;
const TICKET: u64 = 13;
const EARLY: u64 = 14;

#[cfg(test)]
mod tests;
