//! Keys for a client whose server went over to another version of QUIC (RFC 9368, section 2.3).
//!
//! rustls derives keys for the version that its connection was made for. The secrets behind them are
//! the same in every version: versions 1 and 2 differ only in the labels by which keys come of them
//! (RFC 9369, section 3.3.2). rustls tells a key log those secrets, and ring makes the keys.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use ring::{aead, hkdf};
use rustls::{
    CipherSuite, KeyLog,
    crypto::{
        cipher::{Iv, NONCE_LEN, Nonce},
        tls13::OkmBlock,
    },
};
use weftline::crypto::{
    CryptoError, DirectionalKeys, HeaderKey, KeyChange, Keys, Level, NextKeys, PacketKey,
    PacketKeys, SAMPLE_LEN, TAG_LEN, Version,
};

/// The key log of one client handshake. It passes everything on to the user's, and keeps secrets
/// only of handshakes that go over to another version, until keys are made of them.
pub(crate) struct SecretTap {
    log: Arc<dyn KeyLog>,
    kept: Mutex<Option<Box<Kept>>>,
}

/// By position in [`LABELS`].
type Kept = [Option<OkmBlock>; LABELS.len()];

impl SecretTap {
    pub(crate) const fn new(log: Arc<dyn KeyLog>) -> Self {
        Self {
            log,
            kept: Mutex::new(None),
        }
    }

    /// Keeps secrets from now on.
    fn open(&self) {
        *self.kept() = Some(Box::default());
    }

    /// The secrets of client and server at this level. After those of 1-RTT packets no more are kept.
    fn take(&self, level: Level) -> Option<[OkmBlock; 2]> {
        let mut guard = self.kept();
        let [client, server, client_1rtt, server_1rtt] = guard.as_deref_mut()?;
        let secrets = match level {
            Level::OneRtt => [client_1rtt.take()?, server_1rtt.take()?],
            _ => [client.take()?, server.take()?],
        };
        if level == Level::OneRtt {
            *guard = None;
        }
        Some(secrets)
    }

    fn kept(&self) -> impl std::ops::DerefMut<Target = Option<Box<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyLog for SecretTap {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let index = LABELS.iter().position(|kept| *kept == label);
        if let (Some(index), Some(kept)) = (index, self.kept().as_deref_mut()) {
            kept[index] = Some(OkmBlock::new(secret));
        }
        if self.log.will_log(label) {
            self.log.log(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        self.log.will_log(label) || LABELS.contains(&label) && self.kept().is_some()
    }
}

impl fmt::Debug for SecretTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretTap").finish_non_exhaustive()
    }
}

/// Whether a session speaks another version than the one it began with.
pub(crate) enum Following {
    /// A client that has heard nothing of the server.
    Possible(Arc<SecretTap>),
    /// A client whose server went over to the version of these labels.
    Another(Arc<SecretTap>, &'static Labels),
    /// The version stays, or all keys are made.
    Over,
}

impl Following {
    /// The server went over to this version. False if it is too late, or keys cannot be made for it.
    pub(crate) fn go_over_to(&mut self, version: Version) -> bool {
        let (Self::Possible(tap), Some(labels)) = (&*self, Labels::of(version)) else {
            return false;
        };
        tap.open();
        *self = Self::Another(Arc::clone(tap), labels);
        true
    }

    /// The session takes data of the server.
    pub(crate) fn on_read(&mut self) {
        if let Self::Possible(_) = self {
            *self = Self::Over;
        }
    }

    /// The keys of this level in place of those that rustls made. `None` when these are the right
    /// ones.
    pub(crate) fn keys(&mut self, level: Level, suite: CipherSuite) -> Option<KeyChange> {
        let Self::Another(tap, labels) = self else {
            return None;
        };
        let taken = tap.take(level);
        let secrets =
            taken.and_then(|[client, server]| Secrets::new(labels, suite, &client, &server));
        // Otherwise no packet of the server's opens, and the handshake runs out of time.
        debug_assert!(
            secrets.is_some(),
            "rustls logs every secret before its keys"
        );
        let secrets = secrets?;
        let keys = secrets.keys();
        if level != Level::OneRtt {
            return Some(KeyChange::Handshake(keys));
        }
        *self = Self::Over;
        let next = Box::new(secrets);
        Some(KeyChange::OneRtt { keys, next })
    }
}

/// A client's secrets at one level, and what makes keys of them.
pub(crate) struct Secrets {
    labels: &'static Labels,
    suite: Suite,
    local: hkdf::Prk,
    remote: hkdf::Prk,
}

impl Secrets {
    pub(crate) fn new(
        labels: &'static Labels,
        suite: CipherSuite,
        client: &OkmBlock,
        server: &OkmBlock,
    ) -> Option<Self> {
        let suite = Suite::of(suite)?;
        let secret = |okm: &OkmBlock| hkdf::Prk::new_less_safe(suite.hkdf, okm.as_ref());
        Some(Self {
            labels,
            suite,
            local: secret(client),
            remote: secret(server),
        })
    }

    pub(crate) fn keys(&self) -> Keys {
        let directional = |secret| DirectionalKeys {
            header: Box::new(self.header_key(secret)),
            packet: Box::new(self.packet_key(secret)),
        };
        Keys {
            local: directional(&self.local),
            remote: directional(&self.remote),
        }
    }

    fn header_key(&self, secret: &hkdf::Prk) -> Header {
        Header(expand_label(secret, self.labels.hp, self.suite.header))
    }

    fn packet_key(&self, secret: &hkdf::Prk) -> Packet {
        let key = expand_label(secret, self.labels.key, self.suite.aead);
        let PacketIv(iv) = expand_label(secret, self.labels.iv, IvLen);
        Packet {
            key: aead::LessSafeKey::new(key),
            iv,
            limits: self.suite.limits,
        }
    }
}

impl NextKeys for Secrets {
    /// RFC 9001, section 6.1.
    fn next(&mut self) -> PacketKeys {
        for secret in [&mut self.local, &mut self.remote] {
            *secret = expand_label(secret, self.labels.ku, self.suite.hkdf);
        }
        PacketKeys {
            local: Box::new(self.packet_key(&self.local)),
            remote: Box::new(self.packet_key(&self.remote)),
        }
    }
}

struct Header(aead::quic::HeaderProtectionKey);

impl HeaderKey for Header {
    fn mask(&self, sample: &[u8; SAMPLE_LEN]) -> [u8; 5] {
        let mask = self.0.new_mask(sample);
        debug_assert!(mask.is_ok(), "every cipher of QUIC samples 16 bytes");
        mask.unwrap_or_default()
    }
}

struct Packet {
    key: aead::LessSafeKey,
    iv: Iv,
    limits: Limits,
}

impl Packet {
    /// RFC 9001, section 5.3.
    fn nonce(&self, packet_number: u64) -> aead::Nonce {
        aead::Nonce::assume_unique_for_key(Nonce::new(&self.iv, packet_number).0)
    }
}

impl PacketKey for Packet {
    fn seal(&self, packet_number: u64, header: &[u8], buf: &mut [u8]) -> Result<(), CryptoError> {
        let (payload, tag) = buf.split_last_chunk_mut::<TAG_LEN>().ok_or(CryptoError)?;
        let (nonce, aad) = (self.nonce(packet_number), aead::Aad::from(header));
        let sealed = self.key.seal_in_place_separate_tag(nonce, aad, payload);
        tag.copy_from_slice(sealed.map_err(|_| CryptoError)?.as_ref());
        Ok(())
    }

    fn open(
        &self,
        packet_number: u64,
        header: &[u8],
        buf: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let (nonce, aad) = (self.nonce(packet_number), aead::Aad::from(header));
        let opened = self.key.open_in_place(nonce, aad, buf);
        opened.map(|payload| payload.len()).map_err(|_| CryptoError)
    }

    fn confidentiality_limit(&self) -> u64 {
        self.limits.confidentiality
    }

    fn integrity_limit(&self) -> u64 {
        self.limits.integrity
    }
}

/// A cipher suite in ring's terms.
#[derive(Copy, Clone)]
struct Suite {
    hkdf: hkdf::Algorithm,
    aead: &'static aead::Algorithm,
    header: &'static aead::quic::Algorithm,
    limits: Limits,
}

/// How much may be done with a key (RFC 9001, section 6.6).
#[derive(Copy, Clone)]
struct Limits {
    confidentiality: u64,
    integrity: u64,
}

impl Suite {
    fn of(suite: CipherSuite) -> Option<Self> {
        match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => Some(Self {
                hkdf: hkdf::HKDF_SHA256,
                aead: &aead::AES_128_GCM,
                header: &aead::quic::AES_128,
                limits: Limits::AES_GCM,
            }),
            CipherSuite::TLS13_AES_256_GCM_SHA384 => Some(Self {
                hkdf: hkdf::HKDF_SHA384,
                aead: &aead::AES_256_GCM,
                header: &aead::quic::AES_256,
                limits: Limits::AES_GCM,
            }),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => Some(Self {
                hkdf: hkdf::HKDF_SHA256,
                aead: &aead::CHACHA20_POLY1305,
                header: &aead::quic::CHACHA20,
                limits: Limits::CHACHA20,
            }),
            _ => None,
        }
    }
}

impl Limits {
    const AES_GCM: Self = Self {
        confidentiality: 1 << 23,
        integrity: 1 << 52,
    };
    const CHACHA20: Self = Self {
        confidentiality: u64::MAX,
        integrity: 1 << 36,
    };
}

/// What a version calls its keys, as TLS 1.3 spells it (RFC 8446, section 7.1).
#[derive(Debug)]
pub(crate) struct Labels {
    key: &'static [u8],
    iv: &'static [u8],
    hp: &'static [u8],
    ku: &'static [u8],
}

impl Labels {
    pub(crate) const fn of(version: Version) -> Option<&'static Self> {
        match version {
            Version::V1 => Some(&Self::V1),
            Version::V2 => Some(&Self::V2),
            _ => None,
        }
    }

    /// RFC 9001, sections 5.1 and 6.1.
    const V1: Self = Self {
        key: b"tls13 quic key",
        iv: b"tls13 quic iv",
        hp: b"tls13 quic hp",
        ku: b"tls13 quic ku",
    };
    /// RFC 9369, section 3.3.2.
    const V2: Self = Self {
        key: b"tls13 quicv2 key",
        iv: b"tls13 quicv2 iv",
        hp: b"tls13 quicv2 hp",
        ku: b"tls13 quicv2 ku",
    };
}

/// HKDF-Expand-Label (RFC 8446, section 7.1) without context.
fn expand_label<L, T>(secret: &hkdf::Prk, label: &[u8], kind: L) -> T
where
    L: hkdf::KeyType,
    T: for<'a> From<hkdf::Okm<'a, L>>,
{
    let len = (kind.len() as u16).to_be_bytes();
    let info = [&len, &[label.len() as u8][..], label, &[0]];
    let okm = secret.expand(&info, kind);
    okm.expect("keys are shorter than 255 hashes").into()
}

struct IvLen;

impl hkdf::KeyType for IvLen {
    fn len(&self) -> usize {
        NONCE_LEN
    }
}

struct PacketIv(Iv);

impl From<hkdf::Okm<'_, IvLen>> for PacketIv {
    fn from(okm: hkdf::Okm<'_, IvLen>) -> Self {
        let mut iv = [0; NONCE_LEN];
        okm.fill(&mut iv).expect("the length asked for");
        Self(Iv::from(iv))
    }
}

/// Of client and server for Handshake packets, and then for 1-RTT packets (RFC 9850, section 2.1).
const LABELS: [&str; 4] = [
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
];
