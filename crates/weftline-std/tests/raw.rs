//! Raw QUIC over loopback, driven by blocking loops, with null crypto.

use std::{ops::ControlFlow, sync::Arc, thread, time::Duration};

use weftline::{
    Connection, Dir, Endpoint, Event,
    config::{ClientConfig, EndpointConfig, ServerConfig},
    crypto::null::{NullClient, NullServer},
    event::{CloseReason, ClosedBy},
};
use weftline_std::{Driver, Happened, OsEntropy, Turned, bind};

fn driver(config: EndpointConfig) -> Driver {
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Driver::new(socket, Endpoint::new(config, Box::new(OsEntropy))).unwrap()
}

fn server() -> Driver {
    let config = ServerConfig::builder(Arc::new(NullServer::insecure()));
    let config = config.raw_alpn(["echo"]).build().unwrap();
    driver(EndpointConfig::server(Arc::new(config)))
}

/// Echoes the streams and datagrams of one connection; gives how it ended.
fn echo(mut driver: Driver) -> CloseReason {
    let result = driver.run(|endpoint, happened| {
        let Happened::Event(id, event) = happened else {
            return ControlFlow::Continue(());
        };
        let mut raw = endpoint.connection(id).and_then(Connection::raw);
        let raw = raw.as_mut().expect("it is not HTTP/3");
        match event {
            Event::Readable(stream) => loop {
                match raw.read(stream, 1000) {
                    Ok(Some(data)) => assert_eq!(raw.write(stream, &data), Ok(data.len())),
                    Ok(None) => break raw.finish(stream).unwrap(),
                    Err(_) => break,
                }
            },
            Event::RawDatagrams => {
                while let Some(data) = raw.recv_datagram() {
                    raw.send_datagram(&data).unwrap();
                }
            }
            Event::Closed(reason) => return ControlFlow::Break(reason),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    result.unwrap()
}

#[test]
fn streams_and_datagrams_come_back() {
    let server = server();
    let address = server.local_addr();
    let server = thread::spawn(|| echo(server));
    let config = ClientConfig::builder(Arc::new(NullClient::insecure()));
    let config = Arc::new(config.raw_alpn(["echo"]).build().unwrap());
    let mut client = driver(EndpointConfig::client());
    let now = client.now();
    let connecting = client.endpoint().connect(now, address, "localhost", config);
    let id = connecting.unwrap();
    let mut echoed = Vec::new();
    let mut datagram = None;
    for _ in 0..1000 {
        while let Some((_, event)) = client.endpoint().poll_event() {
            let connection = client.endpoint().connection(id).unwrap();
            let mut raw = connection.raw().unwrap();
            match event {
                Event::Connected => {
                    let stream = raw.open(Dir::Bi).unwrap();
                    assert_eq!(raw.write(stream, b"hello"), Ok(5));
                    raw.finish(stream).unwrap();
                    raw.send_datagram(b"marco").unwrap();
                }
                Event::Readable(stream) => {
                    while let Ok(Some(data)) = raw.read(stream, 1000) {
                        echoed.extend_from_slice(&data);
                    }
                }
                Event::RawDatagrams => datagram = raw.recv_datagram(),
                _ => {}
            }
        }
        if echoed.len() == 5 && datagram.is_some() {
            break;
        }
        let turned = client.turn(Some(Duration::from_millis(100))).unwrap();
        if turned == Turned::TimedOut && datagram.is_none() {
            // Lost, it seems.
            let connection = client.endpoint().connection(id).unwrap();
            let _ = connection.raw().unwrap().send_datagram(b"marco");
        }
    }
    assert_eq!(echoed, b"hello");
    assert_eq!(datagram.as_deref(), Some(&b"marco"[..]));
    let connection = client.endpoint().connection(id).unwrap();
    connection.raw().unwrap().close(1 << 40, "done");
    client.turn(Some(Duration::ZERO)).unwrap();
    let closed = server.join().unwrap();
    assert_eq!((closed.by, closed.code), (ClosedBy::Peer, 1 << 40));
}
