//! Certificates for development.

use std::fmt;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::OffsetDateTime;

use crate::{clock::Clock, error::TlsConfigError, hash, identity::Identity};

/// A self-signed certificate that browsers accept by its hash: ECDSA P-256, no authority, and
/// valid for less than two weeks. Its key exists in memory only.
pub struct DevCertificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
    not_after: u64,
}

impl DevCertificate {
    /// The names every development certificate is for.
    pub const LOCAL_NAMES: [&'static str; 3] = ["localhost", "127.0.0.1", "::1"];

    /// The longest time one is valid, in days.
    pub const MAX_DAYS: u32 = 13;

    /// Makes a certificate for [`Self::LOCAL_NAMES`] and `more_names` (DNS names or IP addresses),
    /// valid for the next `days` days.
    pub fn generate(more_names: &[&str], days: u32) -> Result<Self, TlsConfigError> {
        Self::generate_at(more_names, days, &Clock::system())
    }

    /// Like [`generate`](Self::generate), at the time that `clock` shows.
    pub fn generate_at(
        more_names: &[&str],
        days: u32,
        clock: &Clock,
    ) -> Result<Self, TlsConfigError> {
        if !(1..=Self::MAX_DAYS).contains(&days) {
            return Err(TlsConfigError::Days(days));
        }
        let now = clock.now();
        let not_after = now + u64::from(days) * DAY;

        let mut params = CertificateParams::default();
        for name in Self::LOCAL_NAMES.iter().chain(more_names) {
            params.subject_alt_names.extend(alt_names(name)?);
        }
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Weftline development");
        params.not_before = moment(now.saturating_sub(CLOCK_SKEW))?;
        params.not_after = moment(not_after)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(tls)?;
        let certificate = params.self_signed(&key).map_err(tls)?;
        Ok(Self {
            certificate,
            key,
            not_after,
        })
    }

    /// SHA-256 of the certificate, for `serverCertificateHashes`; the functions of [`hash`] write
    /// it.
    pub fn sha256(&self) -> [u8; 32] {
        hash::sha256(self.cert_der())
    }

    /// The certificate as DER.
    pub fn cert_der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// The certificate as PEM.
    pub fn cert_pem(&self) -> String {
        self.certificate.pem()
    }

    /// The private key as PEM (PKCS #8). Keep it from others.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The last second the certificate is valid, since 1970.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// For a server to use.
    pub fn identity(&self) -> Result<Identity, TlsConfigError> {
        Identity::from_der(
            vec![self.cert_der().to_vec()],
            self.key.serialized_der().to_vec(),
        )
    }
}

impl fmt::Debug for DevCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DevCertificate({})", hash::hex(&self.sha256()))
    }
}

fn alt_names(name: &str) -> Result<Vec<rcgen::SanType>, TlsConfigError> {
    let refused = |reason: String| TlsConfigError::Name {
        name: name.to_owned(),
        reason,
    };
    if rustls::pki_types::ServerName::try_from(name).is_err() {
        return Err(refused("it is neither a DNS name nor an IP address".into()));
    }
    let params = CertificateParams::new(vec![name.to_owned()]);
    let params = params.map_err(|error| refused(error.to_string()))?;
    Ok(params.subject_alt_names)
}

fn moment(unix_seconds: u64) -> Result<OffsetDateTime, TlsConfigError> {
    i64::try_from(unix_seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or_else(|| TlsConfigError::Tls("the clock is past the end of dates".into()))
}

fn tls(error: rcgen::Error) -> TlsConfigError {
    TlsConfigError::Tls(error.to_string())
}

const DAY: u64 = 24 * 60 * 60;

/// How far in the past a certificate begins, for peers whose clocks are slow. With the longest
/// life it stays within the 14 days that certificate hashes allow.
const CLOCK_SKEW: u64 = 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x509::{Certificate, KeyKind};

    const NOW: u64 = 1_790_000_000;

    #[test]
    fn fits_the_rules_of_certificate_hashes() {
        for days in 1..=13 {
            let made = DevCertificate::generate_at(&["a.test"], days, &Clock::fixed(NOW)).unwrap();
            let parsed = Certificate::parse(made.cert_der()).unwrap();
            assert!(parsed.is_v3);
            assert_eq!(parsed.key, KeyKind::EcdsaP256);
            assert_eq!(parsed.not_after as u64, made.not_after());
            assert!((parsed.not_before as u64) < NOW && NOW < made.not_after());
            assert!(parsed.not_after - parsed.not_before <= 14 * DAY as i64);
        }
    }

    #[test]
    fn refuses_what_cannot_work() {
        for days in [0, 14] {
            let error = DevCertificate::generate(&[], days).unwrap_err();
            assert!(matches!(error, TlsConfigError::Days(_)), "{error}");
        }
        let error = DevCertificate::generate(&["no name"], 13).unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"no name\" cannot stand in a certificate: it is neither a DNS name nor an IP address"
        );
    }

    #[test]
    fn pem_round_trip() {
        let made = DevCertificate::generate(&[], 13).unwrap();
        let read = Identity::from_pem(made.cert_pem().as_bytes(), made.key_pem().as_bytes());
        assert_eq!(read.unwrap().sha256(), made.sha256());
        assert_eq!(made.identity().unwrap().sha256(), made.sha256());
    }
}
