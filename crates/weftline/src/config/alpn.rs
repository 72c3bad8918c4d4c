//! Which application protocols connections may speak.

use alloc::vec::Vec;

use crate::error::ConfigError;

/// HTTP/3, protocols of the application's own, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Protocols {
    pub(crate) http3: bool,
    /// Names of the others, best first.
    pub(crate) raw: Vec<Vec<u8>>,
}

impl Default for Protocols {
    fn default() -> Self {
        Self {
            http3: true,
            raw: Vec::new(),
        }
    }
}

impl Protocols {
    /// All names, as TLS negotiates them.
    pub(crate) fn names(&self) -> Vec<&[u8]> {
        let http3 = self.http3.then_some(HTTP3);
        let raw = self.raw.iter().map(Vec::as_slice);
        http3.into_iter().chain(raw).collect()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.names().is_empty() {
            return Err(ConfigError::Conflict(
                "no application protocol is left to speak",
            ));
        }
        for name in &self.raw {
            if name.is_empty() || name.len() > 255 {
                return Err(ConfigError::Conflict(
                    "the name of an application protocol has 1 to 255 bytes",
                ));
            }
            if name == HTTP3 {
                return Err(ConfigError::Conflict("h3 is not raw: it is HTTP/3"));
            }
        }
        Ok(())
    }
}

/// RFC 9114, section 3.1.
pub(crate) const HTTP3: &[u8] = b"h3";
