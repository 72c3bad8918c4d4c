//! Paths that change under a connection: narrow ones, ones that become narrow, new addresses given
//! by a NAT or chosen by the client.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use weftline::{
    config::{ClientConfig, EndpointConfig, ServerConfig},
    crypto::null::{NullClient, NullServer},
};
use weftline_sim::{
    LinkConfig, World,
    apps::{Echo, Node, Plan, Transfer},
};

const PLAN: Plan = Plan {
    streams: 2,
    bytes: 1 << 20,
    datagrams: 10,
};

const SEEDS: u64 = 8;

fn link() -> LinkConfig {
    LinkConfig {
        latency: Duration::from_millis(15),
        bandwidth: Some(20_000_000),
        queue: 64 << 10,
        loss: 0.01,
        ..LinkConfig::default()
    }
}

fn world(seed: u64, link: &LinkConfig) -> World<Node> {
    let server = ServerConfig::builder(Arc::new(NullServer::insecure()));
    // Only what a client sends tells its server of a new address.
    let client = ClientConfig::builder(Arc::new(NullClient::insecure()))
        .with_transport(|transport| transport.keep_alive = Some(Duration::from_millis(500)));
    let server = Arc::new(server.build().expect("the defaults are sound"));
    let client = Arc::new(client.build().expect("the defaults are sound"));
    let configs = [EndpointConfig::client(), EndpointConfig::server(server)];
    let apps = [
        Node::Transfer(Transfer::new(client, PLAN)),
        Node::Echo(Echo::default()),
    ];
    World::new(seed, link, configs, apps)
}

fn wait(world: &mut World<Node>, millis: u64) {
    let waited = world.run_for(Duration::from_millis(millis));
    waited.unwrap_or_else(|stuck| panic!("{stuck}"));
}

fn finish(world: &mut World<Node>) {
    let done = world.run(Duration::from_secs(60));
    done.unwrap_or_else(|stuck| panic!("{stuck}"));
}

/// Where the server sees its client.
fn seen(world: &mut World<Node>) -> SocketAddr {
    let endpoint = &mut world.node(1).endpoint;
    let id = endpoint.connections().next().expect("a connection");
    let connection = endpoint.connection(id).expect("it is open");
    connection.remote_address()
}

fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, host), port))
}

#[test]
fn a_narrow_path() {
    for seed in 0..SEEDS {
        let mtu = 1200 + 30 * seed as usize;
        let mut world = world(seed, &LinkConfig { mtu, ..link() });
        finish(&mut world);
        // Nothing but probes was too long for it.
        for node in [0, 1] {
            let dropped = world.link_stats(node).dropped;
            assert!(dropped < 200, "{dropped} with {mtu}");
        }
    }
}

#[test]
fn a_path_becomes_narrow() {
    for seed in 0..SEEDS {
        let mut world = world(seed, &link());
        wait(&mut world, 200 + 20 * seed);
        for node in [0, 1] {
            let mtu = 1280;
            world.set_link(node, LinkConfig { mtu, ..link() });
        }
        finish(&mut world);
    }
}

#[test]
fn a_nat_forgets() {
    for seed in 0..SEEDS {
        let mut world = world(seed, &link());
        for n in 0..5_u8 {
            wait(&mut world, 150 + 10 * seed);
            // Now and then another address, too.
            let to = address(100 + n / 2, 2000 + u16::from(n));
            world.rebind(0, to);
        }
        finish(&mut world);
        let client = address(102, 2004);
        wait(&mut world, 1000);
        assert_eq!(seen(&mut world), client);
    }
}

/// From one access network to another, and the first one is gone.
#[test]
fn a_client_changes_networks() {
    for seed in 0..SEEDS {
        let mut world = world(seed, &link());
        let mobile = LinkConfig {
            latency: Duration::from_millis(60),
            bandwidth: Some(5_000_000),
            ..link()
        };
        let other = address(77, 4433);
        world.add_address(0, other, &mobile);
        wait(&mut world, 300);
        let node = world.node(0);
        let Node::Transfer(app) = &node.app else {
            unreachable!("node 0 is the client")
        };
        let id = app.conn().expect("it has begun");
        let connection = node.endpoint.connection(id).expect("it is open");
        connection.migrate(Some(other.ip())).expect("it may move");
        wait(&mut world, 1000);
        assert_eq!(seen(&mut world), other);
        for node in [0, 1] {
            world.set_link(
                node,
                LinkConfig {
                    loss: 1.0,
                    ..link()
                },
            );
        }
        finish(&mut world);
    }
}
