//! What was measured, as files below `docs`.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path as FilePath, PathBuf},
};

use super::{
    ALONE, DUEL, DUEL_SECOND, Duel, Point, SEEDS, Sender, Sweep,
    flow::WINDOW,
    network::{BANDWIDTH, Outcome},
    svg::Chart,
};
use crate::pair::DATAGRAM_SIZE;

pub(super) fn write(sweeps: &[Sweep], duels: &[Duel]) -> io::Result<()> {
    let docs = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let curves = docs.join("curves");
    fs::create_dir_all(&curves)?;
    let mut page = intro();
    for sweep in sweeps {
        fs::write(file(&curves, sweep.name, "csv"), csv(sweep))?;
        for measure in Measure::ALL {
            let name = format!("{}-{}", sweep.name, measure.name);
            fs::write(file(&curves, &name, "svg"), measure.chart(sweep).render())?;
        }
        section(&mut page, sweep);
    }
    fs::write(file(&curves, "fairness", "csv"), duels_csv(duels))?;
    fs::write(
        file(&curves, "fairness", "svg"),
        duels_chart(duels).render(),
    )?;
    duels_section(&mut page, duels);
    below_section(&mut page, sweeps);
    fs::write(docs.join("curves.md"), page)
}

fn file(folder: &FilePath, name: &str, extension: &str) -> PathBuf {
    folder.join(format!("{name}.{extension}"))
}

/// A figure of an outcome.
struct Measure {
    name: &'static str,
    axis: &'static str,
    of: fn(&Outcome) -> f64,
    top: Option<f64>,
}

impl Measure {
    const ALL: [Self; 2] = [
        Self {
            name: "goodput",
            axis: "goodput, share of the link",
            of: |outcome| outcome.goodput[0],
            top: Some(1.0),
        },
        Self {
            name: "delay",
            axis: "mean wait in the queue, ms",
            of: mean_wait_ms,
            top: None,
        },
    ];

    fn chart<'a>(&'a self, sweep: &'a Sweep) -> Chart<'a> {
        let lines = Sender::ALL.iter().enumerate().map(|(index, sender)| {
            let values = sweep.points.iter();
            let values = values.map(|point| (self.of)(&point.outcomes[index]));
            (sender.name(), values.collect())
        });
        Chart {
            title: sweep.title,
            x_axis: sweep.axis,
            y_axis: self.axis,
            ticks: sweep
                .points
                .iter()
                .map(|point| point.x.to_string())
                .collect(),
            lines: lines.collect(),
            top: self.top,
        }
    }
}

fn csv(sweep: &Sweep) -> String {
    let mut out = String::from(
        "rtt_ms,loss_percent,buffer_bdp,sender,goodput_share,mean_wait_ms,p95_wait_ms\n",
    );
    for point in &sweep.points {
        for (sender, outcome) in Sender::ALL.iter().zip(&point.outcomes) {
            let _ = writeln!(
                out,
                "{},{},{},{},{:.4},{:.2},{:.2}",
                point.path.rtt.as_millis(),
                short(100.0 * point.path.loss),
                point.path.buffer,
                sender.name(),
                outcome.goodput[0],
                mean_wait_ms(outcome),
                p95_wait_ms(outcome),
            );
        }
    }
    out
}

fn duels_csv(duels: &[Duel]) -> String {
    let mut out =
        String::from("buffer_bdp,first,second,first_share,second_share,jain_index,mean_wait_ms\n");
    for duel in duels {
        let _ = writeln!(
            out,
            "{},{},{},{:.4},{:.4},{:.4},{:.2}",
            duel.buffer,
            duel.first.name(),
            duel.second.name(),
            duel.outcome.goodput[0],
            duel.outcome.goodput[1],
            duel.jain(),
            mean_wait_ms(&duel.outcome),
        );
    }
    out
}

fn duels_chart(duels: &[Duel]) -> Chart<'static> {
    let mut ticks: Vec<String> = duels.iter().map(|duel| duel.buffer.to_string()).collect();
    ticks.dedup();
    let lines = Sender::ALL.map(|sender| {
        let same = duels
            .iter()
            .filter(|duel| (duel.first, duel.second) == (sender, sender));
        (sender.name(), same.map(Duel::jain).collect())
    });
    Chart {
        title: "Two flows of one kind (RTT 50 ms, no random loss)",
        x_axis: "buffer in BDP",
        y_axis: "Jain's index",
        ticks,
        lines: lines.into(),
        top: Some(1.0),
    }
}

impl Duel {
    /// Jain's fairness index: 1 for equal shares, one half when one flow has everything.
    fn jain(&self) -> f64 {
        let shares = &self.outcome.goodput;
        let sum: f64 = shares.iter().sum();
        let squares: f64 = shares.iter().map(|share| share * share).sum();
        sum * sum / (shares.len() as f64 * squares).max(f64::MIN_POSITIVE)
    }
}

fn intro() -> String {
    format!(
        "# Goodput, delay and fairness over a simulated bottleneck\n\
         \n\
         <!-- Written by: cargo run --release --manifest-path crates/weftline-bench/Cargo.toml -- \
         curves -->\n\
         \n\
         NewReno, CUBIC and BBRv3 of Weftline and NewReno, CUBIC and BBR of quinn-proto 0.11.19 send over \
         the same simulated bottleneck, in virtual time. One command measures again and writes \
         this page, the tables (`curves/*.csv`) and the pictures:\n\
         \n\
         ```text\n\
         cargo run --release --manifest-path crates/weftline-bench/Cargo.toml -- curves\n\
         ```\n\
         \n\
         - The link: {} Mbit/s, a queue that drops at its tail, half of the RTT each way. Random \
         loss hits datagrams towards the receiver; the way back is not limited and loses nothing.\n\
         - The grid: the four sweeps below; where not said otherwise RTT is 50 ms and the buffer \
         1 BDP, the product of bandwidth and RTT.\n\
         - A flow: raw QUIC, one stream that always has data, for {} s from the end of the \
         handshake, slow start included. Goodput is what the application at the other end has \
         read, as a share of the link; headers, repairs and acknowledgements are not in it, so \
         that about 0.97 is all there is.\n\
         - The same for all: UDP payloads of {DATAGRAM_SIZE} bytes without MTU discovery, windows \
         and send buffers of {} MiB, {} seeds for the link and the ends, of which the mean is \
         given. All else is each stack's default. quinn-proto's BBR takes random bits that no \
         seed determines: its figures differ a little from run to run.\n",
        BANDWIDTH / 1_000_000,
        ALONE.as_secs(),
        WINDOW >> 20,
        SEEDS.len(),
    )
}

fn section(page: &mut String, sweep: &Sweep) {
    let _ = write!(page, "\n## {}\n\n", sweep.title);
    for measure in Measure::ALL {
        let (name, measure) = (sweep.name, measure.name);
        let _ = writeln!(page, "![{measure}](curves/{name}-{measure}.svg)");
    }
    let _ = write!(
        page,
        "\nGoodput as a share of the link, and the mean wait in the queue in ms:\n\n| {} |",
        sweep.axis
    );
    for sender in Sender::ALL {
        let _ = write!(page, " {} |", sender.name());
    }
    page.push_str("\n|--:|--:|--:|--:|--:|--:|--:|\n");
    for point in &sweep.points {
        let _ = write!(page, "| {} |", point.x);
        for outcome in &point.outcomes {
            let wait = mean_wait_ms(outcome);
            let _ = write!(page, " {:.3}, {wait:.1} |", outcome.goodput[0]);
        }
        page.push('\n');
    }
}

fn duels_section(page: &mut String, duels: &[Duel]) {
    let [begin, end] = DUEL.map(|at| at.as_secs());
    let _ = write!(
        page,
        "\n## Two flows on one path\n\n![fairness](curves/fairness.svg)\n\n\
         The second begins {} s after the first; shares are of seconds {begin} to {end}. Jain's \
         index is 1 for equal shares and 0.5 when one flow has everything.\n\n\
         | buffer in BDP | first | second | share of the first | of the second | index | wait in ms \
         |\n|--:|---|---|--:|--:|--:|--:|\n",
        DUEL_SECOND.as_secs()
    );
    for duel in duels {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {:.3} | {:.3} | {:.3} | {:.1} |",
            duel.buffer,
            duel.first.name(),
            duel.second.name(),
            duel.outcome.goodput[0],
            duel.outcome.goodput[1],
            duel.jain(),
            mean_wait_ms(&duel.outcome),
        );
    }
}

/// Names the points where a sender of ours is slower than what it is measured by.
fn below_section(page: &mut String, sweeps: &[Sweep]) {
    page.push_str(
        "\n## Where Weftline is slower\n\nEach controller is held against quinn-proto's of the same \
         family. Every point that is lower by more than 0.005 of the link:\n",
    );
    for (ours, sender) in Sender::ALL.iter().enumerate() {
        let Some(rival) = sender.rival() else {
            continue;
        };
        let theirs = Sender::ALL.iter().position(|other| *other == rival);
        let Some(theirs) = theirs else { continue };
        let _ = write!(page, "\n**{}.** {}\n", sender.name(), reason(*sender));
        let mut rows = String::new();
        let mut seen = Vec::new();
        for point in sweeps.iter().flat_map(|sweep| &sweep.points) {
            // Sweeps cross.
            if !seen.contains(&point.path) {
                seen.push(point.path);
                row(&mut rows, point, ours, theirs);
            }
        }
        match rows.is_empty() {
            true => page.push_str("\nNo such point.\n"),
            false => {
                page.push_str(
                    "\n| RTT in ms | loss in % | buffer in BDP | ours | theirs | wait in ms, ours | \
                     theirs |\n|--:|--:|--:|--:|--:|--:|--:|\n",
                );
                page.push_str(&rows);
            }
        }
    }
}

fn row(rows: &mut String, point: &Point, ours: usize, theirs: usize) {
    let [ours, theirs] = [ours, theirs].map(|index| &point.outcomes[index]);
    if ours.goodput[0] + SLACK >= theirs.goodput[0] {
        return;
    }
    let _ = writeln!(
        rows,
        "| {} | {} | {} | {:.3} | {:.3} | {:.1} | {:.1} |",
        point.path.rtt.as_millis(),
        short(100.0 * point.path.loss),
        point.path.buffer,
        ours.goodput[0],
        theirs.goodput[0],
        mean_wait_ms(ours),
        mean_wait_ms(theirs),
    );
}

/// Why, where it is. Whoever changes a controller reads this again.
fn reason(sender: Sender) -> &'static str {
    match sender {
        Sender::Bbr => {
            "Theirs is BBR of the first version: it takes no loss for a sign of congestion and has \
             up to two BDP in flight, so that it fills the link at any loss and keeps every queue \
             full that holds a BDP. Ours is of the third version, which leaves room on purpose: it \
             is paced 1 % below the bandwidth, looks at the path with half a BDP in flight every \
             5 s instead of 10, keeps 15 % free below a bound that losses have shown, lowers its \
             estimates after round trips with more losses than chance explains until it probes again, and takes losses of \
             more than 2 % for a full queue: with random loss near that and few packets in a round \
             trip it cannot tell the two apart."
        }
        _ => {
            "Ours ends slow start when round trips grow longer (HyStart++); theirs goes on until the \
             first loss. Whether that is all of the difference with short queues and random loss was \
             not isolated."
        }
    }
}

fn mean_wait_ms(outcome: &Outcome) -> f64 {
    outcome.mean_wait.as_secs_f64() * 1e3
}

fn p95_wait_ms(outcome: &Outcome) -> f64 {
    outcome.p95_wait.as_secs_f64() * 1e3
}

/// A percentage without digits that floats made up.
fn short(percent: f64) -> String {
    let text = format!("{percent:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Differences below it are noise.
const SLACK: f64 = 0.005;
