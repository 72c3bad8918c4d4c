//! The connection IDs that we gave the peer.

use alloc::vec::Vec;

use crate::{
    error::{Fault, TransportCode},
    wire::Cid,
};

/// Connection IDs that the peer may send to. Their number never exceeds what the peer said it
/// holds, nor [`MAX_ISSUED`], but for those that it is asked to retire.
#[derive(Debug)]
pub(crate) struct LocalCids {
    active: Vec<Issued>,
    next_sequence: u64,
    limit: usize,
    /// The peer is asked to retire the IDs below.
    retire_prior_to: u64,
}

#[derive(Copy, Clone, Debug)]
struct Issued {
    sequence: u64,
    cid: Cid,
    /// A NEW_CONNECTION_ID frame has yet to be sent, for the first time or again.
    unsent: bool,
}

impl LocalCids {
    /// With the ID of the handshake, which has sequence number 0.
    pub(crate) fn new(handshake: Cid) -> Self {
        let mut active = Vec::with_capacity(MAX_ISSUED);
        active.push(Issued {
            sequence: 0,
            cid: handshake,
            unsent: false,
        });
        Self {
            active,
            next_sequence: 1,
            limit: 1,
            retire_prior_to: 0,
        }
    }

    /// The peer's `active_connection_id_limit`.
    pub(crate) fn set_peer_limit(&mut self, limit: u64) {
        self.limit = usize::try_from(limit).map_or(MAX_ISSUED, |limit| limit.min(MAX_ISSUED));
    }

    /// Whether the peer should be given another ID.
    pub(crate) fn wants_more(&self) -> bool {
        let floor = self.retire_prior_to;
        let wanted = self.active.iter().filter(|i| i.sequence >= floor);
        wanted.count() < self.limit
    }

    /// Whether the peer has retired all that it was asked to.
    pub(crate) fn can_rotate(&self) -> bool {
        let floor = self.retire_prior_to;
        self.limit > 1 && self.active.iter().all(|i| i.sequence >= floor)
    }

    /// The peer is to retire all IDs that it has, and gets others.
    pub(crate) const fn rotate(&mut self) {
        self.retire_prior_to = self.next_sequence;
    }

    pub(crate) const fn retire_prior_to(&self) -> u64 {
        self.retire_prior_to
    }

    /// Adds the ID that goes with our preferred address; it has sequence number 1.
    pub(crate) fn issue_preferred(&mut self, cid: Cid) {
        self.issue(cid);
        self.mark(1, false);
    }

    /// Adds an ID to give to the peer.
    pub(crate) fn issue(&mut self, cid: Cid) {
        self.active.push(Issued {
            sequence: self.next_sequence,
            cid,
            unsent: true,
        });
        self.next_sequence += 1;
    }

    pub(crate) fn contains(&self, cid: &Cid) -> bool {
        self.active.iter().any(|issued| issued.cid == *cid)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Cid> {
        self.active.iter().map(|issued| issued.cid)
    }

    /// A RETIRE_CONNECTION_ID frame came, in a packet that was sent to `destination`. Gives the ID
    /// that is now void; none when it was retired before.
    pub(crate) fn on_retire(
        &mut self,
        sequence: u64,
        destination: &Cid,
    ) -> Result<Option<Cid>, Fault> {
        // RFC 9000, section 19.16.
        if sequence >= self.next_sequence {
            return Err(violation(
                "a connection ID was retired that was never issued",
            ));
        }
        let Some(at) = self.active.iter().position(|i| i.sequence == sequence) else {
            return Ok(None);
        };
        if self.active.get(at).is_some_and(|i| i.cid == *destination) {
            return Err(violation("a packet retired its own connection ID"));
        }
        Ok(Some(self.active.swap_remove(at).cid))
    }

    /// The next ID to send in a NEW_CONNECTION_ID frame, with its sequence number.
    pub(crate) fn unsent(&self) -> Option<(u64, Cid)> {
        let issued = self.active.iter().find(|issued| issued.unsent)?;
        Some((issued.sequence, issued.cid))
    }

    pub(crate) fn on_sent(&mut self, sequence: u64) {
        self.mark(sequence, false);
    }

    pub(crate) fn on_lost(&mut self, sequence: u64) {
        self.mark(sequence, true);
    }

    fn mark(&mut self, sequence: u64, unsent: bool) {
        if let Some(issued) = self.active.iter_mut().find(|i| i.sequence == sequence) {
            issued.unsent = unsent;
        }
    }
}

const fn violation(reason: &'static str) -> Fault {
    Fault::transport(TransportCode::ProtocolViolation, reason)
}

/// Connection IDs the peer has at once, at most.
pub(super) const MAX_ISSUED: usize = 4;
