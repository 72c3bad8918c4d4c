//! The preferred_address parameter (RFC 9000, sections 9.6 and 18.2).

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use super::ParamsError;
use crate::wire::{Cid, Reader, ResetToken, Truncated};

/// An address at which a server would rather be reached, of one family or both (RFC 9000, section
/// 9.6).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PreferredAddress {
    /// Its IPv4 address.
    pub ipv4: Option<SocketAddrV4>,
    /// Its IPv6 address.
    pub ipv6: Option<SocketAddrV6>,
    /// The connection ID to use there, number 1; never empty.
    pub cid: Cid,
    /// The stateless reset token of that connection ID.
    pub reset_token: ResetToken,
}

impl PreferredAddress {
    pub(super) fn parse(value: &[u8]) -> Result<Self, ParamsError> {
        let mut r = Reader::new(value);
        let address = Self::read(&mut r).ok().flatten();
        match address {
            Some(address) if r.is_empty() => Ok(address),
            _ => Err(ParamsError("preferred_address is malformed")),
        }
    }

    /// `None` when the connection ID has no legal length.
    fn read(r: &mut Reader<'_>) -> Result<Option<Self>, Truncated> {
        let ipv4 = SocketAddrV4::new(Ipv4Addr::from(r.array::<4>()?), r.u16()?);
        let ipv6 = SocketAddrV6::new(Ipv6Addr::from(r.array::<16>()?), r.u16()?, 0, 0);
        let len = r.u8()?;
        let cid = Cid::new(r.bytes(usize::from(len))?).filter(|cid| !cid.is_empty());
        let reset_token = ResetToken(r.array()?);
        // All zeros stand for a family that is left out.
        let ipv4 = Some(ipv4).filter(|addr| !addr.ip().is_unspecified() || addr.port() != 0);
        let ipv6 = Some(ipv6).filter(|addr| !addr.ip().is_unspecified() || addr.port() != 0);
        Ok(cid.map(|cid| Self {
            ipv4,
            ipv6,
            cid,
            reset_token,
        }))
    }

    /// Appends the value.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let ipv4 = self
            .ipv4
            .unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let ipv6 = self
            .ipv6
            .unwrap_or(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
        out.extend(ipv4.ip().octets());
        out.extend(ipv4.port().to_be_bytes());
        out.extend(ipv6.ip().octets());
        out.extend(ipv6.port().to_be_bytes());
        out.push(self.cid.len() as u8);
        out.extend_from_slice(&self.cid);
        out.extend(self.reset_token.0);
    }
}
