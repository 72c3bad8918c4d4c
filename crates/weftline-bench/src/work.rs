//! The works that stacks are compared in.

use crate::{
    pair::{App, Dir, End, Happened, Idle, Pair, Side},
    quinn,
    tls::Tls,
    weftline,
};

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    /// Raw QUIC.
    Weftline,
    /// Weftline, in a WebTransport session.
    Session,
    QuinnProto,
}

/// What is done, in units that are counted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// MiB on one stream.
    Bulk,
    /// 64 bytes up and 64 down on a new bidirectional stream, one after the other.
    Requests,
    /// 64 bytes on a new unidirectional stream, as many at once as the peer allows.
    ShortStreams,
    /// Datagrams of 64 bytes.
    SmallDatagrams,
    /// Datagrams of 1200 bytes.
    LargeDatagrams,
    /// Connections opened, confirmed and closed.
    Handshakes,
}

impl Stack {
    pub(crate) const ALL: [Self; 3] = [Self::Weftline, Self::QuinnProto, Self::Session];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Weftline => "weftline",
            Self::Session => "webtransport",
            Self::QuinnProto => "quinn-proto",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let stack = Self::ALL.into_iter().find(|stack| stack.name() == name);
        stack.ok_or_else(|| format!("no stack is called {name:?}"))
    }

    /// Does `count` units of `work`, on a connection that is there already.
    pub(crate) fn run(self, work: Work, count: usize) {
        let tls = Tls::generate();
        match self {
            Self::Weftline => work.run(weftline::raw_pair(&tls), count),
            Self::Session => work.run(weftline::session_pair(&tls), count),
            Self::QuinnProto => work.run(quinn::pair(&tls), count),
        }
    }
}

impl Work {
    pub(crate) const ALL: [Self; 6] = [
        Self::Bulk,
        Self::Requests,
        Self::ShortStreams,
        Self::SmallDatagrams,
        Self::LargeDatagrams,
        Self::Handshakes,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Requests => "requests",
            Self::ShortStreams => "short-streams",
            Self::SmallDatagrams => "datagrams-64",
            Self::LargeDatagrams => "datagrams-1200",
            Self::Handshakes => "handshakes",
        }
    }

    /// What one unit is.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Bulk => "MiB on one stream",
            Self::Requests => "request of 64 bytes, answer of 64",
            Self::ShortStreams => "unidirectional stream of 64 bytes",
            Self::SmallDatagrams => "datagram of 64 bytes",
            Self::LargeDatagrams => "datagram of 1200 bytes",
            Self::Handshakes => "handshake",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let work = Self::ALL.into_iter().find(|work| work.name() == name);
        work.ok_or_else(|| format!("no work is called {name:?}"))
    }

    /// Two amounts whose difference is large enough to measure.
    pub(crate) fn amounts(self) -> [usize; 2] {
        match self {
            Self::Bulk => [4, 12],
            Self::Requests | Self::ShortStreams => [500, 2500],
            Self::SmallDatagrams | Self::LargeDatagrams => [960, 4800],
            Self::Handshakes => [4, 24],
        }
    }

    fn run<E: End>(self, mut pair: Pair<E>, count: usize) {
        if self == Self::Handshakes {
            for number in 0..count {
                handshake(&mut pair, &format!("n{number}.bench.test"));
            }
            return;
        }
        connect(&mut pair, "a.bench.test");
        pair.rest();
        match self {
            Self::Bulk => pair.run(&mut Bulk::new(count << 20)),
            Self::Requests => pair.run(&mut Requests::new(count)),
            Self::ShortStreams => pair.run(&mut ShortStreams::new(count)),
            Self::SmallDatagrams => pair.run(&mut Datagrams::new(count, 64)),
            Self::LargeDatagrams => pair.run(&mut Datagrams::new(count, 1200)),
            Self::Handshakes => {}
        }
        pair.rest();
    }
}

fn connect<E: End>(pair: &mut Pair<E>, name: &str) {
    let now = pair.now;
    pair.client.connect(now, name);
    pair.run(&mut Connecting::default());
}

fn handshake<E: End>(pair: &mut Pair<E>, name: &str) {
    connect(pair, name);
    pair.rest();
    let now = pair.now;
    pair.client.close(now);
    while !(pair.client.is_empty() && pair.server.is_empty()) {
        pair.settle(&mut Idle);
        pair.step();
    }
}

/// Done when both ends are ready.
#[derive(Default)]
struct Connecting {
    client: bool,
    server: bool,
}

impl<E: End> App<E> for Connecting {
    fn start(&mut self, _: &mut E) {}

    fn on_event(&mut self, side: Side, _: &mut E, event: Happened<E::Stream>) {
        if event == Happened::Ready {
            match side {
                Side::Client => self.client = true,
                Side::Server => self.server = true,
            }
        }
    }

    fn is_done(&self) -> bool {
        self.client && self.server
    }
}

/// The client writes, the server reads.
struct Bulk<S> {
    to_send: usize,
    stream: Option<S>,
    chunk: Vec<u8>,
    done: bool,
}

impl<S: Copy> Bulk<S> {
    fn new(bytes: usize) -> Self {
        Self {
            to_send: bytes,
            stream: None,
            chunk: vec![7; CHUNK],
            done: false,
        }
    }

    fn write<E: End<Stream = S>>(&mut self, end: &mut E) {
        let Some(stream) = self.stream else { return };
        while self.to_send > 0 {
            let chunk = &self.chunk[..CHUNK.min(self.to_send)];
            let written = end.write(stream, chunk);
            self.to_send -= written;
            if written == 0 {
                return;
            }
        }
        end.finish(stream);
        self.stream = None;
    }
}

impl<E: End> App<E> for Bulk<E::Stream> {
    fn start(&mut self, client: &mut E) {
        self.stream = client.open(Dir::Uni);
        self.write(client);
    }

    fn on_event(&mut self, side: Side, end: &mut E, event: Happened<E::Stream>) {
        match (side, event) {
            (Side::Client, Happened::Writable(_)) => self.write(end),
            (Side::Server, Happened::Opened(stream) | Happened::Readable(stream)) => {
                self.done |= end.read(stream).end;
            }
            _ => {}
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

/// One request after the other.
struct Requests {
    left: usize,
}

impl Requests {
    fn new(count: usize) -> Self {
        Self { left: count }
    }

    fn ask<E: End>(client: &mut E) {
        let stream = client.open(Dir::Bi).expect("a stream");
        say(client, stream);
    }
}

impl<E: End> App<E> for Requests {
    fn start(&mut self, client: &mut E) {
        Self::ask(client);
    }

    fn on_event(&mut self, side: Side, end: &mut E, event: Happened<E::Stream>) {
        let (Happened::Opened(stream) | Happened::Readable(stream)) = event else {
            return;
        };
        if !end.read(stream).end {
            return;
        }
        match side {
            Side::Server => say(end, stream),
            Side::Client => {
                self.left -= 1;
                if self.left > 0 {
                    Self::ask(end);
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        self.left == 0
    }
}

/// As many streams as the peer allows.
struct ShortStreams {
    to_open: usize,
    to_end: usize,
}

impl ShortStreams {
    fn new(count: usize) -> Self {
        Self {
            to_open: count,
            to_end: count,
        }
    }

    fn open<E: End>(&mut self, end: &mut E) {
        while self.to_open > 0
            && let Some(stream) = end.open(Dir::Uni)
        {
            say(end, stream);
            self.to_open -= 1;
        }
    }
}

impl<E: End> App<E> for ShortStreams {
    fn start(&mut self, client: &mut E) {
        self.open(client);
    }

    fn on_event(&mut self, side: Side, end: &mut E, event: Happened<E::Stream>) {
        match (side, event) {
            (Side::Client, Happened::Available) => self.open(end),
            (Side::Server, Happened::Opened(stream) | Happened::Readable(stream))
                if end.read(stream).end =>
            {
                self.to_end -= 1;
            }
            _ => {}
        }
    }

    fn is_done(&self) -> bool {
        self.to_end == 0
    }
}

/// Volleys of datagrams: the next goes out when the last has arrived.
struct Datagrams {
    to_send: usize,
    under_way: usize,
    payload: Vec<u8>,
}

impl Datagrams {
    fn new(count: usize, size: usize) -> Self {
        Self {
            to_send: count,
            under_way: 0,
            payload: vec![7; size],
        }
    }

    fn send<E: End>(&mut self, end: &mut E) {
        while self.to_send > 0 && self.under_way < VOLLEY {
            end.send_datagram(&self.payload);
            self.to_send -= 1;
            self.under_way += 1;
        }
    }
}

impl<E: End> App<E> for Datagrams {
    fn start(&mut self, client: &mut E) {
        self.send(client);
    }

    fn on_event(&mut self, side: Side, end: &mut E, event: Happened<E::Stream>) {
        match (side, event) {
            (Side::Server, Happened::Datagrams) => {
                while end.recv_datagram().is_some() {
                    self.under_way -= 1;
                }
                // The server has nothing to send but a sign to go on.
                if self.under_way == 0 && self.to_send > 0 {
                    end.send_datagram(b"go");
                }
            }
            (Side::Client, Happened::Datagrams) => {
                while end.recv_datagram().is_some() {}
                self.send(end);
            }
            _ => {}
        }
    }

    fn is_done(&self) -> bool {
        self.to_send == 0 && self.under_way == 0
    }
}

/// Says something short, and that it is all.
fn say<E: End>(end: &mut E, stream: E::Stream) {
    let written = end.write(stream, &[7; SHORT]);
    assert_eq!(written, SHORT, "there is room for something short");
    end.finish(stream);
}

const CHUNK: usize = 64 << 10;
const SHORT: usize = 64;
const VOLLEY: usize = 32;
