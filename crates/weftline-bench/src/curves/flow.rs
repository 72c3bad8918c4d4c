//! One connection that sends as much as it may, whatever the stack.

use std::{sync::Arc, time::Duration};

use ::weftline::congestion::Congestion;
use quinn_proto::congestion::{BbrConfig, ControllerFactory, CubicConfig, NewRenoConfig};

use crate::{
    pair::{Dir, End, Happened, Side},
    quinn,
    tls::Tls,
    weftline,
};

/// A stack with one of its congestion controllers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    NewReno,
    Cubic,
    Bbr,
    QuinnNewReno,
    QuinnCubic,
    QuinnBbr,
}

impl Sender {
    pub(crate) const ALL: [Self; 6] = [
        Self::NewReno,
        Self::Cubic,
        Self::Bbr,
        Self::QuinnNewReno,
        Self::QuinnCubic,
        Self::QuinnBbr,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NewReno => "weftline NewReno",
            Self::Cubic => "weftline CUBIC",
            Self::Bbr => "weftline BBRv3",
            Self::QuinnNewReno => "quinn-proto NewReno",
            Self::QuinnCubic => "quinn-proto CUBIC",
            Self::QuinnBbr => "quinn-proto BBR",
        }
    }

    /// What a sender of ours is measured by.
    pub(crate) fn rival(self) -> Option<Self> {
        match self {
            Self::NewReno => Some(Self::QuinnNewReno),
            Self::Cubic => Some(Self::QuinnCubic),
            Self::Bbr => Some(Self::QuinnBbr),
            Self::QuinnNewReno | Self::QuinnCubic | Self::QuinnBbr => None,
        }
    }

    pub(crate) fn flow(self, tls: &Tls, seed: u64) -> Box<dyn Flow> {
        match self {
            Self::NewReno => ours(tls, &Congestion::NewReno, seed),
            Self::Cubic => ours(tls, &Congestion::Cubic, seed),
            Self::Bbr => ours(tls, &Congestion::Bbr, seed),
            Self::QuinnNewReno => theirs(tls, Arc::new(NewRenoConfig::default()), seed),
            Self::QuinnCubic => theirs(tls, Arc::new(CubicConfig::default()), seed),
            Self::QuinnBbr => theirs(tls, Arc::new(BbrConfig::default()), seed),
        }
    }
}

fn ours(tls: &Tls, congestion: &Congestion, seed: u64) -> Box<dyn Flow> {
    let seeds = [2 * seed, 2 * seed + 1];
    let ends = weftline::raw_ends(tls, congestion, WINDOW, seeds);
    Box::new(Transfer::new(ends))
}

fn theirs(
    tls: &Tls,
    congestion: Arc<dyn ControllerFactory + Send + Sync>,
    seed: u64,
) -> Box<dyn Flow> {
    let seeds = [2 * seed, 2 * seed + 1].map(|seed| seed as u8);
    let ends = quinn::ends_with(tls, congestion, WINDOW, seeds);
    Box::new(Transfer::new(ends))
}

/// Client and server of a connection whose client sends all the time.
pub(crate) trait Flow {
    fn connect(&mut self, now: Duration);
    fn handle_datagram(&mut self, now: Duration, to: Side, datagram: &mut [u8]);
    fn handle_timeouts(&mut self, now: Duration);
    fn poll_timeout(&mut self) -> Option<Duration>;
    /// Lets the application write and read.
    fn work(&mut self);
    /// Gives `send` each datagram that may go.
    fn transmit(&mut self, now: Duration, send: &mut dyn FnMut(Side, &[u8]));
    fn is_ready(&self) -> bool;
    /// Bytes that the server's application has read.
    fn received(&self) -> u64;
}

struct Transfer<E: End> {
    client: E,
    server: E,
    stream: Option<E::Stream>,
    received: u64,
}

impl<E: End> Transfer<E> {
    fn new([client, server]: [E; 2]) -> Self {
        Self {
            client,
            server,
            stream: None,
            received: 0,
        }
    }
}

impl<E: End> Flow for Transfer<E> {
    fn connect(&mut self, now: Duration) {
        self.client.connect(now, "a.bench.test");
    }

    fn handle_datagram(&mut self, now: Duration, to: Side, datagram: &mut [u8]) {
        match to {
            Side::Client => self.client.handle_datagram(now, datagram),
            Side::Server => self.server.handle_datagram(now, datagram),
        }
    }

    fn handle_timeouts(&mut self, now: Duration) {
        for end in [&mut self.client, &mut self.server] {
            if end.poll_timeout().is_some_and(|at| at <= now) {
                end.handle_timeout(now);
            }
        }
    }

    fn poll_timeout(&mut self) -> Option<Duration> {
        let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
        timers.into_iter().flatten().min()
    }

    fn work(&mut self) {
        let mut writes = false;
        while let Some(event) = self.client.poll_event() {
            match event {
                Happened::Ready => {
                    self.stream = self.client.open(Dir::Uni);
                    writes = true;
                }
                Happened::Writable(_) => writes = true,
                _ => {}
            }
        }
        if let Some(stream) = self.stream.filter(|_| writes) {
            while self.client.write(stream, &[0; 32 << 10]) > 0 {}
        }
        while let Some(event) = self.server.poll_event() {
            if let Happened::Opened(stream) | Happened::Readable(stream) = event {
                self.received += self.server.read(stream).len as u64;
            }
        }
    }

    fn transmit(&mut self, now: Duration, send: &mut dyn FnMut(Side, &[u8])) {
        for (end, to) in [
            (&mut self.client, Side::Server),
            (&mut self.server, Side::Client),
        ] {
            while let Some((datagrams, segment)) = end.poll_transmit(now) {
                for datagram in datagrams.chunks(segment) {
                    send(to, datagram);
                }
            }
        }
    }

    fn is_ready(&self) -> bool {
        self.stream.is_some()
    }

    fn received(&self) -> u64 {
        self.received
    }
}

/// Several times what the longest path and its queue hold.
pub(crate) const WINDOW: u32 = 16 << 20;
