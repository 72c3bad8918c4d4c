//! Limits of an endpoint, and of handshakes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use weftline::{
    DropReason, Endpoint, Event, Received, SessionStore, StoredSession,
    config::{Admission, EndpointConfig, Limits, TokenStore},
    crypto::Version,
    entropy::SeededEntropy,
    error::{ConnectError, TransportCode},
    event::{ClosedBy, ErrorSpace},
    wire::{
        Cid,
        frame::{Crypto, Frame},
    },
};

use crate::support::{
    self, Attack, CLIENT, SERVER, START,
    crowd::{Crowd, Forger},
    door::{self, Door, Pocket, host},
    from, server_endpoint,
};

#[test]
fn connections() {
    let mut crowd = Crowd::new(|l| l.connections = 2);
    let [a, b, c] = [(); 3].map(|()| crowd.connect());
    assert!(crowd.is_established(a) && crowd.is_established(b));
    assert_refused(&crowd, c);
    let config = support::client_config(|_| {});
    let ours = crowd.server.connect(crowd.now, CLIENT, "x", config);
    assert_eq!(ours, Err(ConnectError::TooMany(2)));
    crowd.close(a);
    let d = crowd.connect();
    assert!(crowd.is_established(d));
}

/// Counts what is kept.
struct Counter(Arc<AtomicUsize>);

impl SessionStore for Counter {
    fn insert(&mut self, _: StoredSession) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn take(&mut self, _: &str, _: &dyn Fn(&StoredSession) -> bool) -> Option<StoredSession> {
        None
    }
}

#[test]
fn session_tickets() {
    let mut attack = Attack::on_client(|l| l.session_tickets = 3);
    let kept = Arc::new(AtomicUsize::new(0));
    attack
        .victim
        .set_session_store(Box::new(Counter(Arc::clone(&kept))));
    // A ticket of the null provider: its type, its length, and what the server knows it by.
    let ticket = [&[4, 0, 0, 25][..], &[0; 25]].concat();
    for n in 0..10 {
        attack.say(&[Frame::Crypto(Crypto {
            offset: n * ticket.len() as u64,
            data: &ticket,
        })]);
    }
    attack.assert_alive();
    // They are of no use without the server's settings.
    assert_eq!(kept.load(Ordering::Relaxed), 0);
    attack.send_settings(&[]);
    attack.assert_alive();
    assert_eq!(kept.load(Ordering::Relaxed), 3);
}

#[test]
fn handshakes() {
    let mut crowd = Crowd::new(|l| {
        l.handshakes = 2;
        l.handshake_timeout = Duration::from_secs(1);
    });
    // Done with its handshake, one does not count.
    let first = crowd.connect();
    crowd.half_open();
    crowd.half_open();
    let late = crowd.connect();
    assert_refused(&crowd, late);
    assert!(crowd.is_established(first));
    crowd.run(Duration::from_secs(1));
    let next = crowd.connect();
    assert!(crowd.is_established(next));
}

#[track_caller]
fn assert_refused(crowd: &Crowd, client: usize) {
    let reason = crowd.closed(client).expect("the server answers");
    let refused = TransportCode::ConnectionRefused as u64;
    assert_eq!(
        (reason.by, reason.space, reason.code),
        (ClosedBy::Peer, ErrorSpace::Transport, refused)
    );
}

fn asked(limits: impl FnOnce(&mut Limits)) -> Door {
    Door::of(door::server(limits, |c| c.admission(Admission::Ask)))
}

#[test]
fn incoming() {
    let mut door = asked(|l| l.incoming = 2);
    let mut guests = [1, 2, 3].map(|n| door.guest(host(n, 5), door::client_config(None)));
    for guest in &mut guests {
        door.visit(guest);
    }
    assert_eq!(door.incoming.len(), 2);
    let refused = TransportCode::ConnectionRefused as u64;
    assert_eq!(guests.map(|g| g.close_code()), [None, None, Some(refused)]);
    // Who has an answer makes room.
    assert!(door.server.accept(door.incoming[0].id).is_some());
    let mut next = door.guest(host(4, 5), door::client_config(None));
    door.visit(&mut next);
    assert!(door.server.accept(door.incoming[2].id).is_some());
    door.visit(&mut next);
    assert!(next.is_established());
}

#[test]
fn incoming_bytes() {
    let mut door = asked(|l| l.incoming_bytes = 3000);
    let mut guest = door.guest(host(1, 5), door::client_config(None));
    let first = door::sent(&mut guest.endpoint, door.now).remove(0);
    let mut knock = |host| door.knock(host, &mut first.clone());
    let from = guest.address;
    assert!(matches!(knock(from), Received::Incoming(_)));
    assert!(matches!(knock(from), Received::Incoming(_)));
    let no_room = Received::Dropped(DropReason::Waiting);
    assert_eq!(knock(from), no_room);
    // Nor does anybody else's datagram get among them.
    assert_eq!(knock(host(9, 5)), no_room);
    let mut other = door.guest(host(2, 5), door::client_config(None));
    door.visit(&mut other);
    let refused = TransportCode::ConnectionRefused as u64;
    assert_eq!(other.close_code(), Some(refused));
}

#[test]
fn used_tokens() {
    let limits = |l: &mut Limits| l.used_tokens = 1;
    let mut door = Door::of(door::server(limits, |c| c.admission(Admission::Retry)));
    let pocket = Pocket::default();
    for _ in 0..3 {
        // Each time without a token: an empty one is none.
        let fresh = Pocket::holding(b"");
        let mut guest = door.guest(host(1, 5), door::client_config(Some(&fresh)));
        door.visit(&mut guest);
        let token = fresh.tokens().pop().unwrap();
        pocket.put("", Version::V1, &token);
    }
    let tokens = pocket.tokens();
    let mut counts = |token: &[u8]| {
        let config = door::client_config(Some(&Pocket::holding(token)));
        let mut guest = door.guest(host(1, 6), config);
        matches!(door.visit(&mut guest)[0], Received::Accepted(_))
    };
    assert!(counts(&tokens[1]));
    assert!(counts(&tokens[2]));
    // Neither what was forgotten nor what is older counts again.
    assert_eq!([1, 2, 0].map(|n| counts(&tokens[n])), [false; 3]);
}

#[test]
fn stored_tokens() {
    let mut door = Door::new(|c| c.admission(Admission::Retry));
    let limits = |l: &mut Limits| l.stored_tokens = 2;
    let config = EndpointConfig::client().with_limits(limits);
    let mut guest = door.guest(host(1, 5), door::client_config(None));
    guest.endpoint = Endpoint::new(config, Box::new(SeededEntropy::new(7)));
    let mut is_let_in_at_once = |name: &str| {
        let config = door::client_config(None);
        let id = guest.endpoint.connect(door.now, SERVER, name, config);
        guest.id = id.unwrap();
        matches!(door.visit(&mut guest)[0], Received::Accepted(_))
    };
    // Each visit takes a token out and brings one back.
    assert_eq!(["a", "b", "c"].map(&mut is_let_in_at_once), [false; 3]);
    assert!(is_let_in_at_once("c"));
    assert!(is_let_in_at_once("b"));
    assert!(!is_let_in_at_once("a"));
}

#[test]
fn packets_per_datagram() {
    let mut server = server_endpoint(|l| l.packets_per_datagram = 3);
    let mut forger = Forger::new();
    let mut datagram = Vec::new();
    for _ in 0..6 {
        datagram.extend(forger.initial(&[Frame::Ping, Frame::Padding(300)]));
    }
    let received = server.handle_datagram(START, from(CLIENT), &mut datagram);
    assert!(matches!(received, Received::Accepted(_)));
    let (_, stats) = server.all_stats().next().unwrap();
    assert_eq!((stats.packets_received, stats.packets_dropped), (3, 0));
}

#[test]
fn pending_answers() {
    let mut server = server_endpoint(|l| l.pending_answers = 2);
    let mut unknown_version = || {
        let mut datagram = vec![0xc0; 1200];
        server.handle_datagram(START, from(CLIENT), &mut datagram)
    };
    let full = Received::Dropped(DropReason::TooManyAnswers);
    let all = [(); 3].map(|()| unknown_version());
    assert_eq!(all, [Received::Answered, Received::Answered, full]);
    assert_eq!(support::sent(&mut server, START).len(), 2);
    let again = server.handle_datagram(START, from(CLIENT), &mut [0xc0; 1200]);
    assert_eq!(again, Received::Answered);
}

#[test]
fn stateless_reset_interval() {
    let mut server = server_endpoint(|l| l.stateless_reset_interval = Duration::from_millis(50));
    let mut at = |millis| {
        let now = START + Duration::from_millis(millis);
        server.handle_datagram(now, from(CLIENT), &mut [0x41; 100])
    };
    let too_soon = Received::Dropped(DropReason::TooManyAnswers);
    assert_eq!(
        [0, 1, 49, 50, 51].map(&mut at),
        [
            Received::Answered,
            too_soon,
            too_soon,
            Received::Answered,
            too_soon
        ]
    );
}

#[test]
fn handshake_timeout() {
    let mut crowd = Crowd::new(|l| l.handshake_timeout = Duration::from_secs(3));
    crowd.half_open();
    crowd.run(Duration::from_millis(2800));
    assert!(crowd.events.is_empty(), "{:?}", crowd.events);
    crowd.run(Duration::from_millis(150));
    assert!(
        matches!(&crowd.events[..], [(_, Event::Closed(reason))] if reason.by == ClosedBy::Timeout)
    );
    assert_eq!(crowd.server.len(), 0);
}

#[test]
fn crypto_buffer() {
    let crypto = |offset| Frame::Crypto(Crypto { offset, data: b"x" });
    let mut attack = Attack::on_server(|l| l.crypto_buffer = 4096);
    attack.say(&[crypto(4095)]);
    attack.assert_alive();
    attack.say(&[crypto(4096)]);
    attack.assert_closed(TransportCode::CryptoBufferExceeded);

    for (offset, fine) in [(4095, true), (4096, false)] {
        let mut server = server_endpoint(|l| l.crypto_buffer = 4096);
        let mut datagram = Forger::new().initial(&[crypto(offset), Frame::Padding(1200)]);
        server.handle_datagram(START, from(CLIENT), &mut datagram);
        let closed =
            std::iter::from_fn(|| server.poll_event()).find_map(|(_, event)| match event {
                Event::Closed(reason) => Some(reason.code),
                _ => None,
            });
        let exceeded = TransportCode::CryptoBufferExceeded as u64;
        assert_eq!(closed, (!fine).then_some(exceeded));
    }
}

#[test]
fn undecryptable_datagrams() {
    for (len, held) in [(1000, 4 * 1000), (60_000, 0)] {
        let mut server = server_endpoint(|l| l.undecryptable_datagrams = 4);
        let mut forger = Forger::new();
        let mut hello = forger.initial(&[Frame::Ping, Frame::Padding(1200)]);
        server.handle_datagram(START, from(CLIENT), &mut hello);
        let answer = support::sent(&mut server, START).remove(0);
        // What the server calls itself, which is where its packets must go.
        let cid = &answer[6 + usize::from(answer[5])..][1..9];
        let memory = |server: &Endpoint| server.all_stats().next().unwrap().1.memory;
        let before = memory(&server);
        for _ in 0..20 {
            let mut datagram = vec![0x40; len];
            datagram[1..9].copy_from_slice(cid);
            let received = server.handle_datagram(START, from(CLIENT), &mut datagram);
            assert!(matches!(received, Received::Routed(_)));
        }
        assert_eq!(memory(&server) - before, held);
        // Long headers are held no better.
        forger.destination = Cid::new(cid).unwrap();
        for _ in 0..20 {
            let mut datagram = forger.handshake(&[Frame::Padding(900)]);
            server.handle_datagram(START, from(CLIENT), &mut datagram);
        }
        assert!(memory(&server) - before <= 4 * 1500);
    }
}
