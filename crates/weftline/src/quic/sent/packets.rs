//! The packets of one packet number space that await their fate.

use alloc::{collections::VecDeque, vec::Vec};
use core::ops::RangeInclusive;

use super::SentFrame;
use crate::{
    error::{Fault, TransportCode},
    quic::recovery::{PathId, Snapshot},
    time::Instant,
};

/// What loss recovery knows of a packet (RFC 9002, appendix A.1.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentPacket {
    pub(crate) number: u64,
    pub(crate) time: Instant,
    /// Bytes of the whole packet.
    pub(crate) size: u16,
    pub(crate) ack_eliciting: bool,
    /// Counts against the congestion window: it holds more than ACK and CONNECTION_CLOSE.
    pub(crate) in_flight: bool,
    /// Went out marked ECT(0).
    pub(crate) ect: bool,
    pub(crate) path: PathId,
    /// Tries whether the path carries its size.
    pub(crate) mtu_probe: bool,
    /// What the path had delivered when it was sent.
    pub(crate) delivery: Snapshot,
}

/// How far a packet number has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum SentState {
    Outstanding,
    Acked,
    Lost,
    /// Never sent, on purpose: only a peer that guesses acknowledges it.
    Skipped,
}

/// The packets of one space, from the oldest outstanding one on, in a ring with their frames in a
/// ring beside it. Both keep their memory, so that sending allocates nothing once they have
/// grown.
///
/// Loss detection declares lost whatever is three below an acknowledged packet, so nearly all of
/// the ring is outstanding, and a packet is found at (or close before) its distance from the
/// front.
#[derive(Debug, Default)]
pub(crate) struct SentPackets {
    entries: VecDeque<Entry>,
    frames: VecDeque<SentFrame>,
    /// Frames that have left the front of `frames` since the beginning.
    frames_gone: u64,
    next_number: u64,
    /// Outstanding packets that are ack-eliciting.
    eliciting: usize,
    /// Outstanding packets that are not.
    silent: usize,
}

#[derive(Copy, Clone, Debug)]
struct Entry {
    packet: SentPacket,
    state: SentState,
    /// Where its frames begin, counted from the beginning of the connection.
    frames_at: u64,
    frame_count: u16,
}

impl SentPackets {
    /// The number that the next packet has.
    pub(crate) const fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Packets and skipped numbers held.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Frames held.
    pub(crate) fn frames_len(&self) -> usize {
        self.frames.len()
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.frames.capacity() * size_of::<SentFrame>()
    }

    /// Whether an ack-eliciting packet is outstanding.
    pub(crate) const fn has_eliciting(&self) -> bool {
        self.eliciting > 0
    }

    /// Leaves a number out, so that a peer that acknowledges what it did not receive is caught
    /// (RFC 9000, section 21.4).
    pub(crate) fn skip_number(&mut self) {
        let packet = SentPacket {
            number: self.next_number,
            time: Instant::ZERO,
            size: 0,
            ack_eliciting: false,
            in_flight: false,
            ect: false,
            path: PathId::default(),
            mtu_probe: false,
            delivery: Snapshot::default(),
        };
        self.push_entry(packet, SentState::Skipped, &[]);
    }

    /// Records the next packet. `packet.number` is set here.
    ///
    /// A packet that nothing is owed for is not held when [`SILENT_MAX`] of its like are: a peer
    /// that makes us acknowledge and never acknowledges in turn would have them grow for ever.
    pub(crate) fn push(&mut self, mut packet: SentPacket, frames: &[SentFrame]) {
        packet.number = self.next_number;
        if packet.ack_eliciting {
            self.eliciting += 1;
        } else if packet.in_flight || self.silent < SILENT_MAX {
            self.silent += 1;
        } else {
            self.next_number += 1;
            return;
        }
        self.push_entry(packet, SentState::Outstanding, frames);
    }

    fn push_entry(&mut self, packet: SentPacket, state: SentState, frames: &[SentFrame]) {
        let frame_count = u16::try_from(frames.len()).unwrap_or(u16::MAX);
        let frames_at = self.frames_gone + self.frames.len() as u64;
        self.frames.extend(frames.iter().take(frame_count.into()));
        self.entries.push_back(Entry {
            packet,
            state,
            frames_at,
            frame_count,
        });
        self.next_number += 1;
    }

    /// Marks the outstanding packets of `range` as acknowledged; gives their frames, and tells
    /// `each` of them and of their index, oldest first. Those acknowledged or lost before are
    /// passed over.
    pub(crate) fn ack_range(
        &mut self,
        range: RangeInclusive<u64>,
        frames: &mut Vec<SentFrame>,
        mut each: impl FnMut(usize, &SentPacket),
    ) -> Result<(), Fault> {
        if *range.end() >= self.next_number {
            return Err(UNSENT);
        }
        let mut index = self.index_from(*range.start());
        while let Some(entry) = self.entries.get_mut(index) {
            if entry.packet.number > *range.end() {
                break;
            }
            match entry.state {
                SentState::Outstanding => {
                    entry.state = SentState::Acked;
                    each(index, &entry.packet);
                    self.settle(index, frames);
                }
                SentState::Skipped => return Err(UNSENT),
                SentState::Acked | SentState::Lost => {}
            }
            index += 1;
        }
        Ok(())
    }

    /// The packet at `index`, counted from the oldest held.
    pub(crate) fn get(&self, index: usize) -> Option<(&SentPacket, SentState)> {
        self.entries
            .get(index)
            .map(|entry| (&entry.packet, entry.state))
    }

    /// Marks the packet at `index` as lost; gives its frames.
    pub(crate) fn lose(&mut self, index: usize, frames: &mut Vec<SentFrame>) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if entry.state != SentState::Outstanding {
            return;
        }
        entry.state = SentState::Lost;
        self.settle(index, frames);
    }

    /// Lets go of packets at the front whose fate is known. A skipped number stays until a packet
    /// after it is settled: until then nothing but a guess can name it.
    pub(crate) fn trim(&mut self) {
        loop {
            let mut front = self.entries.iter().map(|entry| entry.state);
            let gone = match front.next() {
                Some(SentState::Acked | SentState::Lost) => 1,
                Some(SentState::Skipped) => match front.next() {
                    Some(SentState::Acked | SentState::Lost) => 2,
                    _ => break,
                },
                Some(SentState::Outstanding) | None => break,
            };
            self.entries.drain(..gone);
        }
        let end = self.frames_gone + self.frames.len() as u64;
        let kept_from = self.entries.front().map_or(end, |entry| entry.frames_at);
        let gone = usize::try_from(kept_from - self.frames_gone).unwrap_or(usize::MAX);
        self.frames.drain(..gone.min(self.frames.len()));
        self.frames_gone = kept_from;
    }

    /// The outstanding packets, oldest first.
    pub(crate) fn outstanding(&self) -> impl Iterator<Item = SentPacket> + '_ {
        self.entries
            .iter()
            .filter(|entry| entry.state == SentState::Outstanding)
            .map(|entry| entry.packet)
    }

    /// The frames of the `count` oldest ack-eliciting packets outstanding.
    pub(crate) fn oldest_frames(&self, count: usize) -> impl Iterator<Item = SentFrame> + '_ {
        self.entries
            .iter()
            .filter(|entry| entry.state == SentState::Outstanding && entry.packet.ack_eliciting)
            .take(count)
            .flat_map(|entry| self.frames_of(entry))
    }

    /// Forgets every packet and frees the memory. Numbers go on where they were.
    pub(crate) fn discard(&mut self) {
        *self = Self {
            next_number: self.next_number,
            ..Self::default()
        };
    }

    /// Whether a number was left out among the `count` that follow the packet at `index`.
    pub(crate) fn skipped_after(&self, index: usize, count: usize) -> bool {
        let after = self.entries.iter().skip(index + 1).take(count);
        after
            .map(|entry| entry.state)
            .any(|state| state == SentState::Skipped)
    }

    /// The packet at `index` stops being outstanding.
    fn settle(&mut self, index: usize, frames: &mut Vec<SentFrame>) {
        let Some(entry) = self.entries.get(index) else {
            return;
        };
        if entry.packet.ack_eliciting {
            self.eliciting -= 1;
        } else {
            self.silent -= 1;
        }
        frames.extend(self.frames_of(entry));
    }

    fn frames_of(&self, entry: &Entry) -> impl Iterator<Item = SentFrame> + '_ {
        let at = usize::try_from(entry.frames_at - self.frames_gone).unwrap_or(usize::MAX);
        let at = at.min(self.frames.len());
        let end = at.saturating_add(entry.frame_count.into());
        self.frames.range(at..end.min(self.frames.len())).copied()
    }

    /// The index of the first packet numbered `number` or above.
    fn index_from(&self, number: u64) -> usize {
        let Some(front) = self.entries.front() else {
            return 0;
        };
        let Some(distance) = number.checked_sub(front.packet.number) else {
            return 0;
        };
        // Exact unless numbers before it are not held; then it is before its distance.
        let guess = usize::try_from(distance).unwrap_or(usize::MAX);
        match self.entries.get(guess) {
            Some(entry) if entry.packet.number == number => guess,
            _ => self
                .entries
                .partition_point(|entry| entry.packet.number < number),
        }
    }
}

/// Packets held that neither elicit an acknowledgement nor count as in flight.
const SILENT_MAX: usize = 1024;

const UNSENT: Fault = Fault::Transport {
    code: TransportCode::ProtocolViolation,
    frame: 0x02,
    reason: "acknowledgement of a packet that was never sent",
};
