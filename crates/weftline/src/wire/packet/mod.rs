//! QUIC packets: the parts every version shares (RFC 8999), and the headers of versions 1 and 2
//! (RFC 9000, section 17; RFC 9369).
//!
//! A received datagram is read in steps, so that it can be decrypted in its own buffer:
//!
//! 1. [`Invariant::parse`] tells where it goes and what version it speaks.
//! 2. [`Packet::parse`] reads its first packet as far as header protection allows. The result
//!    holds offsets, not borrows; the bytes after its `end` are the next packet.
//! 3. [`ProtectedHeader::unprotect`] takes the mask off the header and gives the packet number.
//!
//! To send, [`LongHeader`] or [`ShortHeader`] writes a header, and the [`HeaderLayout`] it gives
//! later fills in the length and puts the mask on.

pub mod header;
pub mod invariant;
pub mod number;
pub mod protected;
pub mod retry;
#[cfg(test)]
pub(in crate::wire) mod tests;
pub mod version;

pub use header::{HeaderLayout, LongHeader, LongKind, ShortHeader};
pub use invariant::{Invariant, destination_cid};
pub use number::TruncatedNumber;
pub use protected::{PacketError, PlainHeader, ProtectedHeader};
pub use retry::{RETRY_TAG_LEN, Retry, encode_retry};
pub use version::{VersionNegotiation, encode_version_negotiation};

/// The types of packets that carry frames.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketType {
    /// Initial: the first flight both ways.
    Initial,
    /// 0-RTT: early data of a client.
    ZeroRtt,
    /// Handshake.
    Handshake,
    /// 1-RTT: everything after the handshake; the only one with a short header.
    OneRtt,
}

/// The first packet of a datagram, as far as it can be read without keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A packet with frames, still protected.
    Protected(ProtectedHeader),
    /// A Retry packet. It fills the datagram.
    Retry(Retry<'a>),
    /// A Version Negotiation packet. It fills the datagram.
    VersionNegotiation(VersionNegotiation<'a>),
}

impl<'a> Packet<'a> {
    /// Reads the packet at the front of `bytes`, the rest of a datagram. `local_cid_len` is the
    /// length of the connection IDs we give out, which short headers do not tell.
    ///
    /// Every error means to drop the rest of the datagram in silence; a version we do not know may
    /// deserve an answer when it comes in the first packet.
    pub fn parse(bytes: &'a [u8], local_cid_len: usize) -> Result<Self, PacketError> {
        let first = *bytes.first().ok_or(PacketError::Truncated)?;
        if first & LONG_BIT == 0 {
            return ProtectedHeader::parse_short(bytes, local_cid_len).map(Self::Protected);
        }
        let Some(Invariant::Long { version, .. }) = Invariant::parse(bytes, local_cid_len) else {
            return Err(PacketError::Truncated);
        };
        if version == version::NEGOTIATION {
            return VersionNegotiation::parse(bytes)
                .map(Self::VersionNegotiation)
                .ok_or(PacketError::Malformed);
        }
        match version::LongType::from_bits(version, first >> 4) {
            None => Err(PacketError::UnknownVersion(version)),
            Some(version::LongType::Retry) => Retry::parse(bytes)
                .map(Self::Retry)
                .ok_or(PacketError::Malformed),
            Some(_) => ProtectedHeader::parse_long(bytes).map(Self::Protected),
        }
    }
}

/// Set in the first byte of long headers, in every version.
const LONG_BIT: u8 = 0x80;

/// Set in the first byte of every packet of versions 1 and 2 but Version Negotiation.
const FIXED_BIT: u8 = 0x40;
