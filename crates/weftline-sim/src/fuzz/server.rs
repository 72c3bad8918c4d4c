//! A server past its handshake, with a session open, fed whatever payloads the fuzzer makes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use weftline::{
    ConnId, Endpoint, Event, Instant, RecvMeta, SessionRequest, Side,
    config::{ClientConfig, EndpointConfig, ServerConfig},
    crypto::{
        Keys, TAG_LEN,
        null::{NullClient, NullProvider, NullServer},
    },
    entropy::SeededEntropy,
    wire::{
        Cid, Reader, Writer,
        packet::{ShortHeader, TruncatedNumber, destination_cid},
    },
};

/// The payloads of 1-RTT packets, each behind its length in two bytes, go to a server as if its
/// client had sent them. The server must come to rest after each, hold no more memory than its
/// limits allow, send no more than its window, and either close with a code or go on answering.
pub fn server_datagrams(data: &[u8]) {
    let mut pair = Pair::new();
    let mut reader = Reader::new(data);
    // Bounded by the input; a payload is at most a datagram.
    while let Ok(len) = reader.u16() {
        let len = usize::from(len % MAX_PAYLOAD).min(reader.remaining());
        let payload = reader.bytes(len).expect("no longer than what is left");
        pair.inject(payload);
        if pair.closed {
            return;
        }
    }
    pair.check_alive();
}

/// A server, and what it takes to speak in its client's name.
struct Pair {
    now: Instant,
    server: Endpoint,
    keys: Keys,
    destination: Cid,
    next_number: u64,
    /// Bytes that went to the server and came from it since.
    received: u64,
    sent: u64,
    closed: bool,
}

impl Pair {
    /// Runs a handshake and opens a session; the client is then thrown away.
    fn new() -> Self {
        let provider = NullProvider::insecure().with_known_one_rtt_keys();
        let server = NullServer::insecure().with_provider(provider);
        let client = NullClient::insecure().with_provider(provider);
        let server = ServerConfig::builder(Arc::new(server)).build();
        let client = ClientConfig::builder(Arc::new(client)).build();
        let (server, client) = (server.expect("sound"), client.expect("sound"));
        let mut client_end =
            Endpoint::new(EndpointConfig::client(), Box::new(SeededEntropy::new(1)));
        let server_config = EndpointConfig::server(Arc::new(server));
        let mut server_end = Endpoint::new(server_config, Box::new(SeededEntropy::new(2)));
        let mut now = Instant::from_micros(1_000_000);
        let id = client_end
            .connect(now, server_address(), "fuzz.test", Arc::new(client))
            .expect("sound");
        let request = SessionRequest::new("fuzz.test", "/echo");
        let connection = client_end.connection(id).expect("just made");
        connection
            .request_session(request)
            .expect("a new connection takes a session");

        let mut destination = Cid::EMPTY;
        let mut packets = 0;
        let mut buffer = [0; 2048];
        for _ in 0..20 {
            now += Duration::from_millis(30);
            client_end.handle_timeout(now);
            server_end.handle_timeout(now);
            while let Some(transmit) = client_end.poll_transmit(now, &mut buffer) {
                let datagram = &mut buffer[..transmit.len];
                if datagram[0] & 0x80 == 0 {
                    let cid = destination_cid(datagram, CID_LEN).and_then(Cid::new);
                    destination = cid.expect("a whole header");
                }
                packets += 4;
                server_end.handle_datagram(now, meta(client_address()), datagram);
            }
            Self::accept_sessions(&mut server_end);
            while let Some(transmit) = server_end.poll_transmit(now, &mut buffer) {
                let datagram = &mut buffer[..transmit.len];
                client_end.handle_datagram(now, meta(server_address()), datagram);
            }
            while client_end.poll_event().is_some() {}
        }
        assert_eq!(server_end.len(), 1, "the handshake is complete");
        let (keys, _) = provider.one_rtt_keys(Side::Client);
        Self {
            now,
            server: server_end,
            keys,
            destination,
            // Past every number the client can have used.
            next_number: packets + 1000,
            received: 0,
            sent: 0,
            closed: false,
        }
    }

    fn accept_sessions(server: &mut Endpoint) {
        while let Some((id, event)) = server.poll_event() {
            if let (Event::SessionRequested(session, _), Some(connection)) =
                (event, server.connection(id))
            {
                let _ = connection.accept_session(session, None);
            }
        }
    }

    /// Sends `payload` in a 1-RTT packet of the client's.
    fn inject(&mut self, payload: &[u8]) {
        let header = ShortHeader {
            destination: self.destination,
            number: TruncatedNumber::with_len(self.next_number, 4),
            spin: false,
            key_phase: false,
        };
        let mut datagram = vec![0; header.encoded_len() + payload.len() + TAG_LEN];
        let mut writer = Writer::new(&mut datagram);
        let layout = header.encode(&mut writer).expect("there is room");
        writer.bytes(payload).expect("there is room");
        let (head, body) = datagram.split_at_mut(layout.payload_at);
        let keys = &self.keys.local;
        keys.packet
            .seal(self.next_number, head, body)
            .expect("the null seal holds");
        let mask = layout
            .sample(&datagram)
            .map(|sample| keys.header.mask(sample));
        if let Some(mask) = mask {
            layout.protect(&mut datagram, mask);
        }
        self.next_number += 1;
        self.received += datagram.len() as u64;
        self.server
            .handle_datagram(self.now, meta(client_address()), &mut datagram);
        self.settle();
        self.now += Duration::from_millis(1);
        self.server.handle_timeout(self.now);
        self.settle();
    }

    /// Events and datagrams, until there are none.
    fn settle(&mut self) {
        let mut buffer = [0; 2048];
        let mut turns = 0;
        loop {
            let mut worked = false;
            while let Some((id, event)) = self.server.poll_event() {
                worked = true;
                self.on_event(id, event);
            }
            while let Some(transmit) = self.server.poll_transmit(self.now, &mut buffer) {
                worked = true;
                self.sent += transmit.len as u64;
            }
            if !worked {
                break;
            }
            turns += 1;
            assert!(turns < 1000, "the server does not come to rest");
        }
        for (_, stats) in self.server.all_stats() {
            assert!(stats.memory < MAX_MEMORY, "{} bytes held", stats.memory);
            assert!(stats.bytes_in_flight <= stats.congestion_window.max(1 << 20));
        }
        // Nobody acknowledges: the window bounds what goes out, plus an answer to what came.
        assert!(
            self.sent < (1 << 20) + 50 * self.received,
            "{} bytes sent",
            self.sent
        );
    }

    /// An application that touches everything.
    fn on_event(&mut self, id: ConnId, event: Event) {
        if let Event::Closed(reason) = &event {
            assert!(!self.closed, "closed comes once");
            assert!(reason.code < 1 << 62);
            self.closed = true;
        }
        let Some(connection) = self.server.connection(id) else {
            return;
        };
        match event {
            Event::SessionRequested(session, _) => {
                let _ = connection.accept_session(session, None);
            }
            Event::Request(stream, _) | Event::Readable(stream) => {
                // At most what flow control let in.
                while let Ok(Some(data)) = connection.read(stream, 64 << 10) {
                    let _ = connection.write(stream, &data);
                }
            }
            Event::Datagrams(session) => {
                while let Some(datagram) = connection.recv_datagram(session) {
                    let _ = connection.send_datagram(session, &datagram);
                }
            }
            _ => {}
        }
    }

    /// A PING is still answered, or the connection has gone for a reason.
    fn check_alive(&mut self) {
        let packets = |server: &Endpoint| {
            server
                .all_stats()
                .map(|(_, stats)| stats.packets_received)
                .sum::<u64>()
        };
        let before = packets(&self.server);
        self.inject(&[1, 0, 0, 0]);
        assert!(
            self.closed || packets(&self.server) == before + 1,
            "a PING was not taken"
        );
    }
}

fn meta(from: SocketAddr) -> RecvMeta {
    RecvMeta {
        from,
        to: None,
        ecn: None,
    }
}

fn server_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], 4433))
}

fn client_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 4433))
}

const CID_LEN: usize = 8;
const MAX_PAYLOAD: u16 = 1400;

/// Less than the connection's receive window and everything else together can be.
const MAX_MEMORY: usize = 32 << 20;
