use proptest::prelude::*;

use super::*;

const RULES: ControlRules = ControlRules {
    sender: Side::Client,
    marker: Some(0x141),
    payload: 64,
    settings: 4,
    skipped: 1000,
};

const NO_SETTINGS: [u8; 2] = [4, 0];

/// Feeds `bytes` in pieces of `piece` bytes; gives the events up to a fault, and its code.
fn feed(rules: ControlRules, bytes: &[u8], piece: usize) -> (Vec<ControlEvent>, Option<u64>) {
    let mut control = PeerControl::new(rules);
    let mut events = Vec::new();
    for mut input in bytes.chunks(piece) {
        loop {
            match control.feed(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(Fault::Http { code, .. }) => return (events, Some(code)),
                Err(fault) => panic!("{fault:?}"),
            }
        }
        assert!(input.is_empty());
        assert!(control.accounted_bytes() <= 2 * rules.payload);
    }
    (events, None)
}

/// What follows from `bytes` behind empty SETTINGS.
#[track_caller]
fn after_settings(sender: Side, bytes: &[u8]) -> (Vec<ControlEvent>, Option<u64>) {
    let rules = ControlRules { sender, ..RULES };
    let (mut events, fault) = feed(rules, &[&NO_SETTINGS, bytes].concat(), usize::MAX);
    assert_eq!(events.remove(0), ControlEvent::Settings(Settings::new()));
    (events, fault)
}

#[test]
fn settings_come_first_and_once() {
    let (events, fault) = feed(RULES, &[4, 4, 8, 1, 0x33, 1], usize::MAX);
    let mut settings = Settings::new();
    settings.set(8, 1);
    settings.set(0x33, 1);
    assert_eq!(events, [ControlEvent::Settings(settings)]);
    assert_eq!(fault, None);

    // Not even a reserved or forbidden frame may come before.
    for first in [[0x21, 0], [0, 0], [7, 1], [0x0d, 1], [2, 0]] {
        assert_eq!(
            feed(RULES, &first, 1),
            ([].into(), Some(H3_MISSING_SETTINGS))
        );
    }
    let twice = after_settings(Side::Client, &NO_SETTINGS);
    assert_eq!(twice, ([].into(), Some(H3_FRAME_UNEXPECTED)));
}

#[test]
fn bad_settings() {
    let table: [(&[u8], u64); 6] = [
        (&[4, 2, 2, 0], 0x109),
        (&[4, 2, 8, 2], 0x109),
        (&[4, 4, 6, 1, 6, 1], 0x109),
        (&[4, 1, 8], 0x106),
        (&[4, 10, 6, 0, 7, 0, 8, 0, 10, 0, 11, 0], 0x107),
        (&[4, 0x40, 65], 0x107),
    ];
    for (bytes, code) in table {
        assert_eq!(
            feed(RULES, bytes, 1),
            ([].into(), Some(code)),
            "{bytes:02x?}"
        );
    }
}

#[test]
fn frames_without_a_place() {
    // DATA, HEADERS, PUSH_PROMISE and the types of HTTP/2, from either side.
    for ty in [0, 1, 5, 2, 6, 8, 9] {
        for sender in [Side::Client, Side::Server] {
            let result = after_settings(sender, &[ty, 0]);
            assert_eq!(result, ([].into(), Some(H3_FRAME_UNEXPECTED)), "{ty}");
        }
    }
    // What only a client sends.
    for bytes in [
        &[0x0d, 1, 0][..],
        &[0x80, 0x0f, 0x07, 0, 1, 0],
        &[0x80, 0x0f, 0x07, 1, 1, 0],
    ] {
        let result = after_settings(Side::Server, bytes);
        assert_eq!(result, ([].into(), Some(H3_FRAME_UNEXPECTED)));
    }
    let signal = after_settings(Side::Client, &[0x41, 0x41, 0]);
    assert_eq!(signal, ([].into(), Some(H3_FRAME_ERROR)));
}

#[test]
fn go_away() {
    let twice = after_settings(Side::Server, &[7, 1, 8, 7, 1, 8, 7, 1, 4]);
    let expected = [ControlEvent::GoAway(8), ControlEvent::GoAway(4)];
    assert_eq!(twice, (expected.into(), None));
    let up = after_settings(Side::Server, &[7, 1, 4, 7, 1, 8]);
    assert_eq!(up, ([ControlEvent::GoAway(4)].into(), Some(H3_ID_ERROR)));
    // A server names a request, a client a push.
    for id in [1, 2, 3, 5] {
        let result = after_settings(Side::Server, &[7, 1, id]);
        assert_eq!(result, ([].into(), Some(H3_ID_ERROR)));
        let result = after_settings(Side::Client, &[7, 1, id]);
        assert_eq!(result, ([ControlEvent::GoAway(id.into())].into(), None));
    }
}

#[test]
fn pushes() {
    let max = |bytes| after_settings(Side::Client, bytes).1;
    assert_eq!(max(&[0x0d, 1, 4, 0x0d, 1, 4, 0x0d, 1, 5]), None);
    assert_eq!(max(&[0x0d, 1, 4, 0x0d, 1, 3]), Some(H3_ID_ERROR));
    for sender in [Side::Client, Side::Server] {
        assert_eq!(after_settings(sender, &[3, 1, 0]).1, Some(H3_ID_ERROR));
    }
}

#[test]
fn priorities() {
    let update = |ty: u8, payload: &[u8]| {
        let frame = [&[0x80, 0x0f, 0x07, ty, payload.len() as u8], payload].concat();
        after_settings(Side::Client, &frame).1
    };
    assert_eq!(update(0, b"\0u=1,i"), None);
    assert_eq!(update(0, b"\x02u=1"), Some(H3_ID_ERROR));
    assert_eq!(update(1, b"\0u=1"), Some(H3_ID_ERROR));
    assert_eq!(update(0, b""), Some(H3_FRAME_ERROR));
}

#[test]
fn lengths_must_fit() {
    for ty in [3, 7, 0x0d] {
        for frame in [&[ty, 0][..], &[ty, 2, 0, 0], &[ty, 1, 0x40], &[ty, 9]] {
            let result = after_settings(Side::Client, frame);
            assert_eq!(result, ([].into(), Some(H3_FRAME_ERROR)), "{frame:02x?}");
        }
    }
}

#[test]
fn unknown_frames_are_skipped_up_to_a_bound() {
    let grease = [&[0x21, 0x40, 100][..], &[7; 100], &[7, 1, 0]].concat();
    let result = after_settings(Side::Server, &grease);
    assert_eq!(result, ([ControlEvent::GoAway(0)].into(), None));
    // A huge one is refused by its header; many small ones by their number.
    let huge = after_settings(Side::Client, &[0x21, 0x80, 0, 0x10, 0]);
    assert_eq!(huge, ([].into(), Some(H3_EXCESSIVE_LOAD)));
    let empty = [0x21, 0].repeat(501);
    assert_eq!(after_settings(Side::Client, &empty[..1000]).1, None);
    assert_eq!(
        after_settings(Side::Client, &empty).1,
        Some(H3_EXCESSIVE_LOAD)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn pieces_do_not_matter(
        frames in prop::collection::vec(
            (prop_oneof![0u8..16, Just(0x21)], prop::collection::vec(0u8..80, 0..12)), 0..8),
        piece in 1usize..20,
        sender in prop_oneof![Just(Side::Client), Just(Side::Server)],
    ) {
        let mut bytes = NO_SETTINGS.to_vec();
        for (ty, payload) in frames {
            bytes.extend_from_slice(&[ty, payload.len() as u8]);
            bytes.extend_from_slice(&payload);
        }
        let rules = ControlRules { sender, ..RULES };
        prop_assert_eq!(feed(rules, &bytes, piece), feed(rules, &bytes, usize::MAX));
    }

    #[test]
    fn any_bytes(bytes: Vec<u8>, piece in 1usize..20) {
        feed(RULES, &[&NO_SETTINGS, &bytes[..]].concat(), piece);
    }
}
