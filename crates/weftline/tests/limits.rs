//! Every field of `config::Limits`: the attack it is there for, the bound, and the answer that its
//! documentation promises. Each test has the name of its field.

mod support;

use std::{net::SocketAddr, time::Duration};

use weftline::{
    Dir, DropReason, Event, Received, SessionId, StreamId,
    config::Limits,
    error::{ConnectError, DatagramError, TransportCode, WriteError},
    event::{ClosedBy, ErrorSpace},
    h3::RequestHead,
    wire::{
        Cid, ResetToken,
        frame::{
            Crypto, Datagram, Frame, NewConnectionId, PathChallenge, PathResponse, ResetStream,
        },
        h3::{error_code::*, frame::PRIORITY_UPDATE_REQUEST, settings},
    },
};

use support::{
    Attack, CLIENT, START, address, bidi,
    crowd::{Crowd, Forger},
    from, server_endpoint, stream, uni, wire,
};

/// No limit without a test.
#[test]
fn every_limit_is_crossed() {
    let limits = include_str!("../src/config/limits.rs");
    let tests = include_str!("limits.rs");
    let (_, fields) = limits.split_once("pub struct Limits {").unwrap();
    let fields = fields.split_once("\n}").unwrap().0.lines();
    let fields = fields.filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
    let mut count = 0;
    for field in fields {
        assert!(
            tests.contains(&format!("#[test]\nfn {field}() {{")),
            "{field} has no test"
        );
        count += 1;
    }
    assert!(count > 40, "{count}");
}

// Endpoint.

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

// Handshake.

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
        let memory = |server: &weftline::Endpoint| server.all_stats().next().unwrap().1.memory;
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

// Streams.

#[test]
fn streams_bidi() {
    let mut attack = Attack::on_server(|l| l.streams_bidi = 3);
    attack.say(&[stream(bidi(2), 0, b"", false)]);
    attack.assert_alive();
    attack.say(&[stream(bidi(3), 0, b"", false)]);
    attack.assert_closed(TransportCode::StreamLimitError);
}

#[test]
fn streams_uni() {
    let mut attack = Attack::on_server(|l| l.streams_uni = 5);
    attack.say(&[stream(uni(4), 0, b"", false)]);
    attack.assert_alive();
    attack.say(&[stream(uni(5), 0, b"", false)]);
    attack.assert_closed(TransportCode::StreamLimitError);
}

#[test]
fn stream_window() {
    let mut attack = Attack::on_server(|l| l.stream_window = 2048);
    attack.say(&[stream(bidi(0), 2047, b"x", false)]);
    attack.assert_alive();
    attack.say(&[stream(bidi(0), 2048, b"x", false)]);
    attack.assert_closed(TransportCode::FlowControlError);
}

/// Sends on a stream that the application reads at once; gives the largest credit beyond what was
/// read that the victim ever gave, of which `credit` finds the limits.
fn tuned_window(
    change: impl FnOnce(&mut Limits),
    sent: impl Fn(&Attack, u64) -> u64,
    credit: impl Fn(&Frame<'_>) -> Option<u64>,
) -> u64 {
    let (mut attack, session) = Attack::with_session(change);
    let id = uni(1);
    let mut on_stream = 0;
    let mut largest = 0;
    for n in 0..60 {
        let mut data = vec![7; 500];
        if n == 0 {
            data.splice(..2, wire::uni_header(session.stream()));
        }
        on_stream += data.len() as u64;
        attack.send(id, &data);
        while let Ok(Some(_)) = attack.conn().read(id, usize::MAX) {}
        attack.wait(Duration::ZERO);
        let limit = attack.heard(&credit).into_iter().max().unwrap_or(0);
        largest = largest.max(limit.saturating_sub(sent(&attack, on_stream)));
    }
    attack.assert_alive();
    largest
}

#[test]
fn stream_window_max() {
    let window = tuned_window(
        |l| (l.stream_window, l.stream_window_max) = (1024, 5000),
        |_, on_stream| on_stream,
        |frame| match frame {
            Frame::MaxStreamData(f) if f.id == uni(1) => Some(f.maximum),
            _ => None,
        },
    );
    assert_eq!(window, 5000);
}

#[test]
fn connection_window() {
    let mut attack = Attack::on_server(|l| {
        (l.stream_window, l.connection_window) = (1500, 2048);
    });
    attack.say(&[stream(bidi(0), 1499, b"x", false)]);
    attack.say(&[stream(bidi(1), 547, b"x", false)]);
    attack.assert_alive();
    attack.say(&[stream(bidi(2), 0, b"x", false)]);
    attack.assert_closed(TransportCode::FlowControlError);
}

#[test]
fn connection_window_max() {
    let window = tuned_window(
        |l| (l.connection_window, l.connection_window_max) = (2048, 6000),
        |attack, _| attack.total_sent(),
        |frame| match frame {
            Frame::MaxData(f) => Some(f.maximum),
            _ => None,
        },
    );
    assert_eq!(window, 6000);
}

#[test]
fn stream_gaps() {
    let mut attack = Attack::on_server(|l| l.stream_gaps = 8);
    for gap in 0..8 {
        attack.say(&[stream(bidi(0), 1 + 2 * gap, b"x", false)]);
    }
    attack.assert_alive();
    attack.say(&[stream(bidi(0), 17, b"x", false)]);
    attack.assert_closed(TransportCode::InternalError);
}

#[test]
fn stream_send_buffer() {
    let (mut attack, session) = Attack::with_session(|l| l.stream_send_buffer = 2000);
    let id = attack.conn().open_stream(session, Dir::Uni).unwrap();
    // The stream's header takes its part.
    let header = wire::uni_header(session.stream()).len();
    assert_eq!(attack.conn().write(id, &[0; 5000]), Ok(2000 - header));
    assert_eq!(attack.conn().write(id, &[0]), Err(WriteError::Blocked));
    attack.events();
    assert_eq!(
        attack.conn().write(id, &[0]),
        Err(WriteError::Blocked),
        "sent is not delivered"
    );
    attack.acknowledge();
    assert!(attack.events().contains(&Event::Writable(id)));
    assert_eq!(attack.conn().write(id, &[0; 5000]), Ok(2000));
}

#[test]
fn connection_send_buffer() {
    let (mut attack, session) = Attack::with_session(|l| {
        (l.stream_send_buffer, l.connection_send_buffer) = (2000, 3000);
    });
    attack.acknowledge();
    let [a, b] = [(); 2].map(|()| attack.conn().open_stream(session, Dir::Uni).unwrap());
    let header = wire::uni_header(session.stream()).len();
    assert_eq!(attack.conn().write(a, &[0; 5000]), Ok(2000 - header));
    assert_eq!(attack.conn().write(b, &[0; 5000]), Ok(1000 - header));
    assert_eq!(attack.conn().write(b, &[0]), Err(WriteError::Blocked));
    attack.events();
    attack.acknowledge();
    assert!(attack.events().contains(&Event::Writable(b)));
}

// Packets.

#[test]
fn ack_ranges() {
    let mut attack = Attack::on_server(|l| l.ack_ranges = 4);
    let mut withheld = Vec::new();
    for _ in 0..20 {
        withheld.push(attack.packet(&[Frame::Ping]));
        attack.say(&[Frame::Ping]);
    }
    assert_eq!(attack.last_ack(|ack| ack.ranges().count()), Some(4));
    let mut late = |n: usize| {
        let before = attack.stats();
        let mut datagram = withheld[n].clone();
        let now = attack.now;
        attack
            .victim
            .handle_datagram(now, from(CLIENT), &mut datagram);
        let after = attack.stats();
        (
            after.packets_received - before.packets_received,
            after.packets_dropped - before.packets_dropped,
        )
    };
    assert_eq!(late(3), (0, 1), "taken for a duplicate");
    assert_eq!(late(19), (1, 0));
    assert_eq!(late(19), (0, 1));
}

#[test]
fn sent_packets() {
    let (mut attack, session) = Attack::with_session(|l| l.sent_packets = 40);
    attack.acknowledge();
    for _ in 0..100 {
        let _ = attack.conn().send_datagram(session, b"x");
        attack.say(&[Frame::Padding(1)]);
    }
    let datagrams = |attack: &Attack| {
        attack
            .heard(|frame| matches!(frame, Frame::Datagram(_)).then_some(()))
            .len()
    };
    let sent = datagrams(&attack);
    assert!((30..=40).contains(&sent), "{sent}");
    assert_eq!(
        attack.conn().send_datagram(session, b"x"),
        Ok(()),
        "it waits"
    );
    let acked = attack.last_ack(|ack| ack.largest);
    attack.say(&[Frame::Ping]);
    attack.say(&[Frame::Ping]);
    assert!(attack.last_ack(|ack| ack.largest) > acked, "acknowledged");
    assert_eq!(datagrams(&attack), sent);
    attack.acknowledge();
    attack.wait(Duration::from_millis(100));
    assert!(datagrams(&attack) > sent);
}

fn new_cid(sequence: u64, retire_prior_to: u64) -> Frame<'static> {
    Frame::NewConnectionId(NewConnectionId {
        sequence,
        retire_prior_to,
        cid: Cid::new(&[sequence as u8; 8]).unwrap(),
        reset_token: ResetToken([sequence as u8; 16]),
    })
}

#[test]
fn peer_cids() {
    let mut attack = Attack::on_server(|l| l.peer_cids = 3);
    // Beside the one of the handshake.
    attack.say(&[new_cid(1, 0), new_cid(2, 0)]);
    attack.assert_alive();
    attack.say(&[new_cid(3, 0)]);
    attack.assert_closed(TransportCode::ConnectionIdLimitError);
}

#[test]
fn pending_retirements() {
    let mut attack = Attack::on_server(|l| l.pending_retirements = 5);
    for n in 1..=5 {
        attack.say(&[new_cid(n, n)]);
    }
    attack.assert_alive();
    attack.acknowledge();
    for n in 6..=10 {
        attack.say(&[new_cid(n, n)]);
    }
    attack.assert_alive();
    // Retirements were sent, but nobody says that they came.
    attack.say(&[new_cid(11, 11)]);
    attack.assert_closed(TransportCode::ConnectionIdLimitError);
}

#[test]
fn path_responses() {
    let mut attack = Attack::on_server(|l| l.path_responses = 3);
    let elsewhere = |n: u8| address(50 + n, 1000);
    for n in 0..10 {
        let challenge = Frame::PathChallenge(PathChallenge { data: [n; 8] });
        attack.whisper(elsewhere(n), &[challenge, Frame::Padding(1100)]);
    }
    attack.events();
    let answered: Vec<(SocketAddr, u8)> = attack.heard_by(|to, frame| match frame {
        Frame::PathResponse(PathResponse { data }) => Some((to, data[0])),
        _ => None,
    });
    assert_eq!(answered, [7, 8, 9].map(|n| (elsewhere(n), n)));
}

// Datagrams.

/// Sends a datagram of a session in a packet of its own.
fn send_datagram(attack: &mut Attack, session: SessionId, payload: &[u8]) {
    let data = &wire::datagram(session.stream(), payload)[..];
    attack.say(&[Frame::Datagram(Datagram { data })]);
}

/// Everything that the application gets.
fn datagrams(attack: &mut Attack, session: SessionId) -> Vec<Vec<u8>> {
    let conn = attack.conn();
    std::iter::from_fn(|| conn.recv_datagram(session))
        .map(Vec::from)
        .collect()
}

#[test]
fn datagrams_in() {
    let (mut attack, session) = Attack::with_session(|l| l.datagrams_in = 3);
    for n in 0..10 {
        send_datagram(&mut attack, session, &[n]);
    }
    assert_eq!(datagrams(&mut attack, session), [[7], [8], [9]]);
    // All in one packet.
    let all: Vec<Vec<u8>> = (10..20)
        .map(|n| wire::datagram(session.stream(), &[n]))
        .collect();
    let frames: Vec<_> = all
        .iter()
        .map(|data| Frame::Datagram(Datagram { data }))
        .collect();
    attack.say(&frames);
    assert_eq!(datagrams(&mut attack, session), [[17], [18], [19]]);

    // Without a byte in them, and beside a session that has none.
    let (mut attack, full) = Attack::with_flow_control(|l| l.datagrams_in = 3);
    let empty = attack.open_session(1);
    for _ in 0..10 {
        send_datagram(&mut attack, full, b"");
    }
    assert_eq!(datagrams(&mut attack, full), [b""; 3]);
    assert_eq!(datagrams(&mut attack, empty), [b""; 0]);
}

#[test]
fn datagram_bytes_in() {
    let (mut attack, session) = Attack::with_session(|l| l.datagram_bytes_in = 2500);
    for n in 0..10 {
        send_datagram(&mut attack, session, &[n; 1000]);
    }
    assert_eq!(
        datagrams(&mut attack, session),
        [vec![8; 1000], vec![9; 1000]]
    );
}

#[test]
fn datagrams_out() {
    let (mut attack, session) = Attack::with_session(|l| l.datagrams_out = 3);
    let conn = attack.conn();
    let sent = [(); 4].map(|()| conn.send_datagram(session, b"x"));
    assert_eq!(sent, [Ok(()), Ok(()), Ok(()), Err(DatagramError::Full)]);
}

#[test]
fn datagram_bytes_out() {
    let (mut attack, session) = Attack::with_session(|l| l.datagram_bytes_out = 1000);
    let conn = attack.conn();
    // Each with a byte that names the session.
    assert_eq!(conn.send_datagram(session, &[0; 899]), Ok(()));
    assert_eq!(
        conn.send_datagram(session, &[0; 100]),
        Err(DatagramError::Full)
    );
    assert_eq!(conn.send_datagram(session, &[0; 99]), Ok(()));
    assert_eq!(conn.send_datagram(session, b""), Err(DatagramError::Full));
}

// HTTP/3.

/// The victim answers 431 to this request, and lives.
#[track_caller]
fn assert_431(attack: &mut Attack, id: StreamId, request: &[u8]) {
    attack.send(id, request);
    assert_eq!(wire::status(&attack.received(id)), "431");
    assert_eq!(attack.stop_code(id), Some(H3_NO_ERROR));
    let events = attack.events();
    assert!(
        !events.iter().any(|e| matches!(e, Event::Request(..))),
        "{events:?}"
    );
    attack.assert_alive();
}

/// A client gives up a request with this answer, and lives.
#[track_caller]
fn assert_given_up(attack: &mut Attack, response: &[u8], code: u64) {
    let head = RequestHead {
        method: "GET".into(),
        scheme: Some("https".into()),
        authority: Some("victim.test".into()),
        path: Some("/".into()),
        ..RequestHead::default()
    };
    let id = attack.conn().request(&head).unwrap();
    attack.events();
    attack.send(id, response);
    assert_eq!(attack.events(), [Event::RequestFailed(id, code)]);
    assert_eq!(attack.reset_code(id), Some(code));
    assert_eq!(attack.stop_code(id), Some(code));
    attack.assert_alive();
}

#[test]
fn field_section() {
    let change = |l: &mut Limits| l.field_section = 500;
    // A name, a value, and 32 bytes; the rest of the head has less than 200.
    let field = |len| "v".repeat(len);
    let mut attack = Attack::on_server(change);
    assert_eq!(attack.setting(settings::MAX_FIELD_SECTION_SIZE), Some(500));
    attack.send(bidi(0), &wire::get(&[("x", &field(250))]));
    assert!(matches!(
        attack.events().last(),
        Some(Event::Request(id, _)) if *id == bidi(0)
    ));
    assert_431(&mut attack, bidi(1), &wire::get(&[("x", &field(468))]));
    // Told by the length, before any of it is held.
    let endless = [0x01, 0x80, 0x10, 0, 0];
    assert_431(&mut attack, bidi(2), &endless);

    let mut attack = Attack::on_client(change);
    let response = wire::headers(&[(":status", "200"), ("x", &field(460))]);
    assert_given_up(&mut attack, &response, H3_EXCESSIVE_LOAD);
}

#[test]
fn fields() {
    let change = |l: &mut Limits| l.fields = 6;
    let mut attack = Attack::on_server(change);
    // Four make a request.
    attack.send(bidi(0), &wire::get(&[("a", ""); 2]));
    assert!(matches!(attack.events().last(), Some(Event::Request(..))));
    assert_431(&mut attack, bidi(1), &wire::get(&[("a", ""); 3]));

    let mut attack = Attack::on_client(change);
    let response = wire::headers(&[&[(":status", "200")][..], &[("a", ""); 6]].concat());
    assert_given_up(&mut attack, &response, H3_EXCESSIVE_LOAD);
}

#[test]
fn control_frame() {
    for (len, fine) in [(64, true), (65, false)] {
        let mut attack = Attack::on_server(|l| l.control_frame = 64);
        attack.send_settings(&[]);
        attack.send(
            uni(0),
            &wire::h3_frame(PRIORITY_UPDATE_REQUEST, &vec![0; len]),
        );
        match fine {
            true => attack.assert_alive(),
            false => attack.assert_closed_h3(H3_EXCESSIVE_LOAD),
        }
    }
    let mut attack = Attack::on_server(|l| l.control_frame = 64);
    let long: Vec<_> = (0..30).map(|n| (0x1000 + n, 0)).collect();
    attack.send(uni(0), &wire::raw_control_stream(&long));
    attack.assert_closed_h3(H3_EXCESSIVE_LOAD);
}

#[test]
fn settings() {
    for (count, fine) in [(8, true), (9, false)] {
        let mut attack = Attack::on_server(|l| l.settings = 8);
        let pairs: Vec<_> = (0..count).map(|n| (0x1000 + n, 0)).collect();
        attack.send(uni(0), &wire::raw_control_stream(&pairs));
        match fine {
            true => attack.assert_alive(),
            false => attack.assert_closed_h3(H3_EXCESSIVE_LOAD),
        }
    }
}

#[test]
fn skipped() {
    // 250 bytes with its header.
    let unknown = wire::h3_frame(wire::GREASE, &[0; 246]);
    for id in [uni(0), bidi(0)] {
        let mut attack = Attack::on_server(|l| l.skipped = 1000);
        attack.send_settings(&[]);
        for _ in 0..4 {
            attack.send(id, &unknown);
        }
        attack.assert_alive();
        attack.send(id, &unknown);
        attack.assert_closed_h3(H3_EXCESSIVE_LOAD);
    }
    // Capsules: the session ends, not the connection.
    let (mut attack, session) = Attack::with_session(|l| l.skipped = 1000);
    let unknown = wire::capsule(wire::GREASE, &[0; 246]);
    for _ in 0..4 {
        attack.send(bidi(0), &unknown);
    }
    assert_eq!(attack.session_closed(session), None);
    attack.send(bidi(0), &unknown);
    assert_session_failed(&mut attack, session, H3_EXCESSIVE_LOAD);
}

/// The session ended by the victim's judgement, with this code; the connection did not.
#[track_caller]
fn assert_session_failed(attack: &mut Attack, session: SessionId, code: u64) {
    let closed = attack.session_closed(session).expect("the session ended");
    assert_eq!((closed.by, closed.error), (ClosedBy::Fault, Some(code)));
    assert_eq!(attack.reset_code(session.stream()), Some(code));
    attack.assert_alive();
}

#[test]
fn interim_responses() {
    let mut attack = Attack::on_client(|l| l.interim_responses = 2);
    let early_hints = wire::headers(&[(":status", "103")]);
    assert_given_up(&mut attack, &early_hints.repeat(3), H3_EXCESSIVE_LOAD);
}

#[test]
fn resets_in_a_row() {
    let reset = |id, final_size| {
        let code = H3_REQUEST_CANCELLED;
        Frame::ResetStream(ResetStream {
            id,
            code,
            final_size,
        })
    };
    // Before their heads are whole, and behind them.
    for (request, rest) in [(wire::get(&[]), 0), (wire::get(&[]), 1)] {
        let mut attack = Attack::on_server(|l| l.resets_in_a_row = 5);
        let request = &request[..request.len() - rest];
        let give_up = |attack: &mut Attack, n| {
            attack.send(bidi(n), request);
            attack.say(&[reset(bidi(n), request.len() as u64)]);
            let events = attack.events();
            if events.iter().any(|e| matches!(e, Event::Request(..))) {
                attack.conn().cancel(bidi(n));
                attack.events();
            }
        };
        for n in 0..5 {
            give_up(&mut attack, n);
        }
        attack.assert_alive();
        give_up(&mut attack, 5);
        attack.events();
        attack.assert_closed_h3(H3_EXCESSIVE_LOAD);
    }
}

// WebTransport.

#[test]
fn sessions() {
    let (mut attack, _) = Attack::with_flow_control(|l| l.sessions = 2);
    attack.request_session(1);
    attack.send(bidi(2), &wire::connect("webtransport-h3"));
    assert_rejected(&mut attack, bidi(2));

    // Without flow control there is one.
    let (mut attack, _) = Attack::with_session(|l| l.sessions = 2);
    attack.send(bidi(1), &wire::connect("webtransport-h3"));
    assert_rejected(&mut attack, bidi(1));
}

/// A request was reset without the application's knowledge.
#[track_caller]
fn assert_rejected(attack: &mut Attack, id: StreamId) {
    assert_eq!(attack.events(), []);
    assert_eq!(attack.reset_code(id), Some(H3_REQUEST_REJECTED));
    assert_eq!(attack.stop_code(id), Some(H3_REQUEST_REJECTED));
    attack.assert_alive();
}

#[test]
fn early_streams() {
    let mut attack = Attack::on_server(|l| l.early_streams = 2);
    attack.send_settings(&[]);
    for n in 1..=3 {
        attack.send(uni(n), &wire::uni_header(bidi(0)));
    }
    let stopped = [1, 2, 3].map(|n| attack.stop_code(uni(n)));
    assert_eq!(stopped, [None, None, Some(wire::BUFFERED_STREAM_REJECTED)]);
    attack.open_session(0);
    let opened: Vec<_> = attack.events().into_iter().filter_map(opened).collect();
    assert_eq!(opened, [uni(1), uni(2)]);
}

fn opened(event: Event) -> Option<StreamId> {
    match event {
        Event::StreamOpened(_, id) => Some(id),
        _ => None,
    }
}

/// Sends these before their session; gives those that it gets.
fn early(change: impl FnOnce(&mut Limits), payloads: &[&[u8]], wait: Duration) -> Vec<Vec<u8>> {
    let mut attack = Attack::on_server(change);
    attack.send_settings(&[]);
    for payload in payloads {
        let data = &wire::datagram(bidi(0), payload)[..];
        attack.say(&[Frame::Datagram(Datagram { data })]);
    }
    attack.wait(wait);
    let session = attack.open_session(0);
    datagrams(&mut attack, session)
}

#[test]
fn early_datagrams() {
    let got = early(
        |l| l.early_datagrams = 2,
        &[b"a", b"b", b"c"],
        Duration::ZERO,
    );
    assert_eq!(got, [b"a", b"b"]);
}

#[test]
fn early_datagram_bytes() {
    let got = early(
        |l| l.early_datagram_bytes = 10,
        &[b"12345678", b"123", b"12", b"1"],
        Duration::ZERO,
    );
    assert_eq!(got, [&b"12345678"[..], b"12"]);
}

#[test]
fn early_datagram_timeout() {
    for (millis, kept) in [(150, true), (250, false)] {
        let got = early(
            |l| l.early_datagram_timeout = Duration::from_millis(200),
            &[b"a"],
            Duration::from_millis(millis),
        );
        assert_eq!(got.len(), usize::from(kept));
    }
}

#[test]
fn early_timeout() {
    let limit = |l: &mut Limits| l.early_timeout = Duration::from_secs(1);
    let mut attack = Attack::on_server(limit);
    attack.send_settings(&[]);
    attack.send(uni(1), &wire::uni_header(bidi(0)));
    attack.wait(Duration::from_millis(990));
    assert_eq!(attack.stop_code(uni(1)), None);
    attack.wait(Duration::from_millis(20));
    let rejected = Some(wire::BUFFERED_STREAM_REJECTED);
    assert_eq!(attack.stop_code(uni(1)), rejected);
    attack.assert_alive();

    // A request whose client says nothing of its settings.
    let mut attack = Attack::on_server(limit);
    attack.events();
    attack.send(bidi(0), &wire::connect("webtransport-h3"));
    attack.wait(Duration::from_millis(990));
    assert_eq!(attack.reset_code(bidi(0)), None);
    attack.wait(Duration::from_millis(20));
    assert_rejected(&mut attack, bidi(0));
}

#[test]
fn session_timeout() {
    let limit = |l: &mut Limits| l.session_timeout = Duration::from_secs(1);
    // The application does not answer.
    let mut attack = Attack::on_server(limit);
    attack.send_settings(&[]);
    let session = attack.request_session(0);
    assert_times_out(&mut attack, session, H3_REQUEST_REJECTED);
    // The server does not.
    let (mut attack, session) = Attack::with_client_session(limit);
    assert_times_out(&mut attack, session, H3_REQUEST_CANCELLED);
}

#[track_caller]
fn assert_times_out(attack: &mut Attack, session: SessionId, code: u64) {
    attack.wait(Duration::from_millis(980));
    assert_eq!(attack.session_closed(session), None);
    attack.wait(Duration::from_millis(40));
    let closed = attack.session_closed(session).expect("it took too long");
    assert_eq!(closed.by, ClosedBy::Timeout);
    assert_eq!(attack.reset_code(session.stream()), Some(code));
    attack.assert_alive();
}

#[test]
fn capsule() {
    const DATAGRAM: u64 = 0;
    let (mut attack, session) = Attack::with_session(|l| l.capsule = 1200);
    attack.send(bidi(0), &wire::capsule(DATAGRAM, &[1; 1200]));
    attack.send(bidi(0), &wire::capsule(DATAGRAM, &[2; 1201]));
    assert_eq!(datagrams(&mut attack, session), [[1; 1200]]);

    // Before the answer a few bytes are held, and the rest is left to flow control.
    let mut attack = Attack::on_server(|l| l.capsule = 1200);
    attack.send_settings(&[]);
    let session = attack.request_session(0);
    attack.send(bidi(0), &wire::capsule(wire::GREASE, &[0; 10_000]));
    let credit = attack.heard(|frame| match frame {
        Frame::MaxStreamData(f) if f.id == bidi(0) => Some(f.maximum),
        _ => None,
    });
    assert_eq!(credit, []);
    attack.accept(session);
    attack.assert_alive();

    // A reason may be long before draft 15; not endless.
    let mut attack = Attack::on_server(|l| l.capsule = 1200);
    let settings = [(settings::H3_DATAGRAM, 1), (wire::DRAFT_07, 1)];
    attack.send(uni(0), &wire::raw_control_stream(&settings));
    let session = attack.request_session_as(0, "webtransport");
    attack.accept(session);
    attack.send(bidi(0), &wire::capsule(wire::CLOSE, &[0; 1201]));
    assert_session_failed(&mut attack, session, H3_EXCESSIVE_LOAD);
}

#[test]
fn session_window() {
    let limit = |l: &mut Limits| l.session_window = 1000;
    for (len, fine) in [(500, true), (501, false)] {
        let (mut attack, session) = Attack::with_flow_control(limit);
        assert_eq!(attack.setting(wire::INITIAL_MAX_DATA), Some(1000));
        for n in 1..=2 {
            let data = [wire::uni_header(bidi(0)), vec![0; len]].concat();
            attack.send(uni(n), &data);
        }
        match fine {
            true => assert_eq!(attack.session_closed(session), None),
            false => assert_session_failed(&mut attack, session, wire::SESSION_FLOW_CONTROL),
        }
    }
}

#[test]
fn session_streams() {
    let (mut attack, session) = Attack::with_flow_control(|l| l.session_streams = 2);
    for setting in [
        wire::INITIAL_MAX_STREAMS_UNI,
        wire::INITIAL_MAX_STREAMS_BIDI,
    ] {
        assert_eq!(attack.setting(setting), Some(2));
    }
    for n in 1..=2 {
        attack.send(uni(n), &wire::uni_header(bidi(0)));
    }
    assert_eq!(attack.session_closed(session), None);
    attack.send(uni(3), &wire::uni_header(bidi(0)));
    assert_session_failed(&mut attack, session, wire::SESSION_FLOW_CONTROL);
}

#[test]
fn closed_sessions() {
    let (mut attack, first) = Attack::with_flow_control(|l| l.closed_sessions = 1);
    let second = attack.open_session(1);
    for session in [first, second] {
        attack.finish(session.stream(), b"");
        assert!(attack.session_closed(session).is_some());
    }
    attack.send(uni(1), &wire::uni_header(second.stream()));
    assert_eq!(attack.stop_code(uni(1)), Some(wire::SESSION_GONE));
    // Forgotten, it is as one that may come yet.
    attack.send(uni(2), &wire::uni_header(first.stream()));
    assert_eq!(attack.stop_code(uni(2)), None);
    attack.wait(Limits::default().early_timeout + Duration::from_millis(10));
    let rejected = Some(wire::BUFFERED_STREAM_REJECTED);
    assert_eq!(attack.stop_code(uni(2)), rejected);
}

// All of them together.

/// A peer fills everything there is to fill, and nobody takes anything away: memory stays within
/// what the limits add up to.
#[test]
fn memory_has_a_bound() {
    let mut limits = Limits::default();
    small(&mut limits);
    let bound = worst_case(&limits);
    let (mut attack, session) = Attack::with_flow_control(small);
    let stranger = bidi(100);
    let check = |attack: &mut Attack| {
        let memory = attack.stats().memory;
        assert!(memory <= bound, "{memory} bytes, but {bound} at most");
        memory
    };

    // A request that waits for its answer, as large as it may be, with capsules behind it.
    let pad = "v".repeat(limits.field_section - 400);
    let head = wire::connect_with("webtransport-h3", &[("x", &pad)]);
    attack.send(bidi(1), &head);
    attack.send(bidi(1), &wire::capsule(wire::GREASE, &[0; 3000]));
    check(&mut attack);
    // Heads that never become whole.
    let section = vec![0; limits.field_section];
    let unfinished = wire::h3_frame(1, &section);
    for n in 2..limits.streams_bidi {
        attack.send(bidi(n), &unfinished[..unfinished.len() - 1]);
        check(&mut attack);
    }
    // Every second piece of streams: of a session, of one that never comes, and of none.
    for n in 1..limits.streams_uni {
        let header = match n {
            1..=2 => wire::uni_header(session.stream()),
            3..=6 => wire::uni_header(stranger),
            _ => vec![],
        };
        attack.send(uni(n), &header);
    }
    let step = limits.stream_window / limits.stream_gaps as u64;
    let mut credit = limits.connection_window - 8000;
    for n in 1..limits.streams_uni {
        for at in (0..limits.stream_gaps as u64 - 1).map(|piece| 10 + piece * step) {
            if credit >= step {
                credit -= step;
                let data = vec![7; step as usize / 2];
                attack.say(&[stream(uni(n), at, &data, false)]);
            }
        }
        check(&mut attack);
    }
    // Every second byte of the handshake, behind its end.
    for piece in 0..limits.stream_gaps as u64 {
        let offset = 1 + 2 * piece + limits.crypto_buffer as u64 / 2;
        attack.say(&[Frame::Crypto(Crypto { offset, data: b"x" })]);
    }
    check(&mut attack);
    // Datagrams, large and empty, in packets of which every second is missing.
    for n in 0..200 {
        attack.skip_packet_number();
        let payload = vec![0; if n % 2 == 0 { 0 } else { 1000 }];
        send_datagram(&mut attack, session, &payload);
        let data = &wire::datagram(stranger, &payload)[..];
        attack.say(&[Frame::Datagram(Datagram { data })]);
        check(&mut attack);
    }
    // The application has much to say, and the peer acknowledges nothing.
    for _ in 0..4 {
        let id = attack.conn().open_stream(session, Dir::Uni).unwrap();
        while attack.conn().write(id, &[0; 1000]).is_ok() {}
        while attack.conn().send_datagram(session, &[0; 1000]).is_ok() {}
        attack.events();
        check(&mut attack);
    }
    attack.assert_alive();
    let memory = check(&mut attack);
    assert!(
        memory > bound / 4,
        "{memory} of {bound}: that was no attack"
    );
}

fn small(l: &mut Limits) {
    (l.streams_bidi, l.streams_uni) = (6, 10);
    (l.stream_window, l.stream_window_max) = (16 << 10, 16 << 10);
    (l.connection_window, l.connection_window_max) = (64 << 10, 64 << 10);
    l.stream_gaps = 32;
    (l.stream_send_buffer, l.connection_send_buffer) = (16 << 10, 32 << 10);
    (l.crypto_buffer, l.sent_packets, l.ack_ranges) = (4096, 200, 16);
    (l.datagrams_in, l.datagram_bytes_in) = (20, 10_000);
    (l.datagrams_out, l.datagram_bytes_out) = (10, 5000);
    (l.field_section, l.fields, l.sessions) = (4096, 32, 2);
    (l.early_streams, l.early_datagrams, l.early_datagram_bytes) = (4, 8, 4000);
}

/// What a connection with these limits can hold for its peer.
fn worst_case(l: &Limits) -> usize {
    // A range or a list entry; lists have twice the room they need at the most.
    let entry = 2 * 64;
    let pieces = l.stream_gaps * entry;
    // Data is held in blocks of 16 KiB, of which the first and the last may be used in part.
    let block = 16 << 10;
    let streams = l.streams_bidi as usize + l.streams_uni as usize + 16;
    let head = l.field_section + l.fields * entry;
    [
        l.connection_window_max as usize,
        streams * (block + pieces + 1024),
        l.streams_bidi as usize * 2 * l.field_section,
        2 * l.connection_send_buffer,
        3 * (l.crypto_buffer + block + pieces),
        l.datagram_bytes_in + l.datagrams_in * entry,
        2 * l.datagram_bytes_out + l.datagrams_out * entry,
        l.early_datagram_bytes + (l.early_datagrams + l.early_streams) * entry,
        l.sessions * (head + l.capsule + 1024),
        l.ack_ranges * entry,
        // A packet and up to four frames; and those that only acknowledge.
        (5 * l.sent_packets + 2 * 1024) * entry,
        // Spare buffers, and queues between the layers.
        4 * (32 << 10),
    ]
    .into_iter()
    .sum()
}
