//! What goes beside a UDP datagram.

use core::net::{IpAddr, SocketAddr};

/// Where a received datagram came from.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RecvMeta {
    /// The sender.
    pub from: SocketAddr,
    /// The local address it arrived at, when the socket tells.
    pub to: Option<IpAddr>,
    /// The ECN codepoint of its IP header, when the socket tells.
    pub ecn: Option<Ecn>,
}

/// One datagram to send, or several of equal size back to back.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The receiver.
    pub to: SocketAddr,
    /// The local address to send from; `None` for the socket's own.
    pub from: Option<IpAddr>,
    /// The ECN codepoint to put on each datagram.
    pub ecn: Option<Ecn>,
    /// Bytes written to the buffer.
    pub len: usize,
    /// The size of each datagram in the buffer but the last, which may be shorter; `None` when
    /// there is one datagram only.
    pub segment: Option<usize>,
}

/// Explicit congestion notification codepoints (RFC 3168, section 5).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// ECN-capable, ECT(1).
    Ect1 = 1,
    /// ECN-capable, ECT(0).
    Ect0 = 2,
    /// Congestion was experienced.
    Ce = 3,
}

impl Ecn {
    /// The codepoint in the low two bits of a traffic class byte; `None` for not-ECT.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits & 3 {
            1 => Some(Self::Ect1),
            2 => Some(Self::Ect0),
            3 => Some(Self::Ce),
            _ => None,
        }
    }
}
