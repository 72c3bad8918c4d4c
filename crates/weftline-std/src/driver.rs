use std::{
    io,
    net::{SocketAddr, UdpSocket},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use mio::{Interest, Poll, Token, Waker};
use quinn_udp::UdpSockRef;
use weftline::{ConnId, Endpoint, Event, Incoming, Instant, driver::Pump};

use crate::{Clock, IoStats, NonBlocking, UdpIo, unix_time};

/// An endpoint, its socket and a clock, driven from one thread.
///
/// ```no_run
/// # fn serve(mut driver: weftline_std::Driver) -> std::io::Result<()> {
/// use std::ops::ControlFlow;
/// use weftline::Event;
/// use weftline_std::Happened;
///
/// driver.run(|endpoint, happened| {
///     if let Happened::Event(id, Event::SessionRequested(session, _)) = happened {
///         if let Some(connection) = endpoint.connection(id) {
///             let _ = connection.accept_session(session, None);
///         }
///     }
///     ControlFlow::Continue(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct Driver {
    endpoint: Endpoint,
    io: UdpIo<mio::net::UdpSocket>,
    pump: Pump,
    clock: Clock,
    poll: Poll,
    events: mio::Events,
    notifier: Notifier,
    local: SocketAddr,
    watches_room: bool,
    turns: u64,
}

/// Wakes a [`Driver`] up from another thread. Several calls may arrive as one.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Waker>);

/// Why a turn of a [`Driver`] took place.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Turned {
    /// The endpoint had something to do: datagrams, a timer, or what the application asked for.
    Worked,
    /// A [`Notifier`] was used.
    Notified,
    /// The caller's time was up.
    TimedOut,
}

/// What the application of [`Driver::run`] is called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// An event of a connection.
    Event(ConnId, Event),
    /// A client waits to be let in: see [`Endpoint::poll_incoming`].
    Incoming(Incoming),
    /// A [`Notifier`] was used.
    Notified,
}

impl Driver {
    /// Takes a bound socket over. [`bind`](crate::bind) and [`bind_any`](crate::bind_any) make
    /// good ones.
    pub fn new(socket: UdpSocket, mut endpoint: Endpoint) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let poll = Poll::new()?;
        let mut socket = mio::net::UdpSocket::from_std(socket);
        poll.registry()
            .register(&mut socket, SOCKET, Interest::READABLE)?;
        let notifier = Notifier(Arc::new(Waker::new(poll.registry(), NOTIFIER)?));
        endpoint.offer_unix_origin(unix_time());
        Ok(Self {
            endpoint,
            io: UdpIo::new(socket, local)?,
            pump: Pump::new(),
            clock: Clock::new(),
            poll,
            events: mio::Events::with_capacity(8),
            notifier,
            local,
            watches_room: false,
            turns: 0,
        })
    }

    /// The endpoint: for its events, and for everything that an application does. What it does is
    /// sent by the next turn.
    pub fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// What the driver's clock shows.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The socket's own address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Goes on over another socket, which has another address: what a client does whose network
    /// changed. Its connections move there, and
    /// [`Event::PathChanged`](weftline::Event::PathChanged) tells how it went. A server's clients
    /// do not find it there.
    ///
    /// # Errors
    /// When the socket cannot be used; the old one stays in use then.
    pub fn rebind(&mut self, socket: UdpSocket) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let mut socket = mio::net::UdpSocket::from_std(socket);
        let registry = self.poll.registry();
        registry.register(&mut socket, SOCKET, Interest::READABLE)?;
        let io = UdpIo::new(socket, local)?;
        // The old one is about to be closed: whether it can be forgotten first does not matter.
        let _ = registry.deregister(self.io.socket_mut());
        self.io.replace(io);
        self.local = local;
        self.watches_room = false;
        self.endpoint.handle_rebind(self.clock.now());
        Ok(())
    }

    /// What wakes this driver up from other threads.
    pub fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    /// What went through the socket.
    pub fn io_stats(&self) -> IoStats {
        self.io.stats()
    }

    /// How many turns there were. It stands still while nothing is going on.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Waits until there is something to do, no longer than `timeout`, and does it. Take the
    /// endpoint's events afterwards.
    ///
    /// # Errors
    /// When the operating system cannot wait for the socket at all. Errors of single datagrams are
    /// no errors here: they are lost.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Turned> {
        let due = self.pump.deadline(&self.endpoint);
        let due = due.map(|at| self.clock.until(at));
        let mut turned = Turned::Worked;
        if due != Some(Duration::ZERO) {
            self.watch_room()?;
            turned = self.wait(due, timeout)?;
        }
        self.turns += 1;
        self.pump
            .turn(&mut self.endpoint, &mut self.io, self.clock.now());
        Ok(turned)
    }

    /// Turns for ever, and calls `application` with every event and notification, until that
    /// breaks.
    ///
    /// # Errors
    /// As for [`Driver::turn`].
    pub fn run<B>(
        &mut self,
        mut application: impl FnMut(&mut Endpoint, Happened) -> ControlFlow<B>,
    ) -> io::Result<B> {
        loop {
            while let Some((id, event)) = self.endpoint.poll_event() {
                let happened = Happened::Event(id, event);
                if let ControlFlow::Break(value) = application(&mut self.endpoint, happened) {
                    return Ok(value);
                }
            }
            while let Some(incoming) = self.endpoint.poll_incoming() {
                let happened = Happened::Incoming(incoming);
                if let ControlFlow::Break(value) = application(&mut self.endpoint, happened) {
                    return Ok(value);
                }
            }
            if self.turn(None)? == Turned::Notified
                && let ControlFlow::Break(value) =
                    application(&mut self.endpoint, Happened::Notified)
            {
                return Ok(value);
            }
        }
    }

    /// Has the system watch for room in the socket only while it is full: it would report room
    /// after each datagram.
    fn watch_room(&mut self) -> io::Result<()> {
        let blocked = self.pump.is_blocked();
        if blocked == self.watches_room {
            return Ok(());
        }
        self.watches_room = blocked;
        let interest = match blocked {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        let registry = self.poll.registry();
        registry.reregister(self.io.socket_mut(), SOCKET, interest)
    }

    fn wait(&mut self, due: Option<Duration>, timeout: Option<Duration>) -> io::Result<Turned> {
        let patience = match (due, timeout) {
            (Some(due), Some(timeout)) => Some(due.min(timeout)),
            (due, timeout) => due.or(timeout),
        };
        match self.poll.poll(&mut self.events, patience) {
            // A signal: nothing happened, and a turn too many does no harm.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Turned::Worked),
            polled => polled?,
        }
        if self.events.iter().any(|event| event.token() == NOTIFIER) {
            return Ok(Turned::Notified);
        }
        let timed_out = self.events.is_empty() && timeout.is_some() && timeout <= due_or_max(due);
        Ok(match timed_out {
            true => Turned::TimedOut,
            false => Turned::Worked,
        })
    }
}

impl Notifier {
    /// Wakes the driver up: its current or next wait ends with [`Turned::Notified`].
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn notify(&self) -> io::Result<()> {
        self.0.wake()
    }
}

impl NonBlocking for mio::net::UdpSocket {
    fn as_udp(&self) -> UdpSockRef<'_> {
        self.into()
    }

    fn try_recv<R>(&self, receive: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.try_io(receive)
    }

    fn try_send<R>(&self, send: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.try_io(send)
    }
}

fn due_or_max(due: Option<Duration>) -> Option<Duration> {
    due.or(Some(Duration::MAX))
}

const SOCKET: Token = Token(0);
const NOTIFIER: Token = Token(1);
