//! UDP with the operating system's offloads, for any event loop.

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Range,
};

use quinn_udp::{BATCH_SIZE, EcnCodepoint, UdpSockRef, UdpSocketState};
use weftline::{
    driver::DatagramIo,
    udp::{Ecn, RecvMeta, Transmit},
};

/// A UDP socket as an event loop holds it.
pub trait NonBlocking {
    /// The socket beneath.
    fn as_udp(&self) -> UdpSockRef<'_>;

    /// Runs `receive`; when that gives `WouldBlock`, the loop is to watch for datagrams again.
    fn try_recv<R>(&self, receive: impl FnOnce() -> io::Result<R>) -> io::Result<R>;

    /// Runs `send`; when that gives `WouldBlock`, the loop is to watch for room again.
    fn try_send<R>(&self, send: impl FnOnce() -> io::Result<R>) -> io::Result<R>;
}

/// A [`DatagramIo`] over a socket of the operating system: segmentation offload both ways, several
/// datagrams for one system call, ECN, and the local address of each datagram.
///
/// On an IPv6 socket, IPv4 peers appear under their IPv4 addresses.
pub struct UdpIo<S> {
    socket: S,
    state: UdpSocketState,
    is_v6: bool,
    /// Equal parts, one for each message that a system call may bring.
    buffer: Box<[u8]>,
    /// What the last system call brought.
    messages: [quinn_udp::RecvMeta; MESSAGES],
    /// Those of `messages` that have datagrams left.
    pending: Range<usize>,
    /// How much of the first of them was taken.
    taken: usize,
    stats: IoStats,
}

/// What went through a socket since it was opened.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IoStats {
    /// Datagrams received.
    pub received: u64,
    /// System calls that brought them.
    pub receive_calls: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// System calls that sent them.
    pub send_calls: u64,
    /// How often the socket was full.
    pub full: u64,
    /// Errors of the socket, such as an unreachable network. They count as loss.
    pub errors: u64,
}

/// For loops that watch nothing, or watch by themselves.
impl NonBlocking for std::net::UdpSocket {
    fn as_udp(&self) -> UdpSockRef<'_> {
        self.into()
    }

    fn try_recv<R>(&self, receive: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        receive()
    }

    fn try_send<R>(&self, send: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        send()
    }
}

impl<S: NonBlocking> UdpIo<S> {
    /// Takes a socket over and makes it non-blocking.
    pub fn new(socket: S, local: SocketAddr) -> io::Result<Self> {
        let state = UdpSocketState::new(socket.as_udp())?;
        Ok(Self {
            socket,
            state,
            is_v6: local.is_ipv6(),
            buffer: vec![0; MESSAGES * MESSAGE_LEN].into(),
            messages: [quinn_udp::RecvMeta::default(); MESSAGES],
            pending: 0..0,
            taken: 0,
            stats: IoStats::default(),
        })
    }

    /// The socket.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// The socket, for the event loop that watches it.
    pub fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Goes on with another socket. The count goes on, too.
    pub fn replace(&mut self, other: Self) {
        let stats = self.stats;
        *self = other;
        self.stats = stats;
    }

    /// What went through it.
    pub fn stats(&self) -> IoStats {
        self.stats
    }

    /// Whether the system brought any messages.
    fn receive(&mut self) -> bool {
        let mut buffers = self.buffer.chunks_exact_mut(MESSAGE_LEN);
        let mut buffers: [IoSliceMut<'_>; MESSAGES] =
            std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
        // An error is about a datagram sent before (ICMP): the next call goes on behind it.
        for _ in 0..ERRORS_IN_A_ROW {
            let Self {
                socket,
                state,
                messages,
                ..
            } = self;
            match socket.try_recv(|| state.recv(socket.as_udp(), &mut buffers, messages)) {
                Ok(count) => {
                    self.pending = 0..count;
                    self.taken = 0;
                    self.stats.receive_calls += 1;
                    return count > 0;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => self.stats.errors += 1,
            }
        }
        false
    }

    /// The next datagram of `messages`: its message, and its place in `buffer`.
    fn next_pending(&mut self) -> Option<(usize, Range<usize>)> {
        loop {
            let index = self.pending.clone().next()?;
            let message = &self.messages[index];
            let left = message.len.saturating_sub(self.taken);
            if left == 0 {
                self.pending.start += 1;
                self.taken = 0;
                continue;
            }
            let start = index * MESSAGE_LEN + self.taken;
            let len = message.stride.clamp(1, left);
            self.taken += len;
            return Some((index, start..start + len));
        }
    }
}

impl<S: NonBlocking> DatagramIo for UdpIo<S> {
    fn try_recv(&mut self) -> Option<(RecvMeta, &mut [u8])> {
        let (index, place) = loop {
            if let Some(next) = self.next_pending() {
                break next;
            }
            if !self.receive() {
                return None;
            }
        };
        self.stats.received += 1;
        let message = &self.messages[index];
        let meta = RecvMeta {
            from: canonical(message.addr),
            to: message.dst_ip.map(|ip| ip.to_canonical()),
            ecn: message.ecn.and_then(|ecn| Ecn::from_bits(ecn as u8)),
        };
        Some((meta, &mut self.buffer[place]))
    }

    fn try_send(&mut self, transmit: &Transmit, datagrams: &[u8]) -> bool {
        let Self { socket, state, .. } = self;
        let message = quinn_udp::Transmit {
            destination: match self.is_v6 {
                true => mapped(transmit.to),
                false => transmit.to,
            },
            ecn: transmit
                .ecn
                .and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
            contents: datagrams,
            segment_size: transmit.segment,
            src_ip: transmit.from.filter(|ip| !ip.is_unspecified()),
        };
        match socket.try_send(|| state.try_send(socket.as_udp(), &message)) {
            Ok(()) => {
                let segment = transmit.segment.unwrap_or(datagrams.len()).max(1);
                self.stats.sent += datagrams.len().div_ceil(segment) as u64;
                self.stats.send_calls += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.stats.full += 1;
                return false;
            }
            // Unreachable, refused, too long, filtered: to QUIC the datagrams are lost.
            Err(_) => self.stats.errors += 1,
        }
        true
    }

    fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }
}

impl<S: fmt::Debug> fmt::Debug for UdpIo<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpIo")
            .field("socket", &self.socket)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// An IPv4 address that an IPv6 socket gave, as an IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        // Keeps the scope of link-local addresses.
        IpAddr::V6(_) => address,
    }
}

/// An address as an IPv6 socket takes it.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => {
            let ip: Ipv4Addr = *v4.ip();
            SocketAddr::new(ip.to_ipv6_mapped().into(), v4.port())
        }
        v6 @ SocketAddr::V6(_) => v6,
    }
}

/// Messages that one system call may bring.
const MESSAGES: usize = if BATCH_SIZE < 8 { BATCH_SIZE } else { 8 };

/// The most that receive offload puts into one message.
const MESSAGE_LEN: usize = 64 << 10;

const ERRORS_IN_A_ROW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_goes_over_ipv6_sockets_and_back() {
        let v4: SocketAddr = "192.0.2.1:5".parse().unwrap();
        let in_v6: SocketAddr = "[::ffff:192.0.2.1]:5".parse().unwrap();
        let v6: SocketAddr = "[fe80::1%3]:5".parse().unwrap();
        assert_eq!(mapped(v4), in_v6);
        assert_eq!(canonical(in_v6), v4);
        assert_eq!((mapped(v6), canonical(v6)), (v6, v6));
    }
}
