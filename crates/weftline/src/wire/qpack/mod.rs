//! QPACK, field compression for HTTP/3 (RFC 9204), without the dynamic table.
//!
//! We advertise a table of no capacity, as every default is, and use none of the peer's. A field
//! section then stands alone: nothing blocks, nothing is kept between sections, and a section given
//! up halfway does no harm to the next.

pub mod decode;
pub mod encode;
pub mod huffman;
pub mod instruction;
pub mod prefix;
pub mod static_table;

pub use decode::{DecodeError, Decoder, FieldLine, SectionLimits};
pub use encode::Encoder;

/// What a field counts for in the size of a section (RFC 9114, section 4.2.2).
pub const fn field_size(name: &[u8], value: &[u8]) -> usize {
    name.len().saturating_add(value.len()).saturating_add(32)
}
