//! Sessions resumed, and early data (RFC 9001, sections 4.5, 4.6 and 4.9.3).

use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};
use core::time::Duration;

use super::{
    super::{Change, Connection, EarlyData, FirstInitial, Remembered, Setup},
    craft::{frames, packet},
    pair::{
        ALPN, CLIENT, End, Flight, Options, Pair, SERVER, client_resuming, first_cids,
        first_initial,
    },
};
use crate::{
    config::Limits,
    crypto::{
        Provider, ServerProvider, Version,
        null::{NullClient, NullProvider, NullServer},
    },
    entropy::SeededEntropy,
    error::TransportCode,
    quic::{recovery::SpaceId, streams::WriteFail},
    wire::{
        Cid, Dir, Side, StreamId, Writer,
        frame::{Crypto, Frame},
        packet::{Packet, PacketType, encode_retry, encode_version_negotiation, version},
    },
};

const KEY: u64 = 7;

pub(super) fn options() -> Options {
    Options {
        client_crypto: NullClient::insecure().with_early_data(),
        server_crypto: NullServer::insecure().with_sessions(KEY).with_early_data(),
        ..Options::default()
    }
}

/// What a client remembers of a first connection.
pub(super) fn session(options: &Options) -> Remembered {
    let mut pair = Pair::connected(options);
    assert!(!pair.client.conn.is_resumed() && !pair.server.conn.is_resumed());
    assert_eq!(pair.client.conn.early_data(), EarlyData::NotTried);
    let session = pair.client.conn.take_session().unwrap();
    assert!(pair.client.conn.take_session().is_none());
    session
}

/// A client that wrote `data` on a stream before it sent anything.
pub(super) fn writing(
    options: &Options,
    session: Remembered,
    data: &[u8],
) -> (Connection, StreamId) {
    let mut client = client_resuming(options, Some(session));
    assert_eq!(client.early_data(), EarlyData::Pending);
    let id = client.open(Dir::Bi).unwrap();
    assert_eq!(client.write(id, data), Ok(data.len()));
    client.finish(id).unwrap();
    (client, id)
}

fn resumed(options: &Options, data: &[u8]) -> (Pair, StreamId) {
    let (client, id) = writing(options, session(options), data);
    (Pair::begun_by(options, client), id)
}

/// The types of the packets in a datagram.
fn types(datagram: &[u8]) -> Vec<PacketType> {
    let mut types = Vec::new();
    let mut rest = datagram;
    while let Ok(Packet::Protected(header)) = Packet::parse(rest, 8) {
        types.push(header.packet_type);
        rest = &rest[header.end..];
    }
    types
}

#[test]
fn early_data_arrives_with_the_first_flight_and_is_answered_at_once() {
    let (mut pair, id) = resumed(&options(), b"a request");
    let began = pair.now;
    pair.run_until(|pair| pair.server.has(&Change::EarlyData));
    assert_eq!(pair.now, began + pair.latency);
    assert_eq!(pair.server.opened(), [id]);
    assert!(!pair.server.conn.is_established());
    assert_eq!(pair.server.read_all(id), (b"a request".to_vec(), true));
    pair.server.conn.write(id, b"an answer").unwrap();
    pair.server.conn.finish(id).unwrap();

    pair.run_until(|pair| pair.client.has(&Change::Connected));
    pair.run_until(|pair| pair.client.conn.is_readable(id));
    assert_eq!(pair.now, began + 2 * pair.latency, "one round trip");
    assert_eq!(pair.client.read_all(id), (b"an answer".to_vec(), true));
    pair.run();
    for end in [&pair.client, &pair.server] {
        assert_eq!(end.conn.early_data(), EarlyData::Accepted);
        assert!(end.conn.is_resumed() && end.has(&Change::Confirmed));
        assert_eq!(end.conn.stats().packets_lost, 0);
    }
    assert!(!pair.client.has(&Change::EarlyDataRejected));
    assert!(pair.client.conn.peer_certificates().len() == 1, "the same");
}

#[test]
fn a_session_without_early_data_is_resumed() {
    let with = options();
    let without = Options {
        client_crypto: NullClient::insecure(),
        ..options()
    };
    for (options, session) in [
        (&without, session(&with)),
        (
            &with,
            session(&Options {
                server_crypto: NullServer::insecure().with_sessions(KEY),
                ..self::options()
            }),
        ),
    ] {
        let mut client = client_resuming(options, Some(session));
        assert_eq!(client.early_data(), EarlyData::NotTried);
        assert_eq!(client.open(Dir::Bi), None, "no limits are known");
        let mut pair = Pair::begun_by(options, client);
        pair.run();
        assert!(pair.client.conn.is_resumed() && pair.server.conn.is_resumed());
        assert_eq!(pair.server.conn.early_data(), EarlyData::NotTried);
    }
}

#[test]
fn another_protocol_than_the_session_had() {
    let mut session = session(&options());
    session.alpn = b"other".to_vec();
    let client = client_resuming(&options(), Some(session));
    assert_eq!(client.early_data(), EarlyData::NotTried);
}

/// Servers that do not take the early data of the client's session.
fn strangers() -> [Options; 4] {
    let options = options();
    let mut limits = Limits::default();
    limits.streams_bidi += 1;
    [
        // Its key is another: nothing is resumed.
        Options {
            server_crypto: options.server_crypto.with_sessions(KEY + 1),
            ..options.clone()
        },
        // It resumes nothing.
        Options {
            server_crypto: NullServer::insecure(),
            ..options.clone()
        },
        // It resumes, but takes no early data.
        Options {
            server_crypto: NullServer::insecure().with_sessions(KEY),
            ..options.clone()
        },
        // Its limits are not those that the client remembers.
        Options {
            server_limits: limits,
            ..options
        },
    ]
}

#[test]
fn what_is_rejected_leaves_no_stream() {
    for (n, stranger) in strangers().into_iter().enumerate() {
        let (client, id) = writing(&options(), session(&options()), &[1; 6000]);
        let mut pair = Pair::begun_by(&stranger, client);
        pair.run_until(|pair| pair.client.has(&Change::Connected));
        let changes = &pair.client.changes;
        assert_eq!(
            changes[..2],
            [Change::EarlyDataRejected, Change::Connected],
            "{n}"
        );
        assert_eq!(pair.client.conn.early_data(), EarlyData::Rejected);
        assert_eq!(pair.client.conn.write(id, b"x"), Err(WriteFail::Unknown));
        // The layer above starts over, with the same numbers.
        assert_eq!(pair.client.conn.open(Dir::Bi), Some(id));
        pair.client.conn.write(id, b"again").unwrap();
        pair.client.conn.finish(id).unwrap();
        pair.run();
        assert_eq!(pair.server.read_all(id), (b"again".to_vec(), true), "{n}");
        assert_eq!(pair.server.conn.early_data(), EarlyData::Rejected);
        assert!(!pair.server.has(&Change::EarlyData));
        assert_eq!(pair.client.conn.is_resumed(), n >= 2);
        assert_eq!(pair.client.conn.stats().bytes_in_flight, 0);
        assert!(pair.client.conn.is_established() && pair.server.conn.is_established());
    }
}

#[test]
fn remembered_limits_bind_early_data() {
    let mut options = options();
    options.server_limits.streams_bidi = 2;
    options.server_limits.stream_window = 3000;
    options.server_limits.connection_window = 4096;
    let mut client = client_resuming(&options, Some(session(&options)));
    let ids = [(); 2].map(|()| client.open(Dir::Bi).unwrap());
    assert_eq!(client.open(Dir::Bi), None);
    for id in ids {
        client.write(id, &[3; 5000]).unwrap();
        client.finish(id).unwrap();
    }
    let mut pair = Pair::begun_by(&options, client);
    pair.run_until(|pair| pair.server.has(&Change::Connected));
    assert_eq!(pair.server.closed(), None);
    // The rest follows as the server gives credit.
    let mut got = vec![0; 2];
    for _ in 0..20 {
        for (id, got) in ids.into_iter().zip(&mut got) {
            if pair.server.conn.is_readable(id) {
                *got += pair.server.read_all(id).0.len();
            }
        }
        pair.run_for(Duration::from_millis(100));
    }
    assert_eq!(got, [5000; 2]);
}

#[test]
fn limits_do_not_shrink_under_early_data() {
    type Change = fn(&mut crate::wire::params::TransportParameters);
    let larger: [Change; 8] = [
        |p| p.initial_max_data += 1,
        |p| p.initial_max_stream_data_bidi_local += 1,
        |p| p.initial_max_stream_data_bidi_remote += 1,
        |p| p.initial_max_stream_data_uni += 1,
        |p| p.initial_max_streams_bidi += 1,
        |p| p.initial_max_streams_uni += 1,
        |p| p.active_connection_id_limit += 1,
        |p| p.max_datagram_frame_size += 1,
    ];
    for (n, change) in larger.into_iter().enumerate() {
        let mut session = session(&options());
        change(&mut session.params);
        let client = client_resuming(&options(), Some(session));
        let mut pair = Pair::begun_by(&options(), client);
        pair.run_until(|pair| pair.client.closed().is_some());
        let what = alloc::format!("parameter {n}");
        pair.assert_fault(Side::Client, TransportCode::ProtocolViolation, &what);
    }
    // Rejected, they do not matter.
    let mut session = session(&options());
    session.params.initial_max_data += 1;
    let [stranger, ..] = strangers();
    let mut pair = Pair::begun_by(&stranger, client_resuming(&options(), Some(session)));
    pair.run();
    assert!(pair.client.conn.is_established());
}

#[test]
fn what_is_lost_is_sent_again() {
    let (client, id) = writing(&options(), session(&options()), &[5; 9000]);
    let mut pair = Pair::begun_by(&options(), client);
    // The client's first datagram has its ClientHello.
    pair.server.inbox.truncate(1);
    pair.run();
    assert_eq!(pair.server.read_all(id), (vec![5; 9000], true));
    assert_eq!(pair.client.conn.early_data(), EarlyData::Accepted);
    assert!(pair.client.conn.stats().packets_lost > 0);
}

#[test]
fn a_first_flight_in_any_order() {
    let options = Options {
        client_crypto: NullClient::insecure()
            .with_early_data()
            .with_hello_padding(1500),
        ..options()
    };
    for shuffle in 0..24_usize {
        let (client, id) = writing(&options, session(&options), &[6; 3000]);
        let mut pair = Pair::begun_by(&options, client);
        let [_, rest @ ..] = pair.server.inbox.make_contiguous() else {
            panic!("nothing was sent");
        };
        let len = rest.len();
        rest.rotate_left(shuffle % len);
        rest.swap(0, shuffle / len % len);
        let (now, latency) = (pair.now, pair.latency);
        pair.server
            .inbox
            .iter_mut()
            .for_each(|flight| flight.at = now + latency);
        pair.run_for(Duration::from_millis(20));
        // What came before the end of the ClientHello was held.
        assert_eq!(pair.server.read_all(id), (vec![6; 3000], true), "{shuffle}");
        assert_eq!(pair.client.conn.stats().packets_lost, 0);
    }
}

#[test]
fn frames_that_early_data_may_not_have() {
    let illegal = [
        frames(&[Frame::Crypto(Crypto {
            offset: 0,
            data: b"x",
        })]),
        frames(&[Frame::HandshakeDone]),
        vec![0x02, 0, 0, 0, 0],
        vec![0x07, 1, 0],
        vec![0x19, 0],
        vec![0x1b, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for payload in illegal {
        let (client, _) = writing(&options(), session(&options()), b"x");
        let mut pair = Pair::begun_by(&options(), client);
        let now = pair.now;
        let forged = packet(&mut pair.client.conn, now, SpaceId::Data, &payload);
        assert_eq!(types(&forged), [PacketType::ZeroRtt]);
        pair.carry(Side::Client, forged);
        pair.run_until(|pair| pair.server.closed().is_some());
        let what = alloc::format!("{payload:?}");
        pair.assert_fault(Side::Server, TransportCode::ProtocolViolation, &what);
    }
}

#[test]
fn late_early_data_is_taken_for_a_while() {
    let ping = frames(&[Frame::Ping]);
    let (client, _) = writing(&options(), session(&options()), b"x");
    let mut pair = Pair::begun_by(&options(), client);
    let now = pair.now;
    let mut late = || packet(&mut pair.client.conn, now, SpaceId::Data, &ping);
    let packets = [late(), late()];
    pair.run_until(|pair| pair.server.has(&Change::Confirmed));
    let received = |pair: &Pair| {
        let stats = pair.server.conn.stats();
        (stats.packets_received, stats.packets_dropped)
    };
    let [first, second] = packets;
    let before = received(&pair);
    pair.deliver(Side::Client, first);
    assert_eq!(received(&pair), (before.0 + 1, before.1));
    pair.run_for(Duration::from_secs(5));
    let before = received(&pair);
    pair.deliver(Side::Client, second);
    assert_eq!(received(&pair), (before.0, before.1 + 1));
    assert_eq!(pair.server.conn.early_data(), EarlyData::Accepted);
}

#[test]
fn clients_take_no_early_data() {
    let (client, _) = writing(&options(), session(&options()), b"x");
    let mut pair = Pair::begun_by(&options(), client);
    let now = pair.now;
    let early = packet(&mut pair.client.conn, now, SpaceId::Data, &[1]);
    pair.run_until(|pair| pair.client.has(&Change::Connected));
    let before = pair.client.conn.stats().packets_dropped;
    // As if the server had sent it.
    let mut echoed = early;
    let local = pair.client.conn.handshake.local_cid;
    echoed[6..14].copy_from_slice(&local);
    pair.deliver(Side::Server, echoed);
    assert_eq!(pair.client.conn.stats().packets_dropped, before + 1);
}

#[test]
fn early_data_follows_a_retry() {
    let options = options();
    let (client, id) = writing(&options, session(&options), b"a request");
    let now = crate::Instant::from_micros(1_000_000);
    let mut client = End::new(client, CLIENT);
    let first = client.transmit(now);
    let (original, source) = first_cids(&first[0].1);
    assert!(types(&first[0].1).contains(&PacketType::ZeroRtt));
    let next_number = client.conn.recovery.next_packet_number(SpaceId::Data);

    let from = Cid::new(&[7; 8]).unwrap();
    let mut buf = vec![0; 200];
    let mut w = Writer::new(&mut buf);
    encode_retry(version::V1, &source, &from, b"a token", 0, &mut w).unwrap();
    let tag = NullProvider::insecure().retry_tag(Version::V1, &original, w.written());
    w.bytes(&tag).unwrap();
    let len = w.position();
    buf.truncate(len);
    client.receive(
        now,
        &Flight {
            at: now,
            from: SERVER,
            to: CLIENT,
            data: buf,
        },
    );
    let again = client.transmit(now);
    assert_eq!(
        types(&again[0].1),
        [PacketType::Initial, PacketType::ZeroRtt]
    );
    assert_eq!(first_cids(&again[0].1), (from, source));
    assert!(client.conn.recovery.next_packet_number(SpaceId::Data) > next_number);

    let mut entropy = SeededEntropy::new(5);
    let setup = Setup {
        transport: &options.server,
        limits: &options.server_limits,
        alpn: ALPN,
        remote: CLIENT,
        local: None,
        reset_key: [9; 32],
        terms: &[],
        token: Vec::new(),
        issuer: None,
        entropy: &mut entropy,
        now,
        probe: None,
    };
    let initial = FirstInitial {
        original,
        retry: Some(from),
        is_validated: true,
        ..first_initial(&again[0].1)
    };
    let crypto: Arc<dyn ServerProvider> = Arc::new(options.server_crypto);
    let server = Connection::new_server(setup, &crypto, &initial).unwrap();
    let mut pair = Pair::of(client, End::new(server, SERVER), now);
    for (_, data) in again {
        pair.carry(Side::Client, data);
    }
    pair.run();
    assert_eq!(pair.client.conn.early_data(), EarlyData::Accepted);
    assert_eq!(pair.server.read_all(id), (b"a request".to_vec(), true));
}

#[test]
fn early_data_does_not_follow_into_another_version() {
    let options = options();
    let (client, id) = writing(&options, session(&options), b"a request");
    let now = crate::Instant::from_micros(1_000_000);
    let mut client = End::new(client, CLIENT);
    let first = client.transmit(now);
    let (original, source) = first_cids(&first[0].1);
    let mut buf = vec![0; 200];
    let mut w = Writer::new(&mut buf);
    encode_version_negotiation(&source, &original, &[Version::V2.0], 0, &mut w).unwrap();
    let len = w.position();
    buf.truncate(len);
    client.receive(
        now,
        &Flight {
            at: now,
            from: SERVER,
            to: CLIENT,
            data: buf,
        },
    );
    let again = client.transmit(now);
    assert!(
        again
            .iter()
            .all(|(_, data)| types(data) == [PacketType::Initial])
    );
    let only = Options {
        server: crate::config::TransportConfig {
            versions: vec![Version::V2],
            ..options.server.clone()
        },
        ..options
    };
    let server = super::pair::server(&only, &first_initial(&again[0].1));
    let mut pair = Pair::of(client, End::new(server, SERVER), now);
    for (_, data) in again {
        pair.carry(Side::Client, data);
    }
    pair.run();
    assert!(pair.client.has(&Change::EarlyDataRejected));
    assert_eq!(pair.client.conn.early_data(), EarlyData::Rejected);
    assert_eq!(pair.client.conn.open(Dir::Bi), Some(id));
    assert_eq!(pair.client.conn.stats().bytes_in_flight, 0);
}

#[test]
fn lossy_networks_make_no_difference() {
    for seed in 0..40_u64 {
        let accepted = seed % 2 == 0;
        let server = match accepted {
            true => options(),
            false => strangers()[seed as usize % 4].clone(),
        };
        let (client, id) = writing(&options(), session(&options()), &[8; 20_000]);
        let mut pair = Pair::begun_by(&server, client);
        let mut state = seed;
        pair.network = Box::new(move |_, _, _| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            [0, 1, 1, 1, 2][(state >> 33) as usize % 5]
        });
        pair.run_for(Duration::from_secs(20));
        if pair.client.has(&Change::EarlyDataRejected) {
            assert!(!accepted);
            assert_eq!(pair.client.conn.open(Dir::Bi), Some(id));
            pair.client.conn.write(id, &[8; 20_000]).unwrap();
            pair.client.conn.finish(id).unwrap();
            pair.run_for(Duration::from_secs(20));
        }
        assert_eq!(
            pair.server.read_all(id),
            (vec![8; 20_000], true),
            "seed {seed}"
        );
        assert_eq!(pair.client.closed(), None, "seed {seed}");
    }
}
