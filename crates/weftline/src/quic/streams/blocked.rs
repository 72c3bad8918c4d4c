//! What holds streams back.

use super::{Streams, URGENT};
use crate::wire::{Dir, StreamId};

/// Why a stream does not send.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldBack {
    /// Nothing was written that was not sent.
    pub(crate) is_idle: bool,
    /// Writes are refused: the buffers are full.
    pub(crate) buffer_full: bool,
    /// The stream's credit is used up, with data left.
    pub(crate) stream_credit: bool,
    /// The connection's credit is used up, with data left that the stream's would allow.
    pub(crate) connection_credit: bool,
}

impl Streams {
    /// What holds a stream back; `None` when this side sends on no such stream.
    pub(crate) fn held_back(&self, id: StreamId) -> Option<HeldBack> {
        let slot = self.table.find(id)?;
        let stream = self.table.get(slot)?;
        let send = stream.send.as_ref()?;
        let wants_fresh = send.wants_fresh();
        let has_unsent = send.has_unsent();
        let credit = match stream.rank.priority {
            URGENT => self.send_credit.available(),
            _ => self.send_credit.ordinary(),
        };
        Some(HeldBack {
            is_idle: !has_unsent && !send.wants_resend(),
            buffer_full: send.check_open().is_ok() && self.room(send, stream.rank) == 0,
            stream_credit: has_unsent && !wants_fresh,
            connection_credit: wants_fresh && credit == 0,
        })
    }

    /// Whether data waits for the connection's credit, and all of it does.
    pub(crate) fn wants_credit(&self) -> bool {
        !self.fresh.is_empty() && !self.has_data()
    }

    /// Whether the peer lets a stream be opened.
    pub(crate) fn may_open(&self, dir: Dir) -> bool {
        self.opened.get(dir).is_allowed()
    }
}
