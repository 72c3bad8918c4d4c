//! Randomness, as an input.

/// Where an endpoint takes its random bytes from.
///
/// The core draws connection IDs, PATH_CHALLENGE data, packet number skips and grease from here
/// and from nowhere else, so a seeded source makes every run repeat exactly. In production both
/// methods must be backed by a cryptographically secure generator.
pub trait Entropy: Send {
    /// Fills `out` with bytes that peers may see (connection IDs, challenges).
    fn public(&mut self, out: &mut [u8]);

    /// Fills `out` with bytes that must stay secret (keys of stateless resets, sampling of
    /// packet numbers to skip).
    fn private(&mut self, out: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// A public 64-bit number.
    pub(crate) fn public_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.public(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// A reproducible source for tests and simulations. Not secure: never use it on a network.
#[cfg(any(test, feature = "test-util"))]
#[derive(Clone, Debug)]
pub struct SeededEntropy {
    state: u64,
}

#[cfg(any(test, feature = "test-util"))]
impl SeededEntropy {
    /// A source whose whole output follows from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64-bit number (SplitMix64).
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Entropy for SeededEntropy {
    fn public(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    fn private(&mut self, out: &mut [u8]) {
        self.public(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats() {
        let (mut a, mut b) = ([0; 13], [0; 13]);
        SeededEntropy::new(7).public(&mut a);
        SeededEntropy::new(7).private(&mut b);
        assert_eq!(a, b);
        assert_ne!(a, [0; 13]);
    }
}
