//! What a client asks a session with.

use alloc::{string::String, vec::Vec};

use crate::h3::Fields;

/// A client's request for a session (draft-16, section 3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionRequest {
    /// Host, and port where it is not 443: `:authority`.
    pub authority: String,
    /// Path and query: `:path`.
    pub path: String,
    /// The `origin` field. Browsers always send one; draft 02 wants it of every client, and gets
    /// that of `authority` when there is none here.
    pub origin: Option<String>,
    /// Application protocols to choose from, the best first (draft-16, section 3.3). Each is
    /// printable ASCII of 1 to 512 bytes, and none comes twice.
    pub protocols: Vec<String>,
    /// Further fields.
    pub fields: Fields,
}

impl SessionRequest {
    /// A request for `path` of `authority`, and nothing else.
    pub fn new(authority: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            authority: authority.into(),
            path: path.into(),
            ..Self::default()
        }
    }

    /// Sets `origin`.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Adds an application protocol behind those already there.
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocols.push(protocol.into());
        self
    }

    /// Adds a field.
    pub fn field(mut self, name: &str, value: impl Into<bytes::Bytes>) -> Self {
        self.fields.push(name, value);
        self
    }
}
