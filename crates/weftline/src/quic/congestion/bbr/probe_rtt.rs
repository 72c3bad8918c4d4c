//! ProbeRTT: less in flight for a moment, to see the round trip without a queue (section 5.3.4).

use core::time::Duration;

use super::{Acked, Bbr, MIN_RTT_FILTER, PROBE_RTT_WINDOW_GAIN, State};
use crate::time::Instant;

/// The schedule of ProbeRTT, and how far it has come.
#[derive(Clone, Debug)]
pub(super) struct ProbeRtt {
    /// The smallest sample of the last five seconds, and when it was taken.
    min_delay: Option<Duration>,
    min_stamp: Instant,
    expired: bool,
    /// When little enough has been in flight for long enough.
    done_stamp: Option<Instant>,
    round_done: bool,
    /// Samples of packets sent before so many bytes were delivered show no bandwidth.
    pub(super) limited_until: u64,
}

impl ProbeRtt {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            min_delay: None,
            min_stamp: now,
            expired: false,
            done_stamp: None,
            round_done: false,
            limited_until: 0,
        }
    }
}

impl Bbr {
    /// `UpdateMinRTT`.
    pub(super) fn update_min_rtt(&mut self, acked: &Acked) {
        let probe = &mut self.probe_rtt;
        probe.expired = acked.now > probe.min_stamp + PROBE_RTT_INTERVAL;
        if let Some(rtt) = acked.rtt
            && (probe.expired || probe.min_delay.is_none_or(|min| rtt < min))
        {
            probe.min_delay = Some(rtt);
            probe.min_stamp = acked.now;
        }
        let Some(delay) = probe.min_delay else { return };
        let model = &mut self.model;
        let expired = acked.now > model.min_rtt_stamp + MIN_RTT_FILTER;
        if expired || model.min_rtt.is_none_or(|min| delay < min) {
            model.min_rtt = Some(delay);
            model.min_rtt_stamp = probe.min_stamp;
        }
    }

    /// `CheckProbeRTT`.
    pub(super) fn check_probe_rtt(&mut self, acked: &Acked) {
        if self.state != State::ProbeRtt && self.probe_rtt.expired && !self.idle_restart {
            self.save_window();
            self.state = State::ProbeRtt;
            self.probe_rtt.done_stamp = None;
            self.cycle.stop_probing();
            self.model.start_round();
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(acked);
        }
        if acked.rate.delivered > 0 {
            self.idle_restart = false;
        }
    }

    fn handle_probe_rtt(&mut self, acked: &Acked) {
        self.probe_rtt.limited_until = self.model.delivered + acked.bytes_in_flight;
        if self.probe_rtt.done_stamp.is_none() {
            if acked.bytes_in_flight <= self.probe_rtt_window() {
                self.probe_rtt.done_stamp = Some(acked.now + PROBE_RTT_DURATION);
                self.probe_rtt.round_done = false;
                self.model.start_round();
            }
            return;
        }
        self.probe_rtt.round_done |= self.model.round_start;
        if self.probe_rtt.round_done {
            self.check_probe_rtt_done(acked.now);
        }
    }

    /// `CheckProbeRTTDone` and `ExitProbeRTT`.
    pub(super) fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt.done_stamp.is_none_or(|done| now <= done) {
            return;
        }
        self.probe_rtt.min_stamp = now;
        self.restore_window();
        self.model.reset_shortterm();
        if self.pipe.reached {
            self.start_probe_bw_down(now);
            self.start_probe_bw_cruise();
        } else {
            self.state = State::Startup;
        }
    }

    pub(super) fn probe_rtt_window(&self) -> u64 {
        self.bdp_multiple(PROBE_RTT_WINDOW_GAIN)
            .max(self.min_pipe_window())
    }
}

/// The longest without a look at the path's own round trip.
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);

const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);
