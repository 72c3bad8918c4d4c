//! Two whole connections, without an endpoint around them.

mod pair;
mod sessions;
