//! Handshakes and data, on good and bad networks.

use alloc::{boxed::Box, vec, vec::Vec};
use core::time::Duration;

use super::pair::{Options, Pair};
use crate::{
    crypto::null::{NullClient, NullServer},
    entropy::SeededEntropy,
    quic::{Change, ReadFail},
    wire::{Dir, Side},
};

#[test]
fn handshake() {
    let mut pair = Pair::new(&Options::default());
    pair.run();
    for end in [&pair.client, &pair.server] {
        assert_eq!(end.changes[..2], [Change::Connected, Change::Confirmed]);
        assert_eq!(end.conn.session.alpn(), Some(&b"test"[..]));
    }
    assert_eq!(pair.server.conn.server_name(), Some("example.org"));
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + (i >> 8)) as u8).collect()
}

/// Sends `len` bytes there and back on a stream, under whatever the network does.
fn echo(pair: &mut Pair, len: usize) {
    pair.run_until(|pair| pair.client.has(&Change::Connected));
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    let data = pattern(len);
    let mut to_write = &data[..];
    let (mut back, mut got) = (Vec::new(), Vec::new());
    let (mut server_end, mut client_end) = (false, false);
    pair.run_until(|pair| {
        while !to_write.is_empty() {
            match pair.client.conn.write(id, to_write) {
                Ok(n) => to_write = &to_write[n..],
                Err(_) => break,
            }
            if to_write.is_empty() {
                pair.client.conn.finish(id).unwrap();
            }
        }
        if pair.server.opened().contains(&id) && !server_end {
            let (chunk, end) = pair.server.read_all(id);
            back.extend_from_slice(&chunk);
            let n = pair.server.conn.write(id, &back).unwrap_or(0);
            back.drain(..n);
            if end {
                server_end = true;
            }
        }
        if server_end && !back.is_empty() {
            let n = pair.server.conn.write(id, &back).unwrap_or(0);
            back.drain(..n);
        }
        if server_end && back.is_empty() {
            let _ = pair.server.conn.finish(id);
        }
        if !client_end {
            let (chunk, end) = pair.client.read_all(id);
            got.extend_from_slice(&chunk);
            client_end = end;
        }
        client_end
    });
    assert_eq!(got, data);
}

#[test]
fn echo_on_a_good_network() {
    let mut pair = Pair::connected(&Options::default());
    echo(&mut pair, 300_000);
    assert_eq!(pair.client.conn.stats().packets_lost, 0);
}

#[test]
fn much_data_fills_the_window() {
    let mut pair = Pair::connected(&Options::default());
    let start = pair.now;
    echo(&mut pair, 4 << 20);
    // The window doubles every round trip of 20 ms until it is as large as the peer's credit.
    let took = pair.now.saturating_since(start);
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[test]
fn echo_with_losses() {
    let losses: [fn(Side, usize) -> bool; 4] = [
        |_, n| n % 10 == 9,
        |side, n| side == Side::Client && n % 3 == 1,
        |side, n| side == Side::Server && n % 4 == 0,
        |_, n| n < 2 || n % 20 < 5,
    ];
    for lost in losses {
        let mut pair = Pair::new(&Options::default());
        pair.network = Box::new(move |side, n, _| usize::from(!lost(side, n)));
        echo(&mut pair, 60_000);
    }
}

#[test]
fn echo_with_random_losses() {
    for seed in 0..60 {
        let mut rng = SeededEntropy::new(seed);
        let percent = seed % 40;
        let options = Options {
            seed,
            server_crypto: NullServer::insecure().with_certificate_bytes(6000),
            ..Options::default()
        };
        let mut pair = Pair::new(&options);
        pair.network = Box::new(move |_, _, _| usize::from(rng.next_u64() % 100 >= percent));
        echo(&mut pair, 20_000);
    }
}

#[test]
fn a_damaged_packet_is_a_lost_packet() {
    for seed in 0..20 {
        let mut rng = SeededEntropy::new(seed);
        let mut pair = Pair::new(&Options::default());
        pair.network = Box::new(move |_, _, data| {
            if rng.next_u64().is_multiple_of(10) {
                let at = rng.next_u64() as usize % data.len();
                data[at] ^= 1 << (rng.next_u64() % 8);
            }
            if rng.next_u64().is_multiple_of(20) {
                data.truncate(rng.next_u64() as usize % data.len());
            }
            1
        });
        echo(&mut pair, 20_000);
    }
}

#[test]
fn duplicates_change_nothing() {
    let mut pair = Pair::new(&Options::default());
    pair.network = Box::new(|_, n, _| 1 + n % 3);
    echo(&mut pair, 30_000);
    assert!(pair.server.conn.stats().packets_dropped > 0);
    assert_eq!(pair.server.opened().len(), 1);
}

#[test]
fn a_long_certificate_waits_for_the_address_to_be_validated() {
    // The pair checks the limit after every datagram.
    for bytes in [0, 700, 3000, 3500, 6000, 20_000, 60_000] {
        let options = Options {
            server_crypto: NullServer::insecure().with_certificate_bytes(bytes),
            ..Options::default()
        };
        let pair = Pair::connected(&options);
        assert_eq!(pair.client.conn.stats().packets_lost, 0);
    }
}

#[test]
fn a_long_client_hello() {
    let options = Options {
        client_crypto: NullClient::insecure().with_hello_padding(5000),
        server_crypto: NullServer::insecure().with_ticket_bytes(3000),
        ..Options::default()
    };
    Pair::connected(&options);
}

#[test]
fn the_first_flights_are_coalesced() {
    let pair = Pair::connected(&Options::default());
    // Initial with Handshake, Handshake; then the client's three levels in one.
    assert_eq!(pair.server.sent[0].0, 1200);
    assert!(pair.client.sent.len() <= 5, "{:?}", pair.client.sent);
    assert!(pair.server.sent.len() <= 5, "{:?}", pair.server.sent);
}

#[test]
fn datagrams() {
    let mut pair = Pair::connected(&Options::default());
    let max = pair.client.conn.max_datagram_len().unwrap();
    let long = vec![7; max - 1];
    pair.client.conn.send_datagram(b"a", b"bc").unwrap();
    pair.client.conn.send_datagram(b"a", &long).unwrap();
    assert!(pair.client.conn.send_datagram(b"ab", &long).is_err());
    pair.run();
    let got: Vec<_> = pair
        .server
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::Datagram(data) => Some(data.to_vec()),
            _ => None,
        })
        .collect();
    assert_eq!(got, [b"abc".to_vec(), [b"a".to_vec(), long].concat()]);
}

#[test]
fn a_reset_that_still_delivers_the_beginning() {
    let mut pair = Pair::connected(&Options::default());
    let id = pair.client.conn.open(Dir::Uni).unwrap();
    pair.client.conn.write(id, &pattern(5000)).unwrap();
    pair.client.conn.reset_at(id, 42, 3);
    // What carries the beginning is lost once.
    let before = pair.client.sent.len();
    pair.network = Box::new(move |side, n, _| usize::from(side == Side::Server || n > before));
    pair.run();
    assert_eq!(pair.server.conn.read(id, 100).unwrap().unwrap(), pattern(3));
    assert_eq!(pair.server.conn.read(id, 100), Err(ReadFail::Reset(42)));
}
