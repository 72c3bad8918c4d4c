use alloc::{vec, vec::Vec};

use super::{super::*, pair::*};
use crate::wire::h3::error_code::*;

const ID: StreamId = request_id(0);

#[test]
fn settings_are_exchanged() {
    let mut pair = Pair::new();
    let (h3, _) = pair.client.parts();
    let settings: Vec<_> = h3.peer_settings().unwrap().iter().collect();
    let grease = 0x21 + 7 * 0x1f;
    let expected = [
        (1, 0),
        (6, 16 << 10),
        (7, 0),
        (grease, 7),
        (8, 1),
        (0x33, 1),
    ];
    assert_eq!(settings, expected);
    assert!(h3.takes_requests());
    assert!(!pair.server.parts().0.takes_requests());
}

#[test]
fn settings_pass_through_a_small_buffer() {
    let limits = Limits {
        stream_send_buffer: 5,
        ..Limits::default()
    };
    let mut pair = Pair::with_limits(&limits);
    let (h3, _) = pair.client.parts();
    assert_eq!(h3.peer_settings().unwrap().iter().count(), 6);
}

#[test]
fn a_request_without_content() {
    let mut pair = Pair::new();
    let head = request("GET", &[("accept", "*/*")]);
    let id = pair.client.request(&head, true);
    assert_eq!(id, ID);
    pair.run();
    let expected = [Change::Request(ID, head), Change::Readable(ID)];
    assert_eq!(pair.server.take(), expected);
    assert_eq!(pair.server.read(ID), Ok(None));
    assert_eq!(pair.server.read(ID), Err(ReadFail::Unknown));
    assert_eq!(pair.client.take(), [Change::Finished(ID)]);

    pair.server
        .respond(ID, 200, &[("content-length", "5")], false);
    assert_eq!(pair.server.write(ID, b"hello"), Ok(5));
    pair.server.finish(ID);
    pair.run();
    let expected = [
        Change::Response(ID, response(200, &[("content-length", "5")])),
        Change::Readable(ID),
    ];
    assert_eq!(pair.client.take(), expected);
    assert_eq!(pair.client.read_all(ID), (b"hello".to_vec(), Ok(())));
    assert_eq!(pair.server.take(), [Change::Finished(ID)]);
    // Nothing of it is left on either side.
    assert_eq!((pair.client.messages(), pair.server.messages()), (0, 0));
    assert_eq!(pair.client.write(ID, b"x"), Err(WriteFail::Unknown));
}

#[test]
fn readable_comes_once_until_blocked() {
    let mut pair = Pair::new();
    pair.client.request(&request("POST", &[]), false);
    pair.run();
    assert_eq!(pair.server.take().len(), 1);
    for (data, told) in [(b"a", true), (b"b", false), (b"c", false)] {
        pair.client.write(ID, data).unwrap();
        pair.run();
        assert_eq!(pair.server.take() == [Change::Readable(ID)], told);
    }
    assert_eq!(
        pair.server.read_all(ID),
        (b"abc".to_vec(), Err(ReadFail::Blocked))
    );
    pair.client.finish(ID);
    pair.run();
    assert_eq!(pair.server.take(), [Change::Readable(ID)]);
    assert_eq!(pair.server.read(ID), Ok(None));
}

#[test]
fn content_flows_both_ways_through_small_buffers() {
    let limits = Limits {
        stream_window: 1024,
        stream_window_max: 1024,
        connection_window: 3000,
        connection_window_max: 3000,
        stream_send_buffer: 700,
        connection_send_buffer: 1500,
        ..Limits::default()
    };
    let mut pair = Pair::with_limits(&limits);
    pair.client
        .request(&request("POST", &[("content-length", "50000")]), false);
    pair.run();
    pair.server.respond(ID, 200, &[], false);
    let data: Vec<u8> = (0..50_000_u32).map(|i| (i / 3) as u8).collect();
    let mut sent = [0; 2];
    let mut received = [Vec::new(), Vec::new()];
    let mut ended = [false; 2];
    for _ in 0..100_000 {
        for (at, end) in [&mut pair.client, &mut pair.server].into_iter().enumerate() {
            let changes = end.take();
            while sent[at] < data.len() {
                let (h3, quic) = end.parts();
                let room = h3.body_writable(quic, ID);
                match end.write(ID, &data[sent[at]..]) {
                    Ok(taken) => {
                        assert!(
                            taken > 0
                                && (taken == room || room == 0 || sent[at] + taken == data.len())
                        );
                        sent[at] += taken;
                        if sent[at] == data.len() {
                            end.finish(ID);
                        }
                    }
                    Err(fail) => {
                        assert_eq!((fail, room), (WriteFail::Blocked, 0));
                        break;
                    }
                }
            }
            if changes.contains(&Change::Readable(ID)) {
                let (bytes, result) = end.read_all(ID);
                received[at].extend_from_slice(&bytes);
                ended[at] |= result.is_ok();
            }
        }
        if ended == [true; 2] {
            break;
        }
        pair.run();
    }
    assert_eq!(ended, [true; 2]);
    assert!(received.iter().all(|all| *all == data));
}

#[test]
fn a_refused_write_is_told_when_there_is_room() {
    let limits = Limits {
        stream_window: 1024,
        stream_window_max: 1024,
        stream_send_buffer: 500,
        ..Limits::default()
    };
    let mut pair = Pair::with_limits(&limits);
    pair.client.request(&request("POST", &[]), false);
    pair.run();
    pair.client.take();
    while pair.client.write(ID, &[1; 2000]).is_ok() {
        pair.run();
    }
    assert_eq!(pair.client.take(), []);
    assert_ne!(pair.server.read(ID), Err(ReadFail::Blocked));
    while pair.server.read(ID).is_ok() {}
    pair.run();
    assert_eq!(pair.client.take(), [Change::Writable(ID)]);
    assert!(pair.client.write(ID, &[1; 2000]).is_ok());
}

#[test]
fn heads_wait_for_room_and_keep_their_place() {
    let limits = Limits {
        stream_window: 1024,
        stream_window_max: 1024,
        stream_send_buffer: 100,
        ..Limits::default()
    };
    let mut pair = Pair::with_limits(&limits);
    let long = "x".repeat(3000);
    let head = request("POST", &[("long", &long)]);
    pair.client.request(&head, false);
    // The head alone is more than fits: nothing goes before it.
    assert_eq!(pair.client.write(ID, b"body"), Err(WriteFail::Blocked));
    let (h3, quic) = pair.client.parts();
    assert_eq!(h3.body_writable(quic, ID), 0);
    pair.run();
    assert_eq!(pair.server.take(), [Change::Request(ID, head)]);
    assert_eq!(pair.client.take(), [Change::Writable(ID)]);
    assert_eq!(pair.client.write(ID, b"body"), Ok(4));
    pair.client.finish(ID);
    assert_eq!(pair.client.write(ID, b"body"), Err(WriteFail::Finished));
    pair.run();
    assert_eq!(pair.server.read_all(ID), (b"body".to_vec(), Ok(())));

    // An end behind a head that waits, too.
    let head = response(200, &[("long", &long)]);
    pair.server.respond(ID, 200, &[("long", &long)], true);
    pair.run();
    let changes = pair.client.take_own();
    let expected = [
        Change::Finished(ID),
        Change::Response(ID, head),
        Change::Readable(ID),
    ];
    assert_eq!(changes, expected);
    assert_eq!(pair.client.read(ID), Ok(None));
    assert_eq!((pair.client.messages(), pair.server.messages()), (0, 0));
}

#[test]
fn interim_responses_are_eaten() {
    let mut pair = Pair::new();
    pair.client.request(&request("GET", &[]), true);
    pair.run();
    for _ in 0..5 {
        pair.server.respond(ID, 103, &[("link", "</a>")], false);
    }
    pair.run();
    assert_eq!(pair.client.take(), [Change::Finished(ID)]);
    let (h3, quic) = pair.server.parts();
    let interim = response(100, &[]);
    assert!(h3.send_response(quic, ID, &interim, true).is_err());
    pair.server.respond(ID, 204, &[], true);
    pair.run();
    let changes = [
        Change::Response(ID, response(204, &[])),
        Change::Readable(ID),
    ];
    assert_eq!(pair.client.take(), changes);

    let (h3, quic) = pair.server.parts();
    let late = h3.send_response(quic, ID, &response(200, &[]), true);
    assert_eq!(late, Err(RequestError::UnknownRequest));
}

#[test]
fn too_many_interim_responses() {
    let mut pair = Pair::new();
    pair.client.request(&request("GET", &[]), false);
    pair.run();
    for _ in 0..6 {
        pair.server.respond(ID, 103, &[], false);
    }
    pair.run();
    assert_eq!(pair.client.take(), [Change::Failed(ID, H3_EXCESSIVE_LOAD)]);
    let stopped = Change::Stopped(ID, H3_EXCESSIVE_LOAD);
    assert!(pair.server.take().contains(&stopped));
    assert_eq!(
        pair.server.read(ID),
        Err(ReadFail::Reset(H3_EXCESSIVE_LOAD))
    );
    assert_eq!((pair.client.messages(), pair.server.messages()), (0, 0));
}

#[test]
fn a_tunnel() {
    let mut pair = Pair::new();
    // Its content-length means nothing.
    let head = request("CONNECT", &[("content-length", "1")]);
    pair.client.request(&head, false);
    // The client does not wait for the answer.
    pair.client.write(ID, b"early").unwrap();
    pair.run();
    let expected = [Change::Request(ID, head), Change::Readable(ID)];
    assert_eq!(pair.server.take(), expected);
    assert_eq!(
        pair.server.read_all(ID),
        (b"early".to_vec(), Err(ReadFail::Blocked))
    );
    pair.server
        .respond(ID, 200, &[("content-length", "1")], false);
    pair.server.write(ID, b"answer").unwrap();
    pair.run();
    assert_eq!(
        pair.client.read_all(ID),
        (b"answer".to_vec(), Err(ReadFail::Blocked))
    );

    // The end of one half is not that of the other.
    pair.server.finish(ID);
    pair.run();
    assert_eq!(pair.client.read(ID), Ok(None));
    pair.client.write(ID, b"late").unwrap();
    pair.run();
    let late = (b"late".to_vec(), Err(ReadFail::Blocked));
    assert_eq!(pair.server.read_all(ID), late);
    // And the server hears of it, though its own was delivered long ago.
    pair.client.finish(ID);
    pair.run();
    assert_eq!(pair.server.messages(), 1);
    assert_eq!(pair.server.read(ID), Ok(None));
    assert_eq!((pair.client.messages(), pair.server.messages()), (0, 0));
}

#[test]
fn stops_and_resets_reach_the_peer() {
    let mut pair = Pair::new();
    pair.client.request(&request("CONNECT", &[]), false);
    pair.run();
    pair.server.respond(ID, 200, &[], false);
    pair.run();
    pair.client.take();
    pair.server.take();

    let (h3, quic) = pair.client.parts();
    h3.stop(quic, ID, 0x1234);
    pair.run();
    assert_eq!(pair.server.take(), [Change::Stopped(ID, 0x1234)]);
    assert!(pair.server.write(ID, b"x").is_err());
    // The other half lives on.
    pair.client.write(ID, b"on").unwrap();
    pair.run();
    assert_eq!(pair.server.read_all(ID).0, b"on");

    let (h3, quic) = pair.client.parts();
    h3.reset(quic, ID, 0x4321);
    assert!(!h3.has_message(ID));
    pair.run();
    assert_eq!(pair.server.take()[1..], [Change::Readable(ID)]);
    assert_eq!(pair.server.read(ID), Err(ReadFail::Reset(0x4321)));
    assert_eq!((pair.client.messages(), pair.server.messages()), (0, 0));
}

#[test]
fn cancelling_forgets() {
    let mut pair = Pair::new();
    pair.client.request(&request("GET", &[]), false);
    pair.run();
    pair.client.take();
    pair.server.take();
    let (h3, quic) = pair.client.parts();
    h3.cancel(quic, ID, H3_REQUEST_CANCELLED);
    pair.run();
    assert_eq!(pair.client.take_own(), []);
    let expected = [
        Change::Readable(ID),
        Change::Stopped(ID, H3_REQUEST_CANCELLED),
    ];
    let mut changes = pair.server.take_own();
    changes.sort_by_key(|change| matches!(change, Change::Stopped(..)));
    assert_eq!(changes, expected);
    assert_eq!(
        pair.server.read(ID),
        Err(ReadFail::Reset(H3_REQUEST_CANCELLED))
    );
    assert_eq!((pair.client.messages(), pair.server.messages()), (0, 0));
}

#[test]
fn a_response_reset_before_its_head() {
    let mut pair = Pair::new();
    pair.client.request(&request("GET", &[]), true);
    pair.run();
    pair.client.take();
    let (h3, quic) = pair.server.parts();
    h3.cancel(quic, ID, H3_REQUEST_REJECTED);
    pair.run();
    assert_eq!(
        pair.client.take_own(),
        [Change::Failed(ID, H3_REQUEST_REJECTED)]
    );
    assert_eq!(pair.client.messages(), 0);
}

#[test]
fn going_away_as_a_server() {
    let mut pair = Pair::new();
    pair.client.request(&request("GET", &[]), true);
    pair.run();
    pair.server.take();
    // The second request crosses GOAWAY.
    let (h3, quic) = pair.server.parts();
    h3.go_away(quic);
    h3.go_away(quic);
    let second = pair.client.request(&request("GET", &[]), true);
    pair.run();
    assert_eq!(pair.server.take_own(), []);
    let changes = pair.client.take_own();
    let failed = Change::Failed(second, H3_REQUEST_REJECTED);
    let at = |wanted: &Change| changes.iter().position(|change| change == wanted);
    assert!(
        at(&failed).unwrap() < at(&Change::GoAway).unwrap(),
        "{changes:?}"
    );
    let (h3, quic) = pair.client.parts();
    assert!(!h3.takes_requests());
    let third = h3.send_request(quic, &request("GET", &[]), true);
    assert_eq!(third, Err(RequestError::Limit));

    // The first is served.
    pair.server.respond(ID, 200, &[], true);
    pair.run();
    let expected = Change::Response(ID, response(200, &[]));
    assert_eq!(pair.client.take_own()[0], expected);
}

#[test]
fn going_away_as_a_client() {
    let mut pair = Pair::new();
    let (h3, quic) = pair.client.parts();
    h3.go_away(quic);
    pair.run();
    assert_eq!(pair.server.take(), [Change::GoAway]);
    assert_eq!(pair.client.take(), []);
}

#[test]
fn requests_wait_for_streams() {
    let limits = Limits {
        streams_bidi: 1,
        ..Limits::default()
    };
    let mut pair = Pair::with_limits(&limits);
    pair.client.request(&request("GET", &[]), true);
    let (h3, quic) = pair.client.parts();
    let second = h3.send_request(quic, &request("GET", &[]), true);
    assert_eq!(second, Err(RequestError::Limit));
    assert!(!h3.takes_requests());
    pair.run();
    pair.server.respond(ID, 200, &[], true);
    pair.run();
    while pair.client.read(ID).is_ok() {}
    pair.run();
    let available = Change::Stream(StreamChange::Available(Dir::Bi));
    assert!(pair.client.take().contains(&available));
    assert!(pair.client.parts().0.takes_requests());
    pair.client.request(&request("GET", &[]), true);
}

#[test]
fn what_cannot_be_sent() {
    let mut pair = Pair::new();
    let (h3, quic) = pair.client.parts();
    let mut bad = request("GET", &[]);
    bad.path = None;
    let result = h3.send_request(quic, &bad, true);
    assert!(matches!(result, Err(RequestError::Invalid(_))));
    let long = "x".repeat(16 << 10);
    let result = h3.send_request(quic, &request("GET", &[("a", &long)]), true);
    assert!(matches!(result, Err(RequestError::Invalid(_))));
    // Neither took a stream.
    assert_eq!(pair.client.request(&request("GET", &[]), true), ID);

    let mut early = Layer::new(Side::Client, &Limits::default(), extensions(), 0);
    let result = early.send_request(&mut pair.client.quic, &request("GET", &[]), true);
    assert_eq!(result, Err(RequestError::Limit));
}

#[test]
fn a_request_on_a_stream_opened_before() {
    let mut pair = Pair::new();
    let id = pair.client.quic.open(Dir::Bi).unwrap();
    assert!(!pair.client.parts().0.has_message(id));
    let (h3, quic) = pair.client.parts();
    h3.send_request_on(quic, id, &request("CONNECT", &[]), false)
        .unwrap();
    assert!(h3.has_message(id));
    pair.run();
    assert!(matches!(pair.server.take()[..], [Change::Request(i, _)] if i == id));
}

#[test]
fn datagrams() {
    let mut pair = Pair::new();
    let prefix = datagram::prefix(ID);
    pair.client.quic.send_datagram(&prefix, b"hi").unwrap();
    pair.run();
    let expected = Change::Datagram {
        stream: ID,
        payload: Bytes::from_static(b"hi"),
    };
    assert_eq!(pair.server.take(), [expected]);
    pair.client.quic.send_datagram(&[], &[]).unwrap();
    pair.run();
    assert_eq!(pair.server.fault, Some(H3_DATAGRAM_ERROR));

    // Who did not ask for them drops them.
    let mut pair = Pair::against_raw(Side::Server, &Limits::default());
    let none = Extensions::default();
    pair.server.h3 = Some(Layer::new(Side::Server, &Limits::default(), none, 0));
    pair.client.quic.send_datagram(&[], &[]).unwrap();
    pair.run();
    assert_eq!((pair.server.take(), pair.server.fault), (vec![], None));
}
