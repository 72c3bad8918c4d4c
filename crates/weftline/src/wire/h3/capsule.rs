//! Capsules (RFC 9297, section 3): typed values in the byte stream of a request.
//!
//! What a type means is the caller's business. Capsules do not align with DATA frames, so
//! [`CapsuleReader`] takes the stream in pieces of any length.

use alloc::vec::Vec;
use core::{mem, str};

use super::{Varints, error_code, partial::PartialPair};
use crate::wire::varint;

/// A capsule that holds an HTTP datagram (RFC 9297, section 3.5).
pub const DATAGRAM: u64 = 0x00;

/// The longest message, in bytes, in the value that [`encode_close`] makes.
pub const MAX_CLOSE_MESSAGE: usize = 1024;

/// Whether `ty` is one of the types reserved to exercise that unknown ones are skipped
/// (RFC 9297, section 5.4): 0x29 * N + 0x17.
pub const fn is_grease(ty: u64) -> bool {
    ty >= 0x17 && (ty - 0x17).is_multiple_of(0x29)
}

/// The type and length that begin a capsule.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CapsuleHeader {
    /// The type.
    pub ty: u64,
    /// Length of the value, in bytes.
    pub len: u64,
}

impl CapsuleHeader {
    /// The bytes of the header.
    pub fn encode(self) -> Varints {
        Varints::new([self.ty, self.len])
    }

    /// Bytes that [`encode`](Self::encode) gives.
    pub const fn encoded_len(self) -> usize {
        varint::len(self.ty) + varint::len(self.len)
    }
}

/// Reads capsules from a stream whose bytes arrive in pieces.
///
/// A capsule is skipped, and nothing of its value held, unless [`hold`](Self::hold) asks for it.
/// That keeps memory bounded; the time a peer may waste with capsules nobody wants is for the
/// caller to bound, by the lengths in their headers.
///
/// ```
/// use weftline::wire::h3::{CapsuleReader, CapsuleStep};
///
/// let mut reader = CapsuleReader::new();
/// let mut values = Vec::new();
/// for piece in [&b"\x17\x02zz\x05\x03a"[..], b"bc"] {
///     let mut input = piece;
///     loop {
///         match reader.feed(&mut input) {
///             CapsuleStep::NeedMore => break,
///             CapsuleStep::Begin(header) if header.ty == 5 => reader.hold(1024).unwrap(),
///             CapsuleStep::Begin(_) => {}
///             CapsuleStep::Value { ty, value } => values.push((ty, value.to_vec())),
///         }
///     }
/// }
/// assert_eq!(values, [(5, b"abc".to_vec())]);
/// assert!(reader.is_between());
/// ```
#[derive(Clone, Debug, Default)]
pub struct CapsuleReader {
    state: State,
    /// The part of a held value that came in earlier pieces, or the value last given.
    held: Vec<u8>,
}

#[derive(Copy, Clone, Debug)]
enum State {
    Header(PartialPair),
    /// The header was given, and the caller may still ask for the value.
    Begun(CapsuleHeader),
    Hold {
        ty: u64,
        missing: usize,
    },
    Skip {
        missing: u64,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Header(PartialPair::new())
    }
}

/// What [`CapsuleReader::feed`] came to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CapsuleStep<'a> {
    /// All input was taken.
    NeedMore,
    /// A capsule begins. Its value is skipped unless [`CapsuleReader::hold`] is called now.
    Begin(CapsuleHeader),
    /// The value of a capsule that was asked for is complete.
    Value {
        /// The type.
        ty: u64,
        /// The value.
        value: &'a [u8],
    },
}

impl CapsuleReader {
    /// At the beginning of a capsule.
    pub const fn new() -> Self {
        Self {
            state: State::Header(PartialPair::new()),
            held: Vec::new(),
        }
    }

    /// Takes bytes from the front of `input` as far as the next step. Call until it gives
    /// [`CapsuleStep::NeedMore`].
    pub fn feed<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> CapsuleStep<'a> {
        loop {
            match &mut self.state {
                State::Header(pair) => {
                    let Some((ty, len)) = pair.feed(input) else {
                        return CapsuleStep::NeedMore;
                    };
                    let header = CapsuleHeader { ty, len };
                    self.state = State::Begun(header);
                    return CapsuleStep::Begin(header);
                }
                State::Begun(header) => {
                    self.state = State::Skip {
                        missing: header.len,
                    };
                }
                State::Skip { missing } => {
                    let take =
                        usize::try_from(*missing).map_or(input.len(), |n| n.min(input.len()));
                    *input = input.get(take..).unwrap_or_default();
                    *missing -= take as u64;
                    if *missing > 0 {
                        return CapsuleStep::NeedMore;
                    }
                    self.state = State::default();
                }
                State::Hold { ty, missing } => {
                    let (ty, take) = (*ty, input.len().min(*missing));
                    let (piece, rest) = input.split_at_checked(take).unwrap_or_default();
                    *input = rest;
                    *missing -= take;
                    if *missing > 0 {
                        self.held.extend_from_slice(piece);
                        return CapsuleStep::NeedMore;
                    }
                    self.state = State::default();
                    if self.held.is_empty() {
                        return CapsuleStep::Value { ty, value: piece };
                    }
                    self.held.extend_from_slice(piece);
                    return CapsuleStep::Value {
                        ty,
                        value: &self.held,
                    };
                }
            }
        }
    }

    /// Asks for the value of the capsule that just began, when it is at most `max` bytes long. Has
    /// no effect at any other time.
    pub fn hold(&mut self, max: usize) -> Result<(), CapsuleTooLong> {
        let State::Begun(CapsuleHeader { ty, len }) = self.state else {
            return Ok(());
        };
        let missing = usize::try_from(len)
            .ok()
            .filter(|&len| len <= max)
            .ok_or(CapsuleTooLong)?;
        self.held.clear();
        self.state = State::Hold { ty, missing };
        Ok(())
    }

    /// Whether no capsule was begun: where a stream may end (RFC 9297, section 3.3).
    pub const fn is_between(&self) -> bool {
        match &self.state {
            State::Header(pair) => pair.is_empty(),
            State::Begun(header) => header.len == 0,
            State::Hold { .. } | State::Skip { .. } => false,
        }
    }

    /// Frees the memory of the last value.
    pub fn shrink(&mut self) {
        if !matches!(self.state, State::Hold { .. }) {
            mem::take(&mut self.held);
        }
    }
}

/// A capsule's value is longer than the caller wants to hold.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a capsule's value is too long to be held")]
pub struct CapsuleTooLong;

/// The value of a capsule of a known type is malformed, and so is the message it is part of
/// (RFC 9297, section 3.3): its stream is reset with [`Self::CODE`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value of a capsule is malformed")]
pub struct MalformedCapsule;

impl MalformedCapsule {
    /// H3_MESSAGE_ERROR.
    pub const CODE: u64 = error_code::H3_MESSAGE_ERROR;
}

/// Appends a whole capsule to `out`.
pub fn encode(ty: u64, value: &[u8], out: &mut Vec<u8>) {
    let len = value.len() as u64;
    out.extend_from_slice(&CapsuleHeader { ty, len }.encode());
    out.extend_from_slice(value);
}

/// A whole capsule whose value is one varint.
pub fn encode_varint(ty: u64, value: u64) -> Varints {
    Varints::new([ty, varint::len(value) as u64, value])
}

/// A value that is one varint and nothing else.
pub fn decode_varint(value: &[u8]) -> Result<u64, MalformedCapsule> {
    match varint::decode(value) {
        Some((number, [])) => Ok(number),
        _ => Err(MalformedCapsule),
    }
}

/// Appends a whole capsule to `out` whose value is a 32-bit code and a message. A message past
/// [`MAX_CLOSE_MESSAGE`] is cut between two characters.
pub fn encode_close(ty: u64, code: u32, message: &str, out: &mut Vec<u8>) {
    let message = truncate(message, MAX_CLOSE_MESSAGE);
    let len = 4 + message.len() as u64;
    out.extend_from_slice(&CapsuleHeader { ty, len }.encode());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(message.as_bytes());
}

/// A value that is a 32-bit code and a message of at most [`MAX_CLOSE_MESSAGE`] bytes of UTF-8.
pub fn decode_close(value: &[u8]) -> Result<(u32, &str), MalformedCapsule> {
    let (code, message) = value.split_first_chunk().ok_or(MalformedCapsule)?;
    if message.len() > MAX_CLOSE_MESSAGE {
        return Err(MalformedCapsule);
    }
    let message = str::from_utf8(message).map_err(|_| MalformedCapsule)?;
    Ok((u32::from_be_bytes(*code), message))
}

fn truncate(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
