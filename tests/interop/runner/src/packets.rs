//! The packets in captured datagrams, opened as far as the key log allows.

use std::{collections::BTreeMap, fmt, time::Duration};

use weftline::wire::{
    Reader,
    frame::{ConnectionClose, Frame},
    packet::{Invariant, Packet as Parsed, PacketType, PlainHeader, ProtectedHeader},
};

use crate::{
    capture::{Datagram, Fate, Path, Side},
    keys::{KeyLog, Keys, Opened, Suite},
    tls::Messages,
};

/// Everything that went over the network, read.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) datagrams: Vec<Datagram>,
    /// In the order they were sent.
    pub(crate) packets: Vec<Packet>,
    pub(crate) connections: Vec<Connection>,
}

#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Which of the datagrams it is in, and how many packets of it are before.
    pub(crate) datagram: usize,
    pub(crate) from: Side,
    pub(crate) kind: Kind,
    /// Of long headers; 0 in others.
    pub(crate) version: u32,
    pub(crate) destination: Vec<u8>,
    pub(crate) source: Vec<u8>,
    pub(crate) token: Vec<u8>,
    pub(crate) key_phase: bool,
    /// `None` when it could not be opened.
    pub(crate) content: Option<Content>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    OneRtt,
    Retry,
    VersionNegotiation,
    Unknown,
}

/// What the checks look at in a packet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) number: u64,
    /// Bytes in STREAM frames.
    pub(crate) stream_bytes: usize,
    /// Offset and length of each CRYPTO frame.
    pub(crate) crypto: Vec<(u64, u64)>,
    pub(crate) has_ack: bool,
    pub(crate) has_ack_ecn: bool,
    pub(crate) challenges: Vec<[u8; 8]>,
    pub(crate) responses: Vec<[u8; 8]>,
    /// The error code of CONNECTION_CLOSE.
    pub(crate) close: Option<u64>,
    /// The types of all frames.
    pub(crate) frames: Vec<u64>,
}

/// A connection, as far as it can be told from outside.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// What each side said in its handshake.
    pub(crate) said: [Messages; 2],
    version: u32,
    /// From which the keys of Initial packets follow: of the first flight, and after a Retry.
    initial_cids: Vec<Vec<u8>>,
    /// Those under which each side receives.
    cids: [Vec<Vec<u8>>; 2],
    /// CRYPTO data of the Initial and Handshake packets of each side.
    crypto: [[CryptoData; 2]; 2],
    keys: KeyRing,
    /// The largest number of each side's Initial, Handshake and application packets.
    largest: [[Option<u64>; 3]; 2],
}

#[derive(Debug, Default)]
struct KeyRing {
    early: Option<Keys>,
    handshake: [Option<Keys>; 2],
    /// This key phase and the next.
    application: [Option<(Keys, Keys)>; 2],
    /// The one before, for packets that were overtaken.
    previous: [Option<Keys>; 2],
    phase: [bool; 2],
}

#[derive(Debug, Default)]
struct CryptoData {
    pieces: BTreeMap<u64, Vec<u8>>,
    data: Vec<u8>,
}

impl Trace {
    pub(crate) fn read(datagrams: Vec<Datagram>, log: &KeyLog) -> Self {
        let mut trace = Self {
            datagrams: Vec::new(),
            packets: Vec::new(),
            connections: Vec::new(),
        };
        for (index, datagram) in datagrams.iter().enumerate() {
            let mut rest = &datagram.data[..];
            while !rest.is_empty() {
                let (packet, len) = trace.packet(index, datagram.from, rest, log);
                trace.packets.push(packet);
                rest = rest.get(len..).unwrap_or_default();
            }
        }
        trace.datagrams = datagrams;
        trace
    }

    /// Packets that this side sent or got as they were sent, in its order.
    pub(crate) fn seen_by(&self, side: Side) -> impl Iterator<Item = &Packet> {
        let mut seen: Vec<_> = self
            .packets
            .iter()
            .filter_map(|packet| Some((self.datagrams[packet.datagram].seen_by(side)?, packet)))
            .collect();
        seen.sort_by_key(|(at, _)| *at);
        seen.into_iter().map(|(_, packet)| packet)
    }

    /// All that one side sent.
    pub(crate) fn sent_by(&self, side: Side) -> impl Iterator<Item = &Packet> {
        self.packets
            .iter()
            .filter(move |packet| packet.from == side)
    }

    pub(crate) fn path(&self, packet: &Packet, seen_by: Side) -> Path {
        let datagram = &self.datagrams[packet.datagram];
        match seen_by {
            Side::Client => datagram.client_path,
            Side::Server => datagram.server_path,
        }
    }

    /// The first packet of `rest`, and how long it is.
    fn packet(
        &mut self,
        datagram: usize,
        from: Side,
        rest: &[u8],
        log: &KeyLog,
    ) -> (Packet, usize) {
        let mut packet = Packet {
            datagram,
            from,
            kind: Kind::Unknown,
            version: 0,
            destination: Vec::new(),
            source: Vec::new(),
            token: Vec::new(),
            key_phase: false,
            content: None,
        };
        // The fixed bit may be greased (RFC 9287): headers are read with it, packets opened without.
        let mut fixed = rest.to_vec();
        if let Some(first) = fixed.first_mut() {
            *first |= FIXED_BIT;
        }
        let Some(invariant) = Invariant::parse(rest, 0) else {
            return (packet, rest.len());
        };
        let len = match invariant {
            Invariant::Long {
                version,
                destination,
                source,
                ..
            } => {
                packet.version = version;
                packet.destination = destination.to_vec();
                packet.source = source.to_vec();
                self.long(&mut packet, rest, &fixed, log)
            }
            Invariant::Short { .. } => {
                self.short(&mut packet, rest, &fixed, log);
                rest.len()
            }
        };
        (packet, len)
    }

    /// Reads a packet with a long header, and returns its length.
    fn long(&mut self, packet: &mut Packet, bytes: &[u8], fixed: &[u8], log: &KeyLog) -> usize {
        let header = match Parsed::parse(fixed, 0).ok() {
            Some(Parsed::Protected(header)) => header,
            Some(Parsed::Retry(retry)) => {
                packet.kind = Kind::Retry;
                packet.token = retry.token.to_vec();
                if let Some(connection) = self.connection(packet) {
                    connection.initial_cids.push(packet.source.clone());
                    connection.learn(Side::Server, &packet.source);
                }
                return bytes.len();
            }
            Some(Parsed::VersionNegotiation(_)) => {
                packet.kind = Kind::VersionNegotiation;
                return bytes.len();
            }
            None => return bytes.len(),
        };
        packet.kind = match header.packet_type {
            PacketType::Initial => Kind::Initial,
            PacketType::ZeroRtt => Kind::ZeroRtt,
            PacketType::Handshake => Kind::Handshake,
            PacketType::OneRtt => Kind::Unknown,
        };
        packet.token = header.token(bytes).to_vec();
        if self.connection(packet).is_none()
            && packet.kind == Kind::Initial
            && packet.from == Side::Client
        {
            self.connections.push(Connection {
                initial_cids: vec![packet.destination.clone()],
                ..Connection::default()
            });
            let destination = packet.destination.clone();
            if let Some(new) = self.connections.last_mut() {
                new.learn(Side::Server, &destination);
                new.learn(Side::Client, &packet.source);
            }
        }
        if let Some(connection) = self.connection(packet) {
            connection.learn(packet.from, &packet.source);
            connection.open_long(packet, &header, bytes, log);
        }
        header.end
    }

    fn short(&mut self, packet: &mut Packet, bytes: &[u8], fixed: &[u8], log: &KeyLog) {
        let receiver = packet.from.other().index();
        let after = bytes.get(1..).unwrap_or_default();
        for connection in self.connections.iter_mut().rev() {
            let known = connection.cids[receiver].iter();
            let Some(cid) = known.rev().find(|cid| after.starts_with(cid)).cloned() else {
                continue;
            };
            let Some(Parsed::Protected(header)) = Parsed::parse(fixed, cid.len()).ok() else {
                continue;
            };
            packet.kind = Kind::OneRtt;
            packet.destination = cid;
            connection.open_short(packet, &header, bytes, log);
            return;
        }
    }

    /// The connection that a packet with a long header belongs to.
    fn connection(&mut self, packet: &Packet) -> Option<&mut Connection> {
        let (sender, receiver) = (packet.from.index(), packet.from.other().index());
        self.connections.iter_mut().rev().find(|connection| {
            let to = &packet.destination;
            let knows = |side: usize, cid: &Vec<u8>| connection.cids[side].contains(cid);
            knows(receiver, to) && (!to.is_empty() || knows(sender, &packet.source))
        })
    }
}

impl Connection {
    fn learn(&mut self, side: Side, cid: &[u8]) {
        let known = &mut self.cids[side.index()];
        if !known.iter().any(|known| known == cid) {
            known.push(cid.to_vec());
        }
    }

    fn open_long(
        &mut self,
        packet: &mut Packet,
        header: &ProtectedHeader,
        bytes: &[u8],
        log: &KeyLog,
    ) {
        let sender = packet.from.index();
        let (space, opened) = match packet.kind {
            Kind::Initial => {
                let from = packet.from;
                let keys = self.initial_cids.iter().rev();
                let mut keys = keys.filter_map(|cid| Keys::initial(packet.version, cid, from));
                let largest = self.largest[sender][0];
                (0, keys.find_map(|keys| open(&keys, header, bytes, largest)))
            }
            Kind::Handshake => {
                self.version = packet.version;
                self.derive(log);
                let keys = self.keys.handshake[sender].as_ref();
                let largest = self.largest[sender][1];
                (1, keys.and_then(|keys| open(keys, header, bytes, largest)))
            }
            Kind::ZeroRtt => {
                if self.version == 0 {
                    self.version = packet.version;
                }
                self.derive(log);
                let largest = self.largest[sender][2];
                let keys = self.keys.early.as_ref();
                (2, keys.and_then(|keys| open(keys, header, bytes, largest)))
            }
            _ => return,
        };
        if let Some((opened, _)) = opened {
            self.take(packet, space, opened);
        }
    }

    fn open_short(
        &mut self,
        packet: &mut Packet,
        header: &ProtectedHeader,
        bytes: &[u8],
        log: &KeyLog,
    ) {
        self.derive(log);
        let sender = packet.from.index();
        let largest = self.largest[sender][2];
        let Some((current, next)) = &self.keys.application[sender] else {
            return;
        };
        let Some((clear, plain)) = current.unprotect(header, bytes) else {
            return;
        };
        packet.key_phase = plain.key_phase;
        let number = plain.number.expand(largest);
        let try_keys = |keys: &Keys| keys.open(&clear, plain.payload_at, number);
        if plain.key_phase == self.keys.phase[sender] {
            if let Some(opened) = try_keys(current) {
                self.take(packet, 2, opened);
            }
        } else if let Some(opened) = try_keys(next) {
            if let Some(after) = next.next()
                && let Some((current, next)) = self.keys.application[sender].take()
            {
                self.keys.previous[sender] = Some(current);
                self.keys.application[sender] = Some((next, after));
                self.keys.phase[sender] = plain.key_phase;
            }
            self.take(packet, 2, opened);
        } else if let Some(opened) = self.keys.previous[sender].as_ref().and_then(try_keys) {
            self.take(packet, 2, opened);
        }
    }

    /// Makes the keys that the handshake so far and the key log allow.
    fn derive(&mut self, log: &KeyLog) {
        let suite = self.said[Side::Server.index()].suite.and_then(Suite::new);
        let random = &self.said[Side::Client.index()].client_random;
        let keys = |label, suite| Keys::new(self.version, suite, log.secret(label, random)?);
        if self.keys.early.is_none() {
            // The suite of the session is not on the wire; it is the one that is offered first or
            // the one the server takes again.
            let early = [suite, Some(Suite::Aes128), Some(Suite::Aes256)];
            let label = "CLIENT_EARLY_TRAFFIC_SECRET";
            let fits = |suite: &Suite| {
                log.secret(label, random)
                    .is_some_and(|secret| (secret.len() == 48) == (*suite == Suite::Aes256))
            };
            let mut early = early.into_iter().flatten().filter(fits);
            self.keys.early = early.next().and_then(|suite| keys(label, suite));
        }
        let Some(suite) = suite else { return };
        let labels = [
            ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"),
            ("SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"),
        ];
        for (side, (handshake, application)) in labels.into_iter().enumerate() {
            if self.keys.handshake[side].is_none() {
                self.keys.handshake[side] = keys(handshake, suite);
            }
            if self.keys.application[side].is_none()
                && let Some(first) = keys(application, suite)
                && let Some(next) = first.next()
            {
                self.keys.application[side] = Some((first, next));
            }
        }
    }

    /// Reads the frames of an opened packet.
    fn take(&mut self, packet: &mut Packet, space: usize, opened: Opened) {
        let sender = packet.from.index();
        let largest = &mut self.largest[sender][space];
        *largest = (*largest).max(Some(opened.number));
        let mut content = Content {
            number: opened.number,
            ..Content::default()
        };
        let mut r = Reader::new(&opened.payload);
        while !r.is_empty() {
            let Ok(frame) = Frame::parse(&mut r) else {
                content.frames.push(u64::MAX);
                break;
            };
            content.frames.push(frame.frame_type());
            match frame {
                Frame::Ack(ack) => {
                    content.has_ack = true;
                    content.has_ack_ecn |= ack.ecn.is_some();
                }
                Frame::Crypto(crypto) => {
                    content
                        .crypto
                        .push((crypto.offset, crypto.data.len() as u64));
                    if let Some(stream) = self.crypto[sender].get_mut(space) {
                        stream.add(crypto.offset, crypto.data);
                        self.said[sender].read(&stream.data, packet.from);
                    }
                }
                Frame::Stream(stream) => content.stream_bytes += stream.data.len(),
                Frame::PathChallenge(challenge) => content.challenges.push(challenge.data),
                Frame::PathResponse(response) => content.responses.push(response.data),
                Frame::NewConnectionId(new) => self.learn(packet.from, &new.cid),
                Frame::ConnectionClose(close) => {
                    let (ConnectionClose::Transport { code, .. }
                    | ConnectionClose::Application { code, .. }) = close;
                    content.close = Some(code);
                }
                _ => {}
            }
        }
        if let Some(preferred) = self.said[sender]
            .parameters
            .as_ref()
            .and_then(|parameters| parameters.preferred_address.as_ref())
        {
            let cid = preferred.cid;
            self.learn(packet.from, &cid);
        }
        packet.content = Some(content);
    }
}

impl CryptoData {
    fn add(&mut self, offset: u64, data: &[u8]) {
        self.pieces.insert(offset, data.to_vec());
        while let Some((&offset, _)) = self.pieces.first_key_value()
            && offset <= self.data.len() as u64
            && let Some((_, piece)) = self.pieces.pop_first()
        {
            let known = self.data.len() - offset as usize;
            self.data.extend(piece.get(known..).unwrap_or_default());
        }
    }
}

/// Opens a packet whose keys do not change.
fn open(
    keys: &Keys,
    header: &ProtectedHeader,
    bytes: &[u8],
    largest: Option<u64>,
) -> Option<(Opened, PlainHeader)> {
    let (clear, plain) = keys.unprotect(header, bytes)?;
    let number = plain.number.expand(largest);
    let opened = keys.open(&clear, plain.payload_at, number)?;
    Some((opened, plain))
}

const FIXED_BIT: u8 = 0x40;

/// A text for people: one line for each packet.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for packet in &self.packets {
            let datagram = &self.datagrams[packet.datagram];
            let ms = |at: Duration| at.as_secs_f64() * 1e3;
            let arrow = match packet.from {
                Side::Client => "->",
                Side::Server => "<-",
            };
            let fate = match datagram.fate {
                Fate::Delivered(at) => format!("{:.1}", ms(at)),
                fate => format!("{fate:?}"),
            };
            let (index, sent, len) = (packet.datagram, ms(datagram.sent), datagram.data.len());
            let (client, server) = (datagram.server_path.0, datagram.client_path.1);
            write!(f, "{index:5} {sent:9.1} {arrow} {client} {server} {len:4} ")?;
            write!(f, "ecn {} {fate:9} {:?} ", datagram.ecn, packet.kind)?;
            if packet.version != 0 {
                write!(f, "v{:x} from {} ", packet.version, hex(&packet.source))?;
            }
            write!(f, "to {} ", hex(&packet.destination))?;
            if !packet.token.is_empty() {
                write!(f, "token {} ", hex(&packet.token))?;
            }
            match &packet.content {
                Some(content) => {
                    let phase = u8::from(packet.key_phase);
                    write!(f, "#{} phase {phase} {:x?}", content.number, content.frames)?;
                    if let Some(code) = content.close {
                        write!(f, " close {code:#x}")?;
                    }
                }
                None => f.write_str("not opened")?,
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
