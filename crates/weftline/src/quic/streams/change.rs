//! What streams tell the layers above, and what they are told of the peer.

use thiserror::Error;

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
    /// No more data is buffered than was asked to hear of.
    BufferLow(StreamId),
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

/// A stream takes no data.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteFail {
    /// The buffers are full; `Event::Writable` follows.
    #[error("the stream takes no data now; wait for Writable")]
    Blocked,
    /// The peer asked to stop (STOP_SENDING), with this code.
    #[error("the peer stopped the stream (code {0})")]
    Stopped(u64),
    /// The stream was finished or reset by this side.
    #[error("the stream was finished or reset by this side")]
    Finished,
    /// No such stream, or it cannot be written.
    #[error("no such stream to write")]
    Unknown,
}

/// A stream gives no data.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadFail {
    /// Nothing has arrived; `Event::Readable` follows.
    #[error("nothing to read now; wait for Readable")]
    Blocked,
    /// The peer reset the stream, with this code. Said once.
    #[error("the peer reset the stream (code {0})")]
    Reset(u64),
    /// No such stream, it cannot be read, or it was read to its end or stopped.
    #[error("no such stream to read")]
    Unknown,
}
