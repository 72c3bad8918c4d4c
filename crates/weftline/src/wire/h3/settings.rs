//! The payload of a SETTINGS frame (RFC 9114, section 7.2.4).

use alloc::vec::Vec;

use super::{Varints, error_code};
use crate::wire::Reader;

/// Space for QPACK's dynamic table (RFC 9204, section 5); 0 when absent.
pub const QPACK_MAX_TABLE_CAPACITY: u64 = 0x01;
/// The largest field section its sender wants (RFC 9114, section 4.2.2); no bound when absent.
pub const MAX_FIELD_SECTION_SIZE: u64 = 0x06;
/// Streams that may wait for QPACK's dynamic table (RFC 9204, section 5); 0 when absent.
pub const QPACK_BLOCKED_STREAMS: u64 = 0x07;
/// Extended CONNECT is understood (RFC 9220): 0 or 1; 0 when absent.
pub const ENABLE_CONNECT_PROTOCOL: u64 = 0x08;
/// HTTP datagrams are understood (RFC 9297, section 2.1.1): 0 or 1; 0 when absent.
pub const H3_DATAGRAM: u64 = 0x33;

/// Settings of one end, in the order they came. Unknown ones are kept: they may be an extension's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<(u64, u64)>);

impl Settings {
    /// No settings: every one has its default.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Reads the payload of a SETTINGS frame of at most `max` settings. Time grows with the square
    /// of their number, which `max` bounds.
    pub fn parse(payload: &[u8], max: usize) -> Result<Self, SettingsError> {
        let mut r = Reader::new(payload);
        let mut settings = Self::new();
        while !r.is_empty() {
            let id = r.varint().map_err(|_| SettingsError::Truncated)?;
            let value = r.varint().map_err(|_| SettingsError::Truncated)?;
            if settings.0.len() >= max {
                return Err(SettingsError::TooMany);
            }
            if is_http2_only(id) {
                return Err(SettingsError::Reserved);
            }
            if settings.get(id).is_some() {
                return Err(SettingsError::Duplicate);
            }
            if matches!(id, ENABLE_CONNECT_PROTOCOL | H3_DATAGRAM) && value > 1 {
                return Err(SettingsError::NotBoolean);
            }
            settings.0.push((id, value));
        }
        Ok(settings)
    }

    /// The value of `id`, if it was sent.
    pub fn get(&self, id: u64) -> Option<u64> {
        self.iter().find(|&(i, _)| i == id).map(|(_, value)| value)
    }

    /// Sets `id` to `value`, in the place it has or else behind the others.
    pub fn set(&mut self, id: u64, value: u64) {
        match self.0.iter_mut().find(|(i, _)| *i == id) {
            Some((_, old)) => *old = value,
            None => self.0.push((id, value)),
        }
    }

    /// Every setting and its value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().copied()
    }

    /// Appends the payload of a SETTINGS frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for (id, value) in self.iter() {
            out.extend_from_slice(&Varints::new([id, value]));
        }
    }

    /// Bytes that [`encode`](Self::encode) appends.
    pub fn encoded_len(&self) -> usize {
        self.iter()
            .map(|(id, value)| Varints::new([id, value]).len())
            .sum()
    }
}

/// The peer's SETTINGS are not legal. The connection closes with [`code`](Self::code).
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum SettingsError {
    /// The payload ends inside a setting.
    Truncated,
    /// A setting comes twice.
    Duplicate,
    /// A setting of HTTP/2 that HTTP/3 forbids (RFC 9114, section 7.2.4.1).
    Reserved,
    /// A setting that is 0 or 1 has another value.
    NotBoolean,
    /// There are more settings than allowed.
    TooMany,
}

impl SettingsError {
    /// The error code for the connection.
    pub const fn code(self) -> u64 {
        match self {
            Self::Truncated => error_code::H3_FRAME_ERROR,
            Self::Duplicate | Self::Reserved | Self::NotBoolean => error_code::H3_SETTINGS_ERROR,
            Self::TooMany => error_code::H3_EXCESSIVE_LOAD,
        }
    }

    /// What is wrong, in words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "SETTINGS end inside a setting",
            Self::Duplicate => "a setting comes twice",
            Self::Reserved => "a setting of HTTP/2",
            Self::NotBoolean => "a setting that must be 0 or 1 is neither",
            Self::TooMany => "too many settings",
        }
    }
}

/// RFC 9114, sections 7.2.4.1 and 11.2.2.
const fn is_http2_only(id: u64) -> bool {
    matches!(id, 0x00 | 0x02 | 0x03 | 0x04 | 0x05)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::h3::is_grease;

    fn parse(payload: &[u8]) -> Result<Vec<(u64, u64)>, SettingsError> {
        Settings::parse(payload, 64).map(|settings| settings.iter().collect())
    }

    #[test]
    fn firefox() {
        // As captured from Firefox 152. Ids past 0x33 are extensions'.
        let payload =
            b"\x01\x80\x01\0\0\x07\x14\xab\x60\x37\x42\x01\x80\xff\xd2\x77\x01\x33\x01\x08\x01";
        let settings = Settings::parse(payload, 6).unwrap();
        let expected = [
            (QPACK_MAX_TABLE_CAPACITY, 65536),
            (QPACK_BLOCKED_STREAMS, 20),
            (0x2b60_3742, 1),
            (0xff_d277, 1),
            (H3_DATAGRAM, 1),
            (ENABLE_CONNECT_PROTOCOL, 1),
        ];
        assert!(settings.iter().eq(expected));
        assert_eq!(settings.get(H3_DATAGRAM), Some(1));
        assert_eq!(settings.get(MAX_FIELD_SECTION_SIZE), None);
        let mut out = Vec::new();
        settings.encode(&mut out);
        assert_eq!(out, payload);
        assert_eq!(settings.encoded_len(), payload.len());
        assert_eq!(Settings::parse(payload, 5), Err(SettingsError::TooMany));

        // Every boundary between two settings is a legal end, no other is.
        let ends = [0, 5, 7, 12, 17, 19];
        for end in 0..payload.len() {
            match parse(&payload[..end]) {
                Ok(some) => assert_eq!(
                    some,
                    expected[..ends.iter().position(|&e| e == end).unwrap()]
                ),
                Err(error) => {
                    assert_eq!(error, SettingsError::Truncated);
                    assert!(!ends.contains(&end));
                }
            }
        }
    }

    #[test]
    fn an_id_of_eight_bytes() {
        let mut settings = Settings::new();
        settings.set(ENABLE_CONNECT_PROTOCOL, 0);
        settings.set(0xc671_706a, 1);
        settings.set(ENABLE_CONNECT_PROTOCOL, 1);
        let mut out = Vec::new();
        settings.encode(&mut out);
        assert_eq!(out, b"\x08\x01\xc0\0\0\0\xc6\x71\x70\x6a\x01");
        assert_eq!(Settings::parse(&out, 2), Ok(settings));
    }

    #[test]
    fn illegal_settings() {
        for id in [0, 2, 3, 4, 5] {
            assert_eq!(parse(&[id, 0]), Err(SettingsError::Reserved));
        }
        for id in [8, 0x33] {
            assert_eq!(parse(&[id, 2]), Err(SettingsError::NotBoolean));
            assert_eq!(parse(&[id, 0]), Ok([(id.into(), 0)].into()));
        }
        assert_eq!(parse(&[6, 1, 6, 1]), Err(SettingsError::Duplicate));
        // Reserved identifiers may not come twice either: only their values mean nothing.
        assert_eq!(
            parse(&[0x21, 1, 0x40, 0x21, 2]),
            Err(SettingsError::Duplicate)
        );
        assert!(is_grease(0x21));
        assert_eq!(parse(&[]), Ok([].into()));
    }

    #[test]
    fn codes() {
        assert_eq!(SettingsError::Truncated.code(), 0x106);
        assert_eq!(SettingsError::Duplicate.code(), 0x109);
        assert_eq!(SettingsError::Reserved.code(), 0x109);
        assert_eq!(SettingsError::NotBoolean.code(), 0x109);
        assert_eq!(SettingsError::TooMany.code(), 0x107);
    }
}
