//! Paths: where the connection is, and what it does there.

use core::time::Duration;

use super::Connection;
use crate::quic::{
    path::BASE,
    recovery::{Outcome, SpaceId},
};

impl Connection {
    /// Tells path MTU discovery what became of datagrams.
    pub(super) fn apply_mtu_outcome(&mut self, outcome: &mut Outcome) {
        let (acked, lost) = (outcome.acked_max.take(), outcome.lost_min.take());
        let acked_probe = outcome.acked_mtu_probe.take();
        let lost_probe = outcome.lost_mtu_probe.take();
        let now = self.now.unwrap_or_default();
        let round: Duration = self.recovery.pto(SpaceId::Data);
        let path = self.recovery.active().id();
        let mtu = self.paths.mtu();
        let mut has_changed = false;
        if let Some(largest) = acked {
            mtu.on_acked(largest);
        }
        if let Some(smallest) = lost
            && acked.is_none_or(|largest| largest <= BASE)
        {
            has_changed |= mtu.on_lost(now, smallest, round);
        }
        if let Some(probe) = lost_probe.filter(|probe| probe.path == path) {
            mtu.on_probe_lost(probe.size);
        }
        if let Some(probe) = acked_probe.filter(|probe| probe.path == path) {
            has_changed |= mtu.on_probe_acked(probe.size);
        }
        if has_changed {
            self.on_mtu_change();
        }
    }

    /// Datagrams on the active path have another size.
    pub(super) fn on_mtu_change(&mut self) {
        let path = self.recovery.active().id();
        self.recovery
            .on_mtu_update(path, self.paths.datagram_size());
    }
}
