//! Keys of captured packets (RFC 9001, section 5; RFC 9369, section 3.3), and the key log they are
//! made from.

use std::{collections::HashMap, fmt, sync::Arc};

use ring::{
    aead::{self, quic},
    hkdf,
};
use weftline::wire::packet::{ProtectedHeader, version};

use crate::capture::Side;

/// TLS secrets by label and client random, as NSS's key log format writes them.
#[derive(Debug, Default)]
pub(crate) struct KeyLog(HashMap<(String, Vec<u8>), Vec<u8>>);

impl KeyLog {
    pub(crate) fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let (label, random, secret) = (words.next()?, words.next()?, words.next()?);
            Some(((label.to_owned(), unhex(random)?), unhex(secret)?))
        };
        Self(text.lines().filter_map(line).collect())
    }

    pub(crate) fn secret(&self, label: &str, client_random: &[u8]) -> Option<&[u8]> {
        let key = (label.to_owned(), client_random.to_vec());
        self.0.get(&key).map(Vec::as_slice)
    }
}

/// A cipher suite of TLS 1.3 (RFC 8446, appendix B.4).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    Aes128,
    Aes256,
    ChaCha20,
}

impl Suite {
    pub(crate) fn new(number: u16) -> Option<Self> {
        match number {
            0x1301 => Some(Self::Aes128),
            0x1302 => Some(Self::Aes256),
            CHACHA20 => Some(Self::ChaCha20),
            _ => None,
        }
    }

    fn hkdf(self) -> hkdf::Algorithm {
        match self {
            Self::Aes256 => hkdf::HKDF_SHA384,
            Self::Aes128 | Self::ChaCha20 => hkdf::HKDF_SHA256,
        }
    }

    fn hash_len(self) -> usize {
        self.hkdf().hmac_algorithm().digest_algorithm().output_len()
    }

    fn aead(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128 => &aead::AES_128_GCM,
            Self::Aes256 => &aead::AES_256_GCM,
            Self::ChaCha20 => &aead::CHACHA20_POLY1305,
        }
    }

    fn header(self) -> &'static quic::Algorithm {
        match self {
            Self::Aes128 => &quic::AES_128,
            Self::Aes256 => &quic::AES_256,
            Self::ChaCha20 => &quic::CHACHA20,
        }
    }
}

/// TLS_CHACHA20_POLY1305_SHA256.
pub(crate) const CHACHA20: u16 = 0x1303;

/// What opens the packets of one side, of one type, in one key phase.
pub(crate) struct Keys {
    suite: Suite,
    version: u32,
    secret: Vec<u8>,
    header: Arc<quic::HeaderProtectionKey>,
    packet: aead::LessSafeKey,
    iv: [u8; 12],
}

/// A packet that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) number: u64,
    pub(crate) payload: Vec<u8>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({:?}, {:#x})", self.suite, self.version)
    }
}

impl Keys {
    pub(crate) fn new(version: u32, suite: Suite, secret: &[u8]) -> Option<Self> {
        let prefix = match version {
            version::V2 => "quicv2",
            _ => "quic",
        };
        let derive = |what: &str, len| expand(suite, secret, &format!("{prefix} {what}"), len);
        let algorithm = suite.aead();
        let key = derive("key", algorithm.key_len())?;
        let hp = derive("hp", algorithm.key_len())?;
        Some(Self {
            suite,
            version,
            secret: secret.to_vec(),
            header: Arc::new(quic::HeaderProtectionKey::new(suite.header(), &hp).ok()?),
            packet: aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, &key).ok()?),
            iv: derive("iv", 12)?.try_into().ok()?,
        })
    }

    /// The keys of Initial packets after a client's first destination connection ID.
    pub(crate) fn initial(version: u32, cid: &[u8], sender: Side) -> Option<Self> {
        let salt = match version {
            version::V2 => V2_SALT,
            version::V1 => V1_SALT,
            _ => return None,
        };
        let initial = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(cid);
        let label = match sender {
            Side::Client => "client in",
            Side::Server => "server in",
        };
        let secret = expand_prk(&initial, label, 32)?;
        Self::new(version, Suite::Aes128, &secret)
    }

    /// Those of the next key phase. Header protection stays.
    pub(crate) fn next(&self) -> Option<Self> {
        let label = match self.version {
            version::V2 => "quicv2 ku",
            _ => "quic ku",
        };
        let secret = expand(self.suite, &self.secret, label, self.suite.hash_len())?;
        let next = Self::new(self.version, self.suite, &secret)?;
        let header = self.header.clone();
        Some(Self { header, ..next })
    }

    /// The packet with its header in the clear, and whether its key phase bit is set.
    pub(crate) fn unprotect(
        &self,
        header: &ProtectedHeader,
        packet: &[u8],
    ) -> Option<(Vec<u8>, weftline::wire::packet::PlainHeader)> {
        let mask = self.header.new_mask(header.sample(packet)?).ok()?;
        let mut packet = packet.get(..header.end)?.to_vec();
        let plain = header.unprotect(&mut packet, mask)?;
        Some((packet, plain))
    }

    /// Opens a packet without header protection.
    pub(crate) fn open(&self, packet: &[u8], payload_at: usize, number: u64) -> Option<Opened> {
        let (header, sealed) = packet.split_at_checked(payload_at)?;
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        let mut payload = sealed.to_vec();
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let aad = aead::Aad::from(header);
        let len = self
            .packet
            .open_in_place(nonce, aad, &mut payload)
            .ok()?
            .len();
        payload.truncate(len);
        Some(Opened { number, payload })
    }
}

/// HKDF-Expand-Label without context (RFC 8446, section 7.1).
fn expand(suite: Suite, secret: &[u8], label: &str, len: usize) -> Option<Vec<u8>> {
    expand_prk(&hkdf::Prk::new_less_safe(suite.hkdf(), secret), label, len)
}

fn expand_prk(secret: &hkdf::Prk, label: &str, len: usize) -> Option<Vec<u8>> {
    let prefix = b"tls13 ";
    let label_len = u8::try_from(prefix.len() + label.len()).ok()?;
    let output_len = u16::try_from(len).ok()?.to_be_bytes();
    let info: [&[u8]; 5] = [&output_len, &[label_len], prefix, label.as_bytes(), &[0]];
    let mut out = vec![0; len];
    secret.expand(&info, Len(len)).ok()?.fill(&mut out).ok()?;
    Some(out)
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

const V1_SALT: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
    0xcc, 0xbb, 0x7f, 0x0a,
];

const V2_SALT: [u8; 20] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb,
    0xf9, 0xbd, 0x2e, 0xd9,
];

#[cfg(test)]
mod tests {
    use weftline::wire::packet::Packet;

    use super::*;

    // RFC 9001, appendix A.5.
    #[test]
    fn opens_the_short_packet_of_the_rfc() {
        let secret = unhex("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b");
        let keys = Keys::new(version::V1, Suite::ChaCha20, &secret.unwrap()).unwrap();
        let packet = unhex("4cfe4189655e5cd55c41f69080575d7999c25a5bfb").unwrap();
        let Ok(Packet::Protected(header)) = Packet::parse(&packet, 0) else {
            panic!("no packet")
        };
        let (clear, plain) = keys.unprotect(&header, &packet).unwrap();
        let number = plain.number.expand(Some(654_360_563));
        assert_eq!(number, 654_360_564);
        let opened = keys.open(&clear, plain.payload_at, number).unwrap();
        assert_eq!(opened.payload, [1]);
        assert_eq!(opened.number, number);
        // The secret after it, of the same appendix.
        let next = unhex("1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9");
        assert_eq!(keys.next().unwrap().secret, next.unwrap());
    }

    // RFC 9001 and RFC 9369, appendix A.1.
    #[test]
    fn initial_keys_of_the_rfcs() {
        let cid = unhex("8394c8f03e515708").unwrap();
        let secret = |version, side| Keys::initial(version, &cid, side).unwrap().secret;
        let v1 = "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea";
        assert_eq!(secret(version::V1, Side::Client), unhex(v1).unwrap());
        let v2 = "14ec9d6eb9fd7af83bf5a668bc17a7e283766aade7ecd0891f70f9ff7f4bf47b";
        assert_eq!(secret(version::V2, Side::Client), unhex(v2).unwrap());
    }

    #[test]
    fn key_logs() {
        let log = KeyLog::parse("# comment\nLABEL 0102 0a0b\nhalf a line\n");
        assert_eq!(log.secret("LABEL", &[1, 2]), Some(&[10, 11][..]));
        assert_eq!(log.secret("LABEL", &[1]), None);
    }
}
