//! Streams and datagrams of sessions, early and late ones among them.

use alloc::{vec, vec::Vec};
use bytes::Bytes;
use core::time::Duration;

use super::pair::{End, Options, Pair};
use crate::{
    Event,
    config::Limits,
    error::{DatagramError, OpenError, ReadError, WriteError},
    quic::WriteFail,
    wire::{Dir, StreamId},
    wt::{Dialect, SessionRequest},
};

/// The code with which the server stopped a raw stream of the client's, if it did.
fn stopped(pair: &mut Pair, id: StreamId) -> Option<u64> {
    match pair.client.conn.quic.write(id, b"y") {
        Err(WriteFail::Stopped(code)) => Some(code),
        _ => None,
    }
}

/// Delivers what is under way to the server, and from then on only what it sends: so the client's
/// answers to STOP_SENDING stay unanswered, and can be seen.
fn hear_the_server(pair: &mut Pair) {
    pair.run_for(Duration::from_millis(15));
    pair.drop = |to_server, _| to_server;
    pair.run();
}

/// The two ends, the one that acts first.
fn ends(pair: &mut Pair, client_first: bool) -> (&mut End, &mut End) {
    match client_first {
        true => (&mut pair.client, &mut pair.server),
        false => (&mut pair.server, &mut pair.client),
    }
}

#[test]
fn echo_both_ways() {
    for &dialect in Dialect::ALL {
        let options = Options {
            server: match dialect {
                Dialect::Draft16 => &[Dialect::Draft16],
                Dialect::Draft13 => &[Dialect::Draft13],
                Dialect::Draft07 => &[Dialect::Draft07],
                Dialect::Draft02 => &[Dialect::Draft02],
            },
            ..Options::default()
        };
        let (mut pair, session) = Pair::with_session(&options);
        for by_client in [true, false] {
            let (opener, _) = ends(&mut pair, by_client);
            let id = opener.open(session, Dir::Bi, b"hello");
            opener.conn.finish(id).unwrap();
            pair.run();
            let (opener, other) = ends(&mut pair, by_client);
            assert_eq!(opener.take(), [Event::StreamFinished(id)]);
            assert_eq!(
                other.take(),
                [Event::StreamOpened(session, id), Event::Readable(id)]
            );
            assert_eq!(other.conn.session_of(id), Some(session));
            assert_eq!(other.read(id), (b"hello".to_vec(), None));
            assert_eq!(
                other.conn.write_bytes(id, Bytes::from_static(b"back")),
                Ok(4)
            );
            other.conn.finish(id).unwrap();
            assert_eq!(other.conn.write(id, b"x"), Err(WriteError::Finished));
            pair.run();
            let (opener, other) = ends(&mut pair, by_client);
            assert_eq!(opener.take(), [Event::Readable(id)]);
            assert_eq!(opener.read(id), (b"back".to_vec(), None));
            assert_eq!(opener.conn.read(id, 1), Err(ReadError::UnknownStream));
            assert_eq!(other.take(), [Event::StreamFinished(id)]);
            pair.run();
            assert_eq!(pair.client.conn.session_of(id), None, "nothing is kept");
            assert_eq!(pair.server.conn.session_of(id), None);
        }
        for by_client in [true, false] {
            let (opener, _) = ends(&mut pair, by_client);
            let id = opener.open(session, Dir::Uni, b"one way");
            pair.run();
            let (opener, other) = ends(&mut pair, by_client);
            assert_eq!(
                other.take(),
                [Event::StreamOpened(session, id), Event::Readable(id)]
            );
            assert_eq!(
                other.read(id),
                (b"one way".to_vec(), Some(ReadError::Blocked))
            );
            assert_eq!(other.conn.write(id, b"x"), Err(WriteError::UnknownStream));
            opener.conn.write(id, b"more").unwrap();
            opener.conn.finish(id).unwrap();
            pair.run();
            let (_, other) = ends(&mut pair, by_client);
            assert_eq!(other.take(), [Event::Readable(id)]);
            assert_eq!(other.read(id), (b"more".to_vec(), None));
            pair.client.take();
            pair.server.take();
        }
        let stats = pair.client.conn.session_stats(session).unwrap();
        assert_eq!((stats.streams_opened, stats.streams_accepted), (2, 2));
        assert_eq!(
            (stats.stream_bytes_written, stats.stream_bytes_read),
            (20, 20)
        );
    }
}

#[test]
fn a_stream_of_its_header_alone() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    let id = pair.client.conn.open_stream(session, Dir::Bi).unwrap();
    pair.run();
    assert_eq!(pair.server.take(), [Event::StreamOpened(session, id)]);
    assert_eq!(pair.server.read(id), (vec![], Some(ReadError::Blocked)));
    pair.client.conn.write(id, b"x").unwrap();
    pair.run();
    assert_eq!(pair.server.take(), [Event::Readable(id)]);

    let id = pair.client.conn.open_stream(session, Dir::Uni).unwrap();
    pair.client.conn.finish(id).unwrap();
    pair.run();
    assert_eq!(
        pair.server.take(),
        [Event::StreamOpened(session, id), Event::Readable(id)]
    );
    assert_eq!(pair.server.read(id), (vec![], None));
}

/// Data that comes after the header was taken, without the application having read in between, is
/// told all the same.
#[test]
fn an_edge_is_not_lost_behind_the_header() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    let id = pair.server.conn.open_stream(session, Dir::Uni).unwrap();
    pair.run();
    assert_eq!(pair.client.take(), [Event::StreamOpened(session, id)]);
    pair.server.conn.write(id, b"later").unwrap();
    pair.run();
    assert_eq!(pair.client.take(), [Event::Readable(id)]);
    assert_eq!(pair.client.read(id).0, b"later");
}

#[test]
fn codes_of_resets_and_stops() {
    for code in [0, 29, 30, 255, 256, u32::MAX] {
        let (mut pair, session) = Pair::with_session(&Options::default());
        let id = pair.client.open(session, Dir::Bi, b"data");
        pair.run();
        pair.server.opened();
        pair.client.conn.reset(id, code);
        pair.client.conn.stop(id, code);
        pair.run();
        assert_eq!(pair.server.take(), [Event::StreamStopped(id, Some(code))]);
        assert_eq!(pair.server.read(id).1, Some(ReadError::Reset(Some(code))));
        assert_eq!(
            pair.server.conn.write(id, b"x"),
            Err(WriteError::UnknownStream)
        );

        let id = pair.server.open(session, Dir::Uni, b"data");
        pair.run();
        pair.client.opened();
        pair.client.conn.stop(id, code);
        pair.run();
        assert_eq!(pair.server.take(), [Event::StreamStopped(id, Some(code))]);
    }
}

#[test]
fn codes_that_are_no_applications() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    let id = pair.client.open(session, Dir::Bi, b"data");
    pair.run();
    pair.server.opened();
    pair.client.conn.quic.reset(id, 0x10f);
    pair.client.conn.quic.stop(id, 0x52e4_a40f_a8f9);
    pair.run();
    assert_eq!(pair.server.take(), [Event::StreamStopped(id, None)]);
    assert_eq!(pair.server.read(id).1, Some(ReadError::Reset(None)));
}

#[test]
fn datagrams_both_ways() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    for by_client in [true, false] {
        let (sender, _) = ends(&mut pair, by_client);
        let max = sender.conn.max_datagram_len(session).unwrap();
        let longest = vec![7; max];
        for data in [&b"first"[..], b"", &longest] {
            assert_eq!(sender.conn.send_datagram(session, data), Ok(()));
        }
        let too_long = sender.conn.send_datagram(session, &vec![7; max + 1]);
        assert_eq!(too_long, Err(DatagramError::TooLarge { max }));
        pair.run();
        let (_, receiver) = ends(&mut pair, by_client);
        assert_eq!(receiver.take(), [Event::Datagrams(session)]);
        let mut got = Vec::new();
        while let Some(data) = receiver.conn.recv_datagram(session) {
            got.push(data.to_vec());
        }
        assert_eq!(got, [b"first".to_vec(), vec![], longest]);
        // The event comes again after the application met the end.
        let (sender, _) = ends(&mut pair, by_client);
        sender.conn.send_datagram(session, b"again").unwrap();
        pair.run();
        let (_, receiver) = ends(&mut pair, by_client);
        assert_eq!(receiver.take(), [Event::Datagrams(session)]);
        assert_eq!(receiver.conn.recv_datagram(session).unwrap(), "again");
    }
}

#[test]
fn datagrams_of_the_hog_are_dropped_first() {
    let options = Options {
        server_limits: Limits {
            datagrams_in: 5,
            ..Limits::default()
        },
        ..Options::default()
    };
    let mut pair = Pair::connected(&options);
    let (hog, meek) = (pair.open_session(), pair.open_session());
    pair.client.conn.send_datagram(meek, b"m").unwrap();
    for n in 0..20 {
        pair.client.conn.send_datagram(hog, &[n]).unwrap();
        pair.run();
    }
    assert_eq!(pair.server.conn.recv_datagram(meek).unwrap(), "m");
    let mut got = Vec::new();
    while let Some(data) = pair.server.conn.recv_datagram(hog) {
        got.push(data[0]);
    }
    assert_eq!(got, [16, 17, 18, 19]);
    let stats = pair.server.conn.session_stats(hog).unwrap();
    assert_eq!(
        (stats.datagrams_received, stats.datagrams_dropped),
        (20, 16)
    );
}

/// What comes before its session waits for it: here the packet with the CONNECT request is lost.
#[test]
fn early_streams_and_datagrams() {
    let mut pair = Pair::connected(&Options::default());
    pair.drop = |to_server, _| to_server;
    let session = pair
        .client
        .conn
        .request_session(SessionRequest::new("a", "/"))
        .unwrap();
    pair.run_for(Duration::from_millis(1));
    pair.drop = |_, _| false;
    let header = [0x40, 0x41, session.stream().as_u64() as u8];
    let early = pair
        .client
        .open_raw(Dir::Bi, &[&header[..], b"early"].concat());
    let quarter = [(session.stream().as_u64() / 4) as u8];
    pair.client
        .conn
        .quic
        .send_datagram(&quarter, b"dgram")
        .unwrap();
    pair.run_for(Duration::from_millis(15));
    assert_eq!(pair.server.take(), [], "the session is not known");
    pair.run();
    let events = pair.server.take();
    assert!(
        matches!(events[..], [Event::SessionRequested(..)]),
        "{events:?}"
    );
    pair.server.conn.accept_session(session, None).unwrap();
    assert_eq!(
        pair.server.take(),
        [
            Event::StreamOpened(session, early),
            Event::Readable(early),
            Event::Datagrams(session),
        ]
    );
    assert_eq!(pair.server.read(early).0, b"early");
    assert_eq!(pair.server.conn.recv_datagram(session).unwrap(), "dgram");
}

#[test]
fn early_streams_are_bounded_in_number_and_time() {
    let options = Options {
        server_limits: Limits {
            early_streams: 3,
            ..Limits::default()
        },
        ..Options::default()
    };
    let mut pair = Pair::connected(&options);
    // Of a session that never comes.
    let streams: Vec<StreamId> = (0..5)
        .map(|n| match n % 2 {
            0 => pair.client.open_raw(Dir::Uni, b"\x40\x54\x10x"),
            _ => pair.client.open_raw(Dir::Bi, b"\x40\x41\x10x"),
        })
        .collect();
    hear_the_server(&mut pair);
    let refused = |pair: &mut Pair| -> Vec<StreamId> {
        let is_refused = |id: &StreamId| stopped(pair, *id) == Some(0x3994_bd84);
        streams.iter().copied().filter(is_refused).collect()
    };
    assert_eq!(refused(&mut pair).len(), 2);
    pair.run_for(Duration::from_millis(5000));
    assert_eq!(refused(&mut pair), streams);
    assert_eq!((pair.client.take(), pair.server.take()), (vec![], vec![]));
}

#[test]
fn streams_of_a_session_that_is_rejected_are_refused() {
    let mut pair = Pair::connected(&Options::default());
    let session = pair
        .client
        .conn
        .request_session(SessionRequest::new("a", "/"))
        .unwrap();
    let early = pair.client.open_raw(Dir::Uni, b"\x40\x54\0x");
    pair.run();
    let events = pair.server.take();
    assert!(
        matches!(events[..], [Event::SessionRequested(..)]),
        "{events:?}"
    );
    pair.server.reject(session, 404);
    pair.drop = |to_server, _| to_server;
    pair.run();
    assert_eq!(stopped(&mut pair, early), Some(0x170d_7b68));
}

#[test]
fn streams_end_with_their_session_and_late_ones_are_refused() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    let ours = pair.client.open(session, Dir::Bi, b"c");
    let theirs = pair.server.open(session, Dir::Uni, b"s");
    pair.run();
    pair.client.opened();
    pair.server.opened();
    pair.server.conn.close_session(session, 0, "").unwrap();
    let late = pair.client.open(session, Dir::Uni, b"late");
    pair.run();
    for end in [&mut pair.client, &mut pair.server] {
        end.session_closed(session);
        for id in [ours, theirs, late] {
            assert_eq!(end.conn.read(id, 9), Err(ReadError::UnknownStream));
            assert_eq!(end.conn.write(id, b"x"), Err(WriteError::UnknownStream));
        }
        let open = end.conn.open_stream(session, Dir::Bi);
        assert_eq!(open, Err(OpenError::NotOpen));
        assert_eq!(
            end.conn.send_datagram(session, b"x"),
            Err(DatagramError::NotOpen)
        );
        assert_eq!(end.conn.recv_datagram(session), None);
    }
    let late = pair.client.open_raw(Dir::Uni, b"\x40\x54\0x");
    hear_the_server(&mut pair);
    assert_eq!(stopped(&mut pair, late), Some(0x170d_7b68));
}

#[test]
fn flow_control_lets_everything_through_in_time() {
    let limits = Limits {
        session_window: 1000,
        session_streams: 2,
        ..Limits::default()
    };
    let options = Options {
        client_limits: limits.clone(),
        server_limits: limits,
        ..Options::default()
    };
    let (mut pair, session) = Pair::with_session(&options);
    let (mut sent, mut received) = (0, 0);
    // As many as there may be, and one more, which takes the end of another.
    let streams: Vec<_> = (0..2)
        .map(|_| pair.client.open(session, Dir::Uni, b""))
        .collect();
    let full = pair.client.conn.open_stream(session, Dir::Uni);
    assert_eq!(full, Err(OpenError::Limit));
    assert!(pair.client.conn.open_stream(session, Dir::Bi).is_ok());
    for id in streams {
        pair.client.conn.finish(id).unwrap();
        pair.run();
        assert_eq!(pair.server.read(id), (vec![], None));
        pair.run();
    }
    let events = pair.client.take();
    assert!(
        events.contains(&Event::StreamsAvailable(Dir::Uni)),
        "{events:?}"
    );
    pair.server.take();
    for _ in 0..10 {
        let id = pair.client.conn.open_stream(session, Dir::Uni).unwrap();
        let mut rest = 1500;
        while rest > 0 {
            match pair.client.conn.write(id, &vec![1; rest]) {
                Ok(len) => {
                    rest -= len;
                    sent += len;
                }
                Err(error) => {
                    assert_eq!(error, WriteError::Blocked);
                    assert_eq!(pair.client.conn.writable(id), 0);
                    pair.run();
                    pair.server.take();
                    received += pair.server.read(id).0.len();
                    pair.run();
                    let events = pair.client.take();
                    assert!(events.contains(&Event::Writable(id)), "{events:?}");
                }
            }
        }
        pair.client.conn.finish(id).unwrap();
        pair.run();
        received += pair.server.read(id).0.len();
        pair.server.take();
        pair.run();
    }
    assert_eq!((sent, received), (15_000, 15_000));
}

/// Credit for data that a reset dropped comes back, or a session would dry up.
#[test]
fn resets_cost_no_credit() {
    let limits = Limits {
        session_window: 1000,
        session_streams: 10,
        stream_window: 1024,
        ..Limits::default()
    };
    let options = Options {
        client_limits: limits.clone(),
        server_limits: limits,
        ..Options::default()
    };
    let (mut pair, session) = Pair::with_session(&options);
    for round in 0..20 {
        let id = pair.client.open(session, Dir::Uni, &[1; 900]);
        if round % 2 == 0 {
            pair.run();
        }
        pair.client.conn.reset(id, 1);
        pair.run();
        let (_, end) = pair.server.read(id);
        // Even when nothing was sent before: the reset promises the header.
        assert_eq!(end, Some(ReadError::Reset(Some(1))));
        pair.run();
        assert_eq!(pair.client.conn.sessions().count(), 1, "round {round}");
    }
}

#[test]
fn quic_limits_streams_too() {
    let options = Options {
        server_limits: Limits {
            streams_uni: 4,
            ..Limits::default()
        },
        ..Options::default()
    };
    let (mut pair, session) = Pair::with_session(&options);
    // HTTP/3 has one control stream, and QPACK none.
    let streams: Vec<_> = (0..3)
        .map(|_| pair.client.open(session, Dir::Uni, b"x"))
        .collect();
    let full = pair.client.conn.open_stream(session, Dir::Uni);
    assert_eq!(full, Err(OpenError::Limit));
    for id in streams {
        pair.client.conn.finish(id).unwrap();
        pair.run();
        assert_eq!(pair.server.read(id).1, None);
    }
    pair.run();
    assert!(
        pair.client
            .take()
            .contains(&Event::StreamsAvailable(Dir::Uni))
    );
    pair.client.open(session, Dir::Uni, b"x");
}

#[test]
fn room_orders_and_low_buffers_in_a_session() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    let [low, high] = [(); 2].map(|()| pair.client.conn.open_stream(session, Dir::Uni).unwrap());
    let client = &mut pair.client.conn;
    client.set_send_order(high, 1);
    client.set_send_group(low, 0);
    for id in [low, high] {
        client.write(id, &[7; 100_000]).unwrap();
        client.set_low_water(id, 1000);
        assert!(client.buffered(id) >= 100_000);
    }
    pair.run();
    let expected = [Event::BufferLow(high), Event::BufferLow(low)];
    assert_eq!(pair.client.take(), expected);
    // The application's question arms the event, by QUIC's room and by the session's credit.
    while pair.client.conn.writable(low) > 0 {
        pair.client.conn.write(low, &[7; 10_000]).unwrap();
    }
    for _ in 0..5 {
        pair.run();
        pair.server.read(low);
    }
    let events = pair.client.take();
    assert_eq!(events, [Event::Writable(low)]);
}

#[test]
fn a_reset_delivers_what_it_promises() {
    let (mut pair, session) = Pair::with_session(&Options::default());
    let id = pair.client.open(session, Dir::Uni, b"kept, and not kept");
    pair.client.conn.reset_at(id, 99, 4);
    pair.run();
    let read = pair.server.read(id);
    assert_eq!(read, (b"kept".to_vec(), Some(ReadError::Reset(Some(99)))));
}
