use std::fmt;

use weftline::{
    SessionId,
    h3::{Fields, RequestHead},
    wt::{Dialect, offered_protocols},
};

use crate::{
    Connection, IncomingRequest, Session,
    error::{Closed, OpenSessionError},
    session::Accepted,
    state::SessionPhase,
};

/// What a client wants.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A WebTransport session.
    Session(IncomingSession),
    /// A plain HTTP/3 exchange.
    Request(IncomingRequest),
}

/// A session that a client asks for. Dropped without an answer it is refused as one that is not
/// there: with 404, or 405 in the newest dialect.
pub struct IncomingSession {
    connection: Connection,
    id: SessionId,
    head: Box<RequestHead>,
    protocols: Vec<String>,
    is_answered: bool,
}

impl IncomingSession {
    pub(crate) fn new(connection: Connection, id: SessionId, head: Box<RequestHead>) -> Self {
        let protocols = offered_protocols(&head);
        Self {
            connection,
            id,
            head,
            protocols,
            is_answered: false,
        }
    }

    /// The request.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        self.head.path.as_deref().unwrap_or_default()
    }

    /// Host and port that the client has asked for.
    pub fn authority(&self) -> &str {
        self.head.authority.as_deref().unwrap_or_default()
    }

    /// Where the page comes from that asks; check it before trusting cookies and the like.
    pub fn origin(&self) -> Option<&str> {
        std::str::from_utf8(self.head.fields.get("origin")?).ok()
    }

    /// The application protocols that the client offers, the best first.
    pub fn protocols(&self) -> &[String] {
        &self.protocols
    }

    /// The session.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The connection it is asked for on.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Accepts the session, with none of the protocols.
    pub fn accept(self) -> Result<Session, OpenSessionError> {
        self.accept_with(None, Fields::new())
    }

    /// Accepts the session with one of the client's protocols and further response fields.
    pub fn accept_with(
        mut self,
        protocol: Option<&str>,
        fields: Fields,
    ) -> Result<Session, OpenSessionError> {
        let (connection, id) = (&self.connection, self.id);
        let dialect = {
            let mut state = connection.shared().lock();
            state.session(connection.id(), id)?;
            let core = state.core(connection.id()).map_err(Closed::Connection)?;
            core.accept_session_with(id, protocol, &fields)?;
            let dialect = core.dialect(id);
            state.session(connection.id(), id)?.phase = SessionPhase::Open;
            dialect
        };
        self.is_answered = true;
        connection.shared().wake_driver();
        let session = Session::new(connection.clone(), id);
        session.set_accepted(Accepted {
            protocol: protocol.map(str::to_owned),
            // An accepted session has one; Accepted only needs a value.
            dialect: dialect.unwrap_or(Dialect::Draft02),
            response: None,
        });
        Ok(session)
    }

    /// Refuses the session, with a status from 300 to 599 and further response fields.
    pub fn reject(mut self, status: u16, fields: Fields) {
        self.refuse(status, fields);
    }

    fn refuse(&mut self, status: u16, fields: Fields) {
        self.is_answered = true;
        let (connection, id) = (&self.connection, self.id);
        let mut state = connection.shared().lock();
        if let Ok(core) = state.core(connection.id()) {
            // It is gone by itself, then.
            let _ = core.reject_session(id, status, fields);
        }
        if let Some(connection) = state.connections.get_mut(&connection.id()) {
            connection.sessions.remove(&id);
        }
        drop(state);
        connection.shared().wake_driver();
    }
}

impl Drop for IncomingSession {
    fn drop(&mut self) {
        if !self.is_answered {
            let status = self.connection.peek(|core| {
                let dialect = core.dialect(self.id);
                dialect.map_or(404, Dialect::not_found_status)
            });
            self.refuse(status.unwrap_or(404), Fields::new());
        }
    }
}

impl fmt::Debug for IncomingSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingSession")
            .field("id", &self.id)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}
