//! The connection IDs that the peer gave us.

use alloc::{collections::VecDeque, vec::Vec};

use crate::{
    error::{Fault, TransportCode},
    wire::{Cid, ResetToken},
};

/// Connection IDs that we may send to. They are used in the order of their sequence numbers, and
/// never come back: whatever is below the one in use is retired, however late it arrives.
#[derive(Debug)]
pub(crate) struct RemoteCids {
    current: Known,
    /// That of the path beside the active one, when it has its own.
    other: Option<Known>,
    /// Not used yet, in no order.
    spare: Vec<Known>,
    retire_prior_to: u64,
    /// The highest number of an ID that was ever used.
    floor: u64,
    /// Retired IDs whose RETIRE_CONNECTION_ID frame is not acknowledged.
    retiring: VecDeque<Retiring>,
    max_active: usize,
    max_retiring: usize,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Known {
    sequence: u64,
    cid: Cid,
    token: Option<ResetToken>,
}

#[derive(Copy, Clone, Debug)]
struct Retiring {
    sequence: u64,
    unsent: bool,
}

impl RemoteCids {
    /// With the ID of the handshake. `max_active` are held at once, `max_retiring` retirements may
    /// await their acknowledgement.
    pub(crate) fn new(handshake: Cid, max_active: usize, max_retiring: usize) -> Self {
        Self {
            current: Known {
                sequence: 0,
                cid: handshake,
                token: None,
            },
            other: None,
            spare: Vec::new(),
            retire_prior_to: 0,
            floor: 0,
            retiring: VecDeque::new(),
            max_active,
            max_retiring,
        }
    }

    /// Where packets go.
    pub(crate) const fn current(&self) -> Cid {
        self.current.cid
    }

    /// Where packets on the path beside the active one go; `None` when it has no ID of its own.
    pub(crate) fn other(&self) -> Option<Cid> {
        self.other.map(|known| known.cid)
    }

    /// The tokens that a stateless reset of the peer's would carry now. Those of unused and retired
    /// IDs do not count (RFC 9000, section 10.3.1).
    pub(crate) fn reset_tokens(&self) -> [Option<ResetToken>; 2] {
        [self.current.token, self.other.and_then(|known| known.token)]
    }

    /// The peer chose its ID: in its first packet, or in a Retry.
    pub(crate) const fn set_handshake(&mut self, cid: Cid) {
        self.current.cid = cid;
    }

    /// The token of the handshake's ID, from the server's transport parameters.
    pub(crate) const fn set_handshake_token(&mut self, token: ResetToken) {
        if self.current.sequence == 0 {
            self.current.token = Some(token);
        }
    }

    /// An ID came: in a NEW_CONNECTION_ID frame, or with the server's preferred address.
    pub(crate) fn on_new(
        &mut self,
        sequence: u64,
        retire_prior_to: u64,
        cid: Cid,
        token: ResetToken,
    ) -> Result<(), Fault> {
        if self.current.cid.is_empty() {
            return Err(violation("a connection ID beside the zero-length one"));
        }
        let new = Known {
            sequence,
            cid,
            token: Some(token),
        };
        if self.is_known(&new)? {
            return Ok(());
        }
        if sequence < self.retire_prior_to || sequence <= self.floor {
            self.retire(sequence)?;
        } else {
            self.spare.push(new);
        }
        if retire_prior_to > self.retire_prior_to {
            self.retire_prior_to = retire_prior_to;
            self.retire_below(retire_prior_to)?;
        }
        let used = usize::from(self.other.is_some());
        if self.spare.len() + used >= self.max_active {
            return Err(Fault::transport(
                TransportCode::ConnectionIdLimitError,
                "more connection IDs than active_connection_id_limit",
            ));
        }
        Ok(())
    }

    /// Takes an unused ID and retires the one in use; false when there is none to take, or too many
    /// retirements are under way. Here and below, the caller compares
    /// [`reset_tokens`](Self::reset_tokens) before and after.
    pub(crate) fn renew(&mut self) -> bool {
        let Some(next) = self.take_fresh() else {
            return false;
        };
        let old = core::mem::replace(&mut self.current, next);
        self.retire_used(old);
        true
    }

    /// Takes an unused ID for another path; false as for [`renew`](Self::renew).
    pub(crate) fn reserve(&mut self) -> bool {
        let Some(next) = self.take_fresh() else {
            return false;
        };
        self.drop_other();
        self.other = Some(next);
        true
    }

    /// Takes an unused ID, and keeps the one in use for another path; false as for
    /// [`renew`](Self::renew).
    pub(crate) fn set_aside(&mut self) -> bool {
        let reserved = self.reserve();
        if reserved {
            self.swap();
        }
        reserved
    }

    /// The other path becomes the active one, and the reverse.
    pub(crate) fn swap(&mut self) {
        if let Some(other) = &mut self.other {
            core::mem::swap(&mut self.current, other);
        }
    }

    /// There is no other path any more. Its ID was seen there, and is not used elsewhere.
    pub(crate) fn drop_other(&mut self) {
        if let Some(old) = self.other.take() {
            self.retire_used(old);
        }
    }

    /// Retirements that are not acknowledged.
    #[cfg(test)]
    pub(crate) fn retiring(&self) -> usize {
        self.retiring.len()
    }

    /// The next ID to retire with a RETIRE_CONNECTION_ID frame.
    pub(crate) fn unsent_retirement(&self) -> Option<u64> {
        let retiring = self.retiring.iter().find(|retiring| retiring.unsent)?;
        Some(retiring.sequence)
    }

    pub(crate) fn on_retirement_sent(&mut self, sequence: u64) {
        self.mark(sequence, false);
    }

    pub(crate) fn on_retirement_lost(&mut self, sequence: u64) {
        self.mark(sequence, true);
    }

    pub(crate) fn on_retirement_acked(&mut self, sequence: u64) {
        self.retiring
            .retain(|retiring| retiring.sequence != sequence);
    }

    fn mark(&mut self, sequence: u64, unsent: bool) {
        if let Some(retiring) = self.retiring.iter_mut().find(|r| r.sequence == sequence) {
            retiring.unsent = unsent;
        }
    }

    fn retire_below(&mut self, floor: u64) -> Result<(), Fault> {
        // Bounded by the number of IDs held. The frame that raised the floor left an ID above it.
        while let Some(at) = self.spare.iter().position(|k| k.sequence < floor) {
            let old = self.spare.swap_remove(at);
            self.retire(old.sequence)?;
        }
        if let Some(old) = self.other.take_if(|k| k.sequence < floor) {
            self.other = self.take_spare();
            self.retire(old.sequence)?;
        }
        if self.current.sequence < floor
            && let Some(next) = self.take_spare().or_else(|| self.other.take())
        {
            let old = core::mem::replace(&mut self.current, next);
            self.retire(old.sequence)?;
        }
        Ok(())
    }

    /// An unused ID, when as many retirements may follow as one path after the other causes.
    fn take_fresh(&mut self) -> Option<Known> {
        if self.retiring.len() + RETIREMENTS_KEPT > self.max_retiring {
            return None;
        }
        self.take_spare()
    }

    fn take_spare(&mut self) -> Option<Known> {
        let spares = self.spare.iter().enumerate();
        let (at, _) = spares.min_by_key(|(_, known)| known.sequence)?;
        let next = self.spare.swap_remove(at);
        self.floor = self.floor.max(next.sequence);
        Some(next)
    }

    /// Retires an ID because this side has done with it, which is no fault of the peer's.
    fn retire_used(&mut self, old: Known) {
        if self.retiring.iter().all(|r| r.sequence != old.sequence) {
            self.retiring.push_back(Retiring {
                sequence: old.sequence,
                unsent: true,
            });
        }
    }

    fn retire(&mut self, sequence: u64) -> Result<(), Fault> {
        if self.retiring.iter().any(|r| r.sequence == sequence) {
            return Ok(());
        }
        if self.retiring.len() >= self.max_retiring {
            return Err(Fault::transport(
                TransportCode::ConnectionIdLimitError,
                "too many connection IDs to retire",
            ));
        }
        self.retiring.push_back(Retiring {
            sequence,
            unsent: true,
        });
        Ok(())
    }

    /// Whether the ID is held already. The same number with another ID, or the reverse, is a
    /// violation (RFC 9000, section 19.15).
    fn is_known(&self, new: &Known) -> Result<bool, Fault> {
        let used = [Some(&self.current), self.other.as_ref()];
        for known in self.spare.iter().chain(used.into_iter().flatten()) {
            if known == new {
                return Ok(true);
            }
            // The handshake's ID has no token of its own when the peer is a client.
            if known.sequence == new.sequence || known.cid == new.cid {
                return Err(violation("a connection ID came twice and differs"));
            }
        }
        Ok(false)
    }
}

/// Retirements that may follow when an ID is taken: of itself, and of those of two paths.
const RETIREMENTS_KEPT: usize = 3;

const fn violation(reason: &'static str) -> Fault {
    Fault::transport(TransportCode::ProtocolViolation, reason)
}
