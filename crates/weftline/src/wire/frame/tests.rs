//! All frames: known bytes, every error, and whatever a peer may send.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::wire::packet::tests::hex;
use crate::wire::{Cid, ResetToken, StreamId};

const ID: StreamId = StreamId::from_u64(4);

/// One frame of every type, and its bytes.
fn examples() -> Vec<(Frame<'static>, Vec<u8>)> {
    let token = [0x5a; 16];
    let mut new_connection_id = std::vec![0x18, 3, 2, 4, 9, 8, 7, 6];
    new_connection_id.extend(token);
    let stream = |offset, fin| {
        Frame::Stream(Stream {
            id: ID,
            offset,
            fin,
            data: b"hi",
        })
    };
    let id = ID;
    std::vec![
        (Frame::Padding(3), std::vec![0, 0, 0]),
        (Frame::Ping, std::vec![1]),
        (Frame::ImmediateAck, std::vec![0x1f]),
        (
            Frame::AckFrequency(AckFrequency {
                sequence: 2,
                ack_eliciting_threshold: 9,
                max_ack_delay_us: 25_000,
                reordering_threshold: 3,
            }),
            std::vec![0x40, 0xaf, 2, 9, 0x80, 0, 0x61, 0xa8, 3],
        ),
        (
            Frame::ResetStream(ResetStream {
                id,
                code: 64,
                final_size: 5
            }),
            std::vec![4, 4, 0x40, 64, 5],
        ),
        (
            Frame::ResetStreamAt(ResetStreamAt {
                id,
                code: 64,
                final_size: 5,
                reliable_size: 5,
            }),
            std::vec![0x24, 4, 0x40, 64, 5, 5],
        ),
        (
            Frame::StopSending(StopSending { id, code: 6 }),
            std::vec![5, 4, 6]
        ),
        (
            Frame::Crypto(Crypto {
                offset: 1,
                data: b"tls"
            }),
            b"\x06\x01\x03tls".to_vec(),
        ),
        (
            Frame::NewToken(NewToken { token: b"tok" }),
            b"\x07\x03tok".to_vec()
        ),
        (stream(0, false), b"\x0a\x04\x02hi".to_vec()),
        (stream(0, true), b"\x0b\x04\x02hi".to_vec()),
        (stream(7, false), b"\x0e\x04\x07\x02hi".to_vec()),
        (stream(7, true), b"\x0f\x04\x07\x02hi".to_vec()),
        (Frame::MaxData(MaxData { maximum: 9 }), std::vec![0x10, 9]),
        (
            Frame::MaxStreamData(MaxStreamData { id, maximum: 9 }),
            std::vec![0x11, 4, 9]
        ),
        (
            Frame::MaxStreams(MaxStreams {
                dir: Dir::Bi,
                maximum: 9
            }),
            std::vec![0x12, 9],
        ),
        (
            Frame::MaxStreams(MaxStreams {
                dir: Dir::Uni,
                maximum: MAX_STREAM_COUNT
            }),
            std::vec![0x13, 0xd0, 0, 0, 0, 0, 0, 0, 0],
        ),
        (
            Frame::DataBlocked(DataBlocked { limit: 9 }),
            std::vec![0x14, 9]
        ),
        (
            Frame::StreamDataBlocked(StreamDataBlocked { id, limit: 9 }),
            std::vec![0x15, 4, 9],
        ),
        (
            Frame::StreamsBlocked(StreamsBlocked {
                dir: Dir::Bi,
                limit: MAX_STREAM_COUNT
            }),
            std::vec![0x16, 0xd0, 0, 0, 0, 0, 0, 0, 0],
        ),
        (
            Frame::StreamsBlocked(StreamsBlocked {
                dir: Dir::Uni,
                limit: 9
            }),
            std::vec![0x17, 9],
        ),
        (
            Frame::NewConnectionId(NewConnectionId {
                sequence: 3,
                retire_prior_to: 2,
                cid: Cid::new(&[9, 8, 7, 6]).unwrap(),
                reset_token: ResetToken(token),
            }),
            new_connection_id,
        ),
        (
            Frame::RetireConnectionId(RetireConnectionId { sequence: 3 }),
            std::vec![0x19, 3],
        ),
        (
            Frame::PathChallenge(PathChallenge { data: [7; 8] }),
            std::vec![0x1a, 7, 7, 7, 7, 7, 7, 7, 7],
        ),
        (
            Frame::PathResponse(PathResponse { data: [7; 8] }),
            std::vec![0x1b, 7, 7, 7, 7, 7, 7, 7, 7],
        ),
        (
            Frame::ConnectionClose(ConnectionClose::Transport {
                code: 0x0a,
                frame_type: 0x1a,
                reason: b"no",
            }),
            b"\x1c\x0a\x1a\x02no".to_vec(),
        ),
        (
            Frame::ConnectionClose(ConnectionClose::Application {
                code: 0x100,
                reason: b"",
            }),
            std::vec![0x1d, 0x41, 0, 0],
        ),
        (Frame::HandshakeDone, std::vec![0x1e]),
        (
            Frame::Datagram(Datagram { data: b"dg" }),
            b"\x31\x02dg".to_vec()
        ),
    ]
}

/// ACK frames, without and with ECN counts.
const ACKS: [&[u8]; 2] = [
    &[2, 20, 3, 2, 2, 0, 0, 2, 12],
    &[3, 20, 3, 1, 2, 0, 0, 1, 2, 0x40, 99],
];

fn parse(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    Frame::parse(&mut Reader::new(bytes))
}

fn encode(frame: &Frame<'_>) -> Vec<u8> {
    let len = frame.encoded_len();
    let mut buf = std::vec![0xee; len + 1];
    for room in 0..len {
        let mut w = Writer::new(&mut buf[..room]);
        assert_eq!(frame.encode(&mut w), Err(NoRoom), "{frame:?}");
        assert_eq!(w.position(), 0);
    }
    let mut w = Writer::new(&mut buf);
    frame.encode(&mut w).unwrap();
    assert_eq!(w.position(), len, "{frame:?}");
    w.written().to_vec()
}

#[test]
fn every_type_both_ways() {
    for (frame, bytes) in examples() {
        assert_eq!(encode(&frame), bytes);
        assert_eq!(parse(&bytes), Ok(frame));
        let (frame_type, _) = varint::decode(&bytes).unwrap();
        assert_eq!(frame.frame_type(), frame_type);
    }
    for bytes in ACKS {
        let frame = parse(bytes).unwrap();
        assert_eq!(encode(&frame), bytes);
        assert_eq!(frame.frame_type(), u64::from(bytes[0]));
    }
    let Ok(Frame::Ack(ack)) = parse(ACKS[1]) else {
        panic!("not an ACK");
    };
    let ecn = EcnCounts {
        ect0: 1,
        ect1: 2,
        ce: 99,
    };
    assert_eq!((ack.largest, ack.delay, ack.ecn), (20, 3, Some(ecn)));
}

#[test]
fn truncated_at_every_length() {
    let examples = examples()
        .into_iter()
        .map(|(_, bytes)| bytes)
        .filter(|bytes| bytes[0] != 0)
        .chain(ACKS.map(<[u8]>::to_vec));
    for bytes in examples {
        for end in 0..bytes.len() {
            let mut r = Reader::new(&bytes[..end]);
            let error = FrameError {
                frame_type: varint::decode(&bytes[..end]).map_or(0, |(id, _)| id),
                kind: FrameErrorKind::Truncated,
            };
            assert_eq!(Frame::parse(&mut r), Err(error));
            assert_eq!(r.remaining(), end, "an error took bytes");
        }
    }
}

#[test]
fn data_to_the_end_of_the_packet() {
    let mut r = Reader::new(b"\x01\x0d\x04\x07rest");
    assert_eq!(Frame::parse(&mut r), Ok(Frame::Ping));
    let stream = Stream {
        id: ID,
        offset: 7,
        fin: true,
        data: b"rest",
    };
    assert_eq!(Frame::parse(&mut r), Ok(Frame::Stream(stream)));
    assert!(r.is_empty());

    let frame = parse(b"\x30rest");
    assert_eq!(frame, Ok(Frame::Datagram(Datagram { data: b"rest" })));
    assert_eq!(parse(&[0x30]), Ok(Frame::Datagram(Datagram { data: &[] })));
    // Nothing but a FIN.
    let fin = Stream {
        id: ID,
        offset: 0,
        fin: true,
        data: &[],
    };
    assert_eq!(parse(&[0x09, 4]), Ok(Frame::Stream(fin)));
}

/// The payload of the server's Initial in RFC 9001, appendix A.3.
#[test]
fn rfc9001_server_initial() {
    let payload = hex(concat!(
        "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a",
        "045a1200130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bc",
        "f32bb9da1a002b00020304",
    ));
    let mut r = Reader::new(&payload);
    let Ok(Frame::Ack(ack)) = Frame::parse(&mut r) else {
        panic!("not an ACK");
    };
    assert_eq!(ack.ranges().collect::<Vec<_>>(), [0..=0]);
    let Ok(Frame::Crypto(crypto)) = Frame::parse(&mut r) else {
        panic!("not CRYPTO");
    };
    assert_eq!((crypto.offset, crypto.data.len()), (0, 90));
    assert!(r.is_empty());
}

#[test]
fn padding_ends_at_the_next_frame() {
    let mut r = Reader::new(&[0, 0, 0, 0, 1, 0]);
    assert_eq!(Frame::parse(&mut r), Ok(Frame::Padding(4)));
    assert_eq!(Frame::parse(&mut r), Ok(Frame::Ping));
    assert_eq!(Frame::parse(&mut r), Ok(Frame::Padding(1)));
    assert!(r.is_empty());
}

#[test]
fn errors() {
    let largest = [0xff; 8];
    let mut crypto = std::vec![0x06];
    crypto.extend(largest);
    let mut stream = std::vec![0x0e, 4];
    stream.extend(largest);
    // Up to 2^62 - 1 there may be no byte.
    for edge in [&crypto, &stream] {
        let mut fits = edge.clone();
        fits.push(0);
        assert!(parse(&fits).is_ok());
    }
    crypto.extend([1, 0xaa]);
    stream.extend([1, 0xaa]);
    let too_many = |frame_type| std::vec![frame_type, 0xd0, 0, 0, 0, 0, 0, 0, 1];
    let cid = |len: u8| {
        let mut bytes = std::vec![0x18, 3, 2, len];
        bytes.extend(std::vec![1; usize::from(len) + 16]);
        bytes
    };
    assert!(parse(&cid(1)).is_ok() && parse(&cid(20)).is_ok());
    let mut newer = cid(4);
    newer[2] = 4;

    for (bytes, kind) in [
        (std::vec![2, 5, 0, 0, 6], FrameErrorKind::AckBelowZero),
        (crypto, FrameErrorKind::OffsetTooLarge),
        (stream, FrameErrorKind::OffsetTooLarge),
        (std::vec![7, 0], FrameErrorKind::EmptyToken),
        (too_many(0x12), FrameErrorKind::TooManyStreams),
        (too_many(0x13), FrameErrorKind::TooManyStreams),
        (too_many(0x16), FrameErrorKind::TooManyStreams),
        (too_many(0x17), FrameErrorKind::TooManyStreams),
        (cid(0), FrameErrorKind::CidLength),
        (cid(21), FrameErrorKind::CidLength),
        (cid(255), FrameErrorKind::CidLength),
        (newer, FrameErrorKind::RetirePriorTo),
        (std::vec![0x20], FrameErrorKind::UnknownType),
        (std::vec![0x24, 4, 0, 1, 2], FrameErrorKind::ReliableSize),
        (std::vec![0x25, 4, 0, 0, 0], FrameErrorKind::UnknownType),
    ] {
        let frame_type = u64::from(bytes[0]);
        let error = parse(&bytes).unwrap_err();
        assert_eq!(error, FrameError { frame_type, kind });
        assert!(!error.is_protocol_violation());
    }
    let unknown = parse(&[0x40, 0xb0, 0, 0]).unwrap_err();
    assert_eq!(unknown.frame_type, 0xb0);
    assert_eq!(unknown.kind, FrameErrorKind::UnknownType);
}

#[test]
fn types_must_be_shortest() {
    for frame_type in (0..0x40_u64).chain([0x4000, 0x4000_0000]) {
        for len in [2, 4, 8] {
            if len <= varint::len(frame_type) {
                continue;
            }
            let mut bytes = [0; 40];
            varint::encode(frame_type, &mut bytes[..len]);
            let error = parse(&bytes).unwrap_err();
            assert_eq!(error.frame_type, frame_type);
            assert_eq!(error.kind, FrameErrorKind::NonMinimalType);
            assert!(error.is_protocol_violation());
        }
    }
}

#[test]
fn headers_without_length() {
    let mut buf = [0; 16];
    let mut w = Writer::new(&mut buf);
    let header = StreamHeader {
        id: ID,
        offset: 300,
        fin: false,
        len: None,
    };
    header.encode(&mut w).unwrap();
    assert_eq!(w.written(), [0x0c, 4, 0x41, 0x2c]);
    assert_eq!(header.encoded_len(), 4);

    let mut w = Writer::new(&mut buf);
    let header = DatagramHeader { len: None };
    header.encode(&mut w).unwrap();
    assert_eq!(w.written(), [0x30]);
    assert_eq!(header.encoded_len(), 1);
}

#[test]
fn data_that_fits_is_the_most() {
    assert_eq!(data_that_fits(0), None);
    for room in (1..200).chain(16_300..16_500) {
        let data = data_that_fits(room).unwrap();
        let len = |data: usize| data + varint::len(data as u64);
        assert!(len(data) <= room && len(data + 1) > room, "{room}");
    }
}

fn any_varint() -> impl Strategy<Value = u64> {
    prop_oneof![0..64_u64, 0..0x4000_u64, 0..=varint::MAX]
}

/// What random frames are made of.
#[derive(Clone, Debug)]
struct Parts {
    kind: usize,
    numbers: [u64; 3],
    flag: bool,
    data: Vec<u8>,
    array: [u8; 16],
}

fn any_parts() -> impl Strategy<Value = Parts> {
    let numbers = [any_varint(), any_varint(), any_varint()];
    let data = proptest::collection::vec(any::<u8>(), 1..70);
    (0..20_usize, numbers, any::<bool>(), data, any::<[u8; 16]>()).prop_map(
        |(kind, numbers, flag, data, array)| Parts {
            kind,
            numbers,
            flag,
            data,
            array,
        },
    )
}

impl Parts {
    fn frame(&self) -> Frame<'_> {
        let [a, b, c] = self.numbers;
        let id = StreamId::from_u64(a);
        let data = &self.data[..];
        let reason = data;
        let offset = b.min(varint::MAX - data.len() as u64);
        let fin = self.flag;
        let dir = if self.flag { Dir::Bi } else { Dir::Uni };
        let count = a.min(MAX_STREAM_COUNT);
        let path = *self.array.first_chunk().unwrap();
        match self.kind {
            0 => Frame::Padding(data.len()),
            1 => Frame::Ping,
            2 => Frame::ResetStream(ResetStream {
                id,
                code: b,
                final_size: c,
            }),
            3 => Frame::StopSending(StopSending { id, code: b }),
            4 => Frame::Crypto(Crypto { offset, data }),
            5 => Frame::NewToken(NewToken { token: data }),
            6 => Frame::Stream(Stream {
                id,
                offset,
                fin,
                data,
            }),
            7 => Frame::MaxData(MaxData { maximum: a }),
            8 => Frame::MaxStreamData(MaxStreamData { id, maximum: b }),
            9 => Frame::MaxStreams(MaxStreams {
                dir,
                maximum: count,
            }),
            10 => Frame::DataBlocked(DataBlocked { limit: a }),
            11 => Frame::StreamDataBlocked(StreamDataBlocked { id, limit: b }),
            12 => Frame::StreamsBlocked(StreamsBlocked { dir, limit: count }),
            13 => Frame::NewConnectionId(NewConnectionId {
                sequence: a.max(b),
                retire_prior_to: a.min(b),
                cid: Cid::new(&data[..data.len().min(20)]).unwrap(),
                reset_token: ResetToken(self.array),
            }),
            14 => Frame::RetireConnectionId(RetireConnectionId { sequence: a }),
            15 => Frame::PathChallenge(PathChallenge { data: path }),
            16 => Frame::PathResponse(PathResponse { data: path }),
            17 if self.flag => Frame::ConnectionClose(ConnectionClose::Transport {
                code: a,
                frame_type: b,
                reason,
            }),
            17 => Frame::ConnectionClose(ConnectionClose::Application { code: a, reason }),
            18 => Frame::HandshakeDone,
            _ => Frame::Datagram(Datagram { data }),
        }
    }
}

proptest! {
    #[test]
    fn round_trip(parts in any_parts()) {
        let frame = parts.frame();
        let bytes = encode(&frame);
        let mut r = Reader::new(&bytes);
        prop_assert_eq!(Frame::parse(&mut r), Ok(frame));
        prop_assert!(r.is_empty());
    }

    #[test]
    fn sequences_round_trip(all in proptest::collection::vec(any_parts(), 0..8)) {
        let mut frames: Vec<_> = all.iter().map(Parts::frame).collect();
        // Neighbouring runs of PADDING would be read as one.
        frames.dedup_by_key(|frame| frame.frame_type());
        let bytes: Vec<u8> = frames.iter().flat_map(encode).collect();
        let mut r = Reader::new(&bytes);
        for frame in frames {
            prop_assert_eq!(Frame::parse(&mut r), Ok(frame));
        }
        prop_assert!(r.is_empty());
    }

    #[test]
    fn ack_round_trip(
        steps in proptest::collection::vec((0..1_u64 << 20, 0..1_u64 << 20), 1..100),
        first: bool,
        delay in any_varint(),
        ecn in proptest::option::of([any_varint(), any_varint(), any_varint()]),
        room in 0..700_usize,
    ) {
        let mut ranges = Vec::new();
        let mut next = u64::from(first);
        for (gap, len) in steps {
            ranges.push(next + gap..=next + gap + len);
            next += gap + len + 2;
        }
        ranges.reverse();
        let ecn = ecn.map(|[ect0, ect1, ce]| EcnCounts { ect0, ect1, ce });

        let mut buf = std::vec![0; room];
        let mut w = Writer::new(&mut buf);
        let Ok(count) = encode_ack(ranges.iter().cloned(), delay, ecn, &mut w) else {
            prop_assert_eq!(w.position(), 0);
            prop_assert!(room < 48);
            return Ok(());
        };
        let mut r = Reader::new(w.written());
        let frame = Frame::parse(&mut r).unwrap();
        prop_assert!(r.is_empty());
        let Frame::Ack(ack) = frame else { panic!("not an ACK") };
        prop_assert_eq!((ack.delay, ack.ecn), (delay, ecn));
        prop_assert_eq!(ack.largest, *ranges[0].end());
        prop_assert!(ack.ranges().eq(ranges[..count].iter().cloned()));
        prop_assert_eq!(encode(&frame), w.written());
        // What was left out would not have fitted: a range takes at most 8 bytes here, a grown
        // count one more.
        prop_assert!(count == ranges.len() || w.remaining() < 9);
    }

    #[test]
    fn arbitrary_bytes(
        bytes in proptest::collection::vec(prop_oneof![0..0x40_u8, any::<u8>()], 0..200),
    ) {
        let mut r = Reader::new(&bytes);
        while !r.is_empty() {
            let before = r.remaining();
            let Ok(frame) = Frame::parse(&mut r) else {
                prop_assert_eq!(r.remaining(), before);
                break;
            };
            let taken = before - r.remaining();
            prop_assert!(taken > 0);
            if let Frame::Ack(ack) = frame {
                prop_assert!(ack.ranges().count() <= taken / 2);
                prop_assert!(ack.ranges().all(|range| range.start() <= range.end()));
            }
            // What was read can be written, and reads as the same.
            let written = encode(&frame);
            let again = parse(&written).unwrap();
            prop_assert_eq!(encode(&again), written);
        }
    }
}
