//! What holds sessions and their data back is named, and is named no more once it is gone.

use super::pair::{Options, Pair};
use crate::{
    blocked::Blocker,
    config::Limits,
    wire::{Dir, StreamId},
    wt::{SessionId, SessionRequest},
};

/// Little credit for data and streams, with flow control of sessions on.
fn little_credit() -> Options {
    let limits = Limits {
        session_window: 1000,
        session_streams: 2,
        connection_window_max: 1 << 20,
        ..Limits::default()
    };
    Options {
        client_limits: limits.clone(),
        server_limits: limits,
        ..Options::default()
    }
}

#[test]
fn a_session_that_is_not_there_yet() {
    let mut pair = Pair::new(&Options::default());
    let request = SessionRequest::new("example.org", "/");
    let session = pair.client.conn.request_session(request).unwrap();
    let why = |pair: &Pair| pair.client.conn.why_blocked_datagram(session);
    assert_eq!(why(&pair), [Blocker::Session, Blocker::Handshake]);
    assert_eq!(
        pair.client.conn.why_blocked_open(session, Dir::Uni),
        [Blocker::Session, Blocker::Handshake]
    );
    pair.run();
    // The server's application has not answered.
    assert_eq!(why(&pair), [Blocker::Session]);
    pair.server.conn.accept_session(session, None).unwrap();
    pair.run();
    assert_eq!(why(&pair), [Blocker::Application]);
    assert_eq!(pair.client.conn.why_blocked_open(session, Dir::Uni), []);
    let other = SessionId(StreamId::from_u64(400));
    assert_eq!(
        pair.client.conn.why_blocked_datagram(other),
        [Blocker::Session]
    );
    pair.client.conn.close(0x100, "");
    assert_eq!(why(&pair), [Blocker::Closed]);
}

#[test]
fn credit_of_the_session() {
    let (mut pair, session) = Pair::with_session(&little_credit());
    let id = pair.client.conn.open_stream(session, Dir::Uni).unwrap();
    let why = |pair: &Pair| pair.client.conn.why_blocked(id).unwrap();
    assert_eq!(pair.client.conn.write(id, &[7; 5000]), Ok(1000));
    assert_eq!(why(&pair), [Blocker::SessionCredit]);
    pair.run();
    assert_eq!(why(&pair), [Blocker::SessionCredit]);
    let (data, _) = pair.server.read(id);
    assert_eq!(data.len(), 1000);
    pair.run();
    assert_eq!(why(&pair), [Blocker::Application]);
}

#[test]
fn streams_of_the_session() {
    let (mut pair, session) = Pair::with_session(&little_credit());
    let why = |pair: &Pair| pair.client.conn.why_blocked_open(session, Dir::Uni);
    let streams: [StreamId; 2] = core::array::from_fn(|_| {
        assert_eq!(why(&pair), []);
        let id = pair.client.conn.open_stream(session, Dir::Uni).unwrap();
        pair.client.conn.write(id, b"one").unwrap();
        id
    });
    assert_eq!(why(&pair), [Blocker::SessionCredit]);
    for id in streams {
        pair.client.conn.finish(id).unwrap();
    }
    pair.run();
    for id in streams {
        pair.server.read(id);
    }
    pair.run();
    assert_eq!(why(&pair), []);
}

#[test]
fn the_limit_of_streams() {
    let mut options = Options::default();
    options.server_limits.streams_uni = 4;
    let (mut pair, session) = Pair::with_session(&options);
    let why = |pair: &Pair| pair.client.conn.why_blocked_open(session, Dir::Uni);
    let mut opened = 0;
    while why(&pair).is_empty() {
        pair.client.conn.open_stream(session, Dir::Uni).unwrap();
        opened += 1;
    }
    assert!(opened < 4, "HTTP/3 has streams of its own");
    assert_eq!(why(&pair), [Blocker::StreamLimit]);
    assert_eq!(pair.client.conn.why_blocked_open(session, Dir::Bi), []);
}
