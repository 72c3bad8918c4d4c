//! Datagrams sent without a connection.

use alloc::{collections::VecDeque, vec::Vec};
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{Instant, RecvMeta, Transmit};

/// Answers that wait to be sent. Peers fill this queue and only we can drain it, so it is bounded,
/// and what does not fit is not answered.
pub(super) struct Answers {
    queue: VecDeque<Answer>,
    max: usize,
    reset_interval: Duration,
    next_reset: Instant,
}

struct Answer {
    to: SocketAddr,
    from: Option<IpAddr>,
    datagram: Vec<u8>,
}

impl Answers {
    pub(super) const fn new(max: usize, reset_interval: Duration) -> Self {
        Self {
            queue: VecDeque::new(),
            max,
            reset_interval,
            next_reset: Instant::ZERO,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether another answer fits.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < self.max
    }

    /// Whether a stateless reset may be sent now; the next may not for a while.
    pub(super) fn take_reset(&mut self, now: Instant) -> bool {
        if now < self.next_reset || !self.has_room() {
            return false;
        }
        self.next_reset = now + self.reset_interval;
        true
    }

    /// Queues the answer to a datagram, unless the queue is full.
    pub(super) fn push(&mut self, meta: &RecvMeta, datagram: Vec<u8>) {
        if self.has_room() {
            self.queue.push_back(Answer {
                to: meta.from,
                from: meta.to,
                datagram,
            });
        }
    }

    /// Writes the next answer into `out`. One that does not fit there is dropped.
    pub(super) fn pop(&mut self, out: &mut [u8]) -> Option<Transmit> {
        let Answer { to, from, datagram } = self.queue.pop_front()?;
        let len = datagram.len();
        out.get_mut(..len)?.copy_from_slice(&datagram);
        Some(Transmit {
            to,
            from,
            ecn: None,
            len,
            segment: None,
        })
    }
}
