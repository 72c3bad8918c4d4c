//! The one timer of loss recovery (RFC 9002, section 6.2 and appendix A.8, A.9).

use core::time::Duration;

use super::{Outcome, Recovery, SpaceId};
use crate::time::Instant;

/// What is to be done when the timer expires.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// An overtaken packet has waited long enough: it is lost.
    Loss(SpaceId),
    /// Nothing came for what was sent: probe.
    Probe(SpaceId),
    /// The client has nothing in flight, but the server may have used up what it may send to an
    /// unproven address: give it more (RFC 9002, section 6.2.2.1).
    Unblock,
}

impl Recovery {
    /// When [`Recovery::on_timeout`] is due.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.timer().map(|(at, _)| at)
    }

    /// The time is `now`: declares packets lost or asks for probes if that is due. Gives the space
    /// of what is lost.
    pub(crate) fn on_timeout(&mut self, now: Instant, outcome: &mut Outcome) -> Option<SpaceId> {
        let (at, timer) = self.timer()?;
        if now < at {
            return None;
        }
        match timer {
            Timer::Loss(space) => {
                self.detect_lost(now, space, outcome);
                return Some(space);
            }
            Timer::Probe(space) => {
                self.on_pto(now);
                self.ask_for_probes(space);
            }
            Timer::Unblock => {
                self.on_pto(now);
                let space = self.unblocking_space();
                let probes = &mut self.spaces[space as usize].probes;
                *probes = (*probes).max(1);
            }
        }
        None
    }

    /// The probe timeout of `space` on the active path without backoff: the longest an answer normally takes.
    pub(crate) fn pto(&self, space: SpaceId) -> Duration {
        let pto = self.paths.active.rtt.pto();
        match space {
            SpaceId::Initial | SpaceId::Handshake => pto,
            SpaceId::Data => pto.saturating_add(self.peer_max_ack_delay),
        }
    }

    pub(super) fn timer(&self) -> Option<(Instant, Timer)> {
        let losses = SpaceId::ALL
            .into_iter()
            .filter_map(|space| Some((self.space(space).loss_time?, Timer::Loss(space))));
        if let Some(loss) = losses.min_by_key(|&(at, _)| at) {
            return Some(loss);
        }
        if self.amplification_blocked {
            return None;
        }
        let probes = SpaceId::ALL
            .into_iter()
            .filter(|&space| self.may_probe(space))
            .map(|space| {
                // A late timer does not make the next one late too.
                let since = self.space(space).last_eliciting_sent.max(self.last_pto);
                (
                    since + self.backed_off(self.pto(space)),
                    Timer::Probe(space),
                )
            });
        if let Some(probe) = probes.min_by_key(|&(at, _)| at) {
            return Some(probe);
        }
        if self.peer_validated_address {
            return None;
        }
        let since = self.last_progress.max(self.last_pto);
        let wait = self.backed_off(self.pto(self.unblocking_space()));
        Some((since + wait, Timer::Unblock))
    }

    /// Whether a probe timeout runs in `space`. In 1-RTT it does not before the handshake is
    /// confirmed: the peer may not yet be able to read or acknowledge anything there.
    fn may_probe(&self, space: SpaceId) -> bool {
        self.space(space).sent.has_eliciting()
            && (space != SpaceId::Data || self.handshake_confirmed)
    }

    fn unblocking_space(&self) -> SpaceId {
        match self.handshake_keys {
            true => SpaceId::Handshake,
            false => SpaceId::Initial,
        }
    }

    /// Doubled for each timeout since the last acknowledgement, up to a minute.
    fn backed_off(&self, pto: Duration) -> Duration {
        let factor = 1_u32 << self.pto_count.min(31);
        pto.saturating_mul(factor).min(MAX_INTERVAL.max(pto))
    }

    fn on_pto(&mut self, now: Instant) {
        self.pto_count = self.pto_count.saturating_add(1);
        self.paths.active.ecn.on_silence();
        self.last_pto = self.last_pto.max(now);
    }

    /// Two probes in `expired`, so that one more loss does not cost another timeout; when other
    /// spaces have packets in flight as well, one for each (RFC 9002, section 6.2.4).
    fn ask_for_probes(&mut self, expired: SpaceId) {
        let in_flight = |id: &SpaceId| self.space(*id).sent.has_eliciting();
        let busy = SpaceId::ALL.iter().filter(|id| in_flight(id)).count();
        for (id, space) in SpaceId::ALL.into_iter().zip(&mut self.spaces) {
            if id == expired && busy == 1 {
                space.probes = PROBES;
            } else if space.sent.has_eliciting() {
                space.probes = space.probes.max(1);
            }
        }
    }
}

const PROBES: u8 = 2;

/// Probes are never further apart, but for paths whose round trip is longer yet.
const MAX_INTERVAL: Duration = Duration::from_secs(60);
