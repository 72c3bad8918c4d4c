use alloc::{vec, vec::Vec};

use super::*;
use crate::{
    error::{Fault, TransportCode},
    quic::sent::{SentFrame, SentFrames},
    wire::{
        Reader, Writer,
        frame::{Frame, ResetStream, Stream as StreamFrame},
        varint,
    },
};

mod limits;
mod pair;
mod reading;
mod writing;

fn limits() -> Limits {
    Limits {
        streams_bidi: 4,
        streams_uni: 3,
        stream_window: 1000,
        stream_window_max: 4000,
        connection_window: 2500,
        connection_window_max: 10_000,
        stream_gaps: 8,
        stream_send_buffer: 2000,
        connection_send_buffer: 3000,
        ..Limits::default()
    }
}

/// A server's streams, for a client that allows plenty.
fn server() -> Streams {
    let mut streams = Streams::new(Side::Server, &limits());
    streams.on_peer_params(&StreamParams {
        max_data: 1 << 20,
        bidi_local: 1 << 16,
        bidi_remote: 1 << 16,
        uni: 1 << 16,
        streams_bidi: 10,
        streams_uni: 10,
    });
    streams
}

fn client_bi(index: u64) -> StreamId {
    StreamId::new(Side::Client, Dir::Bi, index)
}

fn client_uni(index: u64) -> StreamId {
    StreamId::new(Side::Client, Dir::Uni, index)
}

fn server_uni(index: u64) -> StreamId {
    StreamId::new(Side::Server, Dir::Uni, index)
}

fn server_bi(index: u64) -> StreamId {
    StreamId::new(Side::Server, Dir::Bi, index)
}

fn code<T: core::fmt::Debug>(result: Result<T, Fault>) -> TransportCode {
    match result {
        Err(Fault::Transport { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

/// What happened, without the notice that comes last of every stream.
fn changes(streams: &mut Streams) -> Vec<StreamChange> {
    core::iter::from_fn(|| streams.next_change())
        .filter(|change| !matches!(change, StreamChange::Closed { .. }))
        .collect()
}

/// One packet of at most `size` bytes, and what it carried.
fn packet(streams: &mut Streams, size: usize) -> (Vec<u8>, Vec<SentFrame>) {
    let mut buf = vec![0; size];
    let mut w = Writer::new(&mut buf);
    let mut sent = SentFrames::default();
    streams.write_control(&mut w, &mut sent);
    streams.write_data(&mut w, &mut sent);
    (w.written().to_vec(), sent.as_slice().to_vec())
}

/// The frames of a packet.
fn parse(bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut r = Reader::new(bytes);
    let mut frames = Vec::new();
    while !r.is_empty() {
        frames.push(Frame::parse(&mut r).unwrap());
    }
    frames
}

/// Sends and acknowledges until nothing is left.
fn deliver_all(streams: &mut Streams) {
    while streams.has_control() || streams.has_data() {
        let (_, sent) = packet(streams, 1200);
        assert!(!sent.is_empty());
        sent.iter().for_each(|frame| streams.on_acked(frame));
    }
}
