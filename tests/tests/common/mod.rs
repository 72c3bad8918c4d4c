//! Our end of each test, over loopback with real TLS: endpoints, configurations and a server that
//! answers what peers ask.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use weftline::config::{ClientConfig, ServerConfig};
use weftline_rustls::{ClientTls, DevCertificate, ServerTls};
use weftline_tokio::{
    Bytes, Connection, Dialect, Endpoint, Fields, Incoming, IncomingRequest, RecvStream,
    RequestHead, ResponseHead, SendStream, Session,
};

/// A certificate for localhost and the loopback addresses.
pub(crate) fn certificate() -> DevCertificate {
    DevCertificate::generate(&[], 10).expect("a certificate")
}

/// A server's configuration with this certificate, for these dialects.
pub(crate) fn server_config(
    certificate: &DevCertificate,
    dialects: &'static [Dialect],
) -> Arc<ServerConfig> {
    let identity = certificate.identity().expect("an identity");
    let tls = ServerTls::builder(identity).build().expect("TLS");
    let config = ServerConfig::builder(Arc::new(tls)).dialects(dialects);
    Arc::new(config.build().expect("a legal configuration"))
}

/// A client's configuration that trusts certificates with this SHA-256, for these dialects.
pub(crate) fn client_config(sha256: [u8; 32], dialects: &'static [Dialect]) -> Arc<ClientConfig> {
    let tls = ClientTls::builder()
        .certificate_hashes(vec![sha256])
        .build();
    let config = ClientConfig::builder(Arc::new(tls.expect("TLS"))).dialects(dialects);
    Arc::new(config.build().expect("a legal configuration"))
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// A server that answers whatever comes, with all dialects.
pub(crate) fn serving(certificate: &DevCertificate) -> Endpoint {
    let config = server_config(certificate, Dialect::ALL);
    let server = Endpoint::server(loopback(), config).expect("a socket");
    let endpoint = server.clone();
    tokio::spawn(async move {
        while let Some(connection) = endpoint.accept().await {
            tokio::spawn(serve(connection));
        }
    });
    server
}

/// Runs a test that must not hang.
pub(crate) async fn within<T>(test: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(Duration::from_secs(60), test).await;
    result.expect("the test finishes")
}

/// Bytes that show when a part is missing or doubled.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + (i >> 8)) as u8).collect()
}

/// A request for `path` on localhost.
pub(crate) fn request_head(method: &str, path: &str) -> RequestHead {
    RequestHead {
        method: method.into(),
        scheme: Some("https".into()),
        authority: Some("localhost".into()),
        path: Some(path.into()),
        protocol: None,
        fields: Fields::new(),
    }
}

/// Our client's connection to a server. It trusts the certificate's hash.
pub(crate) async fn our_connection(
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
pub(crate) async fn our_request(
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
    let answer = recv.read_to_end(11 << 20).await.expect("the body's end");
    writer.await.expect("the writer ends");
    let server = head.fields.get("server").unwrap_or_default().to_vec();
    (head.status, server, answer)
}

/// Answers sessions and requests: `/echo` echoes; `/bye` is closed with 5 at its first stream;
/// `/codes` resets and stops the first stream with 7 and 8; `GET /hello`, `GET /bytes/N` and `POST
/// /echo` are answered. All else is 404.
pub(crate) async fn serve(connection: Connection) {
    while let Ok(incoming) = connection.accept().await {
        match incoming {
            Incoming::Session(request) if request.path() == "/echo" => {
                tokio::spawn(echo(request.accept().expect("a session")));
            }
            Incoming::Session(request) if request.path() == "/bye" => {
                let session = request.accept().expect("a session");
                tokio::spawn(async move {
                    let _stream = session.accept_uni().await;
                    session.close(5, "so long");
                    session.closed().await;
                });
            }
            Incoming::Session(request) if request.path() == "/codes" => {
                tokio::spawn(reset_and_stop(request.accept().expect("a session")));
            }
            // Dropped: 404.
            Incoming::Session(_) => {}
            Incoming::Request(request) => {
                tokio::spawn(answer(request));
            }
            _ => {}
        }
    }
}

async fn reset_and_stop(session: Session) {
    if let Ok((mut send, mut recv)) = session.accept_bi().await {
        send.reset(7);
        recv.stop(8);
        session.closed().await;
    }
}

/// Echoes a session until it ends: datagrams and bidirectional streams as they are, a
/// unidirectional stream on one of ours.
pub(crate) async fn echo(session: Session) {
    let datagrams = async {
        while let Ok(data) = session.recv_datagram().await {
            let _ = session.send_datagram(&data);
        }
    };
    let bidi = async {
        while let Ok((send, recv)) = session.accept_bi().await {
            tokio::spawn(pipe(recv, send));
        }
    };
    let uni = async {
        while let Ok(recv) = session.accept_uni().await {
            let session = session.clone();
            tokio::spawn(async move {
                if let Ok(send) = session.open_uni().await {
                    pipe(recv, send).await;
                }
            });
        }
    };
    tokio::join!(datagrams, bidi, uni);
}

async fn answer(request: IncomingRequest) {
    let head = request.head();
    let path = head.path.clone().unwrap_or_default();
    let is_echo = head.method == "POST" && path == "/echo";
    let body = match head.method.as_str() {
        "GET" if path == "/hello" => Some(b"hello".to_vec()),
        "GET" => {
            let len = path.strip_prefix("/bytes/").map(str::parse);
            len.and_then(Result::ok).map(pattern)
        }
        _ => None,
    };
    let is_known = is_echo || body.is_some();
    let mut fields = Fields::new();
    fields.push("server", "weftline");
    let status = if is_known { 200 } else { 404 };
    let Ok((mut send, recv)) = request.respond(ResponseHead { status, fields }) else {
        return;
    };
    if is_echo {
        return pipe(recv, send).await;
    }
    let body = Bytes::from(body.unwrap_or_default());
    if send.write_chunk(body).await.is_ok() && send.finish().is_ok() {
        let _ = send.finished().await;
    }
}

/// Copies a stream to its end, and waits until the peer has all of it.
async fn pipe(mut recv: RecvStream, mut send: SendStream) {
    loop {
        match recv.read_chunk(64 << 10).await {
            Ok(Some(chunk)) => {
                // Dropped before their ends: stopped and reset.
                if send.write_chunk(chunk).await.is_err() {
                    return;
                }
            }
            Ok(None) => break,
            Err(_) => return,
        }
    }
    if send.finish().is_ok() {
        let _ = send.finished().await;
    }
}
