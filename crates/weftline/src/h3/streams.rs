//! The streams of a connection: what becomes of their changes.

use alloc::boxed::Box;

use super::{
    Change, Fields, Layer, ResponseHead,
    body::Room,
    classify::{Classifier, Kind},
    control::{ControlEvent, PeerControl},
    fields,
    request::{Broken, Message, Progress},
};
use crate::{
    error::Fault,
    probe::{Owner, ProbeEvent},
    quic::{self, ReadFail, StreamChange},
    wire::{
        Dir, Side, StreamId,
        h3::error_code::{
            H3_CLOSED_CRITICAL_STREAM, H3_EXCESSIVE_LOAD, H3_ID_ERROR, H3_MESSAGE_ERROR,
            H3_NO_ERROR, H3_REQUEST_CANCELLED, H3_REQUEST_INCOMPLETE, H3_REQUEST_REJECTED,
            H3_STREAM_CREATION_ERROR,
        },
        qpack::instruction::{self, DecoderStream},
    },
};

/// A stream that HTTP/3 has to do with.
#[derive(Debug)]
pub(super) enum Stream {
    /// The peer's, of which not enough has come to know what it is.
    New {
        classifier: Classifier,
        /// The peer's STOP_SENDING, which came first.
        stopped: Option<u64>,
    },
    /// The peer's control stream.
    Control(Box<PeerControl>),
    /// The peer's QPACK encoder stream.
    QpackEncoder,
    /// The peer's QPACK decoder stream.
    QpackDecoder(DecoderStream),
    /// An exchange.
    Message(Box<Message>),
}

impl Stream {
    pub(super) fn accounted_bytes(&self) -> usize {
        let more = match self {
            Self::New { .. } | Self::QpackEncoder | Self::QpackDecoder(_) => 0,
            Self::Control(control) => size_of::<PeerControl>() + control.accounted_bytes(),
            Self::Message(message) => message.accounted_bytes(),
        };
        size_of::<Self>() + more
    }
}

/// One of each stream that must not be opened twice, nor closed.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Critical<T> {
    control: T,
    encoder: T,
    decoder: T,
}

impl Layer {
    pub(super) fn on_stream(
        &mut self,
        change: StreamChange,
        quic: &mut quic::Connection,
    ) -> Result<(), Fault> {
        if change == StreamChange::Available(Dir::Bi) {
            self.no_credit = false;
        }
        match change {
            StreamChange::Opened(id) => return self.on_opened(id, quic),
            StreamChange::Readable(id) => match self.streams.get(&id) {
                Some(Stream::New { .. }) => return self.classify(id, quic),
                Some(Stream::Message(_)) => return self.drive(id, quic),
                Some(Stream::Control(_) | Stream::QpackEncoder | Stream::QpackDecoder(_)) => {
                    return self.read_critical(id, quic);
                }
                None => {}
            },
            StreamChange::Writable(id) => {
                if self.control.is(id) {
                    self.control.flush(quic);
                    return Ok(());
                }
                if let Some(Stream::Message(message)) = self.streams.get_mut(&id) {
                    if message.outgoing.on_writable(id, quic) == Room::Writable {
                        self.changes.push_back(Change::Writable(id));
                    }
                    return Ok(());
                }
            }
            StreamChange::Stopped { id, code } => {
                if self.control.is(id) {
                    return Err(CLOSED_CRITICAL);
                }
                match self.streams.get_mut(&id) {
                    Some(Stream::New { stopped, .. }) => {
                        *stopped = Some(code);
                        return Ok(());
                    }
                    Some(Stream::Message(_)) => return self.on_peer_stop(id, code, quic),
                    _ => {}
                }
            }
            StreamChange::Finished(id) => {
                if let Some(Stream::Message(message)) = self.streams.get_mut(&id) {
                    message.outgoing.on_done();
                    self.changes.push_back(Change::Finished(id));
                    self.forget_if_done(quic, id);
                    return Ok(());
                }
            }
            StreamChange::Available(Dir::Uni) => self.control.flush(quic),
            // Nothing to do here, but perhaps above.
            _ => {}
        }
        self.changes.push_back(Change::Stream(change));
        Ok(())
    }

    /// The peer opened a stream.
    fn on_opened(&mut self, id: StreamId, quic: &mut quic::Connection) -> Result<(), Fault> {
        match (id.dir(), id.initiator()) {
            (Dir::Bi, Side::Server) if self.markers.is_none() => return Err(ILLEGAL_STREAM),
            (Dir::Bi, Side::Client) if id >= self.next_request => {
                self.next_request = StreamId::new(Side::Client, Dir::Bi, id.index() + 1);
            }
            _ => {}
        }
        let stream = Stream::New {
            classifier: Classifier::new(id, self.markers),
            stopped: None,
        };
        self.streams.insert(id, stream);
        self.classify(id, quic)
    }

    /// Reads the first bytes of a stream, as far as they are there.
    fn classify(&mut self, id: StreamId, quic: &mut quic::Connection) -> Result<(), Fault> {
        // Each turn takes bytes, at most two integers' in all.
        loop {
            let Some(Stream::New {
                classifier,
                stopped,
            }) = self.streams.get_mut(&id)
            else {
                return Ok(());
            };
            let mut piece = [0; 8];
            let piece = piece.get_mut(..classifier.wanted()).unwrap_or_default();
            let kind = match quic.read_into(id, piece) {
                Ok(Some(len)) => classifier.feed(piece.get(..len).unwrap_or_default()),
                Err(ReadFail::Blocked) => return Ok(()),
                Ok(None) | Err(ReadFail::Reset(_) | ReadFail::Unknown) => {
                    return self.on_ended_new(id, quic);
                }
            };
            if let Some(kind) = kind {
                let stopped = *stopped;
                self.streams.remove(&id);
                return self.on_kind(id, kind, stopped, quic);
            }
        }
    }

    /// A stream ended before it said what it is, which is legal (RFC 9114, section 6.2).
    fn on_ended_new(&mut self, id: StreamId, quic: &mut quic::Connection) -> Result<(), Fault> {
        self.streams.remove(&id);
        if id.dir() == Dir::Bi {
            quic.reset(id, H3_REQUEST_INCOMPLETE);
            return self.on_request_over(true);
        }
        Ok(())
    }

    fn on_kind(
        &mut self,
        id: StreamId,
        kind: Kind,
        stopped: Option<u64>,
        quic: &mut quic::Connection,
    ) -> Result<(), Fault> {
        let stream = match kind {
            Kind::Control => {
                only_once(&mut self.seen.control)?;
                Stream::Control(PeerControl::new(self.control_rules).into())
            }
            Kind::QpackEncoder => {
                only_once(&mut self.seen.encoder)?;
                Stream::QpackEncoder
            }
            Kind::QpackDecoder => {
                only_once(&mut self.seen.decoder)?;
                Stream::QpackDecoder(DecoderStream::new())
            }
            Kind::Request { frame } => {
                let too_late = self.go_away_sent.is_some_and(|first| id >= first);
                if stopped.is_some() {
                    quic.stop(id, H3_REQUEST_REJECTED);
                    return self.on_request_over(true);
                }
                if too_late {
                    quic.reset(id, H3_REQUEST_REJECTED);
                    quic.stop(id, H3_REQUEST_REJECTED);
                    return Ok(());
                }
                Stream::Message(Message::of_server(frame).into())
            }
            Kind::Foreign {
                session,
                header_len,
            } => {
                self.changes.push_back(Change::Foreign {
                    id,
                    session,
                    header_len,
                });
                if let Some(code) = stopped {
                    let change = StreamChange::Stopped { id, code };
                    self.changes.push_back(Change::Stream(change));
                }
                if !quic.is_readable(id) {
                    // Meeting `Blocked` makes the transport tell of what comes next.
                    let _ = quic.read_into(id, &mut []);
                }
                return Ok(());
            }
            // Section 6.2: what follows has no meaning, and is no error.
            Kind::Unknown => {
                quic.stop(id, H3_STREAM_CREATION_ERROR);
                return Ok(());
            }
            // Section 6.2.2 for a client; and we allow no push at all, so its ID is too large.
            Kind::Push if self.side == Side::Server => return Err(ILLEGAL_STREAM),
            Kind::Push => return Err(Fault::http(H3_ID_ERROR, "a push that was not allowed")),
            Kind::Illegal => return Err(ILLEGAL_STREAM),
        };
        let is_message = matches!(stream, Stream::Message(_));
        self.streams.insert(id, stream);
        if is_message {
            self.drive(id, quic)
        } else {
            self.read_critical(id, quic)
        }
    }

    /// Reads a stream that the connection needs.
    fn read_critical(&mut self, id: StreamId, quic: &mut quic::Connection) -> Result<(), Fault> {
        let mut buffer = [0; 512];
        // Each turn takes bytes that a peer had to send.
        loop {
            let piece = match quic.read_into(id, &mut buffer) {
                Ok(Some(len)) => buffer.get(..len).unwrap_or_default(),
                Err(ReadFail::Blocked) => return Ok(()),
                Ok(None) | Err(ReadFail::Reset(_) | ReadFail::Unknown) => {
                    return Err(CLOSED_CRITICAL);
                }
            };
            match self.streams.get_mut(&id) {
                Some(Stream::Control(_)) => self.on_control(id, piece, quic)?,
                Some(Stream::QpackEncoder) => instruction::check_encoder_stream(piece)
                    .map_err(|error| Fault::http(error.code(), "an insertion into no table"))?,
                Some(Stream::QpackDecoder(stream)) => stream.feed(piece).map_err(|error| {
                    Fault::http(error.code(), "an acknowledgment of what was never sent")
                })?,
                _ => return Ok(()),
            }
        }
    }

    fn on_control(
        &mut self,
        id: StreamId,
        mut input: &[u8],
        quic: &mut quic::Connection,
    ) -> Result<(), Fault> {
        while let Some(Stream::Control(control)) = self.streams.get_mut(&id)
            && let Some(event) = control.feed(&mut input)?
        {
            match event {
                ControlEvent::Settings(settings) => {
                    self.check_early_settings(quic, &settings)?;
                    quic.tell_probe(|| ProbeEvent::Settings(Owner::Remote, &settings));
                    self.peer_settings = Some(settings);
                    // Those of early data are told with `Connected`.
                    if quic.is_established() {
                        self.changes.push_back(Change::Settings);
                    }
                }
                ControlEvent::GoAway(first) => {
                    self.go_away_received = true;
                    if self.side == Side::Client {
                        self.on_rejected(quic, StreamId::from_u64(first));
                    }
                    self.changes.push_back(Change::GoAway);
                }
            }
        }
        Ok(())
    }

    /// Takes a message on, as far as the upper layer must hear of it.
    fn drive(&mut self, id: StreamId, quic: &mut quic::Connection) -> Result<(), Fault> {
        // At most three turns: the head, then what is behind it.
        loop {
            let Some(Stream::Message(message)) = self.streams.get_mut(&id) else {
                return Ok(());
            };
            match message.advance(id, quic, &self.rules) {
                Ok(Progress::Request(head)) => self.changes.push_back(Change::Request(id, head)),
                Ok(Progress::Response(head)) => self.changes.push_back(Change::Response(id, head)),
                Ok(Progress::Readable) => {
                    if message.tell_readable() {
                        self.changes.push_back(Change::Readable(id));
                    }
                    break;
                }
                Ok(Progress::Blocked) => break,
                Err(broken) => return self.on_broken(id, broken, quic),
            }
        }
        self.forget_if_done(quic, id);
        Ok(())
    }

    fn on_broken(
        &mut self,
        id: StreamId,
        broken: Broken,
        quic: &mut quic::Connection,
    ) -> Result<(), Fault> {
        match (broken, self.side) {
            (Broken::Connection(fault), _) => return Err(fault),
            (Broken::Stream(code), _) => return self.abort(quic, id, code),
            (Broken::HeadTooLarge, _) => self.refuse(id, quic),
            (Broken::Reset(_), Side::Server) => {
                self.streams.remove(&id);
                quic.reset(id, H3_REQUEST_REJECTED);
                return self.on_request_over(true);
            }
            (Broken::Incomplete, Side::Server) => {
                self.streams.remove(&id);
                quic.reset(id, H3_REQUEST_INCOMPLETE);
                return self.on_request_over(true);
            }
            (Broken::Reset(code), Side::Client) => {
                self.streams.remove(&id);
                quic.reset(id, H3_REQUEST_CANCELLED);
                self.changes.push_back(Change::Failed(id, code));
            }
            (Broken::Incomplete, Side::Client) => return self.abort(quic, id, H3_MESSAGE_ERROR),
        }
        Ok(())
    }

    /// Ends an exchange that is broken. A request that makes us reset it is as good as one that the
    /// peer resets.
    pub(super) fn abort(
        &mut self,
        quic: &mut quic::Connection,
        id: StreamId,
        code: u64,
    ) -> Result<(), Fault> {
        let Some(Stream::Message(message)) = self.streams.remove(&id) else {
            return Ok(());
        };
        quic.reset(id, code);
        quic.stop(id, code);
        // Of a request without a head the upper layer knows nothing.
        if self.side == Side::Client || message.has_head() {
            self.changes.push_back(Change::Failed(id, code));
        }
        self.on_request_over(true)
    }

    /// Server: answers a request whose head is too large (RFC 9114, section 4.2.2).
    fn refuse(&mut self, id: StreamId, quic: &mut quic::Connection) {
        let Some(Stream::Message(mut message)) = self.streams.remove(&id) else {
            return;
        };
        let head = ResponseHead {
            status: 431,
            fields: Fields::new(),
        };
        let mut section = alloc::vec::Vec::new();
        fields::encode_response(&head, &mut section);
        let sent = message
            .outgoing
            .send_head(&section, true, true, id, quic)
            .is_ok()
            && message.outgoing.is_flushed();
        if sent {
            quic.stop(id, H3_NO_ERROR);
        } else {
            quic.reset(id, H3_EXCESSIVE_LOAD);
            quic.stop(id, H3_EXCESSIVE_LOAD);
        }
    }

    fn on_peer_stop(
        &mut self,
        id: StreamId,
        code: u64,
        quic: &mut quic::Connection,
    ) -> Result<(), Fault> {
        let Some(Stream::Message(message)) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        message.on_peer_stop();
        if self.side == Side::Server && !message.has_head() {
            // Nobody waits for an answer: nothing of the request matters.
            self.streams.remove(&id);
            quic.stop(id, H3_REQUEST_REJECTED);
            return self.on_request_over(true);
        }
        self.changes.push_back(Change::Stopped(id, code));
        self.forget_if_done(quic, id);
        Ok(())
    }

    /// Forgets an exchange that is over for both sides.
    pub(super) fn forget_if_done(&mut self, quic: &mut quic::Connection, id: StreamId) {
        if let Some(Stream::Message(message)) = self.streams.get(&id)
            && message.is_done(self.side)
        {
            let given_up = message.was_given_up();
            self.streams.remove(&id);
            if let Err(fault) = self.on_request_over(given_up) {
                quic.fail(fault);
            }
        }
    }

    /// A request is over, or the peer gave it up: many of those in a row are an attack.
    pub(super) fn on_request_over(&mut self, given_up: bool) -> Result<(), Fault> {
        let resets = &mut self.resets_in_a_row;
        if self.side == Side::Client || !given_up {
            resets.count = 0;
            return Ok(());
        }
        resets.count += 1;
        if resets.count > resets.max {
            return Err(Fault::http(H3_EXCESSIVE_LOAD, "too many requests given up"));
        }
        Ok(())
    }
}

fn only_once(seen: &mut bool) -> Result<(), Fault> {
    if core::mem::replace(seen, true) {
        return Err(Fault::http(
            H3_STREAM_CREATION_ERROR,
            "a second stream of a type there is one of",
        ));
    }
    Ok(())
}

const CLOSED_CRITICAL: Fault = Fault::http(
    H3_CLOSED_CRITICAL_STREAM,
    "a stream that the connection needs was closed",
);

const ILLEGAL_STREAM: Fault = Fault::http(
    H3_STREAM_CREATION_ERROR,
    "a stream that the peer may not open",
);
