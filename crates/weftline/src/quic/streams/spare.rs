//! Buffers kept for their next use.

use alloc::vec::Vec;
use core::mem;

/// A few spare buffers of each size, so that steady traffic allocates nothing: many small ones for
/// short streams, one large one.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    small: Vec<Vec<u8>>,
    /// Their capacity.
    small_bytes: usize,
    large: Vec<u8>,
}

impl Spare {
    /// An empty buffer for at least `capacity` bytes.
    pub(crate) fn take(&mut self, capacity: usize) -> Vec<u8> {
        let buffer = if capacity <= MAX_SMALL {
            let buffer = self.small.pop().unwrap_or_default();
            self.small_bytes -= buffer.capacity();
            buffer
        } else {
            mem::take(&mut self.large)
        };
        if buffer.capacity() < capacity {
            return Vec::with_capacity(capacity);
        }
        buffer
    }

    /// Keeps `buffer`, if there is room for it; of large ones the largest.
    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        let capacity = buffer.capacity();
        if capacity <= MAX_SMALL {
            if capacity > 0 && self.small_bytes + capacity <= MAX_SMALL_BYTES {
                self.small_bytes += capacity;
                self.small.push(buffer);
            }
        } else if capacity <= MAX_SPARE && capacity > self.large.capacity() {
            self.large = buffer;
        }
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        self.small_bytes + self.small.capacity() * size_of::<Vec<u8>>() + self.large.capacity()
    }
}

const MAX_SMALL: usize = 2 << 10;
/// Small buffers kept, in bytes.
const MAX_SMALL_BYTES: usize = 32 << 10;
const MAX_SPARE: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reuses_within_a_class() {
        let mut spare = Spare::default();
        let buffer = spare.take(16 << 10);
        spare.give(buffer);
        assert_eq!(spare.accounted_bytes(), 16 << 10);
        assert_eq!(spare.take(100).capacity(), 100);
        assert_eq!(spare.take(10 << 10).capacity(), 16 << 10);
        assert_eq!(spare.accounted_bytes(), 0);
        spare.give(Vec::with_capacity(1 << 20));
        assert_eq!(spare.accounted_bytes(), 0);
    }

    #[test]
    fn keeps_many_small_ones_but_not_all() {
        let mut spare = Spare::default();
        let buffers: Vec<_> = (0..1000).map(|_| spare.take(256)).collect();
        for buffer in buffers {
            spare.give(buffer);
        }
        assert_eq!(spare.small_bytes, MAX_SMALL_BYTES);
        assert_eq!(spare.take(200).capacity(), 256);
        assert_eq!(spare.small_bytes, MAX_SMALL_BYTES - 256);
    }
}
