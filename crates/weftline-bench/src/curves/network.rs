//! Flows that share a bottleneck, in virtual time.

use std::time::Duration;

use weftline::Instant;
use weftline_sim::{Link, LinkConfig};

use super::flow::Flow;
use crate::pair::{DATAGRAM_SIZE, Side};

/// A path and what is sent over it.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Path {
    pub(crate) rtt: Duration,
    /// Share of datagrams towards the receiver that is lost at random.
    pub(crate) loss: f64,
    /// The queue, in products of bandwidth and round-trip time.
    pub(crate) buffer: f64,
}

impl Path {
    fn queue(self) -> usize {
        let bdp = BANDWIDTH as f64 / 8.0 * self.rtt.as_secs_f64();
        // A queue that holds nothing but one datagram would drop every burst of two.
        ((bdp * self.buffer) as usize).max(4 * usize::from(DATAGRAM_SIZE))
    }

    fn link(self, loss: f64, bandwidth: Option<u64>) -> LinkConfig {
        LinkConfig {
            latency: self.rtt / 2,
            bandwidth,
            queue: self.queue(),
            loss,
            ..LinkConfig::default()
        }
    }
}

/// What was seen at the receivers from the time when all flows had begun, or later.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Of each flow, as shares of the bandwidth.
    pub(crate) goodput: Vec<f64>,
    /// How long datagrams waited in the queue.
    pub(crate) mean_wait: Duration,
    /// One in twenty waited longer.
    pub(crate) p95_wait: Duration,
}

/// A flow, and when it begins.
pub(crate) struct Entry {
    flow: Box<dyn Flow>,
    /// Since the first was connected.
    after: Duration,
    at: Duration,
    begun: bool,
}

impl Entry {
    /// A flow that begins so long after the first is connected.
    pub(crate) fn new(flow: Box<dyn Flow>, after: Duration) -> Self {
        Self {
            flow,
            after,
            at: Duration::MAX,
            begun: false,
        }
    }
}

/// Lets the flows send over one path until `end`, and looks at them from `begin` on; both count from
/// when the first is connected. Handshakes meet no random loss: it is not them that is compared.
pub(crate) fn run(
    path: Path,
    entries: Vec<Entry>,
    [begin, end]: [Duration; 2],
    seed: u64,
) -> Outcome {
    let mut network = Network {
        now: START,
        towards: Link::new(path.link(0.0, Some(BANDWIDTH)), seed),
        back: Link::new(path.link(0.0, None), seed + 1),
        latency: path.rtt / 2,
        entries,
        waits: None,
    };
    network.entries[0].at = START;
    network.until(|network| network.entries[0].flow.is_ready());
    let zero = network.now;
    for entry in &mut network.entries[1..] {
        entry.at = zero + entry.after;
    }
    network
        .towards
        .set_config(path.link(path.loss, Some(BANDWIDTH)));
    network.run_to(zero + begin);
    let before = network.received();
    network.waits = Some(Vec::new());
    network.run_to(zero + end);
    let seconds = (end - begin).as_secs_f64();
    let share = |bytes: u64| bytes as f64 * 8.0 / seconds / BANDWIDTH as f64;
    let received = network.received();
    let [mean_wait, p95_wait] = summary(network.waits.unwrap_or_default());
    Outcome {
        goodput: received
            .iter()
            .zip(before)
            .map(|(after, before)| share(after - before))
            .collect(),
        mean_wait,
        p95_wait,
    }
}

struct Network {
    now: Duration,
    towards: Link<Tag>,
    back: Link<Tag>,
    latency: Duration,
    entries: Vec<Entry>,
    /// Once they are looked at.
    waits: Option<Vec<Duration>>,
}

/// Whose datagram it is, and when it was sent.
#[derive(Copy, Clone)]
struct Tag {
    flow: usize,
    sent: Duration,
}

impl Network {
    fn received(&self) -> Vec<u64> {
        let received = self.entries.iter().map(|entry| entry.flow.received());
        received.collect()
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        self.begin_flows();
        self.settle();
        while !done(self) {
            self.now = self.next().expect("something that happens");
            self.step();
        }
    }

    fn run_to(&mut self, end: Duration) {
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = next;
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        self.begin_flows();
        self.deliver();
        for entry in self.entries.iter_mut().filter(|entry| entry.begun) {
            entry.flow.handle_timeouts(self.now);
        }
        self.settle();
    }

    fn begin_flows(&mut self) {
        for entry in &mut self.entries {
            if !entry.begun && entry.at <= self.now {
                entry.begun = true;
                entry.flow.connect(self.now);
            }
        }
    }

    fn deliver(&mut self) {
        let now = instant(self.now);
        while let Some((mut datagram, tag)) = self.towards.receive(now) {
            if let Some(waits) = &mut self.waits {
                let alone = self.latency + transmission(datagram.len());
                waits.push((self.now - tag.sent).saturating_sub(alone));
            }
            let flow = &mut self.entries[tag.flow].flow;
            flow.handle_datagram(self.now, Side::Server, &mut datagram);
        }
        while let Some((mut datagram, tag)) = self.back.receive(now) {
            let flow = &mut self.entries[tag.flow].flow;
            flow.handle_datagram(self.now, Side::Client, &mut datagram);
        }
    }

    /// Lets the applications work, and sends what there is to send.
    fn settle(&mut self) {
        let (towards, back, now) = (&mut self.towards, &mut self.back, self.now);
        for (flow, entry) in self.entries.iter_mut().enumerate() {
            if !entry.begun {
                continue;
            }
            entry.flow.work();
            let tag = Tag { flow, sent: now };
            entry.flow.transmit(now, &mut |to, datagram| match to {
                Side::Server => towards.send(instant(now), datagram, tag),
                Side::Client => back.send(instant(now), datagram, tag),
            });
        }
    }

    fn next(&mut self) -> Option<Duration> {
        let arrivals = [self.towards.next_arrival(), self.back.next_arrival()];
        let arrivals = arrivals.into_iter().flatten();
        let arrival = arrivals.map(|at| at.saturating_since(Instant::ZERO)).min();
        let entries = self.entries.iter_mut();
        let wakes = entries.filter_map(|entry| match entry.begun {
            true => entry.flow.poll_timeout(),
            false => (entry.at < Duration::MAX).then_some(entry.at),
        });
        let next = wakes.chain(arrival).min()?;
        Some(next.max(self.now))
    }
}

/// The mean, and what one in twenty is above of.
fn summary(mut waits: Vec<Duration>) -> [Duration; 2] {
    let count = u32::try_from(waits.len()).unwrap_or(u32::MAX).max(1);
    let mean = waits.iter().sum::<Duration>() / count;
    waits.sort_unstable();
    let p95 = waits.get(waits.len() * 95 / 100);
    [mean, p95.copied().unwrap_or_default()]
}

/// How long the bottleneck takes for a datagram.
fn transmission(len: usize) -> Duration {
    Duration::from_micros(len as u64 * 8_000_000 / BANDWIDTH)
}

fn instant(at: Duration) -> Instant {
    Instant::ZERO + at
}

/// Of the bottleneck, in bits per second.
pub(crate) const BANDWIDTH: u64 = 20_000_000;

/// Not at zero, which some timers might take for never.
const START: Duration = Duration::from_secs(1);
