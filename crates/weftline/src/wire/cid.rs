//! Connection IDs (RFC 9000, section 5.1).

use core::{fmt, ops::Deref};

/// The longest connection ID of QUIC version 1.
pub const MAX_CID_LEN: usize = 20;

/// A connection ID of 0 to 20 bytes.
#[derive(Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid {
    bytes: [u8; MAX_CID_LEN],
    len: u8,
}

impl Cid {
    /// The zero-length connection ID.
    pub const EMPTY: Self = Self {
        bytes: [0; MAX_CID_LEN],
        len: 0,
    };

    /// The ID with these bytes; `None` when there are more than [`MAX_CID_LEN`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut cid = Self::EMPTY;
        cid.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        cid.len = bytes.len() as u8;
        Some(cid)
    }
}

impl Deref for Cid {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

// Not `Borrow<[u8]>`: the derived order compares padding first.
impl AsRef<[u8]> for Cid {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The secret that proves a stateless reset (RFC 9000, section 10.3).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResetToken(pub [u8; 16]);

impl fmt::Debug for ResetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(Cid::new(&[7; 20]).map(|cid| cid.len()), Some(20));
        assert_eq!(Cid::new(&[7; 21]), None);
        assert_eq!(Cid::new(&[]), Some(Cid::EMPTY));
        assert_eq!(Cid::new(&[0xab, 1]).unwrap().to_string(), "ab01");
    }
}
