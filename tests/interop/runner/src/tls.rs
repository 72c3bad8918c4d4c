//! What the checks need of TLS handshake messages (RFC 8446, section 4).

use weftline::wire::{Reader, Side as Sender, Truncated, params::TransportParameters};

use crate::capture::Side;

/// What one side said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Messages {
    /// Of the ClientHello.
    pub(crate) client_random: Vec<u8>,
    pub(crate) offered_suites: Vec<u16>,
    /// Of the ServerHello.
    pub(crate) suite: Option<u16>,
    /// The ServerHello resumes a session.
    pub(crate) is_resumed: bool,
    pub(crate) has_certificate: bool,
    pub(crate) parameters: Option<TransportParameters>,
}

impl Messages {
    /// Reads the messages that have come in full, at one encryption level.
    pub(crate) fn read(&mut self, crypto: &[u8], sender: Side) {
        let mut r = Reader::new(crypto);
        while let Ok((kind, body)) = message(&mut r) {
            // A message that cannot be read is not looked at; the endpoints will complain.
            let _ = self.message(kind, body, sender);
        }
    }

    fn message(&mut self, kind: u8, body: &[u8], sender: Side) -> Result<(), Truncated> {
        let mut r = Reader::new(body);
        match kind {
            CLIENT_HELLO => {
                r.u16()?;
                self.client_random = r.bytes(32)?.to_vec();
                short_vector(&mut r)?;
                let suites = vector(&mut r)?.chunks_exact(2);
                self.offered_suites = suites
                    .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                    .collect();
                short_vector(&mut r)?;
                self.extensions(vector(&mut r)?, sender)
            }
            SERVER_HELLO => {
                r.u16()?;
                r.bytes(32)?;
                short_vector(&mut r)?;
                self.suite = Some(r.u16()?);
                r.u8()?;
                let mut extensions = Reader::new(vector(&mut r)?);
                while !extensions.is_empty() {
                    self.is_resumed |= extensions.u16()? == PRE_SHARED_KEY;
                    vector(&mut extensions)?;
                }
                Ok(())
            }
            ENCRYPTED_EXTENSIONS => self.extensions(vector(&mut r)?, sender),
            CERTIFICATE => {
                self.has_certificate = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn extensions(&mut self, list: &[u8], sender: Side) -> Result<(), Truncated> {
        let sender = match sender {
            Side::Client => Sender::Client,
            Side::Server => Sender::Server,
        };
        let mut r = Reader::new(list);
        while !r.is_empty() {
            let kind = r.u16()?;
            let value = vector(&mut r)?;
            if kind == TRANSPORT_PARAMETERS {
                self.parameters = TransportParameters::parse(value, sender).ok();
            }
        }
        Ok(())
    }
}

fn message<'a>(r: &mut Reader<'a>) -> Result<(u8, &'a [u8]), Truncated> {
    let kind = r.u8()?;
    let [a, b, c] = r.array()?;
    let len = u32::from_be_bytes([0, a, b, c]);
    Ok((kind, r.bytes(len as usize)?))
}

fn vector<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Truncated> {
    let len = r.u16()?;
    r.bytes(usize::from(len))
}

fn short_vector<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Truncated> {
    let len = r.u8()?;
    r.bytes(usize::from(len))
}

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const ENCRYPTED_EXTENSIONS: u8 = 8;
const CERTIFICATE: u8 = 11;
const PRE_SHARED_KEY: u16 = 41;
const TRANSPORT_PARAMETERS: u16 = 57;
