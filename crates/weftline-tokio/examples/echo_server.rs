//! A WebTransport echo server: `cargo run --example echo_server -- 127.0.0.1:4433`.
//!
//! It uses the null crypto of tests, which protects nothing and which only `echo_client` speaks. A
//! real server takes its configuration from `weftline-rustls`; nothing else changes.

use std::{env, error::Error, sync::Arc};

use weftline::{config::ServerConfig, crypto::null::NullServer};
use weftline_tokio::{Connection, Endpoint, Incoming, Session};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listen = env::args().nth(1).unwrap_or("127.0.0.1:4433".into());
    let config = ServerConfig::builder(Arc::new(NullServer::insecure())).build()?;
    let server = Endpoint::server(listen.parse()?, config.into())?;
    println!("listening on https://{}", server.local_addr());
    while let Some(connection) = server.accept().await {
        tokio::spawn(serve(connection));
    }
    Ok(())
}

async fn serve(connection: Connection) {
    while let Ok(incoming) = connection.accept().await {
        // Plain requests are dropped, and thereby cancelled.
        if let Incoming::Session(request) = incoming
            && let Ok(session) = request.accept()
        {
            println!("session from {}", connection.remote_address());
            tokio::spawn(echo_datagrams(session.clone()));
            tokio::spawn(echo_streams(session));
        }
    }
}

async fn echo_datagrams(session: Session) {
    while let Ok(data) = session.recv_datagram().await {
        // When the queue is full it is dropped: it is a datagram.
        let _ = session.send_datagram(&data);
    }
}

async fn echo_streams(session: Session) {
    while let Ok((mut send, mut recv)) = session.accept_bi().await {
        tokio::spawn(async move {
            tokio::io::copy(&mut recv, &mut send).await?;
            send.finish()?;
            send.finished().await?;
            Ok::<(), std::io::Error>(())
        });
    }
}
