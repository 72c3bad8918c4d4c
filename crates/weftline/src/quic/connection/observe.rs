//! Telling the probe, if there is one.

use super::{
    Connection, Setup,
    packet::{Dispatch, Draft},
    phase::Phase,
    receive::Arrival,
};
use crate::{
    probe::{
        CongestionState, ConnectionState, DropTrigger, Frames, Metrics, Owner, Packet, PathInfo,
        ProbeEvent, SentNumber, StreamState, Subject, UnopenedPacket,
    },
    quic::{
        StreamChange,
        observer::{Fate, KeyState, Observer, Told},
        recovery::SpaceId,
        space::SpaceKeys,
    },
    udp::Ecn,
    wire::{
        Cid, StreamId,
        packet::{PacketType, ProtectedHeader},
        params::TransportParameters,
    },
};

impl Connection {
    /// Asks for a probe and tells it how the connection begins. `params` are our transport
    /// parameters.
    pub(super) fn start_probe(&mut self, setup: &Setup<'_>, original: Cid, params: Option<&[u8]>) {
        if setup.probe.is_none() {
            return;
        }
        let subject = Subject::new(setup.now, self.side, original, setup.remote, setup.local);
        self.observer = Observer::new(setup.probe, &subject);
        if !self.observer.is_on() {
            return;
        }
        self.outcome.fates.turn_on();
        self.observe();
        if let Some(Ok(params)) = params.map(|bytes| TransportParameters::parse(bytes, self.side)) {
            self.observer
                .tell(|| ProbeEvent::Parameters(Owner::Local, &params));
        }
    }

    /// Tells the probe of an event of a layer above.
    #[inline]
    pub(crate) fn tell_probe<'a>(&mut self, event: impl FnOnce() -> ProbeEvent<'a>) {
        self.observer.tell(event);
    }

    /// Tells the probe what of the connection changed since it was last told. To be called after
    /// whatever may change something that lasts.
    #[inline]
    pub(super) fn observe(&mut self) {
        if self.observer.is_on() {
            self.tell_changes();
        }
    }

    #[cold]
    fn tell_changes(&mut self) {
        let mut told = self.observer.take_told();
        self.tell_lasting(&mut told);
        self.observer.set_told(told);
    }

    fn tell_lasting(&mut self, told: &mut Told) {
        self.tell_path(told);
        self.tell_keys(told);
        self.tell_handshake(told);
        self.tell_recovery(told);
        let dropped = (self.datagrams.dropped_in(), self.datagrams.dropped_out());
        let before = core::mem::replace(&mut told.datagrams_dropped, dropped);
        if dropped != before {
            self.observer.tell(|| ProbeEvent::DatagramsDropped {
                incoming: dropped.0 - before.0,
                outgoing: dropped.1 - before.1,
            });
        }
        if told.phase.replace(self.phase) != Some(self.phase) {
            let state = connection_state(self.phase);
            self.observer.tell(|| ProbeEvent::State(state));
        }
    }

    fn tell_path(&mut self, told: &mut Told) {
        let (route, validated) = (self.paths.route(), self.paths.is_validated());
        let path = (route.remote, validated);
        if told.path.replace(path) != Some(path) {
            let info = PathInfo::new(route.remote, route.local, validated);
            self.observer.tell(|| ProbeEvent::Path(info));
        }
        let mtu = self.paths.datagram_size();
        if core::mem::replace(&mut told.mtu, mtu) != mtu {
            self.observer.tell(|| ProbeEvent::Mtu(mtu));
        }
    }

    fn tell_keys(&mut self, told: &mut Told) {
        for (id, told) in SpaceId::ALL.into_iter().zip(&mut told.keys) {
            let state = match self.space(id).keys {
                SpaceKeys::Awaited => KeyState::Awaited,
                SpaceKeys::Level(_) | SpaceKeys::Phases(_) => KeyState::Installed,
                SpaceKeys::Discarded => KeyState::Discarded,
            };
            let before = core::mem::replace(told, state);
            if before == state {
                continue;
            }
            // Keys may come and go between two looks.
            if before == KeyState::Awaited {
                self.observer.tell(|| ProbeEvent::KeysInstalled(id.level()));
            }
            if state == KeyState::Discarded {
                self.observer.tell(|| ProbeEvent::KeysDiscarded(id.level()));
            }
        }
        let updates = self.key_updates();
        if core::mem::replace(&mut told.key_updates, updates) != updates {
            self.observer.tell(|| ProbeEvent::KeysUpdated(updates));
        }
    }

    /// Updates of the 1-RTT keys so far.
    pub(super) fn key_updates(&self) -> u64 {
        let phases = self.space(SpaceId::Data).keys.phases();
        phases.map_or(0, crate::crypto::phase::KeyPhases::generation)
    }

    fn tell_handshake(&mut self, told: &mut Told) {
        let version = self.version;
        if told.version.replace(version) != Some(version) {
            self.observer.tell(|| ProbeEvent::Version(version));
        }
        if told.has_peer_params || !self.phase.is_established() {
            return;
        }
        told.has_peer_params = true;
        if let Some(alpn) = self.session.alpn() {
            self.observer.tell(|| ProbeEvent::Alpn(alpn));
        }
        if let Some(params) = &self.handshake.peer_params {
            self.observer
                .tell(|| ProbeEvent::Parameters(Owner::Remote, params));
        }
    }

    fn tell_recovery(&mut self, told: &mut Told) {
        let metrics = self.metrics();
        if core::mem::replace(&mut told.metrics, metrics) != metrics {
            self.observer.tell(|| ProbeEvent::Metrics(&metrics));
        }
        let state = match self.recovery.active().in_slow_start() {
            true => CongestionState::SlowStart,
            false => CongestionState::CongestionAvoidance,
        };
        if told.congestion.replace(state) != Some(state) {
            self.observer.tell(|| ProbeEvent::CongestionState(state));
        }
    }

    /// Figures of recovery on the active path.
    fn metrics(&self) -> Metrics {
        let path = self.recovery.active();
        let rtt = path.rtt();
        Metrics {
            smoothed_rtt: rtt.smoothed(),
            latest_rtt: rtt.latest(),
            min_rtt: rtt.min(),
            rtt_variation: rtt.variation(),
            pto_count: self.recovery.pto_count(),
            congestion_window: path.congestion_window(),
            bytes_in_flight: path.bytes_in_flight(),
            ssthresh: path.ssthresh(),
            pacing_rate: path.pacing_rate(),
        }
    }

    /// A packet is about to be sealed.
    #[inline]
    pub(super) fn tell_sent(&mut self, draft: &Draft, packet: &[u8], dispatch: Dispatch) {
        let (remote, destination) = (self.paths.route().remote, self.remote_cids.current());
        let packet_type = match self.drafts_early(draft.id) {
            true => PacketType::ZeroRtt,
            false => draft.id.packet_type(),
        };
        self.observer.tell(|| {
            let payload = draft.layout.payload_at..draft.end - draft.start;
            ProbeEvent::PacketSent(Packet {
                packet_type,
                number: draft.number,
                len: packet.len(),
                destination,
                ecn: dispatch.ect.then_some(Ecn::Ect0),
                mtu_probe: dispatch.mtu_probe,
                remote,
                frames: Frames::new(packet.get(payload).unwrap_or_default()),
            })
        });
    }

    /// A packet was opened, and is no duplicate.
    #[inline]
    pub(super) fn tell_received(
        &mut self,
        arrival: &Arrival,
        header: &ProtectedHeader,
        number: u64,
        payload: &[u8],
    ) {
        self.observer.tell(|| {
            ProbeEvent::PacketReceived(Packet {
                packet_type: header.packet_type,
                number,
                len: header.end,
                destination: header.destination,
                ecn: arrival.ecn,
                mtu_probe: false,
                remote: arrival.route.remote,
                frames: Frames::new(payload),
            })
        });
    }

    /// A packet is kept for keys that are not there yet.
    pub(super) fn tell_held(&mut self, header: &ProtectedHeader) {
        let packet = UnopenedPacket::new(Some(header.packet_type), header.end);
        self.observer.tell(|| ProbeEvent::PacketHeld(packet));
    }

    /// A packet of this type, if that could be read, and length is of no use.
    pub(super) fn drop_packet(
        &mut self,
        packet_type: Option<PacketType>,
        len: usize,
        trigger: DropTrigger,
    ) {
        self.stats.packets_dropped += 1;
        let packet = UnopenedPacket::new(packet_type, len);
        self.observer
            .tell(|| ProbeEvent::PacketDropped(packet, trigger));
    }

    /// Tells what became of the packets of a space.
    pub(super) fn tell_fates(&mut self, id: SpaceId) {
        let packet_type = id.packet_type();
        for (number, fate) in self.outcome.fates.drain() {
            let packet = SentNumber::new(packet_type, number);
            self.observer.tell(|| match fate {
                Fate::Acked => ProbeEvent::PacketAcked(packet),
                Fate::Lost(trigger) => ProbeEvent::PacketLost(packet, trigger),
            });
        }
    }

    /// A change of a stream goes up.
    pub(super) fn tell_stream(&mut self, change: StreamChange) {
        let (id, state) = match change {
            StreamChange::Opened(id) => (id, StreamState::Open),
            StreamChange::Stopped { id, .. } => (id, StreamState::Stopped),
            StreamChange::Finished(id) => (id, StreamState::Delivered),
            StreamChange::Closed { id, .. } => (id, StreamState::Closed),
            StreamChange::Readable(_)
            | StreamChange::Writable(_)
            | StreamChange::BufferLow(_)
            | StreamChange::Available(_)
            | StreamChange::Received(_) => return,
        };
        self.tell_stream_state(id, state);
    }

    #[inline]
    pub(super) fn tell_stream_state(&mut self, id: StreamId, state: StreamState) {
        self.observer.tell(|| ProbeEvent::Stream(id, state));
    }
}

const fn connection_state(phase: Phase) -> ConnectionState {
    match phase {
        Phase::Handshaking => ConnectionState::Handshaking,
        Phase::Connected => ConnectionState::Established,
        Phase::Confirmed => ConnectionState::Confirmed,
        Phase::Closing => ConnectionState::Closing,
        Phase::Draining => ConnectionState::Draining,
        Phase::Drained => ConnectionState::Closed,
    }
}
