//! The sending parts, as the application and the packets see them.

use super::*;

fn stream(id: StreamId, offset: u64, data: &[u8], fin: bool) -> Frame<'_> {
    Frame::Stream(StreamFrame {
        id,
        offset,
        fin,
        data,
    })
}

#[test]
fn data_and_its_end() {
    let mut streams = server();
    let id = streams.open(Dir::Uni).unwrap();
    assert_eq!(streams.write(id, b"hello "), Ok(6));
    assert_eq!(streams.write_bytes(id, Bytes::from_static(b"world")), Ok(5));
    streams.finish(id).unwrap();
    assert_eq!(streams.write(id, b"x"), Err(WriteFail::Finished));
    assert_eq!(streams.finish(id), Err(WriteFail::Finished));
    let (bytes, sent) = packet(&mut streams, 100);
    assert_eq!(parse(&bytes), [stream(id, 0, b"hello world", true)]);
    assert!(!streams.has_data());
    streams.on_acked(&sent[0]);
    assert_eq!(changes(&mut streams), [StreamChange::Finished(id)]);
    assert_eq!(streams.write(id, b"x"), Err(WriteFail::Unknown));
    assert_eq!((streams.len(), streams.buffered()), (0, 0));
    streams.on_acked(&sent[0]);
    streams.on_lost(&sent[0]);
    assert!(!streams.has_data());
}

#[test]
fn the_end_alone() {
    let mut streams = server();
    let id = streams.open(Dir::Uni).unwrap();
    streams.write(id, b"ab").unwrap();
    let (_, first) = packet(&mut streams, 100);
    streams.finish(id).unwrap();
    let (bytes, second) = packet(&mut streams, 100);
    assert_eq!(parse(&bytes), [stream(id, 2, b"", true)]);
    streams.on_acked(&second[0]);
    assert_eq!(changes(&mut streams), []);
    streams.on_lost(&first[0]);
    let (bytes, first) = packet(&mut streams, 100);
    assert_eq!(parse(&bytes), [stream(id, 0, b"ab", true)]);
    streams.on_acked(&first[0]);
    assert_eq!(changes(&mut streams), [StreamChange::Finished(id)]);
}

#[test]
fn a_lost_end_is_sent_again() {
    let mut streams = server();
    let id = streams.open(Dir::Uni).unwrap();
    streams.finish(id).unwrap();
    for _ in 0..3 {
        let (bytes, sent) = packet(&mut streams, 100);
        assert_eq!(parse(&bytes), [stream(id, 0, b"", true)]);
        assert!(!streams.has_data());
        streams.on_lost(&sent[0]);
    }
    deliver_all(&mut streams);
    assert_eq!(streams.len(), 0);
}

#[test]
fn lost_data_goes_first_whatever_the_credit() {
    let mut streams = Streams::new(Side::Server, &limits());
    streams.on_peer_params(&StreamParams {
        max_data: 6,
        uni: 100,
        streams_uni: 2,
        ..StreamParams::default()
    });
    let id = streams.open(Dir::Uni).unwrap();
    streams.write(id, b"abcdefgh").unwrap();
    let (bytes, sent) = packet(&mut streams, 100);
    assert_eq!(parse(&bytes), [stream(id, 0, b"abcdef", false)]);
    assert!(!streams.has_data());
    streams.on_lost(&sent[0]);
    assert!(streams.has_data());
    let (bytes, sent) = packet(&mut streams, 100);
    assert_eq!(sent[0], SentFrame::DataBlocked(6));
    assert_eq!(parse(&bytes)[1], stream(id, 0, b"abcdef", false));
    assert!(!streams.has_control() && !streams.has_data());
    streams.on_max_data(4);
    assert!(!streams.has_data());
    streams.on_max_data(7);
    let (bytes, _) = packet(&mut streams, 100);
    assert_eq!(parse(&bytes), [stream(id, 6, b"g", false)]);
    assert!(streams.has_control(), "blocked at a new limit");
}

/// Data that waits to be sent does not keep what makes the peer go on from being written.
#[test]
fn urgent_streams_need_no_room_beside_others() {
    let limits = Limits {
        connection_send_buffer: 100,
        ..limits()
    };
    let mut streams = Streams::new(Side::Server, &limits);
    streams.on_peer_params(&StreamParams {
        uni: 100,
        streams_uni: 2,
        ..StreamParams::default()
    });
    let (ordinary, urgent) = (
        streams.open(Dir::Uni).unwrap(),
        streams.open(Dir::Uni).unwrap(),
    );
    let room = limits.stream_send_buffer;
    let len = room.min(limits.connection_send_buffer);
    assert_eq!(streams.write(ordinary, &vec![b'a'; room]), Ok(len));
    assert_eq!(streams.write(urgent, b"b"), Err(WriteFail::Blocked));
    streams.set_rank(urgent, |rank| rank.priority = URGENT);
    assert_eq!(streams.writable(urgent), room);
    assert_eq!(streams.write(urgent, b"b"), Ok(1));
    assert_eq!(streams.write(ordinary, b"a"), Err(WriteFail::Blocked));
}

/// Data that the peer does not read leaves room for what makes the peer go on.
#[test]
fn the_last_credit_is_for_urgent_streams() {
    let mut streams = Streams::new(Side::Server, &limits());
    streams.on_peer_params(&StreamParams {
        max_data: 80,
        uni: 100,
        streams_uni: 2,
        ..StreamParams::default()
    });
    let (ordinary, urgent) = (
        streams.open(Dir::Uni).unwrap(),
        streams.open(Dir::Uni).unwrap(),
    );
    streams.set_rank(urgent, |rank| rank.priority = URGENT);
    streams.write(ordinary, &[b'a'; 90]).unwrap();
    let (bytes, _) = packet(&mut streams, 200);
    assert_eq!(parse(&bytes), [stream(ordinary, 0, &[b'a'; 70], false)]);
    assert!(!streams.has_data());
    assert!(streams.has_control(), "blocked, as far as it is concerned");
    packet(&mut streams, 200);

    streams.write(urgent, &[b'b'; 6]).unwrap();
    let (bytes, _) = packet(&mut streams, 200);
    assert_eq!(parse(&bytes), [stream(urgent, 0, b"bbbbbb", false)]);
    streams.write(urgent, &[b'c'; 6]).unwrap();
    let (bytes, _) = packet(&mut streams, 200);
    assert_eq!(parse(&bytes), [stream(urgent, 6, b"cccc", false)]);
    assert!(!streams.has_data());

    // The reserve is filled up before anything else.
    streams.on_max_data(93);
    let (bytes, _) = packet(&mut streams, 200);
    let frames = parse(&bytes);
    assert_eq!(frames[0], stream(urgent, 10, b"cc", false));
    assert_eq!(frames[1], stream(ordinary, 70, b"a", false));
    assert_eq!(frames.len(), 2);
}

#[test]
fn blocked_by_its_own_credit() {
    let mut streams = Streams::new(Side::Server, &limits());
    streams.on_peer_params(&StreamParams {
        max_data: 100,
        uni: 2,
        streams_uni: 2,
        ..StreamParams::default()
    });
    let id = streams.open(Dir::Uni).unwrap();
    streams.write(id, b"abcd").unwrap();
    packet(&mut streams, 100);
    let (_, sent) = packet(&mut streams, 100);
    assert_eq!(sent, [SentFrame::StreamDataBlocked(id, 2)]);
    assert!(!streams.has_control() && !streams.has_data());
    streams.on_lost(&sent[0]);
    assert!(streams.has_control());
    streams.on_max_stream_data(id, 3).unwrap();
    assert!(!streams.has_control(), "the notice is out of date");
    let (bytes, _) = packet(&mut streams, 100);
    assert_eq!(parse(&bytes), [stream(id, 2, b"c", false)]);
    streams.finish(id).unwrap();
    streams.on_max_stream_data(id, 1).unwrap();
    assert!(!streams.has_data(), "the end must wait for the data");
    streams.on_max_stream_data(id, 4).unwrap();
    let (bytes, _) = packet(&mut streams, 100);
    assert_eq!(parse(&bytes), [stream(id, 3, b"d", true)]);
}

#[test]
fn opening_waits_for_the_peer() {
    let mut streams = Streams::new(Side::Client, &limits());
    assert_eq!(streams.open(Dir::Bi), None);
    streams.on_peer_params(&StreamParams {
        streams_bidi: 1,
        ..StreamParams::default()
    });
    assert_eq!(changes(&mut streams), [StreamChange::Available(Dir::Bi)]);
    assert_eq!(streams.open(Dir::Bi), Some(client_bi(0)));
    assert_eq!(streams.open(Dir::Bi), None);
    let (bytes, sent) = packet(&mut streams, 100);
    assert_eq!((&bytes[..], sent.len()), (&b"\x16\x01"[..], 1));
    assert!(!streams.has_control());
    streams.on_max_streams(Dir::Bi, 1).unwrap();
    streams.on_max_streams(Dir::Bi, 0).unwrap();
    assert_eq!(changes(&mut streams), []);
    streams.on_max_streams(Dir::Bi, 3).unwrap();
    assert_eq!(changes(&mut streams), [StreamChange::Available(Dir::Bi)]);
    streams.on_max_streams(Dir::Bi, 4).unwrap();
    assert_eq!(changes(&mut streams), []);
}

#[test]
fn a_reset_drops_the_data() {
    let mut streams = server();
    let id = streams.open(Dir::Uni).unwrap();
    streams.write(id, &[7; 500]).unwrap();
    let (_, data) = packet(&mut streams, 105);
    streams.reset(id, 66).unwrap();
    streams.reset(id, 67).unwrap();
    assert_eq!(streams.buffered(), 0);
    assert_eq!(streams.write(id, b"x"), Err(WriteFail::Finished));
    streams.on_lost(&data[0]);
    assert!(!streams.has_data());
    let (bytes, sent) = packet(&mut streams, 100);
    let final_size = match data[0] {
        SentFrame::Stream { len, .. } => u64::from(len),
        other => panic!("{other:?}"),
    };
    let frame = Frame::ResetStream(ResetStream {
        id,
        code: 66,
        final_size,
    });
    assert_eq!(parse(&bytes), [frame]);
    streams.on_lost(&sent[0]);
    assert_eq!(packet(&mut streams, 100), (bytes, sent.clone()));
    streams.on_acked(&sent[0]);
    assert_eq!((streams.len(), changes(&mut streams).len()), (0, 0));
}

#[test]
fn a_reset_that_promises_waits_for_what_it_promises() {
    let mut streams = server();
    let id = streams.open(Dir::Uni).unwrap();
    streams.write(id, b"header and data").unwrap();
    streams.reset_at(id, 66, 6).unwrap();
    let (bytes, _) = packet(&mut streams, 100);
    assert_eq!(parse(&bytes), [stream(id, 0, b"header", false)]);
    let (bytes, reset) = packet(&mut streams, 100);
    assert_eq!(bytes, [0x24, 3, 0x40, 66, 6, 6]);
    streams.on_acked(&reset[0]);
    assert_eq!(streams.len(), 1, "the header is not acknowledged");
    streams.on_acked(&SentFrame::Stream {
        id,
        offset: 0,
        len: 6,
        fin: false,
    });
    assert_eq!(streams.len(), 0);
}

#[test]
fn a_stop_is_answered_with_a_reset() {
    for finished in [false, true] {
        let mut streams = server();
        let id = streams.open(Dir::Bi).unwrap();
        streams.write(id, b"abc").unwrap();
        if finished {
            streams.finish(id).unwrap();
        }
        packet(&mut streams, 100);
        streams.on_stop_sending(id, 5).unwrap();
        streams.on_stop_sending(id, 6).unwrap();
        assert_eq!(
            changes(&mut streams),
            [StreamChange::Stopped { id, code: 5 }]
        );
        assert_eq!(streams.write(id, b"x"), Err(WriteFail::Stopped(5)));
        let (bytes, sent) = packet(&mut streams, 100);
        assert_eq!(bytes, [4, 1, 5, 3]);
        sent.iter().for_each(|frame| streams.on_acked(frame));
        assert_eq!(streams.write(id, b"x"), Err(WriteFail::Stopped(5)));
        streams.on_reset_stream(id, 1, 0).unwrap();
        assert_eq!(streams.read(id, 1), Err(ReadFail::Reset(1)));
        assert_eq!(streams.len(), 0);
    }
}

#[test]
fn a_stop_takes_back_a_promise() {
    let mut streams = server();
    let id = streams.open(Dir::Uni).unwrap();
    streams.write(id, b"header").unwrap();
    streams.reset_at(id, 66, 6).unwrap();
    streams.on_stop_sending(id, 5).unwrap();
    assert_eq!(changes(&mut streams), [], "it was reset before");
    let (bytes, _) = packet(&mut streams, 100);
    assert_eq!(bytes, [4, 3, 0x40, 66, 0]);
}

#[test]
fn writes_are_bounded() {
    let mut streams = server();
    let (a, b) = (
        streams.open(Dir::Uni).unwrap(),
        streams.open(Dir::Uni).unwrap(),
    );
    assert_eq!(streams.write(a, &[0; 5000]), Ok(2000));
    assert_eq!((streams.writable(a), streams.writable(b)), (0, 1000));
    assert_eq!(streams.write(a, &[0; 5000]), Err(WriteFail::Blocked));
    assert_eq!(streams.write(a, &[]), Ok(0));
    assert_eq!(streams.write_bytes(b, Bytes::from(vec![0; 5000])), Ok(1000));
    assert_eq!(streams.write(b, b"x"), Err(WriteFail::Blocked));
    assert_eq!(streams.write(b, b"x"), Err(WriteFail::Blocked));
    assert_eq!(changes(&mut streams), []);
    deliver_all(&mut streams);
    let told = changes(&mut streams);
    assert_eq!(told.len(), 2);
    assert!(told.contains(&StreamChange::Writable(a)) && told.contains(&StreamChange::Writable(b)));
    assert_eq!(streams.write(a, &[0; 100]), Ok(100));
    deliver_all(&mut streams);
    assert_eq!(changes(&mut streams), [], "no write was blocked");
}

#[test]
fn a_writer_waits_for_the_connection_too() {
    let mut streams = server();
    let ids: Vec<_> = (0..3).map(|_| streams.open(Dir::Uni).unwrap()).collect();
    assert_eq!(streams.write(ids[0], &[0; 2000]), Ok(2000));
    assert_eq!(streams.write(ids[1], &[0; 2000]), Ok(1000));
    assert_eq!(streams.write(ids[2], &[0; 1]), Err(WriteFail::Blocked));
    streams.reset(ids[0], 1).unwrap();
    assert_eq!(changes(&mut streams), [StreamChange::Writable(ids[2])]);
    // Told, but another was faster.
    assert_eq!(streams.write(ids[2], &[0; 2000]), Ok(2000));
    assert_eq!(streams.write(ids[1], &[0; 1]), Err(WriteFail::Blocked));
    streams.reset(ids[2], 1).unwrap();
    assert_eq!(streams.write(ids[1], &[0; 1000]), Ok(1000));
    assert_eq!(streams.write(ids[1], &[0; 1]), Err(WriteFail::Blocked));
    assert_eq!(changes(&mut streams), [], "there is no room again");
    deliver_all(&mut streams);
    assert_eq!(changes(&mut streams), [StreamChange::Writable(ids[1])]);
}

#[test]
fn streams_take_turns_by_priority() {
    let mut streams = server();
    let ids: Vec<_> = (0..3).map(|_| streams.open(Dir::Uni).unwrap()).collect();
    for &id in &ids {
        streams.write(id, &[0; 600]).unwrap();
    }
    streams.set_rank(ids[2], |rank| rank.priority = 1);
    let mut order = Vec::new();
    while streams.has_data() {
        let (_, sent) = packet(&mut streams, 307);
        order.extend(sent.iter().map(|frame| match frame {
            SentFrame::Stream { id, .. } => *id,
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(order, [ids[2], ids[2], ids[0], ids[1], ids[0], ids[1]]);
}

#[test]
fn a_high_priority_goes_before_what_a_low_one_lost() {
    let mut streams = server();
    let (low, high) = (
        streams.open(Dir::Uni).unwrap(),
        streams.open(Dir::Uni).unwrap(),
    );
    streams.write(low, b"low").unwrap();
    let (_, sent) = packet(&mut streams, 100);
    streams.set_rank(high, |rank| rank.priority = 1);
    streams.write(high, b"high").unwrap();
    streams.on_lost(&sent[0]);
    let (bytes, _) = packet(&mut streams, 100);
    let expected = [
        stream(high, 0, b"high", false),
        stream(low, 0, b"low", false),
    ];
    assert_eq!(parse(&bytes), expected);
}

#[test]
fn packets_of_any_size_make_progress_or_nothing() {
    for size in 0..64 {
        let mut streams = server();
        let id = streams.open(Dir::Uni).unwrap();
        streams.write(id, &[5; 300]).unwrap();
        streams
            .on_stream(client_uni(0), 0, &[0; 1000], false)
            .unwrap();
        streams.read(client_uni(0), 1000).unwrap();
        streams.stop(client_uni(0), 1 << 40).unwrap();
        for _ in 0..1000 {
            let (bytes, sent) = packet(&mut streams, size);
            assert!(bytes.len() <= size);
            assert_eq!(parse(&bytes).len(), sent.len());
        }
        let done = !streams.has_data() && !streams.has_control();
        assert_eq!(done, size >= 10, "{size}");
    }
}

#[test]
fn limits_known_late_raise_what_is_open() {
    let mut streams = Streams::new(Side::Server, &limits());
    streams.on_stream(client_bi(0), 0, b"", false).unwrap();
    streams.write(client_bi(0), b"abc").unwrap();
    assert!(!streams.has_data());
    streams.on_peer_params(&StreamParams {
        max_data: 10,
        bidi_local: 2,
        bidi_remote: 100,
        ..StreamParams::default()
    });
    let (bytes, _) = packet(&mut streams, 100);
    let frames = parse(&bytes);
    assert_eq!(frames.last(), Some(&stream(client_bi(0), 0, b"ab", false)));
    assert_eq!(server_uni(0).index(), 0);
}

/// Streams that the peer does not read cannot fill the connection's buffer: half of it is for data
/// that moves.
#[test]
fn streams_without_credit_leave_room_for_others() {
    let mut streams = Streams::new(Side::Server, &limits());
    streams.on_peer_params(&StreamParams {
        max_data: 1 << 20,
        uni: 100,
        streams_uni: 10,
        ..StreamParams::default()
    });
    let ids: Vec<_> = (0..4).map(|_| streams.open(Dir::Uni).unwrap()).collect();
    let [slow, slower, live, late] = ids[..] else {
        panic!("four streams");
    };
    streams.on_max_stream_data(live, 1 << 20).unwrap();
    // Of 3000 bytes in all, 1500 may wait for credit of their streams.
    assert_eq!(streams.write(slow, &[0; 5000]), Ok(1600));
    assert_eq!(
        streams.write(slower, &[0; 5000]),
        Ok(100),
        "what its credit lets go"
    );
    assert_eq!(streams.write(slower, &[0; 1]), Err(WriteFail::Blocked));
    for _ in 0..20 {
        assert_eq!(streams.write(live, &[1; 1000]), Ok(1000));
        deliver_all(&mut streams);
    }
    assert_eq!(streams.write(late, &[0; 5000]), Ok(100));
    assert_eq!(streams.write(late, &[0; 1]), Err(WriteFail::Blocked));
    assert_eq!(changes(&mut streams), [], "none of them can go on");
    streams.on_max_stream_data(late, 300).unwrap();
    deliver_all(&mut streams);
    assert_eq!(changes(&mut streams), [StreamChange::Writable(late)]);
    assert_eq!(streams.write(late, &[0; 5000]), Ok(200));
    // Credit for one makes room for what the others must keep.
    streams.on_max_stream_data(slow, 5000).unwrap();
    deliver_all(&mut streams);
    assert_eq!(streams.write(slower, &[0; 5000]), Ok(1500));
}

#[test]
fn a_higher_order_goes_before_what_a_lower_one_lost() {
    let mut streams = server();
    let [low, high, other] = [(); 3].map(|()| streams.open(Dir::Uni).unwrap());
    streams.set_rank(high, |rank| rank.order = 1);
    streams.set_rank(other, |rank| (rank.group, rank.order) = (1, 2));
    streams.write(low, b"low").unwrap();
    let (_, sent) = packet(&mut streams, 100);
    streams.write(high, b"high").unwrap();
    streams.on_lost(&sent[0]);
    let (bytes, _) = packet(&mut streams, 100);
    let expected = [
        stream(high, 0, b"high", false),
        stream(low, 0, b"low", false),
    ];
    assert_eq!(parse(&bytes), expected);
    // Of another group, what is lost goes first.
    let (_, sent) = {
        streams.write(low, b"low").unwrap();
        packet(&mut streams, 100)
    };
    streams.write(other, b"other").unwrap();
    streams.on_lost(&sent[0]);
    let (bytes, _) = packet(&mut streams, 100);
    let expected = [
        stream(low, 3, b"low", false),
        stream(other, 0, b"other", false),
    ];
    assert_eq!(parse(&bytes), expected);
}

#[test]
fn ranks_change_while_data_waits() {
    let mut streams = server();
    let ids: Vec<_> = (0..3).map(|_| streams.open(Dir::Uni).unwrap()).collect();
    for (order, &id) in ids.iter().enumerate() {
        streams.write(id, &[0; 300]).unwrap();
        streams.set_rank(id, |rank| rank.order = order as i64);
    }
    streams.set_rank(ids[0], |rank| rank.order = 9);
    let mut order = Vec::new();
    while streams.has_data() {
        let (_, sent) = packet(&mut streams, 310);
        order.extend(sent.iter().map(|frame| match frame {
            SentFrame::Stream { id, .. } => *id,
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(order, [ids[0], ids[2], ids[1]]);
}

#[test]
fn a_low_buffer_is_told_once() {
    let mut streams = server();
    let id = streams.open(Dir::Uni).unwrap();
    streams.set_low_water(id, 0);
    assert_eq!(
        changes(&mut streams),
        [StreamChange::BufferLow(id)],
        "it is"
    );
    streams.write(id, &[0; 1000]).unwrap();
    streams.set_low_water(id, 600);
    let (_, first) = packet(&mut streams, 300);
    let (_, second) = packet(&mut streams, 300);
    streams.on_acked(&first[0]);
    assert_eq!(changes(&mut streams), []);
    assert!(streams.buffered_on(id) > 600);
    streams.on_acked(&second[0]);
    assert_eq!(changes(&mut streams), [StreamChange::BufferLow(id)]);
    deliver_all(&mut streams);
    assert_eq!(changes(&mut streams), [], "once");
    // The last of a stream is low, too; a reset is not.
    for reset in [false, true] {
        let id = streams.open(Dir::Uni).unwrap();
        streams.write(id, b"x").unwrap();
        streams.set_low_water(id, 0);
        if reset {
            streams.reset(id, 1).unwrap();
        } else {
            streams.finish(id).unwrap();
        }
        streams.set_low_water(id, 0);
        deliver_all(&mut streams);
        let told = changes(&mut streams).contains(&StreamChange::BufferLow(id));
        assert_eq!(told, !reset);
    }
}

#[test]
fn room_may_be_asked_for_without_a_write() {
    let mut streams = server();
    let id = streams.open(Dir::Uni).unwrap();
    streams.write(id, &[0; 2000]).unwrap();
    streams.want_room(id);
    assert_eq!(changes(&mut streams), []);
    deliver_all(&mut streams);
    assert_eq!(changes(&mut streams), [StreamChange::Writable(id)]);
}
