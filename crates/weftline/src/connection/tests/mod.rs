//! Two whole connections, without an endpoint around them.

mod blocked;
mod early;
mod guarantees;
mod hostile;
mod http;
mod pair;
mod raw;
mod sessions;
mod streams;
