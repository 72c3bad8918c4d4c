//! The frames of streams as they are written (RFC 9000, sections 19.4 to 19.14).

use crate::{
    quic::sent::SentFrames,
    wire::{NoRoom, StreamId, Writer, varint},
};

pub(super) const RESET_STREAM: u64 = 0x04;
pub(super) const STOP_SENDING: u64 = 0x05;
pub(super) const MAX_DATA: u64 = 0x10;
pub(super) const MAX_STREAM_DATA: u64 = 0x11;
pub(super) const MAX_STREAMS_BIDI: u64 = 0x12;
pub(super) const DATA_BLOCKED: u64 = 0x14;
pub(super) const STREAM_DATA_BLOCKED: u64 = 0x15;
pub(super) const STREAMS_BLOCKED_BIDI: u64 = 0x16;
/// draft-ietf-quic-reliable-stream-reset.
pub(super) const RESET_STREAM_AT: u64 = 0x24;

/// Writes variable-length integers, all or none.
pub(crate) fn fields<const N: usize>(w: &mut Writer<'_>, values: [u64; N]) -> Result<(), NoRoom> {
    let len: usize = values.iter().map(|&value| varint::len(value)).sum();
    if len > w.remaining() {
        return Err(NoRoom);
    }
    values.iter().try_for_each(|&value| w.varint(value))
}

/// Writes RESET_STREAM, or RESET_STREAM_AT when there are bytes to deliver all the same.
pub(super) fn reset_stream(
    w: &mut Writer<'_>,
    id: StreamId,
    code: u64,
    final_size: u64,
    reliable: u64,
) -> Result<(), NoRoom> {
    let id = id.as_u64();
    if reliable == 0 {
        return fields(w, [RESET_STREAM, id, code, final_size]);
    }
    fields(w, [RESET_STREAM_AT, id, code, final_size, reliable])
}

/// A STREAM frame. It always says its length, so that anything may follow it.
pub(super) struct StreamFrame {
    pub(super) id: StreamId,
    pub(super) offset: u64,
    pub(super) len: u16,
    pub(super) fin: bool,
}

impl StreamFrame {
    /// Writes the head and gives the place for the data; all or nothing.
    pub(super) fn reserve<'w>(&self, w: &'w mut Writer<'_>) -> Result<&'w mut [u8], NoRoom> {
        let len = usize::from(self.len);
        if head_len(self.id, self.offset) + varint::len(len as u64) + len > w.remaining() {
            return Err(NoRoom);
        }
        let offset_bit = if self.offset > 0 { 0x04 } else { 0 };
        w.u8(0x08 | offset_bit | 0x02 | u8::from(self.fin))?;
        w.varint(self.id.as_u64())?;
        if self.offset > 0 {
            w.varint(self.offset)?;
        }
        w.varint(len as u64)?;
        w.reserve(len)
    }
}

/// How many of `available` bytes at `offset` fit in a STREAM frame; `None` when too few do to be
/// worth one. A packet that holds nothing yet takes whatever fits.
pub(super) fn stream_room(
    w: &Writer<'_>,
    sent: &SentFrames,
    id: StreamId,
    offset: u64,
    available: u64,
) -> Option<u64> {
    let room = w.remaining().checked_sub(head_len(id, offset))?;
    let len = room_with_length(room, available)?;
    let least = if sent.as_slice().is_empty() {
        1
    } else {
        WORTH_A_FRAME
    };
    (len >= available.min(least)).then_some(len)
}

/// How many of `available` bytes fit in `room` together with their length.
pub(crate) fn room_with_length(room: usize, available: u64) -> Option<u64> {
    let most = available.min(room as u64).min(u64::from(u16::MAX));
    let rest = (room as u64).checked_sub(varint::len(most) as u64)?;
    Some(most.min(rest))
}

fn head_len(id: StreamId, offset: u64) -> usize {
    let offset_len = if offset > 0 { varint::len(offset) } else { 0 };
    1 + varint::len(id.as_u64()) + offset_len
}

/// Less data than this waits for the next packet.
const WORTH_A_FRAME: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_frame() {
        let mut buf = [0; 12];
        let mut w = Writer::new(&mut buf);
        let frame = StreamFrame {
            id: StreamId::from_u64(4),
            offset: 64,
            len: 3,
            fin: true,
        };
        frame.reserve(&mut w).unwrap().copy_from_slice(b"abc");
        assert_eq!(w.written(), b"\x0f\x04\x40\x40\x03abc");
        assert_eq!(frame.reserve(&mut w).err(), Some(NoRoom));
        assert_eq!(w.position(), 8);
    }

    #[test]
    fn what_is_said_to_fit_does() {
        for size in 0..200 {
            for available in [0, 1, 31, 62, 63, 64, 65, 150, 1 << 40] {
                let mut buf = [0; 200];
                let mut w = Writer::new(&mut buf[..size]);
                let (id, offset) = (StreamId::from_u64(1 << 20), 77);
                let Some(len) = stream_room(&w, &SentFrames::default(), id, offset, available)
                else {
                    assert!(size < 10, "{size}");
                    continue;
                };
                let frame = StreamFrame {
                    id,
                    offset,
                    len: len as u16,
                    fin: false,
                };
                assert!(frame.reserve(&mut w).is_ok());
                assert!(len == available || w.remaining() <= 1);
            }
        }
    }

    #[test]
    fn resets() {
        let mut buf = [0; 9];
        let mut w = Writer::new(&mut buf);
        let id = StreamId::from_u64(8);
        reset_stream(&mut w, id, 1, 9, 0).unwrap();
        reset_stream(&mut w, id, 1, 9, 5).unwrap();
        assert_eq!(w.written(), [4, 8, 1, 9, 0x24, 8, 1, 9, 5]);
        assert_eq!(reset_stream(&mut w, id, 1, 9, 5), Err(NoRoom));
    }
}
