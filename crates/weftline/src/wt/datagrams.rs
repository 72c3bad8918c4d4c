//! Datagrams of sessions (draft-16, section 4.5).

use bytes::Bytes;

use super::{Io, Layer, SessionId};
use crate::{
    error::DatagramError,
    event::Event,
    quic::DatagramFail,
    wire::{
        StreamId,
        h3::{datagram, error_code},
    },
};

impl Layer {
    /// Queues a datagram.
    pub(crate) fn send_datagram(
        &mut self,
        io: &mut Io<'_>,
        id: SessionId,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        let session = self.open_session(id).ok_or(DatagramError::NotOpen)?;
        let prefix = datagram::prefix(id.stream());
        let sent = io.quic.send_datagram(&prefix, payload);
        sent.map_err(|fail| match fail {
            DatagramFail::Full => DatagramError::Full,
            DatagramFail::TooLarge { max } => DatagramError::TooLarge {
                max: max.saturating_sub(prefix.len()),
            },
            DatagramFail::Unsupported => DatagramError::NotOpen,
        })?;
        session.stats.datagrams_sent += 1;
        Ok(())
    }

    /// The longest payload of a datagram that fits now.
    pub(crate) fn max_datagram_len(&self, io: &Io<'_>, id: SessionId) -> Option<usize> {
        self.sessions.get(&id).filter(|session| session.is_open())?;
        let max = io.quic.max_datagram_len()?;
        max.checked_sub(datagram::prefix(id.stream()).len())
    }

    /// Takes a datagram that arrived.
    pub(crate) fn recv_datagram(&mut self, id: SessionId) -> Option<Bytes> {
        let data = self.sessions.get_mut(&id)?.datagrams.pop()?;
        self.datagrams -= 1;
        self.datagram_bytes -= data.len();
        Some(data)
    }

    /// A datagram arrived.
    pub(super) fn on_datagram(&mut self, io: &mut Io<'_>, stream: StreamId, data: Bytes) {
        let id = SessionId(stream);
        match self.sessions.get(&id) {
            Some(session) if session.is_open() => self.keep_datagram(io, id, data),
            Some(session) if session.state.is_live() => {
                self.pending.add_datagram(self.now, id, data);
            }
            Some(_) => {}
            None if io.h3.has_message(stream) => {
                // A request that has no use for datagrams (RFC 9297, section 2).
                io.h3.cancel(io.quic, stream, error_code::H3_DATAGRAM_ERROR);
            }
            None if self.may_come(id) => {
                self.pending.add_datagram(self.now, id, data);
            }
            None => {}
        }
    }

    /// Holds a datagram for the application. When there are too many on the connection, the oldest
    /// goes of the session that holds most.
    pub(super) fn keep_datagram(&mut self, io: &mut Io<'_>, id: SessionId, data: Bytes) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.stats.datagrams_received += 1;
        self.datagrams += 1;
        self.datagram_bytes += data.len();
        session.datagrams.push(data);
        if !session.datagrams.told {
            session.datagrams.told = true;
            io.events.push_back(Event::Datagrams(id));
        }
        // Each turn drops one.
        while self.datagrams > self.limits.datagrams_in
            || self.datagram_bytes > self.limits.datagram_bytes_in
        {
            let sessions = self.sessions.values_mut();
            let Some(session) = sessions.max_by_key(|s| s.datagrams.accounted_bytes()) else {
                return;
            };
            let Some(dropped) = session.datagrams.pop() else {
                return;
            };
            session.stats.datagrams_dropped += 1;
            self.datagrams -= 1;
            self.datagram_bytes -= dropped.len();
        }
    }
}
