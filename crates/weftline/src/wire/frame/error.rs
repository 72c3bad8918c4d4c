//! What can be wrong with a frame.

use core::fmt;

use crate::wire::Truncated;

/// A frame that cannot be read.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame of type {frame_type:#x}: {kind}")]
pub struct FrameError {
    /// The type of the frame; 0 when the packet ends inside it.
    pub frame_type: u64,
    /// What is wrong.
    pub kind: FrameErrorKind,
}

impl FrameError {
    /// Whether the connection closes with PROTOCOL_VIOLATION; else with FRAME_ENCODING_ERROR.
    pub const fn is_protocol_violation(&self) -> bool {
        matches!(self.kind, FrameErrorKind::NonMinimalType)
    }
}

/// What is wrong with a frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FrameErrorKind {
    /// The packet ends inside the frame.
    Truncated,
    /// No frame type we know.
    UnknownType,
    /// The type is not encoded in as few bytes as possible (RFC 9000, section 12.4).
    NonMinimalType,
    /// An ACK acknowledges numbers below zero (RFC 9000, section 19.3.1).
    AckBelowZero,
    /// A NEW_TOKEN without a token (RFC 9000, section 19.7).
    EmptyToken,
    /// Data past the largest offset (RFC 9000, sections 19.6 and 19.8).
    OffsetTooLarge,
    /// A number of streams above 2^60 (RFC 9000, sections 19.11 and 19.14).
    TooManyStreams,
    /// A connection ID of other than 1 to 20 bytes (RFC 9000, section 19.15).
    CidLength,
    /// NEW_CONNECTION_ID retires IDs newer than its own (RFC 9000, section 19.15).
    RetirePriorTo,
    /// RESET_STREAM_AT promises more than the stream has.
    ReliableSize,
}

impl FrameErrorKind {
    /// It in words, to put into a CONNECTION_CLOSE.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "the packet ends inside a frame",
            Self::UnknownType => "unknown frame type",
            Self::NonMinimalType => "frame type not in its shortest form",
            Self::AckBelowZero => "ACK below packet number zero",
            Self::EmptyToken => "NEW_TOKEN without a token",
            Self::OffsetTooLarge => "data past the largest offset",
            Self::TooManyStreams => "more than 2^60 streams",
            Self::CidLength => "connection ID of a wrong length",
            Self::ReliableSize => "RESET_STREAM_AT promises more than the stream has",
            Self::RetirePriorTo => "NEW_CONNECTION_ID retires newer IDs than its own",
        }
    }
}

impl fmt::Display for FrameErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl From<Truncated> for FrameErrorKind {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}
