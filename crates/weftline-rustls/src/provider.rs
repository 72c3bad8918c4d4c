//! What needs no handshake: Initial keys, the Retry tag, HMAC.

use std::sync::Arc;

use ring::{aead, hkdf, hmac};
use rustls::{
    SupportedCipherSuite,
    crypto::{CryptoProvider, ring::cipher_suite},
    quic,
};
use subtle::ConstantTimeEq;
use weftline::{
    Side,
    crypto::{CryptoError, Keys, Provider, TAG_LEN, TOKEN_NONCE_LEN, Version},
    wire::Cid,
};

use crate::keys::{self, quic_version};

/// The primitives of QUIC, by ring.
#[derive(Copy, Clone, Debug, Default)]
pub struct RingProvider;

impl Provider for RingProvider {
    /// Versions that are neither 1 nor 2 get the keys of version 1.
    fn initial_keys(&self, version: Version, destination: &Cid, side: Side) -> Keys {
        let side = match side {
            Side::Client => rustls::Side::Client,
            Side::Server => rustls::Side::Server,
        };
        let version = quic_version(version).unwrap_or(quic::Version::V1);
        keys::keys(initial_suite().keys(destination, side, version))
    }

    /// Versions that are neither 1 nor 2 get the tag of version 1.
    fn retry_tag(&self, version: Version, original: &Cid, packet: &[u8]) -> [u8; TAG_LEN] {
        let (key, nonce) = match version {
            Version::V2 => (&RETRY_KEY_V2, RETRY_NONCE_V2),
            _ => (&RETRY_KEY_V1, RETRY_NONCE_V1),
        };
        // The Retry pseudo-packet (RFC 9001, figure 8).
        let mut pseudo = Vec::with_capacity(1 + original.len() + packet.len());
        pseudo.push(original.len() as u8);
        pseudo.extend_from_slice(original);
        pseudo.extend_from_slice(packet);

        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let tag = aead::UnboundKey::new(&aead::AES_128_GCM, key).and_then(|key| {
            aead::LessSafeKey::new(key).seal_in_place_separate_tag(
                nonce,
                aead::Aad::from(pseudo),
                &mut [],
            )
        });
        let mut out = [0; TAG_LEN];
        match tag {
            Ok(tag) => out.copy_from_slice(tag.as_ref()),
            Err(ring::error::Unspecified) => debug_assert!(false, "the key has 16 bytes"),
        }
        out
    }

    fn hmac(&self, key: &[u8; 32], data: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
        let mut out = [0; 32];
        out.copy_from_slice(tag.as_ref());
        out
    }

    fn seal_token(
        &self,
        key: &[u8; 32],
        nonce: &[u8; TOKEN_NONCE_LEN],
        buf: &mut [u8],
    ) -> Result<(), CryptoError> {
        let (plain, tag) = buf.split_last_chunk_mut::<TAG_LEN>().ok_or(CryptoError)?;
        let key = token_key(key, nonce).map_err(|_| CryptoError)?;
        let sealed = key
            .seal_in_place_separate_tag(token_nonce(), aead::Aad::empty(), plain)
            .map_err(|_| CryptoError)?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(())
    }

    fn open_token(
        &self,
        key: &[u8; 32],
        nonce: &[u8; TOKEN_NONCE_LEN],
        buf: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let key = token_key(key, nonce).map_err(|_| CryptoError)?;
        let plain = key.open_in_place(token_nonce(), aead::Aad::empty(), buf);
        plain.map(|plain| plain.len()).map_err(|_| CryptoError)
    }

    fn secrets_equal(&self, a: &[u8], b: &[u8]) -> bool {
        a.ct_eq(b).into()
    }
}

/// A key for one token only. Nonces of AES-GCM are too short to be drawn at random for as many
/// tokens as servers that share a key make; so each has a key of its own.
fn token_key(
    key: &[u8; 32],
    nonce: &[u8; TOKEN_NONCE_LEN],
) -> Result<aead::LessSafeKey, ring::error::Unspecified> {
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, nonce).extract(key);
    let key = secret.expand(&[b"weftline token"], &aead::AES_256_GCM)?;
    Ok(aead::LessSafeKey::new(key.into()))
}

/// Its only nonce.
fn token_nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}

/// What rustls does its cryptography with.
pub(crate) fn crypto_provider(suites: &[CipherSuite]) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    let suites = suites.iter().map(|suite| suite.of_ring());
    provider.cipher_suites = suites.collect();
    Arc::new(provider)
}

/// A cipher suite of TLS 1.3 (RFC 8446, appendix B.4).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CipherSuite {
    /// TLS_AES_128_GCM_SHA256.
    Aes128Gcm,
    /// TLS_AES_256_GCM_SHA384.
    Aes256Gcm,
    /// TLS_CHACHA20_POLY1305_SHA256: the fastest where processors have no AES.
    ChaCha20Poly1305,
}

impl CipherSuite {
    /// All of them, in rustls' order.
    pub const ALL: [Self; 3] = [Self::Aes256Gcm, Self::Aes128Gcm, Self::ChaCha20Poly1305];

    const fn of_ring(self) -> SupportedCipherSuite {
        match self {
            Self::Aes128Gcm => cipher_suite::TLS13_AES_128_GCM_SHA256,
            Self::Aes256Gcm => cipher_suite::TLS13_AES_256_GCM_SHA384,
            Self::ChaCha20Poly1305 => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        }
    }
}

fn initial_suite() -> quic::Suite {
    cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(rustls::Tls13CipherSuite::quic_suite)
        .expect("AES-128-GCM is a cipher of QUIC")
}

// RFC 9001, section 5.8, and RFC 9369, section 3.3.3.
const RETRY_KEY_V1: [u8; 16] = 0xbe0c690b_9f66575a_1d766b54_e368c84e_u128.to_be_bytes();
const RETRY_KEY_V2: [u8; 16] = 0x8fb4b01b_56ac48e2_60fbcbce_ad7ccc92_u128.to_be_bytes();
const RETRY_NONCE_V1: [u8; 12] = [
    0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb,
];
const RETRY_NONCE_V2: [u8; 12] = [
    0xd8, 0x69, 0x69, 0xbc, 0x2d, 0x7c, 0x6d, 0x99, 0x90, 0xef, 0xb0, 0x4a,
];

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4231, test case 1, with its key extended by zeroes (as HMAC itself does).
    #[test]
    fn hmac_vector() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        let tag = RingProvider.hmac(&key, b"Hi There");
        assert_eq!(crate::hash::hex(&tag), expected);
    }

    #[test]
    fn tokens_open_with_their_key_and_nonce_only() {
        let (key, nonce) = ([1; 32], [2; TOKEN_NONCE_LEN]);
        let mut sealed = *b"where a client is and when0123456789abcdef";
        let plain = sealed.len() - TAG_LEN;
        RingProvider.seal_token(&key, &nonce, &mut sealed).unwrap();
        assert_ne!(&sealed[..plain], b"where a client is and when");
        let open = |key, nonce, mut token: Vec<u8>| {
            let len = RingProvider.open_token(&key, &nonce, &mut token)?;
            token.truncate(len);
            Ok::<_, CryptoError>(token)
        };
        let good = open(key, nonce, sealed.to_vec());
        assert_eq!(good, Ok(b"where a client is and when".to_vec()));
        assert!(open([3; 32], nonce, sealed.to_vec()).is_err());
        assert!(open(key, [3; TOKEN_NONCE_LEN], sealed.to_vec()).is_err());
        for at in 0..sealed.len() {
            let mut touched = sealed.to_vec();
            touched[at] ^= 0x80;
            assert!(open(key, nonce, touched).is_err(), "byte {at}");
            assert!(open(key, nonce, sealed[..at].to_vec()).is_err());
        }
        assert!(RingProvider.seal_token(&key, &nonce, &mut [0; 15]).is_err());
    }

    #[test]
    fn all_suites_are_those_of_rustls() {
        let ours = crypto_provider(&CipherSuite::ALL).cipher_suites.clone();
        let theirs = rustls::crypto::ring::default_provider().cipher_suites;
        let theirs = theirs.into_iter().filter(|suite| suite.tls13().is_some());
        assert_eq!(ours, theirs.collect::<Vec<_>>());
    }

    #[test]
    fn comparison() {
        assert!(RingProvider.secrets_equal(b"", b""));
        assert!(RingProvider.secrets_equal(b"abc", b"abc"));
        assert!(!RingProvider.secrets_equal(b"abc", b"abd"));
        assert!(!RingProvider.secrets_equal(b"abc", b"ab"));
    }
}
