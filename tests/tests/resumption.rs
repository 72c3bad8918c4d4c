//! Sessions resumed over UDP, with early data taken and rejected: our client and server with each
//! other, and each against `quinn`.

mod common;
mod h3_peer;

use std::{net::SocketAddr, sync::Arc};

use common::{certificate, loopback, our_request, request_head, serve, within};
use h3_peer::{peer_config_with, peer_endpoint, peer_request, peer_server, peer_server_early};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use weftline::config::{ClientConfig, ServerConfig};
use weftline_rustls::{ClientTls, DevCertificate, ServerTls, TicketKeys};
use weftline_tokio::{
    Connection, EarlyData, Endpoint, MemorySessions, SessionStore, StoredSession,
};

/// A store that tells when it has a session.
struct Watched {
    store: MemorySessions,
    told: UnboundedSender<()>,
}

impl SessionStore for Watched {
    fn insert(&mut self, session: StoredSession) {
        self.store.insert(session);
        let _ = self.told.send(());
    }

    fn take(
        &mut self,
        server_name: &str,
        fits: &dyn Fn(&StoredSession) -> bool,
    ) -> Option<StoredSession> {
        self.store.take(server_name, fits)
    }
}

/// Our client, and word of each session that it stores.
struct Client {
    endpoint: Endpoint,
    config: Arc<ClientConfig>,
    stored: UnboundedReceiver<()>,
}

impl Client {
    fn new(certificate: &DevCertificate) -> Self {
        let tls = ClientTls::builder()
            .certificate_hashes(vec![certificate.sha256()])
            .early_data(true);
        let config = ClientConfig::builder(Arc::new(tls.build().expect("TLS")));
        let endpoint = Endpoint::client().expect("a socket");
        let (told, stored) = mpsc::unbounded_channel();
        let store = MemorySessions::default();
        endpoint.set_session_store(Box::new(Watched { store, told }));
        Self {
            endpoint,
            config: Arc::new(config.build().expect("a legal configuration")),
            stored,
        }
    }

    /// Connects as early as it may.
    async fn connect(&self, server: SocketAddr) -> Connection {
        let config = self.config.clone();
        let connecting = self.endpoint.connect_early(server, "localhost", config);
        connecting.await.expect("a connection")
    }

    /// Has one session with this server.
    async fn visit(&mut self, server: SocketAddr) {
        let connection = self.connect(server).await;
        assert_eq!(connection.early_data(), EarlyData::NotTried);
        hello(&connection).await;
        self.stored.recv().await.expect("a session");
        connection.close(0x100, "");
    }
}

/// A request that may go early, and its answer.
async fn hello(connection: &Connection) {
    let requesting = connection.request(request_head("GET", "/hello"));
    let (mut send, response) = requesting.await.expect("a stream");
    send.finish().expect("an end");
    let (head, mut body) = response.head().await.expect("a response");
    assert_eq!(head.status, 200);
    let answer = body.read_to_end(100).await.expect("the body's end");
    assert_eq!(answer, b"hello");
}

/// What a connection came to once its handshake was complete.
async fn outcome(connection: &Connection) -> (bool, EarlyData) {
    connection
        .handshake_complete()
        .await
        .expect("an open connection");
    (connection.is_resumed(), connection.early_data())
}

/// Our server that takes early data, and its connections.
fn early_server(certificate: &DevCertificate) -> (Endpoint, UnboundedReceiver<Connection>) {
    let identity = certificate.identity().expect("an identity");
    let tls = ServerTls::builder(identity).early_data(true);
    server_with(tls.build().expect("TLS"))
}

fn server_with(tls: ServerTls) -> (Endpoint, UnboundedReceiver<Connection>) {
    let config = ServerConfig::builder(Arc::new(tls));
    let config = Arc::new(config.build().expect("a legal configuration"));
    let server = Endpoint::server(loopback(), config).expect("a socket");
    let endpoint = server.clone();
    let (sender, connections) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(connection) = endpoint.accept().await {
            let _ = sender.send(connection.clone());
            tokio::spawn(serve(connection));
        }
    });
    (server, connections)
}

#[tokio::test]
async fn early_data_between_ourselves() {
    within(async {
        let certificate = certificate();
        let (server, mut connections) = early_server(&certificate);
        let mut client = Client::new(&certificate);
        client.visit(server.local_addr()).await;
        let first = connections.recv().await.expect("a connection");
        assert_eq!(outcome(&first).await, (false, EarlyData::NotTried));
        for _ in 0..3 {
            let connection = client.connect(server.local_addr()).await;
            assert_eq!(connection.early_data(), EarlyData::Pending);
            hello(&connection).await;
            assert_eq!(outcome(&connection).await, (true, EarlyData::Accepted));
            let theirs = connections.recv().await.expect("a connection");
            assert_eq!(outcome(&theirs).await, (true, EarlyData::Accepted));
            client.stored.recv().await.expect("another session");
            connection.close(0x100, "");
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_with_other_keys_rejects_early_data() {
    within(async {
        let certificate = certificate();
        let (server, _connections) = early_server(&certificate);
        let (restarted, mut connections) = early_server(&certificate);
        let mut client = Client::new(&certificate);
        client.visit(server.local_addr()).await;
        let connection = client.connect(restarted.local_addr()).await;
        assert_eq!(connection.early_data(), EarlyData::Pending);
        // Sent early, and again.
        hello(&connection).await;
        assert_eq!(outcome(&connection).await, (false, EarlyData::Rejected));
        let theirs = connections.recv().await.expect("a connection");
        assert!(!outcome(&theirs).await.0);
        let (status, ..) = our_request(&connection, "POST", "/echo", vec![1; 10_000]).await;
        assert_eq!(status, 200);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_safe_waits_for_the_handshake() {
    within(async {
        let certificate = certificate();
        let (server, _connections) = early_server(&certificate);
        let mut client = Client::new(&certificate);
        client.visit(server.local_addr()).await;
        let connection = client.connect(server.local_addr()).await;
        assert_eq!(connection.early_data(), EarlyData::Pending);
        let (status, _, answer) = our_request(&connection, "POST", "/echo", vec![7; 5000]).await;
        assert_eq!((status, answer), (200, vec![7; 5000]));
        assert!(outcome(&connection).await.0);
    })
    .await;
}

#[tokio::test]
async fn servers_with_the_same_ticket_keys() {
    within(async {
        let certificate = certificate();
        let keys = TicketKeys::new(&[5; 32]);
        let server = || {
            let identity = certificate.identity().expect("an identity");
            let tls = ServerTls::builder(identity).ticket_keys(keys.clone());
            server_with(tls.build().expect("TLS"))
        };
        let ((one, _), (other, mut connections)) = (server(), server());
        let mut client = Client::new(&certificate);
        client.visit(one.local_addr()).await;
        let connection = client.connect(other.local_addr()).await;
        hello(&connection).await;
        assert_eq!(outcome(&connection).await, (true, EarlyData::NotTried));
        let theirs = connections.recv().await.expect("a connection");
        assert_eq!(outcome(&theirs).await, (true, EarlyData::NotTried));
    })
    .await;
}

#[tokio::test]
async fn a_peer_server_takes_our_early_data() {
    within(async {
        let certificate = certificate();
        let server = peer_server_early(&certificate);
        let mut client = Client::new(&certificate);
        client.visit(server.address).await;
        let connection = client.connect(server.address).await;
        assert_eq!(connection.early_data(), EarlyData::Pending);
        hello(&connection).await;
        assert_eq!(outcome(&connection).await, (true, EarlyData::Accepted));
    })
    .await;
}

#[tokio::test]
async fn a_peer_server_rejects_our_early_data() {
    within(async {
        let certificate = certificate();
        let server = peer_server_early(&certificate);
        for other in [peer_server_early(&certificate), peer_server(&certificate)] {
            let mut client = Client::new(&certificate);
            client.visit(server.address).await;
            let connection = client.connect(other.address).await;
            assert_eq!(connection.early_data(), EarlyData::Pending);
            hello(&connection).await;
            assert_eq!(outcome(&connection).await, (false, EarlyData::Rejected));
            let (status, ..) = our_request(&connection, "POST", "/echo", vec![1; 10_000]).await;
            assert_eq!(status, 200);
        }
    })
    .await;
}

/// The peer's connection before its handshake, and whether the server takes early data.
async fn peer_early(
    endpoint: &quinn::Endpoint,
    server: SocketAddr,
) -> (quinn::Connection, quinn::ZeroRttAccepted) {
    // The ticket of a connection may come after all else on it.
    for _ in 0..100 {
        let connecting = endpoint.connect(server, "localhost").expect("a name");
        match connecting.into_0rtt() {
            Ok(early) => return early,
            Err(connecting) => {
                let connection = connecting.await.expect("a connection");
                get_hello(&connection).await;
                connection.close(0x100_u32.into(), b"");
            }
        }
    }
    panic!("the server gives no session");
}

async fn get_hello(connection: &quinn::Connection) {
    let http = h3_quinn::Connection::new(connection.clone());
    let (mut driver, requests) = h3::client::new(http).await.expect("HTTP/3");
    let driver =
        tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
    let (head, answer) = peer_request(requests, "GET", "/hello", vec![]).await;
    assert_eq!(head.status(), 200);
    assert_eq!(answer, b"hello");
    driver.abort();
}

#[tokio::test]
async fn we_take_a_peers_early_data() {
    within(async {
        let certificate = certificate();
        let (server, mut connections) = early_server(&certificate);
        let config = peer_config_with(&certificate, true);
        let endpoint = peer_endpoint(config, quinn::EndpointConfig::default());
        let (connection, accepted) = peer_early(&endpoint, server.local_addr()).await;
        get_hello(&connection).await;
        assert!(accepted.await);
        let mut last = connections.recv().await.expect("a connection");
        while let Ok(next) = connections.try_recv() {
            last = next;
        }
        assert_eq!(outcome(&last).await, (true, EarlyData::Accepted));
    })
    .await;
}

#[tokio::test]
async fn we_reject_a_peers_early_data() {
    within(async {
        let certificate = certificate();
        let (server, _connections) = early_server(&certificate);
        let (restarted, mut connections) = early_server(&certificate);
        let config = peer_config_with(&certificate, true);
        let endpoint = peer_endpoint(config, quinn::EndpointConfig::default());
        let (before, accepted) = peer_early(&endpoint, server.local_addr()).await;
        assert!(accepted.await);
        // Its session is used up; the next one comes with this connection.
        get_hello(&before).await;
        let (connection, accepted) = peer_early(&endpoint, restarted.local_addr()).await;
        let stream = connection.open_bi().await;
        let (mut send, _recv) = stream.expect("a stream");
        send.write_all(b"lost").await.expect("room");
        assert!(!accepted.await);
        let theirs = connections.recv().await.expect("a connection");
        assert!(!outcome(&theirs).await.0);
        // Its streams are gone, but the connection works.
        assert!(connection.close_reason().is_none());
        get_hello(&connection).await;
    })
    .await;
}
