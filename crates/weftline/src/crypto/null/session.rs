//! The handshake: the flights of TLS 1.3, with nothing to protect them.
//!
//! ```text
//! client                                server
//! ClientHello          Initial  ------>
//!                      <------ Initial  ServerHello
//!                    <------ Handshake  Extensions, Certificate, Finished
//! Finished           Handshake ------>
//!                        <------ 1-RTT  Ticket (if asked for)
//! ```
//! There is no Certificate when a session is resumed.
//!
//! Keys follow from everything said before them, and each Finished repeats a checksum of it.

use alloc::{borrow::ToOwned, boxed::Box, collections::VecDeque, string::String, vec, vec::Vec};
use core::mem;

use bytes::Bytes;

pub(super) use super::ticket::Tickets;
use super::{
    EARLY, EXPORTER, KeyOptions, ONE_RTT, TRANSCRIPT,
    keys::{NullNextKeys, Secrets},
    message::{self, Extensions, MAX_MESSAGE, kind},
    mix::Mix,
    ticket::NullTicket,
};
use crate::{
    crypto::{
        CryptoError, DirectionalKeys, KeyChange, Keys, Level, Session, TAG_LEN, Ticket, TlsError,
        Version,
    },
    wire::Side,
};

/// What a client opens with.
pub(super) struct ClientHello<'a> {
    pub(super) server_name: &'a str,
    pub(super) alpn: &'a [&'a [u8]],
    pub(super) transport_parameters: &'a [u8],
    pub(super) padding: usize,
    pub(super) ticket: Option<&'a [u8]>,
    pub(super) early_data: bool,
}

/// What a server answers with.
pub(super) struct ServerSettings {
    /// In order of preference.
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) transport_parameters: Vec<u8>,
    pub(super) certificate_bytes: usize,
    pub(super) tickets: Tickets,
}

/// One handshake of either side.
pub(super) struct NullSession {
    side: Side,
    limits: KeyOptions,
    state: State,
    /// The beginning of a message, at the level of `state`.
    inbox: Vec<u8>,
    /// What `write` will give.
    outbox: VecDeque<Step>,
    transcript: Mix,
    /// A client's hello, with which the transcript begins.
    hello: Vec<u8>,
    peer_transport_parameters: Option<Vec<u8>>,
    alpn: Option<Vec<u8>>,
    server_name: Option<String>,
    certificate: Option<Bytes>,
    /// The checksum of everything up to the server's Finished, once that is known.
    master: Option<Mix>,
    /// Client: the session that it offers to resume.
    offered: Option<NullTicket>,
    /// Client: the sessions it was given.
    tickets: VecDeque<NullTicket>,
    early_data: EarlyData,
    early_keys: Option<DirectionalKeys>,
    is_resumed: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum EarlyData {
    Off,
    Offered,
    Accepted,
}

/// What is expected from the peer.
enum State {
    ClientHello(ServerSettings),
    /// Holds the protocols offered.
    ServerHello(Vec<Vec<u8>>),
    Extensions(Vec<Vec<u8>>),
    Certificate,
    ServerFinished,
    ClientFinished(Tickets),
    /// A client may still get tickets.
    Done,
    Failed,
}

/// Data of one level, and the keys of the level after it.
struct Step {
    data: Vec<u8>,
    keys: Option<KeyChange>,
}

impl NullSession {
    pub(super) fn client(
        version: Version,
        limits: KeyOptions,
        hello: ClientHello<'_>,
        ticket: Option<NullTicket>,
        early_data: bool,
    ) -> Self {
        let offered = hello.alpn.iter().map(|name| name.to_vec()).collect();
        let mut session = Self::new(Side::Client, version, limits, State::ServerHello(offered));
        let early = ticket.as_ref().map(|ticket| ticket.identity);
        let early = early.filter(|identity| early_data && identity.early_data);
        let hello = ClientHello {
            ticket: ticket.as_ref().map(|ticket| &*ticket.bytes),
            early_data: early.is_some(),
            ..hello
        };
        let mut data = Vec::new();
        let hello = message::client_hello(&hello);
        session.put(&mut data, kind::CLIENT_HELLO, &hello);
        session.hello = hello;
        if let Some(identity) = early {
            session.early_data = EarlyData::Offered;
            session.early_keys = Some(session.make_early_keys(identity.secret).local);
        }
        session.offered = ticket;
        session.outbox.push_back(Step { data, keys: None });
        session
    }

    pub(super) fn server(version: Version, limits: KeyOptions, settings: ServerSettings) -> Self {
        Self::new(Side::Server, version, limits, State::ClientHello(settings))
    }

    fn new(side: Side, version: Version, limits: KeyOptions, state: State) -> Self {
        Self {
            side,
            limits,
            state,
            inbox: Vec::new(),
            outbox: VecDeque::new(),
            transcript: Mix::new(TRANSCRIPT).number(u64::from(version.0)),
            hello: Vec::new(),
            peer_transport_parameters: None,
            alpn: None,
            server_name: None,
            certificate: None,
            master: None,
            offered: None,
            tickets: VecDeque::new(),
            early_data: EarlyData::Off,
            early_keys: None,
            is_resumed: false,
        }
    }

    fn read_messages(&mut self, level: Level, data: &[u8]) -> Result<(), TlsError> {
        if self.state.level() != Some(level) {
            return Err(unexpected("data at a level where none is expected"));
        }
        self.inbox.extend_from_slice(data);
        while let Some((kind, body)) = self.take_message()? {
            self.on_message(kind, &body)?;
            if self.state.level() != Some(level) && !self.inbox.is_empty() {
                return Err(unexpected("data goes on past a change of keys"));
            }
        }
        Ok(())
    }

    /// The next whole message: its type and its body.
    fn take_message(&mut self) -> Result<Option<(u8, Vec<u8>)>, TlsError> {
        let Some((&[kind, a, b, c], rest)) = self.inbox.split_first_chunk() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        if len > MAX_MESSAGE {
            return Err(message::malformed("a message is too long"));
        }
        let Some(body) = rest.get(..len) else {
            return Ok(None);
        };
        let body = body.to_vec();
        self.inbox.drain(..message::HEADER_LEN + len);
        Ok(Some((kind, body)))
    }

    fn on_message(&mut self, kind: u8, body: &[u8]) -> Result<(), TlsError> {
        match (mem::replace(&mut self.state, State::Failed), kind) {
            (State::ClientHello(settings), kind::CLIENT_HELLO) => {
                self.on_client_hello(body, settings)
            }
            (State::ServerHello(offered), kind::SERVER_HELLO) => {
                self.on_server_hello(body, offered)
            }
            (State::Extensions(offered), kind::EXTENSIONS) => self.on_extensions(body, &offered),
            (State::Certificate, kind::CERTIFICATE) => {
                self.hear(kind, body);
                self.certificate = Some(Bytes::copy_from_slice(body));
                self.state = State::ServerFinished;
                Ok(())
            }
            (State::ServerFinished, kind::FINISHED) => self.on_server_finished(body),
            (State::ClientFinished(tickets), kind::FINISHED) => {
                self.on_client_finished(body, tickets)
            }
            (State::Done, kind::TICKET) if self.side == Side::Client => {
                let ticket = NullTicket::parse(body, self.certificate.clone());
                self.tickets.extend(ticket);
                self.state = State::Done;
                Ok(())
            }
            _ => Err(unexpected("a message out of turn")),
        }
    }

    fn on_client_hello(&mut self, body: &[u8], settings: ServerSettings) -> Result<(), TlsError> {
        let hello = Extensions::parse(body)?;
        self.hear(kind::CLIENT_HELLO, body);
        self.peer_transport_parameters = Some(hello.transport_parameters()?.to_vec());
        self.server_name = hello.server_name()?.map(ToOwned::to_owned);
        let offered = hello.alpn()?;
        if !settings.alpn.is_empty() {
            let chosen = settings.alpn.iter().find(|ours| offered.contains(*ours));
            self.alpn = Some(chosen.ok_or_else(no_common_protocol)?.clone());
        }
        let tickets = settings.tickets;
        let session = hello
            .ticket()
            .and_then(|ticket| tickets.check(ticket, self.alpn.as_deref()));
        self.is_resumed = session.is_some();
        if let Some(identity) = session
            && hello.has_early_data()
            && tickets.takes_early_data(identity)
        {
            self.early_data = EarlyData::Accepted;
            self.early_keys = Some(self.make_early_keys(identity.secret).remote);
        }

        let mut data = Vec::new();
        let random = self
            .transcript
            .bytes(&settings.transport_parameters)
            .finish()
            .to_le_bytes();
        self.put(&mut data, kind::SERVER_HELLO, &random);
        self.push_handshake_keys(data);

        let mut data = Vec::new();
        let extensions = message::server_extensions(
            self.alpn.as_deref(),
            &settings.transport_parameters,
            self.is_resumed,
            self.early_data == EarlyData::Accepted,
        );
        self.put(&mut data, kind::EXTENSIONS, &extensions);
        if !self.is_resumed {
            let certificate = vec![0xce; settings.certificate_bytes];
            self.put(&mut data, kind::CERTIFICATE, &certificate);
        }
        let finished: [u8; TAG_LEN] = self.transcript.finish_array();
        self.put(&mut data, kind::FINISHED, &finished);
        self.push_application_keys(data);

        self.state = State::ClientFinished(tickets);
        Ok(())
    }

    fn on_server_hello(&mut self, body: &[u8], offered: Vec<Vec<u8>>) -> Result<(), TlsError> {
        if body.len() != 8 {
            return Err(message::malformed("a server hello is eight bytes"));
        }
        self.hear(kind::SERVER_HELLO, body);
        self.push_handshake_keys(Vec::new());
        self.state = State::Extensions(offered);
        Ok(())
    }

    fn on_extensions(&mut self, body: &[u8], offered: &[Vec<u8>]) -> Result<(), TlsError> {
        let extensions = Extensions::parse(body)?;
        self.hear(kind::EXTENSIONS, body);
        self.peer_transport_parameters = Some(extensions.transport_parameters()?.to_vec());
        match extensions.alpn()?.as_slice() {
            // RFC 9001, section 8.1: no protocol is no connection.
            [] if !offered.is_empty() => return Err(no_common_protocol()),
            [] => {}
            [chosen] if offered.contains(chosen) => self.alpn = Some(chosen.clone()),
            _ => return Err(message::illegal("the server chose what was not offered")),
        }
        self.state = match (extensions.ticket(), self.offered.take()) {
            (None, _) => State::Certificate,
            (Some(_), Some(ticket)) => {
                self.is_resumed = true;
                self.certificate = ticket.certificate;
                State::ServerFinished
            }
            (Some(_), None) => return Err(message::illegal("the server resumes no session")),
        };
        if extensions.has_early_data() {
            if !self.is_resumed || self.early_data != EarlyData::Offered {
                return Err(message::illegal("the server takes early data of nobody's"));
            }
            self.early_data = EarlyData::Accepted;
        }
        Ok(())
    }

    fn on_server_finished(&mut self, body: &[u8]) -> Result<(), TlsError> {
        self.check_finished(body)?;
        self.hear(kind::FINISHED, body);
        let mut data = Vec::new();
        let finished: [u8; TAG_LEN] = self.transcript.finish_array();
        message::put(&mut data, kind::FINISHED, &finished);
        self.push_application_keys(data);
        self.state = State::Done;
        Ok(())
    }

    fn on_client_finished(&mut self, body: &[u8], tickets: Tickets) -> Result<(), TlsError> {
        self.check_finished(body)?;
        let filler = tickets.filler.map(|bytes| vec![0x71; bytes]);
        let ticket = tickets.issue(self.transcript.finish(), self.alpn.as_deref());
        for body in filler.into_iter().chain(ticket) {
            let mut data = Vec::new();
            message::put(&mut data, kind::TICKET, &body);
            self.outbox.push_back(Step { data, keys: None });
        }
        self.state = State::Done;
        Ok(())
    }

    fn check_finished(&self, body: &[u8]) -> Result<(), TlsError> {
        let expected: [u8; TAG_LEN] = self.transcript.finish_array();
        if body == expected {
            Ok(())
        } else {
            Err(TlsError {
                alert: DECRYPT_ERROR,
                reason: "the sides disagree on what was said".into(),
            })
        }
    }

    /// Says a message: appends it to `out` and to the transcript.
    fn put(&mut self, out: &mut Vec<u8>, kind: u8, body: &[u8]) {
        message::put(out, kind, body);
        self.hear(kind, body);
    }

    fn hear(&mut self, kind: u8, body: &[u8]) {
        self.transcript = self.transcript.number(u64::from(kind)).bytes(body);
    }

    /// The keys of early data, behind the ClientHello.
    fn make_early_keys(&self, secret: u64) -> Keys {
        let secret = Mix::new(EARLY).number(secret);
        let secret = secret.number(self.transcript.finish()).finish();
        Secrets::new(secret).keys(self.side, self.limits)
    }

    fn push_handshake_keys(&mut self, data: Vec<u8>) {
        let secrets = Secrets::new(self.transcript.finish());
        self.outbox.push_back(Step {
            data,
            keys: Some(KeyChange::Handshake(secrets.keys(self.side, self.limits))),
        });
    }

    fn push_application_keys(&mut self, data: Vec<u8>) {
        self.master = Some(self.transcript);
        let secrets = Secrets::new(if self.limits.known {
            ONE_RTT
        } else {
            self.transcript.finish()
        });
        self.outbox.push_back(Step {
            data,
            keys: Some(KeyChange::OneRtt {
                keys: secrets.keys(self.side, self.limits),
                next: Box::new(NullNextKeys::new(secrets, self.side, self.limits)),
            }),
        });
    }
}

impl State {
    /// Where the peer's next data must come.
    const fn level(&self) -> Option<Level> {
        match self {
            Self::ClientHello(_) | Self::ServerHello(_) => Some(Level::Initial),
            Self::Extensions(_)
            | Self::Certificate
            | Self::ServerFinished
            | Self::ClientFinished(_) => Some(Level::Handshake),
            Self::Done => Some(Level::OneRtt),
            Self::Failed => None,
        }
    }
}

impl Session for NullSession {
    fn read(&mut self, level: Level, data: &[u8]) -> Result<(), TlsError> {
        if data.is_empty() {
            return Ok(());
        }
        self.read_messages(level, data)
            .inspect_err(|_| self.state = State::Failed)
    }

    fn write(&mut self, out: &mut Vec<u8>) -> Option<KeyChange> {
        let step = self.outbox.pop_front()?;
        out.extend_from_slice(&step.data);
        step.keys
    }

    fn is_handshaking(&self) -> bool {
        !matches!(self.state, State::Done)
    }

    fn set_version(&mut self, version: Version) -> bool {
        let State::ServerHello(_) = self.state else {
            return false;
        };
        let hello = mem::take(&mut self.hello);
        self.transcript = Mix::new(TRANSCRIPT).number(u64::from(version.0));
        self.hear(kind::CLIENT_HELLO, &hello);
        true
    }

    fn peer_transport_parameters(&self) -> Option<&[u8]> {
        self.peer_transport_parameters.as_deref()
    }

    fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    fn peer_certificates(&self) -> Vec<Bytes> {
        self.certificate.iter().cloned().collect()
    }

    fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), CryptoError> {
        let State::Done = self.state else {
            return Err(CryptoError);
        };
        let master = self.master.ok_or(CryptoError)?;
        // The length takes part, as it does in TLS: a short export is no prefix of a long one.
        master
            .number(EXPORTER)
            .number(out.len() as u64)
            .bytes(label)
            .bytes(context)
            .fill(out);
        Ok(())
    }

    fn early_keys(&mut self) -> Option<DirectionalKeys> {
        self.early_keys.take()
    }

    fn is_early_data_accepted(&self) -> bool {
        self.early_data == EarlyData::Accepted
    }

    fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    fn take_ticket(&mut self) -> Option<Ticket> {
        self.tickets.pop_front().map(Ticket::new)
    }
}

fn unexpected(reason: &str) -> TlsError {
    TlsError {
        alert: UNEXPECTED_MESSAGE,
        reason: reason.into(),
    }
}

fn no_common_protocol() -> TlsError {
    TlsError {
        alert: NO_APPLICATION_PROTOCOL,
        reason: "no application protocol in common".into(),
    }
}

// Alerts (RFC 8446, section 6).
const UNEXPECTED_MESSAGE: u8 = 10;
const DECRYPT_ERROR: u8 = 51;
const NO_APPLICATION_PROTOCOL: u8 = 120;
