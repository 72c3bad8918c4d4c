//! How sessions begin and end: the application's commands, and what of the connection moves them.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{mem, time::Duration};

use super::{
    Dialect, Io, Layer, Phase, SessionId, SessionRequest,
    capsules::{self, Inbox},
    credit::Credit,
    dialect,
    negotiate::{self, Peer, Refusal},
    session::{Asked, Patience, Session},
    state::{Input, State},
};
use crate::{
    error::{Fault, RequestError, SessionError},
    event::{ClosedBy, Event, SessionClosed, SessionReady},
    h3::{self, Fields, RequestHead, ResponseHead},
    wire::{
        Dir, Side, StreamId,
        h3::{Settings, error_code},
    },
};

impl Layer {
    /// Client: asks for a session, now or as soon as the server's SETTINGS allow it.
    pub(crate) fn request_session(
        &mut self,
        io: &mut Io<'_>,
        request: SessionRequest,
    ) -> Result<SessionId, SessionError> {
        if self.side == Side::Server {
            return Err(SessionError::WrongState);
        }
        negotiate::check_request(&request)?;
        let newest = self.dialects.first().copied();
        let newest = newest.ok_or(SessionError::Unsupported("no dialect is enabled here"))?;
        h3::check_request(&negotiate::request_head(newest, &request)).map_err(session_error)?;
        if self.going_away {
            return Err(SessionError::Limit);
        }
        let reserved = match self.phase {
            Phase::Closed => return Err(SessionError::Limit),
            Phase::Ready(Err(lacks)) => return Err(SessionError::Unsupported(lacks)),
            Phase::Ready(Ok(dialect)) if self.live() >= self.session_limit(io, dialect) => {
                return Err(SessionError::Limit);
            }
            // Streams cannot be opened yet. The first ones will be these, in order.
            Phase::Handshake if self.sessions.len() < self.limits.sessions => {
                StreamId::new(Side::Client, Dir::Bi, self.sessions.len() as u64)
            }
            Phase::Handshake => return Err(SessionError::Limit),
            Phase::Connected | Phase::Ready(Ok(_)) => {
                io.quic.open(Dir::Bi).ok_or(SessionError::Limit)?
            }
        };
        let id = SessionId(reserved);
        let patience = match self.phase {
            // The handshake has a timeout of its own.
            Phase::Handshake => Patience::Endless,
            _ => Patience::For(self.limits.session_timeout),
        };
        let session = Session::new(State::Queued, Asked::Request(Box::new(request)), patience);
        self.sessions.insert(id, session);
        if let Phase::Ready(Ok(dialect)) = self.phase {
            self.send_request(io, id, dialect);
        }
        Ok(id)
    }

    /// Server: accepts a session, with one of the protocols the client offers.
    pub(crate) fn accept_session(
        &mut self,
        io: &mut Io<'_>,
        id: SessionId,
        protocol: Option<&str>,
        fields: &Fields,
    ) -> Result<(), SessionError> {
        let session = self
            .sessions
            .get_mut(&id)
            .ok_or(SessionError::UnknownSession)?;
        let (State::Offered, Asked::Head(head)) = (session.state, &session.asked) else {
            return Err(SessionError::WrongState);
        };
        let response = negotiate::response_head(head, protocol, fields)?;
        io.h3
            .send_response(io.quic, id.stream(), &response, false)
            .map_err(session_error)?;
        session.protocol = protocol.map(String::from);
        self.establish(io, id);
        self.begin(io, id);
        Ok(())
    }

    /// Server: refuses a session, with a status other than 2xx.
    pub(crate) fn reject_session(
        &mut self,
        io: &mut Io<'_>,
        id: SessionId,
        status: u16,
        fields: Fields,
    ) -> Result<(), SessionError> {
        let session = self.sessions.get(&id).ok_or(SessionError::UnknownSession)?;
        if session.state != State::Offered {
            return Err(SessionError::WrongState);
        }
        if !(300..=599).contains(&status) {
            return Err(SessionError::Invalid("a status that refuses nothing"));
        }
        let response = ResponseHead { status, fields };
        io.h3
            .send_response(io.quic, id.stream(), &response, true)
            .map_err(session_error)?;
        io.h3.stop(io.quic, id.stream(), error_code::H3_NO_ERROR);
        self.end(io, id, Input::Refused, None);
        Ok(())
    }

    /// Ends a session. Its streams are gone with this; [`Event::SessionClosed`] follows when the
    /// peer has seen it, or did not answer in time.
    pub(crate) fn close_session(
        &mut self,
        io: &mut Io<'_>,
        id: SessionId,
        code: u32,
        reason: &str,
    ) -> Result<(), SessionError> {
        let session = self
            .sessions
            .get_mut(&id)
            .ok_or(SessionError::UnknownSession)?;
        let report = closed(ClosedBy::Local, code, reason, None);
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
                let mut capsule = Vec::new();
                capsules::encode_close(code, reason, &mut capsule);
                session.output.close = Some(capsule);
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

    /// This end takes no more sessions.
    pub(crate) fn go_away(&mut self) {
        self.going_away = true;
    }

    pub(super) fn on_connected(&mut self, io: &mut Io<'_>) {
        self.phase = Phase::Connected;
        let queued: Vec<_> = self.sessions.keys().copied().collect();
        for id in queued {
            if io.quic.open(Dir::Bi) != Some(id.stream()) {
                let what = "the server takes no more requests";
                self.end(io, id, Input::Refused, Some(failed(0, what).without_code()));
                self.over.remove(&id.stream());
            } else if let Some(session) = self.sessions.get_mut(&id) {
                session.patience = Patience::For(self.limits.session_timeout);
            }
        }
    }

    pub(super) fn on_settings(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        let takes_datagrams = io.quic.max_datagram_len().is_some();
        let Some(settings) = io.h3.peer_settings() else {
            return Ok(());
        };
        let peer = Peer {
            settings,
            takes_datagrams,
        };
        if self.side == Side::Client {
            negotiate::check_settings(self.dialects, settings)?;
        }
        let choice = negotiate::choose_as_client(self.dialects, peer);
        self.phase = Phase::Ready(choice);
        let waiting: Vec<_> = self.sessions.keys().copied().collect();
        for id in waiting {
            match (self.side, choice) {
                (Side::Client, Ok(dialect)) => {
                    // Itself among them.
                    if self.live() > self.session_limit(io, dialect) && self.is_last(id) {
                        io.quic.reset(id.stream(), error_code::H3_REQUEST_CANCELLED);
                        let what = "the server takes no more sessions at once";
                        self.end(io, id, Input::Refused, Some(failed(0, what).without_code()));
                    } else {
                        self.send_request(io, id, dialect);
                    }
                }
                (Side::Client, Err(lacks)) => {
                    io.quic.reset(id.stream(), error_code::H3_REQUEST_CANCELLED);
                    let report = failed(dialect::WT_REQUIREMENTS_NOT_MET, lacks);
                    self.end(io, id, Input::Refused, Some(report));
                }
                (Side::Server, _) => self.offer(io, id),
            }
        }
        Ok(())
    }

    pub(super) fn on_go_away(&mut self, io: &mut Io<'_>) {
        self.going_away = true;
        io.events.push_back(Event::GoingAway);
        for (&id, session) in &mut self.sessions {
            if session.is_open() && !mem::replace(&mut session.draining, true) {
                io.events.push_back(Event::SessionDraining(id));
            }
        }
    }

    pub(super) fn on_connection_closed(&mut self) {
        self.phase = Phase::Closed;
        self.sessions.clear();
        self.streams.clear();
        self.over.clear();
        self.pending = super::Pending::new(&self.limits);
        (self.datagrams, self.datagram_bytes) = (0, 0);
    }

    /// Server: a request for a session arrived.
    pub(super) fn on_request(&mut self, io: &mut Io<'_>, id: SessionId, head: RequestHead) {
        // The exact limit is known with the settings.
        if self.live() >= self.limits.sessions || self.going_away {
            io.h3
                .cancel(io.quic, id.stream(), error_code::H3_REQUEST_REJECTED);
            self.drop_streams(io, id, dialect::WT_BUFFERED_STREAM_REJECTED);
            self.over.insert(id.stream());
            return self.pending.on_ended(id, dialect::WT_SESSION_GONE);
        }
        let patience = Patience::For(self.limits.early_timeout);
        let asked = Asked::Head(Box::new(head));
        self.sessions
            .insert(id, Session::new(State::Held, asked, patience));
        if matches!(self.phase, Phase::Ready(_)) {
            self.offer(io, id);
        }
    }

    /// Client: the answer arrived.
    pub(super) fn on_response(&mut self, io: &mut Io<'_>, id: SessionId, response: ResponseHead) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let (State::Requested, Some(dialect)) = (session.state, session.dialect) else {
            return;
        };
        if !(200..=299).contains(&response.status) {
            io.h3
                .cancel(io.quic, id.stream(), error_code::H3_REQUEST_CANCELLED);
            self.end(io, id, Input::Refused, None);
            return io
                .events
                .push_back(Event::SessionRejected(id, Box::new(response)));
        }
        let offered = match &session.asked {
            Asked::Protocols(protocols) => &protocols[..],
            _ => &[],
        };
        let Ok(protocol) = negotiate::chosen_protocol(dialect, offered, &response) else {
            let what = "the server chose a protocol that was not offered";
            return self.fail(io, id, dialect::WT_ALPN_ERROR, what);
        };
        session.protocol.clone_from(&protocol);
        self.establish(io, id);
        let ready = SessionReady {
            response,
            protocol,
            dialect,
        };
        io.events
            .push_back(Event::SessionReady(id, Box::new(ready)));
        self.begin(io, id);
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
            io.events.push_back(Event::SessionClosed(id, report));
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

    fn send_request(&mut self, io: &mut Io<'_>, id: SessionId, dialect: Dialect) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Asked::Request(request) = &mut session.asked else {
            return;
        };
        let head = negotiate::request_head(dialect, request);
        let protocols = mem::take(&mut request.protocols);
        match io.h3.send_request_on(io.quic, id.stream(), &head, false) {
            Ok(()) => {
                session.state = session.state.on(Input::Sent);
                session.asked = Asked::Protocols(protocols);
                session.dialect = Some(dialect);
            }
            Err(error) => {
                io.quic.reset(id.stream(), error_code::H3_REQUEST_CANCELLED);
                let report = failed(0, &alloc::format!("{error}")).without_code();
                self.end(io, id, Input::Refused, Some(report));
            }
        }
    }

    /// Server: the client's settings are there, so the request can be judged.
    fn offer(&mut self, io: &mut Io<'_>, id: SessionId) {
        let takes_datagrams = io.quic.max_datagram_len().is_some();
        let (Some(session), Some(settings)) = (self.sessions.get(&id), io.h3.peer_settings())
        else {
            return;
        };
        let (State::Held, Asked::Head(head)) = (session.state, &session.asked) else {
            return;
        };
        let peer = Peer {
            settings,
            takes_datagrams,
        };
        let stream = id.stream();
        let dialect = match negotiate::choose_as_server(self.dialects, head, peer) {
            Ok(_) if head.scheme.as_deref() != Some("https") => return self.answer(io, id, 400),
            Ok(dialect) => dialect,
            Err(Refusal::Unsupported) => return self.answer(io, id, 501),
            Err(Refusal::Malformed) => {
                io.h3.cancel(io.quic, stream, error_code::H3_MESSAGE_ERROR);
                return self.end(io, id, Input::Refused, None);
            }
        };
        let head = head.clone();
        if self.live() > self.session_limit(io, dialect) && self.is_last(id) {
            io.h3
                .cancel(io.quic, stream, error_code::H3_REQUEST_REJECTED);
            return self.end(io, id, Input::Refused, None);
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.state = session.state.on(Input::Offered);
            session.dialect = Some(dialect);
            session.patience = Patience::For(self.limits.session_timeout);
        }
        io.events.push_back(Event::SessionRequested(id, head));
        self.pump(io, id);
    }

    /// Server: refuses a request on its own account.
    fn answer(&mut self, io: &mut Io<'_>, id: SessionId, status: u16) {
        let response = ResponseHead {
            status,
            fields: Fields::new(),
        };
        if io
            .h3
            .send_response(io.quic, id.stream(), &response, true)
            .is_ok()
        {
            io.h3.stop(io.quic, id.stream(), error_code::H3_NO_ERROR);
        }
        self.end(io, id, Input::Refused, None);
    }

    /// A 2xx response went out or came in: capsules, streams and datagrams count from here on.
    fn establish(&mut self, io: &mut Io<'_>, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let (Some(dialect), Some(settings)) = (session.dialect, io.h3.peer_settings()) else {
            return;
        };
        let flow_control = negotiate::has_flow_control(dialect, &self.settings, settings);
        session.state = session.state.on(Input::Accepted);
        session.asked = Asked::Done;
        session.patience = Patience::Endless;
        session.credit = flow_control.then(|| Credit::new(dialect.rules(), &self.limits, settings));
        session.input.inbox = Some(Inbox::new(dialect.rules(), flow_control, &self.limits));
    }

    /// What waited for the session goes to it.
    fn begin(&mut self, io: &mut Io<'_>, id: SessionId) {
        self.adopt_waiting(io, id);
        while let Some(data) = self.pending.take_datagram(id) {
            self.keep_datagram(io, id, data);
        }
        self.pump(io, id);
    }

    /// Sessions that count, those waiting among them.
    fn live(&self) -> usize {
        self.sessions
            .values()
            .filter(|session| session.state.is_live())
            .count()
    }

    /// Whether no session that counts came after this one.
    fn is_last(&self, id: SessionId) -> bool {
        let live = self
            .sessions
            .iter()
            .filter(|(_, session)| session.state.is_live());
        live.map(|(id, _)| *id).next_back() == Some(id)
    }

    /// How many sessions there may be at once.
    fn session_limit(&self, io: &Io<'_>, dialect: Dialect) -> usize {
        let none = Settings::new();
        let peer = io.h3.peer_settings().unwrap_or(&none);
        negotiate::session_limit(self.side, dialect, &self.settings, peer, &self.limits)
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
    fn without_code(self) -> Self {
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

fn failed(code: u64, reason: &str) -> SessionClosed {
    closed(ClosedBy::Fault, 0, reason, Some(code))
}

fn session_error(error: RequestError) -> SessionError {
    match error {
        RequestError::Limit => SessionError::Limit,
        RequestError::UnknownRequest => SessionError::UnknownSession,
        RequestError::Invalid(what) => SessionError::Invalid(what),
    }
}

/// How long a closed session waits for the peer's end of its CONNECT stream.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
