//! A peer whose address changes, and those who pretend that it did.

use alloc::{vec, vec::Vec};
use core::{net::SocketAddr, time::Duration};

use super::{
    craft::{frames, packet},
    pair::{CLIENT, Flight, Options, Pair, SERVER, address},
};
use crate::{
    quic::recovery::SpaceId,
    wire::{
        Dir, Side,
        frame::{Frame, PathChallenge, PathResponse},
    },
};

fn from(pair: &mut Pair, from: SocketAddr, payload: &[u8]) {
    let now = pair.now;
    let data = packet(&mut pair.client.conn, now, SpaceId::Data, payload);
    deliver_from(pair, from, data);
}

fn deliver_from(pair: &mut Pair, from: SocketAddr, data: Vec<u8>) {
    let now = pair.now;
    let flight = Flight {
        at: now,
        from,
        to: SERVER,
        data,
    };
    pair.server.receive(now, &flight);
}

const PING: [u8; 4] = [1, 0, 0, 0];

#[test]
fn another_port() {
    let mut pair = Pair::connected(&Options::default());
    let rtt = pair.server.conn.stats().rtt;
    pair.client.address = address(1, 2000);
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    pair.client.conn.write(id, b"from elsewhere").unwrap();
    pair.run();
    assert_eq!(pair.server.conn.remote_address(), address(1, 2000));
    assert!(pair.server.conn.paths.is_validated());
    assert_eq!(pair.server.read_all(id).0, b"from elsewhere");
    // It is the same path as far as congestion control knows.
    let now = pair.server.conn.stats().rtt;
    assert!(now < rtt * 3 / 2, "{rtt:?} became {now:?}");
}

#[test]
fn another_address() {
    let mut pair = Pair::connected(&Options::default());
    pair.client.address = address(3, 1000);
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    pair.client.conn.write(id, b"x").unwrap();
    pair.exchange();
    pair.run_until(|pair| pair.server.conn.remote_address() == address(3, 1000));
    let stats = pair.server.conn.stats();
    assert_eq!(
        stats.rtt,
        Duration::from_millis(333),
        "nothing is known of it"
    );
    pair.run();
    assert!(pair.server.conn.paths.is_validated());
    // Data flows there.
    pair.server.conn.write(id, &vec![0; 50_000]).unwrap();
    pair.run();
    assert_eq!(pair.client.read_all(id).0.len(), 50_000);
}

#[test]
fn an_old_packet_moves_nothing() {
    let mut pair = Pair::connected(&Options::default());
    let now = pair.now;
    let old = packet(&mut pair.client.conn, now, SpaceId::Data, &PING);
    pair.inject(Side::Client, SpaceId::Data, &PING);
    deliver_from(&mut pair, address(9, 9), old);
    assert_eq!(pair.server.conn.remote_address(), CLIENT);
}

#[test]
fn probing_moves_nothing_and_is_answered_where_it_came_from() {
    let mut pair = Pair::connected(&Options::default());
    let challenge = Frame::PathChallenge(PathChallenge { data: [7; 8] });
    let elsewhere = address(1, 3000);
    from(
        &mut pair,
        elsewhere,
        &frames(&[challenge, Frame::Padding(500)]),
    );
    assert_eq!(pair.server.conn.remote_address(), CLIENT);
    let now = pair.now;
    let sent = pair.server.transmit(now);
    let there: Vec<_> = sent.iter().filter(|(t, _)| t.to == elsewhere).collect();
    assert_eq!(there.len(), 1);
    assert_eq!(there[0].1.len(), 1200);
}

#[test]
fn a_small_probe_gets_no_large_answer() {
    let mut pair = Pair::connected(&Options::default());
    let challenge = Frame::PathChallenge(PathChallenge { data: [7; 8] });
    let elsewhere = address(1, 3000);
    from(&mut pair, elsewhere, &frames(&[challenge]));
    let now = pair.now;
    let sent = pair.server.transmit(now);
    let there: Vec<_> = sent.iter().filter(|(t, _)| t.to == elsewhere).collect();
    let received = pair.server.received[&elsewhere];
    assert!(there[0].1.len() <= 3 * received);
}

#[test]
fn many_challenges_have_few_answers() {
    let mut options = Options::default();
    options.server_limits.path_responses = 4;
    let mut pair = Pair::connected(&options);
    for n in 0..1000_u16 {
        let data = u64::from(n).to_be_bytes();
        let challenge = Frame::PathChallenge(PathChallenge { data });
        from(&mut pair, address(1, 3000 + n % 100), &frames(&[challenge]));
    }
    let now = pair.now;
    let sent = pair.server.transmit(now);
    let probes = sent.iter().filter(|(t, _)| t.to != CLIENT).count();
    assert_eq!(probes, 4);
}

#[test]
fn a_challenge_on_the_path_in_use() {
    let mut pair = Pair::connected(&Options::default());
    let challenge = Frame::PathChallenge(PathChallenge { data: [7; 8] });
    pair.inject(Side::Server, SpaceId::Data, &frames(&[challenge]));
    let now = pair.now;
    let sent = pair.client.transmit(now);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].0.to, sent[0].1.len()), (SERVER, 1200));
    // An answer to nothing is ignored.
    let response = Frame::PathResponse(PathResponse { data: [8; 8] });
    pair.inject(Side::Server, SpaceId::Data, &frames(&[response]));
    assert!(pair.client.conn.is_established());
}

#[test]
fn a_stolen_packet_leads_back() {
    // Somebody forwards a packet of the client's from his own address, and hears nothing else.
    let mut pair = Pair::connected(&Options::default());
    let thief = address(66, 6);
    let id = pair.server.conn.open(Dir::Uni).unwrap();
    pair.server.conn.write(id, &vec![0; 100_000]).unwrap();
    from(&mut pair, thief, &PING);
    assert_eq!(pair.server.conn.remote_address(), thief);
    // The pair checks that the address gets no more than three times what it sent.
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.server.conn.remote_address(), CLIENT);
    assert!(pair.server.conn.paths.is_validated());
    let to_thief = pair.server.sent.iter().filter(|(_, to)| *to == thief);
    let to_thief: usize = to_thief.map(|(len, _)| len).sum();
    assert!(to_thief <= 3 * pair.server.received[&thief]);
    assert_eq!(pair.client.read_all(id).0.len(), 100_000);
}

#[test]
fn ten_thousand_ports() {
    let mut pair = Pair::connected(&Options::default());
    for n in 0..2000 {
        from(&mut pair, address(1, 5000 + n), &PING);
        let now = pair.now;
        pair.server.transmit(now);
    }
    assert!(pair.server.conn.accounted_bytes() < 1 << 20);
    // The client never moved: its next packet leads back to it.
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    pair.client.conn.write(id, b"here").unwrap();
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.server.conn.remote_address(), CLIENT);
    assert_eq!(pair.server.read_all(id).0, b"here");
}

#[test]
fn not_in_the_handshake() {
    let mut pair = Pair::new(&Options::default());
    pair.run_until(|pair| {
        pair.client
            .conn
            .space(SpaceId::Handshake)
            .keys
            .are_installed()
    });
    let now = pair.now;
    let data = packet(&mut pair.client.conn, now, SpaceId::Handshake, &PING);
    let before = pair.server.conn.stats();
    deliver_from(&mut pair, address(1, 9), data);
    assert_eq!(pair.server.conn.stats(), before);
    pair.run();
    assert!(pair.server.conn.is_established());
}

#[test]
fn a_client_listens_to_its_server_only() {
    let mut pair = Pair::connected(&Options::default());
    let now = pair.now;
    let data = packet(&mut pair.server.conn, now, SpaceId::Data, &PING);
    let before = pair.client.conn.stats();
    let flight = Flight {
        at: now,
        from: address(2, 444),
        to: CLIENT,
        data,
    };
    pair.client.receive(now, &flight);
    assert_eq!(pair.client.conn.stats(), before);
}

#[test]
fn a_new_connection_id_is_answered_with_a_new_one() {
    let mut pair = Pair::connected(&Options::default());
    let before = pair.server.conn.remote_cids.current();
    // The client takes a fresh ID of the server's with its new address.
    pair.client
        .conn
        .change_remote_cids(crate::quic::cids::RemoteCids::renew);
    pair.client.address = address(3, 1000);
    pair.client.conn.space_mut(SpaceId::Data).ping = true;
    pair.run();
    assert_ne!(pair.server.conn.remote_cids.current(), before);
    assert!(pair.server.conn.paths.is_validated());
    assert!(pair.client.conn.is_established());
    // Both gave the other new ones for those retired.
    assert_eq!(pair.server.conn.local_cids.iter().count(), 4);
    assert_eq!(pair.client.conn.local_cids.iter().count(), 4);
}
