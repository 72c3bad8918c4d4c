//! Sends lines to `echo_server`: `cargo run --example echo_client -- https://127.0.0.1:4433/`.

use std::{env, error::Error, io, sync::Arc};

use weftline::{config::ClientConfig, crypto::null::NullClient};
use weftline_tokio::{Endpoint, Target};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args()
        .nth(1)
        .unwrap_or("https://127.0.0.1:4433/".into());
    let target = Target::parse(&url)?;
    let config = ClientConfig::builder(Arc::new(NullClient::insecure())).build()?;
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
    client.close(0x100, "");
    client.wait_idle().await;
    Ok(())
}
