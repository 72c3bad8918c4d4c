//! Datagrams that belong to no connection: they start one, or are answered, or dropped.

use alloc::{vec, vec::Vec};
use core::iter;

use super::{DropReason, Endpoint, Received};
use crate::{
    RecvMeta,
    connection::Connection,
    crypto::{Keys, TAG_LEN, Version},
    error::TransportCode,
    quic::{CID_LEN, FirstInitial},
    wire::{
        Cid, NoRoom, Side, Writer,
        frame::{ConnectionClose, Frame},
        packet::{
            Invariant, LongHeader, LongKind, Packet, PacketError, PacketType, ProtectedHeader,
            TruncatedNumber, encode_version_negotiation,
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

impl Endpoint {
    /// Takes a packet with a long header that no connection knows.
    pub(super) fn accept(&mut self, meta: &RecvMeta, datagram: &mut [u8]) -> Received {
        let Some(server) = &self.server else {
            return Received::Dropped(DropReason::UnknownConnection);
        };
        match Packet::parse(datagram, CID_LEN) {
            Ok(Packet::Protected(header)) if header.packet_type == PacketType::Initial => {
                let spoken = &server.transport.versions;
                let version = spoken.iter().find(|v| Some(v.0) == header.version);
                let Some(&version) = version else {
                    return self.answer_version(meta, datagram);
                };
                if datagram.len() < MIN_INITIAL_DATAGRAM
                    || header.destination.len() < MIN_ORIGINAL_CID
                {
                    return Received::Dropped(DropReason::InvalidInitial);
                }
                self.accept_initial(meta, version, &header, datagram)
            }
            Ok(_) => Received::Dropped(DropReason::UnknownConnection),
            Err(PacketError::UnknownVersion(_)) => self.answer_version(meta, datagram),
            Err(_) => Received::Dropped(DropReason::Malformed),
        }
    }

    fn accept_initial(
        &mut self,
        meta: &RecvMeta,
        version: Version,
        header: &ProtectedHeader,
        datagram: &mut [u8],
    ) -> Received {
        if self.open >= self.max_connections || self.handshakes >= self.max_handshakes {
            return self.refuse(meta, version, header);
        }
        let Some(server) = self.server.clone() else {
            return Received::Dropped(DropReason::UnknownConnection);
        };
        let first = FirstInitial::new(version, header.destination, header.source);
        let key = &self.reset_key;
        let entropy = self.entropy.as_mut();
        let connection = Connection::server(self.now, &server, meta, &first, key, entropy);
        let Ok(mut connection) = connection else {
            return self.refuse(meta, version, header);
        };
        connection.handle_datagram(self.now, meta, datagram);
        if connection.stats().packets_received == 0 {
            // Nothing opened: no state for whoever cannot even make a packet.
            return Received::Dropped(DropReason::InvalidInitial);
        }
        let slot = self.insert(connection);
        self.touch(slot);
        Received::Accepted(self.id(slot))
    }

    /// Refuses a connection without keeping anything of it (RFC 9000, section 5.2.2).
    fn refuse(&mut self, meta: &RecvMeta, version: Version, header: &ProtectedHeader) -> Received {
        if !self.answers.has_room() {
            return Received::Dropped(DropReason::TooManyAnswers);
        }
        let Some(provider) = self.provider.clone() else {
            return Received::Dropped(DropReason::UnknownConnection);
        };
        let keys = provider.initial_keys(version, &header.destination, Side::Server);
        // As the source a new ID would do as well; this one needs no entropy.
        match refusal(&keys, version, header.source, header.destination) {
            Ok(packet) => {
                self.answers.push(meta, packet);
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
        let token = crate::quic::reset_token(provider.as_ref(), &self.reset_key, &destination);
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

/// An Initial packet that says CONNECTION_REFUSED.
fn refusal(
    keys: &Keys,
    version: Version,
    destination: Cid,
    source: Cid,
) -> Result<Vec<u8>, NoRoom> {
    let header = LongHeader {
        kind: LongKind::Initial { token: &[] },
        version: version.0,
        destination,
        source,
        number: TruncatedNumber::new(0, None),
    };
    let close = Frame::ConnectionClose(ConnectionClose::Transport {
        code: TransportCode::ConnectionRefused as u64,
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
