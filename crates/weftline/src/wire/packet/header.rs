//! Headers to send, and the mask that protects them (RFC 9000, section 17; RFC 9001, section 5.4).

use super::version::LongType;
use super::{FIXED_BIT, LONG_BIT, TruncatedNumber};
use crate::wire::{Cid, NoRoom, Reader, Writer, varint};

/// A long header to send, without Retry, which has no packet number.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct LongHeader<'a> {
    /// The type of the packet.
    pub kind: LongKind<'a>,
    /// The version.
    pub version: u32,
    /// The receiver's connection ID.
    pub destination: Cid,
    /// Our connection ID.
    pub source: Cid,
    /// The packet number.
    pub number: TruncatedNumber,
}

/// The types of packets with a long header and frames.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum LongKind<'a> {
    /// Initial.
    Initial {
        /// The token from a Retry packet or NEW_TOKEN frame; empty when there is none, and from
        /// servers.
        token: &'a [u8],
    },
    /// 0-RTT.
    ZeroRtt,
    /// Handshake.
    Handshake,
}

impl LongHeader<'_> {
    /// Bytes it takes.
    pub fn encoded_len(&self) -> usize {
        let token = match self.kind {
            LongKind::Initial { token } => varint::len(token.len() as u64) + token.len(),
            LongKind::ZeroRtt | LongKind::Handshake => 0,
        };
        7 + self.destination.len() + self.source.len() + token + LENGTH_LEN + self.number.len()
    }

    /// Writes it, all or nothing. Its length field is filled in by [`HeaderLayout::set_length`].
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<HeaderLayout, NoRoom> {
        if w.remaining() < self.encoded_len() {
            return Err(NoRoom);
        }
        let start = w.position();
        let long_type = match self.kind {
            LongKind::Initial { .. } => LongType::Initial,
            LongKind::ZeroRtt => LongType::ZeroRtt,
            LongKind::Handshake => LongType::Handshake,
        };
        let type_bits = long_type.bits(self.version) << 4;
        w.u8(LONG_BIT | FIXED_BIT | type_bits | number_len_bits(self.number))?;
        w.u32(self.version)?;
        w.u8(self.destination.len() as u8)?;
        w.bytes(&self.destination)?;
        w.u8(self.source.len() as u8)?;
        w.bytes(&self.source)?;
        if let LongKind::Initial { token } = self.kind {
            w.varint_prefixed(token)?;
        }
        let length_at = w.position() - start;
        varint::encode(0, w.reserve(LENGTH_LEN)?);
        self.number.encode(w)?;
        Ok(HeaderLayout {
            length_at: Some(length_at),
            number_at: length_at + LENGTH_LEN,
            payload_at: w.position() - start,
        })
    }
}

/// The short header of a 1-RTT packet to send.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ShortHeader {
    /// The receiver's connection ID.
    pub destination: Cid,
    /// The packet number.
    pub number: TruncatedNumber,
    /// The spin bit (RFC 9000, section 17.4).
    pub spin: bool,
    /// The key phase bit (RFC 9001, section 6).
    pub key_phase: bool,
}

impl ShortHeader {
    /// Bytes it takes.
    pub fn encoded_len(&self) -> usize {
        1 + self.destination.len() + self.number.len()
    }

    /// Writes it, all or nothing.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<HeaderLayout, NoRoom> {
        if w.remaining() < self.encoded_len() {
            return Err(NoRoom);
        }
        let spin = if self.spin { SPIN_BIT } else { 0 };
        let key_phase = if self.key_phase { KEY_PHASE_BIT } else { 0 };
        w.u8(FIXED_BIT | spin | key_phase | number_len_bits(self.number))?;
        w.bytes(&self.destination)?;
        self.number.encode(w)?;
        Ok(HeaderLayout {
            length_at: None,
            number_at: 1 + self.destination.len(),
            payload_at: self.encoded_len(),
        })
    }
}

/// Where the parts of a header are that was written, counted from the packet's first byte. The
/// methods take the packet from its first byte to its last.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct HeaderLayout {
    /// Where the length field is; `None` in a short header.
    pub length_at: Option<usize>,
    /// Where the packet number starts.
    pub number_at: usize,
    /// Where the header ends and the payload starts.
    pub payload_at: usize,
}

impl HeaderLayout {
    /// The least payload, without its tag, that gives the packet a sample (RFC 9001, section
    /// 5.4.2): less must be filled up with PADDING.
    pub const fn min_payload_len(&self) -> usize {
        MAX_NUMBER_LEN.saturating_sub(self.payload_at.saturating_sub(self.number_at))
    }

    /// Fills in the length field of a long header, from the length of the packet with its tag.
    /// Call it before sealing, as the seal covers the header. A packet of more than 16 KiB does
    /// not fit the field.
    pub fn set_length(&self, packet: &mut [u8]) {
        let len = packet.len().saturating_sub(self.number_at);
        debug_assert!(len <= MAX_LENGTH, "a packet of {len} bytes");
        let field = self
            .length_at
            .and_then(|at| packet.get_mut(at..)?.get_mut(..LENGTH_LEN));
        if let Some(field) = field {
            varint::encode(len.min(MAX_LENGTH) as u64, field);
        }
    }

    /// The sample of the sealed packet from which the mask is made. `None` when it is too short.
    pub fn sample<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8; 16]> {
        sample(packet, self.number_at)
    }

    /// Puts header protection on the sealed packet.
    pub fn protect(&self, packet: &mut [u8], mask: [u8; 5]) {
        apply_mask(packet, self.number_at, mask);
    }
}

/// The header protection sample: 16 bytes, 4 after the packet number's start, whatever its length.
pub(super) fn sample(packet: &[u8], number_at: usize) -> Option<&[u8; 16]> {
    packet
        .get(number_at.checked_add(MAX_NUMBER_LEN)?..)?
        .first_chunk()
}

/// Removes the mask; gives the packet number. `None`, and no change, when bytes are missing.
pub(super) fn remove_mask(
    packet: &mut [u8],
    number_at: usize,
    mask: [u8; 5],
) -> Option<TruncatedNumber> {
    let masked = *packet.first()?;
    let [first_mask, number_mask @ ..] = mask;
    let plain = masked ^ first_mask & protected_bits(masked);
    let len = (plain & NUMBER_LEN_BITS) + 1;
    let number = packet.get_mut(number_at..)?.get_mut(..usize::from(len))?;
    xor(number, &number_mask);
    let number = TruncatedNumber::parse(&mut Reader::new(number), len).ok()?;
    *packet.first_mut()? = plain;
    Some(number)
}

fn apply_mask(packet: &mut [u8], number_at: usize, mask: [u8; 5]) {
    let [first_mask, number_mask @ ..] = mask;
    let Some(first) = packet.first_mut() else {
        return;
    };
    // The length is read before the mask hides it.
    let len = usize::from(*first & NUMBER_LEN_BITS) + 1;
    *first ^= first_mask & protected_bits(*first);
    if let Some(number) = packet.get_mut(number_at..) {
        xor(number.get_mut(..len).unwrap_or_default(), &number_mask);
    }
}

/// The bits of the first byte that are masked. The form bit among the others says which.
const fn protected_bits(first: u8) -> u8 {
    if first & LONG_BIT == 0 { 0x1f } else { 0x0f }
}

fn xor(bytes: &mut [u8], mask: &[u8]) {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

const fn number_len_bits(number: TruncatedNumber) -> u8 {
    number.len() as u8 - 1
}

pub(super) const SPIN_BIT: u8 = 0x20;
pub(super) const KEY_PHASE_BIT: u8 = 0x04;
pub(super) const SHORT_RESERVED_BITS: u8 = 0x18;
pub(super) const LONG_RESERVED_BITS: u8 = 0x0c;
const NUMBER_LEN_BITS: u8 = 0x03;

const MAX_NUMBER_LEN: usize = 4;

/// The length field of headers we write: always two bytes, as its value comes last.
const LENGTH_LEN: usize = 2;
const MAX_LENGTH: usize = 0x3fff;
