//! Two whole connections, without an endpoint around them.

mod blocked;
mod guarantees;
mod hostile;
mod http;
mod pair;
mod raw;
mod sessions;
mod streams;
