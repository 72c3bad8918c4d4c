//! Driving the TLS handshake: CRYPTO data, keys as they come and go, transport parameters (RFC
//! 9001, section 4; RFC 9000, section 7), and Retry.

use alloc::vec::Vec;
use core::time::Duration;

use super::{
    Change, Connection, Route, new_token::NewTokenFrame, phase::Phase, phase::Step,
    timers::TimerId, version::Negotiation,
};
use crate::{
    config::{Limits, TransportConfig},
    crypto::{KeyChange, Level, TlsError, phase::KeyPhases},
    error::{Fault, TransportCode},
    quic::{
        acks::Acks,
        crypto_stream::CryptoStream,
        random::Random,
        recovery::{GRANULARITY, SpaceId},
        space::SpaceKeys,
        streams::StreamParams,
    },
    time::Instant,
    wire::{
        Cid, ResetToken, Side,
        packet::Retry,
        params::{PreferredAddress, TransportParameters, VersionInformation, grease_id},
    },
};

/// What the handshake must remember.
#[derive(Debug)]
pub(super) struct Handshake {
    /// Our connection ID in long headers.
    pub(super) local_cid: Cid,
    /// The destination of the client's first Initial, or of the first after a Retry on a server.
    pub(super) original_cid: Cid,
    /// The source connection ID of the peer's packets, once one arrived.
    pub(super) peer_cid: Option<Cid>,
    /// The source connection ID of the Retry packet we followed.
    pub(super) retry_cid: Option<Cid>,
    /// What Initial packets must bring back to the server.
    pub(super) token: Vec<u8>,
    /// The level that CRYPTO data may come on.
    pub(super) read_level: Level,
    pub(super) write_level: Level,
    pub(super) peer_params: Option<TransportParameters>,
    pub(super) done: DoneFrame,
    pub(super) new_token: NewTokenFrame,
    pub(super) negotiation: Negotiation,
}

/// A server's HANDSHAKE_DONE frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum DoneFrame {
    NotDue,
    Unsent,
    Sent,
}

impl Handshake {
    pub(super) fn new(
        local_cid: Cid,
        original_cid: Cid,
        peer_cid: Option<Cid>,
        negotiation: Negotiation,
    ) -> Self {
        Self {
            local_cid,
            original_cid,
            peer_cid,
            retry_cid: None,
            token: Vec::new(),
            read_level: Level::Initial,
            write_level: Level::Initial,
            peer_params: None,
            done: DoneFrame::NotDue,
            new_token: NewTokenFrame::None,
            negotiation,
        }
    }
}

/// What only servers put into their transport parameters.
#[derive(Copy, Clone, Debug)]
pub(super) struct ServerParams {
    /// The destination of the client's very first Initial.
    pub(super) original: Cid,
    /// The connection ID of the Retry packet that the client followed.
    pub(super) retry: Option<Cid>,
    pub(super) reset_token: ResetToken,
    pub(super) preferred: Option<PreferredAddress>,
}

/// Our transport parameters, encoded.
pub(super) fn local_params(
    config: &TransportConfig,
    limits: &Limits,
    streams: StreamParams,
    local_cid: Cid,
    versions: VersionInformation,
    server: Option<ServerParams>,
    random: &mut Random,
) -> Vec<u8> {
    let params = TransportParameters {
        original_destination_connection_id: server.as_ref().map(|server| server.original),
        retry_source_connection_id: server.as_ref().and_then(|server| server.retry),
        stateless_reset_token: server.as_ref().map(|server| server.reset_token),
        preferred_address: server.and_then(|server| server.preferred),
        disable_active_migration: config.disable_active_migration,
        max_idle_timeout_ms: u64::try_from(config.idle_timeout.as_millis()).unwrap_or(0),
        initial_max_data: streams.max_data,
        initial_max_stream_data_bidi_local: streams.bidi_local,
        initial_max_stream_data_bidi_remote: streams.bidi_remote,
        initial_max_stream_data_uni: streams.uni,
        initial_max_streams_bidi: streams.streams_bidi,
        initial_max_streams_uni: streams.streams_uni,
        max_ack_delay_ms: max_ack_delay_ms(config),
        active_connection_id_limit: limits.peer_cids as u64,
        initial_source_connection_id: Some(local_cid),
        max_datagram_frame_size: if config.datagrams {
            MAX_DATAGRAM_FRAME
        } else {
            0
        },
        reset_stream_at: true,
        reset_stream_at_old: true,
        min_ack_delay_us: u64::try_from(min_ack_delay(config).as_micros()).ok(),
        version_information: Some(versions),
        ..TransportParameters::default()
    };
    let [grease, value @ ..] = random.bytes::<8>();
    params.encode(Some((grease_id(u32::from(grease)), &value)))
}

fn max_ack_delay_ms(config: &TransportConfig) -> u16 {
    u16::try_from(config.max_ack_delay.as_millis()).unwrap_or(u16::MAX)
}

/// The least delay of acknowledgements that a peer may ask for: what timers can keep.
pub(super) fn min_ack_delay(config: &TransportConfig) -> Duration {
    Duration::from_millis(max_ack_delay_ms(config).into()).min(GRANULARITY)
}

impl Connection {
    /// Hands CRYPTO data that arrived to TLS, and sends what it says.
    pub(super) fn drive_handshake(&mut self, now: Instant) -> Result<(), Fault> {
        for id in SpaceId::ALL {
            while let Some(data) = self.space_mut(id).crypto.read(usize::MAX) {
                if id.level() != self.handshake.read_level {
                    return Err(WRONG_LEVEL);
                }
                let Some(data) = self.choose_version(id, data)? else {
                    continue;
                };
                self.session.read(id.level(), &data).map_err(tls)?;
                self.advance_handshake(now)?;
                if id == SpaceId::Data {
                    self.take_tickets();
                }
            }
        }
        Ok(())
    }

    /// Takes what TLS has to say, and the keys it made.
    pub(super) fn advance_handshake(&mut self, now: Instant) -> Result<(), Fault> {
        // Bounded by what TLS has queued.
        loop {
            self.crypto_out.clear();
            let change = self.session.write(&mut self.crypto_out);
            let is_idle = self.crypto_out.is_empty() && change.is_none();
            let id = SpaceId::of_level(self.handshake.write_level);
            if let Some(space) = self.spaces.get_mut(id as usize) {
                space.crypto.write(&self.crypto_out);
            }
            match change {
                Some(KeyChange::Handshake(keys)) => {
                    self.install(SpaceId::Handshake, SpaceKeys::Level(keys))?;
                    self.handshake.read_level = Level::Handshake;
                    self.recovery.set_handshake_keys();
                }
                Some(KeyChange::OneRtt { keys, next }) => {
                    let phases = KeyPhases::new(keys, next);
                    self.install(SpaceId::Data, SpaceKeys::Phases(phases))?;
                }
                None => {}
            }
            if is_idle {
                break;
            }
        }
        self.read_peer_params()?;
        self.decide_early_data()?;
        if self.phase == Phase::Handshaking
            && !self.session.is_handshaking()
            && self.space(SpaceId::Data).keys.are_installed()
        {
            self.on_handshake_complete(now)?;
        }
        Ok(())
    }

    fn install(&mut self, id: SpaceId, keys: SpaceKeys) -> Result<(), Fault> {
        if id == SpaceId::Handshake {
            self.check_nothing_left(SpaceId::Initial)?;
        }
        self.space_mut(id).keys = keys;
        self.handshake.write_level = id.level();
        self.has_new_keys = true;
        Ok(())
    }

    /// The next level takes over: nothing may be left on this one (RFC 9001, section 4.1.3).
    fn check_nothing_left(&self, id: SpaceId) -> Result<(), Fault> {
        if self.space(id).crypto.has_unread() {
            return Err(WRONG_LEVEL);
        }
        Ok(())
    }

    /// Reads the peer's transport parameters when they arrive. They are used only when the
    /// handshake is complete: until then anybody may have written them.
    fn read_peer_params(&mut self) -> Result<(), Fault> {
        if self.handshake.peer_params.is_some() {
            return Ok(());
        }
        let Some(bytes) = self.session.peer_transport_parameters() else {
            return Ok(());
        };
        let params = TransportParameters::parse(bytes, self.side.peer())
            .map_err(|error| bad_params(error.0))?;
        self.authenticate_cids(&params)?;
        self.check_versions(&params)?;
        self.handshake.peer_params = Some(params);
        Ok(())
    }

    /// The connection IDs of the handshake are what both sides saw (RFC 9000, section 7.3).
    fn authenticate_cids(&self, params: &TransportParameters) -> Result<(), Fault> {
        let handshake = &self.handshake;
        if params.initial_source_connection_id != handshake.peer_cid {
            return Err(bad_params("initial_source_connection_id is wrong"));
        }
        if self.side == Side::Server {
            return Ok(());
        }
        if params.original_destination_connection_id != Some(handshake.original_cid) {
            return Err(bad_params("original_destination_connection_id is wrong"));
        }
        if params.retry_source_connection_id != handshake.retry_cid {
            return Err(bad_params("retry_source_connection_id is wrong"));
        }
        Ok(())
    }

    fn on_handshake_complete(&mut self, now: Instant) -> Result<(), Fault> {
        let Some(params) = self.handshake.peer_params.clone() else {
            // RFC 9001, section 8.2.
            return Err(Fault::Tls {
                alert: MISSING_EXTENSION,
                reason: "no transport parameters".into(),
            });
        };
        self.check_nothing_left(SpaceId::Handshake)?;
        self.phase = self.phase.after(Step::Complete);
        self.stats.handshake_time = self.stats.began.map(|began| now.saturating_since(began));
        self.handshake.read_level = Level::OneRtt;
        self.timers.clear(TimerId::Handshake);
        self.end_early_data(now, &params)?;
        if !self.early.is_taking() {
            self.apply_peer_params(&params)?;
        }
        self.issue_cids();
        self.has_new_keys = true;
        self.changes.push_back(Change::Connected);
        if self.side == Side::Server {
            self.handshake.done = DoneFrame::Unsent;
            self.issue_token(now);
            self.on_handshake_confirmed(now);
        }
        self.restart_idle_timer(now);
        Ok(())
    }

    pub(super) fn apply_peer_params(&mut self, params: &TransportParameters) -> Result<(), Fault> {
        self.streams.on_peer_params(&stream_params(params));
        let max_ack_delay = Duration::from_millis(params.max_ack_delay_ms.into());
        self.ack_wishes
            .on_peer_params(params.min_ack_delay_us, max_ack_delay);
        self.update_peer_ack_delay();
        let largest = u16::try_from(params.max_udp_payload_size).unwrap_or(u16::MAX);
        self.limit_datagram_size(largest);
        self.local_cids
            .set_peer_limit(params.active_connection_id_limit);
        if let Some(token) = params.stateless_reset_token {
            self.remote_cids.set_handshake_token(token);
            self.routes.push_back(Route::AddResetToken(token));
        }
        if let Some(address) = &params.preferred_address {
            // Whether we move there or not, the ID is ours to use.
            self.on_new_cid(1, 0, address.cid, address.reset_token)?;
        }
        Ok(())
    }

    /// The peer takes no larger datagrams.
    pub(super) fn limit_datagram_size(&mut self, largest: u16) {
        if self.paths.limit_mtu(largest) {
            self.on_mtu_change();
        }
    }

    /// The handshake is confirmed (RFC 9001, section 4.1.2).
    pub(super) fn on_handshake_confirmed(&mut self, now: Instant) {
        if self.phase != Phase::Connected {
            return;
        }
        self.phase = self.phase.after(Step::Confirm);
        self.recovery.set_handshake_confirmed();
        self.discard(now, SpaceId::Handshake);
        if let Some(phases) = self.space_mut(SpaceId::Data).keys.phases_mut() {
            phases.on_confirmed();
        }
        self.changes.push_back(Change::Confirmed);
        self.try_preferred_address();
    }

    /// Throws the keys of a space away, and all that waits there.
    pub(super) fn discard(&mut self, now: Instant, id: SpaceId) {
        if matches!(self.space(id).keys, SpaceKeys::Discarded) {
            return;
        }
        let limits = self.limits.clone();
        let space = self.space_mut(id);
        space.keys = SpaceKeys::Discarded;
        space.acks = Acks::new(id, Duration::ZERO, limits.ack_ranges);
        space.crypto = CryptoStream::new(&limits);
        space.ping = false;
        self.recovery.discard_space(now, id);
        if id == SpaceId::Initial {
            self.handshake.negotiation.on_initial_discarded();
        }
    }

    /// CRYPTO data came. What comes on a level that is done with must have come before (RFC 9001,
    /// section 4.1.3).
    pub(super) fn on_crypto(&mut self, id: SpaceId, offset: u64, data: &[u8]) -> Result<(), Fault> {
        let is_past = id.level() < self.handshake.read_level;
        let crypto = &mut self.space_mut(id).crypto;
        crypto.on_crypto(offset, data)?;
        if is_past && crypto.has_unread() {
            return Err(WRONG_LEVEL);
        }
        Ok(())
    }

    /// A Retry packet: the client starts over with the server's token (RFC 9000, section 17.2.5).
    pub(super) fn on_retry(&mut self, now: Instant, retry: &Retry<'_>) {
        let handshake = &self.handshake;
        let expected = self.side == Side::Client
            && self.is_unanswered()
            && retry.version == self.version.0
            && retry.destination == handshake.local_cid
            && retry.source != handshake.original_cid;
        if !expected {
            return;
        }
        let original = &handshake.original_cid;
        let tag = self
            .provider
            .retry_tag(self.version, original, retry.covered);
        if !self.provider.secrets_equal(&tag, &retry.tag) {
            return;
        }
        let keys = self
            .provider
            .initial_keys(self.version, &retry.source, self.side);
        self.handshake.retry_cid = Some(retry.source);
        self.handshake.token = retry.token.to_vec();
        self.remote_cids.set_handshake(retry.source);
        self.resend_early_data(now);
        self.recovery.on_retry(now);
        let space = self.space_mut(SpaceId::Initial);
        space.keys = SpaceKeys::Level(keys);
        space.crypto.resend_unacked();
        self.restart_idle_timer(now);
    }

    /// Nothing of the server's was accepted yet.
    pub(super) fn is_unanswered(&self) -> bool {
        self.phase == Phase::Handshaking
            && self.handshake.peer_cid.is_none()
            && self.handshake.retry_cid.is_none()
    }
}

/// What parameters say of streams.
pub(super) const fn stream_params(params: &TransportParameters) -> StreamParams {
    StreamParams {
        max_data: params.initial_max_data,
        bidi_local: params.initial_max_stream_data_bidi_local,
        bidi_remote: params.initial_max_stream_data_bidi_remote,
        uni: params.initial_max_stream_data_uni,
        streams_bidi: params.initial_max_streams_bidi,
        streams_uni: params.initial_max_streams_uni,
    }
}

pub(super) fn tls(error: TlsError) -> Fault {
    Fault::Tls {
        alert: error.alert,
        reason: error.reason,
    }
}

const fn bad_params(reason: &'static str) -> Fault {
    Fault::transport(TransportCode::TransportParameterError, reason)
}

const WRONG_LEVEL: Fault = Fault::transport(
    TransportCode::ProtocolViolation,
    "handshake data on the wrong encryption level",
);

/// The TLS alert for a missing extension.
const MISSING_EXTENSION: u8 = 109;

/// The largest DATAGRAM frame we take: whatever fits a packet.
const MAX_DATAGRAM_FRAME: u64 = 65_535;
