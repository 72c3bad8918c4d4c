//! The sending part of a stream.

use bytes::Bytes;

use super::{
    WriteFail, codec,
    credit::{SendCredit, Signal},
    send_buffer::SendBuffer,
    send_state::{SendInput, SendState},
    spare::Spare,
};
use crate::{
    quic::sent::{SentFrame, SentFrames},
    wire::{
        StreamId, Writer,
        frame::{ResetStream, StreamDataBlocked},
    },
};

/// The sending part of a stream: its state, data and credit.
#[derive(Debug)]
pub(super) struct Send {
    state: SendState,
    buffer: SendBuffer,
    credit: SendCredit,
    /// The end of the data: wanted by `finish`, sent with the last byte or after it.
    fin: Signal,
    reset: Signal,
    /// Code of the reset.
    reset_code: u64,
    /// Bytes delivered in spite of the reset.
    reliable: u64,
    /// Code of the peer's STOP_SENDING.
    stopped: Option<u64>,
    notice: WriteNotice,
}

/// What the application is to hear about room for writes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum WriteNotice {
    /// Nothing: it was not refused.
    Idle,
    /// That there is room, once there is.
    Armed,
    /// Being told.
    Queued,
}

impl Send {
    pub(super) fn new(max_data: u64) -> Self {
        Self {
            state: SendState::Ready,
            buffer: SendBuffer::default(),
            credit: SendCredit::new(max_data),
            fin: Signal::Idle,
            reset: Signal::Idle,
            reset_code: 0,
            reliable: 0,
            stopped: None,
            notice: WriteNotice::Idle,
        }
    }

    /// Whether the stream takes data, room aside.
    pub(super) fn check_open(&self) -> Result<(), WriteFail> {
        if let Some(code) = self.stopped {
            return Err(WriteFail::Stopped(code));
        }
        match (self.state, self.fin) {
            (SendState::Ready | SendState::Send, Signal::Idle) => Ok(()),
            _ => Err(WriteFail::Finished),
        }
    }

    pub(super) fn write(&mut self, data: &[u8], spare: &mut Spare) {
        self.buffer.write(data, spare);
    }

    pub(super) fn write_bytes(&mut self, data: Bytes, spare: &mut Spare) {
        self.buffer.write_bytes(data, spare);
    }

    pub(super) fn finish(&mut self) -> Result<(), WriteFail> {
        self.check_open()?;
        self.fin.raise();
        Ok(())
    }

    /// Resets the stream, but goes on delivering the first `reliable` bytes; the reset itself
    /// waits until they were sent.
    pub(super) fn reset(&mut self, code: u64, reliable: u64) {
        let state = self.state.on(SendInput::Reset);
        if state != self.state {
            self.state = state;
            self.reliable = reliable.min(self.buffer.end());
            self.buffer.truncate(self.reliable);
            self.reset.raise();
            self.reset_code = code;
        }
    }

    /// The peer sent STOP_SENDING: the answer is a reset with its code (RFC 9000, section 3.5).
    /// Gives whether that is news.
    pub(super) fn on_stop(&mut self, code: u64) -> bool {
        let news = self.state.on(SendInput::Reset) != self.state;
        if news {
            self.reset(code, 0);
            self.stopped = Some(code);
        } else if self.state == SendState::ResetSent && self.reliable > 0 {
            // Nobody will read what the reset promised.
            self.reliable = 0;
            self.buffer.truncate(0);
            self.reset = Signal::Due;
        }
        news
    }

    pub(super) fn on_max_data(&mut self, limit: u64) {
        self.credit.raise(limit);
    }

    /// Whether both sides are done with it.
    pub(super) fn is_done(&self) -> bool {
        self.state.is_terminal()
    }

    /// How far the data reaches that was sent: at a reset, the final size.
    pub(super) fn sent(&self) -> u64 {
        self.buffer.sent()
    }

    pub(super) fn buffered(&self) -> u64 {
        self.buffer.buffered()
    }

    /// Bytes never sent that the stream's credit does not let go.
    pub(super) fn stuck(&self) -> u64 {
        self.buffer.unsent().saturating_sub(self.credit.available())
    }

    /// Bytes that the stream's credit would let go if they were written.
    pub(super) fn sendable(&self) -> u64 {
        self.credit.available().saturating_sub(self.buffer.unsent())
    }

    /// Whether it ends by a reset.
    pub(super) fn is_reset(&self) -> bool {
        self.reset != Signal::Idle
    }

    /// Whether everything written was sent.
    pub(super) fn is_all_sent(&self) -> bool {
        self.buffer.unsent() == 0
    }

    pub(super) fn accounted_bytes(&self) -> usize {
        self.buffer.accounted_bytes()
    }

    /// Whether data or its end wants to be sent that needs no credit of the connection.
    pub(super) fn wants_resend(&self) -> bool {
        self.buffer.has_lost() || self.wants_bare_fin()
    }

    /// Whether there is data that was never sent.
    pub(super) fn has_unsent(&self) -> bool {
        self.buffer.unsent() > 0
    }

    /// Whether data wants to be sent for the first time, and the stream's credit allows it.
    pub(super) fn wants_fresh(&self) -> bool {
        self.buffer.unsent() > 0 && self.credit.available() > 0
    }

    /// Whether a control frame wants to be sent.
    pub(super) fn wants_control(&self) -> bool {
        self.wants_reset() || self.wants_blocked()
    }

    /// Writes what [`Self::wants_control`] speaks of; `false` when it does not fit.
    pub(super) fn write_control(
        &mut self,
        id: StreamId,
        w: &mut Writer<'_>,
        sent: &mut SentFrames,
    ) -> bool {
        if self.wants_reset() {
            let frame = ResetStream {
                id,
                code: self.reset_code,
                final_size: self.buffer.sent(),
            };
            if codec::reset_stream(w, &frame, self.reliable).is_err() {
                return false;
            }
            self.reset.on_sent();
            sent.push(SentFrame::ResetStream(id));
        }
        if self.wants_blocked() {
            let limit = self.credit.limit();
            if (StreamDataBlocked { id, limit }).encode(w).is_err() {
                return false;
            }
            self.credit.blocked_notice().on_sent(limit);
            sent.push(SentFrame::StreamDataBlocked(id, limit));
        }
        true
    }

    /// Writes one STREAM frame of what [`Self::wants_resend`] speaks of; `false` when it does not
    /// fit.
    pub(super) fn write_resend(
        &mut self,
        id: StreamId,
        w: &mut Writer<'_>,
        sent: &mut SentFrames,
    ) -> bool {
        let end = self.buffer.end();
        let lost = self.buffer.first_lost().unwrap_or(end..end);
        let Some(len) = codec::stream_room(w, sent, id, lost.start, lost.end - lost.start) else {
            return false;
        };
        let range = self.buffer.take_lost(len).unwrap_or(end..end);
        self.put(id, range.start, range.end, w, sent)
    }

    /// Writes one STREAM frame of data never sent before, within `credit` of the connection;
    /// gives its length, `None` when it does not fit.
    pub(super) fn write_fresh(
        &mut self,
        id: StreamId,
        credit: u64,
        w: &mut Writer<'_>,
        sent: &mut SentFrames,
    ) -> Option<u64> {
        let credit = credit.min(self.credit.available());
        let available = self.buffer.unsent().min(credit);
        let len = codec::stream_room(w, sent, id, self.buffer.sent(), available)?;
        let range = self.buffer.take_unsent(len);
        let len = range.end - range.start;
        self.credit.consume(len);
        self.put(id, range.start, range.end, w, sent).then_some(len)
    }

    /// The peer has these bytes. Gives whether that was the last thing it needed.
    pub(super) fn on_acked(&mut self, offset: u64, len: u16, fin: bool, spare: &mut Spare) -> bool {
        self.buffer.on_acked(offset..offset + u64::from(len), spare);
        if fin {
            self.fin.on_acked();
        }
        self.on_progress()
    }

    pub(super) fn on_lost(&mut self, offset: u64, len: u16, fin: bool) {
        self.buffer.on_lost(offset..offset + u64::from(len));
        if fin {
            self.fin.on_lost();
        }
    }

    pub(super) fn on_reset_acked(&mut self) {
        self.reset.on_acked();
        self.on_progress();
    }

    pub(super) fn on_reset_lost(&mut self) {
        self.reset.on_lost();
    }

    pub(super) fn on_blocked_lost(&mut self, limit: u64) {
        self.credit.blocked_notice().on_lost(limit);
    }

    /// The application was refused a write.
    pub(super) fn on_write_refused(&mut self) {
        if self.notice == WriteNotice::Idle {
            self.notice = WriteNotice::Armed;
        }
    }

    /// Whether the application waits to hear of room.
    pub(super) fn is_write_refused(&self) -> bool {
        self.notice == WriteNotice::Armed && self.check_open().is_ok()
    }

    /// There is room. Gives whether the application is to be told.
    pub(super) fn take_notice(&mut self) -> bool {
        let tell = self.is_write_refused();
        if tell {
            self.notice = WriteNotice::Queued;
        }
        tell
    }

    /// The application is being told, unless `room` is gone again. Gives whether it is.
    pub(super) fn on_told(&mut self, room: bool) -> bool {
        let open = self.check_open().is_ok();
        self.notice = if open && !room {
            WriteNotice::Armed
        } else {
            WriteNotice::Idle
        };
        open && room
    }

    fn wants_bare_fin(&self) -> bool {
        self.fin == Signal::Due && self.reset == Signal::Idle && self.buffer.unsent() == 0
    }

    fn wants_reset(&self) -> bool {
        self.reset == Signal::Due && self.buffer.unsent() == 0
    }

    fn wants_blocked(&self) -> bool {
        self.buffer.unsent() > 0 && self.credit.is_blocked_due()
    }

    fn put(
        &mut self,
        id: StreamId,
        offset: u64,
        end: u64,
        w: &mut Writer<'_>,
        sent: &mut SentFrames,
    ) -> bool {
        let at_end = end == self.buffer.end();
        let fin = at_end && self.fin != Signal::Idle && self.reset == Signal::Idle;
        let len = (end - offset) as u16;
        let Ok(out) = codec::stream_frame(w, id, offset, len, fin) else {
            // `stream_room` said it fits: cannot be, and is sent again if it is.
            self.buffer.on_lost(offset..end);
            return false;
        };
        self.buffer.copy_to(offset, out);
        if fin {
            self.fin.on_sent();
        }
        self.state = self.state.on(if fin {
            SendInput::FinSent
        } else {
            SendInput::DataSent
        });
        sent.push(SentFrame::Stream {
            id,
            offset,
            len,
            fin,
        });
        true
    }

    /// Ends the stream when everything is acknowledged. Gives whether that finished it.
    fn on_progress(&mut self) -> bool {
        let delivered = self.buffer.buffered() == 0;
        let input = match (self.fin, self.reset) {
            (_, Signal::Acked) if delivered => SendInput::ResetAcked,
            (Signal::Acked, _) if delivered => SendInput::AllAcked,
            _ => return false,
        };
        let before = self.state;
        self.state = before.on(input);
        before == SendState::DataSent && self.state == SendState::DataRecvd
    }
}
