//! Received headers: before and after header protection is removed (RFC 9000, section 17.2; RFC
//! 9001, section 5.4).

use core::ops::Range;

use super::header::{self, KEY_PHASE_BIT, LONG_RESERVED_BITS, SHORT_RESERVED_BITS, SPIN_BIT};
use super::version::LongType;
use super::{FIXED_BIT, LONG_BIT, PacketType, TruncatedNumber};
use crate::wire::{Cid, Reader, Truncated};

/// A packet that cannot be read, and is to be dropped.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The datagram ends inside the packet.
    #[error("the datagram ends inside the packet")]
    Truncated,
    /// The bit that is always set is not (RFC 9000, section 17.2).
    #[error("the fixed bit is not set")]
    FixedBit,
    /// A connection ID is longer than the version allows.
    #[error("a connection ID is too long")]
    CidLength,
    /// A version whose packets we cannot read.
    #[error("unknown version {0:#010x}")]
    UnknownVersion(u32),
    /// Another rule of the packet type is broken.
    #[error("malformed packet")]
    Malformed,
}

impl From<Truncated> for PacketError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

/// What can be read of a packet while its header is protected. Offsets count from its first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedHeader {
    /// Its type.
    pub packet_type: PacketType,
    /// Its version; `None` in a short header. Versions 1 and 2 both parse, so compare it with the
    /// connection's.
    pub version: Option<u32>,
    /// The receiver's connection ID.
    pub destination: Cid,
    /// The sender's connection ID; empty in a short header.
    pub source: Cid,
    /// Where the token of an Initial packet is; empty in other packets.
    pub token: Range<usize>,
    /// Where the packet number starts.
    pub number_at: usize,
    /// Where the packet ends. Bytes of the datagram after it are the next packet.
    pub end: usize,
}

impl ProtectedHeader {
    pub(super) fn parse_short(bytes: &[u8], local_cid_len: usize) -> Result<Self, PacketError> {
        let mut r = Reader::new(bytes);
        if r.u8()? & FIXED_BIT == 0 {
            return Err(PacketError::FixedBit);
        }
        let destination = Cid::new(r.bytes(local_cid_len)?).ok_or(PacketError::CidLength)?;
        let number_at = bytes.len() - r.remaining();
        Ok(Self {
            packet_type: PacketType::OneRtt,
            version: None,
            destination,
            source: Cid::EMPTY,
            token: number_at..number_at,
            number_at,
            end: bytes.len(),
        })
    }

    pub(super) fn parse_long(bytes: &[u8]) -> Result<Self, PacketError> {
        let mut r = Reader::new(bytes);
        let first = r.u8()?;
        let version = r.u32()?;
        let packet_type = match LongType::from_bits(version, first >> 4) {
            Some(LongType::Initial) => PacketType::Initial,
            Some(LongType::ZeroRtt) => PacketType::ZeroRtt,
            Some(LongType::Handshake) => PacketType::Handshake,
            Some(LongType::Retry) => return Err(PacketError::Malformed),
            None => return Err(PacketError::UnknownVersion(version)),
        };
        if first & FIXED_BIT == 0 {
            return Err(PacketError::FixedBit);
        }
        let destination = cid(&mut r)?;
        let source = cid(&mut r)?;
        let token_len = match packet_type {
            PacketType::Initial => r.varint_prefixed()?.len(),
            _ => 0,
        };
        let token_end = bytes.len() - r.remaining();
        let len = usize::try_from(r.varint()?).map_err(|_| PacketError::Truncated)?;
        let number_at = bytes.len() - r.remaining();
        r.bytes(len)?;
        Ok(Self {
            packet_type,
            version: Some(version),
            destination,
            source,
            token: token_end - token_len..token_end,
            number_at,
            end: number_at + len,
        })
    }

    /// The token of an Initial packet; empty in other packets. `packet` is what was parsed.
    pub fn token<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.token.clone()).unwrap_or_default()
    }

    /// The sample from which the header protection mask is made (RFC 9001, section 5.4.2). `None`
    /// when the packet is too short to have one, and is to be dropped.
    pub fn sample<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8; 16]> {
        header::sample(packet.get(..self.end)?, self.number_at)
    }

    /// Removes header protection in place. `None` when the packet is too short.
    pub fn unprotect(&self, packet: &mut [u8], mask: [u8; 5]) -> Option<PlainHeader> {
        let packet = packet.get_mut(..self.end)?;
        let number = header::remove_mask(packet, self.number_at, mask)?;
        let first = *packet.first()?;
        let is_short = first & LONG_BIT == 0;
        let reserved = if is_short {
            SHORT_RESERVED_BITS
        } else {
            LONG_RESERVED_BITS
        };
        Some(PlainHeader {
            number,
            payload_at: self.number_at + number.len(),
            reserved_bits_set: first & reserved != 0,
            spin: is_short && first & SPIN_BIT != 0,
            key_phase: is_short && first & KEY_PHASE_BIT != 0,
        })
    }
}

/// What removing header protection brought to light.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PlainHeader {
    /// The low bytes of the packet number.
    pub number: TruncatedNumber,
    /// Where the header ends and the encrypted payload starts, from the packet's first byte.
    pub payload_at: usize,
    /// Bits that must be zero are not: PROTOCOL_VIOLATION once the packet proved authentic (RFC
    /// 9000, section 17.2).
    pub reserved_bits_set: bool,
    /// The spin bit; false in a long header.
    pub spin: bool,
    /// The key phase bit; false in a long header.
    pub key_phase: bool,
}

fn cid(r: &mut Reader<'_>) -> Result<Cid, PacketError> {
    let len = r.u8()?;
    Cid::new(r.bytes(usize::from(len))?).ok_or(PacketError::CidLength)
}
