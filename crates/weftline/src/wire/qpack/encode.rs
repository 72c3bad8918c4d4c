//! Field sections, encoded (RFC 9204, section 4.5).

use alloc::vec::Vec;

use super::{
    field_size, huffman, prefix,
    static_table::{self, Match},
};

/// Encodes one field section at the end of a buffer. Each field takes as few bytes as the static
/// table and the Huffman code allow.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    size: usize,
}

impl<'a> Encoder<'a> {
    /// Begins a section.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        // Required Insert Count and Delta Base: nothing of the dynamic table is used.
        out.extend_from_slice(&[0, 0]);
        Self { out, size: 0 }
    }

    /// Appends a field. `name` must be in lower case.
    ///
    /// A field that holds a secret is marked so that no intermediary ever puts it into a table,
    /// where it could be guessed (RFC 9204, section 7.1.3).
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        self.size = self.size.saturating_add(field_size(name, value));
        let secret = is_secret(name, value);
        match static_table::find(name, value) {
            Some(Match::Full(index)) if !secret => {
                prefix::encode(index.into(), 6, INDEXED | INDEXED_STATIC, self.out);
            }
            Some(Match::Full(index) | Match::Name(index)) => {
                let never = if secret { NAME_REF_NEVER } else { 0 };
                let pattern = NAME_REF | NAME_REF_STATIC | never;
                prefix::encode(index.into(), 4, pattern, self.out);
                string(value, 7, 0, self.out);
            }
            None => {
                let never = if secret { LITERAL_NEVER } else { 0 };
                string(name, 3, LITERAL | never, self.out);
                string(value, 7, 0, self.out);
            }
        }
    }

    /// Size of the section so far: that which SETTINGS_MAX_FIELD_SECTION_SIZE bounds (RFC 9114,
    /// section 4.2.2).
    pub const fn size(&self) -> usize {
        self.size
    }
}

/// A string whose length begins in the low `bits` bits of a byte, below the Huffman flag, below
/// `pattern`.
fn string(text: &[u8], bits: u8, pattern: u8, out: &mut Vec<u8>) {
    let compressed = huffman::encoded_len(text);
    if compressed < text.len() {
        prefix::encode(compressed as u64, bits, pattern | 1 << bits, out);
        huffman::encode(text, out);
    } else {
        prefix::encode(text.len() as u64, bits, pattern, out);
        out.extend_from_slice(text);
    }
}

/// RFC 7541, section 7.1.3: credentials, and cookies short enough to be guessed.
fn is_secret(name: &[u8], value: &[u8]) -> bool {
    match name {
        b"authorization" | b"proxy-authorization" => true,
        b"cookie" | b"set-cookie" => value.len() < SHORT_COOKIE,
        _ => false,
    }
}

const SHORT_COOKIE: usize = 20;

// Patterns of the first byte of a field line (RFC 9204, section 4.5.2 onwards).
const INDEXED: u8 = 0b1000_0000;
const INDEXED_STATIC: u8 = 0b0100_0000;
const NAME_REF: u8 = 0b0100_0000;
const NAME_REF_NEVER: u8 = 0b0010_0000;
const NAME_REF_STATIC: u8 = 0b0001_0000;
const LITERAL: u8 = 0b0010_0000;
const LITERAL_NEVER: u8 = 0b0001_0000;

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        for (name, value) in fields {
            encoder.field(name.as_bytes(), value.as_bytes());
        }
        out
    }

    #[test]
    fn entries_of_the_static_table() {
        assert_eq!(encoded(&[]), [0, 0]);
        assert_eq!(encoded(&[(":status", "200")]), [0, 0, 0xd9]);
        assert_eq!(encoded(&[(":status", "404")]), [0, 0, 0xdb]);
        // Index 98 does not fit in six bits.
        assert_eq!(
            encoded(&[("x-frame-options", "sameorigin")]),
            [0, 0, 0xff, 35]
        );
        let connect = [(":method", "CONNECT"), (":scheme", "https")];
        assert_eq!(encoded(&connect), [0, 0, 0xcf, 0xd7]);
    }

    #[test]
    fn names_of_the_static_table() {
        // 24 is the first :status; it does not fit in four bits. "405" is no shorter in Huffman.
        assert_eq!(encoded(&[(":status", "405")]), b"\0\0\x5f\x09\x03405");
        assert_eq!(encoded(&[(":path", "/wt")]), b"\0\0\x51\x03/wt");
        assert_eq!(
            encoded(&[(":authority", "www.example.com")]),
            b"\0\0\x50\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"
        );
    }

    #[test]
    fn literals() {
        assert_eq!(
            encoded(&[(":protocol", "webtransport")]),
            b"\0\0\x2f\0\xb9\x5d\x87\x49\xc8\x7a\x3f\x89\xf0\x58\xd3\x60\xea\x45\x67\xb1\x3f"
        );
        // What the Huffman code does not shorten goes as it is.
        assert_eq!(encoded(&[("~", "<>")]), b"\0\0\x21~\x02<>");
        assert_eq!(encoded(&[("~", "")]), b"\0\0\x21~\0");
    }

    #[test]
    fn secrets_are_never_indexed() {
        assert_eq!(encoded(&[("authorization", "~")]), b"\0\0\x7f\x45\x01~");
        // Not even where the static table has the whole field.
        assert_eq!(encoded(&[("cookie", "")]), b"\0\0\x75\0");
        assert_eq!(encoded(&[("proxy-authorization", "~")])[2] & 0xf0, 0x30);
        let long = "~".repeat(SHORT_COOKIE);
        assert_eq!(encoded(&[("cookie", &long)])[2], 0x55);
        assert_eq!(encoded(&[("cookie", &long[1..])])[2], 0x75);
    }

    #[test]
    fn counts_the_size() {
        let mut out = b"before".to_vec();
        let mut encoder = Encoder::new(&mut out);
        encoder.field(b":status", b"200");
        encoder.field(b"a", b"");
        assert_eq!(encoder.size(), 7 + 3 + 32 + 1 + 32);
        assert!(out.starts_with(b"before\0\0\xd9"));
    }
}
