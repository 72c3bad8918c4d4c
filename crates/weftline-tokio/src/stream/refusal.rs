//! The streams of sessions, of HTTP/3 exchanges and of raw connections, as one.

use bytes::Bytes;
use weftline::{Connection as Core, StreamId, error, raw};

/// Why the core neither took nor gave data.
#[derive(Copy, Clone, Debug)]
pub(super) enum Refusal {
    Blocked,
    /// The peer stopped or reset the stream, with this code of its application.
    Peer(Option<u64>),
    /// Finished, reset or stopped by this side, or not known.
    Gone,
}

pub(super) fn write(core: &mut Core, id: StreamId, data: &[u8]) -> Result<usize, Refusal> {
    match core.raw() {
        Some(mut raw) => raw.write(id, data).map_err(Refusal::from),
        None => core.write(id, data).map_err(Refusal::from),
    }
}

pub(super) fn write_bytes(core: &mut Core, id: StreamId, data: Bytes) -> Result<usize, Refusal> {
    match core.raw() {
        Some(mut raw) => raw.write_bytes(id, data).map_err(Refusal::from),
        None => core.write_bytes(id, data).map_err(Refusal::from),
    }
}

pub(super) fn finish(core: &mut Core, id: StreamId) -> Result<(), Refusal> {
    match core.raw() {
        Some(mut raw) => raw.finish(id).map_err(Refusal::from),
        None => core.finish(id).map_err(Refusal::from),
    }
}

pub(super) fn reset(core: &mut Core, id: StreamId, code: u64) {
    match core.raw() {
        Some(mut raw) => raw.reset(id, code),
        None => core.reset(id, of_session(code)),
    }
}

pub(super) fn stop(core: &mut Core, id: StreamId, code: u64) {
    match core.raw() {
        Some(mut raw) => raw.stop(id, code),
        None => core.stop(id, of_session(code)),
    }
}

pub(super) fn read(core: &mut Core, id: StreamId, max: usize) -> Result<Option<Bytes>, Refusal> {
    match core.raw() {
        Some(mut raw) => raw.read(id, max).map_err(Refusal::from),
        None => core.read(id, max).map_err(Refusal::from),
    }
}

pub(super) fn read_into(
    core: &mut Core,
    id: StreamId,
    out: &mut [u8],
) -> Result<Option<usize>, Refusal> {
    match core.raw() {
        Some(mut raw) => raw.read_into(id, out).map_err(Refusal::from),
        None => core.read_into(id, out).map_err(Refusal::from),
    }
}

pub(super) fn set_low_water(core: &mut Core, id: StreamId, bytes: u64) {
    match core.raw() {
        Some(mut raw) => raw.set_low_water(id, bytes),
        None => core.set_low_water(id, bytes),
    }
}

/// Codes of sessions have 32 bits.
fn of_session(code: u64) -> u32 {
    u32::try_from(code).unwrap_or(u32::MAX)
}

impl From<error::WriteError> for Refusal {
    fn from(error: error::WriteError) -> Self {
        match error {
            error::WriteError::Blocked => Self::Blocked,
            error::WriteError::Stopped(code) => Self::Peer(code.map(u64::from)),
            error::WriteError::Finished | error::WriteError::UnknownStream => Self::Gone,
        }
    }
}

impl From<raw::WriteError> for Refusal {
    fn from(error: raw::WriteError) -> Self {
        match error {
            raw::WriteError::Blocked => Self::Blocked,
            raw::WriteError::Stopped(code) => Self::Peer(Some(code)),
            raw::WriteError::Finished | raw::WriteError::Unknown => Self::Gone,
        }
    }
}

impl From<error::ReadError> for Refusal {
    fn from(error: error::ReadError) -> Self {
        match error {
            error::ReadError::Blocked => Self::Blocked,
            error::ReadError::Reset(code) => Self::Peer(code.map(u64::from)),
            error::ReadError::UnknownStream => Self::Gone,
        }
    }
}

impl From<raw::ReadError> for Refusal {
    fn from(error: raw::ReadError) -> Self {
        match error {
            raw::ReadError::Blocked => Self::Blocked,
            raw::ReadError::Reset(code) => Self::Peer(Some(code)),
            raw::ReadError::Unknown => Self::Gone,
        }
    }
}
