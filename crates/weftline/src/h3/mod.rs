//! HTTP/3 (RFC 9114) over QUIC.
//!
//! `Layer` turns the transport's changes into messages, and commands into frames. It owns the
//! control and QPACK streams, tells from its first bytes what each of the peer's streams is, and
//! hands those of the upper layer on untouched. Content stays in the transport's buffers until the
//! upper layer reads it.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use bytes::Bytes;

mod body;
mod classify;
mod control;
#[cfg(feature = "http")]
mod convert;
mod early;
mod fields;
mod head;
mod request;
mod streams;

#[cfg(feature = "http")]
pub use convert::Protocol;
pub use head::{Fields, RequestHead, ResponseHead};

pub(crate) use fields::{check_request, check_response};

use self::{
    control::{ControlRules, LocalControl},
    early::Early,
    request::{Asked, Broken, Message, MessageRules, ReadEnd},
    streams::{Critical, Stream},
};
use crate::{
    config::Limits,
    error::{Fault, RequestError},
    event::CloseReason,
    probe::{Owner, ProbeEvent},
    quic::{self, ReadFail, StreamChange, WriteFail},
    wire::{
        Dir, Side, StreamId,
        h3::{
            self as wire, Settings, datagram,
            error_code::{H3_REQUEST_CANCELLED, H3_REQUEST_REJECTED},
            frame, settings,
        },
        qpack::SectionLimits,
    },
};

/// What the upper layer adds to HTTP/3.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    /// Settings to send behind those of HTTP/3 itself, in this order. Those for extended CONNECT
    /// and HTTP datagrams are among them, and turn both on here.
    pub(crate) settings: Vec<(u64, u64)>,
    /// How the upper layer's own streams begin; `None` when there are none.
    pub(crate) markers: Option<Markers>,
}

/// What tells the upper layer's streams from HTTP/3's own.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Markers {
    /// Type of its unidirectional streams.
    pub(crate) uni: u64,
    /// Signal that its bidirectional streams begin with.
    pub(crate) bidi: u64,
}

/// What HTTP/3 tells the upper layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The transport's handshake is complete.
    Connected,
    /// The transport's handshake is confirmed.
    Confirmed,
    /// The connection is over. Comes last.
    Closed(CloseReason),
    /// The peer's SETTINGS came. Never before `Connected`.
    Settings,
    /// Server: a request, whose head is valid.
    Request(StreamId, RequestHead),
    /// Client: the final response.
    Response(StreamId, ResponseHead),
    /// A message has content, its end, or a reset to read. Never before its head; then once, until
    /// [`Layer::read_body`] gave `Blocked`.
    Readable(StreamId),
    /// A message that was `Blocked` takes content again.
    Writable(StreamId),
    /// The peer has all of our message.
    Finished(StreamId),
    /// The peer wants no more of our message, with this code; the stream was reset in answer.
    Stopped(StreamId, u64),
    /// The exchange is over by an error with this code, and the stream was reset. The last change
    /// of the exchange.
    Failed(StreamId, u64),
    /// A stream of the upper layer's: its marker and session were read, nothing behind them.
    Foreign {
        /// The stream.
        id: StreamId,
        /// What followed the marker, unchecked.
        session: u64,
        /// Bytes that both took.
        header_len: u64,
    },
    /// A change of a stream that is not HTTP/3's.
    Stream(StreamChange),
    /// An HTTP datagram.
    Datagram {
        /// The request it belongs to.
        stream: StreamId,
        /// Its payload.
        payload: Bytes,
    },
    /// The peer wants no new requests (or pushes), the first time or fewer than before.
    GoAway,
}

/// HTTP/3 of one connection.
#[derive(Debug)]
pub(crate) struct Layer {
    side: Side,
    markers: Option<Markers>,
    rules: MessageRules,
    control_rules: ControlRules,
    resets_in_a_row: ResetCount,
    /// Whether we announced to understand HTTP datagrams.
    datagrams: bool,
    connected: bool,
    control: LocalControl,
    /// Ours.
    settings: Settings,
    /// Client: the handshake is going on, and requests may go ahead of it; or their SETTINGS are
    /// still to be compared.
    early: Option<Early>,
    peer_settings: Option<Settings>,
    /// The streams that the peer may open only once, and did.
    seen: Critical<bool>,
    streams: BTreeMap<StreamId, Stream>,
    /// Server: the first request not seen yet. Client: the first not opened yet.
    next_request: StreamId,
    /// GOAWAY as sent: the first request that is not taken.
    go_away_sent: Option<StreamId>,
    go_away_received: bool,
    /// The peer's limit of streams left no room for a request.
    no_credit: bool,
    changes: VecDeque<Change>,
}

/// Requests that the peer gave up, without one in between that it did not.
#[derive(Copy, Clone, Debug)]
struct ResetCount {
    count: usize,
    max: usize,
}

impl Layer {
    /// HTTP/3 as `side`. `grease` is a random number: it chooses a setting without meaning (RFC
    /// 9114, section 7.2.4.1).
    pub(crate) fn new(side: Side, limits: &Limits, extensions: Extensions, grease: u64) -> Self {
        let ours = local_settings(limits, &extensions, Some(grease));
        let is_on = |id| ours.get(id) == Some(1);
        let marker = extensions.markers.map(|markers| markers.bidi);
        let mut control = LocalControl::default();
        control.begin(&ours);
        Self {
            side,
            markers: extensions.markers,
            rules: MessageRules {
                sender: side.peer(),
                marker,
                extended_connect: is_on(settings::ENABLE_CONNECT_PROTOCOL),
                section: SectionLimits {
                    size: limits.field_section,
                    fields: limits.fields,
                },
                skipped: limits.skipped,
                interim: limits.interim_responses,
            },
            control_rules: ControlRules {
                sender: side.peer(),
                marker,
                payload: limits.control_frame,
                settings: limits.settings,
                skipped: limits.skipped,
            },
            resets_in_a_row: ResetCount {
                count: 0,
                max: limits.resets_in_a_row,
            },
            datagrams: is_on(settings::H3_DATAGRAM),
            connected: false,
            control,
            settings: ours,
            early: None,
            peer_settings: None,
            seen: Critical::default(),
            streams: BTreeMap::new(),
            next_request: StreamId::new(Side::Client, Dir::Bi, 0),
            go_away_sent: None,
            go_away_received: false,
            no_credit: false,
            changes: VecDeque::new(),
        }
    }

    /// Takes a change of the transport. A fault is the connection's end: the caller closes it.
    pub(crate) fn on_quic(
        &mut self,
        change: quic::Change,
        quic: &mut quic::Connection,
    ) -> Result<(), Fault> {
        match change {
            quic::Change::Connected => {
                self.connected = true;
                self.control.flush(quic);
                self.on_early_data_over(quic);
                quic.tell_probe(|| ProbeEvent::Settings(Owner::Local, &self.settings));
                self.changes.push_back(Change::Connected);
                if self.peer_settings.is_some() {
                    self.changes.push_back(Change::Settings);
                }
            }
            quic::Change::EarlyData => {
                self.connected = true;
                self.control.flush(quic);
            }
            quic::Change::EarlyDataRejected => self.on_early_data_rejected(quic),
            quic::Change::Confirmed => self.changes.push_back(Change::Confirmed),
            quic::Change::Stream(change) => self.on_stream(change, quic)?,
            quic::Change::Datagram(payload) => self.on_datagram(payload)?,
            quic::Change::Closed(reason) => {
                self.connected = false;
                self.streams.clear();
                self.changes.push_back(Change::Closed(reason));
            }
            // The connection tells by itself.
            quic::Change::Path(_) => {}
        }
        Ok(())
    }

    /// What happened since the last call.
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// The peer's settings, once they came.
    pub(crate) fn peer_settings(&self) -> Option<&Settings> {
        self.peer_settings.as_ref()
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        let streams: usize = self.streams.values().map(Stream::accounted_bytes).sum();
        streams + self.control.accounted_bytes() + self.changes.capacity() * size_of::<Change>()
    }

    fn on_datagram(&mut self, payload: Bytes) -> Result<(), Fault> {
        // A peer that was not told of them sends them at its own risk.
        if !self.datagrams {
            return Ok(());
        }
        let (stream, rest) = datagram::decode(&payload).map_err(|_| {
            Fault::http(
                datagram::DatagramError::CODE,
                "a datagram that belongs to no possible request",
            )
        })?;
        let payload = payload.slice_ref(rest);
        self.changes.push_back(Change::Datagram { stream, payload });
        Ok(())
    }
}

/// Commands. Each only queues; a peer's fault that comes to light closes the connection.
impl Layer {
    /// Client: sends the head of a request on a new stream; with `end`, all of it.
    pub(crate) fn send_request(
        &mut self,
        quic: &mut quic::Connection,
        head: &RequestHead,
        end: bool,
    ) -> Result<StreamId, RequestError> {
        // Nothing may fail that could before a stream is used up.
        let section = self.request_section(head)?;
        let Some(id) = quic.open(Dir::Bi) else {
            self.no_credit = true;
            return Err(RequestError::Limit);
        };
        self.begin_request(quic, id, Asked::of(head), &section, end)?;
        Ok(id)
    }

    /// Client: as [`Self::send_request`], on a bidirectional stream that the caller has opened and
    /// not used.
    pub(crate) fn send_request_on(
        &mut self,
        quic: &mut quic::Connection,
        id: StreamId,
        head: &RequestHead,
        end: bool,
    ) -> Result<(), RequestError> {
        let section = self.request_section(head)?;
        self.begin_request(quic, id, Asked::of(head), &section, end)
    }

    /// Server: sends the head of a response, with `end` all of it. Interim responses may come
    /// before the final one.
    pub(crate) fn send_response(
        &mut self,
        quic: &mut quic::Connection,
        id: StreamId,
        head: &ResponseHead,
        end: bool,
    ) -> Result<(), RequestError> {
        check_response(head)?;
        let interim = head.status < 200;
        if interim && end {
            return Err(RequestError::Invalid("an interim response is not the last"));
        }
        let mut section = Vec::new();
        let size = fields::encode_response(head, &mut section);
        self.check_size(size)?;
        let message = self.message(id).filter(|message| message.has_head());
        message
            .ok_or(RequestError::UnknownRequest)?
            .outgoing
            .send_head(&section, !interim, end, id, quic)
            .map_err(|_| RequestError::UnknownRequest)
    }

    /// Sends the front of `data` as one DATA frame; gives how much was taken.
    pub(crate) fn write_body(
        &mut self,
        quic: &mut quic::Connection,
        id: StreamId,
        data: &[u8],
    ) -> Result<usize, WriteFail> {
        let is_early = self.side == Side::Client && !self.connected;
        let message = self.message(id).ok_or(WriteFail::Unknown)?;
        if is_early {
            // Content is not repeated, so it waits for the handshake.
            return message.outgoing.refuse();
        }
        message.outgoing.write(data, id, quic)
    }

    /// Bytes that [`Self::write_body`] would take now, in one frame.
    pub(crate) fn body_writable(&self, quic: &quic::Connection, id: StreamId) -> usize {
        match self.streams.get(&id) {
            _ if !self.connected => 0,
            Some(Stream::Message(message)) => message.outgoing.writable(id, quic),
            _ => 0,
        }
    }

    /// Has [`Change::Writable`] tell when [`Self::write_body`] would take something, as a refused
    /// one has.
    pub(crate) fn want_body_room(&mut self, quic: &mut quic::Connection, id: StreamId) {
        if let Some(message) = self.message(id) {
            message.outgoing.want_room(id, quic);
        }
    }

    /// Ends our message.
    pub(crate) fn finish_body(
        &mut self,
        quic: &mut quic::Connection,
        id: StreamId,
    ) -> Result<(), WriteFail> {
        let message = self.message(id).ok_or(WriteFail::Unknown)?;
        message.outgoing.finish(id, quic)
    }

    /// Takes up to `max` bytes of the content of the peer's message, in order; `None` at its end.
    /// `Reset` has the peer's code, or ours where the message turned out to be broken.
    pub(crate) fn read_body(
        &mut self,
        quic: &mut quic::Connection,
        id: StreamId,
        max: usize,
    ) -> Result<Option<Bytes>, ReadFail> {
        let rules = self.rules;
        let message = self.message(id).ok_or(ReadFail::Unknown)?;
        match message.read(max, id, quic, &rules) {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => {
                self.forget_if_done(quic, id);
                Ok(None)
            }
            Err(ReadEnd::Fail(fail)) => {
                self.forget_if_done(quic, id);
                Err(fail)
            }
            Err(ReadEnd::Broken(Broken::Connection(fault))) => {
                quic.fail(fault);
                Err(ReadFail::Unknown)
            }
            Err(ReadEnd::Broken(Broken::Stream(code))) => {
                if let Err(fault) = self.abort(quic, id, code) {
                    quic.fail(fault);
                }
                Err(ReadFail::Reset(code))
            }
            // These come before the head only.
            Err(ReadEnd::Broken(Broken::HeadTooLarge | Broken::Reset(_) | Broken::Incomplete)) => {
                Err(ReadFail::Unknown)
            }
        }
    }

    /// Resets our message with this code, if it is not over.
    pub(crate) fn reset(&mut self, quic: &mut quic::Connection, id: StreamId, code: u64) {
        if let Some(message) = self.message(id) {
            message.outgoing.on_done();
            quic.reset(id, code);
            self.forget_if_done(quic, id);
        }
    }

    /// Wants no more of the peer's message, with this code.
    pub(crate) fn stop(&mut self, quic: &mut quic::Connection, id: StreamId, code: u64) {
        if let Some(message) = self.message(id) {
            message.stop();
            quic.stop(id, code);
            self.forget_if_done(quic, id);
        }
    }

    /// Resets and stops the exchange, and forgets it.
    pub(crate) fn cancel(&mut self, quic: &mut quic::Connection, id: StreamId, code: u64) {
        if let Some(message) = self.message(id) {
            let given_up = message.was_given_up();
            self.streams.remove(&id);
            quic.reset(id, code);
            quic.stop(id, code);
            if given_up && let Err(fault) = self.on_request_over(true) {
                quic.fail(fault);
            }
        }
    }

    /// Whether `id` is an exchange that is not over.
    pub(crate) fn has_message(&self, id: StreamId) -> bool {
        matches!(self.streams.get(&id), Some(Stream::Message(_)))
    }

    /// Asks the peer for no new requests, or pushes. Those it has sent are served, those on their
    /// way are rejected. Only the first call does anything.
    pub(crate) fn go_away(&mut self, quic: &mut quic::Connection) {
        if self.go_away_sent.is_some() {
            return;
        }
        // A client's is a push; we take none.
        let id = match self.side {
            Side::Server => self.next_request.as_u64(),
            Side::Client => 0,
        };
        self.go_away_sent = Some(self.next_request);
        self.control.push(&frame::encode_id(frame::GOAWAY, id));
        if self.connected {
            self.control.flush(quic);
        }
    }

    /// Client: whether a new request can be sent.
    #[cfg(test)]
    pub(crate) fn takes_requests(&self) -> bool {
        self.side == Side::Client && self.connected && !self.go_away_received && !self.no_credit
    }

    fn message(&mut self, id: StreamId) -> Option<&mut Message> {
        match self.streams.get_mut(&id) {
            Some(Stream::Message(message)) => Some(message),
            _ => None,
        }
    }

    /// The field section of a request that may be sent now.
    fn request_section(&self, head: &RequestHead) -> Result<Vec<u8>, RequestError> {
        check_request(head)?;
        if self.side != Side::Client {
            return Err(RequestError::Limit);
        }
        self.check_sending(head)?;
        let mut section = Vec::new();
        let size = fields::encode_request(head, &mut section);
        self.check_size(size)?;
        Ok(section)
    }

    /// RFC 9114, section 4.2.2.
    fn check_size(&self, size: usize) -> Result<(), RequestError> {
        let remembered = self.early.as_ref().map(|early| &early.settings);
        let max = self.peer_settings.as_ref().or(remembered);
        match max.and_then(|settings| settings.get(settings::MAX_FIELD_SECTION_SIZE)) {
            Some(max) if size as u64 > max => Err(RequestError::Invalid(
                "the fields are larger than the peer takes",
            )),
            _ => Ok(()),
        }
    }

    fn begin_request(
        &mut self,
        quic: &mut quic::Connection,
        id: StreamId,
        asked: Asked,
        section: &[u8],
        end: bool,
    ) -> Result<(), RequestError> {
        let mut message = Message::of_client(asked);
        self.note_early_request(id, asked, section);
        message
            .outgoing
            .send_head(section, true, end, id, quic)
            .map_err(|_| RequestError::UnknownRequest)?;
        self.streams.insert(id, Stream::Message(message.into()));
        Ok(())
    }

    /// Client: the server takes no request from `first` on, and did nothing about those it has
    /// (RFC 9114, section 5.2).
    fn on_rejected(&mut self, quic: &mut quic::Connection, first: StreamId) {
        let rejected = self.streams.range(first..);
        let rejected: Vec<StreamId> = rejected
            .filter(|(_, stream)| matches!(stream, Stream::Message(_)))
            .map(|(&id, _)| id)
            .collect();
        for id in rejected {
            self.cancel(quic, id, H3_REQUEST_CANCELLED);
            self.changes
                .push_back(Change::Failed(id, H3_REQUEST_REJECTED));
        }
    }
}

/// The settings of this end. `grease` is for one without a meaning.
fn local_settings(limits: &Limits, extensions: &Extensions, grease: Option<u64>) -> Settings {
    let mut ours = Settings::new();
    ours.set(settings::QPACK_MAX_TABLE_CAPACITY, 0);
    let field_section = limits.field_section as u64;
    ours.set(settings::MAX_FIELD_SECTION_SIZE, field_section);
    ours.set(settings::QPACK_BLOCKED_STREAMS, 0);
    if let Some(grease) = grease {
        ours.set(wire::grease(grease), grease & 0xff);
    }
    for &(id, value) in &extensions.settings {
        ours.set(id, value);
    }
    ours
}

/// What early data relies on: the settings of a server.
pub(crate) fn terms(limits: &Limits, extensions: &Extensions) -> Vec<u8> {
    let mut out = Vec::new();
    local_settings(limits, extensions, None).encode(&mut out);
    out
}

#[cfg(test)]
mod tests;
