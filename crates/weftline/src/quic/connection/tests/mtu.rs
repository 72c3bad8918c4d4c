//! Paths that carry more than 1200 bytes, and paths that stop doing so.

use alloc::{boxed::Box, vec};
use core::time::Duration;

use super::pair::{Options, Pair};
use crate::{quic::DatagramFail, wire::Dir};

fn options() -> Options {
    let mut options = Options::default();
    options.client.datagram_size_max = 1452;
    options.server.datagram_size_max = 1452;
    options
}

/// A connection over a path that carries so many bytes.
fn over(mtu: usize) -> Pair {
    let mut pair = Pair::new(&options());
    set_path(&mut pair, mtu);
    pair.run();
    pair
}

fn set_path(pair: &mut Pair, mtu: usize) {
    pair.network = Box::new(move |_, _, data| usize::from(data.len() <= mtu));
}

fn sizes(pair: &Pair) -> [u16; 2] {
    [&pair.client, &pair.server].map(|end| end.conn.paths.datagram_size())
}

/// The client sends, until all of it has arrived.
fn transfer(pair: &mut Pair, len: usize) {
    let id = pair.client.conn.open(Dir::Uni).unwrap();
    let mut left = vec![7; len];
    let mut got = 0;
    while got < len {
        assert!(!pair.client.conn.is_closed(), "it ended with {got} bytes");
        let written = pair.client.conn.write(id, &left).unwrap_or(0);
        left.drain(..written);
        if left.is_empty() {
            let _ = pair.client.conn.finish(id);
        }
        pair.run_for(Duration::from_millis(100));
        if pair.server.opened().contains(&id) {
            got += pair.server.read_all(id).0.len();
        }
    }
}

#[test]
fn both_ends_find_the_largest_size() {
    let mut pair = over(1500);
    assert_eq!(sizes(&pair), [1452, 1452]);
    // One probe each, and nothing was taken for congestion.
    for end in [&pair.client, &pair.server] {
        assert_eq!(end.sent.iter().filter(|(len, _)| *len > 1200).count(), 1);
        assert_eq!(end.conn.stats().packets_lost, 0);
    }
    transfer(&mut pair, 100_000);
    let largest = pair.client.sent.iter().filter(|(len, _)| *len == 1452);
    assert!(largest.count() > 50);
}

#[test]
fn a_narrow_path_costs_no_window() {
    let mut pair = over(1400);
    let window = pair.client.conn.stats().congestion_window;
    transfer(&mut pair, 20_000);
    let stats = pair.client.conn.stats();
    assert!(stats.packets_lost > 0, "probes were");
    assert!(stats.congestion_window >= window, "{stats:?}");
    for size in sizes(&pair) {
        assert!((1385..=1400).contains(&size), "{size}");
    }
}

#[test]
fn off_by_configuration() {
    let pair = Pair::connected(&Options::default());
    assert_eq!(sizes(&pair), [1200, 1200]);
}

#[test]
fn the_peer_may_take_less() {
    // Our own ends say nothing of the kind, so the parameter is put in by hand.
    let mut pair = Pair::new(&options());
    pair.run_until(|pair| pair.client.conn.is_established());
    pair.client.conn.paths.limit_mtu(1300);
    pair.run();
    assert_eq!(pair.client.conn.paths.datagram_size(), 1300);
}

#[test]
fn not_before_the_peer_can_acknowledge() {
    let mut pair = Pair::new(&options());
    pair.run_until(|pair| pair.server.conn.is_established());
    let server = &pair.server.sent;
    assert!(server.iter().all(|(len, _)| *len <= 1200), "{server:?}");
    assert!(pair.client.sent.iter().all(|(len, _)| *len <= 1200));
}

#[test]
fn a_black_hole_is_survived() {
    let mut pair = over(1500);
    assert_eq!(sizes(&pair), [1452, 1452]);
    set_path(&mut pair, 1300);
    pair.client.conn.config.keep_alive = Some(Duration::from_secs(10));
    let before = pair.now;
    transfer(&mut pair, 300_000);
    assert_eq!(pair.client.conn.paths.datagram_size(), 1200);
    let took = pair.now.saturating_since(before);
    assert!(took < Duration::from_secs(5), "{took:?}");
    // Later it looks again, with care.
    pair.run_for(Duration::from_secs(90));
    transfer(&mut pair, 10_000);
    let size = pair.client.conn.paths.datagram_size();
    assert!((1285..=1300).contains(&size), "{size}");
}

#[test]
fn a_wrong_configuration_is_survived() {
    let mut options = options();
    options.client.datagram_size = 1452;
    options.server.datagram_size = 1452;
    let mut pair = Pair::new(&options);
    set_path(&mut pair, 1200);
    pair.run();
    transfer(&mut pair, 100_000);
    assert_eq!(pair.client.conn.paths.datagram_size(), 1200);
}

#[test]
fn loss_and_silence_are_no_black_hole() {
    let mut pair = over(1500);
    // Every seventh datagram, of whatever size; and twelve in a row.
    let mut count = 0;
    pair.network = Box::new(move |_, _, _| {
        count += 1;
        usize::from(count % 7 != 0 && !(200..212).contains(&count))
    });
    transfer(&mut pair, 1_000_000);
    assert_eq!(sizes(&pair)[0], 1452);
}

#[test]
fn datagrams_grow_with_the_path() {
    let mut pair = Pair::new(&options());
    pair.run_until(|pair| pair.client.conn.is_established());
    let small = pair.client.conn.max_datagram_len().unwrap();
    let large = small + 252;
    assert_eq!(
        pair.client.conn.send_datagram(b"", &vec![1; large]),
        Err(DatagramFail::TooLarge { max: small })
    );
    pair.run();
    assert_eq!(pair.client.conn.max_datagram_len(), Some(large));
    pair.client
        .conn
        .send_datagram(b"", &vec![1; large])
        .unwrap();
    pair.run();
    let got = pair
        .server
        .changes
        .iter()
        .filter_map(|change| match change {
            crate::quic::Change::Datagram(data) => Some(data.len()),
            _ => None,
        });
    assert!(got.eq([large]));
    // The path shrinks while one waits: it goes nowhere, and keeps nothing else waiting.
    pair.client
        .conn
        .send_datagram(b"", &vec![1; large])
        .unwrap();
    pair.client.conn.send_datagram(b"", b"small").unwrap();
    pair.client.conn.paths.limit_mtu(1200);
    pair.run();
    assert_eq!(pair.client.conn.stats().datagrams_dropped, 1);
    let last = pair.server.changes.last();
    assert_eq!(
        last,
        Some(&crate::quic::Change::Datagram(b"small"[..].into()))
    );
}

#[test]
fn probes_wait_for_a_window() {
    let mut pair = Pair::new(&options());
    pair.run_until(|pair| pair.client.conn.is_established());
    let id = pair.client.conn.open(Dir::Uni).unwrap();
    pair.client.conn.write(id, &vec![0; 100_000]).unwrap();
    let window = pair.client.conn.stats().congestion_window;
    pair.run_until(|pair| {
        let stats = pair.client.conn.stats();
        assert!(stats.bytes_in_flight <= stats.congestion_window.max(window) + 2 * 1452);
        pair.client.conn.paths.datagram_size() == 1452
    });
}
