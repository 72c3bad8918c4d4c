//! ProbeBW: down, cruise, refill, up, in turn (section 5.3.3).

use core::time::Duration;

use super::{
    Acked, BETA, Bbr, HEADROOM, Phase, State, is_inflight_too_high, model::INFINITY, percent,
};
use crate::time::Instant;

/// The cycle of ProbeBW.
#[derive(Clone, Debug, Default)]
pub(super) struct Cycle {
    ack_phase: AckPhase,
    /// Samples come from packets that probed for bandwidth.
    pub(super) is_bw_probe_sample: bool,
    probe_up_acked: u64,
    probe_up_acked_per_inc: u64,
    probe_up_rounds: u32,
    pub(super) rounds_since_probe_up: u64,
    /// The longest to wait before bandwidth is probed again.
    probe_wait: Duration,
    stamp: Instant,
    prev_probe_too_high: bool,
    prev_probe_precautionary: bool,
}

/// What acknowledgements tell of (`BBR.ack_phase`).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum AckPhase {
    #[default]
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}

impl Cycle {
    pub(super) fn stop_probing(&mut self) {
        self.ack_phase = AckPhase::ProbeStopping;
    }
}

impl Bbr {
    /// `StartProbeBW_DOWN`.
    pub(super) fn start_probe_bw_down(&mut self, now: Instant) {
        self.model.reset_congestion_signals();
        self.cycle.probe_up_acked_per_inc = INFINITY;
        self.cycle.rounds_since_probe_up = self.random_below(2);
        let random = Duration::from_micros(self.random_below(1_000_000));
        self.cycle.probe_wait = PROBE_WAIT + random;
        self.cycle.stamp = now;
        self.cycle.ack_phase = AckPhase::ProbeStopping;
        self.model.start_round();
        self.state = State::ProbeBw(Phase::Down);
    }

    pub(super) fn start_probe_bw_cruise(&mut self) {
        self.state = State::ProbeBw(Phase::Cruise);
    }

    /// `StartProbeBW_REFILL`.
    pub(super) fn start_probe_bw_refill(&mut self) {
        self.model.reset_shortterm();
        self.cycle.probe_up_rounds = 0;
        self.cycle.probe_up_acked = 0;
        self.cycle.prev_probe_precautionary = false;
        self.cycle.ack_phase = AckPhase::Refilling;
        self.model.start_round();
        self.state = State::ProbeBw(Phase::Refill);
    }

    /// `StartProbeBW_UP`.
    fn start_probe_bw_up(&mut self, acked: &Acked) {
        self.cycle.ack_phase = AckPhase::ProbeStarting;
        self.model.start_round();
        self.pipe.reset();
        self.pipe.bw = acked.rate.bytes_per_second();
        self.state = State::ProbeBw(Phase::Up);
        self.raise_inflight_longterm_slope();
    }

    /// `UpdateProbeBWCyclePhase`.
    pub(super) fn update_probe_bw_cycle_phase(&mut self, acked: &Acked, app_limited: bool) {
        if !self.pipe.reached || self.adapt_longterm_model(acked, app_limited) {
            return;
        }
        let State::ProbeBw(phase) = self.state else {
            return;
        };
        match phase {
            Phase::Down => {
                if !self.try_probe_bw(acked.now) && self.is_time_to_cruise(acked) {
                    self.start_probe_bw_cruise();
                }
            }
            Phase::Cruise => {
                self.try_probe_bw(acked.now);
            }
            Phase::Refill if self.model.round_start => {
                self.cycle.is_bw_probe_sample = true;
                self.start_probe_bw_up(acked);
            }
            Phase::Refill => {}
            Phase::Up => {
                if self.is_time_to_go_down(acked) {
                    self.cycle.prev_probe_too_high = false;
                    self.start_probe_bw_down(acked.now);
                }
            }
        }
    }

    /// `IsTimeToProbeBW`: after some seconds, or after as many round trips as NewReno would take
    /// to grow back.
    fn try_probe_bw(&mut self, now: Instant) -> bool {
        let target = self.bdp_multiple(100).min(self.window);
        let reno_rounds = (target / self.mss().max(1)).min(RENO_ROUNDS_MAX);
        let due = now > self.cycle.stamp + self.cycle.probe_wait
            || self.cycle.rounds_since_probe_up >= reno_rounds;
        if due {
            self.start_probe_bw_refill();
        }
        due
    }

    fn is_time_to_cruise(&self, acked: &Acked) -> bool {
        let bdp = self.model.max_bdp().unwrap_or(0);
        acked.bytes_in_flight <= self.inflight_with_headroom()
            && acked.bytes_in_flight <= self.quantization_budget(bdp)
    }

    fn is_time_to_go_down(&mut self, acked: &Acked) -> bool {
        let longterm = self.model.inflight_longterm;
        if self.cycle.prev_probe_too_high && acked.bytes_in_flight >= longterm {
            self.cycle.prev_probe_precautionary = true;
            return true;
        }
        if self.is_window_limited() && self.window >= longterm {
            // The bandwidth is limited by the bound, not by the path.
            self.pipe.reset();
            self.pipe.bw = acked.rate.bytes_per_second();
            return false;
        }
        self.pipe.now
    }

    pub(super) fn inflight_with_headroom(&self) -> u64 {
        let longterm = self.model.inflight_longterm;
        if longterm == INFINITY {
            return INFINITY;
        }
        let headroom = percent(longterm, HEADROOM).max(self.mss());
        longterm
            .saturating_sub(headroom)
            .max(self.min_pipe_window())
    }

    fn raise_inflight_longterm_slope(&mut self) {
        let growth = 1_u64 << self.cycle.probe_up_rounds;
        self.cycle.probe_up_rounds = (self.cycle.probe_up_rounds + 1).min(30);
        self.cycle.probe_up_acked_per_inc = (self.window / growth).max(self.mss());
    }

    fn probe_inflight_longterm_upward(&mut self, acked: &Acked) {
        if !self.is_window_limited() || self.window < self.model.inflight_longterm {
            return;
        }
        self.cycle.probe_up_acked += acked.bytes;
        let per_inc = self.cycle.probe_up_acked_per_inc.max(1);
        let steps = self.cycle.probe_up_acked / per_inc;
        self.cycle.probe_up_acked -= steps * per_inc;
        let growth = steps.saturating_mul(self.mss());
        self.model.inflight_longterm = self.model.inflight_longterm.saturating_add(growth);
        if self.model.round_start {
            self.raise_inflight_longterm_slope();
        }
    }

    /// `AdaptLongTermModel`. True when it changed the state.
    fn adapt_longterm_model(&mut self, acked: &Acked, app_limited: bool) -> bool {
        let round_start = self.model.round_start;
        if self.cycle.ack_phase == AckPhase::ProbeStarting && round_start {
            self.cycle.ack_phase = AckPhase::ProbeFeedback;
        }
        if self.cycle.ack_phase == AckPhase::ProbeStopping && round_start {
            self.cycle.is_bw_probe_sample = false;
            self.cycle.ack_phase = AckPhase::Init;
            if self.is_in_probe_bw() && !app_limited {
                self.model.advance_max_bw_filter();
            }
            let goes_on = self.cycle.prev_probe_precautionary && !self.cycle.prev_probe_too_high;
            if self.is_in_probe_bw() && goes_on {
                self.start_probe_bw_refill();
                return true;
            }
        }
        if is_inflight_too_high(acked.rate.lost, acked.rate.in_flight)
            || self.model.inflight_longterm == INFINITY
        {
            return false;
        }
        self.model.inflight_longterm = self.model.inflight_longterm.max(acked.rate.in_flight);
        if self.state == State::ProbeBw(Phase::Up) {
            self.probe_inflight_longterm_upward(acked);
        }
        false
    }

    /// `HandleInflightTooHigh`. `delivered` is up to now.
    pub(super) fn handle_inflight_too_high(
        &mut self,
        now: Instant,
        inflight: u64,
        app_limited: bool,
        delivered: u64,
    ) {
        self.cycle.prev_probe_too_high = true;
        self.cycle.is_bw_probe_sample = false;
        if !app_limited {
            let target = self.bdp_multiple(100).min(self.window);
            self.model.inflight_longterm = inflight.max(percent(target, BETA));
        }
        if self.state == State::ProbeBw(Phase::Up) {
            self.undo.state = Some(self.state);
            self.model.delivered = delivered;
            self.start_probe_bw_down(now);
        }
    }
}

/// With up to a second more.
const PROBE_WAIT: Duration = Duration::from_secs(2);

/// Round trips after which bandwidth is probed in any case.
const RENO_ROUNDS_MAX: u64 = 63;
