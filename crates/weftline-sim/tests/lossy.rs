//! Whole sessions over a bad network, seed by seed.
//!
//! `SIM_SEEDS=1000` runs that many seeds, `SIM_SEED=42` one of them. Seeds that once failed are in
//! `tests/seeds.txt` and always run.

use std::{env, fs, path::Path, sync::Arc, time::Duration};

use weftline::{
    config::{ClientConfig, EndpointConfig, ServerConfig},
    crypto::null::{NullClient, NullServer},
};
use weftline_sim::{
    LinkConfig, Stuck, World,
    apps::{Echo, Node, Plan, Transfer},
};

const PLAN: Plan = Plan {
    streams: 4,
    bytes: 256 << 10,
    datagrams: 20,
};

/// 5 % loss each way, reordering, duplication and 2 % corruption.
fn bad_network() -> LinkConfig {
    LinkConfig {
        latency: Duration::from_millis(20),
        jitter: Duration::from_millis(2),
        bandwidth: Some(50_000_000),
        queue: 128 << 10,
        loss: 0.05,
        duplication: 0.02,
        corruption: 0.02,
        reorder: 0.05,
        mtu: 1500,
    }
}

fn run(seed: u64) -> Result<u64, Stuck> {
    let server = ServerConfig::builder(Arc::new(NullServer::insecure()));
    let client = ClientConfig::builder(Arc::new(NullClient::insecure()));
    let server = Arc::new(server.build().expect("the defaults are sound"));
    let client = Arc::new(client.build().expect("the defaults are sound"));
    let configs = [EndpointConfig::client(), EndpointConfig::server(server)];
    let apps = [
        Node::Transfer(Transfer::new(client, PLAN)),
        Node::Echo(Echo::default()),
    ];
    let mut world = World::new(seed, &bad_network(), configs, apps);
    world.run(Duration::from_secs(300))?;
    Ok(world.steps())
}

#[test]
fn sessions_survive_a_bad_network() {
    let seeds: Vec<u64> = match env::var("SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("SIM_SEED is a number")],
        Err(_) => {
            let count =
                env::var("SIM_SEEDS").map_or(20, |n| n.parse().expect("SIM_SEEDS is a number"));
            kept_seeds().into_iter().chain(0..count).collect()
        }
    };
    let mut steps = 0;
    for &seed in &seeds {
        match run(seed) {
            Ok(taken) => steps += taken,
            Err(stuck) => panic!("{stuck}\nrun it again with SIM_SEED={seed}"),
        }
    }
    println!("{} seeds, {steps} steps, all complete", seeds.len());
}

/// Seeds that failed once.
fn kept_seeds() -> Vec<u64> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds.txt");
    let text = fs::read_to_string(file).expect("tests/seeds.txt is there");
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.trim().parse().expect("one seed a line"))
        .collect()
}
