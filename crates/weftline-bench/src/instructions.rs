//! Instructions of each work, in all and outside the cipher.

use crate::{
    callgrind::{self, Counts},
    work::{Stack, Work},
};

/// Instructions of one unit of work.
#[derive(Copy, Clone, Debug)]
struct Cost {
    total: u64,
    /// Without what both stacks take from the same libraries.
    outside: u64,
}

/// Prints tables of the given works.
pub(crate) fn run(works: &[Work]) -> Result<(), String> {
    let measured: Vec<_> = works
        .iter()
        .map(|&work| Ok((work, measure_all(work)?)))
        .collect::<Result<_, String>>()?;
    println!("Instructions of both ends together. `webtransport` is Weftline in a session.");
    table("In all", &measured, |cost| cost.total);
    table("Outside the cipher", &measured, |cost| cost.outside);
    Ok(())
}

fn measure_all(work: Work) -> Result<[Cost; 3], String> {
    let [ours, theirs, session] = Stack::ALL.map(|stack| measure(stack, work));
    Ok([ours?, theirs?, session?])
}

fn table(title: &str, measured: &[(Work, [Cost; 3])], count: impl Fn(&Cost) -> u64) {
    let [ours, theirs, session] = Stack::ALL.map(Stack::name);
    println!("\n| {title}, per | {ours} | {theirs} | ratio | {session} | ratio |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (work, costs) in measured {
        let [ours, theirs, session] = costs.each_ref().map(&count);
        println!(
            "| {} | {} | {} | **{}** | {} | {} |",
            work.unit(),
            figure(ours),
            figure(theirs),
            ratio(ours, theirs),
            figure(session),
            ratio(session, theirs),
        );
    }
}

/// The difference between two amounts of work, so that what comes before it is not in.
fn measure(stack: Stack, work: Work) -> Result<Cost, String> {
    let amounts = work.amounts();
    let [less, more] = amounts.map(|amount| {
        let amount = amount.to_string();
        callgrind::count(&["run", stack.name(), work.name(), &amount])
            .map(|counts| cost(work, &counts))
    });
    let (less, more) = (less?, more?);
    let [few, many] = amounts.map(|amount| amount as u64);
    let per_unit = |less: u64, more: u64| more.saturating_sub(less) / (many - few);
    Ok(Cost {
        total: per_unit(less.total, more.total),
        outside: per_unit(less.outside, more.outside),
    })
}

fn cost(work: Work, counts: &Counts) -> Cost {
    let ciphers = counts
        .iter()
        .filter(|((file, function), _)| is_cipher(work, file, function));
    let total: u64 = counts.values().sum();
    Cost {
        total,
        outside: total - ciphers.map(|(_, count)| count).sum::<u64>(),
    }
}

/// Whether a function is of ring or, in handshakes, of the cryptography of rustls.
fn is_cipher(work: Work, file: &str, function: &str) -> bool {
    let is_ring = file.contains("/ring-") || function.contains("ring_core_");
    let is_rustls = function.contains("rustls::crypto::");
    is_ring || (work == Work::Handshakes && is_rustls)
}

/// With separators between thousands.
fn figure(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn ratio(ours: u64, theirs: u64) -> String {
    format!("{:.2}", ours as f64 / theirs as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!(figure(0), "0");
        assert_eq!(figure(999), "999");
        assert_eq!(figure(1000), "1,000");
        assert_eq!(figure(1_234_567), "1,234,567");
    }
}
