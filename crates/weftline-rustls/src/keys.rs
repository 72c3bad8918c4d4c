//! rustls's QUIC keys as the core wants them.

use rustls::quic;
use weftline::crypto::{
    CryptoError, DirectionalKeys, HeaderKey, KeyChange, Keys, NextKeys, PacketKey, PacketKeys,
    SAMPLE_LEN, TAG_LEN, Version,
};

/// rustls's name of `version`. `None` when it has none.
pub(crate) fn quic_version(version: Version) -> Option<quic::Version> {
    match version {
        Version::V1 => Some(quic::Version::V1),
        Version::V2 => Some(quic::Version::V2),
        _ => None,
    }
}

pub(crate) fn keys(keys: quic::Keys) -> Keys {
    Keys {
        local: directional(keys.local),
        remote: directional(keys.remote),
    }
}

pub(crate) fn key_change(change: quic::KeyChange) -> KeyChange {
    match change {
        quic::KeyChange::Handshake { keys: new } => KeyChange::Handshake(keys(new)),
        quic::KeyChange::OneRtt { keys: new, next } => KeyChange::OneRtt {
            keys: keys(new),
            next: Box::new(Next(next)),
        },
    }
}

pub(crate) fn directional(keys: quic::DirectionalKeys) -> DirectionalKeys {
    DirectionalKeys {
        header: Box::new(Header(keys.header)),
        packet: Box::new(Packet(keys.packet)),
    }
}

pub(crate) struct Header(pub(crate) Box<dyn quic::HeaderProtectionKey>);

impl HeaderKey for Header {
    fn mask(&self, sample: &[u8; SAMPLE_LEN]) -> [u8; 5] {
        // rustls only applies masks. A short header that announces a packet number of four bytes,
        // all zero, takes the whole mask.
        const FIRST: u8 = 0x03;
        let mut first = FIRST;
        let mut packet_number = [0; 4];
        let applied = self
            .0
            .encrypt_in_place(sample, &mut first, &mut packet_number);
        debug_assert!(applied.is_ok(), "every cipher of QUIC samples 16 bytes");
        let [a, b, c, d] = packet_number;
        [first ^ FIRST, a, b, c, d]
    }
}

pub(crate) struct Packet(pub(crate) Box<dyn quic::PacketKey>);

impl PacketKey for Packet {
    fn seal(&self, packet_number: u64, header: &[u8], buf: &mut [u8]) -> Result<(), CryptoError> {
        let (payload, tag) = buf.split_last_chunk_mut::<TAG_LEN>().ok_or(CryptoError)?;
        let sealed = self
            .0
            .encrypt_in_place(packet_number, header, payload)
            .map_err(|_| CryptoError)?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(())
    }

    fn open(
        &self,
        packet_number: u64,
        header: &[u8],
        buf: &mut [u8],
    ) -> Result<usize, CryptoError> {
        match self.0.decrypt_in_place(packet_number, header, buf) {
            Ok(payload) => Ok(payload.len()),
            Err(_) => Err(CryptoError),
        }
    }

    fn confidentiality_limit(&self) -> u64 {
        self.0.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.0.integrity_limit()
    }
}

struct Next(quic::Secrets);

impl NextKeys for Next {
    fn next(&mut self) -> PacketKeys {
        let keys = self.0.next_packet_keys();
        PacketKeys {
            local: Box::new(Packet(keys.local)),
            remote: Box::new(Packet(keys.remote)),
        }
    }
}
