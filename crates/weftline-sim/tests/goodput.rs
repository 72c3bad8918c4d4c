//! How well congestion control does: goodput by loss, round trip and buffer, fairness, and what
//! reordering costs. All in virtual time, so that every figure is the same each time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weftline::{
    ConnId, Dir, Endpoint, Event, Instant, SessionId, SessionRequest, Stats, StreamId,
    config::{ClientConfig, EndpointConfig, Limits, ServerConfig},
    congestion::Congestion,
    crypto::null::{NullClient, NullServer},
};
use weftline_sim::{App, LinkConfig, World};

/// Bulk data one way.
enum Bulk {
    /// Opens connections, a session and a stream on each, and sends for ever.
    Source(Source),
    /// Counts what comes.
    Sink(BTreeMap<ConnId, u64>),
}

struct Source {
    config: Arc<ClientConfig>,
    /// When each connection begins.
    starts: Vec<Duration>,
    connections: Vec<ConnId>,
    sessions: BTreeMap<ConnId, (SessionId, StreamId)>,
}

impl Source {
    fn write(&self, endpoint: &mut Endpoint, id: ConnId) {
        let chunk = [0x5a; 16 << 10];
        let (Some(connection), Some((_, stream))) =
            (endpoint.connection(id), self.sessions.get(&id))
        else {
            return;
        };
        while connection.write(*stream, &chunk).is_ok() {}
    }
}

impl App for Bulk {
    fn on_event(&mut self, _: Instant, endpoint: &mut Endpoint, id: ConnId, event: Event) {
        match self {
            Self::Source(source) => match event {
                Event::SessionReady(session, _) => {
                    let connection = endpoint.connection(id).expect("it has a session");
                    let stream = connection.open_stream(session, Dir::Uni);
                    let stream = stream.expect("the first stream is free");
                    source.sessions.insert(id, (session, stream));
                    source.write(endpoint, id);
                }
                Event::Writable(_) => source.write(endpoint, id),
                _ => {}
            },
            Self::Sink(received) => {
                let Some(connection) = endpoint.connection(id) else {
                    return;
                };
                match event {
                    Event::SessionRequested(session, _) => {
                        connection.accept_session(session, None).expect("it waits");
                    }
                    Event::Readable(stream) => {
                        while let Ok(Some(data)) = connection.read(stream, usize::MAX) {
                            *received.entry(id).or_default() += data.len() as u64;
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Source(source) => {
                let start = source.starts.get(source.connections.len())?;
                Some(BEGIN + *start)
            }
            Self::Sink(_) => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let Self::Source(source) = self else { return };
        let to = World::<Self>::address(1);
        let id = endpoint.connect(now, to, "sim.test", source.config.clone());
        let id = id.expect("the configuration is sound");
        let connection = endpoint.connection(id).expect("it was just made");
        let request = SessionRequest::new("sim.test", "/sink");
        connection.request_session(request).expect("it is new");
        source.connections.push(id);
    }
}

/// What came of a run.
struct Outcome {
    /// Bytes each connection brought over, in the order of their IDs.
    received: Vec<u64>,
    stats: Vec<Stats>,
    /// Datagrams that the receiver sent.
    answers: u64,
}

impl Outcome {
    /// Share of `bits_per_second` used over `time`.
    fn utilisation(&self, bits_per_second: u64, time: Duration) -> f64 {
        let bits = self.received.iter().sum::<u64>() as f64 * 8.0;
        bits / (bits_per_second as f64 * time.as_secs_f64())
    }
}

/// A path with `rtt` and a queue of so many bandwidth-delay products.
fn path(bits_per_second: u64, rtt: Duration, bdps: f64, loss: f64) -> LinkConfig {
    let bdp = bits_per_second as f64 / 8.0 * rtt.as_secs_f64();
    LinkConfig {
        latency: rtt / 2,
        bandwidth: Some(bits_per_second),
        queue: ((bdp * bdps) as usize).max(3000),
        loss,
        ..LinkConfig::default()
    }
}

fn run(
    congestion: &Congestion,
    forth: &LinkConfig,
    starts: &[Duration],
    time: Duration,
) -> Outcome {
    // Nothing but the path holds data back.
    let wide = |limits: &mut Limits| {
        limits.stream_window = 8 << 20;
        limits.stream_window_max = 8 << 20;
        limits.connection_window = 15 << 20;
        limits.stream_send_buffer = 8 << 20;
    };
    let server = ServerConfig::builder(Arc::new(NullServer::insecure()))
        .with_limits(wide)
        .build();
    let client = ClientConfig::builder(Arc::new(NullClient::insecure()))
        .with_limits(wide)
        .with_transport(|transport| transport.congestion = congestion.clone())
        .build();
    let (server, client) = (server.expect("sound"), client.expect("sound"));
    let configs = [
        EndpointConfig::client(),
        EndpointConfig::server(Arc::new(server)),
    ];
    let source = Source {
        config: Arc::new(client),
        starts: starts.to_vec(),
        connections: Vec::new(),
        sessions: BTreeMap::new(),
    };
    let apps = [Bulk::Source(source), Bulk::Sink(BTreeMap::new())];
    let mut world = World::new(1, forth, configs, apps);
    // The way back is as long, and neither narrow nor lossy.
    let back = LinkConfig {
        latency: forth.latency,
        ..LinkConfig::default()
    };
    world.set_link(1, back);
    world.run_for(time).expect("nothing goes wrong");
    let answers = world.link_stats(1).sent;
    let received = match &world.node(1).app {
        Bulk::Sink(received) => received.values().copied().collect(),
        Bulk::Source(_) => Vec::new(),
    };
    let node = world.node(0);
    let ids = match &node.app {
        Bulk::Source(source) => source.connections.clone(),
        Bulk::Sink(_) => Vec::new(),
    };
    let connections = ids
        .iter()
        .filter_map(|id| Some(node.endpoint.connection(*id)?.stats()));
    let stats = connections.collect();
    Outcome {
        received,
        stats,
        answers,
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const ALL: [Congestion; 3] = [Congestion::NewReno, Congestion::Cubic, Congestion::Bbr];
const MBIT: u64 = 1_000_000;

/// When a [`World`] begins.
const BEGIN: Instant = Instant::from_micros(1_000_000);

/// The least share of 20 Mbit/s in 20 s that must come of a round trip, a queue and a loss.
type Point = (u64, f64, f64, f64);

fn check(congestion: &Congestion, points: &[Point]) {
    let time = Duration::from_secs(20);
    for &(rtt, bdps, loss, least) in points {
        let path = path(20 * MBIT, ms(rtt), bdps, loss);
        let share = run(congestion, &path, &[ms(0)], time).utilisation(20 * MBIT, time);
        println!("{congestion:?}, {rtt} ms, {bdps} BDP, {loss}: {share:.3}");
        assert!(
            share >= least,
            "{congestion:?} with {rtt} ms, {bdps} BDP and {loss} lost: {share:.3} of {least}"
        );
    }
}

#[test]
fn goodput_of_cubic() {
    // At random losses the window follows from their share: 1.2 datagrams by the root of it.
    check(
        &Congestion::Cubic,
        &[
            (10, 0.25, 0.0, 0.87),
            (10, 1.0, 0.0, 0.95),
            (10, 1.0, 0.01, 0.47),
            (10, 1.0, 0.05, 0.17),
            (50, 0.25, 0.0, 0.88),
            (50, 1.0, 0.001, 0.36),
            (50, 1.0, 0.01, 0.10),
            (100, 0.25, 0.0, 0.87),
            (100, 4.0, 0.0, 0.90),
            (300, 0.25, 0.0, 0.75),
            (300, 1.0, 0.0, 0.80),
        ],
    );
}

#[test]
fn goodput_of_bbr() {
    check(
        &Congestion::Bbr,
        &[
            (10, 0.25, 0.0, 0.65),
            (10, 1.0, 0.01, 0.80),
            (50, 0.25, 0.0, 0.87),
            (50, 1.0, 0.01, 0.75),
            (100, 0.25, 0.01, 0.75),
            (100, 4.0, 0.0, 0.86),
            (300, 1.0, 0.0, 0.75),
            (300, 1.0, 0.01, 0.4),
        ],
    );
}

#[test]
fn goodput_of_new_reno() {
    check(
        &Congestion::NewReno,
        &[
            (10, 1.0, 0.0, 0.92),
            (50, 1.0, 0.001, 0.33),
            (100, 4.0, 0.0, 0.89),
        ],
    );
}

#[test]
fn two_flows_share() {
    for congestion in ALL {
        let path = path(20 * MBIT, ms(40), 1.0, 0.0);
        let outcome = run(
            &congestion,
            &path,
            &[ms(0), ms(2000)],
            Duration::from_secs(60),
        );
        let shares: Vec<f64> = outcome.received.iter().map(|bytes| *bytes as f64).collect();
        let (sum, squares) = (
            shares.iter().sum::<f64>(),
            shares.iter().map(|share| share * share).sum::<f64>(),
        );
        let jain = sum * sum / (shares.len() as f64 * squares);
        println!("{congestion:?}: {shares:?}, {jain:.3}");
        assert_eq!(shares.len(), 2);
        assert!(jain > 0.9, "{congestion:?}: {shares:?}");
        let used = outcome.utilisation(20 * MBIT, Duration::from_secs(60));
        assert!(used > 0.85, "{congestion:?}: {used}");
    }
}

#[test]
fn reordering_does_not_halve_the_window() {
    for congestion in ALL {
        let time = Duration::from_secs(20);
        let share = |reorder| {
            let path = LinkConfig {
                reorder,
                ..path(20 * MBIT, ms(40), 2.0, 0.0)
            };
            let outcome = run(&congestion, &path, &[ms(0)], time);
            let share = outcome.utilisation(20 * MBIT, time);
            println!("{congestion:?}, {reorder}: {share:.3}, {:?}", outcome.stats);
            (share, outcome.stats[0])
        };
        let (straight, _) = share(0.0);
        // Every fiftieth datagram takes half a round trip longer.
        let (mixed, stats) = share(0.02);
        assert!(
            mixed > straight * 0.9,
            "{congestion:?}: {mixed} of {straight}"
        );
        assert!(stats.packets_late > 0);
    }
}

#[test]
fn fewer_acknowledgements_cost_no_goodput() {
    let time = Duration::from_secs(20);
    for congestion in ALL {
        let outcome = run(
            &congestion,
            &path(50 * MBIT, ms(50), 1.0, 0.0),
            &[ms(0)],
            time,
        );
        let share = outcome.utilisation(50 * MBIT, time);
        let packets = outcome.stats[0].packets_sent;
        println!(
            "{congestion:?}: {share:.3}, {} of {packets}",
            outcome.answers
        );
        // Every second without the wish for fewer.
        assert!(
            outcome.answers < packets / 5,
            "{} of {packets}",
            outcome.answers
        );
        assert!(share > 0.85, "{congestion:?}: {share}");
    }
}
