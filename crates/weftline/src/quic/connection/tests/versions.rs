//! Versions of QUIC: each by itself, and how two ends find one (RFC 9000, section 6; RFC 9368).

use alloc::{sync::Arc, vec, vec::Vec};
use core::time::Duration;

use super::{
    super::handshake::{ServerParams, local_params},
    pair::{CLIENT, End, Flight, Options, Pair, SERVER, client, first_cids, first_initial, server},
};
use crate::{
    Instant,
    crypto::{Provider, ServerProvider, Version, null::NullProvider},
    entropy::SeededEntropy,
    error::TransportCode,
    event::ClosedBy,
    quic::{Change, random::Random, recovery::SpaceId},
    wire::{
        Dir, ResetToken, Side, Writer, frame::Frame, packet::encode_version_negotiation,
        params::VersionInformation,
    },
};

const BOTH: [Version; 2] = [Version::V2, Version::V1];

fn options(client: &[Version], server: &[Version]) -> Options {
    let mut options = Options::default();
    options.client.versions = client.to_vec();
    options.server.versions = server.to_vec();
    options
}

/// A client whose first flight was answered with a Version Negotiation packet of these versions.
/// Gives what it sends then.
fn told(options: &Options, versions: &[u32]) -> (End, Instant, Vec<Vec<u8>>) {
    let now = Instant::from_micros(1_000_000);
    let mut end = End::new(client(options), CLIENT);
    let first = end.transmit(now);
    end.receive(now, &negotiation(now, &first[0].1, versions));
    let again = end.transmit(now).into_iter().map(|(_, data)| data);
    let again = again.collect();
    (end, now, again)
}

/// The answer to `datagram` with these versions.
fn negotiation(now: Instant, datagram: &[u8], versions: &[u32]) -> Flight {
    let (original, source) = first_cids(datagram);
    let mut buf = vec![0; 200];
    let mut w = Writer::new(&mut buf);
    encode_version_negotiation(&source, &original, versions, 0, &mut w).unwrap();
    let data = w.written().to_vec();
    Flight {
        at: now,
        from: SERVER,
        to: CLIENT,
        data,
    }
}

/// A client that was told these versions, and the server that it goes on with.
fn pair_after(options: &Options, versions: &[u32]) -> Pair {
    let (client, now, again) = told(options, versions);
    let conn = server(options, &first_initial(&again[0]));
    let mut pair = Pair::of(client, End::new(conn, SERVER), now);
    for data in again {
        pair.carry(Side::Client, data);
    }
    pair
}

fn version_of(datagram: &[u8]) -> Version {
    first_initial(datagram).version
}

#[test]
fn version_2_end_to_end() {
    let mut pair = Pair::connected(&options(&[Version::V2], &[Version::V2]));
    for side in [Side::Client, Side::Server] {
        assert_eq!(pair.end(side).conn.version(), Version::V2);
    }
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    pair.client.conn.write(id, b"hello").unwrap();
    pair.client.conn.finish(id).unwrap();
    pair.run();
    assert_eq!(pair.server.read_all(id), (b"hello".to_vec(), true));
}

#[test]
fn packets_of_the_other_version_are_dropped() {
    let mut pair = Pair::new(&options(&[Version::V2], &[Version::V2]));
    let provider = NullProvider::insecure();
    let original = pair.client.conn.handshake.original_cid;
    let keys = provider.initial_keys(Version::V1, &original, Side::Client);
    // Keys and header of version 1 for a connection of version 2.
    pair.client.conn.version = Version::V1;
    let space = pair
        .client
        .conn
        .space_mut(crate::quic::recovery::SpaceId::Initial);
    let ours = core::mem::replace(&mut space.keys, crate::quic::space::SpaceKeys::Level(keys));
    pair.inject(
        Side::Client,
        crate::quic::recovery::SpaceId::Initial,
        &[1; 30],
    );
    assert_eq!(pair.server.conn.stats().packets_received, 0);
    assert_eq!(pair.server.conn.stats().packets_dropped, 1);
    pair.client.conn.version = Version::V2;
    let space = pair
        .client
        .conn
        .space_mut(crate::quic::recovery::SpaceId::Initial);
    space.keys = ours;
    pair.run();
    assert!(pair.server.has(&Change::Confirmed));
}

#[test]
fn a_client_takes_the_best_version_it_is_told() {
    let options = options(&BOTH, &[Version::V1]);
    let mut pair = pair_after(&options, &[0x0a0a_0a0a, Version::V1.0]);
    assert_eq!(pair.client.conn.version(), Version::V1);
    pair.run();
    assert!(
        pair.client.has(&Change::Confirmed),
        "{:?}",
        pair.client.changes
    );
    assert!(pair.server.has(&Change::Confirmed));
}

#[test]
fn what_was_queued_goes_to_the_version_found() {
    let options = options(&BOTH, &[Version::V1]);
    let now = Instant::from_micros(1_000_000);
    let mut end = End::new(client(&options), CLIENT);
    let first = end.transmit(now);
    end.receive(now, &negotiation(now, &first[0].1, &[Version::V1.0]));
    let again = end.transmit(now);
    let (old, new) = (first_cids(&first[0].1), first_cids(&again[0].1));
    // Another connection to the server; the same to us.
    assert_ne!(old.0, new.0);
    assert_eq!(old.1, new.1);
    assert_eq!(version_of(&again[0].1), Version::V1);
    let conn = server(&options, &first_initial(&again[0].1));
    let mut pair = Pair::of(end, End::new(conn, SERVER), now);
    for (_, data) in again {
        pair.carry(Side::Client, data);
    }
    pair.run_until(|pair| pair.client.has(&Change::Connected));
    let id = pair.client.conn.open(Dir::Uni).unwrap();
    pair.client.conn.write(id, b"x").unwrap();
    pair.run();
    assert_eq!(pair.server.read_all(id).0, b"x");
}

#[test]
fn a_downgrade_is_found_out() {
    // Whoever said that the server speaks only version 1 did not know the server.
    let mut pair = pair_after(&options(&BOTH, &BOTH), &[Version::V1.0]);
    // An honest one says so; it would also choose the better one by itself.
    pair.server.conn.session = honest_server(&pair, Version::V1, Some(&BOTH));
    pair.server.conn.handshake.negotiation.stay();
    pair.run();
    let code = TransportCode::VersionNegotiationError;
    pair.assert_fault(Side::Client, code, "downgrade");
}

/// A server's handshake in `version` that tells of these versions.
fn server_that_tells(
    pair: &Pair,
    version: Version,
    told: VersionInformation,
) -> alloc::boxed::Box<dyn crate::crypto::Session> {
    let options = Options::default();
    let conn = &pair.server.conn;
    let provider = Arc::new(NullProvider::insecure());
    let mut random = Random::new(provider, &mut SeededEntropy::new(1));
    let server = ServerParams {
        original: conn.handshake.original_cid,
        retry: None,
        reset_token: ResetToken([4; 16]),
        preferred: None,
    };
    let bytes = local_params(
        &options.server,
        &options.server_limits,
        conn.streams.local_params(),
        conn.handshake.local_cid,
        told,
        Some(server),
        &mut random,
    );
    let alpn = super::pair::ALPN;
    options
        .server_crypto
        .start(version, alpn, bytes, &[])
        .unwrap()
}

/// The same, with what a server told that was honest, or silent.
fn honest_server(
    pair: &Pair,
    version: Version,
    versions: Option<&[Version]>,
) -> alloc::boxed::Box<dyn crate::crypto::Session> {
    let options = Options::default();
    let conn = &pair.server.conn;
    let provider = Arc::new(NullProvider::insecure());
    let mut random = Random::new(provider, &mut SeededEntropy::new(1));
    let told = VersionInformation::new(version.0, versions.unwrap_or_default().iter().map(|v| v.0));
    let server = ServerParams {
        original: conn.handshake.original_cid,
        retry: None,
        reset_token: ResetToken([4; 16]),
        preferred: None,
    };
    let bytes = local_params(
        &options.server,
        &options.server_limits,
        conn.streams.local_params(),
        conn.handshake.local_cid,
        told,
        Some(server),
        &mut random,
    );
    let bytes = match versions {
        Some(_) => bytes,
        None => {
            use crate::wire::params::TransportParameters;
            let mut params = TransportParameters::parse(&bytes, Side::Server).unwrap();
            params.version_information = None;
            params.encode(None)
        }
    };
    let alpn = super::pair::ALPN;
    options
        .server_crypto
        .start(version, alpn, bytes, &[])
        .unwrap()
}

#[test]
fn what_servers_tell_after_a_version_negotiation() {
    let (v1, v2) = (Version::V1, Version::V2);
    type Row<'a> = (&'a [Version], Version, Option<&'a [Version]>, bool);
    let rows: [Row<'_>; 8] = [
        // Ours, what we were sent to, what the server tells, and whether that is fine.
        (&[v2, v1], v1, Some(&[v1]), true),
        (&[v2, v1], v1, Some(&[v1, v2]), false),
        (&[v2, v1], v1, Some(&[]), false),
        // RFC 9368, section 8.
        (&[v2, v1], v1, None, true),
        (&[v1, v2], v2, Some(&[v2]), true),
        // The version in use counts as told.
        (&[v1, v2], v2, Some(&[Version(0x0a0a_0a0a)]), true),
        (&[v1, v2], v2, Some(&[v2, v1]), false),
        (&[v1, v2], v2, None, false),
    ];
    for (ours, sent_to, told, fine) in rows {
        let mut pair = pair_after(&options(ours, &[sent_to]), &[sent_to.0]);
        pair.server.conn.session = honest_server(&pair, sent_to, told);
        pair.run();
        if fine {
            assert!(pair.client.has(&Change::Confirmed), "{ours:?} {told:?}");
        } else {
            let code = TransportCode::VersionNegotiationError;
            pair.assert_fault(Side::Client, code, "versions");
        }
    }
    // Without a Version Negotiation packet silence is fine.
    let mut pair = Pair::new(&options(&[v2], &[v2]));
    pair.server.conn.session = honest_server(&pair, v2, None);
    pair.run();
    assert!(pair.client.has(&Change::Confirmed));
}

#[test]
fn only_the_first_version_negotiation_counts() {
    let options = options(&BOTH, &[Version::V1]);
    let (mut end, now, again) = told(&options, &[Version::V1.0]);
    end.receive(now, &negotiation(now, &again[0], &[Version::V2.0]));
    end.receive(now, &negotiation(now, &again[0], &[7]));
    assert_eq!(end.closed(), None);
    assert_eq!(end.conn.version(), Version::V1);
    assert!(end.transmit(now).is_empty());
}

#[test]
fn no_version_in_common() {
    let (end, _, again) = told(&options(&BOTH, &BOTH), &[0x0a0a_0a0a, 7]);
    assert_eq!(end.closed().unwrap().by, ClosedBy::Version);
    assert!(again.is_empty());
}

#[test]
fn the_deadline_of_the_handshake_stays() {
    let (end, now, _) = told(&options(&BOTH, &BOTH), &[Version::V1.0]);
    let mut conn = end.conn;
    let deadline = now + Duration::from_secs(10);
    while let Some(at) = conn.poll_timeout().filter(|at| *at <= deadline) {
        conn.handle_timeout(at);
        let mut out = vec![0; 1200];
        while conn.poll_transmit(at, &mut out).is_some() {}
        if conn.is_drained() {
            break;
        }
    }
    assert!(conn.is_drained());
}

/// The server likes version 2 better, and clients begin with version 1.
fn choosing(client: &[Version]) -> Options {
    let mut options = options(client, &BOTH);
    options.client_crypto = options.client_crypto.with_hello_padding(1500);
    options
}

fn assert_speaks(pair: &mut Pair, version: Version) {
    assert!(
        pair.client.has(&Change::Confirmed),
        "{:?}",
        pair.client.changes
    );
    assert!(
        pair.server.has(&Change::Confirmed),
        "{:?}",
        pair.server.changes
    );
    for side in [Side::Client, Side::Server] {
        assert_eq!(pair.end(side).conn.version(), version, "{side:?}");
    }
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    pair.client.conn.write(id, b"hello").unwrap();
    pair.run();
    assert_eq!(pair.server.read_all(id).0, b"hello");
}

#[test]
fn a_server_chooses_a_better_version() {
    let mut pair = Pair::new(&choosing(&[Version::V1, Version::V2]));
    assert_eq!(pair.client.conn.version(), Version::V1);
    pair.run();
    // Without a round trip more than other handshakes.
    let mut other = Pair::new(&choosing(&[Version::V2]));
    other.run();
    assert_eq!(pair.client.sent.len(), other.client.sent.len());
    assert_speaks(&mut pair, Version::V2);
}

#[test]
fn a_server_chooses_only_what_the_client_offers() {
    let mut pair = Pair::new(&choosing(&[Version::V1]));
    pair.run();
    assert_speaks(&mut pair, Version::V1);
    // Nor does it choose what it likes less.
    let mut pair = Pair::new(&options(&BOTH, &BOTH));
    pair.run();
    assert_speaks(&mut pair, Version::V2);
    let both = [Version::V1, Version::V2];
    let mut pair = Pair::new(&options(&both, &both));
    pair.run();
    assert_speaks(&mut pair, Version::V1);
}

#[test]
fn a_choice_of_version_survives_loss() {
    for lost in 0..12 {
        for side in [Side::Client, Side::Server] {
            let mut pair = Pair::new(&choosing(&[Version::V1, Version::V2]));
            pair.network = alloc::boxed::Box::new(move |from, index, _| {
                usize::from(from != side || index != lost)
            });
            pair.run_for(Duration::from_secs(8));
            assert_speaks(&mut pair, Version::V2);
        }
    }
}

#[test]
fn a_choice_of_version_survives_reordering() {
    for seed in 0..30 {
        let mut rng = SeededEntropy::new(seed);
        let mut pair = Pair::new(&choosing(&[Version::V1, Version::V2]));
        for _ in 0..100 {
            for side in [Side::Client, Side::Server] {
                let inbox = &mut pair.end(side).inbox;
                if inbox.len() > 1 {
                    let at = rng.next_u64() as usize % inbox.len();
                    inbox.swap(0, at);
                }
            }
            pair.step();
            if pair.client.has(&Change::Confirmed) && pair.server.has(&Change::Confirmed) {
                break;
            }
        }
        assert_speaks(&mut pair, Version::V2);
    }
}

#[test]
fn packets_of_the_version_before_are_read_until_the_handshake() {
    let mut pair = Pair::new(&choosing(&[Version::V1, Version::V2]));
    // The server has the hello; the client knows nothing of that yet.
    pair.run_until(|pair| pair.server.conn.version() == Version::V2);
    let before = pair.server.conn.stats().packets_received;
    let ping = super::craft::frames(&[Frame::Ping, Frame::Padding(100)]);
    assert_eq!(pair.client.conn.version(), Version::V1);
    pair.inject(Side::Client, SpaceId::Initial, &ping);
    assert_eq!(pair.server.conn.stats().packets_received, before + 1);
    pair.run();
    assert_speaks(&mut pair, Version::V2);
    assert!(pair.server.conn.handshake.negotiation.is_over());
}

#[test]
fn a_server_that_says_one_version_and_speaks_another() {
    let (v1, v2) = (Version::V1, Version::V2);
    for (speaks, says) in [(v2, v1), (v1, v2)] {
        let mut pair = Pair::new(&options(&[v1, v2], &[v1, v2]));
        let told = VersionInformation::new(says.0, [v1.0, v2.0]);
        pair.server.conn.session = server_that_tells(&pair, speaks, told);
        if speaks == v2 {
            pair.server.conn.speak(v2);
        }
        pair.run();
        let code = TransportCode::VersionNegotiationError;
        pair.assert_fault(Side::Client, code, "versions");
    }
}
