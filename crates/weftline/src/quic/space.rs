//! What there is once for each packet number space (RFC 9000, section 12.3).

use core::time::Duration;

use super::{acks::Acks, crypto_stream::CryptoStream, recovery::SpaceId, sent::SentFrames};
use crate::{
    config::Limits,
    crypto::{HeaderKey, Keys, Level, phase::KeyPhases},
    wire::packet::PacketType,
};

/// A packet number space: its keys, its acknowledgements, its handshake data.
pub(crate) struct Space {
    pub(crate) keys: SpaceKeys,
    pub(crate) acks: Acks,
    pub(crate) crypto: CryptoStream,
    /// A PING is wanted, for its acknowledgement.
    pub(crate) ping: bool,
    /// What the packet being built holds.
    pub(crate) sent: SentFrames,
}

/// The keys of a space.
pub(crate) enum SpaceKeys {
    /// Not there yet: what arrives may be held until they are.
    Awaited,
    /// Of Initial and Handshake packets.
    Level(Keys),
    /// Of 1-RTT packets.
    Phases(KeyPhases),
    /// Thrown away: what arrives is of no use any more.
    Discarded,
}

impl Space {
    pub(crate) fn new(id: SpaceId, max_ack_delay: Duration, limits: &Limits) -> Self {
        Self {
            keys: SpaceKeys::Awaited,
            acks: Acks::new(id, max_ack_delay, limits.ack_ranges),
            crypto: CryptoStream::new(limits),
            ping: false,
            sent: SentFrames::default(),
        }
    }
}

impl SpaceKeys {
    pub(crate) const fn are_installed(&self) -> bool {
        matches!(self, Self::Level(_) | Self::Phases(_))
    }

    pub(crate) const fn phases(&self) -> Option<&KeyPhases> {
        match self {
            Self::Phases(phases) => Some(phases),
            _ => None,
        }
    }

    pub(crate) const fn phases_mut(&mut self) -> Option<&mut KeyPhases> {
        match self {
            Self::Phases(phases) => Some(phases),
            _ => None,
        }
    }

    pub(crate) fn local_header(&self) -> Option<&dyn HeaderKey> {
        match self {
            Self::Level(keys) => Some(&*keys.local.header),
            Self::Phases(phases) => Some(phases.local_header()),
            Self::Awaited | Self::Discarded => None,
        }
    }

    pub(crate) fn remote_header(&self) -> Option<&dyn HeaderKey> {
        match self {
            Self::Level(keys) => Some(&*keys.remote.header),
            Self::Phases(phases) => Some(phases.remote_header()),
            Self::Awaited | Self::Discarded => None,
        }
    }
}

impl SpaceId {
    /// The encryption level of its CRYPTO data.
    pub(crate) const fn level(self) -> Level {
        match self {
            Self::Initial => Level::Initial,
            Self::Handshake => Level::Handshake,
            Self::Data => Level::OneRtt,
        }
    }

    /// The space of CRYPTO data of `level`.
    pub(crate) const fn of_level(level: Level) -> Self {
        match level {
            Level::Initial => Self::Initial,
            Level::Handshake => Self::Handshake,
            Level::OneRtt => Self::Data,
        }
    }

    /// The type of packets that are sent in it; not early ones.
    pub(crate) const fn packet_type(self) -> PacketType {
        match self {
            Self::Initial => PacketType::Initial,
            Self::Handshake => PacketType::Handshake,
            Self::Data => PacketType::OneRtt,
        }
    }
}
