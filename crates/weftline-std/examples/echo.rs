//! A WebTransport echo server and a client that talks to it: two loops on two threads, no runtime.
//!
//! It uses the null crypto of tests, which protects nothing. A real server takes its configuration
//! from `weftline-rustls`; nothing else changes.

use std::{error::Error, net::SocketAddr, ops::ControlFlow, sync::Arc, thread};

use weftline::{
    Connection, Dir, Endpoint, Event,
    config::{ClientConfig, EndpointConfig, ServerConfig},
    crypto::null::{NullClient, NullServer},
    wt::SessionRequest,
};
use weftline_std::{Driver, Happened, OsEntropy, bind, bind_any};

fn main() -> Result<(), Box<dyn Error>> {
    let config = ServerConfig::builder(Arc::new(NullServer::insecure())).build()?;
    let endpoint = Endpoint::new(EndpointConfig::server(config.into()), Box::new(OsEntropy));
    let server = Driver::new(bind("127.0.0.1:0".parse()?)?, endpoint)?;
    let address = server.local_addr();
    thread::spawn(move || serve(server));
    ask(address)
}

fn serve(mut driver: Driver) -> std::io::Result<()> {
    driver.run(|endpoint, happened| {
        if let Happened::Event(id, event) = happened
            && let Some(connection) = endpoint.connection(id)
        {
            answer(connection, event);
        }
        ControlFlow::Continue(())
    })
}

fn answer(connection: &mut Connection, event: Event) {
    match event {
        Event::SessionRequested(session, _) => {
            let _ = connection.accept_session(session, None);
        }
        Event::Datagrams(session) => {
            while let Some(data) = connection.recv_datagram(session) {
                // When the queue is full it is dropped: it is a datagram.
                let _ = connection.send_datagram(session, &data);
            }
        }
        _ => {}
    }
}

fn ask(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::new(EndpointConfig::client(), Box::new(OsEntropy));
    let mut driver = Driver::new(bind_any()?, endpoint)?;
    let config = ClientConfig::builder(Arc::new(NullClient::insecure())).build()?;
    let now = driver.now();
    let id = driver
        .endpoint()
        .connect(now, address, "localhost", config.into())?;
    if let Some(connection) = driver.endpoint().connection(id) {
        connection.request_session(SessionRequest::new("localhost", "/echo"))?;
    }
    let end = driver.run(|endpoint, happened| {
        let Happened::Event(_, event) = happened else {
            return ControlFlow::Continue(());
        };
        let Some(connection) = endpoint.connection(id) else {
            return ControlFlow::Break(format!("{event:?}"));
        };
        match event {
            Event::SessionReady(session, ready) => {
                println!("session open, {:?}", ready.dialect);
                let _ = connection.send_datagram(session, b"hello");
                let _ = connection.open_stream(session, Dir::Uni);
            }
            Event::Datagrams(session) => {
                if let Some(data) = connection.recv_datagram(session) {
                    println!("{}", String::from_utf8_lossy(&data));
                }
                connection.close(0x100, "");
            }
            Event::Closed(reason) => return ControlFlow::Break(format!("{:?}", reason.by)),
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    println!("closed by {end}");
    // Sends what closing left to send.
    driver.turn(Some(std::time::Duration::ZERO))?;
    Ok(())
}
