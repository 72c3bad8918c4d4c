//! HTTP/3 (RFC 9114) over [`quic`](crate::quic).

mod classify;
mod control;
mod fields;
mod head;

pub use head::{Fields, RequestHead, ResponseHead};

/// What tells the upper layer's streams from HTTP/3's own.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Markers {
    /// Type of its unidirectional streams.
    pub(crate) uni: u64,
    /// Signal that its bidirectional streams begin with.
    pub(crate) bidi: u64,
}
