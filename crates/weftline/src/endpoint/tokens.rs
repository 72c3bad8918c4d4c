//! Tokens that prove where a client is (RFC 9000, section 8.1): a server's side, and a client's.

use alloc::{
    boxed::Box,
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use bytes::Bytes;

use super::{Endpoint, Slot};
use crate::{
    Instant, RecvMeta,
    config::{ClientConfig, ClientTokens, ServerSecrets, TokenStore},
    crypto::{
        Provider, Version,
        token::{BadToken, Token, TokenClock, TokenIssuer, TokenKeys, TokenKind, TokenNonce},
    },
    wire::{Cid, packet::ProtectedHeader},
};

/// What a server does with tokens.
pub(super) struct ServerTokens {
    provider: Arc<dyn Provider>,
    keys: TokenKeys,
    clock: TokenClock,
    retry_lifetime: Duration,
    lifetime: Duration,
    used: UsedTokens,
}

/// What the token in a client's Initial is good for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing, like none.
    Nothing,
    /// The client followed our Retry, which answered an Initial to this connection ID.
    Retry { original: Cid },
    /// The client was at this address before.
    New,
    /// It says to be of a Retry and is not, or not any more. The client follows no other Retry.
    Invalid,
}

impl ServerTokens {
    pub(super) fn new(
        provider: Arc<dyn Provider>,
        secrets: &ServerSecrets,
        clock: TokenClock,
        [retry_lifetime, lifetime]: [Duration; 2],
        max_used: usize,
    ) -> Self {
        Self {
            keys: keys(&*provider, secrets),
            provider,
            clock,
            retry_lifetime,
            lifetime,
            used: UsedTokens::new(max_used),
        }
    }

    pub(super) fn set_secrets(&mut self, secrets: &ServerSecrets) {
        self.keys = keys(&*self.provider, secrets);
    }

    pub(super) const fn set_clock(&mut self, clock: TokenClock) {
        self.clock = clock;
    }

    /// What makes tokens for the clients of a connection; `None` when they are not to have any.
    pub(super) fn issuer(&self) -> Option<TokenIssuer> {
        let key = self.keys.current;
        (!self.lifetime.is_zero()).then(|| TokenIssuer::new(key, self.clock))
    }

    /// The token of a Retry packet that has the connection ID `retry`.
    pub(super) fn for_retry(
        &self,
        now: Instant,
        version: Version,
        meta: &RecvMeta,
        [original, retry]: [Cid; 2],
        nonce: &TokenNonce,
    ) -> Option<Vec<u8>> {
        let token = Token {
            kind: TokenKind::Retry {
                port: meta.from.port(),
                original,
                retry,
            },
            version,
            issued: self.clock.at(now),
            ip: meta.from.ip(),
        };
        token.seal(&*self.provider, &self.keys.current, nonce).ok()
    }

    /// Looks at the token of an Initial packet. One of NEW_TOKEN counts as used from now on.
    pub(super) fn check(
        &mut self,
        now: Instant,
        version: Version,
        meta: &RecvMeta,
        header: &ProtectedHeader,
        datagram: &[u8],
    ) -> Shown {
        let token = header.token(datagram);
        if token.is_empty() {
            return Shown::Nothing;
        }
        let (token, nonce) = match Token::open(&*self.provider, &self.keys, token) {
            Ok(opened) => opened,
            Err(BadToken::Foreign) => return Shown::Nothing,
            Err(BadToken::Retry) => return Shown::Invalid,
        };
        let is_from = token.version == version && token.is_from(meta.from.ip());
        let at = self.clock.at(now);
        match token.kind {
            TokenKind::Retry {
                port,
                original,
                retry,
            } => {
                let is_good = is_from
                    && port == meta.from.port()
                    && retry == header.destination
                    && is_alive(token.issued, at, self.retry_lifetime);
                if is_good {
                    Shown::Retry { original }
                } else {
                    Shown::Invalid
                }
            }
            TokenKind::New => {
                let is_good = is_from
                    && is_alive(token.issued, at, self.lifetime)
                    && self.used.insert(token.issued, nonce);
                self.used.forget_before(at, self.lifetime);
                if is_good { Shown::New } else { Shown::Nothing }
            }
        }
    }
}

fn keys(provider: &dyn Provider, secrets: &ServerSecrets) -> TokenKeys {
    TokenKeys::derive(provider, &secrets.current, secrets.previous.as_ref())
}

/// Whether a token made at `issued` is not too old, on clocks that agree within [`SKEW`].
fn is_alive(issued: u64, at: u64, lifetime: Duration) -> bool {
    let age = Duration::from_micros(at.saturating_sub(issued));
    let ahead = Duration::from_micros(issued.saturating_sub(at));
    age <= lifetime && ahead <= SKEW
}

/// The tokens of NEW_TOKEN frames that were shown, so that each counts once. When there are too
/// many the oldest is forgotten, and then all that are older do not count any more: nothing is ever
/// taken twice, and a flood of tokens costs others a round trip at most.
struct UsedTokens {
    shown: BTreeSet<(u64, TokenNonce)>,
    max: usize,
    /// What was made then or before does not count.
    floor: Option<u64>,
}

impl UsedTokens {
    const fn new(max: usize) -> Self {
        Self {
            shown: BTreeSet::new(),
            max,
            floor: None,
        }
    }

    /// Notes a token; false when it may have been shown before.
    fn insert(&mut self, issued: u64, nonce: TokenNonce) -> bool {
        if self.floor.is_some_and(|floor| issued <= floor) || !self.shown.insert((issued, nonce)) {
            return false;
        }
        if self.shown.len() > self.max
            && let Some((oldest, _)) = self.shown.pop_first()
        {
            self.floor = Some(oldest);
        }
        true
    }

    /// Forgets tokens that are too old to count.
    fn forget_before(&mut self, at: u64, lifetime: Duration) {
        while let Some((issued, _)) = self.shown.first() {
            if is_alive(*issued, at, lifetime) || *issued > at {
                break;
            }
            self.shown.pop_first();
        }
    }
}

/// Tokens of servers, for connections to come: the newest of each, and of the servers that were
/// heard of last.
pub(super) struct TokenCache {
    tokens: VecDeque<Kept>,
    max: usize,
}

struct Kept {
    server_name: Box<str>,
    version: Version,
    token: Bytes,
}

impl TokenCache {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            tokens: VecDeque::new(),
            max,
        }
    }

    pub(super) fn put(&mut self, server_name: &str, version: Version, token: Bytes) {
        let same = |kept: &Kept| *kept.server_name == *server_name && kept.version == version;
        if self.tokens.iter().filter(|kept| same(kept)).count() >= TOKENS_PER_SERVER
            && let Some(oldest) = self.tokens.iter().position(same)
        {
            self.tokens.remove(oldest);
        }
        self.tokens.push_back(Kept {
            server_name: server_name.into(),
            version,
            token,
        });
        while self.tokens.len() > self.max {
            self.tokens.pop_front();
        }
    }

    pub(super) fn take(&mut self, server_name: &str, version: Version) -> Option<Bytes> {
        let same = |kept: &Kept| *kept.server_name == *server_name && kept.version == version;
        let newest = self.tokens.iter().rposition(same)?;
        self.tokens.remove(newest).map(|kept| kept.token)
    }
}

/// Where the tokens of a client's connection go.
pub(super) struct TokenHome {
    pub(super) server_name: Box<str>,
    pub(super) store: Option<Arc<dyn TokenStore>>,
}

/// Secrets and the clock.
impl Endpoint {
    /// Goes over to other secrets; see [`ServerSecrets::rotated`]. Connections that there are keep
    /// theirs.
    pub fn set_secrets(&mut self, secrets: ServerSecrets) {
        self.secrets = secrets;
        if let Some(tokens) = &mut self.tokens {
            tokens.set_secrets(&secrets);
        }
    }

    /// For adapters, before they begin: sets
    /// [`EndpointConfig::unix_origin`](crate::config::EndpointConfig::unix_origin) if the configuration
    /// did not.
    pub fn offer_unix_origin(&mut self, time: Duration) {
        if self.has_unix_origin {
            return;
        }
        self.has_unix_origin = true;
        if let Some(tokens) = &mut self.tokens {
            tokens.set_clock(TokenClock::new(time));
        }
    }
}

/// What a client's connections do with tokens.
impl Endpoint {
    /// A token for a connection to this server, if there is one.
    pub(super) fn take_token(
        &mut self,
        config: &ClientConfig,
        name: &str,
        version: Version,
    ) -> Vec<u8> {
        let token = match &config.tokens {
            ClientTokens::Never => None,
            ClientTokens::Endpoint => {
                let token = self.token_cache.take(name, version);
                token.map(|token| token.to_vec())
            }
            ClientTokens::Store(store) => store.take(name, version),
        };
        token.unwrap_or_default()
    }

    /// Keeps the tokens that a client's connection got.
    pub(super) fn keep_tokens(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get_mut(slot.index()) else {
            return;
        };
        let (Some(connection), Some(home)) = (&mut entry.connection, &entry.token_home) else {
            return;
        };
        let version = connection.version();
        for token in connection.take_new_tokens() {
            match &home.store {
                Some(store) => store.put(&home.server_name, version, &token),
                None => self.token_cache.put(&home.server_name, version, token),
            }
        }
    }
}

/// How far the clocks of servers may be apart.
const SKEW: Duration = Duration::from_secs(10);

/// How many connections can be prepared for.
const TOKENS_PER_SERVER: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_counts_once_whatever_is_forgotten() {
        let mut used = UsedTokens::new(3);
        let nonce = |n| [n; 16];
        assert!(used.insert(10, nonce(1)));
        assert!(!used.insert(10, nonce(1)));
        // Another of the same time is another.
        assert!(used.insert(10, nonce(2)));
        assert!(used.insert(30, nonce(3)));
        // The oldest gives way, and with it everything from its time.
        assert!(used.insert(40, nonce(4)));
        assert_eq!(used.shown.len(), 3);
        for n in [1, 2, 9] {
            assert!(!used.insert(10, nonce(n)));
        }
        assert!(!used.insert(30, nonce(3)));
        assert!(used.insert(20, nonce(5)));
    }

    #[test]
    fn old_tokens_are_forgotten() {
        let mut used = UsedTokens::new(10);
        for at in [1_000_000, 2_000_000, 9_000_000] {
            assert!(used.insert(at, [0; 16]));
        }
        used.forget_before(7_500_000, Duration::from_secs(6));
        assert_eq!(used.shown.len(), 2);
        used.forget_before(70_000_000, Duration::from_secs(6));
        assert!(used.shown.is_empty());
    }

    #[test]
    fn lifetimes() {
        let second = 1_000_000_u64;
        let alive =
            |issued: u64, at: u64| is_alive(issued * second, at * second, Duration::from_secs(15));
        assert!(alive(100, 100) && alive(100, 115) && !alive(100, 116));
        // A clock that is a little ahead.
        assert!(alive(110, 100) && !alive(111, 100));
    }

    #[test]
    fn a_client_keeps_the_newest_tokens() {
        let mut cache = TokenCache::new(3);
        let token = Bytes::from_static;
        cache.put("a", Version::V1, token(b"1"));
        cache.put("a", Version::V1, token(b"2"));
        cache.put("a", Version::V1, token(b"3"));
        cache.put("a", Version::V2, token(b"4"));
        assert_eq!(cache.take("b", Version::V1), None);
        assert_eq!(cache.take("a", Version::V1), Some(token(b"3")));
        assert_eq!(cache.take("a", Version::V1), Some(token(b"2")));
        assert_eq!(cache.take("a", Version::V1), None);
        assert_eq!(cache.take("a", Version::V2), Some(token(b"4")));
        for name in ["a", "b", "c", "d"] {
            cache.put(name, Version::V1, token(b"5"));
        }
        assert_eq!(cache.take("a", Version::V1), None);
        assert_eq!(cache.take("b", Version::V1), Some(token(b"5")));
    }
}
