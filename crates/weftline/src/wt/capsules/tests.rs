use alloc::{vec, vec::Vec};

use super::*;
use crate::wt::Dialect;

fn inbox(dialect: Dialect, flow_control: bool) -> Inbox {
    let limits = Limits {
        skipped: 1000,
        ..Limits::default()
    };
    Inbox::new(dialect.rules(), flow_control, &limits)
}

/// Every capsule of `bytes`, fed in pieces of `size`.
fn read(inbox: &mut Inbox, bytes: &[u8], size: usize) -> Result<Vec<Capsule>, CapsuleFault> {
    let mut capsules = Vec::new();
    for mut piece in bytes.chunks(size) {
        while let Some(capsule) = inbox.next(&mut piece)? {
            capsules.push(capsule);
        }
        assert!(piece.is_empty());
    }
    Ok(capsules)
}

fn close(code: u32, reason: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let value = [&code.to_be_bytes(), reason].concat();
    capsule::encode(dialect::WT_CLOSE_SESSION, &value, &mut out);
    out
}

#[test]
fn vectors_in_pieces_of_any_size() {
    let mut bytes = Vec::from(*b"\x17\x03abc"); // Grease.
    encode_drain(&mut bytes);
    encode_limit(Kind::Data, 1 << 20, &mut bytes);
    encode_limit(Kind::Streams(Dir::Bi), 100, &mut bytes);
    encode_blocked(Kind::Streams(Dir::Uni), 3, &mut bytes);
    bytes.extend_from_slice(b"\0\x02hi");
    encode_close(1234, "bye", &mut bytes);
    let expected = b"\x17\x03abc\x80\0\x78\xae\0\x99\x0b\x4d\x3d\x04\x80\x10\0\0\
        \x99\x0b\x4d\x3f\x02\x40\x64\x99\x0b\x4d\x44\x01\x03\0\x02hi\x68\x43\x07\0\0\x04\xd2bye";
    assert_eq!(bytes, expected);
    for size in 1..=bytes.len() {
        let mut inbox = inbox(Dialect::Draft16, true);
        let capsules = read(&mut inbox, &bytes, size).unwrap();
        assert_eq!(
            capsules,
            [
                Capsule::Drain,
                Capsule::Limit(Kind::Data, 1 << 20),
                Capsule::Limit(Kind::Streams(Dir::Bi), 100),
                Capsule::Blocked(Kind::Streams(Dir::Uni), 3),
                Capsule::Datagram(Bytes::from_static(b"hi")),
                Capsule::Close {
                    code: 1234,
                    reason: "bye".into()
                },
            ]
        );
        assert_eq!(inbox.on_end(), Ok(()));
    }
}

#[test]
fn flow_control_capsules_mean_nothing_without_it() {
    let mut bytes = Vec::new();
    encode_limit(Kind::Data, 5, &mut bytes);
    encode_blocked(Kind::Data, 5, &mut bytes);
    capsule::encode(dialect::WT_MAX_DATA, &[0xff; 20], &mut bytes);
    assert_eq!(
        read(&mut inbox(Dialect::Draft16, false), &bytes, 64),
        Ok(vec![])
    );
}

#[test]
fn ends_only_between_capsules() {
    let bytes = close(1, b"x");
    for end in 0..bytes.len() {
        let mut inbox = inbox(Dialect::Draft16, true);
        assert_eq!(read(&mut inbox, &bytes[..end], 64), Ok(vec![]));
        let fault = inbox.on_end().map_err(|fault| fault.code);
        let expected = if end == 0 {
            Ok(())
        } else {
            Err(error_code::H3_MESSAGE_ERROR)
        };
        assert_eq!(fault, expected, "cut at {end}");
    }
}

#[test]
fn close_reasons() {
    let longest = "é".repeat(512);
    let good = close(7, longest.as_bytes());
    let long = close(7, &[b'x'; 1025]);
    let garbled = close(7, b"a\xff");
    let short = [&[0x68, 0x43, 3][..], &[0; 3]].concat();
    for &dialect in Dialect::ALL {
        let mut strict = inbox(dialect, true);
        let closed = |reason: &str| {
            Ok(vec![Capsule::Close {
                code: 7,
                reason: reason.into(),
            }])
        };
        assert_eq!(read(&mut strict, &good, 100), closed(&longest));

        let code =
            |bytes: &[u8]| read(&mut inbox(dialect, true), bytes, 100).map_err(|fault| fault.code);
        assert_eq!(code(&short), Err(error_code::H3_MESSAGE_ERROR));
        if dialect == Dialect::Draft16 {
            assert_eq!(code(&long), Err(error_code::H3_MESSAGE_ERROR));
            // From the declared length alone.
            assert_eq!(code(&long[..4]), Err(error_code::H3_MESSAGE_ERROR));
            assert_eq!(code(&garbled), Err(error_code::H3_MESSAGE_ERROR));
        } else {
            let cut = read(&mut inbox(dialect, true), &long, 100);
            assert_eq!(cut, closed(&"x".repeat(1024)));
            let mended = read(&mut inbox(dialect, true), &garbled, 100);
            assert_eq!(mended, closed("a\u{fffd}"));
            let endless = close(7, &[b'x'; 3000]);
            assert_eq!(code(&endless), Err(error_code::H3_EXCESSIVE_LOAD));
        }
    }
}

#[test]
fn a_long_reason_is_cut_when_sent() {
    let mut bytes = Vec::new();
    encode_close(1, &"é".repeat(600), &mut bytes);
    let capsules = read(&mut inbox(Dialect::Draft16, true), &bytes, 64).unwrap();
    let reason = "é".repeat(512);
    assert_eq!(capsules, [Capsule::Close { code: 1, reason }]);
}

#[test]
fn malformed_capsules() {
    let cases: [(u64, &[u8]); 6] = [
        (dialect::WT_DRAIN_SESSION, &[0]),
        (dialect::WT_MAX_DATA, &[]),
        (dialect::WT_MAX_DATA, &[1, 1]),
        (dialect::WT_MAX_STREAMS_UNI, &[0x40]),
        (dialect::WT_STREAMS_BLOCKED_BIDI, &[0; 9]),
        (dialect::WT_MAX_STREAM_DATA, &[0, 9]),
    ];
    for (ty, value) in cases {
        let mut bytes = Vec::new();
        capsule::encode(ty, value, &mut bytes);
        let got = read(&mut inbox(Dialect::Draft16, true), &bytes, 64);
        let code = got.map_err(|fault| fault.code);
        assert_eq!(
            code,
            Err(error_code::H3_MESSAGE_ERROR),
            "{ty:#x} {value:x?}"
        );
    }
    // What a dialect does not have is unknown to it.
    let mut bytes = Vec::new();
    capsule::encode(dialect::WT_STREAM_DATA_BLOCKED, &[0, 9], &mut bytes);
    capsule::encode(dialect::WT_DRAIN_SESSION, &[0], &mut bytes);
    assert_eq!(
        read(&mut inbox(Dialect::Draft02, false), &bytes, 64),
        Ok(vec![])
    );
}

#[test]
fn unknown_capsules_are_skipped_up_to_a_budget() {
    let mut inbox = inbox(Dialect::Draft16, true);
    let mut bytes = Vec::new();
    capsule::encode(0x40, &[0; 480], &mut bytes);
    assert_eq!(read(&mut inbox, &bytes, 7), Ok(vec![]));
    assert_eq!(read(&mut inbox, &bytes, 7), Ok(vec![]));
    let fault = read(&mut inbox, &bytes[..4], 7).unwrap_err();
    assert_eq!(fault.code, error_code::H3_EXCESSIVE_LOAD);

    // A length that lies is refused before its bytes come.
    let mut inbox = self::inbox(Dialect::Draft16, true);
    let header = CapsuleHeader {
        ty: 0x40,
        len: 1 << 61,
    };
    let fault = read(&mut inbox, &header.encode(), 7).unwrap_err();
    assert_eq!(fault.code, error_code::H3_EXCESSIVE_LOAD);
}
