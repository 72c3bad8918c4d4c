//! One end of a connection, and a peer that keeps to no rules but those of packets: it says
//! whatever a test wants, with the keys of a handshake that was in order.

pub(crate) mod crowd;
pub(crate) mod door;
pub(crate) mod wire;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use weftline::{
    ConnId, Connection, Dir, Endpoint, Event, Instant, RecvMeta, SessionId, SessionRequest, Side,
    Stats, StreamId,
    config::{ClientConfig, EndpointConfig, Limits, ServerConfig},
    crypto::{
        Keys, TAG_LEN,
        null::{NullClient, NullProvider, NullServer},
    },
    entropy::SeededEntropy,
    event::{ClosedBy, ErrorSpace, SessionClosed},
    wire::{
        Cid, Reader, Writer,
        frame::{Ack, Datagram, Frame, Stream},
        h3::{FrameHeader, Settings},
        packet::{Packet, PacketType, ShortHeader, TruncatedNumber},
    },
};

/// A victim past its handshake, and what it takes to speak in the name of its peer. Not one 1-RTT
/// packet of the true peer's has arrived: every stream is the attacker's from its first byte.
pub(crate) struct Attack {
    pub(crate) now: Instant,
    pub(crate) victim: Endpoint,
    pub(crate) id: ConnId,
    /// Which end attacks.
    side: Side,
    keys: Keys,
    destination: Cid,
    next_number: u64,
    /// The largest packet number heard.
    largest: Option<u64>,
    /// Payloads of the victim's 1-RTT packets, and where they went.
    heard: Vec<(SocketAddr, Vec<u8>)>,
    events: Vec<Event>,
    closed: Option<(ErrorSpace, u64)>,
    /// How much was sent on each stream.
    offsets: BTreeMap<StreamId, u64>,
}

/// Begins and ends.
impl Attack {
    /// On a server with these limits.
    pub(crate) fn on_server(change: impl FnOnce(&mut Limits)) -> Self {
        Self::new(Side::Client, change, |_| {})
    }

    /// On a client with these limits.
    pub(crate) fn on_client(change: impl FnOnce(&mut Limits)) -> Self {
        let mut attack = Self::new(Side::Server, |_| {}, change);
        attack.say(&[Frame::HandshakeDone]);
        attack
    }

    fn new(
        side: Side,
        of_server: impl FnOnce(&mut Limits),
        of_client: impl FnOnce(&mut Limits),
    ) -> Self {
        let mut server = server_endpoint(of_server);
        let mut client = Endpoint::new(EndpointConfig::client(), Box::new(SeededEntropy::new(1)));
        let config = client_config(of_client);
        let mut now = START;
        let client_id = client.connect(now, SERVER, "victim.test", config).unwrap();
        let (keys, _) = provider().one_rtt_keys(side);
        let mut destination = None;
        let mut to_attacker = Vec::new();
        for _ in 0..8 {
            now += Duration::from_millis(10);
            for datagram in sent(&mut client, now) {
                let datagram = &mut keep(datagram, side == Side::Client, &mut destination);
                server.handle_datagram(now, from(CLIENT), datagram);
            }
            for datagram in sent(&mut server, now) {
                to_attacker.extend((side == Side::Client).then(|| datagram.clone()));
                let datagram = &mut keep(datagram, side == Side::Server, &mut destination);
                client.handle_datagram(now, from(SERVER), datagram);
            }
            client.handle_timeout(now);
            server.handle_timeout(now);
        }
        let server_id = server.connections().next().expect("a connection");
        let (victim, id) = match side {
            Side::Client => (server, server_id),
            Side::Server => (client, client_id),
        };
        let mut attack = Self {
            now,
            victim,
            id,
            side,
            keys,
            destination: destination.expect("the peer had something to say"),
            next_number: 0,
            largest: None,
            heard: Vec::new(),
            events: Vec::new(),
            closed: None,
            offsets: BTreeMap::new(),
        };
        for datagram in to_attacker {
            attack.hear(CLIENT, datagram);
        }
        attack.settle();
        assert!(attack.conn().is_established());
        attack
    }

    pub(crate) fn conn(&mut self) -> &mut Connection {
        self.victim.connection(self.id).expect("the connection")
    }

    pub(crate) fn stats(&mut self) -> Stats {
        self.conn().stats()
    }

    /// Events since the last time.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.settle();
        std::mem::take(&mut self.events)
    }

    /// The victim still answers.
    #[track_caller]
    pub(crate) fn assert_alive(&mut self) {
        let before = self.stats().packets_received;
        self.say(&[Frame::Ping]);
        assert_eq!(self.closed, None);
        assert_eq!(self.stats().packets_received, before + 1);
    }

    /// The victim closed the connection, with this HTTP/3 code.
    #[track_caller]
    pub(crate) fn assert_closed_h3(&mut self, code: u64) {
        assert_eq!(self.closed, Some((ErrorSpace::Application, code)));
    }

    /// The victim closed the connection, with this transport code.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self, code: weftline::error::TransportCode) {
        assert_eq!(self.closed, Some((ErrorSpace::Transport, code as u64)));
    }
}

/// What the attacker says.
impl Attack {
    /// Sends these frames in one packet, and lets the victim act.
    pub(crate) fn say(&mut self, frames: &[Frame<'_>]) {
        self.whisper(self.peer_address(), frames);
        self.settle();
    }

    /// Sends these frames in one packet from this address; the victim does not act yet.
    pub(crate) fn whisper(&mut self, address: SocketAddr, frames: &[Frame<'_>]) {
        let mut datagram = self.packet(frames);
        self.now += Duration::from_millis(1);
        self.victim
            .handle_datagram(self.now, from(address), &mut datagram);
    }

    /// Makes the next packet.
    pub(crate) fn packet(&mut self, frames: &[Frame<'_>]) -> Vec<u8> {
        let header = ShortHeader {
            destination: self.destination,
            number: TruncatedNumber::with_len(self.next_number, 4),
            spin: false,
            key_phase: false,
        };
        let payload: usize = frames.iter().map(Frame::encoded_len).sum();
        let mut datagram = vec![0; header.encoded_len() + payload + TAG_LEN];
        let mut w = Writer::new(&mut datagram);
        let layout = header.encode(&mut w).unwrap();
        for frame in frames {
            frame.encode(&mut w).unwrap();
        }
        let keys = &self.keys.local;
        let (head, body) = datagram.split_at_mut(layout.payload_at);
        keys.packet.seal(self.next_number, head, body).unwrap();
        let mask = keys.header.mask(layout.sample(&datagram).unwrap());
        layout.protect(&mut datagram, mask);
        self.next_number += 1;
        datagram
    }

    /// Sends `data` behind what was sent on a stream.
    pub(crate) fn send(&mut self, id: StreamId, data: &[u8]) {
        self.send_part(id, data, false);
    }

    /// Sends the last data of a stream.
    pub(crate) fn finish(&mut self, id: StreamId, data: &[u8]) {
        self.send_part(id, data, true);
    }

    fn send_part(&mut self, id: StreamId, data: &[u8], end: bool) {
        let pieces = data.len().div_ceil(PIECE).max(1);
        for (n, data) in (0..pieces).map(|n| (n, data.chunks(PIECE).nth(n).unwrap_or_default())) {
            let at = self.offsets.entry(id).or_default();
            let offset = *at;
            *at += data.len() as u64;
            let fin = end && n + 1 == pieces;
            self.say(&[stream(id, offset, data, fin)]);
        }
    }

    /// How much was sent on all streams.
    pub(crate) fn total_sent(&self) -> u64 {
        self.offsets.values().sum()
    }

    /// Acknowledges everything the victim sent.
    pub(crate) fn acknowledge(&mut self) {
        let mut ack = vec![0; 64];
        let mut w = Writer::new(&mut ack);
        let largest = self.largest.expect("a packet was heard");
        // Type, largest, delay, further ranges, packets in the first one.
        for value in [2, largest, 0, 0, largest] {
            w.varint(value).unwrap();
        }
        let mut reader = Reader::new(w.written());
        let ack = Frame::parse(&mut reader).unwrap();
        self.say(&[ack]);
    }

    /// Lets time pass, as the victim's timers want it.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.victim.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.victim.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    pub(crate) fn skip_packet_number(&mut self) {
        self.next_number += 1;
    }

    fn peer_address(&self) -> SocketAddr {
        match self.side {
            Side::Client => CLIENT,
            Side::Server => SERVER,
        }
    }
}

/// What the attacker hears.
impl Attack {
    /// What `pick` finds in the victim's frames so far.
    pub(crate) fn heard<T>(&self, mut pick: impl FnMut(&Frame<'_>) -> Option<T>) -> Vec<T> {
        self.heard_by(|_, frame| pick(frame))
    }

    /// As [`Self::heard`], with the address that each frame went to.
    pub(crate) fn heard_by<T>(
        &self,
        mut pick: impl FnMut(SocketAddr, &Frame<'_>) -> Option<T>,
    ) -> Vec<T> {
        let mut found = Vec::new();
        for (to, payload) in &self.heard {
            let mut reader = Reader::new(payload);
            while !reader.is_empty() {
                let frame = Frame::parse(&mut reader).expect("the victim's frames are in order");
                found.extend(pick(*to, &frame));
            }
        }
        found
    }

    /// The code with which the victim reset a stream.
    pub(crate) fn reset_code(&self, id: StreamId) -> Option<u64> {
        let codes = self.heard(|frame| match frame {
            Frame::ResetStream(reset) if reset.id == id => Some(reset.code),
            _ => None,
        });
        codes.first().copied()
    }

    /// The code with which the victim stopped a stream.
    pub(crate) fn stop_code(&self, id: StreamId) -> Option<u64> {
        let codes = self.heard(|frame| match frame {
            Frame::StopSending(stop) if stop.id == id => Some(stop.code),
            _ => None,
        });
        codes.first().copied()
    }

    /// What the victim sent on a stream, without gaps.
    pub(crate) fn received(&self, id: StreamId) -> Vec<u8> {
        let mut data = Vec::new();
        self.heard(|frame| {
            if let Frame::Stream(stream) = frame
                && stream.id == id
                && stream.offset as usize <= data.len()
            {
                data.truncate(stream.offset as usize);
                data.extend_from_slice(stream.data);
            }
            None::<()>
        });
        data
    }

    /// A setting of the victim's.
    pub(crate) fn setting(&self, setting: u64) -> Option<u64> {
        let control = StreamId::new(self.side.peer(), Dir::Uni, 0);
        let data = self.received(control);
        let (_, mut reader) = (data[0], Reader::new(&data[1..]));
        let header = FrameHeader::parse(&mut reader).unwrap();
        let payload = reader.bytes(header.len as usize).unwrap();
        Settings::parse(payload, 100).unwrap().get(setting)
    }

    /// The newest ACK of the victim's, by `pick`.
    pub(crate) fn last_ack<T>(&self, pick: impl Fn(&Ack<'_>) -> T) -> Option<T> {
        let acks = self.heard(|frame| match frame {
            Frame::Ack(ack) => Some(pick(ack)),
            _ => None,
        });
        acks.into_iter().last()
    }

    fn settle(&mut self) {
        let mut buffer = vec![0; 2048];
        loop {
            let events = self.events.len();
            while let Some((_, event)) = self.victim.poll_event() {
                if let Event::Closed(reason) = &event {
                    assert_eq!(self.closed, None, "it comes once");
                    self.closed = Some((reason.space, reason.code));
                }
                self.events.push(event);
            }
            let mut quiet = events == self.events.len();
            while let Some(transmit) = self.victim.poll_transmit(self.now, &mut buffer) {
                quiet = false;
                let segment = transmit.segment.unwrap_or(transmit.len);
                for datagram in buffer[..transmit.len].chunks(segment) {
                    self.hear(transmit.to, datagram.to_vec());
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// Opens the 1-RTT packet in a datagram, if there is one.
    fn hear(&mut self, to: SocketAddr, mut datagram: Vec<u8>) {
        let mut rest = &mut datagram[..];
        while let Ok(Packet::Protected(header)) = Packet::parse(rest, CID_LEN) {
            let (packet, tail) = rest.split_at_mut(header.end);
            rest = tail;
            if header.packet_type != PacketType::OneRtt {
                continue;
            }
            let keys = &self.keys.remote;
            let mask = keys.header.mask(header.sample(packet).unwrap());
            let plain = header.unprotect(packet, mask).unwrap();
            let number = plain.number.expand(self.largest);
            let (head, body) = packet.split_at_mut(plain.payload_at);
            let len = keys.packet.open(number, head, body).unwrap();
            self.largest = self.largest.max(Some(number));
            self.heard.push((to, body[..len].to_vec()));
        }
    }
}

/// Sessions.
impl Attack {
    /// Sends SETTINGS, behind nothing, with `more`.
    pub(crate) fn send_settings(&mut self, more: &[(u64, u64)]) {
        let control = StreamId::new(self.side, Dir::Uni, 0);
        self.send(control, &wire::control_stream(more));
    }

    /// Asks for a session on a server, with the stream of this index.
    pub(crate) fn request_session(&mut self, index: u64) -> SessionId {
        self.request_session_as(index, "webtransport-h3")
    }

    /// As [`Self::request_session`], with this `:protocol`.
    pub(crate) fn request_session_as(&mut self, index: u64, protocol: &str) -> SessionId {
        self.send(bidi(index), &wire::connect(protocol));
        let asked = self.events().into_iter().find_map(|event| match event {
            Event::SessionRequested(session, _) => Some(session),
            _ => None,
        });
        asked.expect("the victim hears of the request")
    }

    /// Has a session with a server.
    pub(crate) fn open_session(&mut self, index: u64) -> SessionId {
        let session = self.request_session(index);
        self.accept(session);
        session
    }

    pub(crate) fn accept(&mut self, session: SessionId) {
        self.conn().accept_session(session, None).unwrap();
        self.settle();
    }

    /// A server whose peer has SETTINGS and one session.
    pub(crate) fn with_session(change: impl FnOnce(&mut Limits)) -> (Self, SessionId) {
        let mut attack = Self::on_server(change);
        attack.send_settings(&[]);
        let session = attack.open_session(0);
        (attack, session)
    }

    /// As [`Self::with_session`], with session flow control.
    pub(crate) fn with_flow_control(change: impl FnOnce(&mut Limits)) -> (Self, SessionId) {
        let mut attack = Self::on_server(change);
        attack.send_settings(&wire::FLOW_CONTROL);
        let session = attack.open_session(0);
        (attack, session)
    }

    /// Sends a datagram of a session in a packet of its own.
    pub(crate) fn send_datagram(&mut self, session: StreamId, payload: &[u8]) {
        let data = &wire::datagram(session, payload)[..];
        self.say(&[Frame::Datagram(Datagram { data })]);
    }

    /// Every datagram that the victim's application gets.
    pub(crate) fn datagrams(&mut self, session: SessionId) -> Vec<Vec<u8>> {
        let conn = self.conn();
        std::iter::from_fn(|| conn.recv_datagram(session))
            .map(Vec::from)
            .collect()
    }

    /// The session ended by the victim's judgement, with this code; the connection did not.
    #[track_caller]
    pub(crate) fn assert_session_failed(&mut self, session: SessionId, code: u64) {
        let closed = self.session_closed(session).expect("the session ended");
        assert_eq!((closed.by, closed.error), (ClosedBy::Fault, Some(code)));
        assert_eq!(self.reset_code(session.stream()), Some(code));
        self.assert_alive();
    }

    /// How a session ended.
    pub(crate) fn session_closed(&mut self, session: SessionId) -> Option<SessionClosed> {
        self.events().into_iter().find_map(|event| match event {
            Event::SessionClosed(id, closed) if id == session => Some(closed),
            _ => None,
        })
    }

    /// A client that asked for a session; its server sent SETTINGS and no answer.
    pub(crate) fn with_client_session(change: impl FnOnce(&mut Limits)) -> (Self, SessionId) {
        let mut attack = Self::on_client(change);
        let request = SessionRequest::new("victim.test", "/");
        let session = attack.conn().request_session(request).unwrap();
        attack.send_settings(&[]);
        (attack, session)
    }
}

/// A server with these limits.
pub(crate) fn server_endpoint(change: impl FnOnce(&mut Limits)) -> Endpoint {
    let crypto = NullServer::insecure().with_provider(provider());
    let config = ServerConfig::builder(Arc::new(crypto)).with_limits(change);
    let config = EndpointConfig::server(Arc::new(config.build().unwrap()));
    Endpoint::new(config, Box::new(SeededEntropy::new(2)))
}

/// A client's configuration with these limits.
pub(crate) fn client_config(change: impl FnOnce(&mut Limits)) -> Arc<ClientConfig> {
    let crypto = NullClient::insecure().with_provider(provider());
    let config = ClientConfig::builder(Arc::new(crypto)).with_limits(change);
    Arc::new(config.build().unwrap())
}

pub(crate) const fn provider() -> NullProvider {
    NullProvider::insecure().with_known_one_rtt_keys()
}

/// Everything an endpoint has to send.
pub(crate) fn sent(endpoint: &mut Endpoint, now: Instant) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 2048];
    let mut datagrams = Vec::new();
    while let Some(transmit) = endpoint.poll_transmit(now, &mut buffer) {
        let segment = transmit.segment.unwrap_or(transmit.len);
        let all = buffer[..transmit.len].chunks(segment);
        datagrams.extend(all.map(<[u8]>::to_vec));
    }
    datagrams
}

/// A datagram of the true peer's, when it is the attacker's turn to be that: without the 1-RTT
/// packet in it, of which only the destination is told.
fn keep(mut datagram: Vec<u8>, attacks: bool, destination: &mut Option<Cid>) -> Vec<u8> {
    let mut at = 0;
    while attacks && let Ok(Packet::Protected(header)) = Packet::parse(&datagram[at..], CID_LEN) {
        if header.packet_type == PacketType::OneRtt {
            *destination = Some(header.destination);
            datagram.truncate(at);
        }
        at += header.end.min(datagram.len() - at);
    }
    datagram
}

pub(crate) fn from(address: SocketAddr) -> RecvMeta {
    RecvMeta {
        from: address,
        to: None,
        ecn: None,
    }
}

pub(crate) fn stream(id: StreamId, offset: u64, data: &[u8], fin: bool) -> Frame<'_> {
    Frame::Stream(Stream {
        id,
        offset,
        fin,
        data,
    })
}

/// A client's bidirectional stream.
pub(crate) const fn bidi(index: u64) -> StreamId {
    StreamId::new(Side::Client, Dir::Bi, index)
}

/// A client's unidirectional stream.
pub(crate) const fn uni(index: u64) -> StreamId {
    StreamId::new(Side::Client, Dir::Uni, index)
}

pub(crate) const START: Instant = Instant::from_micros(1_000_000);
pub(crate) const SERVER: SocketAddr = address(2, 4433);
pub(crate) const CLIENT: SocketAddr = address(1, 5000);

pub(crate) const fn address(host: u8, port: u16) -> SocketAddr {
    let ip = std::net::Ipv4Addr::new(10, 0, 0, host);
    SocketAddr::V4(std::net::SocketAddrV4::new(ip, port))
}

/// The length of the connection IDs that both ends give out.
pub(crate) const CID_LEN: usize = 8;

/// Stream data in a packet.
const PIECE: usize = 1000;
