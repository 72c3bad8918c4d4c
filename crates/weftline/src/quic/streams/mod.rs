//! Streams and their flow control (RFC 9000, sections 2 to 4).
//!
//! [`Streams`] holds every stream of a connection. After anything touched a stream, `settle` asks
//! it what it wants now - to send, to tell the application, to be dropped - and puts it in the
//! right queues, so that no other place has to keep them in step.

use alloc::collections::VecDeque;
use core::time::Duration;

use bytes::Bytes;

use self::{
    credit::{Clock, RecvCredit, SendCredit},
    recv::{Recv, Shared},
    schedule::{Rank, Schedule},
    send::Send,
    spare::Spare,
    table::{Accepted, Counted, Opened, Places, Stream, Table, Watch},
};
use crate::{
    config::Limits,
    time::Instant,
    wire::{Dir, Side, StreamId},
};

pub use self::change::{ReadFail, WriteFail};
pub(crate) use self::change::{StreamChange, StreamParams};

pub(crate) mod assembler;
mod blocked;
mod change;
pub(super) mod codec;
mod credit;
pub(crate) mod few;
mod input;
mod output;
mod recv;
mod recv_state;
mod room;
mod schedule;
mod send;
pub(crate) mod send_buffer;
mod send_state;
pub(crate) mod spare;
mod table;

/// The priority of streams that carry what makes the peer go on: control streams, and the capsules
/// of sessions. If data for streams that the peer's application does not read could use up all of
/// the connection's credit, a session's credit could not be raised any more, and both ends might
/// wait for each other for ever. So the last of the credit is kept for these streams.
pub(crate) const URGENT: i32 = i32::MAX;

/// All streams of a connection.
#[derive(Debug)]
pub(crate) struct Streams {
    side: Side,
    table: Table,
    opened: PerDir<Opened>,
    accepted: PerDir<Accepted>,
    /// The peer's limits for new streams.
    peer: StreamParams,
    send_credit: SendCredit,
    /// How much of it is kept for urgent streams, where the peer gives that much.
    urgent_reserve: u64,
    shared: Shared,
    /// Streams with control frames to send.
    control: Schedule,
    /// Streams with data to send that costs no credit of the connection.
    resend: Schedule,
    /// Streams with data to send that does.
    fresh: Schedule,
    changes: VecDeque<StreamChange>,
    /// Streams that wait to write until the connection's buffer has room.
    waiting: VecDeque<StreamId>,
    counted: Counted,
    /// Bytes of data sent again.
    resent: u64,
}

/// The limits of one side that stay the same.
#[derive(Copy, Clone, Debug)]
struct StreamLimits {
    window: u64,
    window_max: u64,
    gaps: usize,
    send_buffer: u64,
    connection_send_buffer: u64,
}

#[derive(Debug)]
struct PerDir<T> {
    bi: T,
    uni: T,
}

impl Streams {
    /// No streams yet; and none can be opened before [`Self::on_peer_params`].
    pub(crate) fn new(side: Side, limits: &Limits) -> Self {
        let credit = RecvCredit::new(
            limits.connection_window,
            limits.connection_window_max,
            Instant::ZERO,
        );
        Self {
            side,
            table: Table::default(),
            opened: PerDir {
                bi: Opened::default(),
                uni: Opened::default(),
            },
            accepted: PerDir {
                bi: Accepted::new(limits.streams_bidi),
                uni: Accepted::new(limits.streams_uni),
            },
            peer: StreamParams::default(),
            send_credit: SendCredit::default(),
            urgent_reserve: URGENT_RESERVE,
            shared: Shared {
                credit,
                clock: Clock::default(),
                spare: Spare::default(),
                limits: StreamLimits {
                    window: limits.stream_window,
                    window_max: limits.stream_window_max,
                    gaps: limits.stream_gaps,
                    send_buffer: limits.stream_send_buffer as u64,
                    connection_send_buffer: limits.connection_send_buffer as u64,
                },
            },
            control: Schedule::default(),
            resend: Schedule::default(),
            fresh: Schedule::default(),
            changes: VecDeque::new(),
            waiting: VecDeque::new(),
            counted: Counted::default(),
            resent: 0,
        }
    }

    /// As before the first stream, for a connection on which nothing has happened. Who waits for
    /// streams to open still does.
    pub(crate) fn begin_again(&self, limits: &Limits) -> Self {
        let mut streams = Self::new(self.side, limits);
        streams.urgent_reserve = self.urgent_reserve;
        streams.shared.clock = self.shared.clock;
        for dir in [Dir::Bi, Dir::Uni] {
            streams.opened.get_mut(dir).wanted = self.opened.get(dir).wanted;
        }
        streams
    }

    /// The limits to advertise.
    pub(crate) fn local_params(&self) -> StreamParams {
        let window = self.shared.limits.window;
        StreamParams {
            max_data: self.shared.credit.next_limit(),
            bidi_local: window,
            bidi_remote: window,
            uni: window,
            streams_bidi: self.accepted.bi.limit(),
            streams_uni: self.accepted.uni.limit(),
        }
    }

    /// The peer's limits are known. They only ever raise those there are.
    pub(crate) fn on_peer_params(&mut self, params: &StreamParams) {
        self.peer = *params;
        self.send_credit.raise(params.max_data);
        let reserve = (params.max_data / 8).min(self.urgent_reserve);
        self.send_credit.keep_reserve(reserve);
        self.raise_streams(Dir::Bi, params.streams_bidi);
        self.raise_streams(Dir::Uni, params.streams_uni);
        for slot in 0..self.table.slots() {
            let Some(stream) = self.table.get_mut(slot) else {
                continue;
            };
            let limit = initial_max_data(self.side, stream.id, params);
            if let Some(send) = &mut stream.send {
                send.on_max_data(limit);
            }
            self.settle(slot);
        }
    }

    /// No stream will be urgent.
    pub(crate) fn keep_no_reserve(&mut self) {
        self.urgent_reserve = 0;
        self.send_credit.keep_reserve(0);
    }

    /// The time, to be set before each input.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.shared.clock.now = now;
    }

    /// The round-trip time, by which receive windows are tuned.
    pub(crate) fn on_rtt(&mut self, rtt: Duration) {
        self.shared.clock.rtt = rtt;
    }

    /// Opens a stream; `None` at the peer's limit, and then [`StreamChange::Available`] follows.
    pub(crate) fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let index = self.opened.get_mut(dir).open()?;
        let id = StreamId::new(self.side, dir, index);
        let max_data = initial_max_data(self.side, id, &self.peer);
        let recv = (dir == Dir::Bi).then(|| Recv::new(&self.shared));
        let stream = Stream::new(id, Some(Send::new(max_data)), recv);
        self.table.insert(stream);
        Some(id)
    }

    /// How many streams of this direction were opened here.
    pub(crate) fn opened(&self, dir: Dir) -> u64 {
        self.opened.get(dir).count
    }

    /// Buffers a copy of as much of `data` as there is room for; gives how much.
    pub(crate) fn write(&mut self, id: StreamId, data: &[u8]) -> Result<usize, WriteFail> {
        let (slot, room) = self.begin_write(id, data.is_empty())?;
        let len = data.len().min(room);
        let (data, _) = data.split_at(len);
        if let Some((send, spare)) = self.send_mut(slot) {
            send.write(data, spare);
        }
        self.settle(slot);
        Ok(len)
    }

    /// Like [`Self::write`], without the copy.
    pub(crate) fn write_bytes(&mut self, id: StreamId, data: Bytes) -> Result<usize, WriteFail> {
        let (slot, room) = self.begin_write(id, data.is_empty())?;
        let len = data.len().min(room);
        if let Some((send, spare)) = self.send_mut(slot) {
            send.write_bytes(data.slice(..len), spare);
        }
        self.settle(slot);
        Ok(len)
    }

    /// Bytes that a write would take now.
    pub(crate) fn writable(&self, id: StreamId) -> usize {
        let stream = self.table.find(id).and_then(|slot| self.table.get(slot));
        let send = stream.and_then(|stream| Some((stream.send.as_ref()?, stream.rank)));
        match send {
            Some((send, rank)) if send.check_open().is_ok() => self.room(send, rank),
            _ => 0,
        }
    }

    /// Has [`StreamChange::Writable`] tell when a write would take something, as a refused one has.
    pub(crate) fn want_room(&mut self, id: StreamId) {
        if let Some(slot) = self.table.find_mut(id) {
            if let Some((send, _)) = self.send_mut(slot) {
                send.on_write_refused();
            }
            self.settle(slot);
        }
    }

    /// Has [`StreamChange::BufferLow`] tell, once, when no more than this much data is buffered,
    /// unless the stream is reset before.
    pub(crate) fn set_low_water(&mut self, id: StreamId, bytes: u64) {
        if let Some(slot) = self.table.find_mut(id) {
            if let Some(stream) = self.table.get_mut(slot)
                && stream.send.as_ref().is_some_and(|send| !send.is_reset())
            {
                stream.low_water = Some(bytes);
            }
            self.settle(slot);
        }
    }

    /// Ends the data of a stream.
    pub(crate) fn finish(&mut self, id: StreamId) -> Result<(), WriteFail> {
        let slot = self.table.find_mut(id).ok_or(WriteFail::Unknown)?;
        let (send, _) = self.send_mut(slot).ok_or(WriteFail::Unknown)?;
        send.finish()?;
        // Data that is still to be sent takes the end along.
        if !send.has_unsent() {
            self.settle(slot);
        }
        Ok(())
    }

    /// Drops what was not delivered and sends RESET_STREAM. Does nothing to a stream whose data
    /// and end are delivered, or that is reset already.
    pub(crate) fn reset(&mut self, id: StreamId, code: u64) -> Result<(), WriteFail> {
        self.reset_at(id, code, 0)
    }

    /// Like [`Self::reset`], but still delivers the first `reliable` bytes, by RESET_STREAM_AT.
    /// Only for a peer that offered to take that frame.
    pub(crate) fn reset_at(
        &mut self,
        id: StreamId,
        code: u64,
        reliable: u64,
    ) -> Result<(), WriteFail> {
        let slot = self.table.find_mut(id).ok_or(WriteFail::Unknown)?;
        let (send, _) = self.send_mut(slot).ok_or(WriteFail::Unknown)?;
        send.reset(code, reliable);
        self.forget_low_water(slot);
        self.settle(slot);
        self.wake_waiting();
        Ok(())
    }

    /// Wants no more of a stream: drops what was not read and sends STOP_SENDING.
    pub(crate) fn stop(&mut self, id: StreamId, code: u64) -> Result<(), ReadFail> {
        let slot = self.table.find_mut(id).ok_or(ReadFail::Unknown)?;
        let (recv, shared) = self.recv_mut(slot).ok_or(ReadFail::Unknown)?;
        recv.stop(code, shared)?;
        self.settle(slot);
        Ok(())
    }

    /// Changes when a stream sends, compared with others.
    pub(crate) fn set_rank(&mut self, id: StreamId, change: impl FnOnce(&mut Rank)) {
        let Some(slot) = self.table.find_mut(id) else {
            return;
        };
        if let Some(stream) = self.table.get_mut(slot) {
            let (old, places) = (stream.rank, &mut stream.places);
            change(&mut stream.rank);
            if stream.rank == old {
                return;
            }
            self.resend.set(slot, &mut places.resend, false, old);
            self.fresh.set(slot, &mut places.fresh, false, old);
        }
        self.settle(slot);
    }

    /// Takes up to `max` bytes of what arrived, in order; `None` at the end.
    pub(crate) fn read(&mut self, id: StreamId, max: usize) -> Result<Option<Bytes>, ReadFail> {
        let slot = self.table.find_mut(id).ok_or(ReadFail::Unknown)?;
        let (recv, shared) = self.recv_mut(slot).ok_or(ReadFail::Unknown)?;
        let result = recv.read(max, shared);
        self.after_read(slot);
        result
    }

    /// Copies what arrived into `out`, in order; gives how much, `None` at the end.
    pub(crate) fn read_into(
        &mut self,
        id: StreamId,
        out: &mut [u8],
    ) -> Result<Option<usize>, ReadFail> {
        let slot = self.table.find_mut(id).ok_or(ReadFail::Unknown)?;
        let (recv, shared) = self.recv_mut(slot).ok_or(ReadFail::Unknown)?;
        let result = recv.read_into(out, shared);
        self.after_read(slot);
        result
    }

    /// Whether a read would give data, the end, or a reset.
    pub(crate) fn is_readable(&self, id: StreamId) -> bool {
        let stream = self.table.find(id).and_then(|slot| self.table.get(slot));
        stream
            .and_then(|stream| stream.recv.as_ref())
            .is_some_and(Recv::is_readable)
    }

    /// Tells by [`StreamChange::Received`] from now on when the peer sends on a stream.
    pub(crate) fn watch(&mut self, id: StreamId) {
        let Some(slot) = self.table.find_mut(id) else {
            return;
        };
        if let Some(stream) = self.table.get_mut(slot)
            && stream.watch == Watch::Off
        {
            stream.watch = Watch::Armed(0);
        }
        self.settle(slot);
    }

    /// How far the data reaches that the peer sent on a stream, or its final size.
    pub(crate) fn received(&mut self, id: StreamId) -> Option<u64> {
        let slot = self.table.find_mut(id)?;
        let stream = self.table.get_mut(slot)?;
        let received = stream.recv.as_ref()?.received();
        if stream.watch != Watch::Off {
            stream.watch = Watch::Armed(received);
        }
        Some(received)
    }

    /// Bytes written on a stream and not yet delivered.
    pub(crate) fn buffered_on(&self, id: StreamId) -> u64 {
        let stream = self.table.find(id).and_then(|slot| self.table.get(slot));
        stream.map_or(0, |stream| stream.counted.buffered)
    }

    /// Bytes of data sent again, over all streams.
    pub(crate) fn resent(&self) -> u64 {
        self.resent
    }

    /// What happened since the last call.
    pub(crate) fn next_change(&mut self) -> Option<StreamChange> {
        if let Some(id) = self.next_accepted() {
            return Some(StreamChange::Opened(id));
        }
        while let Some(change) = self.changes.pop_front() {
            if self.is_news(change) {
                return Some(change);
            }
        }
        None
    }

    /// The next stream of the peer's that nobody was told of.
    fn next_accepted(&mut self) -> Option<StreamId> {
        for dir in [Dir::Bi, Dir::Uni] {
            if let Some(index) = self.accepted.get_mut(dir).announce() {
                return Some(StreamId::new(self.side.peer(), dir, index));
            }
        }
        None
    }

    /// How many streams are not done with.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Data written and not yet delivered, in bytes.
    #[cfg(test)]
    pub(crate) fn buffered(&self) -> u64 {
        self.counted.buffered
    }

    /// Memory held for streams, both ways, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        self.counted.bytes
            + self.table.accounted_bytes()
            + self.shared.spare.accounted_bytes()
            + self.changes.capacity() * size_of::<StreamChange>()
            + self.waiting.capacity() * size_of::<StreamId>()
            + [&self.control, &self.resend, &self.fresh]
                .map(Schedule::accounted_bytes)
                .iter()
                .sum::<usize>()
    }

    /// Puts a stream where it belongs after something happened to it.
    fn settle(&mut self, slot: u32) {
        let Some(stream) = self.table.get_mut(slot) else {
            return;
        };
        let id = stream.id;
        if let Some(recv) = &mut stream.recv {
            if recv.take_notice() {
                self.changes.push_back(StreamChange::Readable(id));
            }
            if matches!(stream.watch, Watch::Armed(seen) if recv.received() > seen) {
                stream.watch = Watch::Queued;
                self.changes.push_back(StreamChange::Received(id));
            }
        }
        if stream.is_done() {
            self.close(slot);
            return;
        }
        let count = stream.count();
        self.counted.change(stream.counted, count);
        stream.counted = count;
        if stream
            .low_water
            .is_some_and(|bytes| count.buffered <= bytes)
        {
            stream.low_water = None;
            self.changes.push_back(StreamChange::BufferLow(id));
        }
        let is_refused = stream.send.as_ref().is_some_and(Send::is_write_refused);
        let wants = stream.wants();
        if stream.places != wants {
            self.place(slot, wants);
        }
        if is_refused {
            self.tell_of_room(slot);
        }
    }

    /// Puts a stream into the queues that it belongs into, and takes it out of the others.
    fn place(&mut self, slot: u32, wants: Places) {
        let Some(stream) = self.table.get_mut(slot) else {
            return;
        };
        let (places, rank) = (&mut stream.places, stream.rank);
        self.control
            .set(slot, &mut places.control, wants.control, Rank::default());
        self.resend
            .set(slot, &mut places.resend, wants.resend, rank);
        self.fresh.set(slot, &mut places.fresh, wants.fresh, rank);
    }

    /// Both sides are done with a stream.
    fn close(&mut self, slot: u32) {
        self.place(slot, Places::default());
        let Some(stream) = self.table.get_mut(slot) else {
            return;
        };
        let id = stream.id;
        self.counted.change(stream.counted, Counted::default());
        if stream.low_water.is_some() {
            self.changes.push_back(StreamChange::BufferLow(id));
        }
        self.changes.push_back(StreamChange::Closed {
            id,
            sent: stream.send.as_ref().map_or(0, Send::sent),
            received: stream.recv.as_ref().map_or(0, Recv::received),
        });
        self.table.remove(slot);
        if id.initiator() != self.side {
            self.accepted.get_mut(id.dir()).on_closed();
        }
    }

    fn begin_write(&mut self, id: StreamId, empty: bool) -> Result<(u32, usize), WriteFail> {
        let slot = self.table.find_mut(id).ok_or(WriteFail::Unknown)?;
        let stream = self.table.get(slot).ok_or(WriteFail::Unknown)?;
        let send = stream.send.as_ref().ok_or(WriteFail::Unknown)?;
        send.check_open()?;
        let room = self.room(send, stream.rank);
        if room > 0 || empty {
            return Ok((slot, room));
        }
        if let Some((send, _)) = self.send_mut(slot) {
            send.on_write_refused();
        }
        self.settle(slot);
        Err(WriteFail::Blocked)
    }

    fn forget_low_water(&mut self, slot: u32) {
        if let Some(stream) = self.table.get_mut(slot) {
            stream.low_water = None;
        }
    }

    fn after_read(&mut self, slot: u32) {
        if let Some((recv, shared)) = self.recv_mut(slot)
            && recv.window() > shared.limits.window
        {
            // One stream alone must not exhaust the connection's window.
            let window = recv.window();
            shared.credit.widen(window.saturating_add(window / 2));
        }
        self.settle(slot);
    }

    fn raise_streams(&mut self, dir: Dir, limit: u64) {
        if self.opened.get_mut(dir).raise(limit) {
            self.changes.push_back(StreamChange::Available(dir));
        }
    }

    /// Whether a change still says something true and new.
    fn is_news(&mut self, change: StreamChange) -> bool {
        match change {
            StreamChange::Readable(id) => self
                .table
                .find_mut(id)
                .and_then(|slot| self.recv_mut(slot))
                .is_some_and(|(recv, _)| recv.on_told()),
            StreamChange::Writable(id) => {
                let room = self.writable(id) > 0;
                let slot = self.table.find_mut(id);
                let told = slot
                    .and_then(|slot| self.send_mut(slot))
                    .is_some_and(|(send, _)| send.on_told(room));
                if let Some(slot) = slot.filter(|_| !told) {
                    self.settle(slot);
                }
                told
            }
            StreamChange::Opened(_)
            | StreamChange::BufferLow(_)
            | StreamChange::Stopped { .. }
            | StreamChange::Finished(_)
            | StreamChange::Available(_)
            | StreamChange::Received(_)
            | StreamChange::Closed { .. } => true,
        }
    }

    fn send_mut(&mut self, slot: u32) -> Option<(&mut Send, &mut Spare)> {
        let send = self.table.get_mut(slot)?.send.as_mut()?;
        Some((send, &mut self.shared.spare))
    }

    fn recv_mut(&mut self, slot: u32) -> Option<(&mut Recv, &mut Shared)> {
        let recv = self.table.get_mut(slot)?.recv.as_mut()?;
        Some((recv, &mut self.shared))
    }
}

impl<T> PerDir<T> {
    fn get(&self, dir: Dir) -> &T {
        match dir {
            Dir::Bi => &self.bi,
            Dir::Uni => &self.uni,
        }
    }

    fn get_mut(&mut self, dir: Dir) -> &mut T {
        match dir {
            Dir::Bi => &mut self.bi,
            Dir::Uni => &mut self.uni,
        }
    }
}

/// What `params` of the peer let us send on a new stream.
fn initial_max_data(side: Side, id: StreamId, params: &StreamParams) -> u64 {
    match (id.dir(), id.initiator() == side) {
        (Dir::Uni, _) => params.uni,
        (Dir::Bi, true) => params.bidi_remote,
        (Dir::Bi, false) => params.bidi_local,
    }
}

/// Credit of the connection that is kept for urgent streams, in bytes; less where the peer gives
/// little.
const URGENT_RESERVE: u64 = 16 << 10;

#[cfg(test)]
mod tests;
