//! Our clients move, and our server prefers another of its addresses, with and without `quinn` at the
//! other end. All over loopback, where every address of 127/8 is ours.

mod common;
mod h3_peer;

use std::{
    net::{IpAddr, SocketAddr, SocketAddrV4, UdpSocket},
    sync::Arc,
    time::Duration,
};

use common::{certificate, client_config, our_connection, our_request, pattern, within};
use h3_peer::{peer_client, peer_request, peer_server, peer_server_config, peer_server_of};
use weftline::{
    config::{EndpointConfig, ServerConfig},
    error,
    event::PathChange,
};
use weftline_rustls::{DevCertificate, ServerTls};
use weftline_tokio::{Connection, Dialect, Endpoint, MigrateError, OsEntropy};

async fn we_echo(connection: &Connection, len: usize) {
    let (_, _, answer) = our_request(connection, "POST", "/echo", pattern(len)).await;
    assert!(answer == pattern(len), "the echo is what was sent");
}

fn local(last: u8) -> Option<IpAddr> {
    Some(IpAddr::from([127, 0, 0, last]))
}

#[tokio::test]
async fn we_migrate_between_addresses() {
    within(async {
        let certificate = certificate();
        let mut server = peer_server(&certificate);
        let (_client, connection) = our_connection(server.address, &certificate).await;
        let theirs = server.connections.recv().await.expect("a connection");
        for last in [2, 3, 1, 2] {
            we_echo(&connection, 100_000).await;
            connection.migrate(local(last)).await.expect("a path");
            we_echo(&connection, 100_000).await;
            assert_eq!(Some(theirs.remote_address().ip()), local(last));
        }
    })
    .await;
}

/// While data flows.
#[tokio::test]
async fn we_migrate_in_the_middle() {
    within(async {
        let certificate = certificate();
        let server = peer_server(&certificate);
        let (_client, connection) = our_connection(server.address, &certificate).await;
        we_echo(&connection, 10).await;
        let moving = async {
            for last in [2, 3, 4] {
                connection.migrate(local(last)).await.expect("a path");
            }
        };
        tokio::join!(we_echo(&connection, 4 << 20), moving);
    })
    .await;
}

#[tokio::test]
async fn we_exchange_our_socket() {
    within(async {
        let certificate = certificate();
        let mut server = peer_server(&certificate);
        let (client, connection) = our_connection(server.address, &certificate).await;
        let theirs = server.connections.recv().await.expect("a connection");
        for last in [2, 3, 4] {
            we_echo(&connection, 100_000).await;
            let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, last], 0)));
            let changed = connection.path_changed();
            client.rebind(socket.expect("a socket")).expect("ours now");
            let (changed, ()) = tokio::join!(changed, we_echo(&connection, 100_000));
            assert!(
                matches!(changed, Ok(PathChange::Moved { .. })),
                "{changed:?}"
            );
            assert_eq!(Some(client.local_addr().ip()), local(last));
            assert_eq!(theirs.remote_address(), client.local_addr());
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_forbids_it() {
    within(async {
        let certificate = certificate();
        let mut config = peer_server_config(&certificate);
        config.migration(false);
        let server = peer_server_of(config, false);
        let (_client, connection) = our_connection(server.address, &certificate).await;
        we_echo(&connection, 1000).await;
        let refused = connection.migrate(local(2)).await;
        let forbidden = MigrateError::Refused(error::MigrateError::Forbidden);
        assert_eq!(refused, Err(forbidden));
        we_echo(&connection, 1000).await;
    })
    .await;
}

/// A server at every address of this machine that prefers 127.0.0.2; where to begin, and the
/// preferred address.
fn preferring(certificate: &DevCertificate) -> (Endpoint, SocketAddr, SocketAddr) {
    let socket = everywhere();
    let port = socket.local_addr().expect("an address").port();
    let identity = certificate.identity().expect("an identity");
    let tls = ServerTls::builder(identity).build().expect("TLS");
    let config = ServerConfig::builder(Arc::new(tls)).with_transport(|transport| {
        transport.preferred_ipv4 = Some(SocketAddrV4::new([127, 0, 0, 2].into(), port));
        transport.disable_active_migration = true;
    });
    let config = Arc::new(config.build().expect("a legal configuration"));
    let config = EndpointConfig::server(config);
    let server = Endpoint::new(socket, config, Box::new(OsEntropy)).expect("an endpoint");
    let endpoint = server.clone();
    tokio::spawn(async move {
        while let Some(connection) = endpoint.accept().await {
            tokio::spawn(common::serve(connection));
        }
    });
    let [first, preferred] = [1, 2].map(|last| SocketAddr::from(([127, 0, 0, last], port)));
    (server, first, preferred)
}

fn everywhere() -> UdpSocket {
    UdpSocket::bind("0.0.0.0:0").expect("a socket")
}

#[tokio::test]
async fn we_go_where_our_server_prefers_us() {
    within(async {
        let certificate = certificate();
        let (_server, first, preferred) = preferring(&certificate);
        let client = Endpoint::client().expect("a socket");
        let config = client_config(certificate.sha256(), Dialect::ALL);
        let connection = client.connect(first, "localhost", config).await;
        let connection = connection.expect("a connection");
        we_echo(&connection, 100_000).await;
        while connection.remote_address() != preferred {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        we_echo(&connection, 1 << 20).await;
    })
    .await;
}

/// `quinn` ignores it.
#[tokio::test]
async fn a_client_need_not_go_there() {
    within(async {
        let certificate = certificate();
        let (_server, first, _) = preferring(&certificate);
        let peer = peer_client(first, &certificate).await;
        let requests = peer.requests.clone();
        let (_, answer) = peer_request(requests, "POST", "/echo", pattern(100_000)).await;
        assert!(answer == pattern(100_000));
    })
    .await;
}
