//! Certificates for the servers: chains of any length, as the QUIC interop runner makes them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use interop_endpoint::SERVER_NAME;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Files in PEM.
pub(crate) struct Certs {
    /// What clients trust: the root, and the first authorities of a long chain. Some verifiers
    /// follow no more than six.
    pub(crate) ca: PathBuf,
    /// The server's chain, its own first.
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certs {
    /// Makes a chain of so many certificates, without the root. Those of a long chain are large.
    pub(crate) fn make(dir: &Path, len: usize) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let (mut issuer, root) = authority(0, None).map_err(io::Error::other)?;
        let (mut trusted, mut chain) = (root, String::new());
        for number in 1..len {
            let (next, pem) = authority(number, Some(&issuer)).map_err(io::Error::other)?;
            if len - number > FOLLOWED {
                trusted += &pem;
            }
            chain = pem + &chain;
            issuer = next;
        }
        let (leaf, key) = leaf(&issuer, len > 1).map_err(io::Error::other)?;
        let certs = Self {
            ca: dir.join("ca.pem"),
            chain: dir.join("cert.pem"),
            key: dir.join("key.pem"),
        };
        fs::write(&certs.ca, trusted)?;
        fs::write(&certs.chain, leaf + &chain)?;
        fs::write(&certs.key, key)?;
        Ok(certs)
    }
}

type Authority = Issuer<'static, KeyPair>;

fn authority(
    number: usize,
    issuer: Option<&Authority>,
) -> Result<(Authority, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    let name = format!("Interop authority {number}");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let pem = match issuer {
        Some(issuer) => params.signed_by(&key, issuer)?.pem(),
        None => params.self_signed(&key)?.pem(),
    };
    Ok((Issuer::new(params, key), pem))
}

fn leaf(issuer: &Authority, is_large: bool) -> Result<(String, String), rcgen::Error> {
    let mut names: Vec<String> = [SERVER_NAME, "127.0.0.1", "::1"].map(String::from).into();
    if is_large {
        let label = |c: char| c.to_string().repeat(60);
        let long = |c| [label(c), label('x'), label('y'), label('z')].join(".");
        names.extend(('a'..='t').map(long));
    }
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, SERVER_NAME);
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, issuer)?;
    Ok((leaf.pem(), key.serialize_pem()))
}

/// How many authorities between a certificate and one they trust verifiers follow.
const FOLLOWED: usize = 5;
