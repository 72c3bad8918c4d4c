//! Configurations that cannot work.

use std::{fmt, io, path::PathBuf};

use crate::clock::date;

/// A TLS configuration that cannot work. Every message names the file at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    #[error("cannot read {what} file {}: {error}", path.display())]
    Read {
        /// What the file should hold: `certificate`, `key` or `CA`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The file for TLS secrets cannot be written to.
    #[error("cannot write key log {}: {error}", path.display())]
    KeyLog {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// No certificate was found.
    #[error("{0} holds no certificate")]
    NoCertificate(Source),
    /// No private key was found.
    #[error("{0} holds no private key")]
    NoKey(Source),
    /// A certificate or key is damaged or of a kind that is not supported.
    #[error("{source_of} cannot be used: {reason}")]
    Unusable {
        /// Where it came from.
        source_of: Source,
        /// What is wrong.
        reason: String,
    },
    /// Key and certificate are no pair.
    #[error("the key in {key} does not belong to the certificate in {certificate}")]
    KeyMismatch {
        /// Where the certificate came from.
        certificate: Source,
        /// Where the key came from.
        key: Source,
    },
    /// The certificate's time is over.
    #[error("the certificate in {certificate} expired on {}", date(*not_after))]
    Expired {
        /// Where the certificate came from.
        certificate: Source,
        /// Its last second, since 1970.
        not_after: u64,
    },
    /// The certificate's time is still to come.
    #[error("the certificate in {certificate} is valid only from {} on", date(*not_before))]
    NotYetValid {
        /// Where the certificate came from.
        certificate: Source,
        /// Its first second, since 1970.
        not_before: u64,
    },
    /// Trust by certificate hashes was chosen, but there are none.
    #[error("no certificate hash was given to trust")]
    NoHashes,
    /// The system's certificate authorities cannot be used.
    #[error("cannot use the system's certificate authorities: {0}")]
    SystemRoots(String),
    /// A development certificate must live from one to thirteen days.
    #[error("a development certificate is valid for 1 to 13 days, not {0}")]
    Days(u32),
    /// A name that no certificate can be for.
    #[error("{name:?} cannot stand in a certificate: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Early data was asked for together with ticket keys: a sealed session can be resumed any number
    /// of times, and early data replayed.
    #[error("early data needs sessions that are kept by the server, not sealed into tickets")]
    EarlyDataInTickets,
    /// The TLS library refused.
    #[error("TLS: {0}")]
    Tls(String),
}

/// Where a certificate or key came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Memory.
    Bytes,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Bytes => f.write_str("the given bytes"),
        }
    }
}

impl From<rustls::Error> for TlsConfigError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error.to_string())
    }
}
