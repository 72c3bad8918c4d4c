//! Types of `streams`, until that module lands. Import them from `crate::quic`.

use crate::wire::{Dir, StreamId};

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamChange {
    Opened(StreamId),
    Readable(StreamId),
    Writable(StreamId),
    Stopped { id: StreamId, code: u64 },
    Finished(StreamId),
    Available(Dir),
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteFail {
    Blocked,
    Stopped(u64),
    Finished,
    Unknown,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadFail {
    Blocked,
    Reset(u64),
    Unknown,
}
