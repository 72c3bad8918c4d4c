//! What streams and datagrams must do.

use std::collections::{BTreeMap, BTreeSet};

use weftline::{
    Event, StreamId,
    error::DatagramError,
    raw::{Raw, ReadError, WriteError},
    wire::Dir,
};

use super::{Op, can_send, side};

/// Everything both peers did, and what came of it.
#[derive(Default)]
pub(super) struct Model {
    /// Both directions of each stream; `[i]` is what node `i` sends.
    streams: BTreeMap<StreamId, [Half; 2]>,
    /// The streams that each node knows of.
    known: [Vec<StreamId>; 2],
    /// Datagrams that each node sent: their lengths.
    sent: [Vec<usize>; 2],
    /// Those of the other node's that each node received.
    received: [BTreeSet<u64>; 2],
}

/// One direction of a stream.
#[derive(Clone, Debug, Default)]
struct Half {
    written: u64,
    finished: bool,
    reset: Option<u64>,
    /// The receiver asked to stop, with this code.
    stop: Option<u64>,
    /// The sender was told of that.
    was_stopped: bool,
    /// The sender was told that all arrived.
    was_acked: bool,
    read: u64,
    end: Option<End>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum End {
    Fin,
    Reset,
}

impl Half {
    /// Nothing more happens on it.
    fn is_done(&self) -> bool {
        let receiver = self.end.is_some() || self.stop.is_some();
        let sender = self.was_acked || self.was_stopped || self.reset.is_some();
        receiver && sender
    }

    /// What the sender may be told of a stream that it cannot write to.
    fn refuses(&self, error: WriteError) -> bool {
        match error {
            WriteError::Blocked => !self.finished && self.reset.is_none(),
            WriteError::Stopped(code) => self.stop == Some(code),
            WriteError::Finished => self.finished || self.reset.is_some(),
            WriteError::Unknown => {
                (self.finished && self.was_acked) || self.reset.is_some() || self.was_stopped
            }
        }
    }
}

impl Model {
    /// Does an operation, and sees that it does what it must.
    pub(super) fn apply(&mut self, op: &Op, connection: &mut Raw<'_>) -> Result<(), String> {
        match *op {
            Op::Open { at, dir } => self.open(at, dir, connection),
            Op::Write { at, pick, len } => match self.pick(at, pick, true) {
                Some(id) => self.write(at, id, len, connection),
                None => Ok(()),
            },
            Op::Finish { at, pick } => match self.pick(at, pick, true) {
                Some(id) => self.finish(at, id, connection),
                None => Ok(()),
            },
            Op::Reset { at, pick, code } => {
                if let Some(id) = self.pick(at, pick, true) {
                    connection.reset(id, code);
                    let half = &mut self.half(id)[at];
                    // One that is over stays as it ended.
                    if half.reset.is_none() && !half.was_acked && !half.was_stopped {
                        half.reset = Some(code);
                    }
                }
                Ok(())
            }
            Op::Stop { at, pick, code } => {
                if let Some(id) = self.pick(at, pick, false) {
                    connection.stop(id, code);
                    let half = &mut self.half(id)[1 - at];
                    if half.stop.is_none() && half.end.is_none() {
                        half.stop = Some(code);
                    }
                }
                Ok(())
            }
            Op::Read { at, pick, max } => match self.pick(at, pick, false) {
                Some(id) => self.read(at, id, max, connection).map(drop),
                None => Ok(()),
            },
            Op::Prioritize { at, pick, priority } => {
                if let Some(id) = self.pick(at, pick, true) {
                    connection.set_priority(id, priority);
                }
                Ok(())
            }
            Op::Datagram { at, len } => self.send_datagram(at, len, connection),
            Op::UpdateKeys { .. }
            | Op::RotateIds { .. }
            | Op::Migrate { .. }
            | Op::Wait { .. }
            | Op::Rebind { .. }
            | Op::Network { .. } => Ok(()),
        }
    }

    /// Sees that an event may come.
    pub(super) fn on_event(
        &mut self,
        at: usize,
        event: &Event,
        connection: Option<Raw<'_>>,
    ) -> Result<(), String> {
        let wrong = || Err(format!("node {at} was told {event:?}"));
        match *event {
            Event::RawStreamOpened(id) => {
                let is_new = !self.known[at].contains(&id);
                if id.initiator() == side(at) || !self.streams.contains_key(&id) || !is_new {
                    return wrong();
                }
                self.known[at].push(id);
            }
            Event::Readable(id) | Event::Writable(id) if !self.known[at].contains(&id) => {
                return wrong();
            }
            Event::RawStreamStopped(id, code) => {
                let half = &mut self.half(id)[at];
                if half.stop != Some(code) || half.was_stopped || half.was_acked {
                    return wrong();
                }
                half.was_stopped = true;
            }
            Event::StreamFinished(id) => {
                let half = &mut self.half(id)[at];
                if !half.finished || half.was_acked {
                    return wrong();
                }
                half.was_acked = true;
            }
            Event::RawDatagrams => {
                if let Some(mut connection) = connection {
                    while let Some(datagram) = connection.recv_datagram() {
                        self.on_datagram(at, &datagram)?;
                    }
                }
            }
            Event::Readable(_)
            | Event::Writable(_)
            | Event::StreamsAvailable(_)
            | Event::PathChanged(_) => {}
            _ => return wrong(),
        }
        Ok(())
    }

    /// Ends every stream of node `at`, and reads all there is.
    pub(super) fn wind_up(&mut self, at: usize, connection: &mut Raw<'_>) -> Result<(), String> {
        for id in self.known[at].clone() {
            if can_send(at, id) {
                let half = &self.half(id)[at];
                if !half.finished && half.reset.is_none() && !half.was_stopped {
                    self.finish(at, id, connection)?;
                }
            }
            if can_send(1 - at, id) {
                while self.read(at, id, usize::MAX, connection)? {}
            }
        }
        Ok(())
    }

    pub(super) fn is_done(&self) -> bool {
        self.halves().all(|(_, _, half)| half.is_done())
    }

    pub(super) fn check_done(&self) -> Result<(), String> {
        match self.halves().find(|(_, _, half)| !half.is_done()) {
            Some((id, from, half)) => Err(format!("stream {id} from node {from}: {half:?}")),
            None => Ok(()),
        }
    }

    fn open(&mut self, at: usize, dir: Dir, connection: &mut Raw<'_>) -> Result<(), String> {
        let Ok(id) = connection.open(dir) else {
            return Ok(());
        };
        let same = |other: &&StreamId| other.initiator() == side(at) && other.dir() == dir;
        let expected = self.streams.keys().filter(same).count();
        if id != StreamId::new(side(at), dir, expected as u64) {
            return Err(format!("node {at} opened {id}, which is not the next"));
        }
        self.streams.insert(id, <[Half; 2]>::default());
        self.known[at].push(id);
        Ok(())
    }

    fn write(
        &mut self,
        at: usize,
        id: StreamId,
        len: usize,
        connection: &mut Raw<'_>,
    ) -> Result<(), String> {
        let half = &mut self.half(id)[at];
        let data: Vec<u8> = (half.written..).take(len).map(|i| pattern(id, i)).collect();
        match connection.write(id, &data) {
            Ok(0) => Err(format!("a write to {id} took nothing")),
            Ok(_) if half.finished || half.reset.is_some() => {
                Err(format!("{id} took data after its end"))
            }
            Ok(written) => {
                half.written += written as u64;
                Ok(())
            }
            Err(error) if half.refuses(error) => Ok(()),
            Err(error) => Err(format!("writing to {id} at node {at}: {error}; {half:?}")),
        }
    }

    fn finish(&mut self, at: usize, id: StreamId, connection: &mut Raw<'_>) -> Result<(), String> {
        let half = &mut self.half(id)[at];
        match connection.finish(id) {
            Ok(()) => half.finished = true,
            Err(error) if half.refuses(error) && error != WriteError::Blocked => {}
            Err(error) => return Err(format!("finishing {id} at node {at}: {error}; {half:?}")),
        }
        Ok(())
    }

    /// Whether there may be more to read.
    fn read(
        &mut self,
        at: usize,
        id: StreamId,
        max: usize,
        connection: &mut Raw<'_>,
    ) -> Result<bool, String> {
        let half = &mut self.half(id)[1 - at];
        let over = half.end.is_some() || half.stop.is_some();
        match connection.read(id, max) {
            Ok(_) if over => Err(format!("{id} gives data after its end at node {at}")),
            Ok(Some(data)) => {
                for byte in &data {
                    if *byte != pattern(id, half.read) {
                        return Err(format!("{id} differs at {}", half.read));
                    }
                    half.read += 1;
                }
                if data.is_empty() || half.read > half.written {
                    return Err(format!("{id} gives {} bytes: {half:?}", data.len()));
                }
                Ok(true)
            }
            Ok(None) if half.finished && half.read == half.written => {
                half.end = Some(End::Fin);
                Ok(false)
            }
            Err(ReadError::Blocked) if !over => Ok(false),
            // A sender that was asked to stop resets with the code it was given.
            Err(ReadError::Reset(code)) if !over && half.reset == Some(code) => {
                half.end = Some(End::Reset);
                Ok(false)
            }
            Err(ReadError::Unknown) if over => Ok(false),
            other => Err(format!("reading {id} at node {at}: {other:?}; {half:?}")),
        }
    }

    fn send_datagram(
        &mut self,
        at: usize,
        len: usize,
        connection: &mut Raw<'_>,
    ) -> Result<(), String> {
        let number = self.sent[at].len() as u64;
        match connection.send_datagram(&datagram(at, number, len)) {
            Ok(()) => self.sent[at].push(len),
            Err(DatagramError::Full | DatagramError::TooLarge { .. }) => {}
            Err(error) => return Err(format!("a datagram of {len} bytes: {error}")),
        }
        Ok(())
    }

    fn on_datagram(&mut self, at: usize, payload: &[u8]) -> Result<(), String> {
        let from = 1 - at;
        let number = payload.first_chunk().map(|n| u64::from_be_bytes(*n));
        let number = number.ok_or("a datagram came back short")?;
        let len = self.sent[from].get(number as usize);
        if len.is_none_or(|len| payload != datagram(from, number, *len)) {
            return Err(format!("datagram {number} arrived changed at node {at}"));
        }
        if !self.received[at].insert(number) {
            return Err(format!("datagram {number} arrived twice at node {at}"));
        }
        Ok(())
    }

    /// One of the streams that node `at` can write to, or read from.
    fn pick(&self, at: usize, pick: u64, to_send: bool) -> Option<StreamId> {
        let end = if to_send { at } else { 1 - at };
        let known = self.known[at].iter().copied();
        let fit: Vec<StreamId> = known.filter(|id| can_send(end, *id)).collect();
        let index = pick as usize % fit.len().max(1);
        fit.get(index).copied()
    }

    fn half(&mut self, id: StreamId) -> &mut [Half; 2] {
        self.streams.entry(id).or_default()
    }

    fn halves(&self) -> impl Iterator<Item = (StreamId, usize, &Half)> {
        self.streams.iter().flat_map(|(id, halves)| {
            let sending = (0..).zip(halves).filter(|(at, _)| can_send(*at, *id));
            sending.map(|(at, half)| (*id, at, half))
        })
    }
}

/// Byte `i` of a stream.
fn pattern(id: StreamId, i: u64) -> u8 {
    (i.wrapping_mul(31) + (i >> 8) + id.as_u64() * 7) as u8
}

/// The payload of a datagram.
fn datagram(from: usize, number: u64, len: usize) -> Vec<u8> {
    let rest = (0..len.saturating_sub(8)).map(|i| (i * 13 + from) as u8);
    number.to_be_bytes().into_iter().chain(rest).collect()
}
