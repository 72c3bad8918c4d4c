//! What a sender of data wishes of acknowledgements (draft-ietf-quic-ack-frequency).

use super::{encode_fields, fields_len, types};
use crate::wire::{NoRoom, Reader, Truncated, Writer};

/// ACK_FREQUENCY: when to acknowledge from now on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct AckFrequency {
    /// Of several such frames the one with the largest number counts.
    pub sequence: u64,
    /// Ack-eliciting packets that may arrive without an acknowledgement; with one more it is due.
    pub ack_eliciting_threshold: u64,
    /// The longest an acknowledgement may wait, in microseconds.
    pub max_ack_delay_us: u64,
    /// Packets by which one may be overtaken before an acknowledgement is due at once; 0 for any
    /// number.
    pub reordering_threshold: u64,
}

impl AckFrequency {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            sequence: r.varint()?,
            ack_eliciting_threshold: r.varint()?,
            max_ack_delay_us: r.varint()?,
            reordering_threshold: r.varint()?,
        })
    }

    const fn fields(&self) -> [u64; 5] {
        [
            types::ACK_FREQUENCY,
            self.sequence,
            self.ack_eliciting_threshold,
            self.max_ack_delay_us,
            self.reordering_threshold,
        ]
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
