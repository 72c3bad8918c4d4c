//! Sessions: how they begin and end.

use alloc::{string::ToString, vec, vec::Vec};
use core::time::Duration;

use super::pair::{Options, Pair};
use crate::{
    Event,
    config::Limits,
    error::{SessionError, WriteError},
    event::{ClosedBy, SessionClosed},
    h3::Fields,
    wire::Dir,
    wt::{Dialect, SessionRequest, offered_protocols},
};

fn request() -> SessionRequest {
    SessionRequest::new("example.org", "/chat?room=1")
}

fn ended(by: ClosedBy, code: u32, reason: &str, error: Option<u64>) -> SessionClosed {
    SessionClosed {
        by,
        code,
        reason: reason.to_string(),
        error,
    }
}

#[test]
fn asked_before_the_handshake() {
    let mut pair = Pair::new(&Options::default());
    let first = request().protocol("b").protocol("a").field("x-app", "1");
    let session = pair.client.conn.request_session(first).unwrap();
    pair.run();
    assert_eq!(pair.client.take(), [Event::Connected]);
    let events = pair.server.take();
    let [Event::Connected, Event::SessionRequested(id, head)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*id, session);
    assert_eq!(head.path.as_deref(), Some("/chat?room=1"));
    assert_eq!(head.fields.get("x-app"), Some(&b"1"[..]));
    assert_eq!(offered_protocols(head), ["b", "a"]);
    assert_eq!(pair.server.conn.dialect(session), Some(Dialect::Draft16));

    assert!(pair.server.conn.accept_session(session, Some("c")).is_err());
    let mut fields = Fields::new();
    fields.push("x-srv", "2");
    pair.server
        .conn
        .accept_session_with(session, Some("a"), &fields)
        .unwrap();
    assert_eq!(
        pair.server.conn.accept_session(session, None),
        Err(SessionError::WrongState)
    );
    pair.run();
    let events = pair.client.take();
    let [Event::SessionReady(id, ready)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*id, session);
    assert_eq!(ready.response.status, 200);
    assert_eq!(ready.response.fields.get("x-srv"), Some(&b"2"[..]));
    assert_eq!(ready.protocol.as_deref(), Some("a"));
    assert_eq!(ready.dialect, Dialect::Draft16);
    for end in [&pair.client, &pair.server] {
        assert_eq!(end.conn.protocol(session), Some("a"));
        assert_eq!(end.conn.sessions().collect::<Vec<_>>(), [session]);
    }
}

#[test]
fn every_pair_of_dialects() {
    for client in 0..4 {
        for server in 0..4 {
            let options = Options {
                client: &Dialect::ALL[client..=client],
                server: &Dialect::ALL[server..=server],
                ..Options::default()
            };
            if client == server {
                let (mut pair, session) = Pair::with_session(&options);
                assert_eq!(
                    pair.client.conn.dialect(session),
                    Some(Dialect::ALL[client])
                );
                assert_eq!(
                    pair.server.conn.dialect(session),
                    Some(Dialect::ALL[client])
                );
                pair.client.conn.close_session(session, 7, "bye").unwrap();
                pair.run();
                let closed = pair.server.session_closed(session);
                assert_eq!(closed, ended(ClosedBy::Peer, 7, "bye", None));
                let closed = pair.client.session_closed(session);
                assert_eq!(closed, ended(ClosedBy::Local, 7, "bye", None));
            } else {
                let mut pair = Pair::new(&options);
                let session = pair.client.conn.request_session(request()).unwrap();
                pair.run();
                let closed = pair.client.session_closed(session);
                assert_eq!(
                    (closed.by, closed.error),
                    (ClosedBy::Fault, Some(0x212c_0d48))
                );
                assert_eq!(pair.server.take(), [Event::Connected]);
                let again = pair.client.conn.request_session(request());
                assert!(matches!(again, Err(SessionError::Unsupported(_))));
            }
        }
    }
}

#[test]
fn rejected() {
    let mut pair = Pair::connected(&Options::default());
    let session = pair.client.conn.request_session(request()).unwrap();
    pair.run();
    pair.server.take();
    for status in [200, 204, 100, 600] {
        assert!(
            pair.server
                .conn
                .reject_session(session, status, Fields::new())
                .is_err()
        );
    }
    pair.server.reject(session, 403);
    pair.run();
    let events = pair.client.take();
    let [Event::SessionRejected(id, response)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((*id, response.status), (session, 403));
    assert_eq!(pair.server.take(), []);
    // The connection goes on.
    pair.open_session();
}

#[test]
fn closed_by_either_side() {
    for by_client in [true, false] {
        let (mut pair, session) = Pair::with_session(&Options::default());
        let (closer, other) = match by_client {
            true => (&mut pair.client, &mut pair.server),
            false => (&mut pair.server, &mut pair.client),
        };
        let reason = "é".repeat(600);
        closer
            .conn
            .close_session(session, u32::MAX, &reason)
            .unwrap();
        assert_eq!(closer.take(), [], "it waits for the peer");
        let again = closer.conn.close_session(session, 1, "");
        assert_eq!(again, Err(SessionError::WrongState));
        let _ = other;
        pair.run();
        let (closer, other) = match by_client {
            true => (&mut pair.client, &mut pair.server),
            false => (&mut pair.server, &mut pair.client),
        };
        let cut = "é".repeat(512);
        assert_eq!(
            other.session_closed(session),
            ended(ClosedBy::Peer, u32::MAX, &cut, None)
        );
        let closed = closer.session_closed(session);
        assert_eq!(closed, ended(ClosedBy::Local, u32::MAX, &reason, None));
        let unknown = closer.conn.close_session(session, 1, "");
        assert_eq!(unknown, Err(SessionError::UnknownSession));
        pair.run();
        assert_eq!((pair.client.take(), pair.server.take()), (vec![], vec![]));
    }
}

#[test]
fn closed_by_both_sides_at_once() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    pair.client.conn.close_session(session, 1, "c").unwrap();
    pair.server.conn.close_session(session, 2, "s").unwrap();
    pair.run();
    assert_eq!(
        pair.client.take(),
        [Event::SessionClosed(
            session,
            ended(ClosedBy::Local, 1, "c", None)
        )]
    );
    assert_eq!(
        pair.server.take(),
        [Event::SessionClosed(
            session,
            ended(ClosedBy::Local, 2, "s", None)
        )]
    );
}

#[test]
fn a_plain_end_is_a_close_without_reason() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    let conn = &mut *pair.server.conn;
    conn.h3
        .finish_body(&mut conn.quic, session.stream())
        .unwrap();
    pair.run();
    let closed = pair.client.session_closed(session);
    assert_eq!(closed, ended(ClosedBy::Peer, 0, "", None));
}

#[test]
fn a_reset_connect_stream_ends_the_session() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    let conn = &mut *pair.client.conn;
    conn.h3.cancel(&mut conn.quic, session.stream(), 0x10c);
    pair.run();
    let closed = pair.server.session_closed(session);
    assert_eq!(closed, ended(ClosedBy::Peer, 0, "", Some(0x10c)));
}

#[test]
fn stop_sending_before_the_close_capsule_does_not_hide_it() {
    for with_capsule in [true, false] {
        let (mut pair, session) = Pair::with_session(&Options::default());
        let conn = &mut *pair.client.conn;
        conn.h3.stop(&mut conn.quic, session.stream(), 0x170d_7b68);
        pair.run();
        assert_eq!(pair.server.take(), []);
        assert!(
            pair.server
                .conn
                .open_stream(session, crate::Dir::Uni)
                .is_err()
        );
        if with_capsule {
            pair.client
                .write_capsule_bytes(session, b"\x68\x43\x07\0\0\x04\xd2bye");
            pair.run();
            let closed = pair.server.session_closed(session);
            assert_eq!(closed, ended(ClosedBy::Peer, 1234, "bye", None));
        } else {
            pair.run_for(Duration::from_secs(3));
            let closed = pair.server.session_closed(session);
            assert_eq!(closed, ended(ClosedBy::Peer, 0, "", Some(0x170d_7b68)));
        }
    }
}

#[test]
fn a_close_that_nobody_answers_ends_by_itself() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    pair.drop = |_, _| true;
    pair.client.conn.close_session(session, 3, "x").unwrap();
    pair.run_for(Duration::from_millis(1900));
    assert_eq!(pair.client.take(), []);
    pair.run_for(Duration::from_millis(200));
    let closed = pair.client.session_closed(session);
    assert_eq!(closed, ended(ClosedBy::Local, 3, "x", None));
}

#[test]
fn given_up_by_the_client() {
    let mut pair = Pair::connected(&Options::default());
    let session = pair.client.conn.request_session(request()).unwrap();
    pair.run();
    pair.server.take();
    pair.client.conn.close_session(session, 5, "no").unwrap();
    assert_eq!(
        pair.client.session_closed(session),
        ended(ClosedBy::Local, 5, "no", None)
    );
    pair.run();
    let closed = pair.server.session_closed(session);
    assert_eq!(closed, ended(ClosedBy::Peer, 0, "", Some(0x10c)));
    assert_eq!(
        pair.server.conn.accept_session(session, None),
        Err(SessionError::UnknownSession)
    );
}

#[test]
fn a_request_that_is_not_answered() {
    let mut options = Options::default();
    options.server_limits.session_timeout = Duration::from_secs(3);
    let mut pair = Pair::connected(&options);
    let session = pair.client.conn.request_session(request()).unwrap();
    pair.run_for(Duration::from_secs(4));
    let closed = pair.server.session_closed(session);
    assert_eq!((closed.by, closed.error), (ClosedBy::Timeout, None));
    let closed = pair.client.session_closed(session);
    assert_eq!(closed, ended(ClosedBy::Peer, 0, "", Some(0x10b)));
}

#[test]
fn draining() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    pair.server.conn.drain_session(session).unwrap();
    pair.server.conn.drain_session(session).unwrap();
    pair.run();
    assert_eq!(pair.client.take(), [Event::SessionDraining(session)]);
    // It goes on working.
    pair.client.open(session, crate::Dir::Uni, b"x");
    pair.run();
    assert_eq!(pair.server.opened().0, session);
    pair.server.conn.go_away();
    pair.run();
    assert_eq!(pair.client.take(), [Event::GoingAway], "it drains already");
    assert_eq!(
        pair.client.conn.request_session(request()),
        Err(SessionError::Limit)
    );
}

#[test]
fn draft_02_has_no_drain() {
    let options = Options {
        server: &[Dialect::Draft02],
        ..Options::default()
    };
    let (mut pair, session) = Pair::with_session(&options);
    pair.server.conn.drain_session(session).unwrap();
    pair.run();
    assert_eq!(pair.client.take(), []);
    pair.server.conn.go_away();
    pair.run();
    assert_eq!(
        pair.client.take(),
        [Event::GoingAway, Event::SessionDraining(session)]
    );
}

#[test]
fn one_session_without_flow_control_and_many_with_it() {
    let without = Options {
        server_limits: Limits {
            session_window: 0,
            session_streams: 0,
            ..Limits::default()
        },
        ..Options::default()
    };
    let (mut pair, session) = Pair::with_session(&without);
    assert_eq!(
        pair.client.conn.request_session(request()),
        Err(SessionError::Limit)
    );
    // A client that does not care.
    let conn = &mut *pair.client.conn;
    let mut head = crate::h3::RequestHead {
        method: "CONNECT".into(),
        scheme: Some("https".into()),
        authority: Some("a".into()),
        path: Some("/".into()),
        protocol: Some("webtransport-h3".into()),
        ..Default::default()
    };
    let second = conn.h3.send_request(&mut conn.quic, &head, false).unwrap();
    pair.run();
    assert_eq!(pair.server.take(), []);
    assert_eq!(pair.client.take(), [Event::RequestFailed(second, 0x10b)]);
    // The first lives on, and when it is over there may be another.
    pair.client.conn.close_session(session, 0, "").unwrap();
    pair.run();
    pair.client.take();
    pair.server.take();
    pair.open_session();

    let limits = Limits {
        sessions: 3,
        ..Limits::default()
    };
    let with = Options {
        client_limits: limits.clone(),
        server_limits: limits,
        ..Options::default()
    };
    let mut pair = Pair::connected(&with);
    for _ in 0..3 {
        pair.open_session();
    }
    assert_eq!(
        pair.client.conn.request_session(request()),
        Err(SessionError::Limit)
    );
    head.protocol = Some("webtransport-h3".into());
    let conn = &mut *pair.client.conn;
    let fourth = conn.h3.send_request(&mut conn.quic, &head, false).unwrap();
    pair.run();
    assert_eq!(pair.client.take(), [Event::RequestFailed(fourth, 0x10b)]);
}

#[test]
fn requests_that_are_not_legal() {
    let mut pair = Pair::connected(&Options::default());
    let conn = &mut pair.client.conn;
    for request in [
        SessionRequest::new("", "/"),
        SessionRequest::new("a", ""),
        request().field("x", "a\r\nb"),
        request().field("bad name", "x"),
        request().protocol("é"),
    ] {
        let result = conn.request_session(request);
        assert!(
            matches!(result, Err(SessionError::Invalid(_))),
            "{result:?}"
        );
    }
    assert_eq!(
        pair.server.conn.request_session(request()),
        Err(SessionError::WrongState)
    );
}

#[test]
fn keying_material_is_a_sessions_own() {
    let mut pair = Pair::connected(&Options::default());
    let (a, b) = (pair.open_session(), pair.open_session());
    let export = |pair: &Pair, client: bool, session, label: &[u8]| {
        let end = if client { &pair.client } else { &pair.server };
        let mut out = [0; 32];
        let done = end
            .conn
            .export_session_keying_material(session, &mut out, label, b"ctx");
        done.map(|()| out)
    };
    let ours = export(&pair, true, a, b"label").unwrap();
    assert_eq!(export(&pair, false, a, b"label"), Ok(ours));
    assert_ne!(export(&pair, true, b, b"label"), Ok(ours));
    assert_ne!(export(&pair, true, a, b"other"), Ok(ours));
    assert!(export(&pair, true, a, b"").is_err());
}

#[test]
fn sessions_given_up_before_the_handshake() {
    let mut pair = Pair::new(&Options::default());
    let conn = &mut pair.client.conn;
    let first = conn.request_session(request()).unwrap();
    let second = conn.request_session(request()).unwrap();
    conn.close_session(first, 1, "").unwrap();
    assert_eq!(
        pair.client.session_closed(first),
        ended(ClosedBy::Local, 1, "", None)
    );
    let third = pair.client.conn.request_session(request()).unwrap();
    assert!(first < second && second < third);
    pair.run();
    let events = pair.server.take();
    let asked = events.iter().filter_map(|event| match event {
        Event::SessionRequested(id, _) => Some(*id),
        _ => None,
    });
    assert_eq!(asked.collect::<Vec<_>>(), [second, third]);
    assert_eq!(pair.client.take(), [Event::Connected]);
}

#[test]
fn sessions_past_the_servers_limit_fail_when_that_is_known() {
    let without = Options {
        server_limits: Limits {
            session_window: 0,
            session_streams: 0,
            ..Limits::default()
        },
        ..Options::default()
    };
    let mut pair = Pair::new(&without);
    let asked = [(); 3].map(|()| pair.client.conn.request_session(request()).unwrap());
    pair.run();
    let events = pair.client.take();
    let failed = events.iter().filter_map(|event| match event {
        Event::SessionClosed(id, closed) if closed.by == ClosedBy::Fault => Some(*id),
        _ => None,
    });
    assert_eq!(failed.collect::<Vec<_>>(), asked[1..]);
    let events = pair.server.take();
    assert!(
        matches!(events[..], [Event::Connected, Event::SessionRequested(id, _)] if id == asked[0])
    );
}

/// A client's GOAWAY is about pushes: its sessions are still welcome.
#[test]
fn a_clients_goaway_stops_no_sessions() {
    let mut pair = Pair::connected(&Options::default());
    let session = pair.client.conn.request_session(request()).unwrap();
    pair.client.conn.go_away();
    pair.client.conn.go_away();
    pair.run();
    let events = pair.server.take();
    assert!(events.contains(&Event::GoingAway));
    let asked = |event: &Event| matches!(event, Event::SessionRequested(id, _) if *id == session);
    assert!(events.iter().any(asked), "{events:?}");
}

/// Without a code there is no capsule: the end of the CONNECT stream says it all.
#[test]
fn sessions_end_without_a_capsule() {
    for by_client in [true, false] {
        let (mut pair, session) = Pair::with_session(&Options::default());
        let (closer, other) = match by_client {
            true => (&mut pair.client, &mut pair.server),
            false => (&mut pair.server, &mut pair.client),
        };
        let stream = closer.open(session, Dir::Uni, b"x");
        let before = closer.conn.buffered(session.stream());
        closer.conn.finish_session(session).unwrap();
        assert_eq!(closer.conn.buffered(session.stream()), before);
        assert_eq!(
            closer.conn.write(stream, b"x"),
            Err(WriteError::UnknownStream)
        );
        assert!(closer.conn.finish_session(session).is_err(), "it is over");
        other.take();
        pair.run();
        for (end, by) in [
            (&mut pair.client, by_client),
            (&mut pair.server, !by_client),
        ] {
            let closed = end.session_closed(session);
            let expected = if by { ClosedBy::Local } else { ClosedBy::Peer };
            assert_eq!((closed.by, closed.code, closed.error), (expected, 0, None));
        }
    }
}
