//! CONNECTION_CLOSE (RFC 9000, section 19.19).

use super::{encode_fields, fields_len, types};
use crate::wire::{NoRoom, Reader, Truncated, Writer, varint};

/// A CONNECTION_CLOSE frame: the end of the connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ConnectionClose<'a> {
    /// By QUIC itself. The only kind in Initial and Handshake packets.
    Transport {
        /// Why, in QUIC's codes (RFC 9000, section 20.1).
        code: u64,
        /// The type of the frame that was at fault, 0 when unknown.
        frame_type: u64,
        /// Why, for people. Should be UTF-8, but is whatever the peer sent.
        reason: &'a [u8],
    },
    /// By the application.
    Application {
        /// Why, in the application's codes.
        code: u64,
        /// Why, for people. Should be UTF-8, but is whatever the peer sent.
        reason: &'a [u8],
    },
}

impl<'a> ConnectionClose<'a> {
    pub(super) fn parse_transport(r: &mut Reader<'a>) -> Result<Self, Truncated> {
        Ok(Self::Transport {
            code: r.varint()?,
            frame_type: r.varint()?,
            reason: r.varint_prefixed()?,
        })
    }

    pub(super) fn parse_application(r: &mut Reader<'a>) -> Result<Self, Truncated> {
        Ok(Self::Application {
            code: r.varint()?,
            reason: r.varint_prefixed()?,
        })
    }

    /// The reason, for people.
    pub const fn reason(&self) -> &'a [u8] {
        match self {
            Self::Transport { reason, .. } | Self::Application { reason, .. } => reason,
        }
    }

    /// The type of the frame.
    pub const fn frame_type(&self) -> u64 {
        match self {
            Self::Transport { .. } => types::CONNECTION_CLOSE,
            Self::Application { .. } => types::CONNECTION_CLOSE_APP,
        }
    }

    /// Bytes it takes.
    pub fn encoded_len(&self) -> usize {
        let reason = self.reason();
        self.numbers_len() + varint::len(reason.len() as u64) + reason.len()
    }

    /// Writes it, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        if w.remaining() < self.encoded_len() {
            return Err(NoRoom);
        }
        match *self {
            Self::Transport {
                code, frame_type, ..
            } => encode_fields(&[self.frame_type(), code, frame_type], w)?,
            Self::Application { code, .. } => encode_fields(&[self.frame_type(), code], w)?,
        }
        w.varint_prefixed(self.reason())
    }

    /// Bytes before the reason's length.
    fn numbers_len(&self) -> usize {
        match *self {
            Self::Transport {
                code, frame_type, ..
            } => fields_len(&[self.frame_type(), code, frame_type]),
            Self::Application { code, .. } => fields_len(&[self.frame_type(), code]),
        }
    }
}
