//! What holds data back, by name.

use alloc::vec::Vec;

use super::{Connection, phase::Phase, timers::TimerId};
use crate::{
    blocked::Blocker,
    quic::recovery::SpaceId,
    wire::{Dir, Side, StreamId},
};

impl Connection {
    /// What holds the data of a stream back, what is nearest to the stream first. `None` when this
    /// side sends on no such stream.
    pub(crate) fn why_blocked(&self, id: StreamId) -> Option<Vec<Blocker>> {
        if !self.phase.is_open() {
            return Some([Blocker::Closed].into());
        }
        let held = self.streams.held_back(id)?;
        let mut blockers = Vec::new();
        let mut add = |holds: bool, blocker| blockers.extend(holds.then_some(blocker));
        add(held.buffer_full, Blocker::SendBuffer);
        add(held.stream_credit, Blocker::StreamCredit);
        add(held.connection_credit, Blocker::ConnectionCredit);
        add(held.is_idle && !held.buffer_full, Blocker::Application);
        add(self.phase == Phase::Handshaking, Blocker::Handshake);
        if !held.is_idle && !held.stream_credit && !held.connection_credit {
            blockers.extend(self.path_blockers());
        }
        Some(blockers)
    }

    /// What holds the datagrams in the queue back, or keeps more from being queued.
    pub(crate) fn why_blocked_datagrams(&self) -> Vec<Blocker> {
        if !self.phase.is_open() {
            return [Blocker::Closed].into();
        }
        let Some(max) = self.max_datagram_len() else {
            let handshaking = self.phase == Phase::Handshaking;
            return [if handshaking {
                Blocker::Handshake
            } else {
                Blocker::PeerSettings
            }]
            .into();
        };
        let mut blockers = Vec::new();
        let mut add = |holds: bool, blocker| blockers.extend(holds.then_some(blocker));
        let next = self.datagrams.next_len();
        add(next.is_none(), Blocker::Application);
        add(self.datagrams.is_full(), Blocker::SendBuffer);
        add(next.is_some_and(|len| len > max), Blocker::PathMtu);
        if next.is_some() {
            blockers.extend(self.path_blockers());
        }
        blockers
    }

    /// What holds everything back.
    pub(crate) fn why_blocked_connection(&self) -> Vec<Blocker> {
        if !self.phase.is_open() {
            return [Blocker::Closed].into();
        }
        let has_content = SpaceId::ALL
            .into_iter()
            .any(|id| self.space(id).keys.are_installed() && self.has_content(id));
        let mut blockers = Vec::new();
        let mut add = |holds: bool, blocker| blockers.extend(holds.then_some(blocker));
        add(self.phase == Phase::Handshaking, Blocker::Handshake);
        add(self.streams.wants_credit(), Blocker::ConnectionCredit);
        if has_content {
            blockers.extend(self.path_blockers());
        } else if blockers.is_empty() {
            blockers.push(Blocker::Application);
        }
        blockers
    }

    /// Whether the peer lets a stream be opened.
    pub(crate) fn may_open(&self, dir: Dir) -> bool {
        self.phase.is_open() && self.streams.may_open(dir)
    }

    /// What keeps packets with new data from going out on the active path.
    fn path_blockers(&self) -> impl Iterator<Item = Blocker> {
        let amplification = self.side == Side::Server && self.paths.budget() < self.min_budget();
        let congestion = self.recovery.send_budget() < u64::from(self.paths.datagram_size());
        // It is set when the pacer refuses, and cleared when it is asked again.
        let now = self.now.unwrap_or_default();
        let pacer = self.timers.at(TimerId::Pacing).filter(|until| *until > now);
        let packets = self.recovery.is_full(SpaceId::Data);
        [
            amplification.then_some(Blocker::Amplification),
            congestion.then_some(Blocker::Congestion),
            pacer.map(|until| Blocker::Pacer { until }),
            packets.then_some(Blocker::PacketLimit),
        ]
        .into_iter()
        .flatten()
    }
}
