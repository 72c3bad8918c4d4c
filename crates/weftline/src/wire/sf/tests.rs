use proptest::prelude::*;

use super::*;

#[track_caller]
fn list(field: &str, expected: &[&str]) {
    let members = parse_list(field.as_bytes(), 10);
    let members: Option<Vec<&str>> = members
        .as_ref()
        .map(|members| members.iter().map(String::as_str).collect());
    assert_eq!(members.as_deref(), Some(expected), "{field}");
}

#[test]
fn lists() {
    list(r#""moq-00", "chat""#, &["moq-00", "chat"]);
    list(r#"  "a","b"	,	"c"  "#, &["a", "b", "c"]);
    list("", &[]);
    list("   ", &[]);
    list(r#""""#, &[""]);
    list(r#""a\"b\\c""#, &["a\"b\\c"]);
    // The tokens of older drafts.
    list("moq-00, *a:b/c", &["moq-00", "*a:b/c"]);
    list(r#"a, "b""#, &["a", "b"]);
}

#[test]
fn parameters_are_dropped() {
    list(r#""a";q=1, "b"; x; y=?0"#, &["a", "b"]);
    list(r#"a;k=-1.5;l=:aGk=:;m="\"";n=t;*o=@12;p=%"%c3%a9""#, &["a"]);
    for illegal in [
        "a;",
        "a;K",
        "a;k=",
        "a;k=1.",
        "a;k=?2",
        "a;k=:",
        "a;k=@1.5",
        "a ;k",
        "a;k=%\"%c3\"",
        "a;k=%\"%C3%A9\"",
        "a;k=1234567890123456",
        "a;k=1234567890123.1",
        "a;k=1.1234",
        "a;k=-",
        "a;k=\"",
        "a;k=()",
    ] {
        assert_eq!(parse_list(illegal.as_bytes(), 10), None, "{illegal}");
        assert_eq!(parse_item(illegal.as_bytes()), None, "{illegal}");
    }
}

#[test]
fn other_fields_are_ignored_as_a_whole() {
    for illegal in [
        r#""a", 1"#,
        r#""a", ?1"#,
        r#"("a" "b")"#,
        r#""a", :aGk=:"#,
        r#""a","#,
        r#","a""#,
        r#""a",,"b""#,
        r#""a" "b""#,
        r#""a"#,
        r#""a\"#,
        r#""a\b""#,
        "\"\t\"",
        "\"\u{e9}\"",
        "\"\x7f\"",
        "'a'",
        "@1",
        "\t\"a\"",
        "a=b",
    ] {
        assert_eq!(parse_list(illegal.as_bytes(), 10), None, "{illegal}");
    }
}

#[test]
fn members_are_bounded() {
    assert_eq!(parse_list(b"a,b,c", 3).map(|list| list.len()), Some(3));
    assert_eq!(parse_list(b"a,b,c,d", 3), None);
}

#[test]
fn items() {
    assert_eq!(parse_item(br#" "moq-00" "#).as_deref(), Some("moq-00"));
    assert_eq!(parse_item(b"moq-00;v=1").as_deref(), Some("moq-00"));
    for illegal in [&b""[..], b"1", br#""a", "b""#, br#""a" x"#, b"(a)", b"?1"] {
        assert_eq!(parse_item(illegal), None);
    }
}

#[test]
fn truncated_at_every_length() {
    let field = br#""a\"b";k=%"%c3%a9", token;x"#;
    // Behind the string, the key, its value, and any character of the token.
    let legal = [0, 6, 8, 18, 21, 22, 23, 24, 25];
    for end in 0..field.len() {
        let parsed = parse_list(&field[..end], 10).is_some();
        assert_eq!(parsed, legal.contains(&end), "{end} bytes");
    }
}

#[test]
fn lines_are_joined() {
    assert_eq!(join([]), None);
    assert!(matches!(join([&b"a"[..]]), Some(Cow::Borrowed(b"a"))));
    assert_eq!(
        join([&b"\"a\""[..], b"\"b\""]).as_deref(),
        Some(&br#""a", "b""#[..])
    );
}

#[test]
fn serializes() {
    assert_eq!(serialize_string("moq-00").as_deref(), Ok(r#""moq-00""#));
    assert_eq!(serialize_string(r#"a"b\c"#).as_deref(), Ok(r#""a\"b\\c""#));
    assert_eq!(
        serialize_list(["moq-00", "chat"]).as_deref(),
        Ok(r#""moq-00", "chat""#)
    );
    assert_eq!(serialize_list::<&str>([]).as_deref(), Ok(""));
    for illegal in ["\n", "\u{7f}", "\u{e9}", "a\0"] {
        assert_eq!(serialize_string(illegal), Err(NotPrintable));
        assert_eq!(serialize_list(["a", illegal]), Err(NotPrintable));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip(members in prop::collection::vec("[ -~]{0,20}", 0..8)) {
        let field = serialize_list(&members).unwrap();
        prop_assert_eq!(parse_list(field.as_bytes(), 8), Some(members.clone()));
        if let [member] = &members[..] {
            prop_assert_eq!(parse_item(field.as_bytes()), Some(member.clone()));
        }
    }

    /// What is read can be written and read again, whatever it was.
    #[test]
    fn any_bytes(field in "[\"\\\\a-c*;:=,?@%0-9 \t.\u{e9}()-]{0,24}") {
        if let Some(members) = parse_list(field.as_bytes(), 30) {
            let again = serialize_list(&members).unwrap();
            prop_assert_eq!(parse_list(again.as_bytes(), 30), Some(members));
        }
    }
}
