//! Which version of QUIC is spoken: version information, and Version Negotiation packets (RFC 9000,
//! section 6; RFC 9368).

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::fmt;

use super::{Connection, Setup, handshake::local_params};
use crate::{
    crypto::{ClientProvider, Level, Version},
    error::{Fault, TransportCode},
    event::ClosedBy,
    quic::{crypto_stream::CryptoStream, recovery::SpaceId, space::SpaceKeys},
    time::Instant,
    wire::{
        Side,
        packet::VersionNegotiation,
        params::{TransportParameters, VersionInformation},
    },
};

/// What the choice of a version must remember.
#[derive(Debug)]
pub(super) struct Negotiation {
    /// The version of the client's first flight.
    original: Version,
    /// What a client needs to begin again, until the server has answered.
    again: Option<Box<Again>>,
    /// A client's first flight in this version answers a Version Negotiation packet.
    has_reacted: bool,
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
        }
    }

    pub(super) const fn of_server(version: Version) -> Self {
        Self {
            original: version,
            again: None,
            has_reacted: false,
        }
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

/// What a client tells of its versions: those that its first flight can be taken for.
pub(super) fn of_client(chosen: Version) -> VersionInformation {
    VersionInformation::new(chosen.0, [chosen.0])
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
            of_client(version),
            None,
            &mut self.random,
        );
        let alpn: Vec<&[u8]> = with.alpn.iter().map(Vec::as_slice).collect();
        self.session = with
            .crypto
            .start(version, &with.server_name, &alpn, params, None)
            .map_err(|error| Fault::Tls {
                alert: error.alert,
                reason: error.reason,
            })?;
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

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Again")
            .field("server_name", &self.server_name)
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
