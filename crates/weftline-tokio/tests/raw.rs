//! Raw QUIC: a protocol other than HTTP/3 on the same endpoints.

mod common;

use std::sync::Arc;

use common::{client_config, connect, connect_with, loopback, pattern, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weftline::{
    config::{ClientConfig, ServerConfig},
    crypto::null::{NullClient, NullServer},
};
use weftline_tokio::{
    ClosedBy, Connection, DatagramError, Endpoint, RawConnection, ReadError, WriteError,
};

fn server() -> Endpoint {
    let builder = ServerConfig::builder(Arc::new(NullServer::insecure()));
    let config = builder.raw_alpn(["ping/1"]).build().unwrap();
    Endpoint::server(loopback(), Arc::new(config)).unwrap()
}

fn raw_config() -> Arc<ClientConfig> {
    let builder = ClientConfig::builder(Arc::new(NullClient::insecure()));
    Arc::new(builder.raw_alpn(["ping/1"]).build().unwrap())
}

async fn connected() -> (RawConnection, RawConnection) {
    let (server, client) = (server(), Endpoint::client().unwrap());
    let (connected, accepted) = connect_with(&client, &server, raw_config()).await;
    assert_eq!(connected.alpn().as_deref(), Some(&b"ping/1"[..]));
    let raw = |connection: Connection| connection.raw().expect("no HTTP/3");
    (raw(connected), raw(accepted))
}

/// Echoes every stream and datagram until the connection ends.
async fn echo(raw: RawConnection) {
    let datagrams = async {
        while let Ok(data) = raw.recv_datagram().await {
            let _ = raw.send_datagram(&data);
        }
    };
    let streams = async {
        while let Ok((mut send, mut recv)) = raw.accept_bi().await {
            tokio::spawn(async move {
                tokio::io::copy(&mut recv, &mut send).await.unwrap();
                send.shutdown().await.unwrap();
                send.finished().await.unwrap();
            });
        }
    };
    tokio::join!(datagrams, streams);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_datagrams_come_back() {
    within(async {
        let (client, server) = connected().await;
        let server = tokio::spawn(echo(server));
        let expected = pattern(2 << 20);
        let (mut send, mut recv) = client.open_bi().await.unwrap();
        let data = expected.clone();
        let writer = tokio::spawn(async move {
            send.write_all(&data).await.unwrap();
            send.shutdown().await.unwrap();
        });
        let mut echoed = Vec::new();
        AsyncReadExt::read_to_end(&mut recv, &mut echoed)
            .await
            .unwrap();
        assert!(echoed == expected, "the echo is what was sent");
        writer.await.unwrap();
        // Lost ones are sent again: it is a datagram.
        let answer = loop {
            client.send_datagram_wait(b"marco").await.unwrap();
            let patience = std::time::Duration::from_millis(200);
            if let Ok(answer) = tokio::time::timeout(patience, client.recv_datagram()).await {
                break answer.unwrap();
            }
        };
        assert_eq!(answer, &b"marco"[..]);
        client.close(77, "enough");
        server.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn both_ends_open_and_accept() {
    within(async {
        let (client, server) = connected().await;
        for (from, to) in [(&client, &server), (&server, &client)] {
            let mut send = from.open_uni().await.unwrap();
            send.write_all(b"one way").await.unwrap();
            send.finish().unwrap();
            let mut recv = to.accept_uni().await.unwrap();
            let mut text = String::new();
            recv.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "one way");
            send.finished().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn codes_have_62_bits() {
    within(async {
        let (client, server) = connected().await;
        let code = 0x1234_5678_9abc;
        let (mut send, mut recv) = client.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        let (answer, mut question) = server.accept_bi().await.unwrap();
        let stopped = answer.stopped();
        send.reset(code);
        recv.stop(code);
        assert_eq!(stopped.await, Ok(Some(code)));
        let read = async {
            loop {
                match question.read_chunk(1).await {
                    Ok(Some(_)) => {}
                    ended => break ended,
                }
            }
        };
        assert_eq!(read.await, Err(ReadError::Reset(Some(code))));
        client.close(code, "done");
        let closed = server.connection().closed().await;
        assert_eq!((closed.by, closed.code), (ClosedBy::Peer, code));
        assert_eq!(server.accept_bi().await.err().map(|c| c.code), Some(code));
        assert_eq!(
            server.recv_datagram().await.err().map(|c| c.code),
            Some(code)
        );
        assert_eq!(server.send_datagram(b"x"), Err(DatagramError::NotOpen));
    })
    .await;
}

#[tokio::test]
async fn opening_without_waiting_stops_at_the_limit() {
    within(async {
        let (client, _server) = connected().await;
        let mut open = Vec::new();
        while let Some(stream) = client.try_open_bi().unwrap() {
            open.push(stream);
            assert!(open.len() <= 1000, "there is a limit");
        }
        assert!(!open.is_empty());
        assert!(client.try_open_uni().unwrap().is_some(), "it has its own");
    })
    .await;
}

#[tokio::test]
async fn the_same_server_speaks_http3() {
    within(async {
        let (server, client) = (server(), Endpoint::client().unwrap());
        let (connected, accepted) = connect(&client, &server).await;
        assert!(connected.raw().is_none() && accepted.raw().is_none());
        let (opened, _accepted) = common::session(&connected, &accepted).await;
        assert!(opened.try_open_bi().unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn the_last_handle_closes_with_zero() {
    within(async {
        let (client, server) = connected().await;
        let (mut send, recv) = client.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        drop(client);
        let (mut answer, _question) = server.accept_bi().await.unwrap();
        answer.write_all(b"still open").await.unwrap();
        drop((send, recv));
        let closed = server.connection().closed().await;
        assert_eq!((closed.by, closed.code), (ClosedBy::Peer, 0));
        let write = answer.write(b"x").await;
        assert!(matches!(write, Err(WriteError::Closed(_))), "{write:?}");
    })
    .await;
}

#[tokio::test]
async fn nothing_in_common_is_no_connection() {
    within(async {
        let plain = common::server(common::server_config(|_, _| {}));
        let client = Endpoint::client().unwrap();
        let connect = client.connect(plain.local_addr(), "localhost", raw_config());
        assert!(connect.await.is_err());
        let http = client.connect(plain.local_addr(), "localhost", client_config(|_, _| {}));
        assert!(http.await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn the_state_of_the_buffer() {
    within(async {
        let (client, server) = connected().await;
        let mut send = client.open_uni().await.unwrap();
        send.set_send_order(5);
        send.set_send_group(1);
        send.write_all(&[7; 200_000]).await.unwrap();
        assert!(send.buffered() > 0);
        send.drained_to(1000).await.unwrap();
        assert!(send.buffered() <= 1000);
        // The peer's credit is used up: no more goes until it reads, or stops.
        send.write_all(&[7; 200_000]).await.unwrap();
        let mut recv = server.accept_uni().await.unwrap();
        let (drained, ()) = tokio::join!(send.drained_to(0), async { recv.stop(9) });
        assert_eq!(drained, Err(WriteError::Stopped(Some(9))));

        let mut send = client.open_uni().await.unwrap();
        send.write_all(b"the last").await.unwrap();
        send.finish().unwrap();
        send.drained_to(0).await.unwrap();
        send.finished().await.unwrap();
        send.drained_to(0).await.unwrap();
        let mut send = client.open_uni().await.unwrap();
        send.write_all(&[7; 300_000]).await.unwrap();
        client.close(1, "");
        let gone = send.drained_to(0).await;
        assert!(matches!(gone, Err(WriteError::Closed(_))), "{gone:?}");
    })
    .await;
}
