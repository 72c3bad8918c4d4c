//! The timers that belong to no part of their own.

use crate::time::Instant;

/// One deadline for each kind of timer.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; TimerId::COUNT]);

/// The kinds of timers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum TimerId {
    /// The handshake takes too long.
    Handshake,
    /// Nothing was heard for too long (RFC 9000, section 10.1).
    Idle,
    /// The path may be forgotten if nothing is sent.
    KeepAlive,
    /// The pacer lets more go.
    Pacing,
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
        self.0.get(id as usize).is_some_and(Option::is_some)
    }

    /// The next deadline of any.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }
}
