//! The end of a connection (RFC 9000, section 10).

use alloc::{borrow::ToOwned, string::String};

use super::{
    Connection,
    phase::{Phase, Step},
    timers::TimerId,
};
use crate::{
    error::{Fault, TransportCode},
    event::{CloseReason, ClosedBy, ErrorSpace},
    probe::ProbeEvent,
    quic::recovery::SpaceId,
    stats::FrameKind,
    time::Instant,
    wire::{Writer, frame::ConnectionClose, frame::types},
};

/// What our CONNECTION_CLOSE says, and how often it is said again.
#[derive(Debug)]
pub(super) struct Close {
    space: ErrorSpace,
    code: u64,
    /// The type of the frame at fault.
    frame: u64,
    /// What the peer is told.
    reason: String,
    unsent: bool,
    /// Datagrams that came since we closed, and how many make us say it again: 1, 2, 4, ...
    heard: u64,
    answer_at: u64,
}

impl Close {
    fn new(space: ErrorSpace, code: u64, frame: u64, reason: String) -> Self {
        Self {
            space,
            code,
            frame,
            reason,
            unsent: true,
            heard: 0,
            answer_at: 1,
        }
    }

    /// The frame for packets of `id`. In Initial and Handshake packets anybody might read it: an
    /// application's code and reason stay out of there (RFC 9000, section 10.2.3).
    fn frame(&self, id: SpaceId) -> ConnectionClose<'_> {
        match (self.space, id) {
            (ErrorSpace::Transport, _) => ConnectionClose::Transport {
                code: self.code,
                frame_type: self.frame,
                reason: self.reason.as_bytes(),
            },
            (ErrorSpace::Application, SpaceId::Data) => ConnectionClose::Application {
                code: self.code,
                reason: self.reason.as_bytes(),
            },
            (ErrorSpace::Application, _) => ConnectionClose::Transport {
                code: TransportCode::ApplicationError as u64,
                frame_type: 0,
                reason: &[],
            },
        }
    }
}

impl Connection {
    /// Closes the connection: the application's wish.
    pub(crate) fn close(&mut self, space: ErrorSpace, code: u64, reason: &str) {
        let reason = shortened(reason.to_owned());
        self.start_closing(ClosedBy::Local, space, code, 0, reason.clone(), reason);
    }

    /// Closes the connection: the peer is at fault.
    pub(crate) fn fail(&mut self, fault: Fault) {
        let (space, code, frame, reason, told) = match fault {
            Fault::Transport {
                code,
                frame,
                reason,
            } => (
                ErrorSpace::Transport,
                code as u64,
                frame,
                reason.into(),
                reason,
            ),
            Fault::Http { code, reason } => {
                (ErrorSpace::Application, code, 0, reason.into(), reason)
            }
            // RFC 9001, section 4.8. The details are not the peer's business.
            Fault::Tls { alert, reason } => {
                let code = CRYPTO_ERROR + u64::from(alert);
                let frame = types::CRYPTO;
                (ErrorSpace::Transport, code, frame, reason, "")
            }
        };
        self.start_closing(ClosedBy::Fault, space, code, frame, reason, told.into());
    }

    fn start_closing(
        &mut self,
        by: ClosedBy,
        space: ErrorSpace,
        code: u64,
        frame: u64,
        reason: String,
        told: String,
    ) {
        if !self.phase.is_open() {
            return;
        }
        self.close = Some(Close::new(space, code, frame, told));
        self.end(
            Step::Close,
            CloseReason {
                by,
                code,
                space,
                reason,
            },
        );
    }

    /// A CONNECTION_CLOSE frame came.
    pub(super) fn on_peer_close(&mut self, close: &ConnectionClose<'_>) {
        let (space, code) = match *close {
            ConnectionClose::Transport { code, .. } => (ErrorSpace::Transport, code),
            ConnectionClose::Application { code, .. } => (ErrorSpace::Application, code),
        };
        let bytes = close.reason();
        let bytes = bytes.get(..REASON_MAX).unwrap_or(bytes);
        let reason = CloseReason {
            by: ClosedBy::Peer,
            code,
            space,
            reason: String::from_utf8_lossy(bytes).into_owned(),
        };
        self.end(Step::PeerClose, reason);
    }

    /// The connection is over and nobody need be told.
    pub(super) fn vanish(&mut self, by: ClosedBy, reason: &str) {
        let reason = CloseReason {
            by,
            code: TransportCode::NoError as u64,
            space: ErrorSpace::Transport,
            reason: reason.to_owned(),
        };
        self.end(Step::Vanish, reason);
        self.release();
    }

    fn end(&mut self, step: Step, reason: CloseReason) {
        if self.phase.is_open() {
            self.observer.tell(|| ProbeEvent::Closed(&reason));
            self.closed = Some(reason);
        }
        self.phase = self.phase.after(step);
        self.timers.clear_all();
        self.held.clear();
        self.observe();
    }

    /// Starts the closing or draining period as soon as the time is known: three PTOs.
    pub(super) fn start_close_timer(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Closing | Phase::Draining)
            && !self.timers.is_set(TimerId::Close)
        {
            let period = self.recovery.pto(SpaceId::Data).saturating_mul(3);
            self.timers.set(TimerId::Close, Some(now + period));
        }
    }

    pub(super) fn on_close_timeout(&mut self, now: Instant) {
        if self.timers.take_expired(TimerId::Close, now) {
            self.phase = self.phase.after(Step::Expire);
            self.release();
        }
    }

    /// A datagram came after we closed. The more come, the more rarely they are answered (RFC
    /// 9000, section 10.2.1).
    pub(super) fn on_datagram_while_closing(&mut self) {
        if let Some(close) = &mut self.close {
            close.heard += 1;
            if close.heard >= close.answer_at {
                close.answer_at = close.answer_at.saturating_mul(2);
                close.unsent = true;
            }
        }
    }

    /// Whether CONNECTION_CLOSE must be sent. It is asked for once.
    pub(super) fn take_unsent_close(&mut self) -> bool {
        let close = self.close.as_mut();
        close.is_some_and(|close| core::mem::take(&mut close.unsent))
    }

    pub(super) fn write_close(&mut self, id: SpaceId, w: &mut Writer<'_>) {
        if let Some(close) = &self.close {
            // With no room for a reason, the code alone will do.
            if close.frame(id).encode(w).is_ok() {
                self.stats.frames_sent.add(FrameKind::ConnectionClose);
            }
        }
    }
}

/// As much of a reason as is kept and sent.
fn shortened(mut reason: String) -> String {
    if reason.len() > REASON_MAX {
        let end = (0..=REASON_MAX)
            .rev()
            .find(|at| reason.is_char_boundary(*at));
        reason.truncate(end.unwrap_or(0));
    }
    reason
}

/// Bytes of a reason that are kept, ours or the peer's.
const REASON_MAX: usize = 512;

/// The first of the codes that stand for TLS alerts (RFC 9000, section 20.1).
const CRYPTO_ERROR: u64 = 0x100;
