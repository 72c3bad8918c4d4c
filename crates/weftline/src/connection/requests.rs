//! Plain HTTP/3 requests, on either end.

use super::Connection;
#[cfg(doc)]
use crate::event::Event;
use crate::{
    error::RequestError,
    h3::{RequestHead, ResponseHead},
    wire::{Side, StreamId, h3::error_code},
};

/// Plain HTTP/3.
impl Connection {
    /// Client: sends a request. Its body goes out with [`write`](Self::write), and
    /// [`finish`](Self::finish) ends it, body or not; [`Event::Response`] follows. Possible after
    /// [`Event::Connected`].
    ///
    /// While [`early_data`](Self::early_data) is `Pending`, GET, HEAD and OPTIONS are possible
    /// before that, too, as long as no session was asked for. Anybody on the way can have the server
    /// see such a request again, later. Its body waits for the handshake. A server may answer 425
    /// (Too Early): then send it again after [`Event::Connected`] (RFC 8470, section 5.2).
    pub fn request(&mut self, head: &RequestHead) -> Result<StreamId, RequestError> {
        if self.wt.is_session_request(head) {
            return Err(RequestError::Invalid(
                "a session: that is request_session's",
            ));
        }
        if self.quic.is_handshaking() && self.wt.has_queued() {
            return Err(RequestError::Limit);
        }
        self.h3.send_request(&mut self.quic, head, false)
    }

    /// Server: sends the head of a response, or of an interim one. The body goes out with
    /// [`write`](Self::write), and [`finish`](Self::finish) ends it, body or not.
    pub fn respond(&mut self, request: StreamId, head: &ResponseHead) -> Result<(), RequestError> {
        if !self.is_message(request) {
            return Err(RequestError::UnknownRequest);
        }
        self.h3.send_response(&mut self.quic, request, head, false)
    }

    /// Server: whether a request came in early data, and the handshake is not complete: it may be
    /// somebody's replay of an old one. What is not safe to do twice should wait for
    /// [`Event::Connected`], or be answered with 425 (Too Early; RFC 8470).
    pub fn is_early(&self, request: StreamId) -> bool {
        self.quic.side() == Side::Server && self.quic.is_handshaking() && self.is_message(request)
    }

    /// Gives up an exchange, both ways.
    pub fn cancel(&mut self, request: StreamId) {
        if self.is_message(request) {
            let code = error_code::H3_REQUEST_CANCELLED;
            self.h3.cancel(&mut self.quic, request, code);
            self.settle();
        }
    }
}
