//! s2n-quic, with rustls, as an endpoint of the matrix.

use std::{error, net::SocketAddr, sync::Arc, time::Duration};

use interop_endpoint::{self as interop, AT_ONCE, Case, Role, SERVER_NAME};
use rustls::{
    CipherSuite, ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use s2n_quic::{
    Client, Connection, Server,
    client::Connect,
    provider::{
        endpoint_limits::{ConnectionAttempt, Limiter, Outcome},
        limits::Limits,
        tls::rustls::{Client as ClientTls, Server as ServerTls},
    },
    stream::BidirectionalStream,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    task::JoinSet,
};

type Error = Box<dyn error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match interop::role() {
        Role::Server(args) => {
            refuse(args.case);
            if args.case == Case::ConnectionMigration {
                interop::unsupported("preferred addresses");
            }
            if let Err(error) = serve(args).await {
                interop::finish(Err(error.to_string()));
            }
        }
        Role::Client(args) => {
            refuse(args.case);
            match args.case {
                Case::ConnectionMigration => interop::unsupported("moving to a preferred address"),
                Case::KeyUpdate => interop::unsupported("updating keys when asked to"),
                _ => {}
            }
            interop::finish(fetch(args).await.map_err(|error| error.to_string()));
        }
    }
}

fn refuse(case: Case) {
    match case {
        Case::V2 => interop::unsupported("QUIC v2"),
        Case::ZeroRtt => interop::unsupported("0-RTT"),
        Case::Http3 => interop::unsupported("HTTP/3 (its binding to h3 is not published)"),
        _ => {}
    }
}

async fn serve(args: interop::Server) -> Result<(), Error> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(&args.cert)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&args.key)?;
    let mut tls = ServerConfig::builder_with_provider(provider(args.case))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![args.case.alpn().to_vec()];
    let mut server = Server::builder()
        .with_tls(ServerTls::from(Arc::new(tls)))?
        .with_io(args.listen)?
        .with_limits(limits(args.case)?)?
        .with_endpoint_limits(Admission {
            retries: args.case == Case::Retry,
        })?
        .start()?;
    interop::listening(server.local_addr()?);
    while let Some(mut connection) = server.accept().await {
        tokio::spawn(async move {
            while let Ok(Some(stream)) = connection.accept_bidirectional_stream().await {
                tokio::spawn(answer(stream));
            }
        });
    }
    Ok(())
}

/// Answers an HTTP/0.9 request.
async fn answer(mut stream: BidirectionalStream) -> Result<(), Error> {
    let mut request = Vec::new();
    stream.read_to_end(&mut request).await?;
    match interop::requested(&request).and_then(interop::file) {
        Some(file) => {
            stream.write_all(&file).await?;
            stream.close().await?;
        }
        None => stream.reset(1u32.into())?,
    }
    Ok(())
}

async fn fetch(args: interop::Client) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&args.ca)? {
        roots.add(certificate?)?;
    }
    let mut tls = ClientConfig::builder_with_provider(provider(args.case))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![args.case.alpn().to_vec()];
    let any = SocketAddr::new(args.connect.ip(), 0);
    let client = Client::builder()
        .with_tls(ClientTls::from(Arc::new(tls)))?
        .with_io(any)?
        .with_limits(limits(args.case)?)?
        .start()?;
    if args.case == Case::MultiConnect {
        let mut fetching = JoinSet::new();
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        for path in args.paths {
            let (client, slots) = (client.clone(), slots.clone());
            fetching.spawn(async move {
                let _slot = slots.acquire().await;
                one(&client, args.connect, &[path]).await
            });
        }
        while let Some(result) = fetching.join_next().await {
            result??;
        }
    } else {
        for paths in args.connections() {
            one(&client, args.connect, paths).await?;
        }
    }
    let mut client = client;
    client.wait_idle().await?;
    Ok(())
}

/// Fetches files over one connection.
async fn one(client: &Client, server: SocketAddr, paths: &[String]) -> Result<(), Error> {
    let connect = Connect::new(server).with_server_name(SERVER_NAME);
    let mut connection = client.connect(connect).await?;
    get(&mut connection, paths).await?;
    connection.close(0u32.into());
    Ok(())
}

async fn get(connection: &mut Connection, paths: &[String]) -> Result<(), Error> {
    let mut fetching = JoinSet::new();
    for path in paths {
        let mut stream = connection.open_bidirectional_stream().await?;
        let path = path.clone();
        fetching.spawn(async move {
            stream.write_all(&interop::request(&path)).await?;
            stream.shutdown().await?;
            let mut file = Vec::new();
            stream.read_to_end(&mut file).await?;
            interop::check(&path, &file).map_err(Error::from)
        });
    }
    while let Some(result) = fetching.join_next().await {
        result??;
    }
    Ok(())
}

fn limits(case: Case) -> Result<Limits, Error> {
    let mut limits = Limits::new()
        .with_max_idle_timeout(Duration::from_secs(120))?
        .with_max_handshake_duration(Duration::from_secs(60))?;
    if case == Case::Transfer {
        limits = limits.with_data_window(256 << 10)?;
        limits = limits.with_bidirectional_local_data_window(128 << 10)?;
        limits = limits.with_bidirectional_remote_data_window(128 << 10)?;
    }
    Ok(limits)
}

/// All of AWS-LC, or its ChaCha20-Poly1305 alone.
fn provider(case: Case) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    if case == Case::ChaCha20 {
        let chacha20 = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
        provider
            .cipher_suites
            .retain(|suite| suite.suite() == chacha20);
    }
    Arc::new(provider)
}

struct Admission {
    retries: bool,
}

impl Limiter for Admission {
    fn on_connection_attempt(&mut self, _: &ConnectionAttempt<'_>) -> Outcome {
        match self.retries {
            true => Outcome::retry(),
            false => Outcome::allow(),
        }
    }
}
