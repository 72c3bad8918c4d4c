//! Key updates, and how often keys may be used (RFC 9001, section 6).

use core::time::Duration;

use super::pair::{Options, Pair};
use crate::{
    crypto::null::{NullClient, NullProvider, NullServer},
    error::TransportCode,
    quic::recovery::SpaceId,
    wire::{Dir, Side},
};

fn generation(pair: &mut Pair, side: Side) -> u64 {
    let space = pair.end(side).conn.space(SpaceId::Data);
    space.keys.phases().unwrap().generation()
}

fn update(pair: &mut Pair, side: Side) -> bool {
    let now = pair.now;
    let space = pair.end(side).conn.space_mut(SpaceId::Data);
    space.keys.phases_mut().unwrap().try_update(now)
}

/// Sends something there, and waits for its acknowledgement.
fn talk(pair: &mut Pair, side: Side) {
    let id = pair.end(side).conn.open(Dir::Uni).unwrap();
    pair.end(side).conn.write(id, &[1; 5000]).unwrap();
    pair.end(side).conn.finish(id).unwrap();
    pair.run_for(Duration::from_millis(500));
    assert!(pair.end(side.peer()).opened().contains(&id));
    assert_eq!(pair.end(side.peer()).read_all(id).0.len(), 5000);
}

#[test]
fn either_side_updates_and_the_other_follows() {
    let mut pair = Pair::connected(&Options::default());
    for (n, side) in [Side::Client, Side::Server, Side::Server, Side::Client]
        .into_iter()
        .enumerate()
    {
        talk(&mut pair, side);
        talk(&mut pair, side.peer());
        assert!(update(&mut pair, side), "update {n}");
        assert!(!update(&mut pair, side), "not two at once");
        talk(&mut pair, side);
        for side in [Side::Client, Side::Server] {
            assert_eq!(generation(&mut pair, side), n as u64 + 1);
        }
        pair.run();
    }
    assert!(pair.client.conn.is_established());
}

#[test]
fn an_update_on_demand_needs_no_data() {
    let mut pair = Pair::new(&Options::default());
    assert!(!pair.client.conn.update_keys(), "the handshake goes on");
    pair.run();
    talk(&mut pair, Side::Client);
    for (n, side) in [(1, Side::Client), (2, Side::Server)] {
        assert!(pair.end(side).conn.update_keys());
        assert!(!pair.end(side).conn.update_keys(), "not two at once");
        pair.run();
        for side in [Side::Client, Side::Server] {
            assert_eq!(generation(&mut pair, side), n);
        }
        talk(&mut pair, side.peer());
        pair.run();
    }
    pair.client
        .conn
        .close(crate::event::ErrorSpace::Application, 0, "");
    assert!(!pair.client.conn.update_keys());
}

#[test]
fn not_before_the_handshake_is_confirmed() {
    let mut pair = Pair::new(&Options::default());
    pair.run_until(|pair| pair.client.conn.is_established());
    assert!(!update(&mut pair, Side::Client));
}

fn with_provider(provider: NullProvider) -> Options {
    Options {
        client_crypto: NullClient::insecure().with_provider(provider),
        server_crypto: NullServer::insecure().with_provider(provider),
        ..Options::default()
    }
}

#[test]
fn a_used_up_key_is_replaced() {
    let provider = NullProvider::insecure().with_confidentiality_limit(100);
    let mut pair = Pair::connected(&with_provider(provider));
    for _ in 0..60 {
        talk(&mut pair, Side::Client);
    }
    assert!(generation(&mut pair, Side::Client) >= 3);
    assert!(pair.client.conn.is_established());
}

#[test]
fn a_key_that_cannot_be_replaced_ends_the_connection() {
    // The server never hears of the client's packets being acknowledged, as nothing comes back.
    let provider = NullProvider::insecure().with_confidentiality_limit(100);
    let mut pair = Pair::connected(&with_provider(provider));
    // The first update needs nothing but the acknowledgements that came: use that up.
    assert!(update(&mut pair, Side::Client));
    pair.network = alloc::boxed::Box::new(|_, _, _| 0);
    for _ in 0..200 {
        if pair.client.conn.is_closed() {
            break;
        }
        pair.client.conn.space_mut(SpaceId::Data).ping = true;
        let now = pair.now;
        pair.client.transmit(now);
        pair.now += Duration::from_millis(10);
    }
    let reason = pair.client.closed().cloned().or_else(|| {
        pair.exchange();
        pair.client.closed().cloned()
    });
    assert_eq!(reason.unwrap().code, TransportCode::AeadLimitReached as u64);
    // Its CONNECTION_CLOSE could still be sealed.
    let now = pair.now;
    pair.client.transmit(now);
    let space = pair.client.conn.space(SpaceId::Data);
    assert!(space.keys.are_installed());
}

#[test]
fn too_many_forgeries() {
    let provider = NullProvider::insecure().with_integrity_limit(20);
    let mut pair = Pair::connected(&with_provider(provider));
    let now = pair.now;
    for n in 0..=20 {
        assert!(pair.server.conn.is_established(), "forgery {n}");
        let mut data =
            super::craft::packet(&mut pair.client.conn, now, SpaceId::Data, &[1, 0, 0, 0]);
        *data.last_mut().unwrap() ^= 1;
        pair.deliver(Side::Client, data);
    }
    let code = TransportCode::AeadLimitReached;
    pair.assert_fault(Side::Server, code, "forgeries");
}

#[test]
fn a_forged_key_phase_changes_nothing() {
    let mut pair = Pair::connected(&Options::default());
    let now = pair.now;
    let flip = |header: &mut [u8]| header[0] ^= 0x04;
    let data = super::craft::edited_packet(
        &mut pair.client.conn,
        now,
        SpaceId::Data,
        &[1, 0, 0, 0],
        flip,
    );
    pair.deliver(Side::Client, data);
    assert_eq!(generation(&mut pair, Side::Server), 0);
    talk(&mut pair, Side::Client);
}
