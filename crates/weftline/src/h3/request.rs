//! One exchange: a request and its response, each a message (RFC 9114, section 4.1).

use bytes::Bytes;

use super::{
    RequestHead, ResponseHead,
    body::{FrameEvent, FrameState, Outgoing},
    fields::{self, SectionError},
};
use crate::{
    error::Fault,
    quic::{self, ReadFail},
    wire::{
        Side, StreamId,
        h3::{
            FrameHeader,
            error_code::{
                H3_EXCESSIVE_LOAD, H3_FRAME_ERROR, H3_FRAME_UNEXPECTED, H3_ID_ERROR,
                H3_MESSAGE_ERROR, QPACK_DECOMPRESSION_FAILED,
            },
            frame::{self, DATA, FrameStream, HEADERS, PUSH_PROMISE, Placement},
        },
        qpack::SectionLimits,
    },
};

/// What bounds and binds every exchange of a connection.
#[derive(Copy, Clone, Debug)]
pub(super) struct MessageRules {
    /// Whose requests we answer, or responses we read.
    pub(super) sender: Side,
    /// Signal of foreign bidirectional streams, which is no frame.
    pub(super) marker: Option<u64>,
    /// Whether we announced to understand `:protocol`.
    pub(super) extended_connect: bool,
    /// Field sections: their size also bounds what is held of an encoded one.
    pub(super) section: SectionLimits,
    /// Bytes of unknown and empty frames.
    pub(super) skipped: u64,
    /// Interim responses.
    pub(super) interim: usize,
}

/// How far a message was received.
///
/// ```text
///  Head --HEADERS--> Body --HEADERS--> Trailers
///    \---HEADERS--> Tunnel
/// ```
///
/// A stream may end in any but `Head`. HEADERS with an interim response leaves it in `Head`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The head comes, perhaps interim ones first.
    Head,
    /// Content comes, perhaps trailers.
    Body,
    /// As `Body`, but only content may come: a CONNECT that was asked for or granted.
    Tunnel,
    /// The trailers came: nothing more may.
    Trailers,
}

/// What the payload of a frame is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// The head or trailers.
    Section,
    /// Content.
    Data,
    /// Nothing known.
    Unknown,
}

impl Stage {
    /// What a frame of type `ty` from `sender` is at this stage.
    pub(super) fn on_frame(self, ty: u64, sender: Side) -> Result<Payload, Fault> {
        match frame::placement(ty, FrameStream::Request, sender) {
            Placement::Unknown => Ok(Payload::Unknown),
            Placement::Unexpected => Err(UNEXPECTED),
            Placement::Allowed => match (ty, self) {
                (HEADERS, Self::Head | Self::Body) => Ok(Payload::Section),
                (DATA, Self::Body | Self::Tunnel) => Ok(Payload::Data),
                // We allow no push at all (section 7.2.5).
                (PUSH_PROMISE, Self::Head | Self::Body | Self::Trailers) => {
                    Err(Fault::http(H3_ID_ERROR, "a push that was not allowed"))
                }
                _ => Err(UNEXPECTED),
            },
        }
    }
}

/// How an exchange goes wrong: the variant is how far it reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection must close.
    Connection(Fault),
    /// The exchange ends, with this code for both halves of the stream.
    Stream(u64),
    /// The head of a request is larger than allowed.
    HeadTooLarge,
    /// The peer reset the stream before its head was whole.
    Reset(u64),
    /// The stream ended before its head was whole.
    Incomplete,
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Connection(fault)
    }
}

/// What receiving came to.
#[derive(Debug)]
pub(super) enum Progress {
    /// Nothing more is here.
    Blocked,
    /// The head of a request.
    Request(RequestHead),
    /// The final head of a response.
    Response(ResponseHead),
    /// There is content, the end or a reset for [`Message::read`].
    Readable,
}

/// Why [`Message::read`] gives nothing.
#[derive(Debug)]
pub(super) enum ReadEnd {
    Fail(ReadFail),
    Broken(Broken),
}

impl From<Broken> for ReadEnd {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// One exchange: the message received, and the one sent.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) outgoing: Outgoing,
    request: Asked,
    stage: Stage,
    incoming: Incoming,
    frames: FrameState,
    /// Content still to come, where the head said how much.
    content_left: Option<u64>,
    /// Bytes of unknown and empty frames so far.
    skipped: u64,
    interim: usize,
    /// The upper layer knows that there is something to read, and has not met `Blocked` since.
    told: bool,
    /// The peer gave up one of the messages before it was whole.
    given_up: bool,
}

/// What kind of request an exchange has: it tells what content the response can have.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Connect,
    Head,
    Other,
}

impl Asked {
    pub(super) fn of(head: &RequestHead) -> Self {
        match head.method.as_str() {
            fields::CONNECT => Self::Connect,
            "HEAD" => Self::Head,
            _ => Self::Other,
        }
    }
}

/// The end of the receiving part: first met, then told to the upper layer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Incoming {
    Open,
    /// The end was met.
    Ended,
    /// A reset with this code was met.
    Reset(u64),
    /// Either was told, or nobody wants more.
    Done,
}

impl Message {
    /// An exchange whose request we send.
    pub(super) fn of_client(request: Asked) -> Self {
        Self::new(request, FrameState::new())
    }

    /// An exchange whose request we receive; the type of its first frame was read.
    pub(super) fn of_server(first: u64) -> Self {
        // The request tells what it is.
        Self::new(Asked::Other, FrameState::after_type(first))
    }

    fn new(request: Asked, frames: FrameState) -> Self {
        Self {
            outgoing: Outgoing::new(),
            request,
            stage: Stage::Head,
            incoming: Incoming::Open,
            frames,
            content_left: None,
            skipped: 0,
            interim: 0,
            told: false,
            given_up: false,
        }
    }

    /// Reads on, as far as the next thing the upper layer must hear of.
    pub(super) fn advance(
        &mut self,
        id: StreamId,
        quic: &mut quic::Connection,
        rules: &MessageRules,
    ) -> Result<Progress, Broken> {
        match self.incoming {
            Incoming::Open => {}
            Incoming::Ended | Incoming::Reset(_) => return Ok(Progress::Readable),
            Incoming::Done => return Ok(Progress::Blocked),
        }
        // Each turn takes bytes from the stream, and unknown frames are bounded.
        loop {
            match self.frames.next(id, quic) {
                Err(ReadFail::Blocked) => return Ok(Progress::Blocked),
                Err(ReadFail::Unknown) => {
                    self.incoming = Incoming::Done;
                    return Ok(Progress::Blocked);
                }
                Err(ReadFail::Reset(code)) if self.stage == Stage::Head => {
                    return Err(Broken::Reset(code));
                }
                Err(ReadFail::Reset(code)) => {
                    self.on_reset(code);
                    return Ok(Progress::Readable);
                }
                Ok(FrameEvent::Header(header)) => self.on_header(header, rules)?,
                Ok(FrameEvent::Section(section)) => {
                    if let Some(head) = self.on_section(&section, rules)? {
                        return Ok(head);
                    }
                }
                Ok(FrameEvent::Data { .. }) => return Ok(Progress::Readable),
                Ok(FrameEvent::End { clean }) => {
                    self.on_end(clean)?;
                    return Ok(Progress::Readable);
                }
            }
        }
    }

    /// Takes content: up to `max` bytes, or `None` at the end.
    pub(super) fn read(
        &mut self,
        max: usize,
        id: StreamId,
        quic: &mut quic::Connection,
        rules: &MessageRules,
    ) -> Result<Option<Bytes>, ReadEnd> {
        if !self.has_head() {
            return Err(ReadEnd::Fail(ReadFail::Unknown));
        }
        loop {
            match self.incoming {
                Incoming::Open => {}
                Incoming::Ended => {
                    self.incoming = Incoming::Done;
                    return Ok(None);
                }
                Incoming::Reset(code) => {
                    self.incoming = Incoming::Done;
                    return Err(ReadEnd::Fail(ReadFail::Reset(code)));
                }
                Incoming::Done => return Err(ReadEnd::Fail(ReadFail::Unknown)),
            }
            if let FrameState::Data { left } = &mut self.frames
                && *left > 0
            {
                let max = usize::try_from(*left).map_or(max, |left| left.min(max));
                match quic.read(id, max) {
                    Ok(Some(bytes)) => {
                        *left = left.saturating_sub(bytes.len() as u64);
                        return Ok(Some(bytes));
                    }
                    Ok(None) => return Err(Broken::from(TRUNCATED).into()),
                    Err(ReadFail::Blocked) => {}
                    Err(ReadFail::Reset(code)) => {
                        self.on_reset(code);
                        continue;
                    }
                    Err(ReadFail::Unknown) => {
                        self.incoming = Incoming::Done;
                        continue;
                    }
                }
            } else if let Progress::Readable = self.advance(id, quic, rules)? {
                continue;
            } else if self.incoming == Incoming::Done {
                continue;
            }
            self.told = false;
            return Err(ReadEnd::Fail(ReadFail::Blocked));
        }
    }

    /// Whether the upper layer is to hear that there is something to read, which it then has.
    pub(super) fn tell_readable(&mut self) -> bool {
        !core::mem::replace(&mut self.told, true)
    }

    /// Whether the final head was received, and so the upper layer can read.
    pub(super) fn has_head(&self) -> bool {
        self.stage != Stage::Head
    }

    /// The peer wants no more of the message sent.
    pub(super) fn on_peer_stop(&mut self) {
        self.given_up = true;
        self.outgoing.on_done();
    }

    /// Whether the peer gave the exchange up before it was over.
    pub(super) fn was_given_up(&self) -> bool {
        self.given_up
    }

    /// Nobody wants more of the message received.
    pub(super) fn stop(&mut self) {
        self.incoming = Incoming::Done;
        self.frames = FrameState::new();
    }

    /// Whether both messages are over, and the upper layer knows. A server that delivered its
    /// response need not be told that the request, all of which it had, is over; but a tunnel's end
    /// is news.
    pub(super) fn is_done(&self, side: Side) -> bool {
        let over = match self.incoming {
            Incoming::Done => true,
            Incoming::Ended => side == Side::Server && self.stage != Stage::Tunnel,
            Incoming::Open | Incoming::Reset(_) => false,
        };
        over && self.outgoing.is_done()
    }

    pub(super) fn accounted_bytes(&self) -> usize {
        size_of::<Self>() + self.frames.accounted_bytes() + self.outgoing.accounted_bytes()
    }

    fn on_reset(&mut self, code: u64) {
        self.given_up = true;
        self.incoming = Incoming::Reset(code);
    }

    /// Decides over a frame before any of its payload is read.
    fn on_header(&mut self, header: FrameHeader, rules: &MessageRules) -> Result<(), Broken> {
        let FrameHeader { ty, len } = header;
        if rules.marker == Some(ty) {
            let reason = "a stream's signal behind its first bytes";
            return Err(Fault::http(H3_FRAME_ERROR, reason).into());
        }
        let payload = self.stage.on_frame(ty, rules.sender)?;
        if payload == Payload::Unknown || len == 0 {
            let useless = len.saturating_add(header.encoded_len() as u64);
            self.skipped = self.skipped.saturating_add(useless);
            if self.skipped > rules.skipped {
                let reason = "too many unknown or empty frames";
                return Err(Fault::http(H3_EXCESSIVE_LOAD, reason).into());
            }
        }
        self.frames = match payload {
            Payload::Unknown => FrameState::Skip { left: len },
            Payload::Data => {
                if let Some(left) = &mut self.content_left {
                    *left = left.checked_sub(len).ok_or(MALFORMED)?;
                }
                FrameState::Data { left: len }
            }
            Payload::Section => {
                let left = usize::try_from(len)
                    .ok()
                    .filter(|&len| len <= rules.section.size);
                let left = left.ok_or_else(|| self.too_large(rules))?;
                FrameState::section(left)
            }
        };
        Ok(())
    }

    /// A field section is whole: the head, or trailers. Gives the head where it is the final one.
    fn on_section(
        &mut self,
        section: &[u8],
        rules: &MessageRules,
    ) -> Result<Option<Progress>, Broken> {
        if self.stage != Stage::Head {
            fields::check_trailers(section, rules.section)
                .map_err(|error| self.section_error(error, rules))?;
            self.stage = Stage::Trailers;
            return Ok(None);
        }
        match rules.sender {
            Side::Client => {
                let head = fields::decode_request(section, rules.section, rules.extended_connect)
                    .map_err(|error| self.section_error(error, rules))?;
                self.request = Asked::of(&head);
                if self.request == Asked::Connect {
                    self.stage = Stage::Tunnel;
                } else {
                    self.stage = Stage::Body;
                    // A request without content has none; one with it may tell how much.
                    self.content_left =
                        fields::content_length(&head.fields).map_err(|_| MALFORMED)?;
                }
                Ok(Some(Progress::Request(head)))
            }
            Side::Server => {
                let head = fields::decode_response(section, rules.section)
                    .map_err(|error| self.section_error(error, rules))?;
                self.on_response(head, rules)
            }
        }
    }

    fn on_response(
        &mut self,
        head: ResponseHead,
        rules: &MessageRules,
    ) -> Result<Option<Progress>, Broken> {
        match (self.request, head.status) {
            (_, 100..200) => {
                self.interim += 1;
                return if self.interim > rules.interim {
                    Err(Broken::Stream(H3_EXCESSIVE_LOAD))
                } else {
                    Ok(None)
                };
            }
            (Asked::Connect, 200..300) => self.stage = Stage::Tunnel,
            // Never with content, whatever their content-length says (RFC 9110, section 6.4.1).
            (Asked::Head, _) | (_, 204 | 304) => {
                self.stage = Stage::Body;
                self.content_left = Some(0);
            }
            _ => {
                self.stage = Stage::Body;
                self.content_left = fields::content_length(&head.fields).map_err(|_| MALFORMED)?;
            }
        }
        Ok(Some(Progress::Response(head)))
    }

    fn on_end(&mut self, clean: bool) -> Result<(), Broken> {
        if !clean {
            return Err(TRUNCATED.into());
        }
        if self.stage == Stage::Head {
            return Err(Broken::Incomplete);
        }
        if self.content_left.is_some_and(|left| left > 0) {
            return Err(MALFORMED);
        }
        self.incoming = Incoming::Ended;
        Ok(())
    }

    fn section_error(&self, error: SectionError, rules: &MessageRules) -> Broken {
        match error {
            SectionError::Undecodable(reason) => {
                Fault::http(QPACK_DECOMPRESSION_FAILED, reason).into()
            }
            SectionError::TooLarge => self.too_large(rules),
            SectionError::Malformed(_) => MALFORMED,
        }
    }

    fn too_large(&self, rules: &MessageRules) -> Broken {
        match (rules.sender, self.stage) {
            (Side::Client, Stage::Head) => Broken::HeadTooLarge,
            _ => Broken::Stream(H3_EXCESSIVE_LOAD),
        }
    }
}

const MALFORMED: Broken = Broken::Stream(H3_MESSAGE_ERROR);

const UNEXPECTED: Fault = Fault::http(
    H3_FRAME_UNEXPECTED,
    "a frame that has no place here in a message",
);

const TRUNCATED: Fault = Fault::http(H3_FRAME_ERROR, "a stream ends inside a frame");

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use super::*;

    #[test]
    fn every_stage_and_frame() {
        let stages = [Stage::Head, Stage::Body, Stage::Tunnel, Stage::Trailers];
        let frames = [
            ("DATA", DATA),
            ("HEADERS", HEADERS),
            ("CANCEL_PUSH", frame::CANCEL_PUSH),
            ("SETTINGS", frame::SETTINGS),
            ("PUSH_PROMISE", PUSH_PROMISE),
            ("GOAWAY", frame::GOAWAY),
            ("MAX_PUSH_ID", frame::MAX_PUSH_ID),
            ("HTTP/2 PRIORITY", 2),
            ("grease", 0x21),
        ];
        let mut table = String::new();
        for (name, ty) in frames {
            for stage in stages {
                let [client, server] =
                    [Side::Client, Side::Server].map(|sender| match stage.on_frame(ty, sender) {
                        Ok(payload) => format!("{payload:?}"),
                        Err(Fault::Http { code, .. }) => format!("{code:#x}"),
                        Err(fault) => format!("{fault:?}"),
                    });
                table += &format!("{name} {stage:?} {client} {server}\n");
            }
        }
        assert_eq!(table, GOLDEN);
    }

    /// Frame, stage, and what comes of it when a client or a server sends it.
    const GOLDEN: &str = "\
DATA Head 0x105 0x105
DATA Body Data Data
DATA Tunnel Data Data
DATA Trailers 0x105 0x105
HEADERS Head Section Section
HEADERS Body Section Section
HEADERS Tunnel 0x105 0x105
HEADERS Trailers 0x105 0x105
CANCEL_PUSH Head 0x105 0x105
CANCEL_PUSH Body 0x105 0x105
CANCEL_PUSH Tunnel 0x105 0x105
CANCEL_PUSH Trailers 0x105 0x105
SETTINGS Head 0x105 0x105
SETTINGS Body 0x105 0x105
SETTINGS Tunnel 0x105 0x105
SETTINGS Trailers 0x105 0x105
PUSH_PROMISE Head 0x105 0x108
PUSH_PROMISE Body 0x105 0x108
PUSH_PROMISE Tunnel 0x105 0x105
PUSH_PROMISE Trailers 0x105 0x108
GOAWAY Head 0x105 0x105
GOAWAY Body 0x105 0x105
GOAWAY Tunnel 0x105 0x105
GOAWAY Trailers 0x105 0x105
MAX_PUSH_ID Head 0x105 0x105
MAX_PUSH_ID Body 0x105 0x105
MAX_PUSH_ID Tunnel 0x105 0x105
MAX_PUSH_ID Trailers 0x105 0x105
HTTP/2 PRIORITY Head 0x105 0x105
HTTP/2 PRIORITY Body 0x105 0x105
HTTP/2 PRIORITY Tunnel 0x105 0x105
HTTP/2 PRIORITY Trailers 0x105 0x105
grease Head Unknown Unknown
grease Body Unknown Unknown
grease Tunnel Unknown Unknown
grease Trailers Unknown Unknown
";
}
