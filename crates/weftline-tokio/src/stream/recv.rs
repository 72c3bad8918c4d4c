use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use weftline::{Connection as Core, StreamId};

use super::{
    StreamHandle,
    refusal::{self, Refusal},
};
use crate::{error::ReadError, shared::register, state::State};

/// The receiving half of a stream, or the body of a plain HTTP/3 message.
///
/// Dropped before its end it asks the peer to stop, with code 0.
#[derive(Debug)]
pub struct RecvStream {
    stream: StreamHandle,
    /// How it ended, once it has: the answer to all further reads.
    end: Option<Result<(), ReadError>>,
}

impl RecvStream {
    pub(crate) fn new(stream: StreamHandle) -> Self {
        Self { stream, end: None }
    }

    /// The stream.
    pub fn id(&self) -> StreamId {
        self.stream.id()
    }

    /// Reads up to `max` bytes, without copying them; `None` at the end of the stream.
    pub async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
        poll_fn(|cx| self.poll_with(cx, |core, id| refusal::read(core, id, max))).await
    }

    /// Reads into `buffer` and gives how much, at least one byte if there is room for one; `None`
    /// at the end of the stream.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, ReadError> {
        poll_fn(|cx| self.poll_into(cx, buffer)).await
    }

    /// Reads everything up to the end of the stream; [`ReadError::TooLong`] when that is more than
    /// `limit` bytes. When dropped midway, what was read is lost.
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Vec<u8>, ReadError> {
        let mut data = Vec::new();
        while let Some(chunk) = self.read_chunk(usize::MAX).await? {
            if chunk.len() > limit.saturating_sub(data.len()) {
                return Err(ReadError::TooLong);
            }
            data.extend_from_slice(&chunk);
        }
        Ok(data)
    }

    /// Asks the peer to send no more, and reads no more. Does nothing when the stream ended before.
    /// Codes have 32 bits in a session and 62 on a raw connection; larger ones are sent as the
    /// largest.
    pub fn stop(&mut self, code: u64) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(Err(ReadError::Finished));
        let id = self.id();
        if let Ok(core) = self.stream.core(&mut self.stream.shared().lock()) {
            refusal::stop(core, id, code);
        }
        self.stream.shared().wake_driver();
    }

    pub(crate) fn handle(&self) -> &StreamHandle {
        &self.stream
    }

    fn poll_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<usize>, ReadError>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(Some(0)));
        }
        self.poll_with(cx, |core, id| refusal::read_into(core, id, buffer))
    }

    fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        read: impl FnOnce(&mut Core, StreamId) -> Result<Option<T>, Refusal>,
    ) -> Poll<Result<Option<T>, ReadError>> {
        if let Some(end) = &self.end {
            return Poll::Ready(end.clone().map(|()| None));
        }
        let id = self.id();
        let mut state = self.stream.shared().lock();
        let end = match read(self.stream.core(&mut state)?, id) {
            Ok(Some(data)) => {
                drop(state);
                // The peer may be waiting for the credit that this gave back.
                self.stream.shared().wake_driver();
                return Poll::Ready(Ok(Some(data)));
            }
            Err(Refusal::Blocked) => {
                if let Some(stream) = self.stream.state(&mut state) {
                    register(&mut stream.reader, cx.waker());
                }
                return Poll::Pending;
            }
            Ok(None) => Ok(()),
            Err(Refusal::Peer(code)) => Err(ReadError::Reset(code)),
            Err(Refusal::Gone) => Err(self.cause(&state)),
        };
        drop(state);
        // The stream may have been the last that held back a further one of the peer's.
        self.stream.shared().wake_driver();
        self.end = Some(end.clone());
        Poll::Ready(end.map(|()| None))
    }

    fn cause(&self, state: &State) -> ReadError {
        self.stream
            .closed(state)
            .map_or(ReadError::Finished, ReadError::Closed)
    }
}

impl AsyncRead for RecvStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.poll_into(cx, buffer.initialize_unfilled()))?;
        buffer.advance(read.unwrap_or(0));
        Poll::Ready(Ok(()))
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        self.stop(0);
    }
}
