//! What a peer must not do, and what it gets for it.

use super::*;

type Input = fn(&mut Streams, StreamId) -> Result<(), Fault>;

/// Every frame that names a stream, and whether it speaks to our receiving part.
const FRAMES: [(&str, bool, Input); 5] = [
    ("STREAM", true, |s, id| s.on_stream(id, 0, b"x", false)),
    ("RESET_STREAM", true, |s, id| s.on_reset_stream(id, 1, 0)),
    ("STREAM_DATA_BLOCKED", true, Streams::on_stream_data_blocked),
    ("STOP_SENDING", false, |s, id| s.on_stop_sending(id, 1)),
    ("MAX_STREAM_DATA", false, |s, id| {
        s.on_max_stream_data(id, 9)
    }),
];

#[test]
fn every_frame_and_kind_of_stream() {
    for (name, to_recv, input) in FRAMES {
        // Ours and not opened.
        let fault = code(input(&mut server(), server_bi(0)));
        assert_eq!(fault, TransportCode::StreamStateError, "{name}");
        // Past the limit of streams.
        for id in [client_bi(4), client_bi((1 << 60) - 1)] {
            let fault = code(input(&mut server(), id));
            assert_eq!(fault, TransportCode::StreamLimitError, "{name}");
        }
        // Against the direction.
        let mut streams = server();
        let ours = streams.open(Dir::Uni).unwrap();
        let wrong = if to_recv { ours } else { client_uni(0) };
        let fault = code(input(&mut streams, wrong));
        assert_eq!(fault, TransportCode::StreamStateError, "{name}");
        // With it, the frame is taken and opens the stream with all before it.
        let mut streams = server();
        assert_eq!(input(&mut streams, client_bi(3)), Ok(()), "{name}");
        let opened = (0..4).map(|index| StreamChange::Opened(client_bi(index)));
        let seen = changes(&mut streams);
        assert_eq!(seen[..4], opened.collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn streams_are_counted_by_direction() {
    let mut streams = server();
    streams.on_stream(client_uni(2), 0, b"", false).unwrap();
    let fault = code(streams.on_stream(client_uni(3), 0, b"", false));
    assert_eq!(fault, TransportCode::StreamLimitError);
    streams.on_stream(client_bi(3), 0, b"", false).unwrap();
}

#[test]
fn a_closed_stream_makes_room_for_another() {
    let mut streams = server();
    for index in 0..100 {
        let id = client_uni(index);
        streams.on_stream(id, 0, b"hello", true).unwrap();
        assert_eq!(
            streams.read(id, 10).unwrap().as_deref(),
            Some(&b"hello"[..])
        );
        assert_eq!(streams.read(id, 10), Ok(None));
        assert_eq!(streams.read(id, 10), Err(ReadFail::Unknown));
        let (bytes, _) = packet(&mut streams, 1200);
        assert!(bytes.starts_with(&[0x13]) || bytes[0] == 0x10, "{bytes:?}");
    }
    assert_eq!((streams.len(), streams.table.slots()), (0, 1));
    // Frames for those closed mean nothing.
    for (_, to_recv, input) in FRAMES {
        let result = input(&mut streams, client_uni(50));
        assert_eq!(result.is_ok(), to_recv);
    }
    assert_eq!(streams.len(), 0);
}

#[test]
fn streams_reset_at_once_leave_nothing_behind() {
    let mut streams = server();
    let mut sent_frames = 0;
    for index in 0..10_000 {
        let id = client_bi(index);
        streams.on_reset_stream(id, 7, 0).unwrap();
        streams.on_stop_sending(id, 8).unwrap();
        assert_eq!(streams.read(id, 1), Err(ReadFail::Reset(7)));
        while streams.has_control() {
            let (_, sent) = packet(&mut streams, 1200);
            sent_frames += sent.len();
            sent.iter().for_each(|frame| streams.on_acked(frame));
        }
        assert_eq!(changes(&mut streams).len(), 2, "opened and stopped");
    }
    assert!(sent_frames <= 20_000, "one reset and one limit each");
    assert_eq!(streams.len(), 0);
    assert!(streams.accounted_bytes() < 8 << 10);
}

#[test]
fn more_than_a_stream_may() {
    for fin in [false, true] {
        let mut streams = server();
        streams.on_stream(client_uni(0), 999, b"x", fin).unwrap();
        let fault = code(streams.on_stream(client_uni(1), 1000, b"x", fin));
        assert_eq!(fault, TransportCode::FlowControlError);
    }
    let mut streams = server();
    streams.on_reset_stream(client_uni(0), 0, 1000).unwrap();
    let fault = code(streams.on_reset_stream(client_uni(1), 0, 1001));
    assert_eq!(fault, TransportCode::FlowControlError);
}

#[test]
fn more_than_the_connection_may() {
    let mut streams = server();
    streams.on_stream(client_uni(0), 999, b"x", false).unwrap();
    streams.on_stream(client_uni(1), 999, b"x", false).unwrap();
    streams.on_stream(client_bi(0), 499, b"x", false).unwrap();
    let data = streams.on_stream(client_bi(0), 500, b"x", false);
    assert_eq!(code(data), TransportCode::FlowControlError);
    let reset = streams.on_reset_stream(client_bi(1), 0, 1);
    assert_eq!(code(reset), TransportCode::FlowControlError);
    // The same bytes again cost nothing.
    streams
        .on_stream(client_bi(0), 400, &[0; 100], true)
        .unwrap();
}

#[test]
fn what_is_never_read_gives_its_credit_back() {
    let mut streams = server();
    for index in 0..50 {
        let id = client_uni(index);
        streams.on_stream(id, 900, &[0; 100], false).unwrap();
        if index % 2 == 0 {
            streams.on_reset_stream(id, 1, 1000).unwrap();
            assert_eq!(streams.read(id, 1), Err(ReadFail::Reset(1)));
        } else {
            streams.stop(id, 1).unwrap();
            streams.on_stream(id, 1000, b"", true).unwrap();
        }
        deliver_all(&mut streams);
        assert_eq!(streams.shared.credit.outstanding(), 0);
        assert_eq!(streams.len(), 0);
    }
    assert_eq!(streams.shared.credit.window(), 2500, "nobody read anything");
}

#[test]
fn final_sizes_hold() {
    let wrong: [Input; 6] = [
        |s, id| s.on_stream(id, 9, b"xy", false),
        |s, id| s.on_stream(id, 8, b"x", true),
        |s, id| s.on_stream(id, 10, b"x", true),
        |s, id| s.on_reset_stream(id, 0, 9),
        |s, id| s.on_reset_stream(id, 0, 11),
        |s, id| s.on_stream(id, 11, b"", false),
    ];
    let known: [Input; 3] = [
        |s, id| s.on_stream(id, 10, b"", true),
        |s, id| s.on_stream(id, 0, &[0; 10], true),
        |s, id| s.on_reset_stream(id, 0, 10),
    ];
    for input in wrong {
        for first in known {
            let mut streams = server();
            first(&mut streams, client_uni(0)).unwrap();
            let fault = code(input(&mut streams, client_uni(0)));
            assert_eq!(fault, TransportCode::FinalSizeError);
        }
    }
    // Below what was sent already.
    for input in [wrong[1], wrong[3]] {
        let mut streams = server();
        streams.on_stream(client_uni(0), 9, b"x", false).unwrap();
        let fault = code(input(&mut streams, client_uni(0)));
        assert_eq!(fault, TransportCode::FinalSizeError);
    }
}

#[test]
fn offsets_past_the_largest() {
    let limits = Limits {
        stream_window: varint::MAX,
        connection_window: varint::MAX,
        ..limits()
    };
    let mut streams = Streams::new(Side::Server, &limits);
    let id = client_uni(0);
    let past = streams.on_stream(id, varint::MAX, b"x", false);
    assert_eq!(code(past), TransportCode::FrameEncodingError);
    streams.on_stream(id, varint::MAX - 1, b"x", true).unwrap();
    streams.on_stream(id, 0, b"ab", false).unwrap();
    assert_eq!(streams.read(id, 9).unwrap().as_deref(), Some(&b"ab"[..]));
    assert!(streams.accounted_bytes() < 64 << 10);
    streams.on_reset_stream(id, 1, varint::MAX).unwrap();
    assert_eq!(streams.read(id, 9), Err(ReadFail::Reset(1)));
    deliver_all(&mut streams);
    assert_eq!(streams.local_params().max_data, varint::MAX);
}

#[test]
fn gaps_are_bounded() {
    let mut streams = server();
    for piece in 1..=8 {
        streams
            .on_stream(client_uni(0), piece * 2, b"x", false)
            .unwrap();
    }
    let fault = code(streams.on_stream(client_uni(0), 18, b"x", false));
    assert_eq!(fault, TransportCode::InternalError);
}

#[test]
fn counts_of_streams_that_cannot_be() {
    for dir in [Dir::Bi, Dir::Uni] {
        let mut streams = server();
        assert_eq!(streams.on_max_streams(dir, 1 << 60), Ok(()));
        let fault = code(streams.on_max_streams(dir, (1 << 60) + 1));
        assert_eq!(fault, TransportCode::FrameEncodingError);
        let fault = code(streams.on_streams_blocked(dir, (1 << 60) + 1));
        assert_eq!(fault, TransportCode::FrameEncodingError);
    }
}

#[test]
fn floods_of_blocked_frames_cost_nothing() {
    let mut streams = server();
    streams.on_stream(client_bi(0), 0, b"x", false).unwrap();
    changes(&mut streams);
    let before = streams.accounted_bytes();
    for _ in 0..10_000 {
        streams.on_stream_data_blocked(client_bi(0)).unwrap();
        streams.on_streams_blocked(Dir::Bi, 4).unwrap();
        streams.on_stream(client_bi(0), 1, b"", false).unwrap();
    }
    assert!(!streams.has_control());
    assert_eq!(changes(&mut streams), []);
    assert_eq!(streams.accounted_bytes(), before);
}

#[test]
fn memory_stays_within_the_windows() {
    let limits = Limits {
        streams_uni: 103,
        stream_window: 256 << 10,
        stream_window_max: 256 << 10,
        connection_window: 1 << 20,
        connection_window_max: 1 << 20,
        ..Limits::default()
    };
    let mut streams = Streams::new(Side::Server, &limits);
    let mut bytes = 0;
    // Every second byte, so that nothing can be read and every byte has its own range.
    'all: for index in 0..103 {
        for piece in 0..1024 {
            let result = streams.on_stream(client_uni(index), 1 + 2 * piece, b"x", false);
            if result.is_err() {
                break 'all;
            }
            bytes += 1;
        }
    }
    assert!(bytes > 100_000);
    // 2 KiB of every stream were touched; each range is 16 bytes.
    let most = 103 * (4096 + 1024 * 32 + 2048);
    assert!(
        streams.accounted_bytes() < most,
        "{}",
        streams.accounted_bytes()
    );
}
