//! Networks that hardly work, and times that nobody waits for.

use std::{env, sync::Arc, time::Duration};

use weftline::{
    config::{ClientConfig, EndpointConfig, Limits, ServerConfig, TransportConfig},
    crypto::null::{NullClient, NullServer},
    event::{CloseReason, ClosedBy},
};
use weftline_sim::{
    LinkConfig, World,
    apps::{Echo, Node, Plan, Transfer},
};

const NOTHING: Plan = Plan {
    streams: 0,
    bytes: 0,
    datagrams: 0,
};

const A_LITTLE: Plan = Plan {
    streams: 2,
    bytes: 20_000,
    datagrams: 3,
};

fn world(seed: u64, link: &LinkConfig, plan: Plan, transport: &TransportConfig) -> World<Node> {
    let server = ServerConfig::builder(Arc::new(NullServer::insecure()));
    let server = server.transport(transport.clone());
    let client = ClientConfig::builder(Arc::new(NullClient::insecure()));
    let client = client.transport(transport.clone());
    // Whoever does not mind silence does not mind a slow handshake either.
    let patience = match transport.idle_timeout {
        Duration::ZERO => Duration::from_secs(24 * 3600),
        _ => Limits::default().handshake_timeout,
    };
    let limit = |limits: &mut Limits| {
        limits.handshake_timeout = patience;
        limits.session_timeout = Duration::from_secs(24 * 3600);
        limits.early_timeout = Duration::from_secs(24 * 3600);
    };
    let server = server.with_limits(limit);
    let client = client.with_limits(limit);
    let server = Arc::new(server.build().expect("the settings are sound"));
    let client = Arc::new(client.build().expect("the settings are sound"));
    let configs = [EndpointConfig::client(), EndpointConfig::server(server)];
    let apps = [
        Node::Transfer(Transfer::new(client, plan)),
        Node::Echo(Echo::default()),
    ];
    World::new(seed, link, configs, apps)
}

fn closed(world: &mut World<Node>) -> Option<CloseReason> {
    match &world.node(0).app {
        Node::Transfer(transfer) => transfer.closed.clone(),
        Node::Echo(_) => None,
    }
}

/// Whether both ends completed a handshake.
fn connected(world: &mut World<Node>) -> bool {
    [0, 1].into_iter().all(|at| match &world.node(at).app {
        Node::Transfer(transfer) => transfer.connected,
        Node::Echo(echo) => echo.connected > 0,
    })
}

/// How a handshake ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Complete,
    /// By the idle timeout, or for want of a peer that knows of the connection.
    Clean,
}

/// Runs until the client's handshake is confirmed, or its connection over.
fn handshake(seed: u64, link: &LinkConfig) -> Ending {
    let mut world = world(seed, link, NOTHING, &TransportConfig::default());
    let run = world.run_until(Duration::from_secs(600), |world| {
        connected(world) || closed(world).is_some()
    });
    if let Err(stuck) = run {
        panic!("{stuck}\nrun it again with SIM_SEED={seed}");
    }
    match closed(&mut world) {
        None => Ending::Complete,
        Some(reason) => {
            let clean = matches!(reason.by, ClosedBy::Timeout | ClosedBy::Reset);
            assert!(clean, "seed {seed}: {reason:?}");
            Ending::Clean
        }
    }
}

/// With `SIM_HANDSHAKES=10000`, as many.
#[test]
fn handshakes_at_30_percent_loss() {
    let link = LinkConfig {
        latency: Duration::from_millis(25),
        loss: 0.3,
        ..LinkConfig::default()
    };
    let seeds = match env::var("SIM_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SIM_SEED is a number");
            seed..seed + 1
        }
        Err(_) => {
            let count = env::var("SIM_HANDSHAKES");
            0..count.map_or(200, |n| n.parse().expect("SIM_HANDSHAKES is a number"))
        }
    };
    let count = seeds.end - seeds.start;
    let endings = seeds.map(|seed| handshake(seed, &link));
    let complete = endings.filter(|e| *e == Ending::Complete).count() as u64;
    println!("{count} handshakes: {complete} complete, the others ended cleanly");
    assert!(complete * 100 >= count * 95, "{complete} of {count}");
}

fn patient() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.idle_timeout = Duration::ZERO;
    transport
}

#[test]
fn idle_for_a_thousand_weeks() {
    let mut world = world(1, &LinkConfig::default(), A_LITTLE, &patient());
    world.run(Duration::from_secs(60)).expect("the first part");
    let steps = world.steps();
    let weeks = Duration::from_secs(1000 * 7 * 24 * 3600);
    world.run_for(weeks).expect("silence");
    assert!(world.steps() - steps < 1000, "an idle connection is idle");
    assert_eq!(closed(&mut world), None);

    let Node::Transfer(transfer) = &mut world.node(0).app else {
        panic!("node 0 is the client");
    };
    transfer.again();
    world.run(Duration::from_secs(60)).expect("the second part");
}

#[test]
fn round_trips_of_a_microsecond_to_ten_minutes() {
    let round_trips = [2, 20, 1_000, 50_000, 1_000_000, 30_000_000, 600_000_000];
    for round_trip in round_trips.map(Duration::from_micros) {
        let link = LinkConfig {
            latency: round_trip / 2,
            ..LinkConfig::default()
        };
        let mut world = world(7, &link, A_LITTLE, &patient());
        let started = world.now();
        let hours = Duration::from_secs(10 * 3600);
        if let Err(stuck) = world.run(hours) {
            panic!("a round trip of {round_trip:?}: {stuck}");
        }
        let taken = world.now().saturating_since(started);
        // TLS, SETTINGS and CONNECT, the data; some more for what the first guess of the round
        // trip makes of it.
        assert!(taken <= round_trip * 12, "{round_trip:?}: {taken:?}");
    }
}

#[test]
fn long_round_trips_with_loss() {
    for seed in 0..10 {
        let link = LinkConfig {
            latency: Duration::from_secs(60),
            jitter: Duration::from_secs(5),
            loss: 0.05,
            ..LinkConfig::default()
        };
        let mut world = world(seed, &link, A_LITTLE, &patient());
        let days = Duration::from_secs(7 * 24 * 3600);
        world.run(days).unwrap_or_else(|stuck| panic!("{stuck}"));
    }
}
