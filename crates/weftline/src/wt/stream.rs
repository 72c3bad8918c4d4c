//! One stream of a session.

use alloc::vec::Vec;

use super::{Io, SessionId};
use crate::{event::Event, quic::WriteFail, wire::StreamId};

/// A stream of a session.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) session: SessionId,
    /// Our header, as far as it is not written yet.
    pub(super) header: Header,
    /// Bytes of the peer's header, which do not count.
    pub(super) header_in: u64,
    /// Bytes of ours.
    pub(super) header_out: u64,
    /// Data that was charged to the session's credit, either way, and of the peer's what was freed.
    pub(super) charged_in: u64,
    pub(super) charged_out: u64,
    pub(super) freed: u64,
    /// Whether the application met `Blocked`, and what it waits for.
    pub(super) blocked: Blocked,
    /// Whether the application was told that there is something to read.
    pub(super) told: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    No,
    /// Waits for room, of which QUIC tells.
    ByQuic,
    /// Waits for credit of the session.
    ByCredit,
}

#[derive(Debug)]
pub(super) enum Header {
    Written,
    Rest(Vec<u8>),
}

impl Stream {
    pub(super) fn new(session: SessionId, header_in: u64, header_out: u64) -> Self {
        Self {
            session,
            header: Header::Written,
            header_in,
            header_out,
            charged_in: 0,
            charged_out: 0,
            freed: 0,
            blocked: Blocked::No,
            told: false,
        }
    }

    /// Writes what is left of our header; `false` when it does not all fit, and then QUIC tells
    /// when it does.
    pub(super) fn write_header(&mut self, io: &mut Io<'_>, id: StreamId) -> bool {
        let Header::Rest(rest) = &mut self.header else {
            return true;
        };
        // Ends when all is written or nothing is taken.
        while !rest.is_empty() {
            match io.quic.write(id, rest) {
                Ok(len) => drop(rest.drain(..len.min(rest.len()))),
                Err(WriteFail::Blocked) => return false,
                // The write that follows says so.
                Err(WriteFail::Stopped(_) | WriteFail::Finished | WriteFail::Unknown) => break,
            }
        }
        self.header = Header::Written;
        true
    }

    pub(super) fn tell(&mut self, io: &mut Io<'_>, id: StreamId) {
        if !core::mem::replace(&mut self.told, true) {
            io.events.push_back(Event::Readable(id));
        }
    }
}

impl Header {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Written => 0,
            Self::Rest(rest) => rest.len(),
        }
    }
}
