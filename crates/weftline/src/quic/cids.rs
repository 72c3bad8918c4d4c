//! The connection IDs of both ends (RFC 9000, section 5.1).

mod local;
mod remote;

pub(crate) use local::LocalCids;
pub(crate) use remote::RemoteCids;

#[cfg(test)]
mod tests;
