use super::{super::*, pair::*};
use crate::wire::h3::error_code::*;

#[test]
fn streams_of_the_upper_layer_are_handed_on() {
    let mut pair = Pair::new();
    let opened = [
        (Side::Client, Dir::Uni, &[0x41, 0x54, 8, b'x'][..], 8, 3),
        (Side::Client, Dir::Bi, &[0x41, 0x41, 0x40, 8, b'x'], 8, 4),
        (Side::Server, Dir::Uni, &[0x80, 0, 1, 0x54, 1, b'x'], 1, 5),
        (Side::Server, Dir::Bi, &[0x41, 0x41, 0, b'x'], 0, 3),
    ];
    for (side, dir, bytes, session, header_len) in opened {
        let (sender, receiver) = match side {
            Side::Client => (&mut pair.client, &mut pair.server),
            Side::Server => (&mut pair.server, &mut pair.client),
        };
        assert_eq!(receiver.take(), []);
        let id = sender.quic.open(dir).unwrap();
        sender.quic.write(id, bytes).unwrap();
        pair.run();
        let receiver = match side {
            Side::Client => &mut pair.server,
            Side::Server => &mut pair.client,
        };
        let foreign = Change::Foreign {
            id,
            session,
            header_len,
        };
        assert_eq!(receiver.changes[0], foreign);
        // What is behind the header was not touched.
        assert!(receiver.quic.is_readable(id));
        assert_eq!(
            receiver.quic.read(id, 100),
            Ok(Some(Bytes::from_static(b"x")))
        );
        receiver.take();
    }
}

#[test]
fn a_header_byte_by_byte_then_data() {
    let mut pair = Pair::new();
    let id = pair.client.quic.open(Dir::Uni).unwrap();
    for byte in [0x41, 0x54, 0x40] {
        pair.client.quic.write(id, &[byte]).unwrap();
        pair.run();
        assert_eq!(pair.server.take(), []);
    }
    pair.client.quic.write(id, &[8]).unwrap();
    pair.run();
    let foreign = Change::Foreign {
        id,
        session: 8,
        header_len: 4,
    };
    assert_eq!(pair.server.take(), [foreign]);
    // The transport tells of what comes now, though nobody met `Blocked` but the layer.
    assert!(!pair.server.quic.is_readable(id));
    pair.client.quic.write(id, b"data").unwrap();
    pair.run();
    let readable = Change::Stream(StreamChange::Readable(id));
    assert_eq!(pair.server.take(), [readable]);
}

#[test]
fn a_stop_that_came_before_the_header_is_told() {
    let mut pair = Pair::new();
    let id = pair.client.open_raw(Dir::Bi, &[0x41]);
    pair.client.quic.stop(id, 5);
    pair.run();
    assert_eq!(pair.server.take(), []);
    pair.client.quic.write(id, &[0x41, 4]).unwrap();
    pair.run();
    let changes = pair.server.take();
    assert!(matches!(changes[0], Change::Foreign { session: 4, .. }));
    let stopped = StreamChange::Stopped { id, code: 5 };
    assert_eq!(changes[1], Change::Stream(stopped));
}

#[test]
fn streams_that_end_before_their_header_are_dropped() {
    let mut pair = Pair::new();
    for dir in [Dir::Uni, Dir::Bi] {
        for bytes in [
            &[][..],
            &[0x41],
            &[0x41, 0x54 - 0x13 * (dir == Dir::Bi) as u8],
        ] {
            for reset in [false, true] {
                let id = pair.client.open_raw(dir, bytes);
                if reset {
                    pair.client.quic.reset(id, 7);
                } else {
                    pair.client.quic.finish(id).unwrap();
                }
                pair.run();
                assert_eq!(pair.server.take_own(), []);
                assert!(!pair.server.parts().0.streams.contains_key(&id));
                if dir == Dir::Bi {
                    let reset = pair.client.quic.read(id, 1);
                    assert_eq!(reset, Err(ReadFail::Reset(H3_REQUEST_INCOMPLETE)));
                }
            }
        }
    }
    assert_eq!(pair.server.fault, None);
}

#[test]
fn own_streams_of_the_upper_layer_pass_through() {
    let mut pair = Pair::new();
    let id = pair.server.quic.open(Dir::Bi).unwrap();
    pair.server.quic.write(id, &[0x41, 0x41, 0, 1]).unwrap();
    pair.run();
    pair.client.quic.read(id, 100).unwrap();
    pair.client.quic.write(id, b"back").unwrap();
    pair.client.quic.stop(id, 9);
    pair.run();
    let changes = pair.server.take();
    let readable = Change::Stream(StreamChange::Readable(id));
    let stopped = Change::Stream(StreamChange::Stopped { id, code: 9 });
    assert!(changes.contains(&readable) && changes.contains(&stopped));
}
