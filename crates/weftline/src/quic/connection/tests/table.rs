//! Every frame type in every packet type, to either end: what RFC 9000 forbids is refused with the
//! code it names (table 3, sections 12.4 and 12.5), and the rest is not.

use alloc::{format, vec::Vec};
use core::time::Duration;

use super::{
    craft::packet,
    early,
    pair::{Options, Pair},
};
use crate::{
    error::TransportCode,
    event::ClosedBy,
    quic::recovery::SpaceId,
    wire::{Dir, Side, StreamId, Writer},
};

/// Table 3 as the RFC prints it, with RESET_STREAM_AT, DATAGRAM and those of ACK frequency: frame
/// types, the packets that may have them, and the side that may receive them, if it is one only.
/// Section 12.5 takes RETIRE_CONNECTION_ID out of 0-RTT packets.
const TABLE: [(u64, u64, &str, Option<Side>); 33] = [
    (0x00, 0x01, "IH10", None),
    (0x02, 0x03, "IH1", None),
    (0x04, 0x04, "10", None),
    (0x05, 0x05, "10", None),
    (0x06, 0x06, "IH1", None),
    (0x07, 0x07, "1", Some(Side::Client)),
    (0x08, 0x0f, "10", None),
    (0x10, 0x10, "10", None),
    (0x11, 0x11, "10", None),
    (0x12, 0x12, "10", None),
    (0x13, 0x13, "10", None),
    (0x14, 0x14, "10", None),
    (0x15, 0x15, "10", None),
    (0x16, 0x16, "10", None),
    (0x17, 0x17, "10", None),
    (0x18, 0x18, "10", None),
    (0x19, 0x19, "1", None),
    (0x1a, 0x1a, "10", None),
    (0x1b, 0x1b, "1", None),
    (0x1c, 0x1c, "IH10", None),
    (0x1d, 0x1d, "10", None),
    (0x1e, 0x1e, "1", Some(Side::Client)),
    (0x1f, 0x1f, "1", None),
    (0x20, 0x23, "", None),
    (0x24, 0x24, "10", None),
    (0x25, 0x2f, "", None),
    (0x30, 0x31, "10", None),
    (0x32, 0x3f, "", None),
    (0xae, 0xae, "", None),
    (0xaf, 0xaf, "1", None),
    (0xb0, 0xb0, "", None),
    (0x1337, 0x1337, "", None),
    (0x3fff_ffff_ffff_ffff, 0x3fff_ffff_ffff_ffff, "", None),
];

const PACKETS: [(SpaceId, char); 3] = [
    (SpaceId::Initial, 'I'),
    (SpaceId::Handshake, 'H'),
    (SpaceId::Data, '1'),
];

/// A frame of this type that is in order by itself, as `sender` would send it.
fn frame(frame_type: u64, sender: Side) -> Vec<u8> {
    let stream = StreamId::new(sender, Dir::Bi, 4).as_u64();
    let fields: &[u64] = match frame_type {
        // Packet 0 of each space was sent, whatever was in it.
        0x02 => &[0, 0, 0, 0],
        0x03 => &[0, 0, 0, 0, 0, 0, 0],
        0x04 => &[stream, 1, 0],
        0x05 => &[stream, 1],
        // Empty, far back: no data is lacking.
        0x06 => &[0, 0],
        0x07 => &[1, 7],
        0x08 | 0x09 => &[stream],
        0x0a | 0x0b => &[stream, 0],
        0x0c | 0x0d => &[stream, 0],
        0x0e | 0x0f => &[stream, 0, 0],
        0x10 => &[1 << 20],
        0x11 => &[stream, 1 << 20],
        0x12 | 0x13 => &[200],
        0x14 => &[1],
        0x15 => &[stream, 1],
        0x16 | 0x17 => &[1],
        // In place of all there are.
        0x18 => &[50, 50],
        0x19 => &[1],
        0x1c => &[0, 0, 0],
        0x1d => &[0, 0],
        0x24 => &[stream, 1, 0, 0],
        0x31 => &[0],
        0xaf => &[0, 1, 25_000, 1],
        _ => &[],
    };
    let mut bytes = encoded(frame_type, fields);
    match frame_type {
        0x18 => {
            bytes.push(8);
            bytes.extend([0x77; 8 + 16]);
        }
        0x1a | 0x1b => bytes.extend([9; 8]),
        _ => {}
    }
    bytes
}

fn encoded(frame_type: u64, fields: &[u64]) -> Vec<u8> {
    let mut buf = [0; 100];
    let mut w = Writer::new(&mut buf);
    w.varint(frame_type).unwrap();
    for field in fields {
        w.varint(*field).unwrap();
    }
    w.written().to_vec()
}

/// Two ends that have just the keys for packets of this space.
fn pair(id: SpaceId) -> Pair {
    let mut pair = Pair::new(&Options::default());
    match id {
        SpaceId::Initial => {}
        SpaceId::Handshake => pair.run_until(|pair| {
            let client = &pair.client.conn;
            client.space(SpaceId::Handshake).keys.are_installed()
        }),
        SpaceId::Data => pair.run(),
    }
    pair
}

/// What the end `receiver` does about a packet with this payload: the code it closes with.
fn verdict(id: SpaceId, receiver: Side, payload: &[u8]) -> Option<u64> {
    let mut pair = pair(id);
    // An ACK must be for something: nothing else goes out in Initial packets of a server yet.
    pair.exchange();
    let mut payload = payload.to_vec();
    // Long enough for a sample.
    payload.resize(payload.len().max(4), 0);
    pair.inject(receiver.peer(), id, &payload);
    let closed = pair.end(receiver).closed()?;
    (closed.by == ClosedBy::Fault).then_some(closed.code)
}

/// The same for a server and a 0-RTT packet.
fn early_verdict(payload: &[u8]) -> Option<u64> {
    let options = early::options();
    let (client, _) = early::writing(&options, early::session(&options), b"x");
    let mut pair = Pair::begun_by(&options, client);
    let mut payload = payload.to_vec();
    payload.resize(payload.len().max(4), 0);
    let now = pair.now;
    let forged = packet(&mut pair.client.conn, now, SpaceId::Data, &payload);
    pair.carry(Side::Client, forged);
    pair.run_for(Duration::from_millis(50));
    let closed = pair.server.closed()?;
    (closed.by == ClosedBy::Fault).then_some(closed.code)
}

#[test]
fn frames_in_early_data() {
    for (first, last, packets, _) in TABLE {
        for frame_type in first..=last {
            let expected = match packets {
                "" => Some(TransportCode::FrameEncodingError as u64),
                _ if packets.contains('0') => None,
                _ => Some(TransportCode::ProtocolViolation as u64),
            };
            let payload = frame(frame_type, Side::Client);
            assert_eq!(early_verdict(&payload), expected, "{frame_type:#x}");
        }
    }
}

#[test]
fn frames_in_packets_to_either_end() {
    for (first, last, packets, receiver_only) in TABLE {
        for frame_type in first..=last {
            for (id, letter) in PACKETS {
                for receiver in [Side::Client, Side::Server] {
                    let is_unsent = matches!(frame_type, 0x02 | 0x03)
                        && id == SpaceId::Initial
                        && receiver == Side::Server;
                    let is_known = !packets.is_empty();
                    let is_allowed = packets.contains(letter)
                        && receiver_only.is_none_or(|only| only == receiver);
                    let expected = match (is_known, is_allowed) {
                        (false, _) => Some(TransportCode::FrameEncodingError as u64),
                        // What was never sent cannot be acknowledged.
                        (true, true) if is_unsent => Some(TransportCode::ProtocolViolation as u64),
                        (true, true) => None,
                        (true, false) => Some(TransportCode::ProtocolViolation as u64),
                    };
                    let payload = frame(frame_type, receiver.peer());
                    let what = format!("{frame_type:#x} in {id:?} to the {receiver:?}");
                    assert_eq!(verdict(id, receiver, &payload), expected, "{what}");
                }
            }
        }
    }
}

/// Whether a frame is about the receiving side of its receiver's stream, or the sending side.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum About {
    /// What the receiver of the frame receives on the stream.
    Receiving,
    Sending,
}

#[test]
fn frames_of_streams_that_run_the_other_way() {
    use About::{Receiving, Sending};
    let frames = [
        (0x04, Receiving),
        (0x05, Sending),
        (0x08, Receiving),
        (0x0f, Receiving),
        (0x11, Sending),
        (0x15, Receiving),
        (0x24, Receiving),
    ];
    let state_error = Some(TransportCode::StreamStateError as u64);
    let limit_error = Some(TransportCode::StreamLimitError as u64);
    for (frame_type, about) in frames {
        for receiver in [Side::Client, Side::Server] {
            let on = |opener: Side, dir, index| {
                let id = StreamId::new(opener, dir, index).as_u64();
                let fields: &[u64] = match frame_type {
                    0x04 => &[id, 1, 0],
                    0x0f => &[id, 0, 0],
                    0x05 | 0x11 | 0x15 => &[id, 1],
                    0x24 => &[id, 1, 0, 0],
                    _ => &[id],
                };
                verdict(SpaceId::Data, receiver, &encoded(frame_type, fields))
            };
            let what = format!("{frame_type:#x} to the {receiver:?}");
            let (us, them) = (receiver, receiver.peer());
            // A stream in one direction has one side at each end.
            let theirs = on(them, Dir::Uni, 0);
            let expected = (about == Sending).then_some(()).and(state_error);
            assert_eq!(theirs, expected, "{what}: their stream");
            // Ours, which nobody opened.
            for dir in [Dir::Uni, Dir::Bi] {
                assert_eq!(on(us, dir, 5), state_error, "{what}: our {dir:?}");
            }
            // Past what we allow.
            assert_eq!(on(them, Dir::Bi, 1000), limit_error, "{what}");
            let past = match about {
                Receiving => limit_error,
                Sending => state_error,
            };
            assert_eq!(on(them, Dir::Uni, 1000), past, "{what}");
        }
    }
}

#[test]
fn frames_with_fields_that_cannot_be() {
    const MAX: u64 = (1 << 62) - 1;
    let encoding = TransportCode::FrameEncodingError;
    let violation = TransportCode::ProtocolViolation;
    let rows: [(&str, u64, &[u64], TransportCode); 14] = [
        ("more ranges than numbers", 0x02, &[0, 0, 0, 1], encoding),
        ("ranges cut off", 0x02, &[5, 0, 3, 0], encoding),
        ("never sent", 0x02, &[MAX, 0, 0, 0], violation),
        ("CRYPTO past the end", 0x06, &[MAX, 1, 0], encoding),
        ("an empty token", 0x07, &[0], encoding),
        ("data past the end", 0x0e, &[0, MAX, 1, 0], encoding),
        ("streams past 2^60", 0x12, &[(1 << 60) + 1], encoding),
        ("streams past 2^60", 0x13, &[(1 << 60) + 1], encoding),
        ("blocked past 2^60", 0x16, &[(1 << 60) + 1], encoding),
        ("blocked past 2^60", 0x17, &[(1 << 60) + 1], encoding),
        ("retires what comes later", 0x18, &[1, 2], encoding),
        ("an ID never given", 0x19, &[1000], violation),
        ("a reason cut off", 0x1c, &[0, 0, 5], encoding),
        ("a datagram cut off", 0x31, &[5], encoding),
    ];
    for (what, frame_type, fields, code) in rows {
        for receiver in [Side::Client, Side::Server] {
            if frame_type == 0x07 && receiver == Side::Server {
                continue;
            }
            let mut fields = fields.to_vec();
            if frame_type == 0x0e {
                fields[0] = StreamId::new(receiver.peer(), Dir::Bi, 0).as_u64();
            }
            let mut payload = encoded(frame_type, &fields);
            if frame_type == 0x18 {
                payload.push(8);
                payload.extend([0x77; 8 + 16]);
            }
            let expected = Some(code as u64);
            let found = verdict(SpaceId::Data, receiver, &payload);
            assert_eq!(found, expected, "{what} to the {receiver:?}");
        }
    }
    // Connection IDs of no length, and of too much.
    for len in [0, 21] {
        let mut payload = encoded(0x18, &[50, 50]);
        payload.push(len);
        payload.extend([0x77; 40]);
        for receiver in [Side::Client, Side::Server] {
            let found = verdict(SpaceId::Data, receiver, &payload);
            assert_eq!(found, Some(encoding as u64), "{len}");
        }
    }
    // A type in more bytes than it needs.
    let found = verdict(SpaceId::Data, Side::Server, &[0x40, 0x01]);
    assert_eq!(found, Some(violation as u64));
}
