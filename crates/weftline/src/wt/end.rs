//! How sessions end: by either application, by either end of the CONNECT stream, by a fault, or by
//! taking too long.

use alloc::vec::Vec;
use core::{mem, time::Duration};

use super::{
    Dialect, Io, Layer, Phase, SessionId, capsules, dialect,
    pending::Pending,
    session::{Patience, Session},
    state::{Input, State},
};
use crate::{
    error::SessionError,
    event::{ClosedBy, Event, SessionClosed},
    probe::ProbeEvent,
    wire::h3::error_code,
};

impl Layer {
    /// Ends a session. Its streams are gone with this; [`Event::SessionClosed`] follows when the
    /// peer has seen it, or did not answer in time.
    pub(crate) fn close_session(
        &mut self,
        io: &mut Io<'_>,
        id: SessionId,
        code: u32,
        reason: &str,
    ) -> Result<(), SessionError> {
        let mut capsule = Vec::new();
        capsules::encode_close(code, reason, &mut capsule);
        let report = closed(ClosedBy::Local, code, reason, None);
        self.close_with(io, id, Some(capsule), report)
    }

    /// Ends a session without code and reason: by the end of its CONNECT stream alone.
    pub(crate) fn finish_session(
        &mut self,
        io: &mut Io<'_>,
        id: SessionId,
    ) -> Result<(), SessionError> {
        let report = closed(ClosedBy::Local, 0, "", None);
        self.close_with(io, id, None, report)
    }

    fn close_with(
        &mut self,
        io: &mut Io<'_>,
        id: SessionId,
        capsule: Option<Vec<u8>>,
        report: SessionClosed,
    ) -> Result<(), SessionError> {
        let session = self
            .sessions
            .get_mut(&id)
            .ok_or(SessionError::UnknownSession)?;
        match session.state {
            State::Queued => {
                io.quic.reset(id.stream(), error_code::H3_REQUEST_CANCELLED);
                self.end(io, id, Input::Close, Some(report));
            }
            State::Requested => {
                io.h3
                    .cancel(io.quic, id.stream(), error_code::H3_REQUEST_CANCELLED);
                self.end(io, id, Input::Close, Some(report));
            }
            State::Open => {
                session.output.close = capsule;
                session.output.finish = true;
                self.wind_down(io, id, Input::Close, Some(report));
                self.flush(io, id);
            }
            State::Held | State::Offered | State::Closing | State::Closed => {
                return Err(SessionError::WrongState);
            }
        }
        Ok(())
    }

    /// Asks the peer to finish a session soon. Dialects without such a message send nothing.
    pub(crate) fn drain_session(
        &mut self,
        io: &mut Io<'_>,
        id: SessionId,
    ) -> Result<(), SessionError> {
        let session = self
            .sessions
            .get_mut(&id)
            .ok_or(SessionError::UnknownSession)?;
        if !session.is_open() {
            return Err(SessionError::WrongState);
        }
        session.output.drain = session.dialect.is_some_and(|dialect| dialect.rules().drain);
        self.flush(io, id);
        Ok(())
    }

    pub(super) fn on_connection_closed(&mut self) {
        self.phase = Phase::Closed;
        self.sessions.clear();
        self.streams.clear();
        self.over.clear();
        self.pending = Pending::new(&self.limits);
        (self.datagrams, self.datagram_bytes) = (0, 0);
    }

    /// The connection speaks another protocol than HTTP/3: there will be no sessions.
    pub(crate) fn rest(&mut self) {
        self.on_connection_closed();
        self.phase = Phase::Ready(Err("HTTP/3"));
    }

    /// The peer wants nothing more from us on the CONNECT stream.
    pub(super) fn on_stopped(&mut self, io: &mut Io<'_>, id: SessionId, code: u64) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let report = closed(ClosedBy::Peer, 0, "", Some(code));
        match session.state {
            // The peer's close capsule may be behind this. It gets a while to come.
            State::Open => {
                self.wind_down(io, id, Input::PeerStop, Some(report));
                self.pump(io, id);
            }
            State::Held => {
                io.h3
                    .cancel(io.quic, id.stream(), error_code::H3_REQUEST_CANCELLED);
                self.end(io, id, Input::PeerStop, None);
            }
            State::Offered => {
                io.h3
                    .cancel(io.quic, id.stream(), error_code::H3_REQUEST_CANCELLED);
                self.end(io, id, Input::PeerStop, Some(report));
            }
            State::Queued | State::Requested | State::Closing | State::Closed => {}
        }
    }

    /// HTTP/3 gave the exchange up.
    pub(super) fn on_failed(&mut self, io: &mut Io<'_>, id: SessionId, code: u64) {
        let report = self.report_or(id, closed(ClosedBy::Peer, 0, "", Some(code)));
        self.end(io, id, Input::PeerReset, report);
    }

    /// A session took too long for its state.
    pub(super) fn on_timeout(&mut self, io: &mut Io<'_>, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let late = |what| Some(closed(ClosedBy::Timeout, 0, what, None));
        let (code, report) = match session.state {
            State::Queued => {
                io.quic.reset(id.stream(), error_code::H3_REQUEST_CANCELLED);
                let report = late("the server's SETTINGS did not come");
                return self.end(io, id, Input::Timeout, report);
            }
            State::Requested => (
                error_code::H3_REQUEST_CANCELLED,
                late("the server did not answer"),
            ),
            State::Held => (error_code::H3_REQUEST_REJECTED, None),
            State::Offered => (
                error_code::H3_REQUEST_REJECTED,
                late("the request was not answered"),
            ),
            State::Closing => (error_code::H3_REQUEST_CANCELLED, session.report.take()),
            State::Open | State::Closed => return session.patience = Patience::Endless,
        };
        io.h3.cancel(io.quic, id.stream(), code);
        self.end(io, id, Input::Timeout, report);
    }

    /// Ends a session because the peer broke its rules: the CONNECT stream is reset with `code`.
    pub(super) fn fail(&mut self, io: &mut Io<'_>, id: SessionId, code: u64, reason: &str) {
        io.h3.cancel(io.quic, id.stream(), code);
        let report = self.report_or(id, failed(code, reason));
        self.end(io, id, Input::PeerReset, report);
    }

    /// The session is over but for the ends of its CONNECT stream: nothing of it is used any more.
    pub(super) fn wind_down(
        &mut self,
        io: &mut Io<'_>,
        id: SessionId,
        input: Input,
        report: Option<SessionClosed>,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.state = session.state.on(input);
        session.report = report;
        session.patience = Patience::For(CLOSE_TIMEOUT);
        session.output.drain = false;
        let code = session.gone_code();
        let unread = mem::take(&mut session.datagrams);
        self.datagrams -= unread.queue.len();
        self.datagram_bytes -= unread.bytes;
        self.drop_streams(io, id, code);
    }

    /// The session is over, and forgotten but for its name.
    pub(super) fn end(
        &mut self,
        io: &mut Io<'_>,
        id: SessionId,
        input: Input,
        report: Option<SessionClosed>,
    ) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        debug_assert_eq!(session.state.on(input), State::Closed);
        self.datagrams -= session.datagrams.queue.len();
        self.datagram_bytes -= session.datagrams.bytes;
        let code = session.gone_code();
        self.drop_streams(io, id, code);
        self.pending.on_ended(id, code);
        self.over.insert(id.stream());
        if let Some(report) = report {
            io.tell_closed(id, report);
        }
    }

    /// What the application is to hear of an end: nothing when it knows already, and what was
    /// prepared rather than `other`. A request that was only held it never saw.
    pub(super) fn report_or(
        &mut self,
        id: SessionId,
        other: SessionClosed,
    ) -> Option<SessionClosed> {
        let session = self.sessions.get_mut(&id)?;
        match session.state {
            State::Closing => session.report.take(),
            State::Held => None,
            _ => Some(other),
        }
    }
}

impl Io<'_> {
    /// Tells the application and the probe how a session ended.
    pub(super) fn tell_closed(&mut self, id: SessionId, report: SessionClosed) {
        self.quic.tell_probe(|| ProbeEvent::SessionClosed {
            id: id.stream(),
            code: report.code,
            reason: &report.reason,
        });
        self.events.push_back(Event::SessionClosed(id, report));
    }
}

impl Session {
    /// The code with which its streams are reset when it is over.
    pub(super) fn gone_code(&self) -> u64 {
        let rules = self.dialect.map(Dialect::rules);
        rules.map_or(dialect::WT_SESSION_GONE, |rules| rules.session_gone)
    }
}

impl SessionClosed {
    pub(super) fn without_code(self) -> Self {
        Self {
            error: None,
            ..self
        }
    }
}

pub(super) fn closed(by: ClosedBy, code: u32, reason: &str, error: Option<u64>) -> SessionClosed {
    SessionClosed {
        by,
        code,
        reason: reason.into(),
        error,
    }
}

pub(super) fn failed(code: u64, reason: &str) -> SessionClosed {
    closed(ClosedBy::Fault, 0, reason, Some(code))
}

/// How long a closed session waits for the peer's end of its CONNECT stream.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
