//! Two ends, the wire between them, and virtual time.

use std::{collections::VecDeque, time::Duration};

/// One end: an endpoint with at most one connection, whatever the stack.
pub(crate) trait End {
    type Stream: Copy + Ord;

    fn handle_datagram(&mut self, now: Duration, datagram: &mut [u8]);
    fn handle_timeout(&mut self, now: Duration);
    fn poll_timeout(&mut self) -> Option<Duration>;
    /// Datagrams to send, each of the size given but the last.
    fn poll_transmit(&mut self, now: Duration) -> Option<(&[u8], usize)>;
    fn poll_event(&mut self) -> Option<Happened<Self::Stream>>;

    /// Starts a connection to the other end, which goes by `name`.
    fn connect(&mut self, now: Duration, name: &str);
    fn close(&mut self, now: Duration);
    /// Whether a connection's state is gone.
    fn is_empty(&self) -> bool;

    fn open(&mut self, dir: Dir) -> Option<Self::Stream>;
    /// How much was taken; 0 when blocked.
    fn write(&mut self, stream: Self::Stream, data: &[u8]) -> usize;
    fn finish(&mut self, stream: Self::Stream);
    /// Reads all there is.
    fn read(&mut self, stream: Self::Stream) -> Read;
    fn send_datagram(&mut self, data: &[u8]);
    /// Takes the oldest datagram; gives its size.
    fn recv_datagram(&mut self) -> Option<usize>;
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dir {
    Bi,
    Uni,
}

/// What reading a stream gave.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Read {
    pub(crate) len: usize,
    pub(crate) end: bool,
}

/// What an end tells the application.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened<S> {
    /// Streams and datagrams can be used.
    Ready,
    /// The peer opened a stream: it may be readable already.
    Opened(S),
    Readable(S),
    Writable(S),
    /// More streams can be opened.
    Available,
    Datagrams,
    /// Nothing of the above.
    Other,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// An application at both ends.
pub(crate) trait App<E: End> {
    /// Begins the work at the client.
    fn start(&mut self, client: &mut E);
    fn on_event(&mut self, side: Side, end: &mut E, event: Happened<E::Stream>);
    fn is_done(&self) -> bool;
}

pub(crate) struct Pair<E> {
    pub(crate) now: Duration,
    pub(crate) client: E,
    pub(crate) server: E,
    wire: VecDeque<(Duration, Side, Vec<u8>)>,
    /// Buffers of datagrams that arrived.
    spare: Vec<Vec<u8>>,
}

impl<E: End> Pair<E> {
    pub(crate) fn new(client: E, server: E) -> Self {
        Self {
            now: Duration::from_secs(1),
            client,
            server,
            wire: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    /// Lets the application do its work to the end.
    pub(crate) fn run(&mut self, app: &mut impl App<E>) {
        app.start(&mut self.client);
        loop {
            self.settle(app);
            if app.is_done() {
                return;
            }
            assert!(self.step(), "the work came to a standstill");
        }
    }

    /// Lets both ends talk until they have nothing more to say soon.
    pub(crate) fn rest(&mut self) {
        let end = self.now + REST;
        loop {
            self.settle(&mut Idle);
            if self.next().is_none_or(|at| at > end) {
                self.now = end;
                return;
            }
            self.step();
        }
    }

    /// Goes on to the next thing that happens; `false` when nothing ever does.
    pub(crate) fn step(&mut self) -> bool {
        let Some(next) = self.next() else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some((at, ..)) = self.wire.front()
            && *at <= self.now
            && let Some((_, to, mut datagram)) = self.wire.pop_front()
        {
            match to {
                Side::Client => self.client.handle_datagram(self.now, &mut datagram),
                Side::Server => self.server.handle_datagram(self.now, &mut datagram),
            }
            self.spare.push(datagram);
        }
        for end in [&mut self.client, &mut self.server] {
            if end.poll_timeout().is_some_and(|at| at <= self.now) {
                end.handle_timeout(self.now);
            }
        }
        true
    }

    /// Tells the application what happened, and sends what there is to send.
    pub(crate) fn settle(&mut self, app: &mut impl App<E>) {
        while let Some(event) = self.client.poll_event() {
            app.on_event(Side::Client, &mut self.client, event);
        }
        while let Some(event) = self.server.poll_event() {
            app.on_event(Side::Server, &mut self.server, event);
        }
        self.transmit(Side::Client);
        self.transmit(Side::Server);
    }

    fn transmit(&mut self, from: Side) {
        let (end, to) = match from {
            Side::Client => (&mut self.client, Side::Server),
            Side::Server => (&mut self.server, Side::Client),
        };
        while let Some((datagrams, segment)) = end.poll_transmit(self.now) {
            for datagram in datagrams.chunks(segment) {
                let mut copy = self.spare.pop().unwrap_or_default();
                copy.clear();
                copy.extend_from_slice(datagram);
                self.wire.push_back((self.now + LATENCY, to, copy));
            }
        }
    }

    fn next(&mut self) -> Option<Duration> {
        let arrival = self.wire.front().map(|(at, ..)| *at);
        let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
        timers.into_iter().flatten().chain(arrival).min()
    }
}

/// An application that does nothing.
pub(crate) struct Idle;

impl<E: End> App<E> for Idle {
    fn start(&mut self, _: &mut E) {}

    fn on_event(&mut self, _: Side, _: &mut E, _: Happened<E::Stream>) {}

    fn is_done(&self) -> bool {
        true
    }
}

/// UDP payloads of both stacks.
pub(crate) const DATAGRAM_SIZE: u16 = 1452;

/// Datagrams that may be sent at once, as by segmentation offload.
pub(crate) const BATCH: usize = 10;

/// One way.
const LATENCY: Duration = Duration::from_millis(1);

/// Longer than acknowledgements are delayed, shorter than idle timeouts.
const REST: Duration = Duration::from_millis(500);
