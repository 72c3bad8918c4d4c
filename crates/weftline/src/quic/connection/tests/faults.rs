//! What a peer must not do, and the exact answer.

use alloc::{format, vec, vec::Vec};

use super::{
    craft::{edited_packet, frames},
    pair::{Options, Pair},
};
use crate::{
    error::TransportCode::{self, *},
    quic::recovery::SpaceId,
    wire::{
        Cid, Dir, ResetToken, Side, StreamId,
        frame::{
            AckFrequency, ConnectionClose, Crypto, DataBlocked, Datagram, Frame, MaxData,
            MaxStreamData, MaxStreams, NewConnectionId, NewToken, PathChallenge, PathResponse,
            ResetStream, ResetStreamAt, RetireConnectionId, StopSending, Stream, StreamDataBlocked,
            StreamsBlocked,
        },
        packet::PacketType,
        varint,
    },
};

const CLIENT_BI: StreamId = StreamId::new(Side::Client, Dir::Bi, 0);
const CLIENT_UNI: StreamId = StreamId::new(Side::Client, Dir::Uni, 0);
const SERVER_BI: StreamId = StreamId::new(Side::Server, Dir::Bi, 0);
const SERVER_UNI: StreamId = StreamId::new(Side::Server, Dir::Uni, 0);
const FAR_BI: StreamId = StreamId::new(Side::Client, Dir::Bi, 1_000_000);

fn new_cid(sequence: u64, retire_prior_to: u64, byte: u8) -> Frame<'static> {
    Frame::NewConnectionId(NewConnectionId {
        sequence,
        retire_prior_to,
        cid: Cid::new(&[byte; 8]).unwrap(),
        reset_token: ResetToken([byte; 16]),
    })
}

fn stream(id: StreamId, offset: u64, data: &[u8], fin: bool) -> Frame<'_> {
    Frame::Stream(Stream {
        id,
        offset,
        fin,
        data,
    })
}

fn reset(id: StreamId, final_size: u64) -> Frame<'static> {
    Frame::ResetStream(ResetStream {
        id,
        code: 0,
        final_size,
    })
}

/// What a client sends in a 1-RTT packet, and what the server makes of it.
fn client_faults() -> Vec<(&'static str, Vec<u8>, TransportCode)> {
    let ack = |numbers: &[u64]| {
        let mut bytes = vec![];
        for &n in numbers {
            let at = bytes.len();
            bytes.resize(at + varint::len(n), 0);
            varint::encode(n, &mut bytes[at..]);
        }
        bytes
    };
    vec![
        ("no frames", vec![], ProtocolViolation),
        ("unknown frame", vec![0x20], FrameEncodingError),
        ("unknown frame, long", vec![0x40, 0x20], ProtocolViolation),
        (
            "delay of acknowledgements too long",
            ack(&[0xaf, 0, 1, 16_384_000, 1]),
            ProtocolViolation,
        ),
        (
            "delay of acknowledgements too short",
            ack(&[0xaf, 0, 1, 999, 1]),
            ProtocolViolation,
        ),
        (
            "half an ACK_FREQUENCY",
            ack(&[0xaf, 0, 1]),
            FrameEncodingError,
        ),
        ("PING in two bytes", vec![0x40, 0x01], ProtocolViolation),
        (
            "PADDING in eight bytes",
            vec![0xc0, 0, 0, 0, 0, 0, 0, 0],
            ProtocolViolation,
        ),
        ("a frame cut short", vec![0x10], FrameEncodingError),
        (
            "NEW_TOKEN",
            frames(&[Frame::NewToken(NewToken { token: b"t" })]),
            ProtocolViolation,
        ),
        (
            "HANDSHAKE_DONE",
            frames(&[Frame::HandshakeDone]),
            ProtocolViolation,
        ),
        (
            "unsent acknowledged",
            ack(&[2, 1000, 0, 0, 0]),
            ProtocolViolation,
        ),
        (
            "acknowledged below zero",
            ack(&[2, 0, 0, 0, 1]),
            FrameEncodingError,
        ),
        (
            "a range of everything",
            ack(&[2, 1, 0, 0, varint::MAX]),
            FrameEncodingError,
        ),
        (
            "stream flow control",
            frames(&[stream(CLIENT_BI, 100_000_000, b"x", true)]),
            FlowControlError,
        ),
        (
            "stream past the end",
            {
                let mut bytes = vec![0x0e, 0];
                bytes.extend([0xff; 8]);
                bytes.extend([1, 0]);
                bytes
            },
            FrameEncodingError,
        ),
        (
            "too many streams",
            frames(&[stream(FAR_BI, 0, b"x", false)]),
            StreamLimitError,
        ),
        (
            "too many, by RESET_STREAM",
            frames(&[reset(FAR_BI, 0)]),
            StreamLimitError,
        ),
        (
            "too many, by STOP_SENDING",
            frames(&[Frame::StopSending(StopSending {
                id: FAR_BI,
                code: 0,
            })]),
            StreamLimitError,
        ),
        (
            "too many, by MAX_STREAM_DATA",
            frames(&[Frame::MaxStreamData(MaxStreamData {
                id: FAR_BI,
                maximum: 1,
            })]),
            StreamLimitError,
        ),
        (
            "too many, by STREAM_DATA_BLOCKED",
            frames(&[Frame::StreamDataBlocked(StreamDataBlocked {
                id: FAR_BI,
                limit: 1,
            })]),
            StreamLimitError,
        ),
        (
            "data on a stream of ours",
            frames(&[stream(SERVER_BI, 0, b"x", false)]),
            StreamStateError,
        ),
        (
            "data the wrong way",
            frames(&[stream(SERVER_UNI, 0, b"x", false)]),
            StreamStateError,
        ),
        (
            "RESET_STREAM the wrong way",
            frames(&[reset(SERVER_UNI, 0)]),
            StreamStateError,
        ),
        (
            "STOP_SENDING of none",
            frames(&[Frame::StopSending(StopSending {
                id: SERVER_BI,
                code: 0,
            })]),
            StreamStateError,
        ),
        (
            "STOP_SENDING the wrong way",
            frames(&[Frame::StopSending(StopSending {
                id: CLIENT_UNI,
                code: 0,
            })]),
            StreamStateError,
        ),
        (
            "MAX_STREAM_DATA of none",
            frames(&[Frame::MaxStreamData(MaxStreamData {
                id: SERVER_BI,
                maximum: 1,
            })]),
            StreamStateError,
        ),
        (
            "MAX_STREAM_DATA the wrong way",
            frames(&[Frame::MaxStreamData(MaxStreamData {
                id: CLIENT_UNI,
                maximum: 1,
            })]),
            StreamStateError,
        ),
        (
            "final size moved",
            frames(&[
                stream(CLIENT_BI, 0, b"abc", true),
                stream(CLIENT_BI, 0, b"abcd", false),
            ]),
            FinalSizeError,
        ),
        (
            "reset below what came",
            frames(&[stream(CLIENT_BI, 0, b"abc", false), reset(CLIENT_BI, 2)]),
            FinalSizeError,
        ),
        (
            "MAX_STREAMS past 2^60",
            {
                let mut bytes = vec![0x12];
                bytes.extend((0xc000_0000_0000_0000 | ((1_u64 << 60) + 1)).to_be_bytes());
                bytes
            },
            FrameEncodingError,
        ),
        (
            "retire prior to its own",
            vec![
                0x18, 1, 11, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                13, 14, 15,
            ],
            FrameEncodingError,
        ),
        (
            "an empty connection ID",
            vec![
                0x18, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
            ],
            FrameEncodingError,
        ),
        (
            "too many connection IDs",
            frames(&[new_cid(4, 0, 4), new_cid(5, 0, 5)]),
            ConnectionIdLimitError,
        ),
        (
            "a connection ID twice",
            frames(&[new_cid(3, 0, 9)]),
            ProtocolViolation,
        ),
        (
            "retired what was not issued",
            frames(&[Frame::RetireConnectionId(RetireConnectionId {
                sequence: 9,
            })]),
            ProtocolViolation,
        ),
        (
            "retired itself",
            frames(&[Frame::RetireConnectionId(RetireConnectionId {
                sequence: 0,
            })]),
            ProtocolViolation,
        ),
        (
            "CRYPTO far ahead",
            frames(&[Frame::Crypto(Crypto {
                offset: 100_000,
                data: b"x",
            })]),
            CryptoBufferExceeded,
        ),
    ]
}

#[test]
fn a_client_at_fault() {
    for (what, payload, code) in client_faults() {
        let mut pair = Pair::connected(&Options::default());
        pair.inject(Side::Client, SpaceId::Data, &payload);
        pair.assert_fault(Side::Server, code, what);
    }
}

#[test]
fn a_server_at_fault() {
    let cases = [
        ("empty NEW_TOKEN", vec![0x07, 0], FrameEncodingError),
        (
            "data the wrong way",
            frames(&[stream(CLIENT_UNI, 0, b"x", false)]),
            StreamStateError,
        ),
        (
            "data on a stream that is not open",
            frames(&[stream(CLIENT_BI, 0, b"x", false)]),
            StreamStateError,
        ),
        (
            "too many streams",
            frames(&[stream(
                StreamId::new(Side::Server, Dir::Uni, 103),
                0,
                b"",
                false,
            )]),
            StreamLimitError,
        ),
    ];
    for (what, payload, code) in cases {
        let mut pair = Pair::connected(&Options::default());
        pair.inject(Side::Server, SpaceId::Data, &payload);
        pair.assert_fault(Side::Client, code, what);
    }
}

#[test]
fn a_token_from_the_server_is_fine() {
    let mut pair = Pair::connected(&Options::default());
    let payload = frames(&[
        Frame::NewToken(NewToken { token: b"t" }),
        Frame::HandshakeDone,
    ]);
    pair.inject(Side::Server, SpaceId::Data, &payload);
    assert!(pair.client.conn.is_established());
}

/// One of each kind of frame.
fn every_frame() -> [Frame<'static>; 22] {
    [
        Frame::Padding(1),
        Frame::Ping,
        Frame::ImmediateAck,
        Frame::AckFrequency(AckFrequency {
            sequence: 0,
            ack_eliciting_threshold: 1,
            max_ack_delay_us: 25_000,
            reordering_threshold: 1,
        }),
        Frame::ResetStream(ResetStream {
            id: CLIENT_BI,
            code: 0,
            final_size: 0,
        }),
        Frame::ResetStreamAt(ResetStreamAt {
            id: CLIENT_BI,
            code: 0,
            final_size: 0,
            reliable_size: 0,
        }),
        Frame::StopSending(StopSending {
            id: CLIENT_BI,
            code: 0,
        }),
        Frame::Crypto(Crypto {
            offset: 0,
            data: b"",
        }),
        Frame::NewToken(NewToken { token: b"t" }),
        stream(CLIENT_BI, 0, b"", false),
        Frame::MaxData(MaxData { maximum: 0 }),
        Frame::MaxStreamData(MaxStreamData {
            id: CLIENT_BI,
            maximum: 0,
        }),
        Frame::MaxStreams(MaxStreams {
            dir: Dir::Bi,
            maximum: 0,
        }),
        Frame::DataBlocked(DataBlocked { limit: 0 }),
        Frame::StreamsBlocked(StreamsBlocked {
            dir: Dir::Bi,
            limit: 0,
        }),
        new_cid(4, 1, 4),
        Frame::RetireConnectionId(RetireConnectionId { sequence: 0 }),
        Frame::PathChallenge(PathChallenge { data: [0; 8] }),
        Frame::PathResponse(PathResponse { data: [0; 8] }),
        Frame::ConnectionClose(ConnectionClose::Application {
            code: 0,
            reason: b"",
        }),
        Frame::HandshakeDone,
        Frame::Datagram(Datagram { data: b"" }),
    ]
}

#[test]
fn frames_in_handshake_packets() {
    let allowed = [0x00, 0x01, 0x06];
    for frame in every_frame() {
        for id in [SpaceId::Initial, SpaceId::Handshake] {
            let mut pair = Pair::new(&Options::default());
            // The client has Handshake keys and has not used them; the server has both.
            pair.run_until(|pair| {
                pair.client
                    .conn
                    .space(SpaceId::Handshake)
                    .keys
                    .are_installed()
            });
            let mut payload = frames(&[frame]);
            payload.extend([0; 4]);
            pair.inject(Side::Client, id, &payload);
            let what = format!("{frame:?} in {id:?}");
            if allowed.contains(&frame.frame_type()) {
                assert!(pair.server.closed().is_none(), "{what}");
                pair.run();
                assert!(pair.server.conn.is_established(), "{what}");
            } else {
                pair.assert_fault(Side::Server, ProtocolViolation, &what);
            }
        }
    }
}

#[test]
fn reserved_bits() {
    for (id, bit) in [(SpaceId::Data, 0x08), (SpaceId::Data, 0x10)] {
        let mut pair = Pair::connected(&Options::default());
        let now = pair.now;
        let set = |header: &mut [u8]| header[0] |= bit;
        let packet = edited_packet(&mut pair.client.conn, now, id, &[1, 0, 0, 0], set);
        // Damaged, it is nobody's fault.
        let mut damaged = packet.clone();
        *damaged.last_mut().unwrap() ^= 1;
        pair.deliver(Side::Client, damaged);
        assert!(pair.server.conn.is_established());
        pair.deliver(Side::Client, packet);
        pair.assert_fault(Side::Server, ProtocolViolation, "reserved bits");
    }
}

#[test]
fn reserved_bits_of_long_headers() {
    for bit in [0x04, 0x08] {
        let mut pair = Pair::new(&Options::default());
        pair.run_until(|pair| {
            pair.client
                .conn
                .space(SpaceId::Handshake)
                .keys
                .are_installed()
        });
        let now = pair.now;
        let set = |header: &mut [u8]| header[0] |= bit;
        let id = SpaceId::Handshake;
        let packet = edited_packet(&mut pair.client.conn, now, id, &[1, 0, 0, 0], set);
        pair.deliver(Side::Client, packet);
        pair.assert_fault(Side::Server, ProtocolViolation, "reserved bits");
    }
}

#[test]
fn the_fixed_bit() {
    let mut pair = Pair::connected(&Options::default());
    let now = pair.now;
    let clear = |header: &mut [u8]| header[0] &= !0x40;
    let mut packet = edited_packet(&mut pair.client.conn, now, SpaceId::Data, &[0x20; 4], clear);
    assert_eq!(packet[0] & 0x40, 0);
    pair.deliver(Side::Client, packet.clone());
    // Not even noticed. With the bit it would be.
    assert!(pair.server.conn.is_established());
    packet[0] |= 0x40;
    pair.deliver(Side::Client, packet);
    assert!(pair.server.conn.is_established(), "the seal covers the bit");
}

#[test]
fn handshake_data_on_an_old_level() {
    // New data on the Initial level when the Handshake level is in use.
    let mut pair = Pair::new(&Options::default());
    pair.run_until(|pair| {
        pair.client
            .conn
            .space(SpaceId::Handshake)
            .keys
            .are_installed()
    });
    let payload = frames(&[Frame::Crypto(Crypto {
        offset: 50_000,
        data: b"more",
    })]);
    pair.inject(Side::Client, SpaceId::Initial, &payload);
    pair.assert_fault(Side::Server, ProtocolViolation, "late Initial data");
}

#[test]
fn datagrams_that_were_not_invited() {
    let mut options = Options::default();
    options.server.datagrams = false;
    let mut pair = Pair::connected(&options);
    assert_eq!(pair.client.conn.max_datagram_len(), None);
    pair.inject(
        Side::Client,
        SpaceId::Data,
        &frames(&[Frame::Datagram(Datagram { data: b"x" })]),
    );
    pair.assert_fault(Side::Server, ProtocolViolation, "DATAGRAM");
}

#[test]
fn the_frame_types_allowed_are_those_of_the_table() {
    // The crafted packets above are of the types that the wire's table speaks of.
    for frame in every_frame() {
        let in_initial = frame.is_allowed_in(PacketType::Initial);
        assert_eq!(in_initial, frame.is_allowed_in(PacketType::Handshake));
    }
}
