//! Limits of sessions.

use std::time::Duration;

use weftline::{
    Event, SessionId, StreamId,
    config::Limits,
    event::ClosedBy,
    wire::{
        frame::Frame,
        h3::{
            error_code::{H3_EXCESSIVE_LOAD, H3_REQUEST_CANCELLED, H3_REQUEST_REJECTED},
            settings,
        },
    },
};

use crate::support::{Attack, bidi, uni, wire};

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
        attack.send_datagram(bidi(0), payload);
    }
    attack.wait(wait);
    let session = attack.open_session(0);
    attack.datagrams(session)
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
    assert_eq!(attack.datagrams(session), [[1; 1200]]);

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
    attack.assert_session_failed(session, H3_EXCESSIVE_LOAD);
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
            false => attack.assert_session_failed(session, wire::SESSION_FLOW_CONTROL),
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
    attack.assert_session_failed(session, wire::SESSION_FLOW_CONTROL);
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
