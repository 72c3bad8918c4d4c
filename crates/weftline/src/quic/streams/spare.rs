//! Buffers kept for their next use.

use alloc::vec::Vec;
use core::mem;

/// At most one spare small and one spare large buffer, so that steady traffic allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    small: Vec<u8>,
    large: Vec<u8>,
}

impl Spare {
    /// An empty buffer for at least `capacity` bytes.
    pub(crate) fn take(&mut self, capacity: usize) -> Vec<u8> {
        let buffer = mem::take(self.class(capacity));
        if buffer.capacity() < capacity {
            return Vec::with_capacity(capacity);
        }
        buffer
    }

    /// Keeps `buffer`, or the spare there was if that is the larger.
    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > MAX_SPARE {
            return;
        }
        let spare = self.class(buffer.capacity());
        if buffer.capacity() > spare.capacity() {
            buffer.clear();
            *spare = buffer;
        }
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        self.small.capacity() + self.large.capacity()
    }

    fn class(&mut self, capacity: usize) -> &mut Vec<u8> {
        if capacity <= MAX_SMALL {
            &mut self.small
        } else {
            &mut self.large
        }
    }
}

const MAX_SMALL: usize = 2 << 10;
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
}
