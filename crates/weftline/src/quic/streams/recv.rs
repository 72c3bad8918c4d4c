//! The receiving part of a stream.

use bytes::Bytes;

use super::{
    ReadFail, StreamLimits,
    assembler::Assembler,
    credit::{Clock, RecvCredit, Signal},
    recv_state::{RecvInput, RecvState},
    spare::Spare,
};
use crate::{
    error::{Fault, TransportCode},
    quic::sent::{SentFrame, SentFrames},
    wire::{
        StreamId, Writer,
        frame::{MaxStreamData, StopSending},
        varint,
    },
};

/// What all receiving parts of a connection share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Credit of the connection.
    pub(super) credit: RecvCredit,
    pub(super) clock: Clock,
    pub(super) spare: Spare,
    pub(super) limits: StreamLimits,
}

/// The receiving part of a stream: its state, data and credit.
#[derive(Debug)]
pub(super) struct Recv {
    state: RecvState,
    assembler: Assembler,
    credit: RecvCredit,
    final_size: Option<u64>,
    /// Code of the peer's reset, or of our STOP_SENDING.
    code: u64,
    /// Bytes the peer delivers in spite of its reset.
    reliable: u64,
    stop: Signal,
    notice: ReadNotice,
}

/// What the application is to hear about something to read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum ReadNotice {
    /// That there is something, once there is.
    Armed,
    /// Being told.
    Queued,
    /// It was told, and has not met `Blocked` since.
    Told,
}

/// What there is to read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Readable {
    Nothing,
    Data(u64),
    End,
    Reset,
    /// Nothing, now and for ever.
    Gone,
}

impl Recv {
    pub(super) fn new(shared: &Shared) -> Self {
        let StreamLimits {
            window, window_max, ..
        } = shared.limits;
        Self {
            state: RecvState::Recv,
            assembler: Assembler::default(),
            credit: RecvCredit::new(window, window_max, shared.clock.now),
            final_size: None,
            code: 0,
            reliable: 0,
            stop: Signal::Idle,
            notice: ReadNotice::Armed,
        }
    }

    pub(super) fn on_stream(
        &mut self,
        offset: u64,
        data: &[u8],
        fin: bool,
        shared: &mut Shared,
    ) -> Result<(), Fault> {
        let end = offset
            .checked_add(data.len() as u64)
            .filter(|&end| end <= varint::MAX)
            .ok_or(TOO_FAR)?;
        match self.final_size {
            Some(size) if end > size || fin && end < size => return Err(FINAL_SIZE),
            None if fin && end < self.credit.received() => return Err(FINAL_SIZE),
            _ => {}
        }
        if self.state.is_terminal() {
            return Ok(());
        }
        self.charge(end, shared)?;
        if fin {
            self.final_size = Some(end);
            self.state = self.state.on(RecvInput::Fin);
        }
        match self.state {
            RecvState::Recv | RecvState::SizeKnown => self.insert(offset, data, shared)?,
            RecvState::ResetRecvd if offset < self.reliable => {
                self.insert(offset, data, shared)?;
            }
            RecvState::ResetRecvd | RecvState::DataRecvd => {}
            RecvState::Stopped
            | RecvState::Discarded
            | RecvState::DataRead
            | RecvState::ResetRead => self.discard_outstanding(0, shared),
        }
        if self.final_size == Some(self.assembler.end()) {
            self.state = self.state.on(RecvInput::Complete);
        }
        Ok(())
    }

    /// The peer reset the stream, and still delivers the first `reliable` bytes.
    pub(super) fn on_reset(
        &mut self,
        code: u64,
        final_size: u64,
        reliable: u64,
        shared: &mut Shared,
    ) -> Result<(), Fault> {
        if reliable > final_size || final_size > varint::MAX {
            return Err(RELIABLE_SIZE);
        }
        if final_size < self.credit.received() || self.final_size.is_some_and(|s| s != final_size) {
            return Err(FINAL_SIZE);
        }
        if self.state.is_terminal() {
            return Ok(());
        }
        self.charge(final_size, shared)?;
        self.final_size = Some(final_size);
        let again = self.state == RecvState::ResetRecvd;
        self.state = self.state.on(RecvInput::Reset);
        match self.state {
            RecvState::ResetRecvd => {
                if again {
                    // Only ever fewer bytes; the first code stays.
                    self.reliable = self.reliable.min(reliable);
                } else {
                    self.code = code;
                    self.reliable = reliable;
                }
                let kept = self.reliable.saturating_sub(self.assembler.read_offset());
                self.discard_outstanding(kept, shared);
                if kept == 0 {
                    self.assembler.clear();
                }
            }
            RecvState::Discarded => self.discard_outstanding(0, shared),
            _ => {}
        }
        Ok(())
    }

    /// The application wants no more.
    pub(super) fn stop(&mut self, code: u64, shared: &mut Shared) -> Result<(), ReadFail> {
        let state = self.state.on(RecvInput::Stop);
        if state == self.state {
            return Err(ReadFail::Unknown);
        }
        self.state = state;
        self.discard_outstanding(0, shared);
        self.assembler.clear();
        if state == RecvState::Stopped {
            self.code = code;
            self.stop.raise();
        }
        Ok(())
    }

    pub(super) fn read(
        &mut self,
        max: usize,
        shared: &mut Shared,
    ) -> Result<Option<Bytes>, ReadFail> {
        let Some(available) = self.begin_read()? else {
            return Ok(None);
        };
        let max = usize::try_from(available).map_or(max, |len| len.min(max));
        let bytes = self.assembler.read(max, &mut shared.spare);
        let bytes = bytes.unwrap_or_default();
        self.on_read(bytes.len(), shared);
        Ok(Some(bytes))
    }

    pub(super) fn read_into(
        &mut self,
        out: &mut [u8],
        shared: &mut Shared,
    ) -> Result<Option<usize>, ReadFail> {
        let Some(available) = self.begin_read()? else {
            return Ok(None);
        };
        let max = usize::try_from(available).unwrap_or(usize::MAX);
        let max = max.min(out.len());
        let out = out.get_mut(..max).unwrap_or_default();
        let len = self.assembler.read_into(out, &mut shared.spare);
        self.on_read(len, shared);
        Ok(Some(len))
    }

    /// Whether a read would give data, the end, or the reset.
    pub(super) fn is_readable(&self) -> bool {
        match self.readable() {
            Readable::Data(_) | Readable::End | Readable::Reset => true,
            Readable::Nothing | Readable::Gone => false,
        }
    }

    /// Whether both sides are done with it.
    pub(super) fn is_done(&self) -> bool {
        self.state.is_terminal()
    }

    /// The stream's window as tuned so far.
    pub(super) fn window(&self) -> u64 {
        self.credit.window()
    }

    /// How far the peer's data reaches, or its final size.
    pub(super) fn received(&self) -> u64 {
        self.credit.received()
    }

    pub(super) fn accounted_bytes(&self) -> usize {
        self.assembler.accounted_bytes()
    }

    /// Whether the application is to be told that there is something to read.
    pub(super) fn take_notice(&mut self) -> bool {
        let tell = self.notice == ReadNotice::Armed && self.is_readable();
        if tell {
            self.notice = ReadNotice::Queued;
        }
        tell
    }

    /// The application is being told, unless it found out by itself. Gives whether it is.
    pub(super) fn on_told(&mut self) -> bool {
        let tell = self.is_readable();
        self.notice = if tell {
            ReadNotice::Told
        } else {
            ReadNotice::Armed
        };
        tell
    }

    /// Whether a control frame wants to be sent.
    pub(super) fn wants_control(&self) -> bool {
        self.wants_stop() || self.wants_max_data()
    }

    /// Writes what [`Self::wants_control`] speaks of; `false` when it does not fit.
    pub(super) fn write_control(
        &mut self,
        id: StreamId,
        w: &mut Writer<'_>,
        sent: &mut SentFrames,
    ) -> bool {
        if self.wants_stop() {
            let code = self.code;
            if (StopSending { id, code }).encode(w).is_err() {
                return false;
            }
            self.stop.on_sent();
            sent.push(SentFrame::StopSending(id));
        }
        if self.wants_max_data() {
            let maximum = self.credit.next_limit();
            if (MaxStreamData { id, maximum }).encode(w).is_err() {
                return false;
            }
            self.credit.on_sent();
            sent.push(SentFrame::MaxStreamData(id, maximum));
        }
        true
    }

    pub(super) fn on_stop_acked(&mut self) {
        self.stop.on_acked();
    }

    pub(super) fn on_stop_lost(&mut self) {
        self.stop.on_lost();
    }

    pub(super) fn on_max_data_lost(&mut self, limit: u64) {
        self.credit.on_lost(limit);
    }

    fn wants_stop(&self) -> bool {
        self.state == RecvState::Stopped && self.stop == Signal::Due
    }

    fn wants_max_data(&self) -> bool {
        self.state == RecvState::Recv && self.credit.is_due()
    }

    fn readable(&self) -> Readable {
        let data = self.assembler.readable();
        match self.state {
            RecvState::Recv | RecvState::SizeKnown if data == 0 => Readable::Nothing,
            RecvState::DataRecvd if data == 0 => Readable::End,
            RecvState::Recv | RecvState::SizeKnown | RecvState::DataRecvd => Readable::Data(data),
            RecvState::ResetRecvd => {
                let promised = self.reliable.saturating_sub(self.assembler.read_offset());
                match data.min(promised) {
                    0 if promised == 0 => Readable::Reset,
                    0 => Readable::Nothing,
                    data => Readable::Data(data),
                }
            }
            RecvState::DataRead
            | RecvState::ResetRead
            | RecvState::Stopped
            | RecvState::Discarded => Readable::Gone,
        }
    }

    /// How many bytes can be read; `None` at the end, which counts as read with this.
    fn begin_read(&mut self) -> Result<Option<u64>, ReadFail> {
        match self.readable() {
            Readable::Data(len) => Ok(Some(len)),
            Readable::End => {
                self.state = self.state.on(RecvInput::EndRead);
                Ok(None)
            }
            Readable::Reset => {
                self.state = self.state.on(RecvInput::ResetRead);
                self.assembler.clear();
                Err(ReadFail::Reset(self.code))
            }
            Readable::Nothing => {
                if self.notice == ReadNotice::Told {
                    self.notice = ReadNotice::Armed;
                }
                Err(ReadFail::Blocked)
            }
            Readable::Gone => Err(ReadFail::Unknown),
        }
    }

    fn on_read(&mut self, len: usize, shared: &mut Shared) {
        self.credit.on_consumed(len as u64, shared.clock);
        shared.credit.on_consumed(len as u64, shared.clock);
    }

    fn insert(&mut self, offset: u64, data: &[u8], shared: &mut Shared) -> Result<(), Fault> {
        let max_gaps = shared.limits.gaps;
        self.assembler
            .insert(offset, data, max_gaps, &mut shared.spare)
            .map_err(|_| TOO_MANY_GAPS)
    }

    /// Takes credit for everything up to `end`, of the stream and the connection.
    fn charge(&mut self, end: u64, shared: &mut Shared) -> Result<(), Fault> {
        let more = end.saturating_sub(self.credit.received());
        self.credit.check(more).map_err(|_| STREAM_CREDIT)?;
        shared.credit.check(more).map_err(|_| CONNECTION_CREDIT)?;
        self.credit.on_received(more);
        shared.credit.on_received(more);
        Ok(())
    }

    /// Gives the connection's credit back for everything that will not be read: all but `kept`
    /// bytes.
    fn discard_outstanding(&mut self, kept: u64, shared: &mut Shared) {
        let len = self.credit.outstanding().saturating_sub(kept);
        self.credit.on_discarded(len);
        shared.credit.on_discarded(len);
    }
}

const TOO_FAR: Fault = Fault::transport(
    TransportCode::FrameEncodingError,
    "stream data past the largest offset",
);
const FINAL_SIZE: Fault = Fault::transport(
    TransportCode::FinalSizeError,
    "the final size of a stream changed or was exceeded",
);
const RELIABLE_SIZE: Fault = Fault::transport(
    TransportCode::FrameEncodingError,
    "a reset's sizes are not possible",
);
const STREAM_CREDIT: Fault = Fault::transport(
    TransportCode::FlowControlError,
    "more data than a stream's limit",
);
const CONNECTION_CREDIT: Fault = Fault::transport(
    TransportCode::FlowControlError,
    "more data than the connection's limit",
);
const TOO_MANY_GAPS: Fault = Fault::transport(
    TransportCode::InternalError,
    "stream data in too many pieces",
);
