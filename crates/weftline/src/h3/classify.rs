//! What a peer's stream is: told by its first bytes.

use super::Markers;
use crate::wire::{
    Dir, Side, StreamId,
    h3::{PartialVarint, stream_type},
};

/// What a peer's stream turned out to be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The control stream.
    Control,
    /// A push stream.
    Push,
    /// The QPACK encoder stream.
    QpackEncoder,
    /// The QPACK decoder stream.
    QpackDecoder,
    /// A request, whose first frame has this type.
    Request { frame: u64 },
    /// A stream of the upper layer's: it began with a marker, and a session behind it, in this many
    /// bytes.
    Foreign { session: u64, header_len: u64 },
    /// A unidirectional stream of a type unknown here.
    Unknown,
    /// A bidirectional stream from a server that no extension accounts for.
    Illegal,
}

/// Reads the first bytes of a stream, never one more than it needs, and holds at most 7 of them.
#[derive(Copy, Clone, Debug)]
pub(super) struct Classifier {
    id: StreamId,
    marker: Option<u64>,
    /// The marker was read, the session comes.
    marked: bool,
    next: PartialVarint,
    read: u64,
}

impl Classifier {
    pub(super) fn new(id: StreamId, markers: Option<Markers>) -> Self {
        let marker = markers.map(|markers| match id.dir() {
            Dir::Uni => markers.uni,
            Dir::Bi => markers.bidi,
        });
        Self {
            id,
            marker,
            marked: false,
            next: PartialVarint::new(),
            read: 0,
        }
    }

    /// Bytes to read next: no more, as what follows is not ours.
    pub(super) fn wanted(&self) -> usize {
        self.next.missing()
    }

    /// Takes no more bytes than are wanted; `None` while more are.
    pub(super) fn feed(&mut self, mut input: &[u8]) -> Option<Kind> {
        self.read += input.len() as u64;
        loop {
            let value = self.next.feed(&mut input)?;
            if self.marked {
                return Some(Kind::Foreign {
                    session: value,
                    header_len: self.read,
                });
            }
            if self.marker != Some(value) {
                return Some(self.kind(value));
            }
            self.marked = true;
        }
    }

    fn kind(&self, first: u64) -> Kind {
        match (self.id.dir(), self.id.initiator()) {
            (Dir::Bi, Side::Client) => Kind::Request { frame: first },
            (Dir::Bi, Side::Server) => Kind::Illegal,
            (Dir::Uni, _) => match first {
                stream_type::CONTROL => Kind::Control,
                stream_type::PUSH => Kind::Push,
                stream_type::QPACK_ENCODER => Kind::QpackEncoder,
                stream_type::QPACK_DECODER => Kind::QpackDecoder,
                _ => Kind::Unknown,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKERS: Markers = Markers {
        uni: 0x154,
        bidi: 0x141,
    };

    const fn foreign(session: u64, header_len: u64) -> Kind {
        Kind::Foreign {
            session,
            header_len,
        }
    }

    /// Reads as much as wanted, again and again; gives the kind and how many bytes were read.
    fn classify(id: StreamId, markers: Option<Markers>, bytes: &[u8]) -> Option<(Kind, usize)> {
        let mut classifier = Classifier::new(id, markers);
        let mut at = 0;
        loop {
            let piece = bytes.get(at..at + classifier.wanted())?;
            at += piece.len();
            if let Some(kind) = classifier.feed(piece) {
                return Some((kind, at));
            }
        }
    }

    #[test]
    fn kinds() {
        let client_bi = StreamId::new(Side::Client, Dir::Bi, 1);
        let server_bi = StreamId::new(Side::Server, Dir::Bi, 1);
        let uni = StreamId::new(Side::Client, Dir::Uni, 1);
        let rest = [0xaa; 4];
        let table: [(StreamId, &[u8], Kind); 13] = [
            (uni, &[0], Kind::Control),
            (uni, &[0x40, 0], Kind::Control),
            (uni, &[1], Kind::Push),
            (uni, &[2], Kind::QpackEncoder),
            (uni, &[3], Kind::QpackDecoder),
            (uni, &[0x21], Kind::Unknown),
            (uni, &[0x41, 0x54, 4], foreign(4, 3)),
            // The marker of the other direction means nothing.
            (uni, &[0x41, 0x41], Kind::Unknown),
            (client_bi, &[1], Kind::Request { frame: 1 }),
            (client_bi, &[0x41, 0x54], Kind::Request { frame: 0x154 }),
            (
                client_bi,
                &[0x80, 0, 1, 0x41, 0x80, 0, 1, 0],
                foreign(256, 8),
            ),
            (server_bi, &[0x41, 0x41, 0], foreign(0, 3)),
            (server_bi, &[1], Kind::Illegal),
        ];
        for (id, bytes, kind) in table {
            let all = [bytes, &rest].concat();
            let read = classify(id, Some(MARKERS), &all);
            assert_eq!(read, Some((kind, bytes.len())), "{bytes:02x?}");
            for end in 0..bytes.len() {
                assert_eq!(classify(id, Some(MARKERS), &bytes[..end]), None);
            }
        }
    }

    #[test]
    fn without_markers_nothing_is_foreign() {
        let uni = StreamId::new(Side::Server, Dir::Uni, 0);
        let bytes = [0x41, 0x54, 4];
        assert_eq!(classify(uni, None, &bytes), Some((Kind::Unknown, 2)));
        let bi = StreamId::new(Side::Client, Dir::Bi, 0);
        let bytes = [0x41, 0x41, 4];
        let kind = Kind::Request { frame: 0x141 };
        assert_eq!(classify(bi, None, &bytes), Some((kind, 2)));
    }
}
