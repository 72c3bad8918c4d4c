//! The pump over sockets in memory, between two endpoints with null crypto.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::*;
use crate::{
    ConnId, Dir, Event, SessionId, SessionRequest, StreamId,
    config::{ClientConfig, EndpointConfig, ServerConfig},
    crypto::null::{NullClient, NullServer},
    entropy::SeededEntropy,
};

/// A socket that takes only so much before it has to be emptied.
#[derive(Default)]
struct Socket {
    received: VecDeque<Vec<u8>>,
    /// What `try_recv` lent last.
    lent: Vec<u8>,
    sent: Vec<Vec<u8>>,
    room: usize,
    max_segments: usize,
    refusals: usize,
}

impl DatagramIo for Socket {
    fn try_recv(&mut self) -> Option<(RecvMeta, &mut [u8])> {
        self.lent = self.received.pop_front()?;
        let meta = RecvMeta {
            from: address(),
            to: None,
            ecn: None,
        };
        Some((meta, &mut self.lent))
    }

    fn try_send(&mut self, transmit: &Transmit, datagrams: &[u8]) -> bool {
        assert_eq!(transmit.len, datagrams.len());
        let segment = transmit.segment.unwrap_or(transmit.len);
        let datagrams: Vec<_> = datagrams.chunks(segment).map(<[u8]>::to_vec).collect();
        assert!(datagrams.len() <= self.max_segments.max(1));
        if self.sent.len() + datagrams.len() > self.room {
            self.refusals += 1;
            return false;
        }
        self.sent.extend(datagrams);
        true
    }

    fn max_segments(&self) -> usize {
        self.max_segments
    }
}

struct End {
    endpoint: Endpoint,
    pump: Pump,
    socket: Socket,
}

impl End {
    fn new(config: EndpointConfig, seed: u64, room: usize, max_segments: usize) -> Self {
        Self {
            endpoint: Endpoint::new(config, Box::new(SeededEntropy::new(seed))),
            pump: Pump::new(),
            socket: Socket {
                room,
                max_segments,
                ..Socket::default()
            },
        }
    }

    fn turn(&mut self, now: Instant) {
        self.pump.turn(&mut self.endpoint, &mut self.socket, now);
    }
}

fn address() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1)
}

fn client(room: usize, max_segments: usize) -> End {
    End::new(EndpointConfig::client(), 1, room, max_segments)
}

fn server(room: usize, max_segments: usize) -> End {
    let builder = ServerConfig::builder(Arc::new(NullServer::insecure()));
    let config = EndpointConfig::server(Arc::new(builder.build().unwrap()));
    End::new(config, 2, room, max_segments)
}

fn connect(client: &mut End) -> ConnId {
    let builder = ClientConfig::builder(Arc::new(NullClient::insecure()));
    let config = Arc::new(builder.build().unwrap());
    let connected = client
        .endpoint
        .connect(Instant::ZERO, address(), "localhost", config);
    connected.unwrap()
}

/// Sends `data` from the client to the server; gives what arrived, and how many datagrams the
/// client's socket refused.
fn transfer(room: usize, max_segments: usize, data: &[u8]) -> (Vec<u8>, usize) {
    let (mut client, mut server) = (client(room, max_segments), server(room, max_segments));
    let id = connect(&mut client);
    let connection = client.endpoint.connection(id).unwrap();
    let request = SessionRequest::new("localhost", "/");
    connection.request_session(request).unwrap();
    let (mut sending, mut received) = (None, Vec::new());
    let mut now = Instant::ZERO;
    for _ in 0..100_000 {
        client.turn(now);
        while let Some((_, event)) = client.endpoint.poll_event() {
            if let Event::SessionReady(session, _) = event {
                sending = Some(open(&mut client.endpoint, id, session));
            }
            // Touched only for events: a connection that was touched wants a turn at once.
            if let Some((stream, sent)) = &mut sending {
                send(&mut client.endpoint, id, *stream, sent, data);
            }
        }
        server.socket.received.extend(client.socket.sent.drain(..));
        server.turn(now);
        if receive(&mut server.endpoint, &mut received) {
            let stats = client.endpoint.connection(id).unwrap().stats();
            assert_eq!(stats.packets_lost, 0, "a full socket loses nothing");
            return (received, client.socket.refusals);
        }
        client.socket.received.extend(server.socket.sent.drain(..));
        let next = [&client, &server].map(|end| end.pump.deadline(&end.endpoint));
        let next = next.into_iter().flatten().min().expect("a deadline");
        // What was handed over takes no time; the clock moves only when nothing else does.
        let idle = client.socket.received.is_empty() && server.socket.received.is_empty();
        now = if idle { now.max(next) } else { now };
    }
    panic!("the transfer does not end");
}

fn open(endpoint: &mut Endpoint, id: ConnId, session: SessionId) -> (StreamId, usize) {
    let connection = endpoint.connection(id).unwrap();
    (connection.open_stream(session, Dir::Uni).unwrap(), 0)
}

fn send(endpoint: &mut Endpoint, id: ConnId, stream: StreamId, sent: &mut usize, data: &[u8]) {
    let connection = endpoint.connection(id).unwrap();
    while *sent < data.len() {
        match connection.write(stream, &data[*sent..]) {
            Ok(written) => *sent += written,
            Err(_) => return,
        }
        if *sent == data.len() {
            connection.finish(stream).unwrap();
        }
    }
}

/// Whether the stream was read to its end.
fn receive(endpoint: &mut Endpoint, received: &mut Vec<u8>) -> bool {
    while let Some((id, event)) = endpoint.poll_event() {
        let Some(connection) = endpoint.connection(id) else {
            continue;
        };
        match event {
            Event::SessionRequested(session, _) => {
                connection.accept_session(session, None).unwrap();
            }
            Event::StreamOpened(_, stream) | Event::Readable(stream) => {
                while let Ok(chunk) = connection.read(stream, usize::MAX) {
                    match chunk {
                        Some(chunk) => received.extend_from_slice(&chunk),
                        None => return true,
                    }
                }
            }
            _ => {}
        }
    }
    false
}

#[test]
fn a_full_socket_loses_nothing() {
    let data: Vec<u8> = (0..200_000_u32)
        .map(|i| (i * 31 + (i >> 8)) as u8)
        .collect();
    for (room, max_segments) in [(1, 1), (3, 1), (7, 4), (64, 64)] {
        let (received, refusals) = transfer(room, max_segments, &data);
        assert!(received == data, "{room} {max_segments}");
        assert!(refusals > 0 || room == 64, "{room} {max_segments}");
    }
}

#[test]
fn a_full_socket_is_tried_again_soon_and_not_at_once() {
    let mut end = client(0, 1);
    connect(&mut end);
    let now = Instant::ZERO + Duration::from_secs(1);
    end.turn(now);
    assert!(end.pump.is_blocked());
    let again = end.pump.deadline(&end.endpoint).unwrap();
    assert_eq!(again, now + FULL_SOCKET_PAUSE);
    // Nothing further is taken from the endpoint meanwhile.
    end.turn(again);
    assert_eq!(end.socket.refusals, 2);
    end.socket.room = 10;
    end.turn(again);
    assert!(!end.pump.is_blocked());
    assert!(!end.socket.sent.is_empty());
}

#[test]
fn a_flood_does_not_hold_up_the_rest() {
    let mut end = client(10, 1);
    connect(&mut end);
    end.socket.received = (0..200).map(|_| vec![0x5a; 50]).collect();
    let now = Instant::ZERO;
    end.turn(now);
    assert_eq!(end.socket.received.len(), 200 - RECEIVE_BURST);
    assert!(!end.socket.sent.is_empty(), "the handshake went out");
    assert_eq!(end.pump.deadline(&end.endpoint), Some(now));
    for _ in 0..4 {
        end.turn(now);
        while end.endpoint.poll_event().is_some() {}
    }
    assert!(end.socket.received.is_empty());
    let next = end.pump.deadline(&end.endpoint).unwrap();
    assert!(next > now, "only the handshake's timers are left");
}

#[test]
fn nothing_to_do_has_no_deadline() {
    let mut end = client(10, 1);
    end.turn(Instant::ZERO);
    assert_eq!(end.pump.deadline(&end.endpoint), None);
}

fn transmit(len: usize, segment: Option<usize>) -> Transmit {
    Transmit {
        to: address(),
        from: None,
        ecn: None,
        len,
        segment,
    }
}

fn parts(whole: &Transmit, max_segments: usize) -> Vec<(usize, Option<usize>)> {
    let mut parts = Vec::new();
    let mut sent = 0;
    while let Some(part) = next_part(whole, sent, max_segments) {
        sent += part.len;
        parts.push((part.len, part.segment));
    }
    parts
}

#[test]
fn a_batch_is_split_as_the_socket_can() {
    let batch = transmit(4500, Some(1200));
    assert_eq!(parts(&batch, 64), [(4500, Some(1200))]);
    assert_eq!(parts(&batch, 2), [(2400, Some(1200)), (2100, Some(1200))]);
    let singly = [(1200, None), (1200, None), (1200, None), (900, None)];
    assert_eq!(parts(&batch, 1), singly);
    assert_eq!(parts(&batch, 0), singly);
}

#[test]
fn one_datagram_stays_whole() {
    assert_eq!(parts(&transmit(1200, None), 1), [(1200, None)]);
    assert_eq!(parts(&transmit(0, None), 1), []);
}
