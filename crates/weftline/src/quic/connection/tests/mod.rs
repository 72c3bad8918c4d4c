mod craft;
mod echo;
mod faults;
mod handshake;
mod pair;
