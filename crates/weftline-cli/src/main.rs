//! The `weftline` command.

#![forbid(unsafe_code)]

mod args;
mod cert;
mod client;
mod failure;
mod link;
mod logs;
mod output;
mod pattern;
mod qlog;
mod serve;

use std::{
    future::Future,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use args::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(Cli { command }) => command,
        Err(error) => return args::report(&error),
    };
    let result = match command {
        Command::Serve(args) => run(Builder::new_multi_thread(), serve::run(*args)),
        Command::Connect(args) => run(Builder::new_current_thread(), client::connect(*args)),
        Command::Get(args) => run(Builder::new_current_thread(), client::get(*args)),
        Command::Bench(args) => run(Builder::new_multi_thread(), client::bench(*args)),
        Command::Cert(args) => cert::run(&args),
        Command::Qlog(args) => qlog::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody may be listening; the exit code says it too.
            let _ = writeln!(io::stderr(), "weftline: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    mut builder: Builder,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let runtime: Runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let result = runtime.block_on(work);
    // A thread may still wait for stdin or a name server, which must not keep the process.
    runtime.shutdown_timeout(Duration::ZERO);
    result
}
