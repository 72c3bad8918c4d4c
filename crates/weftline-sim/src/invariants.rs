//! What must hold after every step of a simulation.

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use weftline::{ConnId, Endpoint, Stats, wire::packet};

/// Watches one endpoint from outside.
#[derive(Default)]
pub(crate) struct Invariants {
    paths: BTreeMap<SocketAddr, Path>,
    before: BTreeMap<ConnId, Stats>,
}

/// What went over the path to one address.
#[derive(Default)]
struct Path {
    received: u64,
    sent: u64,
    /// The peer has shown that it receives at this address: it was we who wrote first, or a
    /// Handshake or 1-RTT packet came (RFC 9000, section 8.1).
    validated: bool,
}

/// A broken invariant.
#[derive(Debug)]
pub(crate) struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Invariants {
    pub(crate) fn on_received(&mut self, from: SocketAddr, datagram: &[u8]) {
        let path = self.paths.entry(from).or_default();
        path.received += datagram.len() as u64;
        path.validated |= proves_address(datagram);
    }

    pub(crate) fn on_sent(&mut self, to: SocketAddr, datagram: &[u8]) -> Result<(), Violation> {
        let path = self.paths.entry(to).or_default();
        path.validated |= path.received == 0;
        path.sent += datagram.len() as u64;
        if !path.validated && path.sent > 3 * path.received {
            return violation(format!(
                "{} bytes sent to {to}, which is not validated and sent {}",
                path.sent, path.received
            ));
        }
        if datagram.len() > MAX_DATAGRAM {
            return violation(format!("a datagram of {} bytes", datagram.len()));
        }
        Ok(())
    }

    pub(crate) fn after_step(&mut self, endpoint: &Endpoint) -> Result<(), Violation> {
        for (id, stats) in endpoint.all_stats() {
            let before = self.before.insert(id, stats).unwrap_or_default();
            let sent = stats.bytes_in_flight.saturating_sub(before.bytes_in_flight);
            // Another path came into use, with more in flight than the one before.
            let is_other_path = sent > stats.bytes_sent - before.bytes_sent;
            // Probes may go past the window, two datagrams a time-out (RFC 9002, section 7.5); and
            // a window that shrank may leave more in flight than it now allows.
            let probes = if stats.pto_count > 0 {
                2 * MAX_DATAGRAM as u64
            } else {
                0
            };
            if !is_other_path
                && sent > probes
                && stats.bytes_in_flight > stats.congestion_window + probes
            {
                return violation(format!(
                    "{id:?} has {} bytes in flight, {sent} of them new, and a window of {}\n{before:?}\n{stats:?}",
                    stats.bytes_in_flight, stats.congestion_window
                ));
            }
            if stats.memory > MAX_MEMORY {
                return violation(format!("{id:?} holds {} bytes", stats.memory));
            }
        }
        Ok(())
    }
}

/// Whether a datagram has a Handshake or 1-RTT packet.
fn proves_address(mut datagram: &[u8]) -> bool {
    while let Ok(packet::Packet::Protected(header)) = packet::Packet::parse(datagram, CID_LEN) {
        match header.packet_type {
            packet::PacketType::Handshake | packet::PacketType::OneRtt => return true,
            packet::PacketType::Initial | packet::PacketType::ZeroRtt => {}
        }
        datagram = datagram.get(header.end..).unwrap_or_default();
    }
    false
}

fn violation(what: String) -> Result<(), Violation> {
    Err(Violation(what))
}

/// The most that is looked for by default.
const MAX_DATAGRAM: usize = 1452;

/// What the default limits allow one connection to hold: receive and send buffers, datagrams,
/// reassembly, handshake and bookkeeping.
const MAX_MEMORY: usize = 32 << 20;

const CID_LEN: usize = 8;
