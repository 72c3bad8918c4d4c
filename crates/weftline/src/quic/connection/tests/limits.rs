//! What a peer can make us hold or do, and where it ends.

use alloc::{boxed::Box, vec};
use core::time::Duration;

use super::{
    craft::frames,
    pair::{Options, Pair},
};
use crate::{
    entropy::SeededEntropy,
    error::TransportCode,
    quic::{Change, recovery::SpaceId},
    wire::{
        Cid, Dir, ResetToken, Side,
        frame::{Datagram, Frame, NewConnectionId, RetireConnectionId},
    },
};

fn new_cid(n: u16, retire_prior_to: u64) -> Frame<'static> {
    let [a, b] = n.to_be_bytes();
    Frame::NewConnectionId(NewConnectionId {
        sequence: n.into(),
        retire_prior_to,
        cid: Cid::new(&[a, b, 1, 1, 1, 1, 1, 1]).unwrap(),
        reset_token: ResetToken([a ^ b; 16]),
    })
}

#[test]
fn retirements_are_bounded() {
    for late in [false, true] {
        let mut options = Options::default();
        options.server_limits.pending_retirements = 5;
        let mut pair = Pair::connected(&options);
        if late {
            // All that follow come below the floor.
            pair.inject(Side::Client, SpaceId::Data, &frames(&[new_cid(1000, 1000)]));
        }
        for n in 4..100 {
            let floor = if late { 0 } else { n.into() };
            pair.inject(Side::Client, SpaceId::Data, &frames(&[new_cid(n, floor)]));
            // What the server says never arrives, so nothing is acknowledged.
            let now = pair.now;
            pair.server.transmit(now);
            if pair.server.conn.is_closed() {
                break;
            }
        }
        let reason = pair.server.closed().expect("it was accepted");
        assert_eq!(reason.code, TransportCode::ConnectionIdLimitError as u64);
        assert_eq!(pair.server.conn.remote_cids.retiring(), 5);
    }
}

#[test]
fn connection_ids_of_the_peer_are_bounded() {
    let mut options = Options::default();
    options.server_limits.peer_cids = 3;
    let mut pair = Pair::connected(&options);
    // The client gives as many as the server says it holds, and no more.
    assert_eq!(pair.client.conn.local_cids.iter().count(), 3);
    pair.inject(Side::Client, SpaceId::Data, &frames(&[new_cid(3, 1)]));
    assert!(pair.server.conn.is_established());
    pair.inject(Side::Client, SpaceId::Data, &frames(&[new_cid(4, 1)]));
    let reason = pair.server.closed().expect("it was accepted");
    assert_eq!(reason.code, TransportCode::ConnectionIdLimitError as u64);
}

#[test]
fn issuing_follows_retiring_and_no_more() {
    let mut pair = Pair::connected(&Options::default());
    let before = pair.server.sent.len();
    for n in 1..200 {
        let retire = Frame::RetireConnectionId(RetireConnectionId { sequence: n });
        pair.inject(Side::Client, SpaceId::Data, &frames(&[retire]));
        if pair.server.conn.is_closed() {
            break;
        }
        assert_eq!(pair.server.conn.local_cids.iter().count(), 4);
    }
    // The 200th was issued by then, and each cost the client a packet.
    assert!(pair.server.conn.is_established());
    pair.run();
    assert!(pair.server.sent.len() - before <= 200);
}

#[test]
fn unanswered_data_is_bounded() {
    let mut options = Options::default();
    options.client_limits.sent_packets = 50;
    let mut pair = Pair::connected(&options);
    pair.network = Box::new(|side, _, _| usize::from(side == Side::Client));
    let now = pair.now;
    for _ in 0..500 {
        pair.client.conn.space_mut(SpaceId::Data).ping = true;
        pair.client.transmit(now);
    }
    assert!(pair.client.conn.recovery.is_full(SpaceId::Data));
    let sent = pair.client.sent.len();
    pair.client.conn.space_mut(SpaceId::Data).ping = true;
    assert!(pair.client.transmit(now).is_empty());
    assert!(sent < 100, "{sent}");
}

#[test]
fn acknowledgements_of_acknowledgements_are_asked_for_now_and_then() {
    // One side only ever receives: what it remembers of its acknowledgements stays small.
    let mut pair = Pair::connected(&Options::default());
    let id = pair.client.conn.open(Dir::Uni).unwrap();
    for _ in 0..300 {
        pair.client.conn.write(id, &[0; 10_000]).unwrap();
        pair.run_for(Duration::from_millis(100));
        pair.server.read_all(id);
    }
    let acked = pair.server.conn.recovery.largest_acked(SpaceId::Data);
    let next = pair.server.conn.recovery.next_packet_number(SpaceId::Data);
    assert!(next - acked.unwrap() < 60, "{acked:?} of {next}");
}

#[test]
fn every_second_packet_number() {
    let mut options = Options::default();
    options.server_limits.ack_ranges = 16;
    let mut pair = Pair::connected(&options);
    let now = pair.now;
    let mut withheld = vec![];
    for n in 0..2000 {
        let data = super::craft::packet(&mut pair.client.conn, now, SpaceId::Data, &[1, 0, 0, 0]);
        if n % 2 == 0 {
            pair.deliver(Side::Client, data);
            pair.server.transmit(now);
        } else {
            withheld.push(data);
        }
    }
    assert!(pair.server.conn.is_established());
    // What is older than all that is remembered counts as seen; what is not is taken once.
    let newest = withheld.pop().unwrap();
    let before = pair.server.conn.stats().packets_received;
    pair.deliver(Side::Client, withheld.swap_remove(0));
    assert_eq!(pair.server.conn.stats().packets_received, before);
    pair.deliver(Side::Client, newest.clone());
    pair.deliver(Side::Client, newest);
    assert_eq!(pair.server.conn.stats().packets_received, before + 1);
}

#[test]
fn datagrams_are_bounded() {
    let mut options = Options::default();
    options.server_limits.datagrams_in = 8;
    options.client_limits.datagrams_out = 4;
    let mut pair = Pair::connected(&options);
    for n in 0..10 {
        let sent = pair.client.conn.send_datagram(b"", &[n]);
        assert_eq!(sent.is_ok(), n < 4);
    }
    // Twenty in one packet, of which the newest stay.
    let many: alloc::vec::Vec<[u8; 1]> = (0..20).map(|n| [n]).collect();
    let all: alloc::vec::Vec<_> = many
        .iter()
        .map(|data| Frame::Datagram(Datagram { data }))
        .collect();
    let before = pair.server.changes.len();
    pair.inject(Side::Client, SpaceId::Data, &frames(&all));
    let got = &pair.server.changes[before..];
    assert_eq!(got.len(), 8);
    assert_eq!(got[7], Change::Datagram(vec![19].into()));
}

#[test]
fn any_payload_is_survived() {
    let mut rng = SeededEntropy::new(11);
    for _ in 0..500 {
        let mut pair = Pair::connected(&Options::default());
        for _ in 0..5 {
            let len = 1 + rng.next_u64() as usize % 60;
            let mut payload = vec![0; len];
            crate::Entropy::public(&mut rng, &mut payload);
            // Types of frames that exist are likelier to lead somewhere.
            payload[0] %= 0x20;
            let side = if rng.next_u64().is_multiple_of(2) {
                Side::Client
            } else {
                Side::Server
            };
            if !pair.end(side).conn.is_closed() {
                pair.inject(side, SpaceId::Data, &payload);
            }
            pair.run_for(Duration::from_millis(50));
        }
        pair.run_for(Duration::from_secs(40));
        for end in [&pair.client, &pair.server] {
            let closes = end
                .changes
                .iter()
                .filter(|c| matches!(c, Change::Closed(_)));
            assert_eq!(closes.count(), 1);
            assert!(end.conn.is_drained());
        }
    }
}

#[test]
fn a_large_buffer_takes_several_datagrams_at_once() {
    let mut pair = Pair::connected(&Options::default());
    let id = pair.client.conn.open(Dir::Uni).unwrap();
    pair.client.conn.write(id, &[0; 10_000]).unwrap();
    let now = pair.now;
    let mut out = vec![0; 5 * 1200];
    let transmit = pair.client.conn.poll_transmit(now, &mut out).unwrap();
    assert_eq!(transmit.segment, Some(1200));
    assert_eq!(transmit.len, 6000);
    let transmit = pair.client.conn.poll_transmit(now, &mut out).unwrap();
    // The rest, of which the last is shorter.
    assert_eq!(transmit.segment, Some(1200));
    assert!(!transmit.len.is_multiple_of(1200));
    assert_eq!(pair.client.conn.poll_transmit(now, &mut out), None);
    // Too small for any datagram.
    pair.client.conn.write(id, &[0; 10_000]).unwrap();
    assert_eq!(pair.client.conn.poll_transmit(now, &mut out[..1199]), None);
}
