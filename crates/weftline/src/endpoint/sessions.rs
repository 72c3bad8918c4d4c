//! Where clients keep the sessions that servers gave them.

use alloc::collections::VecDeque;

use crate::connection::StoredSession;

/// Where an endpoint keeps the sessions of the servers it connects to. Endpoints may share one:
/// what this trait asks for is easily done behind a lock.
pub trait SessionStore: Send {
    /// Keeps a session. A store is bounded: it drops old sessions for new ones.
    fn insert(&mut self, session: StoredSession);

    /// Takes out the newest session with `server_name` that `fits`. Each session is given out once.
    fn take(
        &mut self,
        server_name: &str,
        fits: &dyn Fn(&StoredSession) -> bool,
    ) -> Option<StoredSession>;
}

/// Keeps sessions in memory: a few for each server, and so many in all.
#[derive(Debug)]
pub struct MemorySessions {
    max: usize,
    /// The oldest first.
    sessions: VecDeque<StoredSession>,
}

impl MemorySessions {
    /// Keeps up to `max` sessions.
    pub const fn new(max: usize) -> Self {
        Self {
            max,
            sessions: VecDeque::new(),
        }
    }
}

impl Default for MemorySessions {
    /// Keeps up to 256 sessions.
    fn default() -> Self {
        Self::new(256)
    }
}

impl SessionStore for MemorySessions {
    fn insert(&mut self, session: StoredSession) {
        let name = session.server_name();
        let is_same = |other: &StoredSession| other.server_name() == name;
        let same = self.sessions.iter().filter(|other| is_same(other)).count();
        let oldest = match same >= PER_SERVER {
            true => self.sessions.iter().position(is_same),
            false => (self.sessions.len() >= self.max).then_some(0),
        };
        if let Some(oldest) = oldest {
            self.sessions.remove(oldest);
        }
        if self.max > 0 {
            self.sessions.push_back(session);
        }
    }

    fn take(
        &mut self,
        server_name: &str,
        fits: &dyn Fn(&StoredSession) -> bool,
    ) -> Option<StoredSession> {
        let wanted =
            |session: &StoredSession| session.server_name() == server_name && fits(session);
        let newest = self.sessions.iter().rposition(wanted)?;
        self.sessions.remove(newest)
    }
}

/// One connection after the other needs one; a few more are for connections at once.
const PER_SERVER: usize = 4;
