use alloc::string::String;
use proptest::prelude::*;

use super::*;

const CLOSE: u64 = 0x2843;

type Values = Vec<(u64, Vec<u8>)>;

/// Feeds `bytes` in pieces of `piece` bytes; holds values of odd types of at most `max` bytes.
/// Gives the headers, the values held, and whether the end is between capsules.
fn read(bytes: &[u8], piece: usize, max: usize) -> (Vec<(u64, u64)>, Values, bool) {
    let mut reader = CapsuleReader::new();
    let (mut headers, mut values) = (Vec::new(), Vec::new());
    for mut input in bytes.chunks(piece) {
        loop {
            match reader.feed(&mut input) {
                CapsuleStep::NeedMore => break,
                CapsuleStep::Begin(header) => {
                    headers.push((header.ty, header.len));
                    if header.ty % 2 == 1 {
                        let held = reader.hold(max);
                        assert_eq!(held.is_ok(), header.len <= max as u64);
                    }
                }
                CapsuleStep::Value { ty, value } => values.push((ty, value.to_vec())),
            }
        }
        assert!(input.is_empty());
    }
    (headers, values, reader.is_between())
}

#[test]
fn pieces_do_not_matter() {
    let mut bytes = Vec::new();
    encode(CLOSE, b"\0\0\x04\xd2bye", &mut bytes);
    encode(0x78ae, b"", &mut bytes);
    encode(1, b"", &mut bytes);
    encode(0x40, &[7; 100], &mut bytes);
    bytes.extend_from_slice(&encode_varint(0x190b_4d3d, 1 << 20));
    encode(3, &[8; 100], &mut bytes);
    for piece in 1..=bytes.len() {
        let (headers, values, between) = read(&bytes, piece, 20);
        let expected = [
            (CLOSE, 7),
            (0x78ae, 0),
            (1, 0),
            (0x40, 100),
            (0x190b_4d3d, 4),
            (3, 100),
        ];
        assert_eq!(headers, expected, "in pieces of {piece}");
        let expected = [
            (CLOSE, b"\0\0\x04\xd2bye".to_vec()),
            (1, Vec::new()),
            (0x190b_4d3d, b"\x80\x10\0\0".to_vec()),
        ];
        assert_eq!(values, expected, "in pieces of {piece}");
        assert!(between);
    }
}

#[test]
fn ends_only_between() {
    let mut bytes = Vec::new();
    encode(CLOSE, b"\0\0\0\0a", &mut bytes);
    encode(2, b"skip", &mut bytes);
    for end in 1..bytes.len() {
        let (_, _, between) = read(&bytes[..end], end, 20);
        assert_eq!(between, end == 8, "after {end} bytes");
    }
}

#[test]
fn a_huge_capsule_takes_no_memory() {
    let mut reader = CapsuleReader::new();
    let header = CapsuleHeader {
        ty: 0x17,
        len: varint::MAX,
    };
    let bytes = header.encode();
    let mut input = &*bytes;
    assert_eq!(reader.feed(&mut input), CapsuleStep::Begin(header));
    assert_eq!(reader.hold(1 << 20), Err(CapsuleTooLong));
    for _ in 0..1000 {
        let mut input = &[0; 1024][..];
        assert_eq!(reader.feed(&mut input), CapsuleStep::NeedMore);
    }
    assert_eq!(reader.held.capacity(), 0);
    assert!(!reader.is_between());
}

#[test]
fn the_held_value_is_freed_on_demand() {
    let mut reader = CapsuleReader::new();
    for mut input in [&[1, 3, 7][..], &[8, 9]] {
        while !input.is_empty() {
            if let CapsuleStep::Begin(_) = reader.feed(&mut input) {
                reader.hold(3).unwrap();
                reader.shrink();
            }
        }
    }
    assert_eq!(reader.held, [7, 8, 9]);
    reader.shrink();
    assert_eq!(reader.held.capacity(), 0);
}

#[test]
fn close_vector() {
    let mut bytes = Vec::new();
    encode_close(CLOSE, 1234, "bye", &mut bytes);
    assert_eq!(bytes, b"\x68\x43\x07\0\0\x04\xd2bye");
    assert_eq!(decode_close(&bytes[3..]), Ok((1234, "bye")));
    assert_eq!(decode_close(&[0, 0, 0, 0]), Ok((0, "")));
    for end in 0..4 {
        assert_eq!(decode_close(&bytes[3..3 + end]), Err(MalformedCapsule));
    }
}

#[test]
fn close_messages() {
    let mut value = [b'a'; 4 + MAX_CLOSE_MESSAGE + 1];
    assert_eq!(decode_close(&value), Err(MalformedCapsule));
    let longest = &mut value[..4 + MAX_CLOSE_MESSAGE];
    let expected = [b'a'; MAX_CLOSE_MESSAGE];
    assert_eq!(decode_close(longest).unwrap().1.as_bytes(), &expected[..],);
    longest[100] = 0xff;
    assert_eq!(decode_close(longest), Err(MalformedCapsule));

    // A character of two bytes ends at 1025: it is left out as a whole.
    let mut long = String::from_utf8([b'a'; 1023].to_vec()).unwrap();
    long.push('\u{e9}');
    let mut bytes = Vec::new();
    encode_close(CLOSE, 0, &long, &mut bytes);
    let (_, message) = decode_close(&bytes[4..]).unwrap();
    assert_eq!(message, &long[..1023]);
}

#[test]
fn varint_vectors() {
    assert_eq!(
        &*encode_varint(0x190b_4d3d, 1 << 20),
        b"\x99\x0b\x4d\x3d\x04\x80\x10\0\0"
    );
    assert_eq!(
        &*encode_varint(0x190b_4d3f, 100),
        b"\x99\x0b\x4d\x3f\x02\x40\x64"
    );
    assert_eq!(decode_varint(b"\x80\x10\0\0"), Ok(1 << 20));
    assert_eq!(decode_varint(b"\x80\x10\0"), Err(MalformedCapsule));
    assert_eq!(decode_varint(b"\x01\0"), Err(MalformedCapsule));
    assert_eq!(decode_varint(b""), Err(MalformedCapsule));
    let mut drain = Vec::new();
    encode(0x78ae, &[], &mut drain);
    assert_eq!(drain, b"\x80\0\x78\xae\0");
}

#[test]
fn grease() {
    assert!([0x17, 0x40, 0x69].into_iter().all(is_grease));
    assert!(![0, 0x16, 0x18, 0x2843].into_iter().any(is_grease));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip(
        capsules in prop::collection::vec(
            (0..varint::MAX / 2, prop::collection::vec(any::<u8>(), 0..80)), 0..8),
        piece in 1usize..100,
    ) {
        let mut bytes = Vec::new();
        for (ty, value) in &capsules {
            encode(ty * 2 + 1, value, &mut bytes);
        }
        let (_, values, between) = read(&bytes, piece, 80);
        prop_assert!(between);
        let expected: Vec<_> = capsules.into_iter().map(|(ty, v)| (ty * 2 + 1, v)).collect();
        prop_assert_eq!(values, expected);
    }

    #[test]
    fn any_bytes_in_any_pieces(bytes: Vec<u8>, piece in 1usize..100) {
        prop_assert_eq!(read(&bytes, piece, 30), read(&bytes, usize::MAX, 30));
    }
}
