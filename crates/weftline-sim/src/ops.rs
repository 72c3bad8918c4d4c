//! Random operations on two raw QUIC peers over a random network, checked against a model of
//! their streams and datagrams.
//!
//! Everything of a case follows from its seed: its network, its limits and its operations.

mod model;
mod peers;

use std::{fmt, time::Duration};

use weftline::{Connection, Dir, StreamId, entropy::SeededEntropy, wire::Side};

use crate::{LinkConfig, World, world::Stuck};
use model::Model;
use peers::{Recorder, Settings};

/// A case: what is done, in order.
pub struct Case {
    seed: u64,
    settings: Settings,
    ops: Vec<Op>,
}

/// One operation. `at` is the node that does it: 0 is the client, 1 the server. Streams are named by
/// a number that picks one of those the node knows of.
#[derive(Copy, Clone, Debug)]
enum Op {
    /// Opens a stream, if the peer lets it.
    Open { at: usize, dir: Dir },
    /// Writes bytes.
    Write { at: usize, pick: u64, len: usize },
    /// Ends the data.
    Finish { at: usize, pick: u64 },
    /// Resets the sending side.
    Reset { at: usize, pick: u64, code: u64 },
    /// Stops the receiving side.
    Stop { at: usize, pick: u64, code: u64 },
    /// Reads at most this much.
    Read { at: usize, pick: u64, max: usize },
    /// Changes the priority.
    Prioritize { at: usize, pick: u64, priority: i32 },
    /// Sends a datagram.
    Datagram { at: usize, len: usize },
    /// Lets virtual time pass.
    Wait { micros: u64 },
    /// Turns to new keys, if that is possible now.
    UpdateKeys { at: usize },
    /// Turns to new connection IDs, if that is possible now.
    RotateIds { at: usize },
    /// The client goes over to its other address, or back, if it may. Only where it has two.
    Migrate { to_second: bool },
    /// The client's NAT forgets its binding. Only where it has one address.
    Rebind { port: u16, host: u8 },
    /// The network changes.
    Network { at: usize, network: Network },
}

/// How a network treats datagrams, in percent and milliseconds.
#[derive(Copy, Clone, Debug)]
struct Network {
    loss: u8,
    reorder: u8,
    duplication: u8,
    corruption: u8,
    latency_ms: u16,
    jitter_ms: u16,
}

/// A case went wrong. Says how to run it again.
#[derive(Debug)]
pub struct Failed {
    seed: u64,
    settings: Settings,
    /// What was done until then.
    done: Vec<Op>,
    why: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} ({:?}): {}", self.seed, self.settings, self.why)?;
        for (index, op) in self.done.iter().enumerate() {
            writeln!(f, "  {index:3} {op:?}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failed {}

impl Case {
    /// The case of this seed.
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw(SeededEntropy::new(seed));
        let settings = Settings::draw(&mut draw);
        let count = draw.below(120) + 10;
        let mut ops = Vec::new();
        for at in [0, 1] {
            let network = Network::draw(&mut draw);
            ops.push(Op::Network { at, network });
        }
        ops.extend((0..count).map(|_| Op::draw(&mut draw)));
        Self {
            seed,
            settings,
            ops,
        }
    }

    /// Does everything, heals the network, and sees that all of it came to its end. Gives the
    /// number of operations.
    pub fn run(&self) -> Result<usize, Failed> {
        let mut run = Run {
            world: peers::world(self.seed, &self.settings),
            has_two: self.settings.has_two,
            model: Model::default(),
        };
        let fail = |done: &[Op], why: String| Failed {
            seed: self.seed,
            settings: self.settings,
            done: done.to_vec(),
            why,
        };
        run.connect().map_err(|why| fail(&[], why))?;
        for (index, op) in self.ops.iter().enumerate() {
            run.step(op).map_err(|why| fail(&self.ops[..=index], why))?;
        }
        run.finish().map_err(|why| fail(&self.ops, why))?;
        Ok(self.ops.len())
    }
}

struct Run {
    world: World<Recorder>,
    /// The client has two addresses.
    has_two: bool,
    model: Model,
}

impl Run {
    fn connect(&mut self) -> Result<(), String> {
        let both =
            |world: &mut World<Recorder>| [0, 1].iter().all(|at| world.node(*at).app.connected);
        let run = self.world.run_until(Duration::from_secs(3600), both);
        run.map_err(|stuck| stuck.to_string())
    }

    fn step(&mut self, op: &Op) -> Result<(), String> {
        match *op {
            Op::Wait { micros } => self.pass(Duration::from_micros(micros))?,
            Op::UpdateKeys { at } => {
                peers::connection(&mut self.world, at).map(Connection::update_keys);
            }
            Op::RotateIds { at } => {
                peers::connection(&mut self.world, at).map(Connection::rotate_connection_ids);
            }
            Op::Migrate { to_second } if self.has_two => {
                let to = match to_second {
                    true => peers::SECOND,
                    false => World::<Recorder>::address(0),
                };
                // It may be there already, or have no connection ID for it.
                peers::connection(&mut self.world, 0).map(|c| c.migrate(Some(to.ip())));
            }
            Op::Migrate { .. } => {}
            Op::Rebind { .. } if self.has_two => {}
            Op::Rebind { port, host } => {
                let mut address = World::<Recorder>::address(0);
                address.set_port(port);
                address.set_ip([10, 0, 1, host].into());
                self.world.rebind(0, address);
            }
            Op::Network { at, network } => self.world.set_link(at, network.link()),
            _ => {
                let at = op.node();
                let Some(mut connection) = peers::raw(&mut self.world, at) else {
                    return Err(format!("node {at} has no connection"));
                };
                self.model.apply(op, &mut connection)?;
            }
        }
        self.pass(Duration::ZERO)
    }

    /// Lets time pass, and checks what happens in it.
    fn pass(&mut self, time: Duration) -> Result<(), String> {
        let run = self.world.run_for(time);
        run.map_err(|stuck: Stuck| stuck.to_string())?;
        for at in [0, 1] {
            while let Some(event) = self.world.node(at).app.events.pop_front() {
                let connection = peers::raw(&mut self.world, at);
                self.model.on_event(at, &event, connection)?;
            }
        }
        Ok(())
    }

    /// On a network that works again, everything comes to its end.
    fn finish(&mut self) -> Result<(), String> {
        for at in [0, 1] {
            self.world.set_link(at, LinkConfig::default());
        }
        for _ in 0..600 {
            for at in [0, 1] {
                if let Some(mut connection) = peers::raw(&mut self.world, at) {
                    self.model.wind_up(at, &mut connection)?;
                }
            }
            self.pass(Duration::from_millis(500))?;
            if self.model.is_done() {
                break;
            }
        }
        self.model.check_done()?;
        // What was said last is acknowledged.
        self.pass(Duration::from_secs(5))?;
        for at in [0, 1] {
            let memory = peers::memory(&self.world.node(at).endpoint);
            if memory > IDLE_MEMORY {
                return Err(format!("node {at} still holds {memory} bytes"));
            }
        }
        self.close()
    }

    fn close(&mut self) -> Result<(), String> {
        match peers::raw(&mut self.world, 0) {
            Some(mut connection) => connection.close(CLOSE_CODE, "done"),
            None => return Err("the client is gone".into()),
        }
        let run = self.world.run_for(Duration::from_secs(60));
        run.map_err(|stuck| stuck.to_string())?;
        for at in [0, 1] {
            let node = self.world.node(at);
            let closed = node.app.events.back();
            match closed {
                Some(weftline::Event::Closed(reason)) if reason.code == CLOSE_CODE => {}
                other => return Err(format!("node {at} ended with {other:?}")),
            }
            if !node.endpoint.is_empty() {
                return Err(format!("node {at} keeps the closed connection"));
            }
        }
        Ok(())
    }
}

impl Op {
    fn draw(draw: &mut Draw) -> Self {
        let at = draw.below(2) as usize;
        let pick = draw.below(64);
        let code = draw.below(1 << 20);
        match draw.below(100) {
            0..15 => Self::Open {
                at,
                dir: [Dir::Bi, Dir::Uni][draw.below(2) as usize],
            },
            15..40 => Self::Write {
                at,
                pick,
                len: 1 << draw.below(15),
            },
            40..46 => Self::Finish { at, pick },
            46..50 => Self::Reset { at, pick, code },
            50..54 => Self::Stop { at, pick, code },
            54..72 => Self::Read {
                at,
                pick,
                max: 1 << draw.below(15),
            },
            72..74 => Self::Prioritize {
                at,
                pick,
                priority: draw.below(5) as i32 - 2,
            },
            74..80 => Self::Datagram {
                at,
                len: 8 + draw.below(1000) as usize,
            },
            80..88 => Self::Wait {
                micros: 1 << draw.below(22),
            },
            88..90 => Self::UpdateKeys { at },
            90..92 => Self::RotateIds { at },
            92..94 => Self::Migrate {
                to_second: draw.below(2) == 1,
            },
            94..97 => Self::Rebind {
                port: 1024 + draw.below(60_000) as u16,
                host: 1 + draw.below(2) as u8,
            },
            _ => Self::Network {
                at,
                network: Network::draw(draw),
            },
        }
    }

    fn node(&self) -> usize {
        match *self {
            Self::Open { at, .. }
            | Self::Write { at, .. }
            | Self::Finish { at, .. }
            | Self::Reset { at, .. }
            | Self::Stop { at, .. }
            | Self::Read { at, .. }
            | Self::Prioritize { at, .. }
            | Self::Datagram { at, .. }
            | Self::Network { at, .. } => at,
            Self::UpdateKeys { at } | Self::RotateIds { at } => at,
            Self::Wait { .. } | Self::Migrate { .. } | Self::Rebind { .. } => 0,
        }
    }
}

impl Network {
    fn draw(draw: &mut Draw) -> Self {
        // Often good, sometimes bad, once in a while dead.
        let bad = [0, 0, 5, 20][draw.below(4) as usize];
        let mut percent = |max: u64| draw.below(max + 1) as u8;
        let dead = percent(40) == 0;
        Self {
            loss: if dead { 100 } else { percent(bad) },
            reorder: percent(bad),
            duplication: percent(bad),
            corruption: percent(bad / 2),
            latency_ms: 1 << percent(8),
            jitter_ms: u16::from(percent(10)),
        }
    }

    fn link(&self) -> LinkConfig {
        LinkConfig {
            latency: Duration::from_millis(self.latency_ms.into()),
            jitter: Duration::from_millis(self.jitter_ms.into()),
            bandwidth: Some(50_000_000),
            queue: 64 << 10,
            loss: f64::from(self.loss) / 100.0,
            reorder: f64::from(self.reorder) / 100.0,
            duplication: f64::from(self.duplication) / 100.0,
            corruption: f64::from(self.corruption) / 100.0,
            ..LinkConfig::default()
        }
    }
}

/// Numbers that follow from a seed.
pub(crate) struct Draw(SeededEntropy);

impl Draw {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end.max(1)
    }
}

/// The side of node `at`.
pub(crate) fn side(at: usize) -> Side {
    [Side::Client, Side::Server][at]
}

/// Whether node `at` may write to a stream.
pub(crate) fn can_send(at: usize, id: StreamId) -> bool {
    id.dir() == Dir::Bi || id.initiator() == side(at)
}

/// What a connection that has nothing to do may hold.
const IDLE_MEMORY: usize = 128 << 10;

const CLOSE_CODE: u64 = 4711;
