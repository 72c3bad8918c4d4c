//! The crate `wtransport` as peer, in both roles.
//!
//! What is its own: it speaks drafts 02 and 07; stream codes are sent as they are, not mapped; it
//! closes a session with CONNECTION_CLOSE; and it answers a close capsule by closing the
//! connection.

mod common;

use std::{net::SocketAddr, sync::Arc};

use common::{certificate, loopback, our_connection, pattern, serving, within};
use tokio::task::JoinSet;
use weftline_rustls::DevCertificate;
use weftline_tokio::{
    ClosedBy, Dialect, Endpoint, OpenSessionError, ReadError, Session, SessionRequest, WriteError,
};
use wtransport::{
    ClientConfig, Identity, ServerConfig, VarInt,
    endpoint::endpoint_side,
    error::{ConnectingError, ConnectionError, StreamReadError, StreamWriteError},
    tls::{Certificate, CertificateChain, PrivateKey, Sha256Digest},
};

const MIB: usize = 1 << 20;

type Peer = wtransport::Connection;

/// `wtransport` as client, connected to our server at `path`.
async fn peer_client(
    server: &Endpoint,
    certificate: &DevCertificate,
    path: &str,
) -> Result<Peer, ConnectingError> {
    let config = ClientConfig::builder()
        .with_bind_address(loopback())
        .with_server_certificate_hashes([Sha256Digest::new(certificate.sha256())])
        .build();
    let endpoint = wtransport::Endpoint::client(config).expect("a socket");
    endpoint
        .connect(format!("https://{}{path}", server.local_addr()))
        .await
}

/// `wtransport` as server: `/echo` echoes, `/bye` closes with 7 at the first stream, `/codes` resets
/// and stops the first stream with 7 and 8, all else is refused with 404.
fn peer_server(certificate: &DevCertificate) -> SocketAddr {
    let chain = Certificate::from_der(certificate.cert_der().to_vec()).expect("a certificate");
    let key = key_der(&certificate.key_pem());
    let identity = Identity::new(
        CertificateChain::single(chain),
        PrivateKey::from_der_pkcs8(key),
    );
    let config = ServerConfig::builder()
        .with_bind_address(loopback())
        .with_identity(identity)
        .build();
    let endpoint = wtransport::Endpoint::server(config).expect("a socket");
    let address = endpoint.local_addr().expect("an address");
    tokio::spawn(peer_accept(endpoint));
    address
}

fn key_der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).expect("a key");
    key.secret_pkcs8_der().to_vec()
}

async fn peer_accept(endpoint: wtransport::Endpoint<endpoint_side::Server>) {
    loop {
        let incoming = endpoint.accept().await;
        tokio::spawn(async move {
            let Ok(request) = incoming.await else { return };
            match request.path() {
                "/echo" => peer_echo(request.accept().await.expect("a session")).await,
                "/bye" => {
                    let peer = request.accept().await.expect("a session");
                    let _stream = peer.accept_uni().await;
                    peer.close(VarInt::from_u32(7), b"so long");
                    peer.closed().await;
                }
                "/codes" => {
                    let peer = request.accept().await.expect("a session");
                    if let Ok((mut send, recv)) = peer.accept_bi().await {
                        let _ = send.reset(VarInt::from_u32(7));
                        recv.stop(VarInt::from_u32(8));
                        peer.closed().await;
                    }
                }
                _ => request.not_found().await,
            }
        });
    }
}

/// What `common::echo` does, by the peer.
async fn peer_echo(peer: Peer) {
    let datagrams = async {
        while let Ok(datagram) = peer.receive_datagram().await {
            let _ = peer.send_datagram(datagram.payload());
        }
    };
    let bidi = async {
        while let Ok((mut send, mut recv)) = peer.accept_bi().await {
            tokio::spawn(async move {
                tokio::io::copy(&mut recv, &mut send).await?;
                send.finish().await?;
                Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
            });
        }
    };
    let uni = async {
        while let Ok(mut recv) = peer.accept_uni().await {
            let mut send = peer.open_uni().await.expect("a stream").await.expect("it");
            tokio::spawn(async move {
                tokio::io::copy(&mut recv, &mut send).await?;
                send.finish().await?;
                Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
            });
        }
    };
    tokio::join!(datagrams, bidi, uni);
}

/// Our client's session with the peer's server at `path`.
async fn our_session(
    server: SocketAddr,
    certificate: &DevCertificate,
    path: &str,
) -> (Endpoint, Result<Session, OpenSessionError>) {
    let (client, connection) = our_connection(server, certificate).await;
    let request = SessionRequest::new("localhost", path);
    (client, connection.open_session(request).await)
}

/// Sends on a stream of the peer's and reads the answer.
async fn peer_bidi(peer: &Peer, data: Vec<u8>) -> Vec<u8> {
    let opening = peer.open_bi().await.expect("a stream");
    let (mut send, mut recv) = opening.await.expect("a stream");
    let len = data.len();
    let writer = tokio::spawn(async move {
        send.write_all(&data).await.expect("room");
        send.finish().await.expect("an end");
    });
    let answer = peer_read(&mut recv, len).await;
    writer.await.expect("the writer ends");
    answer
}

async fn peer_read(recv: &mut wtransport::RecvStream, about: usize) -> Vec<u8> {
    let mut answer = Vec::with_capacity(about);
    tokio::io::AsyncReadExt::read_to_end(recv, &mut answer)
        .await
        .expect("the stream's end");
    answer
}

async fn our_bidi(session: &Session, data: Vec<u8>) -> Vec<u8> {
    let (mut send, mut recv) = session.open_bi().await.expect("a stream");
    let max = data.len() + 1;
    let writer = tokio::spawn(async move {
        send.write_all(&data).await.expect("room");
        send.finish().expect("an end");
        send.finished().await.expect("an acknowledgement");
    });
    let answer = recv.read_to_end(max).await.expect("the stream's end");
    writer.await.expect("the writer ends");
    answer
}

#[tokio::test]
async fn client_echoes_on_every_kind_of_channel() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(&server, &certificate, "/echo")
            .await
            .expect("a session");
        for len in [1, 1000, 100_000] {
            assert_eq!(peer_bidi(&peer, pattern(len)).await, pattern(len));
        }

        let mut send = peer.open_uni().await.expect("a stream").await.expect("it");
        send.write_all(b"one way").await.expect("room");
        send.finish().await.expect("an end");
        let mut recv = peer.accept_uni().await.expect("a stream");
        assert_eq!(peer_read(&mut recv, 0).await, b"one way");

        let max = peer.max_datagram_size().expect("datagrams");
        for datagram in [b"".to_vec(), b"short".to_vec(), pattern(max.min(1100))] {
            peer.send_datagram(&datagram).expect("room");
            let echoed = peer.receive_datagram().await.expect("a datagram");
            assert_eq!(&*echoed.payload(), datagram);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_echoes_10_mib_on_one_stream() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(&server, &certificate, "/echo")
            .await
            .expect("a session");
        let data = pattern(10 * MIB);
        assert!(
            peer_bidi(&peer, data.clone()).await == data,
            "the echo is what was sent"
        );
    })
    .await;
}

#[tokio::test]
async fn client_opens_many_streams() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(&server, &certificate, "/echo")
            .await
            .expect("a session");
        let peer = Arc::new(peer);
        // More than our limit of streams, so that credit has to come back.
        for round in 0..15 {
            let mut streams = JoinSet::new();
            for i in 0..20 {
                let peer = Arc::clone(&peer);
                let data = pattern(round * 1000 + i * 10);
                streams.spawn(async move { peer_bidi(&peer, data.clone()).await == data });
            }
            assert!(streams.join_all().await.into_iter().all(|same| same));
        }
    })
    .await;
}

#[tokio::test]
async fn client_is_refused() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let refused = peer_client(&server, &certificate, "/nowhere").await;
        assert!(
            matches!(refused, Err(ConnectingError::SessionRejected)),
            "{:?}",
            refused.err()
        );
    })
    .await;
}

#[tokio::test]
async fn client_closes() {
    within(async {
        let certificate = certificate();
        let config = common::server_config(&certificate, Dialect::ALL);
        let server = Endpoint::server(loopback(), config).expect("a socket");
        let accepting = async {
            let connection = server.accept().await.expect("a connection");
            let incoming = connection.accept().await.expect("a session");
            let weftline_tokio::Incoming::Session(request) = incoming else {
                panic!("no session: {incoming:?}");
            };
            assert_eq!(request.path(), "/path?query=1");
            request.accept().expect("a session")
        };
        let connecting = peer_client(&server, &certificate, "/path?query=1");
        let (session, peer) = tokio::join!(accepting, connecting);
        let peer = peer.expect("a session");
        // It declares both, and sends `webtransport`: the newer one is taken.
        assert_eq!(session.dialect(), Dialect::Draft07);
        peer.close(VarInt::from_u32(7), b"so long");
        let closed = session.closed().await;
        assert_eq!(closed.by, ClosedBy::Peer);
        assert_eq!((closed.error, closed.reason.as_str()), (Some(7), "so long"));
    })
    .await;
}

#[tokio::test]
async fn client_is_closed() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(&server, &certificate, "/bye")
            .await
            .expect("a session");
        let mut send = peer.open_uni().await.expect("a stream").await.expect("it");
        send.write_all(b"x").await.expect("room");
        let closed = peer.closed().await;
        let ConnectionError::ApplicationClosed(close) =
            peer.accept_uni().await.expect_err("the session is over")
        else {
            panic!("closed otherwise: {closed:?}");
        };
        assert_eq!(
            (close.code(), close.reason()),
            (VarInt::from_u32(5), &b"so long"[..])
        );
    })
    .await;
}

#[tokio::test]
async fn client_is_reset_and_stopped() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(&server, &certificate, "/codes")
            .await
            .expect("a session");
        let opening = peer.open_bi().await.expect("a stream");
        let (mut send, mut recv) = opening.await.expect("a stream");
        send.write_all(b"x").await.expect("room");
        // As on the wire: mapped by us, not mapped back by the peer.
        let reset = recv.read(&mut [0; 1]).await;
        assert_eq!(reset, Err(StreamReadError::Reset(mapped(7))));
        assert_eq!(send.stopped().await, StreamWriteError::Stopped(mapped(8)));
    })
    .await;
}

#[tokio::test]
async fn server_echoes_on_every_kind_of_channel() {
    within(async {
        let certificate = certificate();
        let server = peer_server(&certificate);
        let (_client, session) = our_session(server, &certificate, "/echo").await;
        let session = session.expect("a session");
        assert_eq!(session.dialect(), Dialect::Draft07);
        for len in [1, 1000, 100_000] {
            assert_eq!(our_bidi(&session, pattern(len)).await, pattern(len));
        }

        let mut send = session.open_uni().await.expect("a stream");
        send.write_all(b"one way").await.expect("room");
        send.finish().expect("an end");
        let mut recv = session.accept_uni().await.expect("a stream");
        assert_eq!(recv.read_to_end(10).await.expect("the end"), b"one way");

        let max = session.max_datagram_len().expect("datagrams");
        for datagram in [b"".to_vec(), b"short".to_vec(), pattern(max.min(1100))] {
            session.send_datagram(&datagram).expect("room");
            let echoed = session.recv_datagram().await.expect("a datagram");
            assert_eq!(echoed, datagram);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_echoes_10_mib_on_one_stream() {
    within(async {
        let certificate = certificate();
        let server = peer_server(&certificate);
        let (_client, session) = our_session(server, &certificate, "/echo").await;
        let session = session.expect("a session");
        let data = pattern(10 * MIB);
        assert!(
            our_bidi(&session, data.clone()).await == data,
            "the echo is what was sent"
        );
    })
    .await;
}

#[tokio::test]
async fn server_refuses() {
    within(async {
        let certificate = certificate();
        let server = peer_server(&certificate);
        let (_client, session) = our_session(server, &certificate, "/nowhere").await;
        let Err(OpenSessionError::Rejected(head)) = session else {
            panic!("not refused: {session:?}");
        };
        assert_eq!(head.status, 404);
    })
    .await;
}

#[tokio::test]
async fn server_closes() {
    within(async {
        let certificate = certificate();
        let server = peer_server(&certificate);
        let (_client, session) = our_session(server, &certificate, "/bye").await;
        let session = session.expect("a session");
        let mut send = session.open_uni().await.expect("a stream");
        send.write_all(b"x").await.expect("room");
        let closed = session.closed().await;
        assert_eq!(closed.by, ClosedBy::Peer);
        assert_eq!((closed.error, closed.reason.as_str()), (Some(7), "so long"));
    })
    .await;
}

#[tokio::test]
async fn server_is_closed() {
    within(async {
        let certificate = certificate();
        let server = peer_server(&certificate);
        let (client, session) = our_session(server, &certificate, "/echo").await;
        let session = session.expect("a session");
        session.close(5, "so long");
        let closed = session.closed().await;
        assert_eq!((closed.by, closed.code), (ClosedBy::Local, 5));
        // It closes the connection then.
        let reason = session.connection().closed().await;
        assert_eq!((reason.by, reason.code), (ClosedBy::Peer, 0x100));
        client.close(0x100, "");
        client.wait_idle().await;
    })
    .await;
}

/// Codes that are not mapped are no application's (draft-16, section 4.4).
#[tokio::test]
async fn server_resets_and_stops() {
    within(async {
        let certificate = certificate();
        let server = peer_server(&certificate);
        let (_client, session) = our_session(server, &certificate, "/codes").await;
        let session = session.expect("a session");
        let (mut send, mut recv) = session.open_bi().await.expect("a stream");
        send.write_all(b"x").await.expect("room");
        assert_eq!(recv.read_chunk(1).await, Err(ReadError::Reset(None)));
        assert_eq!(send.stopped().await, Ok(None));
        assert_eq!(send.write(b"y").await, Err(WriteError::Stopped(None)));
    })
    .await;
}

/// The first application codes in the space of HTTP/3's (draft-16, section 4.4).
fn mapped(code: u64) -> VarInt {
    VarInt::try_from(0x52e4_a40f_a8db + code).expect("a varint")
}
