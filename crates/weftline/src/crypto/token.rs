//! Tokens by which a client proves where it is (RFC 9000, section 8.1.4). The server that made one
//! keeps nothing of it: all it must know comes back sealed.
//!
//! ```text
//! kind (1)  nonce (16)  sealed { kind, version, time, address, Retry: port, two IDs }  tag (16)
//! ```

use alloc::{vec, vec::Vec};
use core::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use super::{CryptoError, Provider, TAG_LEN, TOKEN_NONCE_LEN, Version};
use crate::{
    time::Instant,
    wire::{Cid, NoRoom, Reader, Truncated, Writer},
};

/// What a token says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    /// The version of the connection it was given on: it is good for no other (RFC 9369, section
    /// 5).
    pub(crate) version: Version,
    /// When it was made, in microseconds on the clock of the servers.
    pub(crate) issued: u64,
    /// Where the client was.
    pub(crate) ip: IpAddr,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Of a Retry packet: for this attempt only.
    Retry {
        port: u16,
        /// The destination of the client's first Initial.
        original: Cid,
        /// The connection ID of the Retry packet: where the client's next Initial goes.
        retry: Cid,
    },
    /// Of a NEW_TOKEN frame: for a later connection.
    New,
}

/// The keys that tokens are sealed with.
#[derive(Copy, Clone)]
pub(crate) struct TokenKeys {
    pub(crate) current: [u8; 32],
    /// Those before it: tokens made with them still open.
    pub(crate) previous: Option<[u8; 32]>,
}

/// The clock that the servers which share keys have in common: time since the Unix epoch, or since
/// any other moment when there is one server only.
#[derive(Copy, Clone, Debug)]
pub(crate) struct TokenClock {
    /// What it showed at [`Instant::ZERO`], in microseconds.
    origin: u64,
}

/// Makes tokens of NEW_TOKEN frames.
#[derive(Copy, Clone)]
pub(crate) struct TokenIssuer {
    key: [u8; 32],
    clock: TokenClock,
}

/// What makes each token a different one.
pub(crate) type TokenNonce = [u8; TOKEN_NONCE_LEN];

/// A token that does not open.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadToken {
    /// It may be from another server, or from another time of this one.
    Foreign,
    /// It came with a Retry packet: whoever shows it follows no other.
    Retry,
}

impl TokenClock {
    /// With this time at [`Instant::ZERO`].
    pub(crate) fn new(origin: Duration) -> Self {
        let origin = u64::try_from(origin.as_micros()).unwrap_or(u64::MAX);
        Self { origin }
    }

    /// What it shows, in microseconds.
    pub(crate) const fn at(self, now: Instant) -> u64 {
        self.origin.saturating_add(now.as_micros())
    }
}

impl TokenIssuer {
    pub(crate) const fn new(key: [u8; 32], clock: TokenClock) -> Self {
        Self { key, clock }
    }

    /// A token for a client at this address.
    pub(crate) fn issue(
        &self,
        provider: &dyn Provider,
        now: Instant,
        version: Version,
        ip: IpAddr,
        nonce: &TokenNonce,
    ) -> Result<Vec<u8>, CryptoError> {
        let token = Token {
            kind: TokenKind::New,
            version,
            issued: self.clock.at(now),
            ip,
        };
        token.seal(provider, &self.key, nonce)
    }
}

impl TokenKeys {
    /// Those that follow from secrets of the server.
    pub(crate) fn derive(
        provider: &dyn Provider,
        current: &[u8; 32],
        previous: Option<&[u8; 32]>,
    ) -> Self {
        let derive = |secret| provider.hmac(secret, KEY_LABEL);
        Self {
            current: derive(current),
            previous: previous.map(derive),
        }
    }
}

impl Token {
    /// The bytes for the wire.
    pub(crate) fn seal(
        &self,
        provider: &dyn Provider,
        key: &[u8; 32],
        nonce: &TokenNonce,
    ) -> Result<Vec<u8>, CryptoError> {
        let mut token = vec![0; MAX_LEN];
        let mut w = Writer::new(&mut token);
        self.encode(nonce, &mut w).map_err(|NoRoom| CryptoError)?;
        let len = w.position();
        token.truncate(len);
        let sealed = token.get_mut(SEALED_AT..).ok_or(CryptoError)?;
        provider.seal_token(key, nonce, sealed)?;
        Ok(token)
    }

    /// Opens a token; the nonce tells it from all others.
    pub(crate) fn open(
        provider: &dyn Provider,
        keys: &TokenKeys,
        token: &[u8],
    ) -> Result<(Self, TokenNonce), BadToken> {
        let Some((&kind, rest)) = token.split_first() else {
            return Err(BadToken::Foreign);
        };
        let bad = match kind {
            RETRY => BadToken::Retry,
            NEW => BadToken::Foreign,
            _ => return Err(BadToken::Foreign),
        };
        let (nonce, sealed) = rest.split_first_chunk().ok_or(bad)?;
        if sealed.len() > MAX_LEN - SEALED_AT {
            return Err(bad);
        }
        for key in [Some(keys.current), keys.previous].into_iter().flatten() {
            let mut plain = sealed.to_vec();
            let Ok(len) = provider.open_token(&key, nonce, &mut plain) else {
                continue;
            };
            let plain = plain.get(..len).unwrap_or_default();
            let opened = Self::parse(&mut Reader::new(plain));
            return match opened {
                Ok(Some(opened)) if opened.kind.code() == kind => Ok((opened, *nonce)),
                _ => Err(bad),
            };
        }
        Err(bad)
    }

    fn encode(&self, nonce: &TokenNonce, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        let kind = self.kind.code();
        w.u8(kind)?;
        w.bytes(nonce)?;
        w.u8(kind)?;
        w.u32(self.version.0)?;
        w.bytes(&self.issued.to_be_bytes())?;
        w.bytes(&wide(self.ip).octets())?;
        if let TokenKind::Retry {
            port,
            original,
            retry,
        } = self.kind
        {
            w.u16(port)?;
            w.varint_prefixed(&original)?;
            w.varint_prefixed(&retry)?;
        }
        w.reserve(TAG_LEN).map(drop)?;
        Ok(())
    }

    /// `None` when it makes no sense.
    fn parse(r: &mut Reader<'_>) -> Result<Option<Self>, Truncated> {
        let kind = r.u8()?;
        let version = Version(r.u32()?);
        let issued = u64::from_be_bytes(r.array()?);
        let ip = IpAddr::V6(Ipv6Addr::from(r.array::<16>()?)).to_canonical();
        let kind = match kind {
            RETRY => {
                let port = r.u16()?;
                let original = Cid::new(r.varint_prefixed()?);
                let retry = Cid::new(r.varint_prefixed()?);
                let (Some(original), Some(retry)) = (original, retry) else {
                    return Ok(None);
                };
                TokenKind::Retry {
                    port,
                    original,
                    retry,
                }
            }
            NEW => TokenKind::New,
            _ => return Ok(None),
        };
        let token = Self {
            kind,
            version,
            issued,
            ip,
        };
        Ok(r.is_empty().then_some(token))
    }

    /// Whether it was given to a client at this address. IPv4 is the same in whatever socket.
    pub(crate) fn is_from(&self, ip: IpAddr) -> bool {
        self.ip == ip.to_canonical()
    }
}

impl TokenKind {
    const fn code(self) -> u8 {
        match self {
            Self::Retry { .. } => RETRY,
            Self::New => NEW,
        }
    }
}

const fn wide(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// The first byte says what a token is, so that one which does not open can be answered. Neither is
/// likely to begin a token of another kind of server.
const RETRY: u8 = 0xb7;
const NEW: u8 = 0x5e;

const SEALED_AT: usize = 1 + TOKEN_NONCE_LEN;
const MAX_LEN: usize = SEALED_AT + 1 + 4 + 8 + 16 + 2 + 21 + 21 + TAG_LEN;

/// Longer than any connection ID, of which reset tokens are made with the same secret.
const KEY_LABEL: &[u8] = b"weftline: address validation tokens";

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::crypto::null::NullProvider;

    const PROVIDER: NullProvider = NullProvider::insecure();
    const NONCE: TokenNonce = [7; 16];

    fn keys(current: u8, previous: Option<u8>) -> TokenKeys {
        let previous = previous.map(|byte| [byte; 32]);
        TokenKeys::derive(&PROVIDER, &[current; 32], previous.as_ref())
    }

    fn cid(len: usize) -> Cid {
        Cid::new(&[9; 20][..len]).unwrap()
    }

    fn tokens() -> [Token; 3] {
        let retry = |original, retry| Token {
            kind: TokenKind::Retry {
                port: 4433,
                original: cid(original),
                retry: cid(retry),
            },
            version: Version::V1,
            issued: u64::MAX,
            ip: IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        let new = Token {
            kind: TokenKind::New,
            version: Version::V2,
            issued: 1,
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        [retry(20, 20), retry(8, 0), new]
    }

    #[test]
    fn round_trip() {
        for token in tokens() {
            let sealed = token
                .seal(&PROVIDER, &keys(1, None).current, &NONCE)
                .unwrap();
            assert!(sealed.len() <= MAX_LEN);
            for keys in [keys(1, None), keys(2, Some(1))] {
                assert_eq!(Token::open(&PROVIDER, &keys, &sealed), Ok((token, NONCE)));
            }
        }
    }

    #[test]
    fn what_was_touched_does_not_open() {
        for token in tokens() {
            let bad = match token.kind {
                TokenKind::Retry { .. } => BadToken::Retry,
                TokenKind::New => BadToken::Foreign,
            };
            let sealed = token
                .seal(&PROVIDER, &keys(1, None).current, &NONCE)
                .unwrap();
            let other = keys(2, Some(3));
            assert_eq!(Token::open(&PROVIDER, &other, &sealed), Err(bad));
            for at in 1..sealed.len() {
                let mut touched = sealed.clone();
                touched[at] ^= 1;
                let opened = Token::open(&PROVIDER, &keys(1, None), &touched);
                assert_eq!(opened, Err(bad), "byte {at}");
                let cut = Token::open(&PROVIDER, &keys(1, None), &sealed[..at]);
                assert_eq!(cut, Err(bad), "{at} bytes");
            }
            let mut longer = sealed.clone();
            longer.extend([0; 2000]);
            assert_eq!(Token::open(&PROVIDER, &keys(1, None), &longer), Err(bad));
            // A token of one kind does not pass for the other.
            let mut renamed = sealed;
            renamed[0] = if renamed[0] == RETRY { NEW } else { RETRY };
            assert!(Token::open(&PROVIDER, &keys(1, None), &renamed).is_err());
        }
    }

    #[test]
    fn whatever_else_is_foreign() {
        for token in [&b""[..], b"a token", &[0; 100]] {
            let opened = Token::open(&PROVIDER, &keys(1, None), token);
            assert_eq!(opened, Err(BadToken::Foreign));
        }
        assert_eq!(
            Token::open(&PROVIDER, &keys(1, None), &[RETRY]),
            Err(BadToken::Retry)
        );
    }

    #[test]
    fn addresses() {
        let [six, _, four] = tokens();
        assert!(four.is_from(IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped())));
        assert!(!four.is_from(six.ip) && !six.is_from(four.ip) && six.is_from(six.ip));
    }
}
