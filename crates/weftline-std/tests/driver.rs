//! Endpoints driven by blocking loops over loopback, with null crypto.

use std::{
    collections::HashMap,
    net::SocketAddr,
    ops::ControlFlow,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use weftline::{
    ConnId, Connection, Dir, Endpoint, Event, SessionId, StreamId,
    config::{ClientConfig, EndpointConfig, ServerConfig},
    crypto::null::{NullClient, NullServer},
    error::{MigrateError, WriteError},
    event::{CloseReason, ClosedBy, PathChange},
    wt::SessionRequest,
};
use weftline_std::{Driver, Happened, Notifier, OsEntropy, Turned, bind, bind_any};

fn driver(config: EndpointConfig) -> Driver {
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Driver::new(socket, Endpoint::new(config, Box::new(OsEntropy))).unwrap()
}

fn client() -> Driver {
    driver(EndpointConfig::client())
}

fn client_config() -> Arc<ClientConfig> {
    let builder = ClientConfig::builder(Arc::new(NullClient::insecure()));
    Arc::new(builder.build().unwrap())
}

fn connect(client: &mut Driver, to: SocketAddr, config: Arc<ClientConfig>) -> ConnId {
    let now = client.now();
    client
        .endpoint()
        .connect(now, to, "localhost", config)
        .unwrap()
}

/// Echoes streams and datagrams on another thread, until notified; gives the connections' ends.
struct EchoServer {
    address: SocketAddr,
    notifier: Notifier,
    thread: thread::JoinHandle<Vec<CloseReason>>,
}

impl EchoServer {
    fn start() -> Self {
        let builder = ServerConfig::builder(Arc::new(NullServer::insecure()));
        let config = EndpointConfig::server(Arc::new(builder.build().unwrap()));
        let mut driver = driver(config);
        let (address, notifier) = (driver.local_addr(), driver.notifier());
        let thread = thread::spawn(move || {
            let (mut ends, mut held) = (Vec::new(), Held::new());
            let result = driver.run(|endpoint, happened| {
                let (id, event) = match happened {
                    Happened::Notified => return ControlFlow::Break(()),
                    Happened::Event(id, event) => (id, event),
                    Happened::Incoming(incoming) => panic!("{incoming:?} need not ask"),
                };
                if let Event::Closed(reason) = event {
                    ends.push(reason);
                } else if let Some(connection) = endpoint.connection(id) {
                    serve(connection, id, event, &mut held);
                }
                ControlFlow::Continue(())
            });
            result.unwrap();
            ends
        });
        Self {
            address,
            notifier,
            thread,
        }
    }

    fn stop(self) -> Vec<CloseReason> {
        self.notifier.notify().unwrap();
        self.thread.join().unwrap()
    }
}

/// What was read and could not be written back yet.
type Held = HashMap<(ConnId, StreamId), Bytes>;

fn serve(connection: &mut Connection, id: ConnId, event: Event, held: &mut Held) {
    match event {
        Event::SessionRequested(session, _) => connection.accept_session(session, None).unwrap(),
        Event::Readable(stream) | Event::Writable(stream) => {
            echo(connection, (id, stream), held);
        }
        Event::Datagrams(session) => {
            while let Some(data) = connection.recv_datagram(session) {
                let _ = connection.send_datagram(session, &data);
            }
        }
        _ => {}
    }
}

fn echo(connection: &mut Connection, key: (ConnId, StreamId), held: &mut Held) {
    let stream = key.1;
    loop {
        let mut data = match held.remove(&key) {
            Some(data) => data,
            None => match connection.read(stream, 64 << 10) {
                Ok(Some(data)) => data,
                Ok(None) => {
                    let _ = connection.finish(stream);
                    return;
                }
                Err(_) => return,
            },
        };
        while !data.is_empty() {
            match connection.write_bytes(stream, data.clone()) {
                Ok(written) => data.advance(written),
                Err(WriteError::Blocked) => {
                    held.insert(key, data);
                    return;
                }
                Err(_) => return,
            }
        }
    }
}

/// Turns until `wanted` gives something for an event.
fn until<T>(driver: &mut Driver, mut wanted: impl FnMut(&mut Endpoint, Event) -> Option<T>) -> T {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        while let Some((_, event)) = driver.endpoint().poll_event() {
            if let Some(value) = wanted(driver.endpoint(), event) {
                return value;
            }
        }
        assert!(Instant::now() < patience);
        driver.turn(Some(Duration::from_secs(5))).unwrap();
    }
}

fn open_session(driver: &mut Driver, id: ConnId) -> SessionId {
    let request = SessionRequest::new("localhost", "/");
    let connection = driver.endpoint().connection(id).unwrap();
    let session = connection.request_session(request).unwrap();
    until(driver, |_, event| match event {
        Event::SessionReady(ready, _) if ready == session => Some(session),
        Event::Closed(reason) => panic!("{reason:?}"),
        _ => None,
    })
}

#[test]
fn echo_4_mib() {
    let server = EchoServer::start();
    let mut driver = client();
    let id = connect(&mut driver, server.address, client_config());
    let session = open_session(&mut driver, id);
    let data: Vec<u8> = (0..4_usize << 20)
        .map(|i| (i * 31 + (i >> 8)) as u8)
        .collect();
    let connection = driver.endpoint().connection(id).unwrap();
    let stream = connection.open_stream(session, Dir::Bi).unwrap();
    let (mut sent, mut received) = (0, Vec::new());
    let mut pump = |endpoint: &mut Endpoint| {
        let connection = endpoint.connection(id).unwrap();
        while sent < data.len() {
            match connection.write(stream, &data[sent..]) {
                Ok(written) => sent += written,
                Err(_) => break,
            }
            if sent == data.len() {
                connection.finish(stream).unwrap();
            }
        }
        while let Ok(chunk) = connection.read(stream, usize::MAX) {
            match chunk {
                Some(chunk) => received.extend_from_slice(&chunk),
                None => return Some(()),
            }
        }
        None
    };
    assert_eq!(pump(driver.endpoint()), None);
    until(&mut driver, |endpoint, event| match event {
        Event::Readable(_) | Event::Writable(_) => pump(endpoint),
        Event::Closed(reason) => panic!("{reason:?}"),
        _ => None,
    });
    assert!(received == data, "the echo is what was sent");

    let connection = driver.endpoint().connection(id).unwrap();
    connection.close(0x100, "done");
    until(&mut driver, |_, event| match event {
        Event::Closed(reason) => Some(reason),
        _ => None,
    });
    // The close packet went out with a turn at the latest.
    driver.turn(Some(Duration::ZERO)).unwrap();
    thread::sleep(Duration::from_millis(200));
    let ends = server.stop();
    assert_eq!(ends.len(), 1);
    assert_eq!((ends[0].by, ends[0].code), (ClosedBy::Peer, 0x100));
    assert_eq!(ends[0].reason, "done");
}

#[test]
fn datagrams_come_back() {
    let server = EchoServer::start();
    let mut driver = client();
    let id = connect(&mut driver, server.address, client_config());
    let session = open_session(&mut driver, id);
    let connection = driver.endpoint().connection(id).unwrap();
    connection.send_datagram(session, b"hello").unwrap();
    let data = until(&mut driver, |endpoint, event| match event {
        Event::Datagrams(session) => endpoint.connection(id)?.recv_datagram(session),
        _ => None,
    });
    assert_eq!(data, "hello");
    server.stop();
}

#[test]
fn idleness_is_idle() {
    let server = EchoServer::start();
    let mut driver = client();
    let id = connect(&mut driver, server.address, client_config());
    open_session(&mut driver, id);
    // Acknowledgements and the like come to rest.
    while driver.turn(Some(Duration::from_millis(500))).unwrap() != Turned::TimedOut {
        while driver.endpoint().poll_event().is_some() {}
    }
    let turns = driver.turns();
    let begin = Instant::now();
    let turned = driver.turn(Some(Duration::from_secs(1))).unwrap();
    assert_eq!((turned, driver.turns()), (Turned::TimedOut, turns + 1));
    assert!(begin.elapsed() >= Duration::from_secs(1));
    server.stop();
}

#[test]
fn nothing_going_on_waits_for_the_notifier() {
    let mut driver = client();
    let notifier = driver.notifier();
    notifier.notify().unwrap();
    assert_eq!(driver.turn(None).unwrap(), Turned::Notified);
    let later = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        notifier.notify().unwrap();
    });
    assert_eq!(driver.turn(None).unwrap(), Turned::Notified);
    later.join().unwrap();
    let short = driver.turn(Some(Duration::from_millis(5))).unwrap();
    assert_eq!(short, Turned::TimedOut);
}

/// Timers fire when they are due: not before, and the loop does not spin until then.
#[test]
fn deadlines_are_kept() {
    let silent = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut driver = client();
    let builder = ClientConfig::builder(Arc::new(NullClient::insecure()));
    let patience = Duration::from_millis(1500);
    let config = builder.with_limits(|limits| limits.handshake_timeout = patience);
    let begin = Instant::now();
    let config = Arc::new(config.build().unwrap());
    connect(&mut driver, silent.local_addr().unwrap(), config);
    let reason = until(&mut driver, |_, event| match event {
        Event::Closed(reason) => Some(reason),
        _ => None,
    });
    assert_eq!(reason.by, ClosedBy::Timeout);
    assert!(begin.elapsed() >= patience);
    assert!(driver.turns() < 50, "{} turns", driver.turns());
}

#[test]
fn refused_datagrams_are_lost_datagrams() {
    let closed = {
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket.local_addr().unwrap()
    };
    let mut driver = client();
    connect(&mut driver, closed, client_config());
    for _ in 0..5 {
        driver.turn(Some(Duration::from_millis(50))).unwrap();
        while let Some((_, event)) = driver.endpoint().poll_event() {
            assert!(!matches!(event, Event::Closed(_)), "{event:?}");
        }
    }
    // The same endpoint still works.
    let server = EchoServer::start();
    let id = connect(&mut driver, server.address, client_config());
    open_session(&mut driver, id);
    server.stop();
}

/// Turns until an event says that the connection has moved.
fn until_moved(client: &mut Driver) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        while let Some((_, event)) = client.endpoint().poll_event() {
            match event {
                Event::PathChanged(PathChange::Moved { .. }) => return,
                Event::PathChanged(_) | Event::Closed(_) => panic!("{event:?}"),
                _ => {}
            }
        }
        client.turn(Some(Duration::from_millis(10))).unwrap();
    }
    panic!("it never moved");
}

/// A client goes on from another address of its socket, then over another socket.
#[test]
fn clients_move() {
    let server = EchoServer::start();
    let endpoint = Endpoint::new(EndpointConfig::client(), Box::new(OsEntropy));
    let mut client = Driver::new(bind_any().unwrap(), endpoint).unwrap();
    let id = connect(&mut client, server.address, client_config());
    // Not before the handshake is confirmed.
    let elsewhere = Some([127, 0, 0, 2].into());
    while let Err(error) = client.endpoint().connection(id).unwrap().migrate(elsewhere) {
        assert_eq!(error, MigrateError::NotConfirmed);
        client.turn(Some(Duration::from_millis(10))).unwrap();
    }
    until_moved(&mut client);
    for _ in 0..3 {
        let socket = bind("127.0.0.3:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        client.rebind(socket).unwrap();
        assert_eq!(client.local_addr(), address);
        until_moved(&mut client);
    }
    assert!(client.io_stats().sent > 0);
    assert!(server.stop().is_empty(), "it is still open");
}
