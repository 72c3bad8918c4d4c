//! What holds data back is named, and is named no more once it is gone.

use alloc::{boxed::Box, vec, vec::Vec};
use core::time::Duration;

use super::pair::{Options, Pair};
use crate::{
    blocked::Blocker,
    config::TransportConfig,
    crypto::null::NullServer,
    event::ErrorSpace,
    quic::Change,
    wire::{Dir, Side, StreamId},
};

/// A stream of the client's with this much written.
fn written(pair: &mut Pair, len: usize) -> StreamId {
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    assert_eq!(pair.client.conn.write(id, &vec![7; len]).unwrap(), len);
    id
}

fn why(pair: &Pair, id: StreamId) -> Vec<Blocker> {
    pair.client.conn.why_blocked(id).unwrap()
}

fn why_connection(pair: &Pair) -> Vec<Blocker> {
    pair.client.conn.why_blocked_connection()
}

#[test]
fn the_handshake_and_then_the_application() {
    let mut pair = Pair::new(&Options::default());
    assert_eq!(why_connection(&pair), [Blocker::Handshake]);
    assert_eq!(
        pair.client.conn.why_blocked_datagrams(),
        [Blocker::Handshake]
    );
    pair.run();
    assert_eq!(why_connection(&pair), [Blocker::Application]);
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    assert_eq!(why(&pair, id), [Blocker::Application]);
    pair.client.conn.write(id, b"now").unwrap();
    assert_eq!(why(&pair, id), []);
    assert_eq!(why_connection(&pair), []);
    pair.run();
    assert_eq!(why(&pair, id), [Blocker::Application]);
    pair.client.conn.close(ErrorSpace::Application, 0, "");
    assert_eq!(why(&pair, id), [Blocker::Closed]);
    assert_eq!(why_connection(&pair), [Blocker::Closed]);
}

#[test]
fn credit_of_the_stream() {
    let mut options = Options::default();
    options.server_limits.stream_window = 2000;
    options.server_limits.stream_window_max = 2000;
    let mut pair = Pair::connected(&options);
    let id = written(&mut pair, 5000);
    pair.run();
    assert_eq!(why(&pair, id), [Blocker::StreamCredit]);
    // Others may go on.
    assert_eq!(why_connection(&pair), [Blocker::Application]);
    let mut got = 0;
    while got < 5000 {
        got += pair.server.read_all(id).0.len();
        pair.run();
    }
    assert_eq!(why(&pair, id), [Blocker::Application]);
}

#[test]
fn credit_of_the_connection() {
    let mut options = Options::default();
    options.server_limits.connection_window = 8000;
    options.server_limits.connection_window_max = 8000;
    let mut pair = Pair::connected(&options);
    let id = written(&mut pair, 20_000);
    pair.run();
    assert_eq!(why(&pair, id), [Blocker::ConnectionCredit]);
    assert_eq!(why_connection(&pair), [Blocker::ConnectionCredit]);
    let mut got = 0;
    while got < 20_000 {
        got += pair.server.read_all(id).0.len();
        pair.run();
    }
    assert_eq!(why(&pair, id), [Blocker::Application]);
    assert_eq!(why_connection(&pair), [Blocker::Application]);
}

#[test]
fn the_limit_of_streams() {
    let mut options = Options::default();
    options.server_limits.streams_bidi = 1;
    let mut pair = Pair::connected(&options);
    assert!(pair.client.conn.may_open(Dir::Bi));
    let id = written(&mut pair, 10);
    assert!(!pair.client.conn.may_open(Dir::Bi));
    assert_eq!(pair.client.conn.open(Dir::Bi), None);
    assert!(pair.client.conn.may_open(Dir::Uni));
    pair.client.conn.finish(id).unwrap();
    pair.run();
    pair.server.read_all(id);
    pair.server.conn.finish(id).unwrap();
    pair.run();
    pair.client.read_all(id);
    pair.run();
    assert!(pair.client.conn.may_open(Dir::Bi));
}

#[test]
fn buffers_for_sending() {
    let mut options = Options::default();
    options.client_limits.stream_send_buffer = 4000;
    let mut pair = Pair::connected(&options);
    let id = written(&mut pair, 4000);
    assert_eq!(why(&pair, id), [Blocker::SendBuffer]);
    pair.exchange();
    // It is all sent, and the peer has not said that it has it.
    assert_eq!(why(&pair, id), [Blocker::SendBuffer]);
    pair.run();
    assert_eq!(why(&pair, id), [Blocker::Application]);
}

#[test]
fn the_congestion_window_and_the_pacer() {
    let mut options = Options::default();
    options.server_limits.stream_window = 1 << 20;
    options.server_limits.connection_window = 2 << 20;
    let mut pair = Pair::connected(&options);
    let id = written(&mut pair, 900_000);
    let (mut full, mut paced) = (0, 0);
    for _ in 0..2000 {
        pair.exchange();
        let (stream, all) = (why(&pair, id), why_connection(&pair));
        if stream.contains(&Blocker::Application) {
            break;
        }
        assert_eq!(stream, all, "there is no other stream");
        full += usize::from(all.contains(&Blocker::Congestion));
        for blocker in all {
            if let Blocker::Pacer { until } = blocker {
                paced += 1;
                assert!(until > pair.now);
                assert!(pair.client.conn.poll_timeout() <= Some(until));
            }
        }
        pair.step();
        pair.server.read_all(id);
    }
    assert!(full > 0 && paced > 0, "{full} {paced}");
    let stats = pair.client.conn.stats();
    assert!(stats.blocked_by_congestion > 0 && stats.blocked_by_pacer > 0);
    pair.run_until(|pair| {
        pair.server.read_all(id);
        why(pair, id) == [Blocker::Application]
    });
    pair.run();
    assert_eq!(why_connection(&pair), [Blocker::Application]);
}

#[test]
fn as_many_packets_as_are_tracked() {
    let mut options = Options::default();
    options.client_limits.sent_packets = 4;
    let mut pair = Pair::connected(&options);
    let id = written(&mut pair, 20_000);
    pair.exchange();
    assert!(why(&pair, id).contains(&Blocker::PacketLimit));
    pair.run();
    assert_eq!(why(&pair, id), [Blocker::Application]);
}

#[test]
fn an_address_that_is_not_proved() {
    let mut pair = Pair::new(&Options {
        server_crypto: NullServer::insecure().with_certificate_bytes(6000),
        ..Options::default()
    });
    let blocked = |pair: &Pair| {
        let blockers = pair.server.conn.why_blocked_connection();
        blockers.contains(&Blocker::Amplification)
    };
    pair.run_until(|pair| {
        pair.exchange();
        blocked(pair)
    });
    assert_eq!(
        pair.server.conn.why_blocked_connection()[0],
        Blocker::Handshake
    );
    pair.run_until(|pair| pair.server.has(&Change::Confirmed));
    pair.run();
    assert_eq!(
        pair.server.conn.why_blocked_connection(),
        [Blocker::Application]
    );
}

#[test]
fn datagrams() {
    let mut options = Options::default();
    options.client_limits.datagrams_out = 2;
    options.client.datagram_size = 1400;
    let mut pair = Pair::connected(&options);
    let why = |pair: &Pair| pair.client.conn.why_blocked_datagrams();
    assert_eq!(why(&pair), [Blocker::Application]);
    let max = pair.client.conn.max_datagram_len().unwrap();
    pair.client.conn.send_datagram(b"", &vec![1; max]).unwrap();
    assert_eq!(why(&pair), []);
    pair.client.conn.send_datagram(b"", b"second").unwrap();
    assert_eq!(why(&pair), [Blocker::SendBuffer]);
    // The path takes less than it did.
    assert!(pair.client.conn.paths.limit_mtu(1250));
    pair.client.conn.on_mtu_change();
    assert_eq!(why(&pair), [Blocker::SendBuffer, Blocker::PathMtu]);
    pair.run();
    assert_eq!(why(&pair), [Blocker::Application]);
    assert_eq!(pair.client.conn.stats().datagrams_dropped, 1);
}

#[test]
fn a_peer_that_takes_no_datagrams() {
    let server = TransportConfig {
        datagrams: false,
        ..TransportConfig::default()
    };
    let pair = Pair::connected(&Options {
        server,
        ..Options::default()
    });
    assert_eq!(
        pair.client.conn.why_blocked_datagrams(),
        [Blocker::PeerSettings]
    );
    assert_eq!(
        pair.server.conn.why_blocked_datagrams(),
        [Blocker::Application]
    );
}

#[test]
fn datagrams_wait_for_the_window_too() {
    let mut pair = Pair::connected(&Options::default());
    pair.network = Box::new(|side, _, _| usize::from(side == Side::Server));
    written(&mut pair, 100_000);
    pair.exchange();
    pair.client.conn.send_datagram(b"", b"late").unwrap();
    let why = pair.client.conn.why_blocked_datagrams();
    assert!(why.contains(&Blocker::Congestion), "{why:?}");
    pair.network = Box::new(|_, _, _| 1);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(
        pair.client.conn.why_blocked_datagrams(),
        [Blocker::Application]
    );
    assert!(
        pair.server
            .changes
            .contains(&Change::Datagram(b"late"[..].into()))
    );
}
