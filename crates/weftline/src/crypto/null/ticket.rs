//! Sessions to resume: what the server tells, and what the client keeps.

use alloc::vec::Vec;

use bytes::Bytes;

use super::mix::Mix;

/// What a server gives tickets by.
#[derive(Copy, Clone)]
pub(super) struct Tickets {
    /// Bytes of a filler to send in place of a ticket.
    pub(super) filler: Option<usize>,
    /// The start of every tag; `None` when there is nothing to resume.
    pub(super) key: Option<Mix>,
    /// A checksum of what early data relies on.
    pub(super) terms: u64,
    /// Early data is taken, and allowed for.
    pub(super) early_data: bool,
}

/// What the server resumes a session by. On the wire it is followed by a tag.
#[derive(Copy, Clone)]
pub(super) struct Identity {
    pub(super) early_data: bool,
    /// What early keys follow from.
    pub(super) secret: u64,
    terms: u64,
}

/// A client's session.
pub(super) struct NullTicket {
    pub(super) identity: Identity,
    /// As it was on the wire.
    pub(super) bytes: Vec<u8>,
    pub(super) certificate: Option<Bytes>,
}

impl Tickets {
    /// A ticket for a session with `alpn`.
    pub(super) fn issue(&self, secret: u64, alpn: Option<&[u8]>) -> Option<Vec<u8>> {
        let identity = Identity {
            early_data: self.early_data,
            secret,
            terms: self.terms,
        };
        let mut bytes = identity.encode();
        let tag = self.tag(identity, alpn)?;
        bytes.extend_from_slice(&tag.to_le_bytes());
        Some(bytes)
    }

    /// The session of a ticket that a server of the same key and version issued.
    pub(super) fn check(&self, ticket: &[u8], alpn: Option<&[u8]>) -> Option<Identity> {
        let (identity, tag) = Identity::parse(ticket)?;
        (self.tag(identity, alpn)? == tag).then_some(identity)
    }

    /// Whether early data of this session is taken.
    pub(super) fn takes_early_data(&self, identity: Identity) -> bool {
        self.early_data && identity.early_data && identity.terms == self.terms
    }

    fn tag(&self, identity: Identity, alpn: Option<&[u8]>) -> Option<u64> {
        let mix = self.key?.bytes(&identity.encode());
        Some(mix.bytes(alpn.unwrap_or_default()).finish())
    }
}

impl Identity {
    fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TICKET_LEN);
        out.push(u8::from(self.early_data));
        out.extend_from_slice(&self.secret.to_le_bytes());
        out.extend_from_slice(&self.terms.to_le_bytes());
        out
    }

    fn parse(ticket: &[u8]) -> Option<(Self, u64)> {
        let (flag, rest) = ticket.split_first()?;
        let (secret, rest) = rest.split_first_chunk()?;
        let (terms, tag) = rest.split_first_chunk()?;
        let identity = Self {
            early_data: *flag == 1,
            secret: u64::from_le_bytes(*secret),
            terms: u64::from_le_bytes(*terms),
        };
        Some((identity, u64::from_le_bytes(tag.try_into().ok()?)))
    }
}

impl NullTicket {
    /// Reads a ticket; `None` for a filler.
    pub(super) fn parse(bytes: &[u8], certificate: Option<Bytes>) -> Option<Self> {
        let (identity, _) = Identity::parse(bytes)?;
        Some(Self {
            identity,
            bytes: bytes.to_vec(),
            certificate,
        })
    }
}

/// A flag, a secret, a checksum and a tag.
const TICKET_LEN: usize = 25;
