//! Streams and datagrams that wait for their session (draft-16, section 4.6), and the memory of
//! ended sessions that tells the late from the early. Bounded in number, bytes and time.

use alloc::collections::VecDeque;
use bytes::Bytes;

use super::SessionId;
use crate::{config::Limits, time::Instant, wire::StreamId};

/// What waits, on one connection.
#[derive(Debug)]
pub(super) struct Pending {
    streams: VecDeque<EarlyStream>,
    datagrams: VecDeque<EarlyDatagram>,
    datagram_bytes: usize,
    /// Sessions, and the code with which their streams are refused.
    ended: VecDeque<(SessionId, u64)>,
    bounds: Bounds,
}

/// Why a stream cannot wait: there are as many waiting as may.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Pending {
    /// Nothing waits.
    pub(super) const fn new(limits: &Limits) -> Self {
        Self {
            streams: VecDeque::new(),
            datagrams: VecDeque::new(),
            datagram_bytes: 0,
            ended: VecDeque::new(),
            bounds: Bounds {
                streams: limits.early_streams,
                datagrams: limits.early_datagrams,
                datagram_bytes: limits.early_datagram_bytes,
                stream_wait: limits.early_timeout,
                datagram_wait: limits.early_datagram_timeout,
                ended: limits.closed_sessions,
            },
        }
    }

    /// A stream of a session that is not there yet.
    pub(super) fn add_stream(
        &mut self,
        now: Instant,
        session: SessionId,
        id: StreamId,
        header_len: u64,
    ) -> Result<(), Full> {
        if self.streams.len() >= self.bounds.streams {
            return Err(Full);
        }
        let until = now + self.bounds.stream_wait;
        self.streams.push_back(EarlyStream {
            session,
            id,
            header_len,
            until,
        });
        Ok(())
    }

    /// A datagram of a session that is not there yet. Gives whether it is kept: one that finds no
    /// room is dropped.
    pub(super) fn add_datagram(&mut self, now: Instant, session: SessionId, data: Bytes) -> bool {
        let bytes = self.datagram_bytes.saturating_add(data.len());
        if self.datagrams.len() >= self.bounds.datagrams || bytes > self.bounds.datagram_bytes {
            return false;
        }
        self.datagram_bytes = bytes;
        let until = now + self.bounds.datagram_wait;
        self.datagrams.push_back(EarlyDatagram {
            session,
            data,
            until,
        });
        true
    }

    /// Takes the next stream that waits for `session`, and the length of its header.
    pub(super) fn take_stream(&mut self, session: SessionId) -> Option<(StreamId, u64)> {
        let at = self.streams.iter().position(|s| s.session == session)?;
        let stream = self.streams.remove(at)?;
        Some((stream.id, stream.header_len))
    }

    /// Takes the next datagram that waits for `session`.
    pub(super) fn take_datagram(&mut self, session: SessionId) -> Option<Bytes> {
        let at = self.datagrams.iter().position(|d| d.session == session)?;
        let datagram = self.datagrams.remove(at)?;
        self.datagram_bytes -= datagram.data.len();
        Some(datagram.data)
    }

    /// Forgets a waiting stream: the peer reset it, or the like.
    pub(super) fn forget_stream(&mut self, id: StreamId) {
        self.streams.retain(|stream| stream.id != id);
    }

    /// Takes a stream that has waited too long for a session that is not even known.
    pub(super) fn take_expired(
        &mut self,
        now: Instant,
        is_known: impl Fn(SessionId) -> bool,
    ) -> Option<StreamId> {
        let expired = |s: &EarlyStream| s.until <= now && !is_known(s.session);
        let at = self.streams.iter().position(expired)?;
        self.streams.remove(at).map(|stream| stream.id)
    }

    /// Drops the datagrams that have waited too long for a session that is not even known.
    pub(super) fn drop_expired(&mut self, now: Instant, is_known: impl Fn(SessionId) -> bool) {
        let bytes = &mut self.datagram_bytes;
        self.datagrams.retain(|datagram| {
            let keep = datagram.until > now || is_known(datagram.session);
            if !keep {
                *bytes -= datagram.data.len();
            }
            keep
        });
    }

    /// When the next stream or datagram for an unknown session has waited long enough.
    pub(super) fn timeout(&self, is_known: impl Fn(SessionId) -> bool) -> Option<Instant> {
        let streams = self.streams.iter().map(|s| (s.session, s.until));
        let datagrams = self.datagrams.iter().map(|d| (d.session, d.until));
        streams
            .chain(datagrams)
            .filter(|&(session, _)| !is_known(session))
            .map(|(_, until)| until)
            .min()
    }

    /// Remembers that `session` is over, and the code with which to refuse its late streams.
    pub(super) fn on_ended(&mut self, session: SessionId, code: u64) {
        if self.ended.len() >= self.bounds.ended {
            self.ended.pop_front();
        }
        self.ended.push_back((session, code));
    }

    /// The code with which to refuse streams of `session`, when it is known to be over.
    pub(super) fn ended_with(&self, session: SessionId) -> Option<u64> {
        let ended = self.ended.iter().find(|(id, _)| *id == session);
        ended.map(|&(_, code)| code)
    }

    /// Memory held, in bytes.
    pub(super) fn accounted_bytes(&self) -> usize {
        self.datagram_bytes
            + self.datagrams.capacity() * size_of::<EarlyDatagram>()
            + self.streams.capacity() * size_of::<EarlyStream>()
    }
}

#[derive(Debug)]
struct EarlyStream {
    session: SessionId,
    id: StreamId,
    header_len: u64,
    until: Instant,
}

#[derive(Debug)]
struct EarlyDatagram {
    session: SessionId,
    data: Bytes,
    until: Instant,
}

#[derive(Debug)]
struct Bounds {
    streams: usize,
    datagrams: usize,
    datagram_bytes: usize,
    stream_wait: core::time::Duration,
    datagram_wait: core::time::Duration,
    ended: usize,
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::wire::{Dir, Side};

    const A: SessionId = SessionId(StreamId::from_u64(0));
    const B: SessionId = SessionId(StreamId::from_u64(4));

    fn stream(n: u64) -> StreamId {
        StreamId::new(Side::Client, Dir::Uni, n)
    }

    fn pending() -> Pending {
        Pending::new(&Limits {
            early_streams: 3,
            early_datagrams: 2,
            early_datagram_bytes: 10,
            early_timeout: Duration::from_secs(5),
            early_datagram_timeout: Duration::from_secs(1),
            closed_sessions: 2,
            ..Limits::default()
        })
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn streams_wait_in_order_and_in_bounds() {
        let mut pending = pending();
        for (n, session) in [(1, A), (2, B), (3, A)] {
            assert_eq!(pending.add_stream(at(0), session, stream(n), 3), Ok(()));
        }
        assert_eq!(pending.add_stream(at(0), B, stream(4), 3), Err(Full));
        assert_eq!(pending.take_stream(A), Some((stream(1), 3)));
        assert_eq!(pending.take_stream(A), Some((stream(3), 3)));
        assert_eq!(pending.take_stream(A), None);
        assert_eq!(pending.add_stream(at(0), B, stream(4), 3), Ok(()));
        pending.forget_stream(stream(2));
        assert_eq!(pending.take_stream(B), Some((stream(4), 3)));
    }

    #[test]
    fn datagrams_wait_in_number_and_bytes() {
        let mut pending = pending();
        assert!(pending.add_datagram(at(0), A, Bytes::from_static(b"12345678")));
        assert!(
            !pending.add_datagram(at(0), A, Bytes::from_static(b"123")),
            "bytes"
        );
        assert!(pending.add_datagram(at(0), B, Bytes::from_static(b"12")));
        assert!(!pending.add_datagram(at(0), B, Bytes::new()), "number");
        assert_eq!(pending.datagram_bytes, 10);
        assert_eq!(pending.take_datagram(A).unwrap(), "12345678");
        assert_eq!(pending.take_datagram(A), None);
        assert_eq!(pending.datagram_bytes, 2);
    }

    #[test]
    fn unknown_sessions_are_not_waited_for_forever() {
        let mut pending = pending();
        let is_known = |session| session == B;
        pending.add_stream(at(0), A, stream(1), 3).unwrap();
        pending.add_stream(at(0), B, stream(2), 3).unwrap();
        assert!(pending.add_datagram(at(0), A, Bytes::from_static(b"a")));
        assert!(pending.add_datagram(at(0), B, Bytes::from_static(b"b")));

        assert_eq!(pending.timeout(is_known), Some(at(1)));
        pending.drop_expired(at(1), is_known);
        assert_eq!(pending.take_datagram(A), None);
        assert_eq!(pending.timeout(is_known), Some(at(5)));
        assert_eq!(pending.take_expired(at(4), is_known), None);
        assert_eq!(pending.take_expired(at(5), is_known), Some(stream(1)));
        assert_eq!(pending.take_expired(at(9), is_known), None);
        assert_eq!(pending.timeout(is_known), None);
        assert_eq!(pending.take_stream(B), Some((stream(2), 3)));
        assert_eq!(pending.take_datagram(B).unwrap(), "b");
    }

    #[test]
    fn the_last_ended_sessions_are_remembered() {
        let mut pending = pending();
        for n in 0..3 {
            pending.on_ended(SessionId(StreamId::from_u64(n * 4)), n);
        }
        assert_eq!(pending.ended_with(A), None);
        assert_eq!(pending.ended_with(B), Some(1));
    }
}
