//! Settings of the QUIC transport that are not bounds.

use alloc::{vec, vec::Vec};
use core::{
    net::{SocketAddrV4, SocketAddrV6},
    time::Duration,
};

use crate::{congestion::Congestion, crypto::Version};

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
    /// What decides how much may be in flight on each path; CUBIC by default.
    pub congestion: Congestion,
    /// Size of the UDP payloads we send on a path that nothing is known of: 1200, or more where
    /// every path of yours carries more.
    pub datagram_size: u16,
    /// The largest UDP payload that path MTU discovery looks for (RFC 8899). No more than
    /// `datagram_size` turns discovery off; paths that stop carrying large datagrams are noticed
    /// all the same, and get 1200 bytes.
    pub datagram_size_max: u16,
    /// Server: take nothing from clients that change their address, and ask them not to
    /// (`disable_active_migration`). It also ends the connections of clients behind a NAT that
    /// forgets them. [`Self::preferred_ipv4`] and [`Self::preferred_ipv6`] are exempt.
    pub disable_active_migration: bool,
    /// Server: the address at which clients over IPv4 should go on after the handshake (RFC 9000,
    /// section 9.6). Datagrams to there must come to the same endpoint, with
    /// [`RecvMeta::to`](crate::RecvMeta::to) telling them apart.
    pub preferred_ipv4: Option<SocketAddrV4>,
    /// The same for clients over IPv6.
    pub preferred_ipv6: Option<SocketAddrV6>,
    /// Client: move to the address that a server prefers, if it is of the same family and no
    /// nearer than the one in use: no server on the Internet sends us to our own network.
    pub use_preferred_address: bool,
    /// Receive DATAGRAM frames (RFC 9221). WebTransport needs them.
    pub datagrams: bool,
    /// The versions of QUIC to speak, best first. A client begins with the first and goes over to
    /// another when the server does not speak it, or likes another better (RFC 9368); a server
    /// accepts them all.
    pub versions: Vec<Version>,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            keep_alive: None,
            max_ack_delay: Duration::from_millis(25),
            initial_rtt: Duration::from_millis(333),
            congestion: Congestion::default(),
            datagram_size: 1200,
            datagram_size_max: 1452,
            disable_active_migration: false,
            preferred_ipv4: None,
            preferred_ipv6: None,
            use_preferred_address: true,
            datagrams: true,
            versions: vec![Version::V1, Version::V2],
        }
    }
}
