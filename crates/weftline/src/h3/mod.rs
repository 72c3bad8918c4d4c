//! HTTP/3 (RFC 9114) over [`quic`](crate::quic).

mod head;

pub use head::{Fields, RequestHead, ResponseHead};
