//! Handshakes between our own client and server, through the traits that the core uses.

#![allow(missing_docs, reason = "tests")]

mod common;

use std::sync::Arc;

use common::{Authority, H3, NOW, Peer, client_of, server_of, shake, start};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};
use rustls::{
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
    quic::ServerConnection,
    sign::SingleCertAndKey,
};
use weftline::crypto::{
    ClientProvider, CryptoError, Hello, KeyChange, Keys, Level, PacketKey, ServerProvider, TAG_LEN,
    TlsError, Version,
};
use weftline::wire::HelloError;
use weftline_rustls::{
    CipherSuite, ClientTls, ClientTlsBuilder, Clock, DevCertificate, Identity, ServerTls, hash,
};

const DAY: u64 = 24 * 60 * 60;

fn dev() -> DevCertificate {
    DevCertificate::generate_at(&[], 13, &Clock::fixed(NOW)).unwrap()
}

fn trusting(hashes: Vec<[u8; 32]>) -> ClientTls {
    client_of(ClientTls::builder().certificate_hashes(hashes))
}

/// Seals with one key and opens with the other.
fn carries(seal: &dyn PacketKey, open: &dyn PacketKey) -> bool {
    let mut buf = [7; 30 + TAG_LEN];
    seal.seal(9, b"header", &mut buf).unwrap();
    open.open(9, b"header", &mut buf) == Ok(30) && buf[..30] == [7; 30]
}

#[test]
fn complete_in_any_fragments() {
    let dev = dev();
    let server = server_of(dev.identity().unwrap());
    for (version, step) in [
        (Version::V1, 1),
        (Version::V1, 7),
        (Version::V1, 1200),
        (Version::V2, 100_000),
    ] {
        // A client of its own each time, so that nothing is resumed.
        let client = trusting(vec![dev.sha256()]);
        let (mut client, mut server) = start(&client, &server, version, "localhost", &[b"x", H3]);
        assert!(client.session.is_handshaking() && server.session.is_handshaking());
        shake(&mut client, &mut server, step).unwrap();

        assert!(!client.session.is_handshaking() && !server.session.is_handshaking());
        assert_eq!(client.session.alpn(), Some(H3));
        assert_eq!(server.session.alpn(), Some(H3));
        assert_eq!(server.session.server_name(), Some("localhost"));
        assert_eq!(client.session.server_name(), None);
        assert_eq!(
            client.session.peer_transport_parameters(),
            Some(&b"from server"[..])
        );
        assert_eq!(
            server.session.peer_transport_parameters(),
            Some(&b"from client"[..])
        );
        assert_eq!(client.session.peer_certificates(), [dev.cert_der()]);
        assert!(server.session.peer_certificates().is_empty());

        let (a, b) = (client.handshake.unwrap(), server.handshake.unwrap());
        assert!(carries(&*a.local.packet, &*b.remote.packet));
        assert!(carries(&*b.local.packet, &*a.remote.packet));
        assert!(!carries(&*a.local.packet, &*b.local.packet));
        assert_eq!(
            a.local.header.mask(&[7; 16]),
            b.remote.header.mask(&[7; 16])
        );

        let ((x, mut x_next), (y, mut y_next)) = (client.one_rtt.unwrap(), server.one_rtt.unwrap());
        assert!(carries(&*x.local.packet, &*y.remote.packet));
        assert!(carries(&*y.local.packet, &*x.remote.packet));
        let mut old = x.local.packet;
        for _ in 0..3 {
            let (x, y) = (x_next.next(), y_next.next());
            assert!(carries(&*x.local, &*y.remote) && carries(&*y.local, &*x.remote));
            assert!(!carries(&*old, &*y.remote));
            old = x.local;
        }
    }
}

/// The server's keys are rustls's own; the client makes its own when it follows.
#[test]
fn a_client_follows_to_another_version() {
    let dev = dev();
    let (v1, v2) = (Version::V1, Version::V2);
    for suite in CipherSuite::ALL {
        for (from, to, step) in [(v1, v2, 1200), (v1, v2, 1), (v2, v1, 1200)] {
            let builder = ClientTls::builder().certificate_hashes(vec![dev.sha256()]);
            let client = client_of(builder.cipher_suites([suite]));
            assert!(client.can_change_version());
            let server = server_of(dev.identity().unwrap());
            let client = client.start(from, "localhost", &[H3], b"from client".to_vec(), None);
            let server = server.start(to, &[H3], b"from server".to_vec(), b"terms");
            let (mut client, mut server) = (Peer::new(client.unwrap()), Peer::new(server.unwrap()));
            assert!(!client.session.set_version(Version(7)), "unknown");
            assert!(!server.session.set_version(to), "a server");
            assert!(client.session.set_version(to));
            assert!(!client.session.set_version(from), "once");
            shake(&mut client, &mut server, step).unwrap();
            assert!(!client.session.is_handshaking() && !server.session.is_handshaking());

            let (a, b) = (client.handshake.unwrap(), server.handshake.unwrap());
            assert_match(&a, &b);
            let (x, mut x_next) = client.one_rtt.unwrap();
            let (y, mut y_next) = server.one_rtt.unwrap();
            assert_match(&x, &y);
            assert!(!carries(&*a.local.packet, &*y.remote.packet));
            let mut old = x.local.packet;
            for _ in 0..3 {
                let (x, y) = (x_next.next(), y_next.next());
                assert!(carries(&*x.local, &*y.remote) && carries(&*y.local, &*x.remote));
                assert!(!carries(&*old, &*y.remote));
                old = x.local;
            }
        }
    }
}

/// Both directions carry, and the limits are the same.
fn assert_match(a: &Keys, b: &Keys) {
    for (sends, receives) in [(&a.local, &b.remote), (&b.local, &a.remote)] {
        assert!(carries(&*sends.packet, &*receives.packet));
        let used = |[first, rest @ ..]: [u8; 5]| (first & 0x1f, rest);
        for sample in [[7; 16], [9; 16]] {
            let masks = [&sends.header, &receives.header].map(|key| used(key.mask(&sample)));
            assert_eq!(masks[0], masks[1]);
        }
        let limits = |key: &dyn PacketKey| (key.confidentiality_limit(), key.integrity_limit());
        assert_eq!(limits(&*sends.packet), limits(&*receives.packet));
    }
    for key in [&a.local.packet, &a.remote.packet] {
        for len in 0..TAG_LEN {
            assert!(key.seal(0, b"", &mut vec![0; len]).is_err());
            assert!(key.open(0, b"", &mut vec![0; len]).is_err());
        }
        // A changed byte anywhere is noticed.
        let mut sealed = [7; 30 + TAG_LEN];
        key.seal(9, b"header", &mut sealed).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed;
            changed[at] ^= 1;
            assert!(key.open(9, b"header", &mut changed).is_err());
        }
        assert!(key.open(9, b"Header", &mut sealed.clone()).is_err());
        assert!(key.open(8, b"header", &mut sealed).is_err());
    }
}

#[test]
fn a_client_that_heard_the_server_stays_in_its_version() {
    let dev = dev();
    let (client, server) = (
        trusting(vec![dev.sha256()]),
        server_of(dev.identity().unwrap()),
    );
    let (mut client, mut server) = start(&client, &server, Version::V1, "localhost", &[H3]);
    client.deliver(&mut server, 1200).unwrap();
    let hello = std::mem::take(&mut server.sent[0]);
    client.session.read(Level::Initial, &hello[..1]).unwrap();
    assert!(!client.session.set_version(Version::V2));
    client.session.read(Level::Initial, &hello[1..]).unwrap();
    client.pump();
    shake(&mut client, &mut server, 1200).unwrap();
    assert_match(&client.one_rtt.unwrap().0, &server.one_rtt.unwrap().0);
}

/// The user's key log has the same lines whether the client follows or not.
#[test]
fn key_logs_of_clients_that_follow() {
    let dev = dev();
    let labels = |follows: bool| {
        let path = common::file(&format!("follows-{follows}.keys"), "");
        let builder = ClientTls::builder().certificate_hashes(vec![dev.sha256()]);
        let client = client_of(builder.key_log_file(&path));
        let server = server_of(dev.identity().unwrap());
        let client = client.start(Version::V1, "localhost", &[H3], b"c".to_vec(), None);
        let version = if follows { Version::V2 } else { Version::V1 };
        let server = server.start(version, &[H3], b"s".to_vec(), b"terms");
        let (mut client, mut server) = (Peer::new(client.unwrap()), Peer::new(server.unwrap()));
        if follows {
            assert!(client.session.set_version(version));
        }
        shake(&mut client, &mut server, 1200).unwrap();
        let log = std::fs::read_to_string(path).unwrap();
        let label = |line: &str| line.split(' ').next().unwrap().to_owned();
        log.lines().map(label).collect::<Vec<_>>()
    };
    let stays = labels(false);
    assert_eq!(stays.len(), 5, "{stays:?}");
    assert_eq!(stays, labels(true));
}

#[test]
fn exports_agree() {
    let dev = dev();
    let (client, server) = (
        trusting(vec![dev.sha256()]),
        server_of(dev.identity().unwrap()),
    );
    let (mut client, mut server) = start(&client, &server, Version::V1, "localhost", &[H3]);
    let export = |peer: &Peer, context: &[u8]| {
        let mut out = [0; 40];
        let done = peer
            .session
            .export_keying_material(&mut out, b"label", context);
        done.map(|()| out)
    };
    assert_eq!(export(&client, b"c"), Err(CryptoError));
    shake(&mut client, &mut server, 1200).unwrap();
    let exported = export(&client, b"c").unwrap();
    assert_eq!(export(&server, b"c"), Ok(exported));
    assert_ne!(export(&server, b"d"), Ok(exported));
}

/// Shakes hands with a client that trusts the server's certificate by hash.
fn by_hash(authority: &Authority, not_before: u64, not_after: u64) -> Result<(), TlsError> {
    let identity = authority.self_signed(not_before, not_after);
    let client = trusting(vec![[0; 32], identity.sha256()]);
    // The server does not mind its own dates here: it lives in the middle of them.
    let clock = Clock::fixed((not_before + not_after) / 2);
    let server = ServerTls::builder(identity).clock(clock).build().unwrap();
    let (mut client, mut server) = start(&client, &server, Version::V1, "any.name", &[H3]);
    shake(&mut client, &mut server, 1200)
}

#[test]
fn hash_rules() {
    let p256 = Authority::new(&PKCS_ECDSA_P256_SHA256);
    assert_eq!(by_hash(&p256, NOW, NOW), Ok(()));
    assert_eq!(by_hash(&p256, NOW, NOW + 14 * DAY), Ok(()));
    assert_eq!(by_hash(&p256, NOW - 14 * DAY, NOW), Ok(()));

    let refused = |authority: &Authority, not_before, not_after, alert, reason: &str| {
        let error = by_hash(authority, not_before, not_after).unwrap_err();
        assert_eq!((error.alert, &*error.reason), (alert, reason));
    };
    refused(
        &p256,
        NOW,
        NOW + 14 * DAY + 1,
        43,
        "the server's certificate is valid for 15 days, but trust by hash allows 14",
    );
    refused(
        &p256,
        NOW - DAY,
        NOW - 1,
        45,
        "the server's certificate expired on 2026-09-21 14:13 UTC",
    );
    refused(
        &p256,
        NOW + 1,
        NOW + DAY,
        45,
        "the server's certificate is valid only from 2026-09-21 14:13 UTC on",
    );
    refused(
        &Authority::new(&PKCS_RSA_SHA256),
        NOW,
        NOW + DAY,
        43,
        "the server's certificate has a key of kind RSA, but trust by hash demands ECDSA P-256",
    );
    refused(
        &Authority::new(&PKCS_ECDSA_P384_SHA384),
        NOW,
        NOW + DAY,
        43,
        "the server's certificate has a key of kind ECDSA with another curve, but trust by hash \
         demands ECDSA P-256",
    );
}

#[test]
fn a_wrong_hash_shows_both() {
    let (dev, other) = (dev(), dev());
    let (client, server) = (
        trusting(vec![other.sha256()]),
        server_of(dev.identity().unwrap()),
    );
    let (mut client, mut server) = start(&client, &server, Version::V1, "localhost", &[H3]);
    let error = shake(&mut client, &mut server, 1200).unwrap_err();
    assert_eq!(error.alert, 46);
    assert_eq!(
        error.reason,
        format!(
            "the server's certificate has SHA-256 {}, but the trusted one is {}",
            hash::hex(&dev.sha256()),
            hash::hex(&other.sha256())
        )
    );
    assert!(client.session.is_handshaking() && client.one_rtt.is_none());
}

/// Whoever copies a trusted certificate lacks its key.
#[test]
fn a_stolen_certificate_is_refused() {
    let (dev, thief) = (dev(), dev());
    let provider = Arc::new(ring::default_provider());
    let key = PrivateKeyDer::from_pem_slice(thief.key_pem().as_bytes()).unwrap();
    let stolen = rustls::sign::CertifiedKey::new(
        vec![dev.cert_der().to_vec().into()],
        provider.key_provider.load_private_key(key).unwrap(),
    );
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(stolen)));
    let clients = [
        ClientTls::builder().certificate_hashes(vec![dev.sha256()]),
        ClientTls::builder().insecure_no_verification(),
        ClientTls::builder().ca_pem(dev.cert_pem()),
    ];
    for builder in clients {
        let client = client_of(builder).start(Version::V1, "localhost", &[], b"c".to_vec(), None);
        let mut client = Peer::new(client.unwrap());
        let mut server = ServerConnection::new(
            Arc::new(config.clone()),
            rustls::quic::Version::V1,
            b"s".to_vec(),
        )
        .unwrap();
        server.read_hs(&client.sent[0]).unwrap();
        let (mut hello, mut rest) = (Vec::new(), Vec::new());
        assert!(server.write_hs(&mut hello).is_some());
        assert!(server.write_hs(&mut rest).is_some());
        client.session.read(Level::Initial, &hello).unwrap();
        client.pump();
        let error = client.session.read(Level::Handshake, &rest).unwrap_err();
        assert_eq!(error.alert, 51, "{error}");
    }
}

#[test]
fn trust_by_authority() {
    let ca = Authority::new(&PKCS_ECDSA_P256_SHA256);
    let other = Authority::new(&PKCS_ECDSA_P256_SHA256);
    let server = server_of(ca.issue(&["a.test", "127.0.0.1"], NOW - DAY, NOW + 90 * DAY));
    let expired = ca.issue(&["a.test"], NOW - 2 * DAY, NOW - DAY);
    let expired = ServerTls::builder(expired)
        .clock(Clock::fixed(NOW - DAY))
        .build()
        .unwrap();
    let connect = |builder: ClientTlsBuilder, server: &ServerTls, name: &str| {
        let (mut client, mut server) = start(&client_of(builder), server, Version::V1, name, &[H3]);
        shake(&mut client, &mut server, 1200).map_err(|error| (error.alert, error.reason))
    };
    let trusting = |ca: &Authority| ClientTls::builder().ca_pem(ca.pem());

    assert_eq!(connect(trusting(&ca), &server, "a.test"), Ok(()));
    assert_eq!(connect(trusting(&ca), &server, "127.0.0.1"), Ok(()));
    let file = common::file("trust_by_authority.pem", &ca.pem());
    assert_eq!(
        connect(ClientTls::builder().ca_file(&file), &server, "a.test"),
        Ok(())
    );
    assert_eq!(
        connect(trusting(&ca), &server, "b.test"),
        Err((
            42,
            "the server's certificate is not for b.test, but for a.test, 127.0.0.1".into()
        ))
    );
    assert_eq!(
        connect(trusting(&ca), &expired, "a.test"),
        Err((
            45,
            "the server's certificate expired on 2026-09-20 14:13 UTC".into()
        ))
    );
    let (alert, reason) = connect(trusting(&other), &server, "a.test").unwrap_err();
    assert_eq!(alert, 48);
    assert!(
        reason.starts_with("the server's certificate (SHA-256 "),
        "{reason}"
    );
    assert!(
        reason.ends_with(") is not signed by an authority given to trust"),
        "{reason}"
    );
    let file = common::file("trust_by_authority_other.pem", &other.pem());
    let (_, reason) = connect(ClientTls::builder().ca_file(&file), &server, "a.test").unwrap_err();
    let whom = format!(" is not signed by an authority in {}", file.display());
    assert!(reason.ends_with(&whom), "{reason}");
    // An authority of the same name with another key.
    let mut namesake = other;
    namesake.name.clone_from(&ca.name);
    let (alert, reason) = connect(trusting(&namesake), &server, "a.test").unwrap_err();
    assert_eq!(alert, 51);
    assert!(
        reason.ends_with(") is not signed by an authority given to trust"),
        "{reason}"
    );
    // Nobody checks anything.
    let anybody = ClientTls::builder().insecure_no_verification();
    assert_eq!(connect(anybody, &expired, "b.test"), Ok(()));
}

#[test]
fn a_self_signed_certificate_can_be_its_own_authority() {
    let dev = dev();
    let client = client_of(ClientTls::builder().ca_pem(dev.cert_pem()));
    let server = server_of(dev.identity().unwrap());
    for name in DevCertificate::LOCAL_NAMES {
        let (mut client, mut server) = start(&client, &server, Version::V1, name, &[H3]);
        shake(&mut client, &mut server, 1200).unwrap();
    }
}

#[test]
fn client_certificates() {
    let dev = dev();
    let ca = Authority::new(&PKCS_ECDSA_P256_SHA256);
    let other = Authority::new(&PKCS_ECDSA_P256_SHA256);
    let server = ServerTls::builder(dev.identity().unwrap())
        .clock(Clock::fixed(NOW))
        .client_ca_file(common::file("client_certificates.pem", &ca.pem()))
        .build()
        .unwrap();
    let connect = |identity: Option<Identity>| {
        let mut builder = ClientTls::builder().certificate_hashes(vec![dev.sha256()]);
        if let Some(identity) = identity {
            builder = builder.client_certificate(identity);
        }
        let client = client_of(builder);
        let (mut client, mut server) = start(&client, &server, Version::V1, "localhost", &[H3]);
        shake(&mut client, &mut server, 1200)?;
        Ok::<_, TlsError>(server.session.peer_certificates())
    };

    let good = ca.issue(&["client.test"], NOW, NOW + DAY);
    let shown = connect(Some(good.clone())).unwrap();
    assert_eq!(hash::sha256(&shown[0]), good.sha256());

    let absent = connect(None).unwrap_err();
    assert_eq!(absent.alert, 116);
    assert_eq!(
        absent.reason,
        "the client showed no certificate, which this server demands"
    );
    let wrong = connect(Some(other.issue(&["client.test"], NOW, NOW + DAY))).unwrap_err();
    assert_eq!(wrong.alert, 48);
    assert!(
        wrong
            .reason
            .starts_with("the client's certificate is refused: "),
        "{wrong}"
    );
}

#[test]
fn protocols_must_meet() {
    let dev = dev();
    let (client, server) = (
        trusting(vec![dev.sha256()]),
        server_of(dev.identity().unwrap()),
    );
    for offered in [&[&b"h2"[..]][..], &[]] {
        let (mut client, mut server) = start(&client, &server, Version::V1, "localhost", offered);
        let error = shake(&mut client, &mut server, 1200).unwrap_err();
        assert_eq!(error.alert, 120);
        assert_eq!(error.reason, "no application protocol in common");
    }
}

#[test]
fn a_server_that_chooses_no_protocol_is_refused() {
    let dev = dev();
    let client = trusting(vec![dev.sha256()]);
    let client = client.start(Version::V1, "localhost", &[H3], Vec::new(), None);
    let server = server_of(dev.identity().unwrap()).start(Version::V1, &[], Vec::new(), &[]);
    let (mut client, mut server) = (Peer::new(client.unwrap()), Peer::new(server.unwrap()));
    assert_eq!(
        shake(&mut client, &mut server, 1200).unwrap_err().alert,
        120
    );
}

#[test]
fn a_hello_is_read_before_tls_has_it() {
    let dev = dev();
    let server = server_of(dev.identity().unwrap());
    let client = trusting(vec![dev.sha256()]);
    let client = client.start(
        Version::V1,
        "localhost",
        &[H3, b"x"],
        b"parameters".to_vec(),
        None,
    );
    let mut hello = Vec::new();
    client.unwrap().write(&mut hello);
    let expected = Hello {
        server_name: Some("localhost".into()),
        alpn: vec![H3.to_vec(), b"x".to_vec()],
        transport_parameters: Some(b"parameters".to_vec()),
    };
    assert_eq!(server.peek(&hello), Ok(expected));
    let cut = &hello[..hello.len() - 1];
    assert_eq!(server.peek(cut), Err(HelloError::Incomplete));
}

#[test]
fn certificates_are_replaced_while_running() {
    let (old, new) = (dev(), dev());
    let server = server_of(old.identity().unwrap());
    let connect = |hash| {
        let client = trusting(vec![hash]);
        let (mut client, mut server) = start(&client, &server, Version::V1, "localhost", &[H3]);
        shake(&mut client, &mut server, 1200).is_ok()
    };
    assert!(connect(old.sha256()) && !connect(new.sha256()));
    server.clone().replace(new.identity().unwrap()).unwrap();
    assert!(!connect(old.sha256()) && connect(new.sha256()));

    // What clients would refuse is refused here.
    let expired = DevCertificate::generate_at(&[], 1, &Clock::fixed(NOW - 2 * DAY)).unwrap();
    let error = server.replace(expired.identity().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate in the given bytes expired on 2026-09-20 14:13 UTC"
    );
    assert!(connect(new.sha256()));
}

#[test]
fn data_must_come_at_its_level() {
    let dev = dev();
    let (client, server) = (
        trusting(vec![dev.sha256()]),
        server_of(dev.identity().unwrap()),
    );
    let fresh = || start(&client, &server, Version::V1, "localhost", &[H3]);

    let (client_0, mut server_0) = fresh();
    for level in [Level::Handshake, Level::OneRtt] {
        let error = server_0.session.read(level, &client_0.sent[0]).unwrap_err();
        assert_eq!(error.alert, 10);
    }
    // Handshake messages in Initial packets, where anybody could have put them.
    let (mut client_1, mut server_1) = fresh();
    client_1.deliver(&mut server_1, 1200).unwrap();
    let hello = std::mem::take(&mut server_1.sent[0]);
    client_1.session.read(Level::Initial, &hello).unwrap();
    client_1.pump();
    let error = client_1
        .session
        .read(Level::Initial, &server_1.sent[1])
        .unwrap_err();
    assert_eq!(error.alert, 10);
    // The client's Finished in 1-RTT packets, for which the server has keys already.
    let (mut client_2, mut server_2) = fresh();
    client_2.deliver(&mut server_2, 1200).unwrap();
    server_2.deliver(&mut client_2, 1200).unwrap();
    assert!(server_2.one_rtt.is_some() && server_2.session.is_handshaking());
    let error = server_2
        .session
        .read(Level::OneRtt, &client_2.sent[1])
        .unwrap_err();
    assert_eq!(error.alert, 10);
}

#[test]
fn faults_give_alerts() {
    let dev = dev();
    let server = server_of(dev.identity().unwrap());
    // A KeyUpdate (RFC 9001, section 6: unexpected_message), a broken hello, an unknown message.
    for (data, alert) in [
        (&[24, 0, 0, 1, 0][..], 10),
        (&[1, 0, 0, 2, 3, 3], 50),
        (&[99, 0, 0, 0], 10),
    ] {
        let session = server.start(Version::V1, &[H3], Vec::new(), &[]);
        let error = Peer::new(session.unwrap())
            .session
            .read(Level::Initial, data)
            .unwrap_err();
        assert_eq!(error.alert, alert, "{data:?}: {error}");
    }
    // A KeyUpdate after the handshake.
    let client = trusting(vec![dev.sha256()]);
    let (mut client, mut server) = start(&client, &server, Version::V1, "localhost", &[H3]);
    shake(&mut client, &mut server, 1200).unwrap();
    for peer in [&mut client, &mut server] {
        let error = peer
            .session
            .read(Level::OneRtt, &[24, 0, 0, 1, 0])
            .unwrap_err();
        assert_eq!(error.alert, 10, "{error}");
    }
}

#[test]
fn any_bytes_are_safe() {
    let dev = dev();
    let (client, server) = (
        trusting(vec![dev.sha256()]),
        server_of(dev.identity().unwrap()),
    );
    // Each flight with one byte changed: an alert or silence, never a finished handshake.
    for (side, level) in [(0, 0), (1, 0), (1, 1)] {
        for at in (0..300).step_by(7) {
            let (mut client, mut server) = start(&client, &server, Version::V1, "localhost", &[H3]);
            if side == 0 {
                let Some(byte) = client.sent[level].get_mut(at) else {
                    continue;
                };
                *byte ^= 0x55;
            } else {
                client.deliver(&mut server, 1200).unwrap();
                let Some(byte) = server.sent[level].get_mut(at) else {
                    continue;
                };
                *byte ^= 0x55;
            }
            let result = shake(&mut client, &mut server, 1200);
            assert!(result.is_err() || client.session.is_handshaking());
        }
    }
}

#[test]
fn names_and_versions() {
    let client = trusting(vec![[0; 32]]);
    for name in ["localhost", "127.0.0.1", "::1", "a-b.example"] {
        assert!(
            client
                .start(Version::V1, name, &[H3], Vec::new(), None)
                .is_ok(),
            "{name}"
        );
    }
    for name in ["", "a b", "a/b", "[::1]", "localhost:443"] {
        let error = client
            .start(Version::V1, name, &[H3], Vec::new(), None)
            .err()
            .unwrap();
        let expected = format!("{name:?} is neither a DNS name nor an IP address");
        assert_eq!(error.reason, expected);
    }
    let unknown = Version(0x0a0a_0a0a);
    assert!(
        client
            .start(unknown, "localhost", &[H3], Vec::new(), None)
            .is_err()
    );
    let server = server_of(dev().identity().unwrap());
    assert!(server.start(unknown, &[H3], Vec::new(), &[]).is_err());
}

#[test]
fn new_keys_come_in_order() {
    let dev = dev();
    let (client, server) = (
        trusting(vec![dev.sha256()]),
        server_of(dev.identity().unwrap()),
    );
    let (mut client, mut server) = start(&client, &server, Version::V1, "localhost", &[H3]);
    let hello = std::mem::take(&mut client.sent[0]);
    server.session.read(Level::Initial, &hello).unwrap();
    let (mut first, mut second, mut third) = (Vec::new(), Vec::new(), Vec::new());
    assert!(matches!(
        server.session.write(&mut first),
        Some(KeyChange::Handshake(_))
    ));
    assert!(matches!(
        server.session.write(&mut second),
        Some(KeyChange::OneRtt { .. })
    ));
    assert!(server.session.write(&mut third).is_none());
    assert!(!first.is_empty() && !second.is_empty() && third.is_empty());
}
