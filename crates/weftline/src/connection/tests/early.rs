//! Requests before the handshake (RFC 9114, section 7.2.4.2; RFC 8470).

use alloc::{vec, vec::Vec};

use super::{
    super::StoredSession,
    pair::{Options, Pair},
};
use crate::{
    EarlyData, Event, StreamId,
    config::Limits,
    crypto::null::{NullClient, NullServer},
    error::{RequestError, WriteError},
    event::{ClosedBy, ErrorSpace},
    h3::{Fields, RequestHead, ResponseHead},
    wire::h3::{error_code, settings},
    wt::SessionRequest,
};

fn options() -> Options {
    Options {
        client_crypto: NullClient::insecure().with_early_data(),
        server_crypto: NullServer::insecure().with_sessions(7).with_early_data(),
        ..Options::default()
    }
}

/// A server that does not take the early data of those sessions.
fn stranger() -> Options {
    Options {
        server_crypto: NullServer::insecure().with_sessions(8).with_early_data(),
        ..options()
    }
}

fn session() -> Option<StoredSession> {
    let mut pair = Pair::connected(&options());
    let session = pair.client.conn.take_session();
    assert!(session.is_some());
    session
}

fn request(method: &str, path: &str) -> RequestHead {
    RequestHead {
        method: method.into(),
        scheme: Some("https".into()),
        authority: Some("example.org".into()),
        path: Some(path.into()),
        ..RequestHead::default()
    }
}

fn response(status: u16) -> ResponseHead {
    ResponseHead {
        status,
        fields: Fields::new(),
    }
}

/// A client that asked for these paths, GET and no more, before it sent anything.
fn asking(
    options: &Options,
    session: Option<StoredSession>,
    paths: &[&str],
) -> (Pair, Vec<StreamId>) {
    let mut ids = Vec::new();
    let pair = Pair::resuming(options, session, |client| {
        assert_eq!(client.early_data(), EarlyData::Pending);
        for path in paths {
            let id = client.request(&request("GET", path)).unwrap();
            client.finish(id).unwrap();
            ids.push(id);
        }
    });
    (pair, ids)
}

/// Answers every request that came, and gives which ones were early.
fn answer(pair: &mut Pair) -> Vec<(StreamId, bool)> {
    let mut seen = Vec::new();
    for event in pair.server.take() {
        if let Event::Request(id, head) = event {
            seen.push((id, pair.server.conn.is_early(id)));
            pair.server.conn.respond(id, &response(200)).unwrap();
            let path = head.path.unwrap();
            pair.server.conn.write(id, path.as_bytes()).unwrap();
            pair.server.conn.finish(id).unwrap();
        }
    }
    seen
}

#[test]
fn a_request_is_answered_in_one_round_trip() {
    let (mut pair, ids) = asking(&options(), session(), &["/a", "/b"]);
    pair.run_for(core::time::Duration::from_millis(10));
    assert!(!pair.server.conn.is_established());
    assert_eq!(answer(&mut pair), [(ids[0], true), (ids[1], true)]);
    pair.run_for(core::time::Duration::from_millis(10));
    let events = pair.client.take();
    let connected = events.iter().position(|e| *e == Event::Connected);
    let response = events.iter().position(|e| matches!(e, Event::Response(..)));
    assert!(connected.unwrap() < response.unwrap(), "{events:?}");
    assert_eq!(pair.client.read(ids[0]), (b"/a".to_vec(), None));
    assert_eq!(pair.client.read(ids[1]), (b"/b".to_vec(), None));
    pair.run();
    for end in [&pair.client, &pair.server] {
        assert_eq!(end.conn.early_data(), EarlyData::Accepted);
        assert!(end.conn.is_resumed());
    }
}

#[test]
fn after_the_handshake_nothing_is_early() {
    let (mut pair, ids) = asking(&options(), session(), &["/"]);
    pair.run();
    assert_eq!(answer(&mut pair), [(ids[0], false)]);
}

#[test]
fn a_server_can_say_too_early() {
    let (mut pair, ids) = asking(&options(), session(), &["/"]);
    pair.run_for(core::time::Duration::from_millis(10));
    assert!(pair.server.conn.is_early(ids[0]));
    pair.server.conn.respond(ids[0], &response(425)).unwrap();
    pair.server.conn.finish(ids[0]).unwrap();
    pair.run();
    let events = pair.client.take();
    assert!(events.contains(&Event::Response(ids[0], response(425).into())));
    pair.server.take();
    let again = pair.client.conn.request(&request("GET", "/")).unwrap();
    pair.client.conn.finish(again).unwrap();
    pair.run();
    assert_eq!(answer(&mut pair), [(again, false)]);
}

#[test]
fn rejected_requests_are_sent_again() {
    let (mut pair, ids) = asking(&stranger(), session(), &["/a", "/b", "/c"]);
    pair.client.conn.cancel(ids[1]);
    pair.run();
    assert_eq!(pair.client.conn.early_data(), EarlyData::Rejected);
    assert_eq!(pair.server.conn.early_data(), EarlyData::Rejected);
    assert_eq!(answer(&mut pair), [(ids[0], false), (ids[2], false)]);
    pair.run();
    assert_eq!(pair.client.read(ids[0]), (b"/a".to_vec(), None));
    assert_eq!(pair.client.read(ids[2]), (b"/c".to_vec(), None));
    let events = pair.client.take();
    assert!(
        !events.iter().any(|e| matches!(e, Event::RequestFailed(..))),
        "{events:?}"
    );
    // Sessions work as ever.
    pair.server.take();
    pair.open_session();
}

#[test]
fn rejected_requests_past_the_new_limit_fail() {
    let server = Options {
        server_limits: Limits {
            streams_bidi: 1,
            ..Limits::default()
        },
        ..stranger()
    };
    let (mut pair, ids) = asking(&server, session(), &["/a", "/b"]);
    pair.run();
    let events = pair.client.take();
    let failed = Event::RequestFailed(ids[1], error_code::H3_REQUEST_REJECTED);
    assert!(events.contains(&failed), "{events:?}");
    assert_eq!(answer(&mut pair), [(ids[0], false)]);
}

#[test]
fn only_what_is_safe_goes_early() {
    let mut ids = Vec::new();
    let mut pair = Pair::resuming(&options(), session(), |client| {
        for method in ["POST", "PUT", "DELETE", "PATCH", "CONNECT-ISH"] {
            let refused = client.request(&request(method, "/"));
            assert_eq!(refused, Err(RequestError::Limit), "{method}");
        }
        for method in ["GET", "HEAD", "OPTIONS"] {
            let id = client.request(&request(method, "/")).unwrap();
            // Content would not be sent again.
            assert_eq!(client.write(id, b"content"), Err(WriteError::Blocked));
            assert_eq!(client.writable(id), 0);
            ids.push(id);
        }
        client.finish(ids[1]).unwrap();
        assert_eq!(client.write(ids[1], b"x"), Err(WriteError::Finished));
    });
    pair.run();
    let events = pair.client.take();
    let writable: Vec<_> = events
        .iter()
        .filter(|event| matches!(event, Event::Writable(_)))
        .collect();
    assert_eq!(
        writable,
        [&Event::Writable(ids[0]), &Event::Writable(ids[2])]
    );
    assert_eq!(pair.client.conn.write(ids[0], b"content"), Ok(7));
    pair.client.conn.finish(ids[0]).unwrap();
    pair.run();
    assert_eq!(pair.server.read(ids[0]), (b"content".to_vec(), None));
}

#[test]
fn nothing_goes_early_without_a_session_that_allows_it() {
    let refuse = |client: &mut crate::Connection| {
        assert_eq!(client.early_data(), EarlyData::NotTried);
        let refused = client.request(&request("GET", "/"));
        assert_eq!(refused, Err(RequestError::Limit));
    };
    let mut pair = Pair::resuming(&options(), None, refuse);
    pair.run();
    assert!(!pair.client.conn.is_resumed());
    let without = Options {
        client_crypto: NullClient::insecure(),
        ..options()
    };
    let mut pair = Pair::resuming(&without, session(), refuse);
    pair.run();
    assert!(pair.client.conn.is_resumed());
}

#[test]
fn sessions_wait_for_the_handshake() {
    for (options, accepted) in [(options(), true), (stranger(), false)] {
        let mut ids = None;
        let mut pair = Pair::resuming(&options, session(), |client| {
            let first = client.request(&request("GET", "/")).unwrap();
            client.finish(first).unwrap();
            let asked = SessionRequest::new("example.org", "/wt");
            let session = client.request_session(asked).unwrap();
            // The number of its stream is given away.
            let late = client.request(&request("GET", "/late"));
            assert_eq!(late, Err(RequestError::Limit));
            ids = Some((first, session));
        });
        let (first, session) = ids.unwrap();
        assert_ne!(first, session.stream());
        pair.run_for(core::time::Duration::from_millis(10));
        let early = pair.server.take();
        assert_eq!(!early.is_empty(), accepted);
        assert!(
            early
                .iter()
                .all(|e| matches!(e, Event::Request(..) | Event::Readable(_)))
        );
        assert_eq!(pair.server.conn.quic.received(session.stream()), None);
        pair.run();
        let events = pair.server.take();
        let position = |wanted: &dyn Fn(&Event) -> bool| events.iter().position(wanted);
        let connected = position(&|e| *e == Event::Connected).unwrap();
        let asked = position(&|e| matches!(e, Event::SessionRequested(id, _) if *id == session));
        assert!(connected < asked.unwrap(), "{events:?}");
        pair.server.conn.accept_session(session, None).unwrap();
        pair.run();
        let events = pair.client.take();
        assert!(
            events
                .iter()
                .any(|e| matches!(e, Event::SessionReady(id, _) if *id == session))
        );
    }
}

/// A client that sends it early all the same is asked to wait.
#[test]
fn a_session_asked_for_early_is_offered_after_the_handshake() {
    let mut id = None;
    let mut pair = Pair::resuming(&options(), session(), |client| {
        let connect = RequestHead {
            method: "CONNECT".into(),
            protocol: Some("webtransport-h3".into()),
            ..request("CONNECT", "/wt")
        };
        let mut section = Vec::new();
        let mut encoder = crate::wire::qpack::Encoder::new(&mut section);
        for (name, value) in [
            (":method", "CONNECT"),
            (":protocol", connect.protocol.as_deref().unwrap()),
            (":scheme", "https"),
            (":authority", "example.org"),
            (":path", "/wt"),
        ] {
            encoder.field(name.as_bytes(), value.as_bytes());
        }
        let stream = client.quic.open(crate::Dir::Bi).unwrap();
        let header = [1, section.len() as u8];
        client.quic.write(stream, &header).unwrap();
        client.quic.write(stream, &section).unwrap();
        id = Some(stream);
    });
    pair.run_for(core::time::Duration::from_millis(10));
    assert_eq!(pair.server.take(), []);
    assert!(pair.server.conn.quic.received(id.unwrap()).is_some());
    pair.run();
    let events = pair.server.take();
    assert!(
        matches!(events[..], [Event::Connected, Event::SessionRequested(..)]),
        "{events:?}"
    );
}

#[test]
fn settings_do_not_shrink_under_early_data() {
    let remembered = |change: fn(&mut crate::wire::h3::Settings)| {
        let mut session = session();
        change(&mut session.as_mut().unwrap().settings);
        session
    };
    let fails = |session: Option<StoredSession>| {
        let (mut pair, _) = asking(&options(), session, &["/"]);
        pair.run();
        let events = pair.client.take();
        match events.last() {
            Some(Event::Closed(reason)) => {
                assert_eq!(reason.by, ClosedBy::Fault);
                assert_eq!(reason.space, ErrorSpace::Application);
                assert_eq!(reason.code, error_code::H3_SETTINGS_ERROR);
                true
            }
            _ => false,
        }
    };
    assert!(!fails(session()));
    let more = |settings: &mut crate::wire::h3::Settings| {
        let max = settings.get(settings::MAX_FIELD_SECTION_SIZE).unwrap();
        settings.set(settings::MAX_FIELD_SECTION_SIZE, max + 1);
    };
    assert!(fails(remembered(more)));
    // The server allows less now.
    assert!(fails(remembered(
        |s| s.set(settings::QPACK_BLOCKED_STREAMS, 1)
    )));
    // Smaller before, or nothing that we understand.
    assert!(!fails(remembered(
        |s| s.set(settings::MAX_FIELD_SECTION_SIZE, 1000)
    )));
    assert!(!fails(remembered(|s| s.set(0x1234, 1))));
    // Rejected, they do not matter.
    let (mut pair, ids) = asking(&stranger(), remembered(more), &["/"]);
    pair.run();
    assert_eq!(answer(&mut pair), vec![(ids[0], false)]);
}

#[test]
fn remembered_settings_bind_early_requests() {
    let mut session = session();
    let small = &mut session.as_mut().unwrap().settings;
    small.set(settings::MAX_FIELD_SECTION_SIZE, 100);
    let _ = Pair::resuming(&options(), session, |client| {
        let refused = client.request(&request("GET", "/"));
        assert!(
            matches!(refused, Err(RequestError::Invalid(_))),
            "{refused:?}"
        );
    });
}
