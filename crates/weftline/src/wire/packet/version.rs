//! Versions: the bits that differ between them, and Version Negotiation packets (RFC 8999,
//! section 6; RFC 9000, section 17.2.1).

use super::{FIXED_BIT, Invariant, LONG_BIT};
use crate::wire::{NoRoom, Writer};

/// QUIC version 1 (RFC 9000).
pub const V1: u32 = 1;

/// QUIC version 2 (RFC 9369).
pub const V2: u32 = 0x6b33_43cf;

/// The version of a Version Negotiation packet.
pub const NEGOTIATION: u32 = 0;

/// The four types of packets with a long header.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum LongType {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
}

impl LongType {
    /// The type that two bits stand for in `version`; `None` when we do not know the version.
    pub(super) const fn from_bits(version: u32, bits: u8) -> Option<Self> {
        let v1_bits = match version {
            V1 => bits & 3,
            V2 => bits.wrapping_sub(1) & 3,
            _ => return None,
        };
        Some(match v1_bits {
            0 => Self::Initial,
            1 => Self::ZeroRtt,
            2 => Self::Handshake,
            _ => Self::Retry,
        })
    }

    /// The two bits that stand for it in `version`. Versions we do not know get those of version 1.
    pub(super) const fn bits(self, version: u32) -> u8 {
        let v1_bits = self as u8;
        match version {
            V2 => v1_bits.wrapping_add(1) & 3,
            _ => v1_bits,
        }
    }
}

/// A Version Negotiation packet. Its connection IDs may be of any length, as it answers packets of
/// any version.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct VersionNegotiation<'a> {
    /// The source connection ID of the packet it answers.
    pub destination: &'a [u8],
    /// The destination connection ID of the packet it answers.
    pub source: &'a [u8],
    versions: &'a [u8],
}

impl<'a> VersionNegotiation<'a> {
    /// Reads a whole datagram. `None` when it is no Version Negotiation packet, or one to ignore:
    /// without versions or with half a version at its end.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        match Invariant::parse(datagram, 0)? {
            Invariant::Long {
                version: NEGOTIATION,
                destination,
                source,
                rest,
            } if !rest.is_empty() && rest.len() % 4 == 0 => Some(Self {
                destination,
                source,
                versions: rest,
            }),
            _ => None,
        }
    }

    /// The versions the sender speaks, in its order.
    pub fn versions(&self) -> impl Iterator<Item = u32> + Clone + 'a {
        self.versions.chunks_exact(4).map(|chunk| {
            chunk
                .iter()
                .fold(0, |version, byte| version << 8 | u32::from(*byte))
        })
    }
}

/// Writes a Version Negotiation packet, all or nothing. `destination` and `source` are the source
/// and destination connection IDs of the packet it answers, `unused` fills the bits that mean
/// nothing and should be random.
pub fn encode_version_negotiation(
    destination: &[u8],
    source: &[u8],
    versions: &[u32],
    unused: u8,
    w: &mut Writer<'_>,
) -> Result<(), NoRoom> {
    let (Ok(destination_len), Ok(source_len)) =
        (u8::try_from(destination.len()), u8::try_from(source.len()))
    else {
        debug_assert!(false, "no connection ID is longer than 255 bytes");
        return Err(NoRoom);
    };
    let len = 7 + destination.len() + source.len() + 4 * versions.len();
    if w.remaining() < len {
        return Err(NoRoom);
    }
    // RFC 9000 wants the bit that is fixed in version 1 set, to look like QUIC to multiplexers.
    w.u8(LONG_BIT | FIXED_BIT | unused)?;
    w.u32(NEGOTIATION)?;
    w.u8(destination_len)?;
    w.bytes(destination)?;
    w.u8(source_len)?;
    w.bytes(source)?;
    versions.iter().try_for_each(|version| w.u32(*version))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn long_type_bits() {
        let types = [
            LongType::Initial,
            LongType::ZeroRtt,
            LongType::Handshake,
            LongType::Retry,
        ];
        for (version, expected) in [(V1, [0, 1, 2, 3]), (V2, [1, 2, 3, 0])] {
            assert_eq!(types.map(|long| long.bits(version)), expected);
            for long in types {
                let bits = long.bits(version);
                assert_eq!(LongType::from_bits(version, bits), Some(long));
            }
        }
        assert_eq!(LongType::from_bits(0xff00_001d, 0), None);
    }

    #[test]
    fn round_trip_with_long_ids() {
        let (destination, source) = ([1; 255], [2; 30]);
        let mut buf = [0; 400];
        let mut w = Writer::new(&mut buf);
        encode_version_negotiation(&destination, &source, &[V1, 0x1a2a_3a4a], 0x15, &mut w)
            .unwrap();
        let packet = w.written();
        assert_eq!(packet[..6], [0xd5, 0, 0, 0, 0, 255]);
        let parsed = VersionNegotiation::parse(packet).unwrap();
        assert_eq!(parsed.destination, destination);
        assert_eq!(parsed.source, source);
        assert_eq!(parsed.versions().collect::<Vec<_>>(), [V1, 0x1a2a_3a4a]);

        for end in 0..packet.len() - 8 {
            assert_eq!(VersionNegotiation::parse(&packet[..end]), None);
        }
    }

    #[test]
    fn versions_missing_or_cut_are_ignored() {
        let mut packet = std::vec![0x80, 0, 0, 0, 0, 1, 7, 0];
        assert_eq!(VersionNegotiation::parse(&packet), None);
        for byte in [0, 0, 0] {
            packet.push(byte);
            assert_eq!(VersionNegotiation::parse(&packet), None);
        }
        packet.push(1);
        let parsed = VersionNegotiation::parse(&packet).unwrap();
        assert_eq!(parsed.versions().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn other_versions_are_not_negotiation() {
        let packet = [0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        assert_eq!(VersionNegotiation::parse(&packet), None);
    }

    #[test]
    fn all_or_nothing() {
        for room in 0..16 {
            let mut buf = [0; 16];
            let mut w = Writer::new(&mut buf[..room]);
            let result = encode_version_negotiation(&[1, 2], &[3, 4, 5], &[V1], 0, &mut w);
            assert_eq!(result, Err(NoRoom));
            assert_eq!(w.position(), 0);
        }
        let mut buf = [0; 16];
        let mut w = Writer::new(&mut buf);
        encode_version_negotiation(&[1, 2], &[3, 4, 5], &[V1], 0, &mut w).unwrap();
        assert_eq!(w.remaining(), 0);
    }
}
