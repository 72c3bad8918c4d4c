//! Virtual time and a lossy network for [`weftline`] endpoints.
//!
//! Everything follows from a seed: a run that fails prints it, and running it again fails at the
//! same step.

pub mod fuzz;
pub mod link;

pub use link::{Link, LinkConfig, LinkStats};
