//! QUIC version 1 (RFC 9000, 9001, 9002, 9221).

pub(crate) mod sent;
