//! A server and a client over loopback, with null crypto.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use weftline::{
    config::{ClientConfig, Limits, ServerConfig, TransportConfig},
    crypto::null::{NullClient, NullServer},
};
use weftline_tokio::{Connection, Endpoint, Incoming, Session, SessionRequest};

/// A session over a fresh pair of endpoints, from both ends.
pub(crate) struct Pair {
    pub(crate) server: Endpoint,
    pub(crate) client: Endpoint,
    /// The session as the server has it.
    pub(crate) accepted: Session,
    /// The session as the client has it.
    pub(crate) opened: Session,
}

pub(crate) fn server_config(
    change: impl FnOnce(&mut Limits, &mut TransportConfig),
) -> Arc<ServerConfig> {
    let (mut limits, mut transport) = (Limits::default(), TransportConfig::default());
    change(&mut limits, &mut transport);
    let builder = ServerConfig::builder(Arc::new(NullServer::insecure()));
    let config = builder.limits(limits).transport(transport).build();
    Arc::new(config.expect("a legal configuration"))
}

pub(crate) fn client_config(
    change: impl FnOnce(&mut Limits, &mut TransportConfig),
) -> Arc<ClientConfig> {
    let (mut limits, mut transport) = (Limits::default(), TransportConfig::default());
    change(&mut limits, &mut transport);
    let builder = ClientConfig::builder(Arc::new(NullClient::insecure()));
    let config = builder.limits(limits).transport(transport).build();
    Arc::new(config.expect("a legal configuration"))
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

pub(crate) fn server(config: Arc<ServerConfig>) -> Endpoint {
    Endpoint::server(loopback(), config).expect("a socket")
}

pub(crate) async fn connect(client: &Endpoint, server: &Endpoint) -> (Connection, Connection) {
    connect_with(client, server, client_config(|_, _| {})).await
}

pub(crate) async fn connect_with(
    client: &Endpoint,
    server: &Endpoint,
    config: Arc<ClientConfig>,
) -> (Connection, Connection) {
    let connecting = client.connect(server.local_addr(), "localhost", config);
    let (connected, accepted) = tokio::join!(connecting, server.accept());
    (
        connected.expect("a connection"),
        accepted.expect("a connection"),
    )
}

pub(crate) async fn session(client: &Connection, server: &Connection) -> (Session, Session) {
    let accept = async {
        let Ok(Incoming::Session(session)) = server.accept().await else {
            panic!("no session arrived");
        };
        session.accept().expect("a session")
    };
    let open = client.open_session(SessionRequest::new("localhost", "/test"));
    let (opened, accepted) = tokio::join!(open, accept);
    (opened.expect("a session"), accepted)
}

pub(crate) async fn pair() -> Pair {
    pair_with(server_config(|_, _| {}), client_config(|_, _| {})).await
}

pub(crate) async fn pair_with(server_config: Arc<ServerConfig>, config: Arc<ClientConfig>) -> Pair {
    let server = server(server_config);
    let client = Endpoint::client().expect("a socket");
    let (connected, accepted) = connect_with(&client, &server, config).await;
    let (opened, accepted) = session(&connected, &accepted).await;
    Pair {
        server,
        client,
        accepted,
        opened,
    }
}

/// Runs a test that must not hang.
pub(crate) async fn within<T>(test: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(60);
    let result = tokio::time::timeout(patience, test).await;
    result.expect("the test finishes")
}

/// Bytes that show when a part is missing or doubled.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + (i >> 8)) as u8).collect()
}

/// Echoes every stream and datagram of a session until it ends.
pub(crate) async fn echo(session: Session) {
    let datagrams = async {
        while let Ok(data) = session.recv_datagram().await {
            let _ = session.send_datagram(&data);
        }
    };
    let streams = async {
        while let Ok((mut send, mut recv)) = session.accept_bi().await {
            tokio::spawn(async move {
                while let Ok(Some(chunk)) = recv.read_chunk(64 << 10).await {
                    if send.write_chunk(chunk).await.is_err() {
                        return;
                    }
                }
                if send.finish().is_ok() {
                    let _ = send.finished().await;
                }
            });
        }
    };
    tokio::join!(datagrams, streams);
}
