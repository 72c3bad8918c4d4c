//! A WebTransport echo server with a development certificate, for `echo_client` and for browsers:
//! `cargo run --example echo_server -- 127.0.0.1:4433`.

use std::{env, error::Error, sync::Arc};

use weftline::config::ServerConfig;
use weftline_rustls::{DevCertificate, ServerTls, hash};
use weftline_tokio::{Connection, Endpoint, Incoming, Session};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listen = env::args().nth(1).unwrap_or("127.0.0.1:4433".into());
    let certificate = DevCertificate::generate(&[], 13)?;
    let tls = ServerTls::builder(certificate.identity()?).build()?;
    let config = ServerConfig::builder(Arc::new(tls)).build()?;
    let server = Endpoint::server(listen.parse()?, config.into())?;
    println!(
        "https://{}/ {}",
        server.local_addr(),
        hash::hex(&certificate.sha256())
    );
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
