//! The frames of a message, read from and written to the transport. Content never stays here: of a
//! DATA frame, only what is left of it is known.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::{
    quic::{self, ReadFail, WriteFail},
    wire::{
        StreamId,
        h3::{FrameHeader, FrameReader, frame},
    },
};

/// Where the receiving part of a message is between and inside its frames.
#[derive(Debug)]
pub(super) enum FrameState {
    /// In a header, or before it.
    Header(FrameReader),
    /// In the payload of DATA.
    Data { left: u64 },
    /// In a field section. It is held until it is whole.
    Section { held: Vec<u8>, left: usize },
    /// In a payload that nobody wants.
    Skip { left: u64 },
}

/// How far [`FrameState::next`] came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameEvent {
    /// A frame begins. The state is to be set to what its payload is.
    Header(FrameHeader),
    /// A field section is whole.
    Section(Bytes),
    /// There is content, or will be: it is the caller's to read.
    Data { left: u64 },
    /// The stream ended, between two frames or not.
    End { clean: bool },
}

impl FrameState {
    pub(super) const fn new() -> Self {
        Self::Header(FrameReader::new())
    }

    /// In the first frame, whose type was read already.
    pub(super) const fn after_type(ty: u64) -> Self {
        Self::Header(FrameReader::after_type(ty))
    }

    /// In a field section of `len` bytes.
    pub(super) const fn section(len: usize) -> Self {
        Self::Section {
            held: Vec::new(),
            left: len,
        }
    }

    /// Reads on to the next event, and never into content.
    pub(super) fn next(
        &mut self,
        id: StreamId,
        quic: &mut quic::Connection,
    ) -> Result<FrameEvent, ReadFail> {
        loop {
            match self {
                Self::Data { left: 0 } | Self::Skip { left: 0 } => *self = Self::new(),
                Self::Section { held, left: 0 } => {
                    let section = core::mem::take(held).into();
                    *self = Self::new();
                    return Ok(FrameEvent::Section(section));
                }
                Self::Data { left } => return Ok(FrameEvent::Data { left: *left }),
                Self::Header(reader) => {
                    let mut piece = [0; MAX_HEADER];
                    let piece = piece.get_mut(..reader.missing()).unwrap_or_default();
                    let Some(len) = quic.read_into(id, piece)? else {
                        let clean = reader.is_empty();
                        return Ok(FrameEvent::End { clean });
                    };
                    let mut piece = piece.get(..len).unwrap_or_default();
                    if let Some(header) = reader.feed(&mut piece) {
                        return Ok(FrameEvent::Header(header));
                    }
                }
                Self::Skip { left } => {
                    let max = usize::try_from(*left).unwrap_or(usize::MAX);
                    let Some(piece) = quic.read(id, max)? else {
                        return Ok(FrameEvent::End { clean: false });
                    };
                    *left = left.saturating_sub(piece.len() as u64);
                }
                Self::Section { held, left } => {
                    let Some(piece) = quic.read(id, *left)? else {
                        return Ok(FrameEvent::End { clean: false });
                    };
                    *left = left.saturating_sub(piece.len());
                    if *left == 0 && held.is_empty() {
                        *self = Self::new();
                        return Ok(FrameEvent::Section(piece));
                    }
                    held.extend_from_slice(&piece);
                }
            }
        }
    }

    pub(super) fn accounted_bytes(&self) -> usize {
        match self {
            Self::Section { held, .. } => held.capacity(),
            Self::Header(_) | Self::Data { .. } | Self::Skip { .. } => 0,
        }
    }
}

/// The sending part of a message.
#[derive(Debug)]
pub(super) struct Outgoing {
    state: SendState,
    /// Parts of frames that the transport did not take: they go before anything else.
    pending: Vec<u8>,
    /// Content was refused, and the upper layer waits to hear that it is taken again.
    refused: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum SendState {
    /// The final head was not sent yet.
    Head,
    /// Content may be sent.
    Body,
    /// The end is to be sent behind what is pending.
    Ending,
    /// The transport has the end.
    Ended,
    /// Delivered, reset by us or stopped by the peer.
    Done,
}

/// What the sending part comes to when the transport takes data again.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Nothing the upper layer must hear of.
    Quiet,
    /// It was refused, and may send again.
    Writable,
}

impl Outgoing {
    pub(super) const fn new() -> Self {
        Self {
            state: SendState::Head,
            pending: Vec::new(),
            refused: false,
        }
    }

    /// Sends a HEADERS frame. `last` tells the final head from an interim one, `end` that nothing
    /// follows. `Err` when the head was sent before or the stream takes nothing more.
    pub(super) fn send_head(
        &mut self,
        section: &[u8],
        last: bool,
        end: bool,
        id: StreamId,
        quic: &mut quic::Connection,
    ) -> Result<(), WriteFail> {
        if self.state != SendState::Head {
            return Err(WriteFail::Finished);
        }
        let header = FrameHeader {
            ty: frame::HEADERS,
            len: section.len() as u64,
        };
        self.put(&header.encode(), id, quic)?;
        self.put(section, id, quic)?;
        if last {
            self.state = SendState::Body;
        }
        if end {
            self.finish(id, quic)?;
        }
        Ok(())
    }

    /// Sends the front of `data` as one DATA frame; gives how much was taken, at least a byte.
    pub(super) fn write(
        &mut self,
        data: &[u8],
        id: StreamId,
        quic: &mut quic::Connection,
    ) -> Result<usize, WriteFail> {
        match self.state {
            SendState::Body => {}
            SendState::Head => return Err(WriteFail::Unknown),
            SendState::Ending | SendState::Ended | SendState::Done => {
                return Err(WriteFail::Finished);
            }
        }
        if data.is_empty() {
            return Ok(0);
        }
        let result = self.try_write(data, id, quic);
        self.refused |= result == Err(WriteFail::Blocked);
        result
    }

    /// Refuses content for now; [`Self::on_writable`] tells when it is taken.
    pub(super) fn refuse(&mut self) -> Result<usize, WriteFail> {
        match self.state {
            SendState::Head | SendState::Body => {
                self.refused = true;
                Err(WriteFail::Blocked)
            }
            SendState::Ending | SendState::Ended | SendState::Done => Err(WriteFail::Finished),
        }
    }

    fn try_write(
        &mut self,
        data: &[u8],
        id: StreamId,
        quic: &mut quic::Connection,
    ) -> Result<usize, WriteFail> {
        if !self.pending.is_empty() {
            self.flush(id, quic)?;
        }
        // At least a byte, even where only a part of its frame fits: with no room at all, the
        // transport refuses the header and so knows that we wait.
        let len = data.len().min(max_payload(quic.writable(id)).max(1));
        let header = FrameHeader {
            ty: frame::DATA,
            len: len as u64,
        };
        let header = header.encode();
        let taken = quic.write(id, &header)?;
        self.pending
            .extend_from_slice(header.get(taken..).unwrap_or_default());
        self.put(data.get(..len).unwrap_or_default(), id, quic)?;
        Ok(len)
    }

    /// Bytes that [`Self::write`] would take in one frame.
    pub(super) fn writable(&self, id: StreamId, quic: &quic::Connection) -> usize {
        let room = quic.writable(id).saturating_sub(self.pending.len());
        if self.state != SendState::Body || room == 0 {
            return 0;
        }
        // Of a byte at least, a part of its frame may wait here.
        max_payload(room).max(1)
    }

    /// The application wants to hear when [`Self::writable`] is not 0 any more.
    pub(super) fn want_room(&mut self, id: StreamId, quic: &mut quic::Connection) {
        if self.state == SendState::Body {
            self.refused = true;
            quic.want_room(id);
        }
    }

    /// Ends the message behind what was sent.
    pub(super) fn finish(
        &mut self,
        id: StreamId,
        quic: &mut quic::Connection,
    ) -> Result<(), WriteFail> {
        match self.state {
            SendState::Body => {}
            SendState::Head => return Err(WriteFail::Unknown),
            SendState::Ending | SendState::Ended | SendState::Done => {
                return Err(WriteFail::Finished);
            }
        }
        self.state = SendState::Ending;
        self.end_if_flushed(id, quic)
    }

    /// The transport takes data again.
    pub(super) fn on_writable(&mut self, id: StreamId, quic: &mut quic::Connection) -> Room {
        // A failure is told by the transport's own change, or met by the next write.
        if self.flush(id, quic).is_err() || self.end_if_flushed(id, quic).is_err() {
            return Room::Quiet;
        }
        if self.state == SendState::Body && core::mem::take(&mut self.refused) {
            return Room::Writable;
        }
        Room::Quiet
    }

    /// Nothing more is sent: all was delivered, or the stream was reset.
    pub(super) fn on_done(&mut self) {
        self.state = SendState::Done;
        self.pending = Vec::new();
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == SendState::Done
    }

    /// Whether the end was sent or queued.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.state, SendState::Ending | SendState::Ended)
    }

    /// Whether the transport has all that was sent.
    pub(super) fn is_flushed(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn accounted_bytes(&self) -> usize {
        self.pending.capacity()
    }

    /// Gives `bytes` to the transport, behind what is pending; what it does not take is pending,
    /// too.
    fn put(
        &mut self,
        bytes: &[u8],
        id: StreamId,
        quic: &mut quic::Connection,
    ) -> Result<(), WriteFail> {
        let mut rest = bytes;
        while self.pending.is_empty() && !rest.is_empty() {
            match quic.write(id, rest) {
                Ok(taken) => rest = rest.get(taken..).unwrap_or_default(),
                Err(WriteFail::Blocked) => break,
                Err(fail) => return Err(fail),
            }
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    fn flush(&mut self, id: StreamId, quic: &mut quic::Connection) -> Result<(), WriteFail> {
        while !self.pending.is_empty() {
            let taken = quic.write(id, &self.pending)?;
            self.pending.drain(..taken.min(self.pending.len()));
        }
        Ok(())
    }

    fn end_if_flushed(
        &mut self,
        id: StreamId,
        quic: &mut quic::Connection,
    ) -> Result<(), WriteFail> {
        if self.state == SendState::Ending && self.pending.is_empty() {
            self.state = SendState::Ended;
            quic.finish(id)?;
        }
        Ok(())
    }
}

/// The longest payload of a DATA frame that fits into `room` bytes with its header.
fn max_payload(room: usize) -> usize {
    let with_length_of = |bytes: usize| {
        let longest = (1_u64 << (8 * bytes - 2)) - 1;
        let fits = room.saturating_sub(1 + bytes);
        fits.min(usize::try_from(longest).unwrap_or(usize::MAX))
    };
    let payloads = [1, 2, 4, 8].map(with_length_of);
    payloads.into_iter().max().unwrap_or(0)
}

/// A type and a length.
const MAX_HEADER: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::varint;

    #[test]
    fn payloads_fill_the_room() {
        let frame = |payload: usize| 1 + varint::len(payload as u64) + payload;
        for room in (0..300).chain(16_300..16_500) {
            let payload = max_payload(room);
            assert!(payload == 0 || frame(payload) <= room, "{room}");
            assert!(frame(payload + 1) > room, "{room}");
        }
        assert_eq!(max_payload(2), 0);
        assert_eq!(max_payload(3), 1);
    }
}
