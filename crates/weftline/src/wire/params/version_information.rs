//! The version_information parameter (RFC 9368, section 3).

use alloc::vec::Vec;

use super::ParamsError;
use crate::wire::Side;

/// The version in use and those its sender would use (RFC 9368, section 3).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct VersionInformation {
    /// The version of the packets it came in.
    pub chosen: u32,
    available: [u32; MAX_VERSIONS],
    available_len: usize,
}

impl VersionInformation {
    /// This version in use, and these others. Of more than [`MAX_VERSIONS`] only the first are kept,
    /// and `chosen` if it is among the rest.
    pub fn new(chosen: u32, available: impl IntoIterator<Item = u32>) -> Self {
        let mut information = Self {
            chosen,
            available: [0; MAX_VERSIONS],
            available_len: 0,
        };
        for (at, version) in available.into_iter().enumerate() {
            let is_kept = information.available().contains(&chosen);
            let at = match at {
                0..MAX_VERSIONS => at,
                // A client whose chosen version is not available is at fault; see `parse`.
                _ if version == chosen && !is_kept => MAX_VERSIONS - 1,
                _ => continue,
            };
            if let Some(slot) = information.available.get_mut(at) {
                *slot = version;
                information.available_len = at + 1;
            }
        }
        information
    }

    /// The versions its sender would use: a client's in order of preference, a server's in any.
    pub fn available(&self) -> &[u32] {
        self.available.get(..self.available_len).unwrap_or_default()
    }

    /// Checks what RFC 9368, section 4 asks for.
    pub(super) fn parse(value: &[u8], sender: Side) -> Result<Self, ParamsError> {
        let (versions, rest) = value.as_chunks::<4>();
        let mut versions = versions.iter().map(|bytes| u32::from_be_bytes(*bytes));
        let (Some(chosen), []) = (versions.next(), rest) else {
            return Err(ParamsError("version_information is malformed"));
        };
        if chosen == 0 || versions.clone().any(|version| version == 0) {
            return Err(ParamsError("version_information holds version 0"));
        }
        if sender == Side::Client && !versions.clone().any(|version| version == chosen) {
            return Err(ParamsError("a client's chosen version is not available"));
        }
        Ok(Self::new(chosen, versions))
    }

    /// Appends the value.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.chosen.to_be_bytes());
        for version in self.available() {
            out.extend(version.to_be_bytes());
        }
    }
}

/// How many available versions of a peer's are kept; the first ones.
pub const MAX_VERSIONS: usize = 16;
