//! [Weftline](weftline) on the standard library.
//!
//! [`Driver`] runs an endpoint in a blocking loop on one thread: no runtime, no locks. The rest is
//! what any adapter on an operating system needs: [`UdpIo`] (offloads and both address families),
//! [`Clock`], [`OsEntropy`], [`Target`] and [`resolve`].

#![forbid(unsafe_code)]

mod clock;
mod driver;
mod entropy;
mod resolve;
mod socket;
mod target;
mod udp;

pub use clock::{Clock, unix_time};
pub use driver::{Driver, Happened, Notifier, Turned};
pub use entropy::OsEntropy;
pub use resolve::resolve;
pub use socket::{bind, bind_any};
pub use target::{Target, TargetError};
pub use udp::{IoStats, NonBlocking, UdpIo};

pub use quinn_udp::UdpSockRef;
