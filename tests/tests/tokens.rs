//! Tokens and Retry against `quinn`: proofs of a client's address (RFC 9000, section 8.1).

mod common;
mod h3_peer;

use std::sync::atomic::Ordering;

use common::{
    certificate, client_config, loopback, our_request, pattern, serve, server_config, within,
};
use h3_peer::{PeerClient, peer_client, peer_connect, peer_request, peer_server_with};
use tokio::sync::mpsc;
use weftline::config::{Admission, EndpointConfig};
use weftline_rustls::DevCertificate;
use weftline_tokio::{Connection, Dialect, Endpoint};

/// What a client was when it knocked: validated, and one that a Retry may be sent to.
type Knock = (bool, bool);

/// Our server, which lets nobody in who has not proved where it is; and who knocked.
fn careful_server(certificate: &DevCertificate) -> (Endpoint, mpsc::UnboundedReceiver<Knock>) {
    let config = EndpointConfig::server(server_config(certificate, Dialect::ALL));
    let config = config.admission(Admission::Ask);
    let server = Endpoint::bind(loopback(), config).expect("a socket");
    let (sender, knocks) = mpsc::unbounded_channel();
    let endpoint = server.clone();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.incoming().await {
            let info = incoming.info();
            assert_eq!(info.server_name.as_deref(), Some("localhost"));
            assert_eq!(info.alpn, [b"h3".to_vec()]);
            let is_validated = info.is_validated;
            let _ = sender.send((is_validated, info.may_retry));
            match is_validated {
                true => incoming.accept(),
                false => incoming.retry(),
            }
        }
    });
    let endpoint = server.clone();
    tokio::spawn(async move {
        while let Some(connection) = endpoint.accept().await {
            tokio::spawn(serve(connection));
        }
    });
    (server, knocks)
}

async fn peer_echoes(peer: &PeerClient) {
    let requests = peer.requests.clone();
    let (_, answer) = peer_request(requests, "POST", "/echo", pattern(10_000)).await;
    assert!(answer == pattern(10_000), "the echo is what was sent");
}

async fn we_echo(connection: &Connection) {
    let (_, _, answer) = our_request(connection, "POST", "/echo", pattern(10_000)).await;
    assert!(answer == pattern(10_000), "the echo is what was sent");
}

#[tokio::test]
async fn a_client_follows_our_retry_and_uses_our_tokens() {
    within(async {
        let certificate = certificate();
        let (server, mut knocks) = careful_server(&certificate);
        let peer = peer_client(server.local_addr(), &certificate).await;
        peer_echoes(&peer).await;
        assert_eq!(knocks.recv().await, Some((false, true)));
        assert_eq!(knocks.recv().await, Some((true, false)));
        let endpoint = peer.endpoint.clone();
        let again = peer_connect(endpoint, server.local_addr()).await;
        peer_echoes(&again).await;
        assert_eq!(knocks.recv().await, Some((true, true)), "it showed a token");
        assert!(knocks.is_empty());
    })
    .await;
}

#[tokio::test]
async fn we_use_the_tokens_of_a_server() {
    within(async {
        let certificate = certificate();
        let server = peer_server_with(&certificate, true);
        let client = Endpoint::client().expect("a socket");
        let config = client_config(certificate.sha256(), Dialect::ALL);
        for _ in 0..3 {
            let connecting = client.connect(server.address, "localhost", config.clone());
            let connection = connecting.await.expect("a connection");
            we_echo(&connection).await;
        }
        assert_eq!(server.retries.load(Ordering::Relaxed), 1);
    })
    .await;
}

#[tokio::test]
async fn a_client_is_refused_at_the_door() {
    within(async {
        let certificate = certificate();
        let config = EndpointConfig::server(server_config(&certificate, Dialect::ALL));
        let config = config.admission(Admission::Ask);
        let server = Endpoint::bind(loopback(), config).expect("a socket");
        let client = Endpoint::client().expect("a socket");
        let config = client_config(certificate.sha256(), Dialect::ALL);
        let connecting = client.connect(server.local_addr(), "localhost", config);
        let refusing = async {
            let incoming = server.incoming().await.expect("a client");
            incoming.refuse();
        };
        let (connected, ()) = tokio::join!(connecting, refusing);
        let error = connected.expect_err("it was refused");
        assert!(error.to_string().contains('2'), "{error}");
        assert_eq!(server.open_connections(), 0);
        server.close(0x100, "");
        assert!(server.incoming().await.is_none());
    })
    .await;
}
