//! Errors: the caller's and the peer's, apart.
//!
//! What a peer does wrong never comes back as an `Err` from an input method: it becomes an
//! [`Event`](crate::Event). The errors here answer the application's own calls.

use alloc::{borrow::Cow, string::String};
use thiserror::Error;

/// A stream takes no data.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// Buffers or credit are used up; `Event::Writable` follows.
    #[error("the stream takes no data now; wait for Writable")]
    Blocked,
    /// The peer asked to stop (STOP_SENDING), with this application code.
    #[error("the peer stopped the stream (code {0:?})")]
    Stopped(Option<u32>),
    /// The stream was finished or reset by this side.
    #[error("the stream was finished or reset by this side")]
    Finished,
    /// No such stream, or it cannot be written.
    #[error("no such stream to write")]
    UnknownStream,
}

/// A stream gives no data.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Nothing has arrived; `Event::Readable` follows.
    #[error("nothing to read now; wait for Readable")]
    Blocked,
    /// The peer reset the stream, with this application code (`None` when it is no
    /// application's).
    #[error("the peer reset the stream (code {0:?})")]
    Reset(Option<u32>),
    /// No such stream, it cannot be read, or it was read to its end or stopped.
    #[error("no such stream to read")]
    UnknownStream,
}

/// A stream cannot be opened.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The peer's stream limit is reached; `Event::StreamsAvailable` follows.
    #[error("the peer's limit of streams is reached; wait for StreamsAvailable")]
    Limit,
    /// The session or connection is closed or not yet established.
    #[error("the session is not open")]
    NotOpen,
}

/// A datagram was not queued.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum DatagramError {
    /// The queue is full. Datagrams are unreliable: drop it or try later.
    #[error("the datagram queue is full")]
    Full,
    /// It is longer than any datagram the path and the peer now allow.
    #[error("the datagram is longer than the {max} bytes that fit now")]
    TooLarge {
        /// The longest payload that fits.
        max: usize,
    },
    /// The peer does not take datagrams, or the session is not open.
    #[error("the session takes no datagrams")]
    NotOpen,
}

/// A session operation cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// No such session, or it is over.
    #[error("no such session")]
    UnknownSession,
    /// The session is not in the state for this: already answered, or not yet established.
    #[error("the session is not in a state for this")]
    WrongState,
    /// The peer cannot do WebTransport; says what it lacks.
    #[error("the peer offers no WebTransport: {0}")]
    Unsupported(&'static str),
    /// The connection takes no more sessions: the peer's limits, GOAWAY, or its one-session rule.
    #[error("the connection takes no more sessions")]
    Limit,
    /// A header, path, reason or protocol is not legal; says which.
    #[error("not legal in a request or response: {0}")]
    Invalid(&'static str),
}

/// A plain HTTP/3 operation cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The connection takes no more requests now.
    #[error("the connection takes no more requests")]
    Limit,
    /// No such exchange, or it is past this point.
    #[error("no such request")]
    UnknownRequest,
    /// A part of the head is not legal; says which.
    #[error("not legal in a request or response: {0}")]
    Invalid(&'static str),
}

/// A connection cannot move to another address.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum MigrateError {
    /// Only clients move.
    #[error("only clients move to another address")]
    Server,
    /// The handshake is not confirmed yet, or the connection is over.
    #[error("the connection is not established")]
    NotConfirmed,
    /// The server asked its clients not to move (`disable_active_migration`).
    #[error("the server does not allow clients to move")]
    Forbidden,
    /// The server gave no connection ID to use on another path: a connection that kept its ID could
    /// be followed (RFC 9000, section 9.5).
    #[error("the server gave no connection ID for another path")]
    NoConnectionId,
    /// Another path is being tried.
    #[error("another path is being tried")]
    Busy,
}

/// A connection cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The name is neither a DNS name nor an IP address, or TLS refused to start.
    #[error("cannot start TLS with {name:?}: {reason}")]
    Tls {
        /// The name given.
        name: String,
        /// What the TLS library said.
        reason: String,
    },
    /// The endpoint has as many connections as its limits allow.
    #[error("the endpoint's limit of {0} connections is reached")]
    TooMany(usize),
}

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A number is outside its bounds.
    #[error("{field} is {value}, but must be {bound}")]
    OutOfRange {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: u64,
        /// What it must be.
        bound: Cow<'static, str>,
    },
    /// Two settings contradict each other.
    #[error("{0}")]
    Conflict(&'static str),
}

/// A peer's fault, and how far it reaches: the variant is the blast radius. Lower layers return it
/// upward; the connection acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection must close with this transport error code (RFC 9000, section 20.1).
    Transport {
        code: TransportCode,
        /// The type of the frame at fault, 0 when none.
        frame: u64,
        reason: &'static str,
    },
    /// The connection must close with this HTTP/3 or QPACK error code.
    Http { code: u64, reason: &'static str },
    /// The TLS handshake failed.
    Tls { alert: u8, reason: String },
}

impl Fault {
    pub(crate) const fn transport(code: TransportCode, reason: &'static str) -> Self {
        Self::Transport {
            code,
            frame: 0,
            reason,
        }
    }

    pub(crate) const fn http(code: u64, reason: &'static str) -> Self {
        Self::Http { code, reason }
    }
}

/// Transport error codes (RFC 9000, section 20.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u64)]
#[allow(missing_docs, reason = "the RFC's own names")]
pub enum TransportCode {
    NoError = 0x00,
    InternalError = 0x01,
    ConnectionRefused = 0x02,
    FlowControlError = 0x03,
    StreamLimitError = 0x04,
    StreamStateError = 0x05,
    FinalSizeError = 0x06,
    FrameEncodingError = 0x07,
    TransportParameterError = 0x08,
    ConnectionIdLimitError = 0x09,
    ProtocolViolation = 0x0a,
    InvalidToken = 0x0b,
    ApplicationError = 0x0c,
    CryptoBufferExceeded = 0x0d,
    KeyUpdateError = 0x0e,
    AeadLimitReached = 0x0f,
    NoViablePath = 0x10,
    VersionNegotiationError = 0x11,
}
