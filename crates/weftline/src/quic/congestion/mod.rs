//! How much may be in flight, and how fast it goes out (RFC 9002, section 7).
//!
//! [`Cubic`] is the default. To bring a controller of your own, implement [`Controller`] for its
//! state, [`ControllerFactory`] for what makes one for each path, and set
//! [`TransportConfig::congestion`](crate::config::TransportConfig::congestion) to
//! [`Congestion::Custom`].

use alloc::{boxed::Box, sync::Arc};
use core::{fmt, time::Duration};

mod bbr;
mod cubic;
mod hystart;
mod new_reno;

#[cfg(test)]
mod tests;

pub use bbr::Bbr;
pub use cubic::Cubic;
pub use new_reno::NewReno;

use crate::time::Instant;

/// A congestion controller of one path: hears what is sent, acknowledged and lost there, and says
/// how many bytes may be in flight. Counting those bytes, deciding what is lost and pacing are not
/// its work.
///
/// All sizes are of UDP payloads. What a controller says is read again after every call but
/// [`Controller::on_sent`].
pub trait Controller: fmt::Debug + Send {
    /// What people call it.
    fn name(&self) -> &'static str;

    /// Bytes that may be in flight.
    fn window(&self) -> u64;

    /// Bytes per second at which to send; `None` for a rate that follows from the window and the
    /// round-trip time.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    /// Bytes to send at once, where that is the controller's choice.
    fn send_quantum(&self) -> Option<u64> {
        None
    }

    /// Whether the window grows exponentially. Packets are then paced at twice a window each round
    /// trip instead of 1.25 times.
    fn in_slow_start(&self) -> bool;

    /// The window where slow start ends, for whom that is a notion; `None` before there is one.
    fn ssthresh(&self) -> Option<u64> {
        None
    }

    /// A packet that counts as in flight was sent.
    fn on_sent(&mut self, _sent: &Sent) {}

    /// Nothing was in flight, for want of data; now a packet is about to be sent.
    fn on_idle_restart(&mut self, _now: Instant) {}

    /// An ACK frame newly acknowledged packets. It comes after the calls for the losses that the
    /// frame showed.
    fn on_ack(&mut self, acked: &Acked);

    /// A packet was lost. [`Controller::on_congestion_event`] follows for all that were lost at
    /// once.
    fn on_lost(&mut self, _lost: &Lost) {}

    /// Packets were lost, or marked on the way.
    fn on_congestion_event(&mut self, event: &CongestionEvent);

    /// All packets of the latest loss event arrived after all: they were late, not lost. What was
    /// done about the event may be undone.
    fn on_spurious_loss(&mut self, _now: Instant) {}

    /// The size of datagrams changed.
    fn on_mtu_update(&mut self, max_datagram_size: u16);
}

/// Makes a [`Controller`] for each path.
pub trait ControllerFactory: fmt::Debug + Send + Sync {
    /// A controller for a path of which nothing is known yet.
    fn build(&self, start: &Start) -> Box<dyn Controller>;
}

/// Which controller a connection uses.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Congestion {
    /// [`NewReno`] (RFC 9002).
    NewReno,
    /// [`Cubic`] (RFC 9438).
    #[default]
    Cubic,
    /// [`Bbr`], version 3 (draft-ietf-ccwg-bbr).
    Bbr,
    /// One of your own.
    Custom(Arc<dyn ControllerFactory>),
}

impl Congestion {
    /// A controller for a path of which nothing is known yet.
    pub fn build(&self, start: &Start) -> Box<dyn Controller> {
        match self {
            Self::NewReno => Box::new(NewReno::new(start)),
            Self::Cubic => Box::new(Cubic::new(start)),
            Self::Bbr => Box::new(Bbr::new(start)),
            Self::Custom(factory) => factory.build(start),
        }
    }
}

/// What a controller starts with.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Start {
    /// The time.
    pub now: Instant,
    /// Bytes of the largest datagram that is sent.
    pub max_datagram_size: u16,
    /// The round-trip time that is assumed before there is a sample.
    pub initial_rtt: Duration,
    /// Random bits, different for each path.
    pub seed: u64,
}

impl Start {
    /// The window to begin with (RFC 9002, section 7.2).
    pub fn initial_window(&self) -> u64 {
        initial_window(self.max_datagram_size)
    }
}

/// A packet that was sent.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// When.
    pub now: Instant,
    /// Its size.
    pub bytes: u16,
    /// Bytes in flight, it included.
    pub bytes_in_flight: u64,
}

/// The packets that an ACK frame newly acknowledged.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acked {
    /// When the frame came.
    pub now: Instant,
    /// Their bytes, of those that counted as in flight.
    pub bytes: u64,
    /// When the newest of them was sent.
    pub sent: Instant,
    /// The round trip of the newest, the peer's delay included; `None` when the frame gave no
    /// sample.
    pub rtt: Option<Duration>,
    /// The smoothed round-trip time.
    pub smoothed_rtt: Duration,
    /// The smallest round-trip time; zero before the first sample.
    pub min_rtt: Duration,
    /// Bytes in flight before the frame.
    pub bytes_in_flight_before: u64,
    /// Bytes in flight now.
    pub bytes_in_flight: u64,
    /// Bytes that the frame showed to be lost.
    pub lost: u64,
    /// Too little was sent of late to fill the window, so that its being enough proves nothing
    /// (RFC 9002, section 7.8).
    pub app_limited: bool,
    /// How fast the path delivers.
    pub rate: RateSample,
}

/// A sample of the rate at which the path delivers (draft-ietf-ccwg-bbr, section 4.1): from the
/// sending of the newest packet acknowledged, or the acknowledgement before it, until now.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateSample {
    /// Bytes delivered in that time.
    pub delivered: u64,
    /// That time; zero when the sample is not reliable.
    pub interval: Duration,
    /// Bytes delivered on the path since its beginning.
    pub total_delivered: u64,
    /// The same when the newest packet was sent.
    pub prior_delivered: u64,
    /// Bytes lost between its sending and now.
    pub lost: u64,
    /// Bytes in flight when it was sent, it included.
    pub in_flight: u64,
    /// The application had nothing more to send when it was sent.
    pub app_limited: bool,
}

impl RateSample {
    /// Bytes per second; zero when there is no reliable sample.
    pub fn bytes_per_second(&self) -> u64 {
        let micros = u64::try_from(self.interval.as_micros()).unwrap_or(u64::MAX);
        let bytes = self.delivered.saturating_mul(1_000_000);
        bytes.checked_div(micros).unwrap_or(0)
    }
}

/// A packet that counted as in flight and was lost.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// When that was found out.
    pub now: Instant,
    /// When it was sent.
    pub sent: Instant,
    /// Its size.
    pub bytes: u16,
    /// Bytes delivered on the path since its beginning.
    pub total_delivered: u64,
    /// Bytes lost since it was sent, it included.
    pub lost_since_sent: u64,
    /// Bytes in flight when it was sent, it included.
    pub in_flight: u64,
    /// The application had nothing more to send when it was sent.
    pub app_limited: bool,
}

/// A sign of congestion.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CongestionEvent {
    /// When it was seen.
    pub now: Instant,
    /// When the newest packet that was lost or marked was sent.
    pub sent: Instant,
    /// What it is.
    pub cause: Cause,
    /// Bytes lost; zero for marks.
    pub lost: u64,
    /// Bytes in flight, without those.
    pub bytes_in_flight: u64,
}

/// What tells of congestion.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Packets were lost.
    Loss,
    /// The peer reports packets marked ECN-CE.
    Ecn,
    /// Everything was lost for so long that the window is void (RFC 9002, section 7.6). It is
    /// told after the loss itself.
    Persistent,
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
