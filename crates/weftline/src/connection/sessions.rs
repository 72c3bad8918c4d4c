//! WebTransport sessions.

use super::Connection;
#[cfg(doc)]
use crate::event::Event;
use crate::{
    crypto::CryptoError,
    error::SessionError,
    h3::Fields,
    wire::StreamId,
    wt::{Dialect, SessionId, SessionRequest, SessionStats},
};

/// Sessions.
impl Connection {
    /// Client: asks for a session. The request is sent as soon as the server's SETTINGS are there;
    /// then [`Event::SessionReady`], [`Event::SessionRejected`] or, when there can be no session,
    /// [`Event::SessionClosed`] follows.
    pub fn request_session(&mut self, request: SessionRequest) -> Result<SessionId, SessionError> {
        self.with_sessions(|wt, io| wt.request_session(io, request))
    }

    /// Server: accepts a session, with one of the protocols the client offers
    /// ([`offered_protocols`](crate::wt::offered_protocols)) or none. Streams and datagrams that came
    /// early follow as events.
    pub fn accept_session(
        &mut self,
        session: SessionId,
        protocol: Option<&str>,
    ) -> Result<(), SessionError> {
        self.accept_session_with(session, protocol, &Fields::new())
    }

    /// Like [`Self::accept_session`], with these fields in the response.
    pub fn accept_session_with(
        &mut self,
        session: SessionId,
        protocol: Option<&str>,
        fields: &Fields,
    ) -> Result<(), SessionError> {
        self.with_sessions(|wt, io| wt.accept_session(io, session, protocol, fields))
    }

    /// Server: refuses a session with a status of 300 to 599: 403 for an origin that is not
    /// allowed, 429 for too many, [`Dialect::not_found_status`] where nothing serves the path.
    /// Nothing more is told of the session.
    pub fn reject_session(
        &mut self,
        session: SessionId,
        status: u16,
        fields: Fields,
    ) -> Result<(), SessionError> {
        self.with_sessions(|wt, io| wt.reject_session(io, session, status, fields))
    }

    /// Ends a session with the application's code and reason, of which the first 1024 bytes are
    /// sent. Its streams and datagrams are gone at once, both ways, delivered or not.
    ///
    /// [`Event::SessionClosed`] follows when the peer has seen it, or did not answer for two
    /// seconds: a connection closed before that may take the reason with it.
    pub fn close_session(
        &mut self,
        session: SessionId,
        code: u32,
        reason: &str,
    ) -> Result<(), SessionError> {
        self.with_sessions(|wt, io| wt.close_session(io, session, code, reason))
    }

    /// Ends a session without a code and reason: by the end of its CONNECT stream alone. The peer
    /// is told the same as by code 0 and no reason (draft-16, section 6). What ends with it, and
    /// what follows, is as with [`close_session`](Self::close_session).
    pub fn finish_session(&mut self, session: SessionId) -> Result<(), SessionError> {
        self.with_sessions(|wt, io| wt.finish_session(io, session))
    }

    /// Asks the peer to finish a session soon. It goes on working. Draft 02 has no message for it:
    /// there nothing is sent.
    pub fn drain_session(&mut self, session: SessionId) -> Result<(), SessionError> {
        self.with_sessions(|wt, io| wt.drain_session(io, session))
    }

    /// The sessions that are established.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.wt.sessions()
    }

    /// The session that a stream belongs to.
    pub fn session_of(&self, stream: StreamId) -> Option<SessionId> {
        self.wt.session_of(stream)
    }

    /// The dialect of a session, once it is known.
    pub fn dialect(&self, session: SessionId) -> Option<Dialect> {
        self.wt.dialect(session)
    }

    /// The application protocol that the server chose for a session.
    pub fn protocol(&self, session: SessionId) -> Option<&str> {
        self.wt.protocol(session)
    }

    /// Figures of a session.
    pub fn session_stats(&self, session: SessionId) -> Option<SessionStats> {
        self.wt.stats(session)
    }

    /// Fills `out` with keying material that both ends of a session, and nobody else, can compute
    /// (draft-16, section 4.8). `label` has 1 to 255 bytes, `context` up to 255.
    pub fn export_session_keying_material(
        &self,
        session: SessionId,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), SessionError> {
        let (exporter, context) = self.wt.exporter(session, label, context)?;
        let done = self.quic.export_keying_material(out, exporter, &context);
        done.map_err(|CryptoError| SessionError::WrongState)
    }
}
