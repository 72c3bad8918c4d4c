//! Sends lines to `echo_server`, with the URL and certificate hash that it prints:
//! `cargo run --example echo_client -- https://127.0.0.1:4433/ HASH`.

use std::{env, error::Error, io, sync::Arc};

use weftline::config::ClientConfig;
use weftline_rustls::{ClientTls, hash};
use weftline_tokio::{Endpoint, Target};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [url, trusted] = [1, 2].map(|n| env::args().nth(n).unwrap_or_default());
    let target = Target::parse(&url)?;
    let trusted = hash::parse_sha256(&trusted).ok_or("give the certificate's SHA-256")?;
    let tls = ClientTls::builder()
        .certificate_hashes(vec![trusted])
        .build()?;
    let config = ClientConfig::builder(Arc::new(tls)).build()?;
    let client = Endpoint::client()?;
    let session = client
        .connect_session(&target, config.into(), target.session_request())
        .await?;
    println!("session open, {:?}", session.dialect());
    for line in io::stdin().lines() {
        let (mut send, mut recv) = session.open_bi().await?;
        send.write_all(line?.as_bytes()).await?;
        send.finish()?;
        let echo = recv.read_to_end(1 << 20).await?;
        println!("{}", String::from_utf8_lossy(&echo));
    }
    session.close(0, "goodbye");
    session.closed().await;
    client.close(0x100, "");
    client.wait_idle().await;
    Ok(())
}
