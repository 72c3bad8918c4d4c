//! Runs the cases of the QUIC interop runner between local processes, over a network in this
//! process, and checks them from the packets. See docs/interop.md; `cargo xtask interop` builds the
//! programs and calls this.

mod capture;
mod cases;
mod certs;
mod checks;
mod keys;
mod link;
mod middlebox;
mod packets;
mod report;
mod run;
mod tls;

use std::{env, path::PathBuf, process::ExitCode, sync::Arc, time::Instant};

use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    cases::Case,
    report::{Notes, Row},
    run::{Implementation, Job, OURS},
};

const USAGE: &str = "\
usage: interop-runner --with NAME=PROGRAM[,ARGUMENT]... --out DIR [--case CASE]... [--jobs N]
                      [--seed N] [--notes FILE] [--report FILE]
One --with names weftline. Every case is run with it on either side or on both.
Exit code: 0 when all passed but what the notes know, 1 otherwise.";

struct Options {
    implementations: Vec<Implementation>,
    cases: Vec<&'static Case>,
    out: PathBuf,
    jobs: usize,
    seed: u64,
    notes: Option<PathBuf>,
    report: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match options(env::args().skip(1)) {
        Ok(options) => Arc::new(options),
        Err(error) => {
            eprintln!("interop-runner: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("interop-runner: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is as it should be.
async fn run(options: Arc<Options>) -> Result<bool, String> {
    let notes = match &options.notes {
        Some(path) => Notes::read(path)?,
        None => Notes::default(),
    };
    let start = Instant::now();
    let rows = all(&options).await;
    let is_good = report::print(&rows, &notes);
    println!("{} s", start.elapsed().as_secs());
    if let Some(path) = &options.report {
        report::write(path, &rows, &notes)?;
    }
    Ok(is_good)
}

/// Runs every case between every two, and returns them in order.
async fn all(options: &Arc<Options>) -> Vec<Row> {
    let slots = Arc::new(Semaphore::new(options.jobs));
    let mut running = JoinSet::new();
    for (client, server) in pairs(&options.implementations) {
        for case in &options.cases {
            let (options, slots) = (options.clone(), slots.clone());
            let (client, server, case) = (client.clone(), server.clone(), *case);
            running.spawn(async move {
                let _slot = slots.acquire().await;
                let name = format!("{}-{}-{}", case.name, client.name, server.name);
                let job = Job {
                    case,
                    client: &client,
                    server: &server,
                    seed: options.seed,
                    dir: options.out.join(name),
                };
                let start = Instant::now();
                let outcome = job.run().await;
                let row = Row::new(case, &client.name, &server.name, outcome);
                println!("{row} ({:.1} s)", start.elapsed().as_secs_f64());
                row
            });
        }
    }
    let mut rows = Vec::new();
    while let Some(row) = running.join_next().await {
        rows.extend(row.inspect_err(|error| eprintln!("interop-runner: {error}")));
    }
    rows
}

/// Ours with ours, and with every other both ways.
fn pairs(all: &[Implementation]) -> Vec<(Implementation, Implementation)> {
    let Some(ours) = all.iter().find(|one| one.name == OURS) else {
        return Vec::new();
    };
    let others = all.iter().filter(|other| other.name != OURS);
    let both_ways =
        |other: &Implementation| [(ours.clone(), other.clone()), (other.clone(), ours.clone())];
    let first = (ours.clone(), ours.clone());
    [first]
        .into_iter()
        .chain(others.flat_map(both_ways))
        .collect()
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        implementations: Vec::new(),
        cases: Vec::new(),
        out: PathBuf::new(),
        jobs: 6,
        seed: 1,
        notes: None,
        report: None,
    };
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{value:?} is no number"));
        match arg.as_str() {
            "--with" => {
                let (name, command) = value.split_once('=').ok_or("--with NAME=PROGRAM")?;
                options.implementations.push(Implementation {
                    name: name.into(),
                    command: command.split(',').map(String::from).collect(),
                });
            }
            "--case" => {
                let case = cases::ALL.iter().find(|case| case.name == value);
                options
                    .cases
                    .push(case.ok_or_else(|| format!("no case is called {value:?}"))?);
            }
            "--out" => options.out = value.into(),
            "--notes" => options.notes = Some(value.into()),
            "--report" => options.report = Some(value.into()),
            "--jobs" => options.jobs = number()? as usize,
            "--seed" => options.seed = number()?,
            _ => return Err(format!("unknown argument {arg}")),
        }
    }
    if options.cases.is_empty() {
        options.cases = cases::ALL.iter().collect();
    }
    if !options.implementations.iter().any(|one| one.name == OURS) {
        return Err(format!("no --with {OURS}=..."));
    }
    Ok(options)
}
