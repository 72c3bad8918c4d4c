//! Handshakes and data, on good and bad networks.

use alloc::{vec, vec::Vec};

use super::pair::{Options, Pair};
use crate::{
    quic::Change,
    wire::{Dir, Side},
};

#[test]
fn handshake() {
    let mut pair = Pair::new(&Options::default());
    pair.run();
    for end in [&pair.client, &pair.server] {
        assert_eq!(end.changes[..2], [Change::Connected, Change::Confirmed]);
        assert_eq!(end.conn.alpn(), Some(&b"test"[..]));
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
fn echo_with_losses() {
    let patterns: [fn(Side, usize, &[u8]) -> bool; 4] = [
        |_, n, _| n % 10 == 9,
        |side, n, _| side == Side::Client && n % 3 == 1,
        |side, n, _| side == Side::Server && n % 4 == 0,
        |_, n, _| n < 2 || n % 20 < 5,
    ];
    for drop in patterns {
        let mut pair = Pair::new(&Options::default());
        pair.drop = drop;
        echo(&mut pair, 60_000);
    }
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
