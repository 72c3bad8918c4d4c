//! QUIC against `quinn`: loss, moving addresses, key updates, Retry, versions, endings. Plain HTTP/3
//! requests carry the data.

mod common;
mod h3_peer;
mod relay;

use std::time::Duration;

use bytes::{Buf, Bytes};
use common::{certificate, our_connection, our_request, pattern, serving, within};
use h3_peer::{
    PeerClient, peer_client, peer_config, peer_connect, peer_endpoint, peer_request, peer_server,
    peer_server_with,
};
use http::Request;
use relay::{Relay, relay};
use weftline_tokio::Connection;

const MIB: usize = 1 << 20;

async fn peer_echoes(peer: &PeerClient, len: usize) {
    let requests = peer.requests.clone();
    let (_, answer) = peer_request(requests, "POST", "/echo", pattern(len)).await;
    assert!(answer == pattern(len), "the echo is what was sent");
}

async fn we_echo(connection: &Connection, len: usize) {
    let (_, _, answer) = our_request(connection, "POST", "/echo", pattern(len)).await;
    assert!(answer == pattern(len), "the echo is what was sent");
}

/// One datagram in twelve is lost, each way.
#[tokio::test]
async fn a_client_gets_through_loss() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let relay = relay(server.local_addr(), Relay::losing(12)).await;
        let peer = peer_client(relay, &certificate).await;
        peer_echoes(&peer, MIB).await;
        assert!(peer.connection.stats().path.lost_packets > 0);
    })
    .await;
}

#[tokio::test]
async fn we_get_through_loss() {
    within(async {
        let certificate = certificate();
        let server = peer_server(&certificate);
        let relay = relay(server.address, Relay::losing(12)).await;
        let (_client, connection) = our_connection(relay, &certificate).await;
        we_echo(&connection, MIB).await;
        let stats = connection.stats().expect("an open connection");
        assert!(stats.packets_lost > 0, "{stats:?}");
    })
    .await;
}

/// A client that moves to another socket, and knows it (RFC 9000, section 9).
#[tokio::test]
async fn a_client_migrates() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(server.local_addr(), &certificate).await;
        for _ in 0..3 {
            peer_echoes(&peer, 100_000).await;
            let socket = std::net::UdpSocket::bind(common::loopback()).expect("a socket");
            peer.endpoint.rebind(socket).expect("another socket");
        }
        peer_echoes(&peer, 100_000).await;
        assert!(peer.connection.close_reason().is_none());
    })
    .await;
}

/// A client whose address changes on the way, and who does not know it.
#[tokio::test]
async fn a_client_is_moved() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let relay = relay(server.local_addr(), Relay::moving(100)).await;
        let peer = peer_client(relay, &certificate).await;
        peer_echoes(&peer, MIB).await;
    })
    .await;
}

#[tokio::test]
async fn we_are_moved() {
    within(async {
        let certificate = certificate();
        let server = peer_server(&certificate);
        let relay = relay(server.address, Relay::moving(100)).await;
        let (_client, connection) = our_connection(relay, &certificate).await;
        we_echo(&connection, MIB).await;
    })
    .await;
}

/// RFC 9001, section 6.
#[tokio::test]
async fn a_client_updates_its_keys() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(server.local_addr(), &certificate).await;
        for _ in 0..5 {
            peer_echoes(&peer, 100_000).await;
            peer.connection.force_key_update();
        }
        peer_echoes(&peer, 100_000).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_updates_its_keys() {
    within(async {
        let certificate = certificate();
        let mut server = peer_server(&certificate);
        let (_client, connection) = our_connection(server.address, &certificate).await;
        let theirs = server.connections.recv().await.expect("a connection");
        for _ in 0..5 {
            we_echo(&connection, 100_000).await;
            theirs.force_key_update();
        }
        we_echo(&connection, 100_000).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_demands_a_retry() {
    within(async {
        let certificate = certificate();
        let server = peer_server_with(&certificate, true);
        let (_client, connection) = our_connection(server.address, &certificate).await;
        we_echo(&connection, 100_000).await;
    })
    .await;
}

struct EmptyIds;

impl quinn::ConnectionIdGenerator for EmptyIds {
    fn generate_cid(&mut self) -> quinn::ConnectionId {
        quinn::ConnectionId::new(&[])
    }

    fn cid_len(&self) -> usize {
        0
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// As browsers do it.
#[tokio::test]
async fn a_client_has_an_empty_connection_id() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let mut config = quinn::EndpointConfig::default();
        config.cid_generator(|| Box::new(EmptyIds));
        let endpoint = peer_endpoint(peer_config(&certificate), config);
        let peer = peer_connect(endpoint, server.local_addr()).await;
        peer_echoes(&peer, 100_000).await;
    })
    .await;
}

/// RFC 9000, section 6: a client of another version is told ours.
#[tokio::test]
async fn a_version_we_do_not_speak() {
    within(async {
        const DRAFT_29: u32 = 0xff00_001d;
        let certificate = certificate();
        let server = serving(&certificate);
        let mut config = peer_config(&certificate);
        config.version(DRAFT_29);
        let endpoint = peer_endpoint(config, quinn::EndpointConfig::default());
        let connecting = endpoint.connect(server.local_addr(), "localhost");
        let refused = connecting.expect("a name").await;
        assert_eq!(refused.err(), Some(quinn::ConnectionError::VersionMismatch));
    })
    .await;
}

/// What is under way goes on after GOAWAY; nothing new begins (RFC 9114, section 5.2).
#[tokio::test]
async fn a_client_is_asked_to_go() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let mut peer = peer_client(server.local_addr(), &certificate).await;
        let request = || {
            Request::post("https://localhost/echo")
                .body(())
                .expect("a request")
        };
        let mut under_way = peer
            .requests
            .send_request(request())
            .await
            .expect("a stream");
        let data = Bytes::from_static(b"before ");
        under_way.send_data(data).await.expect("room");
        under_way.recv_response().await.expect("a response");

        server.go_away();
        // Until it arrives requests are sent; those that come too late are refused.
        while let Ok(mut stream) = peer.requests.send_request(request()).await {
            let _ = stream.finish().await;
            let _ = stream.recv_response().await;
        }
        let data = Bytes::from_static(b"and after");
        under_way.send_data(data).await.expect("room");
        under_way.finish().await.expect("an end");
        let mut answer = Vec::new();
        while let Some(mut chunk) = under_way.recv_data().await.expect("data") {
            answer.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
        }
        assert_eq!(answer, b"before and after");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_closes_says_why() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(server.local_addr(), &certificate).await;
        peer_echoes(&peer, 10).await;
        server.close(0x100, "good night");
        server.wait_idle().await;
        let quinn::ConnectionError::ApplicationClosed(close) = peer.connection.closed().await
        else {
            panic!("closed otherwise");
        };
        assert_eq!(close.error_code.into_inner(), 0x100);
        assert_eq!(close.reason, "good night");
    })
    .await;
}
