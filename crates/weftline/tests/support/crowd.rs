//! A server and those who knock at its door.

use std::{net::SocketAddr, time::Duration};

use weftline::{
    ConnId, Endpoint, Event, Instant,
    config::{EndpointConfig, Limits},
    crypto::{Keys, Provider, TAG_LEN, Version},
    entropy::SeededEntropy,
    event::CloseReason,
    wire::{
        Cid, Side, Writer,
        frame::Frame,
        packet::{LongHeader, LongKind, TruncatedNumber, version},
    },
};

use super::{SERVER, START, address, client_config, from, provider, sent, server_endpoint};

/// A server, and the clients that it has or has refused.
pub(crate) struct Crowd {
    pub(crate) now: Instant,
    pub(crate) server: Endpoint,
    pub(crate) events: Vec<(ConnId, Event)>,
    clients: Vec<Guest>,
}

struct Guest {
    address: SocketAddr,
    endpoint: Endpoint,
    id: ConnId,
    closed: Option<CloseReason>,
    /// It says nothing any more.
    silent: bool,
}

impl Crowd {
    pub(crate) fn new(change: impl FnOnce(&mut Limits)) -> Self {
        Self {
            now: START,
            server: server_endpoint(change),
            events: Vec::new(),
            clients: Vec::new(),
        }
    }

    /// A client connects, and everybody acts for a while.
    pub(crate) fn connect(&mut self) -> usize {
        let guest = self.arrive();
        self.run(Duration::from_millis(100));
        guest
    }

    /// A client sends its first datagram and nothing else ever.
    pub(crate) fn half_open(&mut self) -> usize {
        let guest = self.arrive();
        let Guest {
            endpoint, address, ..
        } = &mut self.clients[guest];
        for mut datagram in sent(endpoint, self.now) {
            self.server
                .handle_datagram(self.now, from(*address), &mut datagram);
        }
        self.clients[guest].silent = true;
        self.run(Duration::from_millis(100));
        guest
    }

    fn arrive(&mut self) -> usize {
        let guest = self.clients.len();
        let entropy = Box::new(SeededEntropy::new(100 + guest as u64));
        let mut endpoint = Endpoint::new(EndpointConfig::client(), entropy);
        let config = client_config(|_| {});
        let id = endpoint.connect(self.now, SERVER, "victim.test", config);
        self.clients.push(Guest {
            address: address(1, 5000 + guest as u16),
            id: id.unwrap(),
            endpoint,
            closed: None,
            silent: false,
        });
        guest
    }

    pub(crate) fn is_established(&mut self, guest: usize) -> bool {
        let Guest { endpoint, id, .. } = &mut self.clients[guest];
        endpoint.connection(*id).is_some_and(|c| c.is_established())
    }

    /// How a client's connection ended.
    pub(crate) fn closed(&self, guest: usize) -> Option<&CloseReason> {
        self.clients[guest].closed.as_ref()
    }

    pub(crate) fn close(&mut self, guest: usize) {
        let Guest { endpoint, id, .. } = &mut self.clients[guest];
        endpoint.connection(*id).unwrap().close(0x100, "");
        self.run(Duration::from_secs(4));
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            for guest in &mut self.clients {
                for mut datagram in sent(&mut guest.endpoint, self.now) {
                    if !guest.silent {
                        let meta = from(guest.address);
                        self.server.handle_datagram(self.now, meta, &mut datagram);
                    }
                }
            }
            self.serve();
            let ends = self.clients.iter_mut().map(|guest| &mut guest.endpoint);
            let ends = ends.chain([&mut self.server]);
            let next = ends.filter_map(|end| end.poll_timeout()).min();
            self.now = next.unwrap_or(end).clamp(self.now, end);
            self.now = self.now.max(self.now + Duration::from_micros(100)).min(end);
            for guest in &mut self.clients {
                guest.endpoint.handle_timeout(self.now);
            }
            self.server.handle_timeout(self.now);
            self.serve();
        }
    }

    /// Takes what the server has to say.
    pub(crate) fn serve(&mut self) {
        let mut buffer = vec![0; 2048];
        while let Some(transmit) = self.server.poll_transmit(self.now, &mut buffer) {
            let to = self.clients.iter_mut().find(|g| g.address == transmit.to);
            let Some(guest) = to.filter(|guest| !guest.silent) else {
                continue;
            };
            let segment = transmit.segment.unwrap_or(transmit.len);
            for datagram in buffer[..transmit.len].chunks_mut(segment) {
                guest
                    .endpoint
                    .handle_datagram(self.now, from(SERVER), datagram);
            }
            while let Some((_, event)) = guest.endpoint.poll_event() {
                if let Event::Closed(reason) = event {
                    guest.closed = Some(reason);
                }
            }
        }
        while let Some(event) = self.server.poll_event() {
            self.events.push(event);
        }
    }
}

/// Who makes packets of a handshake that never was.
pub(crate) struct Forger {
    pub(crate) destination: Cid,
    pub(crate) source: Cid,
    keys: Keys,
    next_number: u64,
}

impl Forger {
    pub(crate) fn new() -> Self {
        let destination = Cid::new(b"original").unwrap();
        Self {
            destination,
            source: Cid::new(b"attacker").unwrap(),
            keys: provider().initial_keys(Version::V1, &destination, Side::Client),
            next_number: 0,
        }
    }

    /// An Initial packet with these frames.
    pub(crate) fn initial(&mut self, frames: &[Frame<'_>]) -> Vec<u8> {
        let kind = LongKind::Initial { token: &[] };
        self.packet(kind, frames)
    }

    /// A Handshake packet, whose keys are wrong.
    pub(crate) fn handshake(&mut self, frames: &[Frame<'_>]) -> Vec<u8> {
        self.packet(LongKind::Handshake, frames)
    }

    fn packet(&mut self, kind: LongKind<'_>, frames: &[Frame<'_>]) -> Vec<u8> {
        let header = LongHeader {
            kind,
            version: version::V1,
            destination: self.destination,
            source: self.source,
            number: TruncatedNumber::with_len(self.next_number, 4),
        };
        let payload: usize = frames.iter().map(Frame::encoded_len).sum();
        let mut packet = vec![0; header.encoded_len() + payload + TAG_LEN];
        let mut w = Writer::new(&mut packet);
        let layout = header.encode(&mut w).unwrap();
        for frame in frames {
            frame.encode(&mut w).unwrap();
        }
        layout.set_length(&mut packet);
        let (head, body) = packet.split_at_mut(layout.payload_at);
        let keys = &self.keys.local;
        keys.packet.seal(self.next_number, head, body).unwrap();
        let mask = keys.header.mask(layout.sample(&packet).unwrap());
        layout.protect(&mut packet, mask);
        self.next_number += 1;
        packet
    }
}
