//! Headers against the vectors of RFC 9001 and RFC 9369, and whatever a peer may send.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::version::{V1, V2};
use super::*;
use crate::wire::{Cid, NoRoom, Writer};

pub(in crate::wire) fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn cid(text: &str) -> Cid {
    Cid::new(&hex(text)).unwrap()
}

fn mask(text: &str) -> [u8; 5] {
    hex(text).try_into().unwrap()
}

/// A long header of RFC 9001, appendix A or RFC 9369, appendix A.
struct LongVector {
    header: LongHeader<'static>,
    /// Length of the payload without its tag.
    payload_len: usize,
    plain: &'static str,
    sample: &'static str,
    mask: &'static str,
    protected: &'static str,
}

fn long_vectors() -> [LongVector; 4] {
    let client = |version| LongHeader {
        kind: LongKind::Initial { token: &[] },
        version,
        destination: cid("8394c8f03e515708"),
        source: Cid::EMPTY,
        number: TruncatedNumber::with_len(2, 4),
    };
    let server = |version| LongHeader {
        kind: LongKind::Initial { token: &[] },
        version,
        destination: Cid::EMPTY,
        source: cid("f067a5502a4262b5"),
        number: TruncatedNumber::with_len(1, 2),
    };
    [
        LongVector {
            header: client(V1),
            payload_len: 1162,
            plain: "c300000001088394c8f03e5157080000449e00000002",
            sample: "d1b1c98dd7689fb8ec11d242b123dc9b",
            mask: "437b9aec36",
            protected: "c000000001088394c8f03e5157080000449e7b9aec34",
        },
        LongVector {
            header: server(V1),
            payload_len: 99,
            plain: "c1000000010008f067a5502a4262b50040750001",
            sample: "2cd0991cd25b0aac406a5816b6394100",
            mask: "2ec0d8356a",
            protected: "cf000000010008f067a5502a4262b5004075c0d9",
        },
        LongVector {
            header: client(V2),
            payload_len: 1162,
            plain: "d36b3343cf088394c8f03e5157080000449e00000002",
            sample: "ffe67b6abcdb4298b485dd04de806071",
            mask: "94a0c95e80",
            protected: "d76b3343cf088394c8f03e5157080000449ea0c95e82",
        },
        LongVector {
            header: server(V2),
            payload_len: 99,
            plain: "d16b3343cf0008f067a5502a4262b50040750001",
            sample: "6f05d8a4398c47089698baeea26b91eb",
            mask: "4dd92e91ea",
            protected: "dc6b3343cf0008f067a5502a4262b5004075d92f",
        },
    ]
}

#[test]
fn long_header_vectors() {
    for vector in long_vectors() {
        let (header, plain) = (vector.header, hex(vector.plain));
        let mut packet = std::vec![0; plain.len() + vector.payload_len + 16];
        let layout = header.encode(&mut Writer::new(&mut packet)).unwrap();
        assert_eq!(layout.payload_at, plain.len());
        assert_eq!(header.encoded_len(), plain.len());
        layout.set_length(&mut packet);
        assert_eq!(packet[..plain.len()], plain);

        let sample = hex(vector.sample);
        let sample_at = layout.number_at + 4;
        packet[sample_at..sample_at + 16].copy_from_slice(&sample);
        assert_eq!(layout.sample(&packet).unwrap()[..], sample);
        layout.protect(&mut packet, mask(vector.mask));
        assert_eq!(packet[..plain.len()], hex(vector.protected));

        // A second packet in the datagram does not disturb the first.
        let end = packet.len();
        packet.extend([0x40, 9, 9, 9]);
        let Ok(Packet::Protected(read)) = Packet::parse(&packet, 8) else {
            panic!("not a protected packet");
        };
        assert_eq!(read.packet_type, PacketType::Initial);
        assert_eq!(read.version, Some(header.version));
        assert_eq!(
            (read.destination, read.source),
            (header.destination, header.source)
        );
        assert_eq!((read.number_at, read.end), (layout.number_at, end));
        assert_eq!(read.token(&packet), []);
        assert_eq!(read.sample(&packet).unwrap()[..], sample);
        let opened = read.unprotect(&mut packet, mask(vector.mask)).unwrap();
        assert_eq!(packet[..plain.len()], plain);
        assert_eq!(opened.number, header.number);
        assert_eq!(opened.payload_at, layout.payload_at);
        assert!(!opened.reserved_bits_set && !opened.key_phase && !opened.spin);
    }
}

/// RFC 9001, appendix A.5 and RFC 9369, appendix A.5.
#[test]
fn short_header_vectors() {
    let vectors = [
        (
            "4cfe4189655e5cd55c41f69080575d7999c25a5bfb",
            "aefefe7d03",
            "655e5cd55c41f69080575d7999c25a5bfb",
        ),
        (
            "5558b1c60ae7b6b932bc27d786f4bc2bb20f2162ba",
            "97580e32bf",
            "0ae7b6b932bc27d786f4bc2bb20f2162ba",
        ),
    ];
    for (protected, mask_bytes, ciphertext) in vectors {
        let header = ShortHeader {
            destination: Cid::EMPTY,
            number: TruncatedNumber::with_len(654_360_564, 3),
            spin: false,
            key_phase: false,
        };
        let mut packet = std::vec![0; 21];
        let mut w = Writer::new(&mut packet);
        let layout = header.encode(&mut w).unwrap();
        w.bytes(&hex(ciphertext)).unwrap();
        assert_eq!(w.remaining(), 0);
        assert_eq!(layout.min_payload_len(), 1);
        layout.set_length(&mut packet);
        assert_eq!(packet[..4], hex("4200bff4"));
        layout.protect(&mut packet, mask(mask_bytes));
        assert_eq!(packet, hex(protected));

        let Ok(Packet::Protected(read)) = Packet::parse(&packet, 0) else {
            panic!("not a protected packet");
        };
        assert_eq!(read.packet_type, PacketType::OneRtt);
        assert_eq!(read.version, None);
        assert_eq!(read.sample(&packet).unwrap()[..], hex(ciphertext)[1..]);
        let opened = read.unprotect(&mut packet, mask(mask_bytes)).unwrap();
        assert_eq!(opened.number, header.number);
        assert_eq!(opened.number.expand(Some(654_360_563)), 654_360_564);
        assert_eq!(opened.payload_at, 4);
        assert!(!opened.reserved_bits_set);
        assert_eq!(packet[..4], hex("4200bff4"));
    }
}

#[test]
fn bits_of_the_first_byte() {
    for (first, reserved, spin, key_phase) in [
        (0x40, false, false, false),
        (0x60, false, true, false),
        (0x44, false, false, true),
        (0x48, true, false, false),
        (0x50, true, false, false),
    ] {
        let mut packet = std::vec![first; 30];
        let Ok(Packet::Protected(read)) = Packet::parse(&packet, 4) else {
            panic!("not a protected packet");
        };
        let opened = read.unprotect(&mut packet, [0; 5]).unwrap();
        assert_eq!(opened.reserved_bits_set, reserved, "{first:#x}");
        assert_eq!((opened.spin, opened.key_phase), (spin, key_phase));
    }
    for (first, reserved) in [(0xe0, false), (0xe4, true), (0xe8, true)] {
        let mut packet = hex("e00000000100000500000000aa");
        packet[0] = first;
        let Ok(Packet::Protected(read)) = Packet::parse(&packet, 4) else {
            panic!("not a protected packet");
        };
        assert_eq!(read.packet_type, PacketType::Handshake);
        let opened = read.unprotect(&mut packet, [0; 5]).unwrap();
        assert_eq!(opened.reserved_bits_set, reserved, "{first:#x}");
    }
}

#[test]
fn packets_to_drop() {
    let cases = [
        ("", PacketError::Truncated),
        ("00112233", PacketError::FixedBit),
        ("4011", PacketError::Truncated),
        // Fixed bit.
        ("8000000001000000011122", PacketError::FixedBit),
        // Connection IDs of 21 bytes.
        (
            "c00000000115010101010101010101010101010101010101010101010000",
            PacketError::CidLength,
        ),
        (
            "c00000000100150101010101010101010101010101010101010101010100",
            PacketError::CidLength,
        ),
        ("c0ff00001d0000", PacketError::UnknownVersion(0xff00_001d)),
        // Token and length past the end.
        ("c0000000010000c0000000ffffffff00", PacketError::Truncated),
        ("c00000000100000005aabbccdd", PacketError::Truncated),
        ("c000000001000000ffffffffffffffff", PacketError::Truncated),
        // Version Negotiation without versions, Retry without token.
        ("80000000000000", PacketError::Malformed),
        (
            "f0000000010000000102030405060708090a0b0c0d0e0f",
            PacketError::Malformed,
        ),
    ];
    for (packet, error) in cases {
        assert_eq!(Packet::parse(&hex(packet), 4), Err(error), "{packet}");
    }
}

#[test]
fn too_short_to_sample() {
    // The number starts at byte 5: 4 bytes of it and 16 of sample end at byte 25.
    for len in 5..30 {
        let packet = std::vec![0x40; len];
        let Ok(Packet::Protected(read)) = Packet::parse(&packet, 4) else {
            panic!("not a protected packet");
        };
        assert_eq!(read.sample(&packet).is_some(), len >= 25);
    }
    // The sample may not reach into the next packet.
    let mut packet = hex("e0000000010000");
    packet.push(19);
    packet.extend([0; 40]);
    let Ok(Packet::Protected(read)) = Packet::parse(&packet, 4) else {
        panic!("not a protected packet");
    };
    assert_eq!(read.end, 27);
    assert_eq!(read.sample(&packet), None);
}

#[test]
fn unprotecting_a_cut_number_changes_nothing() {
    let mut packet = [0x43, 1, 2];
    let Ok(Packet::Protected(read)) = Packet::parse(&packet, 0) else {
        panic!("not a protected packet");
    };
    // Here the mask makes it a number of one byte.
    let mask = [0xff, 9, 9, 9, 9];
    assert!(read.unprotect(&mut packet, mask).is_some());
    let mut packet = [0x43, 1, 2];
    assert_eq!(read.unprotect(&mut packet, [0, 9, 9, 9, 9]), None);
    assert_eq!(packet, [0x43, 1, 2]);
}

#[test]
fn coalesced_packets_are_walked() {
    let mut datagram = Vec::new();
    let kinds = [
        LongKind::Initial { token: b"tok" },
        LongKind::ZeroRtt,
        LongKind::Handshake,
    ];
    for kind in kinds {
        let mut packet = [0xaa; 80];
        let header = LongHeader {
            kind,
            version: V1,
            destination: cid("01020304"),
            source: cid("0506"),
            number: TruncatedNumber::with_len(7, 1),
        };
        let layout = header.encode(&mut Writer::new(&mut packet)).unwrap();
        layout.set_length(&mut packet);
        datagram.extend(packet);
    }
    datagram.extend([0x40; 50]);

    let mut seen = Vec::new();
    let mut at = 0;
    while at < datagram.len() {
        let Ok(Packet::Protected(read)) = Packet::parse(&datagram[at..], 4) else {
            panic!("not a protected packet");
        };
        seen.push((
            read.packet_type,
            read.token(&datagram[at..]).len(),
            read.end,
        ));
        at += read.end;
    }
    let expected = [
        (PacketType::Initial, 3, 80),
        (PacketType::ZeroRtt, 0, 80),
        (PacketType::Handshake, 0, 80),
        (PacketType::OneRtt, 0, 50),
    ];
    assert_eq!(seen, expected);
}

fn any_cid() -> impl Strategy<Value = Cid> {
    proptest::collection::vec(any::<u8>(), 0..=20).prop_map(|bytes| Cid::new(&bytes).unwrap())
}

fn any_number() -> impl Strategy<Value = TruncatedNumber> {
    (any::<u64>(), 1_usize..=4).prop_map(|(number, len)| TruncatedNumber::with_len(number, len))
}

proptest! {
    #[test]
    fn long_round_trip(
        kind in 0..3,
        is_v2: bool,
        token in proptest::collection::vec(any::<u8>(), 0..100),
        destination in any_cid(),
        source in any_cid(),
        number in any_number(),
        body in 20..200_usize,
        mask: [u8; 5],
    ) {
        let (kind, packet_type) = match kind {
            0 => (LongKind::Initial { token: &token }, PacketType::Initial),
            1 => (LongKind::ZeroRtt, PacketType::ZeroRtt),
            _ => (LongKind::Handshake, PacketType::Handshake),
        };
        let version = if is_v2 { V2 } else { V1 };
        let header = LongHeader { kind, version, destination, source, number };
        let len = header.encoded_len();
        let mut packet = std::vec![0; len + body];
        for room in 0..len {
            let mut w = Writer::new(&mut packet[..room]);
            prop_assert_eq!(header.encode(&mut w), Err(NoRoom));
            prop_assert_eq!(w.position(), 0);
        }
        let layout = header.encode(&mut Writer::new(&mut packet)).unwrap();
        layout.set_length(&mut packet);
        let plain = packet.clone();
        layout.protect(&mut packet, mask);

        for end in 0..packet.len() {
            prop_assert!(Packet::parse(&packet[..end], 0).is_err());
        }
        let Ok(Packet::Protected(read)) = Packet::parse(&packet, 0) else {
            panic!("not a protected packet");
        };
        prop_assert_eq!(read.packet_type, packet_type);
        prop_assert_eq!(read.version, Some(version));
        prop_assert_eq!((read.destination, read.source), (destination, source));
        let is_initial = packet_type == PacketType::Initial;
        prop_assert_eq!(read.token(&packet), if is_initial { &token[..] } else { &[] });
        prop_assert_eq!((read.number_at, read.end), (layout.number_at, packet.len()));
        let opened = read.unprotect(&mut packet, mask).unwrap();
        prop_assert_eq!(packet, plain);
        prop_assert_eq!((opened.number, opened.payload_at), (number, layout.payload_at));
    }

    #[test]
    fn short_round_trip(
        destination in any_cid(),
        number in any_number(),
        spin: bool,
        key_phase: bool,
        mask: [u8; 5],
    ) {
        let header = ShortHeader { destination, number, spin, key_phase };
        let len = header.encoded_len();
        let mut packet = std::vec![0; len + 20];
        for room in 0..len {
            let mut w = Writer::new(&mut packet[..room]);
            prop_assert_eq!(header.encode(&mut w), Err(NoRoom));
            prop_assert_eq!(w.position(), 0);
        }
        let layout = header.encode(&mut Writer::new(&mut packet)).unwrap();
        let plain = packet.clone();
        layout.protect(&mut packet, mask);
        let Ok(Packet::Protected(read)) = Packet::parse(&packet, destination.len()) else {
            panic!("not a protected packet");
        };
        prop_assert_eq!(read.destination, destination);
        let opened = read.unprotect(&mut packet, mask).unwrap();
        prop_assert_eq!(packet, plain);
        let expected = PlainHeader {
            number,
            payload_at: len,
            reserved_bits_set: false,
            spin,
            key_phase,
        };
        prop_assert_eq!(opened, expected);
    }

    #[test]
    fn arbitrary_datagrams(
        mut datagram in proptest::collection::vec(any::<u8>(), 0..80),
        first in proptest::option::of(0xc0_u8..),
        local_cid_len in 0..30_usize,
        mask: [u8; 5],
    ) {
        // Steer most of them to a version we know.
        if let Some(first) = first {
            datagram.splice(..0, [first, 0, 0, 0, 1, 3, 1, 2, 3, 0]);
        }
        let _ = Invariant::parse(&datagram, local_cid_len);
        let mut at = 0;
        while let Ok(Packet::Protected(read)) = Packet::parse(&datagram[at..], local_cid_len) {
            prop_assert!(read.end > 0 && read.end <= datagram.len() - at);
            prop_assert!(read.number_at <= read.end);
            prop_assert!(read.token(&datagram[at..]).len() <= read.number_at);
            let _ = read.sample(&datagram[at..]);
            if let Some(opened) = read.unprotect(&mut datagram[at..], mask) {
                prop_assert!(opened.payload_at <= read.end);
            }
            at += read.end;
        }
    }
}
