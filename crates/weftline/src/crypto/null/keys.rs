//! Keys and the checksum "AEAD".

use alloc::boxed::Box;

use super::{CLIENT, HEADER_KEY, KeyOptions, PACKET_KEY, SERVER, UPDATE, mix::Mix};
use crate::{
    crypto::{
        CryptoError, DirectionalKeys, HeaderKey, Keys, NextKeys, PacketKey, PacketKeys, SAMPLE_LEN,
        TAG_LEN,
    },
    wire::Side,
};

/// The secrets of both directions of a level or a phase.
#[derive(Copy, Clone)]
pub(super) struct Secrets {
    client: u64,
    server: u64,
}

impl Secrets {
    pub(super) const fn new(secret: u64) -> Self {
        Self {
            client: Mix::new(CLIENT).number(secret).finish(),
            server: Mix::new(SERVER).number(secret).finish(),
        }
    }

    pub(super) fn keys(self, side: Side, limits: KeyOptions) -> Keys {
        let packet = self.packet_keys(side, limits);
        let (local, remote) = self.by_side(side);
        Keys {
            local: DirectionalKeys {
                header: Box::new(NullHeaderKey::new(local)),
                packet: packet.local,
            },
            remote: DirectionalKeys {
                header: Box::new(NullHeaderKey::new(remote)),
                packet: packet.remote,
            },
        }
    }

    fn packet_keys(self, side: Side, limits: KeyOptions) -> PacketKeys {
        let (local, remote) = self.by_side(side);
        PacketKeys {
            local: Box::new(NullPacketKey::new(local, limits)),
            remote: Box::new(NullPacketKey::new(remote, limits)),
        }
    }

    const fn by_side(self, side: Side) -> (u64, u64) {
        match side {
            Side::Client => (self.client, self.server),
            Side::Server => (self.server, self.client),
        }
    }

    const fn updated(self) -> Self {
        Self {
            client: Mix::new(UPDATE).number(self.client).finish(),
            server: Mix::new(UPDATE).number(self.server).finish(),
        }
    }
}

/// The phases after the first.
pub(super) struct NullNextKeys {
    secrets: Secrets,
    side: Side,
    limits: KeyOptions,
}

impl NullNextKeys {
    /// The phases after that of `secrets`.
    pub(super) const fn new(secrets: Secrets, side: Side, limits: KeyOptions) -> Self {
        Self {
            secrets,
            side,
            limits,
        }
    }
}

impl NextKeys for NullNextKeys {
    fn next(&mut self) -> PacketKeys {
        self.secrets = self.secrets.updated();
        self.secrets.packet_keys(self.side, self.limits)
    }
}

struct NullHeaderKey(u64);

impl NullHeaderKey {
    const fn new(secret: u64) -> Self {
        Self(Mix::new(HEADER_KEY).number(secret).finish())
    }
}

impl HeaderKey for NullHeaderKey {
    fn mask(&self, sample: &[u8; SAMPLE_LEN]) -> [u8; 5] {
        Mix::new(self.0).bytes(sample).finish_array()
    }
}

struct NullPacketKey {
    key: u64,
    limits: KeyOptions,
}

impl NullPacketKey {
    const fn new(secret: u64, limits: KeyOptions) -> Self {
        Self {
            key: Mix::new(PACKET_KEY).number(secret).finish(),
            limits,
        }
    }

    fn tag(&self, packet_number: u64, header: &[u8], payload: &[u8]) -> [u8; TAG_LEN] {
        Mix::new(self.key)
            .number(packet_number)
            .bytes(header)
            .bytes(payload)
            .finish_array()
    }
}

impl PacketKey for NullPacketKey {
    fn seal(&self, packet_number: u64, header: &[u8], buf: &mut [u8]) -> Result<(), CryptoError> {
        let (payload, tag) = buf.split_last_chunk_mut().ok_or(CryptoError)?;
        *tag = self.tag(packet_number, header, payload);
        Ok(())
    }

    fn open(
        &self,
        packet_number: u64,
        header: &[u8],
        buf: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let (payload, tag) = buf.split_last_chunk().ok_or(CryptoError)?;
        if *tag != self.tag(packet_number, header, payload) {
            return Err(CryptoError);
        }
        Ok(payload.len())
    }

    fn confidentiality_limit(&self) -> u64 {
        self.limits.confidentiality
    }

    fn integrity_limit(&self) -> u64 {
        self.limits.integrity
    }
}
