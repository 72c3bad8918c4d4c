//! QUIC version 1 (RFC 9000, 9001, 9002, 9221).

pub(crate) mod cids;
pub(crate) mod connection;
pub(crate) mod interim;
pub(crate) mod path;
pub(crate) mod sent;

pub(crate) use connection::{Change, Connection, DatagramFail, Route};
pub(crate) use interim::{ReadFail, StreamChange, WriteFail};
