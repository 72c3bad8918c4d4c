//! The streams there are, and how many there may be.

use alloc::vec::Vec;

use super::{credit::BlockedNotice, recv::Recv, schedule::Rank, send::Send};
use crate::{
    quic::stream_map::StreamMap,
    wire::{StreamId, frame::MAX_STREAM_COUNT},
};

/// A stream with at least one part that is not done with.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) send: Option<Send>,
    pub(super) recv: Option<Recv>,
    pub(super) rank: Rank,
    pub(super) places: Places,
    /// Whether it is in the list of those that wait for room in the connection's send buffer.
    pub(super) waits: bool,
    /// The application wants to hear when no more data than this is buffered.
    pub(super) low_water: Option<u64>,
    /// What the connection's sums hold for it.
    pub(super) counted: Counted,
    pub(super) watch: Watch,
}

/// Whether the layer above follows how much the peer sends.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    Off,
    /// It wants to hear when there is more than this.
    Armed(u64),
    /// It is being told.
    Queued,
}

/// Where a stream waits to send.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) control: bool,
    pub(super) resend: bool,
    pub(super) fresh: bool,
}

#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Counted {
    /// Data written and not delivered.
    pub(super) buffered: u64,
    /// What of it the peer's credit for its stream does not let go.
    pub(super) stuck: u64,
    /// Memory.
    pub(super) bytes: usize,
}

impl Counted {
    /// One of the streams that are summed up here now holds `new` instead of `old`.
    #[inline]
    pub(super) fn change(&mut self, old: Self, new: Self) {
        self.buffered = self.buffered + new.buffered - old.buffered;
        self.stuck = self.stuck + new.stuck - old.stuck;
        self.bytes = self.bytes + new.bytes - old.bytes;
    }
}

impl Stream {
    #[inline]
    pub(super) fn new(id: StreamId, send: Option<Send>, recv: Option<Recv>) -> Self {
        Self {
            id,
            send,
            recv,
            rank: Rank::default(),
            places: Places::default(),
            waits: false,
            low_water: None,
            counted: Counted::default(),
            watch: Watch::Off,
        }
    }

    /// Which of the queues it belongs into.
    #[inline]
    pub(super) fn wants(&self) -> Places {
        let mut wants = Places::default();
        if let Some(send) = &self.send {
            wants = Places {
                control: send.wants_control(),
                resend: send.wants_resend(),
                fresh: send.wants_fresh(),
            };
        }
        if let Some(recv) = &self.recv {
            wants.control |= recv.wants_control();
        }
        wants
    }

    /// Whether both parts, as far as there are two, are done with.
    pub(super) fn is_done(&self) -> bool {
        self.send.as_ref().is_none_or(Send::is_done) && self.recv.as_ref().is_none_or(Recv::is_done)
    }

    /// What is held for it now.
    pub(super) fn count(&self) -> Counted {
        let send_bytes = self.send.as_ref().map_or(0, Send::accounted_bytes);
        let recv_bytes = self.recv.as_ref().map_or(0, Recv::accounted_bytes);
        Counted {
            buffered: self.send.as_ref().map_or(0, Send::buffered),
            stuck: self.send.as_ref().map_or(0, Send::stuck),
            bytes: send_bytes + recv_bytes,
        }
    }
}

/// Streams by slot, found by ID. Slots are used again, so that the table is as large as the most
/// streams there ever were at once.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Option<Stream>>,
    free: Vec<u32>,
    by_id: StreamMap<u32>,
    /// The slot found last: frames come in runs of one stream.
    last: u32,
}

impl Table {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn find(&self, id: StreamId) -> Option<u32> {
        if self.get(self.last).is_some_and(|stream| stream.id == id) {
            return Some(self.last);
        }
        self.by_id.get(id).copied()
    }

    /// Like [`Self::find`], and remembers it for the next time.
    pub(super) fn find_mut(&mut self, id: StreamId) -> Option<u32> {
        self.last = self.find(id)?;
        Some(self.last)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Stream> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Stream> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    #[inline]
    pub(super) fn insert(&mut self, stream: Stream) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.by_id.insert(stream.id, slot);
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(stream);
        }
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let Some(place) = self.slots.get_mut(slot as usize) else {
            return;
        };
        let Some(id) = place.as_ref().map(|stream| stream.id) else {
            return;
        };
        *place = None;
        self.by_id.remove(id);
        self.free.push(slot);
    }

    /// Slots in use or free.
    pub(super) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Memory of the table itself, in bytes.
    pub(super) fn accounted_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Stream>>()
            + self.free.capacity() * size_of::<u32>()
            + self.by_id.accounted_bytes()
    }
}

/// Streams of one direction that we open.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// How many were opened.
    pub(super) count: u64,
    limit: u64,
    /// Whether one more was wanted than allowed.
    pub(super) wanted: bool,
    told: BlockedNotice,
}

impl Opened {
    /// The index of a new stream; `None` at the limit.
    pub(super) fn open(&mut self) -> Option<u64> {
        self.wanted = self.count >= self.limit;
        if self.wanted {
            return None;
        }
        self.count += 1;
        Some(self.count - 1)
    }

    /// Whether one more may be opened.
    pub(super) const fn is_allowed(&self) -> bool {
        self.count < self.limit
    }

    /// The peer's limit, which never goes down (RFC 9000, section 4.6). Gives whether someone
    /// waited for it.
    pub(super) fn raise(&mut self, limit: u64) -> bool {
        if limit <= self.limit {
            return false;
        }
        self.limit = limit;
        core::mem::take(&mut self.wanted)
    }

    /// The limit to name in STREAMS_BLOCKED, if one is due.
    pub(super) fn blocked(&self) -> Option<u64> {
        (self.wanted && self.told.is_due(self.limit)).then_some(self.limit)
    }

    pub(super) fn blocked_notice(&mut self) -> &mut BlockedNotice {
        &mut self.told
    }
}

/// Streams of one direction that the peer opens.
#[derive(Debug)]
pub(super) struct Accepted {
    /// How many are open at most.
    at_once: u64,
    /// How many were opened; a stream opens all before it (RFC 9000, section 3.2).
    pub(super) count: u64,
    /// How many of them the application was told of.
    announced: u64,
    closed: u64,
    /// The limit the peer was last told.
    limit: u64,
    due: bool,
}

impl Accepted {
    pub(super) fn new(at_once: u64) -> Self {
        let at_once = at_once.min(MAX_STREAM_COUNT);
        Self {
            at_once,
            count: 0,
            announced: 0,
            closed: 0,
            limit: at_once,
            due: false,
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// The index of the next stream to announce.
    pub(super) fn announce(&mut self) -> Option<u64> {
        if self.announced >= self.count {
            return None;
        }
        self.announced += 1;
        Some(self.announced - 1)
    }

    pub(super) fn on_closed(&mut self) {
        self.closed += 1;
        // Some at a time, as each frame costs the peer and us work.
        let batch = (self.at_once / 8).max(1);
        self.due |= self.next_limit() - self.limit >= batch;
    }

    /// The peer says that it is blocked.
    pub(super) fn on_blocked(&mut self) {
        self.due |= self.next_limit() > self.limit;
    }

    pub(super) fn is_due(&self) -> bool {
        self.due
    }

    /// The limit to tell the peer.
    pub(super) fn next_limit(&self) -> u64 {
        let limit = self.closed.saturating_add(self.at_once);
        limit.min(MAX_STREAM_COUNT).max(self.limit)
    }

    /// The peer is being told [`Self::next_limit`].
    pub(super) fn on_sent(&mut self) {
        self.limit = self.next_limit();
        self.due = false;
    }

    /// The frame that told `limit` was lost.
    pub(super) fn on_lost(&mut self, limit: u64) {
        self.due |= limit == self.limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Dir, Side};

    #[test]
    fn slots_are_used_again() {
        let mut table = Table::default();
        for index in 0..10_000 {
            let id = StreamId::new(Side::Client, Dir::Bi, index);
            let slot = table.insert(Stream::new(id, None, None));
            assert_eq!(table.find_mut(id), Some(slot));
            table.remove(slot);
            assert_eq!(table.find(id), None);
        }
        assert_eq!((table.slots(), table.len()), (1, 0));
    }

    #[test]
    fn limits_rise_in_batches_and_never_fall() {
        let mut accepted = Accepted::new(16);
        accepted.on_closed();
        assert!(!accepted.is_due());
        accepted.on_blocked();
        assert!(accepted.is_due());
        accepted.on_sent();
        assert_eq!((accepted.limit(), accepted.is_due()), (17, false));
        accepted.on_blocked();
        assert!(!accepted.is_due(), "there is no more to give");
        accepted.on_closed();
        accepted.on_closed();
        assert!(accepted.is_due());
        accepted.on_sent();
        accepted.on_lost(17);
        assert!(!accepted.is_due());
        accepted.on_lost(19);
        assert!(accepted.is_due());
        assert_eq!(Accepted::new(u64::MAX).limit(), MAX_STREAM_COUNT);
    }

    #[test]
    fn opening_at_the_limit() {
        let mut opened = Opened::default();
        assert_eq!((opened.blocked(), opened.open()), (None, None));
        assert_eq!(opened.blocked(), Some(0));
        opened.blocked_notice().on_sent(0);
        assert_eq!((opened.blocked(), opened.open()), (None, None));
        assert!(opened.raise(2));
        assert!(!opened.raise(1));
        assert_eq!(
            [opened.open(), opened.open(), opened.open()],
            [Some(0), Some(1), None]
        );
        assert_eq!(opened.blocked(), Some(2));
    }
}
