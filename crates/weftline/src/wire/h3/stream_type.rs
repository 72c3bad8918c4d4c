//! Types of unidirectional streams (RFC 9114, section 6.2): the first varint on each.
//!
//! Reserved types follow [`is_grease`](super::is_grease); other types are extensions' or unknown,
//! and a stream of an unknown type is not an error.

/// The control stream: SETTINGS and the frames that concern the connection.
pub const CONTROL: u64 = 0x00;
/// A push stream: a push ID and a response. Servers only.
pub const PUSH: u64 = 0x01;
/// The QPACK encoder stream (RFC 9204, section 4.2).
pub const QPACK_ENCODER: u64 = 0x02;
/// The QPACK decoder stream (RFC 9204, section 4.2).
pub const QPACK_DECODER: u64 = 0x03;
