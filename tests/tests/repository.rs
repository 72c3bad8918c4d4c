//! The rules of `CONTRIBUTING.md` that can be checked, over the repository as it is.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use weftline_tests::{
    code_points,
    core_source::{File, Finding, core_files, repository},
    layers, manifest, purity,
};

fn core() -> Vec<File> {
    let files = core_files().expect("the sources of the core");
    assert!(
        files.len() > 50,
        "only {} files of the core were found",
        files.len()
    );
    files
}

fn none(findings: &[Finding]) {
    let list: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert!(
        list.is_empty(),
        "in crates/weftline/src:\n{}",
        list.join("\n")
    );
}

#[test]
fn layers_point_one_way() {
    none(&layers::check(&core()));
    assert_eq!(layers::rules_without_code(&core()), [""; 0]);
}

#[test]
fn drafts_are_known_in_one_file_only() {
    none(&code_points::check(&core()));
    assert_eq!(code_points::missing_from_home(&core()), [""; 0]);
}

#[test]
fn the_core_is_pure() {
    none(&purity::check(&core()));
    let lib = core()
        .into_iter()
        .find(|file| file.path == "lib.rs")
        .expect("lib.rs");
    for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        assert!(
            lib.text.lines().any(|line| line == attribute),
            "lib.rs lacks {attribute}"
        );
    }
}

#[test]
fn files_of_the_core_are_readable() {
    none(&purity::too_long(&core()));
}

#[test]
fn dependencies_are_those_agreed_on() {
    let manifest = |name: &str| read(&format!("crates/{name}/Cargo.toml"));
    let core = manifest::names_in_table(&manifest("weftline"), "dependencies");
    assert_eq!(core, ["bytes", "thiserror", "http"]);
    // Adapters take TLS as a configuration that others made.
    for name in ["weftline-std", "weftline-tokio"] {
        let names = manifest::names_in_table(&manifest(name), "dependencies");
        assert!(!names.is_empty(), "{name} depends on nothing");
        let tls = names
            .iter()
            .find(|name| name.contains("rustls") || *name == "ring");
        assert_eq!(tls, None, "in {name}");
    }
}

#[test]
fn every_fuzz_target_has_a_corpus() {
    let targets: BTreeSet<_> = manifest::binaries(&read("fuzz/Cargo.toml"))
        .into_iter()
        .collect();
    assert!(!targets.is_empty(), "no fuzz targets were found");
    let shims = names(&repository().join("fuzz/fuzz_targets"));
    let shims: BTreeSet<_> = shims
        .iter()
        .filter_map(|name| name.strip_suffix(".rs"))
        .map(str::to_owned)
        .collect();
    assert_eq!(targets, shims, "fuzz/Cargo.toml and fuzz/fuzz_targets");
    let corpora: BTreeSet<_> = names(&repository().join("fuzz/corpus"))
        .into_iter()
        .collect();
    assert_eq!(targets, corpora, "fuzz/Cargo.toml and fuzz/corpus");
    for name in &targets {
        let corpus = repository().join("fuzz/corpus").join(name);
        assert!(!names(&corpus).is_empty(), "the corpus of {name} is empty");
    }
}

fn read(path: &str) -> String {
    let path: PathBuf = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names(directory: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect()
}
