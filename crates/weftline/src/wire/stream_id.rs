//! Stream identifiers (RFC 9000, section 2.1).

use core::fmt;

/// Which end of a connection: also who opened a stream.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The end that opened the connection.
    Client,
    /// The end that accepted it.
    Server,
}

impl Side {
    /// The other end.
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Whether a stream carries data both ways or from its opener only.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dir {
    /// Bidirectional.
    Bi,
    /// Unidirectional.
    Uni,
}

/// A stream identifier: the opener in bit 0, the direction in bit 1, a counter above.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

impl StreamId {
    /// The stream number `index` (0 for the first) of `dir` that `side` opens.
    pub const fn new(side: Side, dir: Dir, index: u64) -> Self {
        Self(index << 2 | (dir as u64) << 1 | side as u64)
    }

    /// The identifier with this value on the wire.
    pub const fn from_u64(value: u64) -> Self {
        Self(value)
    }

    /// The value on the wire.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Who opens it.
    pub const fn initiator(self) -> Side {
        if self.0 & 1 == 0 {
            Side::Client
        } else {
            Side::Server
        }
    }

    /// Its direction.
    pub const fn dir(self) -> Dir {
        if self.0 & 2 == 0 { Dir::Bi } else { Dir::Uni }
    }

    /// How many streams of its kind come before it.
    pub const fn index(self) -> u64 {
        self.0 >> 2
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9000_table_1() {
        let kinds = [
            (0, Side::Client, Dir::Bi),
            (1, Side::Server, Dir::Bi),
            (2, Side::Client, Dir::Uni),
            (3, Side::Server, Dir::Uni),
        ];
        for (bits, side, dir) in kinds {
            let id = StreamId::new(side, dir, 5);
            assert_eq!(id.as_u64(), 20 | bits);
            assert_eq!((id.initiator(), id.dir(), id.index()), (side, dir, 5));
        }
    }
}
