//! Settings of the QUIC transport that are not bounds.

use alloc::{vec, vec::Vec};
use core::time::Duration;

use crate::crypto::Version;

/// How a connection behaves. Bounds on what a peer may use are in [`Limits`](super::Limits).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransportConfig {
    /// Silence after which a connection is dropped; zero for never. The smaller of both ends'
    /// counts (RFC 9000, section 10.1).
    pub idle_timeout: Duration,
    /// Silence after which a PING is sent to keep the connection and its path alive; `None` for
    /// never.
    pub keep_alive: Option<Duration>,
    /// The longest we delay an acknowledgement.
    pub max_ack_delay: Duration,
    /// Round-trip time assumed before the first sample (RFC 9002, section 6.2.2).
    pub initial_rtt: Duration,
    /// Size of the UDP payloads we send on a path that nothing is known of: 1200, or more where
    /// every path of yours carries more.
    pub datagram_size: u16,
    /// The largest UDP payload that path MTU discovery looks for (RFC 8899). No more than
    /// `datagram_size` turns discovery off; paths that stop carrying large datagrams are noticed
    /// all the same, and get 1200 bytes.
    pub datagram_size_max: u16,
    /// Receive DATAGRAM frames (RFC 9221). WebTransport needs them.
    pub datagrams: bool,
    /// The versions of QUIC to speak, best first. A client begins with the first and goes over to
    /// another when the server does not speak it (RFC 9368); a server accepts them all.
    pub versions: Vec<Version>,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            keep_alive: None,
            max_ack_delay: Duration::from_millis(25),
            initial_rtt: Duration::from_millis(333),
            datagram_size: 1200,
            datagram_size_max: 1452,
            datagrams: true,
            versions: vec![Version::V1, Version::V2],
        }
    }
}
