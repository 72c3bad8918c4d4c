//! Retry packets (RFC 9000, section 17.2.5).

use super::version::LongType;
use super::{FIXED_BIT, Invariant, LONG_BIT};
use crate::wire::{Cid, NoRoom, Reader, Writer};

/// Length of the integrity tag at the end of a Retry packet (RFC 9001, section 5.8).
pub const RETRY_TAG_LEN: usize = 16;

/// A Retry packet: the server's demand to come again with this token.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Retry<'a> {
    /// The version on the wire.
    pub version: u32,
    /// The client's connection ID.
    pub destination: Cid,
    /// The connection ID the server chose.
    pub source: Cid,
    /// What the client must bring back; never empty.
    pub token: &'a [u8],
    /// The integrity tag.
    pub tag: [u8; RETRY_TAG_LEN],
    /// The packet up to the tag: what the tag covers, after the original destination connection ID.
    pub covered: &'a [u8],
}

impl<'a> Retry<'a> {
    /// Reads a whole datagram. `None` when it is no Retry packet of a version we know, or one to
    /// discard: an empty token, or bytes missing.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let Invariant::Long {
            version,
            destination,
            source,
            rest,
        } = Invariant::parse(datagram, 0)?
        else {
            return None;
        };
        let first = *datagram.first()?;
        if first & FIXED_BIT == 0 || LongType::from_bits(version, first >> 4)? != LongType::Retry {
            return None;
        }
        let token_len = rest.len().checked_sub(RETRY_TAG_LEN)?;
        let mut r = Reader::new(rest);
        let token = r.bytes(token_len).ok()?;
        let tag = r.array().ok()?;
        if token.is_empty() {
            return None;
        }
        Some(Self {
            version,
            destination: Cid::new(destination)?,
            source: Cid::new(source)?,
            token,
            tag,
            covered: datagram.get(..datagram.len() - RETRY_TAG_LEN)?,
        })
    }
}

/// Writes a Retry packet up to its tag, all or nothing; also makes sure that the tag will fit. The
/// caller computes the tag over what was written and appends it. `unused` fills four bits that mean
/// nothing and should be random.
pub fn encode_retry(
    version: u32,
    destination: &Cid,
    source: &Cid,
    token: &[u8],
    unused: u8,
    w: &mut Writer<'_>,
) -> Result<(), NoRoom> {
    let len = 7 + destination.len() + source.len() + token.len() + RETRY_TAG_LEN;
    if w.remaining() < len {
        return Err(NoRoom);
    }
    w.u8(LONG_BIT | FIXED_BIT | LongType::Retry.bits(version) << 4 | unused & 0x0f)?;
    w.u32(version)?;
    w.u8(destination.len() as u8)?;
    w.bytes(destination)?;
    w.u8(source.len() as u8)?;
    w.bytes(source)?;
    w.bytes(token)
}

#[cfg(test)]
mod tests {
    use super::super::tests::hex;
    use super::super::version::{V1, V2};
    use super::*;

    // RFC 9001, appendix A.4 and RFC 9369, appendix A.4.
    const V1_PACKET: &str =
        "ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba";
    const V2_PACKET: &str =
        "cf6b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6";

    #[test]
    fn rfc_vectors() {
        for (packet, version) in [(V1_PACKET, V1), (V2_PACKET, V2)] {
            let packet = hex(packet);
            let retry = Retry::parse(&packet).unwrap();
            assert_eq!(retry.version, version);
            assert_eq!(retry.destination, Cid::EMPTY);
            assert_eq!(retry.source[..], hex("f067a5502a4262b5"));
            assert_eq!(retry.token, b"token");
            assert_eq!(retry.tag[..], packet[packet.len() - 16..]);
            assert_eq!(retry.covered, &packet[..packet.len() - 16]);

            let mut buf = std::vec![0; packet.len()];
            let mut w = Writer::new(&mut buf);
            let (to, from) = (&retry.destination, &retry.source);
            encode_retry(version, to, from, retry.token, 0x0f, &mut w).unwrap();
            assert_eq!(w.written(), retry.covered);
            w.bytes(&retry.tag).unwrap();
            assert_eq!(w.written(), packet);
        }
    }

    #[test]
    fn too_short_for_token_and_tag() {
        let packet = hex(V1_PACKET);
        // A cut packet reads as one with another tag, until no token is left.
        let shortest = packet.len() - 4;
        for end in 0..packet.len() {
            assert_eq!(
                Retry::parse(&packet[..end]).is_some(),
                end >= shortest,
                "{end}"
            );
        }
    }

    #[test]
    fn other_packets_are_not_retries() {
        let good = hex(V1_PACKET);
        // No fixed bit, Initial, short header.
        for first in [0xbf, 0xcf, 0x7f] {
            let mut packet = good.clone();
            packet[0] = first;
            assert_eq!(Retry::parse(&packet), None);
        }
        let mut packet = good;
        packet[4] = 9;
        assert_eq!(Retry::parse(&packet), None);
    }

    #[test]
    fn needs_room_for_the_tag() {
        let cid = Cid::new(&[1, 2]).unwrap();
        let mut buf = [0; 7 + 4 + 5 + 16];
        let mut w = Writer::new(&mut buf[1..]);
        let result = encode_retry(V1, &cid, &cid, b"token", 0, &mut w);
        assert_eq!(result, Err(NoRoom));
        assert_eq!(w.position(), 0);
        let mut w = Writer::new(&mut buf);
        encode_retry(V1, &cid, &cid, b"token", 0, &mut w).unwrap();
        assert_eq!(w.remaining(), RETRY_TAG_LEN);
    }
}
