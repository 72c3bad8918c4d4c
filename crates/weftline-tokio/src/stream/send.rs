use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;
use weftline::{Connection as Core, StreamId};

use super::{
    StreamHandle,
    refusal::{self, Refusal},
};
use crate::{
    error::WriteError,
    shared::register,
    state::{SendEnd, State},
};

/// The sending half of a stream, or the body of a plain HTTP/3 message.
///
/// Dropped before [`SendStream::finish`] it resets the stream with code 0, or cancels the exchange
/// it is a part of. As [`AsyncWrite`] it finishes on `shutdown`, and `flush` does nothing: what is
/// written is sent by itself.
#[derive(Debug)]
pub struct SendStream {
    stream: StreamHandle,
    /// Finished or reset by this side.
    is_done: bool,
}

impl SendStream {
    pub(crate) fn new(stream: StreamHandle) -> Self {
        Self {
            stream,
            is_done: false,
        }
    }

    /// The stream.
    pub fn id(&self) -> StreamId {
        self.stream.id()
    }

    /// Writes some of `data`, at least one byte if there is one, and gives how much. Waits while
    /// buffers or the peer's credit are used up.
    pub async fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        poll_fn(|cx| self.poll_write_some(cx, data)).await
    }

    /// Writes all of `data`. When dropped midway, an unknown part was written.
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<(), WriteError> {
        while !data.is_empty() {
            let written = self.write(data).await?;
            data = data.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes all of `data` without copying it. When dropped midway, an unknown part was written.
    pub async fn write_chunk(&mut self, mut data: Bytes) -> Result<(), WriteError> {
        while data.has_remaining() {
            let write = |core: &mut Core, id| refusal::write_bytes(core, id, data.clone());
            let written = poll_fn(|cx| self.poll_with(cx, write)).await?;
            data.advance(written.min(data.len()));
        }
        Ok(())
    }

    /// Ends the stream. What was written is still delivered.
    pub fn finish(&mut self) -> Result<(), WriteError> {
        if self.is_done {
            return Err(WriteError::Finished);
        }
        let id = self.id();
        let mut state = self.stream.shared().lock();
        if let Some(SendEnd::Stopped(code)) = self.end(&mut state) {
            return Err(WriteError::Stopped(code));
        }
        match refusal::finish(self.stream.core(&mut state)?, id) {
            Ok(()) => {}
            Err(error) => return Err(self.cause(&state, error)),
        }
        drop(state);
        self.is_done = true;
        self.stream.shared().wake_driver();
        Ok(())
    }

    /// Ends the stream at once; what was not delivered may never be. Does nothing when the stream
    /// ended before. Codes have 32 bits in a session and 62 on a raw connection; larger ones are
    /// sent as the largest.
    pub fn reset(&mut self, code: u64) {
        let (id, connection) = (self.id(), self.stream.connection_id());
        self.is_done = true;
        let mut state = self.stream.shared().lock();
        if self.end(&mut state).is_some() {
            return;
        }
        if let Ok(core) = self.stream.core(&mut state) {
            refusal::reset(core, id, code);
        }
        state.on_sent(connection, id, SendEnd::Reset);
        drop(state);
        self.stream.shared().wake_driver();
    }

    /// Waits until the peer has received everything, the end included. Does not borrow the stream.
    pub fn finished(&self) -> impl Future<Output = Result<(), WriteError>> + Send + use<> {
        let stream = self.stream.clone();
        async move {
            match stream.sent().await? {
                SendEnd::Acknowledged => Ok(()),
                SendEnd::Stopped(code) => Err(WriteError::Stopped(code)),
                SendEnd::Reset => Err(WriteError::Finished),
            }
        }
    }

    /// Waits until the peer asks to stop, and gives its code (`None` when it is not an
    /// application's). [`WriteError::Finished`] when that cannot happen any more: everything was
    /// received, or this side reset the stream. Does not borrow the stream.
    pub fn stopped(&self) -> impl Future<Output = Result<Option<u64>, WriteError>> + Send + use<> {
        let stream = self.stream.clone();
        async move {
            match stream.sent().await? {
                SendEnd::Stopped(code) => Ok(code),
                SendEnd::Acknowledged | SendEnd::Reset => Err(WriteError::Finished),
            }
        }
    }

    /// Streams with higher numbers are sent first; all begin at 0.
    pub fn set_priority(&self, priority: i32) {
        let id = self.id();
        if let Ok(core) = self.stream.core(&mut self.stream.shared().lock()) {
            core.set_priority(id, priority);
        }
    }

    /// Puts the stream into a group for sending; all begin in group 0. Groups of one priority take
    /// turns: those of different sessions should differ.
    pub fn set_send_group(&self, group: u32) {
        let id = self.id();
        if let Ok(core) = self.stream.core(&mut self.stream.shared().lock()) {
            core.set_send_group(id, group);
        }
    }

    /// Streams with higher orders are sent first, within their group and priority; equals take
    /// turns. All begin at 0.
    pub fn set_send_order(&self, order: i64) {
        let id = self.id();
        if let Ok(core) = self.stream.core(&mut self.stream.shared().lock()) {
            core.set_send_order(id, order);
        }
    }

    /// Bytes written that the peer has not acknowledged, headers included.
    pub fn buffered(&self) -> u64 {
        let mut state = self.stream.shared().lock();
        let core = self.stream.core(&mut state);
        core.map_or(0, |core| core.buffered(self.id()))
    }

    /// Waits until no more than this many bytes are [`buffered`](Self::buffered).
    ///
    /// # Errors
    /// When the stream was reset by either side, or its session or connection is gone.
    pub async fn drained_to(&mut self, bytes: u64) -> Result<(), WriteError> {
        poll_fn(|cx| self.poll_drained(cx, bytes)).await
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>, bytes: u64) -> Poll<Result<(), WriteError>> {
        let id = self.id();
        let mut state = self.stream.shared().lock();
        match self.end(&mut state) {
            Some(SendEnd::Stopped(code)) => return Poll::Ready(Err(WriteError::Stopped(code))),
            Some(SendEnd::Reset) => return Poll::Ready(Err(WriteError::Finished)),
            Some(SendEnd::Acknowledged) => return Poll::Ready(Ok(())),
            None => {}
        }
        if let Some(closed) = self.stream.closed(&state) {
            return Poll::Ready(Err(closed.into()));
        }
        let core = self.stream.core(&mut state)?;
        if core.buffered(id) <= bytes {
            return Poll::Ready(Ok(()));
        }
        refusal::set_low_water(core, id, bytes);
        if let Some(stream) = self.stream.state(&mut state) {
            register(&mut stream.writer, cx.waker());
        }
        Poll::Pending
    }

    fn poll_write_some(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, WriteError>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_with(cx, |core, id| refusal::write(core, id, data))
    }

    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut Core, StreamId) -> Result<usize, Refusal>,
    ) -> Poll<Result<usize, WriteError>> {
        if self.is_done {
            return Poll::Ready(Err(WriteError::Finished));
        }
        let id = self.id();
        let mut state = self.stream.shared().lock();
        if let Some(SendEnd::Stopped(code)) = self.end(&mut state) {
            return Poll::Ready(Err(WriteError::Stopped(code)));
        }
        match write(self.stream.core(&mut state)?, id) {
            Ok(written) => {
                drop(state);
                self.stream.shared().wake_driver();
                Poll::Ready(Ok(written))
            }
            Err(Refusal::Blocked) => {
                if let Some(stream) = self.stream.state(&mut state) {
                    register(&mut stream.writer, cx.waker());
                }
                drop(state);
                // The peer is told that its credit holds us back.
                self.stream.shared().wake_driver();
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(self.cause(&state, error))),
        }
    }

    fn end(&self, state: &mut State) -> Option<SendEnd> {
        self.stream.state(state)?.sent
    }

    fn cause(&self, state: &State, refusal: Refusal) -> WriteError {
        match refusal {
            Refusal::Peer(code) => WriteError::Stopped(code),
            Refusal::Gone | Refusal::Blocked => self
                .stream
                .closed(state)
                .map_or(WriteError::Finished, WriteError::Closed),
        }
    }
}

impl AsyncWrite for SendStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_some(cx, data).map_err(io::Error::from)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_done {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.finish().map_err(io::Error::from))
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        if self.stream.is_request() {
            let id = self.id();
            if let Ok(core) = self.stream.core(&mut self.stream.shared().lock()) {
                core.cancel(id);
            }
            self.stream.shared().wake_driver();
        } else {
            self.reset(0);
        }
    }
}
