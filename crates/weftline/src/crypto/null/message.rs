//! Handshake messages: a type, 24 bits of length, a body. Bodies with fields are lists of
//! extensions, each a varint type and a varint-prefixed value.

use alloc::{borrow::ToOwned, vec, vec::Vec};

use super::session::ClientHello;
use crate::{
    crypto::{Hello, TlsError},
    wire::{HelloError, Reader, Truncated, varint},
};

/// Bytes before the body.
pub(super) const HEADER_LEN: usize = 4;

/// The longest body that is taken.
pub(super) const MAX_MESSAGE: usize = 128 << 10;

/// Message types, numbered as in TLS.
pub(super) mod kind {
    pub(in super::super) const CLIENT_HELLO: u8 = 1;
    pub(in super::super) const SERVER_HELLO: u8 = 2;
    pub(in super::super) const TICKET: u8 = 4;
    pub(in super::super) const EXTENSIONS: u8 = 8;
    pub(in super::super) const CERTIFICATE: u8 = 11;
    pub(in super::super) const FINISHED: u8 = 20;
}

/// Appends a message. A body longer than [`MAX_MESSAGE`] is the caller's bug: the peer refuses it.
pub(super) fn put(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    let [_, len @ ..] = (body.len() as u32).to_be_bytes();
    out.push(kind);
    out.extend_from_slice(&len);
    out.extend_from_slice(body);
}

pub(super) fn client_hello(hello: &ClientHello<'_>) -> Vec<u8> {
    let mut alpn = Vec::new();
    for name in hello.alpn {
        put_prefixed(&mut alpn, name);
    }
    let mut body = Vec::new();
    put_extension(&mut body, SERVER_NAME, hello.server_name.as_bytes());
    put_extension(&mut body, ALPN, &alpn);
    put_extension(&mut body, TRANSPORT_PARAMETERS, hello.transport_parameters);
    if let Some(ticket) = hello.ticket {
        put_extension(&mut body, TICKET, ticket);
    }
    if hello.early_data {
        put_extension(&mut body, EARLY_DATA, &[]);
    }
    if hello.padding > 0 {
        put_extension(&mut body, PADDING, &vec![0; hello.padding]);
    }
    body
}

/// What the server takes of a client's offers goes by the name of the offer, without a value.
pub(super) fn server_extensions(
    alpn: Option<&[u8]>,
    transport_parameters: &[u8],
    is_resumed: bool,
    early_data: bool,
) -> Vec<u8> {
    let mut body = Vec::new();
    if let Some(name) = alpn {
        let mut value = Vec::new();
        put_prefixed(&mut value, name);
        put_extension(&mut body, ALPN, &value);
    }
    put_extension(&mut body, TRANSPORT_PARAMETERS, transport_parameters);
    if is_resumed {
        put_extension(&mut body, TICKET, &[]);
    }
    if early_data {
        put_extension(&mut body, EARLY_DATA, &[]);
    }
    body
}

/// The extensions of a message that we know.
#[derive(Default)]
pub(super) struct Extensions<'a> {
    server_name: Option<&'a [u8]>,
    alpn: Option<&'a [u8]>,
    transport_parameters: Option<&'a [u8]>,
    ticket: Option<&'a [u8]>,
    early_data: Option<&'a [u8]>,
}

impl<'a> Extensions<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, TlsError> {
        let mut found = Self::default();
        let mut reader = Reader::new(body);
        while !reader.is_empty() {
            let id = reader.varint().map_err(truncated)?;
            let value = reader.varint_prefixed().map_err(truncated)?;
            let field = match id {
                SERVER_NAME => &mut found.server_name,
                ALPN => &mut found.alpn,
                TRANSPORT_PARAMETERS => &mut found.transport_parameters,
                TICKET => &mut found.ticket,
                EARLY_DATA => &mut found.early_data,
                _ => continue,
            };
            if field.replace(value).is_some() {
                return Err(illegal("an extension comes twice"));
            }
        }
        Ok(found)
    }

    pub(super) fn server_name(&self) -> Result<Option<&'a str>, TlsError> {
        self.server_name
            .map(core::str::from_utf8)
            .transpose()
            .map_err(|_| illegal("the server name is not UTF-8"))
    }

    /// The names in the list, which is empty when the extension is missing.
    pub(super) fn alpn(&self) -> Result<Vec<Vec<u8>>, TlsError> {
        let mut reader = Reader::new(self.alpn.unwrap_or_default());
        let mut names = Vec::new();
        while !reader.is_empty() {
            names.push(reader.varint_prefixed().map_err(truncated)?.to_vec());
        }
        Ok(names)
    }

    /// The ticket of the session that a client offers to resume, or that the server resumes it.
    pub(super) const fn ticket(&self) -> Option<&'a [u8]> {
        self.ticket
    }

    /// Whether early data is offered, or taken.
    pub(super) const fn has_early_data(&self) -> bool {
        self.early_data.is_some()
    }

    pub(super) fn transport_parameters(&self) -> Result<&'a [u8], TlsError> {
        // RFC 9001, section 8.2.
        self.transport_parameters.ok_or_else(|| TlsError {
            alert: MISSING_EXTENSION,
            reason: "no transport parameters".into(),
        })
    }
}

/// Reads a client's hello before its time.
pub(super) fn peek(data: &[u8]) -> Result<Hello, HelloError> {
    let Some((&[kind, a, b, c], rest)) = data.split_first_chunk() else {
        return Err(HelloError::Incomplete);
    };
    let len = u32::from_be_bytes([0, a, b, c]) as usize;
    if kind != kind::CLIENT_HELLO || len > MAX_MESSAGE {
        return Err(HelloError::Malformed);
    }
    let body = rest.get(..len).ok_or(HelloError::Incomplete)?;
    let read = || {
        let extensions = Extensions::parse(body)?;
        Ok::<_, TlsError>(Hello {
            server_name: extensions.server_name()?.map(ToOwned::to_owned),
            alpn: extensions.alpn()?,
            transport_parameters: extensions.transport_parameters.map(<[u8]>::to_vec),
        })
    };
    read().map_err(|_| HelloError::Malformed)
}

pub(super) fn malformed(reason: &str) -> TlsError {
    TlsError {
        alert: DECODE_ERROR,
        reason: reason.into(),
    }
}

pub(super) fn illegal(reason: &str) -> TlsError {
    TlsError {
        alert: ILLEGAL_PARAMETER,
        reason: reason.into(),
    }
}

fn truncated(_: Truncated) -> TlsError {
    malformed("a message ends inside a field")
}

fn put_extension(out: &mut Vec<u8>, id: u64, value: &[u8]) {
    put_varint(out, id);
    put_prefixed(out, value);
}

fn put_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, value: u64) {
    let at = out.len();
    out.resize(at + varint::len(value), 0);
    if let Some(room) = out.get_mut(at..) {
        varint::encode(value, room);
    }
}

// Extensions, numbered as in TLS.
const SERVER_NAME: u64 = 0;
const ALPN: u64 = 16;
const PADDING: u64 = 21;
const TICKET: u64 = 41;
const EARLY_DATA: u64 = 42;
const TRANSPORT_PARAMETERS: u64 = 57;

// Alerts (RFC 8446, section 6).
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;
const MISSING_EXTENSION: u8 = 109;
