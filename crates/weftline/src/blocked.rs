//! What holds data back.

use crate::time::Instant;

/// Something that holds a stream, a datagram or a connection back, as
/// [`Connection::why_blocked`](crate::Connection::why_blocked) and its like name it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blocker {
    /// The application: there is nothing to send.
    Application,
    /// The buffers for sending are full of what the peer has not acknowledged; writes wait.
    SendBuffer,
    /// The peer gives the stream no more credit (MAX_STREAM_DATA).
    StreamCredit,
    /// The peer gives the connection no more credit (MAX_DATA).
    ConnectionCredit,
    /// The peer gives the session no more credit, for data or for streams.
    SessionCredit,
    /// The peer lets no more streams be opened (MAX_STREAMS).
    StreamLimit,
    /// The congestion window is full.
    Congestion,
    /// The pacer lets the next packet go at this time.
    Pacer {
        /// When.
        until: Instant,
    },
    /// The peer has not proved its address, and was sent three times what came from there.
    Amplification,
    /// As many packets await acknowledgement as [`Limits::sent_packets`] allows.
    ///
    /// [`Limits::sent_packets`]: crate::config::Limits::sent_packets
    PacketLimit,
    /// The handshake is not complete.
    Handshake,
    /// The peer's SETTINGS have not come, or it takes no datagrams.
    PeerSettings,
    /// The session is not established.
    Session,
    /// The first datagram in the queue fits no packet any more.
    PathMtu,
    /// The connection is over.
    Closed,
}
