//! The application's 32-bit stream codes, carried among HTTP/3's (draft-16, section 4.4).

use super::dialect::APPLICATION_CODES;

/// The code on the wire of application code `n`. Every 31st point is reserved by HTTP/3 (RFC 9114,
/// section 8.1), and stepped over.
pub(super) const fn to_wire(n: u32) -> u64 {
    let n = n as u64;
    *APPLICATION_CODES.start() + n + n / 0x1e
}

/// The application code that `wire` carries; `None` when it is a reserved point or outside the
/// range, and so no application's.
pub(super) fn from_wire(wire: u64) -> Option<u32> {
    if !APPLICATION_CODES.contains(&wire) || (wire - 0x21).is_multiple_of(0x1f) {
        return None;
    }
    let shifted = wire - APPLICATION_CODES.start();
    u32::try_from(shifted - shifted / 0x1f).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Computed from the formula in the draft.
    const VECTORS: [(u32, u64); 14] = [
        (0x0, 0x52e4_a40f_a8db),
        (0x1, 0x52e4_a40f_a8dc),
        (0x1c, 0x52e4_a40f_a8f7),
        (0x1d, 0x52e4_a40f_a8f8),
        (0x1e, 0x52e4_a40f_a8fa),
        (0x1f, 0x52e4_a40f_a8fb),
        (0x3b, 0x52e4_a40f_a917),
        (0x3c, 0x52e4_a40f_a919),
        (0xff, 0x52e4_a40f_a9e2),
        (0x100, 0x52e4_a40f_a9e3),
        (0x7fff_ffff, 0x52e5_2853_ed1e),
        (0x8000_0000, 0x52e5_2853_ed1f),
        (0xffff_fffe, 0x52e5_ac98_3161),
        (0xffff_ffff, 0x52e5_ac98_3162),
    ];

    #[test]
    fn vectors() {
        for (n, wire) in VECTORS {
            assert_eq!(to_wire(n), wire);
            assert_eq!(from_wire(wire), Some(n));
        }
    }

    #[test]
    fn no_applications() {
        let reserved = [
            0x52e4_a40f_a8f9,
            0x52e4_a40f_a918,
            0x52e4_a40f_a937,
            0x52e4_a40f_a956,
        ];
        let outside = [0, 0x10f, 0x20, 0x52e4_a40f_a8da, 0x52e5_ac98_3163, u64::MAX];
        for wire in reserved.into_iter().chain(outside) {
            assert_eq!(from_wire(wire), None, "{wire:#x}");
        }
    }

    proptest! {
        #[test]
        fn inverse(n: u32) {
            prop_assert_eq!(from_wire(to_wire(n)), Some(n));
        }

        #[test]
        fn what_maps_back_came_from_there(offset in 0..=0x1_0888_8887_u64) {
            let wire = APPLICATION_CODES.start() + offset;
            match from_wire(wire) {
                Some(n) => prop_assert_eq!(to_wire(n), wire),
                None => prop_assert_eq!((wire - 0x21) % 0x1f, 0),
            }
        }
    }
}
