//! Whom a client trusts, and why it did not.

use std::{error, fmt, path::PathBuf, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{
    clock::date,
    error::{Source, TlsConfigError},
    hash::{self, hex},
    identity,
    x509::{Certificate, KeyKind},
};

/// Whom to trust, as the application said it.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    SystemRoots,
    CaFile(PathBuf),
    CaPem(Vec<u8>),
    Hashes(Vec<[u8; 32]>),
    Anybody,
}

impl Trust {
    pub(crate) fn verifier(
        self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<Verifier>, TlsConfigError> {
        let webpki = |roots| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(|error| TlsConfigError::Tls(error.to_string()))
        };
        let policy = match self {
            Self::SystemRoots => {
                let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(provider))
                    .map_err(|error| TlsConfigError::SystemRoots(error.to_string()))?;
                Policy::Authorities(Arc::new(verifier), "an authority this system trusts".into())
            }
            Self::CaFile(path) => Policy::Authorities(
                webpki(identity::roots_from_file(&path)?)?,
                format!("an authority in {}", path.display()),
            ),
            Self::CaPem(pem) => Policy::Authorities(
                webpki(identity::roots(&pem, &Source::Bytes)?)?,
                "an authority given to trust".into(),
            ),
            Self::Hashes(hashes) if hashes.is_empty() => return Err(TlsConfigError::NoHashes),
            Self::Hashes(hashes) => Policy::Hashes(hashes),
            Self::Anybody => Policy::Anybody,
        };
        Ok(Arc::new(Verifier {
            policy,
            algorithms: provider.signature_verification_algorithms,
        }))
    }
}

/// Verifies servers. Whatever it trusts, a server must prove that it holds the key to the
/// certificate it shows.
#[derive(Debug)]
pub(crate) struct Verifier {
    policy: Policy,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Policy {
    /// Certificates for the right name, signed by those the text describes.
    Authorities(Arc<dyn ServerCertVerifier>, String),
    /// Certificates with these SHA-256.
    Hashes(Vec<[u8; 32]>),
    Anybody,
}

/// A refused certificate: the alert to send, and what a user can act on. Travels through rustls
/// as the error of the verifier.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) alert: u8,
    pub(crate) reason: String,
}

impl Refused {
    /// Finds it in what rustls gives back.
    pub(crate) fn find(error: &Error) -> Option<&Self> {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
                inner.downcast_ref()
            }
            _ => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl error::Error for Refused {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.policy {
            Policy::Authorities(verifier, whom) => verifier
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| explain(error, end_entity, whom)),
            Policy::Hashes(hashes) => {
                check_hash(end_entity, hashes, now.as_secs())?;
                Ok(ServerCertVerified::assertion())
            }
            Policy::Anybody => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC has no TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The rules of W3C WebTransport's `serverCertificateHashes`. The name and the issuer do not
/// matter.
fn check_hash(der: &[u8], trusted: &[[u8; 32]], now: u64) -> Result<(), Refused> {
    let refuse = |alert: AlertDescription, reason: String| {
        Err(Refused {
            alert: alert.into(),
            reason,
        })
    };
    let hash = hash::sha256(der);
    // Public values: no constant time needed.
    if !trusted.contains(&hash) {
        let expected: Vec<_> = trusted.iter().map(|hash| hex(hash)).collect();
        return refuse(
            AlertDescription::CertificateUnknown,
            format!(
                "the server's certificate has SHA-256 {}, but the trusted one is {}",
                hex(&hash),
                expected.join(" or ")
            ),
        );
    }
    let Some(certificate) = Certificate::parse(der) else {
        return refuse(
            AlertDescription::BadCertificate,
            "the server's certificate is not readable".into(),
        );
    };
    if !certificate.is_v3 {
        return refuse(
            AlertDescription::UnsupportedCertificate,
            "the server's certificate is not X.509 version 3, as trust by hash demands".into(),
        );
    }
    if certificate.key != KeyKind::EcdsaP256 {
        return refuse(
            AlertDescription::UnsupportedCertificate,
            format!(
                "the server's certificate has a key of kind {}, but trust by hash demands ECDSA P-256",
                certificate.key
            ),
        );
    }
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    if now > certificate.not_after {
        return refuse(
            AlertDescription::CertificateExpired,
            format!(
                "the server's certificate expired on {}",
                day(certificate.not_after)
            ),
        );
    }
    if now < certificate.not_before {
        return refuse(
            AlertDescription::CertificateExpired,
            format!(
                "the server's certificate is valid only from {} on",
                day(certificate.not_before)
            ),
        );
    }
    let validity = certificate.not_after - certificate.not_before;
    if validity > MAX_VALIDITY {
        return refuse(
            AlertDescription::UnsupportedCertificate,
            format!(
                "the server's certificate is valid for {} days, but trust by hash allows 14",
                // Fifteen days for a second over fourteen: the point is that it is more.
                (validity + DAY - 1) / DAY
            ),
        );
    }
    Ok(())
}

/// Says what a user can act on, and keeps the alert.
fn explain(error: Error, der: &[u8], whom: &str) -> Error {
    let Error::InvalidCertificate(error) = error else {
        return error;
    };
    let reason = match &error {
        // A bad signature is that of a namesake of the issuer.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the server's certificate (SHA-256 {}) is not signed by {whom}",
            hex(&hash::sha256(der))
        ),
        CertificateError::ExpiredContext { not_after, .. } => format!(
            "the server's certificate expired on {}",
            date(not_after.as_secs())
        ),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "the server's certificate is valid only from {} on",
            date(not_before.as_secs())
        ),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "the server's certificate is not for {}, but for {}",
            expected.to_str(),
            names(presented)
        ),
        error => format!("the server's certificate is refused: {error}"),
    };
    Refused {
        alert: AlertDescription::from(error).into(),
        reason,
    }
    .into()
}

/// `DnsName("a"), IpAddress(b)` as `a, b`.
fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name at all".into();
    }
    let bare = |name: &String| {
        let inner = name
            .split_once('(')
            .and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}

fn day(unix_seconds: i64) -> String {
    date(unix_seconds.max(0) as u64)
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::Ecdsa => "ECDSA with another curve",
            Self::Rsa => "RSA",
            Self::Other => "neither ECDSA nor RSA",
        })
    }
}

const DAY: i64 = 24 * 60 * 60;

/// Two weeks, in seconds.
const MAX_VALIDITY: i64 = 14 * DAY;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, dev::DevCertificate};

    const NOW: u64 = 1_790_000_000;

    fn check(der: &[u8]) -> Result<(), Refused> {
        check_hash(der, &[hash::sha256(der)], NOW)
    }

    #[test]
    fn only_version_3() {
        let made = DevCertificate::generate_at(&[], 13, &Clock::fixed(NOW)).unwrap();
        assert!(check(made.cert_der()).is_ok());
        let mut der = made.cert_der().to_vec();
        let version = [0xa0, 3, 2, 1, 2];
        let at = der.windows(5).position(|found| found == version).unwrap();
        der[at + 4] = 1;
        let refused = check(&der).unwrap_err();
        assert_eq!(
            refused.reason,
            "the server's certificate is not X.509 version 3, as trust by hash demands"
        );
        assert_eq!(refused.alert, 43);
    }

    #[test]
    fn unreadable() {
        let refused = check(b"no certificate").unwrap_err();
        assert_eq!(refused.reason, "the server's certificate is not readable");
        assert_eq!(refused.alert, 42);
    }

    #[test]
    fn names_are_bare() {
        let presented = ["DnsName(\"a.test\")", "IpAddress(::1)", "odd"].map(String::from);
        assert_eq!(names(&presented), "a.test, ::1, odd");
        assert_eq!(names(&[]), "no name at all");
    }
}
