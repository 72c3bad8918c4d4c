//! Startup and Drain (section 5.3.1 and 5.3.2).

use super::{Acked, Bbr, State, is_inflight_too_high, percent};

/// Whether the bandwidth available is in use.
#[derive(Clone, Debug, Default)]
pub(super) struct FullPipe {
    /// It was at some time (`BBR.full_bw_reached`).
    pub(super) reached: bool,
    /// It is, since this was last looked for (`BBR.full_bw_now`).
    pub(super) now: bool,
    /// The bandwidth that growth is measured by.
    pub(super) bw: u64,
    rounds_without_growth: u32,
    /// When Drain began, in round trips.
    drain_start_round: u64,
}

impl FullPipe {
    /// `ResetFullBW`.
    pub(super) fn reset(&mut self) {
        self.bw = 0;
        self.rounds_without_growth = 0;
        self.now = false;
    }
}

impl Bbr {
    /// `CheckFullBWReached`. Every sample may show growth, not only the one that begins a round:
    /// that one may be of a bunch of acknowledgements, or none.
    pub(super) fn check_full_bw_reached(&mut self, acked: &Acked, app_limited: bool) {
        if self.pipe.now || app_limited {
            return;
        }
        let bw = acked.rate.bytes_per_second();
        if bw > 0 && bw >= percent(self.pipe.bw, 125) {
            self.pipe.reset();
            self.pipe.bw = bw;
            return;
        }
        if !self.model.round_start {
            return;
        }
        self.pipe.rounds_without_growth += 1;
        self.pipe.now = self.pipe.rounds_without_growth >= FULL_ROUNDS;
        self.pipe.reached |= self.pipe.now;
    }

    /// `CheckStartupHighLoss`, at the end of a round trip with losses.
    pub(super) fn check_startup_high_loss(&mut self, acked: &Acked) {
        if self.state != State::Startup {
            return;
        }
        let lossy = self.model.loss_events_in_round >= FULL_LOSSES
            && is_inflight_too_high(acked.rate.lost, acked.rate.in_flight);
        if lossy || self.model.is_marked_in_round {
            self.undo.state = Some(State::Startup);
            self.pipe.reached = true;
            let bdp = self.model.bdp().unwrap_or(0);
            self.model.inflight_longterm = bdp.max(self.model.inflight_latest);
        }
    }

    /// `CheckStartupDone`.
    pub(super) fn check_startup_done(&mut self) {
        if self.state == State::Startup && self.pipe.reached {
            self.state = State::Drain;
            self.pipe.drain_start_round = self.model.round_count;
        }
    }

    /// `CheckDrainDone`.
    pub(super) fn check_drain_done(&mut self, acked: &Acked) {
        let drained = acked.bytes_in_flight <= self.inflight(100);
        let patience = self.pipe.drain_start_round + DRAIN_ROUNDS;
        if self.state == State::Drain && (drained || self.model.round_count > patience) {
            self.start_probe_bw_down(acked.now);
        }
    }
}

/// Round trips without growth that show that the pipe is full.
const FULL_ROUNDS: u32 = 3;

/// Losses apart from each other in one round trip that end Startup.
const FULL_LOSSES: u32 = 6;

const DRAIN_ROUNDS: u64 = 3;
