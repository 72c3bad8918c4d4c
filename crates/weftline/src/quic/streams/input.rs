//! Frames of streams that arrive.

use super::{Stream, StreamChange, Streams, initial_max_data, recv::Recv, send::Send};
use crate::{
    error::{Fault, TransportCode},
    wire::{Dir, StreamId, frame::MAX_STREAM_COUNT},
};

/// Which of our parts of a stream a frame speaks to.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Part {
    Send,
    Recv,
}

impl Streams {
    /// A STREAM frame arrived (RFC 9000, section 19.8).
    pub(crate) fn on_stream(
        &mut self,
        id: StreamId,
        offset: u64,
        data: &[u8],
        fin: bool,
    ) -> Result<(), Fault> {
        let Some(slot) = self.locate(id, Part::Recv)? else {
            return Ok(());
        };
        if let Some((recv, shared)) = self.recv_mut(slot) {
            recv.on_stream(offset, data, fin, shared)?;
        }
        self.settle(slot);
        Ok(())
    }

    /// A RESET_STREAM frame arrived (section 19.4).
    pub(crate) fn on_reset_stream(
        &mut self,
        id: StreamId,
        code: u64,
        final_size: u64,
    ) -> Result<(), Fault> {
        self.on_reset_stream_at(id, code, final_size, 0)
    }

    /// A RESET_STREAM_AT frame arrived (draft-ietf-quic-reliable-stream-reset): the first
    /// `reliable_size` bytes are delivered before the reset is.
    pub(crate) fn on_reset_stream_at(
        &mut self,
        id: StreamId,
        code: u64,
        final_size: u64,
        reliable_size: u64,
    ) -> Result<(), Fault> {
        let Some(slot) = self.locate(id, Part::Recv)? else {
            return Ok(());
        };
        if let Some((recv, shared)) = self.recv_mut(slot) {
            recv.on_reset(code, final_size, reliable_size, shared)?;
        }
        self.settle(slot);
        Ok(())
    }

    /// A STOP_SENDING frame arrived (section 19.5).
    pub(crate) fn on_stop_sending(&mut self, id: StreamId, code: u64) -> Result<(), Fault> {
        let Some(slot) = self.locate(id, Part::Send)? else {
            return Ok(());
        };
        let send = self.send_mut(slot);
        if send.is_some_and(|(send, _)| send.on_stop(code)) {
            self.changes.push_back(StreamChange::Stopped { id, code });
        }
        self.forget_low_water(slot);
        self.settle(slot);
        self.wake_waiting();
        Ok(())
    }

    /// A MAX_DATA frame arrived (section 19.9).
    pub(crate) fn on_max_data(&mut self, limit: u64) {
        self.send_credit.raise(limit);
    }

    /// A MAX_STREAM_DATA frame arrived (section 19.10).
    pub(crate) fn on_max_stream_data(&mut self, id: StreamId, limit: u64) -> Result<(), Fault> {
        let Some(slot) = self.locate(id, Part::Send)? else {
            return Ok(());
        };
        if let Some((send, _)) = self.send_mut(slot) {
            send.on_max_data(limit);
        }
        self.settle(slot);
        Ok(())
    }

    /// A MAX_STREAMS frame arrived (section 19.11).
    pub(crate) fn on_max_streams(&mut self, dir: Dir, limit: u64) -> Result<(), Fault> {
        check_count(limit)?;
        self.raise_streams(dir, limit);
        Ok(())
    }

    /// A STREAM_DATA_BLOCKED frame arrived (section 19.13). It is only checked: credit follows
    /// from what the application reads.
    pub(crate) fn on_stream_data_blocked(&mut self, id: StreamId) -> Result<(), Fault> {
        self.locate(id, Part::Recv).map(|_| ())
    }

    /// A STREAMS_BLOCKED frame arrived (section 19.14).
    pub(crate) fn on_streams_blocked(&mut self, dir: Dir, limit: u64) -> Result<(), Fault> {
        check_count(limit)?;
        self.accepted.get_mut(dir).on_blocked();
        Ok(())
    }

    /// The slot of the stream that a frame names, which opens it if the peer may; `None` when the
    /// stream is done with.
    fn locate(&mut self, id: StreamId, part: Part) -> Result<Option<u32>, Fault> {
        let ours = id.initiator() == self.side;
        if id.dir() == Dir::Uni && ours != (part == Part::Send) {
            return Err(WRONG_WAY);
        }
        if let Some(slot) = self.table.find_mut(id) {
            return Ok(Some(slot));
        }
        if ours {
            let known = id.index() < self.opened.get(id.dir()).count;
            return if known { Ok(None) } else { Err(NOT_OPENED) };
        }
        self.accept(id)
    }

    /// Opens a stream of the peer's with all before it, if it is new.
    fn accept(&mut self, id: StreamId) -> Result<Option<u32>, Fault> {
        let dir = id.dir();
        let accepted = self.accepted.get(dir);
        let (count, limit) = (accepted.count, accepted.limit());
        if id.index() < count {
            return Ok(None);
        }
        if id.index() >= limit {
            return Err(TOO_MANY);
        }
        // At most as many as may be open at once.
        for index in count..=id.index() {
            let id = StreamId::new(id.initiator(), dir, index);
            let max_data = initial_max_data(self.side, id, &self.peer);
            let send = (dir == Dir::Bi).then(|| Send::new(max_data));
            let recv = Some(Recv::new(&self.shared));
            self.table.insert(Stream::new(id, send, recv));
        }
        self.accepted.get_mut(dir).count = id.index() + 1;
        Ok(self.table.find_mut(id))
    }
}

fn check_count(limit: u64) -> Result<(), Fault> {
    if limit > MAX_STREAM_COUNT {
        return Err(COUNT);
    }
    Ok(())
}

const WRONG_WAY: Fault = Fault::transport(
    TransportCode::StreamStateError,
    "a frame against the direction of its stream",
);
const NOT_OPENED: Fault = Fault::transport(
    TransportCode::StreamStateError,
    "a frame for a stream not opened yet",
);
const TOO_MANY: Fault = Fault::transport(
    TransportCode::StreamLimitError,
    "a stream past the limit of streams",
);
const COUNT: Fault = Fault::transport(
    TransportCode::FrameEncodingError,
    "more streams than there can be",
);
