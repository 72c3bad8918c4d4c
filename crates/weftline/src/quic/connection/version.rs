//! Which version of QUIC is spoken: version information, and Version Negotiation packets (RFC 9000,
//! section 6; RFC 9368).

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{fmt, mem};

use bytes::Bytes;

use super::{
    Connection, Setup,
    handshake::{Handshake, ServerParams, local_params, tls},
};
use crate::{
    crypto::{ClientProvider, DirectionalKeys, Level, ServerProvider, Version},
    error::{Fault, TransportCode},
    event::ClosedBy,
    quic::{crypto_stream::CryptoStream, recovery::SpaceId, space::SpaceKeys},
    time::Instant,
    wire::{
        HelloError, Side,
        packet::{PacketType, ProtectedHeader, VersionNegotiation},
        params::{TransportParameters, VersionInformation},
    },
};

/// What the choice of a version must remember.
pub(super) struct Negotiation {
    /// The version of the client's first flight.
    original: Version,
    /// What a client needs to begin again, until the server has answered.
    again: Option<Box<Again>>,
    /// A client's first flight in this version answers a Version Negotiation packet.
    has_reacted: bool,
    /// A client's server may still choose another version.
    may_follow: bool,
    /// A server's choice, until it has read the client's hello.
    choice: Option<Box<Choice>>,
    /// A server's keys for Initial packets of the version that the client began with, after it chose
    /// another.
    before: Option<DirectionalKeys>,
}

/// What a server needs to choose another version than the client began with (RFC 9368, section
/// 2.3).
struct Choice {
    crypto: Arc<dyn ServerProvider>,
    alpn: Vec<Vec<u8>>,
    params: ServerParams,
    /// What early data relies on.
    terms: Vec<u8>,
    /// The client's hello, so far.
    hello: Vec<u8>,
}

/// What a client began its handshake with.
struct Again {
    crypto: Arc<dyn ClientProvider>,
    server_name: Box<str>,
    alpn: Vec<Vec<u8>>,
}

impl Negotiation {
    pub(super) fn of_client(
        version: Version,
        setup: &Setup<'_>,
        crypto: &Arc<dyn ClientProvider>,
        server_name: &str,
    ) -> Self {
        let again = || {
            Box::new(Again {
                crypto: crypto.clone(),
                server_name: server_name.into(),
                alpn: setup.alpn.iter().map(|name| name.to_vec()).collect(),
            })
        };
        Self {
            original: version,
            again: (setup.transport.versions.len() > 1).then(again),
            has_reacted: false,
            may_follow: crypto.can_change_version(),
            choice: None,
            before: None,
        }
    }

    pub(super) fn of_server(
        version: Version,
        setup: &Setup<'_>,
        crypto: &Arc<dyn ServerProvider>,
        params: ServerParams,
        terms: &[u8],
    ) -> Self {
        let choice = || {
            Box::new(Choice {
                crypto: crypto.clone(),
                alpn: setup.alpn.iter().map(|name| name.to_vec()).collect(),
                params,
                terms: terms.to_vec(),
                hello: Vec::new(),
            })
        };
        Self {
            original: version,
            again: None,
            has_reacted: false,
            may_follow: false,
            choice: (best(&setup.transport.versions) != version).then(choice),
            before: None,
        }
    }

    /// Makes no choice.
    #[cfg(test)]
    pub(super) fn stay(&mut self) {
        self.choice = None;
    }

    /// Nothing of the choice is left.
    #[cfg(test)]
    pub(super) const fn is_over(&self) -> bool {
        self.choice.is_none() && self.before.is_none()
    }

    /// No Initial packet will be read any more.
    pub(super) fn on_initial_discarded(&mut self) {
        self.before = None;
    }

    /// The version of a client's early data, whatever the server chose (RFC 9369, section 4).
    pub(super) const fn original(&self) -> Version {
        self.original
    }

    /// The server has answered: the version stays.
    pub(super) fn on_answered(&mut self) {
        self.again = None;
    }
}

/// The version to begin with.
pub(super) fn best(versions: &[Version]) -> Version {
    versions.first().copied().unwrap_or(Version::V1)
}

/// What a client tells of its versions: those that its first flight can be taken for. That is every
/// version if its TLS can go over to another, as versions 1 and 2 begin alike (RFC 9369, section 4).
pub(super) fn of_client(
    chosen: Version,
    versions: &[Version],
    crypto: &dyn ClientProvider,
) -> VersionInformation {
    match crypto.can_change_version() {
        true => VersionInformation::new(chosen.0, versions.iter().map(|version| version.0)),
        false => VersionInformation::new(chosen.0, [chosen.0]),
    }
}

/// What a server tells of its versions: all.
pub(super) fn of_server(chosen: Version, versions: &[Version]) -> VersionInformation {
    VersionInformation::new(chosen.0, versions.iter().map(|version| version.0))
}

impl Connection {
    /// A Version Negotiation packet: the server does not speak our version, unless somebody else
    /// says so in its name (RFC 9000, section 6.2). If there is another in common, the client begins
    /// again with that; whether the server really knows no better one its transport parameters will
    /// tell (RFC 9368, section 4).
    pub(super) fn on_version_negotiation(&mut self, now: Instant, packet: &VersionNegotiation<'_>) {
        let expected = self.side == Side::Client
            && self.is_unanswered()
            && !self.handshake.negotiation.has_reacted
            && *packet.destination == *self.handshake.local_cid
            && *packet.source == *self.handshake.original_cid
            && !packet.versions().any(|offered| offered == self.version.0);
        if !expected {
            return;
        }
        let is_offered = |version: &Version| packet.versions().any(|offered| offered == version.0);
        let version = self.config.versions.iter().copied().find(is_offered);
        let again = self.handshake.negotiation.again.take();
        match version.zip(again) {
            Some((version, again)) => {
                if let Err(fault) = self.begin_again(now, version, &again) {
                    self.fail(fault);
                }
            }
            None => self.vanish(
                ClosedBy::Version,
                "the server speaks no version of QUIC that we do",
            ),
        }
    }

    /// Sends a first flight in another version. To the server it is another connection; what the
    /// layers above queued goes there.
    fn begin_again(&mut self, now: Instant, version: Version, with: &Again) -> Result<(), Fault> {
        let original = self.random.cid();
        let params = local_params(
            &self.config,
            &self.limits,
            self.streams.local_params(),
            self.handshake.local_cid,
            of_client(version, &self.config.versions, &*with.crypto),
            None,
            &mut self.random,
        );
        let alpn: Vec<&[u8]> = with.alpn.iter().map(Vec::as_slice).collect();
        self.session = with
            .crypto
            .start(version, &with.server_name, &alpn, params, None)
            .map_err(tls)?;
        self.version = version;
        self.abandon_early_data(now);
        let handshake = &mut self.handshake;
        handshake.negotiation.original = version;
        handshake.negotiation.has_reacted = true;
        handshake.original_cid = original;
        handshake.read_level = Level::Initial;
        handshake.write_level = Level::Initial;
        // Tokens are for the version they came with (RFC 9369, section 5).
        handshake.token.clear();
        self.used_cid = original;
        self.remote_cids.set_handshake(original);
        self.recovery.on_retry(now);
        let keys = self.provider.initial_keys(version, &original, self.side);
        let crypto = CryptoStream::new(&self.limits);
        let space = self.space_mut(SpaceId::Initial);
        space.keys = SpaceKeys::Level(keys);
        space.crypto = crypto;
        self.advance_handshake(now)?;
        self.restart_idle_timer(now);
        Ok(())
    }

    /// Checks what the peer tells of its versions (RFC 9368, section 4).
    pub(super) fn check_versions(&self, params: &TransportParameters) -> Result<(), Fault> {
        let negotiation = &self.handshake.negotiation;
        let told = params.version_information;
        match self.side {
            Side::Server => match told {
                Some(told) if told.chosen != negotiation.original.0 => Err(NOT_IN_USE),
                _ => Ok(()),
            },
            Side::Client => {
                // Servers from before RFC 9368 speak version 1 (section 8).
                let silent = || VersionInformation::new(Version::V1.0, [Version::V1.0]);
                let told = match told {
                    Some(told) => told,
                    None if !negotiation.has_reacted => return Ok(()),
                    None if self.version == Version::V1 => silent(),
                    None => return Err(DOWNGRADE),
                };
                if told.chosen != self.version.0 {
                    return Err(NOT_IN_USE);
                }
                if negotiation.has_reacted && !self.would_choose(&told) {
                    return Err(DOWNGRADE);
                }
                Ok(())
            }
        }
    }

    /// Whether a Version Negotiation packet with the versions that the server really speaks would
    /// have led to the same version.
    fn would_choose(&self, told: &VersionInformation) -> bool {
        let available = told.available();
        let is_offered =
            |version: &&Version| available.contains(&version.0) || version.0 == told.chosen;
        let best = self.config.versions.iter().find(is_offered);
        !available.is_empty() && best == Some(&self.handshake.negotiation.original)
    }
}

/// Going over to another version in the handshake (RFC 9368, section 2.3; RFC 9369, section 4).
impl Connection {
    /// Server: looks at the client's hello before TLS does, as its keys depend on the version. What
    /// comes out is for TLS; `None` until the hello is complete.
    pub(super) fn choose_version(
        &mut self,
        id: SpaceId,
        data: Bytes,
    ) -> Result<Option<Bytes>, Fault> {
        if id != SpaceId::Initial {
            return Ok(Some(data));
        }
        // Data in a version says that the server stays with it.
        let negotiation = &mut self.handshake.negotiation;
        negotiation.may_follow = false;
        let Some(mut choice) = negotiation.choice.take() else {
            return Ok(Some(data));
        };
        choice.hello.extend_from_slice(&data);
        let hello = match choice.crypto.peek(&choice.hello) {
            Err(HelloError::Incomplete) if choice.hello.len() < self.limits.crypto_buffer => {
                negotiation.choice = Some(choice);
                return Ok(None);
            }
            hello => hello.ok(),
        };
        let params = hello.and_then(|hello| hello.transport_parameters);
        // What is wrong with it is found out when TLS has it.
        let params = params.and_then(|bytes| TransportParameters::parse(&bytes, Side::Client).ok());
        let told = params.and_then(|params| params.version_information);
        if let Some(version) = told.and_then(|told| self.better_version(&told)) {
            self.choose(version, &choice)?;
        }
        Ok(Some(mem::take(&mut choice.hello).into()))
    }

    /// The version that a server likes better than the client's, of those that the client offers.
    fn better_version(&self, told: &VersionInformation) -> Option<Version> {
        let is_better = |version: &&Version| **version != self.version;
        let mut better = self.config.versions.iter().take_while(is_better);
        better
            .find(|version| told.available().contains(&version.0))
            .copied()
    }

    fn choose(&mut self, version: Version, choice: &Choice) -> Result<(), Fault> {
        let params = local_params(
            &self.config,
            &self.limits,
            self.streams.local_params(),
            self.handshake.local_cid,
            of_server(version, &self.config.versions),
            Some(choice.params),
            &mut self.random,
        );
        let alpn: Vec<&[u8]> = choice.alpn.iter().map(Vec::as_slice).collect();
        let session = choice.crypto.start(version, &alpn, params, &choice.terms);
        self.session = session.map_err(tls)?;
        // What the client sent before it knows is in the other version.
        self.handshake.negotiation.before = self.go_over_to(version);
        Ok(())
    }

    /// Goes over to a version, whatever the client said.
    #[cfg(test)]
    pub(super) fn speak(&mut self, version: Version) {
        self.handshake.negotiation.before = self.go_over_to(version);
    }

    /// Speaks this version from now on. Gives the keys for what the peer sent in the other.
    fn go_over_to(&mut self, version: Version) -> Option<DirectionalKeys> {
        let Handshake {
            original_cid,
            retry_cid,
            ..
        } = self.handshake;
        let destination = retry_cid.unwrap_or(original_cid);
        let keys = self.provider.initial_keys(version, &destination, self.side);
        self.version = version;
        let space = self.space_mut(SpaceId::Initial);
        match mem::replace(&mut space.keys, SpaceKeys::Level(keys)) {
            SpaceKeys::Level(before) => Some(before.remote),
            _ => None,
        }
    }

    /// Whether a packet may be of this version.
    pub(super) fn takes_version(&self, id: SpaceId, version: Version) -> bool {
        let negotiation = &self.handshake.negotiation;
        version == self.version
            || negotiation.may_follow && self.config.versions.contains(&version)
            || id == SpaceId::Initial
                && negotiation.before.is_some()
                && version == negotiation.original
    }

    /// Before a packet is opened: the keys of its version take their place. Client: an Initial packet
    /// in another version that opens says that the server chose that.
    pub(super) fn prepare_version(&mut self, header: &ProtectedHeader, packet: &[u8]) {
        let Some(version) = header.version.map(Version) else {
            return;
        };
        if version == self.version || header.packet_type != PacketType::Initial {
            return;
        }
        match self.side {
            Side::Server => self.swap_initial_keys(),
            Side::Client => self.follow(version, header, packet),
        }
    }

    /// After it was opened.
    pub(super) fn restore_version(&mut self, header: &ProtectedHeader) {
        let is_other = header
            .version
            .is_some_and(|version| version != self.version.0);
        if is_other && header.packet_type == PacketType::Initial && self.side == Side::Server {
            self.swap_initial_keys();
        }
    }

    fn swap_initial_keys(&mut self) {
        let before = self.handshake.negotiation.before.as_mut();
        let keys = &mut self.spaces[SpaceId::Initial as usize].keys;
        if let (Some(before), SpaceKeys::Level(keys)) = (before, keys) {
            mem::swap(before, &mut keys.remote);
        }
    }

    fn follow(&mut self, version: Version, header: &ProtectedHeader, packet: &[u8]) {
        let handshake = &self.handshake;
        let destination = handshake.retry_cid.unwrap_or(handshake.original_cid);
        let keys = self.provider.initial_keys(version, &destination, self.side);
        if opens(&keys.remote, header, packet) && self.session.set_version(version) {
            self.handshake.negotiation.may_follow = false;
            self.go_over_to(version);
        }
    }
}

/// Whether these keys open an Initial packet, the first of its version.
fn opens(keys: &DirectionalKeys, header: &ProtectedHeader, packet: &[u8]) -> bool {
    let mut packet = packet.to_vec();
    let sample = header.sample(&packet);
    let Some(mask) = sample.map(|sample| keys.header.mask(sample)) else {
        return false;
    };
    let Some(plain) = header.unprotect(&mut packet, mask) else {
        return false;
    };
    let number = plain.number.expand(None);
    let split = packet.split_at_mut_checked(plain.payload_at);
    split.is_some_and(|(head, body)| keys.packet.open(number, head, body).is_ok())
}

impl fmt::Debug for Negotiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negotiation")
            .field("original", &self.original)
            .field("has_reacted", &self.has_reacted)
            .field("may_follow", &self.may_follow)
            .finish_non_exhaustive()
    }
}

const NOT_IN_USE: Fault = Fault::transport(
    TransportCode::VersionNegotiationError,
    "the chosen version is not the one in use",
);
const DOWNGRADE: Fault = Fault::transport(
    TransportCode::VersionNegotiationError,
    "the server speaks a version that we like better than the one we were told to take",
);
