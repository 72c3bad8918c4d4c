//! Weftline as an endpoint of the matrix.

mod http09;
mod http3;

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use interop_endpoint::{self as interop, AT_ONCE, Case, Client, HQ, Role, SERVER_NAME, Server};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};
use weftline::{
    config::{Admission, ClientConfig, EndpointConfig, Limits, ServerConfig},
    crypto::Version,
};
use weftline_rustls::{CipherSuite, ClientTls, Identity, ServerTls};
use weftline_tokio::{Connection, Endpoint};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match interop::role() {
        Role::Server(args) => {
            if let Err(error) = serve(args).await {
                interop::finish(Err(error.to_string()));
            }
        }
        Role::Client(args) => {
            interop::finish(fetch(args).await.map_err(|error| error.to_string()));
        }
    }
}

async fn serve(args: Server) -> Result<(), Error> {
    let identity = Identity::from_pem_files(&args.cert, &args.key)?;
    let mut tls = ServerTls::builder(identity)
        .key_log_from_env()
        .early_data(args.case == Case::ZeroRtt);
    if args.case == Case::ChaCha20 {
        tls = tls.cipher_suites([CipherSuite::ChaCha20Poly1305]);
    }
    let tls = tls.build()?;
    let config = ServerConfig::builder(Arc::new(tls))
        .raw_alpn([HQ])
        .with_limits(|limits| adapt(limits, args.case))
        .with_transport(|transport| {
            transport.idle_timeout = IDLE;
            if args.case == Case::V2 {
                transport.versions = vec![Version::V2, Version::V1];
            }
            match args.preferred {
                Some(SocketAddr::V4(address)) => transport.preferred_ipv4 = Some(address),
                Some(SocketAddr::V6(address)) => transport.preferred_ipv6 = Some(address),
                None => {}
            }
        });
    let mut config = EndpointConfig::server(Arc::new(config.build()?));
    if args.case == Case::Retry {
        config = config.admission(Admission::Retry);
    }
    let endpoint = Endpoint::bind(args.listen, config)?;
    interop::listening(endpoint.local_addr());
    while let Some(connection) = endpoint.accept().await {
        tokio::spawn(async move {
            match connection.raw() {
                Some(raw) => http09::serve(raw).await,
                None => http3::serve(connection).await,
            }
        });
    }
    Ok(())
}

async fn fetch(args: Client) -> Result<(), Error> {
    let mut tls = ClientTls::builder()
        .ca_file(&args.ca)
        .key_log_from_env()
        .early_data(args.case == Case::ZeroRtt);
    if args.case == Case::ChaCha20 {
        tls = tls.cipher_suites([CipherSuite::ChaCha20Poly1305]);
    }
    let tls = tls.build()?;
    let mut config =
        ClientConfig::builder(Arc::new(tls)).with_limits(|limits| adapt(limits, args.case));
    config = config.with_transport(|transport| transport.idle_timeout = IDLE);
    if args.case != Case::Http3 {
        config = config.raw_alpn([HQ]);
    }
    let config = Arc::new(config.build()?);
    let any = SocketAddr::new(args.connect.ip(), 0);
    let endpoint = Endpoint::bind(any, EndpointConfig::client())?;
    if args.case == Case::MultiConnect {
        let mut fetching = JoinSet::new();
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        for path in args.paths.clone() {
            let (endpoint, config, args) = (endpoint.clone(), config.clone(), args.clone());
            let slots = slots.clone();
            fetching.spawn(async move {
                let _slot = slots.acquire().await;
                one(&endpoint, config, &args, &[path]).await
            });
        }
        while let Some(result) = fetching.join_next().await {
            result??;
        }
    } else {
        for paths in args.connections() {
            one(&endpoint, config.clone(), &args, paths).await?;
            endpoint.wait_idle().await;
        }
    }
    endpoint.wait_idle().await;
    Ok(())
}

/// Fetches files over one connection.
async fn one(
    endpoint: &Endpoint,
    config: Arc<ClientConfig>,
    args: &Client,
    paths: &[String],
) -> Result<(), Error> {
    let connecting = endpoint.connect_early(args.connect, SERVER_NAME, config);
    let connection = connecting.await?;
    tokio::select! {
        result = fetch_on(&connection, paths) => result,
        () = update_keys(&connection), if args.case == Case::KeyUpdate => {
            unreachable!("it waits forever")
        }
    }
}

/// Turns to new keys as soon as that is possible: data has to flow first. Never comes back.
async fn update_keys(connection: &Connection) {
    while !connection
        .with(weftline::Connection::update_keys)
        .unwrap_or(false)
    {
        sleep(Duration::from_millis(1)).await;
    }
    pending().await
}

async fn fetch_on(connection: &Connection, paths: &[String]) -> Result<(), Error> {
    match connection.raw() {
        Some(raw) => {
            http09::fetch(&raw, paths).await?;
            connection.close(0, "");
        }
        None => {
            http3::fetch(connection, paths).await?;
            connection.close(0x100, "");
        }
    }
    Ok(())
}

/// Small windows at first where the case is about their growth, and time for handshakes in which
/// many packets in a row are lost.
fn adapt(limits: &mut Limits, case: Case) {
    limits.handshake_timeout = Duration::from_secs(60);
    if case == Case::Transfer {
        limits.stream_window = 128 << 10;
        limits.connection_window = 256 << 10;
    }
}

/// Long enough for what is lost again and again, with ever longer waits between.
const IDLE: Duration = Duration::from_secs(120);
