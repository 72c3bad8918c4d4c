//! The loop that all adapters share: datagrams in, the time, datagrams out.
//!
//! An adapter implements [`DatagramIo`] for its socket and then repeats four steps:
//! 1. [`Pump::turn`];
//! 2. take every event of the endpoint, and let the application act on it;
//! 3. wait until [`Pump::deadline`], or until the socket has a datagram to receive, or until the
//!    socket takes datagrams if [`Pump::is_blocked`], or until the application used a connection;
//! 4. from the beginning.
//!
//! Each turn does a bounded amount of work, so no flood on the socket keeps a timer or the
//! application waiting.

use alloc::{vec, vec::Vec};
use core::time::Duration;

use crate::{
    endpoint::Endpoint,
    time::Instant,
    udp::{RecvMeta, Transmit},
};

/// A socket that never blocks. Its errors are its own matter: to QUIC they are lost datagrams.
pub trait DatagramIo {
    /// The next received datagram, in the implementation's own buffer; `None` when there is none
    /// now.
    fn try_recv(&mut self) -> Option<(RecvMeta, &mut [u8])>;

    /// Sends what `transmit` describes. `false` when the socket is full: the same datagrams are
    /// offered again later. Datagrams that an error befell count as sent.
    fn try_send(&mut self, transmit: &Transmit, datagrams: &[u8]) -> bool;

    /// How many datagrams of equal size [`DatagramIo::try_send`] takes at once.
    fn max_segments(&self) -> usize {
        1
    }
}

/// Moves datagrams between an [`Endpoint`] and a [`DatagramIo`].
#[derive(Debug)]
pub struct Pump {
    buffer: Vec<u8>,
    /// What of `buffer` the socket did not take.
    refused: Option<Refused>,
    /// When to turn again, whatever the endpoint says.
    again: Option<Instant>,
}

#[derive(Debug)]
struct Refused {
    transmit: Transmit,
    sent: usize,
}

impl Pump {
    /// A pump whose buffer holds 64,000 bytes to send: the most that segmentation offload takes at
    /// once, near enough.
    pub fn new() -> Self {
        Self::with_buffer(64_000)
    }

    /// A pump with a smaller buffer, for small machines; not below the datagram size of the
    /// configuration.
    pub fn with_buffer(bytes: usize) -> Self {
        Self {
            buffer: vec![0; bytes],
            refused: None,
            again: None,
        }
    }

    /// One turn: datagrams in (at most 64), timers, datagrams out until the endpoint has none, or
    /// the socket is full, or 8 buffers went out.
    pub fn turn(&mut self, endpoint: &mut Endpoint, io: &mut impl DatagramIo, now: Instant) {
        self.again = None;
        if !receive(endpoint, io, now) {
            self.again = Some(now);
        }
        if endpoint.poll_timeout().is_some_and(|at| at <= now) {
            endpoint.handle_timeout(now);
        }
        self.send(endpoint, io, now);
        if self.is_blocked() {
            self.again = Some(now + FULL_SOCKET_PAUSE);
        }
    }

    /// When the next turn is due at the latest; `None` when nothing is going on. Ask after the
    /// application has acted on the events: what it did may be ready to go out.
    pub fn deadline(&self, endpoint: &Endpoint) -> Option<Instant> {
        let timeout = endpoint.poll_timeout();
        match self.again {
            // The endpoint has something to send, but the socket is full.
            Some(again) if self.is_blocked() => Some(again),
            Some(again) => Some(timeout.map_or(again, |at| at.min(again))),
            None => timeout,
        }
    }

    /// Whether the socket was full: a turn is worth while as soon as it takes datagrams again.
    /// [`Pump::deadline`] comes soon in this case, for loops that cannot wait for that.
    pub fn is_blocked(&self) -> bool {
        self.refused.is_some()
    }

    fn send(&mut self, endpoint: &mut Endpoint, io: &mut impl DatagramIo, now: Instant) {
        if !self.send_refused(io) {
            return;
        }
        // Bounded so that timers and receiving get their turn; what is left shows in deadline().
        for _ in 0..SEND_BURST {
            let Some(transmit) = endpoint.poll_transmit(now, &mut self.buffer) else {
                return;
            };
            self.refused = Some(Refused { transmit, sent: 0 });
            if !self.send_refused(io) {
                return;
            }
        }
    }

    /// Whether the socket took everything.
    fn send_refused(&mut self, io: &mut impl DatagramIo) -> bool {
        let Some(Refused { transmit, sent }) = &mut self.refused else {
            return true;
        };
        // Asked each time: a socket may find out that its network card does no segmentation.
        while let Some(part) = next_part(transmit, *sent, io.max_segments()) {
            let datagrams = self.buffer.get(*sent..*sent + part.len).unwrap_or(&[]);
            if !io.try_send(&part, datagrams) {
                return false;
            }
            *sent += part.len;
        }
        self.refused = None;
        true
    }
}

impl Default for Pump {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the socket was read until it was empty.
fn receive(endpoint: &mut Endpoint, io: &mut impl DatagramIo, now: Instant) -> bool {
    for _ in 0..RECEIVE_BURST {
        let Some((meta, datagram)) = io.try_recv() else {
            return true;
        };
        endpoint.handle_datagram(now, meta, datagram);
    }
    false
}

/// The part of `whole` that starts at `sent` and has at most `max_segments` datagrams; `None` when
/// all of it was sent.
fn next_part(whole: &Transmit, sent: usize, max_segments: usize) -> Option<Transmit> {
    let left = whole.len.checked_sub(sent).filter(|&left| left > 0)?;
    let segment = whole.segment.unwrap_or(left).max(1);
    let len = segment.saturating_mul(max_segments.max(1)).min(left);
    Some(Transmit {
        len,
        segment: (len > segment).then_some(segment),
        ..*whole
    })
}

/// Datagrams received in one turn.
const RECEIVE_BURST: usize = 64;

/// Buffers sent in one turn: with offload they are large, and adapters with threads hold a lock
/// meanwhile.
const SEND_BURST: usize = 8;

/// How soon a full socket is tried again when nobody says that it has room.
const FULL_SOCKET_PAUSE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests;
