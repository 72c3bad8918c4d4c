//! What a connection does, as it does it, for logs: packets, their fate, the state of recovery,
//! keys, paths, streams and sessions.
//!
//! A [`ProbeFactory`] in the configuration ([`Builder::probe`](crate::config::Builder::probe)) is
//! asked for a [`Probe`] whenever a connection begins. A probe only looks: whatever it does, the
//! connection goes on in the same way, and sends the same datagrams. A connection without one pays
//! for a branch where it would be told something. `weftline-qlog` has probes that write qlog files
//! and `tracing` spans.
//!
//! Events borrow what they tell of. They come in the order in which things happen, except that
//! what follows from a packet (keys, parameters, recovery) is told after the packet.

use alloc::boxed::Box;
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    crypto::{Level, Version},
    event::CloseReason,
    time::Instant,
    udp::Ecn,
    wire::{
        Cid, Reader, Side, StreamId, frame::Frame, h3::Settings, packet::PacketType,
        params::TransportParameters,
    },
};

/// Hears what happens on one connection.
pub trait Probe: Send {
    /// Something happened at `now`. It should be quick: the connection waits for it.
    fn on_event(&mut self, now: Instant, event: &ProbeEvent<'_>);
}

/// Makes probes. Closures of the same shape are factories, too.
pub trait ProbeFactory: Send + Sync {
    /// A probe for a connection that begins; `None` for none.
    fn probe(&self, subject: &Subject) -> Option<Box<dyn Probe>>;
}

impl<F> ProbeFactory for F
where
    F: Fn(&Subject) -> Option<Box<dyn Probe>> + Send + Sync,
{
    fn probe(&self, subject: &Subject) -> Option<Box<dyn Probe>> {
        self(subject)
    }
}

/// The connection that a probe is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subject {
    /// Which end this is.
    pub side: Side,
    /// The destination connection ID of the client's very first Initial: it names the connection
    /// at both ends.
    pub original_cid: Cid,
    /// Where the peer is.
    pub remote: SocketAddr,
    /// Our address, if the socket told.
    pub local: Option<IpAddr>,
    /// When it began.
    pub now: Instant,
}

impl Subject {
    /// A connection that begins `now`. Endpoints make these; so may tests of factories.
    pub const fn new(
        now: Instant,
        side: Side,
        original_cid: Cid,
        remote: SocketAddr,
        local: Option<IpAddr>,
    ) -> Self {
        Self {
            side,
            original_cid,
            remote,
            local,
            now,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProbeEvent<'a> {
    /// The connection has a version; the first is the one it began with.
    Version(Version),
    /// The application protocol was agreed on.
    Alpn(&'a [u8]),
    /// Transport parameters: ours as they are sent, the peer's once they are authenticated.
    Parameters(Owner, &'a TransportParameters),
    /// The state of the connection.
    State(ConnectionState),
    /// The connection is over.
    Closed(&'a CloseReason),
    /// A packet was sent.
    PacketSent(Packet<'a>),
    /// A packet was received and opened, before its frames are handled.
    PacketReceived(Packet<'a>),
    /// A packet was received whose keys are not there yet, and kept.
    PacketHeld(UnopenedPacket),
    /// A packet was received and thrown away.
    PacketDropped(UnopenedPacket, DropTrigger),
    /// The peer acknowledged a packet for the first time.
    PacketAcked(SentNumber),
    /// A packet was declared lost.
    PacketLost(SentNumber, LossTrigger),
    /// Figures of loss recovery and congestion control changed.
    Metrics(&'a Metrics),
    /// What congestion control does changed.
    CongestionState(CongestionState),
    /// Keys became usable.
    KeysInstalled(Level),
    /// The 1-RTT keys were updated, so many times by now.
    KeysUpdated(u64),
    /// Keys were thrown away.
    KeysDiscarded(Level),
    /// The connection has a path: the first, or another than before.
    Path(PathInfo),
    /// The size of the datagrams that the path takes.
    Mtu(u16),
    /// What a stream has come to.
    Stream(StreamId, StreamState),
    /// Datagrams (RFC 9221) that were thrown away since that was last told.
    DatagramsDropped {
        /// Received, and no room for them here.
        incoming: u64,
        /// To be sent, and too long for any packet by now.
        outgoing: u64,
    },
    /// HTTP/3 settings, sent or received.
    Settings(Owner, &'a Settings),
    /// A WebTransport session is established, on this CONNECT stream.
    SessionEstablished {
        /// The CONNECT stream.
        id: StreamId,
        /// The name of the dialect in use.
        dialect: &'static str,
        /// The application protocol that was chosen.
        protocol: Option<&'a str>,
    },
    /// A WebTransport session is over.
    SessionClosed {
        /// The CONNECT stream.
        id: StreamId,
        /// The application's code.
        code: u32,
        /// The application's reason.
        reason: &'a str,
    },
}

/// Whose something is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This end's.
    Local,
    /// The peer's.
    Remote,
}

/// A packet that was sent, or received and opened.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
pub struct Packet<'a> {
    /// Its type, and so its number space.
    pub packet_type: PacketType,
    /// Its number.
    pub number: u64,
    /// Bytes of it, header and tag included.
    pub len: usize,
    /// The connection ID it goes to.
    pub destination: Cid,
    /// How its datagram is marked.
    pub ecn: Option<Ecn>,
    /// It tries whether the path takes datagrams of its size (RFC 8899); its loss is no congestion.
    /// Not known of packets received.
    pub mtu_probe: bool,
    /// The remote address of its path.
    pub remote: SocketAddr,
    /// What is in it.
    pub frames: Frames<'a>,
}

/// A packet that was received and not opened.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnopenedPacket {
    /// Its type, if that could be read.
    pub packet_type: Option<PacketType>,
    /// Bytes of it.
    pub len: usize,
}

impl UnopenedPacket {
    pub(crate) const fn new(packet_type: Option<PacketType>, len: usize) -> Self {
        Self { packet_type, len }
    }
}

/// A packet that was sent, by name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentNumber {
    /// Its type, and so its number space.
    pub packet_type: PacketType,
    /// Its number.
    pub number: u64,
}

impl SentNumber {
    pub(crate) const fn new(packet_type: PacketType, number: u64) -> Self {
        Self {
            packet_type,
            number,
        }
    }
}

/// Why a packet was thrown away.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropTrigger {
    /// Its header cannot be read.
    Malformed,
    /// Its header does not fit this connection: another connection ID, version or token.
    Unwanted,
    /// It does not open: damaged, or nobody's who has the keys.
    Undecryptable,
    /// Its keys are gone, or not there yet and there was no room to keep it.
    KeyUnavailable,
    /// It was received before, or is too old to tell.
    Duplicate,
}

/// By what a packet was found lost (RFC 9002, section 6.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossTrigger {
    /// Later packets were acknowledged.
    Reordering,
    /// A later packet was acknowledged, and too much time went by.
    Time,
}

/// Figures of loss recovery and congestion control, of the path in use.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The smoothed round-trip time.
    pub smoothed_rtt: Duration,
    /// Its newest sample; zero before the first.
    pub latest_rtt: Duration,
    /// Its smallest sample; zero before the first.
    pub min_rtt: Duration,
    /// The mean deviation of its samples.
    pub rtt_variation: Duration,
    /// Probe timeouts in a row.
    pub pto_count: u32,
    /// The congestion window, in bytes.
    pub congestion_window: u64,
    /// Bytes sent and not yet acknowledged or lost.
    pub bytes_in_flight: u64,
    /// The window at which slow start ends; `None` before the first congestion, or when the
    /// controller knows no such thing.
    pub ssthresh: Option<u64>,
    /// How fast the pacer lets packets go, in bytes a second; `None` when it does not hold them
    /// back.
    pub pacing_rate: Option<u64>,
}

/// What congestion control is doing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CongestionState {
    /// The window grows with every acknowledgement.
    SlowStart,
    /// It is after that: the window follows what was learned of the path.
    CongestionAvoidance,
}

/// How far a connection has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionState {
    /// The handshake is going on.
    Handshaking,
    /// The handshake is complete.
    Established,
    /// The handshake is confirmed (RFC 9001, section 4.1.2).
    Confirmed,
    /// This end closed (RFC 9000, section 10.2.1).
    Closing,
    /// The peer closed (RFC 9000, section 10.2.2).
    Draining,
    /// Nothing is left to do.
    Closed,
}

/// The path that packets take.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathInfo {
    /// The peer's address.
    pub remote: SocketAddr,
    /// Our address, if it is known.
    pub local: Option<IpAddr>,
    /// Whether the peer proved to be there.
    pub validated: bool,
}

impl PathInfo {
    pub(crate) const fn new(remote: SocketAddr, local: Option<IpAddr>, validated: bool) -> Self {
        Self {
            remote,
            local,
            validated,
        }
    }
}

/// What became of a stream.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamState {
    /// One of the two ends opened it.
    Open,
    /// The peer asked for no more (STOP_SENDING), and it was reset.
    Stopped,
    /// This end gave its sending side up.
    Reset,
    /// The peer has all that this end sent.
    Delivered,
    /// Both directions are over.
    Closed,
}

/// The frames of a packet, in order, as they are on the wire.
#[derive(Copy, Clone, Debug)]
pub struct Frames<'a>(&'a [u8]);

impl<'a> Frames<'a> {
    pub(crate) const fn new(payload: &'a [u8]) -> Self {
        Self(payload)
    }

    /// Them one by one, up to one that cannot be read.
    pub fn iter(&self) -> FrameIter<'a> {
        FrameIter(Reader::new(self.0))
    }

    /// Bytes of them together.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for Frames<'a> {
    type Item = Frame<'a>;
    type IntoIter = FrameIter<'a>;

    fn into_iter(self) -> FrameIter<'a> {
        self.iter()
    }
}

/// See [`Frames::iter`].
#[derive(Clone, Debug)]
pub struct FrameIter<'a>(Reader<'a>);

impl<'a> Iterator for FrameIter<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        if self.0.is_empty() {
            return None;
        }
        // One that cannot be read stays where it is, and ends this again and again.
        Frame::parse(&mut self.0).ok()
    }
}
