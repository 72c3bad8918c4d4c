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

#[test]
#[ignore]
fn grid() {
    for congestion in ALL {
        for rtt in [10, 50, 100, 300] {
            for bdps in [0.25, 1.0, 4.0] {
                let mut row = String::new();
                for loss in [0.0, 0.001, 0.01, 0.02, 0.05] {
                    let time = Duration::from_secs(20);
                    let o = run(
                        &congestion,
                        &path(20 * MBIT, ms(rtt), bdps, loss),
                        &[ms(0)],
                        time,
                    );
                    row += &format!("{:6.3}", o.utilisation(20 * MBIT, time));
                }
                println!("{congestion:?} rtt {rtt} buf {bdps}: {row}");
            }
        }
    }
}

#[test]
#[ignore]
fn one() {
    let time = Duration::from_secs(20);
    let rtt = std::env::var("RTT").unwrap().parse().unwrap();
    let loss = std::env::var("LOSS").unwrap().parse().unwrap();
    let o = run(
        &Congestion::Bbr,
        &path(20 * MBIT, ms(rtt), 1.0, loss),
        &[ms(0)],
        time,
    );
    println!("{:6.3} {:?}", o.utilisation(20 * MBIT, time), o.stats);
}
