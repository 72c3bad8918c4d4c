//! The core is pure: no standard library, no clock, no hidden order, no shared cells, no `unsafe`.

use crate::core_source::{File, Finding};

/// Words that no code of the core uses, and why.
const WORDS: &[(&str, &str)] = &[
    ("unsafe", "the core has no unsafe code"),
    ("HashMap", "its order is not reproducible; and it needs std"),
    ("HashSet", "its order is not reproducible; and it needs std"),
    ("SystemTime", "time comes in as an argument"),
    ("OnceLock", "no state outside of a connection or endpoint"),
    ("LazyLock", "no state outside of a connection or endpoint"),
    (
        "thread_local",
        "no state outside of a connection or endpoint",
    ),
    ("Rc", "one owner for everything"),
    ("RefCell", "one owner for everything"),
    ("Mutex", "one owner for everything"),
    ("getrandom", "randomness comes in as an argument"),
    ("println", "the core writes nothing"),
    ("eprintln", "the core writes nothing"),
    ("dbg", "the core writes nothing"),
];

/// The longest a file may be, in lines.
pub const MAX_LINES: usize = 700;

/// Every use of what is not pure.
pub fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let code = file.code();
        for (at, token) in code.iter().enumerate() {
            let Some(word) = token.word() else { continue };
            if let Some((_, why)) = WORDS.iter().find(|(banned, _)| *banned == word) {
                findings.push(file.finding(token.line, format!("`{word}`: {why}")));
            }
            let calls_now =
                |t: &[_]| matches!(t, [a, b, c, ..] if is_separator(a, b) && c.is_word("now"));
            if word == "Instant" && calls_now(&code[at + 1..]) {
                findings
                    .push(file.finding(token.line, "`Instant::now`: time comes in as an argument"));
            }
        }
        // `std` may be named where a feature asks for it.
        let code = file.code_without(&["test", "std", "http"]);
        for (at, token) in code.iter().enumerate() {
            let is_path = matches!(&code[at + 1..], [a, b, ..] if is_separator(a, b));
            let is_import =
                at > 0 && (code[at - 1].is_word("crate") || code[at - 1].is_word("use"));
            if token.is_word("std") && (is_path || is_import) {
                findings.push(file.finding(token.line, "`std`: the core is no_std"));
            }
        }
    }
    findings
}

/// Every file that is too long for a reader.
pub fn too_long(files: &[File]) -> Vec<Finding> {
    let lines = |file: &File| file.text.lines().count();
    let long = files.iter().filter(|file| lines(file) > MAX_LINES);
    long.map(|file| file.finding(0, format!("{} lines, {MAX_LINES} at the most", lines(file))))
        .collect()
}

fn is_separator(a: &crate::source::Token, b: &crate::source::Token) -> bool {
    a.is(':') && b.is(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(&[File::new("a.rs", text)]).len()
    }

    #[test]
    fn impurities_are_found() {
        for text in [
            "unsafe { x }",
            "use alloc::collections::HashMap;",
            "let now = Instant::now();",
            "fn f(at: SystemTime) {}",
            "use std::io;",
            "fn f() -> std::io::Error {}",
            "extern crate std;",
            r#"#[cfg(not(feature = "http"))] use std::io;"#,
            r#"#[cfg(any(unix, feature = "std"))] use std::io;"#,
            "struct S { x: Rc<u8> }",
        ] {
            assert_eq!(findings(text), 1, "{text}");
        }
    }

    #[test]
    fn what_only_looks_alike_is_not() {
        for text in [
            "#![forbid(unsafe_code)]",
            "// unsafe HashMap std::io",
            r#"let x = "std::io unsafe";"#,
            r#"#[cfg(feature = "std")] impl std::error::Error for E {}"#,
            r#"#[cfg(any(feature = "std", test))] extern crate std;"#,
            "#[cfg(test)] mod tests { use std::collections::HashMap; }",
            "let now = clock.now(); let x = Instant::ZERO;",
            "use core::time::Duration;",
        ] {
            assert_eq!(findings(text), 0, "{text}");
        }
    }

    #[test]
    fn long_files_are_found() {
        let files = [
            File::new("a.rs", "\n".repeat(700)),
            File::new("b.rs", "\n".repeat(701)),
        ];
        let found = too_long(&files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "b.rs:0: 701 lines, 700 at the most");
    }
}
