//! The handshake's data at one encryption level (RFC 9000, section 7.5).

use bytes::Bytes;

use super::{
    sent::{SentFrame, SentFrames},
    streams::{
        assembler::Assembler, codec::room_with_length, send_buffer::SendBuffer, spare::Spare,
    },
};
use crate::{
    config::Limits,
    error::{Fault, TransportCode},
    wire::{Writer, frame::CryptoHeader, varint},
};

/// CRYPTO data of one encryption level, both ways: a stream without an end, a reset or flow
/// control, but with a bound on what may be ahead of the reader.
#[derive(Debug)]
pub(crate) struct CryptoStream {
    assembler: Assembler,
    buffer: SendBuffer,
    spare: Spare,
    max_ahead: u64,
    max_gaps: usize,
}

impl CryptoStream {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            assembler: Assembler::default(),
            buffer: SendBuffer::default(),
            spare: Spare::default(),
            max_ahead: limits.crypto_buffer as u64,
            max_gaps: limits.stream_gaps,
        }
    }

    /// A CRYPTO frame arrived.
    pub(crate) fn on_crypto(&mut self, offset: u64, data: &[u8]) -> Result<(), Fault> {
        let end = offset
            .checked_add(data.len() as u64)
            .filter(|&end| end <= varint::MAX)
            .ok_or(TOO_FAR)?;
        if end.saturating_sub(self.assembler.read_offset()) > self.max_ahead {
            return Err(EXCEEDED);
        }
        self.assembler
            .insert(offset, data, self.max_gaps, &mut self.spare)
            .map_err(|_| EXCEEDED)
    }

    /// Takes up to `max` bytes of what arrived, in order.
    pub(crate) fn read(&mut self, max: usize) -> Option<Bytes> {
        self.assembler.read(max, &mut self.spare)
    }

    /// Whether data arrived, in order or not, that was not read. None may be left when the keys
    /// of the next level are there (RFC 9001, section 4.1.3).
    pub(crate) fn has_unread(&self) -> bool {
        self.assembler.has_unread()
    }

    /// Queues data to send.
    pub(crate) fn write(&mut self, data: &[u8]) {
        self.buffer.write(data, &mut self.spare);
    }

    /// Whether there is data to send, for the first time or again.
    pub(crate) fn has_data(&self) -> bool {
        self.buffer.has_lost() || self.buffer.unsent() > 0
    }

    /// Whether something was sent that is not acknowledged.
    #[cfg(test)]
    pub(crate) fn has_unacked(&self) -> bool {
        self.buffer.has_unacked()
    }

    /// Writes as much as fits in CRYPTO frames.
    pub(crate) fn write_frames(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames) {
        while self.has_data() {
            let lost = self.buffer.first_lost();
            let fresh = self.buffer.sent()..self.buffer.end();
            let next = lost.clone().unwrap_or(fresh);
            let head = 1 + varint::len(next.start);
            let room = w.remaining().checked_sub(head);
            let len = room.and_then(|room| room_with_length(room, next.end - next.start));
            let Some(len) = len.filter(|&len| len > 0) else {
                return;
            };
            let offset = next.start;
            let head = CryptoHeader { offset, len }.encode(w);
            let Ok(out) = head.and_then(|()| w.reserve(len as usize)) else {
                return;
            };
            self.buffer.copy_to(offset, out);
            if lost.is_some() {
                self.buffer.take_lost(len);
            } else {
                self.buffer.take_unsent(len);
            }
            let len = len as u16;
            sent.push(SentFrame::Crypto { offset, len });
        }
    }

    /// The peer has these bytes.
    pub(crate) fn on_acked(&mut self, offset: u64, len: u16) {
        let range = offset..offset.saturating_add(u64::from(len));
        self.buffer.on_acked(range, &mut self.spare);
    }

    /// The packet with these bytes was lost.
    pub(crate) fn on_lost(&mut self, offset: u64, len: u16) {
        self.buffer
            .on_lost(offset..offset.saturating_add(u64::from(len)));
    }

    /// Sends everything again that is not acknowledged: a probe carries what the peer may lack
    /// (RFC 9002, section 6.2.4).
    pub(crate) fn resend_unacked(&mut self) {
        self.buffer.lose_all();
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        self.assembler.accounted_bytes()
            + self.buffer.accounted_bytes()
            + self.spare.accounted_bytes()
    }
}

const TOO_FAR: Fault = Fault::transport(
    TransportCode::FrameEncodingError,
    "CRYPTO data past the largest offset",
);
const EXCEEDED: Fault = Fault::transport(
    TransportCode::CryptoBufferExceeded,
    "more CRYPTO data than is held",
);

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn stream() -> CryptoStream {
        CryptoStream::new(&Limits::default())
    }

    fn code(result: Result<(), Fault>) -> Option<TransportCode> {
        match result {
            Err(Fault::Transport { code, .. }) => Some(code),
            _ => None,
        }
    }

    fn frames(stream: &mut CryptoStream, size: usize) -> (Vec<u8>, Vec<SentFrame>) {
        let mut buf = [0; 256];
        let mut w = Writer::new(&mut buf[..size]);
        let mut sent = SentFrames::default();
        stream.write_frames(&mut w, &mut sent);
        (w.written().to_vec(), sent.as_slice().to_vec())
    }

    #[test]
    fn arrives_in_order() {
        let mut stream = stream();
        stream.on_crypto(3, b"def").unwrap();
        assert_eq!(stream.read(10), None);
        assert!(stream.has_unread());
        stream.on_crypto(0, b"abcd").unwrap();
        assert_eq!(stream.read(4).as_deref(), Some(&b"abcd"[..]));
        assert_eq!(stream.read(9).as_deref(), Some(&b"ef"[..]));
        assert!(!stream.has_unread());
    }

    #[test]
    fn bounded_ahead_of_the_reader() {
        let mut stream = stream();
        let max = Limits::default().crypto_buffer as u64;
        stream.on_crypto(max - 1, b"x").unwrap();
        let exceeded = Some(TransportCode::CryptoBufferExceeded);
        assert_eq!(code(stream.on_crypto(max, b"x")), exceeded);
        assert_eq!(code(stream.on_crypto(varint::MAX - 1, b"x")), exceeded);
        let past = stream.on_crypto(varint::MAX, b"x");
        assert_eq!(code(past), Some(TransportCode::FrameEncodingError));
        assert!(stream.accounted_bytes() < 40 << 10);
    }

    #[test]
    fn bounded_in_pieces() {
        let mut stream = stream();
        let max = Limits::default().stream_gaps as u64;
        for piece in 0..max {
            stream.on_crypto(1 + 2 * piece, b"x").unwrap();
        }
        let more = stream.on_crypto(1 + 2 * max, b"x");
        assert_eq!(code(more), Some(TransportCode::CryptoBufferExceeded));
    }

    #[test]
    fn sends_lost_data_first() {
        let mut stream = stream();
        stream.write(b"hello, world");
        assert_eq!(frames(&mut stream, 8).0, b"\x06\x00\x05hello");
        let (bytes, sent) = frames(&mut stream, 6);
        assert_eq!(bytes, b"\x06\x05\x03, w");
        assert_eq!(sent, [SentFrame::Crypto { offset: 5, len: 3 }]);
        stream.on_lost(0, 5);
        assert_eq!(
            frames(&mut stream, 256).0,
            b"\x06\x00\x05hello\x06\x08\x04orld"
        );
        stream.on_acked(5, 3);
        assert!(!stream.has_data());
        stream.resend_unacked();
        assert_eq!(
            frames(&mut stream, 256).0,
            b"\x06\x00\x05hello\x06\x08\x04orld"
        );
        stream.on_acked(0, 5);
        stream.on_acked(8, 4);
        assert!(!stream.has_unacked());
    }

    #[test]
    fn tiny_packets_take_nothing() {
        let mut stream = stream();
        stream.write(b"hello");
        for size in 0..4 {
            assert_eq!(frames(&mut stream, size).1, []);
        }
        assert_eq!(frames(&mut stream, 4).0, b"\x06\x00\x01h");
    }
}
