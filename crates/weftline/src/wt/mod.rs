//! WebTransport over HTTP/3, in every dialect that is deployed.

mod capsules;
mod codes;
mod credit;
mod dialect;
mod negotiate;
mod pending;
mod request;
mod state;

pub use dialect::Dialect;
pub use request::SessionRequest;

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
