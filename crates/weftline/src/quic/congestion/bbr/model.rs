//! What BBR knows of the path (section 5.5).

use core::time::Duration;

use super::{super::Acked, BETA, filter::MaxOfTwo, percent};
use crate::time::Instant;

/// The network path model.
#[derive(Clone, Debug)]
pub(super) struct Model {
    // Rate.
    /// `BBR.max_bw_filter`, of two ProbeBW cycles.
    max_bw: MaxOfTwo,
    /// What losses of late suggest; forgotten when bandwidth is probed.
    pub(super) bw_shortterm: u64,
    /// The smaller of both: what is paced by.
    pub(super) bw: u64,

    // Volume.
    pub(super) min_rtt: Option<Duration>,
    pub(super) min_rtt_stamp: Instant,
    pub(super) inflight_longterm: u64,
    pub(super) inflight_shortterm: u64,
    /// `BBR.extra_acked_filter`: how much acknowledgements come in bunches.
    extra_acked: MaxOfTwo,
    extra_acked_rounds: u32,
    extra_acked_start: Instant,
    extra_acked_delivered: u64,

    // Round trips, counted by packets.
    next_round_delivered: u64,
    pub(super) round_count: u64,
    pub(super) round_start: bool,
    pub(super) delivered: u64,

    // Losses.
    pub(super) is_loss_in_round: bool,
    pub(super) is_marked_in_round: bool,
    pub(super) loss_events_in_round: u32,
    pub(super) loss_round_delivered: u64,
    pub(super) loss_round_start: bool,
    bw_latest: u64,
    pub(super) inflight_latest: u64,
}

impl Model {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            max_bw: MaxOfTwo::default(),
            bw_shortterm: INFINITY,
            bw: 0,
            min_rtt: None,
            min_rtt_stamp: now,
            inflight_longterm: INFINITY,
            inflight_shortterm: INFINITY,
            extra_acked: MaxOfTwo::default(),
            extra_acked_rounds: 0,
            extra_acked_start: now,
            extra_acked_delivered: 0,
            next_round_delivered: 0,
            round_count: 0,
            round_start: false,
            delivered: 0,
            is_loss_in_round: false,
            is_marked_in_round: false,
            loss_events_in_round: 0,
            loss_round_delivered: 0,
            loss_round_start: false,
            bw_latest: 0,
            inflight_latest: 0,
        }
    }

    pub(super) fn max_bw(&self) -> u64 {
        self.max_bw.get()
    }

    /// `None` before there is a round-trip time.
    pub(super) fn bdp(&self) -> Option<u64> {
        self.volume(self.bw)
    }

    pub(super) fn max_bdp(&self) -> Option<u64> {
        self.volume(self.max_bw())
    }

    fn volume(&self, bw: u64) -> Option<u64> {
        let micros = u64::try_from(self.min_rtt?.as_micros()).unwrap_or(u64::MAX);
        Some(bw.saturating_mul(micros) / 1_000_000)
    }

    pub(super) fn extra_acked(&self) -> u64 {
        self.extra_acked.get()
    }

    /// `StartRound`.
    pub(super) fn start_round(&mut self) {
        self.next_round_delivered = self.delivered;
    }

    /// `UpdateLatestDeliverySignals`.
    pub(super) fn update_latest_delivery_signals(&mut self, acked: &Acked) {
        let rate = &acked.rate;
        self.delivered = rate.total_delivered;
        self.loss_round_start = false;
        self.bw_latest = self.bw_latest.max(rate.bytes_per_second());
        self.inflight_latest = self.inflight_latest.max(rate.delivered);
        if rate.prior_delivered >= self.loss_round_delivered {
            self.loss_round_delivered = rate.total_delivered;
            self.loss_round_start = true;
        }
    }

    /// `AdvanceLatestDeliverySignals`.
    pub(super) fn advance_latest_delivery_signals(&mut self, acked: &Acked) {
        if self.loss_round_start {
            self.bw_latest = acked.rate.bytes_per_second();
            self.inflight_latest = acked.rate.delivered;
        }
    }

    /// `ResetCongestionSignals`.
    pub(super) fn reset_congestion_signals(&mut self) {
        self.forget_losses_of_round();
        self.bw_latest = 0;
        self.inflight_latest = 0;
    }

    pub(super) fn forget_losses_of_round(&mut self) {
        self.is_loss_in_round = false;
        self.is_marked_in_round = false;
        self.loss_events_in_round = 0;
    }

    /// `UpdateMaxBw`, with `UpdateRound`.
    pub(super) fn update_max_bw(&mut self, acked: &Acked, app_limited: bool) {
        let rate = &acked.rate;
        self.round_start = rate.prior_delivered >= self.next_round_delivered;
        if self.round_start {
            self.start_round();
            self.round_count += 1;
        }
        let bw = rate.bytes_per_second();
        if bw > 0 && (bw >= self.max_bw() || !app_limited) {
            self.max_bw.update(bw);
        }
    }

    /// `AdvanceMaxBwFilter`. A cycle without a sample leaves what the one before showed.
    pub(super) fn advance_max_bw_filter(&mut self) {
        if !self.max_bw.is_current_empty() {
            self.max_bw.advance();
        }
    }

    /// `AdaptLowerBoundsFromCongestion`, outside of bandwidth probing.
    pub(super) fn adapt_lower_bounds(&mut self, window: u64) {
        if !self.is_loss_in_round {
            return;
        }
        if self.bw_shortterm == INFINITY {
            self.bw_shortterm = self.max_bw();
        }
        if self.inflight_shortterm == INFINITY {
            self.inflight_shortterm = window;
        }
        self.bw_shortterm = self.bw_latest.max(percent(self.bw_shortterm, BETA));
        self.inflight_shortterm = self
            .inflight_latest
            .max(percent(self.inflight_shortterm, BETA));
    }

    /// `ResetShortTermModel`.
    pub(super) fn reset_shortterm(&mut self) {
        self.bw_shortterm = INFINITY;
        self.inflight_shortterm = INFINITY;
    }

    /// `BoundBWForModel`.
    pub(super) fn bound_bw(&mut self) {
        self.bw = self.max_bw().min(self.bw_shortterm);
    }

    /// `UpdateACKAggregation`.
    pub(super) fn update_ack_aggregation(&mut self, acked: &Acked, window: u64, full_pipe: bool) {
        if self.round_start {
            self.extra_acked_rounds += 1;
            let slot = if full_pipe { EXTRA_ACKED_ROUNDS } else { 1 };
            if self.extra_acked_rounds >= slot {
                self.extra_acked_rounds = 0;
                self.extra_acked.advance();
            }
        }
        let interval = acked.now.saturating_since(self.extra_acked_start);
        let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        let mut expected = self.bw.saturating_mul(micros) / 1_000_000;
        if self.extra_acked_delivered <= expected {
            self.restart_ack_aggregation(acked.now);
            expected = 0;
        }
        self.extra_acked_delivered += acked.bytes;
        let extra = self.extra_acked_delivered.saturating_sub(expected);
        self.extra_acked.update(extra.min(window));
    }

    pub(super) fn restart_ack_aggregation(&mut self, now: Instant) {
        self.extra_acked_delivered = 0;
        self.extra_acked_start = now;
    }
}

/// No bound.
pub(super) const INFINITY: u64 = u64::MAX;

/// The filter looks back ten round trips: two slots of five.
const EXTRA_ACKED_ROUNDS: u32 = 5;
