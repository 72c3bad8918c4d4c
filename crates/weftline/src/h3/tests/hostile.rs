use alloc::{vec, vec::Vec};
use proptest::prelude::*;

use super::{super::*, pair::*};
use crate::wire::h3::{error_code::*, frame::*};

fn limits() -> Limits {
    Limits {
        field_section: 500,
        fields: 10,
        skipped: 1000,
        resets_in_a_row: 10,
        ..Limits::default()
    }
}

/// A control stream with empty SETTINGS, and whatever comes then.
fn control(more: &[u8]) -> Vec<u8> {
    [&[0, 4, 0], more].concat()
}

/// What a layer of `side` closes the connection with when its peer writes `bytes` on a new stream,
/// and then ends it.
fn fault(side: Side, dir: Dir, bytes: &[u8], end: bool) -> Option<u64> {
    let mut pair = Pair::against_raw(side, &limits());
    let (_, raw) = pair.layer_and_raw();
    let id = raw.open_raw(dir, bytes);
    if end {
        raw.quic.finish(id).unwrap();
    }
    pair.run();
    pair.layer_and_raw().0.fault
}

#[test]
fn faults_of_unidirectional_streams() {
    let both = [Side::Client, Side::Server];
    // Who receives, what, whether it ends, and the code.
    type Row<'a> = (&'a [Side], &'a [u8], bool, Option<u64>);
    let table: [Row<'_>; 16] = [
        (&both, &control(&[]), false, None),
        (&both, &control(&[]), true, Some(H3_CLOSED_CRITICAL_STREAM)),
        (&both, &[0], true, Some(H3_CLOSED_CRITICAL_STREAM)),
        (&both, &[2], true, Some(H3_CLOSED_CRITICAL_STREAM)),
        (&both, &[3], true, Some(H3_CLOSED_CRITICAL_STREAM)),
        (&both, &[0, 0x0d, 1, 0], false, Some(H3_MISSING_SETTINGS)),
        (&both, &control(&[0, 0]), false, Some(H3_FRAME_UNEXPECTED)),
        (&both, &[0, 4, 2, 2, 0], false, Some(H3_SETTINGS_ERROR)),
        (&both, &control(&[0x41, 0x41]), false, None),
        (
            &both,
            &control(&[0x41, 0x41, 0]),
            false,
            Some(H3_FRAME_ERROR),
        ),
        (&both, &[2, 0x20, 0x20], false, None),
        (
            &both,
            &[2, 0x3f, 0xe1, 0xff],
            false,
            Some(QPACK_ENCODER_STREAM_ERROR),
        ),
        (&both, &[3, 0x44], false, None),
        (&both, &[3, 0], false, Some(QPACK_DECODER_STREAM_ERROR)),
        (&[Side::Server], &[1], false, Some(H3_STREAM_CREATION_ERROR)),
        (&[Side::Client], &[1], false, Some(H3_ID_ERROR)),
    ];
    for (sides, bytes, end, expected) in table {
        for &side in sides {
            assert_eq!(
                fault(side, Dir::Uni, bytes, end),
                expected,
                "{side:?} {bytes:02x?}"
            );
        }
    }
}

#[test]
fn critical_streams_come_once() {
    for bytes in [&control(&[])[..], &[2], &[3]] {
        let mut pair = Pair::against_raw(Side::Server, &limits());
        pair.client.open_raw(Dir::Uni, bytes);
        pair.run();
        assert_eq!(pair.server.fault, None);
        pair.client.open_raw(Dir::Uni, bytes);
        pair.run();
        assert_eq!(pair.server.fault, Some(H3_STREAM_CREATION_ERROR));
    }
}

#[test]
fn critical_streams_stay() {
    for bytes in [&control(&[])[..], &[2], &[3]] {
        let mut pair = Pair::against_raw(Side::Client, &limits());
        let id = pair.server.open_raw(Dir::Uni, bytes);
        pair.run();
        pair.server.quic.reset(id, H3_NO_ERROR);
        pair.run();
        assert_eq!(pair.client.fault, Some(H3_CLOSED_CRITICAL_STREAM));
    }
    // Nor may the peer stop ours.
    let mut pair = Pair::against_raw(Side::Client, &limits());
    let ours = StreamId::new(Side::Client, Dir::Uni, 0);
    pair.server.quic.stop(ours, H3_NO_ERROR);
    pair.run();
    assert_eq!(pair.client.fault, Some(H3_CLOSED_CRITICAL_STREAM));
}

#[test]
fn unknown_streams_are_stopped() {
    let mut pair = Pair::against_raw(Side::Server, &limits());
    for ty in [0x21, 0x10, 0x3f] {
        let id = pair.client.open_raw(Dir::Uni, &[ty, 1, 2, 3]);
        pair.run();
        let (_, stopped) = pair.client.verdict(id);
        assert_eq!(stopped, Some(H3_STREAM_CREATION_ERROR));
    }
    let (h3, _) = pair.server.parts();
    assert!(h3.streams.is_empty());
    assert_eq!(pair.server.fault, None);
}

#[test]
fn bidirectional_streams_of_a_server() {
    let fault = fault(Side::Client, Dir::Bi, &[1], false);
    assert_eq!(fault, Some(H3_STREAM_CREATION_ERROR));
    // Without an extension, any.
    let mut pair = Pair::against_raw(Side::Client, &limits());
    let none = Extensions::default();
    pair.client.h3 = Some(Layer::new(Side::Client, &limits(), none, 0));
    pair.server.open_raw(Dir::Bi, &[0x41, 0x41, 0]);
    pair.run();
    assert_eq!(pair.client.fault, Some(H3_STREAM_CREATION_ERROR));
}

#[test]
fn faults_of_request_streams() {
    let data = frame(DATA, b"abc");
    let head = get(&[]);
    let connect = headers(&[(":method", "CONNECT"), (":authority", "a:1")]);
    let trailers = headers(&[("a", "b")]);
    let unexpected = Some(H3_FRAME_UNEXPECTED);
    // The frames, whether the stream ends, and the code.
    type Row<'a> = (&'a [&'a [u8]], bool, Option<u64>);
    let table: [Row<'_>; 23] = [
        (&[&head, &data, &data, &trailers], true, None),
        (
            &[&frame(0x21, b"grease"), &head, &frame(0x40, b""), &data],
            true,
            None,
        ),
        (&[&data], false, unexpected),
        (&[&head, &trailers, &data], false, unexpected),
        (&[&head, &trailers, &trailers], false, unexpected),
        (&[&connect, &head], false, unexpected),
        (&[&connect, &data, &frame(0x21, b"grease")], false, None),
        (&[&head, &frame(SETTINGS, b"")], false, unexpected),
        (&[&head, &frame(GOAWAY, &[0])], false, unexpected),
        (&[&head, &frame(CANCEL_PUSH, &[0])], false, unexpected),
        (&[&head, &frame(MAX_PUSH_ID, &[0])], false, unexpected),
        (&[&head, &frame(PUSH_PROMISE, &[0])], false, unexpected),
        (&[&frame(2, b"")], false, unexpected),
        (&[&head, &frame(9, b"")], false, unexpected),
        (&[&head, &[0x41, 0x41, 0]], false, Some(H3_FRAME_ERROR)),
        // Cut off in a frame: in its header, its payload, a skipped one.
        (&[&head, &[0]], true, Some(H3_FRAME_ERROR)),
        (&[&head, &data[..4]], true, None),
        (&[&head[..9]], true, Some(H3_FRAME_ERROR)),
        (&[&head, &[0x21, 2, 0]], true, Some(H3_FRAME_ERROR)),
        // Undecodable sections.
        (
            &[&frame(HEADERS, b"")],
            false,
            Some(QPACK_DECOMPRESSION_FAILED),
        ),
        (
            &[&frame(HEADERS, &[0, 0, 0xff, 36])],
            false,
            Some(QPACK_DECOMPRESSION_FAILED),
        ),
        // Frames without use, by size and number.
        (&[&frame(0x21, &[0; 1001])], false, Some(H3_EXCESSIVE_LOAD)),
        (
            &[&head, &[0, 0].repeat(501)],
            false,
            Some(H3_EXCESSIVE_LOAD),
        ),
    ];
    for (frames, end, expected) in table {
        let bytes = frames.concat();
        assert_eq!(
            fault(Side::Server, Dir::Bi, &bytes, end),
            expected,
            "{bytes:02x?}"
        );
    }
}

#[test]
fn content_cut_off_is_a_fault_once_read() {
    let mut pair = Pair::against_raw(Side::Server, &limits());
    let bytes = [get(&[]), frame(DATA, b"abc")].concat();
    let id = pair.client.open_raw(Dir::Bi, &bytes[..bytes.len() - 1]);
    pair.client.quic.finish(id).unwrap();
    pair.run();
    assert_eq!(pair.server.read(id), Ok(Some(b"ab".to_vec())));
    assert!(pair.server.read(id).is_err());
    pair.run();
    assert_eq!(pair.server.fault, Some(H3_FRAME_ERROR));
}

/// What becomes of a request: how its stream is reset and stopped.
fn refusal(bytes: &[u8], end: bool) -> (Option<u64>, Option<u64>) {
    let mut pair = Pair::against_raw(Side::Server, &limits());
    let id = pair.client.open_raw(Dir::Bi, bytes);
    if end {
        pair.client.quic.finish(id).unwrap();
    }
    pair.run();
    assert_eq!(pair.server.fault, None);
    assert_eq!(pair.server.take_own(), []);
    assert_eq!(pair.server.messages(), 0);
    pair.client.verdict(id)
}

#[test]
fn malformed_requests_are_reset() {
    let error = Some(H3_MESSAGE_ERROR);
    assert_eq!(refusal(&get(&[("Upper", "case")]), false), (error, error));
    assert_eq!(refusal(&get(&[(":path", "/")]), false), (error, error));
    assert_eq!(refusal(&get(&[("upgrade", "h2c")]), false), (error, error));
    assert_eq!(refusal(&headers(&[("a", "b")]), false), (error, error));
    // The peer's half is over: it need not be stopped.
    assert_eq!(refusal(&get(&[("a", "\0")]), true).0, error);
}

#[test]
fn requests_cut_off_are_reset() {
    let incomplete = (Some(H3_REQUEST_INCOMPLETE), None);
    assert_eq!(refusal(&frame(0x21, b"grease"), true), incomplete);
    assert_eq!(refusal(&[], true), incomplete);
}

#[test]
fn a_head_too_large_is_answered() {
    let long = "~".repeat(600);
    let heads = [
        get(&[("a", &long)]),
        get(&[("a", ""); 12]),
        // Its length is enough, none of it is waited for.
        vec![1, 0x41, 0xf5],
    ];
    for head in heads {
        let mut pair = Pair::against_raw(Side::Server, &limits());
        let id = pair.client.open_raw(Dir::Bi, &head);
        pair.run();
        let answer = pair.client.quic.read(id, 1000).unwrap().unwrap();
        assert_eq!(answer, headers(&[(":status", "431")]));
        assert_eq!(pair.client.quic.read(id, 1000), Ok(None));
        let (_, stopped) = pair.client.verdict(id);
        assert_eq!(stopped, Some(H3_NO_ERROR));
        assert_eq!(
            (pair.server.take_own(), pair.server.messages()),
            (vec![], 0)
        );
    }
}

/// What a request's content comes to: what could be read, how that ended, and how the exchange
/// failed.
fn content(fields: &[(&str, &str)], frames: &[u8]) -> (Vec<u8>, Result<(), ReadFail>, Option<u64>) {
    let mut pair = Pair::against_raw(Side::Server, &limits());
    let id = pair
        .client
        .open_raw(Dir::Bi, &[&get(fields), frames].concat());
    pair.client.quic.finish(id).unwrap();
    pair.run();
    let (bytes, end) = pair.server.read_all(id);
    pair.run();
    pair.server.settle_changes();
    let failed = pair
        .server
        .take()
        .into_iter()
        .find_map(|change| match change {
            Change::Failed(_, code) => Some(code),
            _ => None,
        });
    assert_eq!(pair.server.fault, None);
    (bytes, end, failed)
}

#[test]
fn content_must_have_the_length_announced() {
    let three = frame(DATA, b"abc");
    let six = [&three[..], &three].concat();
    let length = [("content-length", "6")];
    let error = Some(H3_MESSAGE_ERROR);
    assert_eq!(content(&length, &six), (b"abcabc".to_vec(), Ok(()), None));
    assert_eq!(content(&[], &six), (b"abcabc".to_vec(), Ok(()), None));
    let short = content(&length, &three);
    assert_eq!((short.0, short.2), (b"abc".to_vec(), error));
    let long = content(&length, &[&six[..], &three].concat());
    assert_eq!((long.0, long.2), (b"abcabc".to_vec(), error));
    // With no DATA frame at all, and with trailers.
    assert_eq!(content(&length, &[]).2, error);
    let trailers = headers(&[("a", "b")]);
    assert_eq!(content(&length, &[&six[..], &trailers].concat()).1, Ok(()));
    assert_eq!(content(&length, &[&three[..], &trailers].concat()).2, error);
    let bad_trailers = headers(&[(":path", "/")]);
    assert_eq!(content(&[], &bad_trailers).2, error);
}

/// What a client is told of a response.
fn answered(method: &str, frames: &[Vec<u8>], end: bool) -> (Vec<Change>, Option<u64>) {
    let mut pair = Pair::against_raw(Side::Client, &limits());
    let id = pair.client.request(&request(method, &[]), false);
    pair.run();
    pair.server.quic.write(id, &frames.concat()).unwrap();
    if end {
        pair.server.quic.finish(id).unwrap();
    }
    pair.run();
    (pair.client.take_own(), pair.client.fault)
}

#[test]
fn bad_responses() {
    let id = request_id(0);
    let ok = headers(&[(":status", "200")]);
    let failed = |code| (vec![Change::Failed(id, code)], None);
    let malformed = failed(H3_MESSAGE_ERROR);
    assert_eq!(answered("GET", &[headers(&[("a", "b")])], false), malformed);
    assert_eq!(
        answered("GET", &[headers(&[(":status", "101")])], false),
        malformed
    );
    assert_eq!(answered("GET", &[], true), malformed);
    assert_eq!(
        answered("GET", &[headers(&[(":status", "100")])], true),
        malformed
    );
    let long = headers(&[(":status", "200"), ("a", &"~".repeat(600))]);
    assert_eq!(answered("GET", &[long], false), failed(H3_EXCESSIVE_LOAD));

    // Content where there can be none.
    let head = |status| {
        (
            Change::Response(id, response(status, &[])),
            Change::Failed(id, H3_MESSAGE_ERROR),
        )
    };
    let data = frame(DATA, b"x");
    let (response_200, broken) = head(200);
    let result = answered("HEAD", &[ok.clone(), data.clone()], false);
    assert_eq!(result, (vec![response_200, broken], None));
    let (response_304, broken) = head(304);
    let result = answered(
        "GET",
        &[headers(&[(":status", "304")]), data.clone()],
        false,
    );
    assert_eq!(result, (vec![response_304, broken], None));
    // But its length may be told.
    let told = headers(&[(":status", "200"), ("content-length", "10")]);
    let (changes, fault) = answered("HEAD", &[told], true);
    assert_eq!(
        (changes.len(), &changes[1], fault),
        (2, &Change::Readable(id), None)
    );

    let faults = [
        (vec![data.clone()], H3_FRAME_UNEXPECTED),
        (
            vec![headers(&[(":status", "100")]), data.clone()],
            H3_FRAME_UNEXPECTED,
        ),
        (vec![frame(PUSH_PROMISE, &[0])], H3_ID_ERROR),
        (vec![ok.clone(), frame(PUSH_PROMISE, &[0])], H3_ID_ERROR),
    ];
    for (frames, code) in faults {
        assert_eq!(answered("GET", &frames, false).1, Some(code));
    }
    // A CONNECT that was granted is a tunnel, one that was not is answered like any request.
    let again = vec![ok.clone(), ok];
    assert_eq!(
        answered("CONNECT", &again, false).1,
        Some(H3_FRAME_UNEXPECTED)
    );
    let refused = vec![headers(&[(":status", "403")]), headers(&[("a", "b")])];
    assert_eq!(answered("CONNECT", &refused, true).1, None);
}

#[test]
fn go_away_from_the_peer() {
    let mut pair = Pair::against_raw(Side::Client, &limits());
    let first = pair.client.request(&request("GET", &[]), false);
    let second = pair.client.request(&request("GET", &[]), false);
    let control_stream = pair.server.open_raw(Dir::Uni, &control(&[7, 1, 4]));
    pair.run();
    let failed = Change::Failed(second, H3_REQUEST_REJECTED);
    let expected = [Change::Settings, failed, Change::GoAway];
    assert_eq!(pair.client.take_own(), expected);
    let (_, stopped) = pair.server.verdict(second);
    assert_eq!(stopped, Some(H3_REQUEST_CANCELLED));
    assert!(pair.client.parts().0.has_message(first));
    // The same again is no news; a smaller one is.
    pair.server
        .quic
        .write(control_stream, &[7, 1, 4, 7, 1, 0])
        .unwrap();
    pair.run();
    let failed = Change::Failed(first, H3_REQUEST_REJECTED);
    assert_eq!(pair.client.take_own(), [failed, Change::GoAway]);
    pair.server.quic.write(control_stream, &[7, 1, 4]).unwrap();
    pair.run();
    assert_eq!(pair.client.fault, Some(H3_ID_ERROR));
}

#[test]
fn requests_given_up_in_a_row() {
    for how in 0..5 {
        let mut pair = Pair::against_raw(Side::Server, &limits());
        for count in 0..=11 {
            assert_eq!(
                pair.server.fault.is_some(),
                count == 11,
                "{count} of kind {how}"
            );
            if count == 11 {
                break;
            }
            let bytes = match how {
                0 => get(&[])[..5].to_vec(),
                4 => get(&[("upgrade", "h2c")]),
                _ => get(&[]),
            };
            let id = pair.client.open_raw(Dir::Bi, &bytes);
            pair.run();
            match how {
                // The request makes us reset it.
                4 => {}
                // Before and after the head, and of the response only.
                0 | 1 => pair.client.quic.reset(id, H3_REQUEST_CANCELLED),
                2 => pair.client.quic.stop(id, H3_REQUEST_CANCELLED),
                _ => {
                    pair.client.quic.reset(id, H3_REQUEST_CANCELLED);
                    pair.client.quic.stop(id, H3_REQUEST_CANCELLED);
                }
            }
            pair.run();
            if pair.server.parts().0.has_message(id) {
                let (h3, quic) = pair.server.parts();
                h3.cancel(quic, id, H3_REQUEST_CANCELLED);
                pair.run();
            }
        }
        assert_eq!(pair.server.fault, Some(H3_EXCESSIVE_LOAD));
    }
}

#[test]
fn a_request_served_breaks_the_row() {
    let mut pair = Pair::against_raw(Side::Server, &limits());
    for count in 1..50 {
        let id = pair.client.open_raw(Dir::Bi, &get(&[]));
        if count % 10 == 0 {
            pair.client.quic.finish(id).unwrap();
            pair.run();
            pair.server.respond(id, 200, &[], true);
        } else {
            pair.client.quic.reset(id, H3_REQUEST_CANCELLED);
        }
        pair.run();
    }
    assert_eq!(pair.server.fault, None);
}

/// Bytes that reach further than random ones: whole frames, some of them sensible.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        Just(get(&[("content-length", "4")])),
        Just(get(&[])),
        Just(headers(&[(":method", "CONNECT"), (":authority", "a:1")])),
        Just(headers(&[(":status", "200")])),
        Just(headers(&[(":status", "103")])),
        Just(headers(&[("a", "b")])),
        Just(frame(DATA, b"data")),
        Just(vec![0x41, 0x41, 4]),
        Just(vec![0x41, 0x54, 4]),
        Just(control(&[])),
        (0u64..0x42, prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(ty, p)| frame(ty, &p)),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(frame, 0..6).prop_map(|frames| frames.concat())
}

#[derive(Clone, Copy, Debug)]
enum End {
    Open,
    Finish,
    Reset,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever a peer writes on its streams, in whatever pieces: nothing panics, what is held is
    /// bounded, and streams that ended leave nothing behind.
    #[test]
    fn any_bytes_on_any_streams(
        client in any::<bool>(),
        streams in prop::collection::vec(
            (any::<bool>(), frames(), prop_oneof![
                Just(End::Open), Just(End::Finish), Just(End::Reset)]), 1..5),
        piece in 1usize..40,
    ) {
        let side = if client { Side::Client } else { Side::Server };
        let mut pair = Pair::against_raw(side, &limits());
        if client {
            pair.client.request(&request("GET", &[]), true);
            pair.client.request(&request("CONNECT", &[]), false);
            pair.run();
        }
        let mut answers = [request_id(0), request_id(1)].into_iter().filter(|_| client);
        for (bidi, bytes, end) in streams {
            let (end_with_layer, raw) = pair.layer_and_raw();
            if end_with_layer.fault.is_some() {
                break;
            }
            // A server answers, too.
            let id = match answers.next() {
                Some(id) if bidi => id,
                _ => raw.open_raw(if bidi { Dir::Bi } else { Dir::Uni }, b""),
            };
            for piece in bytes.chunks(piece) {
                let (_, raw) = pair.layer_and_raw();
                let _ = raw.quic.write(id, piece);
                pair.run();
            }
            let (_, raw) = pair.layer_and_raw();
            match end {
                End::Open => {}
                End::Finish => drop(raw.quic.finish(id)),
                End::Reset => raw.quic.reset(id, 1),
            }
            pair.run();
            let (end, _) = pair.layer_and_raw();
            let (h3, _) = end.parts();
            prop_assert!(h3.accounted_bytes() < 20_000);
            for change in end.take() {
                if let Change::Request(id, _) | Change::Response(id, _) | Change::Readable(id) = change {
                    let _ = end.read_all(id);
                }
            }
            pair.run();
        }
        let (end, _) = pair.layer_and_raw();
        let known = end.fault.is_none_or(|code| wire::error_code::name(code).is_some());
        prop_assert!(known);
    }
}
