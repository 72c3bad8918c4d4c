//! In steady bulk transfer packets cost no allocations, on either side and in either direction: what
//! is allocated is blocks of 16 KiB for the data.

#![allow(
    unsafe_code,
    reason = "an allocator that counts cannot be had without it"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use weftline::{
    ConnId, Dir, Endpoint, Event, Instant, RecvMeta, StreamId,
    config::{ClientConfig, EndpointConfig, ServerConfig},
    crypto::null::{NullClient, NullServer},
    entropy::SeededEntropy,
};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as this one's caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as this one's caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as this one's caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct End {
    endpoint: Endpoint,
    peer: SocketAddr,
    connection: Option<ConnId>,
    /// The stream it writes to, once it is open, and the one it reads.
    writes: Option<StreamId>,
    reads: Option<StreamId>,
    wants_to_read: bool,
    received: u64,
}

/// Two ends that write to each other all the time.
struct Pair {
    now: Instant,
    ends: [End; 2],
    wire: VecDeque<(Instant, usize, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    out: Vec<u8>,
    scratch: Vec<u8>,
    packets: u64,
    steps: u64,
}

impl Pair {
    fn new() -> Self {
        let server = ServerConfig::builder(Arc::new(NullServer::insecure()))
            .raw_alpn(["bulk"])
            .build()
            .unwrap();
        let client = ClientConfig::builder(Arc::new(NullClient::insecure()))
            .raw_alpn(["bulk"])
            .build()
            .unwrap();
        let now = Instant::from_micros(1_000_000);
        let end = |config, seed, port| End {
            endpoint: Endpoint::new(config, Box::new(SeededEntropy::new(seed))),
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            connection: None,
            writes: None,
            reads: None,
            wants_to_read: false,
            received: 0,
        };
        let mut ends = [
            end(EndpointConfig::client(), 1, 1),
            end(EndpointConfig::server(Arc::new(server)), 2, 2),
        ];
        let [client_end, _] = &mut ends;
        let connection = client_end
            .endpoint
            .connect(now, client_end.peer, "a", Arc::new(client));
        client_end.connection = connection.ok();
        Self {
            now,
            ends,
            wire: VecDeque::with_capacity(1 << 14),
            spare: (0..1 << 13).map(|_| Vec::with_capacity(1500)).collect(),
            out: vec![0; 15_000],
            scratch: vec![7; 64 << 10],
            packets: 0,
            steps: 0,
        }
    }

    /// Goes on until both ends have received `bytes` more.
    fn transfer(&mut self, bytes: u64) {
        let goals = [0, 1].map(|index: usize| self.ends[index].received + bytes);
        while self
            .ends
            .iter()
            .zip(goals)
            .any(|(end, goal)| end.received < goal)
        {
            self.step();
            self.steps += 1;
            assert!(self.steps < 100_000, "the transfer came to a standstill");
        }
    }

    fn step(&mut self) {
        for index in 0..2 {
            let end = &mut self.ends[index];
            end.act(&mut self.scratch);
            while let Some(sent) = end.endpoint.poll_transmit(self.now, &mut self.out) {
                let segment = sent.segment.unwrap_or(sent.len);
                for datagram in self.out[..sent.len].chunks(segment) {
                    let mut copy = self.spare.pop().unwrap();
                    copy.clear();
                    copy.extend_from_slice(datagram);
                    let arrives = self.now + Duration::from_millis(5);
                    self.wire.push_back((arrives, 1 - index, copy));
                    self.packets += 1;
                }
            }
        }
        let timers = self.ends.iter().map(|end| end.endpoint.poll_timeout());
        let arrival = self.wire.front().map(|(at, ..)| *at);
        let next = timers.flatten().chain(arrival).min().unwrap();
        self.now = self.now.max(next);
        while let Some((at, ..)) = self.wire.front()
            && *at <= self.now
        {
            let (_, to, mut datagram) = self.wire.pop_front().unwrap();
            let end = &mut self.ends[to];
            let meta = RecvMeta {
                from: end.peer,
                to: None,
                ecn: None,
            };
            end.endpoint.handle_datagram(self.now, meta, &mut datagram);
            self.spare.push(datagram);
        }
        for end in &mut self.ends {
            end.endpoint.handle_timeout(self.now);
        }
    }
}

impl End {
    /// Opens a stream, keeps it full, and reads the peer's empty.
    fn act(&mut self, scratch: &mut [u8]) {
        let mut wants_to_write = false;
        while let Some((id, event)) = self.endpoint.poll_event() {
            self.connection = Some(id);
            match event {
                Event::Connected => {
                    let connection = self.endpoint.connection(id).unwrap();
                    self.writes = connection.raw().unwrap().open(Dir::Uni).ok();
                    wants_to_write = true;
                }
                Event::RawStreamOpened(stream) => self.reads = Some(stream),
                Event::Readable(_) => self.wants_to_read = true,
                Event::Writable(_) => wants_to_write = true,
                _ => {}
            }
        }
        if !wants_to_write && !self.wants_to_read {
            return;
        }
        let connection = self.connection.and_then(|id| self.endpoint.connection(id));
        let Some(mut raw) = connection.and_then(weftline::Connection::raw) else {
            return;
        };
        if let (Some(stream), true) = (self.writes, wants_to_write) {
            while raw.write(stream, scratch).is_ok() {}
        }
        if let (Some(stream), true) = (self.reads, self.wants_to_read) {
            while let Ok(Some(len)) = raw.read_into(stream, scratch) {
                self.received += len as u64;
            }
            self.wants_to_read = false;
        }
    }
}

#[test]
fn steady_transfer() {
    let mut pair = Pair::new();
    // Windows and buffers grow to what they stay at.
    pair.transfer(BYTES);
    let before = (ALLOCATIONS.load(Ordering::Relaxed), pair.packets);
    pair.transfer(BYTES);
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before.0;
    let packets = pair.packets - before.1;
    assert!(packets > 5_000, "{packets} packets");
    // A block where data is written, one where it is read, and less than that for all the rest.
    let blocks = 2 * 2 * BYTES / (16 << 10);
    assert!(
        allocations < 2 * blocks,
        "{allocations} allocations for {packets} packets"
    );
}

/// What each end sends to the other.
const BYTES: u64 = 4 << 20;
