//! Datagrams that belong to no connection: they start one, or are answered, or dropped.

use alloc::{vec, vec::Vec};
use core::iter;

use super::{DropReason, Endpoint, Received, tokens::Shown};
use crate::{
    RecvMeta,
    config::{Admission, ServerSecrets},
    connection::Connection,
    crypto::{Hello, Keys, ServerProvider, TAG_LEN, TOKEN_NONCE_LEN, Version},
    error::TransportCode,
    quic::{CID_LEN, FirstInitial},
    wire::{
        Cid, NoRoom, Reader, Side, Writer,
        frame::{ConnectionClose, Frame},
        packet::{
            Invariant, LongHeader, LongKind, Packet, PacketError, PacketType, ProtectedHeader,
            RETRY_TAG_LEN, TruncatedNumber, encode_retry, encode_version_negotiation,
        },
    },
};

/// The smallest datagram that may carry a client's first packet (RFC 9000, section 14.1).
const MIN_INITIAL_DATAGRAM: usize = 1200;

/// The shortest connection ID a client may choose for us (RFC 9000, section 7.2).
const MIN_ORIGINAL_CID: usize = 8;

/// A stateless reset: a first byte, unpredictable bytes, a token. At least 21 bytes, and this many
/// at the most, so that it looks like a short packet (RFC 9000, section 10.3).
const RESET_LEN: usize = 43;
const MIN_RESET_LEN: usize = 21;

/// A client's first Initial packet, and what its token says.
#[derive(Copy, Clone, Debug)]
pub(super) struct Arrived {
    pub(super) meta: RecvMeta,
    pub(super) first: FirstInitial,
    /// Where the packet went.
    pub(super) destination: Cid,
}

impl Endpoint {
    /// Takes a packet with a long header that no connection knows.
    pub(super) fn on_stranger(&mut self, meta: &RecvMeta, datagram: &mut [u8]) -> Received {
        let Some(server) = &self.server else {
            return Received::Dropped(DropReason::UnknownConnection);
        };
        let header = match Packet::parse(datagram, CID_LEN) {
            Ok(Packet::Protected(header)) => header,
            Ok(_) => return Received::Dropped(DropReason::UnknownConnection),
            Err(PacketError::UnknownVersion(_)) => return self.answer_version(meta, datagram),
            Err(_) => return Received::Dropped(DropReason::Malformed),
        };
        if let Some(held) = self.waiting.hold(meta, &header.destination, datagram) {
            return held;
        }
        if header.packet_type != PacketType::Initial {
            return Received::Dropped(DropReason::UnknownConnection);
        }
        let spoken = &server.transport.versions;
        let version = spoken.iter().find(|v| Some(v.0) == header.version);
        let Some(&version) = version else {
            return self.answer_version(meta, datagram);
        };
        if datagram.len() < MIN_INITIAL_DATAGRAM || header.destination.len() < MIN_ORIGINAL_CID {
            return Received::Dropped(DropReason::InvalidInitial);
        }
        self.admit(meta, version, &header, datagram)
    }

    /// Decides on a client by its first Initial packet.
    fn admit(
        &mut self,
        meta: &RecvMeta,
        version: Version,
        header: &ProtectedHeader,
        datagram: &mut [u8],
    ) -> Received {
        let mut arrived = Arrived {
            meta: *meta,
            first: FirstInitial::new(version, header.destination, header.source),
            destination: header.destination,
        };
        if !self.has_room() {
            return self.refuse_arrived(&arrived, TransportCode::ConnectionRefused);
        }
        let Some(tokens) = &mut self.tokens else {
            return Received::Dropped(DropReason::UnknownConnection);
        };
        let first = &mut arrived.first;
        match tokens.check(self.now, version, meta, header, datagram) {
            Shown::Nothing => {}
            Shown::New => first.is_validated = true,
            Shown::Retry { original } => {
                first.original = original;
                first.retry = Some(header.destination);
                first.is_validated = true;
            }
            // RFC 9000, section 8.1.3: it would wait in vain.
            Shown::Invalid => return self.refuse_arrived(&arrived, TransportCode::InvalidToken),
        }
        let is_validated = first.is_validated;
        match self.admission {
            Admission::Ask => self.ask(arrived, header, datagram),
            Admission::Retry if !is_validated => self.send_retry(&arrived),
            Admission::RetryAbove(n) if !is_validated && self.handshakes >= n => {
                self.send_retry(&arrived)
            }
            Admission::Accept | Admission::Retry | Admission::RetryAbove(_) => {
                self.start(&arrived, datagram)
            }
        }
    }

    /// Whether there is room for another connection that a client begins.
    pub(super) const fn has_room(&self) -> bool {
        self.open < self.max_connections && self.handshakes < self.max_handshakes
    }

    /// Begins the handshake with a client.
    pub(super) fn start(&mut self, arrived: &Arrived, datagram: &mut [u8]) -> Received {
        let (Some(server), Some(tokens)) = (self.server.clone(), &self.tokens) else {
            return Received::Dropped(DropReason::UnknownConnection);
        };
        let Arrived { meta, first, .. } = arrived;
        let (issuer, key) = (tokens.issuer(), &self.secrets.current);
        let entropy = self.entropy.as_mut();
        let connection = Connection::server(self.now, &server, meta, first, issuer, key, entropy);
        let Ok(mut connection) = connection else {
            return self.refuse_arrived(arrived, TransportCode::ConnectionRefused);
        };
        connection.handle_datagram(self.now, meta, datagram);
        if connection.stats().packets_received == 0 {
            // Nothing opened: no state for whoever cannot even make a packet.
            return Received::Dropped(DropReason::InvalidInitial);
        }
        let slot = self.insert(connection, None);
        self.touch(slot);
        Received::Accepted(self.id(slot))
    }

    /// Lets a client wait for the application's decision, if its packet opens.
    fn ask(&mut self, arrived: Arrived, header: &ProtectedHeader, datagram: &[u8]) -> Received {
        if self.waiting.is_full(datagram) {
            return self.refuse_arrived(&arrived, TransportCode::ConnectionRefused);
        }
        let (Some(provider), Some(server)) = (&self.provider, &self.server) else {
            return Received::Dropped(DropReason::UnknownConnection);
        };
        let version = arrived.first.version;
        let keys = provider.initial_keys(version, &header.destination, Side::Server);
        let Some(payload) = open(&keys, header, datagram) else {
            return Received::Dropped(DropReason::InvalidInitial);
        };
        let deadline = self.now + server.limits.handshake_timeout;
        let id = self
            .waiting
            .push(arrived, peek(&*server.crypto, &payload), datagram, deadline);
        Received::Incoming(id)
    }

    /// Asks a client to come again with a token (RFC 9000, section 8.1.2). Nothing is kept of it.
    pub(super) fn send_retry(&mut self, arrived: &Arrived) -> Received {
        if !self.answers.has_room() {
            return Received::Dropped(DropReason::TooManyAnswers);
        }
        let (Some(provider), Some(tokens)) = (&self.provider, &self.tokens) else {
            return Received::Dropped(DropReason::UnknownConnection);
        };
        let mut random = [0; CID_LEN + TOKEN_NONCE_LEN + 1];
        self.entropy.public(&mut random);
        let (nonce, rest) = random.split_first_chunk().unwrap_or((&[0; _], &[]));
        let (&unused, cid) = rest.split_first().unwrap_or((&0, &[]));
        let retry = Cid::new(cid).unwrap_or_default();
        let Arrived { meta, first, .. } = arrived;
        let (version, original) = (first.version, first.original);
        let token = tokens.for_retry(self.now, version, meta, [original, retry], nonce);
        let packet = token.and_then(|token| {
            let to = &first.source;
            let len = 7 + to.len() + retry.len() + token.len() + RETRY_TAG_LEN;
            let mut packet = vec![0; len];
            let mut w = Writer::new(&mut packet);
            encode_retry(version.0, to, &retry, &token, unused, &mut w).ok()?;
            let tag = provider.retry_tag(version, &original, w.written());
            w.bytes(&tag).ok()?;
            Some(packet)
        });
        match packet {
            Some(packet) => {
                self.answers.push(meta, packet);
                Received::Answered
            }
            None => Received::Dropped(DropReason::InvalidInitial),
        }
    }

    /// Refuses a connection without keeping anything of it (RFC 9000, section 5.2.2).
    pub(super) fn refuse_arrived(&mut self, arrived: &Arrived, code: TransportCode) -> Received {
        if !self.answers.has_room() {
            return Received::Dropped(DropReason::TooManyAnswers);
        }
        let Some(provider) = &self.provider else {
            return Received::Dropped(DropReason::UnknownConnection);
        };
        let version = arrived.first.version;
        let keys = provider.initial_keys(version, &arrived.destination, Side::Server);
        match refusal(&keys, arrived, code) {
            Ok(packet) => {
                self.answers.push(&arrived.meta, packet);
                Received::Answered
            }
            Err(NoRoom) => Received::Dropped(DropReason::InvalidInitial),
        }
    }

    /// Answers a version we do not speak (RFC 9000, section 6.1).
    fn answer_version(&mut self, meta: &RecvMeta, datagram: &[u8]) -> Received {
        let Some(Invariant::Long {
            version,
            destination,
            source,
            ..
        }) = Invariant::parse(datagram, CID_LEN)
        else {
            return Received::Dropped(DropReason::Malformed);
        };
        // Version Negotiation is never answered, nor what could not be a first packet.
        if version == 0 || datagram.len() < MIN_INITIAL_DATAGRAM {
            return Received::Dropped(DropReason::UnknownConnection);
        }
        if !self.answers.has_room() {
            return Received::Dropped(DropReason::TooManyAnswers);
        }
        let random = self.entropy.public_u64();
        // A reserved version exercises the negotiation of clients (section 6.3).
        let reserved = (random >> 32) as u32 & 0xf0f0_f0f0 | 0x0a0a_0a0a;
        let spoken = self.server.iter().flat_map(|s| &s.transport.versions);
        let versions: Vec<u32> = iter::once(reserved)
            .chain(spoken.map(|version| version.0))
            .collect();
        let mut packet = vec![0; 7 + source.len() + destination.len() + 4 * versions.len()];
        let mut w = Writer::new(&mut packet);
        let unused = random as u8 & 0x3f;
        if encode_version_negotiation(source, destination, &versions, unused, &mut w).is_err() {
            return Received::Dropped(DropReason::Malformed);
        }
        self.answers.push(meta, packet);
        Received::Answered
    }

    /// Which secret a connection had that is no more, nobody knows. By chance, as taking turns would
    /// fall into step with what comes in.
    fn some_reset_key(&mut self) -> [u8; 32] {
        let ServerSecrets { current, previous } = self.secrets;
        match previous {
            Some(previous) if self.entropy.public_u64() & 1 == 0 => previous,
            _ => current,
        }
    }

    /// Answers a packet of a connection that is no more (RFC 9000, section 10.3). The
    /// answer is shorter than what it answers, so that two endpoints without state fall silent.
    pub(super) fn answer_reset(&mut self, meta: &RecvMeta, datagram: &[u8]) -> Received {
        let len = RESET_LEN.min(datagram.len().saturating_sub(1));
        let (Some(provider), Some(destination)) = (
            self.provider.clone(),
            datagram.get(1..=CID_LEN).and_then(Cid::new),
        ) else {
            return Received::Dropped(DropReason::UnknownConnection);
        };
        if len < MIN_RESET_LEN {
            return Received::Dropped(DropReason::UnknownConnection);
        }
        if !self.answers.take_reset(self.now) {
            return Received::Dropped(DropReason::TooManyAnswers);
        }
        let key = self.some_reset_key();
        let token = crate::quic::reset_token(provider.as_ref(), &key, &destination);
        let mut packet = vec![0; len];
        self.entropy.public(&mut packet);
        if let Some(first) = packet.first_mut() {
            *first = *first & 0x3f | 0x40;
        }
        if let Some(end) = packet.last_chunk_mut() {
            *end = token.0;
        }
        self.answers.push(meta, packet);
        Received::Answered
    }
}

/// An Initial packet that says why there will be no connection.
fn refusal(keys: &Keys, arrived: &Arrived, code: TransportCode) -> Result<Vec<u8>, NoRoom> {
    let header = LongHeader {
        kind: LongKind::Initial { token: &[] },
        version: arrived.first.version.0,
        destination: arrived.first.source,
        // A new ID would do as well; this one needs no entropy.
        source: arrived.destination,
        number: TruncatedNumber::new(0, None),
    };
    let close = Frame::ConnectionClose(ConnectionClose::Transport {
        code: code as u64,
        frame_type: 0,
        reason: b"",
    });
    let mut packet = vec![0; header.encoded_len() + close.encoded_len() + 4 + TAG_LEN];
    let mut w = Writer::new(&mut packet);
    let layout = header.encode(&mut w)?;
    close.encode(&mut w)?;
    layout.set_length(&mut packet);
    let (head, payload) = packet.split_at_mut(layout.payload_at);
    keys.local
        .packet
        .seal(0, head, payload)
        .map_err(|_| NoRoom)?;
    let sample = layout.sample(&packet).ok_or(NoRoom)?;
    let mask = keys.local.header.mask(sample);
    layout.protect(&mut packet, mask);
    Ok(packet)
}

/// What a client's first packet tells of its hello, if all of that is in there.
fn peek(crypto: &dyn ServerProvider, payload: &[u8]) -> Hello {
    let mut pieces = Vec::new();
    let mut r = Reader::new(payload);
    while let Ok(frame) = Frame::parse(&mut r) {
        if let Frame::Crypto(crypto) = frame {
            pieces.push((crypto.offset, crypto.data));
        }
    }
    // Some clients send them in any order.
    pieces.sort_unstable_by_key(|(offset, _)| *offset);
    let mut data = Vec::new();
    for (offset, piece) in pieces {
        let known = (data.len() as u64).saturating_sub(offset);
        if offset > data.len() as u64 {
            break;
        }
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        data.extend_from_slice(piece.get(known..).unwrap_or_default());
    }
    crypto.peek(&data).unwrap_or_default()
}

/// The payload of an Initial packet, opened in a copy.
fn open(keys: &Keys, header: &ProtectedHeader, datagram: &[u8]) -> Option<Vec<u8>> {
    let mut packet = datagram.get(..header.end)?.to_vec();
    let mask = keys.remote.header.mask(header.sample(&packet)?);
    let plain = header.unprotect(&mut packet, mask)?;
    let (head, body) = packet.split_at_mut_checked(plain.payload_at)?;
    let number = plain.number.expand(None);
    let len = keys.remote.packet.open(number, head, body).ok()?;
    body.get(..len).map(<[u8]>::to_vec)
}
