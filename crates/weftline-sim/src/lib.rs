//! Virtual time and a lossy network for [`weftline`] endpoints.
//!
//! Everything follows from a seed: a run that fails prints it, and running it again fails at the
//! same step.

pub mod apps;
pub mod fuzz;
mod invariants;
pub mod link;
pub mod ops;
pub mod world;

pub use link::{Link, LinkConfig, LinkStats};
pub use world::{App, Node, Stuck, World};
