//! Streams: the two halves, and what they share.

use std::{fmt, sync::Arc};

use weftline::{ConnId, Connection as Core, SessionId, StreamId};

mod recv;
mod refusal;
mod send;

pub use recv::RecvStream;
pub use send::SendStream;

use crate::{
    Connection, Session,
    error::Closed,
    shared::{Shared, Signal},
    state::{SendEnd, State, StreamState},
};

/// What a stream stands on and keeps alive.
#[derive(Clone)]
pub(crate) enum Owner {
    Session(Session),
    /// Of a plain HTTP/3 exchange.
    Connection(Connection),
    /// Of a connection without HTTP/3.
    Raw(Connection),
}

/// A share in a stream's state.
pub(crate) struct StreamHandle {
    owner: Owner,
    id: StreamId,
}

impl Owner {
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            Self::Session(session) => session.connection(),
            Self::Connection(connection) | Self::Raw(connection) => connection,
        }
    }

    fn session(&self) -> Option<SessionId> {
        match self {
            Self::Session(session) => Some(session.id()),
            Self::Connection(_) | Self::Raw(_) => None,
        }
    }
}

impl StreamHandle {
    /// Takes a share. A stream without state gets one: it was just opened, or its connection is
    /// gone.
    pub(crate) fn new(owner: Owner, id: StreamId) -> Self {
        let handle = Self { owner, id };
        let session = handle.owner.session();
        let mut state = handle.shared().lock();
        if let Some(connection) = state.connections.get_mut(&handle.connection_id()) {
            let stream = connection.streams.entry(id).or_insert_with(|| StreamState {
                session,
                ..StreamState::default()
            });
            stream.handles += 1;
        }
        drop(state);
        handle
    }

    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.owner.connection().shared()
    }

    pub(crate) fn connection(&self) -> &Connection {
        self.owner.connection()
    }

    pub(crate) fn connection_id(&self) -> ConnId {
        self.connection().id()
    }

    /// Whether this is an exchange of plain HTTP/3.
    pub(crate) fn is_request(&self) -> bool {
        matches!(self.owner, Owner::Connection(_))
    }

    pub(crate) fn core<'a>(&self, state: &'a mut State) -> Result<&'a mut Core, Closed> {
        state.core(self.connection_id()).map_err(Closed::Connection)
    }

    pub(crate) fn state<'a>(&self, state: &'a mut State) -> Option<&'a mut StreamState> {
        state.stream(self.connection_id(), self.id)
    }

    /// Why the core does not know the stream, unless it ended by itself.
    pub(crate) fn closed(&self, state: &State) -> Option<Closed> {
        state.stream_closed(self.connection_id(), self.owner.session())
    }

    /// Waits until sending ended.
    async fn sent(&self) -> Result<SendEnd, Closed> {
        let signal = match self.state(&mut self.shared().lock()) {
            Some(stream) => stream.sent_signal.get_or_insert_default().clone(),
            None => Signal::default(),
        };
        let end = |state: &mut State| match self.state(state).map(|stream| stream.sent) {
            Some(Some(end)) => Some(Ok(end)),
            Some(None) => self.closed(state).map(Err),
            None => Some(Err(Closed::connection_gone())),
        };
        self.shared().wait(&signal, end).await
    }
}

impl Clone for StreamHandle {
    fn clone(&self) -> Self {
        Self::new(self.owner.clone(), self.id)
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        let mut state = self.shared().lock();
        let Some(connection) = state.connections.get_mut(&self.connection_id()) else {
            return;
        };
        if let Some(stream) = connection.streams.get_mut(&self.id) {
            stream.handles -= 1;
            if stream.handles == 0 {
                connection.streams.remove(&self.id);
            }
        }
    }
}

impl fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}
