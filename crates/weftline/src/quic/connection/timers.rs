//! Time: what is due when.

use core::time::Duration;

use super::{Connection, phase::Phase};
use crate::{crypto::phase::KeyPhases, event::ClosedBy, quic::recovery::SpaceId, time::Instant};

/// The timers that belong to no part of their own: one deadline for each kind.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; TimerId::COUNT]);

/// The kinds of timers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum TimerId {
    /// The handshake takes too long.
    Handshake,
    /// The path may be forgotten if nothing is sent.
    KeepAlive,
    /// The pacer lets more go.
    Pacing,
    /// Late 0-RTT packets are not waited for any more (RFC 9001, section 4.9.3).
    EarlyKeys,
    /// The closing or draining period is over (RFC 9000, section 10.2).
    Close,
}

impl TimerId {
    const COUNT: usize = Self::Close as usize + 1;
}

impl Timers {
    pub(super) fn set(&mut self, id: TimerId, at: Option<Instant>) {
        if let Some(timer) = self.0.get_mut(id as usize) {
            *timer = at;
        }
    }

    pub(super) fn clear(&mut self, id: TimerId) {
        self.set(id, None);
    }

    pub(super) fn clear_all(&mut self) {
        *self = Self::default();
    }

    /// Whether the timer's time has come; if so, it is cleared.
    pub(super) fn take_expired(&mut self, id: TimerId, now: Instant) -> bool {
        let timer = self.0.get_mut(id as usize);
        timer.is_some_and(|timer| timer.take_if(|at| *at <= now).is_some())
    }

    pub(super) fn is_set(&self, id: TimerId) -> bool {
        self.at(id).is_some()
    }

    pub(super) fn at(&self, id: TimerId) -> Option<Instant> {
        self.0.get(id as usize).copied().flatten()
    }

    /// The next deadline of any.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }
}

impl Connection {
    /// Takes the time of an input. It never goes back.
    pub(super) fn tick(&mut self, now: Instant) -> Instant {
        let Some(last) = self.now else {
            self.now = Some(now);
            self.stats.began = Some(now);
            let deadline = now + self.limits.handshake_timeout;
            self.timers.set(TimerId::Handshake, Some(deadline));
            self.restart_idle_timer(now);
            self.streams.set_now(now);
            self.observer.set_now(now);
            return now;
        };
        let now = now.max(last);
        self.now = Some(now);
        self.streams.set_now(now);
        self.observer.set_now(now);
        self.start_close_timer(now);
        now
    }

    /// The time is `now`: does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        self.do_what_is_due(now);
        self.observe();
    }

    fn do_what_is_due(&mut self, now: Instant) {
        if !self.phase.is_open() {
            self.on_close_timeout(now);
            return;
        }
        if self.timers.take_expired(TimerId::Handshake, now) {
            self.on_silence("the handshake took too long");
            return;
        }
        if self.idle_deadline().is_some_and(|at| at <= now) {
            self.on_silence("nothing was heard of the peer for too long");
            return;
        }
        if self.timers.take_expired(TimerId::KeepAlive, now) {
            self.space_mut(SpaceId::Data).ping = true;
        }
        if self.timers.take_expired(TimerId::EarlyKeys, now) {
            self.discard_early_keys();
        }
        self.timers.take_expired(TimerId::Pacing, now);
        self.on_recovery_timeout(now);
        self.on_path_timeout(now);
        self.report_path();
        if let Some(phases) = self.space_mut(SpaceId::Data).keys.phases_mut() {
            phases.handle_timeout(now);
        }
    }

    /// When [`Connection::handle_timeout`] has something to do. What could be sent at once is no
    /// reason to wake up: ask [`Connection::poll_transmit`] after every input.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let now = self.now.unwrap_or_default();
        match self.phase {
            Phase::Drained => return None,
            Phase::Closing | Phase::Draining => return self.timers.next().or(Some(now)),
            Phase::Handshaking | Phase::Connected | Phase::Confirmed => {}
        }
        let data = self.space(SpaceId::Data);
        // One that has passed was seen by `poll_transmit` already.
        let ack = data.acks.deadline().filter(|at| *at > now);
        [
            self.timers.next(),
            self.idle_deadline(),
            self.recovery.timeout(),
            self.paths.poll_timeout(),
            data.keys.phases().and_then(KeyPhases::poll_timeout),
            ack,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn on_silence(&mut self, reason: &str) {
        self.vanish(ClosedBy::Timeout, reason);
    }

    fn on_recovery_timeout(&mut self, now: Instant) {
        if let Some(id) = self.recovery.on_timeout(now, &mut self.outcome) {
            self.apply_outcome(id);
        }
        for id in SpaceId::ALL {
            if self.recovery.probes_pending(id) > 0 && !self.has_content(id) {
                self.repeat_oldest(id);
            }
        }
    }

    /// Restarts the idle timer: a packet was received, or the first that elicits an answer since
    /// then was sent (RFC 9000, section 10.1).
    pub(super) fn restart_idle_timer(&mut self, now: Instant) {
        self.idle_from = now;
        if self.config.keep_alive.is_some() && self.phase.is_established() {
            let at = self.config.keep_alive.map(|interval| now + interval);
            self.timers.set(TimerId::KeepAlive, at);
        }
    }

    /// When nothing was heard for too long (RFC 9000, section 10.1). It moves with every packet, so
    /// that it is worked out only when somebody asks.
    fn idle_deadline(&self) -> Option<Instant> {
        self.now?;
        self.idle_timeout().map(|timeout| self.idle_from + timeout)
    }

    /// The smaller of both sides', but three PTOs at least.
    fn idle_timeout(&self) -> Option<Duration> {
        let peer = self.peer_params().map(|params| params.max_idle_timeout_ms);
        let peer = Duration::from_millis(peer.unwrap_or(0));
        let both = [self.config.idle_timeout, peer];
        let timeout = both
            .into_iter()
            .filter(|timeout| !timeout.is_zero())
            .min()?;
        Some(timeout.max(self.recovery.pto(SpaceId::Data).saturating_mul(3)))
    }
}
