//! HTTP datagrams in QUIC DATAGRAM frames (RFC 9297, section 2.1).

use super::{Varints, error_code};
use crate::wire::{StreamId, varint};

/// The largest quarter stream ID: that of the last client-initiated bidirectional stream.
pub const MAX_QUARTER_STREAM_ID: u64 = (1 << 60) - 1;

/// A DATAGRAM frame is no HTTP datagram. The connection closes with [`Self::CODE`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// There is no room for the quarter stream ID.
    #[error("a datagram without a quarter stream ID")]
    Truncated,
    /// The quarter stream ID is past [`MAX_QUARTER_STREAM_ID`].
    #[error("a datagram for a stream that cannot exist")]
    NoSuchStream,
}

impl DatagramError {
    /// H3_DATAGRAM_ERROR, whichever it is.
    pub const CODE: u64 = error_code::H3_DATAGRAM_ERROR;
}

/// Takes the payload of a DATAGRAM frame apart: the request stream it belongs to, and the rest.
pub fn decode(payload: &[u8]) -> Result<(StreamId, &[u8]), DatagramError> {
    let (quarter, rest) = varint::decode(payload).ok_or(DatagramError::Truncated)?;
    if quarter > MAX_QUARTER_STREAM_ID {
        return Err(DatagramError::NoSuchStream);
    }
    Ok((StreamId::from_u64(quarter << 2), rest))
}

/// What precedes a datagram of `stream`, which must be a client-initiated bidirectional one: its
/// quarter stream ID.
pub fn prefix(stream: StreamId) -> Varints {
    Varints::new([stream.as_u64() >> 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors() {
        let (stream, payload) = decode(&[0x01, 0x68, 0x69]).unwrap();
        assert_eq!((stream.as_u64(), payload), (4, &b"hi"[..]));
        assert_eq!(&*prefix(StreamId::from_u64(4)), [1]);
        assert_eq!(&*prefix(StreamId::from_u64(0)), [0]);
        assert_eq!(decode(&[0]), Ok((StreamId::from_u64(0), &[][..])));
    }

    #[test]
    fn the_last_stream() {
        let last = StreamId::from_u64(MAX_QUARTER_STREAM_ID * 4);
        let bytes = prefix(last);
        assert_eq!(decode(&bytes), Ok((last, &[][..])));
        let past = Varints::new([MAX_QUARTER_STREAM_ID + 1]);
        assert_eq!(decode(&past), Err(DatagramError::NoSuchStream));
    }

    #[test]
    fn truncated_at_every_length() {
        let bytes = prefix(StreamId::from_u64(MAX_QUARTER_STREAM_ID * 4));
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), Err(DatagramError::Truncated));
        }
    }
}
