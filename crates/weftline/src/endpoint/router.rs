//! Which connection a datagram belongs to.

use alloc::collections::BTreeMap;

use super::Slot;
use crate::{
    crypto::Provider,
    wire::{Cid, ResetToken},
};

/// Connection IDs and reset tokens of all connections.
///
/// Ordered maps: no randomness is needed against chosen keys, and iteration cannot depend on a
/// hasher's seed.
pub(super) struct Router {
    cids: BTreeMap<Cid, Slot>,
    /// By [`Router::hide`] of the token: how long a look-up takes then tells nothing of the tokens
    /// (RFC 9000, section 10.3.1).
    tokens: BTreeMap<[u8; 16], Slot>,
    key: [u8; 32],
}

impl Router {
    /// `key` must be secret.
    pub(super) const fn new(key: [u8; 32]) -> Self {
        Self {
            cids: BTreeMap::new(),
            tokens: BTreeMap::new(),
            key,
        }
    }

    /// The connection that has this ID.
    pub(super) fn by_cid(&self, cid: &Cid) -> Option<Slot> {
        self.cids.get(cid).copied()
    }

    /// The connection whose peer resets it with the token at the end of this datagram.
    pub(super) fn by_token(&self, provider: &dyn Provider, datagram: &[u8]) -> Option<Slot> {
        if self.tokens.is_empty() {
            return None;
        }
        let token = ResetToken(*datagram.last_chunk()?);
        self.tokens.get(&self.hide(provider, &token)).copied()
    }

    pub(super) fn add_cid(&mut self, cid: Cid, slot: Slot) {
        self.cids.insert(cid, slot);
    }

    pub(super) fn remove_cid(&mut self, cid: &Cid, slot: Slot) {
        if self.cids.get(cid) == Some(&slot) {
            self.cids.remove(cid);
        }
    }

    pub(super) fn add_token(&mut self, provider: &dyn Provider, token: &ResetToken, slot: Slot) {
        self.tokens.insert(self.hide(provider, token), slot);
    }

    pub(super) fn remove_token(&mut self, provider: &dyn Provider, token: &ResetToken, slot: Slot) {
        let hidden = self.hide(provider, token);
        if self.tokens.get(&hidden) == Some(&slot) {
            self.tokens.remove(&hidden);
        }
    }

    fn hide(&self, provider: &dyn Provider, token: &ResetToken) -> [u8; 16] {
        let mut hidden = [0; 16];
        let digest = provider.hmac(&self.key, &token.0);
        hidden
            .iter_mut()
            .zip(digest)
            .for_each(|(to, from)| *to = from);
        hidden
    }
}
