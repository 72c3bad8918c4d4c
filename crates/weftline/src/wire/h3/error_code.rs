//! Error codes of HTTP/3 (RFC 9114, section 8.1), QPACK (RFC 9204, section 6) and HTTP datagrams
//! (RFC 9297, section 5.2).

use super::is_grease;

/// An HTTP datagram or the Capsule Protocol is malformed.
pub const H3_DATAGRAM_ERROR: u64 = 0x33;
/// Nothing is wrong: the connection or stream is only being closed.
pub const H3_NO_ERROR: u64 = 0x100;
/// The peer broke the protocol in a way no other code tells.
pub const H3_GENERAL_PROTOCOL_ERROR: u64 = 0x101;
/// This end failed.
pub const H3_INTERNAL_ERROR: u64 = 0x102;
/// A stream was created that is not accepted.
pub const H3_STREAM_CREATION_ERROR: u64 = 0x103;
/// A stream that the connection needs was closed or reset.
pub const H3_CLOSED_CRITICAL_STREAM: u64 = 0x104;
/// A frame came where it is not allowed.
pub const H3_FRAME_UNEXPECTED: u64 = 0x105;
/// A frame has a bad layout or size.
pub const H3_FRAME_ERROR: u64 = 0x106;
/// The peer causes too much load.
pub const H3_EXCESSIVE_LOAD: u64 = 0x107;
/// A stream or push ID is used wrongly.
pub const H3_ID_ERROR: u64 = 0x108;
/// An error in the payload of a SETTINGS frame.
pub const H3_SETTINGS_ERROR: u64 = 0x109;
/// The control stream began without SETTINGS.
pub const H3_MISSING_SETTINGS: u64 = 0x10a;
/// A server gave up a request without having processed any of it.
pub const H3_REQUEST_REJECTED: u64 = 0x10b;
/// A request or its response is no longer wanted.
pub const H3_REQUEST_CANCELLED: u64 = 0x10c;
/// A request stream ended before the request was complete.
pub const H3_REQUEST_INCOMPLETE: u64 = 0x10d;
/// A message is malformed.
pub const H3_MESSAGE_ERROR: u64 = 0x10e;
/// The connection made for CONNECT was reset or closed abnormally.
pub const H3_CONNECT_ERROR: u64 = 0x10f;
/// The request cannot be served over HTTP/3; HTTP/1.1 may do.
pub const H3_VERSION_FALLBACK: u64 = 0x110;
/// A field section could not be decoded.
pub const QPACK_DECOMPRESSION_FAILED: u64 = 0x200;
/// An instruction on the encoder stream is not legal.
pub const QPACK_ENCODER_STREAM_ERROR: u64 = 0x201;
/// An instruction on the decoder stream is not legal.
pub const QPACK_DECODER_STREAM_ERROR: u64 = 0x202;

/// The name of a code, as the RFCs spell it; `None` for codes unknown here. A reserved code means
/// [`H3_NO_ERROR`] and is named so (RFC 9114, section 8.1).
pub const fn name(code: u64) -> Option<&'static str> {
    Some(match code {
        H3_DATAGRAM_ERROR => "H3_DATAGRAM_ERROR",
        H3_NO_ERROR => "H3_NO_ERROR",
        H3_GENERAL_PROTOCOL_ERROR => "H3_GENERAL_PROTOCOL_ERROR",
        H3_INTERNAL_ERROR => "H3_INTERNAL_ERROR",
        H3_STREAM_CREATION_ERROR => "H3_STREAM_CREATION_ERROR",
        H3_CLOSED_CRITICAL_STREAM => "H3_CLOSED_CRITICAL_STREAM",
        H3_FRAME_UNEXPECTED => "H3_FRAME_UNEXPECTED",
        H3_FRAME_ERROR => "H3_FRAME_ERROR",
        H3_EXCESSIVE_LOAD => "H3_EXCESSIVE_LOAD",
        H3_ID_ERROR => "H3_ID_ERROR",
        H3_SETTINGS_ERROR => "H3_SETTINGS_ERROR",
        H3_MISSING_SETTINGS => "H3_MISSING_SETTINGS",
        H3_REQUEST_REJECTED => "H3_REQUEST_REJECTED",
        H3_REQUEST_CANCELLED => "H3_REQUEST_CANCELLED",
        H3_REQUEST_INCOMPLETE => "H3_REQUEST_INCOMPLETE",
        H3_MESSAGE_ERROR => "H3_MESSAGE_ERROR",
        H3_CONNECT_ERROR => "H3_CONNECT_ERROR",
        H3_VERSION_FALLBACK => "H3_VERSION_FALLBACK",
        QPACK_DECOMPRESSION_FAILED => "QPACK_DECOMPRESSION_FAILED",
        QPACK_ENCODER_STREAM_ERROR => "QPACK_ENCODER_STREAM_ERROR",
        QPACK_DECODER_STREAM_ERROR => "QPACK_DECODER_STREAM_ERROR",
        reserved if is_grease(reserved) => "H3_NO_ERROR",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        // The codes of RFC 9114 are consecutive, and so are those of RFC 9204.
        assert!(
            (0x100..=0x110)
                .chain(0x200..=0x202)
                .all(|code| name(code).is_some())
        );
        assert_eq!(name(0x33), Some("H3_DATAGRAM_ERROR"));
        assert_eq!(name(0x10e), Some("H3_MESSAGE_ERROR"));
        assert_eq!(name(0x21 + 0x1f * 1000), Some("H3_NO_ERROR"));
        assert_eq!(name(0), None);
        assert_eq!(name(0x111), None);
        // None of the defined codes is a reserved one.
        assert!(
            (0x100..=0x110)
                .chain(0x200..=0x202)
                .all(|code| !is_grease(code))
        );
    }
}
