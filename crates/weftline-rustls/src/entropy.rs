//! Randomness from the operating system.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use weftline::Entropy;

/// Random bytes from the operating system, drawn in blocks.
///
/// # Panics
///
/// When the operating system has no randomness to give: there is no safe way to go on.
pub struct OsEntropy {
    source: SystemRandom,
    block: [u8; BLOCK],
    used: usize,
}

impl OsEntropy {
    /// A source that has drawn nothing yet.
    pub fn new() -> Self {
        Self {
            source: SystemRandom::new(),
            block: [0; BLOCK],
            used: BLOCK,
        }
    }

    fn draw(&self, out: &mut [u8]) {
        self.source
            .fill(out)
            .expect("the operating system gives random bytes");
    }
}

impl Entropy for OsEntropy {
    fn public(&mut self, out: &mut [u8]) {
        if out.len() > BLOCK {
            return self.draw(out);
        }
        if out.len() > BLOCK - self.used {
            let mut block = [0; BLOCK];
            self.draw(&mut block);
            self.block = block;
            self.used = 0;
        }
        let next = &mut self.block[self.used..self.used + out.len()];
        out.copy_from_slice(next);
        // What was given out is not kept.
        next.fill(0);
        self.used += out.len();
    }

    /// Drawn for each call: secrets never wait in memory.
    fn private(&mut self, out: &mut [u8]) {
        self.draw(out);
    }
}

impl Default for OsEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for OsEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OsEntropy(..)")
    }
}

/// Enough for a few dozen connection IDs.
const BLOCK: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_differs() {
        let mut entropy = OsEntropy::new();
        let mut seen = std::collections::BTreeSet::new();
        for len in [8, 20, 32, 511, 512, 513, 2000] {
            for _ in 0..40 {
                let mut public = vec![0; len];
                let mut private = vec![0; len];
                entropy.public(&mut public);
                entropy.private(&mut private);
                assert!(seen.insert(public) && seen.insert(private));
            }
        }
        entropy.public(&mut []);
    }
}
