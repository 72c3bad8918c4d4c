//! The capsules of a session's CONNECT stream (draft-16, sections 4.7, 5.6 and 6).

use alloc::{string::String, vec::Vec};
use bytes::Bytes;

use super::{
    credit::Kind,
    dialect::{self, FlowControl, Rules},
};
use crate::{
    config::Limits,
    wire::{
        Dir,
        h3::{CapsuleHeader, CapsuleReader, CapsuleStep, capsule, error_code},
    },
};

/// A capsule that says something to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Capsule {
    /// WT_CLOSE_SESSION.
    Close { code: u32, reason: String },
    /// WT_DRAIN_SESSION.
    Drain,
    /// WT_MAX_DATA and WT_MAX_STREAMS.
    Limit(Kind, u64),
    /// WT_DATA_BLOCKED and WT_STREAMS_BLOCKED.
    Blocked(Kind, u64),
    /// A datagram that came as a capsule: legal, if unusual over QUIC (RFC 9297, section 3.5).
    Datagram(Bytes),
}

/// The peer's capsules are not as they must be: the session ends, and its stream is reset with
/// `code`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct CapsuleFault {
    pub(super) code: u64,
    pub(super) reason: &'static str,
}

/// Reads the capsules of one session. Those nobody wants are skipped without being held, up to a
/// budget.
#[derive(Debug)]
pub(super) struct Inbox {
    reader: CapsuleReader,
    rules: &'static Rules,
    flow_control: bool,
    skipped: u64,
    skipped_max: u64,
    held_max: usize,
}

impl Inbox {
    pub(super) const fn new(rules: &'static Rules, flow_control: bool, limits: &Limits) -> Self {
        Self {
            reader: CapsuleReader::new(),
            rules,
            flow_control,
            skipped: 0,
            skipped_max: limits.skipped,
            held_max: limits.capsule,
        }
    }

    /// Takes bytes from the front of `input` up to the end of the next capsule that says
    /// something; `None` when it is used up.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Capsule>, CapsuleFault> {
        // Every turn takes at least one byte, or ends.
        loop {
            match self.reader.feed(input) {
                CapsuleStep::NeedMore => {
                    self.reader.shrink();
                    return Ok(None);
                }
                CapsuleStep::Begin(header) => self.on_begin(header)?,
                CapsuleStep::Value { ty, value } => {
                    return parse(self.rules, ty, value).map(Some);
                }
            }
        }
    }

    /// The stream ended: inside a capsule it may not (RFC 9297, section 3.3).
    pub(super) fn on_end(&self) -> Result<(), CapsuleFault> {
        if self.reader.is_between() {
            return Ok(());
        }
        Err(malformed("the session's stream ended inside a capsule"))
    }

    fn on_begin(&mut self, header: CapsuleHeader) -> Result<(), CapsuleFault> {
        let max = match self.want(header.ty) {
            Want::Hold(max) => max,
            Want::HoldOrSkip(max) if header.len <= max as u64 => max,
            Want::HoldOrSkip(_) | Want::Skip => return self.skip(header),
            Want::Forbid => return Err(malformed("a capsule that is not for HTTP/3")),
        };
        self.reader.hold(max).map_err(|_| match header.ty {
            dialect::WT_CLOSE_SESSION if !self.rules.strict_close => CapsuleFault {
                code: error_code::H3_EXCESSIVE_LOAD,
                reason: "the reason of a close capsule is far too long",
            },
            dialect::WT_CLOSE_SESSION => malformed("the reason of a close capsule is too long"),
            _ => malformed("a capsule is longer than its value can be"),
        })
    }

    fn skip(&mut self, header: CapsuleHeader) -> Result<(), CapsuleFault> {
        let len = header.len.saturating_add(header.encoded_len() as u64);
        self.skipped = self.skipped.saturating_add(len);
        if self.skipped <= self.skipped_max {
            return Ok(());
        }
        Err(CapsuleFault {
            code: error_code::H3_EXCESSIVE_LOAD,
            reason: "too many bytes of unknown capsules",
        })
    }

    fn want(&self, ty: u64) -> Want {
        match ty {
            // Judged by the length it declares, before anything of it is held.
            dialect::WT_CLOSE_SESSION if self.rules.strict_close => Want::Hold(CLOSE_MAX),
            dialect::WT_CLOSE_SESSION => Want::Hold(self.held_max.max(CLOSE_MAX)),
            dialect::WT_DRAIN_SESSION if self.rules.drain => Want::Hold(0),
            dialect::WT_MAX_STREAM_DATA | dialect::WT_STREAM_DATA_BLOCKED
                if self.rules.flow_control != FlowControl::Never =>
            {
                Want::Forbid
            }
            // Without flow control its capsules are ignored (draft-16, section 5.1).
            _ if flow_capsule(ty).is_some() && self.flow_control => Want::Hold(VARINT_MAX),
            capsule::DATAGRAM => Want::HoldOrSkip(self.held_max),
            _ => Want::Skip,
        }
    }
}

/// What to do with a capsule.
enum Want {
    /// Hold it; longer than this it is malformed.
    Hold(usize),
    /// Hold it if it is no longer than this.
    HoldOrSkip(usize),
    Skip,
    Forbid,
}

/// Appends WT_CLOSE_SESSION. A reason past 1024 bytes is cut between two characters.
pub(super) fn encode_close(code: u32, reason: &str, out: &mut Vec<u8>) {
    capsule::encode_close(dialect::WT_CLOSE_SESSION, code, reason, out);
}

/// Appends WT_DRAIN_SESSION.
pub(super) fn encode_drain(out: &mut Vec<u8>) {
    capsule::encode(dialect::WT_DRAIN_SESSION, &[], out);
}

/// Appends WT_MAX_DATA or WT_MAX_STREAMS.
pub(super) fn encode_limit(kind: Kind, limit: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&capsule::encode_varint(kind.limit_capsule(), limit));
}

/// Appends WT_DATA_BLOCKED or WT_STREAMS_BLOCKED.
pub(super) fn encode_blocked(kind: Kind, limit: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&capsule::encode_varint(kind.blocked_capsule(), limit));
}

fn parse(rules: &Rules, ty: u64, value: &[u8]) -> Result<Capsule, CapsuleFault> {
    match ty {
        dialect::WT_CLOSE_SESSION => parse_close(rules, value),
        dialect::WT_DRAIN_SESSION => Ok(Capsule::Drain),
        capsule::DATAGRAM => Ok(Capsule::Datagram(Bytes::copy_from_slice(value))),
        _ => {
            let number = capsule::decode_varint(value)
                .map_err(|_| malformed("a flow control capsule is not one number"))?;
            match flow_capsule(ty) {
                Some((kind, Sort::Limit)) => Ok(Capsule::Limit(kind, number)),
                Some((kind, Sort::Blocked)) => Ok(Capsule::Blocked(kind, number)),
                None => Err(malformed("a capsule of no known type")),
            }
        }
    }
}

fn parse_close(rules: &Rules, value: &[u8]) -> Result<Capsule, CapsuleFault> {
    if let Ok((code, reason)) = capsule::decode_close(value) {
        let reason = reason.into();
        return Ok(Capsule::Close { code, reason });
    }
    let (code, message) = value
        .split_first_chunk()
        .filter(|_| !rules.strict_close || value.len() > CLOSE_MAX)
        .ok_or(malformed("a close capsule is malformed"))?;
    let code = u32::from_be_bytes(*code);
    let mut reason = String::from_utf8_lossy(message).into_owned();
    let end = (0..=capsule::MAX_CLOSE_MESSAGE)
        .rev()
        .find(|&end| reason.is_char_boundary(end));
    reason.truncate(end.unwrap_or(0));
    Ok(Capsule::Close { code, reason })
}

enum Sort {
    Limit,
    Blocked,
}

fn flow_capsule(ty: u64) -> Option<(Kind, Sort)> {
    Some(match ty {
        dialect::WT_MAX_DATA => (Kind::Data, Sort::Limit),
        dialect::WT_MAX_STREAMS_BIDI => (Kind::Streams(Dir::Bi), Sort::Limit),
        dialect::WT_MAX_STREAMS_UNI => (Kind::Streams(Dir::Uni), Sort::Limit),
        dialect::WT_DATA_BLOCKED => (Kind::Data, Sort::Blocked),
        dialect::WT_STREAMS_BLOCKED_BIDI => (Kind::Streams(Dir::Bi), Sort::Blocked),
        dialect::WT_STREAMS_BLOCKED_UNI => (Kind::Streams(Dir::Uni), Sort::Blocked),
        _ => return None,
    })
}

const fn malformed(reason: &'static str) -> CapsuleFault {
    CapsuleFault {
        code: error_code::H3_MESSAGE_ERROR,
        reason,
    }
}

/// The longest legal value of WT_CLOSE_SESSION.
const CLOSE_MAX: usize = 4 + capsule::MAX_CLOSE_MESSAGE;

const VARINT_MAX: usize = 8;

#[cfg(test)]
mod tests;
