//! Logs of connections, for people and tools.
//!
//! [`Qlog`] writes a qlog file for each connection, as [qvis](https://qvis.quictools.info) and other
//! tools read them. It goes into a configuration as its probe:
//!
//! ```no_run
//! use std::sync::Arc;
//! use weftline::{config::ServerConfig, crypto::ServerProvider};
//!
//! # fn example(crypto: Arc<dyn ServerProvider>) -> Result<(), Box<dyn std::error::Error>> {
//! let qlog = Arc::new(weftline_qlog::Qlog::in_dir("logs")?);
//! let config = ServerConfig::builder(crypto).probe(qlog.clone()).build()?;
//! // Later:
//! if let Some(error) = qlog.take_error() {
//!     eprintln!("some of the log is missing: {error}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The format is qlog 0.3 (draft-ietf-quic-qlog-main-schema-05, draft-ietf-quic-qlog-quic-events-04)
//! in JSON text sequences (RFC 7464): the newest that qvis reads. Logs hold addresses, connection
//! IDs, the sizes of everything and the reasons for closing, but no keys, tokens or payload.
//!
//! [`Summary`] says in short what a file holds. With the feature `tracing`,
#![cfg_attr(feature = "tracing", doc = "[`Tracing`]")]
#![cfg_attr(not(feature = "tracing"), doc = "`Tracing`")]
//! is a probe that makes spans and events of the `tracing` crate.

mod event;
mod file;
mod frame;
mod params;
mod read;
mod summary;
#[cfg(feature = "tracing")]
mod trace;

pub use file::Qlog;
pub use read::{ReadError, Reader, Record};
pub use summary::{Handshake, Packets, Rtt, Session, Summary, Window};
#[cfg(feature = "tracing")]
pub use trace::Tracing;
