//! The few fields of a certificate that rustls does not show (RFC 5280).

use time::{Date, Month};

/// What certificate hashes and the check for expiry look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// X.509 version 3.
    pub(crate) is_v3: bool,
    /// Start of the validity, seconds since 1970.
    pub(crate) not_before: i64,
    /// Its end: the last second that is still valid.
    pub(crate) not_after: i64,
    pub(crate) key: KeyKind,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    EcdsaP256,
    /// ECDSA over another curve.
    Ecdsa,
    Rsa,
    Other,
}

impl Certificate {
    /// Reads the fields; `None` when the encoding is broken before them. Signatures and names are
    /// not looked at.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let mut outer = Der(der);
        let mut certificate = Der(outer.take(SEQUENCE)?);
        let mut tbs = Der(certificate.take(SEQUENCE)?);
        let is_v3 = match tbs.take(VERSION) {
            Some(explicit) => Der(explicit).take(INTEGER)? == [2],
            None => false,
        };
        tbs.take(INTEGER)?; // serial number
        tbs.take(SEQUENCE)?; // signature algorithm
        tbs.take(SEQUENCE)?; // issuer
        let mut validity = Der(tbs.take(SEQUENCE)?);
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        tbs.take(SEQUENCE)?; // subject
        let mut key_info = Der(tbs.take(SEQUENCE)?);
        let mut algorithm = Der(key_info.take(SEQUENCE)?);
        Some(Self {
            is_v3,
            not_before,
            not_after,
            key: match algorithm.take(OBJECT_IDENTIFIER)? {
                EC_PUBLIC_KEY if algorithm.take(OBJECT_IDENTIFIER) == Some(P256) => {
                    KeyKind::EcdsaP256
                }
                EC_PUBLIC_KEY => KeyKind::Ecdsa,
                RSA_ENCRYPTION | RSA_PSS => KeyKind::Rsa,
                _ => KeyKind::Other,
            },
        })
    }
}

/// A cursor over DER elements.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Takes the content of the next element if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        if found != tag {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // As many bytes of length follow; a certificate needs no more than three.
            0x81..=0x83 => {
                let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let len = len
                    .iter()
                    .fold(0, |len, byte| len << 8 | usize::from(*byte));
                (len, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(content)
    }

    /// Takes a UTCTime (two digits of the year) or a GeneralizedTime (four), both of which end
    /// with seconds and `Z` in certificates (RFC 5280, section 4.1.2.5).
    fn time(&mut self) -> Option<i64> {
        let (year_digits, text) = match self.take(UTC_TIME) {
            Some(text) => (2, text),
            None => (4, self.take(GENERALIZED_TIME)?),
        };
        let (year, rest) = text.split_at_checked(year_digits)?;
        let year = match (number(year)?, year_digits) {
            (year @ 50.., 2) => 1900 + year,
            (year, 2) => 2000 + year,
            (year, _) => year,
        };
        let (fields, b"Z") = rest.split_at_checked(10)? else {
            return None;
        };
        let mut fields = fields.chunks(2).map(|field| number(field).map(|n| n as u8));
        let mut field = || fields.next().flatten();
        let (month, day) = (Month::try_from(field()?).ok()?, field()?);
        let (hour, minute, second) = (field()?, field()?, field()?);
        let date = Date::from_calendar_date(year, month, day).ok()?;
        let at = date.with_hms(hour, minute, second).ok()?;
        Some(at.assume_utc().unix_timestamp())
    }
}

/// At most four decimal digits.
fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i32::from(digit - b'0'))
    })
}

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`, the first field of a certificate that is not version 1.
const VERSION: u8 = 0xa0;

/// 1.2.840.10045.2.1
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.2.840.113549.1.1.1
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.113549.1.1.10
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use time::OffsetDateTime;

    use super::*;

    fn made(algorithm: &'static rcgen::SignatureAlgorithm, from: i64, to: i64) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_before = OffsetDateTime::from_unix_timestamp(from).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(to).unwrap();
        let key = KeyPair::generate_for(algorithm).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn reads_what_rcgen_writes() {
        let kinds = [
            (&rcgen::PKCS_ECDSA_P256_SHA256, KeyKind::EcdsaP256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, KeyKind::Ecdsa),
            (&rcgen::PKCS_ED25519, KeyKind::Other),
        ];
        // UTCTime up to 2049, GeneralizedTime after it; leap days and centuries.
        let times = [
            0,
            951_827_696,
            1_790_942_399,
            2_524_607_999,
            2_524_608_000,
            4_107_542_400,
        ];
        for (algorithm, key) in kinds {
            for pair in times.windows(2) {
                let parsed = Certificate::parse(&made(algorithm, pair[0], pair[1]));
                let expected = Certificate {
                    is_v3: true,
                    not_before: pair[0],
                    not_after: pair[1],
                    key,
                };
                assert_eq!(parsed, Some(expected));
            }
        }
    }

    #[test]
    fn truncated_at_every_length() {
        let der = made(&rcgen::PKCS_ECDSA_P256_SHA256, 0, 1_000_000);
        for end in 0..der.len() {
            assert_eq!(Certificate::parse(&der[..end]), None);
        }
    }

    #[test]
    fn any_changed_byte_is_safe() {
        let der = made(&rcgen::PKCS_ECDSA_P256_SHA256, 0, 1_000_000);
        for at in 0..der.len() {
            for value in [0x00, 0x7f, 0x80, 0x83, 0x84, 0xff, der[at] ^ 1] {
                let mut changed = der.clone();
                changed[at] = value;
                let _ = Certificate::parse(&changed);
            }
        }
    }

    #[test]
    fn times() {
        let time = |tag, text: &str| {
            let mut der = vec![tag, text.len() as u8];
            der.extend_from_slice(text.as_bytes());
            Der(&der).time()
        };
        assert_eq!(time(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(UTC_TIME, "500101000000Z"), Some(-631_152_000));
        assert_eq!(
            time(GENERALIZED_TIME, "20500101000000Z"),
            Some(2_524_608_000)
        );
        let broken = [
            "",
            "Z",
            "491231235959",
            "4912312359Z",
            "491331235959Z",
            "491232235959Z",
            "491231245959Z",
            "49123123595xZ",
            "491231235959Z0",
            "490229000000Z",
            "-90228000000Z",
        ];
        for text in broken {
            assert_eq!(time(UTC_TIME, text), None, "{text}");
        }
    }
}
