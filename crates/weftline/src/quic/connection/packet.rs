//! Packets out: header, content, seal.
//!
//! Packets of one datagram are drafted one after the other and sealed together, so that the last
//! one can still be padded when it is known which ones there are.

use super::{Connection, content::Fill};
use crate::{
    crypto::{CryptoError, TAG_LEN},
    error::{Fault, TransportCode},
    quic::{
        recovery::{PacketSent, PathId, SpaceId},
        space::SpaceKeys,
    },
    time::Instant,
    wire::{
        Cid, NoRoom, Side, Writer,
        packet::{HeaderLayout, LongHeader, LongKind, ShortHeader, TruncatedNumber},
    },
};

/// A packet that is written but not sealed. Its frames are in its space's `sent`.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: SpaceId,
    pub(super) number: u64,
    pub(super) layout: HeaderLayout,
    /// Where it is in the datagram; its tag comes after.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) has_padding: bool,
    pub(super) content: Content,
}

/// What kind of frames a packet holds.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) is_eliciting: bool,
    pub(super) has_ack: bool,
    /// The datagram should be as large as a path must carry (RFC 9000, section 8.2).
    pub(super) expand: bool,
}

/// How a datagram goes out.
#[derive(Copy, Clone, Debug)]
pub(super) struct Dispatch {
    pub(super) path: PathId,
    /// Marked ECT(0).
    pub(super) ect: bool,
    /// See [`PacketSent::mtu_probe`].
    pub(super) mtu_probe: bool,
}

impl Dispatch {
    /// Neither marked nor a probe of the path's MTU.
    pub(super) const fn plain(path: PathId) -> Self {
        Self {
            path,
            ect: false,
            mtu_probe: false,
        }
    }
}

/// The packets of a datagram, at most one of each space.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    drafts: [Option<Draft>; 3],
    /// Bytes of the datagram in use, tags included.
    pub(super) len: usize,
}

impl Drafts {
    pub(super) fn push(&mut self, draft: Draft) {
        self.len = draft.end + TAG_LEN;
        if let Some(slot) = self.drafts.get_mut(draft.id as usize) {
            *slot = Some(draft);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Draft> {
        self.drafts.iter().flatten()
    }

    /// Whether the datagram must be padded to the least size that a path must carry (RFC 9000,
    /// sections 8.2 and 14.1).
    pub(super) fn must_expand(&self, side: Side) -> bool {
        self.iter().any(|draft| {
            let is_initial = draft.id == SpaceId::Initial;
            draft.content.expand
                || is_initial && (side == Side::Client || draft.content.is_eliciting)
        })
    }
}

impl Connection {
    /// Drafts a packet of `id` behind those there are, if `fill` has anything to put into it and
    /// there is room.
    pub(super) fn draft(
        &mut self,
        now: Instant,
        id: SpaceId,
        fill: Fill,
        drafts: &mut Drafts,
        datagram: &mut [u8],
    ) -> Result<(), Fault> {
        let start = drafts.len;
        let capacity = datagram.len();
        let room = datagram.get_mut(start..capacity.saturating_sub(TAG_LEN));
        let Some(room) = room.filter(|room| room.len() >= MIN_ROOM) else {
            return Ok(());
        };
        let mut w = Writer::new(room);
        if id == SpaceId::Data {
            let random = &mut self.random;
            self.recovery.maybe_skip_packet_number(|| random.u64());
        }
        let number = self.recovery.next_packet_number(id);
        let to = match fill {
            Fill::PathProbe { to, .. } => to,
            _ => self.remote_cids.current(),
        };
        let Ok(layout) = self.write_header(now, id, number, to, &mut w)? else {
            return Ok(());
        };
        let before = w.position();
        let content = self.write_content(now, id, fill, capacity, &mut w);
        let written = w.position() - before;
        if written == 0 {
            return Ok(());
        }
        let lacking = layout.min_payload_len().saturating_sub(written);
        if let Ok(padding) = w.reserve(lacking) {
            padding.fill(0);
        }
        drafts.push(Draft {
            id,
            number,
            layout,
            start,
            end: start + w.position(),
            has_padding: lacking > 0,
            content,
        });
        Ok(())
    }

    fn write_header(
        &mut self,
        now: Instant,
        id: SpaceId,
        number: u64,
        destination: Cid,
        w: &mut Writer<'_>,
    ) -> Result<Result<HeaderLayout, NoRoom>, Fault> {
        let number = TruncatedNumber::new(number, self.recovery.largest_acked(id));
        let kind = match id {
            SpaceId::Initial => LongKind::Initial {
                token: &self.handshake.token,
            },
            SpaceId::Handshake => LongKind::Handshake,
            SpaceId::Data if self.drafts_early(id) => LongKind::ZeroRtt,
            SpaceId::Data => {
                let is_open = self.phase.is_open();
                let key_phase = match self.space_mut(id).keys.phases_mut() {
                    Some(phases) if is_open => phases.prepare(now)?,
                    Some(phases) => phases.phase(),
                    None => false,
                };
                let header = ShortHeader {
                    destination,
                    number,
                    spin: false,
                    key_phase,
                };
                return Ok(header.encode(w));
            }
        };
        let version = match kind {
            LongKind::ZeroRtt => self.handshake.negotiation.original(),
            LongKind::Initial { .. } | LongKind::Handshake => self.version,
        };
        let header = LongHeader {
            kind,
            version: version.0,
            destination,
            source: self.handshake.local_cid,
            number,
        };
        Ok(header.encode(w))
    }

    /// Makes the datagram at least `len` bytes long, by padding in its last packet.
    pub(super) fn pad(drafts: &mut Drafts, datagram: &mut [u8], len: usize) {
        let len = len.min(datagram.len());
        let Some(lacking) = len.checked_sub(drafts.len).filter(|lacking| *lacking > 0) else {
            return;
        };
        let Some(last) = drafts.drafts.iter_mut().flatten().next_back() else {
            return;
        };
        if let Some(padding) = datagram.get_mut(last.end..last.end + lacking) {
            padding.fill(0);
        }
        last.end += lacking;
        last.has_padding = true;
        drafts.len = len;
    }

    /// Seals the packets of a datagram and records them.
    pub(super) fn seal(
        &mut self,
        now: Instant,
        drafts: &Drafts,
        datagram: &mut [u8],
        dispatch: Dispatch,
    ) -> Result<(), Fault> {
        for draft in drafts.iter() {
            let packet = datagram.get_mut(draft.start..draft.end + TAG_LEN);
            let packet = packet.unwrap_or_default();
            let size = u16::try_from(packet.len()).unwrap_or(u16::MAX);
            self.tell_sent(draft, packet, dispatch);
            self.seal_packet(draft, packet).map_err(|_| SEAL_FAILED)?;
            let content = draft.content;
            let space = &mut self.spaces[draft.id as usize];
            self.recovery.on_packet_sent(
                now,
                draft.id,
                &PacketSent {
                    size,
                    ack_eliciting: content.is_eliciting,
                    in_flight: content.is_eliciting || draft.has_padding,
                    ect: dispatch.ect,
                    path: dispatch.path,
                    mtu_probe: dispatch.mtu_probe,
                    frames: &space.sent,
                },
            );
            if let Some(phases) = space.keys.phases_mut().filter(|_| content.has_ack) {
                phases.on_ack_sent();
            }
            if content.is_eliciting && !core::mem::replace(&mut self.sent_since_heard, true) {
                self.restart_idle_timer(now);
            }
            self.stats.packets_sent += 1;
            self.count_sent(draft.id);
        }
        if self.side == Side::Client && drafts.iter().any(|d| d.id == SpaceId::Handshake) {
            // RFC 9001, section 4.9.1.
            self.discard(now, SpaceId::Initial);
        }
        Ok(())
    }

    fn seal_packet(&mut self, draft: &Draft, packet: &mut [u8]) -> Result<(), CryptoError> {
        let layout = &draft.layout;
        layout.set_length(packet);
        let (header, payload) = packet
            .split_at_mut_checked(layout.payload_at)
            .ok_or(CryptoError)?;
        let keys = &mut self.spaces[draft.id as usize].keys;
        match keys {
            SpaceKeys::Level(keys) => keys.local.packet.seal(draft.number, header, payload)?,
            SpaceKeys::Phases(phases) => phases.seal(draft.number, header, payload)?,
            SpaceKeys::Awaited if draft.id == SpaceId::Data => {
                self.early.sealing_keys().ok_or(CryptoError)?.packet.seal(
                    draft.number,
                    header,
                    payload,
                )?;
            }
            SpaceKeys::Awaited | SpaceKeys::Discarded => return Err(CryptoError),
        }
        let early = self.early.sealing_keys().map(|keys| &*keys.header);
        let protection = keys.local_header().or(early).ok_or(CryptoError)?;
        let mask = protection.mask(layout.sample(packet).ok_or(CryptoError)?);
        layout.protect(packet, mask);
        Ok(())
    }
}

/// Below this a packet is not worth its header.
const MIN_ROOM: usize = 32;

const SEAL_FAILED: Fault = Fault::transport(
    TransportCode::AeadLimitReached,
    "a packet could not be sealed",
);
