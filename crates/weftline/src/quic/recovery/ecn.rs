//! Whether the peer's reports on ECN can be believed (RFC 9000, section 13.4.2).

use super::SpaceId;
use crate::wire::frame::EcnCounts;

/// Checks the counts in ACK frames against what was sent. ECT(0) is the only mark this side ever
/// sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct EcnValidator {
    spaces: [Reports; 3],
    state: State,
}

/// As in RFC 9000, appendix A.4.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    /// Few packets are marked, to see what becomes of them.
    Testing {
        sent: u8,
    },
    /// They went out, and nothing came back: the path may swallow what is marked. One that arrives
    /// after all settles it.
    Unknown,
    Capable,
    Failed,
}

#[derive(Clone, Debug, Default)]
struct Reports {
    /// Packets sent marked.
    marked: u64,
    counts: EcnCounts,
}

impl EcnValidator {
    /// Whether packets may be marked: no report has been found wrong, and marked packets arrive.
    pub(crate) const fn may_mark(&self) -> bool {
        matches!(self.state, State::Testing { .. } | State::Capable)
    }

    /// How the peer says our packets of `space` arrived.
    pub(crate) fn reported(&self, space: SpaceId) -> EcnCounts {
        self.spaces[space as usize].counts
    }

    pub(crate) fn on_marked_sent(&mut self, space: SpaceId) {
        self.spaces[space as usize].marked += 1;
        if let State::Testing { sent } = &mut self.state {
            *sent += 1;
            if *sent >= TEST_PACKETS {
                self.state = State::Unknown;
            }
        }
    }

    /// Nothing comes back. That may be for the marks.
    pub(crate) fn on_silence(&mut self) {
        if self.state == State::Capable {
            self.state = State::Testing { sent: 0 };
        }
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
        if self.state == State::Failed || reports.marked == 0 {
            return false;
        }
        let Some(new) = counts else {
            if newly_marked > 0 {
                self.state = State::Failed;
            }
            return false;
        };
        let old = reports.counts;
        let rise = |old: u64, new: u64| new.checked_sub(old);
        let (Some(ect0), Some(ce)) = (rise(old.ect0, new.ect0), rise(old.ce, new.ce)) else {
            self.state = State::Failed;
            return false;
        };
        // Too few marks seen: something on the way clears them. Too many: something adds them.
        let cleared = ect0.saturating_add(ce) < newly_marked;
        let added = new.ect1 > 0 || new.ect0 > reports.marked || new.ce > reports.marked;
        if cleared || added {
            self.state = State::Failed;
            return false;
        }
        reports.counts = new;
        if newly_marked > 0 {
            self.state = State::Capable;
        }
        ce > 0
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Testing { sent: 0 }
    }
}

/// Packets marked before the first is known to have arrived.
const TEST_PACKETS: u8 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: SpaceId = SpaceId::Data;

    fn counts(ect0: u64, ce: u64) -> Option<EcnCounts> {
        Some(EcnCounts { ect0, ect1: 0, ce })
    }

    /// Marks as many packets as it will.
    fn mark(ecn: &mut EcnValidator, max: u32) -> u32 {
        let mut sent = 0;
        while sent < max && ecn.may_mark() {
            ecn.on_marked_sent(DATA);
            sent += 1;
        }
        sent
    }

    #[test]
    fn a_path_that_swallows_marks_gets_few() {
        let mut ecn = EcnValidator::default();
        assert_eq!(mark(&mut ecn, 100), 10);
        // Acknowledgements of others prove nothing.
        assert!(!ecn.on_ack(DATA, None, 0));
        ecn.on_silence();
        assert_eq!(mark(&mut ecn, 100), 0);
        // One arrives after all.
        ecn.on_ack(DATA, counts(1, 0), 1);
        assert_eq!(mark(&mut ecn, 100), 100);
    }

    #[test]
    fn a_path_that_begins_to_swallow_them_is_tested_again() {
        let mut ecn = EcnValidator::default();
        mark(&mut ecn, 5);
        ecn.on_ack(DATA, counts(5, 0), 5);
        assert_eq!(mark(&mut ecn, 50), 50);
        for _ in 0..3 {
            ecn.on_silence();
        }
        assert_eq!(mark(&mut ecn, 50), 10);
        // It was silence only.
        ecn.on_ack(DATA, counts(8, 1), 4);
        assert_eq!(mark(&mut ecn, 50), 50);
    }

    #[test]
    fn a_wrong_report_is_the_end() {
        let wrong = [None, counts(0, 0), counts(9, 0), counts(0, 9)];
        for report in wrong {
            let mut ecn = EcnValidator::default();
            mark(&mut ecn, 2);
            assert!(!ecn.on_ack(DATA, report, 2), "{report:?}");
            assert!(!ecn.may_mark(), "{report:?}");
            ecn.on_silence();
            ecn.on_ack(DATA, counts(2, 0), 2);
            assert!(!ecn.may_mark());
        }
    }

    #[test]
    fn congestion_is_told() {
        let mut ecn = EcnValidator::default();
        mark(&mut ecn, 4);
        assert!(!ecn.on_ack(DATA, counts(2, 0), 2));
        assert!(ecn.on_ack(DATA, counts(3, 1), 2));
        assert!(!ecn.on_ack(DATA, counts(3, 1), 0));
    }
}
