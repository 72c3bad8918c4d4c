//! Packets that no honest peer sends.

use alloc::{vec, vec::Vec};

use super::{
    super::{
        Connection,
        packet::{Content, Dispatch, Draft, Drafts},
    },
    pair::Pair,
};
use crate::{
    Instant,
    crypto::TAG_LEN,
    error::TransportCode,
    event::{ClosedBy, ErrorSpace},
    quic::recovery::SpaceId,
    wire::{
        Side, Writer,
        frame::Frame,
        packet::{HeaderLayout, LongHeader, LongKind, ShortHeader, TruncatedNumber},
    },
};

/// A datagram with one packet of these bytes, sealed with the keys of `conn`.
pub(super) fn packet(conn: &mut Connection, now: Instant, id: SpaceId, payload: &[u8]) -> Vec<u8> {
    edited_packet(conn, now, id, payload, |_| {})
}

/// The same, with a change to the header before it is sealed.
pub(super) fn edited_packet(
    conn: &mut Connection,
    now: Instant,
    id: SpaceId,
    payload: &[u8],
    edit: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut datagram = vec![0; 2000];
    let mut w = Writer::new(&mut datagram);
    let number = conn.recovery.next_packet_number(id);
    let layout = header(conn, id, number, &mut w);
    w.bytes(payload).unwrap();
    let end = w.position();
    edit(&mut datagram);
    let mut drafts = Drafts::default();
    drafts.push(Draft {
        id,
        number,
        layout,
        start: 0,
        end,
        has_padding: false,
        content: Content {
            is_eliciting: true,
            ..Content::default()
        },
    });
    let side = conn.side;
    // The client must not lose its Initial keys by this.
    conn.side = Side::Server;
    conn.space_mut(id).sent.clear();
    let dispatch = Dispatch::plain(conn.recovery.active().id());
    conn.seal(now, &drafts, &mut datagram, dispatch).unwrap();
    conn.side = side;
    datagram.truncate(end + TAG_LEN);
    datagram
}

/// A header with all four bytes of the packet number, so that any payload has a sample.
fn header(conn: &Connection, id: SpaceId, number: u64, w: &mut Writer<'_>) -> HeaderLayout {
    let number = TruncatedNumber::with_len(number, 4);
    let destination = conn.remote_cids.current();
    let kind = match id {
        SpaceId::Initial => LongKind::Initial { token: &[] },
        SpaceId::Handshake => LongKind::Handshake,
        SpaceId::Data if conn.drafts_early(id) => LongKind::ZeroRtt,
        SpaceId::Data => {
            let header = ShortHeader {
                destination,
                number,
                spin: true,
                key_phase: conn.space(id).keys.phases().unwrap().phase(),
            };
            return header.encode(w).unwrap();
        }
    };
    let header = LongHeader {
        kind,
        version: conn.version.0,
        destination,
        source: conn.handshake.local_cid,
        number,
    };
    header.encode(w).unwrap()
}

/// The bytes of frames.
pub(super) fn frames(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut buf = vec![0; 1400];
    let mut w = Writer::new(&mut buf);
    for frame in frames {
        frame.encode(&mut w).unwrap();
    }
    let len = w.position();
    buf.truncate(len);
    buf
}

impl Pair {
    /// Delivers a packet of these bytes from `side` at once.
    pub(super) fn inject(&mut self, side: Side, id: SpaceId, payload: &[u8]) {
        let now = self.now;
        let data = packet(&mut self.end(side).conn, now, id, payload);
        self.deliver(side, data);
    }

    /// Delivers a datagram from `side` at once.
    pub(super) fn deliver(&mut self, side: Side, data: Vec<u8>) {
        let [from, to] = [side, side.peer()].map(|side| self.end(side).address);
        let flight = super::pair::Flight {
            at: self.now,
            from,
            to,
            data,
        };
        let now = self.now;
        self.end(side.peer()).receive(now, &flight);
    }

    /// `side` closed with this code because the other was at fault, and told it so.
    pub(super) fn assert_fault(&mut self, side: Side, code: TransportCode, what: &str) {
        let reason = self.end(side).closed().cloned();
        let reason = reason.unwrap_or_else(|| panic!("{what}: it was accepted"));
        assert_eq!(reason.by, ClosedBy::Fault, "{what}: {reason:?}");
        assert_eq!(reason.code, code as u64, "{what}: {reason:?}");
        self.run();
        let told = self.end(side.peer()).closed().cloned();
        let told = told.unwrap_or_else(|| panic!("{what}: the peer was not told"));
        assert_eq!(
            (told.by, told.space, told.code),
            (ClosedBy::Peer, ErrorSpace::Transport, code as u64),
            "{what}"
        );
    }
}
