use std::{future::poll_fn, task::Poll};

use weftline::h3::{RequestHead, ResponseHead};

use crate::{
    Connection, RecvStream, SendStream,
    error::{Closed, RequestError, gone},
    shared::register,
};

/// A plain HTTP/3 request of a client. Dropped without an answer the exchange is cancelled.
#[derive(Debug)]
pub struct IncomingRequest {
    head: Box<RequestHead>,
    send: SendStream,
    body: RecvStream,
}

/// The response to a request, on its way. Dropped it asks the server to stop.
#[derive(Debug)]
pub struct PendingResponse {
    body: RecvStream,
}

impl IncomingRequest {
    pub(crate) fn new(head: Box<RequestHead>, send: SendStream, body: RecvStream) -> Self {
        Self { head, send, body }
    }

    /// The request without its body.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Whether it came in early data, and the handshake is not complete: it may be somebody's replay
    /// of an old one. Answer 425 (Too Early; RFC 8470) to what is not safe to do twice, or wait for
    /// [`Connection::handshake_complete`].
    pub fn is_early(&self) -> bool {
        let id = self.body.handle().id();
        self.connection()
            .peek(|core| core.is_early(id))
            .unwrap_or(false)
    }

    /// Its body.
    pub fn body(&mut self) -> &mut RecvStream {
        &mut self.body
    }

    /// The connection it came on.
    pub fn connection(&self) -> &Connection {
        self.body.handle().connection()
    }

    /// Answers. Write the response's body to the stream if there is one, and finish it in any case;
    /// the rest of the request's body can be read meanwhile.
    pub fn respond(self, head: ResponseHead) -> Result<(SendStream, RecvStream), RequestError> {
        let Self { send, body, .. } = self;
        let handle = body.handle();
        {
            let mut state = handle.shared().lock();
            let core = state
                .core(handle.connection_id())
                .map_err(RequestError::Closed)?;
            core.respond(handle.id(), &head)?;
        }
        handle.shared().wake_driver();
        Ok((send, body))
    }
}

impl PendingResponse {
    pub(crate) fn new(body: RecvStream) -> Self {
        Self { body }
    }

    /// Waits for the head of the response; its body follows on the stream.
    pub async fn head(self) -> Result<(ResponseHead, RecvStream), RequestError> {
        let handle = self.body.handle();
        let head = poll_fn(|cx| {
            let mut state = handle.shared().lock();
            let Some(stream) = handle.state(&mut state) else {
                return Poll::Ready(Err(RequestError::Closed(gone(""))));
            };
            if let Some(head) = stream.response.take() {
                return Poll::Ready(Ok(head));
            }
            if let Some(code) = stream.failed {
                return Poll::Ready(Err(RequestError::Failed { code }));
            }
            register(&mut stream.reader, cx.waker());
            match handle.closed(&state) {
                Some(Closed::Connection(reason)) => Poll::Ready(Err(RequestError::Closed(reason))),
                Some(Closed::Session(_)) | None => Poll::Pending,
            }
        })
        .await?;
        Ok((*head, self.body))
    }
}
