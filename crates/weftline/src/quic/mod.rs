//! QUIC version 1 (RFC 9000, 9001, 9002, 9221).

#[allow(
    dead_code,
    unused_imports,
    reason = "the connection that uses it comes after it"
)]
pub(crate) mod acks;
#[allow(
    dead_code,
    unused_imports,
    reason = "the connection that uses it comes after it"
)]
pub(crate) mod congestion;
pub(crate) mod connection;
#[allow(
    dead_code,
    unused_imports,
    reason = "the connection that uses it comes after it"
)]
pub(crate) mod crypto_stream;
#[allow(
    dead_code,
    unused_imports,
    reason = "the connection that uses it comes after it"
)]
pub(crate) mod datagrams;
#[allow(
    dead_code,
    unused_imports,
    reason = "the connection that uses it comes after it"
)]
pub(crate) mod ranges;
#[allow(
    dead_code,
    unused_imports,
    reason = "the connection that uses it comes after it"
)]
pub(crate) mod recovery;
#[allow(
    dead_code,
    unused_imports,
    reason = "the connection that uses it comes after it"
)]
pub(crate) mod sent;
#[allow(
    dead_code,
    unused_imports,
    reason = "the connection that uses it comes after it"
)]
pub(crate) mod streams;

pub(crate) use connection::{Change, Connection, DatagramFail, Route};
pub(crate) use streams::{ReadFail, StreamChange, WriteFail};
