//! What runs on the endpoints of a simulation: an echo server, and a client that checks it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use weftline::{
    ConnId, Connection, Dir, Endpoint, Event, Instant, SessionId, SessionRequest, StreamId,
    config::ClientConfig,
    error::{ReadError, WriteError},
};

use crate::world::{App, World};

/// Accepts every session; sends back what streams and datagrams bring.
#[derive(Debug, Default)]
pub struct Echo {
    /// Handshakes that were completed.
    pub connected: usize,
    /// Sessions that ended, in order.
    pub ended: Vec<weftline::event::SessionClosed>,
    /// What was read from a stream and could not be written back yet.
    held: BTreeMap<(ConnId, StreamId), Bytes>,
}

/// Opens a session, sends on streams and in datagrams, and checks that all of it comes back.
pub struct Transfer {
    plan: Plan,
    config: Arc<ClientConfig>,
    conn: Option<ConnId>,
    session: Option<SessionId>,
    streams: BTreeMap<StreamId, Stream>,
    /// Which datagrams came back.
    datagrams: Vec<bool>,
    resend_at: Option<Instant>,
    /// Whether the handshake is complete.
    pub connected: bool,
    /// How the connection ended, if it did.
    pub closed: Option<weftline::event::CloseReason>,
    failure: Option<String>,
}

/// What a [`Transfer`] sends.
#[derive(Copy, Clone, Debug)]
pub struct Plan {
    /// Bidirectional streams, all at once.
    pub streams: usize,
    /// Bytes on each.
    pub bytes: usize,
    /// Datagrams. Each is sent again now and then until it comes back, as they are unreliable.
    pub datagrams: usize,
}

#[derive(Default)]
struct Stream {
    seed: u8,
    sent: usize,
    received: usize,
    ended: bool,
}

/// Either app, so that both can be nodes of one [`World`].
#[allow(clippy::large_enum_variant, reason = "two of them live in a world")]
pub enum Node {
    /// See [`Echo`].
    Echo(Echo),
    /// See [`Transfer`].
    Transfer(Transfer),
}

impl Transfer {
    /// A client that will connect with `config`.
    pub fn new(config: Arc<ClientConfig>, plan: Plan) -> Self {
        Self {
            plan,
            config,
            conn: None,
            session: None,
            streams: BTreeMap::new(),
            datagrams: vec![false; plan.datagrams],
            resend_at: None,
            connected: false,
            closed: None,
            failure: None,
        }
    }

    /// Its connection.
    pub fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    /// Sends everything once more, in the same session.
    pub fn again(&mut self) {
        self.streams.clear();
        self.datagrams.fill(false);
        self.resend_at = Some(Instant::ZERO);
    }

    fn start(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let id = endpoint
            .connect(
                now,
                World::<Node>::address(1),
                "sim.test",
                self.config.clone(),
            )
            .expect("the simulation's configuration is sound");
        let connection = endpoint.connection(id).expect("it was just made");
        let request = SessionRequest::new("sim.test", "/echo");
        connection
            .request_session(request)
            .expect("a new connection takes a session");
        self.conn = Some(id);
    }

    fn on_ready(&mut self, now: Instant, connection: &mut Connection, session: SessionId) {
        self.session = Some(session);
        for index in 0..self.plan.streams {
            let Ok(id) = connection.open_stream(session, Dir::Bi) else {
                self.fail("a stream could not be opened");
                return;
            };
            self.streams.insert(
                id,
                Stream {
                    seed: index as u8,
                    ..Stream::default()
                },
            );
            self.send(connection, id);
        }
        self.send_datagrams(now, connection);
    }

    fn send(&mut self, connection: &mut Connection, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        while stream.sent < self.plan.bytes {
            let end = self.plan.bytes.min(stream.sent + 4096);
            let chunk: Vec<u8> = (stream.sent..end)
                .map(|i| pattern(i, stream.seed))
                .collect();
            match connection.write(id, &chunk) {
                Ok(written) => stream.sent += written,
                Err(_) => return,
            }
            if stream.sent == self.plan.bytes && connection.finish(id).is_err() {
                self.fail("a stream could not be finished");
                return;
            }
        }
    }

    fn receive(&mut self, connection: &mut Connection, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        loop {
            match connection.read(id, usize::MAX) {
                Ok(Some(data)) => {
                    for byte in data {
                        if byte != pattern(stream.received, stream.seed) {
                            let at = stream.received;
                            self.fail(&format!("stream {id} differs at {at}"));
                            return;
                        }
                        stream.received += 1;
                    }
                }
                Ok(None) => {
                    stream.ended = true;
                    if stream.received != self.plan.bytes {
                        self.fail(&format!("stream {id} ended early"));
                    }
                    return;
                }
                Err(ReadError::Blocked) => return,
                Err(error) => {
                    self.fail(&format!("stream {id}: {error}"));
                    return;
                }
            }
        }
    }

    fn send_datagrams(&mut self, now: Instant, connection: &mut Connection) {
        let Some(session) = self.session else { return };
        for (index, _) in self
            .datagrams
            .iter()
            .enumerate()
            .filter(|(_, back)| !**back)
        {
            // A full queue is no failure: another round comes.
            let _ = connection.send_datagram(session, &(index as u32).to_be_bytes());
        }
        self.resend_at = self
            .datagrams
            .contains(&false)
            .then(|| now + RESEND_INTERVAL);
    }

    fn receive_datagrams(&mut self, connection: &mut Connection) {
        let Some(session) = self.session else { return };
        while let Some(datagram) = connection.recv_datagram(session) {
            let index = datagram
                .first_chunk()
                .map(|bytes| u32::from_be_bytes(*bytes) as usize);
            match index.and_then(|index| self.datagrams.get_mut(index)) {
                Some(back) if datagram.len() == 4 => *back = true,
                _ => self.fail("a datagram came back changed"),
            }
        }
    }

    fn fail(&mut self, what: &str) {
        self.failure.get_or_insert_with(|| what.to_owned());
    }
}

impl App for Transfer {
    fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, id: ConnId, event: Event) {
        if let Event::Closed(reason) = event {
            self.closed = Some(reason);
            return;
        }
        let Some(connection) = endpoint.connection(id) else {
            return;
        };
        match event {
            Event::Connected => self.connected = true,
            Event::SessionReady(session, _) => self.on_ready(now, connection, session),
            Event::Readable(stream) => self.receive(connection, stream),
            Event::Writable(stream) => self.send(connection, stream),
            Event::Datagrams(_) => self.receive_datagrams(connection),
            Event::SessionRejected(..) | Event::SessionClosed(..) => {
                self.fail(&format!("{event:?}"));
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.conn {
            None => Some(Instant::ZERO),
            Some(_) => self.resend_at,
        }
    }

    fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let Some(id) = self.conn else {
            self.start(now, endpoint);
            return;
        };
        self.resend_at = None;
        let Some(connection) = endpoint.connection(id) else {
            return;
        };
        match self.session {
            Some(session) if self.streams.is_empty() => self.on_ready(now, connection, session),
            _ => self.send_datagrams(now, connection),
        }
    }

    fn is_done(&self) -> bool {
        self.failure.is_none()
            && self.streams.len() == self.plan.streams
            && self.streams.values().all(|stream| stream.ended)
            && !self.datagrams.contains(&false)
    }

    fn failure(&self) -> Option<String> {
        let closed = self.closed.as_ref().filter(|_| !self.is_done());
        self.failure
            .clone()
            .or_else(|| closed.map(|reason| format!("closed: {reason:?}")))
    }

    fn describe(&self) -> String {
        let streams: Vec<_> = self
            .streams
            .iter()
            .map(|(id, s)| format!("{id}: {} sent, {} back", s.sent, s.received))
            .collect();
        let missing = self.datagrams.iter().filter(|back| !**back).count();
        format!(
            "streams [{}], {missing} datagrams missing",
            streams.join("; ")
        )
    }
}

impl Echo {
    fn echo(&mut self, connection: &mut Connection, conn: ConnId, id: StreamId) {
        loop {
            // What was read and did not fit goes first; `Writable` follows when it is refused.
            let chunk = match self.held.remove(&(conn, id)) {
                Some(chunk) => chunk,
                None => match connection.read(id, 16 << 10) {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => {
                        let _ = connection.finish(id);
                        return;
                    }
                    Err(_) => return,
                },
            };
            let rest = match connection.write(id, &chunk) {
                Ok(written) => chunk.slice(written..),
                Err(WriteError::Blocked) => {
                    self.held.insert((conn, id), chunk);
                    return;
                }
                Err(_) => return,
            };
            if !rest.is_empty() {
                self.held.insert((conn, id), rest);
            }
        }
    }
}

impl App for Echo {
    fn on_event(&mut self, _: Instant, endpoint: &mut Endpoint, id: ConnId, event: Event) {
        let Some(connection) = endpoint.connection(id) else {
            return;
        };
        match event {
            Event::Connected => self.connected += 1,
            Event::SessionRequested(session, _) => {
                let _ = connection.accept_session(session, None);
            }
            Event::Readable(stream) | Event::Writable(stream) => self.echo(connection, id, stream),
            Event::Datagrams(session) => {
                while let Some(datagram) = connection.recv_datagram(session) {
                    // A full queue: drop it, it is a datagram.
                    let _ = connection.send_datagram(session, &datagram);
                }
            }
            Event::SessionClosed(_, closed) => self.ended.push(closed),
            _ => {}
        }
    }
}

impl App for Node {
    fn on_event(&mut self, now: Instant, endpoint: &mut Endpoint, id: ConnId, event: Event) {
        match self {
            Self::Echo(app) => app.on_event(now, endpoint, id, event),
            Self::Transfer(app) => app.on_event(now, endpoint, id, event),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Echo(app) => app.poll_timeout(),
            Self::Transfer(app) => app.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        match self {
            Self::Echo(app) => app.handle_timeout(now, endpoint),
            Self::Transfer(app) => app.handle_timeout(now, endpoint),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Echo(app) => app.is_done(),
            Self::Transfer(app) => app.is_done(),
        }
    }

    fn failure(&self) -> Option<String> {
        match self {
            Self::Echo(app) => app.failure(),
            Self::Transfer(app) => app.failure(),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Echo(app) => app.describe(),
            Self::Transfer(app) => app.describe(),
        }
    }
}

/// Byte `i` of a stream with this seed.
fn pattern(i: usize, seed: u8) -> u8 {
    (i * 31 + usize::from(seed) + (i >> 8)) as u8
}

/// How long a datagram may take before it is sent again.
const RESEND_INTERVAL: Duration = Duration::from_millis(250);
