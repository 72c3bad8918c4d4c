//! QUIC version 1 (RFC 9000, 9001, 9002, 9221).

pub(crate) mod connection;
pub(crate) mod crypto_stream;
pub(crate) mod datagrams;
pub(crate) mod sent;
pub(crate) mod streams;

pub(crate) use connection::{Change, Connection, DatagramFail, Route};
pub(crate) use streams::{ReadFail, StreamChange, WriteFail};
