//! Peers that break the rules of sessions, and the exact answers.

use alloc::{vec, vec::Vec};
use core::time::Duration;

use proptest::prelude::*;

use super::{
    super::Connection,
    pair::{End, Options, Pair},
};
use crate::{
    Event,
    config::Limits,
    error::WriteError,
    event::{ClosedBy, ErrorSpace},
    h3::{self, Fields, RequestHead, ResponseHead},
    wire::{Dir, Side, StreamId, h3::capsule},
    wt::{Dialect, SessionId, SessionRequest},
};

const MESSAGE_ERROR: u64 = 0x10e;
const EXCESSIVE_LOAD: u64 = 0x107;
const FLOW_CONTROL_ERROR: u64 = 0x045d_4487;

/// The session ended by `code`, at the one end because of a fault, at the other because it was
/// told.
fn assert_failed(pair: &mut Pair, session: SessionId, victim_is_server: bool, code: u64) {
    let (victim, culprit) = match victim_is_server {
        true => (&mut pair.server, &mut pair.client),
        false => (&mut pair.client, &mut pair.server),
    };
    let closed = victim.session_closed(session);
    assert_eq!(
        (closed.by, closed.code, closed.error),
        (ClosedBy::Fault, 0, Some(code))
    );
    let closed = culprit.session_closed(session);
    assert_eq!((closed.by, closed.error), (ClosedBy::Peer, Some(code)));
    assert!(victim.conn.is_established() && culprit.conn.is_established());
}

fn capsule(ty: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    capsule::encode(ty, value, &mut out);
    out
}

#[test]
fn capsules_that_end_a_session() {
    let long = [&[0; 4][..], &[b'x'; 1025]].concat();
    let after_close = [capsule(0x2843, &[0; 4]), vec![0x17, 0]].concat();
    let twice = [
        capsule(0x190b_4d3d, &[0xbf, 0xff, 0xff, 0xff]),
        capsule(0x190b_4d3d, &[0xbf, 0xff, 0xff, 0xff]),
    ];
    let too_many = [0xd0, 0, 0, 0, 0, 0, 0, 1];
    let cases: [(&str, Vec<u8>, u64); 11] = [
        (
            "a reason of 1025 bytes",
            capsule(0x2843, &long),
            MESSAGE_ERROR,
        ),
        (
            "a reason that is no UTF-8",
            capsule(0x2843, b"\0\0\0\0\xff"),
            MESSAGE_ERROR,
        ),
        (
            "a close capsule without a code",
            capsule(0x2843, &[0; 3]),
            MESSAGE_ERROR,
        ),
        (
            "a drain capsule with a value",
            capsule(0x78ae, &[0]),
            MESSAGE_ERROR,
        ),
        (
            "WT_MAX_STREAM_DATA",
            capsule(0x190b_4d3e, &[0, 1]),
            MESSAGE_ERROR,
        ),
        (
            "WT_STREAM_DATA_BLOCKED",
            capsule(0x190b_4d42, &[0, 1]),
            MESSAGE_ERROR,
        ),
        (
            "a lowered limit",
            capsule(0x190b_4d3d, &[1]),
            FLOW_CONTROL_ERROR,
        ),
        ("a repeated limit", twice.concat(), FLOW_CONTROL_ERROR),
        (
            "too many streams",
            capsule(0x190b_4d3f, &too_many),
            FLOW_CONTROL_ERROR,
        ),
        (
            "blocked at too many streams",
            capsule(0x190b_4d44, &too_many),
            FLOW_CONTROL_ERROR,
        ),
        (
            "an endless unknown capsule",
            b"\x40\x40\xc0\0\x10\0\0\0\0\0".to_vec(),
            EXCESSIVE_LOAD,
        ),
    ];
    for (what, bytes, code) in cases {
        for by_client in [true, false] {
            let (mut pair, session) = Pair::with_session(&Options::default());
            let stream = pair.client.open(session, Dir::Bi, b"x");
            pair.run();
            pair.server.opened();
            let culprit = if by_client {
                &mut pair.client
            } else {
                &mut pair.server
            };
            culprit.write_capsule_bytes(session, &bytes);
            pair.run();
            std::println!("{what}, by the client: {by_client}");
            assert_failed(&mut pair, session, by_client, code);
            assert_eq!(pair.server.conn.session_of(stream), None);
            pair.open_session();
        }
    }
    let (mut pair, session) = Pair::with_session(&Options::default());
    pair.client.write_capsule_bytes(session, &after_close);
    pair.run();
    // The close was heard; only the stream is reset.
    let closed = pair.server.session_closed(session);
    assert_eq!((closed.by, closed.error), (ClosedBy::Peer, None));
    let closed = pair.client.session_closed(session);
    assert_eq!(
        (closed.by, closed.error),
        (ClosedBy::Peer, Some(MESSAGE_ERROR))
    );
}

#[test]
fn older_dialects_forgive() {
    let options = Options {
        server: &[Dialect::Draft02],
        ..Options::default()
    };
    let (mut pair, session) = Pair::with_session(&options);
    let bytes = [
        capsule(0x190b_4d3e, &[1, 2, 3]),
        capsule(0x190b_4d3d, &[]),
        capsule(0x78ae, &[1]),
        capsule(0x2843, b"\0\0\0\x05a\xffb"),
        vec![0x17, 0x00],
    ];
    pair.client.write_capsule_bytes(session, &bytes.concat());
    pair.run();
    let closed = pair.server.session_closed(session);
    assert_eq!(
        (closed.by, closed.code, closed.error),
        (ClosedBy::Peer, 5, None)
    );
    assert_eq!(closed.reason, "a\u{fffd}b");
}

#[test]
fn an_end_inside_a_capsule() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    pair.client
        .write_capsule_bytes(session, b"\x68\x43\x07\0\0");
    let conn = &mut *pair.client.conn;
    conn.h3
        .finish_body(&mut conn.quic, session.stream())
        .unwrap();
    pair.run();
    assert_failed(&mut pair, session, true, MESSAGE_ERROR);
}

#[test]
fn capsules_before_the_answer_wait_for_it() {
    for accept in [true, false] {
        let mut pair = Pair::connected(&Options::default());
        let session = pair
            .client
            .conn
            .request_session(SessionRequest::new("a", "/"))
            .unwrap();
        // As Chromium: grease right behind the request. Then more than is held, then the close.
        let grease = capsule(0x40, &[7; 60]);
        pair.client.write_capsule_bytes(session, &grease);
        pair.client
            .write_capsule_bytes(session, &capsule(0x69, &[7; 5000]));
        pair.client
            .write_capsule_bytes(session, &capsule(0x2843, b"\0\0\0\x09hi"));
        pair.run();
        let events = pair.server.take();
        assert!(
            matches!(events[..], [Event::SessionRequested(..)]),
            "{events:?}"
        );
        // The session and its request among it.
        let held = pair.server.conn.wt.accounted_bytes();
        assert!(held <= Limits::default().capsule + 2000, "{held}");
        if accept {
            pair.server.conn.accept_session(session, None).unwrap();
            let closed = pair.server.session_closed(session);
            assert_eq!((closed.by, closed.code), (ClosedBy::Peer, 9));
            assert_eq!(closed.reason, "hi");
        } else {
            pair.server.reject(session, 404);
            pair.run();
            assert_eq!(pair.server.take(), []);
        }
    }
}

#[test]
fn session_ids_that_cannot_be() {
    for (dir, header) in [(Dir::Bi, [0x40, 0x41]), (Dir::Uni, [0x40, 0x54])] {
        for id in 1..4 {
            let (mut pair, _) = Pair::with_session(&Options::default());
            pair.client.open_raw(dir, &[header[0], header[1], id]);
            pair.run();
            for end in [&mut pair.client, &mut pair.server] {
                let reason = end.closed();
                assert_eq!(
                    (reason.space, reason.code),
                    (ErrorSpace::Application, 0x108)
                );
            }
        }
    }
}

#[test]
fn a_datagram_that_names_no_request() {
    let (mut pair, _) = Pair::with_session(&Options::default());
    pair.client
        .conn
        .quic
        .send_datagram(&[0xd0, 0, 0, 0, 0, 0, 0, 0], b"x")
        .unwrap();
    pair.run();
    assert_eq!(pair.server.closed().code, 0x33);
}

/// Writes past the credit that the victim gave, as a client without any sense for it would.
fn flood(end: &mut End, session: SessionId, dir: Dir, streams: usize, bytes: usize) {
    let header = [
        0x40,
        if dir == Dir::Bi { 0x41 } else { 0x54 },
        session.stream().as_u64() as u8,
    ];
    for _ in 0..streams {
        end.open_raw(dir, &[&header[..], &vec![1; bytes]].concat());
    }
}

#[test]
fn limits_of_flow_control_are_kept() {
    let options = Options {
        server_limits: Limits {
            session_window: 1000,
            session_streams: 3,
            ..Limits::default()
        },
        ..Options::default()
    };
    for (dir, streams, bytes, fine) in [
        (Dir::Uni, 3, 300, true),
        (Dir::Bi, 3, 300, true),
        (Dir::Uni, 4, 0, false),
        (Dir::Bi, 4, 0, false),
        (Dir::Uni, 1, 1000, true),
        (Dir::Uni, 1, 1001, false),
        (Dir::Bi, 2, 501, false),
    ] {
        let (mut pair, session) = Pair::with_session(&options);
        flood(&mut pair.client, session, dir, streams, bytes);
        pair.run();
        if fine {
            assert_eq!(pair.server.conn.sessions().count(), 1);
        } else {
            assert_failed(&mut pair, session, true, FLOW_CONTROL_ERROR);
        }
    }
}

#[test]
fn final_sizes_count_against_the_session() {
    let options = Options {
        server_limits: Limits {
            session_window: 1000,
            ..Limits::default()
        },
        ..Options::default()
    };
    let (mut pair, session) = Pair::with_session(&options);
    // Sent, lost, and then reset: only the final size tells of it.
    let id = pair.client.open_raw(Dir::Uni, b"\x40\x54\0");
    pair.run();
    pair.server.opened();
    pair.drop = |to_server, _| to_server;
    pair.client.conn.quic.write(id, &[1; 1001]).unwrap();
    pair.run_for(Duration::from_millis(1));
    pair.drop = |_, _| false;
    pair.client.conn.quic.reset(id, 0);
    pair.run();
    assert_failed(&mut pair, session, true, FLOW_CONTROL_ERROR);
}

#[test]
fn without_flow_control_its_limits_do_not_bind() {
    let options = Options {
        client_limits: Limits {
            session_window: 0,
            session_streams: 0,
            ..Limits::default()
        },
        server_limits: Limits {
            session_window: 10,
            session_streams: 1,
            ..Limits::default()
        },
        ..Options::default()
    };
    let (mut pair, session) = Pair::with_session(&options);
    for _ in 0..3 {
        pair.client.open(session, Dir::Uni, &[1; 100]);
    }
    pair.run();
    assert_eq!(pair.server.conn.sessions().count(), 1);
}

#[test]
fn a_request_waits_for_settings_only_so_long() {
    let mut pair = Pair::new(&Options::default());
    // The server's flight comes; what the client says to it is lost, and of its SETTINGS it thinks
    // better before it says it again.
    pair.run_for(Duration::from_millis(15));
    pair.drop = |to_server, _| to_server;
    pair.run_for(Duration::from_millis(10));
    assert!(pair.client.conn.is_established());
    pair.drop = |_, _| false;
    let control = StreamId::new(Side::Client, Dir::Uni, 0);
    pair.client.conn.quic.reset(control, 0);
    let session = pair
        .client
        .conn
        .request_session(SessionRequest::new("a", "/"))
        .unwrap();
    pair.run_for(Duration::from_secs(4));
    assert_eq!(pair.server.take(), [Event::Connected]);
    assert_eq!(pair.client.take(), [Event::Connected]);
    pair.run_for(Duration::from_secs(3));
    assert_eq!(pair.server.take(), []);
    let closed = pair.client.session_closed(session);
    assert_eq!((closed.by, closed.error), (ClosedBy::Peer, Some(0x10b)));
}

#[test]
fn settings_that_lack_what_a_session_needs() {
    let mut pair = Pair::new(&Options::default());
    let conn = &mut *pair.client.conn;
    let (side, limits) = (Side::Client, Limits::default());
    conn.h3 = h3::Layer::new(side, &limits, h3::Extensions::default(), 0);
    pair.run();
    pair.client.take();
    pair.server.take();
    let conn = &mut *pair.client.conn;
    let head = connect("webtransport-h3");
    let id = conn.h3.send_request(&mut conn.quic, &head, false).unwrap();
    pair.run();
    assert_eq!(pair.server.take(), []);
    assert_eq!(
        pair.client.take(),
        [Event::RequestFailed(id, MESSAGE_ERROR)]
    );
}

fn connect(protocol: &str) -> RequestHead {
    RequestHead {
        method: "CONNECT".into(),
        scheme: Some("https".into()),
        authority: Some("a".into()),
        path: Some("/".into()),
        protocol: Some(protocol.into()),
        ..RequestHead::default()
    }
}

/// Limits are not queued behind capsules that the peer does not take; they come when it does.
#[test]
fn limits_wait_while_the_connect_stream_is_congested() {
    let options = Options {
        server_limits: Limits {
            session_window: 1000,
            ..Limits::default()
        },
        ..Options::default()
    };
    let (mut pair, session) = Pair::with_session(&options);
    let id = pair.client.open(session, Dir::Uni, &[1; 1000]);
    pair.run();
    pair.server.opened();
    let written = |pair: &Pair| pair.server.conn.quic.buffered_on(session.stream());
    pair.server
        .write_capsule_bytes(session, &capsule(0x40, &[0; 2000]));
    let before = written(&pair);
    assert_eq!(pair.server.read(id).0.len(), 1000);
    assert_eq!(written(&pair), before, "nothing on top");
    assert_eq!(pair.client.conn.write(id, &[1]), Err(WriteError::Blocked));
    pair.run();
    assert_eq!(pair.client.take(), [Event::Writable(id)]);
    assert_eq!(pair.client.conn.write(id, &[1; 1001]), Ok(1000));
}

#[test]
fn unknown_tokens_go_to_the_application_and_known_ones_need_a_dialect() {
    let options = Options {
        server: &[Dialect::Draft16],
        ..Options::default()
    };
    let mut pair = Pair::connected(&options);
    let mut head = connect("websocket");
    let id = pair.client.conn.request(&head).unwrap();
    pair.run();
    assert_eq!(
        pair.server.take(),
        [Event::Request(id, head.clone().into())]
    );
    head.protocol = Some("webtransport".into());
    let conn = &mut *pair.client.conn;
    assert!(conn.request(&head).is_err(), "that is request_session's");
    let id = conn.h3.send_request(&mut conn.quic, &head, false).unwrap();
    pair.run();
    assert_eq!(pair.server.take(), [Event::Request(id, head.into())]);
}

#[test]
fn a_protocol_that_was_not_offered() {
    for (dialects, error) in [
        (&[Dialect::Draft16], Some(0x0817_b3dd)),
        (&[Dialect::Draft13], None),
    ] {
        let options = Options {
            server: dialects,
            ..Options::default()
        };
        let mut pair = Pair::connected(&options);
        let request = SessionRequest::new("a", "/").protocol("offered");
        let session = pair.client.conn.request_session(request).unwrap();
        pair.run();
        let mut fields = Fields::new();
        fields.push("wt-protocol", "\"other\"");
        let response = ResponseHead {
            status: 200,
            fields,
        };
        let Connection { h3, quic, .. } = &mut *pair.server.conn;
        h3.send_response(quic, session.stream(), &response, false)
            .unwrap();
        pair.run();
        if error.is_some() {
            let closed = pair.client.session_closed(session);
            assert_eq!((closed.by, closed.error), (ClosedBy::Fault, error));
        } else {
            assert_eq!(pair.client.conn.protocol(session), None);
            assert_eq!(pair.client.conn.sessions().count(), 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes on any way into a session: nobody panics, and what is held stays in bounds.
    #[test]
    fn any_bytes_at_all(
        inputs in prop::collection::vec(
            (0..5u8, prop::collection::vec(any::<u8>(), 0..300), any::<u32>()),
            1..12,
        ),
        dialect in 0..4usize,
    ) {
        let options = Options {
            server: &Dialect::ALL[dialect..=dialect],
            ..Options::default()
        };
        let (mut pair, session) = Pair::with_session(&options);
        let limits = Limits::default();
        for (way, bytes, number) in inputs {
            let Connection { h3, quic, .. } = &mut *pair.client.conn;
            let id = u64::from(number % 12).to_be_bytes()[7];
            match way {
                0 => {
                    let _ = h3.write_body(quic, session.stream(), &bytes);
                }
                1 => {
                    let mut out = Vec::new();
                    capsule::encode(0x190b_4d3d + u64::from(number % 8), &bytes[..bytes.len().min(9)], &mut out);
                    let _ = h3.write_body(quic, session.stream(), &out);
                }
                2 | 3 => {
                    let (dir, marker) = if way == 2 { (Dir::Uni, 0x54) } else { (Dir::Bi, 0x41) };
                    if let Some(stream) = quic.open(dir) {
                        let _ = quic.write(stream, &[0x40, marker, id & !3]);
                        let _ = quic.write(stream, &bytes);
                        match number % 3 {
                            0 => {
                                let _ = quic.finish(stream);
                            }
                            1 => quic.reset(stream, number.into()),
                            _ => {}
                        }
                    }
                }
                _ => {
                    let _ = quic.send_datagram(&[id], &bytes);
                }
            }
            pair.run_for(Duration::from_millis(30));
            prop_assert!(pair.server.conn.wt.accounted_bytes() < limits.datagram_bytes_in
                + limits.early_datagram_bytes + limits.capsule + 64 * 1024);
        }
        pair.run_for(Duration::from_secs(20));
        prop_assert!(pair.server.conn.is_established() || pair.server.conn.is_closed());
    }
}
