//! Control streams (RFC 9114, section 6.2.1): ours, and the rules for the peer's.

use alloc::vec::Vec;

use crate::{
    error::Fault,
    quic,
    wire::{
        Dir, Side, StreamId,
        h3::{
            FrameHeader, FrameReader, Settings,
            error_code::{
                H3_EXCESSIVE_LOAD, H3_FRAME_ERROR, H3_FRAME_UNEXPECTED, H3_ID_ERROR,
                H3_MISSING_SETTINGS,
            },
            frame::{
                self, CANCEL_PUSH, FrameStream, GOAWAY, MAX_ID_PAYLOAD, MAX_PUSH_ID,
                MalformedFrame, PRIORITY_UPDATE_PUSH, PRIORITY_UPDATE_REQUEST, Placement, SETTINGS,
            },
            stream_type,
        },
    },
};

/// Our control stream. What the transport does not take yet waits here.
#[derive(Debug, Default)]
pub(super) struct LocalControl {
    id: Option<StreamId>,
    out: Vec<u8>,
}

impl LocalControl {
    /// Queues the type of the stream and SETTINGS.
    pub(super) fn begin(&mut self, settings: &Settings) {
        let header = FrameHeader {
            ty: SETTINGS,
            len: settings.encoded_len() as u64,
        };
        self.out.push(stream_type::CONTROL as u8);
        self.out.extend_from_slice(&header.encode());
        settings.encode(&mut self.out);
    }

    /// Queues a frame.
    pub(super) fn push(&mut self, frame: &[u8]) {
        self.out.extend_from_slice(frame);
    }

    /// Gives the transport what it takes; opens the stream as soon as it may.
    pub(super) fn flush(&mut self, quic: &mut quic::Connection) {
        if self.out.is_empty() {
            return;
        }
        if self.id.is_none() {
            self.id = quic.open(Dir::Uni);
            if let Some(id) = self.id {
                quic.set_priority(id, quic::URGENT);
            }
        }
        let Some(id) = self.id else { return };
        while !self.out.is_empty()
            && let Ok(taken) = quic.write(id, &self.out)
        {
            self.out.drain(..taken.min(self.out.len()));
        }
    }

    pub(super) fn is(&self, id: StreamId) -> bool {
        self.id == Some(id)
    }

    pub(super) fn accounted_bytes(&self) -> usize {
        self.out.capacity()
    }
}

/// What bounds and binds the peer's control stream.
#[derive(Copy, Clone, Debug)]
pub(super) struct ControlRules {
    /// Who sends on it.
    pub(super) sender: Side,
    /// Signal of foreign bidirectional streams, which is no frame.
    pub(super) marker: Option<u64>,
    /// Longest payload of a known frame.
    pub(super) payload: usize,
    /// Settings in SETTINGS.
    pub(super) settings: usize,
    /// Bytes of unknown frames.
    pub(super) skipped: u64,
}

/// What the peer's control stream tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ControlEvent {
    /// The peer's settings; exactly once, and first.
    Settings(Settings),
    /// GOAWAY with this identifier, the first or smaller than those before.
    GoAway(u64),
}

/// The peer's control stream, behind its type.
#[derive(Debug)]
pub(super) struct PeerControl {
    rules: ControlRules,
    state: State,
    /// Bytes of unknown frames so far.
    skipped: u64,
    has_settings: bool,
    max_push_id: Option<u64>,
    go_away: Option<u64>,
}

#[derive(Debug)]
enum State {
    Header(FrameReader),
    Payload {
        ty: u64,
        held: Vec<u8>,
        missing: usize,
    },
    Skip {
        missing: u64,
    },
}

impl PeerControl {
    pub(super) const fn new(rules: ControlRules) -> Self {
        Self {
            rules,
            state: State::Header(FrameReader::new()),
            skipped: 0,
            has_settings: false,
            max_push_id: None,
            go_away: None,
        }
    }

    /// Takes bytes from the front of `input` as far as the next event. `None` when all are taken.
    pub(super) fn feed(&mut self, input: &mut &[u8]) -> Result<Option<ControlEvent>, Fault> {
        loop {
            match &mut self.state {
                State::Header(reader) => {
                    let Some(header) = reader.feed(input) else {
                        return Ok(None);
                    };
                    self.on_header(header)?;
                }
                State::Skip { missing } => {
                    let take =
                        usize::try_from(*missing).map_or(input.len(), |n| n.min(input.len()));
                    *input = input.get(take..).unwrap_or_default();
                    *missing -= take as u64;
                    if *missing > 0 {
                        return Ok(None);
                    }
                    self.state = State::Header(FrameReader::new());
                }
                State::Payload { ty, held, missing } => {
                    let take = input.len().min(*missing);
                    let (piece, rest) = input.split_at_checked(take).unwrap_or_default();
                    held.extend_from_slice(piece);
                    *input = rest;
                    *missing -= take;
                    if *missing > 0 {
                        return Ok(None);
                    }
                    let (ty, payload) = (*ty, core::mem::take(held));
                    self.state = State::Header(FrameReader::new());
                    if let Some(event) = self.on_frame(ty, &payload)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    pub(super) fn accounted_bytes(&self) -> usize {
        match &self.state {
            State::Payload { held, .. } => held.capacity(),
            State::Header(_) | State::Skip { .. } => 0,
        }
    }

    /// Decides over a frame before any of its payload is read.
    fn on_header(&mut self, header: FrameHeader) -> Result<(), Fault> {
        let FrameHeader { ty, len } = header;
        if !self.has_settings && ty != SETTINGS {
            return Err(Fault::http(
                H3_MISSING_SETTINGS,
                "the control stream began without SETTINGS",
            ));
        }
        if self.rules.marker == Some(ty) {
            return Err(Fault::http(H3_FRAME_ERROR, "a stream's signal as a frame"));
        }
        match frame::placement(ty, FrameStream::Control, self.rules.sender) {
            Placement::Unexpected => Err(Fault::http(
                H3_FRAME_UNEXPECTED,
                "a frame that has no place on a control stream",
            )),
            Placement::Unknown => {
                self.skipped = (self.skipped)
                    .saturating_add(len)
                    .saturating_add(header.encoded_len() as u64);
                if self.skipped > self.rules.skipped {
                    return Err(Fault::http(H3_EXCESSIVE_LOAD, "too many unknown frames"));
                }
                self.state = State::Skip { missing: len };
                Ok(())
            }
            Placement::Allowed => {
                let is_id = matches!(ty, CANCEL_PUSH | GOAWAY | MAX_PUSH_ID);
                if is_id && len > MAX_ID_PAYLOAD {
                    return Err(malformed(MalformedFrame));
                }
                let missing = usize::try_from(len)
                    .ok()
                    .filter(|&len| len <= self.rules.payload)
                    .ok_or(Fault::http(
                        H3_EXCESSIVE_LOAD,
                        "a control frame is too long",
                    ))?;
                self.state = State::Payload {
                    ty,
                    held: Vec::new(),
                    missing,
                };
                Ok(())
            }
        }
    }

    fn on_frame(&mut self, ty: u64, payload: &[u8]) -> Result<Option<ControlEvent>, Fault> {
        match ty {
            SETTINGS => self.on_settings(payload).map(Some),
            GOAWAY => self.on_go_away(frame::parse_id(payload).map_err(malformed)?),
            MAX_PUSH_ID => {
                let id = frame::parse_id(payload).map_err(malformed)?;
                if self.max_push_id.is_some_and(|before| id < before) {
                    return Err(Fault::http(H3_ID_ERROR, "MAX_PUSH_ID goes down"));
                }
                self.max_push_id = Some(id);
                Ok(None)
            }
            // Nothing was ever pushed, by us or with our leave (section 7.2.3).
            CANCEL_PUSH => {
                frame::parse_id(payload).map_err(malformed)?;
                Err(Fault::http(
                    H3_ID_ERROR,
                    "a push is cancelled that never was",
                ))
            }
            PRIORITY_UPDATE_REQUEST => {
                let (id, _) = frame::parse_priority_update(payload).map_err(malformed)?;
                if is_request(id) {
                    Ok(None)
                } else {
                    Err(Fault::http(
                        H3_ID_ERROR,
                        "a priority for what is no request",
                    ))
                }
            }
            PRIORITY_UPDATE_PUSH => {
                frame::parse_priority_update(payload).map_err(malformed)?;
                Err(Fault::http(
                    H3_ID_ERROR,
                    "a priority for a push that never was",
                ))
            }
            // `on_header` lets no other type pass.
            _ => Ok(None),
        }
    }

    fn on_settings(&mut self, payload: &[u8]) -> Result<ControlEvent, Fault> {
        if self.has_settings {
            return Err(Fault::http(H3_FRAME_UNEXPECTED, "SETTINGS come twice"));
        }
        self.has_settings = true;
        Settings::parse(payload, self.rules.settings)
            .map(ControlEvent::Settings)
            .map_err(|error| Fault::http(error.code(), error.reason()))
    }

    /// Section 5.2.
    fn on_go_away(&mut self, id: u64) -> Result<Option<ControlEvent>, Fault> {
        if self.rules.sender == Side::Server && !is_request(id) {
            return Err(Fault::http(H3_ID_ERROR, "GOAWAY with what is no request"));
        }
        match self.go_away.replace(id) {
            Some(before) if id > before => Err(Fault::http(H3_ID_ERROR, "GOAWAY goes up")),
            Some(before) if id == before => Ok(None),
            _ => Ok(Some(ControlEvent::GoAway(id))),
        }
    }
}

/// Whether `id` is that of a client-initiated bidirectional stream.
fn is_request(id: u64) -> bool {
    let id = StreamId::from_u64(id);
    (id.initiator(), id.dir()) == (Side::Client, Dir::Bi)
}

fn malformed(_: MalformedFrame) -> Fault {
    Fault::http(MalformedFrame::CODE, "a control frame has a bad length")
}

#[cfg(test)]
mod tests;
