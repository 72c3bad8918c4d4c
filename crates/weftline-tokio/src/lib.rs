//! [Weftline](weftline) on tokio: WebTransport, HTTP/3 and QUIC with async handles.
//!
//! An [`Endpoint`] is one UDP socket and one task that drives it. It gives [`Connection`]s; those
//! give [`Session`]s (WebTransport) and plain HTTP/3 exchanges; those give [`SendStream`]s and
//! [`RecvStream`]s. A connection with a protocol of the application's own is a [`RawConnection`],
//! with streams of the same kinds. TLS comes in with the configuration, from `weftline-rustls` or any other
//! implementation of [`weftline::crypto`].
//!
//! Everything that waits is safe to cancel: dropping a future loses no stream, datagram or byte.
//! Nothing here sets a timeout beyond those of the configuration; wrap what you like in
//! [`tokio::time::timeout`].
//!
//! Handles keep alive what they stand on. When the last handle on a session is dropped (streams
//! are handles too), the session closes with code 0; when the last handle on a connection is
//! dropped, it closes with H3_NO_ERROR. Data still on its way is lost then: wait for
//! [`SendStream::finished`] where that matters.

#![forbid(unsafe_code)]

mod admission;
mod connect;
mod connection;
mod driver;
mod endpoint;
mod error;
mod incoming;
mod raw;
mod request;
mod session;
mod shared;
mod state;
mod stream;

pub use admission::IncomingConnection;
pub use connection::Connection;
pub use endpoint::{Endpoint, EndpointStats};
pub use error::{
    Closed, ConnectError, MigrateError, OpenSessionError, ReadError, RequestError, WriteError,
};
pub use incoming::{Incoming, IncomingSession};
pub use raw::RawConnection;
pub use request::{IncomingRequest, PendingResponse};
pub use session::Session;
pub use stream::{RecvStream, SendStream};

pub use bytes::Bytes;
pub use weftline::{
    ConnId, Dir, EarlyData, MemorySessions, SessionId, SessionStore, Stats, StoredSession,
    StreamId,
    error::DatagramError,
    event::{CloseReason, ClosedBy, ErrorSpace, PathChange, SessionClosed},
    h3::{Fields, RequestHead, ResponseHead},
    wt::{Dialect, SessionRequest, SessionStats},
};
pub use weftline_std::{OsEntropy, Target, TargetError};
