//! Modules point one way: `wire <- crypto <- quic <- h3 <- wt <- connection <- endpoint`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    core_source::{File, Finding},
    source::Token,
};

/// What each module of the core may name, beside itself: whole modules, or single items.
///
/// The layers first, each with those below it. `config`, `error` and `event` are vocabulary: they
/// hold what the application and the layers say to each other, so they name types of every layer,
/// and layers name them back. Nothing but those types may pass: which ones is listed by item
/// wherever a lower layer could reach an upper one through them (`event::Event` carries sessions,
/// so `quic` may not name it).
const MAY_NAME: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("entropy", &[]),
    ("udp", &[]),
    ("wire", &[]),
    ("stats", &["wire"]),
    ("blocked", &["time", "config::Limits"]),
    (
        "probe",
        &[
            "wire",
            "time",
            "udp",
            "crypto::Level",
            "crypto::Version",
            "event::CloseReason",
        ],
    ),
    (
        "crypto",
        &["wire", "time", "error::Fault", "error::TransportCode"],
    ),
    (
        "quic",
        &[
            "wire",
            "crypto",
            "time",
            "entropy",
            "udp",
            "probe",
            "stats",
            "blocked",
            "error::Fault",
            "error::MigrateError",
            "error::TransportCode",
            "event::CloseReason",
            "event::PathChange",
            "event::ClosedBy",
            "event::ErrorSpace",
            "config::Limits",
            "config::TransportConfig",
        ],
    ),
    (
        "h3",
        &[
            "probe",
            "quic",
            "wire",
            "crypto",
            "time",
            "error::Fault",
            "error::RequestError",
            "event::CloseReason",
            "config::Limits",
        ],
    ),
    (
        "wt",
        &[
            "probe",
            "h3",
            "quic",
            "wire",
            "crypto",
            "time",
            "error",
            "event",
            "config::Limits",
        ],
    ),
    (
        "connection",
        &[
            "wt", "h3", "quic", "crypto", "wire", "time", "entropy", "udp", "error", "event",
            "config", "stats", "blocked",
        ],
    ),
    (
        "endpoint",
        &[
            "connection",
            "quic",
            "crypto",
            "wire",
            "time",
            "entropy",
            "udp",
            "error",
            "event",
            "config",
        ],
    ),
    ("driver", &["endpoint", "time", "udp"]),
    (
        "config",
        &[
            "crypto",
            "error::ConfigError",
            "probe",
            "quic::congestion",
            "wire",
            "wt::Dialect",
        ],
    ),
    ("error", &[]),
    (
        "event",
        &[
            "wire",
            "h3::RequestHead",
            "h3::ResponseHead",
            "wt::Dialect",
            "wt::SessionId",
        ],
    ),
];

/// Every use of a module that the one it is in may not name.
pub fn check(files: &[File]) -> Vec<Finding> {
    let exports = files
        .iter()
        .find(|file| file.path == "lib.rs")
        .map(re_exports)
        .unwrap_or_default();
    let mut findings = Vec::new();
    for file in files {
        let module = file.module();
        // The root only declares and re-exports.
        let Some(&own) = module.first() else { continue };
        let code = file.code();
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == own) else {
            if !code.is_empty() {
                findings.push(file.finding(0, format!("no rule says what `{own}` may name")));
            }
            continue;
        };
        for (line, mut path) in crate_paths(&code, module.len()) {
            if let Some(origin) = exports.get(&path[0]) {
                path.insert(0, origin.clone());
            }
            let item = path
                .iter()
                .take(2)
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join("::");
            if path[0] != own
                && !allowed.contains(&path[0].as_str())
                && !allowed.contains(&item.as_str())
            {
                findings.push(file.finding(line, format!("`{own}` names `{item}`")));
            }
        }
    }
    findings
}

/// The layers that have a rule but no code: a rule that holds nothing is an error of its own.
pub fn rules_without_code(files: &[File]) -> Vec<&'static str> {
    let present: BTreeSet<_> = files
        .iter()
        .filter_map(|file| file.module().first().copied())
        .collect();
    let names = MAY_NAME.iter().map(|(name, _)| *name);
    names.filter(|name| !present.contains(name)).collect()
}

/// What the root re-exports, and from which module: `pub use time::Instant`.
fn re_exports(root: &File) -> BTreeMap<String, String> {
    let code = root.code();
    let mut exports = BTreeMap::new();
    for (at, token) in code.iter().enumerate() {
        if !token.is_word("use") {
            continue;
        }
        let mut paths = Vec::new();
        tree(&code[at + 1..], &mut Vec::new(), &mut paths);
        for (_, path) in paths {
            if let [module, .., item] = path.as_slice() {
                exports.insert(item.clone(), module.clone());
            }
        }
    }
    exports
}

/// The paths that begin at the crate's root, without `crate`, and their lines. `depth` is how many
/// `super` lead from this module to the root.
fn crate_paths(code: &[Token], depth: usize) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let supers = (0..)
            .take_while(|i| code.get(at + 3 * i).is_some_and(|t| t.is_word("super")))
            .count();
        let root = match supers {
            0 if code[at].is_word("crate") => 1,
            n if n > 0 && n == depth => 3 * n - 2,
            n => {
                at += (3 * n).max(1);
                continue;
            }
        };
        at += root;
        if is_path_separator(&code[at..]) {
            at += 2;
            at += tree(&code[at..], &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Reads a path, or a tree of them in braces, and returns how many tokens it takes.
fn tree(code: &[Token], prefix: &mut Vec<String>, found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let (start, mut at) = (prefix.len(), 0);
    while let Some(token) = code.get(at) {
        if token.is('{') {
            at += 1;
            while at < code.len() && !code[at].is('}') {
                at += tree(&code[at..], prefix, found).max(1);
            }
            prefix.truncate(start);
            return at + 1;
        }
        match token.word() {
            Some("self") => {}
            Some(word) => prefix.push(word.to_owned()),
            None if token.is('*') => prefix.push("*".to_owned()),
            None => break,
        }
        at += 1;
        if !is_path_separator(&code[at..]) {
            break;
        }
        at += 2;
    }
    if at > 0 && !prefix.is_empty() {
        found.push((code[at - 1].line, prefix.clone()));
    }
    prefix.truncate(start);
    at
}

fn is_path_separator(code: &[Token]) -> bool {
    code.len() > 1 && code[0].is(':') && code[1].is(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core_source::mark_tests;

    /// What is found in a file of this path and text, with a root that re-exports.
    fn findings(path: &str, text: &str) -> Vec<String> {
        let root = "pub mod time; pub use time::Instant; pub use wt::{SessionId, Dialect as D};";
        let mut files = [File::new("lib.rs", root), File::new(path, text)];
        mark_tests(&mut files);
        check(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn downward_is_fine() {
        assert_eq!(
            findings(
                "quic/a.rs",
                "use crate::{wire::{self, Cid}, quic::Space, Instant};"
            ),
            [""; 0]
        );
        assert_eq!(
            findings(
                "quic/a.rs",
                "use super::{b, c}; fn f() -> crate::event::ClosedBy {}"
            ),
            [""; 0]
        );
        assert_eq!(
            findings(
                "wt/mod.rs",
                "use crate::event::{Event, SessionClosed}; use crate::h3;"
            ),
            [""; 0]
        );
        assert_eq!(
            findings(
                "event.rs",
                "use crate::{wt::{Dialect, SessionId}, h3::RequestHead};"
            ),
            [""; 0]
        );
    }

    #[test]
    fn upward_is_found() {
        assert_eq!(
            findings("wire/a.rs", "\nuse crate::quic::X;"),
            ["wire/a.rs:2: `wire` names `quic::X`"]
        );
        let nested =
            "use crate::{\nwire::{Cid, frame::{Ack, self}},\nh3::{self, head::{Fields}},\n};";
        assert_eq!(
            findings("quic/a/b.rs", nested),
            [
                "quic/a/b.rs:3: `quic` names `h3`",
                "quic/a/b.rs:3: `quic` names `h3::head`"
            ]
        );
        assert_eq!(
            findings("h3/mod.rs", "fn f(x: crate::wt::Layer) {}"),
            ["h3/mod.rs:1: `h3` names `wt::Layer`"]
        );
        assert_eq!(
            findings("wire/a.rs", "use crate::Instant;"),
            ["wire/a.rs:1: `wire` names `time::Instant`"]
        );
        assert_eq!(
            findings("h3/a.rs", "use crate::SessionId;"),
            ["h3/a.rs:1: `h3` names `wt::SessionId`"]
        );
    }

    #[test]
    fn supers_reach_the_root_too() {
        assert_eq!(
            findings(
                "quic/a/b.rs",
                "use super::super::super::endpoint::Endpoint; use super::super::x;"
            ),
            ["quic/a/b.rs:1: `quic` names `endpoint::Endpoint`"]
        );
        assert_eq!(
            findings("crypto/mod.rs", "use super::quic;"),
            ["crypto/mod.rs:1: `crypto` names `quic`"]
        );
    }

    #[test]
    fn vocabulary_is_by_item() {
        assert_eq!(
            findings("quic/a.rs", "use crate::event::Event;"),
            ["quic/a.rs:1: `quic` names `event::Event`"]
        );
        assert_eq!(
            findings("quic/a.rs", "use crate::event;"),
            ["quic/a.rs:1: `quic` names `event`"]
        );
        assert_eq!(
            findings("quic/a.rs", "use crate::event::*;"),
            ["quic/a.rs:1: `quic` names `event::*`"]
        );
        assert_eq!(
            findings("config/mod.rs", "use crate::wt::Layer;"),
            ["config/mod.rs:1: `config` names `wt::Layer`"]
        );
    }

    #[test]
    fn tests_may_name_anything_and_new_modules_need_a_rule() {
        assert_eq!(
            findings(
                "wire/a.rs",
                "#[cfg(test)] mod tests { use crate::endpoint::X; }"
            ),
            [""; 0]
        );
        assert_eq!(
            findings("new/a.rs", "fn f() {}"),
            ["new/a.rs:0: no rule says what `new` may name"]
        );
        assert!(rules_without_code(&[File::new("wire/mod.rs", "")]).contains(&"quic"));
    }
}
