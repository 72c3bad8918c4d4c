//! The numbers of WebTransport's drafts live in one file, so that a new draft is a change of data.

use std::{
    fs,
    path::{Path, PathBuf},
};

const HOME: &str = "wt/dialect.rs";

/// Settings, capsules, error codes and the range of application codes. Stream markers are too
/// short to be looked for.
const CODE_POINTS: [&str; 24] = [
    "0x2b603742",
    "0xc671706a",
    "0x14e9cd29",
    "0x2c7cf000",
    "0xffd277",
    "0x2b61",
    "0x2b64",
    "0x2b65",
    "0x2843",
    "0x78ae",
    "0x190b4d3d",
    "0x190b4d3e",
    "0x190b4d3f",
    "0x190b4d40",
    "0x190b4d41",
    "0x190b4d42",
    "0x190b4d43",
    "0x190b4d44",
    "0x3994bd84",
    "0x170d7b68",
    "0x45d4487",
    "0x817b3dd",
    "0x212c0d48",
    "0x52e4a40fa8db",
];

#[test]
fn code_points_of_drafts_are_in_one_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.iter().any(|file| file.ends_with(HOME)));
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let found: Vec<_> = numbers(without_tests(&source))
            .filter(|number| CODE_POINTS.contains(&number.as_str()))
            .collect();
        if file.ends_with(HOME) {
            let missing = CODE_POINTS
                .iter()
                .find(|point| !found.iter().any(|n| n == *point));
            assert_eq!(missing, None, "not in {HOME}");
        } else {
            assert!(found.is_empty(), "{} names {found:?}", file.display());
        }
    }
}

/// Every source file but those of tests.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap_or_default();
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn without_tests(source: &str) -> &str {
    let end = source.find("#[cfg(test)]\nmod tests {");
    &source[..end.unwrap_or(source.len())]
}

/// The hexadecimal numbers of a source, without underscores and leading zeros.
fn numbers(source: &str) -> impl Iterator<Item = String> {
    source.match_indices("0x").map(|(at, _)| {
        let digits = source[at + 2..].chars();
        let digits: String = digits
            .take_while(|c| c.is_ascii_hexdigit() || *c == '_')
            .filter(|c| *c != '_')
            .collect();
        format!("0x{}", digits.trim_start_matches('0').to_ascii_lowercase())
    })
}
