//! Tests of the repository as a whole. This library holds the checks of the rules in
//! `CONTRIBUTING.md` that neither the compiler nor a lint can hold; `tests/` runs them, the stack
//! over real TLS, and other implementations as peers.
//!
//! The checks read the source as [`source`] cuts it into tokens, without comments and without code
//! that only tests see.

#![forbid(unsafe_code)]

pub mod code_points;
pub mod core_source;
pub mod layers;
pub mod manifest;
pub mod purity;
pub mod source;
