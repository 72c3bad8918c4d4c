//! Endpoints, the paths between them, and virtual time.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use weftline::{
    ConnId, Endpoint, Event, Instant, RecvMeta, config::EndpointConfig, entropy::SeededEntropy,
};

use crate::{
    invariants::{Invariants, Violation},
    link::{Link, LinkConfig, LinkStats},
};

/// What runs on an endpoint.
pub trait App {
    /// Takes one event.
    fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, id: ConnId, event: Event);

    /// When it wants to be called by itself; `None` for never.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Called when [`App::poll_timeout`] has come.
    fn handle_timeout(&mut self, _now: Instant, _endpoint: &mut Endpoint) {}

    /// Whether everything it set out to do is done. A server has nothing to do.
    fn is_done(&self) -> bool {
        true
    }

    /// What went wrong: ends the run.
    fn failure(&self) -> Option<String> {
        None
    }

    /// What it still waits for, in the report of a run that got stuck.
    fn describe(&self) -> String {
        String::new()
    }
}

/// A host in the [`World`].
pub struct Node<A> {
    /// The endpoint under test.
    pub endpoint: Endpoint,
    /// What runs on it.
    pub app: A,
    address: SocketAddr,
    invariants: Invariants,
}

/// Two endpoints and the path between them, in virtual time.
pub struct World<A> {
    now: Instant,
    seed: u64,
    steps: u64,
    nodes: [Node<A>; 2],
    /// `links[i]` carries what node `i` sends.
    links: Links,
    /// Further addresses of nodes, each with a path of its own to the other node.
    second: Vec<Second>,
    seeds: SeededEntropy,
}

/// The two directions of a path; datagrams are tagged with their source and destination.
type Links = [Link<(SocketAddr, SocketAddr)>; 2];

struct Second {
    node: usize,
    address: SocketAddr,
    links: Links,
}

/// Why a run did not come to its end.
#[derive(Debug)]
pub struct Stuck {
    seed: u64,
    now: Instant,
    why: String,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at {}: {}", self.seed, self.now, self.why)
    }
}

impl std::error::Error for Stuck {}

impl<A: App> World<A> {
    /// A world in which everything follows from `seed`. Node 0 is at [`World::address`]`(0)`.
    pub fn new(seed: u64, link: &LinkConfig, configs: [EndpointConfig; 2], apps: [A; 2]) -> Self {
        let [config_a, config_b] = configs;
        let [app_a, app_b] = apps;
        let mut seeds = SeededEntropy::new(seed);
        let mut node = |index, config, app| Node {
            endpoint: Endpoint::new(config, Box::new(SeededEntropy::new(seeds.next_u64()))),
            app,
            address: Self::address(index),
            invariants: Invariants::default(),
        };
        let nodes = [node(0, config_a, app_a), node(1, config_b, app_b)];
        let links = [seeds.next_u64(), seeds.next_u64()].map(|seed| Link::new(link.clone(), seed));
        // Not at the origin, so that a deadline taken for a duration shows.
        let now = Instant::from_micros(1_000_000);
        Self {
            now,
            seed,
            steps: 0,
            nodes,
            links,
            second: Vec::new(),
            seeds,
        }
    }

    /// Gives node `index` another address beside the one that it has, with a path of its own to the
    /// other node. From now on sockets tell where datagrams arrive.
    pub fn add_address(&mut self, index: usize, address: SocketAddr, link: &LinkConfig) {
        let seeds = [self.seeds.next_u64(), self.seeds.next_u64()];
        self.second.push(Second {
            node: index,
            address,
            links: seeds.map(|seed| Link::new(link.clone(), seed)),
        });
    }

    /// Where a node is at the start.
    pub fn address(index: usize) -> SocketAddr {
        let host = u8::try_from(index + 1).unwrap_or(u8::MAX);
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 4433)
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// A node.
    pub fn node(&mut self, index: usize) -> &mut Node<A> {
        &mut self.nodes[index]
    }

    /// What happened to the datagrams that node `index` sent.
    pub fn link_stats(&self, index: usize) -> LinkStats {
        self.links[index].stats()
    }

    /// Changes the path that node `index` sends on.
    pub fn set_link(&mut self, index: usize, config: LinkConfig) {
        self.links[index].set_config(config);
    }

    /// Gives node `index` a new address, as a NAT that forgot its binding does. What is under way
    /// to the old one is lost.
    pub fn rebind(&mut self, index: usize, address: SocketAddr) {
        self.nodes[index].address = address;
    }

    /// Runs until `done`, or until `limit` of virtual time has passed.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), Stuck> {
        let end = self.now + limit;
        loop {
            self.settle()?;
            if done(self) {
                return Ok(());
            }
            match self.next_time() {
                Some(at) if at <= end => self.now = at.max(self.now),
                Some(_) => return Err(self.stuck("out of time")),
                None => return Err(self.stuck("nothing left to happen")),
            }
            self.arrivals()?;
            self.timers();
        }
    }

    /// Runs until every app is done.
    pub fn run(&mut self, limit: Duration) -> Result<(), Stuck> {
        self.run_until(limit, |world| {
            world.nodes.iter().all(|node| node.app.is_done())
        })
    }

    /// Runs for `time`, whatever happens.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Stuck> {
        let end = self.now + time;
        loop {
            self.settle()?;
            match self.next_time() {
                Some(at) if at <= end => self.now = at.max(self.now),
                _ => {
                    self.now = end;
                    return Ok(());
                }
            }
            self.arrivals()?;
            self.timers();
        }
    }

    /// Events to the apps and datagrams to the links, until there are none.
    fn settle(&mut self) -> Result<(), Stuck> {
        for at in [0, 1] {
            let mut turns = 0;
            loop {
                let worked = self.events(at) | self.transmissions(at)?;
                if !worked {
                    break;
                }
                turns += 1;
                if turns > MAX_TURNS {
                    return Err(self.stuck("an endpoint does not come to rest"));
                }
            }
        }
        self.steps += 1;
        match self.nodes.iter().find_map(|node| node.app.failure()) {
            Some(failure) => Err(self.stuck(&failure)),
            None => Ok(()),
        }
    }

    fn events(&mut self, at: usize) -> bool {
        let Node { endpoint, app, .. } = &mut self.nodes[at];
        let mut worked = false;
        while let Some((id, event)) = endpoint.poll_event() {
            worked = true;
            app.on_event(self.now, endpoint, id, event);
        }
        worked
    }

    fn transmissions(&mut self, at: usize) -> Result<bool, Stuck> {
        let mut out = [0; 64 << 10];
        let mut worked = false;
        while let Some(transmit) = self.nodes[at].endpoint.poll_transmit(self.now, &mut out) {
            worked = true;
            let own = self.nodes[at].address;
            let from = transmit.from.unwrap_or(own.ip());
            let from = SocketAddr::new(from, own.port());
            let sent = &out[..transmit.len];
            for datagram in sent.chunks(transmit.segment.unwrap_or(transmit.len).max(1)) {
                let seen = self.nodes[at].invariants.on_sent(transmit.to, datagram);
                self.check(seen)?;
                let second = self.second.iter_mut();
                let mut second = second.filter(|s| s.address == from || s.address == transmit.to);
                let links = second.next().map_or(&mut self.links, |s| &mut s.links);
                links[at].send(self.now, datagram, (from, transmit.to));
            }
        }
        let Node {
            endpoint,
            invariants,
            ..
        } = &mut self.nodes[at];
        let seen = invariants.after_step(endpoint);
        self.check(seen)?;
        Ok(worked)
    }

    fn arrivals(&mut self) -> Result<(), Stuck> {
        for from in [0, 1] {
            let to = 1 - from;
            while let Some((mut datagram, (source, destination))) = self.receive(from) {
                let second = self.second.iter().filter(|second| second.node == to);
                let mut reached = second.map(|second| second.address);
                if destination != self.nodes[to].address && !reached.any(|at| at == destination) {
                    continue;
                }
                let tells = !self.second.is_empty();
                let Node {
                    endpoint,
                    invariants,
                    ..
                } = &mut self.nodes[to];
                invariants.on_received(source, &datagram);
                let meta = RecvMeta {
                    from: source,
                    to: tells.then_some(destination.ip()),
                    ecn: None,
                };
                endpoint.handle_datagram(self.now, meta, &mut datagram);
                let seen = invariants.after_step(endpoint);
                self.check(seen)?;
            }
        }
        Ok(())
    }

    /// The next datagram of node `from` that has arrived, on whatever path.
    fn receive(&mut self, from: usize) -> Option<(Vec<u8>, (SocketAddr, SocketAddr))> {
        let second = self.second.iter_mut().map(|second| &mut second.links);
        let mut all = [&mut self.links].into_iter().chain(second);
        all.find_map(|links| links[from].receive(self.now))
    }

    fn timers(&mut self) {
        for node in &mut self.nodes {
            if node
                .endpoint
                .poll_timeout()
                .is_some_and(|at| at <= self.now)
            {
                node.endpoint.handle_timeout(self.now);
            }
            if node.app.poll_timeout().is_some_and(|at| at <= self.now) {
                node.app.handle_timeout(self.now, &mut node.endpoint);
            }
        }
    }

    fn next_time(&self) -> Option<Instant> {
        let second = self.second.iter().flat_map(|second| &second.links);
        let arrivals = self.links.iter().chain(second);
        let arrivals = arrivals.filter_map(Link::next_arrival);
        let timers = self
            .nodes
            .iter()
            .filter_map(|node| node.endpoint.poll_timeout());
        let wishes = self.nodes.iter().filter_map(|node| node.app.poll_timeout());
        arrivals.chain(timers).chain(wishes).min()
    }

    fn check(&self, seen: Result<(), Violation>) -> Result<(), Stuck> {
        seen.map_err(|violation| self.stuck(&violation.to_string()))
    }

    fn stuck(&self, why: &str) -> Stuck {
        let waiting: Vec<_> = self.nodes.iter().map(|node| node.app.describe()).collect();
        Stuck {
            seed: self.seed,
            now: self.now,
            why: format!("{why}; {}", waiting.join("; ")),
        }
    }
}

/// Rounds of events and transmissions an endpoint may take before time must pass.
const MAX_TURNS: usize = 10_000;
