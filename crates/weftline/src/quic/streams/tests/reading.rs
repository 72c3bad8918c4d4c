//! The receiving parts, as the application sees them.

use super::*;

const ID: StreamId = StreamId::new(Side::Client, Dir::Uni, 0);
const OPENED: StreamChange = StreamChange::Opened(ID);
const READABLE: StreamChange = StreamChange::Readable(ID);

#[test]
fn readable_is_an_edge() {
    let mut streams = server();
    streams.on_stream(ID, 1, b"b", false).unwrap();
    assert_eq!(changes(&mut streams), [OPENED]);
    streams.on_stream(ID, 0, b"a", false).unwrap();
    streams.on_stream(ID, 2, b"c", false).unwrap();
    assert_eq!(changes(&mut streams), [READABLE]);
    assert_eq!(streams.read(ID, 2).unwrap().as_deref(), Some(&b"ab"[..]));
    streams.on_stream(ID, 3, b"d", false).unwrap();
    assert_eq!(changes(&mut streams), [], "no read was blocked");
    assert_eq!(streams.read(ID, 9).unwrap().as_deref(), Some(&b"cd"[..]));
    assert_eq!(streams.read(ID, 9), Err(ReadFail::Blocked));
    assert_eq!(changes(&mut streams), []);
    streams.on_stream(ID, 4, b"", true).unwrap();
    assert_eq!(changes(&mut streams), [READABLE]);
    assert_eq!(streams.read(ID, 9), Ok(None));
    assert_eq!(streams.len(), 0);
}

#[test]
fn what_was_read_meanwhile_is_not_announced() {
    let mut streams = server();
    streams.on_stream(ID, 0, b"ab", false).unwrap();
    let mut out = [0; 8];
    assert_eq!(streams.read_into(ID, &mut out), Ok(Some(2)));
    assert_eq!(streams.read_into(ID, &mut out), Err(ReadFail::Blocked));
    assert_eq!(changes(&mut streams), [OPENED]);
    streams.on_stream(ID, 2, b"c", false).unwrap();
    assert_eq!(changes(&mut streams), [READABLE]);
}

#[test]
fn a_reset_is_told_once() {
    let mut streams = server();
    streams.on_stream(ID, 0, b"ab", false).unwrap();
    streams.on_reset_stream(ID, 42, 5).unwrap();
    streams.on_reset_stream(ID, 43, 5).unwrap();
    streams.on_stream(ID, 2, b"c", false).unwrap();
    assert!(streams.is_readable(ID));
    assert_eq!(changes(&mut streams), [OPENED, READABLE]);
    assert_eq!(streams.read(ID, 9), Err(ReadFail::Reset(42)));
    assert_eq!(streams.read(ID, 9), Err(ReadFail::Unknown));
    assert_eq!(streams.len(), 0);
}

#[test]
fn a_reset_after_all_data_changes_nothing() {
    let mut streams = server();
    streams.on_stream(ID, 0, b"ab", true).unwrap();
    streams.on_reset_stream(ID, 42, 2).unwrap();
    assert_eq!(streams.read(ID, 9).unwrap().as_deref(), Some(&b"ab"[..]));
    assert_eq!(streams.read(ID, 9), Ok(None));
}

#[test]
fn a_reset_may_promise_the_first_bytes() {
    let mut streams = server();
    streams.on_stream(ID, 0, b"abcd", false).unwrap();
    streams.on_reset_stream_at(ID, 42, 10, 6).unwrap();
    assert_eq!(streams.shared.credit.outstanding(), 6);
    assert_eq!(streams.read(ID, 9).unwrap().as_deref(), Some(&b"abcd"[..]));
    assert_eq!(streams.read(ID, 9), Err(ReadFail::Blocked));
    changes(&mut streams);
    streams.on_stream(ID, 4, b"efghij", true).unwrap();
    assert_eq!(changes(&mut streams), [READABLE]);
    assert_eq!(streams.read(ID, 9).unwrap().as_deref(), Some(&b"ef"[..]));
    assert_eq!(streams.read(ID, 9), Err(ReadFail::Reset(42)));
    assert_eq!((streams.len(), streams.shared.credit.outstanding()), (0, 0));
}

#[test]
fn a_promise_may_shrink_but_not_grow() {
    let mut streams = server();
    streams.on_stream(ID, 0, b"abcd", false).unwrap();
    streams.on_reset_stream_at(ID, 42, 10, 3).unwrap();
    streams.on_reset_stream_at(ID, 42, 10, 8).unwrap();
    assert_eq!(streams.read(ID, 2).unwrap().as_deref(), Some(&b"ab"[..]));
    streams.on_reset_stream(ID, 42, 10).unwrap();
    assert_eq!(streams.read(ID, 9), Err(ReadFail::Reset(42)));
    let mut streams = server();
    let fault = code(streams.on_reset_stream_at(ID, 42, 10, 11));
    assert_eq!(fault, TransportCode::FrameEncodingError);
}

#[test]
fn stopping_asks_until_acknowledged() {
    let mut streams = server();
    streams.on_stream(ID, 0, &[0; 600], false).unwrap();
    streams.stop(ID, 9).unwrap();
    assert_eq!(streams.stop(ID, 9), Err(ReadFail::Unknown));
    assert_eq!(streams.read(ID, 9), Err(ReadFail::Unknown));
    let (bytes, sent) = packet(&mut streams, 100);
    assert_eq!(bytes, b"\x05\x02\x09");
    assert!(!streams.has_control());
    streams.on_lost(&sent[0]);
    assert_eq!(packet(&mut streams, 100), (bytes, sent.clone()));
    streams.on_acked(&sent[0]);
    streams.on_lost(&sent[0]);
    assert!(!streams.has_control());
    streams.on_stream(ID, 600, &[0; 400], false).unwrap();
    assert_eq!(streams.shared.credit.outstanding(), 0);
    streams.on_reset_stream(ID, 9, 1000).unwrap();
    assert_eq!(streams.len(), 0);
    assert_eq!(changes(&mut streams), [OPENED]);
}

#[test]
fn stopping_what_is_complete_asks_nothing() {
    for size_known_only in [true, false] {
        let mut streams = server();
        let offset = u64::from(size_known_only);
        streams.on_stream(ID, offset, b"ab", true).unwrap();
        streams.stop(ID, 9).unwrap();
        assert_eq!(streams.len(), 0);
        let (_, sent) = packet(&mut streams, 100);
        assert!(
            sent.iter()
                .all(|frame| matches!(frame, SentFrame::MaxStreams(..)))
        );
    }
}

#[test]
fn credit_follows_what_is_read() {
    let mut streams = server();
    streams.on_stream(ID, 0, &[0; 1000], false).unwrap();
    assert!(!streams.has_control(), "nothing was read");
    streams.read(ID, 499).unwrap();
    assert!(!streams.has_control());
    streams.read(ID, 1).unwrap();
    let (bytes, sent) = packet(&mut streams, 100);
    assert_eq!(sent, [SentFrame::MaxStreamData(ID, 1500)]);
    assert_eq!(bytes, [0x11, 2, 0x45, 0xdc]);
    streams.on_lost(&sent[0]);
    streams.read(ID, 100).unwrap();
    let (_, sent) = packet(&mut streams, 100);
    assert_eq!(
        sent,
        [SentFrame::MaxStreamData(ID, 1600)],
        "the latest value"
    );
    streams.on_stream(ID, 1000, b"", true).unwrap();
    streams.on_lost(&sent[0]);
    assert!(!streams.has_control(), "the peer needs no more");
}

#[test]
fn a_wide_stream_widens_the_connection() {
    let mut streams = server();
    streams.on_rtt(Duration::from_millis(100));
    let (mut offset, mut window) = (0, 1000);
    for turn in 0..4 {
        streams.set_now(Instant::from_micros(turn * 100_000));
        let data = vec![0; window];
        streams.on_stream(ID, offset, &data, false).unwrap();
        offset += window as u64;
        while streams.read(ID, 10_000).is_ok() {}
        packet(&mut streams, 1200);
        window = 4000.min(window * 2);
    }
    assert_eq!(streams.shared.credit.window(), 6000);
}

#[test]
fn a_stream_without_a_reader_is_kept() {
    let mut streams = server();
    streams.on_stream(ID, 0, b"ab", true).unwrap();
    changes(&mut streams);
    assert_eq!(streams.len(), 1);
    assert!(streams.is_readable(ID));
    assert_eq!(streams.writable(ID), 0);
    assert_eq!(streams.write(ID, b"x"), Err(WriteFail::Unknown));
    assert_eq!(streams.read(ID, 0).unwrap().as_deref(), Some(&b""[..]));
}
