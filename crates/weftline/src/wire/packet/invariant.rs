//! What every version of QUIC has in common (RFC 8999).

use super::LONG_BIT;
use crate::wire::{Reader, Truncated};

/// The header fields that no version changes. Connection IDs may be up to 255 bytes long here.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Invariant<'a> {
    /// A long header.
    Long {
        /// The version; 0 in a Version Negotiation packet.
        version: u32,
        /// The receiver's connection ID.
        destination: &'a [u8],
        /// The sender's connection ID.
        source: &'a [u8],
        /// Everything after, whose meaning depends on the version.
        rest: &'a [u8],
    },
    /// A short header.
    Short {
        /// The receiver's connection ID.
        destination: &'a [u8],
    },
}

impl<'a> Invariant<'a> {
    /// Reads the front of a packet. Short headers do not tell the length of the connection ID:
    /// `local_cid_len` is that of the connection IDs we give out. `None` when bytes are missing.
    pub fn parse(packet: &'a [u8], local_cid_len: usize) -> Option<Self> {
        Self::read(&mut Reader::new(packet), local_cid_len).ok()
    }

    /// The receiver's connection ID.
    pub const fn destination(&self) -> &'a [u8] {
        match self {
            Self::Long { destination, .. } | Self::Short { destination } => destination,
        }
    }

    fn read(r: &mut Reader<'a>, local_cid_len: usize) -> Result<Self, Truncated> {
        if r.u8()? & LONG_BIT == 0 {
            let destination = r.bytes(local_cid_len)?;
            return Ok(Self::Short { destination });
        }
        Ok(Self::Long {
            version: r.u32()?,
            destination: cid(r)?,
            source: cid(r)?,
            rest: r.take_rest(),
        })
    }
}

/// The destination connection ID of a datagram, all that a dispatcher needs. `None` when bytes are
/// missing.
pub fn destination_cid(datagram: &[u8], local_cid_len: usize) -> Option<&[u8]> {
    Some(Invariant::parse(datagram, local_cid_len)?.destination())
}

fn cid<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Truncated> {
    let len = r.u8()?;
    r.bytes(usize::from(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_version_and_length() {
        let mut packet = std::vec![0x80, 0xde, 0xad, 0xbe, 0xef, 255];
        packet.extend([1; 255]);
        packet.extend([2, 8, 9]);
        for end in 0..packet.len() {
            assert_eq!(Invariant::parse(&packet[..end], 8), None);
        }
        packet.push(0x55);
        let expected = Invariant::Long {
            version: 0xdead_beef,
            destination: &[1; 255],
            source: &[8, 9],
            rest: &[0x55],
        };
        assert_eq!(Invariant::parse(&packet, 8), Some(expected));
        assert_eq!(destination_cid(&packet, 8), Some(&[1; 255][..]));
    }

    #[test]
    fn short() {
        let packet = [0x40, 1, 2, 3, 4];
        assert_eq!(destination_cid(&packet, 3), Some(&[1, 2, 3][..]));
        assert_eq!(destination_cid(&packet, 0), Some(&[][..]));
        assert_eq!(destination_cid(&packet, 5), None);
        assert_eq!(destination_cid(&[], 0), None);
    }
}
