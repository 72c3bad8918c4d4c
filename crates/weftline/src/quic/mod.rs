//! QUIC versions 1 and 2 (RFC 9000, 9001, 9002, 9221, 9368, 9369).

pub(crate) mod ack_frequency;
pub(crate) mod acks;
pub(crate) mod cids;
pub mod congestion;
pub(crate) mod connection;
pub(crate) mod crypto_stream;
pub(crate) mod datagrams;
pub(crate) mod observer;
pub(crate) mod path;
pub(crate) mod random;
pub(crate) mod ranges;
pub(crate) mod recovery;
pub(crate) mod sent;
pub(crate) mod space;
pub(crate) mod stream_map;
pub(crate) mod streams;

pub(crate) use connection::{
    Change, Connection, DatagramFail, FirstInitial, Remembered, Route, Setup, reset_token,
};
pub use connection::{EarlyData, Stats};
pub(crate) use random::CID_LEN;
pub use streams::{ReadFail, WriteFail};
pub(crate) use streams::{StreamChange, URGENT};
