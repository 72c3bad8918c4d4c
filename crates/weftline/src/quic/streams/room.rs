//! Room for what the application writes, and who is told when there is some again.

use super::{StreamChange, StreamLimits, Streams, URGENT, schedule::Rank, send::Send};

impl Streams {
    /// Tells a refused writer to go on, if there is room, or lets it wait for that.
    pub(super) fn tell_of_room(&mut self, slot: u32) {
        let limits = self.shared.limits;
        let Some(stream) = self.table.get_mut(slot) else {
            return;
        };
        let Some(send) = &mut stream.send else {
            return;
        };
        if !is_worth_telling(send, limits, self.counted.stuck) {
            return;
        }
        let room = limits
            .connection_send_buffer
            .saturating_sub(self.counted.buffered);
        if room < low_water(limits.connection_send_buffer) && stream.rank.priority != URGENT {
            if !core::mem::replace(&mut stream.waits, true) {
                self.waiting.push_back(stream.id);
            }
        } else if send.take_notice() {
            self.changes.push_back(StreamChange::Writable(stream.id));
        }
    }

    /// Lets the streams go on that waited for room in the connection's buffer, when there is some.
    pub(super) fn wake_waiting(&mut self) {
        if self.connection_room() < low_water(self.shared.limits.connection_send_buffer) {
            return;
        }
        while let Some(id) = self.waiting.pop_front() {
            let Some(slot) = self.table.find(id) else {
                continue;
            };
            if let Some(stream) = self.table.get_mut(slot) {
                stream.waits = false;
            }
            self.settle(slot);
        }
    }

    /// Room for a write on a stream. Urgent streams write little, and the others may be waiting for
    /// just that.
    pub(super) fn room(&self, send: &Send, rank: Rank) -> usize {
        let limits = self.shared.limits;
        let stream = limits.send_buffer.saturating_sub(send.buffered());
        let room = match rank.priority {
            URGENT => stream,
            _ => stream
                .min(movable_room(send, limits, self.counted.stuck))
                .min(self.connection_room()),
        };
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    pub(super) fn connection_room(&self) -> u64 {
        let limit = self.shared.limits.connection_send_buffer;
        limit.saturating_sub(self.counted.buffered)
    }
}

/// Room for data of a stream by what the peer lets go. Half of the connection's buffer is for data
/// that the credit of its own stream lets go, which moves on: streams that the peer does not read
/// cannot fill it, and so not stop the others.
fn movable_room(send: &Send, limits: StreamLimits, stuck: u64) -> u64 {
    let for_stuck = limits.connection_send_buffer / 2;
    send.sendable()
        .saturating_add(for_stuck.saturating_sub(stuck))
}

/// Whether a refused writer should go on, as far as its own stream is concerned.
fn is_worth_telling(send: &Send, limits: StreamLimits, stuck: u64) -> bool {
    let enough = low_water(limits.send_buffer);
    let movable = movable_room(send, limits, stuck);
    limits.send_buffer.saturating_sub(send.buffered()) >= enough
        && (movable >= enough || movable > 0 && send.is_all_sent())
}

/// Room from which a refused writer is told to go on: less would make it go on in small steps.
fn low_water(limit: u64) -> u64 {
    (limit / 8).max(1)
}
