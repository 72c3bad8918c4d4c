use std::collections::VecDeque;

use weftline::{
    Dir, StreamId,
    event::{SessionClosed, SessionReady},
    h3::ResponseHead,
};

use crate::shared::{Signal, Wake};

/// A session that has handles, or is about to get one.
pub(crate) struct SessionState {
    pub(crate) phase: SessionPhase,
    pub(crate) is_draining: bool,
    /// `phase` or `is_draining` changed.
    pub(crate) changed: Signal,
    pub(crate) bi: Arrivals,
    pub(crate) uni: Arrivals,
    pub(crate) datagrams: Signal,
}

/// Streams of the peer that wait for the application to accept them. The peer's stream limit
/// bounds them.
#[derive(Default)]
pub(crate) struct Arrivals {
    pub(crate) streams: VecDeque<StreamId>,
    pub(crate) signal: Signal,
}

pub(crate) enum SessionPhase {
    /// Not yet answered.
    Asked,
    /// Client: the answer is there, but was not yet taken.
    Ready(Box<SessionReady>),
    Open,
    Rejected(Box<ResponseHead>),
    /// This side closed it, and the peer may not have seen that yet.
    Closing(SessionClosed),
    Closed(SessionClosed),
}

impl SessionPhase {
    /// How it ended, as far as its users are concerned.
    pub(super) fn closed(&self) -> Option<&SessionClosed> {
        match self {
            Self::Closing(closed) | Self::Closed(closed) => Some(closed),
            Self::Asked | Self::Ready(_) | Self::Open | Self::Rejected(_) => None,
        }
    }
}

impl SessionState {
    pub(crate) fn new(phase: SessionPhase) -> Self {
        Self {
            phase,
            is_draining: false,
            changed: Signal::default(),
            bi: Arrivals::default(),
            uni: Arrivals::default(),
            datagrams: Signal::default(),
        }
    }

    pub(crate) fn arrivals(&mut self, dir: Dir) -> &mut Arrivals {
        match dir {
            Dir::Bi => &mut self.bi,
            Dir::Uni => &mut self.uni,
        }
    }

    pub(super) fn wake_all(&self, wakes: &mut Vec<Wake>) {
        let signals = [
            &self.changed,
            &self.bi.signal,
            &self.uni.signal,
            &self.datagrams,
        ];
        wakes.extend(signals.map(|signal| Wake::All(signal.clone())));
    }
}
