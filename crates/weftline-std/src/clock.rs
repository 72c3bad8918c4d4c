use std::time::{self, Duration};

use weftline::Instant;

/// The monotonic clock of the operating system. Its origin is when it was made.
#[derive(Copy, Clone, Debug)]
pub struct Clock(time::Instant);

impl Clock {
    /// A clock that shows zero now.
    pub fn new() -> Self {
        Self(time::Instant::now())
    }

    /// What it shows.
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }

    /// How long until it shows `at`.
    pub fn until(&self, at: Instant) -> Duration {
        // Instant counts whole microseconds: compared in nanoseconds, so as not to wake up early.
        Duration::from_micros(at.as_micros()).saturating_sub(self.0.elapsed())
    }
}

/// The time since the Unix epoch, for [`Endpoint::offer_unix_origin`] when a clock begins; zero when
/// the system's own is set to a time before that.
///
/// [`Endpoint::offer_unix_origin`]: weftline::Endpoint::offer_unix_origin
pub fn unix_time() -> Duration {
    let now = time::SystemTime::now();
    now.duration_since(time::UNIX_EPOCH).unwrap_or_default()
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
