//! The state under the lock: the core's endpoint, and who waits for which of its events.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    task::Waker,
};

use weftline::{
    ConnId, Connection, Dir, Endpoint, Event, SessionId, StreamId,
    event::{CloseReason, ClosedBy, SessionClosed, SessionReady},
    h3::{RequestHead, ResponseHead},
};

use crate::{
    endpoint::EndpointStats,
    error::{Closed, H3_NO_ERROR},
    shared::{Signal, Wake},
};

pub(crate) struct State {
    pub(crate) endpoint: Endpoint,
    pub(crate) connections: HashMap<ConnId, ConnState>,
    /// Connections that wait for the application to accept them.
    pub(crate) accepted: VecDeque<ConnId>,
    pub(crate) arrivals: Signal,
    /// There is no connection any more.
    pub(crate) idle: Signal,
    /// Queues of datagrams may have room again. Given after turns, if anybody waits.
    pub(crate) datagram_room: Signal,
    pub(crate) datagram_waiters: usize,
    pub(crate) is_accepting: bool,
    pub(crate) is_closed: bool,
    /// No `Endpoint` handle is left.
    pub(crate) is_released: bool,
    pub(crate) stats: EndpointStats,
    /// Whom to wake when the lock is free again.
    wakes: Vec<Wake>,
}

/// A connection that has handles, or is about to get one.
pub(crate) struct ConnState {
    pub(crate) phase: ConnPhase,
    pub(crate) is_going_away: bool,
    /// Sessions and requests of the peer that wait for the application to accept them.
    pub(crate) incoming: VecDeque<Arrived>,
    pub(crate) arrivals: Signal,
    /// `phase` or `is_going_away` changed.
    pub(crate) changed: Signal,
    /// Streams can be opened again, or never.
    pub(crate) stream_room: Signal,
    pub(crate) sessions: HashMap<SessionId, SessionState>,
    pub(crate) streams: HashMap<StreamId, StreamState>,
    /// Sessions that this side closed and the peer may not have seen closed yet.
    closing: HashSet<SessionId>,
    /// No handle is left: it is closed as soon as nothing is `closing`.
    is_released: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum ConnPhase {
    Connecting,
    Connected,
    Closed(CloseReason),
}

pub(crate) enum Arrived {
    Session(SessionId, Box<RequestHead>),
    Request(StreamId, Box<RequestHead>),
}

pub(crate) struct SessionState {
    pub(crate) phase: SessionPhase,
    pub(crate) is_draining: bool,
    /// `phase` or `is_draining` changed.
    pub(crate) changed: Signal,
    pub(crate) bi: Arrivals,
    pub(crate) uni: Arrivals,
    pub(crate) datagrams: Signal,
}

/// Streams of the peer that wait for the application to accept them. The peer's stream limit
/// bounds them.
#[derive(Default)]
pub(crate) struct Arrivals {
    pub(crate) streams: VecDeque<StreamId>,
    pub(crate) signal: Signal,
}

pub(crate) enum SessionPhase {
    /// Not yet answered.
    Asked,
    /// Client: the answer is there, but was not yet taken.
    Ready(Box<SessionReady>),
    Open,
    Rejected(Box<ResponseHead>),
    /// This side closed it, and the peer may not have seen that yet.
    Closing(SessionClosed),
    Closed(SessionClosed),
}

#[derive(Default)]
pub(crate) struct StreamState {
    /// The session it belongs to; `None` for an HTTP/3 exchange.
    pub(crate) session: Option<SessionId>,
    pub(crate) handles: usize,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// How sending ended.
    pub(crate) sent: Option<SendEnd>,
    /// `sent` is there; made when somebody waits for it.
    pub(crate) sent_signal: Option<Signal>,
    /// Client: the response, until it is taken.
    pub(crate) response: Option<Box<ResponseHead>>,
    /// The code that an HTTP/3 exchange failed with.
    pub(crate) failed: Option<u64>,
}

/// How the sending half of a stream ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendEnd {
    /// The peer received everything.
    Acknowledged,
    /// The peer asked to stop.
    Stopped(Option<u32>),
    /// This side reset it.
    Reset,
}

impl State {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            connections: HashMap::new(),
            accepted: VecDeque::new(),
            arrivals: Signal::default(),
            idle: Signal::default(),
            datagram_room: Signal::default(),
            datagram_waiters: 0,
            is_accepting: true,
            is_closed: false,
            is_released: false,
            stats: EndpointStats::default(),
            wakes: Vec::new(),
        }
    }

    /// Takes every event of the endpoint.
    pub(crate) fn take_events(&mut self) {
        while let Some((id, event)) = self.endpoint.poll_event() {
            match event {
                Event::Connected => self.on_connected(id),
                event => {
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.on_event(event, &mut self.wakes);
                        if connection.is_released {
                            self.release(id);
                        }
                    }
                }
            }
        }
        if self.datagram_waiters > 0 {
            self.wakes.push(Wake::All(self.datagram_room.clone()));
        }
        if self.endpoint.is_empty() {
            self.wakes.push(Wake::All(self.idle.clone()));
        }
    }

    /// Whom to wake, once the lock is free; into `wakes`, which is empty.
    pub(crate) fn take_wakes(&mut self, wakes: &mut Vec<Wake>) {
        std::mem::swap(&mut self.wakes, wakes);
    }

    /// The session, or why it is no more.
    pub(crate) fn session(
        &mut self,
        connection: ConnId,
        session: SessionId,
    ) -> Result<&mut SessionState, Closed> {
        let Some(connection) = self.connections.get_mut(&connection) else {
            return Err(Closed::connection_gone());
        };
        let session = connection.sessions.get_mut(&session);
        // A session that ended before its connection has a reason of its own.
        if let Some(closed) = session.as_ref().and_then(|session| session.phase.closed()) {
            return Err(Closed::Session(closed.clone()));
        }
        if let ConnPhase::Closed(reason) = &connection.phase {
            return Err(Closed::Connection(reason.clone()));
        }
        session.ok_or_else(Closed::connection_gone)
    }

    /// The core's connection, or why it is no more.
    pub(crate) fn core(&mut self, id: ConnId) -> Result<&mut Connection, CloseReason> {
        let reason = match self.connections.get(&id) {
            Some(connection) => connection.close_reason(),
            None => None,
        };
        if let Some(reason) = reason {
            return Err(reason);
        }
        self.endpoint.connection(id).ok_or_else(crate::error::gone)
    }

    /// What a stream is without when the core does not know it: its session or connection, or
    /// nothing, when it ended by itself.
    pub(crate) fn stream_closed(&self, id: ConnId, session: Option<SessionId>) -> Option<Closed> {
        let Some(connection) = self.connections.get(&id) else {
            return Some(Closed::connection_gone());
        };
        if let Some(reason) = connection.close_reason() {
            return Some(Closed::Connection(reason));
        }
        let closed = connection.sessions.get(&session?)?.phase.closed()?;
        Some(Closed::Session(closed.clone()))
    }

    pub(crate) fn stream(&mut self, id: ConnId, stream: StreamId) -> Option<&mut StreamState> {
        self.connections.get_mut(&id)?.streams.get_mut(&stream)
    }

    /// Sending on a stream ended.
    pub(crate) fn on_sent(&mut self, id: ConnId, stream: StreamId, end: SendEnd) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if let Some(stream) = connection.streams.get_mut(&stream) {
            stream.on_sent(end, &mut self.wakes);
        }
    }

    /// The last handle of a session is gone.
    pub(crate) fn release_session(&mut self, id: ConnId, session: SessionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if let Some(mut removed) = connection.sessions.remove(&session) {
            let uni = std::mem::take(&mut removed.uni.streams);
            for stream in removed.bi.streams.into_iter().chain(uni) {
                connection.streams.remove(&stream);
            }
        }
        self.close_session(id, session, 0, "");
    }

    /// Closes a session, if it is open.
    pub(crate) fn close_session(
        &mut self,
        id: ConnId,
        session: SessionId,
        code: u32,
        reason: &str,
    ) {
        let Ok(core) = self.core(id) else { return };
        if core.close_session(session, code, reason).is_err() {
            return;
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.closing.insert(session);
            let closed = SessionClosed {
                by: ClosedBy::Local,
                code,
                reason: reason.to_owned(),
                error: None,
            };
            let closing = SessionPhase::Closing(closed);
            connection.on_session_end(session, closing, &mut self.wakes);
        }
    }

    /// No handle of a connection is left, or it never got one. It is closed once the peer has seen
    /// the sessions on it closed, as it would take their codes and reasons with it.
    pub(crate) fn release(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id)
            && connection.close_reason().is_none()
            && !connection.closing.is_empty()
        {
            connection.is_released = true;
            return;
        }
        self.connections.remove(&id);
        if let Some(connection) = self.endpoint.connection(id) {
            connection.close(H3_NO_ERROR, "");
        }
    }

    /// Takes no connection from now on.
    pub(crate) fn stop_accepting(&mut self) {
        self.is_accepting = false;
        self.endpoint.stop_accepting();
    }

    /// Has those who accept connections look whether more will come.
    pub(crate) fn wake_arrivals(&mut self) {
        self.wakes.push(Wake::All(self.arrivals.clone()));
    }

    /// Closes the connections that nobody accepted.
    pub(crate) fn release_accepted(&mut self) {
        while let Some(id) = self.accepted.pop_front() {
            self.release(id);
        }
    }

    fn on_connected(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.phase = ConnPhase::Connected;
            self.wakes.push(Wake::All(connection.changed.clone()));
        } else if self.is_accepting {
            self.connections
                .insert(id, ConnState::new(ConnPhase::Connected));
            self.accepted.push_back(id);
            self.wakes.push(Wake::All(self.arrivals.clone()));
        } else {
            self.release(id);
        }
    }
}

impl ConnState {
    pub(crate) fn new(phase: ConnPhase) -> Self {
        Self {
            phase,
            is_going_away: false,
            incoming: VecDeque::new(),
            arrivals: Signal::default(),
            changed: Signal::default(),
            stream_room: Signal::default(),
            sessions: HashMap::new(),
            streams: HashMap::new(),
            closing: HashSet::new(),
            is_released: false,
        }
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        match &self.phase {
            ConnPhase::Closed(reason) => Some(reason.clone()),
            ConnPhase::Connecting | ConnPhase::Connected => None,
        }
    }

    fn on_event(&mut self, event: Event, wakes: &mut Vec<Wake>) {
        match event {
            Event::SessionRequested(id, head) => {
                self.sessions
                    .insert(id, SessionState::new(SessionPhase::Asked));
                self.on_arrival(Arrived::Session(id, head), wakes);
            }
            Event::Request(id, head) => {
                self.streams.insert(id, StreamState::default());
                self.on_arrival(Arrived::Request(id, head), wakes);
            }
            Event::SessionReady(id, ready) => {
                self.on_session(id, SessionPhase::Ready(ready), wakes);
            }
            Event::SessionRejected(id, response) => {
                self.on_session(id, SessionPhase::Rejected(response), wakes);
            }
            Event::SessionDraining(id) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.is_draining = true;
                    wakes.push(Wake::All(session.changed.clone()));
                }
            }
            Event::SessionClosed(id, closed) => {
                self.closing.remove(&id);
                self.on_session_end(id, SessionPhase::Closed(closed), wakes);
            }
            Event::StreamOpened(session, stream) => self.on_stream_opened(session, stream, wakes),
            Event::Datagrams(id) => {
                if let Some(session) = self.sessions.get(&id) {
                    wakes.push(Wake::All(session.datagrams.clone()));
                }
            }
            Event::StreamsAvailable(_) => wakes.push(Wake::All(self.stream_room.clone())),
            Event::GoingAway => {
                self.is_going_away = true;
                wakes.push(Wake::All(self.changed.clone()));
                // Those who wait to send a request wait in vain.
                wakes.push(Wake::All(self.stream_room.clone()));
            }
            Event::Closed(reason) => self.on_closed(reason, wakes),
            event => self.on_stream_event(event, wakes),
        }
    }

    fn on_stream_event(&mut self, event: Event, wakes: &mut Vec<Wake>) {
        let (Event::Readable(id)
        | Event::Writable(id)
        | Event::StreamFinished(id)
        | Event::StreamStopped(id, _)
        | Event::Response(id, _)
        | Event::RequestFailed(id, _)) = event
        else {
            return;
        };
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        match event {
            Event::Readable(_) => stream.wake_reader(wakes),
            Event::Writable(_) => stream.wake_writer(wakes),
            Event::StreamFinished(_) => stream.on_sent(SendEnd::Acknowledged, wakes),
            Event::StreamStopped(_, code) => stream.on_sent(SendEnd::Stopped(code), wakes),
            Event::Response(_, response) => {
                stream.response = Some(response);
                stream.wake_reader(wakes);
            }
            Event::RequestFailed(_, code) => {
                stream.failed = Some(code);
                stream.wake_all(wakes);
            }
            _ => {}
        }
    }

    fn on_arrival(&mut self, arrived: Arrived, wakes: &mut Vec<Wake>) {
        self.incoming.push_back(arrived);
        wakes.push(Wake::All(self.arrivals.clone()));
    }

    fn on_session(&mut self, id: SessionId, phase: SessionPhase, wakes: &mut Vec<Wake>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.phase = phase;
            wakes.push(Wake::All(session.changed.clone()));
        }
    }

    fn on_session_end(&mut self, id: SessionId, end: SessionPhase, wakes: &mut Vec<Wake>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        // A refusal says more than the end that follows it.
        if !matches!(session.phase, SessionPhase::Rejected(_)) {
            session.phase = end;
        }
        session.wake_all(wakes);
        wakes.push(Wake::All(self.stream_room.clone()));
        let (bi, uni) = (&mut session.bi.streams, &mut session.uni.streams);
        for stream in bi.drain(..).chain(uni.drain(..)) {
            self.streams.remove(&stream);
        }
        for stream in self.streams.values_mut() {
            if stream.session == Some(id) {
                stream.wake_all(wakes);
            }
        }
        // A request that the client took back before anybody saw it.
        let before = self.incoming.len();
        self.incoming
            .retain(|arrived| !matches!(arrived, Arrived::Session(waiting, _) if *waiting == id));
        if self.incoming.len() < before {
            self.sessions.remove(&id);
        }
    }

    fn on_stream_opened(&mut self, session_id: SessionId, id: StreamId, wakes: &mut Vec<Wake>) {
        // Without a session here its last handle is gone, and the core is about to close it.
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let arrivals = session.arrivals(id.dir());
        arrivals.streams.push_back(id);
        wakes.push(Wake::All(arrivals.signal.clone()));
        self.streams.insert(id, StreamState::of_session(session_id));
    }

    fn on_closed(&mut self, reason: CloseReason, wakes: &mut Vec<Wake>) {
        self.phase = ConnPhase::Closed(reason);
        for signal in [&self.changed, &self.arrivals, &self.stream_room] {
            wakes.push(Wake::All(signal.clone()));
        }
        for session in self.sessions.values_mut() {
            session.wake_all(wakes);
        }
        for stream in self.streams.values_mut() {
            stream.wake_all(wakes);
        }
    }
}

impl SessionPhase {
    /// How it ended, as far as its users are concerned.
    fn closed(&self) -> Option<&SessionClosed> {
        match self {
            Self::Closing(closed) | Self::Closed(closed) => Some(closed),
            Self::Asked | Self::Ready(_) | Self::Open | Self::Rejected(_) => None,
        }
    }
}

impl SessionState {
    pub(crate) fn new(phase: SessionPhase) -> Self {
        Self {
            phase,
            is_draining: false,
            changed: Signal::default(),
            bi: Arrivals::default(),
            uni: Arrivals::default(),
            datagrams: Signal::default(),
        }
    }

    pub(crate) fn arrivals(&mut self, dir: Dir) -> &mut Arrivals {
        match dir {
            Dir::Bi => &mut self.bi,
            Dir::Uni => &mut self.uni,
        }
    }

    fn wake_all(&self, wakes: &mut Vec<Wake>) {
        let signals = [
            &self.changed,
            &self.bi.signal,
            &self.uni.signal,
            &self.datagrams,
        ];
        wakes.extend(signals.map(|signal| Wake::All(signal.clone())));
    }
}

impl StreamState {
    pub(crate) fn of_session(session: SessionId) -> Self {
        Self {
            session: Some(session),
            ..Self::default()
        }
    }

    /// Sending ended; the first end counts.
    pub(crate) fn on_sent(&mut self, end: SendEnd, wakes: &mut Vec<Wake>) {
        self.sent.get_or_insert(end);
        self.wake_writer(wakes);
        wakes.extend(self.sent_signal.clone().map(Wake::All));
    }

    fn wake_reader(&mut self, wakes: &mut Vec<Wake>) {
        wakes.extend(self.reader.take().map(Wake::Task));
    }

    fn wake_writer(&mut self, wakes: &mut Vec<Wake>) {
        wakes.extend(self.writer.take().map(Wake::Task));
    }

    fn wake_all(&mut self, wakes: &mut Vec<Wake>) {
        self.wake_reader(wakes);
        self.wake_writer(wakes);
        wakes.extend(self.sent_signal.clone().map(Wake::All));
    }
}
