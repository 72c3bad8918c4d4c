//! One session.

use alloc::{boxed::Box, collections::VecDeque, string::String, vec::Vec};
use bytes::Bytes;
use core::time::Duration;

use super::{Dialect, SessionRequest, capsules::Inbox, credit::Credit, state::State};
use crate::{event::SessionClosed, h3::RequestHead, time::Instant, wire::Dir};

/// What is known of a session. Its streams are in the layer's table.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) state: State,
    pub(super) asked: Asked,
    /// What it speaks, once that is known.
    pub(super) dialect: Option<Dialect>,
    pub(super) protocol: Option<String>,
    /// Session flow control, when it is on.
    pub(super) credit: Option<Credit>,
    pub(super) input: Input,
    pub(super) output: Output,
    /// What the application is yet to hear about the end.
    pub(super) report: Option<SessionClosed>,
    /// How long the state may last.
    pub(super) patience: Patience,
    /// Whether the application was told that the peer wants to finish.
    pub(super) draining: bool,
    pub(super) datagrams: Datagrams,
    pub(super) wanted: Wanted,
    pub(super) stats: SessionStats,
}

/// How long something may last. Commands do not know the time, so a wait begins with the input or
/// output that follows.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Endless,
    /// From the next time on that is told.
    For(Duration),
    Until(Instant),
}

/// What the session was asked for with, as long as that matters.
#[derive(Debug)]
pub(super) enum Asked {
    /// Client: what the request will be made of.
    Request(Box<SessionRequest>),
    /// Client: the protocols in the request.
    Protocols(Vec<String>),
    /// Server: the request.
    Head(Box<RequestHead>),
    Done,
}

/// The peer's side of the CONNECT stream.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// There once the session is open.
    pub(super) inbox: Option<Inbox>,
    /// Bytes that came before. They mean nothing until a 2xx response (draft-16, section 3.2).
    pub(super) early: Vec<u8>,
    /// Whether the stream ended among those.
    pub(super) early_end: bool,
    /// Whether the close capsule arrived, behind which there must be nothing.
    pub(super) closed: bool,
}

/// What we have yet to write on the CONNECT stream. Limits to announce follow from the credit at
/// the moment of writing, so that nothing queues up while the peer does not read.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) drain: bool,
    /// The close capsule, then the end.
    pub(super) close: Option<Vec<u8>>,
    pub(super) finish: bool,
}

/// Datagrams received and not taken yet.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    pub(super) queue: VecDeque<Bytes>,
    pub(super) bytes: usize,
    /// Whether the application knows that there are some.
    pub(super) told: bool,
}

/// Which streams the application wanted to open and the session's limit forbade.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Wanted {
    bi: bool,
    uni: bool,
}

/// Figures of a session.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Streams that this side opened.
    pub streams_opened: u64,
    /// Streams that the peer opened.
    pub streams_accepted: u64,
    /// Bytes written to streams.
    pub stream_bytes_written: u64,
    /// Bytes read from streams.
    pub stream_bytes_read: u64,
    /// Datagrams queued to be sent.
    pub datagrams_sent: u64,
    /// Datagrams that arrived.
    pub datagrams_received: u64,
    /// Datagrams that arrived and were dropped, as too many were waiting to be taken.
    pub datagrams_dropped: u64,
}

impl Session {
    pub(super) fn new(state: State, asked: Asked, patience: Patience) -> Self {
        Self {
            state,
            asked,
            dialect: None,
            protocol: None,
            credit: None,
            input: Input::default(),
            output: Output::default(),
            report: None,
            patience,
            draining: false,
            datagrams: Datagrams::default(),
            wanted: Wanted::default(),
            stats: SessionStats::default(),
        }
    }

    /// Memory held, in bytes.
    pub(super) fn accounted_bytes(&self) -> usize {
        let asked = match &self.asked {
            Asked::Head(head) => head.accounted_bytes(),
            Asked::Request(_) | Asked::Protocols(_) | Asked::Done => 0,
        };
        size_of::<Self>() + asked + self.input.early.capacity() + self.datagrams.accounted_bytes()
    }

    /// Whether it is established and can be used.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }
}

impl Patience {
    /// The time is `now`: a wait that was asked for begins.
    pub(super) fn start(&mut self, now: Instant) {
        if let Self::For(time) = *self {
            *self = Self::Until(now + time);
        }
    }

    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Until(at) => Some(at),
            Self::Endless | Self::For(_) => None,
        }
    }
}

impl Datagrams {
    pub(super) fn push(&mut self, data: Bytes) {
        self.bytes += data.len();
        self.queue.push_back(data);
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let data = self.queue.pop_front();
        match &data {
            Some(data) => self.bytes -= data.len(),
            None => self.told = false,
        }
        data
    }

    /// Memory held, in bytes: more than nothing for a datagram without any.
    pub(super) fn accounted_bytes(&self) -> usize {
        self.bytes + self.queue.len() * size_of::<Bytes>()
    }
}

impl Wanted {
    pub(super) fn set(&mut self, dir: Dir) {
        *self.get_mut(dir) = true;
    }

    /// Whether streams of this direction were wanted, which is forgotten with this.
    pub(super) fn take(&mut self, dir: Dir) -> bool {
        core::mem::take(self.get_mut(dir))
    }

    fn get_mut(&mut self, dir: Dir) -> &mut bool {
        match dir {
            Dir::Bi => &mut self.bi,
            Dir::Uni => &mut self.uni,
        }
    }
}
