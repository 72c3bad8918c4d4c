//! How sessions begin: they are asked for, judged, answered and established.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::mem;

use super::{
    Dialect, Io, Layer, Phase, SessionId, SessionRequest,
    capsules::Inbox,
    credit::Credit,
    dialect,
    end::failed,
    negotiate::{self, Peer, Refusal},
    session::{Asked, Patience, Session},
    state::{Input, State},
};
use crate::{
    error::{Fault, RequestError, SessionError},
    event::{Event, SessionReady},
    h3::{self, Fields, RequestHead, ResponseHead},
    probe::ProbeEvent,
    quic,
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
            Phase::Handshake | Phase::Connected if self.live() >= self.limits.sessions => {
                return Err(SessionError::Limit);
            }
            // Sessions do not go ahead of the handshake. The next streams will be these, in order:
            // no early request is sent any more.
            Phase::Handshake => {
                let index = io.quic.opened(Dir::Bi) + self.queued;
                StreamId::new(Side::Client, Dir::Bi, index)
            }
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
        self.queued += u64::from(self.phase == Phase::Handshake);
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

    /// This end takes no more sessions.
    pub(crate) fn go_away(&mut self) {
        self.going_away = true;
    }

    pub(super) fn on_connected(&mut self, io: &mut Io<'_>) {
        self.phase = Phase::Connected;
        let first = io.quic.opened(Dir::Bi);
        for index in 0..self.queued {
            let stream = StreamId::new(Side::Client, Dir::Bi, first + index);
            let id = SessionId(stream);
            let is_open = io.quic.open(Dir::Bi) == Some(stream);
            match self.sessions.get_mut(&id) {
                Some(session) if is_open => {
                    session.patience = Patience::For(self.limits.session_timeout);
                }
                Some(_) => {
                    let what = "the server takes no more requests";
                    self.end(io, id, Input::Refused, Some(failed(0, what).without_code()));
                    self.over.remove(&stream);
                }
                // It was closed again meanwhile.
                None => io.quic.reset(stream, error_code::H3_REQUEST_CANCELLED),
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
                    if self.admitted() >= self.session_limit(io, dialect) {
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
        if mem::replace(&mut self.peer_going_away, true) {
            return;
        }
        io.events.push_back(Event::GoingAway);
        for (&id, session) in &mut self.sessions {
            if session.is_open() && !mem::replace(&mut session.draining, true) {
                io.events.push_back(Event::SessionDraining(id));
            }
        }
    }

    /// Server: a request for a session arrived.
    pub(super) fn on_request(&mut self, io: &mut Io<'_>, id: SessionId, head: RequestHead) {
        // The exact limit is known with the settings.
        if self.live() >= self.limits.sessions {
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
        if self.admitted() >= self.session_limit(io, dialect) {
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
        // Its capsules must get through when the data of its streams does not.
        io.quic.set_priority(id.stream(), quic::URGENT);
        io.quic.tell_probe(|| ProbeEvent::SessionEstablished {
            id: id.stream(),
            dialect: dialect.name(),
            protocol: session.protocol.as_deref(),
        });
        session.state = session.state.on(Input::Accepted);
        session.asked = Asked::Done;
        session.patience = Patience::Endless;
        session.credit = flow_control.then(|| Credit::new(dialect.rules(), &self.limits, settings));
        session.input.inbox = Some(Inbox::new(dialect.rules(), flow_control, &self.limits));
    }

    /// What waited for the session goes to it, and the application hears what it missed.
    fn begin(&mut self, io: &mut Io<'_>, id: SessionId) {
        self.adopt_waiting(io, id);
        while let Some(data) = self.pending.take_datagram(id) {
            self.keep_datagram(io, id, data);
        }
        if let Some(session) = self.sessions.get_mut(&id)
            && self.peer_going_away
        {
            session.draining = true;
            io.events.push_back(Event::SessionDraining(id));
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

    /// Sessions that were let through: asked for, shown to the application or open.
    fn admitted(&self) -> usize {
        let states = self.sessions.values().map(|session| session.state);
        states
            .filter(|state| matches!(state, State::Requested | State::Offered | State::Open))
            .count()
    }

    /// How many sessions there may be at once.
    fn session_limit(&self, io: &Io<'_>, dialect: Dialect) -> usize {
        let none = Settings::new();
        let peer = io.h3.peer_settings().unwrap_or(&none);
        negotiate::session_limit(self.side, dialect, &self.settings, peer, &self.limits)
    }
}

fn session_error(error: RequestError) -> SessionError {
    match error {
        RequestError::Limit => SessionError::Limit,
        RequestError::UnknownRequest => SessionError::UnknownSession,
        RequestError::Invalid(what) => SessionError::Invalid(what),
    }
}
