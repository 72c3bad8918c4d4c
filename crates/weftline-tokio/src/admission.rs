use std::{fmt, sync::Arc};

use weftline::{Incoming, IncomingId};

use crate::{shared::Shared, state::State};

/// A client that waits to be let in, before any work on its handshake. Dropped without an answer,
/// it gets none.
pub struct IncomingConnection {
    shared: Arc<Shared>,
    incoming: Incoming,
    is_decided: bool,
}

impl IncomingConnection {
    pub(crate) const fn new(shared: Arc<Shared>, incoming: Incoming) -> Self {
        Self {
            shared,
            incoming,
            is_decided: false,
        }
    }

    /// What is known of it.
    pub const fn info(&self) -> &Incoming {
        &self.incoming
    }

    /// Lets it begin its handshake; [`Endpoint::accept`](crate::Endpoint::accept) gives the
    /// connection when that is complete.
    pub fn accept(self) {
        self.decide(|state, id| state.endpoint.accept(id).is_some());
    }

    /// Has it come again with a token, which proves where it is. When it has done so already
    /// ([`Incoming::may_retry`] is false) it is ignored.
    pub fn retry(self) {
        self.decide(|state, id| state.endpoint.retry(id));
    }

    /// Refuses it with CONNECTION_REFUSED.
    pub fn refuse(self) {
        self.decide(|state, id| {
            state.endpoint.refuse(id);
            true
        });
    }

    /// Gives it no answer.
    pub fn ignore(self) {}

    fn decide(mut self, decide: impl FnOnce(&mut State, IncomingId) -> bool) {
        self.is_decided = decide(&mut self.shared.lock(), self.incoming.id);
        self.shared.wake_driver();
    }
}

impl Drop for IncomingConnection {
    fn drop(&mut self) {
        if !self.is_decided {
            self.shared.lock().endpoint.ignore(self.incoming.id);
        }
    }
}

impl fmt::Debug for IncomingConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IncomingConnection")
            .field(&self.incoming)
            .finish()
    }
}
