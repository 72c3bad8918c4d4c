//! What the layer above does with a connection, and learns of it.

use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

use super::{Connection, DatagramFail, Stats, phase::Phase};
#[cfg(doc)]
use crate::quic::StreamChange;
use crate::{
    crypto::{CryptoError, TAG_LEN, Version},
    probe::StreamState,
    quic::{ReadFail, WriteFail, datagrams::Full, recovery::SpaceId},
    wire::{Dir, Side, StreamId, frame::data_that_fits, params::TransportParameters},
};

/// Commands. What they queue goes out with the next [`Connection::poll_transmit`].
impl Connection {
    /// Opens a stream; `None` at the peer's limit, and then a [`StreamChange::Available`] follows.
    pub(crate) fn open(&mut self, dir: Dir) -> Option<StreamId> {
        if !self.phase.is_open() {
            return None;
        }
        let id = self.streams.open(dir)?;
        self.tell_stream_state(id, StreamState::Open);
        Some(id)
    }

    /// How many streams of this direction were opened here.
    pub(crate) fn opened(&self, dir: Dir) -> u64 {
        self.streams.opened(dir)
    }

    pub(crate) fn write(&mut self, id: StreamId, data: &[u8]) -> Result<usize, WriteFail> {
        self.check_open()?;
        self.streams.write(id, data)
    }

    pub(crate) fn write_bytes(&mut self, id: StreamId, data: Bytes) -> Result<usize, WriteFail> {
        self.check_open()?;
        self.streams.write_bytes(id, data)
    }

    pub(crate) fn writable(&self, id: StreamId) -> usize {
        if !self.phase.is_open() {
            return 0;
        }
        self.streams.writable(id)
    }

    pub(crate) fn finish(&mut self, id: StreamId) -> Result<(), WriteFail> {
        self.check_open()?;
        self.streams.finish(id)
    }

    /// Nothing happens to a stream that is gone.
    pub(crate) fn reset(&mut self, id: StreamId, code: u64) {
        if self.streams.reset(id, code).is_ok() {
            self.tell_stream_state(id, StreamState::Reset);
        }
    }

    /// Like [`Self::reset`], but the first `reliable` bytes are delivered all the same if the peer
    /// can be told so (RESET_STREAM_AT).
    pub(crate) fn reset_at(&mut self, id: StreamId, code: u64, reliable: u64) {
        let params = self.peer_params();
        let reliable = match params.is_some_and(|p| p.reset_stream_at || p.reset_stream_at_old) {
            true => reliable,
            false => 0,
        };
        if self.streams.reset_at(id, code, reliable).is_ok() {
            self.tell_stream_state(id, StreamState::Reset);
        }
    }

    /// Nothing happens to a stream that is gone.
    pub(crate) fn stop(&mut self, id: StreamId, code: u64) {
        let _ = self.streams.stop(id, code);
    }

    pub(crate) fn set_priority(&mut self, id: StreamId, priority: i32) {
        self.streams.set_rank(id, |rank| rank.priority = priority);
    }

    pub(crate) fn set_send_group(&mut self, id: StreamId, group: u32) {
        self.streams.set_rank(id, |rank| rank.group = group);
    }

    pub(crate) fn set_send_order(&mut self, id: StreamId, order: i64) {
        self.streams.set_rank(id, |rank| rank.order = order);
    }

    /// Has [`StreamChange::BufferLow`] tell, once, when no more than this much is buffered.
    pub(crate) fn set_low_water(&mut self, id: StreamId, bytes: u64) {
        self.streams.set_low_water(id, bytes);
    }

    /// Has [`StreamChange::Writable`] tell of room.
    pub(crate) fn want_room(&mut self, id: StreamId) {
        self.streams.want_room(id);
    }

    pub(crate) fn read(&mut self, id: StreamId, max: usize) -> Result<Option<Bytes>, ReadFail> {
        self.streams.read(id, max)
    }

    pub(crate) fn read_into(
        &mut self,
        id: StreamId,
        out: &mut [u8],
    ) -> Result<Option<usize>, ReadFail> {
        self.streams.read_into(id, out)
    }

    pub(crate) fn is_readable(&self, id: StreamId) -> bool {
        self.streams.is_readable(id)
    }

    /// Has [`StreamChange::Received`] tell when the peer sends more on a stream.
    pub(crate) fn watch(&mut self, id: StreamId) {
        self.streams.watch(id);
    }

    /// How much the peer sent on a stream so far, whether it was read or not.
    pub(crate) fn received(&mut self, id: StreamId) -> Option<u64> {
        self.streams.received(id)
    }

    /// Bytes written to a stream that the peer has not acknowledged.
    pub(crate) fn buffered_on(&self, id: StreamId) -> u64 {
        self.streams.buffered_on(id)
    }

    /// Queues a DATAGRAM frame of `prefix` and `payload`.
    pub(crate) fn send_datagram(
        &mut self,
        prefix: &[u8],
        payload: &[u8],
    ) -> Result<(), DatagramFail> {
        let max = self.max_datagram_len().ok_or(DatagramFail::Unsupported)?;
        if prefix.len().saturating_add(payload.len()) > max {
            return Err(DatagramFail::TooLarge { max });
        }
        self.datagrams
            .send(prefix, payload)
            .map_err(|Full| DatagramFail::Full)
    }

    /// Whether a datagram has arrived that was not taken.
    pub(crate) fn has_datagram(&self) -> bool {
        self.datagrams.has_arrived()
    }

    /// Takes the oldest datagram that arrived.
    pub(crate) fn recv_datagram(&mut self) -> Option<Bytes> {
        self.datagrams.recv()
    }

    /// Keeps no credit of the connection for urgent streams.
    pub(crate) fn keep_no_reserve(&mut self) {
        self.streams.keep_no_reserve();
    }

    /// The longest DATAGRAM payload that fits one packet now; `None` when the peer takes none.
    pub(crate) fn max_datagram_len(&self) -> Option<usize> {
        let frame_max = self.peer_params()?.max_datagram_frame_size;
        let frame_max = usize::try_from(frame_max).unwrap_or(usize::MAX);
        data_that_fits(self.packet_room().min(frame_max).checked_sub(1)?)
    }

    /// Bytes of frames that a 1-RTT packet has room for, alone in a datagram of full size.
    pub(super) fn packet_room(&self) -> usize {
        let header = 1 + self.remote_cids.current().len() + MAX_NUMBER_LEN;
        usize::from(self.paths.datagram_size()).saturating_sub(header + TAG_LEN)
    }

    /// Starts a key update, if one is possible now.
    pub(crate) fn update_keys(&mut self) -> bool {
        let now = self.now.unwrap_or_default();
        let is_open = self.phase.is_open();
        let space = self.space_mut(SpaceId::Data);
        let phases = space.keys.phases_mut().filter(|_| is_open);
        let is_updated = phases.is_some_and(|phases| phases.try_update(now));
        // The peer follows once it sees a packet.
        space.ping |= is_updated;
        is_updated
    }

    fn check_open(&self) -> Result<(), WriteFail> {
        if self.phase.is_open() {
            Ok(())
        } else {
            Err(WriteFail::Unknown)
        }
    }
}

/// What is known of the connection.
impl Connection {
    /// The version in use; a client's may still change before the server has answered.
    pub(crate) const fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// The handshake is complete and the connection not closed.
    pub(crate) fn is_established(&self) -> bool {
        self.phase.is_established()
    }

    /// The connection is over, though it may have something to send still.
    pub(crate) fn is_closed(&self) -> bool {
        !self.phase.is_open()
    }

    /// Nothing will be sent any more, and nothing that arrives matters.
    pub(crate) fn is_drained(&self) -> bool {
        self.phase == Phase::Drained
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.phase == Phase::Handshaking
    }

    /// The peer's transport parameters, once they are authenticated.
    pub(crate) fn peer_params(&self) -> Option<&TransportParameters> {
        let params = self.handshake.peer_params.as_ref();
        params.filter(|_| self.phase.is_established() || self.early.is_taking())
    }

    pub(crate) fn remote_address(&self) -> SocketAddr {
        self.paths.route().remote
    }

    /// The application protocol, once it is agreed on.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.session.alpn()
    }

    pub(crate) fn server_name(&self) -> Option<&str> {
        self.session.server_name()
    }

    pub(crate) fn peer_certificates(&self) -> Vec<Bytes> {
        self.session.peer_certificates()
    }

    pub(crate) fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), CryptoError> {
        self.session.export_keying_material(out, label, context)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            rtt: self.recovery.rtt().smoothed(),
            latest_rtt: self.recovery.rtt().latest(),
            min_rtt: self.recovery.rtt().min(),
            rtt_variation: self.recovery.rtt().variation(),
            congestion_window: self.recovery.congestion_window(),
            bytes_in_flight: self.recovery.bytes_in_flight(),
            bytes_sent: self.stats.bytes_sent,
            bytes_received: self.stats.bytes_received,
            packets_sent: self.stats.packets_sent,
            packets_received: self.stats.packets_received,
            packets_dropped: self.stats.packets_dropped,
            packets_lost: self.recovery.lost_packets(),
            packets_late: self.recovery.late_packets(),
            datagrams_dropped: self.datagrams.dropped_in() + self.datagrams.dropped_out(),
            frames_sent: self.stats.frames_sent,
            frames_received: self.stats.frames_received,
            bytes_resent: self.streams.resent(),
            udp_sent: self.stats.udp_sent,
            udp_received: self.stats.udp_received,
            handshake_time: self.stats.handshake_time,
            key_updates: self.key_updates(),
            blocked_by_congestion: self.stats.blocked_by_congestion,
            blocked_by_pacer: self.stats.blocked_by_pacer,
            pto_count: self.recovery.pto_count(),
            memory: self.accounted_bytes(),
        }
    }

    /// Bytes of memory held for the peer or on its behalf, without what is the same for every
    /// connection.
    pub(crate) fn accounted_bytes(&self) -> usize {
        let spaces = self
            .spaces
            .iter()
            .map(|space| space.crypto.accounted_bytes() + space.acks.accounted_bytes());
        self.streams.accounted_bytes()
            + self.datagrams.accounted_bytes()
            + self.recovery.accounted_bytes()
            + spaces.sum::<usize>()
            + self.held_bytes()
    }
}

/// The longest packet number on the wire.
const MAX_NUMBER_LEN: usize = 4;
