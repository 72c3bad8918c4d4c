//! Two whole connections, without an endpoint around them.

mod hostile;
mod http;
mod pair;
mod sessions;
mod streams;
