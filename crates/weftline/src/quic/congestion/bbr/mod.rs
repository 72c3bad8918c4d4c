//! BBR version 3 (draft-ietf-ccwg-bbr). Names are those of the draft.
//!
//! `model` is what is known of the path, `startup`, `probe_bw` and `probe_rtt` are the states; here
//! is what they have in common and what follows from them: pacing rate, send quantum and window.

use core::time::Duration;

use super::{
    Acked, Cause, CongestionEvent, Controller, Lost, RateSample, Sent, Start, initial_window,
};
use crate::time::Instant;

mod control;
mod filter;
mod model;
mod probe_bw;
mod probe_rtt;
mod startup;

use self::{model::Model, probe_bw::Cycle, probe_rtt::ProbeRtt, startup::FullPipe};

/// Models the path by its bandwidth and round-trip time and sends at that rate, with little more in
/// flight than the path holds. Losses matter where they are more than 2 % of a round trip's
/// packets.
#[derive(Clone, Debug)]
pub struct Bbr {
    max_datagram_size: u16,
    /// `C.cwnd`.
    window: u64,
    /// Its last good value, from before losses or ProbeRTT.
    prior_window: u64,
    /// Bytes per second.
    pacing_rate: u64,
    send_quantum: u64,
    state: State,
    model: Model,
    pipe: FullPipe,
    cycle: Cycle,
    probe_rtt: ProbeRtt,
    undo: Undo,
    /// The pacing rate comes from a measured round-trip time.
    has_rtt: bool,
    idle_restart: bool,
    /// The window, not the pacer, held packets back: in this round trip, and the one before.
    window_limited: [bool; 2],
    random: u64,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    Startup,
    Drain,
    ProbeBw(Phase),
    ProbeRtt,
}

/// The phases of ProbeBW.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Phase {
    Down,
    Cruise,
    Refill,
    Up,
}

/// What to go back to when losses turn out to be none.
#[derive(Copy, Clone, Debug, Default)]
struct Undo {
    state: Option<State>,
    bw_shortterm: u64,
    inflight_shortterm: u64,
    inflight_longterm: u64,
}

impl Bbr {
    /// In its first state.
    pub fn new(start: &Start) -> Self {
        let window = start.initial_window();
        Self {
            max_datagram_size: start.max_datagram_size,
            window,
            prior_window: 0,
            // Until the round trip is known, nothing is held back.
            pacing_rate: percent(window.saturating_mul(1000), STARTUP_PACING_GAIN),
            send_quantum: 2 * u64::from(start.max_datagram_size),
            state: State::Startup,
            model: Model::new(start.now),
            pipe: FullPipe::default(),
            cycle: Cycle::default(),
            probe_rtt: ProbeRtt::new(start.now),
            undo: Undo::default(),
            has_rtt: false,
            idle_restart: false,
            window_limited: [false; 2],
            random: start.seed,
        }
    }

    fn mss(&self) -> u64 {
        self.max_datagram_size.into()
    }

    fn min_pipe_window(&self) -> u64 {
        4 * self.mss()
    }

    const fn is_window_limited(&self) -> bool {
        self.window_limited[0] || self.window_limited[1]
    }

    const fn is_in_probe_bw(&self) -> bool {
        matches!(self.state, State::ProbeBw(_))
    }

    const fn pacing_gain(&self) -> u64 {
        match self.state {
            State::Startup => STARTUP_PACING_GAIN,
            State::Drain => 50,
            State::ProbeBw(Phase::Down) => 90,
            State::ProbeBw(Phase::Cruise | Phase::Refill) | State::ProbeRtt => 100,
            State::ProbeBw(Phase::Up) => 125,
        }
    }

    const fn window_gain(&self) -> u64 {
        match self.state {
            State::ProbeRtt => PROBE_RTT_WINDOW_GAIN,
            State::ProbeBw(Phase::Up) => 225,
            _ => 200,
        }
    }

    // --- UpdateModelAndState ---

    fn update_model_and_state(&mut self, acked: &Acked) {
        let limited = self.is_app_limited_sample(acked);
        self.model.update_latest_delivery_signals(acked);
        self.update_congestion_signals(acked, limited);
        self.model
            .update_ack_aggregation(acked, self.window, self.pipe.reached);
        self.check_full_bw_reached(acked, limited);
        self.check_startup_done();
        self.check_drain_done(acked);
        self.update_probe_bw_cycle_phase(acked, limited);
        self.update_min_rtt(acked);
        self.check_probe_rtt(acked);
        self.model.advance_latest_delivery_signals(acked);
        self.model.bound_bw();
    }

    fn update_congestion_signals(&mut self, acked: &Acked, limited: bool) {
        self.model.update_max_bw(acked, limited);
        if self.model.round_start {
            self.window_limited = [false, self.window_limited[0]];
            self.cycle.rounds_since_probe_up += 1;
        }
        if self.model.loss_round_start {
            // Startup looks at the losses of a round before they are forgotten.
            self.check_startup_high_loss(acked);
            if !self.is_probing_bw() && self.is_round_lossy(acked) {
                self.model.adapt_lower_bounds(self.window);
            }
            self.model.forget_losses_of_round();
        }
    }

    /// What is sent while ProbeRTT holds the window down shows nothing of the bandwidth.
    fn is_app_limited_sample(&self, acked: &Acked) -> bool {
        acked.rate.app_limited || acked.rate.prior_delivered < self.probe_rtt.limited_until
    }

    const fn is_probing_bw(&self) -> bool {
        matches!(
            self.state,
            State::Startup | State::ProbeBw(Phase::Refill | Phase::Up)
        )
    }

    // --- Losses ---

    /// `NoteLoss`.
    fn note_loss(&mut self, delivered: u64) {
        if self.model.is_loss_in_round {
            return;
        }
        self.model.loss_round_delivered = delivered;
        self.save_window();
        self.undo = Undo {
            state: None,
            bw_shortterm: self.model.bw_shortterm,
            inflight_shortterm: self.model.inflight_shortterm,
            inflight_longterm: self.model.inflight_longterm,
        };
        self.model.is_loss_in_round = true;
    }

    /// Whether the losses of the round that ends are a sign of congestion. The draft lowers the
    /// short-term bounds for a single one; as what is measured then is no more than what is sent,
    /// they sink further in every round trip, whatever the path carries. Here it takes 2 %, and two
    /// datagrams more where these are few: chance loses as many now and then.
    fn is_round_lossy(&self, acked: &Acked) -> bool {
        let RateSample {
            lost, in_flight, ..
        } = acked.rate;
        let chance = (2 * self.mss()).min(percent(in_flight, LOSS_CHANCE_MAX));
        self.model.is_marked_in_round || lost > percent(in_flight, LOSS_THRESHOLD) + chance
    }

    /// A random number below `bound`.
    fn random_below(&mut self, bound: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound.max(1)
    }
}

impl Controller for Bbr {
    fn name(&self) -> &'static str {
        "bbr"
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn pacing_rate(&self) -> Option<u64> {
        Some(self.pacing_rate)
    }

    fn send_quantum(&self) -> Option<u64> {
        Some(self.send_quantum)
    }

    fn in_slow_start(&self) -> bool {
        self.state == State::Startup
    }

    fn on_sent(&mut self, sent: &Sent) {
        if sent.bytes_in_flight + self.mss() > self.window {
            self.window_limited[0] = true;
        }
    }

    /// `HandleRestartFromIdle`.
    fn on_idle_restart(&mut self, now: Instant) {
        self.idle_restart = true;
        self.model.restart_ack_aggregation(now);
        match self.state {
            State::ProbeBw(_) => self.set_pacing_rate(100),
            State::ProbeRtt => self.check_probe_rtt_done(now),
            State::Startup | State::Drain => {}
        }
    }

    fn on_ack(&mut self, acked: &Acked) {
        if !self.has_rtt && acked.rtt.is_some() {
            self.has_rtt = true;
            let micros = acked.smoothed_rtt.as_micros() as u64;
            let nominal = self.window.saturating_mul(1_000_000) / micros.max(1);
            self.pacing_rate = percent(nominal, STARTUP_PACING_GAIN).max(1);
        }
        self.update_model_and_state(acked);
        self.set_pacing_rate(self.pacing_gain());
        self.set_send_quantum();
        self.set_window(acked);
    }

    /// `HandleLostPacket`.
    fn on_lost(&mut self, lost: &Lost) {
        self.note_loss(lost.total_delivered);
        if !self.cycle.is_bw_probe_sample {
            return;
        }
        if is_inflight_too_high(lost.lost_since_sent, lost.in_flight) {
            let inflight = inflight_at_loss(lost);
            self.handle_inflight_too_high(
                lost.now,
                inflight,
                lost.app_limited,
                lost.total_delivered,
            );
        }
    }

    fn on_congestion_event(&mut self, event: &CongestionEvent) {
        match event.cause {
            Cause::Loss => self.model.loss_events_in_round += 1,
            // The draft leaves ECN open. A mark is taken for what RFC 3168 says it is: as good as a
            // loss, and here as more than 2 % of them.
            Cause::Ecn => {
                let delivered = self.model.delivered;
                self.note_loss(delivered);
                self.model.is_marked_in_round = true;
                if self.cycle.is_bw_probe_sample {
                    self.handle_inflight_too_high(
                        event.now,
                        event.bytes_in_flight,
                        false,
                        delivered,
                    );
                }
            }
            Cause::Persistent => {
                self.save_window();
                self.window = self.min_pipe_window();
            }
        }
    }

    /// `HandleSpuriousLossDetection`.
    fn on_spurious_loss(&mut self, _now: Instant) {
        self.restore_window();
        self.model.is_loss_in_round = false;
        self.pipe.reset();
        let (model, undo) = (&mut self.model, self.undo);
        model.bw_shortterm = model.bw_shortterm.max(undo.bw_shortterm);
        model.inflight_shortterm = model.inflight_shortterm.max(undo.inflight_shortterm);
        model.inflight_longterm = model.inflight_longterm.max(undo.inflight_longterm);
        let probes_rtt = self.state == State::ProbeRtt;
        match self.undo.state.take() {
            Some(state) if state == self.state => {}
            Some(State::Startup) => {
                self.pipe.reached = false;
                if !probes_rtt {
                    self.state = State::Startup;
                }
            }
            Some(State::ProbeBw(Phase::Up)) if !probes_rtt => self.start_probe_bw_refill(),
            _ => {}
        }
    }

    fn on_mtu_update(&mut self, max_datagram_size: u16) {
        let untouched = self.window == initial_window(self.max_datagram_size);
        self.max_datagram_size = max_datagram_size;
        if untouched {
            self.window = initial_window(max_datagram_size);
        }
        self.window = self.window.max(self.min_pipe_window());
        self.set_send_quantum();
    }
}

/// `IsInflightTooHigh`: more than 2 % of what was in flight was lost.
fn is_inflight_too_high(lost: u64, in_flight: u64) -> bool {
    lost > percent(in_flight, LOSS_THRESHOLD)
}

/// `InflightAtLoss`: how much was in flight where losses went over the threshold.
fn inflight_at_loss(lost: &Lost) -> u64 {
    let size = u64::from(lost.bytes);
    let inflight_prev = lost.in_flight.saturating_sub(size);
    let lost_prev = lost.lost_since_sent.saturating_sub(size);
    let allowed = percent(inflight_prev, LOSS_THRESHOLD);
    let prefix = allowed.saturating_sub(lost_prev) * 100 / (100 - LOSS_THRESHOLD);
    inflight_prev.saturating_add(prefix)
}

const fn percent(value: u64, percent: u64) -> u64 {
    if value > u64::MAX / 1000 {
        return value / 100 * percent;
    }
    value * percent / 100
}

/// Percent, as all gains: 4 ln 2.
const STARTUP_PACING_GAIN: u64 = 277;
const PROBE_RTT_WINDOW_GAIN: u64 = 50;
/// Percent below the estimated bandwidth at which packets are paced.
const PACING_MARGIN: u64 = 1;
/// Percent.
const LOSS_THRESHOLD: u64 = 2;
/// Percent that chance may add where packets are few.
const LOSS_CHANCE_MAX: u64 = 5;
/// Percent of a bound that is kept in a round trip with losses.
const BETA: u64 = 70;
/// Percent of the long-term bound that is left free for others.
const HEADROOM: u64 = 15;
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u16 = 1000;

    fn bbr() -> Bbr {
        Bbr::new(&Start {
            max_datagram_size: SIZE,
            ..Start::default()
        })
    }

    #[test]
    fn few_packets_may_lose_two_more() {
        let bbr = bbr();
        // Packets in flight, and how many of them chance may lose.
        for (in_flight, allowed) in [(4, 0), (14, 0), (15, 1), (40, 2), (100, 4), (1000, 22)] {
            let is_lossy = |lost: u64| {
                let mut acked = Acked::default();
                acked.rate.lost = lost * u64::from(SIZE);
                acked.rate.in_flight = in_flight * u64::from(SIZE);
                bbr.is_round_lossy(&acked)
            };
            assert!(!is_lossy(allowed), "{allowed} of {in_flight}");
            assert!(is_lossy(allowed + 1), "{} of {in_flight}", allowed + 1);
        }
    }

    #[test]
    fn rounds_with_few_losses_leave_the_bounds() {
        let lossy_round = |lost: u64| {
            let mut bbr = bbr();
            bbr.state = State::ProbeBw(Phase::Cruise);
            bbr.window = 100_000;
            bbr.on_lost(&Lost {
                bytes: SIZE,
                lost_since_sent: lost,
                in_flight: 100_000,
                ..Lost::default()
            });
            let mut acked = Acked::default();
            acked.rate.lost = lost;
            acked.rate.in_flight = 100_000;
            bbr.on_ack(&acked);
            bbr.model.inflight_shortterm
        };
        assert_eq!(lossy_round(4000), model::INFINITY);
        assert_eq!(lossy_round(5000), 70_000);
    }
}
