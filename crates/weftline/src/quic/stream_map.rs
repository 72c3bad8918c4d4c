//! What is kept for each stream, found by its ID.

use alloc::collections::{BTreeMap, VecDeque};

use crate::wire::StreamId;

/// A map by stream ID. IDs are given out in order, so that those in use are nearly always close
/// together: these lie in a ring for each kind of stream, found by their index. The few that stay
/// while many come after them move to a tree.
#[derive(Debug)]
pub(crate) struct StreamMap<T> {
    rings: [Ring<T>; 4],
    old: BTreeMap<StreamId, T>,
}

/// Streams of one kind that came last. The first place is in use, if there is one; what lies before
/// it is in the tree.
#[derive(Debug)]
struct Ring<T> {
    /// Index of the stream in the first place.
    start: u64,
    places: VecDeque<Option<T>>,
}

impl<T> Default for StreamMap<T> {
    fn default() -> Self {
        let ring = || Ring {
            start: 0,
            places: VecDeque::new(),
        };
        Self {
            rings: [ring(), ring(), ring(), ring()],
            old: BTreeMap::new(),
        }
    }
}

impl<T> StreamMap<T> {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let places = self.rings.iter().flat_map(|ring| &ring.places);
        places.flatten().count() + self.old.len()
    }

    pub(crate) fn get(&self, id: StreamId) -> Option<&T> {
        let ring = &self.rings[kind(id)];
        match id.index().checked_sub(ring.start) {
            Some(at) => ring.places.get(at as usize)?.as_ref(),
            None => self.old.get(&id),
        }
    }

    /// Puts `value` in the place of `id`, and gives what was there.
    pub(crate) fn insert(&mut self, id: StreamId, value: T) -> Option<T> {
        let ring = &mut self.rings[kind(id)];
        let index = id.index();
        if ring.places.is_empty() {
            // Never back: what is below may be in the tree.
            ring.start = ring.start.max(index);
        }
        let Some(mut at) = index.checked_sub(ring.start) else {
            return self.old.insert(id, value);
        };
        while at >= RING_MAX && !ring.places.is_empty() {
            // The oldest stays on for long: it makes way.
            let first = StreamId::new(id.initiator(), id.dir(), ring.start);
            let oldest = ring.places.pop_front().flatten();
            self.old.extend(oldest.map(|value| (first, value)));
            ring.start += 1;
            ring.trim();
            if ring.places.is_empty() {
                ring.start = index;
            }
            at = index - ring.start;
        }
        while (ring.places.len() as u64) <= at {
            ring.places.push_back(None);
        }
        ring.places.get_mut(at as usize)?.replace(value)
    }

    pub(crate) fn remove(&mut self, id: StreamId) -> Option<T> {
        let ring = &mut self.rings[kind(id)];
        let removed = match id.index().checked_sub(ring.start) {
            Some(at) => ring.places.get_mut(at as usize)?.take(),
            None => self.old.remove(&id),
        };
        ring.trim();
        removed
    }

    /// Memory held, about, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        let places: usize = self.rings.iter().map(|ring| ring.places.capacity()).sum();
        places * size_of::<Option<T>>()
            + self.old.len() * (size_of::<StreamId>() + size_of::<T>() + TREE_OVERHEAD)
    }
}

impl<T> Ring<T> {
    /// Lets go of places at the front that are not in use.
    fn trim(&mut self) {
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.start += 1;
        }
    }
}

/// Opener and direction: the two lowest bits (RFC 9000, section 2.1).
fn kind(id: StreamId) -> usize {
    (id.as_u64() & 3) as usize
}

/// Places in a ring at most.
const RING_MAX: u64 = 512;

/// What an entry of the tree costs beside itself, about.
const TREE_OVERHEAD: usize = 8;

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::wire::{Dir, Side};

    #[test]
    fn a_stream_that_stays_costs_no_ring() {
        let mut map = StreamMap::default();
        let id = |index| StreamId::new(Side::Client, Dir::Bi, index);
        map.insert(id(0), 0);
        for index in 1..100_000 {
            assert_eq!(map.insert(id(index), index), None);
            assert_eq!(map.get(id(index)), Some(&index));
            assert_eq!(map.get(id(0)), Some(&0));
            assert_eq!(map.remove(id(index)), Some(index));
        }
        assert_eq!((map.len(), map.old.len()), (1, 1));
        assert!(map.accounted_bytes() <= 2 * RING_MAX as usize * size_of::<Option<u64>>());
        assert_eq!(map.remove(id(0)), Some(0));
        assert_eq!(map.remove(id(0)), None);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u64),
        Remove(u64),
        Get(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        let id = prop_oneof![0..40u64, 0..10_000u64];
        (id, 0..3).prop_map(|(id, op)| match op {
            0 => Op::Insert(id),
            1 => Op::Remove(id),
            _ => Op::Get(id),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn does_what_a_tree_does(ops in vec(op(), 0..200)) {
            let mut map = StreamMap::default();
            let mut tree = BTreeMap::new();
            for (number, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Insert(id) => {
                        let id = StreamId::from_u64(id);
                        prop_assert_eq!(map.insert(id, number), tree.insert(id, number));
                    }
                    Op::Remove(id) => {
                        let id = StreamId::from_u64(id);
                        prop_assert_eq!(map.remove(id), tree.remove(&id));
                    }
                    Op::Get(id) => {
                        let id = StreamId::from_u64(id);
                        prop_assert_eq!(map.get(id), tree.get(&id));
                    }
                }
                prop_assert_eq!(map.len(), tree.len());
            }
        }
    }
}
