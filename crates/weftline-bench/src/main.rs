//! What Weftline costs beside quinn-proto, when both do the same work in the same virtual time with
//! the same TLS library; and how fast both are over the same simulated paths.
//!
//! ```text
//! cargo run --release --manifest-path crates/weftline-bench/Cargo.toml -- instructions
//! cargo run --release --manifest-path crates/weftline-bench/Cargo.toml -- curves
//! ```

use std::{env, process::ExitCode};

mod callgrind;
mod curves;
mod instructions;
mod pair;
mod quinn;
mod tls;
mod weftline;
mod work;

use work::{Stack, Work};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["instructions", works @ ..] => {
            selection(works).and_then(|works| instructions::run(&works))
        }
        ["curves"] => curves::run(),
        ["curves", rtt, loss, buffer] => {
            curves::point(rtt, loss, buffer).ok_or_else(|| USAGE.to_owned())
        }
        ["run", stack, work, count] => run(stack, work, count),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The named works, or all of them.
fn selection(names: &[&str]) -> Result<Vec<Work>, String> {
    if names.is_empty() {
        return Ok(Work::ALL.to_vec());
    }
    names.iter().map(|name| Work::named(name)).collect()
}

fn run(stack: &str, work: &str, count: &str) -> Result<(), String> {
    let (stack, work) = (Stack::named(stack)?, Work::named(work)?);
    let count = count.parse().map_err(|_| USAGE.to_owned())?;
    stack.run(work, count);
    Ok(())
}

const USAGE: &str = "\
usage: weftline-bench instructions [WORK]...   count instructions with valgrind, print a table
       weftline-bench curves                   measure goodput and fairness, write docs/curves*
       weftline-bench curves RTT LOSS BUFFER   one point: milliseconds, percent, multiples of BDP
       weftline-bench run STACK WORK COUNT     do the work once, for a profiler
STACK: weftline (raw QUIC), webtransport (a session of Weftline's), quinn-proto
WORK:  bulk, requests, short-streams, datagrams-64, datagrams-1200, handshakes";
