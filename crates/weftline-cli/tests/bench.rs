//! The measuring protocol of `/bench`, spoken by a client through the library.

mod support;

use std::{sync::Arc, time::Duration};

use support::{PATIENCE, Server, pattern};
use weftline::config::ClientConfig;
use weftline_rustls::{ClientTls, hash};
use weftline_tokio::{Endpoint, ReadError, Session, Target};

/// Runs `work` with a session on `/bench` of a server of its own.
fn with_bench<F: Future<Output = ()>>(work: impl FnOnce(Session) -> F) -> Server {
    let server = Server::start(&["--no-web"]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let patient = async {
        let hash = hash::parse_sha256(server.hash()).unwrap();
        let tls = ClientTls::builder()
            .certificate_hashes(vec![hash])
            .build()
            .unwrap();
        let config = ClientConfig::builder(Arc::new(tls)).build().unwrap();
        let target = Target::parse(&server.url("/bench")).unwrap();
        let endpoint = Endpoint::client().unwrap();
        let request = target.session_request();
        let session = endpoint
            .connect_session(&target, Arc::new(config), request)
            .await
            .unwrap();
        work(session).await;
    };
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, patient).await })
        .unwrap();
    server
}

/// What a stream with this data is answered. Reads while it writes.
async fn ask(session: &Session, data: &[u8]) -> Result<Vec<u8>, ReadError> {
    let (mut send, mut recv) = session.open_bi().await.unwrap();
    let write = async {
        // A stream that is refused may be stopped before all is written.
        if send.write_all(data).await.is_ok() {
            let _ = send.finish();
        }
    };
    let ((), answer) = tokio::join!(write, recv.read_to_end(16 << 20));
    answer
}

async fn send_uni(session: &Session, data: &[u8]) {
    let mut send = session.open_uni().await.unwrap();
    send.write_all(data).await.unwrap();
    send.finish().unwrap();
}

fn request(op: u8, number: u64) -> Vec<u8> {
    [&[op][..], &number.to_le_bytes()].concat()
}

fn numbers(data: &[u8]) -> Vec<u64> {
    assert_eq!(data.len() % 8, 0);
    let eights = data.chunks(8);
    eights
        .map(|eight| u64::from_le_bytes(eight.try_into().unwrap()))
        .collect()
}

#[test]
fn streams_are_echoed_counted_and_filled() {
    with_bench(|session| async move {
        for len in [0, 1, 100, 3_000_000] {
            let data = pattern(len, 5);
            let echo = [b"E", &data[..]].concat();
            assert!(ask(&session, &echo).await.unwrap() == echo, "{len}");
            let upload = [b"U", &data[..]].concat();
            let count = ask(&session, &upload).await.unwrap();
            assert_eq!(numbers(&count), [len as u64 + 1]);
            let download = ask(&session, &request(b'D', len as u64)).await.unwrap();
            assert!(download == pattern(len, 0), "{len}");
        }
    });
}

#[test]
fn datagrams_and_unidirectional_streams_are_tallied() {
    with_bench(|session| async move {
        let tally = ask(&session, b"S").await.unwrap();
        assert_eq!(numbers(&tally), [0; 4]);
        assert_eq!(
            numbers(&ask(&session, &request(b'W', 0)).await.unwrap()),
            [0; 4]
        );

        send_uni(&session, &[7; 70_000]).await;
        send_uni(&session, b"").await;
        // The answer comes only with the third stream, which comes after the question.
        let (mut send, mut recv) = session.open_bi().await.unwrap();
        send.write_all(&request(b'W', 3)).await.unwrap();
        send.finish().unwrap();
        send.finished().await.unwrap();
        send_uni(&session, &[7; 5]).await;
        let tally = numbers(&recv.read_to_end(32).await.unwrap());
        assert_eq!(tally, [0, 0, 3, 70_005]);

        // Loopback may lose datagrams: go on until one is there.
        loop {
            session.send_datagram(b"four").unwrap();
            let tally = numbers(&ask(&session, b"S").await.unwrap());
            assert_eq!(tally[1], 4 * tally[0]);
            assert_eq!(tally[2..], [3, 70_005]);
            if tally[0] > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn anything_else_is_refused() {
    with_bench(|session| async move {
        let long = [request(b'D', 1), vec![0]].concat();
        let short = &long[..8];
        let flood = vec![b'S'; 1 << 20];
        for data in [&b""[..], b"X", b"Sx", b"W", short, &long, &flood] {
            let answer = ask(&session, data).await;
            assert!(
                matches!(answer, Err(ReadError::Reset(Some(1)))),
                "{answer:?}"
            );
        }
        // The client's half is stopped too.
        let (mut send, _recv) = session.open_bi().await.unwrap();
        send.write_all(b"X").await.unwrap();
        assert_eq!(send.stopped().await.unwrap(), Some(1));
    });
}

#[test]
fn a_wait_ends_with_the_session() {
    let server = with_bench(|session| async move {
        let (mut send, _recv) = session.open_bi().await.unwrap();
        send.write_all(&request(b'W', u64::MAX)).await.unwrap();
        send.finish().unwrap();
        send.finished().await.unwrap();
        session.close(5, "enough");
        session.closed().await;
    });
    // Said once all that the session did is over.
    assert_eq!(server.event("session-closed")["code"], 5);
}
