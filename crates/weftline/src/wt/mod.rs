//! WebTransport over HTTP/3, in every dialect that is deployed.

mod dialect;

pub use dialect::Dialect;

use crate::wire::StreamId;

/// A session: the stream that its CONNECT request came on.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) StreamId);

impl SessionId {
    /// The CONNECT stream.
    pub const fn stream(self) -> StreamId {
        self.0
    }
}
