//! The bytes that the server makes up: `pattern(n, seed)[i] = (i*31 + seed + (i>>8)) & 255`.

use weftline_tokio::Bytes;

/// An endless pattern. It repeats after 65,536 bytes: `i*31` after 256 and `i>>8`, modulo 256,
/// after that many times 256.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    period: Bytes,
}

impl Pattern {
    pub(crate) fn new(seed: u64) -> Self {
        let byte = |i: u64| (i * 31 + (i >> 8)).wrapping_add(seed) as u8;
        Self {
            period: (0..PERIOD).map(byte).collect(),
        }
    }

    /// The first `len` bytes in pieces that share their memory.
    pub(crate) fn chunks(&self, len: u64) -> impl Iterator<Item = Bytes> + Send + use<> {
        let period = self.period.clone();
        (0..len.div_ceil(PERIOD)).map(move |index| {
            let rest = len - index * PERIOD;
            period.slice(..rest.min(PERIOD) as usize)
        })
    }

    /// Whether `data` is what the pattern holds from `offset` on.
    pub(crate) fn matches(&self, offset: u64, data: &[u8]) -> bool {
        let at = (offset % PERIOD) as usize;
        let expected = self.period.iter().cycle().skip(at);
        data.iter().zip(expected).all(|(a, b)| a == b)
    }
}

const PERIOD: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(n: u64, seed: u64) -> Vec<u8> {
        let byte = |i: u64| (i * 31 + seed + (i >> 8)) & 255;
        (0..n).map(|i| byte(i) as u8).collect()
    }

    #[test]
    fn chunks_are_the_formula() {
        for (n, seed) in [(0, 0), (1, 7), (65_536, 100), (65_537, 3), (200_000, 355)] {
            let chunks: Vec<_> = Pattern::new(seed).chunks(n).collect();
            assert_eq!(chunks.concat(), naive(n, seed), "pattern({n}, {seed})");
        }
    }

    #[test]
    fn it_knows_its_own_bytes() {
        let pattern = Pattern::new(9);
        let data = naive(140_000, 9);
        for (from, to) in [(0, 10), (65_530, 65_540), (131_000, 140_000), (5, 140_000)] {
            assert!(pattern.matches(from as u64, &data[from..to]));
        }
        assert!(!pattern.matches(0, &data[1..20]));
        assert!(pattern.matches(77, &[]));
    }
}
