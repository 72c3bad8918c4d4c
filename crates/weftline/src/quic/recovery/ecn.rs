//! Whether the peer's reports on ECN can be believed (RFC 9000, section 13.4.2).

use super::SpaceId;
use crate::wire::frame::EcnCounts;

/// Checks the counts in ACK frames against what was sent. ECT(0) is the only mark this side ever
/// sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct EcnValidator {
    spaces: [Reports; 3],
    failed: bool,
}

#[derive(Clone, Debug, Default)]
struct Reports {
    /// Packets sent marked.
    marked: u64,
    counts: EcnCounts,
}

impl EcnValidator {
    /// Whether packets may be marked: no report has been found wrong.
    pub(crate) const fn may_mark(&self) -> bool {
        !self.failed
    }

    /// How the peer says our packets of `space` arrived.
    pub(crate) fn reported(&self, space: SpaceId) -> EcnCounts {
        self.spaces[space as usize].counts
    }

    pub(crate) fn on_marked_sent(&mut self, space: SpaceId) {
        self.spaces[space as usize].marked += 1;
    }

    /// Takes the counts of an ACK frame that raised the largest acknowledged number and newly
    /// acknowledged `newly_marked` marked packets; tells whether they show new congestion.
    ///
    /// Where no packet was marked, counts mean nothing and are not looked at.
    pub(crate) fn on_ack(
        &mut self,
        space: SpaceId,
        counts: Option<EcnCounts>,
        newly_marked: u64,
    ) -> bool {
        let reports = &mut self.spaces[space as usize];
        if self.failed || reports.marked == 0 {
            return false;
        }
        let Some(new) = counts else {
            self.failed = newly_marked > 0;
            return false;
        };
        let old = reports.counts;
        let rise = |old: u64, new: u64| new.checked_sub(old);
        let (Some(ect0), Some(ce)) = (rise(old.ect0, new.ect0), rise(old.ce, new.ce)) else {
            self.failed = true;
            return false;
        };
        // Too few marks seen: something on the way clears them. Too many: something adds them.
        let cleared = ect0.saturating_add(ce) < newly_marked;
        let added = new.ect1 > 0 || new.ect0 > reports.marked || new.ce > reports.marked;
        if cleared || added {
            self.failed = true;
            return false;
        }
        reports.counts = new;
        ce > 0
    }
}
