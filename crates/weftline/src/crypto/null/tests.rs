use alloc::{string::ToString, vec};

use proptest::prelude::*;

use super::*;
use crate::crypto::{CryptoError, KeyChange, Level, NextKeys};

const H3: &[u8] = b"h3";

struct Peer {
    session: Box<dyn Session>,
    /// Data written so far, by level.
    sent: [Vec<u8>; 3],
    level: Level,
    handshake: Option<Keys>,
    one_rtt: Option<(Keys, Box<dyn NextKeys>)>,
}

impl Peer {
    fn new(session: Box<dyn Session>) -> Self {
        let mut peer = Self {
            session,
            sent: Default::default(),
            level: Level::Initial,
            handshake: None,
            one_rtt: None,
        };
        peer.pump();
        peer
    }

    fn pump(&mut self) {
        loop {
            let out = &mut self.sent[self.level as usize];
            let before = out.len();
            let keys = self.session.write(out);
            if keys.is_none() && out.len() == before {
                return;
            }
            match keys {
                Some(KeyChange::Handshake(keys)) => {
                    self.handshake = Some(keys);
                    self.level = Level::Handshake;
                }
                Some(KeyChange::OneRtt { keys, next }) => {
                    self.one_rtt = Some((keys, next));
                    self.level = Level::OneRtt;
                }
                None => {}
            }
        }
    }

    /// Gives everything sent so far to `other` in pieces of `step` bytes.
    fn deliver(&mut self, other: &mut Self, step: usize) -> Result<(), TlsError> {
        for level in [Level::Initial, Level::Handshake, Level::OneRtt] {
            for piece in core::mem::take(&mut self.sent[level as usize]).chunks(step) {
                other.session.read(level, piece)?;
                other.pump();
            }
        }
        Ok(())
    }
}

fn client(alpn: &[&[u8]]) -> Peer {
    let start =
        NullClient::insecure().start(Version::V1, "example.org", alpn, b"client".to_vec(), None);
    Peer::new(start.unwrap())
}

fn server(config: NullServer, alpn: &[&[u8]]) -> Peer {
    let start = config.start(Version::V1, alpn, b"server".to_vec(), &[]);
    Peer::new(start.unwrap())
}

fn shake(client: &mut Peer, server: &mut Peer, step: usize) {
    client.deliver(server, step).unwrap();
    server.deliver(client, step).unwrap();
    client.deliver(server, step).unwrap();
    server.deliver(client, step).unwrap();
}

/// Seals with one key and opens with the other.
fn carries(seal: &dyn super::super::PacketKey, open: &dyn super::super::PacketKey) -> bool {
    let mut buf = *b"payload.................";
    seal.seal(9, b"header", &mut buf).unwrap();
    open.open(9, b"header", &mut buf) == Ok(8)
}

#[test]
fn handshake_in_any_fragments() {
    for step in [1, 2, 7, 100, 1200, 1 << 20] {
        let mut client = client(&[b"other", H3]);
        let config = NullServer::insecure()
            .with_certificate_bytes(3000)
            .with_ticket_bytes(10);
        let mut server = server(config, &[H3, b"other"]);
        shake(&mut client, &mut server, step);

        assert!(!client.session.is_handshaking() && !server.session.is_handshaking());
        assert_eq!(client.session.alpn(), Some(H3));
        assert_eq!(server.session.alpn(), Some(H3));
        assert_eq!(server.session.server_name(), Some("example.org"));
        assert_eq!(client.session.server_name(), None);
        assert_eq!(
            client.session.peer_transport_parameters(),
            Some(&b"server"[..])
        );
        assert_eq!(
            server.session.peer_transport_parameters(),
            Some(&b"client"[..])
        );
        assert_eq!(client.session.peer_certificates()[0].len(), 3000);
        assert!(server.session.peer_certificates().is_empty());

        let (a, b) = (client.handshake.unwrap(), server.handshake.unwrap());
        assert!(carries(&*a.local.packet, &*b.remote.packet));
        assert!(carries(&*b.local.packet, &*a.remote.packet));
        assert!(!carries(&*a.local.packet, &*b.local.packet));
        assert_eq!(
            a.local.header.mask(&[7; 16]),
            b.remote.header.mask(&[7; 16])
        );
        assert_ne!(a.local.header.mask(&[7; 16]), b.local.header.mask(&[7; 16]));

        let ((x, mut x_next), (y, mut y_next)) = (client.one_rtt.unwrap(), server.one_rtt.unwrap());
        assert!(carries(&*x.local.packet, &*y.remote.packet));
        assert!(!carries(&*x.local.packet, &*b.remote.packet));
        for _ in 0..3 {
            let (x1, y1) = (x_next.next(), y_next.next());
            assert!(carries(&*x1.local, &*y1.remote));
            assert!(carries(&*y1.local, &*x1.remote));
            assert!(!carries(&*x1.local, &*y.remote.packet));
        }
    }
}

#[test]
fn the_hello_can_be_long() {
    let client = NullClient::insecure().with_hello_padding(1500);
    let start = client
        .start(Version::V1, "a", &[H3], Vec::new(), None)
        .unwrap();
    assert!(Peer::new(start).sent[0].len() > 1500);
}

#[test]
fn sides_of_other_versions_disagree() {
    let mut client = client(&[H3]);
    let start = NullServer::insecure().start(Version::V2, &[H3], Vec::new(), &[]);
    let mut server = Peer::new(start.unwrap());
    client.deliver(&mut server, 1000).unwrap();
    let error = server.deliver(&mut client, 1000).unwrap_err();
    assert_eq!(error.alert, 51);
}

#[test]
fn exports_agree_once_complete() {
    let (mut client, mut server) = (client(&[H3]), server(NullServer::insecure(), &[H3]));
    let export = |peer: &Peer, label: &[u8], context: &[u8]| {
        let mut out = [0; 21];
        let done = peer
            .session
            .export_keying_material(&mut out, label, context);
        done.map(|()| out)
    };
    client.deliver(&mut server, 1000).unwrap();
    assert_eq!(export(&server, b"l", b"c"), Err(CryptoError));
    server.deliver(&mut client, 1000).unwrap();
    client.deliver(&mut server, 1000).unwrap();

    let exported = export(&client, b"l", b"c").unwrap();
    assert_eq!(export(&server, b"l", b"c"), Ok(exported));
    assert_ne!(export(&server, b"lc", b""), Ok(exported));
}

#[test]
fn faults_give_alerts() {
    // (where, data, alert)
    let hello = |body: &[u8]| {
        let mut data = Vec::new();
        message::put(&mut data, message::kind::CLIENT_HELLO, body);
        data
    };
    let cases: &[(Level, Vec<u8>, u8)] = &[
        (Level::Handshake, vec![1], 10),
        (Level::OneRtt, vec![1], 10),
        (Level::Initial, vec![2, 0, 0, 0], 10),
        (Level::Initial, vec![1, 0xff, 0xff, 0xff], 50),
        (Level::Initial, hello(&[]), 109),
        (Level::Initial, hello(&[57]), 50),
        (Level::Initial, hello(&[57, 9, 1]), 50),
        (Level::Initial, hello(&[57, 0]), 120),
        (Level::Initial, hello(&[57, 0, 57, 0]), 47),
        (Level::Initial, hello(&[57, 0, 0, 1, 0xff]), 47),
        (Level::Initial, hello(&[57, 0, 16, 2, 9, 9]), 50),
        (Level::Initial, hello(&[57, 0, 16, 3, 2, b'h', b'2']), 120),
        // A good hello, and more at the same level.
        (
            Level::Initial,
            [hello(&[57, 0, 16, 3, 2, b'h', b'3']), vec![0]].concat(),
            10,
        ),
    ];
    for (level, data, alert) in cases {
        let mut server = server(NullServer::insecure(), &[H3]);
        let error = server.session.read(*level, data).unwrap_err();
        assert_eq!(error.alert, *alert, "{level:?} {data:?}: {error}");
        // A failed session stays failed.
        assert!(
            server
                .session
                .read(Level::Initial, &hello(&[57, 0]))
                .is_err()
        );
        assert!(server.session.is_handshaking());
    }
}

#[test]
fn a_client_checks_the_choice() {
    let mut client = client(&[H3]);
    let mut server = server(NullServer::insecure(), &[]);
    client.deliver(&mut server, 1000).unwrap();
    assert_eq!(server.session.alpn(), None);
    assert_eq!(server.deliver(&mut client, 1000).unwrap_err().alert, 120);
}

#[test]
fn a_changed_handshake_fails() {
    // Whichever byte of the server's flight changes: an alert now, or keys that do not fit.
    for at in 0..100 {
        let (mut client, mut server) = (client(&[H3]), server(NullServer::insecure(), &[H3]));
        client.deliver(&mut server, 1000).unwrap();
        let flight = &mut server.sent[Level::Handshake as usize];
        flight[at] ^= 1;
        let result = server.deliver(&mut client, 1000);
        assert!(
            result.is_err() || client.session.is_handshaking(),
            "byte {at}"
        );
    }
}

#[test]
fn primitives_repeat() {
    let p = NullProvider::insecure();
    let cid = Cid::new(&[1, 2, 3]).unwrap();
    assert_eq!(p.hmac(&[1; 32], b"x"), p.hmac(&[1; 32], b"x"));
    assert_ne!(p.hmac(&[1; 32], b"x"), p.hmac(&[2; 32], b"x"));
    assert_ne!(p.hmac(&[1; 32], b"x"), p.hmac(&[1; 32], b"y"));
    assert_eq!(
        p.retry_tag(Version::V1, &cid, b"x"),
        p.retry_tag(Version::V1, &cid, b"x")
    );
    assert_ne!(
        p.retry_tag(Version::V1, &cid, b"x"),
        p.retry_tag(Version::V1, &Cid::EMPTY, b"x")
    );
    assert!(p.secrets_equal(b"a", b"a") && !p.secrets_equal(b"a", b"b"));
}

#[test]
fn limits_can_be_set() {
    let provider = NullProvider::insecure()
        .with_confidentiality_limit(5)
        .with_integrity_limit(3);
    let keys = provider.initial_keys(Version::V1, &Cid::EMPTY, Side::Client);
    assert_eq!(keys.local.packet.confidentiality_limit(), 5);
    assert_eq!(keys.local.packet.integrity_limit(), 3);
    assert_eq!(CryptoError.to_string(), "packet protection failed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_change_is_noticed(
        payload in prop::collection::vec(any::<u8>(), 0..60),
        header in prop::collection::vec(any::<u8>(), 0..30),
        pn in any::<u64>(),
    ) {
        let provider = NullProvider::insecure();
        let cid = Cid::new(b"12345678").unwrap();
        let client = provider.initial_keys(Version::V1, &cid, Side::Client).local.packet;
        let keys = provider.initial_keys(Version::V1, &cid, Side::Server);
        let mut sealed = payload.clone();
        sealed.resize(payload.len() + TAG_LEN, 0);
        client.seal(pn, &header, &mut sealed).unwrap();

        prop_assert_eq!(keys.remote.packet.open(pn, &header, &mut sealed.clone()), Ok(payload.len()));
        prop_assert_eq!(&sealed[..payload.len()], &payload[..]);
        prop_assert!(keys.local.packet.open(pn, &header, &mut sealed.clone()).is_err());
        prop_assert!(keys.remote.packet.open(pn ^ 1, &header, &mut sealed.clone()).is_err());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(keys.remote.packet.open(pn, &header, &mut changed).is_err());
        }
        for bit in 0..header.len() * 8 {
            let mut changed = header.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(keys.remote.packet.open(pn, &changed, &mut sealed.clone()).is_err());
        }
        for end in 0..sealed.len() {
            prop_assert!(keys.remote.packet.open(pn, &header, &mut sealed[..end].to_vec()).is_err());
        }
    }

    #[test]
    fn any_bytes_are_safe(pieces in prop::collection::vec(
        (0..3_usize, prop::collection::vec(any::<u8>(), 0..40)), 0..10,
    )) {
        let levels = [Level::Initial, Level::Handshake, Level::OneRtt];
        for mut peer in [client(&[H3]), server(NullServer::insecure(), &[H3])] {
            for (level, data) in &pieces {
                let _ = peer.session.read(levels[*level], data);
                peer.pump();
            }
            prop_assert!(peer.session.is_handshaking());
        }
    }
}
