//! Received data, put back in order.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::{Buf, Bytes};

use super::{few::Few, spare::Spare};
use crate::quic::ranges::Ranges;

/// Puts received data back in order. Data is copied once, into blocks of at most
/// [`BLOCK`] bytes; what holds memory is what was received, not where it lies, plus at most
/// one block per gap. The first copy of a byte is the one that counts.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    /// Ascending; they do not overlap.
    blocks: Few<Block>,
    /// Where the application is.
    read: u64,
    /// End of the data without gaps.
    end: u64,
    /// What was received past the first gap.
    ahead: Ranges,
    /// Capacity of the blocks.
    held: usize,
    /// Length that the last finished block had: a guess at the next.
    usual_len: usize,
}

/// There are more gaps than allowed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct TooManyGaps;

#[derive(Debug)]
struct Block {
    start: u64,
    data: Vec<u8>,
}

impl Assembler {
    /// Adds `data` that belongs at `offset`. The caller has checked that their sum is a legal
    /// offset.
    pub(crate) fn insert(
        &mut self,
        offset: u64,
        data: &[u8],
        max_gaps: usize,
        spare: &mut Spare,
    ) -> Result<(), TooManyGaps> {
        let range = offset..offset.saturating_add(data.len() as u64);
        if range.end <= self.end {
            return Ok(());
        }
        if range.start > self.end {
            return self.insert_ahead(range, data, max_gaps, spare);
        }
        if self.ahead.is_empty() {
            self.write(self.end, from(data, &range, self.end), spare);
            self.end = range.end;
            return Ok(());
        }
        self.write_missing(self.end..range.end, &range, data, spare);
        self.end = range.end;
        while let Some(next) = self.ahead.first().filter(|next| next.start <= self.end) {
            self.end = self.end.max(next.end);
            self.ahead.pop_front();
        }
        Ok(())
    }

    /// Bytes that can be read now.
    pub(crate) fn readable(&self) -> u64 {
        self.end - self.read
    }

    /// Whether data arrived, in order or not, that was not read.
    pub(crate) fn has_unread(&self) -> bool {
        self.readable() > 0 || !self.ahead.is_empty()
    }

    /// Where the next read starts.
    pub(crate) fn read_offset(&self) -> u64 {
        self.read
    }

    /// End of the data without gaps.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Takes up to `max` bytes in order; `None` when there are none. A whole block is handed over
    /// without a copy.
    #[inline]
    pub(crate) fn read(&mut self, max: usize, spare: &mut Spare) -> Option<Bytes> {
        match self.len_to_read(max) {
            0 => None,
            len => Some(self.read_some(len, spare)),
        }
    }

    fn read_some(&mut self, len: usize, spare: &mut Spare) -> Bytes {
        if let Some(bytes) = self.take_block(len) {
            return bytes;
        }
        let mut out = Vec::with_capacity(len);
        let (mut at, end) = (self.read, self.read + len as u64);
        for block in self.blocks.iter() {
            if at == end {
                break;
            }
            let piece = block.slice(at..end);
            out.extend_from_slice(piece);
            at += piece.len() as u64;
        }
        self.advance(len as u64, spare);
        Bytes::from(out)
    }

    /// Copies data in order into `out`; gives how much.
    pub(crate) fn read_into(&mut self, out: &mut [u8], spare: &mut Spare) -> usize {
        let len = self.len_to_read(out.len());
        let (mut at, end) = (self.read, self.read + len as u64);
        let mut rest = out;
        for block in self.blocks.iter() {
            let piece = block.slice(at..end);
            let Some((head, tail)) = rest.split_at_mut_checked(piece.len()) else {
                break;
            };
            head.copy_from_slice(piece);
            at += piece.len() as u64;
            rest = tail;
            if at == end {
                break;
            }
        }
        self.advance(len as u64, spare);
        len
    }

    /// Drops everything held and gives the memory back.
    pub(crate) fn clear(&mut self) {
        self.blocks = Few::default();
        self.held = 0;
        self.ahead = Ranges::new();
        self.read = self.end;
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        self.held + self.blocks.accounted_bytes() + self.ahead.accounted_bytes()
    }

    fn insert_ahead(
        &mut self,
        range: Range<u64>,
        data: &[u8],
        max_gaps: usize,
        spare: &mut Spare,
    ) -> Result<(), TooManyGaps> {
        // A range may always grow or join others; only one more than allowed is refused.
        let room = self.ahead.len() < max_gaps || self.ahead.touches(&range);
        if !room {
            return Err(TooManyGaps);
        }
        self.write_missing(range.clone(), &range, data, spare);
        self.ahead.insert(range);
        Ok(())
    }

    /// Writes those bytes of `part` that were not received yet. `data` lies at `range`, of which
    /// `part` is a part.
    fn write_missing(
        &mut self,
        mut part: Range<u64>,
        range: &Range<u64>,
        data: &[u8],
        spare: &mut Spare,
    ) {
        while let Some(gap) = self.ahead.first_gap(part.clone()) {
            let tail = from(data, range, gap.start);
            let piece = tail.get(..(gap.end - gap.start) as usize).unwrap_or(tail);
            self.write(gap.start, piece, spare);
            part.start = gap.end;
        }
    }

    fn write(&mut self, mut offset: u64, mut data: &[u8], spare: &mut Spare) {
        while !data.is_empty() {
            let index = self.block_at(offset, data.len(), spare);
            let Some(block) = self.blocks.get_mut(index) else {
                return;
            };
            let at = (offset - block.start) as usize;
            let (head, tail) = data.split_at(data.len().min(BLOCK - at));
            let before = block.data.capacity();
            block.put(at, head);
            self.held += block.data.capacity() - before;
            offset += head.len() as u64;
            data = tail;
        }
    }

    /// Index of the block for `offset`, made when there is none.
    fn block_at(&mut self, offset: u64, len: usize, spare: &mut Spare) -> usize {
        if let Some(last) = self.blocks.back()
            && last.covers(offset)
        {
            return self.blocks.len() - 1;
        }
        let index = self.blocks.partition_point(|b| b.start <= offset);
        if let Some(before) = index.checked_sub(1)
            && self.blocks.get(before).is_some_and(|b| b.covers(offset))
        {
            return before;
        }
        // Blocks lie on a grid through the front one, or through the first byte not yet there.
        let origin = self.blocks.front().map_or(self.end, |b| b.start);
        let start = offset - offset.wrapping_sub(origin) % BLOCK as u64;
        let wanted = ((offset - start) as usize + len).max(self.usual_len);
        let data = spare.take(block_capacity(wanted));
        self.held += data.capacity();
        self.blocks.insert(index, Block { start, data });
        index
    }

    fn len_to_read(&self, max: usize) -> usize {
        usize::try_from(self.readable()).map_or(max, |len| len.min(max))
    }

    /// The rest of the front block, if it was received whole and is worth handing over.
    fn take_block(&mut self, len: usize) -> Option<Bytes> {
        let front = self.blocks.front()?;
        let at = (self.read - front.start) as usize;
        let rest = BLOCK - at;
        if front.data.len() < BLOCK || rest > len || rest < WORTH_HANDING_OVER {
            return None;
        }
        let block = self.blocks.pop_front()?;
        self.held -= block.data.capacity();
        self.usual_len = BLOCK;
        self.read += rest as u64;
        let mut bytes = Bytes::from(block.data);
        bytes.advance(at);
        Some(bytes)
    }

    fn advance(&mut self, len: u64, spare: &mut Spare) {
        self.read += len;
        let drained = self.read == self.end && self.ahead.is_empty();
        while let Some(front) = self.blocks.front()
            && (drained || front.start + BLOCK as u64 <= self.read)
            && let Some(block) = self.blocks.pop_front()
        {
            self.held -= block.data.capacity();
            self.usual_len = block.data.len();
            spare.give(block.data);
        }
        self.blocks.shrink(IDLE_BLOCKS);
    }
}

impl Block {
    fn covers(&self, offset: u64) -> bool {
        offset
            .checked_sub(self.start)
            .is_some_and(|at| at < BLOCK as u64)
    }

    /// What of `range` it holds, when `range` starts in it.
    fn slice(&self, range: Range<u64>) -> &[u8] {
        let Some(at) = range.start.checked_sub(self.start) else {
            return &[];
        };
        let end = (range.end - self.start).min(self.data.len() as u64);
        self.data.get(at as usize..end as usize).unwrap_or_default()
    }

    fn put(&mut self, at: usize, data: &[u8]) {
        let end = at + data.len();
        if self.data.capacity() < end {
            let more = block_capacity(end) - self.data.len();
            self.data.reserve_exact(more);
        }
        if self.data.len() < at {
            self.data.resize(at, 0);
        }
        let (over, fresh) = data.split_at(data.len().min(self.data.len() - at));
        if let Some(old) = self.data.get_mut(at..at + over.len()) {
            old.copy_from_slice(over);
        }
        self.data.extend_from_slice(fresh);
    }
}

fn block_capacity(wanted: usize) -> usize {
    wanted.next_power_of_two().clamp(MIN_BLOCK, BLOCK)
}

/// The part of `data`, which lies at `range`, from `offset` on.
fn from<'a>(data: &'a [u8], range: &Range<u64>, offset: u64) -> &'a [u8] {
    data.get((offset - range.start) as usize..)
        .unwrap_or_default()
}

/// The largest block, in bytes.
const BLOCK: usize = 16 << 10;
const MIN_BLOCK: usize = 256;
/// A shorter rest of a block is copied, rather than keep the whole block alive for it.
const WORTH_HANDING_OVER: usize = BLOCK / 4;
/// List entries an idle stream may keep.
const IDLE_BLOCKS: usize = 8;

#[cfg(test)]
mod tests;
