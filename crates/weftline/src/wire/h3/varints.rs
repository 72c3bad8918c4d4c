//! Short runs of varints, encoded without an allocation.

use core::{fmt, ops::Deref};

use crate::wire::varint;

/// Up to three variable-length integers encoded one after another, on the stack: the header of a
/// frame, capsule, stream or datagram.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Varints {
    bytes: [u8; 24],
    len: u8,
}

impl Varints {
    /// Encodes `values`, each as short as it goes. A value past [`varint::MAX`] is a bug of the
    /// caller and is written as that maximum.
    pub fn new<const N: usize>(values: [u64; N]) -> Self {
        const { assert!(N <= 3) }
        let mut bytes = [0; 24];
        let mut at = 0;
        for value in values {
            let end = at + varint::len(value);
            if let Some(room) = bytes.get_mut(at..end) {
                varint::encode(value, room);
            }
            at = end;
        }
        let len = at as u8;
        Self { bytes, len }
    }
}

impl Deref for Varints {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Varints {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Varints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_in_a_row() {
        assert_eq!(&*Varints::new([0x41, 4]), [0x40, 0x41, 4]);
        assert_eq!(&*Varints::new([0x54, 65536]), [0x40, 0x54, 0x80, 1, 0, 0]);
        assert_eq!(Varints::new([varint::MAX; 3]).len(), 24);
        assert_eq!(&*Varints::new([]), []);
    }
}
