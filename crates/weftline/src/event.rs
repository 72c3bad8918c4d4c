//! What an endpoint tells the application.
//!
//! Guarantees, for the events of one connection:
//! - [`Event::StreamOpened`], [`Event::RawStreamOpened`], [`Event::Request`] come before any other
//!   event of their stream;
//! - [`Event::SessionReady`] and [`Event::SessionRequested`] come before any event of the
//!   session's streams and datagrams, [`Event::SessionClosed`] after all of them;
//! - what came in early data (0-RTT) is told before [`Event::Connected`], as far as it has arrived by
//!   then; there is none unless the TLS of a server takes it;
//! - [`Event::Closed`] is the last, and comes exactly once;
//! - [`Event::Readable`], [`Event::Writable`], [`Event::Datagrams`] and [`Event::RawDatagrams`] are
//!   edges: each comes once, and again only after the application met `Blocked` (or found no
//!   further datagram).

use alloc::{boxed::Box, string::String};
use core::net::{IpAddr, SocketAddr};

use crate::{
    h3::{RequestHead, ResponseHead},
    wire::{Dir, StreamId},
    wt::{Dialect, SessionId},
};

/// Something that happened on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is complete. Streams may be used; sessions wait for the peer's SETTINGS by
    /// themselves.
    Connected,
    /// Server: a client asks for a session. Answer with `accept_session` or `reject_session`.
    SessionRequested(SessionId, Box<RequestHead>),
    /// Client: the server accepted the session.
    SessionReady(SessionId, Box<SessionReady>),
    /// Client: the server refused the session, with this response. Nothing more is told of it.
    SessionRejected(SessionId, Box<ResponseHead>),
    /// The peer asks that the session be finished soon: a drain capsule or GOAWAY. The session
    /// goes on working.
    SessionDraining(SessionId),
    /// The session is over. All its streams are gone. After `close_session` this comes when the peer
    /// has seen the reason, or did not answer for two seconds.
    SessionClosed(SessionId, SessionClosed),
    /// The peer opened a stream in a session.
    StreamOpened(SessionId, StreamId),
    /// A stream has data, its end, or a reset to read.
    Readable(StreamId),
    /// A stream that was blocked takes data again.
    Writable(StreamId),
    /// No more data is buffered than `set_low_water` asked to hear of. Not told of a stream that
    /// was reset, by either side.
    BufferLow(StreamId),
    /// The peer has received all data of a stream and its end.
    StreamFinished(StreamId),
    /// The peer asks to send no more on a stream (STOP_SENDING). The stream was reset in answer.
    /// The code is `None` when it is not an application's (draft-16, section 4.4).
    StreamStopped(StreamId, Option<u32>),
    /// Streams of this direction can be opened again after `OpenError::Limit`.
    StreamsAvailable(Dir),
    /// A session has datagrams to receive.
    Datagrams(SessionId),
    /// Server: the head of a plain HTTP/3 request arrived. Its body is read like a stream.
    Request(StreamId, Box<RequestHead>),
    /// Client: the head of a plain HTTP/3 response arrived. Its body is read like a stream.
    Response(StreamId, Box<ResponseHead>),
    /// A plain HTTP/3 exchange failed: the peer reset it or broke the rules. The HTTP/3 code.
    RequestFailed(StreamId, u64),
    /// The peer opened a stream of a raw connection.
    RawStreamOpened(StreamId),
    /// The peer asks to send no more on a stream of a raw connection (STOP_SENDING), with this code.
    /// The stream was reset in answer.
    RawStreamStopped(StreamId, u64),
    /// A raw connection has datagrams to receive.
    RawDatagrams,
    /// The peer will not take part in new requests or sessions (GOAWAY).
    GoingAway,
    /// The connection goes another way through the network, or cannot.
    PathChanged(PathChange),
    /// The connection is over, and every session and stream with it.
    Closed(CloseReason),
}

/// What became of a change of address (RFC 9000, section 9).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum PathChange {
    /// The new path is validated and in use. On a client this follows
    /// [`migrate`](crate::Connection::migrate), a new socket or the server's preferred address; on
    /// a server the client has moved, or its NAT has given it another address.
    Moved {
        /// Where the peer is.
        remote: SocketAddr,
        /// Our own address, when it is known or was asked for.
        local: Option<IpAddr>,
    },
    /// Client: nothing came back over this path. The connection stays where it was, unless the
    /// socket is another.
    Failed {
        /// Where the peer should have been.
        remote: SocketAddr,
        /// Our own address, when it was asked for.
        local: Option<IpAddr>,
    },
}

/// How a server accepted a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionReady {
    /// The 2xx response.
    pub response: ResponseHead,
    /// The subprotocol the server chose from the client's list.
    pub protocol: Option<String>,
    /// The dialect in use.
    pub dialect: Dialect,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionClosed {
    /// Who ended it.
    pub by: ClosedBy,
    /// The application's code, 0 for a plain end.
    pub code: u32,
    /// The application's reason.
    pub reason: String,
    /// The HTTP/3 or WebTransport error code, when it ended by a reset or an error instead.
    pub error: Option<u64>,
}

/// Who or what ended a session or connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// This application.
    Local,
    /// The peer.
    Peer,
    /// A timer: idle, handshake, or the peer stopped answering.
    Timeout,
    /// A stateless reset: the peer lost the connection's state.
    Reset,
    /// The peer speaks no version of QUIC that we do.
    Version,
    /// The endpoint itself: the peer broke the protocol.
    Fault,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// Who ended it.
    pub by: ClosedBy,
    /// The code, in the space that `space` names.
    pub code: u64,
    /// Whether the code is the transport's or the application's (HTTP/3's).
    pub space: ErrorSpace,
    /// Reason phrase, for people.
    pub reason: String,
}

/// The space an error code of a connection belongs to (RFC 9000, section 20).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ErrorSpace {
    /// QUIC's own codes; 0x100 to 0x1ff are TLS alerts.
    Transport,
    /// The application protocol's codes: HTTP/3's.
    Application,
}
