//! Peers that shake hands in memory, and certificates of every kind.

#![allow(dead_code, unreachable_pub, reason = "every test file uses a part")]

use std::{fs, path::PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SignatureAlgorithm,
};
use time::OffsetDateTime;
use weftline::crypto::{
    ClientProvider, KeyChange, Keys, Level, NextKeys, ServerProvider, Session, TlsError, Version,
};
use weftline_rustls::{ClientTls, ClientTlsBuilder, Clock, Identity, ServerTls, hash};

/// 2026-09-21 14:13:20 UTC.
pub const NOW: u64 = 1_790_000_000;

pub const H3: &[u8] = b"h3";

pub struct Peer {
    pub session: Box<dyn Session>,
    /// Data written and not delivered yet, by level.
    pub sent: [Vec<u8>; 3],
    pub handshake: Option<Keys>,
    pub one_rtt: Option<(Keys, Box<dyn NextKeys>)>,
    level: Level,
}

impl Peer {
    pub fn new(session: Box<dyn Session>) -> Self {
        let mut peer = Self {
            session,
            sent: Default::default(),
            handshake: None,
            one_rtt: None,
            level: Level::Initial,
        };
        peer.pump();
        peer
    }

    /// Takes everything the session has to say.
    pub fn pump(&mut self) {
        loop {
            let out = &mut self.sent[self.level as usize];
            let before = out.len();
            match self.session.write(out) {
                Some(KeyChange::Handshake(keys)) => {
                    self.handshake = Some(keys);
                    self.level = Level::Handshake;
                }
                Some(KeyChange::OneRtt { keys, next }) => {
                    self.one_rtt = Some((keys, next));
                    self.level = Level::OneRtt;
                }
                None if out.len() == before => return,
                None => {}
            }
        }
    }

    /// Gives everything said so far to `other` in pieces of `step` bytes.
    pub fn deliver(&mut self, other: &mut Self, step: usize) -> Result<(), TlsError> {
        for level in [Level::Initial, Level::Handshake, Level::OneRtt] {
            for piece in std::mem::take(&mut self.sent[level as usize]).chunks(step) {
                other.session.read(level, piece)?;
                other.pump();
            }
        }
        Ok(())
    }
}

pub fn start(
    client: &ClientTls,
    server: &ServerTls,
    version: Version,
    name: &str,
    alpn: &[&[u8]],
) -> (Peer, Peer) {
    let client = client.start(version, name, alpn, b"from client".to_vec(), None);
    let server = server.start(version, &[H3], b"from server".to_vec(), b"terms");
    (Peer::new(client.unwrap()), Peer::new(server.unwrap()))
}

/// A whole handshake, tickets included.
pub fn shake(client: &mut Peer, server: &mut Peer, step: usize) -> Result<(), TlsError> {
    for _ in 0..3 {
        client.deliver(server, step)?;
        server.deliver(client, step)?;
    }
    Ok(())
}

pub fn client_of(builder: ClientTlsBuilder) -> ClientTls {
    builder.clock(Clock::fixed(NOW)).build().unwrap()
}

pub fn server_of(identity: Identity) -> ServerTls {
    let builder = ServerTls::builder(identity).clock(Clock::fixed(NOW));
    builder.build().unwrap()
}

/// A file with this content in the directory for such files.
pub fn file(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).unwrap();
    path
}

/// A certificate authority, or somebody who signs for himself.
pub struct Authority {
    pub name: String,
    algorithm: &'static SignatureAlgorithm,
    key: KeyPair,
}

impl Authority {
    pub fn new(algorithm: &'static SignatureAlgorithm) -> Self {
        let key = if algorithm == &rcgen::PKCS_RSA_SHA256 {
            // ring makes no RSA keys.
            let pem = include_str!("../data/rsa-2048.key.pem");
            KeyPair::from_pkcs8_pem_and_sign_algo(pem, algorithm)
        } else {
            KeyPair::generate_for(algorithm)
        };
        let key = key.unwrap();
        Self {
            // No two have the same name, unless a test wants that.
            name: hash::hex(&hash::sha256(key.public_key_raw())),
            algorithm,
            key,
        }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, &*self.name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.params().self_signed(&self.key).unwrap().pem()
    }

    /// A certificate for others, signed by this authority.
    pub fn issue(&self, names: &[&str], not_before: u64, not_after: u64) -> Identity {
        let key = KeyPair::generate_for(self.algorithm).unwrap();
        let issuer = Issuer::new(self.params(), &self.key);
        let params = leaf(names, not_before, not_after);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        identity(certificate.der(), &key)
    }

    /// A certificate for itself that is no authority.
    pub fn self_signed(&self, not_before: u64, not_after: u64) -> Identity {
        let params = leaf(&["localhost"], not_before, not_after);
        let certificate = params.self_signed(&self.key).unwrap();
        identity(certificate.der(), &self.key)
    }
}

fn leaf(names: &[&str], not_before: u64, not_after: u64) -> CertificateParams {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = moment(not_before);
    params.not_after = moment(not_after);
    params
}

fn moment(unix_seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix_seconds as i64).unwrap()
}

fn identity(certificate: &[u8], key: &KeyPair) -> Identity {
    let key = key.serialized_der().to_vec();
    Identity::from_der(vec![certificate.to_vec()], key).unwrap()
}
