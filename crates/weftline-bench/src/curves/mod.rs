//! Goodput, fairness and queueing delay over a simulated bottleneck, as CSV, SVG and tables.

use std::time::Duration;

use crate::tls::Tls;

mod flow;
mod network;
mod report;
mod svg;

use self::{
    flow::Sender,
    network::{Entry, Outcome, Path},
};

/// Measures everything and writes it below `docs`.
pub(crate) fn run() -> Result<(), String> {
    let tls = Tls::generate();
    let sweeps: Vec<Sweep> = sweeps().into_iter().map(|plan| plan.run(&tls)).collect();
    let fairness = fairness(&tls);
    report::write(&sweeps, &fairness).map_err(|error| format!("docs: {error}"))
}

/// Measures one point, and prints it.
pub(crate) fn point(rtt: &str, loss: &str, buffer: &str) -> Option<()> {
    let path = Path {
        rtt: Duration::from_millis(rtt.parse().ok()?),
        loss: loss.parse::<f64>().ok()? / 100.0,
        buffer: buffer.parse().ok()?,
    };
    let tls = Tls::generate();
    for sender in Sender::ALL {
        let alone = alone(&tls, sender, path);
        println!(
            "{:<18} {:.3} of the link, queue {:.1} ms, 95 % below {:.1} ms",
            sender.name(),
            alone.goodput[0],
            alone.mean_wait.as_secs_f64() * 1e3,
            alone.p95_wait.as_secs_f64() * 1e3,
        );
    }
    Some(())
}

/// Points along one property of the path.
struct Sweep {
    /// Of the files.
    name: &'static str,
    title: &'static str,
    /// What differs, with its unit.
    axis: &'static str,
    points: Vec<Point>,
}

struct Point {
    /// On the axis.
    x: f64,
    path: Path,
    /// Of [`Sender::ALL`], in that order.
    outcomes: Vec<Outcome>,
}

impl Sweep {
    /// Every point has a path, and no outcome yet.
    fn plan(
        name: &'static str,
        title: &'static str,
        axis: &'static str,
        xs: &[f64],
        path: impl Fn(f64) -> Path,
    ) -> Self {
        let point = |x: &f64| Point {
            x: *x,
            path: path(*x),
            outcomes: Vec::new(),
        };
        Self {
            name,
            title,
            axis,
            points: xs.iter().map(point).collect(),
        }
    }

    fn run(mut self, tls: &Tls) -> Self {
        for point in &mut self.points {
            let outcomes = Sender::ALL.map(|sender| alone(tls, sender, point.path));
            point.outcomes = outcomes.into();
        }
        eprintln!("{}: done", self.name);
        self
    }
}

fn sweeps() -> Vec<Sweep> {
    let path = |rtt: f64, loss: f64, buffer: f64| Path {
        rtt: Duration::from_secs_f64(rtt / 1e3),
        loss: loss / 100.0,
        buffer,
    };
    vec![
        Sweep::plan(
            "loss",
            "Random loss (RTT 50 ms, buffer 1 BDP)",
            "loss in %",
            &LOSSES,
            |loss| path(50.0, loss, 1.0),
        ),
        Sweep::plan(
            "rtt",
            "Round-trip time (no random loss, buffer 1 BDP)",
            "RTT in ms",
            &RTTS,
            |rtt| path(rtt, 0.0, 1.0),
        ),
        Sweep::plan(
            "rtt-loss",
            "Round-trip time (loss 1 %, buffer 1 BDP)",
            "RTT in ms",
            &RTTS,
            |rtt| path(rtt, 1.0, 1.0),
        ),
        Sweep::plan(
            "buffer",
            "Buffer (RTT 50 ms, no random loss)",
            "buffer in BDP",
            &BUFFERS,
            |buffer| path(50.0, 0.0, buffer),
        ),
    ]
}

/// One flow that has the path for itself: the mean of the seeds.
fn alone(tls: &Tls, sender: Sender, path: Path) -> Outcome {
    let outcomes = SEEDS.map(|seed| {
        let entry = Entry::new(sender.flow(tls, seed), Duration::ZERO);
        network::run(path, vec![entry], [Duration::ZERO, ALONE], seed)
    });
    mean(&outcomes)
}

/// Two flows on one path.
struct Duel {
    first: Sender,
    second: Sender,
    buffer: f64,
    outcome: Outcome,
}

/// Two flows of one kind, and of each of ours with its rival; the second begins later.
fn fairness(tls: &Tls) -> Vec<Duel> {
    let same = Sender::ALL.map(|sender| (sender, sender));
    let rivals = Sender::ALL.map(|sender| sender.rival().map(|rival| (sender, rival)));
    let pairs: Vec<_> = same
        .into_iter()
        .chain(rivals.into_iter().flatten())
        .collect();
    let mut duels = Vec::new();
    for buffer in DUEL_BUFFERS {
        for &(first, second) in &pairs {
            let path = Path {
                rtt: Duration::from_millis(50),
                loss: 0.0,
                buffer,
            };
            let outcomes = SEEDS.map(|seed| {
                let entries = vec![
                    Entry::new(first.flow(tls, seed), Duration::ZERO),
                    Entry::new(second.flow(tls, seed + 100), DUEL_SECOND),
                ];
                network::run(path, entries, DUEL, seed)
            });
            duels.push(Duel {
                first,
                second,
                buffer,
                outcome: mean(&outcomes),
            });
        }
    }
    eprintln!("fairness: done");
    duels
}

fn mean(outcomes: &[Outcome]) -> Outcome {
    let count = outcomes.len() as u32;
    let flows = outcomes.first().map_or(0, |first| first.goodput.len());
    let goodput = (0..flows).map(|flow| {
        let all = outcomes.iter().map(|outcome| outcome.goodput[flow]);
        all.sum::<f64>() / f64::from(count)
    });
    let wait = |of: fn(&Outcome) -> Duration| outcomes.iter().map(of).sum::<Duration>() / count;
    Outcome {
        goodput: goodput.collect(),
        mean_wait: wait(|outcome| outcome.mean_wait),
        p95_wait: wait(|outcome| outcome.p95_wait),
    }
}

const LOSSES: [f64; 7] = [0.0, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0];
const RTTS: [f64; 6] = [10.0, 30.0, 50.0, 100.0, 200.0, 300.0];
const BUFFERS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];
const DUEL_BUFFERS: [f64; 3] = [0.5, 1.0, 4.0];

/// Each of them is a link of its own and other random bits of the ends, the same for all senders.
const SEEDS: [u64; 3] = [1, 2, 3];

/// How long a flow alone sends.
const ALONE: Duration = Duration::from_secs(20);

/// When the second of two flows begins, and when they are looked at.
const DUEL_SECOND: Duration = Duration::from_secs(3);
const DUEL: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(30)];
