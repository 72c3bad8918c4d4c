//! A queue that is nearly always short.

use alloc::collections::{VecDeque, vec_deque};
use core::{iter::Chain, option};

/// A queue whose first item needs no memory of its own: most streams hold their data in one piece.
#[derive(Debug)]
pub(crate) struct Few<T> {
    first: Option<T>,
    /// Empty when there is no first item.
    rest: VecDeque<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
        }
    }
}

impl<T> Few<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    pub(crate) fn back(&self) -> Option<&T> {
        self.rest.back().or(self.first.as_ref())
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut T> {
        self.rest.back_mut().or(self.first.as_mut())
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match index.checked_sub(1) {
            Some(index) => self.rest.get(index),
            None => self.first.as_ref(),
        }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match index.checked_sub(1) {
            Some(index) => self.rest.get_mut(index),
            None => self.first.as_mut(),
        }
    }

    pub(crate) fn push_back(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.push_back(item);
        }
    }

    /// Puts an item at `index`, which is at most the length.
    pub(crate) fn insert(&mut self, index: usize, item: T) {
        match index.checked_sub(1) {
            Some(index) => self.rest.insert(index.min(self.rest.len()), item),
            None => {
                if let Some(second) = self.first.replace(item) {
                    self.rest.push_front(second);
                }
            }
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let first = self.first.take()?;
        self.first = self.rest.pop_front();
        Some(first)
    }

    pub(crate) fn pop_back(&mut self) -> Option<T> {
        self.rest.pop_back().or_else(|| self.first.take())
    }

    pub(crate) fn iter(&self) -> Chain<option::Iter<'_, T>, vec_deque::Iter<'_, T>> {
        self.first.iter().chain(&self.rest)
    }

    /// The items from `index` on.
    pub(crate) fn iter_from(&self, index: usize) -> impl Iterator<Item = &T> {
        let first = self.first.as_ref().filter(|_| index == 0);
        let from = index.saturating_sub(1).min(self.rest.len());
        first.into_iter().chain(self.rest.range(from..))
    }

    /// The index of the first item for which `before` does not hold.
    pub(crate) fn partition_point(&self, mut before: impl FnMut(&T) -> bool) -> usize {
        match &self.first {
            Some(first) if before(first) => 1 + self.rest.partition_point(before),
            _ => 0,
        }
    }

    /// Gives memory back that so many items would not need.
    pub(crate) fn shrink(&mut self, keep: usize) {
        if self.rest.is_empty() && self.rest.capacity() > keep {
            self.rest = VecDeque::new();
        }
    }

    /// Memory held beside the list itself, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        self.rest.capacity() * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn does_what_a_queue_does(ops in vec((0..5u8, 0..8usize), 0..60)) {
            let (mut few, mut queue) = (Few::default(), VecDeque::new());
            for (number, (op, index)) in ops.into_iter().enumerate() {
                match op {
                    0 => {
                        few.push_back(number);
                        queue.push_back(number);
                    }
                    1 => prop_assert_eq!(few.pop_front(), queue.pop_front()),
                    2 => prop_assert_eq!(few.pop_back(), queue.pop_back()),
                    _ => {
                        let index = index.min(queue.len());
                        few.insert(index, number);
                        queue.insert(index, number);
                    }
                }
                prop_assert_eq!((few.len(), few.is_empty()), (queue.len(), queue.is_empty()));
                prop_assert_eq!((few.front(), few.back()), (queue.front(), queue.back()));
                prop_assert_eq!(few.get(index), queue.get(index));
                prop_assert_eq!(few.get_mut(index), queue.get_mut(index));
                prop_assert_eq!(few.back_mut(), queue.back_mut());
                prop_assert_eq!(few.iter().collect::<Vec<_>>(), queue.iter().collect::<Vec<_>>());
                let from = index.min(queue.len());
                let tail: Vec<_> = few.iter_from(from).collect();
                prop_assert_eq!(tail, queue.range(from..).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn partition() {
        let mut few = Few::default();
        assert_eq!(few.partition_point(|&x: &u8| x < 3), 0);
        for x in [1, 2, 3, 4] {
            few.push_back(x);
        }
        for x in 0..6 {
            assert_eq!(
                few.partition_point(|&y| y < x),
                usize::from(x.clamp(1, 5) - 1)
            );
        }
    }
}
