//! What an application does with the streams and datagrams of sessions, and with the bodies of plain
//! HTTP/3 messages.

use bytes::Bytes;

use super::Connection;
#[cfg(doc)]
use crate::event::Event;
use crate::{
    error::{DatagramError, OpenError, ReadError, WriteError},
    quic::{self, ReadFail, WriteFail},
    wire::{Dir, Side, StreamId, h3::error_code},
    wt::SessionId,
};

/// Streams of sessions, and bodies of plain HTTP/3 messages.
impl Connection {
    /// Opens a stream in a session.
    pub fn open_stream(&mut self, session: SessionId, dir: Dir) -> Result<StreamId, OpenError> {
        self.with_sessions(|wt, io| wt.open_stream(io, session, dir))
    }

    /// Bytes that [`Self::write`] would take now. When this is 0, [`Event::Writable`] follows, unless
    /// the stream takes no more data at all.
    pub fn writable(&mut self, stream: StreamId) -> usize {
        if self.is_message(stream) {
            let room = self.h3.body_writable(&self.quic, stream);
            if room == 0 {
                self.h3.want_body_room(&mut self.quic, stream);
            }
            return room;
        }
        self.with_sessions(|wt, io| wt.writable(io, stream))
    }

    /// Writes as much of `data` as there is room and credit for, at least one byte of it; gives how
    /// much. The data is copied and kept until the peer has it.
    pub fn write(&mut self, stream: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        if self.is_message(stream) {
            let written = self.h3.write_body(&mut self.quic, stream, data);
            return written.map_err(write_error);
        }
        self.with_sessions(|wt, io| wt.write(io, stream, data))
    }

    /// Like [`Self::write`], but keeps the data without copying it.
    pub fn write_bytes(&mut self, stream: StreamId, data: Bytes) -> Result<usize, WriteError> {
        if self.is_message(stream) {
            return self.write(stream, &data);
        }
        self.with_sessions(|wt, io| wt.write_bytes(io, stream, data))
    }

    /// Ends the data of a stream. [`Event::StreamFinished`] tells when the peer has all of it.
    pub fn finish(&mut self, stream: StreamId) -> Result<(), WriteError> {
        if self.is_message(stream) {
            let finished = self.h3.finish_body(&mut self.quic, stream);
            return finished.map_err(write_error);
        }
        self.with_sessions(|wt, io| wt.finish(io, stream))
    }

    /// Gives up the sending side of a stream: data not delivered yet may never be. A session's
    /// peer is told `code`; a plain message ends with H3_REQUEST_CANCELLED.
    pub fn reset(&mut self, stream: StreamId, code: u32) {
        if self.is_message(stream) {
            let code = error_code::H3_REQUEST_CANCELLED;
            self.h3.reset(&mut self.quic, stream, code);
        } else {
            self.with_sessions(|wt, io| wt.reset_at(io, stream, code, 0));
        }
    }

    /// Like [`Self::reset`], but the first `reliable` bytes are delivered all the same, where the
    /// peer knows RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset). For streams of sessions.
    pub fn reset_at(&mut self, stream: StreamId, code: u32, reliable: u64) {
        self.with_sessions(|wt, io| wt.reset_at(io, stream, code, reliable));
    }

    /// Gives up the receiving side of a stream, and asks the peer to stop sending. A session's peer
    /// is told `code`; of a plain message a server says H3_NO_ERROR, a client
    /// H3_REQUEST_CANCELLED.
    pub fn stop(&mut self, stream: StreamId, code: u32) {
        if self.is_message(stream) {
            let code = match self.quic.side() {
                Side::Server => error_code::H3_NO_ERROR,
                Side::Client => error_code::H3_REQUEST_CANCELLED,
            };
            self.h3.stop(&mut self.quic, stream, code);
        } else {
            self.with_sessions(|wt, io| wt.stop(io, stream, code));
        }
    }

    /// Sends the data of streams with a higher priority first; 0 is the default. The highest is for
    /// the connection itself, and the next one is taken instead.
    pub fn set_priority(&mut self, stream: StreamId, priority: i32) {
        self.quic
            .set_priority(stream, priority.min(quic::URGENT - 1));
    }

    /// Puts a stream into a group for sending; all begin in group 0. Groups of one priority take
    /// turns: those of different sessions should differ. (A `WebTransportSendGroup` of browsers.)
    pub fn set_send_group(&mut self, stream: StreamId, group: u32) {
        self.quic.set_send_group(stream, group);
    }

    /// Sends the data of streams with a higher order first, within their group and priority; equals
    /// take turns. 0 is the default. (The `sendOrder` of browsers.)
    pub fn set_send_order(&mut self, stream: StreamId, order: i64) {
        self.quic.set_send_order(stream, order);
    }

    /// Bytes written to a stream that the peer has not acknowledged, headers included.
    pub fn buffered(&self, stream: StreamId) -> u64 {
        self.quic.buffered_on(stream)
    }

    /// Has [`Event::BufferLow`] tell, once, when no more than this many bytes are
    /// [`buffered`](Self::buffered): at once if that is so.
    pub fn set_low_water(&mut self, stream: StreamId, bytes: u64) {
        if self.is_message(stream) || self.wt.session_of(stream).is_some() {
            self.quic.set_low_water(stream, bytes);
            self.settle();
        }
    }

    /// Takes up to `max` bytes of what arrived, in order, without a copy. `None` is the end.
    pub fn read(&mut self, stream: StreamId, max: usize) -> Result<Option<Bytes>, ReadError> {
        if self.is_message(stream) {
            let read = self.h3.read_body(&mut self.quic, stream, max);
            self.settle();
            return read.map_err(read_error);
        }
        self.with_sessions(|wt, io| wt.read(io, stream, max))
    }

    /// Copies what arrived into `out`, in order; gives how much. `None` is the end.
    pub fn read_into(
        &mut self,
        stream: StreamId,
        out: &mut [u8],
    ) -> Result<Option<usize>, ReadError> {
        if !self.is_message(stream) {
            return self.with_sessions(|wt, io| wt.read_into(io, stream, out));
        }
        let read = self.read(stream, out.len())?;
        Ok(read.map(|data| {
            let len = data.len().min(out.len());
            for (to, from) in out.iter_mut().zip(&data) {
                *to = *from;
            }
            len
        }))
    }
}

/// Datagrams.
impl Connection {
    /// Queues a datagram. It is sent once, if it ever fits, and may be lost.
    pub fn send_datagram(
        &mut self,
        session: SessionId,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        self.with_sessions(|wt, io| wt.send_datagram(io, session, payload))
    }

    /// The longest payload that fits a datagram now; `None` when the session is not open. It may
    /// change with the path.
    pub fn max_datagram_len(&mut self, session: SessionId) -> Option<usize> {
        self.with_sessions(|wt, io| wt.max_datagram_len(io, session))
    }

    /// Takes the oldest datagram that arrived.
    pub fn recv_datagram(&mut self, session: SessionId) -> Option<Bytes> {
        self.wt.recv_datagram(session)
    }
}

fn write_error(fail: WriteFail) -> WriteError {
    match fail {
        WriteFail::Blocked => WriteError::Blocked,
        WriteFail::Stopped(_) => WriteError::Stopped(None),
        WriteFail::Finished => WriteError::Finished,
        WriteFail::Unknown => WriteError::UnknownStream,
    }
}

fn read_error(fail: ReadFail) -> ReadError {
    match fail {
        ReadFail::Blocked => ReadError::Blocked,
        ReadFail::Reset(_) => ReadError::Reset(None),
        ReadFail::Unknown => ReadError::UnknownStream,
    }
}
