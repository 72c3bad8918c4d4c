//! WebTransport, HTTP/3 and QUIC as one pure state machine: datagrams and the time go in,
//! datagrams, a deadline and events come out. There are no sockets, clocks, threads or operating
//! system randomness in this crate, and no unsafe code.

#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::alloc_instead_of_core,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod config;
mod connection;
pub mod crypto;
pub mod driver;
mod endpoint;
pub mod entropy;
pub mod error;
pub mod event;
pub mod h3;
mod quic;
pub mod time;
pub mod udp;
pub mod wire;
pub mod wt;

pub use connection::Connection;
pub use endpoint::{ConnId, DropReason, Endpoint, Received};
pub use entropy::Entropy;
pub use event::Event;
pub use quic::Stats;
pub use time::Instant;
pub use udp::{Ecn, RecvMeta, Transmit};
pub use wire::{Dir, Side, StreamId};
pub use wt::{SessionId, SessionRequest};
