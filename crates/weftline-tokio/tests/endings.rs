//! How sessions, connections and endpoints end, and refusals.

mod common;

use std::time::Duration;

use common::{client_config, connect, pair, pair_with, server, server_config, session, within};
use tokio::time::timeout;
use weftline::event::ClosedBy;
use weftline_tokio::{
    Closed, ConnectError, Dialect, Endpoint, Fields, Incoming, OpenSessionError, ReadError,
    SessionRequest, WriteError,
};

#[tokio::test]
async fn a_session_close_reaches_everyone() {
    within(async {
        let pair = pair().await;
        let (mut send, _recv) = pair.accepted.open_bi().await.unwrap();
        let finished = send.finished();
        let stopped = send.stopped();
        let accepted = pair.accepted.clone();
        let waiting = tokio::spawn(async move {
            tokio::join!(
                accepted.accept_bi(),
                accepted.accept_uni(),
                accepted.recv_datagram(),
                accepted.closed(),
                accepted.draining(),
                finished,
                stopped,
            )
        });
        tokio::task::yield_now().await;
        pair.opened.close(42, "enough");
        let local = pair.opened.closed().await;
        assert_eq!((local.by, local.code), (ClosedBy::Local, 42));

        let (bi, uni, datagram, closed, draining, finished, stopped) = waiting.await.unwrap();
        assert_eq!((closed.by, closed.code), (ClosedBy::Peer, 42));
        assert_eq!(closed.reason, "enough");
        let cause = Closed::Session(closed);
        assert_eq!(bi.unwrap_err(), cause);
        assert_eq!(uni.unwrap_err(), cause);
        assert_eq!(datagram.unwrap_err(), cause);
        assert_eq!(draining.unwrap_err(), cause);
        assert!(finished.is_err(), "nothing was received whole");
        // The end of the session stops its streams too, with no application's code.
        assert!(!matches!(stopped, Ok(Some(_))), "{stopped:?}");
        assert_eq!(
            pair.accepted.open_uni().await.unwrap_err(),
            cause,
            "a closed session opens nothing"
        );
        assert!(send.write(b"late").await.is_err());
        assert!(pair.opened.connection().close_reason().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_connection_close_reaches_everyone() {
    within(async {
        let pair = pair().await;
        let (mut send, mut recv) = pair.accepted.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        let (accepted, connection) = (pair.accepted.clone(), pair.accepted.connection().clone());
        let waiting = tokio::spawn(async move {
            tokio::join!(
                accepted.accept_bi(),
                accepted.closed(),
                recv.read_chunk(1),
                connection.accept(),
                connection.going_away(),
                connection.closed(),
            )
        });
        tokio::task::yield_now().await;
        pair.opened.connection().close(0x1234, "over");
        let (bi, closed, read, incoming, going_away, reason) = waiting.await.unwrap();
        assert_eq!((reason.by, reason.code), (ClosedBy::Peer, 0x1234));
        assert_eq!(reason.reason, "over");
        let cause = Closed::Connection(reason.clone());
        assert!(bi.is_err());
        assert!(matches!(read, Err(ReadError::Closed(_))), "{read:?}");
        assert_eq!(closed.by, ClosedBy::Peer);
        assert_eq!(incoming.unwrap_err(), reason);
        assert_eq!(going_away.unwrap_err(), reason);
        assert_eq!(send.write(b"y").await, Err(WriteError::Closed(cause)));
        let local = pair.opened.connection().closed().await;
        assert_eq!((local.by, local.code), (ClosedBy::Local, 0x1234));
        let request = SessionRequest::new("localhost", "/");
        let late = pair.opened.connection().open_session(request).await;
        assert!(matches!(late, Err(OpenSessionError::Closed(_))), "{late:?}");
    })
    .await;
}

#[tokio::test]
async fn dropping_the_last_handle_closes() {
    within(async {
        let pair = pair().await;
        // A stream is a handle too.
        let mut send = pair.opened.open_uni().await.unwrap();
        let connection = pair.opened.connection().clone();
        drop(pair.opened);
        send.write_all(b"still").await.unwrap();
        send.finish().unwrap();
        let mut recv = pair.accepted.accept_uni().await.unwrap();
        assert_eq!(recv.read_to_end(10).await.unwrap(), b"still");
        drop(send);
        let closed = pair.accepted.closed().await;
        assert_eq!((closed.by, closed.code), (ClosedBy::Peer, 0));

        drop(connection);
        let reason = pair.accepted.connection().closed().await;
        assert_eq!((reason.by, reason.code), (ClosedBy::Peer, 0x100));
    })
    .await;
}

/// A session that ended before its connection tells its own end, also after that.
#[tokio::test]
async fn a_session_keeps_its_own_end() {
    within(async {
        let pair = pair().await;
        pair.opened.close(42, "enough");
        pair.opened.closed().await;
        pair.client.close(0x100, "");
        pair.accepted.connection().closed().await;
        let closed = pair.accepted.closed().await;
        assert_eq!((closed.by, closed.code), (ClosedBy::Peer, 42));
        let closed = pair.opened.closed().await;
        assert_eq!((closed.by, closed.code), (ClosedBy::Local, 42));
    })
    .await;
}

/// The connection waits until the peer has seen its sessions closed.
#[tokio::test]
async fn a_close_outlives_all_handles() {
    within(async {
        let pair = pair().await;
        pair.opened.close(7, "for a reason");
        drop(pair.opened);
        let closed = pair.accepted.closed().await;
        assert_eq!((closed.by, closed.code), (ClosedBy::Peer, 7));
        assert_eq!(closed.reason, "for a reason");
        let reason = pair.accepted.connection().closed().await;
        assert_eq!((reason.by, reason.code), (ClosedBy::Peer, 0x100));
        pair.client.wait_idle().await;
    })
    .await;
}

#[tokio::test]
async fn refusals_arrive() {
    within(async {
        let server = server(server_config(|_, _| {}));
        let client = Endpoint::client().unwrap();
        let (connected, accepted) = connect(&client, &server).await;
        let serving = tokio::spawn(async move {
            let Ok(Incoming::Session(first)) = accepted.accept().await else {
                panic!("no session arrived");
            };
            assert_eq!((first.path(), first.authority()), ("/one?q", "localhost"));
            assert_eq!(first.origin(), Some("https://example.org"));
            let mut fields = Fields::new();
            fields.push("retry-after", "5");
            first.reject(429, fields);
            let Ok(Incoming::Session(second)) = accepted.accept().await else {
                panic!("no session arrived");
            };
            drop(second);
            accepted
        });
        let request = SessionRequest::new("localhost", "/one?q").origin("https://example.org");
        let refused = connected.open_session(request).await.unwrap_err();
        let OpenSessionError::Rejected(response) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(response.status, 429);
        assert_eq!(response.fields.get("retry-after"), Some(&b"5"[..]));
        let request = SessionRequest::new("localhost", "/two");
        let refused = connected.open_session(request).await.unwrap_err();
        let OpenSessionError::Rejected(response) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(response.status, Dialect::Draft16.not_found_status());
        // The connection goes on.
        let accepted = serving.await.unwrap();
        session(&connected, &accepted).await;
    })
    .await;
}

#[tokio::test]
async fn protocols_are_agreed_on() {
    within(async {
        let server = server(server_config(|_, _| {}));
        let client = Endpoint::client().unwrap();
        let (connected, accepted) = connect(&client, &server).await;
        let serving = async {
            let Ok(Incoming::Session(session)) = accepted.accept().await else {
                panic!("no session arrived");
            };
            assert_eq!(session.protocols(), ["first", "second"]);
            session.accept_with(Some("second"), Fields::new()).unwrap()
        };
        let request = SessionRequest::new("localhost", "/")
            .protocol("first")
            .protocol("second");
        let (opened, accepted) = tokio::join!(connected.open_session(request), serving);
        let opened = opened.unwrap();
        assert_eq!(opened.protocol(), Some("second"));
        assert_eq!(accepted.protocol(), Some("second"));
        assert_eq!(opened.dialect(), accepted.dialect());
        assert_eq!(opened.response().unwrap().status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_request_taken_back_does_not_arrive() {
    within(async {
        let server = server(server_config(|_, _| {}));
        let client = Endpoint::client().unwrap();
        let (connected, accepted) = connect(&client, &server).await;
        let request = SessionRequest::new("localhost", "/slow");
        let opening = connected.open_session(request);
        let gave_up = timeout(Duration::from_millis(100), opening).await;
        assert!(gave_up.is_err());
        // Whether the server saw the request before it was taken back, or never: the next works.
        let accept = async {
            loop {
                let Ok(Incoming::Session(session)) = accepted.accept().await else {
                    panic!("no session arrived");
                };
                if session.path() == "/next" {
                    return session.accept().unwrap();
                }
            }
        };
        let request = SessionRequest::new("localhost", "/next");
        let (opened, _accepted) = tokio::join!(connected.open_session(request), accept);
        opened.unwrap();
    })
    .await;
}

#[tokio::test]
async fn draining_and_going_away_are_seen() {
    within(async {
        let pair = pair().await;
        pair.accepted.drain();
        pair.opened.draining().await.unwrap();
        let (mut send, _) = pair.opened.open_bi().await.unwrap();
        send.write_all(b"goes on").await.unwrap();

        let server = pair.server.clone();
        server.go_away();
        pair.opened.connection().going_away().await.unwrap();
        assert!(server.accept().await.is_none(), "no further connections");
        let refused = pair
            .client
            .connect(server.local_addr(), "localhost", client_config(|_, _| {}))
            .await;
        assert!(
            matches!(refused, Err(ConnectError::Closed(_))),
            "{refused:?}"
        );
        send.write_all(b"still").await.unwrap();
    })
    .await;
}

/// `close` and `wait_idle`: the peers have been told when it returns.
#[tokio::test]
async fn shutdown_drains_the_close_packet() {
    within(async {
        let pair = pair().await;
        pair.server.close(0x100, "shutting down");
        pair.server.wait_idle().await;
        assert_eq!(pair.server.open_connections(), 0);
        assert!(pair.server.accept().await.is_none());
        let reason = pair.opened.connection().closed().await;
        assert_eq!((reason.by, reason.code), (ClosedBy::Peer, 0x100));
        assert_eq!(reason.reason, "shutting down");
        pair.client.wait_idle().await;

        pair.client.close(0x100, "");
        let late = pair
            .client
            .connect(pair.server.local_addr(), "x", client_config(|_, _| {}))
            .await;
        assert!(matches!(late, Err(ConnectError::EndpointClosed)));
    })
    .await;
}

#[tokio::test]
async fn silence_ends_a_connection() {
    within(async {
        let client = client_config(|_, transport| {
            transport.idle_timeout = Duration::from_millis(300);
        });
        let pair = pair_with(server_config(|_, _| {}), client).await;
        let reason = pair.opened.connection().closed().await;
        assert_eq!(reason.by, ClosedBy::Timeout);
        let closed = pair.opened.closed().await;
        assert_eq!(closed.by, ClosedBy::Timeout);
    })
    .await;
}
