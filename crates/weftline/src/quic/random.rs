//! A connection's own supply of unpredictable bytes.

use alloc::sync::Arc;
use core::fmt;

use crate::{crypto::Provider, entropy::Entropy, wire::Cid};

/// Unpredictable bytes, all following from a secret drawn once: so connections need no access to
/// the endpoint's [`Entropy`], and what one draws does not depend on the others.
pub(crate) struct Random {
    provider: Arc<dyn Provider>,
    key: [u8; 32],
    counter: u64,
}

impl Random {
    pub(crate) fn new(provider: Arc<dyn Provider>, entropy: &mut dyn Entropy) -> Self {
        let mut key = [0; 32];
        entropy.private(&mut key);
        Self {
            provider,
            key,
            counter: 0,
        }
    }

    /// The next `N` bytes, 32 at most.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 32) };
        let block = self.provider.hmac(&self.key, &self.counter.to_be_bytes());
        self.counter += 1;
        let mut bytes = [0; N];
        bytes
            .iter_mut()
            .zip(block)
            .for_each(|(to, from)| *to = from);
        bytes
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes())
    }

    /// A connection ID of the length that all of ours have.
    pub(crate) fn cid(&mut self) -> Cid {
        Cid::new(&self.bytes::<CID_LEN>()).unwrap_or_default()
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random(..)")
    }
}

/// Length of the connection IDs that we choose, which short headers do not tell.
pub(crate) const CID_LEN: usize = 8;
