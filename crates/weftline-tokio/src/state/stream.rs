use std::task::Waker;

use weftline::{SessionId, h3::ResponseHead};

use crate::shared::{Signal, Wake};

/// A stream that has handles, or is about to get some.
#[derive(Default)]
pub(crate) struct StreamState {
    /// The session it belongs to, if any.
    pub(crate) session: Option<SessionId>,
    pub(crate) handles: usize,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// How sending ended.
    pub(crate) sent: Option<SendEnd>,
    /// `sent` is there; made when somebody waits for it.
    pub(crate) sent_signal: Option<Signal>,
    /// Client: the response, until it is taken.
    pub(crate) response: Option<Box<ResponseHead>>,
    /// The code that an HTTP/3 exchange failed with.
    pub(crate) failed: Option<u64>,
}

/// How the sending half of a stream ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendEnd {
    /// The peer received everything.
    Acknowledged,
    /// The peer asked to stop.
    Stopped(Option<u64>),
    /// This side reset it.
    Reset,
}

impl StreamState {
    pub(crate) fn of_session(session: SessionId) -> Self {
        Self {
            session: Some(session),
            ..Self::default()
        }
    }

    /// Sending ended; the first end counts.
    pub(crate) fn on_sent(&mut self, end: SendEnd, wakes: &mut Vec<Wake>) {
        self.sent.get_or_insert(end);
        self.wake_writer(wakes);
        wakes.extend(self.sent_signal.clone().map(Wake::All));
    }

    pub(super) fn wake_reader(&mut self, wakes: &mut Vec<Wake>) {
        wakes.extend(self.reader.take().map(Wake::Task));
    }

    pub(super) fn wake_writer(&mut self, wakes: &mut Vec<Wake>) {
        wakes.extend(self.writer.take().map(Wake::Task));
    }

    pub(super) fn wake_all(&mut self, wakes: &mut Vec<Wake>) {
        self.wake_reader(wakes);
        self.wake_writer(wakes);
        wakes.extend(self.sent_signal.clone().map(Wake::All));
    }
}
