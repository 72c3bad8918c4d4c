use alloc::string::ToString;

use super::*;

const LIMITS: SectionLimits = SectionLimits {
    size: 4096,
    fields: 20,
};

fn section(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out);
    for (name, value) in fields {
        encoder.field(name.as_bytes(), value);
    }
    out
}

fn text<'a>(fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a [u8])> {
    fields.iter().map(|&(n, v)| (n, v.as_bytes())).collect()
}

fn request(fields: &[(&str, &str)]) -> Result<RequestHead, SectionError> {
    decode_request(&section(&text(fields)), LIMITS, true)
}

fn response(fields: &[(&str, &str)]) -> Result<ResponseHead, SectionError> {
    decode_response(&section(&text(fields)), LIMITS)
}

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/a?b"),
];

const CONNECT_TUNNEL: [(&str, &str); 2] = [(":method", "CONNECT"), (":authority", "a:1")];

const EXTENDED: [(&str, &str); 5] = [
    (":method", "CONNECT"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/wt"),
    (":protocol", "webtransport"),
];

#[track_caller]
fn malformed(fields: &[(&str, &str)]) {
    let result = request(fields);
    assert!(
        matches!(result, Err(SectionError::Malformed(_))),
        "{fields:?}: {result:?}"
    );
}

#[track_caller]
fn malformed_response(fields: &[(&str, &str)]) {
    let result = response(fields);
    assert!(
        matches!(result, Err(SectionError::Malformed(_))),
        "{fields:?}: {result:?}"
    );
}

fn with<'a>(head: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [head, more].concat()
}

fn without<'a>(head: &[(&'a str, &'a str)], name: &str) -> Vec<(&'a str, &'a str)> {
    head.iter().copied().filter(|(n, _)| *n != name).collect()
}

fn replaced<'a>(
    head: &[(&'a str, &'a str)],
    name: &str,
    value: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let replace = |&(n, v)| (n, if n == name { value } else { v });
    head.iter().map(replace).collect()
}

#[test]
fn requests() {
    let head = request(&with(&GET, &[("accept", "*/*"), ("te", "trailers")])).unwrap();
    assert_eq!(head.method, "GET");
    assert_eq!(head.scheme.as_deref(), Some("https"));
    assert_eq!(head.authority.as_deref(), Some("example.com"));
    assert_eq!(head.path.as_deref(), Some("/a?b"));
    assert_eq!(head.protocol, None);
    assert_eq!(head.fields.get("accept"), Some(&b"*/*"[..]));

    let head = request(&EXTENDED).unwrap();
    assert_eq!(head.protocol.as_deref(), Some("webtransport"));
    let head = request(&CONNECT_TUNNEL).unwrap();
    assert_eq!((head.scheme, head.path), (None, None));

    // The order of pseudo-headers is free.
    let mut reversed = GET;
    reversed.reverse();
    assert_eq!(request(&reversed), request(&GET));
    request(&replaced(&GET, ":scheme", "coap+tcp")).unwrap();
    let options = replaced(&replaced(&GET, ":method", "OPTIONS"), ":path", "*");
    request(&options).unwrap();
}

#[test]
fn host_stands_in_for_authority() {
    let head = request(&with(&without(&GET, ":authority"), &[("host", "h")])).unwrap();
    assert_eq!(head.authority.as_deref(), Some("h"));
    request(&with(&GET, &[("host", "Example.com")])).unwrap();
    malformed(&with(&GET, &[("host", "example.org")]));
    malformed(&with(&GET, &[("host", "")]));
    malformed(&with(
        &GET,
        &[("host", "example.com"), ("host", "example.com")],
    ));
    malformed(&without(&GET, ":authority"));
    malformed(&[(":method", "CONNECT"), ("host", "a:1")]);
}

#[test]
fn pseudo_headers_of_requests() {
    for (name, value) in GET {
        malformed(&without(&GET, name));
        malformed(&with(&GET, &[(name, value)]));
        malformed(&replaced(&GET, name, ""));
        malformed(&replaced(&GET, name, "a b"));
        malformed(&replaced(&GET, name, "\u{e9}"));
        malformed(&with(
            &with(&without(&GET, name), &[("a", "b")]),
            &[(name, value)],
        ));
    }
    malformed(&with(&GET, &[(":foo", "bar")]));
    malformed(&with(&GET, &[(":", "")]));
    malformed(&with(&GET, &[(":status", "200")]));
    malformed(&with(&GET, &[(":protocol", "webtransport")]));
    malformed(&replaced(&GET, ":path", "a"));
    malformed(&replaced(&GET, ":path", "*"));
    malformed(&replaced(&GET, ":scheme", "1s"));
    malformed(&replaced(&GET, ":authority", "user@example.com"));
    malformed(&[]);
}

#[test]
fn connect() {
    malformed(&with(&CONNECT_TUNNEL, &[(":scheme", "https")]));
    malformed(&with(&CONNECT_TUNNEL, &[(":path", "/")]));
    malformed(&CONNECT_TUNNEL[..1]);
    for (name, _) in EXTENDED {
        malformed(&without(&EXTENDED, name));
    }
    malformed(&with(&EXTENDED, &[EXTENDED[4]]));
    malformed(&replaced(&EXTENDED, ":protocol", ""));
    // Without the setting there is no `:protocol`.
    let section = section(&text(&EXTENDED));
    assert!(decode_request(&section, LIMITS, false).is_err());
}

#[test]
fn field_names() {
    for byte in 0..=255_u8 {
        let legal = matches!(byte, b'a'..=b'z' | b'0'..=b'9') || b"!#$%&'*+-.^_`|~".contains(&byte);
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        encoder.field(b":status", b"200");
        encoder.field(&[b'x', byte], b"");
        assert_eq!(decode_response(&out, LIMITS).is_ok(), legal, "{byte:#x}");
        assert_eq!(legal_name(&[byte]).is_ok(), legal, "{byte:#x}");
    }
    malformed(&with(&GET, &[("", "empty")]));
}

#[test]
fn field_values() {
    for byte in 0..=255_u8 {
        let inside = !byte.is_ascii_control() || byte == b'\t';
        let around = inside && byte != b'\t' && byte != b' ';
        let values = [
            (&[b'a', byte, b'b'][..], inside),
            (&[byte, b'a'], around),
            (&[b'a', byte], around),
        ];
        for (value, legal) in values {
            let section = section(&[(":status", b"200"), ("a", value)]);
            assert_eq!(
                decode_response(&section, LIMITS).is_ok(),
                legal,
                "{byte:#x}"
            );
        }
    }
    response(&[(":status", "200"), ("a", "")]).unwrap();
}

#[test]
fn connection_specific_fields() {
    for name in CONNECTION_SPECIFIC {
        malformed(&with(&GET, &[(name, "a")]));
        malformed_response(&[(":status", "200"), (name, "a")]);
    }
    malformed(&with(&GET, &[("te", "gzip")]));
    malformed(&with(&GET, &[("te", "trailers, gzip")]));
    malformed_response(&[(":status", "200"), ("te", "trailers")]);
}

#[test]
fn content_lengths() {
    let lengths = |values: &[&str]| -> Result<_, SectionError> {
        let fields: Vec<_> = values.iter().map(|&v| ("content-length", v)).collect();
        let head = request(&with(&GET, &fields))?;
        Ok(content_length(&head.fields).unwrap())
    };
    assert_eq!(lengths(&[]), Ok(None));
    assert_eq!(lengths(&["0"]), Ok(Some(0)));
    assert_eq!(lengths(&["10", "10"]), Ok(Some(10)));
    assert_eq!(lengths(&["18446744073709551615"]), Ok(Some(u64::MAX)));
    for illegal in ["", "+5", "-1", "1a", "1,1", "0x1", "18446744073709551616"] {
        assert!(lengths(&[illegal]).is_err(), "{illegal}");
        malformed_response(&[(":status", "200"), ("content-length", illegal)]);
    }
    assert!(lengths(&["1", "2"]).is_err());
}

#[test]
fn responses() {
    let head = response(&[(":status", "404"), ("server", "weftline")]).unwrap();
    assert_eq!(head.status, 404);
    assert_eq!(head.fields.get("server"), Some(&b"weftline"[..]));
    for status in ["", "20", "2000", "099", "abc", "+20", "101", "2 0"] {
        malformed_response(&[(":status", status)]);
    }
    malformed_response(&[]);
    malformed_response(&[("a", "b")]);
    malformed_response(&[(":status", "200"), (":status", "200")]);
    malformed_response(&[("a", "b"), (":status", "200")]);
    malformed_response(&[(":status", "200"), (":path", "/")]);
}

#[test]
fn trailers() {
    let check = |fields: &[(&str, &str)]| check_trailers(&section(&text(fields)), LIMITS);
    assert_eq!(check(&[("a", "b")]), Ok(()));
    for illegal in [
        (":status", "200"),
        (":method", "GET"),
        ("te", "trailers"),
        ("upgrade", "a"),
    ] {
        assert!(check(&[illegal]).is_err(), "{illegal:?}");
    }
}

#[test]
fn cookies_are_joined() {
    let cookies = [
        ("cookie", "a=1"),
        ("x", "y"),
        ("cookie", "b=2"),
        ("cookie", "c=3"),
    ];
    let head = request(&with(&GET, &cookies)).unwrap();
    assert_eq!(head.fields.get("cookie"), Some(&b"a=1; b=2; c=3"[..]));
    assert_eq!(head.fields.len(), 2);
}

#[test]
fn limits_and_undecodable_sections() {
    let one = SectionLimits {
        size: 4096,
        fields: 3,
    };
    let section = section(&text(&GET));
    assert_eq!(
        decode_request(&section, one, true),
        Err(SectionError::TooLarge)
    );
    let reason = decode_request(&[0, 0, 0x80], LIMITS, true);
    assert!(matches!(reason, Err(SectionError::Undecodable(_))));
}

#[test]
fn heads_round_trip() {
    for fields in [&GET[..], &EXTENDED, &CONNECT_TUNNEL] {
        let head = request(&with(fields, &[("origin", "https://example.com")])).unwrap();
        check_request(&head).unwrap();
        let mut out = Vec::new();
        let size = encode_request(&head, &mut out);
        let limits = SectionLimits { size, fields: 6 };
        assert_eq!(decode_request(&out, limits, true), Ok(head));
    }
    for status in [100, 200, 404, 599] {
        let head = response(&[(":status", &status.to_string()), ("a", "b")]).unwrap();
        check_response(&head).unwrap();
        let mut out = Vec::new();
        encode_response(&head, &mut out);
        assert_eq!(decode_response(&out, LIMITS), Ok(head));
    }
}

#[test]
fn what_may_not_be_sent() {
    let good = request(&GET).unwrap();
    let bad = |change: fn(&mut RequestHead)| {
        let mut head = good.clone();
        change(&mut head);
        assert!(check_request(&head).is_err(), "{head:?}");
    };
    bad(|head| head.method.clear());
    bad(|head| head.path = None);
    bad(|head| head.authority = Some("a\r\nb".into()));
    bad(|head| head.protocol = Some("webtransport".into()));
    bad(|head| head.fields.push("a b", ""));
    bad(|head| head.fields.push(":path", "/"));
    bad(|head| head.fields.push("a", "b\r\nc: d"));
    bad(|head| head.fields.push("Upgrade", "h2c"));
    bad(|head| head.fields.push("content-length", "x"));
    for status in [0, 99, 101, 1000] {
        let head = ResponseHead {
            status,
            fields: Fields::new(),
        };
        assert!(check_response(&head).is_err());
    }
}
