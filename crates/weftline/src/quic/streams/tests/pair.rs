//! Two tables of streams over a network that loses and reorders, against a model: what one
//! application writes, the other reads, and nothing is left behind.

use alloc::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

/// One end: its streams, and an application that acts on changes only.
struct End {
    streams: Streams,
    side: Side,
    tx: BTreeMap<StreamId, Tx>,
    rx: BTreeMap<StreamId, Rx>,
    /// Streams still to open.
    to_open: VecDeque<(Dir, Plan)>,
    in_flight: Vec<Packet>,
}

/// What the application means to do with a stream it sends on.
#[derive(Copy, Clone, Debug)]
struct Plan {
    len: u64,
    end: Ending,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Ending {
    Finish,
    Reset,
    /// Reset that delivers this many bytes.
    ResetAt(u64),
}

#[derive(Debug)]
struct Tx {
    plan: Plan,
    written: u64,
    ended: bool,
    finished: bool,
    stopped: bool,
    /// Asked to hear of a low buffer, and has not heard.
    wants_low: bool,
}

#[derive(Debug, Default)]
struct Rx {
    read: u64,
    /// Stop once this much was read.
    stop_at: Option<u64>,
    outcome: Option<Outcome>,
    /// There may be more to read now.
    readable: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Outcome {
    End,
    Reset,
    Stopped,
}

struct Packet {
    bytes: Vec<u8>,
    sent: Vec<SentFrame>,
}

/// A small generator: what a seed decides must not depend on a library's version.
struct Rng(u64);

impl Rng {
    fn next(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next(n) == 0
    }
}

fn byte(id: StreamId, at: u64) -> u8 {
    (at ^ (at >> 8) ^ id.as_u64().wrapping_mul(37)) as u8
}

const RESET: u64 = 77;
const STOP: u64 = 88;

impl End {
    fn new(side: Side, rng: &mut Rng) -> Self {
        let limits = Limits {
            streams_bidi: 1 + rng.next(4),
            streams_uni: 1 + rng.next(4),
            stream_window: 1024 + rng.next(3000),
            stream_window_max: 8000,
            connection_window: 1024 + rng.next(6000),
            connection_window_max: 20_000,
            stream_gaps: 1024,
            stream_send_buffer: 1 + rng.next(4000) as usize,
            connection_send_buffer: 1 + rng.next(8000) as usize,
            ..Limits::default()
        };
        let to_open = (0..8 + rng.next(8)).map(|_| {
            let dir = if rng.one_in(2) { Dir::Bi } else { Dir::Uni };
            (dir, plan(rng))
        });
        Self {
            to_open: to_open.collect(),
            streams: Streams::new(side, &limits),
            side,
            tx: BTreeMap::new(),
            rx: BTreeMap::new(),
            in_flight: Vec::new(),
        }
    }

    fn start(&mut self, id: StreamId, plan: Option<Plan>, rng: &mut Rng) {
        if let Some(plan) = plan {
            let tx = Tx {
                plan,
                written: 0,
                ended: false,
                finished: false,
                stopped: false,
                wants_low: rng.one_in(2),
            };
            if tx.wants_low {
                self.streams.set_low_water(id, rng.next(500));
            }
            self.tx.insert(id, tx);
            if rng.one_in(3) {
                let rank = schedule::Rank {
                    priority: rng.next(3) as i32 - 1,
                    group: rng.next(3) as u32,
                    order: rng.next(3) as i64 - 1,
                };
                self.streams.set_rank(id, |old| *old = rank);
            }
        }
        if id.dir() == Dir::Bi || id.initiator() != self.side {
            let stop_at = rng.one_in(5).then(|| rng.next(3000));
            let rx = Rx {
                stop_at,
                ..Rx::default()
            };
            self.rx.insert(id, rx);
        }
        self.write(id, rng);
    }

    fn open(&mut self, rng: &mut Rng) {
        while let Some(&(dir, plan)) = self.to_open.front()
            && let Some(id) = self.streams.open(dir)
        {
            self.to_open.pop_front();
            self.start(id, Some(plan), rng);
        }
    }

    fn write(&mut self, id: StreamId, rng: &mut Rng) {
        let Some(tx) = self.tx.get_mut(&id) else {
            return;
        };
        while !tx.ended && !tx.stopped {
            if tx.written == tx.plan.len {
                tx.ended = true;
                match tx.plan.end {
                    Ending::Finish => self.streams.finish(id),
                    Ending::Reset => self.streams.reset(id, RESET),
                    Ending::ResetAt(reliable) => self.streams.reset_at(id, RESET, reliable),
                }
                .unwrap();
                return;
            }
            let len = (1 + rng.next(2000)).min(tx.plan.len - tx.written);
            let data: Vec<u8> = (tx.written..tx.written + len)
                .map(|at| byte(id, at))
                .collect();
            let result = if rng.one_in(2) {
                self.streams.write(id, &data)
            } else {
                self.streams.write_bytes(id, Bytes::from(data))
            };
            match result {
                Ok(taken) => {
                    assert!(taken > 0);
                    tx.written += taken as u64;
                }
                Err(WriteFail::Blocked) => return,
                Err(WriteFail::Stopped(code)) => {
                    assert_eq!(code, STOP);
                    return;
                }
                Err(other) => panic!("{id}: {other:?}"),
            }
        }
    }

    fn read(&mut self, id: StreamId, rng: &mut Rng) {
        let Some(rx) = self.rx.get_mut(&id) else {
            return;
        };
        while rx.readable && rx.outcome.is_none() {
            if rx.stop_at.is_some_and(|at| rx.read >= at) {
                self.streams.stop(id, STOP).unwrap();
                rx.outcome = Some(Outcome::Stopped);
                return;
            }
            let mut buf = [0; 700];
            let max = 1 + rng.next(700) as usize;
            let result = if rng.one_in(2) {
                let result = self.streams.read_into(id, &mut buf[..max]);
                result.map(|len| len.map(|len| Bytes::copy_from_slice(&buf[..len])))
            } else {
                self.streams.read(id, max * 10)
            };
            match result {
                Ok(Some(data)) => {
                    assert!(!data.is_empty());
                    for &got in &data {
                        assert_eq!(got, byte(id, rx.read));
                        rx.read += 1;
                    }
                }
                Ok(None) => rx.outcome = Some(Outcome::End),
                Err(ReadFail::Blocked) => rx.readable = false,
                Err(ReadFail::Reset(code)) => {
                    assert!(code == RESET || code == STOP, "{code}");
                    rx.outcome = Some(Outcome::Reset);
                }
                Err(ReadFail::Unknown) => panic!("{id} is gone"),
            }
            if rng.one_in(4) {
                return;
            }
        }
    }

    fn act(&mut self, rng: &mut Rng) {
        let mut told = Vec::new();
        while let Some(change) = self.streams.next_change() {
            match change {
                StreamChange::Opened(id) => {
                    let plan = (id.dir() == Dir::Bi).then(|| plan(rng));
                    self.start(id, plan, rng);
                }
                StreamChange::Readable(id) => {
                    assert!(!told.contains(&change), "told twice");
                    told.push(change);
                    self.rx.get_mut(&id).expect("opened before").readable = true;
                }
                StreamChange::Writable(id) => self.write(id, rng),
                StreamChange::Stopped { id, code } => {
                    assert_eq!(code, STOP);
                    let tx = self.tx.get_mut(&id).unwrap();
                    assert!(!core::mem::replace(&mut tx.stopped, true));
                }
                StreamChange::Finished(id) => {
                    let tx = self.tx.get_mut(&id).unwrap();
                    assert_eq!(tx.plan.end, Ending::Finish);
                    assert!(!core::mem::replace(&mut tx.finished, true));
                }
                StreamChange::Available(_) => self.open(rng),
                StreamChange::Received(id) => panic!("{id} is not watched"),
                StreamChange::BufferLow(id) => {
                    let tx = self.tx.get_mut(&id).unwrap();
                    assert!(core::mem::take(&mut tx.wants_low) && !tx.stopped);
                }
                StreamChange::Closed { .. } => {}
            }
        }
        for id in self.rx.keys().copied().collect::<Vec<_>>() {
            self.read(id, rng);
        }
    }

    fn send(&mut self, rng: &mut Rng) -> bool {
        let size = 60 + rng.next(1200) as usize;
        let wanted = self.streams.has_control() || self.streams.has_data();
        let (bytes, sent) = packet(&mut self.streams, size);
        assert_eq!(wanted, !sent.is_empty(), "has_* and write_* agree");
        if wanted {
            self.in_flight.push(Packet { bytes, sent });
        }
        wanted
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut r = Reader::new(bytes);
        while !r.is_empty() {
            self.receive_frame(&mut r)
                .expect("the peer follows the rules");
        }
    }

    fn receive_frame(&mut self, r: &mut Reader<'_>) -> Result<(), Fault> {
        let streams = &mut self.streams;
        if r.rest().first() == Some(&0x24) {
            let mut field = || r.varint().unwrap();
            let (_, id) = (field(), StreamId::from_u64(field()));
            return streams.on_reset_stream_at(id, field(), field(), field());
        }
        match Frame::parse(r).unwrap() {
            Frame::Stream(f) => streams.on_stream(f.id, f.offset, f.data, f.fin),
            Frame::ResetStream(f) => streams.on_reset_stream(f.id, f.code, f.final_size),
            Frame::StopSending(f) => streams.on_stop_sending(f.id, f.code),
            Frame::MaxData(f) => {
                streams.on_max_data(f.maximum);
                Ok(())
            }
            Frame::MaxStreamData(f) => streams.on_max_stream_data(f.id, f.maximum),
            Frame::MaxStreams(f) => streams.on_max_streams(f.dir, f.maximum),
            Frame::DataBlocked(_) => Ok(()),
            Frame::StreamDataBlocked(f) => streams.on_stream_data_blocked(f.id),
            Frame::StreamsBlocked(f) => streams.on_streams_blocked(f.dir, f.limit),
            other => panic!("{other:?}"),
        }
    }

    /// What becomes of the packets in flight, in any order. Gives whether there were any.
    fn network(&mut self, peer: &mut Self, loss: u64, rng: &mut Rng) -> bool {
        let any = !self.in_flight.is_empty();
        while !self.in_flight.is_empty() && !rng.one_in(5) {
            let at = rng.next(self.in_flight.len().min(6) as u64) as usize;
            let packet = self.in_flight.remove(at);
            let (arrives, acked) = match rng.next(100) {
                roll if roll < loss => (false, false),
                // Arrives, but its sender thinks it lost; or that first, and then not.
                roll if roll < loss + loss / 2 => (true, false),
                _ => (true, true),
            };
            if arrives {
                peer.receive(&packet.bytes);
            }
            for frame in &packet.sent {
                if acked {
                    if loss > 0 && rng.one_in(20) {
                        self.streams.on_lost(frame);
                    }
                    self.streams.on_acked(frame);
                } else {
                    self.streams.on_lost(frame);
                }
            }
        }
        any
    }

    fn check_bounds(&self) {
        let limits = self.streams.shared.limits;
        assert!(self.streams.buffered() <= limits.connection_send_buffer);
        assert!(self.streams.counted.bytes < 400_000);
    }
}

fn plan(rng: &mut Rng) -> Plan {
    let len = if rng.one_in(4) {
        rng.next(10)
    } else {
        rng.next(12_000)
    };
    let end = match rng.next(8) {
        0 => Ending::Reset,
        1 => Ending::ResetAt(rng.next(len + 100)),
        _ => Ending::Finish,
    };
    Plan { len, end }
}

fn run(seed: u64) {
    let rng = &mut Rng(seed);
    let mut ends = [End::new(Side::Client, rng), End::new(Side::Server, rng)];
    let params = [
        ends[0].streams.local_params(),
        ends[1].streams.local_params(),
    ];
    let [a, b] = &mut ends;
    a.streams.on_peer_params(&params[1]);
    b.streams.on_peer_params(&params[0]);
    let loss = [0, 5, 20, 40][rng.next(4) as usize];
    a.open(rng);
    b.open(rng);
    let mut quiet = 0;
    for turn in 0..200_000 {
        let now = Instant::from_micros(turn * 1000);
        let mut busy = false;
        for end in [&mut *a, &mut *b] {
            end.streams.set_now(now);
            end.streams.on_rtt(Duration::from_millis(rng.next(50)));
            end.act(rng);
            for _ in 0..rng.next(5) {
                busy |= end.send(rng);
            }
            end.check_bounds();
        }
        // In the end everything arrives.
        let loss = if turn < 2000 { loss } else { 0 };
        busy |= a.network(b, loss, rng);
        busy |= b.network(a, loss, rng);
        quiet = if busy { 0 } else { quiet + 1 };
        if quiet > 100 {
            break;
        }
    }
    assert!(quiet > 100, "still busy");
    check(a, b);
    check(b, a);
    for end in [a, b] {
        assert!(end.to_open.is_empty(), "all were opened");
        assert_eq!((end.streams.len(), end.streams.buffered()), (0, 0));
        assert_eq!(end.streams.shared.credit.outstanding(), 0);
        assert!(end.streams.counted.bytes == 0);
        assert!(!end.streams.has_data() && !end.streams.has_control());
    }
}

/// What `from` sent against what `to` saw of it.
fn check(from: &End, to: &End) {
    for (id, tx) in &from.tx {
        let Some(rx) = to.rx.get(id) else {
            panic!("{id} was never opened");
        };
        let outcome = rx.outcome.unwrap_or_else(|| panic!("{id}: {tx:?} {rx:?}"));
        assert!(rx.read <= tx.written);
        match outcome {
            Outcome::End => {
                assert_eq!((tx.plan.end, rx.read), (Ending::Finish, tx.plan.len));
                assert!(tx.finished && !tx.stopped);
            }
            Outcome::Reset => {
                assert_ne!(tx.plan.end, Ending::Finish);
                assert!(!tx.finished);
                if let Ending::ResetAt(reliable) = tx.plan.end {
                    assert!(rx.read >= reliable.min(tx.plan.len), "{id}: {tx:?} {rx:?}");
                }
            }
            // A stop may cross anything.
            Outcome::Stopped => assert!(rx.stop_at.is_some()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn everything_arrives(seed: u64) {
        run(seed);
    }
}

#[test]
fn seeds_of_the_past() {
    (0..32).for_each(run);
}
