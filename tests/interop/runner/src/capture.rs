//! What went over the network.

use std::{net::SocketAddr, time::Duration};

/// An end of the network.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A datagram as it was sent, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: Side,
    pub(crate) sent: Duration,
    pub(crate) data: Vec<u8>,
    /// The ECN bits of its IP header.
    pub(crate) ecn: u8,
    /// Where the client is, as it knows itself, and where it finds the server.
    pub(crate) client_path: Path,
    /// Where the server finds the client, and where the server is. For a datagram of the client:
    /// at the time of its delivery.
    pub(crate) server_path: Path,
    pub(crate) fate: Fate,
}

/// Two ends of a path.
pub(crate) type Path = (SocketAddr, SocketAddr);

/// Times count from the first datagram.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Still on its way when the network was taken down.
    OnItsWay,
    /// It found the queue full, or was too long.
    Dropped,
    Lost,
    /// Delivered with a change.
    Corrupted,
    /// To an address that the NAT has given up.
    Unbound,
    Delivered(Duration),
}

impl Datagram {
    /// When the given side saw it; `None` when it did not come through as it was sent.
    pub(crate) fn seen_by(&self, side: Side) -> Option<Duration> {
        match self.fate {
            _ if self.from == side => Some(self.sent),
            Fate::Delivered(at) => Some(at),
            _ => None,
        }
    }
}
