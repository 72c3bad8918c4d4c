//! Sessions resumed, with and without early data.

#![allow(missing_docs, reason = "tests")]

mod common;

use std::sync::Arc;

use common::{Authority, H3, NOW, Peer, client_of, server_of, shake};
use rcgen::PKCS_ECDSA_P256_SHA256;
use weftline::crypto::{
    ClientProvider, DirectionalKeys, ServerProvider, TAG_LEN, Ticket, TlsError, Version,
};
use weftline_rustls::{
    ClientTls, Clock, DevCertificate, MemorySessions, ServerTls, ServerTlsBuilder, TicketKeys,
    TlsConfigError,
};

const TERMS: &[u8] = b"terms";

fn dev() -> DevCertificate {
    DevCertificate::generate_at(&[], 13, &Clock::fixed(NOW)).unwrap()
}

fn trusting(dev: &DevCertificate, early_data: bool) -> ClientTls {
    let builder = ClientTls::builder().certificate_hashes(vec![dev.sha256()]);
    client_of(builder.early_data(early_data))
}

fn builder(dev: &DevCertificate) -> ServerTlsBuilder {
    ServerTls::builder(dev.identity().unwrap()).clock(Clock::fixed(NOW))
}

fn client(tls: &ClientTls, ticket: Option<Ticket>) -> Peer {
    let session = tls.start(Version::V1, "localhost", &[H3], b"client".to_vec(), ticket);
    Peer::new(session.unwrap())
}

fn server(tls: &ServerTls, version: Version, terms: &[u8]) -> Peer {
    let session = tls.start(version, &[H3], b"server".to_vec(), terms);
    Peer::new(session.unwrap())
}

fn connect(
    client_tls: &ClientTls,
    server_tls: &ServerTls,
    ticket: Option<Ticket>,
) -> Result<(Peer, Peer), TlsError> {
    let mut client = client(client_tls, ticket);
    let mut server = server(server_tls, Version::V1, TERMS);
    shake(&mut client, &mut server, 1200)?;
    Ok((client, server))
}

/// The ticket of a first connection.
fn ticket(client_tls: &ClientTls, server_tls: &ServerTls) -> Ticket {
    let (mut client, server) = connect(client_tls, server_tls, None).unwrap();
    assert!(!client.session.is_resumed() && !server.session.is_resumed());
    client.session.take_ticket().unwrap()
}

fn are_resumed(peers: &(Peer, Peer)) -> bool {
    let both = [&peers.0, &peers.1].map(|peer| peer.session.is_resumed());
    assert_eq!(both[0], both[1]);
    both[0]
}

/// Whether the server opens what the client seals.
fn carries(seal: &DirectionalKeys, open: &DirectionalKeys) -> bool {
    let mut buf = [7; 30 + TAG_LEN];
    seal.packet.seal(9, b"header", &mut buf).unwrap();
    open.packet.open(9, b"header", &mut buf) == Ok(30)
        && used(seal.header.mask(&[7; 16])) == used(open.header.mask(&[7; 16]))
}

/// The bits of a mask that packets use.
fn used([first, rest @ ..]: [u8; 5]) -> (u8, [u8; 4]) {
    (first & 0x1f, rest)
}

#[test]
fn a_second_handshake_is_shorter() {
    let dev = dev();
    let (client_tls, server_tls) = (trusting(&dev, false), server_of(dev.identity().unwrap()));
    let mut flights = Vec::new();
    let mut ticket = None;
    for round in 0..3 {
        let mut client = client(&client_tls, ticket.take());
        let mut server = server(&server_tls, Version::V1, TERMS);
        assert!(client.session.early_keys().is_none());
        client.deliver(&mut server, 1200).unwrap();
        flights.push(server.sent[1].len());
        // Not those of the first handshake, which rustls remembers.
        assert_eq!(client.session.peer_transport_parameters(), None);
        shake(&mut client, &mut server, 1200).unwrap();
        assert!(!client.session.is_handshaking());
        let parameters = client.session.peer_transport_parameters();
        assert_eq!(parameters, Some(b"server".as_slice()));
        assert_eq!(client.session.peer_certificates(), [dev.cert_der()]);
        assert_eq!(client.session.is_resumed(), round > 0);
        assert_eq!(server.session.is_resumed(), round > 0);
        ticket = client.session.take_ticket();
        assert!(ticket.is_some());
    }
    let whole = flights[0] - dev.cert_der().len();
    assert!(flights[1] < whole && flights[2] < whole, "{flights:?}");
}

#[test]
fn early_data_is_taken_once() {
    let dev = dev();
    let client_tls = trusting(&dev, true);
    let server_tls = builder(&dev).early_data(true).build().unwrap();
    let ticket = ticket(&client_tls, &server_tls);

    let mut client = client(&client_tls, Some(ticket));
    let ours = client.session.early_keys().unwrap();
    assert!(client.session.early_keys().is_none(), "once");
    let hello = client.sent[0].clone();
    let mut first = server(&server_tls, Version::V1, TERMS);
    assert!(first.session.early_keys().is_none(), "no ClientHello yet");
    shake(&mut client, &mut first, 1200).unwrap();
    let theirs = first.session.early_keys().unwrap();
    assert!(carries(&ours, &theirs));
    assert!(client.session.is_early_data_accepted());
    assert!(client.session.is_resumed());

    // Somebody says the same again.
    let mut replayed = server(&server_tls, Version::V1, TERMS);
    replayed
        .session
        .read(weftline::crypto::Level::Initial, &hello)
        .unwrap();
    replayed.pump();
    assert!(replayed.session.early_keys().is_none());
    assert!(!replayed.session.is_resumed());
}

#[test]
fn early_data_is_rejected() {
    let dev = dev();
    let client_tls = trusting(&dev, true);
    let server_tls = builder(&dev).early_data(true).build().unwrap();
    let restarted = builder(&dev).early_data(true).build().unwrap();
    let mut without = server_of(dev.identity().unwrap());
    for (mut server, resumed) in [
        (server(&server_tls, Version::V1, b"other terms"), false),
        (server(&restarted, Version::V1, TERMS), false),
        (server(&without, Version::V1, TERMS), false),
    ] {
        let ticket = ticket(&client_tls, &server_tls);
        let mut client = client(&client_tls, Some(ticket));
        assert!(client.session.early_keys().is_some());
        shake(&mut client, &mut server, 1200).unwrap();
        assert!(!client.session.is_handshaking(), "the handshake goes on");
        assert!(!client.session.is_early_data_accepted());
        assert!(server.session.early_keys().is_none());
        assert_eq!(client.session.is_resumed(), resumed);
    }

    // A server that takes none still resumes, and allows none from then on.
    let sessions = Arc::new(MemorySessions::default());
    let with = builder(&dev).early_data(true).sessions(sessions.clone());
    let with = with.build().unwrap();
    without = builder(&dev).sessions(sessions).build().unwrap();
    let ticket = ticket(&client_tls, &with);
    let (mut client_peer, server_peer) = connect(&client_tls, &without, Some(ticket)).unwrap();
    assert!(client_peer.session.is_resumed() && server_peer.session.is_resumed());
    assert!(!client_peer.session.is_early_data_accepted());
    let ticket = client_peer.session.take_ticket();
    let mut next = client(&client_tls, ticket);
    assert!(next.session.early_keys().is_none());
}

#[test]
fn a_session_is_for_one_version() {
    let dev = dev();
    let client_tls = trusting(&dev, true);
    for keys in [None, Some(TicketKeys::new(&[1; 32]))] {
        let builder = match keys {
            Some(keys) => builder(&dev).ticket_keys(keys),
            None => builder(&dev).early_data(true),
        };
        let server_tls = builder.build().unwrap();
        let ticket = ticket(&client_tls, &server_tls);
        let mut server = server(&server_tls, Version::V2, TERMS);
        let start = client_tls.start(
            Version::V2,
            "localhost",
            &[H3],
            b"client".to_vec(),
            Some(ticket),
        );
        let mut client = Peer::new(start.unwrap());
        shake(&mut client, &mut server, 1200).unwrap();
        assert!(!client.session.is_resumed() && !server.session.is_resumed());
    }
}

/// RFC 9369, sections 4 and 5: early data stays in the version it began in, and a session is for the
/// version that the connection came to.
#[test]
fn a_server_goes_over_to_another_version() {
    let dev = dev();
    let client_tls = trusting(&dev, true);
    let server_tls = builder(&dev).early_data(true).build().unwrap();
    let ticket = ticket(&client_tls, &server_tls);
    let mut first = client(&client_tls, Some(ticket));
    let mut other = server(&server_tls, Version::V2, TERMS);
    assert!(first.session.early_keys().is_some());
    assert!(first.session.set_version(Version::V2));
    shake(&mut first, &mut other, 1200).unwrap();
    assert!(!first.session.is_handshaking() && !first.session.is_resumed());
    assert!(!first.session.is_early_data_accepted());
    assert!(other.session.early_keys().is_none());
    let (ours, theirs) = (first.one_rtt.unwrap().0, other.one_rtt.unwrap().0);
    assert!(carries(&ours.local, &theirs.remote) && carries(&theirs.local, &ours.remote));

    let ticket = first.session.take_ticket();
    let start = client_tls.start(Version::V2, "localhost", &[H3], b"client".to_vec(), ticket);
    let mut next = Peer::new(start.unwrap());
    let mut server = server(&server_tls, Version::V2, TERMS);
    let ours = next.session.early_keys().unwrap();
    shake(&mut next, &mut server, 1200).unwrap();
    assert!(next.session.is_resumed() && next.session.is_early_data_accepted());
    assert!(carries(&ours, &server.session.early_keys().unwrap()));
}

/// The early data of a client that goes over to another version when the server took it has the keys
/// of the first.
#[test]
fn early_keys_are_of_the_first_version() {
    let dev = dev();
    let client_tls = trusting(&dev, true);
    let server_tls = builder(&dev).early_data(true).build().unwrap();
    let ticket = ticket(&client_tls, &server_tls);
    let mut client = client(&client_tls, Some(ticket));
    assert!(client.session.set_version(Version::V2));
    let ours = client.session.early_keys().unwrap();
    let mut server = server(&server_tls, Version::V1, TERMS);
    client.deliver(&mut server, 1200).unwrap();
    assert!(carries(&ours, &server.session.early_keys().unwrap()));
}

#[test]
fn servers_share_ticket_keys() {
    let dev = dev();
    let client_tls = trusting(&dev, true);
    let keys = TicketKeys::new(&[1; 32]);
    let build = |keys: &TicketKeys| builder(&dev).ticket_keys(keys.clone()).build().unwrap();
    let (first, second) = (build(&keys), build(&TicketKeys::new(&[1; 32])));

    let shared = ticket(&client_tls, &first);
    let mut peers = connect(&client_tls, &second, Some(shared)).unwrap();
    assert!(are_resumed(&peers));
    assert!(peers.1.session.early_keys().is_none());

    // One turn of the keys later it still opens, two turns later it does not.
    let (one, two) = (ticket(&client_tls, &first), ticket(&client_tls, &first));
    keys.rotate(&[2; 32]);
    peers = connect(&client_tls, &first, Some(one)).unwrap();
    assert!(are_resumed(&peers));
    keys.rotate(&[3; 32]);
    peers = connect(&client_tls, &first, Some(two)).unwrap();
    assert!(!are_resumed(&peers));

    let error = builder(&dev).ticket_keys(keys).early_data(true).build();
    assert!(matches!(error, Err(TlsConfigError::EarlyDataInTickets)));
}

#[test]
fn trust_is_not_resumed() {
    // A client with other trust does not take over the trust of the first.
    let dev = dev();
    let (first, other) = (trusting(&dev, true), trusting(&dev, true));
    let server_tls = server_of(dev.identity().unwrap());
    let ticket_of_first = ticket(&first, &server_tls);
    let peers = connect(&other, &server_tls, Some(ticket_of_first)).unwrap();
    assert!(!are_resumed(&peers));

    // A server that demands certificates does not resume what another one let in.
    let keys = TicketKeys::new(&[1; 32]);
    let open = builder(&dev).ticket_keys(keys.clone()).build().unwrap();
    let ca = Authority::new(&PKCS_ECDSA_P256_SHA256);
    let strict = builder(&dev).ticket_keys(keys).client_ca_pem(ca.pem());
    let strict = strict.build().unwrap();
    let stolen = ticket(&first, &open);
    let refused = connect(&first, &strict, Some(stolen)).err().unwrap();
    assert_eq!(refused.alert, 116, "{refused}");
}

#[test]
fn what_is_no_ticket_is_ignored() {
    let dev = dev();
    let (client_tls, server_tls) = (trusting(&dev, true), server_of(dev.identity().unwrap()));
    let peers = connect(&client_tls, &server_tls, Some(Ticket::new("nonsense"))).unwrap();
    assert!(!are_resumed(&peers));
}
