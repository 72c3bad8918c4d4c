//! CRYPTO and NEW_TOKEN (RFC 9000, sections 19.6 and 19.7).

use super::{FrameErrorKind, check_end, encode_fields, fields_len, types};
use crate::wire::{NoRoom, Reader, Writer};

/// A CRYPTO frame: data of the TLS handshake.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Crypto<'a> {
    /// Where in the data of its level it starts.
    pub offset: u64,
    /// The data. It ends below 2^62.
    pub data: &'a [u8],
}

impl<'a> Crypto<'a> {
    pub(super) fn parse(r: &mut Reader<'a>) -> Result<Self, FrameErrorKind> {
        let offset = r.varint()?;
        let data = r.varint_prefixed()?;
        check_end(offset, data)?;
        Ok(Self { offset, data })
    }

    /// Its header.
    pub const fn header(&self) -> CryptoHeader {
        CryptoHeader {
            offset: self.offset,
            len: self.data.len() as u64,
        }
    }

    /// Bytes it takes.
    pub fn encoded_len(&self) -> usize {
        self.header().encoded_len() + self.data.len()
    }

    /// Writes it, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        if w.remaining() < self.encoded_len() {
            return Err(NoRoom);
        }
        self.header().encode(w)?;
        w.bytes(self.data)
    }
}

/// A CRYPTO frame up to its data, for senders that put the data into the packet themselves.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CryptoHeader {
    /// Where in the data of its level it starts.
    pub offset: u64,
    /// Length of the data.
    pub len: u64,
}

impl CryptoHeader {
    const fn fields(&self) -> [u64; 3] {
        [types::CRYPTO, self.offset, self.len]
    }

    /// Bytes it takes, without the data.
    pub fn encoded_len(&self) -> usize {
        fields_len(&self.fields())
    }

    /// Writes it, all or nothing. Makes no room for the data.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        encode_fields(&self.fields(), w)
    }
}

/// A NEW_TOKEN frame: what a client may show at its next connection to this server. Only servers
/// send it; from a client it is a PROTOCOL_VIOLATION.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct NewToken<'a> {
    /// The token; never empty.
    pub token: &'a [u8],
}

impl<'a> NewToken<'a> {
    pub(super) fn parse(r: &mut Reader<'a>) -> Result<Self, FrameErrorKind> {
        let token = r.varint_prefixed()?;
        if token.is_empty() {
            return Err(FrameErrorKind::EmptyToken);
        }
        Ok(Self { token })
    }

    const fn fields(&self) -> [u64; 2] {
        [types::NEW_TOKEN, self.token.len() as u64]
    }

    /// Bytes it takes.
    pub fn encoded_len(&self) -> usize {
        fields_len(&self.fields()) + self.token.len()
    }

    /// Writes it, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        if w.remaining() < self.encoded_len() {
            return Err(NoRoom);
        }
        encode_fields(&self.fields(), w)?;
        w.bytes(self.token)
    }
}
