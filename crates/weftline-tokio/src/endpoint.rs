use std::{
    fmt, io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use tokio::runtime::Handle;
use weftline::{
    EarlyData, Endpoint as Core, Entropy, SessionStore,
    config::{ClientConfig, EndpointConfig, ServerConfig},
};
use weftline_std::{IoStats, OsEntropy, UdpIo};

use crate::{
    Connection, IncomingConnection,
    driver::{self, Socket},
    error::ConnectError,
    shared::Shared,
    state::{ConnPhase, ConnState, State},
};

/// One UDP socket, and all connections over it, driven by one task.
///
/// When the last handle is dropped, the endpoint accepts no more; connections that have handles go
/// on, and the task ends with the last of them.
#[derive(Clone)]
pub struct Endpoint {
    handle: Arc<EndpointHandle>,
}

struct EndpointHandle {
    shared: Arc<Shared>,
}

/// What an endpoint's task did since it began.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// How often the task ran. It stands still while nothing is going on.
    pub turns: u64,
    /// What went through the socket.
    pub io: IoStats,
}

impl Endpoint {
    /// A server at `listen`; `[::]:443` takes IPv4 too.
    ///
    /// # Errors
    /// When the socket cannot be had.
    ///
    /// # Panics
    /// Like all constructors here: outside of a tokio runtime with I/O and time.
    pub fn server(listen: SocketAddr, config: Arc<ServerConfig>) -> io::Result<Self> {
        Self::bind(listen, EndpointConfig::server(config))
    }

    /// An endpoint for connections of this side only: on any port, for both address families where
    /// the system has both.
    ///
    /// # Errors
    /// When the socket cannot be had.
    pub fn client() -> io::Result<Self> {
        let socket = weftline_std::bind_any()?;
        Self::new(socket, EndpointConfig::client(), Box::new(OsEntropy))
    }

    /// An endpoint at `address`.
    ///
    /// # Errors
    /// When the socket cannot be had.
    pub fn bind(address: SocketAddr, config: EndpointConfig) -> io::Result<Self> {
        let socket = weftline_std::bind(address)?;
        Self::new(socket, config, Box::new(OsEntropy))
    }

    /// An endpoint over a socket of the caller's.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn new(
        socket: UdpSocket,
        config: EndpointConfig,
        entropy: Box<dyn Entropy>,
    ) -> io::Result<Self> {
        let (io, local) = open(socket)?;
        let mut endpoint = Core::new(config, entropy);
        endpoint.offer_unix_origin(weftline_std::unix_time());
        let shared = Arc::new(Shared::new(State::new(endpoint, local)));
        Handle::current().spawn(driver::drive(shared.clone(), io));
        let handle = Arc::new(EndpointHandle { shared });
        Ok(Self { handle })
    }

    /// The socket's own address.
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.shared.lock().local
    }

    /// Goes on over another socket, which has another address: what a client does whose network
    /// changed. Its connections move there, and [`Connection::path_changed`] tells how it went. A
    /// server's clients do not find it there.
    ///
    /// # Errors
    /// When the socket cannot be used; the old one stays in use then.
    pub fn rebind(&self, socket: UdpSocket) -> io::Result<()> {
        let (io, local) = open(socket)?;
        let mut state = self.handle.shared.lock();
        state.next_io = Some(Box::new(io));
        state.local = local;
        drop(state);
        self.handle.shared.wake_driver();
        Ok(())
    }

    /// The next connection of a client, its handshake complete; or not yet, if requests of its came
    /// in early data. `None` when no more will come:
    /// after [`Endpoint::close`], or after [`Endpoint::go_away`] and those before it.
    pub async fn accept(&self) -> Option<Connection> {
        let shared = &self.handle.shared;
        let arrivals = shared.lock().arrivals.clone();
        let next = |state: &mut State| match state.accepted.pop_front() {
            Some(id) => Some(Some(id)),
            None if state.is_accepting => None,
            None => Some(None),
        };
        let id = shared.wait(&arrivals, next).await?;
        Some(Connection::new(shared.clone(), id))
    }

    /// The next client that waits to be let in; clients do so when the endpoint was made with
    /// [`Admission::Ask`](weftline::config::Admission::Ask), and no longer than a handshake may
    /// take. `None` when no more will come.
    pub async fn incoming(&self) -> Option<IncomingConnection> {
        let shared = &self.handle.shared;
        let arrivals = shared.lock().arrivals.clone();
        let next = |state: &mut State| match state.endpoint.poll_incoming() {
            Some(incoming) => Some(Some(incoming)),
            None if state.is_accepting => None,
            None => Some(None),
        };
        let incoming = shared.wait(&arrivals, next).await?;
        Some(IncomingConnection::new(shared.clone(), incoming))
    }

    /// Connects to `to`, whose certificate must be for `name`. Waits until the handshake is
    /// complete; when dropped before, the connection is closed.
    pub async fn connect(
        &self,
        to: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> Result<Connection, ConnectError> {
        let connection = self.start(to, name, config)?;
        connection.connected().await.map_err(ConnectError::Closed)?;
        Ok(connection)
    }

    /// As [`Endpoint::connect`], but does not wait when a session is resumed that allows early data
    /// (0-RTT): GET, HEAD and OPTIONS requests go out at once then, and whoever is on the way can
    /// have the server see them again. All else waits for the handshake by itself. See
    /// [`Connection::early_data`].
    pub async fn connect_early(
        &self,
        to: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> Result<Connection, ConnectError> {
        let connection = self.start(to, name, config)?;
        if connection.early_data() != EarlyData::Pending {
            connection.connected().await.map_err(ConnectError::Closed)?;
        }
        Ok(connection)
    }

    fn start(
        &self,
        to: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> Result<Connection, ConnectError> {
        let shared = &self.handle.shared;
        let connection = {
            let mut state = shared.lock();
            if state.is_closed {
                return Err(ConnectError::EndpointClosed);
            }
            let id = state.endpoint.connect(shared.now(), to, name, config)?;
            let connecting = ConnState::new(ConnPhase::Connecting);
            state.connections.insert(id, connecting);
            drop(state);
            Connection::new(shared.clone(), id)
        };
        shared.wake_driver();
        Ok(connection)
    }

    /// Keeps the sessions of servers, by which later connections are resumed, in `store` from now
    /// on; without this call in memory.
    pub fn set_session_store(&self, store: Box<dyn SessionStore>) {
        self.handle.shared.lock().endpoint.set_session_store(store);
    }

    /// Accepts no more, and closes every connection with this HTTP/3 error code (0x100 says that
    /// nothing is wrong).
    pub fn close(&self, code: u64, reason: &str) {
        let mut state = self.handle.shared.lock();
        state.is_closed = true;
        state.stop_accepting();
        state.endpoint.close_all(code, reason);
        state.release_accepted();
        state.wake_arrivals();
        drop(state);
        self.handle.shared.wake_driver();
    }

    /// Accepts no more, and tells every peer that no further sessions and requests will be taken
    /// (GOAWAY). Those there are go on; the peers' applications see them draining.
    pub fn go_away(&self) {
        let mut state = self.handle.shared.lock();
        state.stop_accepting();
        let ids: Vec<_> = state.endpoint.connections().collect();
        for id in ids {
            if let Some(connection) = state.endpoint.connection(id) {
                connection.go_away();
            }
        }
        state.wake_arrivals();
        drop(state);
        self.handle.shared.wake_driver();
    }

    /// How many connections there are, including those that are still connecting or closing.
    pub fn open_connections(&self) -> usize {
        self.handle.shared.lock().endpoint.len()
    }

    /// Waits until no connection is left: after [`Endpoint::close`], until every peer was told.
    pub async fn wait_idle(&self) {
        let shared = &self.handle.shared;
        let idle = shared.lock().idle.clone();
        let is_idle = |state: &mut State| state.is_idle().then_some(());
        shared.wait(&idle, is_idle).await;
    }

    /// What the task did.
    pub fn stats(&self) -> EndpointStats {
        self.handle.shared.lock().stats
    }
}

impl Drop for EndpointHandle {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_released = true;
        state.stop_accepting();
        state.release_accepted();
        drop(state);
        self.shared.wake_driver();
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("local", &self.local_addr())
            .finish_non_exhaustive()
    }
}

fn open(socket: UdpSocket) -> io::Result<(UdpIo<Socket>, SocketAddr)> {
    let local = socket.local_addr()?;
    socket.set_nonblocking(true)?;
    let io = UdpIo::new(Socket(tokio::net::UdpSocket::from_std(socket)?), local)?;
    Ok((io, local))
}
