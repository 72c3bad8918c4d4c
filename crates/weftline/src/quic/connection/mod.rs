//! One QUIC connection.

#![allow(clippy::todo, dead_code, unused_variables, reason = "signatures first")]

use alloc::vec::Vec;
use bytes::Bytes;
use core::{net::SocketAddr, time::Duration};

use crate::{
    RecvMeta, Transmit,
    crypto::CryptoError,
    error::Fault,
    event::{CloseReason, ErrorSpace},
    quic::{ReadFail, StreamChange, WriteFail},
    time::Instant,
    wire::{Cid, Dir, ResetToken, Side, StreamId},
};

/// One QUIC connection, as a state machine.
pub(crate) struct Connection {
    side: Side,
}

/// What a connection tells the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The handshake is complete: 1-RTT keys both ways, transport parameters authenticated.
    Connected,
    /// The handshake is confirmed (RFC 9001, section 4.1.2).
    Confirmed,
    /// Something happened to a stream.
    Stream(StreamChange),
    /// A DATAGRAM frame arrived.
    Datagram(Bytes),
    /// The connection is over. Comes exactly once, and last.
    Closed(CloseReason),
}

/// What a connection tells the endpoint about the datagrams that belong to it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    AddCid(Cid),
    RemoveCid(Cid),
    /// A stateless reset token of the peer's.
    AddResetToken(ResetToken),
    RemoveResetToken(ResetToken),
}

/// A datagram was not queued.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum DatagramFail {
    Full,
    TooLarge {
        max: usize,
    },
    /// The peer takes none, or its parameters are not known yet.
    Unsupported,
}

/// Figures of a connection.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// The congestion window, in bytes.
    pub congestion_window: u64,
    /// Bytes sent and not yet acknowledged or lost.
    pub bytes_in_flight: u64,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// UDP payload bytes received.
    pub bytes_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received and opened.
    pub packets_received: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
}

/// Input and output, called by the composed connection and the endpoint.
impl Connection {
    pub(crate) fn handle_datagram(&mut self, now: Instant, meta: &RecvMeta, datagram: &mut [u8]) {
        todo!()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        todo!()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    pub(crate) fn next_change(&mut self) -> Option<Change> {
        todo!()
    }

    pub(crate) fn next_route(&mut self) -> Option<Route> {
        todo!()
    }
}

/// Commands.
impl Connection {
    pub(crate) fn open(&mut self, dir: Dir) -> Option<StreamId> {
        todo!()
    }

    pub(crate) fn write(&mut self, id: StreamId, data: &[u8]) -> Result<usize, WriteFail> {
        todo!()
    }

    pub(crate) fn write_bytes(&mut self, id: StreamId, data: Bytes) -> Result<usize, WriteFail> {
        todo!()
    }

    pub(crate) fn writable(&self, id: StreamId) -> usize {
        todo!()
    }

    pub(crate) fn finish(&mut self, id: StreamId) -> Result<(), WriteFail> {
        todo!()
    }

    pub(crate) fn reset(&mut self, id: StreamId, code: u64) {
        todo!()
    }

    pub(crate) fn stop(&mut self, id: StreamId, code: u64) {
        todo!()
    }

    pub(crate) fn set_priority(&mut self, id: StreamId, priority: i32) {
        todo!()
    }

    pub(crate) fn read(&mut self, id: StreamId, max: usize) -> Result<Option<Bytes>, ReadFail> {
        todo!()
    }

    pub(crate) fn read_into(
        &mut self,
        id: StreamId,
        out: &mut [u8],
    ) -> Result<Option<usize>, ReadFail> {
        todo!()
    }

    pub(crate) fn is_readable(&self, id: StreamId) -> bool {
        todo!()
    }

    /// Queues a DATAGRAM frame of `prefix` and `payload`.
    pub(crate) fn send_datagram(
        &mut self,
        prefix: &[u8],
        payload: &[u8],
    ) -> Result<(), DatagramFail> {
        todo!()
    }

    /// The longest DATAGRAM payload that fits one packet now; `None` when the peer takes none.
    pub(crate) fn max_datagram_len(&self) -> Option<usize> {
        todo!()
    }

    /// Closes the connection: the application's wish.
    pub(crate) fn close(&mut self, space: ErrorSpace, code: u64, reason: &str) {
        todo!()
    }

    /// Closes the connection: an upper layer found the peer at fault.
    pub(crate) fn fail(&mut self, fault: Fault) {
        todo!()
    }
}

/// What is known of the connection.
impl Connection {
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    pub(crate) fn is_established(&self) -> bool {
        todo!()
    }

    pub(crate) fn is_closed(&self) -> bool {
        todo!()
    }

    pub(crate) fn remote_address(&self) -> SocketAddr {
        todo!()
    }

    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        todo!()
    }

    pub(crate) fn server_name(&self) -> Option<&str> {
        todo!()
    }

    pub(crate) fn peer_certificates(&self) -> Vec<Bytes> {
        todo!()
    }

    pub(crate) fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), CryptoError> {
        todo!()
    }

    pub(crate) fn stats(&self) -> Stats {
        todo!()
    }
}
