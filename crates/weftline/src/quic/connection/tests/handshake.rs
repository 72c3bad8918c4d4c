//! What may go wrong before data flows: Retry, Version Negotiation, connection IDs, deadlines.

use alloc::{boxed::Box, vec, vec::Vec};
use core::time::Duration;

use super::{
    super::{Connection, FirstInitial, Setup, handshake::ServerParams, handshake::local_params},
    craft::frames,
    pair::{ALPN, CLIENT, End, Options, Pair, SERVER, client, first_cids, first_initial},
};
use crate::{
    Instant,
    crypto::{
        Provider, Version,
        null::{NullClient, NullProvider, NullServer},
    },
    entropy::SeededEntropy,
    error::TransportCode,
    event::{ClosedBy, ErrorSpace},
    quic::{Change, recovery::SpaceId, space::SpaceKeys, streams::StreamParams},
    wire::{
        Cid, ResetToken, Side, Writer,
        frame::{Crypto, Frame},
        packet::{Packet, encode_retry, encode_version_negotiation, version},
        params::{TransportParameters, VersionInformation},
    },
};

const TOKEN: &[u8] = b"a token";

fn cid(byte: u8) -> Cid {
    Cid::new(&[byte; 8]).unwrap()
}

/// A client that sent its first flight.
fn waiting_client() -> (End, Instant, Cid, Cid) {
    let now = Instant::from_micros(1_000_000);
    let mut end = End::new(client(&Options::default()), CLIENT);
    let first = end.transmit(now);
    let (original, source) = first_cids(&first[0].1);
    (end, now, original, source)
}

fn flight(now: Instant, data: Vec<u8>) -> super::pair::Flight {
    super::pair::Flight {
        at: now,
        from: SERVER,
        to: CLIENT,
        data,
    }
}

fn retry(original: Cid, to: Cid, from: Cid, token: &[u8]) -> Vec<u8> {
    let mut buf = vec![0; 200];
    let mut w = Writer::new(&mut buf);
    encode_retry(version::V1, &to, &from, token, 0, &mut w).unwrap();
    let tag = NullProvider::insecure().retry_tag(Version::V1, &original, w.written());
    w.bytes(&tag).unwrap();
    let len = w.position();
    buf.truncate(len);
    buf
}

fn version_negotiation(to: &[u8], from: &[u8], versions: &[u32]) -> Vec<u8> {
    let mut buf = vec![0; 200];
    let mut w = Writer::new(&mut buf);
    encode_version_negotiation(to, from, versions, 0, &mut w).unwrap();
    let len = w.position();
    buf.truncate(len);
    buf
}

/// The token in an Initial packet.
fn token_of(datagram: &[u8]) -> Vec<u8> {
    let Ok(Packet::Protected(header)) = Packet::parse(datagram, 8) else {
        panic!("no packet");
    };
    header.token(datagram).to_vec()
}

#[test]
fn a_retry_is_followed() {
    let (mut client, now, original, source) = waiting_client();
    client.receive(now, &flight(now, retry(original, source, cid(7), TOKEN)));
    let again = client.transmit(now);
    assert_eq!(first_cids(&again[0].1), (cid(7), source));
    assert_eq!(token_of(&again[0].1), TOKEN);

    let options = Options::default();
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
        now: Instant::ZERO,
        probe: None,
    };
    let first = FirstInitial {
        retry: Some(cid(7)),
        is_validated: true,
        ..FirstInitial::new(Version::V1, original, source)
    };
    let crypto: alloc::sync::Arc<dyn crate::crypto::ServerProvider> =
        alloc::sync::Arc::new(options.server_crypto);
    let server = Connection::new_server(setup, &crypto, &first).unwrap();
    let mut pair = Pair::of(client, End::new(server, SERVER), now);
    for (_, data) in again {
        pair.carry(Side::Client, data);
    }
    pair.run();
    assert!(
        pair.client.has(&Change::Confirmed),
        "{:?}",
        pair.client.changes
    );
    assert!(pair.server.has(&Change::Confirmed));
}

#[test]
fn a_retry_that_the_server_does_not_own_up_to() {
    // Somebody else sent it: the server knows of none.
    let (mut client, now, original, source) = waiting_client();
    client.receive(now, &flight(now, retry(original, source, cid(7), TOKEN)));
    let again = client.transmit(now);
    let server = super::pair::server(&Options::default(), &first_initial(&again[0].1));
    let mut pair = Pair::of(client, End::new(server, SERVER), now);
    for (_, data) in again {
        pair.carry(Side::Client, data);
    }
    pair.run();
    let code = TransportCode::TransportParameterError;
    pair.assert_fault(Side::Client, code, "forged Retry");
}

#[test]
fn retries_to_ignore() {
    let (_, _, original, source) = waiting_client();
    let mut bad_tag = retry(original, source, cid(7), TOKEN);
    *bad_tag.last_mut().unwrap() ^= 1;
    let cases = [
        bad_tag,
        // For another connection.
        retry(cid(1), source, cid(7), TOKEN),
        retry(original, cid(1), cid(7), TOKEN),
        // The same ID again: nothing would change.
        retry(original, source, original, TOKEN),
    ];
    for case in cases {
        let (mut client, now, original, _) = waiting_client();
        client.receive(now, &flight(now, case));
        assert!(client.transmit(now).is_empty());
        assert_eq!(client.conn.remote_cids.current(), original);
    }
}

#[test]
fn only_the_first_retry_counts() {
    let (mut client, now, original, source) = waiting_client();
    client.receive(now, &flight(now, retry(original, source, cid(7), TOKEN)));
    client.receive(now, &flight(now, retry(original, source, cid(8), b"other")));
    client.receive(now, &flight(now, retry(cid(7), source, cid(8), b"other")));
    let again = client.transmit(now);
    assert_eq!(first_cids(&again[0].1).0, cid(7));
}

#[test]
fn no_retry_once_the_server_has_answered() {
    let mut pair = Pair::new(&Options::default());
    let original = pair.client.conn.handshake.original_cid;
    let source = pair.client.conn.handshake.local_cid;
    pair.run_until(|pair| pair.client.conn.stats().packets_received > 0);
    let late = retry(original, source, cid(7), TOKEN);
    pair.deliver(Side::Server, late);
    let late = version_negotiation(&source, &original, &[0x0a0a_0a0a]);
    pair.deliver(Side::Server, late);
    pair.run();
    assert!(pair.client.has(&Change::Confirmed));
}

#[test]
fn a_retry_on_a_server_is_ignored() {
    let mut pair = Pair::new(&Options::default());
    let (to, from) = (pair.server.conn.handshake.local_cid, cid(1));
    pair.deliver(Side::Client, retry(cid(3), to, from, TOKEN));
    pair.deliver(Side::Client, version_negotiation(&to, &from, &[5]));
    pair.run();
    assert!(pair.server.has(&Change::Confirmed));
}

#[test]
fn no_common_version() {
    let (mut client, now, original, source) = waiting_client();
    let packet = version_negotiation(&source, &original, &[0x0a0a_0a0a, 2]);
    client.receive(now, &flight(now, packet));
    assert_eq!(client.closed().unwrap().by, ClosedBy::Version);
    assert!(client.conn.is_drained());
    assert!(client.transmit(now).is_empty());
}

#[test]
fn version_negotiation_to_ignore() {
    let (_, _, original, source) = waiting_client();
    let cases = [
        // It offers what we speak.
        version_negotiation(&source, &original, &[2, version::V1]),
        // Connection IDs that the server cannot have seen.
        version_negotiation(&source, &source, &[2]),
        version_negotiation(&original, &original, &[2]),
    ];
    for case in cases {
        let (mut client, now, ..) = waiting_client();
        client.receive(now, &flight(now, case));
        assert_eq!(client.closed(), None);
    }
    // After a Retry, too.
    let (mut client, now, ..) = waiting_client();
    client.receive(now, &flight(now, retry(original, source, cid(7), TOKEN)));
    let late = version_negotiation(&source, &original, &[2]);
    client.receive(now, &flight(now, late));
    assert_eq!(client.closed(), None);
}

/// A server whose transport parameters are those that `edit` makes of good ones.
fn handshake_with(edit: impl FnOnce(&mut TransportParameters), side: Side) -> Pair {
    let options = Options::default();
    let mut pair = Pair::new(&options);
    let conn = &mut pair.end(side).conn;
    let mut params = TransportParameters {
        initial_source_connection_id: Some(conn.handshake.local_cid),
        initial_max_data: 1000,
        ..TransportParameters::default()
    };
    if side == Side::Server {
        params.original_destination_connection_id = Some(conn.handshake.original_cid);
        params.stateless_reset_token = Some(ResetToken([1; 16]));
    }
    edit(&mut params);
    let params = params.encode(None);
    if side == Side::Server {
        use crate::crypto::ServerProvider;
        conn.session = options
            .server_crypto
            .start(Version::V1, ALPN, params, &[])
            .unwrap();
        pair
    } else {
        use crate::crypto::ClientProvider;
        conn.session = options
            .client_crypto
            .start(Version::V1, "example.org", ALPN, params, None)
            .unwrap();
        // A new hello on a new level; the first one never arrives.
        conn.space_mut(SpaceId::Initial).crypto =
            crate::quic::crypto_stream::CryptoStream::new(&options.client_limits);
        conn.advance_handshake(Instant::ZERO).unwrap();
        pair.server.inbox.clear();
        pair
    }
}

#[test]
fn transport_parameters_of_a_server() {
    type Edit = fn(&mut TransportParameters);
    let bad: [(&str, Edit); 6] = [
        ("no source", |p| p.initial_source_connection_id = None),
        ("another source", |p| {
            p.initial_source_connection_id = Some(cid(1));
        }),
        ("no original", |p| {
            p.original_destination_connection_id = None;
        }),
        ("another original", |p| {
            p.original_destination_connection_id = Some(cid(1));
        }),
        ("a retry there was not", |p| {
            p.retry_source_connection_id = Some(cid(1));
        }),
        ("too few connection IDs", |p| {
            p.active_connection_id_limit = 1;
        }),
    ];
    for (what, edit) in bad {
        let mut pair = handshake_with(edit, Side::Server);
        pair.run();
        let code = TransportCode::TransportParameterError;
        pair.assert_fault(Side::Client, code, what);
    }
    let mut pair = handshake_with(|_| {}, Side::Server);
    pair.run();
    assert!(pair.client.has(&Change::Confirmed));
}

#[test]
fn transport_parameters_of_a_client() {
    type Edit = fn(&mut TransportParameters);
    let bad: [(&str, Edit); 9] = [
        ("no source", |p| p.initial_source_connection_id = None),
        ("another source", |p| {
            p.initial_source_connection_id = Some(cid(1));
        }),
        ("original", |p| {
            p.original_destination_connection_id = Some(cid(1));
        }),
        ("retry", |p| p.retry_source_connection_id = Some(cid(1))),
        ("token", |p| {
            p.stateless_reset_token = Some(ResetToken([1; 16]));
        }),
        ("payload size", |p| p.max_udp_payload_size = 1090),
        ("exponent", |p| p.ack_delay_exponent = 30),
        ("delay", |p| p.max_ack_delay_ms = 1 << 15),
        ("streams", |p| p.initial_max_streams_bidi = (1 << 60) + 1),
    ];
    for (what, edit) in bad {
        let mut pair = handshake_with(edit, Side::Client);
        pair.run();
        let code = TransportCode::TransportParameterError;
        pair.assert_fault(Side::Server, code, what);
    }
    let mut pair = handshake_with(|_| {}, Side::Client);
    pair.run();
    assert!(
        pair.server.has(&Change::Confirmed),
        "{:?}",
        pair.server.changes
    );
}

#[test]
fn another_version_was_chosen() {
    let edit = |p: &mut TransportParameters| {
        p.version_information = Some(VersionInformation::new(2, [2, 1]));
    };
    for side in [Side::Server, Side::Client] {
        let mut pair = handshake_with(edit, side);
        pair.run();
        let code = TransportCode::VersionNegotiationError;
        pair.assert_fault(side.peer(), code, "version");
    }
}

#[test]
fn no_common_protocol() {
    let mut pair = Pair::new(&Options::default());
    use crate::crypto::ServerProvider;
    let server = NullServer::insecure();
    pair.server.conn.session = server.start(Version::V1, &[b"other"], vec![], &[]).unwrap();
    pair.run();
    let reason = pair.client.closed().unwrap();
    assert_eq!(
        (reason.by, reason.space, reason.code),
        (ClosedBy::Peer, ErrorSpace::Transport, 0x178)
    );
    assert_eq!(reason.reason, "");
    assert_eq!(pair.server.closed().unwrap().by, ClosedBy::Fault);
}

#[test]
fn a_handshake_has_a_deadline_whatever_the_peer_does() {
    // The server's flight is always damaged, so the client keeps trying.
    let mut pair = Pair::new(&Options::default());
    let start = pair.now;
    pair.network = Box::new(|side, _, _| usize::from(side == Side::Client));
    pair.run_until(|pair| pair.client.closed().is_some() && pair.server.closed().is_some());
    for end in [&pair.client, &pair.server] {
        assert_eq!(end.closed().unwrap().by, ClosedBy::Timeout);
        assert!(end.conn.is_drained());
    }
    let waited = pair.now.saturating_since(start);
    assert!(waited <= Duration::from_secs(11), "{waited:?}");
}

#[test]
fn a_client_that_keeps_talking_is_cut_too() {
    let mut options = Options::default();
    options.server_limits.handshake_timeout = Duration::from_secs(3);
    let mut pair = Pair::new(&options);
    pair.network = Box::new(|side, _, _| usize::from(side == Side::Client));
    let start = pair.now;
    // It never finishes, but pings every half second.
    while !pair.server.conn.is_closed() {
        let ping = frames(&[Frame::Ping, Frame::Padding(1150)]);
        pair.inject(Side::Client, SpaceId::Initial, &ping);
        pair.run_for(Duration::from_millis(500));
        assert!(pair.now.saturating_since(start) <= Duration::from_secs(4));
    }
    assert_eq!(pair.server.closed().unwrap().by, ClosedBy::Timeout);
}

#[test]
fn packets_before_their_keys_are_held() {
    // The client's last flight comes before its first: the server holds what it cannot read.
    let mut pair = Pair::connected(&Options::default());
    assert_eq!(pair.server.conn.held.len(), 0);
    let mut options = Options::default();
    options.server_limits.undecryptable_datagrams = 3;
    pair = Pair::new(&options);
    pair.server.inbox.clear();
    let local = pair.server.conn.handshake.local_cid;
    for n in 0..10 {
        let mut packet = vec![0x40; 50];
        packet[1..9].copy_from_slice(&local);
        packet[20] = n;
        pair.deliver(Side::Client, packet);
    }
    assert_eq!(pair.server.conn.held.len(), 3);
    assert!(pair.server.conn.accounted_bytes() < 10_000);
    // They go away with the handshake.
    pair.run_until(|pair| pair.server.has(&Change::Confirmed));
    assert_eq!(pair.server.conn.held.len(), 0);
}

#[test]
fn flights_out_of_order() {
    for seed in 0..30 {
        let mut rng = SeededEntropy::new(seed);
        let options = Options {
            server_crypto: NullServer::insecure()
                .with_certificate_bytes(4000)
                .with_ticket_bytes(100),
            client_crypto: NullClient::insecure().with_hello_padding(2000),
            ..Options::default()
        };
        let mut pair = Pair::new(&options);
        for _ in 0..200 {
            for side in [Side::Client, Side::Server] {
                let inbox = &mut pair.end(side).inbox;
                if inbox.len() > 1 {
                    let at = rng.next_u64() as usize % inbox.len();
                    inbox.swap(0, at);
                }
            }
            pair.step();
        }
        pair.run();
        assert!(pair.client.has(&Change::Confirmed), "seed {seed}");
    }
}

#[test]
fn another_connection_in_the_same_datagram() {
    // A packet for somebody else after one of ours ends the datagram.
    let mut pair = Pair::new(&Options::default());
    pair.run_until(|pair| {
        pair.client
            .conn
            .space(SpaceId::Handshake)
            .keys
            .are_installed()
    });
    let now = pair.now;
    let mut data = super::craft::packet(
        &mut pair.client.conn,
        now,
        SpaceId::Handshake,
        &frames(&[Frame::Ping, Frame::Padding(3)]),
    );
    let before = pair.server.conn.stats();
    let mut foreign = data.clone();
    foreign[6] ^= 1;
    let second = super::craft::packet(
        &mut pair.client.conn,
        now,
        SpaceId::Handshake,
        &frames(&[Frame::Ping, Frame::Padding(3)]),
    );
    data.extend(foreign);
    data.extend(second);
    pair.deliver(Side::Client, data);
    let after = pair.server.conn.stats();
    assert_eq!(after.packets_received, before.packets_received + 1);
    assert_eq!(after.packets_dropped, before.packets_dropped);
}

#[test]
fn packets_in_a_datagram_are_counted() {
    let mut options = Options::default();
    options.server_limits.packets_per_datagram = 3;
    let mut pair = Pair::new(&options);
    pair.run_until(|pair| {
        pair.client
            .conn
            .space(SpaceId::Handshake)
            .keys
            .are_installed()
    });
    let now = pair.now;
    let mut data = vec![];
    for _ in 0..6 {
        let payload = frames(&[Frame::Ping, Frame::Padding(3)]);
        data.extend(super::craft::packet(
            &mut pair.client.conn,
            now,
            SpaceId::Handshake,
            &payload,
        ));
    }
    let before = pair.server.conn.stats().packets_received;
    pair.deliver(Side::Client, data);
    assert_eq!(pair.server.conn.stats().packets_received, before + 3);
}

#[test]
fn crypto_data_is_bounded_on_every_level() {
    for id in [SpaceId::Initial, SpaceId::Handshake, SpaceId::Data] {
        let mut options = Options::default();
        options.server_limits.crypto_buffer = 8 << 10;
        let mut pair = Pair::new(&options);
        match id {
            SpaceId::Data => pair.run(),
            _ => pair.run_until(|pair| {
                pair.client
                    .conn
                    .space(SpaceId::Handshake)
                    .keys
                    .are_installed()
            }),
        }
        let crypto = Frame::Crypto(Crypto {
            offset: 20_000,
            data: b"x",
        });
        pair.inject(Side::Client, id, &frames(&[crypto]));
        let code = TransportCode::CryptoBufferExceeded;
        pair.assert_fault(Side::Server, code, "CRYPTO");
    }
}

#[test]
fn tokens_from_servers_are_dropped() {
    let mut pair = Pair::new(&Options::default());
    pair.server.conn.handshake.token = TOKEN.to_vec();
    pair.run_for(Duration::from_millis(200));
    assert_eq!(pair.client.conn.stats().packets_received, 0);
    assert!(pair.client.conn.is_handshaking());
    assert!(matches!(
        pair.client.conn.space(SpaceId::Initial).keys,
        SpaceKeys::Level(_)
    ));
}

#[test]
fn garbage_makes_no_difference() {
    let mut rng = SeededEntropy::new(3);
    let mut pair = Pair::new(&Options::default());
    for n in 0..2000 {
        let len = rng.next_u64() as usize % 1300;
        let mut data = vec![0; len];
        crate::Entropy::public(&mut rng, &mut data);
        // Half of it is addressed well.
        let side = if n % 2 == 0 {
            Side::Client
        } else {
            Side::Server
        };
        let to = pair.end(side.peer()).conn.handshake.local_cid;
        if n % 4 < 2 && len > 30 {
            data[0] |= 0x40;
            let at = if data[0] & 0x80 == 0 {
                1
            } else {
                data[1..6].copy_from_slice(&[0, 0, 0, 1, 8]);
                6
            };
            data[at..at + 8].copy_from_slice(&to);
        }
        pair.deliver(side, data);
        if n % 100 == 0 {
            pair.step();
        }
    }
    pair.run();
    assert!(
        pair.client.has(&Change::Confirmed),
        "{:?}",
        pair.client.changes
    );
}

#[test]
fn our_own_parameters_are_good() {
    let options = Options::default();
    let provider = alloc::sync::Arc::new(NullProvider::insecure());
    let mut random = crate::quic::random::Random::new(provider, &mut SeededEntropy::new(1));
    let server = ServerParams {
        original: cid(1),
        retry: None,
        reset_token: ResetToken([4; 16]),
        preferred: None,
    };
    let streams = StreamParams::default();
    let bytes = local_params(
        &options.server,
        &options.server_limits,
        streams,
        cid(2),
        VersionInformation::new(version::V1, [version::V1]),
        Some(server),
        &mut random,
    );
    let params = TransportParameters::parse(&bytes, Side::Server).unwrap();
    assert_eq!(params.initial_source_connection_id, Some(cid(2)));
    assert_eq!(params.max_idle_timeout_ms, 30_000);
    assert_eq!(params.max_datagram_frame_size, 65_535);
    assert_eq!(params.active_connection_id_limit, 4);
    assert!(!params.disable_active_migration);
}
