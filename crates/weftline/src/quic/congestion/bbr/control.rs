//! What follows from model and state: pacing rate, send quantum and window (section 5.6).

use super::{
    super::{Acked, initial_window},
    Bbr, PACING_MARGIN, Phase, State,
    model::INFINITY,
    percent,
};

impl Bbr {
    pub(super) fn set_pacing_rate(&mut self, gain: u64) {
        let rate = percent(percent(self.model.bw, gain), 100 - PACING_MARGIN);
        if self.pipe.reached || rate > self.pacing_rate {
            self.pacing_rate = rate.max(1);
        }
    }

    pub(super) fn set_send_quantum(&mut self) {
        self.send_quantum = (self.pacing_rate / 1000).min(64 << 10).max(2 * self.mss());
    }

    pub(super) fn set_window(&mut self, acked: &Acked) {
        let max_inflight = self.max_inflight();
        if self.pipe.reached {
            self.window = (self.window + acked.bytes).min(max_inflight);
        } else if self.window < max_inflight
            || acked.rate.total_delivered < initial_window(self.max_datagram_size)
        {
            self.window += acked.bytes;
        }
        self.window = self.window.max(self.min_pipe_window());
        if self.state == State::ProbeRtt {
            self.window = self.window.min(self.probe_rtt_window());
        }
        self.bound_window_for_model();
    }

    pub(super) fn bound_window_for_model(&mut self) {
        let cap = match self.state {
            State::ProbeBw(Phase::Cruise) | State::ProbeRtt => self.inflight_with_headroom(),
            State::ProbeBw(_) => self.model.inflight_longterm,
            State::Startup | State::Drain => INFINITY,
        };
        let cap = cap
            .min(self.model.inflight_shortterm)
            .max(self.min_pipe_window());
        self.window = self.window.min(cap);
    }

    pub(super) fn bdp_multiple(&self, gain: u64) -> u64 {
        match self.model.bdp() {
            Some(bdp) => percent(bdp, gain),
            None => initial_window(self.max_datagram_size),
        }
    }

    pub(super) fn quantization_budget(&self, inflight: u64) -> u64 {
        let inflight = inflight.max(self.send_quantum).max(self.min_pipe_window());
        match self.state {
            State::ProbeBw(Phase::Up) => inflight + 2 * self.mss(),
            _ => inflight,
        }
    }

    /// `Inflight(gain)`.
    pub(super) fn inflight(&self, gain: u64) -> u64 {
        self.quantization_budget(self.bdp_multiple(gain))
    }

    pub(super) fn max_inflight(&self) -> u64 {
        let inflight = self
            .bdp_multiple(self.window_gain())
            .saturating_add(self.model.extra_acked());
        self.quantization_budget(inflight)
    }

    pub(super) fn save_window(&mut self) {
        self.prior_window = if self.model.is_loss_in_round || self.state == State::ProbeRtt {
            self.prior_window.max(self.window)
        } else {
            self.window
        };
    }

    pub(super) fn restore_window(&mut self) {
        self.window = self.window.max(self.prior_window);
    }
}
