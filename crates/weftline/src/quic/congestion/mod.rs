//! How much may be in flight.

use alloc::boxed::Box;
use core::fmt;

mod new_reno;

pub(crate) use new_reno::NewReno;

use crate::time::Instant;

/// A congestion controller (RFC 9002, section 7): hears what is sent, acknowledged and lost, and
/// says how many bytes may be in flight. Counting those bytes, deciding what is lost and pacing
/// are not its work.
pub(crate) trait Controller: fmt::Debug + Send {
    /// Bytes that may be in flight.
    fn window(&self) -> u64;

    /// A packet that counts as in flight was sent. `in_flight` includes it.
    fn on_sent(&mut self, now: Instant, bytes: u16, in_flight: u64);

    /// A packet that counted as in flight was acknowledged.
    fn on_ack(&mut self, ack: &AckedPacket);

    /// Packets were lost or marked; the newest of them was sent at `sent`.
    fn on_congestion_event(&mut self, now: Instant, sent: Instant, cause: Cause);

    /// The size of datagrams changed.
    fn on_mtu_update(&mut self, max_datagram_size: u16);

    /// A copy, state and all.
    fn clone_box(&self) -> Box<dyn Controller>;
}

/// A packet that was acknowledged.
#[derive(Copy, Clone, Debug)]
pub(crate) struct AckedPacket {
    /// When it was sent.
    pub(crate) sent: Instant,
    pub(crate) bytes: u16,
    /// Too little was sent of late to fill the window, so its being enough proves nothing
    /// (RFC 9002, section 7.8).
    pub(crate) app_limited: bool,
}

/// What tells of congestion.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Packets were lost.
    Loss,
    /// The peer reports packets marked ECN-CE.
    Ecn,
    /// Everything was lost for so long that the window is void (RFC 9002, section 7.6). It is
    /// told after the loss itself.
    Persistent,
}

impl Clone for Box<dyn Controller> {
    fn clone(&self) -> Self {
        self.clone_box()
    }
}

/// The window to begin with (RFC 9002, section 7.2).
pub(crate) fn initial_window(max_datagram_size: u16) -> u64 {
    let size = u64::from(max_datagram_size);
    (10 * size).min((2 * size).max(14_720))
}

/// The window that no congestion shrinks further (RFC 9002, section 7.2).
pub(crate) fn minimum_window(max_datagram_size: u16) -> u64 {
    2 * u64::from(max_datagram_size)
}
