//! Written data, held until it is acknowledged.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::{few::Few, spare::Spare};
use crate::quic::ranges::Ranges;

/// The data of one stream from the first byte not acknowledged to the last written. Every byte is
/// held once; what was lost is only marked and copied from here again.
#[derive(Debug, Default)]
pub(crate) struct SendBuffer {
    chunks: Few<Chunk>,
    /// Everything below is acknowledged and released.
    base: u64,
    /// End of what was sent at least once.
    sent: u64,
    /// End of what was written.
    end: u64,
    /// What is acknowledged past `base`.
    acked: Ranges,
    /// What must be sent again. Never overlaps `acked`.
    lost: Ranges,
    /// Memory of the chunks.
    held: usize,
}

#[derive(Debug)]
struct Chunk {
    start: u64,
    data: Data,
}

#[derive(Debug)]
enum Data {
    /// Copied in; writes append while there is room.
    Own(Vec<u8>),
    /// The application's.
    Shared(Bytes),
}

impl SendBuffer {
    /// Appends a copy of `data`.
    pub(crate) fn write(&mut self, mut data: &[u8], spare: &mut Spare) {
        while !data.is_empty() {
            let mut usual = 0;
            if let Some(Chunk {
                data: Data::Own(last),
                ..
            }) = self.chunks.back_mut()
            {
                let room = last.capacity() - last.len();
                let (head, tail) = data.split_at(data.len().min(room));
                last.extend_from_slice(head);
                self.end += head.len() as u64;
                data = tail;
                usual = last.capacity() * 2;
            }
            if !data.is_empty() {
                let wanted = data.len().max(usual).next_power_of_two();
                let chunk = spare.take(wanted.clamp(MIN_CHUNK, MAX_CHUNK));
                self.held += chunk.capacity();
                self.push(Data::Own(chunk));
            }
        }
    }

    /// Appends `data` without a copy, unless it is so short that a copy is better.
    pub(crate) fn write_bytes(&mut self, data: Bytes, spare: &mut Spare) {
        if data.len() < WORTH_SHARING {
            return self.write(&data, spare);
        }
        let len = data.len();
        self.held += len;
        self.push(Data::Shared(data));
        self.end += len as u64;
    }

    /// Bytes written and not yet acknowledged, counting those acknowledged out of order.
    pub(crate) fn buffered(&self) -> u64 {
        self.end - self.base
    }

    /// End of what was sent at least once.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// End of what was written.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes never sent.
    pub(crate) fn unsent(&self) -> u64 {
        self.end.saturating_sub(self.sent)
    }

    /// Whether something was sent that is not acknowledged.
    #[cfg(test)]
    pub(crate) fn has_unacked(&self) -> bool {
        self.base < self.sent.min(self.end)
    }

    /// Whether something must be sent again.
    pub(crate) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Where the first range to be sent again lies.
    pub(crate) fn first_lost(&self) -> Option<Range<u64>> {
        self.lost.first()
    }

    /// Takes up to `max` bytes of the first lost range, to be sent again now.
    pub(crate) fn take_lost(&mut self, max: u64) -> Option<Range<u64>> {
        self.lost.take_front(max)
    }

    /// Takes up to `max` bytes never sent, to be sent now.
    pub(crate) fn take_unsent(&mut self, max: u64) -> Range<u64> {
        let start = self.sent;
        self.sent += self.unsent().min(max);
        start..self.sent
    }

    /// Fills `out` with what was written from `offset` on. The range must lie in the buffer.
    pub(crate) fn copy_to(&self, mut offset: u64, mut out: &mut [u8]) {
        let after = self.chunks.partition_point(|c| c.start <= offset);
        for chunk in self.chunks.iter_from(after.saturating_sub(1)) {
            let at = offset.saturating_sub(chunk.start) as usize;
            let piece = chunk.bytes().get(at..).unwrap_or_default();
            let len = piece.len().min(out.len());
            let (head, tail) = out.split_at_mut(len);
            head.copy_from_slice(piece.get(..len).unwrap_or_default());
            offset += len as u64;
            out = tail;
            if out.is_empty() {
                return;
            }
        }
    }

    /// The peer has this range.
    pub(crate) fn on_acked(&mut self, range: Range<u64>, spare: &mut Spare) {
        let range = self.clamp(range);
        if range.is_empty() {
            return;
        }
        if !self.lost.is_empty() {
            self.lost.remove(range.clone());
        }
        if range.start > self.base {
            self.acked.insert(range);
            return;
        }
        self.base = range.end;
        while let Some(next) = self.acked.first().filter(|next| next.start <= self.base) {
            self.base = self.base.max(next.end);
            self.acked.pop_front();
        }
        while let Some(front) = self.chunks.front()
            && front.end() <= self.base
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.held -= chunk.held();
            if let Data::Own(data) = chunk.data {
                spare.give(data);
            }
        }
        self.chunks.shrink(IDLE_CHUNKS);
    }

    /// The packet with this range was lost: what of it the peer does not have is sent again.
    pub(crate) fn on_lost(&mut self, range: Range<u64>) {
        let mut range = self.clamp(range);
        while let Some(gap) = self.acked.first_gap(range.clone()) {
            range.start = gap.end;
            self.lost.insert(gap);
        }
    }

    /// Marks everything that was sent and is not acknowledged as lost.
    pub(crate) fn lose_all(&mut self) {
        self.on_lost(self.base..self.sent);
    }

    /// Drops what lies at `end` and above, and is never to be sent. What was acknowledged stays
    /// so.
    pub(crate) fn truncate(&mut self, end: u64) {
        if end >= self.end {
            return;
        }
        self.lost.remove(end..self.end);
        self.acked.remove(end.max(self.base)..self.end);
        self.end = end.max(self.base);
        while let Some(back) = self.chunks.back()
            && back.start >= self.end
            && let Some(chunk) = self.chunks.pop_back()
        {
            self.held -= chunk.held();
        }
        if self.chunks.is_empty() {
            self.chunks = Few::default();
            self.acked = Ranges::new();
            self.lost = Ranges::new();
        }
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        self.held
            + self.chunks.accounted_bytes()
            + self.acked.accounted_bytes()
            + self.lost.accounted_bytes()
    }

    fn push(&mut self, data: Data) {
        let start = self.end;
        self.chunks.push_back(Chunk { start, data });
    }

    /// What of `range` was sent and still counts.
    fn clamp(&self, range: Range<u64>) -> Range<u64> {
        range.start.max(self.base)..range.end.min(self.sent).min(self.end)
    }
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::Own(data) => data,
            Data::Shared(data) => data,
        }
    }

    fn end(&self) -> u64 {
        self.start + self.bytes().len() as u64
    }

    fn held(&self) -> usize {
        match &self.data {
            Data::Own(data) => data.capacity(),
            Data::Shared(data) => data.len(),
        }
    }
}

const MIN_CHUNK: usize = 256;
const MAX_CHUNK: usize = 16 << 10;
/// Shorter data is copied: it joins its neighbours, and does not keep a larger buffer alive.
const WORTH_SHARING: usize = 1024;
/// List entries an idle stream may keep.
const IDLE_CHUNKS: usize = 8;

#[cfg(test)]
mod tests;
