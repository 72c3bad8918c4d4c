use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use weftline::{
    ConnId, Connection as Core, EarlyData, Stats, StreamId,
    crypto::CryptoError,
    error,
    event::{CloseReason, PathChange},
    h3::RequestHead,
    wt::SessionRequest,
};

use crate::{
    PendingResponse, RawConnection, RecvStream, SendStream, Session,
    error::{Closed, MigrateError, OpenSessionError, RequestError, gone},
    incoming::{Incoming, IncomingSession},
    request::IncomingRequest,
    session::Accepted,
    shared::{Shared, Signal},
    state::{Arrived, ConnPhase, ConnState, SessionPhase, SessionState, State},
    stream::{Owner, StreamHandle},
};

/// A QUIC connection that speaks HTTP/3 and WebTransport.
///
/// It is closed with H3_NO_ERROR (0 if it is raw) when the last handle on it is dropped; sessions, streams and
/// exchanges are such handles too.
#[derive(Clone)]
pub struct Connection {
    handle: Arc<ConnHandle>,
}

struct ConnHandle {
    shared: Arc<Shared>,
    id: ConnId,
    /// Where the peer was at first.
    remote: SocketAddr,
}

impl Connection {
    /// The one handle of a connection that has a state; clones share it.
    pub(crate) fn new(shared: Arc<Shared>, id: ConnId) -> Self {
        let remote = match shared.lock().endpoint.connection(id) {
            Some(core) => core.remote_address(),
            None => SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        let handle = Arc::new(ConnHandle { shared, id, remote });
        Self { handle }
    }

    /// Server: the next session or request of the client.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn accept(&self) -> Result<Incoming, CloseReason> {
        let arrivals = self.signal(|connection| &connection.arrivals);
        let next = |state: &mut State| match state.connections.get_mut(&self.id()) {
            Some(connection) => match connection.incoming.pop_front() {
                Some(arrived) => Some(Ok(arrived)),
                None => connection.close_reason().map(Err),
            },
            None => Some(Err(gone(""))),
        };
        match self.shared().wait(&arrivals, next).await? {
            Arrived::Session(id, head) => {
                let session = IncomingSession::new(self.clone(), id, head);
                Ok(Incoming::Session(session))
            }
            Arrived::Request(id, head) => {
                let (send, recv) = self.exchange(id);
                Ok(Incoming::Request(IncomingRequest::new(head, send, recv)))
            }
        }
    }

    /// The connection for a protocol other than HTTP/3; `None` when it speaks HTTP/3. Which it is
    /// follows from the configuration of both ends.
    pub fn raw(&self) -> Option<RawConnection> {
        let is_raw = self.peek(|core| core.raw().is_some()).unwrap_or(false);
        is_raw.then(|| RawConnection::new(self.clone()))
    }

    /// The application protocol agreed on (ALPN).
    pub fn alpn(&self) -> Option<Vec<u8>> {
        self.peek(|core| core.alpn().map(<[u8]>::to_vec)).flatten()
    }

    /// Client: asks for a session and waits for the answer. When dropped before, the request is
    /// taken back.
    pub async fn open_session(&self, request: SessionRequest) -> Result<Session, OpenSessionError> {
        let (id, changed) = {
            let mut state = self.shared().lock();
            let core = state.core(self.id()).map_err(Closed::Connection)?;
            let id = core.request_session(request)?;
            let session = SessionState::new(SessionPhase::Asked);
            let changed = session.changed.clone();
            if let Some(connection) = state.connections.get_mut(&self.id()) {
                connection.sessions.insert(id, session);
            }
            (id, changed)
        };
        self.shared().wake_driver();
        let session = Session::new(self.clone(), id);
        let answer = |state: &mut State| match state.session(self.id(), id) {
            Ok(session) => match std::mem::replace(&mut session.phase, SessionPhase::Open) {
                SessionPhase::Ready(ready) => Some(Ok(ready)),
                SessionPhase::Rejected(response) => Some(Err(OpenSessionError::Rejected(response))),
                // It is not closed: `session()` has looked.
                phase => {
                    session.phase = phase;
                    None
                }
            },
            Err(closed) => Some(Err(closed.into())),
        };
        let ready = self.shared().wait(&changed, answer).await?;
        session.set_accepted(Accepted {
            protocol: ready.protocol,
            dialect: ready.dialect,
            response: Some(ready.response),
        });
        Ok(session)
    }

    /// Client: sends the head of a plain HTTP/3 request, once the peer takes one. Write the body to
    /// the stream if there is one, and finish it in any case.
    pub async fn request(
        &self,
        head: RequestHead,
    ) -> Result<(SendStream, PendingResponse), RequestError> {
        let room = self.signal(|connection| &connection.stream_room);
        let request = |state: &mut State| {
            let is_going_away = self.is_going_away(state);
            match state.core(self.id()) {
                Ok(core) => match core.request(&head) {
                    Err(error::RequestError::Limit) if !is_going_away => None,
                    result => Some(result.map_err(RequestError::Invalid)),
                },
                Err(reason) => Some(Err(RequestError::Closed(reason))),
            }
        };
        let id = self.shared().wait(&room, request).await?;
        let (send, recv) = self.exchange(id);
        self.shared().wake_driver();
        Ok((send, PendingResponse::new(recv)))
    }

    /// Closes the connection with this HTTP/3 error code (0x100 says that nothing is wrong), or one
    /// of the protocol that a raw connection speaks.
    pub fn close(&self, code: u64, reason: &str) {
        self.with(|core| core.close(code, reason));
    }

    /// Takes no more sessions and requests, and says so (GOAWAY). Those there are go on; the peer's
    /// application sees them draining.
    pub fn go_away(&self) {
        self.with(Core::go_away);
    }

    /// Waits until the connection is closed, and says why.
    pub async fn closed(&self) -> CloseReason {
        let changed = self.signal(|connection| &connection.changed);
        let closed = |state: &mut State| self.reason(state);
        self.shared().wait(&changed, closed).await
    }

    /// Why the connection is closed; `None` while it is not.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.reason(&mut self.shared().lock())
    }

    /// Waits until the peer says that it takes no more sessions and requests (GOAWAY).
    ///
    /// # Errors
    /// When the connection is closed instead.
    pub async fn going_away(&self) -> Result<(), CloseReason> {
        let changed = self.signal(|connection| &connection.changed);
        let going = |state: &mut State| match self.reason(state) {
            Some(reason) => Some(Err(reason)),
            None => self.is_going_away(state).then_some(Ok(())),
        };
        self.shared().wait(&changed, going).await
    }

    /// Client: moves to another local address (`None`: one that the socket chooses), if the server
    /// answers there. The socket must be able to send from that address, as one bound to no
    /// address can.
    ///
    /// # Errors
    /// When the connection may not move, nothing came back from there, or it is closed. Unless it
    /// is closed, it goes on as before.
    pub async fn migrate(&self, local: Option<IpAddr>) -> Result<(), MigrateError> {
        let before = self.path_changes();
        let asked = self.with(|core| core.migrate(local));
        asked.ok_or_else(|| MigrateError::Closed(gone("")))??;
        match self.path_change_after(before).await {
            Ok(PathChange::Moved { .. }) => Ok(()),
            Ok(PathChange::Failed { .. }) => Err(MigrateError::NoAnswer),
            Err(reason) => Err(MigrateError::Closed(reason)),
        }
    }

    /// Waits until the connection goes another way through the network, or finds that it cannot:
    /// after [`Endpoint::rebind`](crate::Endpoint::rebind), or when the peer moves. Of several
    /// changes the last is told.
    ///
    /// # Errors
    /// When the connection is closed instead.
    pub async fn path_changed(&self) -> Result<PathChange, CloseReason> {
        self.path_change_after(self.path_changes()).await
    }

    /// Names the connection within its endpoint.
    pub fn id(&self) -> ConnId {
        self.handle.id
    }

    /// Where the peer is; clients may move.
    pub fn remote_address(&self) -> SocketAddr {
        self.peek(|core| core.remote_address())
            .unwrap_or(self.handle.remote)
    }

    /// The peer's certificate chain in DER, its own first; empty when it showed none.
    pub fn peer_certificates(&self) -> Vec<Bytes> {
        self.peek(|core| core.peer_certificates())
            .unwrap_or_default()
    }

    /// Fills `out` with keying material bound to the connection (RFC 8446, section 7.5).
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), CryptoError> {
        self.peek(|core| core.export_keying_material(out, label, context))
            .unwrap_or(Err(CryptoError))
    }

    /// What became of early data (0-RTT); `NotTried` when the connection is closed.
    pub fn early_data(&self) -> EarlyData {
        self.peek(|core| core.early_data()).unwrap_or_default()
    }

    /// Whether the handshake resumed a session of an earlier connection; known once it is complete.
    pub fn is_resumed(&self) -> bool {
        self.peek(|core| core.is_resumed()).unwrap_or(false)
    }

    /// Waits until the handshake is complete, where [`Endpoint::connect_early`](crate::Endpoint::connect_early) or
    /// [`Endpoint::accept`](crate::Endpoint::accept) did not.
    ///
    /// # Errors
    /// When the connection is closed instead.
    pub async fn handshake_complete(&self) -> Result<(), CloseReason> {
        self.connected().await
    }

    /// The connection's figures; `None` when it is closed.
    pub fn stats(&self) -> Option<Stats> {
        self.peek(|core| core.stats())
    }

    /// Anything else that the core offers; `None` when the connection is closed. `act` runs under
    /// the endpoint's lock: it must be short, and must not use handles of this endpoint.
    pub fn with<R>(&self, act: impl FnOnce(&mut Core) -> R) -> Option<R> {
        let result = self.peek(act);
        self.shared().wake_driver();
        result
    }

    /// As [`Connection::with`], for what makes the core send nothing.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&mut Core) -> R) -> Option<R> {
        self.shared()
            .lock()
            .endpoint
            .connection(self.id())
            .map(look)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    pub(crate) async fn connected(&self) -> Result<(), CloseReason> {
        let changed = self.signal(|connection| &connection.changed);
        let connected = |state: &mut State| match &state.connections.get(&self.id())?.phase {
            ConnPhase::Connecting => None,
            ConnPhase::Connected => Some(Ok(())),
            ConnPhase::Closed(reason) => Some(Err(reason.clone())),
        };
        self.shared().wait(&changed, connected).await
    }

    pub(crate) fn signal(&self, which: impl FnOnce(&ConnState) -> &Signal) -> Signal {
        match self.shared().lock().connections.get(&self.id()) {
            Some(connection) => which(connection).clone(),
            None => Signal::default(),
        }
    }

    fn path_changes(&self) -> u64 {
        let state = self.shared().lock();
        let connection = state.connections.get(&self.id());
        connection.map_or(0, |connection| connection.path_changes)
    }

    async fn path_change_after(&self, before: u64) -> Result<PathChange, CloseReason> {
        let changed = self.signal(|connection| &connection.changed);
        let change = |state: &mut State| match state.connections.get(&self.id()) {
            Some(connection) if connection.path_changes > before => connection.path.map(Ok),
            _ => self.reason(state).map(Err),
        };
        self.shared().wait(&changed, change).await
    }

    fn exchange(&self, id: StreamId) -> (SendStream, RecvStream) {
        let handle = || StreamHandle::new(Owner::Connection(self.clone()), id);
        (SendStream::new(handle()), RecvStream::new(handle()))
    }

    fn reason(&self, state: &mut State) -> Option<CloseReason> {
        match state.connections.get(&self.id()) {
            Some(connection) => connection.close_reason(),
            None => Some(gone("")),
        }
    }

    fn is_going_away(&self, state: &State) -> bool {
        let connection = state.connections.get(&self.id());
        connection.is_some_and(|connection| connection.is_going_away)
    }
}

impl Drop for ConnHandle {
    fn drop(&mut self) {
        self.shared.lock().release(self.id);
        self.shared.wake_driver();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("remote", &self.handle.remote)
            .finish_non_exhaustive()
    }
}
