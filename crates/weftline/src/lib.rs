//! WebTransport, HTTP/3 and QUIC as one pure state machine: datagrams and the time go in,
//! datagrams, a deadline and events come out. There are no sockets, clocks, threads or operating
//! system randomness in this crate, and no unsafe code.
//!
//! Everything hangs on an [`Endpoint`], which has one UDP socket's worth of connections, and on a
//! loop of yours around it. This one answers the datagrams of sessions on `/echo`, with nothing but
//! the standard library:
//!
//! ```no_run
//! use std::{io, net::UdpSocket, sync::Arc, time::Duration};
//! use weftline::{
//!     Endpoint, Entropy, Event, Instant, RecvMeta,
//!     config::{EndpointConfig, ServerConfig},
//! };
//!
//! fn serve(config: ServerConfig, entropy: Box<dyn Entropy>, socket: UdpSocket) -> io::Result<()> {
//!     let mut endpoint = Endpoint::new(EndpointConfig::server(Arc::new(config)), entropy);
//!     let start = std::time::Instant::now();
//!     let now = || Instant::from_micros(start.elapsed().as_micros() as u64);
//!     let (mut received, mut sent) = ([0; 2048], [0; 2048]);
//!     loop {
//!         // 1. Events to the application.
//!         while let Some((id, event)) = endpoint.poll_event() {
//!             let Some(connection) = endpoint.connection(id) else { continue };
//!             match event {
//!                 Event::SessionRequested(session, head) if head.path.as_deref() == Some("/echo") => {
//!                     let _ = connection.accept_session(session, None);
//!                 }
//!                 Event::Datagrams(session) => {
//!                     while let Some(data) = connection.recv_datagram(session) {
//!                         // A full queue drops it: it is a datagram.
//!                         let _ = connection.send_datagram(session, &data);
//!                     }
//!                 }
//!                 _ => {}
//!             }
//!         }
//!         // 2. Datagrams to the socket.
//!         while let Some(transmit) = endpoint.poll_transmit(now(), &mut sent) {
//!             socket.send_to(&sent[..transmit.len], transmit.to)?;
//!         }
//!         // 3. Sleep until a datagram or the deadline comes.
//!         let wait = endpoint.poll_timeout().map(|at| at.saturating_since(now()));
//!         socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_micros(1))))?;
//!         // 4. Input: a datagram, and the time.
//!         if let Ok((len, from)) = socket.recv_from(&mut received) {
//!             let meta = RecvMeta { from, to: None, ecn: None };
//!             endpoint.handle_datagram(now(), meta, &mut received[..len]);
//!         }
//!         endpoint.handle_timeout(now());
//!     }
//! }
//! ```
//!
//! A client's loop is the same; it begins with [`Endpoint::connect`] and
//! [`Connection::request_session`]. `weftline-std` and `weftline-tokio` are such loops, made with
//! care for batches and offloads; `weftline-rustls` has the TLS for a [`config::ServerConfig`].
//!
//! What a peer does wrong is never an `Err` of an input method but an [`Event`]; what a peer can
//! make an endpoint hold is bounded by [`config::Limits`].

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

mod blocked;
pub mod config;
mod connection;
pub mod crypto;
pub mod driver;
mod endpoint;
pub mod entropy;
pub mod error;
pub mod event;
pub mod h3;
pub mod probe;
mod quic;
pub mod stats;
pub mod time;
pub mod udp;
pub mod wire;
pub mod wt;

pub use blocked::Blocker;
pub use connection::{Connection, StoredSession, raw};
pub use endpoint::{
    ConnId, DropReason, Endpoint, Incoming, IncomingId, MemorySessions, Received, SessionStore,
};
pub use entropy::Entropy;
pub use event::Event;
pub use quic::{EarlyData, Stats, congestion};
pub use stats::PathStats;
pub use time::Instant;
pub use udp::{Ecn, RecvMeta, Transmit};
pub use wire::{Dir, Side, StreamId};
pub use wt::{SessionId, SessionRequest};
