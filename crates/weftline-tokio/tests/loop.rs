//! The driver: idleness, errors of the socket, its end.

mod common;

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use common::{
    client_config, connect, connect_with, echo, pair, server, server_config, session, within,
};
use tokio::{runtime::Handle, time::timeout};
use weftline::{config::EndpointConfig, event::ClosedBy};
use weftline_tokio::{ConnectError, Endpoint, OsEntropy, Target};

/// With nothing to do, nothing is done: the tasks take no turn.
#[tokio::test]
async fn idleness_is_idle() {
    within(async {
        let pair = pair().await;
        let turns = || (pair.server.stats().turns, pair.client.stats().turns);
        // Acknowledgements and the like come to rest.
        let mut before = turns();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = turns();
            if now == before {
                break;
            }
            before = now;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(turns(), before);
        // And they wake up again.
        let (mut send, _recv) = pair.opened.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        pair.accepted.accept_bi().await.unwrap();
    })
    .await;
}

/// Nobody listens: ICMP says so, which proves nothing, and the handshake times out in its own time.
#[tokio::test]
async fn refused_datagrams_are_lost_datagrams() {
    within(async {
        let closed_port = {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.local_addr().unwrap()
        };
        let client = Endpoint::client().unwrap();
        let impatient = client_config(|limits, _| {
            limits.handshake_timeout = Duration::from_millis(1500);
        });
        let refused = client.connect(closed_port, "localhost", impatient).await;
        let Err(ConnectError::Closed(reason)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(reason.by, ClosedBy::Timeout);
        // The same endpoint still works.
        let server = server(server_config(|_, _| {}));
        connect(&client, &server).await;
    })
    .await;
}

#[tokio::test]
async fn an_abandoned_connect_leaves_nothing() {
    within(async {
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = silent.local_addr().unwrap();
        let client = Endpoint::client().unwrap();
        let connecting = client.connect(to, "localhost", client_config(|_, _| {}));
        let gave_up = timeout(Duration::from_millis(100), connecting).await;
        assert!(gave_up.is_err());
        client.wait_idle().await;
        assert_eq!(client.open_connections(), 0);
    })
    .await;
}

/// Anything may arrive on the port.
#[tokio::test]
async fn strange_datagrams_are_ignored() {
    within(async {
        let pair = pair().await;
        let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = pair.server.local_addr();
        for len in [0, 1, 20, 1200, 1500, 9000, 65_507] {
            for first in [0x00, 0x40, 0xc0, 0xff] {
                let mut datagram = vec![first; len];
                datagram.iter_mut().skip(1).for_each(|byte| *byte = 0x5a);
                stranger.send_to(&datagram, to).unwrap();
            }
        }
        tokio::spawn(echo(pair.accepted));
        let (mut send, mut recv) = pair.opened.open_bi().await.unwrap();
        send.write_all(b"unmoved").await.unwrap();
        send.finish().unwrap();
        assert_eq!(recv.read_to_end(10).await.unwrap(), b"unmoved");
    })
    .await;
}

#[tokio::test]
async fn one_endpoint_does_both_and_two_live_side_by_side() {
    within(async {
        let one = server(server_config(|_, _| {}));
        let two = server(server_config(|_, _| {}));
        let (a, b) = connect(&one, &two).await;
        let (c, d) = connect(&two, &one).await;
        let (e, f) = connect(&one, &one).await;
        for (from, to) in [(&a, &b), (&c, &d), (&e, &f)] {
            let (opened, accepted) = session(from, to).await;
            opened.send_datagram(b"hello").unwrap();
            assert_eq!(accepted.recv_datagram().await.unwrap(), "hello");
        }
        assert_eq!(a.remote_address(), two.local_addr());
        assert_eq!(b.remote_address(), one.local_addr());
    })
    .await;
}

/// Each address family reaches the wildcard address of IPv6, and an IPv4 peer looks like one.
#[tokio::test]
async fn both_families_reach_the_wildcard_address() {
    within(async {
        let wildcard: SocketAddr = "[::]:0".parse().unwrap();
        let Ok(server) = Endpoint::server(wildcard, server_config(|_, _| {})) else {
            return; // No IPv6 here.
        };
        let port = server.local_addr().port();
        for host in ["127.0.0.1", "::1"] {
            let client = Endpoint::client().unwrap();
            let to = SocketAddr::new(host.parse().unwrap(), port);
            let connecting = client.connect(to, host, client_config(|_, _| {}));
            let (connected, accepted) = tokio::join!(connecting, server.accept());
            let (connected, accepted) = (connected.unwrap(), accepted.unwrap());
            assert_eq!(accepted.remote_address().ip().to_string(), host);
            assert_eq!(connected.remote_address(), to);
            session(&connected, &accepted).await;
        }
    })
    .await;
}

#[tokio::test]
async fn urls_connect() {
    within(async {
        let server = server(server_config(|_, _| {}));
        let url = format!(
            "https://localhost:{}/chat?room=1",
            server.local_addr().port()
        );
        let target = Target::parse(&url).unwrap();
        let client = Endpoint::client().unwrap();
        let connecting =
            client.connect_session(&target, client_config(|_, _| {}), target.session_request());
        let accepting = async {
            let connection = server.accept().await.unwrap();
            let Ok(weftline_tokio::Incoming::Session(session)) = connection.accept().await else {
                panic!("no session arrived");
            };
            assert_eq!(session.path(), "/chat?room=1");
            assert_eq!(session.authority(), target.authority());
            session.accept().unwrap()
        };
        let (opened, _accepted) = tokio::join!(connecting, accepting);
        opened.unwrap();
        let nowhere = client
            .connect_host("host.invalid", 443, client_config(|_, _| {}))
            .await;
        assert!(
            matches!(nowhere, Err(ConnectError::Resolve { .. })),
            "{nowhere:?}"
        );
    })
    .await;
}

/// The task ends when the last handle is gone and the last connection has drained; its socket goes
/// with it.
#[tokio::test]
async fn the_task_ends_with_its_handles() {
    within(async {
        let metrics = Handle::current().metrics();
        assert_eq!(metrics.num_alive_tasks(), 0);
        let pair = pair().await;
        assert_eq!(metrics.num_alive_tasks(), 2);
        let address = pair.server.local_addr();
        drop(pair);
        while metrics.num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        UdpSocket::bind(address).unwrap();
    })
    .await;
}

/// A connection outlives the endpoint's own handles.
#[tokio::test]
async fn connections_keep_the_task_alive() {
    within(async {
        let server = server(server_config(|_, _| {}));
        let client = Endpoint::client().unwrap();
        let (connected, accepted) = connect(&client, &server).await;
        drop((client, server));
        let (opened, accepted) = session(&connected, &accepted).await;
        opened.send_datagram(b"alive").unwrap();
        assert_eq!(accepted.recv_datagram().await.unwrap(), "alive");
    })
    .await;
}

#[tokio::test]
async fn a_socket_of_the_callers_will_do() {
    within(async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let config = EndpointConfig::server(server_config(|_, _| {}));
        let server = Endpoint::new(socket, config, Box::new(OsEntropy)).unwrap();
        assert_eq!(server.local_addr(), address);
        let client = Endpoint::client().unwrap();
        let (connected, accepted) = connect_with(&client, &server, client_config(|_, _| {})).await;
        session(&connected, &accepted).await;
        assert!(connected.stats().is_some());
    })
    .await;
}

/// Handles outlive the runtime of the task: they say so, and nobody waits for ever.
#[test]
fn nobody_waits_for_a_task_that_is_gone() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let (first, second) = (runtime(), runtime());
    let pair = first.block_on(within(pair()));
    let (mut send, mut recv) = first.block_on(pair.opened.open_bi()).unwrap();
    let session = pair.opened.clone();
    let waiting = second.spawn(within(async move {
        let finished = send.finished();
        let (accepted, read, finished, datagram) = tokio::join!(
            session.accept_bi(),
            recv.read_chunk(1),
            finished,
            session.recv_datagram(),
        );
        assert!(accepted.is_err() && read.is_err() && finished.is_err() && datagram.is_err());
        assert!(send.write(b"x").await.is_err());
        assert!(session.open_bi().await.is_err());
        session.closed().await
    }));
    drop(first);
    let closed = second.block_on(waiting).unwrap();
    assert_eq!(closed.by, ClosedBy::Local);
    second.block_on(within(async {
        assert!(pair.server.accept().await.is_none());
        pair.server.wait_idle().await;
    }));
}
