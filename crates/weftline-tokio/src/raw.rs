use std::sync::Arc;

use bytes::Bytes;
use weftline::{
    Dir, StreamId,
    error::{DatagramError, OpenError},
    event::CloseReason,
};

use crate::{
    Connection, RecvStream, SendStream,
    shared::Shared,
    state::{State, StreamState},
    stream::{Owner, StreamHandle},
};

/// A QUIC connection for a protocol other than HTTP/3, whose streams and datagrams are all the
/// application's. From [`Connection::raw`].
#[derive(Clone, Debug)]
pub struct RawConnection {
    connection: Connection,
}

impl RawConnection {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// The next bidirectional stream that the peer opens.
    ///
    /// # Errors
    /// Here and below: when the connection is closed.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), CloseReason> {
        let id = self.accept(Dir::Bi).await?;
        Ok((self.send_half(id), self.recv_half(id)))
    }

    /// The next unidirectional stream that the peer opens.
    pub async fn accept_uni(&self) -> Result<RecvStream, CloseReason> {
        let id = self.accept(Dir::Uni).await?;
        Ok(self.recv_half(id))
    }

    /// Opens a bidirectional stream. Waits while the peer's limit is reached.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), CloseReason> {
        let id = self.open(Dir::Bi).await?;
        Ok((self.send_half(id), self.recv_half(id)))
    }

    /// Opens a unidirectional stream. Waits while the peer's limit is reached.
    pub async fn open_uni(&self) -> Result<SendStream, CloseReason> {
        let id = self.open(Dir::Uni).await?;
        Ok(self.send_half(id))
    }

    /// Opens a bidirectional stream now; `None` while the peer's limit is reached.
    pub fn try_open_bi(&self) -> Result<Option<(SendStream, RecvStream)>, CloseReason> {
        let id = self.try_open(Dir::Bi)?;
        Ok(id.map(|id| (self.send_half(id), self.recv_half(id))))
    }

    /// Opens a unidirectional stream now; `None` while the peer's limit is reached.
    pub fn try_open_uni(&self) -> Result<Option<SendStream>, CloseReason> {
        let id = self.try_open(Dir::Uni)?;
        Ok(id.map(|id| self.send_half(id)))
    }

    /// Queues a datagram.
    ///
    /// # Errors
    /// [`DatagramError::Full`] when many wait already: drop it, it is a datagram, or wait with
    /// [`RawConnection::send_datagram_wait`].
    pub fn send_datagram(&self, data: &[u8]) -> Result<(), DatagramError> {
        self.try_send_datagram(&mut self.shared().lock(), data)?;
        self.shared().wake_driver();
        Ok(())
    }

    /// Queues a datagram, once there is room in the queue.
    pub async fn send_datagram_wait(&self, data: &[u8]) -> Result<(), DatagramError> {
        let send = |state: &mut State| self.try_send_datagram(state, data);
        self.shared().send_datagram(send).await
    }

    /// The next datagram from the peer.
    pub async fn recv_datagram(&self) -> Result<Bytes, CloseReason> {
        let arrived = self.connection.signal(|connection| &connection.datagrams);
        let receive = |state: &mut State| match state.core(self.connection.id()) {
            Ok(core) => core.raw()?.recv_datagram().map(Ok),
            Err(reason) => Some(Err(reason)),
        };
        self.shared().wait(&arrived, receive).await
    }

    /// The next datagram from the peer, if there is one now.
    pub fn try_recv_datagram(&self) -> Option<Bytes> {
        let take = |core: &mut weftline::Connection| core.raw()?.recv_datagram();
        self.connection.peek(take).flatten()
    }

    /// The longest datagram that fits now; `None` when the peer takes none.
    pub fn max_datagram_len(&self) -> Option<usize> {
        let max = |core: &mut weftline::Connection| core.raw()?.max_datagram_len();
        self.connection.peek(max).flatten()
    }

    /// Closes the connection with a code of the protocol's own.
    pub fn close(&self, code: u64, reason: &str) {
        self.connection.close(code, reason);
    }

    /// The connection: its figures, addresses, and when and why it is closed.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn accept(&self, dir: Dir) -> Result<StreamId, CloseReason> {
        let id = self.connection.id();
        let arrived = self
            .connection
            .signal(|connection| &connection.arrivals_of(dir).signal);
        let next = |state: &mut State| {
            if let Err(reason) = state.core(id) {
                return Some(Err(reason));
            }
            let connection = state.connections.get_mut(&id)?;
            connection.arrivals_of_mut(dir).streams.pop_front().map(Ok)
        };
        self.shared().wait(&arrived, next).await
    }

    async fn open(&self, dir: Dir) -> Result<StreamId, CloseReason> {
        let room = self.connection.signal(|connection| &connection.stream_room);
        let open = |state: &mut State| self.open_now(state, dir).transpose();
        let opened = self.shared().wait(&room, open).await;
        self.shared().wake_driver();
        opened
    }

    fn try_open(&self, dir: Dir) -> Result<Option<StreamId>, CloseReason> {
        let opened = self.open_now(&mut self.shared().lock(), dir);
        self.shared().wake_driver();
        opened
    }

    fn open_now(&self, state: &mut State, dir: Dir) -> Result<Option<StreamId>, CloseReason> {
        let id = self.connection.id();
        let Some(mut raw) = state.core(id)?.raw() else {
            return Ok(None);
        };
        match raw.open(dir) {
            Ok(stream) => {
                // At once, so that no event of the stream is missed.
                if let Some(connection) = state.connections.get_mut(&id) {
                    connection.streams.insert(stream, StreamState::default());
                }
                Ok(Some(stream))
            }
            // When the connection is not open, its end is about to be reported.
            Err(OpenError::Limit | OpenError::NotOpen) => {
                // The peer is told that its limit holds us back.
                self.shared().wake_driver();
                Ok(None)
            }
        }
    }

    fn try_send_datagram(&self, state: &mut State, data: &[u8]) -> Result<(), DatagramError> {
        let core = state.core(self.connection.id());
        match core.ok().and_then(weftline::Connection::raw) {
            Some(mut raw) => raw.send_datagram(data),
            None => Err(DatagramError::NotOpen),
        }
    }

    fn send_half(&self, id: StreamId) -> SendStream {
        SendStream::new(StreamHandle::new(Owner::Raw(self.connection.clone()), id))
    }

    fn recv_half(&self, id: StreamId) -> RecvStream {
        RecvStream::new(StreamHandle::new(Owner::Raw(self.connection.clone()), id))
    }

    fn shared(&self) -> &Arc<Shared> {
        self.connection.shared()
    }
}
