use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use weftline::{
    Dir, SessionId, StreamId,
    error::{DatagramError, OpenError, SessionError},
    event::SessionClosed,
    h3::ResponseHead,
    wt::{Dialect, SessionStats},
};

use crate::{
    Connection, RecvStream, SendStream,
    error::Closed,
    shared::{Shared, Signal},
    state::{SessionPhase, SessionState, State, StreamState},
    stream::{Owner, StreamHandle},
};

/// A WebTransport session.
///
/// It is closed with code 0 when the last handle on it is dropped; its streams are such handles
/// too.
#[derive(Clone)]
pub struct Session {
    handle: Arc<SessionHandle>,
}

struct SessionHandle {
    connection: Connection,
    id: SessionId,
    accepted: OnceLock<Accepted>,
}

/// What the server's acceptance settled.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) protocol: Option<String>,
    pub(crate) dialect: Dialect,
    pub(crate) response: Option<ResponseHead>,
}

impl Session {
    /// The one handle of a session; clones share it.
    pub(crate) fn new(connection: Connection, id: SessionId) -> Self {
        let handle = Arc::new(SessionHandle {
            connection,
            id,
            accepted: OnceLock::new(),
        });
        Self { handle }
    }

    /// Before anybody gets to see the session.
    pub(crate) fn set_accepted(&self, accepted: Accepted) {
        // Set once: by the one who made the handle.
        let _ = self.handle.accepted.set(accepted);
    }

    /// The next bidirectional stream that the peer opens.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), Closed> {
        let id = self.accept(Dir::Bi).await?;
        Ok((self.send_half(id), self.recv_half(id)))
    }

    /// The next unidirectional stream that the peer opens.
    pub async fn accept_uni(&self) -> Result<RecvStream, Closed> {
        let id = self.accept(Dir::Uni).await?;
        Ok(self.recv_half(id))
    }

    /// Opens a bidirectional stream. Waits while the peer's limit is reached.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), Closed> {
        let id = self.open(Dir::Bi).await?;
        Ok((self.send_half(id), self.recv_half(id)))
    }

    /// Opens a unidirectional stream. Waits while the peer's limit is reached.
    pub async fn open_uni(&self) -> Result<SendStream, Closed> {
        let id = self.open(Dir::Uni).await?;
        Ok(self.send_half(id))
    }

    /// Opens a bidirectional stream now; `None` while the peer's limit is reached.
    pub fn try_open_bi(&self) -> Result<Option<(SendStream, RecvStream)>, Closed> {
        let id = self.try_open(Dir::Bi)?;
        Ok(id.map(|id| (self.send_half(id), self.recv_half(id))))
    }

    /// Opens a unidirectional stream now; `None` while the peer's limit is reached.
    pub fn try_open_uni(&self) -> Result<Option<SendStream>, Closed> {
        let id = self.try_open(Dir::Uni)?;
        Ok(id.map(|id| self.send_half(id)))
    }

    /// Queues a datagram.
    ///
    /// # Errors
    /// [`DatagramError::Full`] when many wait already: drop it, it is a datagram, or wait with
    /// [`Session::send_datagram_wait`].
    pub fn send_datagram(&self, data: &[u8]) -> Result<(), DatagramError> {
        let mut state = self.shared().lock();
        self.try_send_datagram(&mut state, data)?;
        drop(state);
        self.shared().wake_driver();
        Ok(())
    }

    /// Queues a datagram, once there is room in the queue.
    pub async fn send_datagram_wait(&self, data: &[u8]) -> Result<(), DatagramError> {
        let send = |state: &mut State| self.try_send_datagram(state, data);
        self.shared().send_datagram(send).await
    }

    /// The next datagram from the peer.
    pub async fn recv_datagram(&self) -> Result<Bytes, Closed> {
        let signal = self.signal(|session| &session.datagrams);
        let receive = |state: &mut State| match state.session(self.connection().id(), self.id()) {
            Ok(_) => self.next_datagram(state).map(Ok),
            Err(closed) => Some(Err(closed)),
        };
        self.shared().wait(&signal, receive).await
    }

    /// The next datagram from the peer, if there is one now.
    pub fn try_recv_datagram(&self) -> Option<Bytes> {
        self.next_datagram(&mut self.shared().lock())
    }

    /// The longest datagram that fits now; `None` when the session takes none.
    pub fn max_datagram_len(&self) -> Option<usize> {
        let id = self.id();
        self.connection()
            .peek(|core| core.max_datagram_len(id))
            .flatten()
    }

    /// Closes the session, and with it all its streams. Of the reason 1024 bytes are sent. Wait for
    /// [`Session::closed`] before closing the connection, or the peer may see only the latter.
    pub fn close(&self, code: u32, reason: &str) {
        let (connection, id) = (self.connection().id(), self.id());
        let mut state = self.shared().lock();
        state.close_session(connection, id, code, reason);
        drop(state);
        self.shared().wake_driver();
    }

    /// Asks the peer to finish soon; everything goes on working.
    pub fn drain(&self) {
        let id = self.id();
        // Closed before, then.
        let _ = self.connection().with(|core| core.drain_session(id));
    }

    /// Waits until the session is over, and says why: after [`Session::close`], until the peer has
    /// seen that. When its connection ends, that is said in the
    /// session's terms.
    pub async fn closed(&self) -> SessionClosed {
        let signal = self.signal(|session| &session.changed);
        let closed = |state: &mut State| match state.session(self.connection().id(), self.id()) {
            Ok(_) => None,
            Err(Closed::Session(closed)) => self.is_over(state).then_some(closed),
            Err(Closed::Connection(reason)) => Some(SessionClosed {
                by: reason.by,
                code: 0,
                reason: reason.reason,
                error: Some(reason.code),
            }),
        };
        self.shared().wait(&signal, closed).await
    }

    /// Waits until the peer asks to finish soon (a drain capsule or GOAWAY).
    ///
    /// # Errors
    /// When the session is closed instead.
    pub async fn draining(&self) -> Result<(), Closed> {
        let signal = self.signal(|session| &session.changed);
        let draining = |state: &mut State| match state.session(self.connection().id(), self.id()) {
            Ok(session) => session.is_draining.then_some(Ok(())),
            Err(closed) => Some(Err(closed)),
        };
        self.shared().wait(&signal, draining).await
    }

    /// The application protocol agreed on.
    pub fn protocol(&self) -> Option<&str> {
        self.handle.accepted.get()?.protocol.as_deref()
    }

    /// The dialect of WebTransport in use.
    pub fn dialect(&self) -> Dialect {
        let accepted = self.handle.accepted.get();
        accepted.map_or(Dialect::Draft02, |accepted| accepted.dialect)
    }

    /// Client: the server's response.
    pub fn response(&self) -> Option<&ResponseHead> {
        self.handle.accepted.get()?.response.as_ref()
    }

    /// Names the session within its connection.
    pub fn id(&self) -> SessionId {
        self.handle.id
    }

    /// The connection beneath.
    pub fn connection(&self) -> &Connection {
        &self.handle.connection
    }

    /// Fills `out` with keying material that both ends of the session, and nobody else, can compute
    /// (draft-16, section 4.8). `label` has 1 to 255 bytes, `context` up to 255.
    ///
    /// # Errors
    /// When the session is closed.
    pub fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), SessionError> {
        let id = self.id();
        self.connection()
            .peek(|core| core.export_session_keying_material(id, out, label, context))
            .unwrap_or(Err(SessionError::UnknownSession))
    }

    /// The session's figures; `None` when it is closed. Those of the path are the connection's.
    pub fn stats(&self) -> Option<SessionStats> {
        let id = self.id();
        self.connection()
            .peek(|core| core.session_stats(id))
            .flatten()
    }

    async fn accept(&self, dir: Dir) -> Result<StreamId, Closed> {
        let signal = {
            let mut state = self.shared().lock();
            let session = state.session(self.connection().id(), self.id())?;
            session.arrivals(dir).signal.clone()
        };
        let next = |state: &mut State| match state.session(self.connection().id(), self.id()) {
            Ok(session) => session.arrivals(dir).streams.pop_front().map(Ok),
            Err(closed) => Some(Err(closed)),
        };
        self.shared().wait(&signal, next).await
    }

    async fn open(&self, dir: Dir) -> Result<StreamId, Closed> {
        let room = self
            .connection()
            .signal(|connection| &connection.stream_room);
        let open = |state: &mut State| self.open_now(state, dir).transpose();
        let opened = self.shared().wait(&room, open).await;
        self.shared().wake_driver();
        opened
    }

    fn try_open(&self, dir: Dir) -> Result<Option<StreamId>, Closed> {
        let opened = self.open_now(&mut self.shared().lock(), dir);
        self.shared().wake_driver();
        opened
    }

    fn open_now(&self, state: &mut State, dir: Dir) -> Result<Option<StreamId>, Closed> {
        let (connection, id) = (self.connection().id(), self.id());
        state.session(connection, id)?;
        let core = state.core(connection).map_err(Closed::Connection)?;
        match core.open_stream(id, dir) {
            Ok(stream) => {
                // At once, so that no event of the stream is missed.
                if let Some(connection) = state.connections.get_mut(&connection) {
                    let opened = StreamState::of_session(id);
                    connection.streams.insert(stream, opened);
                }
                Ok(Some(stream))
            }
            // When the session is not open, its closing is about to be reported.
            Err(OpenError::Limit | OpenError::NotOpen) => {
                // The peer is told that its limit holds us back.
                self.shared().wake_driver();
                Ok(None)
            }
        }
    }

    fn send_half(&self, id: StreamId) -> SendStream {
        SendStream::new(StreamHandle::new(Owner::Session(self.clone()), id))
    }

    fn recv_half(&self, id: StreamId) -> RecvStream {
        RecvStream::new(StreamHandle::new(Owner::Session(self.clone()), id))
    }

    fn try_send_datagram(&self, state: &mut State, data: &[u8]) -> Result<(), DatagramError> {
        let Ok(core) = state.core(self.connection().id()) else {
            return Err(DatagramError::NotOpen);
        };
        core.send_datagram(self.id(), data)
    }

    fn next_datagram(&self, state: &mut State) -> Option<Bytes> {
        let core = state.core(self.connection().id()).ok()?;
        core.recv_datagram(self.id())
    }

    /// Whether the peer has seen the close, or closed by itself, the session or the connection.
    fn is_over(&self, state: &State) -> bool {
        let connection = state.connections.get(&self.connection().id());
        let is_connected = connection.is_some_and(|connection| connection.close_reason().is_none());
        let phase = self.state(state).map(|session| &session.phase);
        !(is_connected && matches!(phase, Some(SessionPhase::Closing(_))))
    }

    fn shared(&self) -> &Arc<Shared> {
        self.connection().shared()
    }

    fn signal(&self, which: impl FnOnce(&SessionState) -> &Signal) -> Signal {
        match self.state(&self.shared().lock()) {
            Some(session) => which(session).clone(),
            // Gone: then nobody will wait for it.
            None => Signal::default(),
        }
    }

    fn state<'a>(&self, state: &'a State) -> Option<&'a SessionState> {
        let connection = state.connections.get(&self.connection().id())?;
        connection.sessions.get(&self.id())
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        let shared = self.connection.shared();
        shared.lock().release_session(self.connection.id(), self.id);
        shared.wake_driver();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("connection", &self.connection().id())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
