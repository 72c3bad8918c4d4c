//! Sessions: what a client is given, and what a server resumes them by.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use ring::{
    aead, hmac,
    rand::{SecureRandom, SystemRandom},
};
use rustls::{
    NamedGroup,
    client::{
        ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue,
        Tls13ClientSessionValue,
    },
    pki_types::ServerName,
    server::{ProducesTickets, StoresServerSessions},
};
use weftline::crypto::Version;

/// The session that one handshake of a client offers, and those it is given.
#[derive(Debug)]
pub(crate) struct ClientTickets {
    offer: Mutex<Option<Tls13ClientSessionValue>>,
    given: Mutex<VecDeque<Tls13ClientSessionValue>>,
    /// Which key exchange servers chose, by name.
    hints: Arc<ClientSessionMemoryCache>,
}

impl ClientTickets {
    pub(crate) fn new(
        offer: Option<Tls13ClientSessionValue>,
        hints: Arc<ClientSessionMemoryCache>,
    ) -> Self {
        Self {
            offer: Mutex::new(offer),
            given: Mutex::default(),
            hints,
        }
    }

    /// The next session that the server gave.
    pub(crate) fn take(&self) -> Option<Tls13ClientSessionValue> {
        lock(&self.given).pop_front()
    }
}

impl ClientSessionStore for ClientTickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.hints.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.hints.kx_hint(name)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut given = lock(&self.given);
        if given.len() >= GIVEN_MAX {
            given.pop_front();
        }
        given.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        lock(&self.offer).take()
    }
}

/// Where a server keeps its sessions. Many servers behind one address may share one; then it must
/// give each session to one of them only, or early data can be replayed.
pub trait ServerSessions: fmt::Debug + Send + Sync {
    /// Keeps a session under `id`; false when it is not kept. A store is bounded: it drops old
    /// sessions for new ones.
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool;

    /// Takes a session out. It is given out once: that is what keeps early data from being
    /// replayed.
    fn take(&self, id: &[u8]) -> Option<Vec<u8>>;
}

/// Keeps a server's sessions in memory, up to a number.
#[derive(Debug)]
pub struct MemorySessions {
    max: usize,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    by_id: HashMap<Vec<u8>, Vec<u8>>,
    /// Their identifiers, oldest first, and some that are gone.
    order: VecDeque<Vec<u8>>,
}

impl MemorySessions {
    /// Keeps up to `max` sessions; each takes some 300 bytes, and a client's certificates.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            sessions: Mutex::default(),
        }
    }
}

impl Default for MemorySessions {
    /// Keeps up to 4096 sessions.
    fn default() -> Self {
        Self::new(4096)
    }
}

impl ServerSessions for MemorySessions {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        if self.max == 0 {
            return false;
        }
        let mut sessions = lock(&self.sessions);
        while sessions.order.len() >= self.max {
            if let Some(oldest) = sessions.order.pop_front() {
                sessions.by_id.remove(&oldest);
            }
        }
        sessions.order.push_back(id.clone());
        sessions.by_id.insert(id, session);
        true
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        lock(&self.sessions).by_id.remove(id)
    }
}

/// The sessions of a server, for handshakes of one version and under the same terms.
#[derive(Debug)]
pub(crate) struct ScopedSessions {
    pub(crate) sessions: Arc<dyn ServerSessions>,
    pub(crate) scope: Scope,
}

/// What a session must have in common with the handshake that resumes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) version: Version,
    pub(crate) trust: ClientTrust,
    pub(crate) terms: Vec<u8>,
}

/// Stands for whom a server trusts as a client, if it asks. A session of another server vouches for
/// no certificate here.
pub(crate) type ClientTrust = [u8; 32];

impl Scope {
    fn encode(&self) -> Vec<u8> {
        let mut out = self.version.0.to_be_bytes().to_vec();
        out.extend_from_slice(&self.trust);
        out.extend_from_slice(&(self.terms.len() as u64).to_be_bytes());
        out.extend_from_slice(&self.terms);
        out
    }
}

impl StoresServerSessions for ScopedSessions {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        let mut value = self.scope.encode();
        value.extend_from_slice(&session);
        self.sessions.put(id, value)
    }

    /// No session is read without being used up.
    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        let value = self.sessions.take(id)?;
        Some(value.strip_prefix(&*self.scope.encode())?.to_vec())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// Keys that seal sessions into the tickets themselves, so that a server remembers nothing, and
/// servers with the same keys resume each other's. Copies share their keys.
///
/// Whoever learns a key can read what was sent over connections that resumed a session sealed with
/// it; so turn to a fresh one every few hours, and after 2^32 tickets at the latest.
#[derive(Clone)]
pub struct TicketKeys {
    keys: Arc<RwLock<KeyPair>>,
    lifetime: u32,
}

struct KeyPair {
    current: TicketKey,
    previous: Option<TicketKey>,
}

struct TicketKey {
    /// Tells from a ticket which key it takes.
    name: [u8; NAME_LEN],
    key: aead::LessSafeKey,
}

impl TicketKeys {
    /// Begins with this key, of 32 bytes that nobody can guess.
    pub fn new(key: &[u8; 32]) -> Self {
        let keys = KeyPair {
            current: TicketKey::new(key),
            previous: None,
        };
        Self {
            keys: Arc::new(RwLock::new(keys)),
            lifetime: 12 * 60 * 60,
        }
    }

    /// Tells clients to keep tickets this long, in seconds; 12 hours when not called, 7 days at
    /// most. A ticket is good until the second turn after it.
    #[must_use]
    pub fn lifetime(mut self, seconds: u32) -> Self {
        self.lifetime = seconds.min(MAX_LIFETIME);
        self
    }

    /// Turns to another key. Tickets of the one before are still taken, older ones are not.
    pub fn rotate(&self, key: &[u8; 32]) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut keys.current, TicketKey::new(key));
        keys.previous = Some(old);
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

impl TicketKey {
    fn new(key: &[u8; 32]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, key);
        let name = hmac::sign(&secret, b"weftline ticket name");
        let sealing = hmac::sign(&secret, b"weftline ticket key");
        let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, sealing.as_ref());
        let mut own = [0; NAME_LEN];
        own.iter_mut()
            .zip(name.as_ref())
            .for_each(|(to, from)| *to = *from);
        Self {
            name: own,
            key: aead::LessSafeKey::new(key.expect("the key has 32 bytes")),
        }
    }

    fn seal(&self, bound: &[u8], session: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; aead::NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = session.to_vec();
        let unique = aead::Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(unique, self.aad(bound), &mut sealed)
            .ok()?;
        Some([&self.name[..], &nonce, &sealed].concat())
    }

    fn open(&self, bound: &[u8], nonce: [u8; 12], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut session = sealed.to_vec();
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let len = self
            .key
            .open_in_place(nonce, self.aad(bound), &mut session)
            .ok()?
            .len();
        session.truncate(len);
        Some(session)
    }

    fn aad(&self, bound: &[u8]) -> aead::Aad<Vec<u8>> {
        aead::Aad::from([&self.name[..], bound].concat())
    }
}

/// The keys, for handshakes of one scope. Terms do not matter: there is no early data.
#[derive(Debug)]
pub(crate) struct ScopedKeys {
    keys: TicketKeys,
    bound: Vec<u8>,
}

impl ScopedKeys {
    pub(crate) fn new(keys: TicketKeys, scope: &Scope) -> Self {
        let scope = Scope {
            terms: Vec::new(),
            ..scope.clone()
        };
        Self {
            keys,
            bound: scope.encode(),
        }
    }
}

impl ProducesTickets for ScopedKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.keys.lifetime
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let keys = &self.keys.keys;
        let keys = keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.current.seal(&self.bound, session)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        // Longer ones are nobody's, and only good for guessing at keys.
        if ticket.len() > TICKET_MAX {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        let keys = &self.keys.keys;
        let keys = keys.read().unwrap_or_else(PoisonError::into_inner);
        [Some(&keys.current), keys.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.name == *name)?
            .open(&self.bound, *nonce, sealed)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("len", &self.by_id.len())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const NAME_LEN: usize = 16;

/// Room for a session with the certificates of a client.
const TICKET_MAX: usize = 16 << 10;

/// RFC 8446, section 4.6.1.
const MAX_LIFETIME: u32 = 7 * 24 * 60 * 60;

/// Sessions held until the core takes them: a server may send many at once.
const GIVEN_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(version: Version, terms: &[u8]) -> Scope {
        Scope {
            version,
            trust: [0; 32],
            terms: terms.to_vec(),
        }
    }

    fn scoped(keys: &TicketKeys, version: Version) -> ScopedKeys {
        ScopedKeys::new(keys.clone(), &scope(version, b""))
    }

    #[test]
    fn keys_turn() {
        let keys = TicketKeys::new(&[1; 32]);
        let tickets = scoped(&keys, Version::V1);
        let first = tickets.encrypt(b"session").unwrap();
        assert_ne!(first, tickets.encrypt(b"session").unwrap());
        assert!(!first.windows(7).any(|bytes| bytes == b"session"));
        let open = |ticket: &[u8]| tickets.decrypt(ticket);
        assert_eq!(open(&first).as_deref(), Some(&b"session"[..]));

        // Another server with the key, and another version.
        let other = TicketKeys::new(&[1; 32]);
        assert!(scoped(&other, Version::V1).decrypt(&first).is_some());
        assert!(scoped(&other, Version::V2).decrypt(&first).is_none());
        let stricter = Scope {
            trust: [1; 32],
            ..scope(Version::V1, b"")
        };
        let stricter = ScopedKeys::new(keys.clone(), &stricter);
        assert!(stricter.decrypt(&first).is_none());

        keys.rotate(&[2; 32]);
        assert!(open(&first).is_some());
        let second = tickets.encrypt(b"later").unwrap();
        keys.rotate(&[3; 32]);
        assert!(open(&first).is_none());
        assert!(open(&second).is_some());
    }

    #[test]
    fn broken_tickets_do_not_open() {
        let tickets = scoped(&TicketKeys::new(&[1; 32]), Version::V1);
        let ticket = tickets.encrypt(b"session").unwrap();
        for len in 0..ticket.len() {
            assert_eq!(tickets.decrypt(&ticket[..len]), None, "{len}");
        }
        for at in 0..ticket.len() {
            let mut ticket = ticket.clone();
            ticket[at] ^= 1;
            assert_eq!(tickets.decrypt(&ticket), None, "{at}");
        }
        let long = [&ticket[..], &[0; TICKET_MAX]].concat();
        assert_eq!(tickets.decrypt(&long), None);
    }

    #[test]
    fn sessions_are_bounded_and_given_once() {
        let sessions = MemorySessions::new(3);
        for id in 0..10 {
            assert!(sessions.put(vec![id], vec![id]));
        }
        assert_eq!(sessions.take(&[6]), None);
        assert_eq!(sessions.take(&[7]), Some(vec![7]));
        assert_eq!(sessions.take(&[7]), None);
        assert!(sessions.put(vec![10], vec![]));
        assert_eq!(sessions.take(&[8]), Some(vec![8]));
        assert_eq!(sessions.take(&[9]), Some(vec![9]));
        assert!(!MemorySessions::new(0).put(vec![1], vec![]));
        assert!(lock(&sessions.sessions).order.len() <= 3);
    }

    #[test]
    fn a_session_is_for_its_scope() {
        let memory: Arc<dyn ServerSessions> = Arc::new(MemorySessions::default());
        let of_scope = |scope| ScopedSessions {
            sessions: Arc::clone(&memory),
            scope,
        };
        let scoped = |version, terms: &[u8]| of_scope(scope(version, terms));
        let ours = scoped(Version::V1, b"terms");
        let stricter = Scope {
            trust: [1; 32],
            ..scope(Version::V1, b"terms")
        };
        for (other, resumes) in [
            (scoped(Version::V1, b"terms"), true),
            (scoped(Version::V2, b"terms"), false),
            (scoped(Version::V1, b"other"), false),
            (scoped(Version::V1, b"term"), false),
            (of_scope(stricter), false),
        ] {
            ours.put(vec![1], b"session".to_vec());
            assert_eq!(other.take(&[1]).is_some(), resumes);
            assert_eq!(memory.take(&[1]), None, "used up");
        }
    }
}
