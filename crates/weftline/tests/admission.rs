//! Who gets into a server: Retry, tokens, the application's word, and versions.

#[path = "support/door.rs"]
mod door;

use std::{sync::Arc, time::Duration};

use door::{Door, Guest, Pocket, SERVER, client_config, host, sent, server};
use weftline::{
    DropReason, Endpoint, Instant, Received,
    config::{Admission, ClientConfig, EndpointConfig, ServerConfig, ServerSecrets},
    crypto::{
        Version,
        null::{NullClient, NullServer},
    },
    entropy::SeededEntropy,
    error::TransportCode,
    event::ClosedBy,
};

const SECRET: ServerSecrets = ServerSecrets::new([1; 32]);

fn retrying() -> Door {
    Door::new(|config| config.admission(Admission::Retry))
}

/// Whether the server sent a Retry for the first of these datagrams, and took the second.
fn was_sent_away_first(received: &[Received]) -> bool {
    match received {
        [Received::Answered, Received::Accepted(_), ..] => true,
        [Received::Accepted(_), ..] => false,
        other => panic!("{other:?}"),
    }
}

/// A client that was here before has a token now.
fn token_of(door: &mut Door) -> Vec<u8> {
    let pocket = Pocket::default();
    let mut guest = door.guest(host(1, 5000), client_config(Some(&pocket)));
    door.visit(&mut guest);
    assert!(guest.is_established());
    pocket.tokens().pop().expect("a token")
}

/// A client that shows this token gets in; whether at once.
fn is_let_in_at_once(door: &mut Door, from: Guest) -> bool {
    let mut guest = from;
    let received = door.visit(&mut guest);
    assert!(guest.is_established(), "{received:?}");
    !was_sent_away_first(&received)
}

fn showing(door: &mut Door, address: std::net::SocketAddr, token: &[u8]) -> Guest {
    let pocket = Pocket::holding(token);
    door.guest(address, client_config(Some(&pocket)))
}

#[test]
fn a_retry_costs_the_server_nothing() {
    let mut door = retrying();
    let mut guest = door.guest(host(1, 5000), client_config(None));
    let mut first = sent(&mut guest.endpoint, door.now);
    let received = door.knock(guest.address, &mut first[0]);
    assert_eq!(received, Received::Answered);
    assert!(door.server.is_empty());
    let answers = door.answers();
    // Version 1, Retry; and not more than came.
    assert_eq!(answers[0].1[0] & 0xf0, 0xf0);
    assert!(answers[0].1.len() < 200);
    let mut answer = answers[0].1.clone();
    let meta = door::from(SERVER);
    guest.endpoint.handle_datagram(door.now, meta, &mut answer);
    let received = door.visit(&mut guest);
    assert!(matches!(received[0], Received::Accepted(_)));
    assert!(guest.is_established());
    assert_eq!(guest.closed, None);
}

#[test]
fn a_client_that_was_here_before_is_let_in_at_once() {
    let mut door = retrying();
    let mut guest = door.guest(host(1, 5000), client_config(None));
    assert!(was_sent_away_first(&door.visit(&mut guest)));
    // Another connection of the same endpoint, from another port.
    guest.address = host(1, 6000);
    for at_once in [true, true] {
        let config = client_config(None);
        let id = guest
            .endpoint
            .connect(door.now, SERVER, "door.test", config);
        guest.id = id.unwrap();
        let received = door.visit(&mut guest);
        assert!(guest.is_established());
        assert_eq!(!was_sent_away_first(&received), at_once);
    }
    // Of another server there is no token.
    let id = guest
        .endpoint
        .connect(door.now, SERVER, "other.test", client_config(None));
    guest.id = id.unwrap();
    assert!(was_sent_away_first(&door.visit(&mut guest)));
}

#[test]
fn a_client_may_do_without_tokens() {
    let mut door = retrying();
    let config = ClientConfig::builder(Arc::new(NullClient::insecure())).without_tokens();
    let config = Arc::new(config.build().unwrap());
    let mut guest = door.guest(host(1, 5000), config.clone());
    for _ in 0..2 {
        assert!(was_sent_away_first(&door.visit(&mut guest)));
        let id = guest
            .endpoint
            .connect(door.now, SERVER, "door.test", config.clone());
        guest.id = id.unwrap();
    }
}

#[test]
fn a_token_counts_once() {
    let mut door = retrying();
    let token = token_of(&mut door);
    for at_once in [true, false, false] {
        let guest = showing(&mut door, host(1, 5001), &token);
        assert_eq!(is_let_in_at_once(&mut door, guest), at_once);
    }
}

#[test]
fn a_token_is_for_one_address() {
    let mut door = retrying();
    let token = token_of(&mut door);
    let elsewhere = showing(&mut door, host(9, 5000), &token);
    assert!(!is_let_in_at_once(&mut door, elsewhere));
    // It was not used up by that.
    let here = showing(&mut door, host(1, 1), &token);
    assert!(is_let_in_at_once(&mut door, here));
}

#[test]
fn tokens_of_no_use_are_like_none() {
    let mut door = retrying();
    let good = token_of(&mut door);
    let mut touched = good.clone();
    touched[30] ^= 1;
    let cut = &good[..good.len() - 1];
    for token in [&touched[..], cut, b"of another kind of server", &[0x5e]] {
        let guest = showing(&mut door, host(1, 5000), token);
        assert!(!is_let_in_at_once(&mut door, guest));
    }
    // Too late.
    door.now += Duration::from_secs(25 * 60 * 60);
    let guest = showing(&mut door, host(1, 5000), &good);
    assert!(!is_let_in_at_once(&mut door, guest));
}

#[test]
fn a_token_is_for_one_version() {
    let mut door = retrying();
    let token = token_of(&mut door);
    let config = ClientConfig::builder(Arc::new(NullClient::insecure()))
        .token_store(Arc::new(Pocket::holding(&token)))
        .with_transport(|transport| transport.versions = vec![Version::V2]);
    let guest = door.guest(host(1, 5000), Arc::new(config.build().unwrap()));
    assert!(!is_let_in_at_once(&mut door, guest));
}

#[test]
fn servers_may_give_no_tokens() {
    let lifetime = Duration::from_secs(15);
    let mut door = Door::new(|config| config.token_lifetimes(lifetime, Duration::ZERO));
    let pocket = Pocket::default();
    let mut guest = door.guest(host(1, 5000), client_config(Some(&pocket)));
    door.visit(&mut guest);
    assert!(guest.is_established());
    assert!(pocket.tokens().is_empty());
}

/// A client that followed a Retry, and the datagram with which it comes again.
fn followed(door: &mut Door) -> (Guest, Vec<u8>) {
    let mut guest = door.guest(host(1, 5000), client_config(None));
    door.exchange(&mut guest);
    let again = sent(&mut guest.endpoint, door.now).remove(0);
    (guest, again)
}

/// The server refuses this datagram from there with INVALID_TOKEN.
#[track_caller]
fn assert_invalid(door: &mut Door, guest: &mut Guest, port: u16, mut datagram: Vec<u8>) {
    let from = host(1, port);
    assert_eq!(door.knock(from, &mut datagram), Received::Answered);
    assert!(door.server.is_empty());
    let (to, mut answer) = door.answers().remove(0);
    assert_eq!(to, from);
    let meta = door::from(SERVER);
    guest.endpoint.handle_datagram(door.now, meta, &mut answer);
    door.exchange(guest);
    let invalid = TransportCode::InvalidToken as u64;
    let reason = guest.closed.as_ref().expect("it was told");
    assert_eq!((reason.by, reason.code), (ClosedBy::Peer, invalid));
}

#[test]
fn tokens_of_a_retry_are_for_one_attempt() {
    // Another port.
    let mut door = retrying();
    let (mut guest, again) = followed(&mut door);
    assert_invalid(&mut door, &mut guest, 5001, again);
    // Too late.
    let mut door = retrying();
    let (mut guest, again) = followed(&mut door);
    door.now += Duration::from_secs(16);
    assert_invalid(&mut door, &mut guest, 5000, again);
    // Other secrets.
    let mut door = retrying();
    let (mut guest, again) = followed(&mut door);
    door.server.set_secrets(SECRET);
    assert_invalid(&mut door, &mut guest, 5000, again);
    // Touched. The token comes after the flags, the version, two IDs and its length.
    let mut door = retrying();
    let (mut guest, mut again) = followed(&mut door);
    again[1 + 4 + 9 + 9 + 2 + 20] ^= 1;
    assert_invalid(&mut door, &mut guest, 5000, again);
    // As it should be.
    let mut door = retrying();
    let (mut guest, mut again) = followed(&mut door);
    let received = door.knock(guest.address, &mut again);
    assert!(matches!(received, Received::Accepted(_)));
    door.visit(&mut guest);
    assert!(guest.is_established());
}

#[test]
fn secrets_may_change() {
    let mut door = Door::new(|config| config.admission(Admission::Retry).secrets(SECRET));
    let token = token_of(&mut door);
    let (mut guest, _) = followed(&mut door);
    let rotated = SECRET.rotated([2; 32]);
    door.server.set_secrets(rotated);
    // What is under way goes on.
    door.visit(&mut guest);
    assert!(!guest.is_established(), "its second datagram is lost");
    door.now += Duration::from_secs(2);
    guest.endpoint.handle_timeout(door.now);
    door.visit(&mut guest);
    assert!(guest.is_established());
    let guest = showing(&mut door, host(1, 1), &token);
    assert!(is_let_in_at_once(&mut door, guest));
    let token = token_of(&mut door);
    door.server
        .set_secrets(rotated.rotated([3; 32]).rotated([4; 32]));
    let guest = showing(&mut door, host(1, 1), &token);
    assert!(!is_let_in_at_once(&mut door, guest));
}

#[test]
fn servers_share_secrets_and_a_clock() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let door = |origin| {
        let config = move |config: EndpointConfig| {
            let config = config.admission(Admission::Retry).secrets(SECRET);
            config.unix_origin(origin)
        };
        Door::new(config)
    };
    let origin = 20_000 * DAY;
    let token = token_of(&mut door(origin));
    // Started two days later by the clocks on the wall, a minute later, or a minute before.
    let minute = Duration::from_secs(60);
    for (origin, counts) in [
        (origin + 2 * DAY, false),
        (origin + minute, true),
        (origin - minute, false),
        (origin - Duration::from_secs(5), true),
    ] {
        let mut other = door(origin);
        let guest = showing(&mut other, host(1, 1), &token);
        assert_eq!(is_let_in_at_once(&mut other, guest), counts, "{origin:?}");
    }
}

#[test]
fn a_server_that_starts_anew_resets_connections_by_either_secret() {
    let keep_alive = Duration::from_millis(500);
    let config = ClientConfig::builder(Arc::new(NullClient::insecure()))
        .with_transport(|transport| transport.keep_alive = Some(keep_alive));
    let config = Arc::new(config.build().unwrap());
    let resets_until_closed = |secrets: ServerSecrets| {
        let mut door = Door::new(|config| config.secrets(SECRET));
        let mut guest = door.guest(host(1, 5000), config.clone());
        door.visit(&mut guest);
        assert!(guest.is_established());
        door.server = server(|_| {}, |config| config.secrets(secrets));
        door.received.clear();
        for _ in 0..20 {
            door.now += keep_alive;
            guest.endpoint.handle_timeout(door.now);
            door.exchange(&mut guest);
            if let Some(reason) = &guest.closed {
                assert_eq!(reason.by, ClosedBy::Reset);
                return Some(door.received.len());
            }
        }
        None
    };
    assert_eq!(resets_until_closed(SECRET), Some(1));
    assert!(resets_until_closed(SECRET.rotated([2; 32])).is_some());
    let forgotten = SECRET.rotated([2; 32]).rotated([3; 32]);
    assert_eq!(resets_until_closed(forgotten), None);
}

#[test]
fn retry_above_so_many_handshakes() {
    let mut door = Door::new(|config| config.admission(Admission::RetryAbove(2)));
    // Two that never go on.
    for port in [1, 2] {
        let mut guest = door.guest(host(7, port), client_config(None));
        let mut first = sent(&mut guest.endpoint, door.now);
        let received = door.knock(guest.address, &mut first[0]);
        assert!(matches!(received, Received::Accepted(_)));
    }
    let guest = door.guest(host(1, 5000), client_config(None));
    assert!(!is_let_in_at_once(&mut door, guest));
    // When those are given up, nobody is sent away.
    door.now += Duration::from_secs(11);
    door.server.handle_timeout(door.now);
    door.answers();
    while door.server.poll_event().is_some() {}
    let guest = door.guest(host(1, 5001), client_config(None));
    assert!(is_let_in_at_once(&mut door, guest));
}

fn asking() -> Door {
    Door::new(|config| config.admission(Admission::Ask))
}

#[test]
fn the_application_is_asked() {
    let mut door = asking();
    let mut guest = door.guest(host(1, 5000), client_config(None));
    door.visit(&mut guest);
    assert!(door.server.is_empty() && !guest.is_established());
    let [incoming] = &door.incoming[..] else {
        panic!("{:?}", door.incoming);
    };
    let incoming = incoming.clone();
    assert_eq!(incoming.remote, host(1, 5000));
    assert_eq!(incoming.version, Version::V1);
    assert_eq!(incoming.server_name.as_deref(), Some("door.test"));
    assert_eq!(incoming.alpn, [b"h3".to_vec()]);
    assert!(!incoming.is_validated && incoming.may_retry);
    assert!(door.server.accept(incoming.id).is_some());
    door.visit(&mut guest);
    assert!(guest.is_established());
    // It waits no more.
    assert_eq!(door.server.accept(incoming.id), None);
    assert!(!door.server.retry(incoming.id));
}

#[test]
fn the_application_refuses() {
    let mut door = asking();
    let mut guest = door.guest(host(1, 5000), client_config(None));
    door.exchange(&mut guest);
    let id = door.incoming[0].id;
    door.server.refuse(id);
    door.visit(&mut guest);
    let refused = TransportCode::ConnectionRefused as u64;
    assert_eq!(guest.close_code(), Some(refused));
}

#[test]
fn the_application_has_a_client_prove_its_address() {
    let mut door = asking();
    let mut guest = door.guest(host(1, 5000), client_config(None));
    door.exchange(&mut guest);
    assert!(door.server.retry(door.incoming[0].id));
    door.exchange(&mut guest);
    door.exchange(&mut guest);
    let [first, second] = &door.incoming[..] else {
        panic!("{:?}", door.incoming);
    };
    assert!(second.is_validated && !second.may_retry);
    assert_eq!(first.original_cid, second.original_cid);
    let id = second.id;
    assert!(!door.server.retry(id), "it has followed one");
    assert!(door.server.accept(id).is_some());
    door.visit(&mut guest);
    assert!(guest.is_established());
}

#[test]
fn the_application_ignores() {
    let mut door = asking();
    let mut guest = door.guest(host(1, 5000), client_config(None));
    door.exchange(&mut guest);
    door.server.ignore(door.incoming[0].id);
    assert!(door.answers().is_empty());
    assert_eq!(door.server.poll_timeout(), None);
}

#[test]
fn who_gets_no_answer_is_forgotten() {
    let mut door = asking();
    let mut guest = door.guest(host(1, 5000), client_config(None));
    door.exchange(&mut guest);
    let at = door.server.poll_timeout().unwrap();
    assert_eq!(at, door.now + Duration::from_secs(10));
    door.server.handle_timeout(at);
    assert_eq!(door.server.poll_timeout(), None);
    assert_eq!(door.server.accept(door.incoming[0].id), None);
}

#[test]
fn packets_that_do_not_open_ask_nobody() {
    let mut door = asking();
    let mut guest = door.guest(host(1, 5000), client_config(None));
    let mut first = sent(&mut guest.endpoint, door.now).remove(0);
    first[600] ^= 1;
    let received = door.knock(guest.address, &mut first);
    assert_eq!(received, Received::Dropped(DropReason::InvalidInitial));
    assert!(door.incoming.is_empty());
}

#[test]
fn whoever_waits_is_gone_when_the_server_stops_accepting() {
    let mut door = asking();
    let mut guest = door.guest(host(1, 5000), client_config(None));
    door.exchange(&mut guest);
    door.server.stop_accepting();
    assert_eq!(door.server.accept(door.incoming[0].id), None);
    assert_eq!(door.server.poll_timeout(), None);
}

#[test]
fn our_own_handshakes_leave_room_for_clients() {
    let mut door = Door::of(server(|limits| limits.handshakes = 1, |config| config));
    for port in 0..5 {
        let to = host(9, port);
        let config = client_config(None);
        door.server.connect(door.now, to, "x", config).unwrap();
    }
    door.answers();
    let guest = door.guest(host(1, 5000), client_config(None));
    assert!(is_let_in_at_once(&mut door, guest));
}

#[test]
fn an_endpoint_of_clients_has_limits_of_its_own() {
    let config = EndpointConfig::client().with_limits(|limits| limits.connections = 1);
    let mut endpoint = Endpoint::new(config, Box::new(SeededEntropy::new(1)));
    let mut connect = || endpoint.connect(Instant::ZERO, SERVER, "x", client_config(None));
    assert!(connect().is_ok());
    assert!(connect().is_err());
}

/// A client and a server that speak these versions; the version they found.
fn version_between(client: &[Version], server: &[Version]) -> Option<Version> {
    let config = ServerConfig::builder(Arc::new(NullServer::insecure()))
        .with_transport(|transport| transport.versions = server.to_vec());
    let config = EndpointConfig::server(Arc::new(config.build().unwrap()));
    let config = config.admission(Admission::Retry);
    let mut door = Door::of(Endpoint::new(config, Box::new(SeededEntropy::new(2))));
    let config = ClientConfig::builder(Arc::new(NullClient::insecure()))
        .with_transport(|transport| transport.versions = client.to_vec());
    let mut guest = door.guest(host(1, 5000), Arc::new(config.build().unwrap()));
    door.visit(&mut guest);
    if !guest.is_established() {
        let closed = guest.closed.expect("it gave up");
        assert_eq!(closed.by, ClosedBy::Version);
        return None;
    }
    let connection = guest.endpoint.connection(guest.id)?;
    Some(connection.version())
}

#[test]
fn versions_in_common_are_found_and_retried() {
    let (v1, v2) = (Version::V1, Version::V2);
    assert_eq!(version_between(&[v1], &[v1, v2]), Some(v1));
    assert_eq!(version_between(&[v2], &[v1, v2]), Some(v2));
    assert_eq!(version_between(&[v2, v1], &[v1]), Some(v1));
    assert_eq!(version_between(&[v1, v2], &[v2]), Some(v2));
    assert_eq!(version_between(&[v1], &[v2]), None);
    // The server's choice, also after its Retry in the version that the client began with.
    assert_eq!(version_between(&[v1, v2], &[v2, v1]), Some(v2));
    assert_eq!(version_between(&[v1, v2], &[v1, v2]), Some(v1));
}
