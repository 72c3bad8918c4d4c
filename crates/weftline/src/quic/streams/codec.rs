//! How stream frames go into packets.

use crate::{
    quic::sent::SentFrames,
    wire::{
        NoRoom, StreamId, Writer,
        frame::{ResetStream, StreamHeader},
        varint,
    },
};

/// Writes RESET_STREAM, or RESET_STREAM_AT when there are bytes to deliver all the same
/// (draft-ietf-quic-reliable-stream-reset).
pub(super) fn reset_stream(
    w: &mut Writer<'_>,
    frame: &ResetStream,
    reliable: u64,
) -> Result<(), NoRoom> {
    if reliable == 0 {
        return frame.encode(w);
    }
    let fields = [
        RESET_STREAM_AT,
        frame.id.as_u64(),
        frame.code,
        frame.final_size,
        reliable,
    ];
    if fields.into_iter().map(varint::len).sum::<usize>() > w.remaining() {
        return Err(NoRoom);
    }
    fields.into_iter().try_for_each(|field| w.varint(field))
}

/// Writes the head of a STREAM frame and gives the place for its data, all or nothing. It always
/// says its length, so that anything may follow it.
pub(super) fn stream_frame<'w>(
    w: &'w mut Writer<'_>,
    id: StreamId,
    offset: u64,
    len: u16,
    fin: bool,
) -> Result<&'w mut [u8], NoRoom> {
    let header = StreamHeader {
        id,
        offset,
        fin,
        len: Some(len.into()),
    };
    let len = usize::from(len);
    if header.encoded_len() + len > w.remaining() {
        return Err(NoRoom);
    }
    header.encode(w)?;
    w.reserve(len)
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
    let header = StreamHeader {
        id,
        offset,
        fin: false,
        len: None,
    };
    let room = w.remaining().checked_sub(header.encoded_len())?;
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

/// The frame's type.
const RESET_STREAM_AT: u64 = 0x24;
/// Less data than this waits for the next packet.
const WORTH_A_FRAME: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_frame() {
        let mut buf = [0; 12];
        let mut w = Writer::new(&mut buf);
        let id = StreamId::from_u64(4);
        let out = stream_frame(&mut w, id, 64, 3, true).unwrap();
        out.copy_from_slice(b"abc");
        assert_eq!(w.written(), b"\x0f\x04\x40\x40\x03abc");
        assert_eq!(stream_frame(&mut w, id, 64, 3, true), Err(NoRoom));
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
                assert!(stream_frame(&mut w, id, offset, len as u16, false).is_ok());
                assert!(len == available || w.remaining() <= 1);
            }
        }
    }

    #[test]
    fn short_pieces_wait_for_the_next_packet() {
        let mut buf = [0; 34];
        let w = Writer::new(&mut buf);
        let (id, mut sent) = (StreamId::from_u64(0), SentFrames::default());
        assert_eq!(stream_room(&w, &sent, id, 0, 100), Some(31));
        sent.push(crate::quic::sent::SentFrame::Ping);
        assert_eq!(stream_room(&w, &sent, id, 0, 100), None);
        assert_eq!(stream_room(&w, &sent, id, 0, 31), Some(31));
    }

    #[test]
    fn resets() {
        let mut buf = [0; 9];
        let mut w = Writer::new(&mut buf);
        let frame = ResetStream {
            id: StreamId::from_u64(8),
            code: 1,
            final_size: 9,
        };
        reset_stream(&mut w, &frame, 0).unwrap();
        reset_stream(&mut w, &frame, 5).unwrap();
        assert_eq!(w.written(), [4, 8, 1, 9, 0x24, 8, 1, 9, 5]);
        assert_eq!(reset_stream(&mut w, &frame, 5), Err(NoRoom));
    }
}
