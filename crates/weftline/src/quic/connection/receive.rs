//! Datagrams in: their packets one by one, opened in place.

use alloc::vec::Vec;

#[cfg(doc)]
use super::Route;
use super::{Connection, early::Verdict, phase::Phase};
use crate::{
    crypto::{
        HeaderKey, Version,
        phase::{OpenError, Slot},
    },
    error::{Fault, TransportCode},
    event::ClosedBy,
    probe::DropTrigger,
    quic::{
        path,
        random::CID_LEN,
        recovery::{Recovery, SpaceId},
        space::SpaceKeys,
    },
    time::Instant,
    udp::{Ecn, RecvMeta},
    wire::{
        Cid, Side,
        packet::{Packet, PacketType, PlainHeader, ProtectedHeader},
        varint,
    },
};

/// A packet whose keys are not there yet.
#[derive(Debug)]
pub(super) struct Held {
    arrival: Arrival,
    packet: Vec<u8>,
}

/// The datagram that a packet came in.
#[derive(Copy, Clone, Debug)]
pub(super) struct Arrival {
    pub(super) route: path::Route,
    pub(super) ecn: Option<Ecn>,
    pub(super) len: usize,
}

/// A packet that was opened.
#[derive(Copy, Clone, Debug)]
pub(super) struct OpenedPacket {
    pub(super) id: SpaceId,
    pub(super) packet_type: PacketType,
    pub(super) number: u64,
    pub(super) destination: Cid,
    /// Which 1-RTT keys it took.
    pub(super) keys: Option<Slot>,
}

impl Connection {
    /// Takes a datagram, and decrypts it in its buffer.
    pub(crate) fn handle_datagram(&mut self, now: Instant, meta: &RecvMeta, datagram: &mut [u8]) {
        let now = self.tick(now);
        let route = path::Route {
            remote: meta.from,
            local: meta.to,
        };
        if !self.takes_from(&route) {
            return;
        }
        self.stats.bytes_received += datagram.len() as u64;
        self.paths.on_datagram(&route, datagram.len());
        self.stats.udp_received += 1;
        match self.phase {
            Phase::Handshaking | Phase::Connected | Phase::Confirmed => {}
            Phase::Closing => return self.on_datagram_while_closing(),
            Phase::Draining | Phase::Drained => return,
        }
        let arrival = Arrival {
            route,
            ecn: meta.ecn,
            len: datagram.len(),
        };
        // Opening packets overwrites it.
        let tail = datagram.last_chunk::<16>().copied();
        let opened = self.on_datagram(now, &arrival, datagram);
        if !opened && tail.is_some_and(|tail| self.is_stateless_reset(arrival.len, &tail)) {
            self.handle_stateless_reset(now);
        }
        self.open_held(now);
        self.update_amplification();
        self.report_path();
        self.observe();
    }

    /// A datagram came that ends in the token in use (see [`Route::AddResetToken`]): the peer lost
    /// the connection's state.
    pub(crate) fn handle_stateless_reset(&mut self, now: Instant) {
        self.tick(now);
        if self.phase.is_open() {
            self.vanish(ClosedBy::Reset, "the peer lost the connection's state");
        }
    }

    /// Takes the packets of a datagram; true when one of them opened.
    fn on_datagram(&mut self, now: Instant, arrival: &Arrival, datagram: &mut [u8]) -> bool {
        let mut rest = datagram;
        let mut destination = None;
        let mut opened = false;
        for _ in 0..self.limits.packets_per_datagram {
            if rest.is_empty() || !self.phase.is_open() {
                break;
            }
            let header = match Packet::parse(rest, CID_LEN) {
                Ok(Packet::Protected(header)) => header,
                Ok(Packet::Retry(retry)) => {
                    self.on_retry(now, &retry);
                    break;
                }
                Ok(Packet::VersionNegotiation(packet)) => {
                    self.on_version_negotiation(now, &packet);
                    break;
                }
                Err(_) => {
                    self.drop_packet(None, rest.len(), DropTrigger::Malformed);
                    break;
                }
            };
            // RFC 9000, section 12.2: one datagram is for one connection.
            if *destination.get_or_insert(header.destination) != header.destination {
                break;
            }
            let Some((packet, tail)) = rest.split_at_mut_checked(header.end) else {
                break;
            };
            opened |= self.on_packet(now, arrival, &header, packet);
            rest = tail;
        }
        opened
    }

    /// Takes a packet; true when it opened.
    fn on_packet(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: &ProtectedHeader,
        packet: &mut [u8],
    ) -> bool {
        let Some(id) = self.space_of(header, packet) else {
            self.drop_packet(
                Some(header.packet_type),
                packet.len(),
                DropTrigger::Unwanted,
            );
            return false;
        };
        let is_early = header.packet_type == PacketType::ZeroRtt;
        match self.space(id).keys {
            _ if is_early => match self.judge_early_packet() {
                Verdict::Open => {}
                Verdict::Hold => {
                    self.hold(arrival, header, packet);
                    return false;
                }
                Verdict::Drop => {
                    let trigger = DropTrigger::KeyUnavailable;
                    self.drop_packet(Some(header.packet_type), packet.len(), trigger);
                    return false;
                }
            },
            SpaceKeys::Awaited => {
                self.hold(arrival, header, packet);
                return false;
            }
            // A server must not read 1-RTT data before the handshake is complete (RFC 9001,
            // section 5.7).
            SpaceKeys::Phases(_) if self.phase == Phase::Handshaking => {
                self.hold(arrival, header, packet);
                return false;
            }
            SpaceKeys::Level(_) | SpaceKeys::Phases(_) | SpaceKeys::Discarded => {}
        }
        self.prepare_version(header, packet);
        let opened = match is_early {
            true => self.open_early_packet(header, packet),
            false => self.open_packet(now, id, header, packet),
        };
        self.restore_version(header);
        match opened {
            Ok(Some((opened, payload))) => {
                let result = self.on_opened(now, arrival, header, &opened, payload);
                if let Err(fault) = result {
                    self.fail(fault);
                }
                self.observe();
                true
            }
            Ok(None) => {
                let trigger = match self.space(id).keys {
                    SpaceKeys::Discarded => DropTrigger::KeyUnavailable,
                    _ => DropTrigger::Undecryptable,
                };
                self.drop_packet(Some(header.packet_type), header.end, trigger);
                false
            }
            Err(fault) => {
                self.fail(fault);
                true
            }
        }
    }

    /// The space of a packet that may be ours, as far as its header can tell.
    fn space_of(&self, header: &ProtectedHeader, packet: &[u8]) -> Option<SpaceId> {
        let id = match header.packet_type {
            PacketType::Initial => SpaceId::Initial,
            PacketType::Handshake => SpaceId::Handshake,
            PacketType::OneRtt => SpaceId::Data,
            PacketType::ZeroRtt if self.side == Side::Server => SpaceId::Data,
            PacketType::ZeroRtt => return None,
        };
        let handshake = &self.handshake;
        let is_original = self.side == Side::Server
            && matches!(
                header.packet_type,
                PacketType::Initial | PacketType::ZeroRtt
            )
            && header.destination == handshake.original_cid;
        if !is_original && !self.local_cids.contains(&header.destination) {
            return None;
        }
        if let Some(version) = header.version {
            // RFC 9000, section 7.2: the peer does not change its ID in a handshake.
            let source = handshake.peer_cid.unwrap_or(header.source);
            if !self.takes_version(id, Version(version)) || source != header.source {
                return None;
            }
        }
        // RFC 9000, section 17.2.2: servers send no tokens in Initial packets.
        if self.side == Side::Client && !header.token(packet).is_empty() {
            return None;
        }
        Some(id)
    }

    /// Keeps a packet until its keys arrive. Whoever sends it may be nobody we know, so its length
    /// matters, too.
    fn hold(&mut self, arrival: &Arrival, header: &ProtectedHeader, packet: &[u8]) {
        let max = self.limits.undecryptable_datagrams;
        let bytes = self.held_bytes().saturating_add(packet.len());
        if self.held.len() < max && bytes <= max.saturating_mul(USUAL_DATAGRAM) {
            self.held.push_back(Held {
                arrival: *arrival,
                packet: packet.to_vec(),
            });
            self.tell_held(header);
        } else {
            let trigger = DropTrigger::KeyUnavailable;
            self.drop_packet(Some(header.packet_type), header.end, trigger);
        }
    }

    /// Bytes of packets held for their keys.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.iter().map(|held| held.packet.len()).sum()
    }

    /// Takes the packets that were held for keys which are there now.
    fn open_held(&mut self, now: Instant) {
        // Each round needs new keys, and there are two levels to get some for.
        while core::mem::take(&mut self.has_new_keys) {
            for mut held in core::mem::take(&mut self.held) {
                if !self.phase.is_open() {
                    return;
                }
                let parsed = Packet::parse(&held.packet, CID_LEN);
                if let Ok(Packet::Protected(header)) = parsed {
                    self.on_packet(now, &held.arrival, &header, &mut held.packet);
                }
            }
        }
    }

    /// Removes a packet's protection. `None` when it is to be dropped.
    fn open_packet<'a>(
        &mut self,
        now: Instant,
        id: SpaceId,
        header: &ProtectedHeader,
        packet: &'a mut [u8],
    ) -> Result<Option<(OpenedPacket, &'a [u8])>, Fault> {
        let recovery = &self.recovery;
        let discard_at = || three_ptos_from(now, recovery);
        let space = &mut self.spaces[id as usize];
        let protection = space.keys.remote_header();
        let Some(plain) = remove_header_protection(protection, header, packet) else {
            return Ok(None);
        };
        let number = plain.number.expand(space.acks.largest());
        if number > varint::MAX {
            return Ok(None);
        }
        let Some((head, body)) = packet.split_at_mut_checked(plain.payload_at) else {
            return Ok(None);
        };
        let (len, keys) = match &mut space.keys {
            SpaceKeys::Level(keys) => match keys.remote.packet.open(number, head, body) {
                Ok(len) => (len, None),
                Err(_) => return self.on_failed_open().map(|()| None),
            },
            SpaceKeys::Phases(phases) => {
                match phases.open(plain.key_phase, number, head, body, discard_at) {
                    Ok(opened) => (opened.len, Some(opened.keys)),
                    Err(OpenError::Drop) => return Ok(None),
                    Err(OpenError::Fault(fault)) => return Err(fault),
                }
            }
            SpaceKeys::Awaited | SpaceKeys::Discarded => return Ok(None),
        };
        // RFC 9000, section 17.2: only an authentic packet is at fault.
        if plain.reserved_bits_set {
            return Err(Fault::transport(
                TransportCode::ProtocolViolation,
                "reserved bits are set",
            ));
        }
        let opened = OpenedPacket {
            id,
            packet_type: header.packet_type,
            number,
            destination: header.destination,
            keys,
        };
        Ok(Some((opened, body.get(..len).unwrap_or_default())))
    }

    /// A packet opened: takes its frames, then draws the conclusions.
    fn on_opened(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: &ProtectedHeader,
        packet: &OpenedPacket,
        payload: &[u8],
    ) -> Result<(), Fault> {
        let id = packet.id;
        if self.space(id).acks.is_duplicate(packet.number) {
            self.drop_packet(Some(header.packet_type), header.end, DropTrigger::Duplicate);
            return Ok(());
        }
        self.stats.packets_received += 1;
        self.tell_received(arrival, header, packet.number, payload);
        if self.handshake.peer_cid.is_none() {
            // The server chose its ID (RFC 9000, section 7.2).
            self.handshake.peer_cid = Some(header.source);
            self.handshake.negotiation.on_answered();
            self.remote_cids.set_handshake(header.source);
        }
        let is_newest = self.space(id).acks.largest() < Some(packet.number);
        let seen = self.on_frames(now, arrival, packet, payload)?;
        if !self.phase.is_open() {
            return Ok(());
        }
        let acks = &mut self.space_mut(id).acks;
        acks.on_packet(now, packet.number, seen.is_eliciting, arrival.ecn);
        self.sent_since_heard = false;
        self.restart_idle_timer(now);
        if self.side == Side::Server && id == SpaceId::Handshake {
            // The client saw our Handshake keys, so it is where it says (RFC 9000, section 8.1).
            self.paths.set_validated();
            self.discard(now, SpaceId::Initial);
        }
        if packet.packet_type == PacketType::OneRtt {
            self.start_early_discard(now);
        }
        if packet.packet_type == PacketType::OneRtt && is_newest && self.side == Side::Server {
            self.follow_peer(now, arrival, packet, seen.is_probing)?;
        }
        self.drive_handshake(now)
    }

    pub(super) fn on_failed_open(&mut self) -> Result<(), Fault> {
        match self.space_mut(SpaceId::Data).keys.phases_mut() {
            Some(phases) => phases.on_failed_open(),
            None => Ok(()),
        }
    }

    /// Whether a datagram that ends in `tail` is a stateless reset (RFC 9000, section 10.3), given
    /// that no packet in it opened.
    fn is_stateless_reset(&self, len: usize, tail: &[u8; 16]) -> bool {
        let tokens = self.remote_cids.reset_tokens();
        let mut tokens = tokens.iter().flatten();
        len >= RESET_MIN && tokens.any(|token| self.provider.secrets_equal(tail, &token.0))
    }
}

pub(super) fn three_ptos_from(now: Instant, recovery: &Recovery) -> Instant {
    now + recovery.pto(SpaceId::Data).saturating_mul(3)
}

pub(super) fn remove_header_protection(
    key: Option<&dyn HeaderKey>,
    header: &ProtectedHeader,
    packet: &mut [u8],
) -> Option<PlainHeader> {
    let mask = key?.mask(header.sample(packet)?);
    header.unprotect(packet, mask)
}

/// As long as datagrams are on nearly every path.
const USUAL_DATAGRAM: usize = 1500;

/// The least that a stateless reset can be (RFC 9000, section 10.3).
const RESET_MIN: usize = 21;
