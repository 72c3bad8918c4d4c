//! What streams tell the layers above, and what they are told of the peer.

use crate::wire::{Dir, StreamId};

/// The limits of transport parameters that concern streams, as the side that sends them means
/// them (RFC 9000, section 18.2): "local" streams are those it opens itself.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamParams {
    pub(crate) max_data: u64,
    pub(crate) bidi_local: u64,
    pub(crate) bidi_remote: u64,
    pub(crate) uni: u64,
    pub(crate) streams_bidi: u64,
    pub(crate) streams_uni: u64,
}

/// Something that happened to a stream.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamChange {
    /// The peer opened it. Comes before anything else of the stream.
    Opened(StreamId),
    /// A read gives data, the end, or a reset. Once, until a read gave `Blocked`.
    Readable(StreamId),
    /// A write that was `Blocked` finds room.
    Writable(StreamId),
    /// The peer sent STOP_SENDING; the stream was reset in answer.
    Stopped { id: StreamId, code: u64 },
    /// The peer has all data and its end.
    Finished(StreamId),
    /// Streams can be opened again after `open` gave `None`.
    Available(Dir),
    /// The peer sent more on a watched stream. Once, until [`Streams::received`] was asked.
    ///
    /// [`Streams::received`]: super::Streams::received
    Received(StreamId),
    /// Both sides are done with the stream. The last of it, with the sizes of both its parts.
    Closed {
        id: StreamId,
        sent: u64,
        received: u64,
    },
}

/// Why nothing was written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteFail {
    /// The buffers are full; [`StreamChange::Writable`] follows.
    Blocked,
    /// The peer wants no more, with this code.
    Stopped(u64),
    /// This side finished or reset it.
    Finished,
    /// No such stream, or none that this side sends on.
    Unknown,
}

/// Why nothing was read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadFail {
    /// Nothing there; [`StreamChange::Readable`] follows.
    Blocked,
    /// The peer reset it, with this code. Said once.
    Reset(u64),
    /// No such stream, or none that this side reads; or it was read to its end, or stopped.
    Unknown,
}
