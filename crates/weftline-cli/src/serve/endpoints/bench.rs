//! `/bench`: what a measuring client asks for, stream by stream.
//!
//! The first byte of a bidirectional stream says what to do. Numbers are 64 bits, little-endian.

use tokio::sync::watch;
use weftline_tokio::{Bytes, ReadError, RecvStream, SendStream, WriteError};

use super::{each, echo, throughput};
use crate::{link::Link, pattern::Pattern, serve::registry::Record};

/// Does what each bidirectional stream asks for; counts all else and throws it away.
pub(crate) async fn serve(link: &Link, record: &Record) {
    let bench = Bench {
        tally: watch::Sender::new(Tally::default()),
        pattern: Pattern::new(0),
        record: record.clone(),
    };
    let bidi = each(
        || link.accept_bi(),
        |(send, recv)| {
            let bench = bench.clone();
            async move { bench.answer(send, recv).await }
        },
    );
    let uni = each(
        || link.accept_uni(),
        |recv| {
            let bench = bench.clone();
            async move { bench.count_uni(recv).await }
        },
    );
    tokio::join!(bidi, uni, bench.count_datagrams(link));
}

/// What the streams of a session, or raw connection, share.
#[derive(Clone)]
struct Bench {
    tally: watch::Sender<Tally>,
    pattern: Pattern,
    record: Record,
}

/// What came beside the bidirectional streams.
#[derive(Copy, Clone, Debug, Default)]
struct Tally {
    datagrams: u64,
    datagram_bytes: u64,
    /// Unidirectional streams read to their end.
    streams: u64,
    stream_bytes: u64,
}

/// What a stream asks for with all its bytes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Request {
    Download { bytes: u64 },
    Tally,
    TallyAfter { streams: u64 },
}

impl Bench {
    async fn answer(self, mut send: SendStream, mut recv: RecvStream) {
        let first = match first_chunk(&mut recv).await {
            Ok(first) => first,
            Err(error) => return self.record.on_read_error(&error),
        };
        let result = match first.first() {
            Some(b'E') => match send.write_chunk(first).await {
                Ok(()) => return echo::echo_stream(send, recv, self.record).await,
                Err(error) => Err(error),
            },
            Some(b'U') => {
                let before = first.len() as u64;
                drop(first);
                let Ok(rest) = throughput::count(recv, &self.record).await else {
                    return;
                };
                let total = before + rest;
                throughput::write(&mut send, total.to_le_bytes().to_vec().into()).await
            }
            _ => match self.request(first, &mut recv).await {
                Ok(Some(request)) => self.fulfil(request, &mut send).await,
                Ok(None) => {
                    recv.stop(NOT_UNDERSTOOD);
                    return send.reset(NOT_UNDERSTOOD);
                }
                Err(error) => return self.record.on_read_error(&error),
            },
        };
        if let Err(error) = result {
            self.record.on_write_error(&error);
        }
    }

    /// Reads a request to its end, or to the first byte too many.
    async fn request(
        &self,
        first: Bytes,
        recv: &mut RecvStream,
    ) -> Result<Option<Request>, ReadError> {
        let mut data = first.to_vec();
        // What no request begins with, is none at its end either.
        if !matches!(data.first(), Some(b'D' | b'S' | b'W')) {
            return Ok(None);
        }
        while data.len() <= MAX_REQUEST {
            match recv.read_chunk(MAX_REQUEST).await? {
                Some(chunk) => data.extend_from_slice(&chunk),
                None => return Ok(Request::parse(&data)),
            }
        }
        Ok(None)
    }

    async fn fulfil(&self, request: Request, send: &mut SendStream) -> Result<(), WriteError> {
        match request {
            Request::Download { bytes } => {
                for chunk in self.pattern.chunks(bytes) {
                    send.write_chunk(chunk).await?;
                }
                send.finish()
            }
            Request::Tally => throughput::write(send, self.tally()).await,
            Request::TallyAfter { streams } => {
                let mut counted = self.tally.subscribe();
                tokio::select! {
                    // The sender is our own: it is not closed.
                    _ = counted.wait_for(|tally| tally.streams >= streams) => {}
                    // The client stopped the stream, or the session is over.
                    stopped = send.stopped() => return Err(match stopped {
                        Ok(code) => WriteError::Stopped(code),
                        Err(error) => error,
                    }),
                }
                throughput::write(send, self.tally()).await
            }
        }
    }

    fn tally(&self) -> Bytes {
        self.tally.borrow().encode()
    }

    async fn count_uni(&self, recv: RecvStream) {
        if let Ok(bytes) = throughput::count(recv, &self.record).await {
            self.tally.send_modify(|tally| {
                tally.streams += 1;
                tally.stream_bytes += bytes;
            });
        }
    }

    async fn count_datagrams(&self, link: &Link) {
        while let Ok(datagram) = link.recv_datagram().await {
            self.tally.send_if_modified(|tally| {
                tally.datagrams += 1;
                tally.datagram_bytes += datagram.len() as u64;
                // Nobody waits for datagrams.
                false
            });
        }
    }
}

impl Tally {
    fn encode(self) -> Bytes {
        let figures = [
            self.datagrams,
            self.datagram_bytes,
            self.streams,
            self.stream_bytes,
        ];
        figures.iter().flat_map(|n| n.to_le_bytes()).collect()
    }
}

impl Request {
    fn parse(data: &[u8]) -> Option<Self> {
        let (op, rest) = data.split_first()?;
        let number = || rest.try_into().ok().map(u64::from_le_bytes);
        match op {
            b'D' => number().map(|bytes| Self::Download { bytes }),
            b'S' => rest.is_empty().then_some(Self::Tally),
            b'W' => number().map(|streams| Self::TallyAfter { streams }),
            _ => None,
        }
    }
}

/// What comes first, which is empty only when there is nothing.
async fn first_chunk(recv: &mut RecvStream) -> Result<Bytes, ReadError> {
    while let Some(chunk) = recv.read_chunk(CHUNK).await? {
        if !chunk.is_empty() {
            return Ok(chunk);
        }
    }
    Ok(Bytes::new())
}

const CHUNK: usize = 64 << 10;

/// Bytes of the longest request.
const MAX_REQUEST: usize = 9;

/// The code of streams that ask for nothing we know: this application's own.
const NOT_UNDERSTOOD: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let number = [7, 1, 0, 0, 0, 0, 0, 0];
        let with = |op: u8| [&[op][..], &number].concat();
        let download = Request::Download { bytes: 263 };
        assert_eq!(Request::parse(&with(b'D')), Some(download));
        let after = Request::TallyAfter { streams: 263 };
        assert_eq!(Request::parse(&with(b'W')), Some(after));
        assert_eq!(Request::parse(b"S"), Some(Request::Tally));
        for length in 0..9 {
            assert_eq!(Request::parse(&with(b'D')[..length]), None);
            assert_eq!(Request::parse(&with(b'W')[..length]), None);
        }
        assert_eq!(Request::parse(&[with(b'D'), vec![0]].concat()), None);
        assert_eq!(Request::parse(b"Sx"), None);
        assert_eq!(Request::parse(&with(b'X')), None);
    }
}
