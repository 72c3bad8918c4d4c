//! Packets that were declared lost and arrive after all: they were late. What that teaches about
//! reordering, and when a loss event was none.

use alloc::collections::VecDeque;
use core::{ops::RangeInclusive, time::Duration};

use super::{PathId, rtt::Rtt};
use crate::{quic::sent::SentPacket, time::Instant};

/// The 1-RTT packets declared lost most recently, by number.
#[derive(Debug, Default)]
pub(super) struct LostPackets(VecDeque<LostPacket>);

/// A packet declared lost.
#[derive(Copy, Clone, Debug)]
pub(super) struct LostPacket {
    pub(super) number: u64,
    pub(super) sent: Instant,
    pub(super) path: PathId,
    /// The loss event of the path that it belongs to.
    pub(super) event: u32,
}

impl LostPackets {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Remembers a packet; of too many the oldest is forgotten.
    pub(super) fn push(&mut self, packet: LostPacket) {
        if self.0.len() >= LOST_MAX {
            self.0.pop_front();
        }
        // They are found lost in order, but for those on different paths.
        let at = self.0.partition_point(|other| other.number < packet.number);
        self.0.insert(at, packet);
    }

    /// Takes a packet of `range` that is remembered.
    pub(super) fn take(&mut self, range: &RangeInclusive<u64>) -> Option<LostPacket> {
        let at = self
            .0
            .partition_point(|packet| packet.number < *range.start());
        let packet = self.0.get(at)?;
        (packet.number <= *range.end())
            .then(|| self.0.remove(at))
            .flatten()
    }
}

/// How much reordering a path is thought to do (RFC 9002, section 6.1). It begins with the
/// defaults and grows, within bounds, when packets turn out to have been late.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Reordering {
    /// Later packets that must arrive before one counts as lost (`kPacketThreshold`).
    pub(super) packets: u64,
    /// A packet counts as lost a round trip and the `2^-shift`th part of one after it was sent.
    shift: u8,
}

impl Default for Reordering {
    fn default() -> Self {
        Self {
            packets: PACKETS_MIN,
            shift: SHIFT_MAX,
        }
    }
}

impl Reordering {
    /// How long after its sending a packet that was overtaken is lost.
    pub(super) fn loss_delay(self, rtt: &Rtt) -> Duration {
        rtt.loss_delay(self.shift)
    }

    /// A packet overtaken by `distance` others arrived `after` it was sent, when it was thought
    /// lost.
    pub(super) fn on_spurious_loss(&mut self, distance: u64, after: Duration, rtt: &Rtt) {
        if distance >= self.packets {
            self.packets = distance.saturating_add(1).min(PACKETS_MAX);
        }
        if after > self.loss_delay(rtt) {
            self.shift = self.shift.saturating_sub(1);
        }
    }

    /// Everything was lost: what was learned may no longer hold.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// The latest loss event of a path: a reduction of its window, and the packets that belong to it.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct LossEvent {
    /// Its number.
    pub(super) id: u32,
    /// What was sent until then belongs to it.
    began: Option<Instant>,
    lost: u32,
    late: u32,
}

impl LossEvent {
    /// A packet was lost that tells of congestion; gives its event.
    pub(super) fn on_lost(&mut self, now: Instant, packet: &SentPacket) -> u32 {
        if self.began.is_none_or(|began| packet.time > began) {
            *self = Self {
                id: self.id.wrapping_add(1),
                began: Some(now),
                lost: 0,
                late: 0,
            };
        }
        self.lost = self.lost.saturating_add(1);
        self.id
    }

    /// A packet of event `id` was late. True when with it all of the latest event's were.
    pub(super) fn on_late(&mut self, id: u32) -> bool {
        if id != self.id {
            return false;
        }
        self.late = self.late.saturating_add(1);
        self.late == self.lost
    }
}

/// Packets remembered. More are lost at once when everything is; then nothing is undone.
const LOST_MAX: usize = 256;

/// `kPacketThreshold`.
const PACKETS_MIN: u64 = 3;

/// Above it only time tells.
const PACKETS_MAX: u64 = 1000;

/// `kTimeThreshold` is 9/8.
const SHIFT_MAX: u8 = 3;
