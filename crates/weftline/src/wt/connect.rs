//! The CONNECT stream of a session: capsules in and out (draft-16, sections 4.7, 5.6 and 6).

use alloc::vec::Vec;

use super::{
    Io, Layer, SessionId,
    capsules::{self, Capsule},
    credit::{self, Kind, Violation},
    dialect,
    end::closed,
    session::Session,
    state::{Input, State},
};
use crate::{
    event::{ClosedBy, Event},
    quic::ReadFail,
    time::Instant,
    wire::h3::error_code,
};

impl Layer {
    /// Reads what is there of a session's CONNECT stream. Before the session is open its bytes mean
    /// nothing: a few are held, so that its end is seen behind them, and the rest waits in QUIC's
    /// window.
    pub(super) fn pump(&mut self, io: &mut Io<'_>, id: SessionId) {
        // Every turn takes bytes or ends.
        loop {
            let Some(session) = self.sessions.get_mut(&id) else {
                return;
            };
            let max = match session.state {
                State::Open | State::Closing => {
                    let early = core::mem::take(&mut session.input.early);
                    if !early.is_empty() {
                        self.on_bytes(io, id, &early);
                        continue;
                    }
                    if session.input.early_end {
                        return self.on_end(io, id);
                    }
                    READ_SIZE
                }
                State::Held | State::Offered => self
                    .limits
                    .capsule
                    .saturating_sub(session.input.early.len()),
                State::Queued | State::Requested | State::Closed => return,
            };
            if max == 0 || session.input.early_end {
                return;
            }
            let is_early = matches!(session.state, State::Held | State::Offered);
            match io.h3.read_body(io.quic, id.stream(), max) {
                Ok(Some(bytes)) if is_early => session.input.early.extend_from_slice(&bytes),
                Ok(Some(bytes)) => self.on_bytes(io, id, &bytes),
                Ok(None) if is_early => session.input.early_end = true,
                Ok(None) => return self.on_end(io, id),
                Err(ReadFail::Reset(code)) => return self.on_reset(io, id, code),
                Err(ReadFail::Blocked | ReadFail::Unknown) => return,
            }
        }
    }

    /// Writes the capsules that a session has to send, as far as there is room.
    pub(super) fn flush(&mut self, io: &mut Io<'_>, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let stream = id.stream();
        if !matches!(session.state, State::Open | State::Closing) {
            return;
        }
        // Ends when the session has no more to say, which each capsule brings closer.
        loop {
            // Limits are told as they are when there is room, not queued while the peer reads
            // nothing.
            let congested = io.quic.buffered_on(stream) > BACKLOG;
            let Some((capsule, said)) = next_capsule(session, congested) else {
                self.unflushed |= congested && next_capsule(session, false).is_some();
                break;
            };
            // Whole or not at all: some peers take one capsule from each DATA frame.
            if io.h3.body_writable(io.quic, stream) < capsule.len() {
                self.unflushed = true;
                return;
            }
            match io.h3.write_body(io.quic, stream, &capsule) {
                Ok(len) if len == capsule.len() => said.apply(session, self.now, io),
                // The peer reads no more: there is nobody to tell.
                _ => return,
            }
        }
        if session.output.finish && session.output.close.is_none() {
            session.output.finish = false;
            // Refused only where the peer reads no more.
            let _ = io.h3.finish_body(io.quic, stream);
        }
    }

    /// The peer crossed a limit of a session.
    pub(super) fn on_violation(&mut self, io: &mut Io<'_>, id: SessionId, violation: Violation) {
        self.fail(io, id, dialect::WT_FLOW_CONTROL_ERROR, violation.0);
    }

    fn on_bytes(&mut self, io: &mut Io<'_>, id: SessionId, mut bytes: &[u8]) {
        // Every turn takes a capsule, or ends.
        while !bytes.is_empty() {
            let Some(session) = self.sessions.get_mut(&id) else {
                return;
            };
            let strict = session
                .dialect
                .is_some_and(|dialect| dialect.rules().strict_close);
            if session.input.closed {
                if strict {
                    let what = "data behind the close capsule";
                    self.fail(io, id, error_code::H3_MESSAGE_ERROR, what);
                }
                return;
            }
            let Some(inbox) = &mut session.input.inbox else {
                return;
            };
            match inbox.next(&mut bytes) {
                Ok(Some(capsule)) => self.on_capsule(io, id, capsule),
                Ok(None) => return,
                Err(fault) => return self.fail(io, id, fault.code, fault.reason),
            }
        }
    }

    fn on_capsule(&mut self, io: &mut Io<'_>, id: SessionId, capsule: Capsule) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let is_open = session.is_open();
        match capsule {
            Capsule::Close { code, reason } => {
                session.input.closed = true;
                session.output.finish = true;
                let by_us = session.output.close.is_some()
                    || session
                        .report
                        .as_ref()
                        .is_some_and(|r| r.by == ClosedBy::Local);
                if !by_us {
                    self.wind_down(io, id, Input::PeerClose, None);
                    let report = closed(ClosedBy::Peer, code, &reason, None);
                    io.tell_closed(id, report);
                }
                self.flush(io, id);
            }
            Capsule::Drain if is_open => {
                if !core::mem::replace(&mut session.draining, true) {
                    io.events.push_back(Event::SessionDraining(id));
                }
            }
            Capsule::Limit(kind, limit) if is_open => self.on_limit(io, id, kind, limit),
            Capsule::Blocked(kind, limit) if is_open => {
                if let Err(violation) = credit::check_range(kind, limit) {
                    self.on_violation(io, id, violation);
                }
            }
            Capsule::Datagram(data) if is_open => self.keep_datagram(io, id, data),
            // Nothing matters any more but the end.
            Capsule::Drain | Capsule::Limit(..) | Capsule::Blocked(..) | Capsule::Datagram(_) => {}
        }
    }

    fn on_limit(&mut self, io: &mut Io<'_>, id: SessionId, kind: Kind, limit: u64) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(credit) = &mut session.credit else {
            return;
        };
        match credit.on_limit(kind, limit) {
            Err(violation) => self.on_violation(io, id, violation),
            Ok(false) => {}
            Ok(true) => match kind {
                Kind::Data => self.wake_writers(io, id),
                Kind::Streams(dir) => {
                    if session.wanted.take(dir) {
                        io.events.push_back(Event::StreamsAvailable(dir));
                    }
                }
            },
        }
    }

    /// The peer's side of the CONNECT stream ended.
    fn on_end(&mut self, io: &mut Io<'_>, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let at_end = session
            .input
            .inbox
            .as_ref()
            .map_or(Ok(()), capsules::Inbox::on_end);
        if let Err(fault) = at_end
            && !session.input.closed
        {
            return self.fail(io, id, fault.code, fault.reason);
        }
        session.output.finish = true;
        // Without a close capsule it is as with one of code 0 and no reason.
        let report = self.report_or(id, closed(ClosedBy::Peer, 0, "", None));
        self.flush(io, id);
        let unsaid = self
            .sessions
            .get(&id)
            .is_some_and(|session| session.output.finish);
        if unsaid {
            io.h3.reset(io.quic, id.stream(), error_code::H3_NO_ERROR);
        }
        self.end(io, id, Input::PeerEnd, report);
    }

    /// The peer reset its side of the CONNECT stream.
    fn on_reset(&mut self, io: &mut Io<'_>, id: SessionId, code: u64) {
        io.h3
            .cancel(io.quic, id.stream(), error_code::H3_REQUEST_CANCELLED);
        let report = self.report_or(id, closed(ClosedBy::Peer, 0, "", Some(code)));
        self.end(io, id, Input::PeerReset, report);
    }
}

/// What a capsule that was written says.
enum Said {
    Drain,
    Close,
    Limit(Kind, u64),
    Blocked(Kind),
}

impl Said {
    fn apply(self, session: &mut Session, now: Instant, io: &Io<'_>) {
        match (self, &mut session.credit) {
            (Self::Drain, _) => session.output.drain = false,
            (Self::Close, _) => session.output.close = None,
            (Self::Limit(kind, limit), Some(credit)) => {
                credit.on_limit_said(kind, limit, now, io.quic.stats().rtt);
            }
            (Self::Blocked(kind), Some(credit)) => credit.on_blocked_said(kind),
            (Self::Limit(..) | Self::Blocked(_), None) => {}
        }
    }
}

/// The next capsule to write.
fn next_capsule(session: &Session, congested: bool) -> Option<(Vec<u8>, Said)> {
    let mut out = Vec::new();
    if !session.is_open() {
        return session
            .output
            .close
            .clone()
            .map(|capsule| (capsule, Said::Close));
    }
    if session.output.drain {
        capsules::encode_drain(&mut out);
        return Some((out, Said::Drain));
    }
    let credit = session.credit.as_ref().filter(|_| !congested)?;
    for kind in Kind::ALL {
        if let Some(limit) = credit.limit_to_say(kind) {
            capsules::encode_limit(kind, limit, &mut out);
            return Some((out, Said::Limit(kind, limit)));
        }
        if let Some(limit) = credit.blocked_to_say(kind) {
            capsules::encode_blocked(kind, limit, &mut out);
            return Some((out, Said::Blocked(kind)));
        }
    }
    None
}

/// Bytes read at a time.
const READ_SIZE: usize = 4096;

/// Capsules not yet delivered, in bytes, past which limits wait.
const BACKLOG: u64 = 1024;
