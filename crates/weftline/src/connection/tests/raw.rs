//! Raw QUIC: streams and datagrams of a protocol that is not HTTP/3.

use alloc::{boxed::Box, format, sync::Arc, vec, vec::Vec};
use bytes::Bytes;

use super::{
    super::raw::{ReadError, WriteError},
    pair::{End, Options, Pair},
};
use crate::{
    Event,
    config::{ClientConfig, Limits, ServerConfig},
    crypto::null::{NullClient, NullServer},
    error::{DatagramError, OpenError, RequestError, SessionError},
    event::{ClosedBy, ErrorSpace},
    h3::RequestHead,
    wire::{Dir, StreamId, varint},
    wt::SessionRequest,
};

fn options() -> Options {
    Options {
        client_raw: &["other", "chat/1"],
        server_raw: &["chat/1"],
        ..Options::default()
    }
}

fn connected() -> Pair {
    Pair::connected(&options())
}

fn ends(pair: &mut Pair, client_first: bool) -> (&mut End, &mut End) {
    match client_first {
        true => (&mut pair.client, &mut pair.server),
        false => (&mut pair.server, &mut pair.client),
    }
}

/// Everything there is to read, and how that ends.
fn read(end: &mut End, id: StreamId) -> (Vec<u8>, Option<ReadError>) {
    let mut data = Vec::new();
    loop {
        match end.raw().read(id, 1000) {
            Ok(Some(bytes)) => data.extend_from_slice(&bytes),
            Ok(None) => return (data, None),
            Err(error) => return (data, Some(error)),
        }
    }
}

#[test]
fn streams_both_ways() {
    let mut pair = connected();
    assert_eq!(pair.client.conn.alpn(), Some(&b"chat/1"[..]));
    assert_eq!(pair.server.conn.alpn(), Some(&b"chat/1"[..]));
    for by_client in [true, false] {
        let (opener, _) = ends(&mut pair, by_client);
        let id = opener.raw().open(Dir::Bi).unwrap();
        assert_eq!(id.index(), 0, "the first stream is the application's");
        assert_eq!(opener.raw().write(id, b"hello"), Ok(5));
        opener.raw().finish(id).unwrap();
        pair.run();
        let (opener, other) = ends(&mut pair, by_client);
        assert_eq!(opener.take(), [Event::StreamFinished(id)]);
        let events = [Event::RawStreamOpened(id), Event::Readable(id)];
        assert_eq!(other.take(), events);
        assert_eq!(read(other, id), (b"hello".to_vec(), None));
        assert_eq!(
            other.raw().write_bytes(id, Bytes::from_static(b"back")),
            Ok(4)
        );
        other.raw().finish(id).unwrap();
        assert_eq!(other.raw().write(id, b"x"), Err(WriteError::Finished));
        pair.run();
        let (opener, _) = ends(&mut pair, by_client);
        assert_eq!(opener.take(), [Event::Readable(id)]);
        let mut out = [0; 9];
        assert_eq!(opener.raw().read_into(id, &mut out), Ok(Some(4)));
        assert_eq!(out[..4], *b"back");
        assert_eq!(opener.raw().read_into(id, &mut out), Ok(None));
        assert_eq!(opener.raw().read(id, 1), Err(ReadError::Unknown));

        let uni = opener.raw().open(Dir::Uni).unwrap();
        opener.raw().write(uni, b"one way").unwrap();
        pair.run();
        let (_, other) = ends(&mut pair, by_client);
        let events = other.take();
        assert!(events.ends_with(&[Event::RawStreamOpened(uni), Event::Readable(uni)]));
        let read = read(other, uni);
        assert_eq!(read, (b"one way".to_vec(), Some(ReadError::Blocked)));
        assert_eq!(other.raw().write(uni, b"x"), Err(WriteError::Unknown));
        pair.client.take();
        pair.server.take();
    }
}

#[test]
fn codes_have_62_bits() {
    let mut pair = connected();
    for (code, told) in [
        (0, 0),
        (0x1234_5678_9abc, 0x1234_5678_9abc),
        (u64::MAX, varint::MAX),
    ] {
        let id = pair.client.raw().open(Dir::Bi).unwrap();
        pair.client.raw().write(id, b"hello").unwrap();
        pair.run();
        pair.client.raw().reset(id, code);
        pair.client.raw().stop(id, code);
        pair.run();
        let events = pair.server.take();
        assert!(
            events.contains(&Event::RawStreamStopped(id, told)),
            "{events:?}"
        );
        assert_eq!(read(&mut pair.server, id).1, Some(ReadError::Reset(told)));
        let stopped = pair.server.raw().write(id, b"x");
        assert!(matches!(stopped, Err(WriteError::Unknown)), "{stopped:?}");
    }
}

#[test]
fn datagrams_come_after_one_event() {
    let mut pair = connected();
    let max = pair.client.raw().max_datagram_len().unwrap();
    for data in [&b"one"[..], b"", &vec![7; max]] {
        pair.client.raw().send_datagram(data).unwrap();
    }
    let too_large = pair.client.raw().send_datagram(&vec![7; max + 1]);
    assert_eq!(too_large, Err(DatagramError::TooLarge { max }));
    pair.run();
    assert_eq!(pair.server.take(), [Event::RawDatagrams]);
    pair.client.raw().send_datagram(b"more").unwrap();
    pair.run();
    assert_eq!(pair.server.take(), [], "not before they are taken");
    let taken: Vec<_> = core::iter::from_fn(|| pair.server.raw().recv_datagram()).collect();
    assert_eq!(taken, [&b"one"[..], b"", &vec![7; max], b"more"]);
    pair.client.raw().send_datagram(b"again").unwrap();
    pair.run();
    assert_eq!(pair.server.take(), [Event::RawDatagrams]);
    let full = core::iter::repeat_with(|| pair.client.raw().send_datagram(b"x"));
    let full = full.take(1000).find(Result::is_err);
    assert_eq!(full, Some(Err(DatagramError::Full)));
}

#[test]
fn one_server_speaks_both() {
    let options = Options {
        client_raw: &[],
        ..options()
    };
    let (mut pair, session) = Pair::with_session(&options);
    assert!(pair.client.conn.raw().is_none() && pair.server.conn.raw().is_none());
    assert_eq!(pair.server.conn.alpn(), Some(&b"h3"[..]));
    assert_eq!(pair.client.conn.sessions().next(), Some(session));
}

#[test]
fn a_raw_connection_knows_no_http() {
    let mut pair = connected();
    let client = &mut pair.client.conn;
    let request = SessionRequest::new("example.org", "/");
    assert_eq!(
        client.request_session(request),
        Err(SessionError::Unsupported("HTTP/3"))
    );
    let head = RequestHead {
        method: "GET".into(),
        scheme: Some("https".into()),
        authority: Some("example.org".into()),
        path: Some("/".into()),
        ..RequestHead::default()
    };
    assert_eq!(client.request(&head), Err(RequestError::Limit));
    client.go_away();
    let id = pair.client.raw().open(Dir::Uni).unwrap();
    assert_eq!(pair.client.conn.write(id, b"x").ok(), None);
    pair.client.conn.reset(id, 1);
    pair.run();
    assert_eq!(pair.server.take(), [], "not a byte of HTTP/3 was sent");
}

/// A client may use its streams before the handshake is over; on a server it is not known what the
/// client speaks.
#[test]
fn before_the_handshake() {
    let mut pair = Pair::new(&options());
    assert!(pair.server.conn.raw().is_none());
    assert_eq!(pair.client.raw().open(Dir::Bi), Err(OpenError::Limit));
    let datagram = pair.client.raw().send_datagram(b"x");
    assert_eq!(datagram, Err(DatagramError::NotOpen));
    pair.run();
    let events = pair.client.take();
    assert_eq!(events, [Event::Connected, Event::StreamsAvailable(Dir::Bi)]);
    assert_eq!(pair.server.take(), [Event::Connected]);
}

#[test]
fn nothing_in_common() {
    let mut pair = Pair::new(&Options {
        server_raw: &[],
        ..options()
    });
    pair.run();
    // no_application_protocol (RFC 7301, section 3.2).
    let reason = pair.client.closed();
    assert_eq!((reason.code, reason.by), (0x178, ClosedBy::Peer));
    assert_eq!(pair.server.closed().by, ClosedBy::Fault);
}

#[test]
fn closing_says_the_applications_code_and_is_the_last_event() {
    let mut pair = connected();
    let id = pair.client.raw().open(Dir::Bi).unwrap();
    pair.client.raw().write(id, b"hello").unwrap();
    pair.client.raw().send_datagram(b"x").unwrap();
    pair.run();
    pair.client.raw().close(u64::MAX, "enough");
    assert_eq!(pair.client.raw().open(Dir::Bi), Err(OpenError::NotOpen));
    pair.run();
    let closed = pair.server.closed();
    assert_eq!(
        (closed.by, closed.space),
        (ClosedBy::Peer, ErrorSpace::Application)
    );
    assert_eq!((closed.code, &*closed.reason), (varint::MAX, "enough"));
    assert_eq!(pair.client.closed().by, ClosedBy::Local);
    pair.server.raw().stop(id, 0);
    pair.server.raw().reset(id, 0);
    pair.run();
    assert_eq!(pair.server.take(), []);
}

/// Nothing is kept back for urgent streams: here are none.
#[test]
fn all_credit_is_the_applications() {
    let limits = Limits {
        connection_window: 4096,
        connection_window_max: 4096,
        ..Limits::default()
    };
    let mut pair = Pair::connected(&Options {
        server_limits: limits,
        ..options()
    });
    let id = pair.client.raw().open(Dir::Bi).unwrap();
    pair.client.raw().write(id, &[7; 5000]).unwrap();
    pair.run();
    let id_events = pair.server.take();
    assert_eq!(id_events, [Event::RawStreamOpened(id), Event::Readable(id)]);
    let mut out = [0; 5000];
    assert_eq!(pair.server.raw().read_into(id, &mut out), Ok(Some(4096)));
}

#[test]
fn configurations() {
    let client = || ClientConfig::builder(Arc::new(NullClient::insecure()));
    let server = || ServerConfig::builder(Arc::new(NullServer::insecure()));
    assert!(client().raw_alpn(["a"]).build().is_ok());
    assert!(server().raw_alpn(["a"]).without_http3().build().is_ok());
    let faults: [Box<dyn core::fmt::Debug>; 5] = [
        Box::new(client().raw_alpn([""]).build().unwrap_err()),
        Box::new(client().raw_alpn([vec![b'a'; 256]]).build().unwrap_err()),
        Box::new(client().raw_alpn(["h3"]).build().unwrap_err()),
        Box::new(server().without_http3().build().unwrap_err()),
        Box::new(client().raw_alpn([[0; 0]; 0]).build().unwrap_err()),
    ];
    for fault in faults {
        assert!(format!("{fault:?}").starts_with("Conflict"), "{fault:?}");
    }
    // Without HTTP/3 there is nothing that must be able to open streams, or send datagrams.
    let bare = client()
        .raw_alpn(["a"])
        .with_limits(|limits| limits.streams_uni = 0);
    assert!(bare.with_transport(|t| t.datagrams = false).build().is_ok());
}

#[test]
fn sending_by_order_and_the_state_of_the_buffer() {
    let mut pair = connected();
    let [low, high] = [(); 2].map(|()| pair.client.raw().open(Dir::Uni).unwrap());
    pair.client.raw().set_send_order(high, 7);
    pair.client.raw().set_send_group(low, 0);
    for id in [low, high] {
        assert_eq!(pair.client.raw().write(id, &[7; 100_000]), Ok(100_000));
        pair.client.raw().finish(id).unwrap();
    }
    assert_eq!(pair.client.raw().buffered(low), 100_000);
    pair.client.raw().set_low_water(low, 50_000);
    pair.client.raw().set_low_water(high, 50_000);
    pair.run();
    let events = pair.client.take();
    let expected = [
        Event::BufferLow(high),
        Event::StreamFinished(high),
        Event::BufferLow(low),
        Event::StreamFinished(low),
    ];
    assert_eq!(events, expected);
    assert_eq!(pair.client.raw().buffered(low), 0);
}

#[test]
fn no_room_is_followed_by_room() {
    let mut pair = connected();
    let id = pair.client.raw().open(Dir::Uni).unwrap();
    // The first time some of it gets through; then the peer's credit is used up.
    for expected in [&[Event::Writable(id)][..], &[]] {
        while pair.client.raw().writable(id) > 0 {
            pair.client.raw().write(id, &[0; 10_000]).unwrap();
        }
        pair.run();
        assert_eq!(pair.client.take(), expected);
    }
    while let Ok(Some(_)) = pair.server.raw().read(id, 10_000) {}
    pair.run();
    assert_eq!(pair.client.take(), [Event::Writable(id)]);
    assert!(pair.client.raw().writable(id) > 0);
}

#[test]
fn a_reset_delivers_what_it_promises() {
    let mut pair = connected();
    let id = pair.client.raw().open(Dir::Uni).unwrap();
    pair.client.raw().write(id, b"kept, and not kept").unwrap();
    pair.client.raw().reset_at(id, 99, 4);
    pair.run();
    assert_eq!(
        read(&mut pair.server, id),
        (b"kept".to_vec(), Some(ReadError::Reset(99)))
    );
}
