//! Unreliable datagrams (RFC 9221).

use alloc::{collections::VecDeque, vec::Vec};
use core::mem;

use bytes::Bytes;

use super::sent::{SentFrame, SentFrames};
use crate::{
    config::Limits,
    wire::{Writer, frame::DatagramHeader},
};

/// Datagrams that wait to be sent, and those that arrived and were not taken.
#[derive(Debug)]
pub(crate) struct Datagrams {
    /// Payloads to send, one after the other.
    outgoing: Vec<u8>,
    /// How much of them is written to packets.
    written: usize,
    /// Their lengths.
    lengths: VecDeque<u32>,
    incoming: Incoming,
    dropped_out: u64,
    dropped_in: u64,
    limits: Bounds,
}

/// Datagrams that arrived. Small ones share memory, as those of one packet do on their way.
#[derive(Debug, Default)]
struct Incoming {
    /// Of those that were not taken.
    lengths: VecDeque<u32>,
    bytes: usize,
    /// Payloads, one after the other; none is in two blocks.
    blocks: VecDeque<Bytes>,
    /// The last block, while it is being filled.
    filling: Vec<u8>,
}

/// The queue is full.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Full;

#[derive(Copy, Clone, Debug)]
struct Bounds {
    out: usize,
    bytes_out: usize,
    incoming: usize,
    bytes_in: usize,
}

impl Datagrams {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            outgoing: Vec::new(),
            written: 0,
            lengths: VecDeque::new(),
            incoming: Incoming::default(),
            dropped_out: 0,
            dropped_in: 0,
            limits: Bounds {
                out: limits.datagrams_out,
                bytes_out: limits.datagram_bytes_out,
                incoming: limits.datagrams_in,
                bytes_in: limits.datagram_bytes_in,
            },
        }
    }

    /// Queues a datagram whose payload is `prefix` and `payload`.
    pub(crate) fn send(&mut self, prefix: &[u8], payload: &[u8]) -> Result<(), Full> {
        let len = prefix.len().saturating_add(payload.len());
        let fits = self.lengths.len() < self.limits.out
            && len <= self.limits.bytes_out.saturating_sub(self.waiting_bytes());
        let Some(len) = u32::try_from(len).ok().filter(|_| fits) else {
            return Err(Full);
        };
        self.lengths.push_back(len);
        self.outgoing.extend_from_slice(prefix);
        self.outgoing.extend_from_slice(payload);
        Ok(())
    }

    /// Whether there are datagrams to send.
    pub(crate) fn has_data(&self) -> bool {
        !self.lengths.is_empty()
    }

    /// Whether another datagram would be refused.
    pub(crate) fn is_full(&self) -> bool {
        self.lengths.len() >= self.limits.out || self.waiting_bytes() >= self.limits.bytes_out
    }

    /// Length of the next datagram to send.
    pub(crate) fn next_len(&self) -> Option<usize> {
        self.lengths.front().map(|&len| len as usize)
    }

    /// Size of the next DATAGRAM frame.
    #[cfg(test)]
    pub(crate) fn next_frame_len(&self) -> Option<usize> {
        let &len = self.lengths.front()?;
        Some(frame_len(len))
    }

    /// Writes as many as fit. The first that does not waits for the next packet; but one whose
    /// frame is longer than `room`, which is what a packet of full size has, never will fit, and is
    /// dropped.
    pub(crate) fn write_frames(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames, room: usize) {
        while let Some(&len) = self.lengths.front() {
            if frame_len(len) > w.remaining() {
                if frame_len(len) <= room {
                    break;
                }
                self.dropped_out += 1;
                self.remove_first();
                continue;
            }
            let head = header(len).encode(w);
            let Ok(out) = head.and_then(|()| w.reserve(len as usize)) else {
                break;
            };
            let payload = self.outgoing.get(self.written..self.written + out.len());
            if let Some(payload) = payload {
                out.copy_from_slice(payload);
            }
            sent.push(SentFrame::Datagram);
            self.remove_first();
        }
        if self.lengths.is_empty() {
            self.outgoing.shrink_to(KEPT_BYTES);
        }
    }

    /// A DATAGRAM frame arrived. When the queue is full the oldest are dropped: late data is of
    /// less use than new data.
    pub(crate) fn on_datagram(&mut self, payload: &[u8]) {
        if payload.len() > self.limits.bytes_in || self.limits.incoming == 0 {
            self.dropped_in += 1;
            return;
        }
        while self.incoming.lengths.len() >= self.limits.incoming
            || payload.len() > self.limits.bytes_in - self.incoming.bytes
        {
            self.dropped_in += 1;
            self.recv();
        }
        self.incoming.push(payload);
    }

    /// Takes the oldest datagram that arrived.
    pub(crate) fn recv(&mut self) -> Option<Bytes> {
        self.incoming.pop()
    }

    /// Whether there is one to take.
    pub(crate) fn has_arrived(&self) -> bool {
        !self.incoming.lengths.is_empty()
    }

    /// Datagrams dropped because no packet holds them.
    pub(crate) fn dropped_out(&self) -> u64 {
        self.dropped_out
    }

    /// Datagrams that arrived and were dropped for want of room.
    pub(crate) fn dropped_in(&self) -> u64 {
        self.dropped_in
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        self.outgoing.capacity()
            + self.lengths.capacity() * size_of::<u32>()
            + self.incoming.accounted_bytes()
    }

    fn remove_first(&mut self) {
        let Some(len) = self.lengths.pop_front() else {
            return;
        };
        self.written += len as usize;
        if self.lengths.is_empty() {
            self.outgoing.clear();
            self.written = 0;
        } else if self.written >= KEPT_BYTES && self.written >= self.outgoing.len() / 2 {
            // No more is moved than was written since the last time.
            self.outgoing.drain(..self.written);
            self.written = 0;
        }
    }

    /// Bytes that wait to be sent.
    fn waiting_bytes(&self) -> usize {
        self.outgoing.len() - self.written
    }
}

impl Incoming {
    fn push(&mut self, payload: &[u8]) {
        self.lengths.push_back(payload.len() as u32);
        self.bytes += payload.len();
        if payload.len() > self.filling.capacity() - self.filling.len() {
            self.end_block();
            if payload.len() > BLOCK / 2 {
                self.blocks.push_back(Bytes::copy_from_slice(payload));
                return;
            }
            self.filling.reserve_exact(BLOCK);
        }
        self.filling.extend_from_slice(payload);
    }

    fn pop(&mut self) -> Option<Bytes> {
        let len = self.lengths.pop_front()? as usize;
        self.bytes -= len;
        if self.blocks.is_empty() {
            self.end_block();
        }
        let Some(block) = self.blocks.front_mut() else {
            return Some(Bytes::new());
        };
        let payload = block.split_to(len.min(block.len()));
        if block.is_empty() {
            self.blocks.pop_front();
        }
        Some(payload)
    }

    fn end_block(&mut self) {
        if !self.filling.is_empty() {
            self.blocks.push_back(mem::take(&mut self.filling).into());
        }
    }

    /// Memory held, in bytes.
    fn accounted_bytes(&self) -> usize {
        // A block has more room than payloads where a large one followed, or when it is read.
        let unused = self.blocks.len() * BLOCK;
        self.bytes
            + unused.min(2 * self.bytes + BLOCK)
            + self.filling.capacity()
            + self.lengths.capacity() * size_of::<u32>()
            + self.blocks.capacity() * size_of::<Bytes>()
    }
}

/// It says the length, so that other frames may follow.
fn header(len: u32) -> DatagramHeader {
    DatagramHeader {
        len: Some(len.into()),
    }
}

fn frame_len(len: u32) -> usize {
    header(len).encoded_len() + len as usize
}

/// Memory that small datagrams share: an application that keeps one keeps so much at most.
const BLOCK: usize = 1 << 10;

/// Memory that an empty queue may keep.
const KEPT_BYTES: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use super::*;

    fn datagrams() -> Datagrams {
        Datagrams::new(&Limits::default())
    }

    const ROOM: usize = 1100;

    fn packet(datagrams: &mut Datagrams, size: usize, sent: &mut SentFrames) -> Vec<u8> {
        let mut buf = vec![0; size];
        let mut w = Writer::new(&mut buf);
        datagrams.write_frames(&mut w, sent, ROOM);
        w.written().to_vec()
    }

    #[test]
    fn as_many_as_fit() {
        let mut datagrams = datagrams();
        datagrams.send(b"\x04", b"abc").unwrap();
        datagrams.send(b"", b"de").unwrap();
        datagrams.send(b"", b"").unwrap();
        assert_eq!(datagrams.next_frame_len(), Some(6));
        let mut sent = SentFrames::default();
        assert_eq!(packet(&mut datagrams, 9, &mut sent), b"\x31\x04\x04abc");
        assert_eq!(sent.as_slice(), [SentFrame::Datagram]);
        let mut sent = SentFrames::default();
        assert_eq!(packet(&mut datagrams, 9, &mut sent), b"\x31\x02de\x31\x00");
        assert!(!datagrams.has_data());
    }

    #[test]
    fn what_fits_a_larger_packet_waits_for_it() {
        let mut datagrams = datagrams();
        datagrams.send(&[1; 10], &[2; 90]).unwrap();
        datagrams.send(b"", b"next").unwrap();
        let mut sent = SentFrames::default();
        assert_eq!(packet(&mut datagrams, 102, &mut sent), b"");
        assert_eq!(packet(&mut datagrams, 109, &mut sent).len(), 109);
        assert_eq!(datagrams.dropped_out(), 0);
    }

    #[test]
    fn what_fits_no_packet_is_dropped() {
        let mut datagrams = datagrams();
        datagrams.send(&[1; 10], &[2; ROOM]).unwrap();
        datagrams.send(b"", b"next").unwrap();
        let mut sent = SentFrames::default();
        sent.push(SentFrame::Ping);
        assert_eq!(packet(&mut datagrams, 102, &mut sent), b"\x31\x04next");
        assert_eq!(datagrams.dropped_out(), 1);
    }

    #[test]
    fn sending_is_bounded() {
        let limits = Limits {
            datagrams_out: 2,
            datagram_bytes_out: 10,
            ..Limits::default()
        };
        let mut datagrams = Datagrams::new(&limits);
        assert_eq!(datagrams.send(&[0; 5], &[0; 6]), Err(Full));
        datagrams.send(&[0; 5], &[0; 4]).unwrap();
        assert_eq!(datagrams.send(b"ab", b""), Err(Full));
        datagrams.send(b"a", b"").unwrap();
        assert_eq!(datagrams.send(b"", b""), Err(Full));
    }

    #[test]
    fn the_oldest_received_are_dropped() {
        let limits = Limits {
            datagrams_in: 3,
            datagram_bytes_in: 10,
            ..Limits::default()
        };
        let mut datagrams = Datagrams::new(&limits);
        for payload in [&b"a"[..], b"b", b"c", b"d"] {
            datagrams.on_datagram(payload);
        }
        assert_eq!(datagrams.dropped_in(), 1);
        datagrams.on_datagram(&[7; 9]);
        assert_eq!(datagrams.recv().as_deref(), Some(&b"d"[..]));
        datagrams.on_datagram(&[8; 11]);
        assert_eq!(datagrams.recv().as_deref(), Some(&[7; 9][..]));
        assert_eq!(datagrams.recv(), None);
        assert_eq!(datagrams.dropped_in(), 4);
    }

    #[test]
    fn an_empty_queue_gives_memory_back() {
        let mut datagrams = datagrams();
        for _ in 0..60 {
            datagrams.send(b"", &[0; 1000]).unwrap();
        }
        let mut sent = SentFrames::default();
        while datagrams.has_data() {
            sent.clear();
            packet(&mut datagrams, 1200, &mut sent);
        }
        assert!(datagrams.accounted_bytes() < 8 << 10);
    }
}
