//! The heads of requests and responses.

use alloc::{string::String, vec::Vec};
use bytes::Bytes;

/// Header or trailer fields, in order. Names are lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Bytes)>);

impl Fields {
    /// No fields.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends a field. The name is put into lower case; whether name and value are legal is
    /// checked when the message is sent.
    pub fn push(&mut self, name: &str, value: impl Into<Bytes>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }

    /// The first value of `name` (lower case).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    /// Every value of `name` (lower case), in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_ref()))
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        let text = self.iter().map(|(name, value)| name.len() + value.len());
        text.sum::<usize>() + self.0.capacity() * size_of::<(String, Bytes)>()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The head of a request (RFC 9114, section 4.3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// `:method`.
    pub method: String,
    /// `:scheme`; absent for plain CONNECT.
    pub scheme: Option<String>,
    /// `:authority`, or the `host` field where that stands in for it.
    pub authority: Option<String>,
    /// `:path` with its query; absent for plain CONNECT.
    pub path: Option<String>,
    /// `:protocol` of an extended CONNECT (RFC 9220).
    pub protocol: Option<String>,
    /// The other fields.
    pub fields: Fields,
}

impl RequestHead {
    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        let optional = [&self.scheme, &self.authority, &self.path, &self.protocol];
        let optional = optional.into_iter().flatten().map(String::len);
        size_of::<Self>()
            + self.method.len()
            + optional.sum::<usize>()
            + self.fields.accounted_bytes()
    }
}

/// The head of a response (RFC 9114, section 4.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// `:status`.
    pub status: u16,
    /// The other fields.
    pub fields: Fields,
}
