use alloc::string::String;
use proptest::prelude::*;

use super::*;
use crate::wire::qpack::Encoder;

const LIMITS: SectionLimits = SectionLimits {
    size: 4096,
    fields: 20,
};

fn decoded(section: &[u8], limits: SectionLimits) -> Result<Vec<(String, String)>, DecodeError> {
    let mut decoder = Decoder::new(section, limits)?;
    let mut fields = Vec::new();
    while let Some(line) = decoder.next_line()? {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.push((text(line.name), text(line.value)));
    }
    Ok(fields)
}

fn hex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

#[track_caller]
fn check(section: &[u8], expected: &[(&str, &str)]) {
    let fields = decoded(section, LIMITS).unwrap();
    let fields: Vec<_> = fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(fields, expected);
}

#[track_caller]
fn malformed(section: &[u8]) {
    let error = decoded(section, LIMITS).unwrap_err();
    assert!(matches!(error, DecodeError::Malformed(_)), "{error:?}");
}

#[test]
fn rfc9204_b1() {
    check(
        &hex("0000510b2f696e6465782e68746d6c"),
        &[(":path", "/index.html")],
    );
}

/// A WebTransport request, and where its field lines end.
const CONNECT: (&str, [usize; 7]) = (
    "0000cfd750106578616d706c652e636f6d3a3434333351032f777427023a70726f746f636f6c0c7765627472616e73706f72745f4b1368747470733a2f2f6578616d706c652e636f6d",
    [2, 3, 4, 22, 27, 51, 73],
);

#[test]
fn requests_and_responses() {
    let connect = [
        (":method", "CONNECT"),
        (":scheme", "https"),
        (":authority", "example.com:4433"),
        (":path", "/wt"),
        (":protocol", "webtransport"),
        ("origin", "https://example.com"),
    ];
    check(&hex(CONNECT.0), &connect);
    let newer = "0000cfd750106578616d706c652e636f6d3a3434333351032f777427023a70726f746f636f6c0f7765627472616e73706f72742d6833";
    let fields = decoded(&hex(newer), LIMITS).unwrap();
    assert_eq!(fields[4].1, "webtransport-h3");
    check(&hex("0000d9"), &[(":status", "200")]);
    check(&hex("0000db"), &[(":status", "404")]);
    check(&hex("00005f0903343035"), &[(":status", "405")]);
    let draft =
        "0000d927157365632d7765627472616e73706f72742d68747470332d64726166740764726166743032";
    let expected = [
        (":status", "200"),
        ("sec-webtransport-http3-draft", "draft02"),
    ];
    check(&hex(draft), &expected);
}

#[test]
fn truncated_at_every_length() {
    let (section, ends) = CONNECT;
    let section = hex(section);
    for end in 0..section.len() {
        let result = decoded(&section[..end], LIMITS);
        match ends.iter().position(|&e| e == end) {
            Some(lines) => assert_eq!(result.unwrap().len(), lines, "{end} bytes"),
            None => assert_eq!(result, Err(TRUNCATED), "{end} bytes"),
        }
    }
}

#[test]
fn prefixes() {
    check(&[0, 0], &[]);
    // Any Base goes when nothing refers to it, but no negative one.
    check(&[0, 0x7f, 3, 0xd9], &[(":status", "200")]);
    malformed(&[0, 0x80, 0xd9]);
    malformed(&[0, 0xff, 0, 0xd9]);
    // No Required Insert Count can be encoded for a table without entries.
    malformed(&[1, 0, 0xd9]);
    malformed(&[0xff, 0x80, 0x80, 0, 0, 0xd9]);
    malformed(&[]);
    malformed(&[0]);
}

#[test]
fn the_dynamic_table_is_refused() {
    // RFC 9204, appendix B.2 and B.4.
    malformed(&hex("03811011"));
    malformed(&hex("050080c181"));
    for line in [
        &[0x80][..],
        &[0xbf, 0],
        &[0x10],
        &[0x40, 1, b'a'],
        &[0, 1, b'a'],
        &[0x0f, 0, 0],
    ] {
        let section = [&[0, 0], line].concat();
        assert_eq!(
            decoded(&section, LIMITS),
            Err(NO_DYNAMIC_TABLE),
            "{line:02x?}"
        );
    }
}

#[test]
fn static_indexes() {
    check(&[0, 0, 0xff, 35], &[("x-frame-options", "sameorigin")]);
    malformed(&[0, 0, 0xff, 36]);
    malformed(&[0, 0, 0x5f, 84, 0]);
    malformed(&[
        0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ]);
}

#[test]
fn never_indexed() {
    for (line, never) in [(0x50, false), (0x70, true)] {
        let section = [0, 0, line, 1, b'a'];
        let mut decoder = Decoder::new(&section, LIMITS).unwrap();
        let line = decoder.next_line().unwrap().unwrap();
        assert_eq!((line.name, line.never_indexed), (&b":authority"[..], never));
    }
    for (line, never) in [(0x21, false), (0x31, true)] {
        let section = [0, 0, line, b'a', 0];
        let mut decoder = Decoder::new(&section, LIMITS).unwrap();
        let line = decoder.next_line().unwrap().unwrap();
        assert_eq!((line.name, line.never_indexed), (&b"a"[..], never));
    }
}

#[test]
fn bad_huffman() {
    malformed(&[0, 0, 0x50, 0x81, 0xff]);
    malformed(&[0, 0, 0x29, 0xff, 0]);
    check(&[0, 0, 0x50, 0x81, 0x07], &[(":authority", "0")]);
}

#[test]
fn a_length_past_the_end_allocates_nothing() {
    let section = hex("0000507fffffffffffffff3f");
    let mut decoder = Decoder::new(&section, LIMITS).unwrap();
    assert_eq!(decoder.next_line(), Err(TRUNCATED));
    assert_eq!(decoder.text.capacity(), 0);
}

#[test]
fn a_bomb_stops_at_the_limits() {
    // One byte for 43 of size.
    let mut section = alloc::vec![0xd9; 10_000];
    section[..2].fill(0);
    let size = SectionLimits {
        size: 10 * (7 + 3 + 32),
        fields: 1000,
    };
    let fields = SectionLimits {
        size: usize::MAX,
        fields: 10,
    };
    for limits in [size, fields] {
        assert_eq!(decoded(&section[..12], limits).unwrap().len(), 10);
        let mut decoder = Decoder::new(&section, limits).unwrap();
        for _ in 0..10 {
            decoder.next_line().unwrap().unwrap();
        }
        assert_eq!(decoder.next_line(), Err(DecodeError::TooLarge));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip(
        fields in prop::collection::vec(
            (prop_oneof![
                Just(String::from(":status")), Just("cookie".into()), Just("vary".into()),
                "[a-z-]{1,12}",
            ], prop_oneof![Just(String::from("200")), Just("origin".into()), "[ -~]{0,40}"]),
            0..20),
    ) {
        let mut section = Vec::new();
        let mut encoder = Encoder::new(&mut section);
        for (name, value) in &fields {
            encoder.field(name.as_bytes(), value.as_bytes());
        }
        let limits = SectionLimits { size: encoder.size(), fields: fields.len() };
        prop_assert_eq!(decoded(&section, limits), Ok(fields));
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let section = [&[0, 0], &bytes[..]].concat();
        if let Ok(fields) = decoded(&section, LIMITS) {
            prop_assert!(fields.len() <= LIMITS.fields && bytes.len() >= fields.len());
            // Bytes outside UTF-8 count threefold here.
            let size: usize = fields.iter().map(|(n, v)| n.len() + v.len() + 32).sum();
            prop_assert!(size <= 3 * LIMITS.size);
        }
    }
}
