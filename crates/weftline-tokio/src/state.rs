//! The state under the lock: the core's endpoint, and who waits for which of its events.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

use weftline::{
    ConnId, Connection, Endpoint, Event, SessionId, StreamId,
    event::{CloseReason, ClosedBy, SessionClosed},
};

mod connection;
mod session;
mod stream;

pub(crate) use connection::{Arrived, ConnPhase, ConnState};
pub(crate) use session::{Arrivals, SessionPhase, SessionState};
pub(crate) use stream::{SendEnd, StreamState};

use weftline_std::UdpIo;

use crate::{
    driver::Socket,
    endpoint::EndpointStats,
    error::{Closed, H3_NO_ERROR, gone},
    shared::{Signal, Wake},
};

pub(crate) struct State {
    pub(crate) endpoint: Endpoint,
    pub(crate) connections: HashMap<ConnId, ConnState>,
    /// The socket to go on with, and where the socket is.
    pub(crate) next_io: Option<Box<UdpIo<Socket>>>,
    pub(crate) local: SocketAddr,
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
    /// The driver is gone: nothing happens any more.
    pub(crate) is_lost: bool,
    pub(crate) stats: EndpointStats,
    /// Whom to wake when the lock is free again.
    wakes: Vec<Wake>,
}

impl State {
    pub(crate) fn new(endpoint: Endpoint, local: SocketAddr) -> Self {
        Self {
            endpoint,
            next_io: None,
            local,
            connections: HashMap::new(),
            accepted: VecDeque::new(),
            arrivals: Signal::default(),
            idle: Signal::default(),
            datagram_room: Signal::default(),
            datagram_waiters: 0,
            is_accepting: true,
            is_closed: false,
            is_released: false,
            is_lost: false,
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
                    if matches!(event, Event::Request(..) | Event::RawStreamOpened(_)) {
                        self.on_early_arrival(id);
                    }
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.on_event(event, &mut self.wakes);
                        if connection.is_released {
                            self.release(id);
                        }
                    }
                }
            }
        }
        if self.endpoint.has_incoming() {
            self.wakes.push(Wake::All(self.arrivals.clone()));
        }
        if self.datagram_waiters > 0 {
            self.wakes.push(Wake::All(self.datagram_room.clone()));
        }
        if self.endpoint.is_empty() {
            self.wakes.push(Wake::All(self.idle.clone()));
        }
    }

    /// The driver is gone before its work was over: so is everything that stood on it.
    pub(crate) fn on_driver_lost(&mut self) {
        self.is_lost = true;
        self.is_closed = true;
        self.is_accepting = false;
        for connection in self.connections.values_mut() {
            if connection.close_reason().is_none() {
                connection.on_closed(gone("the endpoint's task has ended"), &mut self.wakes);
            }
        }
        for signal in [&self.arrivals, &self.idle, &self.datagram_room] {
            self.wakes.push(Wake::All(signal.clone()));
        }
    }

    /// Whether no connection is left, or nothing will happen to those that are.
    pub(crate) fn is_idle(&self) -> bool {
        self.endpoint.is_empty() || self.is_lost
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
        self.endpoint.connection(id).ok_or_else(|| gone(""))
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
            match connection.raw() {
                Some(mut raw) => raw.close(0, ""),
                None => connection.close(H3_NO_ERROR, ""),
            }
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

    /// Something came in early data, before the handshake is complete: the connection is handed out
    /// already now.
    fn on_early_arrival(&mut self, id: ConnId) {
        if self.connections.contains_key(&id) || !self.is_accepting {
            return;
        }
        let core = self.endpoint.connection(id);
        if core.is_some_and(|core| !core.is_established() && !core.is_closed()) {
            self.connections
                .insert(id, ConnState::new(ConnPhase::Connecting));
            self.accepted.push_back(id);
            self.wakes.push(Wake::All(self.arrivals.clone()));
        }
    }

    fn on_connected(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.phase = ConnPhase::Connected;
            self.wakes.push(Wake::All(connection.changed.clone()));
            // What may not be sent before the handshake waits for this.
            self.wakes.push(Wake::All(connection.stream_room.clone()));
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
