//! The interoperability matrix: builds the endpoints and calls the runner of `tests/interop`.

use std::{
    collections::BTreeSet,
    env,
    path::PathBuf,
    process::{Command, ExitCode},
};

use crate::{Outcome, USAGE, cargo, python_with_aioquic, root, succeeds};

/// `cargo xtask interop`.
pub(crate) fn command(args: &[String]) -> ExitCode {
    let options = match options(args) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("xtask: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(skipped) => {
            skipped.iter().for_each(|why| println!("skipped  {why}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The part of `cargo xtask test`: the cases that do not turn on how fast this machine is, between
/// ourselves and with quinn. It is in real time, so a pause of the machine may fail a case: what
/// fails twice is broken.
pub(crate) fn part() -> Outcome {
    let options = Options {
        is_quick: true,
        peers: BTreeSet::from(["quinn".to_owned()]),
        cases: STEADY
            .iter()
            .flat_map(|case| ["--case".to_owned(), (*case).to_owned()])
            .collect(),
        ..Options::default()
    };
    match run(&options).or_else(|_| run(&options)) {
        Ok(skipped) if skipped.is_empty() => Outcome::Passed,
        Ok(skipped) => Outcome::Skipped(skipped.join("; ")),
        Err(error) => {
            eprintln!("xtask: {error}");
            Outcome::Failed
        }
    }
}

/// Cases without loss, corruption or long waits.
const STEADY: &[&str] = &[
    "handshake",
    "transfer",
    "chacha20",
    "multiplexing",
    "retry",
    "resumption",
    "zerortt",
    "http3",
    "ipv6",
    "ecn",
    "keyupdate",
];

#[derive(Debug, Default)]
struct Options {
    is_quick: bool,
    peers: BTreeSet<String>,
    /// Of the runner.
    cases: Vec<String>,
    others: Vec<String>,
}

/// A peer, how long its build takes, and whether that is long.
struct Peer {
    name: &'static str,
    is_quick: bool,
    build: fn() -> Result<String, String>,
}

const PEERS: &[Peer] = &[
    Peer {
        name: "quinn",
        is_quick: true,
        build: || build("peer-quinn"),
    },
    Peer {
        name: "aioquic",
        is_quick: true,
        build: python,
    },
    Peer {
        name: "s2n-quic",
        is_quick: false,
        build: || build("peer-s2n"),
    },
    Peer {
        name: "quiche",
        is_quick: false,
        build: quiche,
    },
];

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--quick" {
            options.is_quick = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--peer" if value == "weftline" || PEERS.iter().any(|peer| peer.name == value) => {
                options.peers.insert(value.clone());
            }
            "--peer" => return Err(format!("no peer is called {value:?}")),
            "--case" => options.cases.extend([arg.clone(), value.clone()]),
            "--jobs" | "--seed" => options.others.extend([arg.clone(), value.clone()]),
            _ => return Err(format!("unknown argument {arg}")),
        }
    }
    Ok(options)
}

/// Builds and runs; returns what could not be built, and why.
fn run(options: &Options) -> Result<Vec<String>, String> {
    let runner = build("interop-runner")?;
    let mut with = vec![format!("weftline={}", build("peer-weftline")?)];
    let mut skipped = Vec::new();
    let wanted = |peer: &&Peer| match options.peers.is_empty() {
        true => peer.is_quick || !options.is_quick,
        false => options.peers.contains(peer.name),
    };
    for peer in PEERS.iter().filter(wanted) {
        match (peer.build)() {
            Ok(command) => with.push(format!("{}={command}", peer.name)),
            Err(why) => skipped.push(format!("{}: {why}", peer.name)),
        }
    }
    let place = root().join("tests/interop");
    let mut command = Command::new(runner);
    command
        .arg("--out")
        .arg(target().join("runs"))
        .arg("--notes")
        .arg(place.join("notes.txt"));
    let is_all = options.cases.is_empty() && with.len() == PEERS.len() + 1;
    if is_all && !options.is_quick {
        command.arg("--report").arg(root().join("docs/interop.md"));
    }
    command.args(with.iter().flat_map(|with| ["--with", with]));
    command.args(&options.cases).args(&options.others);
    match succeeds(&mut command) {
        true => Ok(skipped),
        false => Err("a case of the matrix failed".into()),
    }
}

/// Builds a program of the workspace of peers, and returns where it is.
fn build(package: &str) -> Result<String, String> {
    let manifest = root().join("tests/interop/Cargo.toml");
    let mut command = cargo(&["build", "--quiet", "--locked", "--package", package]);
    command.arg("--manifest-path").arg(manifest);
    command.arg("--target-dir").arg(target());
    match succeeds(&mut command) {
        true => Ok(target().join("debug").join(package).display().to_string()),
        false => Err(format!("{package} cannot be built")),
    }
}

fn python() -> Result<String, String> {
    let script = root().join("tests/interop/peer-aioquic/peer.py");
    let python = python_with_aioquic()?;
    Ok(format!("{},{}", python.display(), script.display()))
}

/// quiche brings BoringSSL, whose build needs more than Cargo.
fn quiche() -> Result<String, String> {
    for tool in ["cmake", "clang"] {
        let mut version = Command::new(tool);
        if !succeeds(version.arg("--version").stdout(std::process::Stdio::null())) {
            return Err(format!("it needs {tool}"));
        }
    }
    println!("building quiche, which takes some minutes the first time");
    build("peer-quiche")
}

/// Apart from the repository's own, whose locks and features it does not share.
fn target() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR");
    target
        .map_or_else(|| root().join("target"), PathBuf::from)
        .join("interop")
}
