//! WebTransport over HTTP/3, in every dialect that is deployed.
//!
//! The layer takes what HTTP/3 found, keeps the sessions, and passes
//! everything else on. A session is a CONNECT request whose stream carries capsules (`connect`),
//! and the streams and datagrams that name it. What is the same in every dialect is code; what
//! differs is data in `dialect`.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};

mod capsules;
mod codes;
mod connect;
mod credit;
mod datagrams;
mod dialect;
mod end;
mod establish;
mod negotiate;
mod pending;
mod request;
mod session;
mod state;
mod stream;
mod streams;

pub use dialect::Dialect;
pub use negotiate::offered_protocols;
pub use request::SessionRequest;
pub use session::SessionStats;

use self::{credit::Kind, pending::Pending, session::Session, stream::Stream};
use crate::{
    config::Limits,
    error::{Fault, SessionError},
    event::Event,
    h3, quic,
    time::Instant,
    wire::{Dir, Side, StreamId},
};

/// A session: the stream that its CONNECT request came on.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) StreamId);

impl SessionId {
    /// The CONNECT stream.
    pub const fn stream(self) -> StreamId {
        self.0
    }
}

/// The WebTransport part of a connection.
#[derive(Debug)]
pub(crate) struct Layer {
    side: Side,
    dialects: &'static [Dialect],
    limits: Limits,
    /// What our SETTINGS say.
    settings: Vec<(u64, u64)>,
    now: Instant,
    phase: Phase,
    sessions: BTreeMap<SessionId, Session>,
    streams: BTreeMap<StreamId, Stream>,
    pending: Pending,
    /// CONNECT streams of ended sessions that QUIC is not done with: nothing of them is told.
    over: BTreeSet<StreamId>,
    /// Datagrams held for the application, over all sessions.
    datagrams: usize,
    datagram_bytes: usize,
    /// Client: streams promised to sessions before any could be opened.
    queued: u64,
    /// Whether the peer, or this end, wants no new sessions.
    going_away: bool,
    /// Whether the peer said so.
    peer_going_away: bool,
    /// Whether some session has capsules that did not fit yet.
    unflushed: bool,
}

/// What of the connection is known.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    /// Streams can be opened; the peer's SETTINGS are missing.
    Connected,
    /// The peer's SETTINGS are there. On a client, what they come to: a dialect, or what the server
    /// lacks.
    Ready(Result<Dialect, &'static str>),
    Closed,
}

/// What is below, and the way up.
pub(crate) struct Io<'a> {
    pub(crate) quic: &'a mut quic::Connection,
    pub(crate) h3: &'a mut h3::Layer,
    pub(crate) events: &'a mut VecDeque<Event>,
}

impl Layer {
    pub(crate) fn new(side: Side, dialects: &'static [Dialect], limits: &Limits) -> Self {
        Self {
            side,
            dialects,
            limits: limits.clone(),
            settings: dialect::settings(dialects, limits),
            now: Instant::ZERO,
            phase: Phase::Handshake,
            sessions: BTreeMap::new(),
            streams: BTreeMap::new(),
            pending: Pending::new(limits),
            over: BTreeSet::new(),
            datagrams: 0,
            datagram_bytes: 0,
            queued: 0,
            going_away: false,
            peer_going_away: false,
            unflushed: false,
        }
    }

    /// What HTTP/3 is to send and to look out for.
    pub(crate) fn extensions(&self) -> h3::Extensions {
        let markers = h3::Markers {
            uni: dialect::UNI_STREAM,
            bidi: dialect::BIDI_SIGNAL,
        };
        h3::Extensions {
            settings: self.settings.clone(),
            markers: (!self.dialects.is_empty()).then_some(markers),
        }
    }

    /// The time, to be set before each input and output.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
        for session in self.sessions.values_mut() {
            session.patience.start(self.now);
        }
    }

    /// Something happened in HTTP/3. Gives it back when it is not about sessions.
    pub(crate) fn on_h3(
        &mut self,
        io: &mut Io<'_>,
        change: h3::Change,
    ) -> Result<Option<h3::Change>, Fault> {
        use h3::Change;
        match change {
            Change::Connected => {
                self.on_connected(io);
                return Ok(Some(change));
            }
            Change::Settings => self.on_settings(io)?,
            Change::GoAway => {
                self.on_go_away(io);
                return Ok(Some(change));
            }
            Change::Closed(_) => {
                self.on_connection_closed();
                return Ok(Some(change));
            }
            Change::Request(id, head) if self.is_session_request(&head) => {
                self.on_request(io, SessionId(id), head);
            }
            Change::Response(id, head) if self.is_session(id) => {
                self.on_response(io, SessionId(id), head);
            }
            Change::Readable(id) if self.is_session(id) => self.pump(io, SessionId(id)),
            Change::Writable(id) if self.is_session(id) => self.flush(io, SessionId(id)),
            Change::Finished(id) if self.is_session(id) => {}
            Change::Stopped(id, code) if self.is_session(id) => {
                self.on_stopped(io, SessionId(id), code);
            }
            Change::Failed(id, code) if self.is_session(id) => {
                self.on_failed(io, SessionId(id), code);
            }
            Change::Foreign {
                id,
                session,
                header_len,
            } => self.on_foreign(io, id, session, header_len)?,
            Change::Stream(change) => self.on_stream(io, change),
            Change::Datagram { stream, payload } => self.on_datagram(io, stream, payload),
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    /// All changes of one input were handled.
    pub(crate) fn on_settled(&mut self, io: &mut Io<'_>) {
        if self.unflushed {
            self.unflushed = false;
            let sessions: Vec<_> = self.sessions.keys().copied().collect();
            for id in sessions {
                self.flush(io, id);
            }
        }
    }

    /// The next time at which something is given up.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let sessions = self
            .sessions
            .values()
            .filter_map(|session| session.patience.deadline());
        let pending = self.pending.timeout(|id| self.sessions.contains_key(&id));
        sessions.chain(pending).min()
    }

    /// Gives up what took too long.
    pub(crate) fn handle_timeout(&mut self, io: &mut Io<'_>) {
        let is_late =
            |session: &Session| session.patience.deadline().is_some_and(|at| at <= self.now);
        let late = self.sessions.iter().filter(|(_, session)| is_late(session));
        let late: Vec<_> = late.map(|(id, _)| *id).collect();
        for id in late {
            self.on_timeout(io, id);
        }
        let is_known = |id| self.sessions.contains_key(&id);
        self.pending.drop_expired(self.now, is_known);
        while let Some(id) = self.pending.take_expired(self.now, is_known) {
            streams::refuse(io, id, dialect::WT_BUFFERED_STREAM_REJECTED);
        }
    }

    /// The dialect of a session; `None` when there is no such session, or it is not known yet.
    pub(crate) fn dialect(&self, id: SessionId) -> Option<Dialect> {
        self.sessions.get(&id)?.dialect
    }

    /// The application protocol of a session, if one was chosen.
    pub(crate) fn protocol(&self, id: SessionId) -> Option<&str> {
        self.sessions.get(&id)?.protocol.as_deref()
    }

    /// Figures of a session.
    pub(crate) fn stats(&self, id: SessionId) -> Option<SessionStats> {
        self.sessions.get(&id).map(|session| session.stats)
    }

    /// Whether the peer gives a stream's session no more credit for data.
    pub(crate) fn lacks_credit(&self, id: StreamId) -> bool {
        let session = self.streams.get(&id).map(|stream| stream.session);
        session.is_some_and(|session| self.is_used_up(session, Kind::Data))
    }

    /// Whether the peer lets a session have no more streams.
    pub(crate) fn lacks_streams(&self, id: SessionId, dir: Dir) -> bool {
        self.is_used_up(id, Kind::Streams(dir))
    }

    fn is_used_up(&self, id: SessionId, kind: Kind) -> bool {
        let session = self.sessions.get(&id);
        let credit = session.and_then(|session| session.credit.as_ref());
        credit.is_some_and(|credit| credit.available(kind) == 0)
    }

    /// Sessions that are established.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        let open = self
            .sessions
            .iter()
            .filter(|(_, session)| session.is_open());
        open.map(|(id, _)| *id)
    }

    /// Bytes held on the peer's behalf.
    pub(crate) fn accounted_bytes(&self) -> usize {
        let sessions = self.sessions.values().map(Session::accounted_bytes);
        let streams = self.streams.len() * (size_of::<Stream>() + size_of::<StreamId>())
            + self.over.len() * size_of::<StreamId>();
        sessions.sum::<usize>() + streams + self.pending.accounted_bytes()
    }

    /// Whether a stream is the CONNECT stream of a session, or was.
    pub(crate) fn is_session(&self, id: StreamId) -> bool {
        self.sessions.contains_key(&SessionId(id)) || self.over.contains(&id)
    }

    /// Whether sessions wait for the handshake. The numbers of their streams are given away.
    pub(crate) fn has_queued(&self) -> bool {
        self.queued > 0
    }

    /// Whether a request asks for a session.
    pub(crate) fn is_session_request(&self, head: &h3::RequestHead) -> bool {
        negotiate::is_session_request(self.dialects, head)
    }

    /// The label and context of the TLS exporter for keys of a session.
    pub(crate) fn exporter(
        &self,
        id: SessionId,
        label: &[u8],
        context: &[u8],
    ) -> Result<(&'static [u8], Vec<u8>), SessionError> {
        let session = self.sessions.get(&id).ok_or(SessionError::UnknownSession)?;
        if !session.is_open() {
            return Err(SessionError::WrongState);
        }
        let context = negotiate::exporter_context(id.stream(), label, context);
        let context = context.ok_or(SessionError::Invalid("the length of label or context"))?;
        Ok((dialect::EXPORTER_LABEL, context))
    }

    fn open_session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions
            .get_mut(&id)
            .filter(|session| session.is_open())
    }

    /// Whether a session that is not known may be about to come: on a client none can.
    fn may_come(&self, id: SessionId) -> bool {
        self.side == Side::Server && self.pending.ended_with(id).is_none()
    }
}
