//! ACK (RFC 9000, section 19.3).

use core::ops::RangeInclusive;

use super::{FrameErrorKind, types};
use crate::wire::{NoRoom, Reader, Writer, varint};

/// An ACK frame. Its ranges stay encoded, and are known to be well-formed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The largest packet number acknowledged.
    pub largest: u64,
    /// How long the sender held back the acknowledgement of `largest`, in units of
    /// 2^`ack_delay_exponent` microseconds.
    pub delay: u64,
    /// Counts of ECN marks, if it has them.
    pub ecn: Option<EcnCounts>,
    /// How many numbers before `largest` are acknowledged with it.
    first_range: u64,
    /// Pairs of gap and length.
    more: &'a [u8],
}

/// How many packets arrived with each ECN mark, in total.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct EcnCounts {
    /// ECT(0).
    pub ect0: u64,
    /// ECT(1).
    pub ect1: u64,
    /// ECN-CE: congestion experienced.
    pub ce: u64,
}

impl<'a> Ack<'a> {
    pub(super) fn parse(r: &mut Reader<'a>, has_ecn: bool) -> Result<Self, FrameErrorKind> {
        let largest = r.varint()?;
        let delay = r.varint()?;
        let range_count = r.varint()?;
        let first_range = r.varint()?;
        let mut smallest = largest
            .checked_sub(first_range)
            .ok_or(FrameErrorKind::AckBelowZero)?;
        let ranges = r.rest();
        // Each turn takes two bytes at least, so the claimed count cannot make this long.
        for _ in 0..range_count {
            let (gap, len) = (r.varint()?, r.varint()?);
            let range = range_below(smallest, gap, len).ok_or(FrameErrorKind::AckBelowZero)?;
            smallest = *range.start();
        }
        let more_len = ranges.len() - r.remaining();
        let ecn = if has_ecn {
            Some(EcnCounts {
                ect0: r.varint()?,
                ect1: r.varint()?,
                ce: r.varint()?,
            })
        } else {
            None
        };
        Ok(Self {
            largest,
            delay,
            ecn,
            first_range,
            more: ranges.get(..more_len).unwrap_or_default(),
        })
    }

    /// The ranges of packet numbers acknowledged, largest first. They neither overlap nor touch.
    pub fn ranges(&self) -> AckRanges<'a> {
        AckRanges {
            first: Some(self.largest.saturating_sub(self.first_range)..=self.largest),
            smallest: self.largest.saturating_sub(self.first_range),
            more: Reader::new(self.more),
        }
    }

    /// Bytes it takes.
    pub fn encoded_len(&self) -> usize {
        let gaps = Gaps::new(self.ranges());
        let (count, len) = gaps.fold((0, 0), |(count, len), (gap, range)| {
            (count + 1, len + varint::len(gap) + varint::len(range))
        });
        let first = self.first_range;
        fixed_len(self.largest, self.delay, first, self.ecn) + varint::len(count) + len
    }

    /// Writes it, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        if w.remaining() < self.encoded_len() {
            return Err(NoRoom);
        }
        encode_ack(self.ranges(), self.delay, self.ecn, w).map(drop)
    }
}

/// The ranges of an [`Ack`].
#[derive(Clone, Debug)]
pub struct AckRanges<'a> {
    first: Option<RangeInclusive<u64>>,
    /// The start of the range before.
    smallest: u64,
    more: Reader<'a>,
}

impl Iterator for AckRanges<'_> {
    type Item = RangeInclusive<u64>;

    fn next(&mut self) -> Option<RangeInclusive<u64>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let (gap, len) = (self.more.varint().ok()?, self.more.varint().ok()?);
        let range = range_below(self.smallest, gap, len)?;
        self.smallest = *range.start();
        Some(range)
    }
}

/// Writes an ACK frame of as many of `ranges` as there is room for, but at least the first; gives
/// how many that is. The ranges go from the largest down and neither overlap nor touch; a range
/// that breaks this ends the frame before it. Without ranges nothing is written. `delay` is
/// encoded already, as in [`Ack::delay`].
pub fn encode_ack<I>(
    mut ranges: I,
    delay: u64,
    ecn: Option<EcnCounts>,
    w: &mut Writer<'_>,
) -> Result<usize, NoRoom>
where
    I: Iterator<Item = RangeInclusive<u64>> + Clone,
{
    let gaps = Gaps::new(ranges.clone());
    let Some(first) = ranges.next() else {
        return Ok(0);
    };
    let (largest, first_range) = (*first.end(), first.end().saturating_sub(*first.start()));

    let mut len = fixed_len(largest, delay, first_range, ecn);
    let mut count = 0;
    if w.remaining() < len + varint::len(count) {
        return Err(NoRoom);
    }
    for (gap, range) in gaps.clone() {
        len += varint::len(gap) + varint::len(range);
        if w.remaining() < len + varint::len(count + 1) {
            break;
        }
        count += 1;
    }

    w.varint(if ecn.is_some() {
        types::ACK_ECN
    } else {
        types::ACK
    })?;
    w.varint(largest)?;
    w.varint(delay)?;
    w.varint(count)?;
    w.varint(first_range)?;
    let count = count as usize;
    for (gap, range) in gaps.take(count) {
        w.varint(gap)?;
        w.varint(range)?;
    }
    if let Some(ecn) = ecn {
        w.varint(ecn.ect0)?;
        w.varint(ecn.ect1)?;
        w.varint(ecn.ce)?;
    }
    Ok(count + 1)
}

/// The gap and length fields of all ranges but the first.
#[derive(Clone)]
struct Gaps<I> {
    /// The start of the range before.
    smallest: Option<u64>,
    ranges: I,
}

impl<I: Iterator<Item = RangeInclusive<u64>>> Gaps<I> {
    fn new(mut ranges: I) -> Self {
        let smallest = ranges.next().map(|first| *first.start());
        Self { smallest, ranges }
    }
}

impl<I: Iterator<Item = RangeInclusive<u64>>> Iterator for Gaps<I> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let smallest = self.smallest.take()?;
        let (start, end) = self.ranges.next()?.into_inner();
        // A gap of one number is encoded as 0.
        let gap = smallest.checked_sub(end)?.checked_sub(2)?;
        let len = end.checked_sub(start)?;
        self.smallest = Some(start);
        Some((gap, len))
    }
}

/// The range that these fields describe, after one that starts at `smallest`.
fn range_below(smallest: u64, gap: u64, len: u64) -> Option<RangeInclusive<u64>> {
    let end = smallest.checked_sub(gap)?.checked_sub(2)?;
    Some(end.checked_sub(len)?..=end)
}

/// Bytes of a frame without its range count and all ranges but the first.
fn fixed_len(largest: u64, delay: u64, first_range: u64, ecn: Option<EcnCounts>) -> usize {
    let ecn = ecn.map_or(0, |ecn| {
        varint::len(ecn.ect0) + varint::len(ecn.ect1) + varint::len(ecn.ce)
    });
    1 + varint::len(largest) + varint::len(delay) + varint::len(first_range) + ecn
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<Ack<'_>, FrameErrorKind> {
        Ack::parse(&mut Reader::new(bytes), false)
    }

    fn written(ranges: &[RangeInclusive<u64>], room: usize) -> Result<(usize, Vec<u8>), NoRoom> {
        let mut buf = std::vec![0; room];
        let mut w = Writer::new(&mut buf);
        let count = encode_ack(ranges.iter().cloned(), 3, None, &mut w)?;
        Ok((count, w.written().to_vec()))
    }

    #[test]
    fn ranges_largest_first() {
        // 18 to 20, a gap of 1 (17), 16 alone, a gap of 3 (13 to 15), 0 to 12.
        let ack = parse(&[20, 3, 2, 2, 0, 0, 2, 12]).unwrap();
        let ranges: Vec<_> = ack.ranges().collect();
        assert_eq!(ranges, [18..=20, 16..=16, 0..=12]);
        let frame = [2, 20, 3, 2, 2, 0, 0, 2, 12];
        assert_eq!(written(&ranges, 9), Ok((3, frame.to_vec())));
        assert_eq!(ack.encoded_len(), frame.len());
    }

    #[test]
    fn never_below_zero() {
        assert!(parse(&[5, 0, 0, 5]).is_ok());
        for bytes in [
            &[5, 0, 0, 6][..],
            // After 5..=5: a gap down to -1, then a range down to -1.
            &[5, 0, 1, 0, 4, 0],
            &[5, 0, 1, 0, 3, 1],
            &[5, 0, 1, 0, 63, 63],
        ] {
            assert_eq!(parse(bytes), Err(FrameErrorKind::AckBelowZero));
        }
        assert!(parse(&[5, 0, 1, 0, 3, 0]).is_ok());
    }

    #[test]
    fn claimed_count_is_no_work() {
        let mut bytes = std::vec![5, 0];
        bytes.extend([0xff; 8]);
        bytes.extend([0, 1, 1]);
        assert_eq!(parse(&bytes), Err(FrameErrorKind::Truncated));
    }

    #[test]
    fn as_many_ranges_as_fit() {
        let ranges: Vec<_> = (0..100).rev().map(|i| 3 * i..=3 * i).collect();
        // Type, largest (2 bytes), delay, count, first range.
        for room in 0..6 {
            assert_eq!(written(&ranges, room), Err(NoRoom));
        }
        for room in 6..6 + 2 * 63 {
            let (count, bytes) = written(&ranges, room).unwrap();
            assert_eq!(count, 1 + (room - 6) / 2);
            let ack = parse(&bytes[1..]).unwrap();
            assert!(ack.ranges().eq(ranges[..count].iter().cloned()));
        }
        // The count itself grows to two bytes at 64 more ranges.
        assert_eq!(written(&ranges, 6 + 2 * 64).unwrap().0, 64);
        assert_eq!(written(&ranges, 7 + 2 * 64).unwrap().0, 65);
        assert_eq!(written(&ranges, 1000).unwrap().0, 100);
    }

    #[test]
    fn callers_bugs_end_the_frame() {
        for bad in [9..=9, 10..=11, 8..=20] {
            assert_eq!(written(&[10..=12, bad, 0..=1], 100).unwrap().0, 1);
        }
        assert_eq!(written(&[], 100), Ok((0, Vec::new())));
    }
}
