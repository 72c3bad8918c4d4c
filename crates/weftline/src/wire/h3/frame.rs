//! HTTP/3 frames (RFC 9114, section 7). A frame is a type, a length and a payload; what the payload
//! of HEADERS means is [`qpack`](crate::wire::qpack)'s business, that of SETTINGS
//! [`settings`](super::settings)'.

use super::{Varints, error_code, partial::PartialPair};
use crate::wire::{Reader, Side, Truncated, varint};

/// Content of a message.
pub const DATA: u64 = 0x00;
/// A field section.
pub const HEADERS: u64 = 0x01;
/// Gives up a push.
pub const CANCEL_PUSH: u64 = 0x03;
/// Settings of the connection.
pub const SETTINGS: u64 = 0x04;
/// Announces a push.
pub const PUSH_PROMISE: u64 = 0x05;
/// Begins a graceful shutdown.
pub const GOAWAY: u64 = 0x07;
/// Allows pushes.
pub const MAX_PUSH_ID: u64 = 0x0d;
/// Changes the priority of a request (RFC 9218, section 7.2).
pub const PRIORITY_UPDATE_REQUEST: u64 = 0xf0700;
/// Changes the priority of a push (RFC 9218, section 7.2).
pub const PRIORITY_UPDATE_PUSH: u64 = 0xf0701;

/// The type and length that begin a frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The type.
    pub ty: u64,
    /// Length of the payload, in bytes.
    pub len: u64,
}

impl FrameHeader {
    /// Takes a header from the front of `r`; nothing when the input ends inside it.
    pub fn parse(r: &mut Reader<'_>) -> Result<Self, Truncated> {
        let mut ahead = *r;
        let ty = ahead.varint()?;
        let len = ahead.varint()?;
        *r = ahead;
        Ok(Self { ty, len })
    }

    /// The bytes of the header.
    pub fn encode(self) -> Varints {
        Varints::new([self.ty, self.len])
    }

    /// Bytes that [`encode`](Self::encode) gives.
    pub const fn encoded_len(self) -> usize {
        varint::len(self.ty) + varint::len(self.len)
    }
}

/// Reads frame headers from a stream whose bytes arrive in pieces. The payload between two headers
/// is the caller's to take.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameReader(PartialPair);

impl FrameReader {
    /// At the beginning of a frame.
    pub const fn new() -> Self {
        Self(PartialPair::new())
    }

    /// Inside the first frame, whose type was read already to tell what stream it is.
    pub const fn after_type(ty: u64) -> Self {
        Self(PartialPair::after_first(ty))
    }

    /// Takes bytes from the front of `input` until a header is complete, and gives it. `None` when
    /// all of `input` was taken and more is needed.
    pub fn feed(&mut self, input: &mut &[u8]) -> Option<FrameHeader> {
        let (ty, len) = self.0.feed(input)?;
        Some(FrameHeader { ty, len })
    }

    /// Bytes that the header takes at least, beyond those read: who reads no more than this never
    /// reads into the payload.
    pub const fn missing(&self) -> usize {
        self.0.missing()
    }

    /// Whether no header was begun: where a stream may end (RFC 9114, section 7.1).
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The kinds of stream that carry frames.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FrameStream {
    /// A control stream.
    Control,
    /// A client-initiated bidirectional stream with a request and its response.
    Request,
    /// A push stream.
    Push,
}

/// What to do with a frame of some type on some stream.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It has a meaning here.
    Allowed,
    /// The type is unknown or reserved: skip the payload (RFC 9114, section 9).
    Unknown,
    /// It may not come here: the connection closes with H3_FRAME_UNEXPECTED.
    Unexpected,
}

/// Whether `sender` may send a frame of type `ty` on this kind of stream (RFC 9114, section 7,
/// Table 1; RFC 9218, section 7.2). Which frame comes first or after which is not looked at.
pub fn placement(ty: u64, stream: FrameStream, sender: Side) -> Placement {
    if is_http2_only(ty) {
        return Placement::Unexpected;
    }
    let Some(row) = PLACES.iter().find(|row| row.ty == ty) else {
        return Placement::Unknown;
    };
    let senders = match stream {
        FrameStream::Control => row.control,
        FrameStream::Request => row.request,
        FrameStream::Push => row.push,
    };
    let allowed = match senders {
        Senders::Nobody => false,
        Senders::Only(side) => side == sender,
        Senders::Both => true,
    };
    if allowed {
        Placement::Allowed
    } else {
        Placement::Unexpected
    }
}

/// Whether `ty` is a frame of HTTP/2 without a counterpart in HTTP/3, which must not come at all
/// (RFC 9114, section 7.2.8).
pub const fn is_http2_only(ty: u64) -> bool {
    matches!(ty, 0x02 | 0x06 | 0x08 | 0x09)
}

/// A payload is not what its frame's type demands. The connection closes with [`Self::CODE`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame's payload is too short or too long for its type")]
pub struct MalformedFrame;

impl MalformedFrame {
    /// H3_FRAME_ERROR.
    pub const CODE: u64 = error_code::H3_FRAME_ERROR;
}

/// The longest payload of a frame that holds one identifier: CANCEL_PUSH, GOAWAY, MAX_PUSH_ID.
pub const MAX_ID_PAYLOAD: u64 = 8;

/// The identifier that is all of the payload of CANCEL_PUSH, GOAWAY and MAX_PUSH_ID.
pub fn parse_id(payload: &[u8]) -> Result<u64, MalformedFrame> {
    match varint::decode(payload) {
        Some((id, [])) => Ok(id),
        _ => Err(MalformedFrame),
    }
}

/// A whole frame whose payload is one identifier: CANCEL_PUSH, GOAWAY, MAX_PUSH_ID.
pub fn encode_id(ty: u64, id: u64) -> Varints {
    Varints::new([ty, varint::len(id) as u64, id])
}

/// The payload of a PRIORITY_UPDATE frame: which request or push, and the new value of its
/// `priority` field (RFC 9218, section 7.2).
pub fn parse_priority_update(payload: &[u8]) -> Result<(u64, &[u8]), MalformedFrame> {
    varint::decode(payload).ok_or(MalformedFrame)
}

#[derive(Copy, Clone)]
enum Senders {
    Nobody,
    Only(Side),
    Both,
}

struct Places {
    ty: u64,
    control: Senders,
    request: Senders,
    push: Senders,
}

impl Places {
    const fn new(ty: u64, control: Senders, request: Senders, push: Senders) -> Self {
        Self {
            ty,
            control,
            request,
            push,
        }
    }
}

const PLACES: [Places; 9] = {
    use Senders::{Both, Nobody, Only};
    const CLIENT: Senders = Only(Side::Client);
    const SERVER: Senders = Only(Side::Server);
    [
        Places::new(DATA, Nobody, Both, SERVER),
        Places::new(HEADERS, Nobody, Both, SERVER),
        Places::new(CANCEL_PUSH, Both, Nobody, Nobody),
        Places::new(SETTINGS, Both, Nobody, Nobody),
        Places::new(PUSH_PROMISE, Nobody, SERVER, Nobody),
        Places::new(GOAWAY, Both, Nobody, Nobody),
        Places::new(MAX_PUSH_ID, CLIENT, Nobody, Nobody),
        Places::new(PRIORITY_UPDATE_REQUEST, CLIENT, Nobody, Nobody),
        Places::new(PRIORITY_UPDATE_PUSH, CLIENT, Nobody, Nobody),
    ]
};

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn headers() {
        let vectors: [(&[u8], u64, u64); 4] = [
            (&[0x01, 0x40, 0x49], HEADERS, 73),
            (&[0x00, 0x0a], DATA, 10),
            (&[0x80, 0x0f, 0x07, 0x00, 0x06], PRIORITY_UPDATE_REQUEST, 6),
            (&[0x04, 0x25], SETTINGS, 37),
        ];
        for (bytes, ty, len) in vectors {
            let header = FrameHeader { ty, len };
            assert_eq!(&*header.encode(), bytes);
            assert_eq!(header.encoded_len(), bytes.len());
            let mut r = Reader::new(bytes);
            assert_eq!(FrameHeader::parse(&mut r), Ok(header));
            assert!(r.is_empty());
            for end in 0..bytes.len() {
                let mut r = Reader::new(&bytes[..end]);
                assert_eq!(FrameHeader::parse(&mut r), Err(Truncated));
                assert_eq!(r.remaining(), end);
            }
        }
    }

    #[test]
    fn headers_in_pieces() {
        let bytes = [0x80, 0x0f, 0x07, 0x00, 0x40, 0x06, 0x00, 0x00];
        for split in 0..bytes.len() {
            let mut reader = FrameReader::new();
            let mut headers = Vec::new();
            for mut input in [&bytes[..split], &bytes[split..]] {
                while let Some(header) = reader.feed(&mut input) {
                    headers.push((header.ty, header.len));
                }
                assert!(input.is_empty());
            }
            assert_eq!(headers, [(PRIORITY_UPDATE_REQUEST, 6), (DATA, 0)]);
            assert!(reader.is_empty());
        }
        let mut reader = FrameReader::after_type(HEADERS);
        assert!(!reader.is_empty());
        let header = FrameHeader {
            ty: HEADERS,
            len: 3,
        };
        assert_eq!(reader.feed(&mut &[3][..]), Some(header));
    }

    #[test]
    fn placements() {
        use FrameStream::{Control, Push, Request};
        use Placement::{Allowed, Unexpected, Unknown};
        // RFC 9114, Table 1, with who may send: control, request and push from a client, then from
        // a server.
        let a = Allowed;
        let x = Unexpected;
        let u = Unknown;
        let table = [
            (DATA, [x, a, x], [x, a, a]),
            (HEADERS, [x, a, x], [x, a, a]),
            (CANCEL_PUSH, [a, x, x], [a, x, x]),
            (SETTINGS, [a, x, x], [a, x, x]),
            (PUSH_PROMISE, [x, x, x], [x, a, x]),
            (GOAWAY, [a, x, x], [a, x, x]),
            (MAX_PUSH_ID, [a, x, x], [x, x, x]),
            (PRIORITY_UPDATE_REQUEST, [a, x, x], [x, x, x]),
            (PRIORITY_UPDATE_PUSH, [a, x, x], [x, x, x]),
            (0x02, [x, x, x], [x, x, x]),
            (0x06, [x, x, x], [x, x, x]),
            (0x08, [x, x, x], [x, x, x]),
            (0x09, [x, x, x], [x, x, x]),
            (0x21, [u, u, u], [u, u, u]),
            (0x4d44, [u, u, u], [u, u, u]),
            (varint::MAX, [u, u, u], [u, u, u]),
        ];
        for (ty, client, server) in table {
            for (at, stream) in [Control, Request, Push].into_iter().enumerate() {
                assert_eq!(placement(ty, stream, Side::Client), client[at], "{ty:#x}");
                assert_eq!(placement(ty, stream, Side::Server), server[at], "{ty:#x}");
            }
        }
    }

    #[test]
    fn identifiers() {
        assert_eq!(&*encode_id(GOAWAY, 4), [7, 1, 4]);
        assert_eq!(&*encode_id(MAX_PUSH_ID, 64), [0x0d, 2, 0x40, 0x40]);
        let last = encode_id(GOAWAY, varint::MAX - 3);
        assert_eq!(last.len() as u64, 2 + MAX_ID_PAYLOAD);
        assert_eq!(parse_id(&last[2..]), Ok(varint::MAX - 3));
        for end in 0..8 {
            assert_eq!(parse_id(&last[2..2 + end]), Err(MalformedFrame));
        }
        assert_eq!(parse_id(&[4, 0]), Err(MalformedFrame));
        assert_eq!(parse_id(&[0x40, 4]), Ok(4));
    }

    #[test]
    fn priority_updates() {
        assert_eq!(parse_priority_update(b"\0u=1,i"), Ok((0, &b"u=1,i"[..])));
        assert_eq!(parse_priority_update(&[4]), Ok((4, &[][..])));
        assert_eq!(parse_priority_update(&[]), Err(MalformedFrame));
        assert_eq!(parse_priority_update(&[0x40]), Err(MalformedFrame));
    }
}
