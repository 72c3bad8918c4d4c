//! The slice of structured fields (RFC 9651) that WebTransport's headers need: a string, and a list
//! of strings.
//!
//! Older drafts of WebTransport used tokens where newer ones use strings, so either is read; strings
//! are written. Parameters are checked and dropped. A field that is not as it should be, or has a
//! member of another type, gives `None`: such a field is ignored as a whole.

use alloc::{borrow::Cow, string::String, vec::Vec};

/// Joins the lines of a field that came more than once (RFC 9651, section 4.2).
pub fn join<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Cow<'a, [u8]>> {
    let mut lines = lines.into_iter();
    let mut joined = Cow::Borrowed(lines.next()?);
    for line in lines {
        let joined = joined.to_mut();
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line);
    }
    Some(joined)
}

/// Reads a list of strings or tokens, of at most `max` members. An empty field is an empty list.
pub fn parse_list(field: &[u8], max: usize) -> Option<Vec<String>> {
    let mut p = Parser::new(field);
    let mut members = Vec::new();
    if p.rest.is_empty() {
        return Some(members);
    }
    loop {
        if members.len() >= max {
            return None;
        }
        members.push(p.text()?);
        p.parameters()?;
        p.skip_ows();
        if p.rest.is_empty() {
            return Some(members);
        }
        // A comma must have a member behind it.
        p.take(b',')?;
        p.skip_ows();
    }
}

/// Reads a string or token, and nothing else.
pub fn parse_item(field: &[u8]) -> Option<String> {
    let mut p = Parser::new(field);
    let text = p.text()?;
    p.parameters()?;
    p.rest.is_empty().then_some(text)
}

/// A string holds characters other than printable ASCII.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only printable ASCII fits in a structured field's string")]
pub struct NotPrintable;

/// Writes a string.
pub fn serialize_string(text: &str) -> Result<String, NotPrintable> {
    let mut out = String::with_capacity(text.len() + 2);
    write_string(text, &mut out)?;
    Ok(out)
}

/// Writes a list of strings. A field with an empty list is to be left out (RFC 9651, section 4.1).
pub fn serialize_list<S: AsRef<str>>(
    members: impl IntoIterator<Item = S>,
) -> Result<String, NotPrintable> {
    let mut out = String::new();
    for member in members {
        if !out.is_empty() {
            out.push_str(", ");
        }
        write_string(member.as_ref(), &mut out)?;
    }
    Ok(out)
}

fn write_string(text: &str, out: &mut String) -> Result<(), NotPrintable> {
    if !text.bytes().all(is_printable) {
        return Err(NotPrintable);
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Ok(())
}

/// Each method takes from the front what its name says, or gives `None`.
struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    /// RFC 9651, section 4.2: spaces around a field mean nothing.
    fn new(field: &'a [u8]) -> Self {
        let mut rest = field;
        while let [b' ', tail @ ..] = rest {
            rest = tail;
        }
        while let [head @ .., b' '] = rest {
            rest = head;
        }
        Self { rest }
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        self.byte().filter(|&byte| byte == expected).map(drop)
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().take_while(|&&byte| wanted(byte)).count();
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or_default();
        self.rest = rest;
        taken
    }

    fn skip_ows(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t'));
    }

    /// A string or token.
    fn text(&mut self) -> Option<String> {
        match self.peek()? {
            b'"' => self.string(),
            first if is_token_start(first) => self.token(),
            _ => None,
        }
    }

    /// Section 4.2.5.
    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut text = String::new();
        loop {
            match self.byte()? {
                b'"' => return Some(text),
                b'\\' => {
                    let escaped = self.byte()?;
                    text.push(matches!(escaped, b'"' | b'\\').then_some(escaped.into())?);
                }
                byte => text.push(is_printable(byte).then_some(byte.into())?),
            }
        }
    }

    /// Section 4.2.6.
    fn token(&mut self) -> Option<String> {
        self.peek().filter(|&first| is_token_start(first))?;
        let token = self.take_while(is_token);
        Some(token.iter().copied().map(char::from).collect())
    }

    /// Section 4.2.3.2.
    fn parameters(&mut self) -> Option<()> {
        while self.peek() == Some(b';') {
            self.byte();
            self.take_while(|byte| byte == b' ');
            self.key()?;
            if self.peek() == Some(b'=') {
                self.byte();
                self.bare_item()?;
            }
        }
        Some(())
    }

    /// Section 4.2.3.3.
    fn key(&mut self) -> Option<()> {
        self.peek()
            .filter(|&first| first.is_ascii_lowercase() || first == b'*')?;
        self.take_while(|byte| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || matches!(byte, b'_' | b'-' | b'.' | b'*')
        });
        Some(())
    }

    /// Section 4.2.3.1. The value is not kept.
    fn bare_item(&mut self) -> Option<()> {
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b'"' => self.string().map(drop),
            b':' => self.byte_sequence(),
            b'?' => {
                self.byte();
                self.byte()
                    .filter(|byte| matches!(byte, b'0' | b'1'))
                    .map(drop)
            }
            b'@' => {
                self.byte();
                self.number()
                    .filter(|kind| *kind == Number::Integer)
                    .map(drop)
            }
            b'%' => self.display_string(),
            _ => self.token().map(drop),
        }
    }

    /// Section 4.2.4: at most 15 digits, or 12, a dot and 1 to 3.
    fn number(&mut self) -> Option<Number> {
        if self.peek() == Some(b'-') {
            self.byte();
        }
        let whole = self.take_while(|byte| byte.is_ascii_digit()).len();
        if self.peek() != Some(b'.') {
            return (1..=15).contains(&whole).then_some(Number::Integer);
        }
        self.byte();
        let fraction = self.take_while(|byte| byte.is_ascii_digit()).len();
        let legal = (1..=12).contains(&whole) && (1..=3).contains(&fraction);
        legal.then_some(Number::Decimal)
    }

    /// Section 4.2.7. Whether the base64 has the right length is not looked at, as parsers may.
    fn byte_sequence(&mut self) -> Option<()> {
        self.take(b':')?;
        self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        self.take(b':')
    }

    /// Section 4.2.10: UTF-8 in percent encoding.
    fn display_string(&mut self) -> Option<()> {
        self.take(b'%')?;
        self.take(b'"')?;
        let mut text = Vec::new();
        loop {
            match self.byte()? {
                b'"' => return core::str::from_utf8(&text).ok().map(drop),
                b'%' => {
                    let high = hex_digit(self.byte()?)?;
                    text.push(high << 4 | hex_digit(self.byte()?)?);
                }
                byte => text.push(is_printable(byte).then_some(byte)?),
            }
        }
    }
}

#[derive(PartialEq)]
enum Number {
    Integer,
    Decimal,
}

const fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

const fn is_token_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'*'
}

/// tchar of RFC 9110, ":" and "/".
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
                | b':'
                | b'/'
        )
}

/// Display strings take lower case only.
const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
