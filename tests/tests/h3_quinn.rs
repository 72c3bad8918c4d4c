//! The crates `h3` and `quinn` as peer for plain HTTP/3, in both roles.

mod common;

use std::{future::poll_fn, net::SocketAddr, sync::Arc};

use bytes::{Buf, Bytes};
use common::{certificate, client_config, loopback, pattern, request_head, serving, within};
use http::{Request, Response, StatusCode};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::TLS13,
};
use tokio::task::{JoinHandle, JoinSet};
use weftline_rustls::DevCertificate;
use weftline_tokio::{Connection, Dialect, Endpoint};

const MIB: usize = 1 << 20;

type SendRequest = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;

/// The peer as client: requests go through `requests` until `endpoint` is dropped.
struct PeerClient {
    requests: SendRequest,
    _endpoint: quinn::Endpoint,
}

fn ring() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

async fn peer_client(server: SocketAddr, certificate: &DevCertificate) -> PeerClient {
    let mut roots = RootCertStore::empty();
    let der = CertificateDer::from(certificate.cert_der().to_vec());
    roots.add(der).expect("a certificate");
    let tls = rustls::ClientConfig::builder_with_provider(ring())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3");
    let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = QuicClientConfig::try_from(tls).expect("cipher suites");
    let mut endpoint = quinn::Endpoint::client(loopback()).expect("a socket");
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    let connecting = endpoint.connect(server, "localhost").expect("a name");
    let connection = h3_quinn::Connection::new(connecting.await.expect("a connection"));
    let (mut driver, requests) = h3::client::new(connection).await.expect("HTTP/3");
    tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
    PeerClient {
        requests,
        _endpoint: endpoint,
    }
}

/// The peer's request with a body, and the answer to it.
async fn peer_request(
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
fn peer_server(certificate: &DevCertificate) -> (SocketAddr, JoinHandle<()>) {
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).expect("a key");
    let chain = vec![CertificateDer::from(certificate.cert_der().to_vec())];
    let tls = rustls::ServerConfig::builder_with_provider(ring())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3");
    let tls = tls.with_no_client_auth().with_single_cert(chain, key);
    let mut tls = tls.expect("a key that fits");
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = QuicServerConfig::try_from(tls).expect("cipher suites");
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = quinn::Endpoint::server(config, loopback()).expect("a socket");
    let address = endpoint.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let connection = incoming.await.expect("a connection");
            tokio::spawn(peer_serve(connection));
        }
    });
    (address, task)
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

/// Our client's connection to the peer's server. It trusts the certificate's hash.
async fn our_connection(
    server: SocketAddr,
    certificate: &DevCertificate,
) -> (Endpoint, Connection) {
    let client = Endpoint::client().expect("a socket");
    let config = client_config(certificate.sha256(), Dialect::ALL);
    let connecting = client.connect(server, "localhost", config);
    let connection = connecting.await.expect("a connection");
    (client, connection)
}

/// Our request with a body, and status, `server` field and body of the answer.
async fn our_request(
    connection: &Connection,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> (u16, Vec<u8>, Vec<u8>) {
    let requesting = connection.request(request_head(method, path));
    let (mut send, response) = requesting.await.expect("a stream");
    let writer = tokio::spawn(async move {
        send.write_all(&body).await.expect("room");
        send.finish().expect("an end");
        send.finished().await.expect("an acknowledgement");
    });
    let (head, mut recv) = response.head().await.expect("a response");
    let answer = recv.read_to_end(11 * MIB).await.expect("the body's end");
    writer.await.expect("the writer ends");
    let server = head.fields.get("server").unwrap_or_default().to_vec();
    (head.status, server, answer)
}

#[tokio::test]
async fn client_gets_answers() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(server.local_addr(), &certificate).await;
        for (method, path, body, status, expected) in [
            ("GET", "/hello", vec![], 200, b"hello".to_vec()),
            ("GET", "/bytes/100000", vec![], 200, pattern(100_000)),
            ("GET", "/bytes/0", vec![], 200, vec![]),
            ("GET", "/nowhere", vec![], 404, vec![]),
            ("POST", "/echo", pattern(70_000), 200, pattern(70_000)),
            ("POST", "/echo", vec![], 200, vec![]),
        ] {
            let requests = peer.requests.clone();
            let (head, answer) = peer_request(requests, method, path, body).await;
            assert_eq!(head.status(), status, "{method} {path}");
            assert_eq!(head.headers()["server"], "weftline");
            assert!(
                answer == expected,
                "{method} {path}: {} bytes",
                answer.len()
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_moves_10_mib_each_way() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(server.local_addr(), &certificate).await;
        let path = format!("/bytes/{}", 10 * MIB);
        let data = pattern(10 * MIB);
        let (_, answer) = peer_request(peer.requests.clone(), "GET", &path, vec![]).await;
        assert!(answer == data, "the body is what was asked for");
        let requests = peer.requests.clone();
        let (_, answer) = peer_request(requests, "POST", "/echo", data.clone()).await;
        assert!(answer == data, "the echo is what was sent");
    })
    .await;
}

#[tokio::test]
async fn client_makes_20_requests_at_once() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(server.local_addr(), &certificate).await;
        // More in all than our limit of streams, so that credit has to come back.
        for round in 0..8 {
            let mut answers = JoinSet::new();
            for i in 0..20 {
                let body = pattern(round * 5000 + i * 10);
                let requests = peer.requests.clone();
                answers.spawn(async move {
                    let echo = peer_request(requests, "POST", "/echo", body.clone()).await;
                    echo.0.status() == StatusCode::OK && echo.1 == body
                });
            }
            assert!(answers.join_all().await.into_iter().all(|same| same));
        }
    })
    .await;
}

/// Trailers of a request are for nobody here, but end its body like any end.
#[tokio::test]
async fn client_sends_trailers() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let mut peer = peer_client(server.local_addr(), &certificate).await;
        let request = Request::post("https://localhost/echo").body(());
        let request = request.expect("a request");
        let mut stream = peer.requests.send_request(request).await.expect("a stream");
        stream
            .send_data(Bytes::from_static(b"body"))
            .await
            .expect("room");
        let mut trailers = http::HeaderMap::new();
        trailers.insert("checksum", http::HeaderValue::from_static("none"));
        stream.send_trailers(trailers).await.expect("room");
        stream.finish().await.expect("an end");
        let head = stream.recv_response().await.expect("a response");
        assert_eq!(head.status(), 200);
        let mut chunk = stream.recv_data().await.expect("data").expect("data");
        assert_eq!(chunk.copy_to_bytes(chunk.remaining()), "body");
        assert!(stream.recv_data().await.expect("an end").is_none());
    })
    .await;
}

#[tokio::test]
async fn server_answers() {
    within(async {
        let certificate = certificate();
        let (server, task) = peer_server(&certificate);
        let (_client, connection) = our_connection(server, &certificate).await;
        for (method, path, body, status, expected) in [
            ("GET", "/hello", vec![], 200, b"hello".to_vec()),
            ("GET", "/bytes/100000", vec![], 200, pattern(100_000)),
            ("GET", "/bytes/0", vec![], 200, vec![]),
            ("GET", "/nowhere", vec![], 404, vec![]),
            ("POST", "/echo", pattern(70_000), 200, pattern(70_000)),
            ("POST", "/echo", vec![], 200, vec![]),
        ] {
            let answer = our_request(&connection, method, path, body).await;
            assert_eq!(
                (answer.0, answer.1.as_slice()),
                (status, &b"h3"[..]),
                "{method} {path}"
            );
            assert!(
                answer.2 == expected,
                "{method} {path}: {} bytes",
                answer.2.len()
            );
        }
        task.abort();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_moves_10_mib_each_way() {
    within(async {
        let certificate = certificate();
        let (server, task) = peer_server(&certificate);
        let (_client, connection) = our_connection(server, &certificate).await;
        let path = format!("/bytes/{}", 10 * MIB);
        let data = pattern(10 * MIB);
        let (_, _, answer) = our_request(&connection, "GET", &path, vec![]).await;
        assert!(answer == data, "the body is what was asked for");
        let (_, _, answer) = our_request(&connection, "POST", "/echo", data.clone()).await;
        assert!(answer == data, "the echo is what was sent");
        task.abort();
    })
    .await;
}

#[tokio::test]
async fn server_answers_20_requests_at_once() {
    within(async {
        let certificate = certificate();
        let (server, task) = peer_server(&certificate);
        let (_client, connection) = our_connection(server, &certificate).await;
        for round in 0..8 {
            let mut answers = JoinSet::new();
            for i in 0..20 {
                let body = pattern(round * 5000 + i * 10);
                let connection = connection.clone();
                answers.spawn(async move {
                    let echo = our_request(&connection, "POST", "/echo", body.clone()).await;
                    echo.0 == 200 && echo.2 == body
                });
            }
            assert!(answers.join_all().await.into_iter().all(|same| same));
        }
        task.abort();
    })
    .await;
}
