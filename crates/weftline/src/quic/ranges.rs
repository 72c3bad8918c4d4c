//! A set of numbers, kept as ranges.

use alloc::collections::VecDeque;
use core::ops::Range;

/// A set of numbers below 2^64 - 1: packet numbers, or the bytes of a stream.
///
/// The ranges are kept in ascending order, never touching each other. Adding at the end and
/// taking from the front cost nothing; anything in the middle costs a binary search and a shift.
/// The set has no bound of its own: its owner looks at [`Ranges::len`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(VecDeque<Range<u64>>);

impl Ranges {
    pub(crate) const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// How many separate ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, ascending.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + Clone + '_ {
        self.0.iter().cloned()
    }

    /// The range that holds `value`.
    pub(crate) fn range_of(&self, value: u64) -> Option<Range<u64>> {
        // What is asked for is most often in the last range.
        let last = self.0.back()?;
        if last.start <= value {
            return last.contains(&value).then(|| last.clone());
        }
        let at = self.0.partition_point(|range| range.end <= value);
        self.0
            .get(at)
            .filter(|range| range.contains(&value))
            .cloned()
    }

    pub(crate) fn contains(&self, value: u64) -> bool {
        self.range_of(value).is_some()
    }

    /// Adds one number; tells whether it is new.
    pub(crate) fn insert_one(&mut self, value: u64) -> bool {
        if let Some(last) = self.0.back_mut()
            && last.end == value
        {
            last.end += 1;
            return true;
        }
        if self.contains(value) {
            return false;
        }
        self.insert(value..value.saturating_add(1));
        true
    }

    /// Adds a range.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // The ranges that `range` overlaps or touches become one.
        let first = self.0.partition_point(|old| old.end < range.start);
        let after = self.0.partition_point(|old| old.start <= range.end);
        if first == after {
            self.0.insert(first, range);
            return;
        }
        let end = self.0.get(after - 1).map_or(range.end, |old| old.end);
        if let Some(merged) = self.0.get_mut(first) {
            merged.start = merged.start.min(range.start);
            merged.end = end.max(range.end);
        }
        self.0.drain(first + 1..after);
    }

    /// Takes a range out.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // The ranges that `range` overlaps; what of the outer two lies outside it stays.
        let first = self.0.partition_point(|old| old.end <= range.start);
        let after = self.0.partition_point(|old| old.start < range.end);
        let Some(left) = self.0.get(first).filter(|_| first < after) else {
            return;
        };
        let left = left.start..range.start;
        let right = self.0.get(after - 1).map_or(range.end, |old| old.end);
        let right = range.end..right;
        self.0.drain(first..after);
        if !right.is_empty() {
            self.0.insert(first, right);
        }
        if !left.is_empty() {
            self.0.insert(first, left);
        }
    }

    /// Takes the lowest range out.
    pub(crate) fn pop_front(&mut self) -> Option<Range<u64>> {
        self.0.pop_front()
    }

    /// Takes up to `max` numbers out of the lowest range.
    pub(crate) fn take_front(&mut self, max: u64) -> Option<Range<u64>> {
        let first = self.0.front_mut()?;
        let end = first.end.min(first.start.saturating_add(max));
        let taken = first.start..end;
        first.start = end;
        if first.is_empty() {
            self.0.pop_front();
        }
        Some(taken)
    }

    /// The lowest range.
    pub(crate) fn first(&self) -> Option<Range<u64>> {
        self.0.front().cloned()
    }

    /// The first part of `range` that is not in the set.
    pub(crate) fn first_gap(&self, mut range: Range<u64>) -> Option<Range<u64>> {
        let at = self.0.partition_point(|old| old.end <= range.start);
        let mut next = self.0.get(at);
        if let Some(old) = next.filter(|old| old.start <= range.start) {
            range.start = old.end;
            next = self.0.get(at + 1);
        }
        if let Some(old) = next {
            range.end = range.end.min(old.start);
        }
        (!range.is_empty()).then_some(range)
    }

    /// Whether `range` overlaps or touches one there is: adding it makes no new one.
    pub(crate) fn touches(&self, range: &Range<u64>) -> bool {
        let at = self.0.partition_point(|old| old.end < range.start);
        self.0.get(at).is_some_and(|old| old.start <= range.end)
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Range<u64>>()
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn joins_neighbours() {
        let mut set = Ranges::new();
        for value in [5, 3, 9, 4, 10] {
            assert!(set.insert_one(value));
            assert!(!set.insert_one(value));
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [3..6, 9..11]);
        set.insert(6..9);
        assert!(set.iter().eq(core::iter::once(3..11)));
        assert_eq!(set.range_of(7), Some(3..11));
        assert_eq!(set.range_of(11), None);
        assert_eq!(set.pop_front(), Some(3..11));
        assert!(set.is_empty());
    }

    #[test]
    fn removing_splits() {
        let mut set = Ranges::new();
        set.insert(0..10);
        set.remove(3..5);
        set.remove(8..20);
        set.remove(5..5);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0..3, 5..8]);
        set.remove(2..6);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0..2, 6..8]);
    }

    #[test]
    fn the_largest_numbers() {
        let mut set = Ranges::new();
        set.insert(u64::MAX - 4..u64::MAX);
        set.insert(0..1);
        assert_eq!(set.first_gap(0..u64::MAX), Some(1..u64::MAX - 4));
        assert_eq!(set.take_front(u64::MAX), Some(0..1));
        assert_eq!(set.take_front(u64::MAX), Some(u64::MAX - 4..u64::MAX));
        assert!(set.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Op {
        InsertOne(u64),
        Insert(Range<u64>),
        Remove(Range<u64>),
        PopFront,
        TakeFront(u64),
        Ask(Range<u64>),
    }

    fn op() -> impl Strategy<Value = Op> {
        let range = (0..60_u64, 0..12_u64).prop_map(|(start, len)| start..start + len);
        prop_oneof![
            4 => (0..64_u64).prop_map(Op::InsertOne),
            2 => range.clone().prop_map(Op::Insert),
            2 => range.clone().prop_map(Op::Remove),
            1 => Just(Op::PopFront),
            1 => (1..12_u64).prop_map(Op::TakeFront),
            3 => range.prop_map(Op::Ask),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn like_a_plain_set(ops in prop::collection::vec(op(), 0..60)) {
            let mut set = Ranges::new();
            let mut model = BTreeSet::new();
            for op in ops {
                match op {
                    Op::InsertOne(value) => {
                        prop_assert_eq!(set.insert_one(value), model.insert(value));
                    }
                    Op::Insert(range) => {
                        set.insert(range.clone());
                        model.extend(range);
                    }
                    Op::Remove(range) => {
                        set.remove(range.clone());
                        model.retain(|value| !range.contains(value));
                    }
                    Op::PopFront => {
                        let first = set.pop_front();
                        prop_assert_eq!(first.is_none(), model.is_empty());
                        for value in first.into_iter().flatten() {
                            prop_assert_eq!(model.pop_first(), Some(value));
                        }
                    }
                    Op::TakeFront(max) => {
                        let first = set.first();
                        let taken = set.take_front(max);
                        prop_assert_eq!(first.is_none(), model.is_empty());
                        for value in taken.into_iter().flatten() {
                            prop_assert_eq!(model.pop_first(), Some(value));
                        }
                    }
                    Op::Ask(range) => {
                        let gap = range
                            .clone()
                            .skip_while(|value| model.contains(value))
                            .take_while(|value| !model.contains(value));
                        let found = set.first_gap(range.clone());
                        prop_assert!(found.into_iter().flatten().eq(gap));
                        if !range.is_empty() {
                            let mut bigger = set.clone();
                            bigger.insert(range.clone());
                            prop_assert_eq!(set.touches(&range), bigger.len() <= set.len());
                        }
                    }
                }
                prop_assert!(set.iter().flatten().eq(model.iter().copied()));
                prop_assert!(set.iter().all(|range| !range.is_empty()));
                let apart = set.iter().zip(set.iter().skip(1)).all(|(a, b)| a.end < b.start);
                prop_assert!(apart, "touching ranges: {set:?}");
                for value in 0..72 {
                    prop_assert_eq!(set.contains(value), model.contains(&value));
                }
            }
        }
    }
}
