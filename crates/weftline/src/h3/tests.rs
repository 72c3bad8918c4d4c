//! The layer over real connections, against another layer or a peer that writes what it likes.

mod exchanges;
mod foreign;
mod hostile;
mod pair;
