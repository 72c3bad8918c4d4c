//! Session flow control (draft-16, section 5): how much each end may send on a session's streams,
//! and how many it may open. It comes on top of QUIC's own, and is on only if both ends declared it.
//!
//! Limits only rise, and one is announced only when it is larger than every one before. Data
//! counts without stream headers.

use super::dialect::{self, Rules};
use core::time::Duration;

use crate::{
    config::Limits,
    time::Instant,
    wire::{Dir, h3::Settings},
};

/// What a limit counts.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes on all streams of the session.
    Data,
    /// Streams of one direction.
    Streams(Dir),
}

/// The peer crossed a limit or announced one that is not legal: the session closes with
/// WT_FLOW_CONTROL_ERROR.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation(pub(super) &'static str);

/// The flow control of one session.
#[derive(Debug)]
pub(super) struct Credit {
    /// What we may use, by [`Kind::index`].
    out: [Spend; 3],
    /// What the peer may use.
    granted: [Grant; 3],
    repeated_limit_is_error: bool,
}

impl Credit {
    /// Flow control that starts with what both ends' settings say.
    pub(super) fn new(rules: &Rules, limits: &Limits, peer: &Settings) -> Self {
        let of_peer = |id| Spend::new(peer.get(id).unwrap_or(0));
        let data = Grant {
            window_max: limits.connection_window_max.max(limits.session_window),
            ..Grant::new(limits.session_window)
        };
        let streams = Grant::new(limits.session_streams);
        Self {
            out: [
                of_peer(dialect::INITIAL_MAX_DATA),
                of_peer(dialect::INITIAL_MAX_STREAMS_BIDI),
                of_peer(dialect::INITIAL_MAX_STREAMS_UNI),
            ],
            granted: [data, streams, streams],
            repeated_limit_is_error: rules.repeated_limit_is_error,
        }
    }

    /// How much of `kind` we may still use.
    pub(super) const fn available(&self, kind: Kind) -> u64 {
        let spend = &self.out[kind.index()];
        spend.limit.saturating_sub(spend.used)
    }

    /// Uses `n` of `kind`, which must be available.
    pub(super) const fn spend(&mut self, kind: Kind, n: u64) {
        let spend = &mut self.out[kind.index()];
        debug_assert!(n <= spend.limit.saturating_sub(spend.used));
        spend.used = spend.used.saturating_add(n);
    }

    /// Gives back `n` of `kind` that was not used in the end.
    pub(super) const fn unspend(&mut self, kind: Kind, n: u64) {
        let spend = &mut self.out[kind.index()];
        spend.used = spend.used.saturating_sub(n);
    }

    /// We wanted more of `kind` than there is: the peer is to be told, once for each limit.
    pub(super) const fn on_blocked(&mut self, kind: Kind) {
        let spend = &mut self.out[kind.index()];
        if spend.blocked.is_none_or_less(spend.limit) {
            spend.blocked = Blocked::Unsaid(spend.limit);
        }
    }

    /// The limit at which we are blocked, if the peer is still to be told.
    pub(super) const fn blocked_to_say(&self, kind: Kind) -> Option<u64> {
        match self.out[kind.index()].blocked {
            Blocked::Unsaid(limit) => Some(limit),
            Blocked::Not | Blocked::Said(_) => None,
        }
    }

    /// The peer was told.
    pub(super) const fn on_blocked_said(&mut self, kind: Kind) {
        let spend = &mut self.out[kind.index()];
        if let Blocked::Unsaid(limit) = spend.blocked {
            spend.blocked = Blocked::Said(limit);
        }
    }

    /// The peer announced a limit. Gives whether there is more room than before.
    pub(super) fn on_limit(&mut self, kind: Kind, limit: u64) -> Result<bool, Violation> {
        check_range(kind, limit)?;
        let repeated_is_error = self.repeated_limit_is_error;
        let spend = &mut self.out[kind.index()];
        if limit < spend.limit {
            return Err(Violation("a session limit was lowered"));
        }
        // Whether one equal to the initial limit of the SETTINGS repeats it, the draft leaves open.
        if limit == spend.limit && spend.announced && repeated_is_error {
            return Err(Violation("a session limit was repeated"));
        }
        let more = limit > spend.limit;
        spend.limit = limit;
        spend.announced = true;
        if more {
            spend.blocked = Blocked::Not;
        }
        Ok(more)
    }

    /// The peer used `n` of `kind`.
    pub(super) fn on_used(&mut self, kind: Kind, n: u64) -> Result<(), Violation> {
        let grant = &mut self.granted[kind.index()];
        grant.used = grant.used.saturating_add(n);
        if grant.used <= grant.limit {
            return Ok(());
        }
        Err(Violation(match kind {
            Kind::Data => "more data than the session's limit",
            Kind::Streams(_) => "more streams than the session's limit",
        }))
    }

    /// `n` of what the peer used is free again: data was read, streams are closed.
    pub(super) const fn on_freed(&mut self, kind: Kind, n: u64) {
        let grant = &mut self.granted[kind.index()];
        grant.freed = grant.freed.saturating_add(n);
    }

    /// The limit to announce, if that is worth a capsule by now.
    pub(super) fn limit_to_say(&self, kind: Kind) -> Option<u64> {
        let grant = &self.granted[kind.index()];
        let limit = grant.freed.saturating_add(grant.window).min(kind.max());
        let worth = grant.window.div_ceil(2).max(1);
        (limit.saturating_sub(grant.limit) >= worth).then_some(limit)
    }

    /// `limit` was announced. When half a window is used up within two round trips, the window is
    /// what holds the peer back, and the next one is twice as large.
    pub(super) fn on_limit_said(&mut self, kind: Kind, limit: u64, now: Instant, rtt: Duration) {
        let grant = &mut self.granted[kind.index()];
        grant.limit = limit;
        let since = grant.said.map(|said| now.saturating_since(said));
        if since.is_some_and(|since| since < 2 * rtt) {
            grant.window = grant.window.saturating_mul(2).min(grant.window_max);
        }
        grant.said = Some(now);
    }
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Self; 3] = [Self::Data, Self::Streams(Dir::Bi), Self::Streams(Dir::Uni)];

    /// The capsule that announces a limit of this kind.
    pub(super) const fn limit_capsule(self) -> u64 {
        match self {
            Self::Data => dialect::WT_MAX_DATA,
            Self::Streams(Dir::Bi) => dialect::WT_MAX_STREAMS_BIDI,
            Self::Streams(Dir::Uni) => dialect::WT_MAX_STREAMS_UNI,
        }
    }

    /// The capsule that tells of being blocked at a limit of this kind.
    pub(super) const fn blocked_capsule(self) -> u64 {
        match self {
            Self::Data => dialect::WT_DATA_BLOCKED,
            Self::Streams(Dir::Bi) => dialect::WT_STREAMS_BLOCKED_BIDI,
            Self::Streams(Dir::Uni) => dialect::WT_STREAMS_BLOCKED_UNI,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Data => 0,
            Self::Streams(Dir::Bi) => 1,
            Self::Streams(Dir::Uni) => 2,
        }
    }

    const fn max(self) -> u64 {
        match self {
            Self::Data => crate::wire::varint::MAX,
            Self::Streams(_) => MAX_STREAMS,
        }
    }
}

/// Checks the limit in a capsule of either sort (draft-16, sections 5.6.2 and 5.6.3).
pub(super) fn check_range(kind: Kind, limit: u64) -> Result<(), Violation> {
    if limit > kind.max() {
        return Err(Violation("a session's stream limit is past 2^60"));
    }
    Ok(())
}

#[derive(Copy, Clone, Debug)]
struct Spend {
    limit: u64,
    used: u64,
    /// Whether a capsule gave `limit`, not the peer's settings.
    announced: bool,
    blocked: Blocked,
}

#[derive(Copy, Clone, Debug)]
struct Grant {
    /// Announced to the peer.
    limit: u64,
    used: u64,
    freed: u64,
    /// What the peer may use beyond what is free again.
    window: u64,
    window_max: u64,
    /// When the limit was announced last.
    said: Option<Instant>,
}

/// Whether we are blocked, at which limit, and whether the peer was told.
#[derive(Copy, Clone, Debug)]
enum Blocked {
    Not,
    Unsaid(u64),
    Said(u64),
}

impl Spend {
    const fn new(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            announced: false,
            blocked: Blocked::Not,
        }
    }
}

impl Grant {
    const fn new(window: u64) -> Self {
        Self {
            limit: window,
            used: 0,
            freed: 0,
            window,
            window_max: window,
            said: None,
        }
    }
}

impl Blocked {
    const fn is_none_or_less(self, limit: u64) -> bool {
        match self {
            Self::Not => true,
            Self::Unsaid(at) | Self::Said(at) => at < limit,
        }
    }
}

/// Stream identifiers end here (draft-16, section 5.6.2).
const MAX_STREAMS: u64 = 1 << 60;

#[cfg(test)]
mod tests;
