//! Counts of valgrind's callgrind.

use std::{
    collections::BTreeMap,
    env, fs,
    process::{self, Command, Stdio},
};

/// Instructions of each function itself, without those it calls, by its file and name.
pub(crate) type Counts = BTreeMap<(String, String), u64>;

/// Runs this program with `args` and counts.
pub(crate) fn count(args: &[&str]) -> Result<Counts, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let out = env::temp_dir().join(format!("weftline-bench-{}.callgrind", process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--compress-strings=no"])
        .args(["--dump-line=no", "--combine-dumps=yes"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        // Copies by a repeated instruction would count as one instruction for each byte.
        .env(
            "GLIBC_TUNABLES",
            "glibc.cpu.x86_rep_movsb_threshold=0x40000000:glibc.cpu.x86_rep_stosb_threshold=0x40000000",
        )
        .arg(program)
        .args(args)
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !status.success() {
        return Err(format!("valgrind: {args:?}: {status}"));
    }
    let text = fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let _ = fs::remove_file(&out);
    Ok(parse(&text))
}

/// Reads the profile format of callgrind, as far as functions' own costs go.
fn parse(text: &str) -> Counts {
    let mut counts = Counts::new();
    let (mut file, mut function) = ("", "");
    let mut cost = 0;
    let mut is_call = false;
    for line in text.lines().chain(["fn="]) {
        if let Some(name) = line.strip_prefix("fl=") {
            add(&mut counts, file, function, &mut cost);
            file = name;
        } else if let Some(name) = line.strip_prefix("fn=") {
            add(&mut counts, file, function, &mut cost);
            function = name;
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // The line after `calls=` has the cost of what was called.
            let own = !std::mem::take(&mut is_call);
            let figure = line.split_whitespace().nth(1).filter(|_| own);
            cost += figure.and_then(|figure| figure.parse().ok()).unwrap_or(0);
        }
    }
    counts
}

fn add(counts: &mut Counts, file: &str, function: &str, cost: &mut u64) {
    let key = (file.to_owned(), function.to_owned());
    *counts.entry(key).or_default() += std::mem::take(cost);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_costs() {
        let text = "events: Ir\n\nfl=x\nfn=a\n0 5\n+2 7\ncfn=b\ncalls=1 0\n0 100\n* 1\n\nfl=y\n\
                    fn=b\n0 100\nfl=x\nfn=a\n0 2\ntotals: 115\n";
        let counts = parse(text);
        let of = |file: &str, function: &str| counts[&(file.to_owned(), function.to_owned())];
        assert_eq!(of("x", "a"), 15);
        assert_eq!(of("y", "b"), 100);
        assert_eq!(counts.values().sum::<u64>(), 115);
    }
}
