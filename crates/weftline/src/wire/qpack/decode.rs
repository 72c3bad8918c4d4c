//! Field sections, decoded (RFC 9204, section 4.5).

use alloc::vec::Vec;

use super::{field_size, huffman, prefix, static_table};
use crate::wire::h3::error_code;

/// Bounds on a field section.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SectionLimits {
    /// Names and values, and 32 for each field (RFC 9114, section 4.2.2).
    pub size: usize,
    /// Fields.
    pub fields: usize,
}

/// Decodes a field section, one field line after another.
///
/// ```
/// use weftline::wire::qpack::{Decoder, SectionLimits};
///
/// let limits = SectionLimits { size: 16 << 10, fields: 128 };
/// let mut decoder = Decoder::new(b"\0\0\xd9\x51\x01/", limits)?;
/// while let Some(line) = decoder.next_line()? {
///     println!("{}: {}", line.name.escape_ascii(), line.value.escape_ascii());
/// }
/// # Ok::<(), weftline::wire::qpack::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    left: SectionLimits,
    /// Strings of the last line that came in the Huffman code.
    text: Vec<u8>,
}

/// A field line: a name and a value. Neither is checked for legal characters.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FieldLine<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// Whether whoever passes the line on must not compress it in a table (RFC 9204, section
    /// 7.1.3).
    pub never_indexed: bool,
}

/// A field section cannot be decoded.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is malformed, and the connection must close with [`Self::CODE`]. Says why.
    #[error("{0}")]
    Malformed(&'static str),
    /// It is larger than allowed. Its message is not processed further; the connection is not
    /// harmed.
    #[error("a field section is larger than allowed")]
    TooLarge,
}

impl DecodeError {
    /// QPACK_DECOMPRESSION_FAILED: for a malformed section only.
    pub const CODE: u64 = error_code::QPACK_DECOMPRESSION_FAILED;
}

impl<'a> Decoder<'a> {
    /// Begins to decode `section`, all of it.
    pub fn new(section: &'a [u8], limits: SectionLimits) -> Result<Self, DecodeError> {
        let (insert_count, rest) = integer(8, section)?;
        // The largest there is for a table of no capacity (RFC 9204, section 4.5.1.1).
        if insert_count != 0 {
            return Err(DecodeError::Malformed(
                "a field section needs the dynamic table",
            ));
        }
        let negative = rest.first().is_some_and(|first| first & BASE_SIGN != 0);
        let (_, rest) = integer(7, rest)?;
        if negative {
            return Err(DecodeError::Malformed(
                "a field section has a negative Base",
            ));
        }
        Ok(Self {
            rest,
            left: limits,
            text: Vec::new(),
        })
    }

    /// The next line; `None` after the last one. Not to be called again after an error.
    pub fn next_line(&mut self) -> Result<Option<FieldLine<'_>>, DecodeError> {
        let Some(&first) = self.rest.first() else {
            return Ok(None);
        };
        self.text.clear();
        let (name, value, never_indexed) = match Representation::of(first) {
            Representation::Indexed => {
                let (name, value) = self.static_entry(6)?;
                (Text::Is(name), Text::Is(value), false)
            }
            Representation::NameReference => {
                let (name, _) = self.static_entry(4)?;
                let value = self.string(7)?;
                (Text::Is(name), value, first & NAME_REF_NEVER != 0)
            }
            Representation::Literal => {
                let name = self.string(3)?;
                let value = self.string(7)?;
                (name, value, first & LITERAL_NEVER != 0)
            }
            Representation::Dynamic => return Err(NO_DYNAMIC_TABLE),
        };
        let (name, value) = (name.of(&self.text), value.of(&self.text));
        let SectionLimits { size, fields } = self.left;
        self.left = SectionLimits {
            size: size
                .checked_sub(field_size(name, value))
                .ok_or(DecodeError::TooLarge)?,
            fields: fields.checked_sub(1).ok_or(DecodeError::TooLarge)?,
        };
        Ok(Some(FieldLine {
            name,
            value,
            never_indexed,
        }))
    }

    /// Takes an index into the static table.
    fn static_entry(&mut self, bits: u8) -> Result<(&'static [u8], &'static [u8]), DecodeError> {
        let (index, rest) = integer(bits, self.rest)?;
        self.rest = rest;
        let (name, value) = static_table::get(index)
            .ok_or(DecodeError::Malformed("an index is past the static table"))?;
        Ok((name.as_bytes(), value.as_bytes()))
    }

    /// Takes a string whose length begins in the low `bits` bits, below the Huffman flag.
    fn string(&mut self, bits: u8) -> Result<Text<'a>, DecodeError> {
        let compressed = self
            .rest
            .first()
            .is_some_and(|first| first >> bits & 1 == 1);
        let (len, rest) = integer(bits, self.rest)?;
        let (string, rest) = usize::try_from(len)
            .ok()
            .and_then(|len| rest.split_at_checked(len))
            .ok_or(TRUNCATED)?;
        self.rest = rest;
        if !compressed {
            return Ok(Text::Is(string));
        }
        let start = self.text.len();
        huffman::decode(string, &mut self.text)
            .map_err(|_| DecodeError::Malformed("a Huffman encoding is not legal"))?;
        Ok(Text::Decoded {
            start,
            end: self.text.len(),
        })
    }
}

/// The kinds of field line.
enum Representation {
    /// 11: static name and value.
    Indexed,
    /// 01-1: static name, literal value.
    NameReference,
    /// 001: literal name and value.
    Literal,
    /// 10, 01-0, 0001, 0000: something of the dynamic table.
    Dynamic,
}

impl Representation {
    const fn of(first: u8) -> Self {
        match first {
            0b1100_0000.. => Self::Indexed,
            0b1000_0000.. => Self::Dynamic,
            0b0100_0000.. if first & NAME_REF_STATIC != 0 => Self::NameReference,
            0b0100_0000.. => Self::Dynamic,
            0b0010_0000.. => Self::Literal,
            _ => Self::Dynamic,
        }
    }
}

/// A string: as it is, or a part of the decoder's text.
enum Text<'a> {
    Is(&'a [u8]),
    Decoded { start: usize, end: usize },
}

impl<'a> Text<'a> {
    fn of(self, text: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Is(bytes) => bytes,
            Self::Decoded { start, end } => text.get(start..end).unwrap_or_default(),
        }
    }
}

fn integer(bits: u8, bytes: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    prefix::decode(bits, bytes).map_err(|error| match error {
        prefix::PrefixError::Truncated => TRUNCATED,
        prefix::PrefixError::Overflow => DecodeError::Malformed("an integer is too large"),
    })
}

const TRUNCATED: DecodeError = DecodeError::Malformed("a field section ends inside a line");
const NO_DYNAMIC_TABLE: DecodeError =
    DecodeError::Malformed("a field line refers to the dynamic table");

const BASE_SIGN: u8 = 0b1000_0000;
const NAME_REF_NEVER: u8 = 0b0010_0000;
const NAME_REF_STATIC: u8 = 0b0001_0000;
const LITERAL_NEVER: u8 = 0b0001_0000;

#[cfg(test)]
mod tests;
