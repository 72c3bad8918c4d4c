//! The instructions on the encoder and decoder streams (RFC 9204, sections 4.3 and 4.4), as far as
//! an end has to understand them that neither keeps a dynamic table nor uses the peer's.

use crate::wire::h3::error_code;

/// An instruction is not legal. The connection closes with [`code`](Self::code).
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstructionError {
    /// On the encoder stream.
    #[error("the QPACK encoder uses a dynamic table of no capacity")]
    EncoderStream,
    /// On the decoder stream.
    #[error("the QPACK decoder acknowledges what was never sent, or sends no instruction")]
    DecoderStream,
}

impl InstructionError {
    /// The error code for the connection.
    pub const fn code(self) -> u64 {
        match self {
            Self::EncoderStream => error_code::QPACK_ENCODER_STREAM_ERROR,
            Self::DecoderStream => error_code::QPACK_DECODER_STREAM_ERROR,
        }
    }
}

/// Takes a piece of the peer's encoder stream.
///
/// Our table has no capacity, so an insertion can never fit, a duplicate never exist, and the only
/// instruction left is Set Dynamic Table Capacity to 0. That is one byte, so there is nothing to
/// keep between pieces.
pub fn check_encoder_stream(piece: &[u8]) -> Result<(), InstructionError> {
    if piece.iter().all(|&byte| byte == SET_CAPACITY_0) {
        Ok(())
    } else {
        Err(InstructionError::EncoderStream)
    }
}

/// Reads the peer's decoder stream.
///
/// We never insert anything, so there is nothing to acknowledge: Section Acknowledgment and Insert
/// Count Increment are errors. Stream Cancellation is legal, and means nothing to us.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct DecoderStream {
    state: State,
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between two instructions.
    #[default]
    Between,
    /// In the stream ID of a cancellation, this many bytes behind its first.
    StreamId { taken: u8 },
}

impl DecoderStream {
    /// At the beginning of the stream, behind its type.
    pub const fn new() -> Self {
        Self {
            state: State::Between,
        }
    }

    /// Takes the next piece of the stream.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), InstructionError> {
        for &byte in piece {
            self.state = match self.state {
                State::Between if byte & INSTRUCTION != STREAM_CANCELLATION => {
                    return Err(InstructionError::DecoderStream);
                }
                State::Between if byte & STREAM_ID == STREAM_ID => State::StreamId { taken: 0 },
                State::Between => State::Between,
                // An integer of 62 bits takes at most nine more bytes.
                State::StreamId { taken: 8 } if byte & CONTINUES != 0 => {
                    return Err(InstructionError::DecoderStream);
                }
                State::StreamId { taken } if byte & CONTINUES != 0 => {
                    State::StreamId { taken: taken + 1 }
                }
                State::StreamId { .. } => State::Between,
            };
        }
        Ok(())
    }
}

const SET_CAPACITY_0: u8 = 0b0010_0000;

const INSTRUCTION: u8 = 0b1100_0000;
const STREAM_CANCELLATION: u8 = 0b0100_0000;
const STREAM_ID: u8 = 0b0011_1111;
const CONTINUES: u8 = 0b1000_0000;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::wire::{qpack::prefix, varint};

    #[test]
    fn encoder_stream() {
        assert_eq!(check_encoder_stream(&[]), Ok(()));
        assert_eq!(check_encoder_stream(&[0x20, 0x20]), Ok(()));
        // RFC 9204, appendix B: capacity, insertions with a name reference, with a literal name,
        // a duplicate; and the smallest capacity there is.
        let instructions: [&[u8]; 6] = [
            &[0x3f, 0xbd, 0x01],
            &[0xc0, 0x0f],
            &[0x4a],
            &[0x02],
            &[0x81, 0x0d],
            &[0x21],
        ];
        for instruction in instructions {
            let error = check_encoder_stream(instruction).unwrap_err();
            assert_eq!(error.code(), 0x201);
        }
    }

    #[test]
    fn decoder_stream() {
        // RFC 9204, appendix B: a section acknowledgment, an increment. Neither is ours.
        for byte in [0x84, 0x01, 0x00, 0xff, 0x3f] {
            let error = DecoderStream::new().feed(&[byte]).unwrap_err();
            assert_eq!(error.code(), 0x202);
        }
        let mut stream = DecoderStream::new();
        assert_eq!(stream.feed(&[0x48, 0x40, 0x48]), Ok(()));
        assert_eq!(stream.feed(&[0x84]), Err(InstructionError::DecoderStream));
    }

    #[test]
    fn cancellations_in_pieces() {
        let mut bytes = Vec::new();
        for id in [0, 62, 63, 64, 1 << 20, varint::MAX] {
            prefix::encode(id, 6, STREAM_CANCELLATION, &mut bytes);
        }
        let len = bytes.len();
        for piece in 1..=len {
            let mut stream = DecoderStream::new();
            for bytes in bytes.chunks(piece) {
                assert_eq!(stream.feed(bytes), Ok(()));
            }
            assert_eq!(stream, DecoderStream::new());
            assert!(stream.feed(&[0x80]).is_err());
        }
    }

    #[test]
    fn an_endless_stream_id_is_an_error() {
        let mut stream = DecoderStream::new();
        assert_eq!(stream.feed(&[0x7f]), Ok(()));
        for _ in 0..8 {
            assert_eq!(stream.feed(&[0x80]), Ok(()));
        }
        let mut longest = stream;
        assert_eq!(longest.feed(&[0x00, 0x40]), Ok(()));
        assert_eq!(stream.feed(&[0x80]), Err(InstructionError::DecoderStream));
    }
}
