//! What ends the work of a handle.

use std::io;

use thiserror::Error;
use weftline::{
    error,
    event::{CloseReason, ClosedBy, SessionClosed},
    h3::ResponseHead,
};

/// What a handle stood on is gone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Closed {
    /// The session was closed.
    #[error("the session is closed (by {:?}, code {}): {}", .0.by, .0.code, .0.reason)]
    Session(SessionClosed),
    /// The connection was closed.
    #[error("the connection is closed (by {:?}, code {:#x}): {}", .0.by, .0.code, .0.reason)]
    Connection(CloseReason),
}

/// A stream takes no more data.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The peer asked to stop, with this application code (`None` when it is not an
    /// application's). The stream was reset in answer.
    #[error("the peer stopped the stream (code {0:?})")]
    Stopped(Option<u64>),
    /// This side finished or reset the stream.
    #[error("the stream was finished or reset by this side")]
    Finished,
    /// The session or connection is gone.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// A stream gives no more data.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The peer reset the stream, with this application code (`None` when it is not an
    /// application's).
    #[error("the peer reset the stream (code {0:?})")]
    Reset(Option<u64>),
    /// There is more data than the caller wanted to take.
    #[error("the stream is longer than wanted")]
    TooLong,
    /// This side stopped the stream.
    #[error("the stream was stopped by this side")]
    Finished,
    /// The session or connection is gone.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// A connection, or the session wanted on it, did not come about.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// It could not even be started.
    #[error(transparent)]
    Start(#[from] error::ConnectError),
    /// It was closed, or timed out, before the handshake was complete.
    #[error("the connection failed (by {:?}, code {:#x}): {}", .0.by, .0.code, .0.reason)]
    Closed(CloseReason),
    /// The endpoint was closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
    /// The host's addresses could not be found.
    #[error("cannot find the address of {host}: {source}")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The connection stands, but the session did not come about.
    #[error(transparent)]
    Session(#[from] OpenSessionError),
}

/// A session did not come about.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenSessionError {
    /// The server refused it, with this response.
    #[error("the server refused the session with status {}", .0.status)]
    Rejected(Box<ResponseHead>),
    /// It cannot be asked for, or accepted, on this connection.
    #[error(transparent)]
    Failed(#[from] error::SessionError),
    /// The session or connection was closed meanwhile.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// A plain HTTP/3 exchange failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The peer reset the exchange or broke the rules.
    #[error("the exchange failed with HTTP/3 code {code:#x}")]
    Failed {
        /// The HTTP/3 error code.
        code: u64,
    },
    /// It cannot be sent.
    #[error(transparent)]
    Invalid(#[from] error::RequestError),
    /// The connection is gone.
    #[error("the connection is closed (by {:?}, code {:#x}): {}", .0.by, .0.code, .0.reason)]
    Closed(CloseReason),
}

/// A connection did not move to another address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MigrateError {
    /// It may not.
    #[error(transparent)]
    Refused(#[from] error::MigrateError),
    /// Nothing came back from there. The connection goes on as before.
    #[error("nothing came back over the new path")]
    NoAnswer,
    /// The connection is gone.
    #[error("the connection is closed (by {:?}, code {:#x}): {}", .0.by, .0.code, .0.reason)]
    Closed(CloseReason),
}

impl Closed {
    /// The way of going that is known when even its reason was forgotten.
    pub(crate) fn connection_gone() -> Self {
        Self::Connection(gone(""))
    }
}

/// A connection that is not there any more, with what is known about that.
pub(crate) fn gone(reason: &str) -> CloseReason {
    CloseReason {
        by: ClosedBy::Local,
        code: H3_NO_ERROR,
        space: weftline::event::ErrorSpace::Application,
        reason: reason.to_owned(),
    }
}

/// What ends a connection that nobody needs any more (RFC 9114, section 8.1).
pub(crate) const H3_NO_ERROR: u64 = 0x100;

impl From<Closed> for io::Error {
    fn from(error: Closed) -> Self {
        Self::new(io::ErrorKind::NotConnected, error)
    }
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        let kind = match &error {
            WriteError::Stopped(_) => io::ErrorKind::ConnectionReset,
            WriteError::Finished => io::ErrorKind::BrokenPipe,
            WriteError::Closed(_) => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        let kind = match &error {
            ReadError::Reset(_) => io::ErrorKind::ConnectionReset,
            ReadError::TooLong => io::ErrorKind::InvalidData,
            ReadError::Finished => io::ErrorKind::BrokenPipe,
            ReadError::Closed(_) => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}
