//! Heads and trailers as field sections, and what is legal in them (RFC 9114, sections 4.2 to 4.4;
//! RFC 9110, section 5). The same rules hold for what is received and for what is sent.

use alloc::{string::String, vec::Vec};
use bytes::Bytes;

use super::{Fields, RequestHead, ResponseHead};
use crate::{
    error::RequestError,
    wire::qpack::{DecodeError, Decoder, Encoder, SectionLimits},
};

/// Why a received section is no head or trailer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum SectionError {
    /// QPACK cannot decode it: the connection's end.
    Undecodable(&'static str),
    /// It is past a limit of ours.
    TooLarge,
    /// The message is malformed (RFC 9114, section 4.1.2).
    Malformed(&'static str),
}

impl From<DecodeError> for SectionError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed(reason) => Self::Undecodable(reason),
            DecodeError::TooLarge => Self::TooLarge,
        }
    }
}

/// Decodes the head of a request. `extended_connect` tells whether we announced to understand
/// `:protocol`.
pub(super) fn decode_request(
    section: &[u8],
    limits: SectionLimits,
    extended_connect: bool,
) -> Result<RequestHead, SectionError> {
    let mut method = None;
    let mut head = RequestHead::default();
    head.fields = decode(section, limits, |name, value| {
        let slot = match name {
            b":method" => &mut method,
            b":scheme" => &mut head.scheme,
            b":authority" => &mut head.authority,
            b":path" => &mut head.path,
            b":protocol" if extended_connect => &mut head.protocol,
            _ => return Err("a pseudo-header that no request has"),
        };
        let value = core::str::from_utf8(value).map_err(|_| "a pseudo-header is not ASCII")?;
        match slot.replace(value.into()) {
            None => Ok(()),
            Some(_) => Err("a pseudo-header comes twice"),
        }
    })?;
    head.method = method.ok_or(SectionError::Malformed("a request without :method"))?;
    if head.authority.is_none() && !is_tunnel(&head) {
        head.authority = host(&head.fields).map_err(SectionError::Malformed)?;
    }
    request_rules(&head).map_err(SectionError::Malformed)?;
    Ok(head)
}

/// Decodes the head of a response.
pub(super) fn decode_response(
    section: &[u8],
    limits: SectionLimits,
) -> Result<ResponseHead, SectionError> {
    let mut status = None;
    let fields = decode(section, limits, |name, value| match (name, status) {
        (b":status", None) => {
            status =
                Some(parse_status(value).ok_or("a :status that is no number of three digits")?);
            Ok(())
        }
        (b":status", Some(_)) => Err("a pseudo-header comes twice"),
        _ => Err("a pseudo-header that no response has"),
    })?;
    let status = status.ok_or(SectionError::Malformed("a response without :status"))?;
    let head = ResponseHead { status, fields };
    response_rules(&head).map_err(SectionError::Malformed)?;
    Ok(head)
}

/// Decodes trailers, only to see whether they are legal.
pub(super) fn check_trailers(section: &[u8], limits: SectionLimits) -> Result<(), SectionError> {
    let fields = decode(section, limits, |_, _| Err("a pseudo-header in trailers"))?;
    no_te(&fields).map_err(SectionError::Malformed)
}

/// Appends the head of a request as a field section; gives its size as SETTINGS count it.
pub(super) fn encode_request(head: &RequestHead, out: &mut Vec<u8>) -> usize {
    let mut encoder = Encoder::new(out);
    encoder.field(b":method", head.method.as_bytes());
    let optional = [
        (":scheme", &head.scheme),
        (":authority", &head.authority),
        (":path", &head.path),
        (":protocol", &head.protocol),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            encoder.field(name.as_bytes(), value.as_bytes());
        }
    }
    encode_fields(&head.fields, encoder)
}

/// Appends the head of a response as a field section; gives its size as SETTINGS count it.
pub(super) fn encode_response(head: &ResponseHead, out: &mut Vec<u8>) -> usize {
    let mut encoder = Encoder::new(out);
    let digits = [100, 10, 1].map(|unit| b'0' + (head.status / unit % 10) as u8);
    encoder.field(b":status", &digits);
    encode_fields(&head.fields, encoder)
}

fn encode_fields(fields: &Fields, mut encoder: Encoder<'_>) -> usize {
    for (name, value) in fields.iter() {
        encoder.field(name.as_bytes(), value);
    }
    encoder.size()
}

/// Whether a request may be sent as it is.
pub(crate) fn check_request(head: &RequestHead) -> Result<(), RequestError> {
    fields_rules(&head.fields)
        .and_then(|()| request_rules(head))
        .map_err(RequestError::Invalid)
}

/// Whether a response may be sent as it is.
pub(crate) fn check_response(head: &ResponseHead) -> Result<(), RequestError> {
    fields_rules(&head.fields)
        .and_then(|()| response_rules(head))
        .map_err(RequestError::Invalid)
}

/// The value of `content-length`; several fields must agree (RFC 9110, section 8.6).
pub(super) fn content_length(fields: &Fields) -> Result<Option<u64>, &'static str> {
    let mut length = None;
    for value in fields.get_all("content-length") {
        let value = parse_digits(value).ok_or("a content-length that is no number")?;
        if length.replace(value).is_some_and(|other| other != value) {
            return Err("two different content-lengths");
        }
    }
    Ok(length)
}

/// Whether a request asks for a tunnel of bytes: CONNECT without `:protocol`.
fn is_tunnel(head: &RequestHead) -> bool {
    head.method == CONNECT && head.protocol.is_none()
}

pub(super) const CONNECT: &str = "CONNECT";

/// Decodes a section: gives pseudo-headers to `pseudo`, and the fields back. Cookies are joined
/// (RFC 9114, section 4.2.1).
fn decode(
    section: &[u8],
    limits: SectionLimits,
    mut pseudo: impl FnMut(&[u8], &[u8]) -> Result<(), &'static str>,
) -> Result<Fields, SectionError> {
    let mut decoder = Decoder::new(section, limits)?;
    let mut fields = Fields::new();
    let mut cookie: Option<Vec<u8>> = None;
    let mut fields_began = false;
    while let Some(line) = decoder.next_line()? {
        if line.name.starts_with(b":") {
            if fields_began {
                return Err(SectionError::Malformed("a pseudo-header after a field"));
            }
            pseudo(line.name, line.value).map_err(SectionError::Malformed)?;
            continue;
        }
        fields_began = true;
        let name = legal_name(line.name).map_err(SectionError::Malformed)?;
        legal_value(line.value).map_err(SectionError::Malformed)?;
        match &mut cookie {
            Some(cookie) if name == "cookie" => {
                cookie.extend_from_slice(b"; ");
                cookie.extend_from_slice(line.value);
            }
            None if name == "cookie" => cookie = Some(line.value.to_vec()),
            _ => fields.push(name, Bytes::copy_from_slice(line.value)),
        }
    }
    if let Some(cookie) = cookie {
        fields.push("cookie", cookie);
    }
    Ok(fields)
}

/// Section 4.3.1, 4.4, and RFC 9220 for extended CONNECT.
fn request_rules(head: &RequestHead) -> Result<(), &'static str> {
    if !is_token(head.method.as_bytes()) {
        return Err("a :method that is no token");
    }
    if head
        .fields
        .get_all("te")
        .any(|te| !te.eq_ignore_ascii_case(b"trailers"))
    {
        return Err("a te field with anything but \"trailers\"");
    }
    content_length(&head.fields)?;
    let authority = head.authority.as_deref();
    if authority.is_some_and(|authority| !is_visible(authority.as_bytes())) {
        return Err("an :authority with illegal characters, or empty");
    }
    if is_tunnel(head) {
        return match (&head.scheme, &head.path, authority) {
            (None, None, Some(_)) => Ok(()),
            _ => Err("CONNECT takes :authority, no :scheme and no :path"),
        };
    }
    if let Some(protocol) = &head.protocol {
        if head.method != CONNECT {
            return Err("a :protocol without CONNECT");
        }
        if !is_token(protocol.as_bytes()) {
            return Err("a :protocol that is no token");
        }
        if authority.is_none() {
            return Err("extended CONNECT without :authority");
        }
    }
    let scheme = head.scheme.as_deref().ok_or("a request without :scheme")?;
    let path = head.path.as_deref().ok_or("a request without :path")?;
    if !is_scheme(scheme.as_bytes()) {
        return Err("a :scheme that is none");
    }
    if !path.is_empty() && !is_visible(path.as_bytes()) {
        return Err("a :path with illegal characters");
    }
    if let Some(host) = host(&head.fields)?
        && authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(&host))
    {
        return Err(":authority and host differ");
    }
    if ["https", "http"]
        .iter()
        .any(|http| scheme.eq_ignore_ascii_case(http))
    {
        http_rules(&head.method, authority, path)?;
    }
    Ok(())
}

/// What holds for the schemes "http" and "https" besides.
fn http_rules(method: &str, authority: Option<&str>, path: &str) -> Result<(), &'static str> {
    let authority = authority.ok_or("a request without :authority or host")?;
    if authority.contains('@') {
        return Err("an :authority with user information");
    }
    if path.starts_with('/') || path == "*" && method == "OPTIONS" {
        Ok(())
    } else {
        Err("a :path that does not begin with a slash")
    }
}

/// Section 4.3.2; and 4.5, as there is no upgrade.
fn response_rules(head: &ResponseHead) -> Result<(), &'static str> {
    if !(100..=999).contains(&head.status) || head.status == 101 {
        return Err("a :status that HTTP/3 does not have");
    }
    no_te(&head.fields)?;
    content_length(&head.fields).map(drop)
}

/// Only requests may have a `te` field (section 4.2).
fn no_te(fields: &Fields) -> Result<(), &'static str> {
    match fields.get("te") {
        None => Ok(()),
        Some(_) => Err("a te field outside a request's head"),
    }
}

/// Rules for the fields of any message.
fn fields_rules(fields: &Fields) -> Result<(), &'static str> {
    fields
        .iter()
        .try_for_each(|(name, value)| legal_name(name.as_bytes()).and(legal_value(value)))
}

/// The value of the one `host` field there may be.
fn host(fields: &Fields) -> Result<Option<String>, &'static str> {
    let mut hosts = fields.get_all("host");
    let Some(host) = hosts.next() else {
        return Ok(None);
    };
    if hosts.next().is_some() {
        return Err("two host fields");
    }
    match core::str::from_utf8(host) {
        Ok(host) if is_visible(host.as_bytes()) => Ok(Some(host.into())),
        _ => Err("a host field with illegal characters, or empty"),
    }
}

/// A name in lower case that is not specific to HTTP/1.1 connections (section 4.2).
fn legal_name(name: &[u8]) -> Result<&str, &'static str> {
    if !is_token(name) || name.iter().any(u8::is_ascii_uppercase) {
        return Err("a field name with illegal characters, or empty");
    }
    let name = core::str::from_utf8(name).map_err(|_| "a field name is not ASCII")?;
    if CONNECTION_SPECIFIC.contains(&name) {
        return Err("a field specific to HTTP/1.1 connections");
    }
    Ok(name)
}

/// RFC 9110, section 5.5: no control characters but tabs, and no spaces around.
fn legal_value(value: &[u8]) -> Result<(), &'static str> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let legal = value
        .iter()
        .all(|&byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
    if legal && !is_space(value.first()) && !is_space(value.last()) {
        Ok(())
    } else {
        Err("a field value with illegal characters")
    }
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| {
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
                )
        })
}

fn is_visible(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_graphic)
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn parse_status(value: &[u8]) -> Option<u16> {
    let status = parse_digits(value).filter(|_| value.len() == 3)?;
    u16::try_from(status).ok()
}

/// A number of digits only: no sign, no spaces.
fn parse_digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit <= 9)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

const CONNECTION_SPECIFIC: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests;
