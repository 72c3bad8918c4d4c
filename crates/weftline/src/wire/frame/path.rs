//! PATH_CHALLENGE and PATH_RESPONSE (RFC 9000, sections 19.17 and 19.18).

use super::types;
use crate::wire::{NoRoom, Reader, Truncated, Writer};

/// PATH_CHALLENGE: asks whether the peer hears on this path.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PathChallenge {
    /// What the answer must repeat.
    pub data: [u8; 8],
}

impl PathChallenge {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, Truncated> {
        let data = r.array()?;
        Ok(Self { data })
    }

    /// Bytes it takes.
    pub const fn encoded_len(&self) -> usize {
        PATH_FRAME_LEN
    }

    /// Writes it, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        encode(types::PATH_CHALLENGE, self.data, w)
    }
}

/// PATH_RESPONSE: the answer to a PATH_CHALLENGE.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PathResponse {
    /// What the challenge said.
    pub data: [u8; 8],
}

impl PathResponse {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, Truncated> {
        let data = r.array()?;
        Ok(Self { data })
    }

    /// Bytes it takes.
    pub const fn encoded_len(&self) -> usize {
        PATH_FRAME_LEN
    }

    /// Writes it, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        encode(types::PATH_RESPONSE, self.data, w)
    }
}

const PATH_FRAME_LEN: usize = 9;

fn encode(frame_type: u64, data: [u8; 8], w: &mut Writer<'_>) -> Result<(), NoRoom> {
    if w.remaining() < PATH_FRAME_LEN {
        return Err(NoRoom);
    }
    w.varint(frame_type)?;
    w.bytes(&data)
}
