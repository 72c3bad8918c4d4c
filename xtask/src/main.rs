//! `cargo xtask test` runs every test of the repository and sets up what each needs; `cargo xtask
//! interop` runs the cases of the QUIC interop runner with other implementations.
//!
//! The Rust tests need nothing but Cargo. The browser and aioquic suites install what they drive:
//! Debian's `chromium` (when this runs as root and apt-get is there), `playwright-core` from npm
//! and `aioquic` from PyPI, below `target/peers`. What cannot be set up is skipped, and said so at
//! the end; with `CI` in the environment a skip is a failure.

mod interop;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

const USAGE: &str = "\
usage: cargo xtask test [rust|simulation|browser|aioquic|interop]...
       cargo xtask interop [--case CASE]... [--peer PEER]... [--quick] [--jobs N] [--seed N]
Without names every part, case and peer runs. --quick takes the peers that are built in a minute, and
leaves docs/interop.md as it is.";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.split_first() {
        Some((first, wanted)) if first == "test" => test(wanted),
        Some((first, args)) if first == "interop" => interop::command(args),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn test(wanted: &[String]) -> ExitCode {
    let unknown = wanted
        .iter()
        .find(|name| !PARTS.iter().any(|part| part.name == **name));
    if let Some(name) = unknown {
        eprintln!("xtask: no part of the tests is called {name:?}\n{USAGE}");
        return ExitCode::from(2);
    }
    let chosen = PARTS
        .iter()
        .filter(|part| wanted.is_empty() || wanted.iter().any(|w| w == part.name));
    let outcomes: Vec<_> = chosen
        .map(|part| {
            println!("\n== {}: {}", part.name, part.what);
            (part.name, (part.run)())
        })
        .collect();
    summarize(&outcomes)
}

/// One part of the tests.
struct Part {
    name: &'static str,
    what: &'static str,
    run: fn() -> Outcome,
}

const PARTS: &[Part] = &[
    Part {
        name: "rust",
        what: "unit, property, vector and Rust peer tests",
        run: rust,
    },
    Part {
        name: "simulation",
        what: "1,000 seeds of a lossy network, 10,000 handshakes, 10,000 cases of random operations",
        run: simulation,
    },
    Part {
        name: "browser",
        what: "headless Chromium against `weftline serve`",
        run: browser,
    },
    Part {
        name: "aioquic",
        what: "aioquic in both roles",
        run: aioquic,
    },
    Part {
        name: "interop",
        what: "the cases of the QUIC interop runner over a simulated network",
        run: interop::part,
    },
];

/// How a part ended.
enum Outcome {
    Passed,
    Failed,
    /// It could not be set up here.
    Skipped(String),
}

fn summarize(outcomes: &[(&str, Outcome)]) -> ExitCode {
    println!("\n== summary");
    let in_ci = env::var_os("CI").is_some();
    let mut ok = true;
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Passed => println!("passed   {name}"),
            Outcome::Failed => {
                println!("FAILED   {name}");
                ok = false;
            }
            Outcome::Skipped(why) => {
                println!("skipped  {name}: {why}");
                ok &= !in_ci;
            }
        }
    }
    if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn rust() -> Outcome {
    passed(cargo(&["test", "--workspace"]))
}

fn simulation() -> Outcome {
    let mut command = cargo(&["test", "--release", "--package", "weftline-sim"]);
    for suite in ["lossy", "extremes", "random_ops"] {
        command.args(["--test", suite]);
    }
    command
        .args(["--", "--nocapture"])
        .env("SIM_SEEDS", "1000")
        .env("SIM_HANDSHAKES", "10000")
        .env("OPS_CASES", "10000");
    passed(command)
}

fn browser() -> Outcome {
    let Some(chromium) = chromium() else {
        return Outcome::Skipped(
            "no Chromium: install the package `chromium`, or run as root where apt-get has it"
                .into(),
        );
    };
    let suite = root().join("tests/peers/browser");
    let place = root().join("target/peers/browser");
    if let Err(error) = mirror(&suite, &place) {
        return Outcome::Skipped(error);
    }
    let install = ["install", "--no-audit", "--no-fund", "--loglevel=error"];
    if !succeeds(Command::new("npm").args(install).current_dir(&place)) {
        return Outcome::Skipped("npm cannot install playwright-core".into());
    }
    with_weftline(|weftline| {
        let mut command = Command::new("node");
        command
            .arg(place.join("suite.mjs"))
            .arg(weftline)
            .arg("--chromium")
            .arg(&chromium);
        passed(command)
    })
}

fn aioquic() -> Outcome {
    let python = match python_with_aioquic() {
        Ok(python) => python,
        Err(why) => return Outcome::Skipped(why),
    };
    with_weftline(|weftline| {
        let mut command = Command::new(&python);
        command
            .arg(root().join("tests/peers/aioquic/suite.py"))
            .arg(weftline)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        passed(command)
    })
}

/// A Python that has aioquic.
fn python_with_aioquic() -> Result<PathBuf, String> {
    let venv = root().join("target/peers/aioquic");
    let python = venv.join("bin/python");
    if !python.exists() && !succeeds(Command::new("python3").args(["-m", "venv"]).arg(&venv)) {
        return Err("python3 -m venv does not work here".into());
    }
    let requirements = root().join("tests/peers/aioquic/requirements.txt");
    let mut install = Command::new(&python);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ]);
    if !succeeds(install.arg(requirements)) {
        return Err("pip cannot install aioquic".into());
    }
    Ok(python)
}

/// Builds the command and runs `test` with its path.
fn with_weftline(test: impl FnOnce(&Path) -> Outcome) -> Outcome {
    if !succeeds(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "weftline-cli",
    ])) {
        return Outcome::Failed;
    }
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    test(&target.join("release/weftline"))
}

/// Where Chromium is; installs Debian's package when it is missing and we may.
fn chromium() -> Option<PathBuf> {
    let candidates = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ];
    let installed = || {
        candidates
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
    };
    installed().or_else(|| {
        println!("installing Debian's chromium with apt-get");
        let apt = |args: &[&str]| {
            let mut command = Command::new("apt-get");
            succeeds(
                command
                    .args(args)
                    .env("DEBIAN_FRONTEND", "noninteractive")
                    .stdout(Stdio::null()),
            )
        };
        (apt(&["update"]) && apt(&["install", "-y", "--no-install-recommends", "chromium"]))
            .then(installed)
            .flatten()
    })
}

/// Copies the files of `from` into `to`, so that what npm writes stays out of the sources.
fn mirror(from: &Path, to: &Path) -> Result<(), String> {
    let copy = || {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    };
    copy().map_err(|error: std::io::Error| format!("cannot copy {}: {error}", from.display()))
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

fn passed(mut command: Command) -> Outcome {
    if succeeds(&mut command) {
        Outcome::Passed
    } else {
        Outcome::Failed
    }
}

fn succeeds(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!(
                "cannot run {}: {error}",
                command.get_program().to_string_lossy()
            );
            false
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}
