//! The crates `h3` and `quinn`, as a client and as a server.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    collections::HashSet,
    future::poll_fn,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::{Buf, Bytes};
use http::{Request, Response, StatusCode};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::TLS13,
};
use tokio::sync::mpsc;
use weftline_rustls::DevCertificate;

use crate::common::{loopback, pattern};

pub(crate) type SendRequest = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;

/// The peer as client: requests go through `requests` until `endpoint` is dropped.
pub(crate) struct PeerClient {
    pub(crate) requests: SendRequest,
    pub(crate) connection: quinn::Connection,
    pub(crate) endpoint: quinn::Endpoint,
}

/// The peer as server: where it is, and the connections it has accepted.
pub(crate) struct PeerServer {
    pub(crate) address: SocketAddr,
    pub(crate) connections: mpsc::UnboundedReceiver<quinn::Connection>,
    /// How many clients it has sent away with a Retry.
    pub(crate) retries: Arc<AtomicUsize>,
}

/// Has each token count once.
#[derive(Default)]
struct Shown(Mutex<HashSet<u128>>);

impl quinn::TokenLog for Shown {
    fn check_and_insert(
        &self,
        nonce: u128,
        _: SystemTime,
        _: Duration,
    ) -> Result<(), quinn::TokenReuseError> {
        let mut shown = self.0.lock().expect("no panic");
        match shown.insert(nonce) {
            true => Ok(()),
            false => Err(quinn::TokenReuseError),
        }
    }
}

fn ring() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The peer's configuration as a client that trusts this certificate.
pub(crate) fn peer_config(certificate: &DevCertificate) -> quinn::ClientConfig {
    peer_config_with(certificate, false)
}

/// Like `peer_config`; with `early_data`, it is sent when a session allows it.
pub(crate) fn peer_config_with(
    certificate: &DevCertificate,
    early_data: bool,
) -> quinn::ClientConfig {
    let mut roots = RootCertStore::empty();
    let der = CertificateDer::from(certificate.cert_der().to_vec());
    roots.add(der).expect("a certificate");
    let tls = rustls::ClientConfig::builder_with_provider(ring())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3");
    let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
    tls.enable_early_data = early_data;
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = QuicClientConfig::try_from(tls).expect("cipher suites");
    quinn::ClientConfig::new(Arc::new(crypto))
}

/// The peer's socket as a client.
pub(crate) fn peer_endpoint(
    config: quinn::ClientConfig,
    endpoint: quinn::EndpointConfig,
) -> quinn::Endpoint {
    let socket = UdpSocket::bind(loopback()).expect("a socket");
    let runtime = Arc::new(quinn::TokioRuntime);
    let made = quinn::Endpoint::new(endpoint, None, socket, runtime);
    let mut made = made.expect("an endpoint");
    made.set_default_client_config(config);
    made
}

/// The peer's connection to a server.
pub(crate) async fn peer_connect(endpoint: quinn::Endpoint, server: SocketAddr) -> PeerClient {
    let connecting = endpoint.connect(server, "localhost").expect("a name");
    let connection = connecting.await.expect("a connection");
    let http = h3_quinn::Connection::new(connection.clone());
    let (mut driver, requests) = h3::client::new(http).await.expect("HTTP/3");
    tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
    PeerClient {
        requests,
        connection,
        endpoint,
    }
}

pub(crate) async fn peer_client(server: SocketAddr, certificate: &DevCertificate) -> PeerClient {
    let endpoint = quinn::EndpointConfig::default();
    let endpoint = peer_endpoint(peer_config(certificate), endpoint);
    peer_connect(endpoint, server).await
}

/// The peer's request with a body, and the answer to it.
pub(crate) async fn peer_request(
    mut requests: SendRequest,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> (Response<()>, Vec<u8>) {
    let request = Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"))
        .body(())
        .expect("a request");
    let stream = requests.send_request(request).await.expect("a stream");
    let (mut send, mut recv) = stream.split();
    let writer = tokio::spawn(async move {
        for chunk in body.chunks(100_000) {
            let chunk = Bytes::copy_from_slice(chunk);
            send.send_data(chunk).await.expect("room");
        }
        send.finish().await.expect("an end");
    });
    let head = recv.recv_response().await.expect("a response");
    let mut answer = Vec::new();
    while let Some(mut chunk) = recv.recv_data().await.expect("data") {
        answer.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
    }
    writer.await.expect("the writer ends");
    (head, answer)
}

/// The peer as server, with the answers of `common::serve`.
pub(crate) fn peer_server(certificate: &DevCertificate) -> PeerServer {
    peer_server_with(certificate, false)
}

/// Like `peer_server`; with `retry`, clients have to prove their addresses (RFC 9000, section 8.1.2).
pub(crate) fn peer_server_with(certificate: &DevCertificate, retry: bool) -> PeerServer {
    peer_server_of(peer_server_config(certificate), retry)
}

/// Like `peer_server`; it takes early data.
pub(crate) fn peer_server_early(certificate: &DevCertificate) -> PeerServer {
    peer_server_of(peer_server_taking(certificate, u32::MAX), false)
}

pub(crate) fn peer_server_config(certificate: &DevCertificate) -> quinn::ServerConfig {
    peer_server_taking(certificate, 0)
}

fn peer_server_taking(certificate: &DevCertificate, early_data: u32) -> quinn::ServerConfig {
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).expect("a key");
    let chain = vec![CertificateDer::from(certificate.cert_der().to_vec())];
    let tls = rustls::ServerConfig::builder_with_provider(ring())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3");
    let tls = tls.with_no_client_auth().with_single_cert(chain, key);
    let mut tls = tls.expect("a key that fits");
    tls.max_early_data_size = early_data;
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = QuicServerConfig::try_from(tls).expect("cipher suites");
    quinn::ServerConfig::with_crypto(Arc::new(crypto))
}

pub(crate) fn peer_server_of(mut config: quinn::ServerConfig, retry: bool) -> PeerServer {
    let log = Arc::new(Shown::default());
    config.validation_token.sent(1).log(log);
    let retries = Arc::new(AtomicUsize::new(0));
    let counter = retries.clone();
    let endpoint = quinn::Endpoint::server(config, loopback()).expect("a socket");
    let address = endpoint.local_addr().expect("an address");
    let (sender, connections) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            if retry && !incoming.remote_address_validated() {
                counter.fetch_add(1, Ordering::Relaxed);
                incoming.retry().expect("a first packet");
                continue;
            }
            let connection = incoming.await.expect("a connection");
            let _ = sender.send(connection.clone());
            tokio::spawn(peer_serve(connection));
        }
    });
    PeerServer {
        address,
        connections,
        retries,
    }
}

async fn peer_serve(connection: quinn::Connection) {
    let connection = h3_quinn::Connection::new(connection);
    let mut connection = h3::server::Connection::<_, Bytes>::new(connection)
        .await
        .expect("HTTP/3");
    // Ends with an error when we close the connection.
    while let Ok(Some(resolver)) = connection.accept().await {
        tokio::spawn(async move {
            let (request, stream) = resolver.resolve_request().await.expect("a request");
            let (mut send, mut recv) = stream.split();
            let path = request.uri().path();
            let body = match request.method().as_str() {
                "GET" if path == "/hello" => Some(b"hello".to_vec()),
                "GET" => {
                    let len = path.strip_prefix("/bytes/").map(str::parse);
                    len.and_then(Result::ok).map(pattern)
                }
                _ => None,
            };
            let is_echo = path == "/echo";
            let status = match is_echo || body.is_some() {
                true => StatusCode::OK,
                false => StatusCode::NOT_FOUND,
            };
            let head = Response::builder().status(status).header("server", "h3");
            let head = head.body(()).expect("a response");
            send.send_response(head).await.expect("room");
            while let Some(mut chunk) = recv.recv_data().await.expect("data") {
                let chunk = chunk.copy_to_bytes(chunk.remaining());
                if is_echo {
                    send.send_data(chunk).await.expect("room");
                }
            }
            if let Some(body) = body {
                send.send_data(Bytes::from(body)).await.expect("room");
            }
            send.finish().await.expect("an end");
        });
    }
}
