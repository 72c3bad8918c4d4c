//! Datagrams of sessions.

use bytes::Bytes;

use super::Connection;
use crate::{error::DatagramError, wt::SessionId};

/// Datagrams.
impl Connection {
    /// Queues a datagram. It is sent once, if it ever fits, and may be lost.
    pub fn send_datagram(
        &mut self,
        session: SessionId,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        self.with_sessions(|wt, io| wt.send_datagram(io, session, payload))
    }

    /// The longest payload that fits a datagram now; `None` when the session is not open. It may
    /// change with the path.
    pub fn max_datagram_len(&mut self, session: SessionId) -> Option<usize> {
        self.with_sessions(|wt, io| wt.max_datagram_len(io, session))
    }

    /// Takes the oldest datagram that arrived.
    pub fn recv_datagram(&mut self, session: SessionId) -> Option<Bytes> {
        self.wt.recv_datagram(session)
    }
}
