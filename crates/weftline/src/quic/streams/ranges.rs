//! Sets of stream offsets.

use alloc::collections::VecDeque;
use core::ops::Range;

/// A set of offsets, as disjoint ranges in ascending order that do not touch.
///
/// In-order traffic keeps it empty or at one range; insertion costs O(log n) at either end.
#[derive(Debug, Default)]
pub(crate) struct Ranges(VecDeque<Range<u64>>);

impl Ranges {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The lowest range.
    pub(crate) fn first(&self) -> Option<Range<u64>> {
        self.0.front().cloned()
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Range<u64>>()
    }

    /// Forgets everything and gives the memory back.
    pub(crate) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }

    /// Adds a range, merging it with those it overlaps or touches.
    pub(crate) fn insert(&mut self, mut range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|r| r.end < range.start);
        let mut last = first;
        while let Some(r) = self.0.get(last).filter(|r| r.start <= range.end) {
            range.start = range.start.min(r.start);
            range.end = range.end.max(r.end);
            last += 1;
        }
        self.replace(first..last, Some(range));
    }

    /// Takes a range out, cutting those it overlaps.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|r| r.end <= range.start);
        let mut last = first;
        let (mut left, mut right) = (None, None);
        while let Some(r) = self.0.get(last).filter(|r| r.start < range.end) {
            if r.start < range.start {
                left = Some(r.start..range.start);
            }
            if r.end > range.end {
                right = Some(range.end..r.end);
            }
            last += 1;
        }
        match (left, right) {
            (Some(left), Some(right)) => {
                self.replace(first..last, Some(right));
                self.0.insert(first, left);
            }
            (one, other) => self.replace(first..last, one.or(other)),
        }
    }

    /// Takes up to `max` offsets from the lowest range.
    pub(crate) fn take_first(&mut self, max: u64) -> Option<Range<u64>> {
        let first = self.0.front_mut()?;
        let end = first.end.min(first.start.saturating_add(max));
        let taken = first.start..end;
        first.start = end;
        if first.is_empty() {
            self.0.pop_front();
        }
        Some(taken)
    }

    /// The first part of `range` that is not in the set.
    pub(crate) fn first_gap(&self, range: Range<u64>) -> Option<Range<u64>> {
        let at = self.0.partition_point(|r| r.end <= range.start);
        let mut rest = range;
        let mut next = self.0.get(at);
        if let Some(r) = next.filter(|r| r.start <= rest.start) {
            rest.start = r.end;
            next = self.0.get(at + 1);
        }
        if let Some(r) = next {
            rest.end = rest.end.min(r.start);
        }
        (!rest.is_empty()).then_some(rest)
    }

    /// Whether `range` overlaps or touches one there is.
    pub(crate) fn touches(&self, range: &Range<u64>) -> bool {
        let at = self.0.partition_point(|r| r.end < range.start);
        self.0.get(at).is_some_and(|r| r.start <= range.end)
    }

    fn replace(&mut self, old: Range<usize>, new: Option<Range<u64>>) {
        let Some(new) = new else {
            self.0.drain(old);
            return;
        };
        match self.0.get_mut(old.start) {
            Some(slot) if !old.is_empty() => {
                *slot = new;
                if old.len() > 1 {
                    self.0.drain(old.start + 1..old.end);
                }
            }
            _ => self.0.insert(old.start, new),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, vec::Vec};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(
            ops in proptest::collection::vec((0u8..4, 0u64..60, 0u64..12), 1..60),
        ) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (op, start, len) in ops {
                let range = start..start + len;
                match op {
                    0 | 1 => {
                        ranges.insert(range.clone());
                        model.extend(range);
                    }
                    2 => {
                        ranges.remove(range.clone());
                        model.retain(|at| !range.contains(at));
                    }
                    _ => {
                        let gap: Vec<u64> = ranges.first_gap(range.clone()).into_iter().flatten().collect();
                        let expected: Vec<u64> = range
                            .skip_while(|at| model.contains(at))
                            .take_while(|at| !model.contains(at))
                            .collect();
                        prop_assert_eq!(gap, expected);
                        if let Some(taken) = ranges.take_first(len + 1) {
                            prop_assert_eq!(Some(&taken.start), model.first());
                            model.retain(|at| !taken.contains(at));
                        }
                    }
                }
                let flat: Vec<u64> = ranges.0.iter().cloned().flatten().collect();
                prop_assert_eq!(flat, model.iter().copied().collect::<Vec<_>>());
                let apart = ranges.0.iter().zip(ranges.0.iter().skip(1)).all(|(a, b)| a.end < b.start);
                prop_assert!(apart && ranges.0.iter().all(|r| !r.is_empty()));
            }
        }
    }

    #[test]
    fn the_largest_offsets() {
        let mut ranges = Ranges::default();
        ranges.insert(u64::MAX - 4..u64::MAX);
        ranges.insert(0..1);
        assert_eq!(ranges.len(), 2);
        assert_eq!(ranges.first_gap(0..u64::MAX), Some(1..u64::MAX - 4));
        ranges.remove(0..u64::MAX);
        assert!(ranges.is_empty());
    }
}
