//! Cryptography for [`weftline`]: TLS 1.3 by rustls, ciphers by ring.
//!
//! - [`ClientTls`] starts handshakes as a client. It trusts the system's certificate authorities,
//!   or authorities from a file, or certificates named by their SHA-256 (the rules of
//!   `serverCertificateHashes` in browsers), or, for tests, anybody.
//! - [`ServerTls`] starts handshakes as a server, with an [`Identity`] that can be replaced while
//!   it runs, and can demand certificates from clients.
//! - [`DevCertificate`] makes a short-lived certificate that browsers accept by its hash.
//! - [`OsEntropy`] is randomness from the operating system.
//!
//! Sessions are resumed: a server keeps them in [`ServerSessions`] or seals them with [`TicketKeys`],
//! and clients find theirs in the endpoint's store. Early data (0-RTT) is off on both sides unless
//! [`ClientTlsBuilder::early_data`] and [`ServerTlsBuilder::early_data`] turn it on.

#![forbid(unsafe_code)]

mod client;
mod clock;
mod dev;
mod entropy;
mod error;
mod follow;
pub mod hash;
mod identity;
mod keylog;
mod keys;
mod provider;
mod server;
mod session;
mod tickets;
mod trust;
mod x509;

pub use client::{ClientTls, ClientTlsBuilder};
pub use clock::Clock;
pub use dev::DevCertificate;
pub use entropy::OsEntropy;
pub use error::{Source, TlsConfigError};
pub use identity::Identity;
pub use provider::{CipherSuite, RingProvider};
pub use server::{ServerTls, ServerTlsBuilder};
pub use tickets::{MemorySessions, ServerSessions, TicketKeys};

#[cfg(test)]
mod vectors;
