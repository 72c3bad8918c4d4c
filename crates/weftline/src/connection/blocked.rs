//! What holds sessions and their data back.

use alloc::vec::Vec;

use super::Connection;
use crate::{
    blocked::Blocker,
    wire::{Dir, StreamId},
    wt::SessionId,
};

/// What holds data back.
impl Connection {
    /// What holds the data of a stream back, what is nearest to the stream first; nothing when it
    /// goes with the next datagrams. `None` when this side sends on no such stream.
    pub fn why_blocked(&self, stream: StreamId) -> Option<Vec<Blocker>> {
        let mut blockers = self.quic.why_blocked(stream)?;
        if self.wt.lacks_credit(stream) {
            blockers.retain(|blocker| *blocker != Blocker::Application);
            blockers.insert(0, Blocker::SessionCredit);
        }
        Some(blockers)
    }

    /// What holds the datagrams of a session back: those in the connection's queue, which it shares
    /// with other sessions.
    pub fn why_blocked_datagram(&self, session: SessionId) -> Vec<Blocker> {
        self.why_no_session(session)
            .unwrap_or_else(|| self.quic.why_blocked_datagrams())
    }

    /// What keeps a stream from being opened in a session; nothing when it can be.
    pub fn why_blocked_open(&self, session: SessionId, dir: Dir) -> Vec<Blocker> {
        self.why_no_session(session).unwrap_or_else(|| {
            let credit = self.wt.lacks_streams(session, dir);
            let limit = !self.quic.may_open(dir);
            let credit = credit.then_some(Blocker::SessionCredit);
            let limit = limit.then_some(Blocker::StreamLimit);
            credit.into_iter().chain(limit).collect()
        })
    }

    /// What holds everything back; nothing when there is something to send and it goes with the
    /// next datagrams.
    pub fn why_blocked_connection(&self) -> Vec<Blocker> {
        self.quic.why_blocked_connection()
    }

    /// Why nothing of a session can be sent yet, or any more; `None` when it is open.
    fn why_no_session(&self, session: SessionId) -> Option<Vec<Blocker>> {
        if self.is_closed() {
            return Some([Blocker::Closed].into());
        }
        if self.wt.sessions().any(|open| open == session) {
            return None;
        }
        let handshake = self.quic.is_handshaking().then_some(Blocker::Handshake);
        let settings = !self.quic.is_handshaking() && self.h3.peer_settings().is_none();
        let below = handshake.or(settings.then_some(Blocker::PeerSettings));
        Some([Blocker::Session].into_iter().chain(below).collect())
    }
}
