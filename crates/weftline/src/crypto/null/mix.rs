//! A fast, deterministic mixing function. Not a cryptographic hash.

/// Mixes numbers and byte strings into 64 bits, a word at a time.
#[derive(Copy, Clone, Debug)]
pub(super) struct Mix(u64);

impl Mix {
    pub(super) const fn new(purpose: u64) -> Self {
        Self(purpose.wrapping_mul(K0) ^ K1)
    }

    #[must_use]
    pub(super) const fn number(self, value: u64) -> Self {
        Self(fold(self.0 ^ K0, value ^ K2).wrapping_add(K1))
    }

    /// Absorbs the length of `bytes` too: `ab` and `c` differ from `a` and `bc`.
    #[must_use]
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let mut state = self.number(bytes.len() as u64).0;
        let (pairs, rest) = bytes.as_chunks::<16>();
        for pair in pairs {
            state = absorb(state, pair);
        }
        if !rest.is_empty() {
            let mut last = [0; 16];
            if let Some(front) = last.get_mut(..rest.len()) {
                front.copy_from_slice(rest);
            }
            state = absorb(state, &last);
        }
        Self(state)
    }

    pub(super) const fn finish(self) -> u64 {
        fold(self.0 ^ K2, K0)
    }

    pub(super) fn finish_array<const N: usize>(self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// Fills `out` with as many bytes as it takes; a prefix does not depend on what follows it.
    pub(super) fn fill(self, out: &mut [u8]) {
        for (i, chunk) in out.chunks_mut(8).enumerate() {
            let word = self.number(i as u64).finish().to_le_bytes();
            chunk.iter_mut().zip(word).for_each(|(to, from)| *to = from);
        }
    }
}

/// Mixes two words at once: one multiplication for 16 bytes.
fn absorb(state: u64, pair: &[u8; 16]) -> u64 {
    let both = u128::from_le_bytes(*pair);
    fold(state ^ both as u64, (both >> 64) as u64 ^ K2).wrapping_add(K1)
}

/// The 128-bit product, its halves folded into each other.
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

// Odd numbers with about as many ones as zeroes.
const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xbf58_476d_1ce4_e5b9;
const K2: u64 = 0x94d0_49bb_1331_11eb;
