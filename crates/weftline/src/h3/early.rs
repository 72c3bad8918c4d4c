//! Requests before the handshake (RFC 9114, section 7.2.4.2; RFC 8470).
//!
//! A client that resumes a session knows the server's SETTINGS of the last time, and may send
//! requests that are safe to repeat. Should the server reject early data, they are sent again, on
//! streams of the same numbers: the upper layer sees nothing of it.

use alloc::vec::Vec;

use super::{
    Change, Layer, RequestHead,
    body::Room,
    control::LocalControl,
    request::{Asked, Message},
    streams::Stream,
};
use crate::{
    error::{Fault, RequestError},
    quic::{self, EarlyData},
    wire::{
        Dir, StreamId,
        h3::{
            Settings,
            error_code::{H3_REQUEST_CANCELLED, H3_REQUEST_REJECTED, H3_SETTINGS_ERROR},
            frame, is_grease,
        },
    },
};

/// What a client sent before the handshake was complete.
#[derive(Debug)]
pub(super) struct Early {
    /// By which it was sent.
    pub(super) settings: Settings,
    /// In the order of their streams, until the handshake is complete.
    requests: Vec<EarlyRequest>,
}

#[derive(Debug)]
struct EarlyRequest {
    id: StreamId,
    asked: Asked,
    section: Vec<u8>,
}

impl Layer {
    /// Client: early data may be sent, to a server that had these settings.
    pub(crate) fn begin_early_data(&mut self, quic: &mut quic::Connection, settings: Settings) {
        self.early = Some(Early {
            settings,
            requests: Vec::new(),
        });
        self.control.flush(quic);
    }

    /// Client: whether a request may be sent before the handshake is complete. Anybody may replay
    /// it, so it must be safe (RFC 9110, section 9.2.1).
    pub(super) fn may_send_early(&self, head: &RequestHead) -> bool {
        let is_safe = matches!(head.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        is_safe && self.early.is_some() && !self.connected
    }

    /// A request went out; it is kept while it may have to go out again.
    pub(super) fn note_early_request(&mut self, id: StreamId, asked: Asked, section: &[u8]) {
        if let Some(early) = self.early.as_mut().filter(|_| !self.connected) {
            early.requests.push(EarlyRequest {
                id,
                asked,
                section: section.to_vec(),
            });
        }
    }

    /// The server rejected early data: no stream is left. Sends everything again.
    pub(super) fn on_early_data_rejected(&mut self, quic: &mut quic::Connection) {
        let requests = self.early.take().map(|early| early.requests);
        self.control = LocalControl::default();
        self.control.begin(&self.settings);
        if self.go_away_sent.is_some() {
            self.control.push(&frame::encode_id(frame::GOAWAY, 0));
        }
        self.control.flush(quic);
        for request in requests.unwrap_or_default() {
            self.repeat(&request, quic);
        }
    }

    /// The handshake is complete: content may be sent now, and requests need not be kept.
    pub(super) fn on_early_data_over(&mut self, quic: &mut quic::Connection) {
        let requests = self.early.as_mut().map(|early| &mut early.requests);
        for request in requests.map(core::mem::take).unwrap_or_default() {
            let Some(Stream::Message(message)) = self.streams.get_mut(&request.id) else {
                continue;
            };
            if message.outgoing.on_writable(request.id, quic) == Room::Writable {
                self.changes.push_back(Change::Writable(request.id));
            }
        }
    }

    /// The server's SETTINGS came: if it took early data, they must be no worse than those it was
    /// sent by.
    pub(super) fn check_early_settings(
        &mut self,
        quic: &quic::Connection,
        settings: &Settings,
    ) -> Result<(), Fault> {
        let Some(early) = self.early.take() else {
            return Ok(());
        };
        if quic.early_data() != EarlyData::Accepted {
            return Ok(());
        }
        let understood = |id| !is_grease(id) && self.settings.get(id).is_some();
        let mut before = early.settings.iter().filter(|&(id, _)| understood(id));
        // What is left out where it had a value is as bad as a smaller value.
        let kept = before.all(|(id, value)| value == 0 || settings.get(id) >= Some(value));
        if kept {
            Ok(())
        } else {
            Err(Fault::http(
                H3_SETTINGS_ERROR,
                "early data was accepted under lesser settings",
            ))
        }
    }

    fn repeat(&mut self, request: &EarlyRequest, quic: &mut quic::Connection) {
        let id = request.id;
        let Some(opened) = quic.open(Dir::Bi) else {
            if self.streams.remove(&id).is_some() {
                self.changes
                    .push_back(Change::Failed(id, H3_REQUEST_REJECTED));
            }
            return;
        };
        let Some(Stream::Message(message)) = self.streams.get_mut(&id) else {
            // It was given up. Its stream is used up all the same.
            quic.reset(opened, H3_REQUEST_CANCELLED);
            quic.stop(opened, H3_REQUEST_CANCELLED);
            return;
        };
        let end = message.outgoing.is_ended();
        **message = Message::of_client(request.asked);
        // A fresh stream takes a head.
        let _ = message
            .outgoing
            .send_head(&request.section, true, end, opened, quic);
    }

    /// Whether a request can be sent now, be it early.
    pub(super) fn check_sending(&self, head: &RequestHead) -> Result<(), RequestError> {
        let may_send = self.connected || self.may_send_early(head);
        if may_send && !self.go_away_received {
            Ok(())
        } else {
            Err(RequestError::Limit)
        }
    }
}
