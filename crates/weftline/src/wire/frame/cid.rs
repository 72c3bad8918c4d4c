//! NEW_CONNECTION_ID and RETIRE_CONNECTION_ID (RFC 9000, sections 19.15 and 19.16).

use super::{FrameErrorKind, encode_fields, fields_len, types};
use crate::wire::{Cid, NoRoom, Reader, ResetToken, Truncated, Writer};

/// NEW_CONNECTION_ID: one more connection ID by which to reach the sender.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct NewConnectionId {
    /// Its number; the ID of the handshake is 0.
    pub sequence: u64,
    /// IDs with smaller numbers are to be retired. At most `sequence`.
    pub retire_prior_to: u64,
    /// The ID, of 1 to 20 bytes.
    pub cid: Cid,
    /// What proves a stateless reset of a connection that uses it.
    pub reset_token: ResetToken,
}

impl NewConnectionId {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, FrameErrorKind> {
        let sequence = r.varint()?;
        let retire_prior_to = r.varint()?;
        if retire_prior_to > sequence {
            return Err(FrameErrorKind::RetirePriorTo);
        }
        let len = r.u8()?;
        if len == 0 {
            return Err(FrameErrorKind::CidLength);
        }
        let cid = Cid::new(r.bytes(usize::from(len))?).ok_or(FrameErrorKind::CidLength)?;
        let reset_token = ResetToken(r.array()?);
        Ok(Self {
            sequence,
            retire_prior_to,
            cid,
            reset_token,
        })
    }

    const fn fields(&self) -> [u64; 3] {
        [
            types::NEW_CONNECTION_ID,
            self.sequence,
            self.retire_prior_to,
        ]
    }

    /// Bytes it takes.
    pub fn encoded_len(&self) -> usize {
        fields_len(&self.fields()) + 1 + self.cid.len() + self.reset_token.0.len()
    }

    /// Writes it, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        if w.remaining() < self.encoded_len() {
            return Err(NoRoom);
        }
        encode_fields(&self.fields(), w)?;
        w.u8(self.cid.len() as u8)?;
        w.bytes(&self.cid)?;
        w.bytes(&self.reset_token.0)
    }
}

/// RETIRE_CONNECTION_ID: the sender uses this connection ID of the receiver no longer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RetireConnectionId {
    /// The number of the ID.
    pub sequence: u64,
}

impl RetireConnectionId {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, Truncated> {
        let sequence = r.varint()?;
        Ok(Self { sequence })
    }

    const fn fields(&self) -> [u64; 2] {
        [types::RETIRE_CONNECTION_ID, self.sequence]
    }

    /// Bytes it takes.
    pub fn encoded_len(&self) -> usize {
        fields_len(&self.fields())
    }

    /// Writes it, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        encode_fields(&self.fields(), w)
    }
}
