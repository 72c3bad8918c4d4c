//! The `weftline` command.

fn main() {}
