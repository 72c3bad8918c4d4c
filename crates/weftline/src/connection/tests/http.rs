//! Plain HTTP/3 through the composed connection.

use super::pair::{Options, Pair};
use crate::{
    Event,
    error::{ReadError, RequestError, WriteError},
    event::ClosedBy,
    h3::{Fields, RequestHead, ResponseHead},
};

fn get(path: &str) -> RequestHead {
    RequestHead {
        method: "GET".into(),
        scheme: Some("https".into()),
        authority: Some("example.org".into()),
        path: Some(path.into()),
        ..RequestHead::default()
    }
}

fn ok() -> ResponseHead {
    ResponseHead {
        status: 200,
        fields: Fields::new(),
    }
}

#[test]
fn an_exchange_beside_a_session() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    let mut post = get("/upload");
    post.method = "POST".into();
    let id = pair.client.conn.request(&post).unwrap();
    assert_eq!(pair.client.conn.write(id, b"question"), Ok(8));
    pair.client.conn.finish(id).unwrap();
    pair.run();
    assert_eq!(pair.client.take(), [Event::StreamFinished(id)]);
    let events = pair.server.take();
    assert_eq!(
        events,
        [Event::Request(id, post.into()), Event::Readable(id)]
    );
    assert_eq!(pair.server.read(id), (b"question".to_vec(), None));
    pair.server.conn.respond(id, &ok()).unwrap();
    assert!(pair.server.conn.writable(id) > 0);
    assert_eq!(pair.server.conn.write(id, b"answer"), Ok(6));
    pair.server.conn.finish(id).unwrap();
    pair.run();
    assert_eq!(
        pair.client.take(),
        [Event::Response(id, ok().into()), Event::Readable(id)]
    );
    let mut buf = [0; 4];
    assert_eq!(pair.client.conn.read_into(id, &mut buf), Ok(Some(4)));
    assert_eq!(&buf, b"answ");
    assert_eq!(pair.client.read(id), (b"er".to_vec(), None));
    assert_eq!(pair.client.conn.sessions().next(), Some(session));
}

/// The CONNECT stream of a session is no message of the application's.
#[test]
fn a_sessions_stream_is_out_of_reach() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    let id = session.stream();
    for end in [&mut pair.client, &mut pair.server] {
        let conn = &mut end.conn;
        assert_eq!(conn.read(id, 9), Err(ReadError::UnknownStream));
        assert_eq!(conn.write(id, b"x"), Err(WriteError::UnknownStream));
        assert_eq!(conn.finish(id), Err(WriteError::UnknownStream));
        assert_eq!(conn.respond(id, &ok()), Err(RequestError::UnknownRequest));
        conn.reset(id, 0);
        conn.stop(id, 0);
        conn.cancel(id);
    }
    pair.run();
    assert_eq!(
        (pair.client.take(), pair.server.take()),
        (alloc::vec![], alloc::vec![])
    );
}

#[test]
fn given_up() {
    let mut pair = Pair::connected(&Options::default());
    let id = pair.client.conn.request(&get("/")).unwrap();
    pair.run();
    pair.server.take();
    pair.client.conn.cancel(id);
    pair.run();
    let (_, end) = pair.server.read(id);
    assert_eq!(end, Some(ReadError::Reset(None)));
}

#[test]
fn closing_the_connection() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    let stream = pair.client.open(session, crate::Dir::Bi, b"x");
    pair.client.conn.close(0x100, "done");
    let reason = pair.client.closed();
    assert_eq!((reason.by, reason.code), (ClosedBy::Local, 0x100));
    assert!(pair.client.conn.write(stream, b"x").is_err());
    pair.run();
    let reason = pair.server.closed();
    assert_eq!(
        (reason.by, reason.code, &*reason.reason),
        (ClosedBy::Peer, 0x100, "done")
    );
    assert!(pair.server.conn.is_closed());
    assert_eq!(pair.server.conn.sessions().count(), 0);
    assert_eq!(pair.client.take(), []);
}
