//! The few fields of a TLS ClientHello (RFC 8446, section 4.1.2) that are of use before TLS sees it:
//! whom it is for, and the transport parameters, which tell of versions.

use super::{Reader, Truncated};

/// A ClientHello, as far as it is looked at here. TLS has yet to check it, and nothing in it is
/// authentic.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// The name the client asks for (RFC 6066, section 3).
    pub server_name: Option<&'a str>,
    /// The list of application protocols, in its encoding (RFC 7301, section 3.1).
    alpn: &'a [u8],
    /// The QUIC transport parameters (RFC 9001, section 8.2).
    pub transport_parameters: Option<&'a [u8]>,
}

/// Why there is no [`ClientHello`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// It goes on past these bytes.
    #[error("the ClientHello is not complete")]
    Incomplete,
    /// It is none, or malformed.
    #[error("not a ClientHello")]
    Malformed,
}

impl<'a> ClientHello<'a> {
    /// Reads the message at the beginning of a client's CRYPTO data.
    pub fn parse(data: &'a [u8]) -> Result<Self, HelloError> {
        let mut r = Reader::new(data);
        match r.u8() {
            Ok(CLIENT_HELLO) => {}
            Ok(_) => return Err(HelloError::Malformed),
            Err(Truncated) => return Err(HelloError::Incomplete),
        }
        let Ok([a, b, c]) = r.array() else {
            return Err(HelloError::Incomplete);
        };
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        if len > MAX_LEN {
            return Err(HelloError::Malformed);
        }
        let body = r.bytes(len).map_err(|Truncated| HelloError::Incomplete)?;
        Self::parse_body(&mut Reader::new(body)).map_err(|Truncated| HelloError::Malformed)
    }

    /// The application protocols that the client offers, its favourite first.
    pub fn alpn(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut list = Reader::new(self.alpn);
        core::iter::from_fn(move || prefixed_8(&mut list).ok())
    }

    fn parse_body(r: &mut Reader<'a>) -> Result<Self, Truncated> {
        // Version and random.
        r.bytes(2 + 32)?;
        // Session ID, cipher suites, compression methods.
        prefixed_8(r)?;
        prefixed_16(r)?;
        prefixed_8(r)?;
        let mut hello = Self::default();
        let mut extensions = Reader::new(prefixed_16(r)?);
        while !extensions.is_empty() {
            let id = extensions.u16()?;
            let value = prefixed_16(&mut extensions)?;
            match id {
                SERVER_NAME => hello.server_name = server_name(value)?,
                ALPN => hello.alpn = prefixed_16(&mut Reader::new(value))?,
                TRANSPORT_PARAMETERS => hello.transport_parameters = Some(value),
                _ => {}
            }
        }
        Ok(hello)
    }
}

/// The host name in a list of names.
fn server_name(value: &[u8]) -> Result<Option<&str>, Truncated> {
    let mut list = Reader::new(prefixed_16(&mut Reader::new(value))?);
    while !list.is_empty() {
        let kind = list.u8()?;
        let name = prefixed_16(&mut list)?;
        if kind == HOST_NAME {
            return Ok(core::str::from_utf8(name).ok());
        }
    }
    Ok(None)
}

fn prefixed_8<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Truncated> {
    let len = r.u8()?;
    r.bytes(len.into())
}

fn prefixed_16<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Truncated> {
    let len = r.u16()?;
    r.bytes(len.into())
}

const CLIENT_HELLO: u8 = 1;
const HOST_NAME: u8 = 0;

// Extensions.
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const TRANSPORT_PARAMETERS: u16 = 57;

/// Longer ones do not fit the CRYPTO data that is held of a client.
const MAX_LEN: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn put_16(out: &mut Vec<u8>, value: &[u8]) {
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(value);
    }

    fn message(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = std::vec![3, 3];
        body.extend([7; 32]);
        body.extend([4, 1, 2, 3, 4]);
        put_16(&mut body, &[0x13, 0x01]);
        body.extend([1, 0]);
        let mut list = Vec::new();
        for (id, value) in extensions {
            list.extend(id.to_be_bytes());
            put_16(&mut list, value);
        }
        put_16(&mut body, &list);
        let mut message = std::vec![1, 0];
        put_16(&mut message, &body);
        message
    }

    const NAME: &[u8] = b"\0\x0e\0\0\x0bexample.org";
    const PROTOCOLS: &[u8] = b"\0\x09\x02h3\x05h3-29";

    #[test]
    fn what_matters_is_found() {
        let hello = message(&[
            (0x0a0a, b""),
            (0, NAME),
            (16, PROTOCOLS),
            (57, b"params"),
            (21, &[0; 300]),
        ]);
        let parsed = ClientHello::parse(&hello).unwrap();
        assert_eq!(parsed.server_name, Some("example.org"));
        assert_eq!(parsed.alpn().collect::<Vec<_>>(), [&b"h3"[..], b"h3-29"]);
        assert_eq!(parsed.transport_parameters, Some(&b"params"[..]));
        let mut longer = hello.clone();
        longer.push(9);
        assert_eq!(ClientHello::parse(&longer), Ok(parsed));
        for end in 0..hello.len() {
            let cut = ClientHello::parse(&hello[..end]);
            assert_eq!(cut, Err(HelloError::Incomplete), "{end}");
        }
    }

    #[test]
    fn nothing_need_be_there() {
        let parsed = ClientHello::parse(&message(&[])).map(|hello| hello.alpn().count());
        assert_eq!(parsed, Ok(0));
    }

    #[test]
    fn malformed() {
        let hello = message(&[(0, NAME), (16, PROTOCOLS)]);
        let mut other = hello.clone();
        other[0] = 2;
        assert_eq!(ClientHello::parse(&other), Err(HelloError::Malformed));
        let huge = [1, 0xff, 0xff, 0xff];
        assert_eq!(ClientHello::parse(&huge), Err(HelloError::Malformed));
        // The body cut at any place, and its length with it.
        for end in 4..hello.len() {
            let mut cut = hello[..end].to_vec();
            let len = (end - 4) as u16;
            cut[2..4].copy_from_slice(&len.to_be_bytes());
            assert_eq!(
                ClientHello::parse(&cut),
                Err(HelloError::Malformed),
                "{end}"
            );
        }
        for (id, value) in [(0, &b"\0\x05\0\0\x09a"[..]), (16, b"\0\x09\x02h3")] {
            let hello = message(&[(id, value)]);
            let parsed = ClientHello::parse(&hello);
            assert_eq!(parsed, Err(HelloError::Malformed));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_bytes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(hello) = ClientHello::parse(&data) {
                hello.alpn().for_each(drop);
            }
        }

        #[test]
        fn a_changed_byte(at in 0_usize..120, to: u8) {
            let mut hello = message(&[(0, NAME), (16, PROTOCOLS), (57, b"params")]);
            if let Some(byte) = hello.get_mut(at) {
                *byte = to;
            }
            if let Ok(hello) = ClientHello::parse(&hello) {
                hello.alpn().for_each(drop);
            }
        }
    }
}
