//! What belongs to WebTransport over HTTP/3 by number or name stands in `wt/dialect.rs` alone, so
//! that all differences between its drafts are in one place.

use crate::{
    core_source::{File, Finding},
    source::{Kind, Token},
};

/// The file that may hold them.
pub const HOME: &str = "wt/dialect.rs";

/// Settings, capsules and error codes of the drafts.
const NUMBERS: &[u128] = &[
    // SETTINGS that declare a draft: 02, 07, 13, 15.
    0x2b60_3742,
    0xc671_706a,
    0x14e9_cd29,
    0x2c7c_f000,
    // The initial limits of a session.
    0x2b61,
    0x2b64,
    0x2b65,
    // Capsules: close, drain, flow control.
    0x2843,
    0x78ae,
    0x190b_4d3d,
    0x190b_4d3e,
    0x190b_4d3f,
    0x190b_4d40,
    0x190b_4d41,
    0x190b_4d42,
    0x190b_4d43,
    0x190b_4d44,
    // Error codes, and the first that stands for an application's.
    0x3994_bd84,
    0x170d_7b68,
    0x045d_4487,
    0x0817_b3dd,
    0x212c_0d48,
    0x52e4_a40f_a8db,
    // The H3_DATAGRAM setting of the time of draft 02.
    0xff_d277,
];

/// The first varint of a unidirectional and of a bidirectional stream. So small that only their
/// hexadecimal spelling counts.
const HEX_NUMBERS: &[u128] = &[0x54, 0x41];

/// Tokens and fields, lower case. The first two stand alone, the others anywhere in a text.
const TEXTS: &[&str] = &["webtransport", "webtransport-h3"];
const PARTS_OF_TEXTS: &[&str] = &[
    "sec-webtransport-http3-draft",
    "wt-available-protocols",
    "wt-protocol",
];

/// The variants of `Dialect`: to ask for one is to know a draft by name, not by what it prescribes.
const VARIANTS: &[&str] = &["Draft02", "Draft07", "Draft13", "Draft16"];

/// Every number, text and name of a draft outside its home.
pub fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path != HOME) {
        for token in file.code() {
            if let Some(what) = of_a_draft(&token) {
                findings.push(file.finding(token.line, format!("{what} belongs into {HOME}")));
            }
        }
    }
    findings
}

/// The numbers and texts above that the home does not hold: a list that guards nothing is wrong.
pub fn missing_from_home(files: &[File]) -> Vec<String> {
    let home = files
        .iter()
        .find(|file| file.path == HOME)
        .map(File::code)
        .unwrap_or_default();
    let has_number = |wanted: u128| {
        home.iter()
            .any(|t| matches!(t.kind, Kind::Number { value, .. } if value == wanted))
    };
    let has_text = |wanted: &str| {
        home.iter()
            .any(|t| matches!(&t.kind, Kind::Text(text) if text.to_lowercase().contains(wanted)))
    };
    let numbers = NUMBERS
        .iter()
        .chain(HEX_NUMBERS)
        .filter(|n| !has_number(**n));
    let texts = TEXTS
        .iter()
        .chain(PARTS_OF_TEXTS)
        .filter(|text| !has_text(text));
    numbers
        .map(|n| format!("{n:#x}"))
        .chain(texts.map(ToString::to_string))
        .collect()
}

fn of_a_draft(token: &Token) -> Option<String> {
    match &token.kind {
        Kind::Number { value, hex } => {
            let is_known = NUMBERS.contains(value) || *hex && HEX_NUMBERS.contains(value);
            is_known.then(|| format!("{value:#x}"))
        }
        Kind::Text(text) => {
            let text = text.to_lowercase();
            let is_known = TEXTS.contains(&text.as_str())
                || PARTS_OF_TEXTS.iter().any(|part| text.contains(part));
            is_known.then(|| format!("{text:?}"))
        }
        Kind::Word(word) if VARIANTS.contains(&word.as_str()) => Some(format!("`{word}`")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&[File::new(path, text)])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn any_spelling_is_found() {
        for text in [
            "0x2b603742",
            "0x2B60_3742_u64",
            "727725890",
            "0b00101011011000000011011101000010",
        ] {
            assert_eq!(
                findings("h3/a.rs", text),
                ["h3/a.rs:1: 0x2b603742 belongs into wt/dialect.rs"]
            );
        }
        assert_eq!(
            findings("wt/a.rs", "\n0x41"),
            ["wt/a.rs:2: 0x41 belongs into wt/dialect.rs"]
        );
        for text in [
            r#""webtransport""#,
            r#"b"WebTransport-H3""#,
            r#"":sec-webtransport-http3-draft02""#,
        ] {
            assert_eq!(findings("wire/a.rs", text).len(), 1, "{text}");
        }
        assert_eq!(findings("wt/a.rs", "if d >= Dialect::Draft13 {}").len(), 1);
    }

    #[test]
    fn what_only_looks_alike_is_not() {
        for text in [
            "65",
            "84",
            "0x40",
            "0x2b62",
            r#""WebTransport needs datagrams""#,
            "// 0x2843 webtransport",
            "#[cfg(test)] mod tests { const X: u64 = 0x2843; }",
        ] {
            assert_eq!(findings("wt/a.rs", text), [""; 0], "{text}");
        }
        assert_eq!(findings(HOME, "0x2843"), [""; 0]);
    }

    #[test]
    fn the_home_holds_them() {
        let files = [File::new(
            HOME,
            r#"0x2843; "sec-webtransport-http3-draft02""#,
        )];
        let missing = missing_from_home(&files);
        assert!(!missing.contains(&"0x2843".to_owned()) && missing.contains(&"0x78ae".to_owned()));
        assert!(missing.contains(&"webtransport-h3".to_owned()));
    }
}
