//! HTTP/3 on the wire (RFC 9114): frames, settings, stream types, error codes; HTTP datagrams and
//! capsules (RFC 9297).

pub mod capsule;
pub mod datagram;
pub mod error_code;
pub mod frame;
mod partial;
pub mod settings;
pub mod stream_type;
mod varints;

pub use capsule::{CapsuleHeader, CapsuleReader, CapsuleStep};
pub use frame::{FrameHeader, FrameReader};
pub use partial::PartialVarint;
pub use settings::Settings;
pub use varints::Varints;

use super::varint;

/// Whether `code` is one of those reserved to exercise that unknown values are ignored
/// (0x1f * N + 0x21). They are the same for frame types, stream types, settings and error codes
/// (RFC 9114, section 11.2).
pub const fn is_grease(code: u64) -> bool {
    code >= GREASE_FIRST && (code - GREASE_FIRST).is_multiple_of(GREASE_STEP)
}

/// A reserved code for frame types, stream types, settings or error codes: a different one for
/// each different random `seed`, as far as there are enough.
pub const fn grease(seed: u64) -> u64 {
    GREASE_FIRST + GREASE_STEP * (seed % ((varint::MAX - GREASE_FIRST) / GREASE_STEP + 1))
}

const GREASE_FIRST: u64 = 0x21;
const GREASE_STEP: u64 = 0x1f;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grease_codes() {
        for code in [0x21, 0x40, 0x5f, 0x7e] {
            assert!(is_grease(code));
        }
        for code in [0, 2, 0x20, 0x22, 0x41, 0x54] {
            assert!(!is_grease(code));
        }
        for seed in [0, 1, 2, u64::MAX / 2, u64::MAX] {
            let code = grease(seed);
            assert!(is_grease(code) && code <= varint::MAX);
        }
        assert_eq!((grease(0), grease(1)), (0x21, 0x40));
    }
}
