//! quinn as an endpoint of the matrix.

mod http3;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use interop_endpoint::{
    self as interop, AT_ONCE, Case, Client, MAX_FILE, MAX_REQUEST, Role, SERVER_NAME, Server,
};
use quinn::{
    Connection, Endpoint, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    CipherSuite, KeyLogFile,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{sync::Semaphore, task::JoinSet};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match interop::role() {
        Role::Server(args) => {
            if args.case == Case::V2 {
                interop::unsupported("QUIC v2");
            }
            if let Err(error) = serve(args).await {
                interop::finish(Err(error.to_string()));
            }
        }
        Role::Client(args) => {
            match args.case {
                Case::V2 => interop::unsupported("QUIC v2"),
                Case::ConnectionMigration => interop::unsupported("moving to a preferred address"),
                _ => {}
            }
            interop::finish(fetch(args).await.map_err(|error| error.to_string()));
        }
    }
}

async fn serve(args: Server) -> Result<(), Error> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(&args.cert)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&args.key)?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider(args.case))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    tls.key_log = Arc::new(KeyLogFile::new());
    tls.alpn_protocols = vec![args.case.alpn().to_vec()];
    if args.case == Case::ZeroRtt {
        tls.max_early_data_size = u32::MAX;
    }
    let tls = QuicServerConfig::with_initial(Arc::new(tls), initial_suite())?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(transport(args.case));
    if let Some(SocketAddr::V4(preferred)) = args.preferred {
        config.preferred_address_v4(Some(preferred));
    }
    let endpoint = Endpoint::server(config, args.listen)?;
    interop::listening(endpoint.local_addr()?);
    while let Some(incoming) = endpoint.accept().await {
        if args.case == Case::Retry && !incoming.remote_address_validated() {
            incoming.retry()?;
            continue;
        }
        // A first packet that was changed on its way.
        let Ok(connecting) = incoming.accept() else {
            continue;
        };
        tokio::spawn(async move {
            // With early data a connection answers before its handshake is complete.
            let connection = match connecting.into_0rtt() {
                Ok((connection, _)) => connection,
                Err(connecting) => connecting.await?,
            };
            match args.case {
                Case::Http3 => http3::serve(connection).await,
                _ => answer(connection).await,
            }
        });
    }
    Ok(())
}

/// Answers HTTP/0.9 requests.
async fn answer(connection: Connection) -> Result<(), Error> {
    loop {
        let (mut send, mut recv) = connection.accept_bi().await?;
        tokio::spawn(async move {
            let request = recv.read_to_end(MAX_REQUEST).await?;
            match interop::requested(&request).and_then(interop::file) {
                Some(file) => {
                    send.write_all(&file).await?;
                    send.finish()?;
                }
                None => send.reset(1u32.into())?,
            }
            Ok::<_, Error>(())
        });
    }
}

async fn fetch(args: Client) -> Result<(), Error> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&args.ca)? {
        roots.add(certificate?)?;
    }
    let mut tls = rustls::ClientConfig::builder_with_provider(provider(args.case))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.key_log = Arc::new(KeyLogFile::new());
    tls.alpn_protocols = vec![args.case.alpn().to_vec()];
    tls.enable_early_data = args.case == Case::ZeroRtt;
    let tls = QuicClientConfig::with_initial(Arc::new(tls), initial_suite())?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(transport(args.case));
    let any = SocketAddr::new(args.connect.ip(), 0);
    let endpoint = Endpoint::client(any)?;
    if args.case == Case::MultiConnect {
        let mut fetching = JoinSet::new();
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        for path in args.paths.clone() {
            let (endpoint, config, args) = (endpoint.clone(), config.clone(), args.clone());
            let slots = slots.clone();
            fetching.spawn(async move {
                let _slot = slots.acquire().await;
                one(&endpoint, config, &args, &[path], false).await
            });
        }
        while let Some(result) = fetching.join_next().await {
            result??;
        }
    } else {
        for (number, paths) in args.connections().into_iter().enumerate() {
            let is_early = args.case == Case::ZeroRtt && number > 0;
            one(&endpoint, config.clone(), &args, paths, is_early).await?;
            endpoint.wait_idle().await;
        }
    }
    endpoint.wait_idle().await;
    Ok(())
}

/// Fetches files over one connection.
async fn one(
    endpoint: &Endpoint,
    config: quinn::ClientConfig,
    args: &Client,
    paths: &[String],
    is_early: bool,
) -> Result<(), Error> {
    let connecting = endpoint.connect_with(config, args.connect, SERVER_NAME)?;
    let connection = match is_early {
        true => match connecting.into_0rtt() {
            Ok((connection, _)) => connection,
            Err(_) => return Err("no session to send 0-RTT with".into()),
        },
        false => connecting.await?,
    };
    if args.case == Case::KeyUpdate {
        connection.force_key_update();
    }
    match args.case {
        Case::Http3 => http3::fetch(connection.clone(), paths).await?,
        _ => get(&connection, paths).await?,
    }
    connection.close(0u32.into(), b"");
    Ok(())
}

/// Fetches files at once by HTTP/0.9.
async fn get(connection: &Connection, paths: &[String]) -> Result<(), Error> {
    let mut fetching = JoinSet::new();
    for path in paths {
        let (mut send, mut recv) = connection.open_bi().await?;
        send.write_all(&interop::request(path)).await?;
        send.finish()?;
        let path = path.clone();
        fetching.spawn(async move {
            let file = recv.read_to_end(MAX_FILE).await?;
            interop::check(&path, &file).map_err(Error::from)
        });
    }
    while let Some(result) = fetching.join_next().await {
        result??;
    }
    Ok(())
}

fn transport(case: Case) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.max_idle_timeout(Some(
        Duration::from_secs(120).try_into().unwrap_or_default(),
    ));
    if case == Case::Transfer {
        config.stream_receive_window((128u32 << 10).into());
        config.receive_window((256u32 << 10).into());
    }
    Arc::new(config)
}

/// All of ring, or its ChaCha20-Poly1305 alone.
fn provider(case: Case) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    if case == Case::ChaCha20 {
        let chacha20 = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
        provider
            .cipher_suites
            .retain(|suite| suite.suite() == chacha20);
    }
    Arc::new(provider)
}

/// What protects Initial packets.
fn initial_suite() -> rustls::quic::Suite {
    let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13();
    let suite = suite.and_then(rustls::Tls13CipherSuite::quic_suite);
    suite.expect("ring has QUIC")
}
