//! Raw QUIC: streams and datagrams for an application with a protocol of its own (ALPN).
//!
//! Nothing lies between the application and the transport here, and nothing is queued twice: an
//! event is made when it is asked for, from what QUIC has to tell.

use bytes::Bytes;

use super::{Connection, Protocol};
#[cfg(doc)]
use crate::config::Builder;
use crate::{
    error::{DatagramError, OpenError},
    event::{ErrorSpace, Event},
    quic::{self, Change, DatagramFail, StreamChange, URGENT},
    wire::{Dir, StreamId},
};

pub use crate::quic::{ReadFail as ReadError, WriteFail as WriteError};

/// A connection that speaks another protocol than HTTP/3: see [`Builder::raw_alpn`]. From
/// [`Connection::raw`].
///
/// Error codes are the protocol's own, up to 2^62 - 1; larger ones are sent as that. Commands never
/// wait, as those of [`Connection`] do not.
#[derive(Debug)]
pub struct Raw<'a> {
    quic: &'a mut quic::Connection,
    state: &'a mut State,
}

/// What a raw connection knows beside QUIC.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct State {
    /// The application was told of datagrams, and has not taken the last since.
    told_datagrams: bool,
    told_closed: bool,
}

impl Connection {
    /// The connection for a protocol other than HTTP/3; `None` when it speaks HTTP/3, or that is
    /// not settled yet. On a client it is there at once, on a server from [`Event::Connected`] on.
    pub fn raw(&mut self) -> Option<Raw<'_>> {
        let quic = &mut self.quic;
        match &mut self.protocol {
            Protocol::Raw(state) => Some(Raw { quic, state }),
            Protocol::Http3 | Protocol::Open => None,
        }
    }
}

/// Streams.
impl Raw<'_> {
    /// Opens a stream. The peer learns of it with the first data.
    pub fn open(&mut self, dir: Dir) -> Result<StreamId, OpenError> {
        match self.quic.open(dir) {
            Some(id) => Ok(id),
            None if self.quic.is_closed() => Err(OpenError::NotOpen),
            None => Err(OpenError::Limit),
        }
    }

    /// Bytes that [`Self::write`] would take now. When this is 0, [`Event::Writable`] follows, unless
    /// the stream takes no more data at all.
    pub fn writable(&mut self, stream: StreamId) -> usize {
        let room = self.quic.writable(stream);
        if room == 0 {
            self.quic.want_room(stream);
        }
        room
    }

    /// Writes as much of `data` as there is room for, at least one byte of it; gives how much. The
    /// data is copied and kept until the peer has it.
    pub fn write(&mut self, stream: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        self.quic.write(stream, data)
    }

    /// Like [`Self::write`], but keeps the data without copying it.
    pub fn write_bytes(&mut self, stream: StreamId, data: Bytes) -> Result<usize, WriteError> {
        self.quic.write_bytes(stream, data)
    }

    /// Ends the data of a stream. [`Event::StreamFinished`] tells when the peer has all of it.
    pub fn finish(&mut self, stream: StreamId) -> Result<(), WriteError> {
        self.quic.finish(stream)
    }

    /// Gives up the sending side of a stream (RESET_STREAM): data not delivered yet may never be.
    pub fn reset(&mut self, stream: StreamId, code: u64) {
        self.quic.reset(stream, in_range(code));
    }

    /// Like [`Self::reset`], but the first `reliable` bytes are delivered all the same, where the
    /// peer knows RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset).
    pub fn reset_at(&mut self, stream: StreamId, code: u64, reliable: u64) {
        self.quic.reset_at(stream, in_range(code), reliable);
    }

    /// Gives up the receiving side of a stream, and asks the peer to stop sending (STOP_SENDING).
    pub fn stop(&mut self, stream: StreamId, code: u64) {
        self.quic.stop(stream, in_range(code));
    }

    /// Sends the data of streams with a higher priority first; 0 is the default. The highest is for
    /// the connection itself, and the next one is taken instead.
    pub fn set_priority(&mut self, stream: StreamId, priority: i32) {
        self.quic.set_priority(stream, priority.min(URGENT - 1));
    }

    /// Puts a stream into a group for sending; all begin in group 0. Groups of one priority take
    /// turns.
    pub fn set_send_group(&mut self, stream: StreamId, group: u32) {
        self.quic.set_send_group(stream, group);
    }

    /// Sends the data of streams with a higher order first, within their group and priority; equals
    /// take turns. 0 is the default.
    pub fn set_send_order(&mut self, stream: StreamId, order: i64) {
        self.quic.set_send_order(stream, order);
    }

    /// Bytes written to a stream that the peer has not acknowledged.
    pub fn buffered(&self, stream: StreamId) -> u64 {
        self.quic.buffered_on(stream)
    }

    /// Has [`Event::BufferLow`] tell, once, when no more than this many bytes are
    /// [`buffered`](Self::buffered): at once if that is so.
    pub fn set_low_water(&mut self, stream: StreamId, bytes: u64) {
        self.quic.set_low_water(stream, bytes);
    }

    /// Takes up to `max` bytes of what arrived, in order, without a copy. `None` is the end.
    pub fn read(&mut self, stream: StreamId, max: usize) -> Result<Option<Bytes>, ReadError> {
        self.quic.read(stream, max)
    }

    /// Copies what arrived into `out`, in order; gives how much. `None` is the end.
    pub fn read_into(
        &mut self,
        stream: StreamId,
        out: &mut [u8],
    ) -> Result<Option<usize>, ReadError> {
        self.quic.read_into(stream, out)
    }
}

/// Datagrams, and the connection.
impl Raw<'_> {
    /// Queues a datagram. It is sent once, if it ever fits, and may be lost.
    pub fn send_datagram(&mut self, payload: &[u8]) -> Result<(), DatagramError> {
        self.quic
            .send_datagram(&[], payload)
            .map_err(|fail| match fail {
                DatagramFail::Full => DatagramError::Full,
                DatagramFail::TooLarge { max } => DatagramError::TooLarge { max },
                DatagramFail::Unsupported => DatagramError::NotOpen,
            })
    }

    /// The longest datagram that fits now; `None` when the peer takes none, or before the handshake
    /// is complete. It may change with the path.
    pub fn max_datagram_len(&self) -> Option<usize> {
        self.quic.max_datagram_len()
    }

    /// Takes the oldest datagram that arrived.
    pub fn recv_datagram(&mut self) -> Option<Bytes> {
        let datagram = self.quic.recv_datagram();
        self.state.told_datagrams &= datagram.is_some();
        datagram
    }

    /// Closes the connection with a code of the application's protocol. Everything on it ends at
    /// once, delivered or not.
    pub fn close(&mut self, code: u64, reason: &str) {
        self.quic
            .close(ErrorSpace::Application, in_range(code), reason);
    }
}

impl State {
    /// The next event.
    pub(super) fn poll_event(&mut self, quic: &mut quic::Connection) -> Option<Event> {
        if self.told_closed {
            return None;
        }
        while let Some(change) = quic.next_own_news() {
            if let Some(event) = event(change) {
                return Some(event);
            }
        }
        while let Some(change) = quic.next_stream_news() {
            if let Some(event) = stream_event(change) {
                return Some(event);
            }
        }
        if quic.has_datagram() && !core::mem::replace(&mut self.told_datagrams, true) {
            return Some(Event::RawDatagrams);
        }
        let reason = quic.take_closed()?;
        self.told_closed = true;
        Some(Event::Closed(reason))
    }
}

/// What the application hears of a change.
fn event(change: Change) -> Option<Event> {
    Some(match change {
        Change::Connected => Event::Connected,
        Change::Stream(change) => return stream_event(change),
        Change::Path(change) => Event::PathChanged(change),
        Change::Closed(reason) => Event::Closed(reason),
        // Datagrams stay in their queue until they are taken.
        Change::Confirmed | Change::Datagram(_) => return None,
        // `Connection::early_data` tells.
        Change::EarlyData | Change::EarlyDataRejected => return None,
    })
}

fn stream_event(change: StreamChange) -> Option<Event> {
    Some(match change {
        StreamChange::Opened(id) => Event::RawStreamOpened(id),
        StreamChange::Readable(id) => Event::Readable(id),
        StreamChange::Writable(id) => Event::Writable(id),
        StreamChange::BufferLow(id) => Event::BufferLow(id),
        StreamChange::Stopped { id, code } => Event::RawStreamStopped(id, code),
        StreamChange::Finished(id) => Event::StreamFinished(id),
        StreamChange::Available(dir) => Event::StreamsAvailable(dir),
        StreamChange::Received(_) | StreamChange::Closed { .. } => return None,
    })
}

/// The largest code that a frame can carry.
fn in_range(code: u64) -> u64 {
    code.min(crate::wire::varint::MAX)
}
