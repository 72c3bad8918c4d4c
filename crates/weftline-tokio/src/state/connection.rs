use std::collections::{HashMap, HashSet, VecDeque};

use weftline::{
    Dir, Event, SessionId, StreamId,
    event::{CloseReason, PathChange},
    h3::RequestHead,
};

use super::{Arrivals, SendEnd, SessionPhase, SessionState, StreamState};
use crate::shared::{Signal, Wake};

/// A connection that has handles, or is about to get one.
pub(crate) struct ConnState {
    pub(crate) phase: ConnPhase,
    pub(crate) is_going_away: bool,
    /// The last change of the path, and how many there were.
    pub(crate) path: Option<PathChange>,
    pub(crate) path_changes: u64,
    /// Sessions and requests of the peer that wait for the application to accept them.
    pub(crate) incoming: VecDeque<Arrived>,
    pub(crate) arrivals: Signal,
    /// `phase`, `is_going_away` or `path` changed.
    pub(crate) changed: Signal,
    /// Streams can be opened again, or never.
    pub(crate) stream_room: Signal,
    pub(crate) sessions: HashMap<SessionId, SessionState>,
    /// Streams of a raw connection that wait for the application to accept them, and its datagrams.
    bi: Arrivals,
    uni: Arrivals,
    pub(crate) datagrams: Signal,
    pub(crate) streams: HashMap<StreamId, StreamState>,
    /// Sessions that this side closed and the peer may not have seen closed yet.
    pub(super) closing: HashSet<SessionId>,
    /// No handle is left: it is closed as soon as nothing is `closing`.
    pub(super) is_released: bool,
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

impl ConnState {
    pub(crate) fn new(phase: ConnPhase) -> Self {
        Self {
            phase,
            is_going_away: false,
            path: None,
            path_changes: 0,
            incoming: VecDeque::new(),
            arrivals: Signal::default(),
            changed: Signal::default(),
            stream_room: Signal::default(),
            sessions: HashMap::new(),
            bi: Arrivals::default(),
            uni: Arrivals::default(),
            datagrams: Signal::default(),
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

    /// Streams of the peer on a raw connection.
    pub(crate) fn arrivals_of(&self, dir: Dir) -> &Arrivals {
        match dir {
            Dir::Bi => &self.bi,
            Dir::Uni => &self.uni,
        }
    }

    pub(crate) fn arrivals_of_mut(&mut self, dir: Dir) -> &mut Arrivals {
        match dir {
            Dir::Bi => &mut self.bi,
            Dir::Uni => &mut self.uni,
        }
    }

    pub(super) fn on_event(&mut self, event: Event, wakes: &mut Vec<Wake>) {
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
            Event::RawStreamOpened(stream) => {
                self.streams.insert(stream, StreamState::default());
                let arrivals = self.arrivals_of_mut(stream.dir());
                arrivals.streams.push_back(stream);
                wakes.push(Wake::All(arrivals.signal.clone()));
            }
            Event::RawDatagrams => wakes.push(Wake::All(self.datagrams.clone())),
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
            Event::PathChanged(change) => {
                self.path = Some(change);
                self.path_changes += 1;
                wakes.push(Wake::All(self.changed.clone()));
            }
            Event::Closed(reason) => self.on_closed(reason, wakes),
            event => self.on_stream_event(event, wakes),
        }
    }

    fn on_stream_event(&mut self, event: Event, wakes: &mut Vec<Wake>) {
        let (Event::Readable(id)
        | Event::Writable(id)
        | Event::BufferLow(id)
        | Event::StreamFinished(id)
        | Event::StreamStopped(id, _)
        | Event::RawStreamStopped(id, _)
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
            Event::Writable(_) | Event::BufferLow(_) => stream.wake_writer(wakes),
            Event::StreamFinished(_) => stream.on_sent(SendEnd::Acknowledged, wakes),
            Event::StreamStopped(_, code) => {
                stream.on_sent(SendEnd::Stopped(code.map(u64::from)), wakes);
            }
            Event::RawStreamStopped(_, code) => {
                stream.on_sent(SendEnd::Stopped(Some(code)), wakes);
            }
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

    pub(super) fn on_session_end(
        &mut self,
        id: SessionId,
        end: SessionPhase,
        wakes: &mut Vec<Wake>,
    ) {
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

    pub(super) fn on_closed(&mut self, reason: CloseReason, wakes: &mut Vec<Wake>) {
        self.phase = ConnPhase::Closed(reason);
        let raw = [&self.bi.signal, &self.uni.signal, &self.datagrams];
        let all = [&self.changed, &self.arrivals, &self.stream_room];
        for signal in all.into_iter().chain(raw) {
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
