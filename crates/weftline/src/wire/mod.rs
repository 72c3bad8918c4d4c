//! Pure codecs between bytes and plain structs: QUIC packets, frames and transport parameters,
//! HTTP/3 frames and settings, QPACK, capsules, and the slice of structured fields WebTransport
//! needs.
//!
//! Everything here is public, allocates only where a value needs to own bytes, keeps no state,
//! and never panics on input.

pub mod cid;
pub mod client_hello;
pub mod frame;
pub mod h3;
pub mod packet;
pub mod params;
pub mod qpack;
pub mod reader;
pub mod sf;
pub mod stream_id;
pub mod varint;
pub mod writer;

pub use cid::{Cid, MAX_CID_LEN, ResetToken};
pub use client_hello::{ClientHello, HelloError};
pub use reader::{Reader, Truncated};
pub use stream_id::{Dir, Side, StreamId};
pub use writer::{NoRoom, Writer};
