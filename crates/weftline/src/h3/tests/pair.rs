//! Two connections, and what their ends were told.

use alloc::{sync::Arc, vec, vec::Vec};

use core::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::super::*;
use crate::{
    RecvMeta,
    config::TransportConfig,
    crypto::{
        ClientProvider, ServerProvider, Version,
        null::{NullClient, NullServer},
    },
    entropy::SeededEntropy,
    event::CloseReason,
    time::Instant,
    wire::{Cid, packet::Invariant},
};

pub(super) const MARKERS: Markers = Markers {
    uni: 0x154,
    bidi: 0x141,
};

/// One end. Without a layer, it is a peer that does to the transport what the test wants.
pub(super) struct End {
    pub(super) quic: quic::Connection,
    pub(super) h3: Option<Layer>,
    pub(super) changes: Vec<Change>,
    pub(super) fault: Option<u64>,
    /// Without a layer: the transport's changes.
    pub(super) raw: Vec<quic::Change>,
}

pub(super) struct Pair {
    pub(super) client: End,
    pub(super) server: End,
    now: Instant,
}

pub(super) fn extensions() -> Extensions {
    Extensions {
        settings: vec![
            (settings::ENABLE_CONNECT_PROTOCOL, 1),
            (settings::H3_DATAGRAM, 1),
        ],
        markers: Some(MARKERS),
    }
}

pub(super) fn layer(side: Side, limits: &Limits) -> Option<Layer> {
    Some(Layer::new(side, limits, extensions(), 7))
}

impl Pair {
    /// Two layers that have exchanged SETTINGS.
    pub(super) fn new() -> Self {
        Self::with_limits(&Limits::default())
    }

    pub(super) fn with_limits(limits: &Limits) -> Self {
        let mut pair = Self::with_layers(limits, Side::Client, layer(Side::Client, limits));
        pair.server.h3 = layer(Side::Server, limits);
        pair.run();
        for end in [&mut pair.client, &mut pair.server] {
            let changes = end.take();
            assert!(changes.starts_with(&[Change::Connected]), "{changes:?}");
            assert!(changes.contains(&Change::Settings), "{changes:?}");
        }
        pair
    }

    /// A layer of `side` against a peer without one.
    pub(super) fn against_raw(side: Side, limits: &Limits) -> Self {
        let mut pair = Self::with_layers(limits, side, layer(side, limits));
        pair.run();
        let (end, _) = pair.layer_and_raw();
        assert_eq!(end.take(), [Change::Connected, Change::Confirmed]);
        pair
    }

    fn with_layers(limits: &Limits, side: Side, layer: Option<Layer>) -> Self {
        let (client, server) = connect(limits);
        let mut pair = Self {
            client: End::new(client),
            server: End::new(server),
            now: START,
        };
        match side {
            Side::Client => pair.client.h3 = layer,
            Side::Server => pair.server.h3 = layer,
        }
        pair
    }

    /// The end with a layer, and the one without.
    pub(super) fn layer_and_raw(&mut self) -> (&mut End, &mut End) {
        if self.client.h3.is_some() {
            (&mut self.client, &mut self.server)
        } else {
            (&mut self.server, &mut self.client)
        }
    }

    /// Carries datagrams, and lets time go by, until both ends are silent.
    pub(super) fn run(&mut self) {
        let mut silent_since = self.now;
        for _ in 0..10_000 {
            self.client.settle();
            self.server.settle();
            let (client, server) = (&mut self.client.quic, &mut self.server.quic);
            let sent = carry(client, server, self.now, CLIENT);
            if carry(server, client, self.now, SERVER) || sent {
                silent_since = self.now;
                continue;
            }
            let timers = [client.poll_timeout(), server.poll_timeout()];
            let next = timers.into_iter().flatten().min();
            match next.filter(|&next| next < silent_since + SILENCE) {
                None => return,
                Some(next) => self.now = self.now.max(next),
            }
            client.handle_timeout(self.now);
            server.handle_timeout(self.now);
        }
        panic!("the ends never fall silent");
    }
}

impl End {
    fn new(quic: quic::Connection) -> Self {
        Self {
            quic,
            h3: None,
            changes: Vec::new(),
            fault: None,
            raw: Vec::new(),
        }
    }

    /// Takes what commands made the layer tell.
    pub(super) fn settle_changes(&mut self) {
        let (h3, _) = self.parts();
        let mut changes = Vec::new();
        while let Some(change) = h3.next_change() {
            changes.push(change);
        }
        self.changes.extend(changes);
    }

    fn settle(&mut self) {
        while let Some(change) = self.quic.next_change() {
            let Some(h3) = &mut self.h3 else {
                self.raw.push(change);
                continue;
            };
            if let Err(fault) = h3.on_quic(change, &mut self.quic) {
                self.quic.fail(fault);
            }
            while let Some(change) = h3.next_change() {
                match change {
                    Change::Closed(CloseReason { code, .. }) => self.fault = Some(code),
                    change => self.changes.push(change),
                }
            }
        }
    }

    /// What the layer told since the last call, but for the transport's last word on each stream.
    pub(super) fn take(&mut self) -> Vec<Change> {
        let mut changes = core::mem::take(&mut self.changes);
        changes.retain(|change| !matches!(change, Change::Stream(StreamChange::Closed { .. })));
        changes
    }

    /// As [`Self::take`], but only of HTTP/3's own streams.
    pub(super) fn take_own(&mut self) -> Vec<Change> {
        let mut changes = self.take();
        changes.retain(|change| !matches!(change, Change::Stream(_)));
        changes
    }

    pub(super) fn parts(&mut self) -> (&mut Layer, &mut quic::Connection) {
        (self.h3.as_mut().unwrap(), &mut self.quic)
    }

    pub(super) fn request(&mut self, head: &RequestHead, end: bool) -> StreamId {
        let (h3, quic) = self.parts();
        h3.send_request(quic, head, end).unwrap()
    }

    pub(super) fn respond(
        &mut self,
        id: StreamId,
        status: u16,
        fields: &[(&str, &str)],
        end: bool,
    ) {
        let (h3, quic) = self.parts();
        h3.send_response(quic, id, &response(status, fields), end)
            .unwrap();
    }

    pub(super) fn write(&mut self, id: StreamId, data: &[u8]) -> Result<usize, WriteFail> {
        let (h3, quic) = self.parts();
        h3.write_body(quic, id, data)
    }

    pub(super) fn finish(&mut self, id: StreamId) {
        let (h3, quic) = self.parts();
        h3.finish_body(quic, id).unwrap();
    }

    pub(super) fn read(&mut self, id: StreamId) -> Result<Option<Vec<u8>>, ReadFail> {
        let (h3, quic) = self.parts();
        let result = h3.read_body(quic, id, 1000);
        result.map(|bytes| bytes.map(|bytes| bytes.to_vec()))
    }

    /// Everything there is to read, and how it ends.
    pub(super) fn read_all(&mut self, id: StreamId) -> (Vec<u8>, Result<(), ReadFail>) {
        let mut all = Vec::new();
        loop {
            match self.read(id) {
                Ok(Some(bytes)) => all.extend_from_slice(&bytes),
                Ok(None) => return (all, Ok(())),
                Err(fail) => return (all, Err(fail)),
            }
        }
    }

    /// Exchanges that the layer still has.
    pub(super) fn messages(&self) -> usize {
        let streams = self.h3.as_ref().unwrap().streams.values();
        streams
            .filter(|stream| matches!(stream, Stream::Message(_)))
            .count()
    }

    /// Without a layer: opens a stream and writes `bytes` on it.
    pub(super) fn open_raw(&mut self, dir: Dir, bytes: &[u8]) -> StreamId {
        let id = self.quic.open(dir).unwrap();
        if !bytes.is_empty() {
            assert_eq!(self.quic.write(id, bytes), Ok(bytes.len()));
        }
        id
    }

    /// Without a layer: how the peer reset `id`, and with what it was asked to stop.
    pub(super) fn verdict(&mut self, id: StreamId) -> (Option<u64>, Option<u64>) {
        let stopped = self.raw.iter().find_map(|change| match change {
            quic::Change::Stream(StreamChange::Stopped { id: i, code }) if *i == id => Some(*code),
            _ => None,
        });
        let reset = loop {
            match self.quic.read(id, 1000) {
                Ok(Some(_)) => {}
                Err(ReadFail::Reset(code)) => break Some(code),
                Ok(None) | Err(ReadFail::Blocked | ReadFail::Unknown) => break None,
            }
        };
        (reset, stopped)
    }
}

/// A GET of `/`, or something else with more or other parts.
pub(super) fn request(method: &str, fields: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead {
        method: method.into(),
        scheme: Some("https".into()),
        authority: Some("example.com".into()),
        path: Some("/".into()),
        ..RequestHead::default()
    };
    if method == "CONNECT" {
        head.protocol = Some("webtransport".into());
    }
    for (name, value) in fields {
        head.fields.push(name, value.as_bytes().to_vec());
    }
    head
}

pub(super) fn response(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead {
        status,
        fields: Fields::new(),
    };
    for (name, value) in fields {
        head.fields.push(name, value.as_bytes().to_vec());
    }
    head
}

/// A frame of any type.
pub(super) fn frame(ty: u64, payload: &[u8]) -> Vec<u8> {
    let header = wire::FrameHeader {
        ty,
        len: payload.len() as u64,
    };
    [&header.encode(), payload].concat()
}

/// A HEADERS frame.
pub(super) fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = Vec::new();
    let mut encoder = crate::wire::qpack::Encoder::new(&mut section);
    for (name, value) in fields {
        encoder.field(name.as_bytes(), value.as_bytes());
    }
    frame(wire::frame::HEADERS, &section)
}

/// The HEADERS frame of a request, with more fields.
pub(super) fn get(fields: &[(&str, &str)]) -> Vec<u8> {
    let head = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
    ];
    headers(&[&head, fields].concat())
}

pub(super) const fn request_id(index: u64) -> StreamId {
    StreamId::new(Side::Client, Dir::Bi, index)
}

/// Two connections; the server's knows the client's first datagram.
fn connect(limits: &Limits) -> (quic::Connection, quic::Connection) {
    let transport = TransportConfig::default();
    let mut entropy = SeededEntropy::new(1);
    let crypto: Arc<dyn ClientProvider> = Arc::new(NullClient::insecure());
    let mut client = quic::Connection::new_client(
        setup(limits, &transport, SERVER, &mut entropy),
        &crypto,
        "example.com",
        None,
    )
    .unwrap();
    let mut out = [0; 1200];
    let first = client.poll_transmit(START, &mut out).unwrap();
    let Some(Invariant::Long {
        version,
        destination,
        source,
        ..
    }) = Invariant::parse(&out[..first.len], quic::CID_LEN)
    else {
        panic!("a client begins with a long header");
    };
    let (original, peer) = (Cid::new(destination).unwrap(), Cid::new(source).unwrap());
    let crypto: Arc<dyn ServerProvider> = Arc::new(NullServer::insecure());
    let mut server = quic::Connection::new_server(
        setup(limits, &transport, CLIENT, &mut entropy),
        &crypto,
        &quic::FirstInitial::new(Version(version), original, peer),
    )
    .unwrap();
    deliver(&mut server, START, CLIENT, &mut out[..first.len]);
    (client, server)
}

fn setup<'a>(
    limits: &'a Limits,
    transport: &'a TransportConfig,
    remote: SocketAddr,
    entropy: &'a mut SeededEntropy,
) -> quic::Setup<'a> {
    quic::Setup {
        transport,
        limits,
        alpn: &[b"h3"],
        remote,
        local: None,
        reset_key: [9; 32],
        terms: &[],
        token: Vec::new(),
        issuer: None,
        entropy,
        now: Instant::ZERO,
        probe: None,
    }
}

/// Carries everything that `from` wants to send now; whether there was something.
fn carry(
    from: &mut quic::Connection,
    to: &mut quic::Connection,
    now: Instant,
    address: SocketAddr,
) -> bool {
    let mut out = [0; 1200];
    let mut any = false;
    while let Some(transmit) = from.poll_transmit(now, &mut out) {
        deliver(to, now, address, &mut out[..transmit.len]);
        any = true;
    }
    any
}

fn deliver(to: &mut quic::Connection, now: Instant, from: SocketAddr, datagram: &mut [u8]) {
    let meta = RecvMeta {
        from,
        to: None,
        ecn: None,
    };
    to.handle_datagram(now, &meta, datagram);
}

const START: Instant = Instant::from_micros(1_000_000);
/// Longer than any timer of a connection that is not idle.
const SILENCE: Duration = Duration::from_secs(2);
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 1000);
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 443);
