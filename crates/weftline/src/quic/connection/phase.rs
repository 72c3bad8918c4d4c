//! The life of a connection.

/// How far a connection has come.
///
/// ```text
/// Handshaking --> Connected --> Confirmed          Closing: we said CONNECTION_CLOSE
///      |              |             |              Draining: the peer did
///      +--------------+-------------+--> Closing ---+
///      |              |             |               +--> Drained
///      +--------------+-------------+--> Draining --+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Handshaking,
    /// The handshake is complete: data flows.
    Connected,
    /// The handshake is confirmed: the peer has completed it too.
    Confirmed,
    /// We closed; late packets are answered with the CONNECTION_CLOSE again.
    Closing,
    /// The peer closed; nothing is sent any more.
    Draining,
    /// Nothing is left to do.
    Drained,
}

/// What moves a connection on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The handshake is complete.
    Complete,
    /// The handshake is confirmed.
    Confirm,
    /// This side closes: the application wishes so, or the peer is at fault.
    Close,
    /// CONNECTION_CLOSE came.
    PeerClose,
    /// There is nobody to tell: silence for too long, a stateless reset, no common version.
    Vanish,
    /// The closing or draining period is over.
    Expire,
}

impl Phase {
    /// The phase after `step`; the same when the step comes too late or too early.
    pub(super) const fn after(self, step: Step) -> Self {
        match (self, step) {
            (Self::Handshaking, Step::Complete) => Self::Connected,
            (Self::Connected, Step::Confirm) => Self::Confirmed,
            (Self::Handshaking | Self::Connected | Self::Confirmed, Step::Close) => Self::Closing,
            (
                Self::Handshaking | Self::Connected | Self::Confirmed | Self::Closing,
                Step::PeerClose,
            ) => Self::Draining,
            (_, Step::Vanish) | (Self::Closing | Self::Draining, Step::Expire) => Self::Drained,
            (phase, _) => phase,
        }
    }

    /// Before the end: packets are processed.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Handshaking | Self::Connected | Self::Confirmed)
    }

    /// Data may flow.
    pub(super) const fn is_established(self) -> bool {
        matches!(self, Self::Connected | Self::Confirmed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase::*, Step::*};

    #[test]
    fn table() {
        let phases = [
            Handshaking,
            Connected,
            Confirmed,
            Closing,
            Draining,
            Drained,
        ];
        let rows = [
            (
                Complete,
                [Connected, Connected, Confirmed, Closing, Draining, Drained],
            ),
            (
                Confirm,
                [
                    Handshaking,
                    Confirmed,
                    Confirmed,
                    Closing,
                    Draining,
                    Drained,
                ],
            ),
            (
                Close,
                [Closing, Closing, Closing, Closing, Draining, Drained],
            ),
            (
                PeerClose,
                [Draining, Draining, Draining, Draining, Draining, Drained],
            ),
            (Vanish, [Drained; 6]),
            (
                Expire,
                [Handshaking, Connected, Confirmed, Drained, Drained, Drained],
            ),
        ];
        for (step, row) in rows {
            assert_eq!(phases.map(|phase| phase.after(step)), row, "{step:?}");
        }
    }
}
