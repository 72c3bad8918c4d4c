//! A certificate chain with its key.

use std::{fmt, fs, path::Path, sync::Arc};

use rustls::{
    Error, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use crate::{
    clock::Clock,
    error::{Source, TlsConfigError},
    hash,
    provider::{CipherSuite, crypto_provider},
    x509::Certificate,
};

/// Who one is: a certificate chain, the own certificate first, and the private key to it.
#[derive(Clone)]
pub struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    source: Source,
}

impl Identity {
    /// Reads a chain and its key from PEM files. Both may be the same file.
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsConfigError> {
        let chain_pem = read("certificate", certificate.as_ref())?;
        let key_pem = read("key", key.as_ref())?;
        Self::load_pem(
            &chain_pem,
            Source::File(certificate.as_ref().to_owned()),
            &key_pem,
            Source::File(key.as_ref().to_owned()),
        )
    }

    /// Takes a chain and its key as PEM.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsConfigError> {
        Self::load_pem(certificate, Source::Bytes, key, Source::Bytes)
    }

    /// Takes a chain and its key (PKCS #8, SEC 1 or PKCS #1) as DER.
    pub fn from_der(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Self, TlsConfigError> {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::try_from(key).map_err(|reason| TlsConfigError::Unusable {
            source_of: Source::Bytes,
            reason: format!("the private key: {reason}"),
        })?;
        Self::new(chain, Source::Bytes, key, Source::Bytes)
    }

    /// SHA-256 of the certificate, by which clients may trust it.
    pub fn sha256(&self) -> [u8; 32] {
        hash::sha256(self.certificate())
    }

    fn load_pem(
        chain: &[u8],
        chain_source: Source,
        key: &[u8],
        key_source: Source,
    ) -> Result<Self, TlsConfigError> {
        let chain = certificates(chain, &chain_source)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => {
                TlsConfigError::NoKey(key_source.clone())
            }
            error => TlsConfigError::Unusable {
                source_of: key_source.clone(),
                reason: error.to_string(),
            },
        })?;
        Self::new(chain, chain_source, key, key_source)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        chain_source: Source,
        key: PrivateKeyDer<'static>,
        key_source: Source,
    ) -> Result<Self, TlsConfigError> {
        if chain.is_empty() {
            return Err(TlsConfigError::NoCertificate(chain_source));
        }
        let key = crypto_provider(&CipherSuite::ALL)
            .key_provider
            .load_private_key(key)
            .map_err(|error| TlsConfigError::Unusable {
                source_of: key_source.clone(),
                reason: error.to_string(),
            })?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|error| match error {
            Error::InconsistentKeys(_) => TlsConfigError::KeyMismatch {
                certificate: chain_source.clone(),
                key: key_source,
            },
            error => TlsConfigError::Unusable {
                source_of: chain_source.clone(),
                reason: error.to_string(),
            },
        })?;
        Ok(Self {
            certified: Arc::new(certified),
            source: chain_source,
        })
    }

    fn certificate(&self) -> &[u8] {
        self.certified.cert.first().map_or(&[], |der| &**der)
    }

    /// Refuses a certificate that nobody would accept now.
    pub(crate) fn check_validity(&self, clock: &Clock) -> Result<(), TlsConfigError> {
        let Some(parsed) = Certificate::parse(self.certificate()) else {
            return Err(TlsConfigError::Unusable {
                source_of: self.source.clone(),
                reason: "the certificate is not readable".into(),
            });
        };
        let now = i64::try_from(clock.now()).unwrap_or(i64::MAX);
        if now > parsed.not_after {
            return Err(TlsConfigError::Expired {
                certificate: self.source.clone(),
                not_after: parsed.not_after.max(0) as u64,
            });
        }
        if now < parsed.not_before {
            return Err(TlsConfigError::NotYetValid {
                certificate: self.source.clone(),
                not_before: parsed.not_before.max(0) as u64,
            });
        }
        Ok(())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Identity({}, {})",
            self.source,
            hash::hex(&self.sha256())
        )
    }
}

/// Certificate authorities from a PEM file.
pub(crate) fn roots_from_file(path: &Path) -> Result<RootCertStore, TlsConfigError> {
    roots(&read("CA", path)?, &Source::File(path.to_owned()))
}

/// Certificate authorities from PEM.
pub(crate) fn roots(pem: &[u8], source: &Source) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, source)? {
        roots
            .add(certificate)
            .map_err(|error| TlsConfigError::Unusable {
                source_of: source.clone(),
                reason: error.to_string(),
            })?;
    }
    Ok(roots)
}

fn certificates(
    pem: &[u8],
    source: &Source,
) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(TlsConfigError::NoCertificate(source.clone())),
        Ok(found) => Ok(found),
        Err(error) => Err(TlsConfigError::Unusable {
            source_of: source.clone(),
            reason: error.to_string(),
        }),
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsConfigError> {
    fs::read(path).map_err(|error| TlsConfigError::Read {
        what,
        path: path.to_owned(),
        error,
    })
}
