//! What the server tells of sessions and begins by itself, seen by a client through the library.

mod support;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use support::{PATIENCE, Server, pattern};
use weftline::config::ClientConfig;
use weftline_rustls::{ClientTls, hash};
use weftline_tokio::{Endpoint, Session, Target};

/// A session through the library, for what the command does not do.
async fn session(server: &Server, endpoint: &Endpoint, path: &str) -> Session {
    let hash = hash::parse_sha256(server.hash()).unwrap();
    let tls = ClientTls::builder()
        .certificate_hashes(vec![hash])
        .build()
        .unwrap();
    let config = ClientConfig::builder(Arc::new(tls)).build().unwrap();
    let target = Target::parse(&server.url(path)).unwrap();
    let request = target.session_request();
    endpoint
        .connect_session(&target, Arc::new(config), request)
        .await
        .unwrap()
}

async fn report(server: &Server, endpoint: &Endpoint, of: &str) -> Value {
    let session = session(server, endpoint, &format!("/report?of={of}")).await;
    let mut stream = session.accept_uni().await.unwrap();
    serde_json::from_slice(&stream.read_to_end(1 << 20).await.unwrap()).unwrap()
}

fn with_library(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, work).await })
        .unwrap();
}

#[test]
fn reports_tell_the_close_of_a_session() {
    let server = Server::start(&["--no-web"]);
    with_library(async {
        let endpoint = Endpoint::client().unwrap();
        let closing = session(&server, &endpoint, "/echo?id=closing").await;
        assert_eq!(
            report(&server, &endpoint, "closing").await["close"],
            Value::Null
        );
        closing.close(1234, "good bye \u{1F44B}");
        closing.closed().await;
        loop {
            let report = report(&server, &endpoint, "closing").await;
            if report["close"] != Value::Null {
                assert_eq!(
                    report["close"],
                    json!({"code": 1234, "reason": "good bye \u{1F44B}"})
                );
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn reports_tell_resets_and_stops() {
    let server = Server::start(&["--no-web"]);
    with_library(async {
        let endpoint = Endpoint::client().unwrap();
        let aborting = session(&server, &endpoint, "/echo?id=aborting").await;
        let (mut send, mut recv) = aborting.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        assert_eq!(&recv.read_chunk(10).await.unwrap().unwrap()[..], b"x");
        recv.stop(88);
        send.reset(99);
        loop {
            let report = report(&server, &endpoint, "aborting").await;
            if report["resets"] != json!([]) && report["stops"] != json!([]) {
                assert_eq!(report["resets"], json!([{"code": 99}]));
                assert_eq!(report["stops"], json!([{"code": 88}]));
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn the_server_opens_streams_and_checks_the_answers() {
    let server = Server::start(&["--no-web"]);
    with_library(async {
        let endpoint = Endpoint::client().unwrap();
        let opened = session(
            &server,
            &endpoint,
            "/server-streams?uni=3&bidi=2&size=70000&id=o",
        )
        .await;
        for _ in 0..3 {
            let mut recv = opened.accept_uni().await.unwrap();
            let data = recv.read_to_end(1 << 20).await.unwrap();
            assert!(data == pattern(70_000, data[0].into()));
        }
        for i in 0..2 {
            let (mut send, mut recv) = opened.accept_bi().await.unwrap();
            let mut data = recv.read_to_end(1 << 20).await.unwrap();
            assert!(data == pattern(70_000, data[0].into()));
            // The second answer is wrong in its last byte.
            data[69_999] ^= i;
            send.write_all(&data).await.unwrap();
            send.finish().unwrap();
            send.finished().await.unwrap();
            while report(&server, &endpoint, "o").await["server_bidi"][usize::from(i)].is_null() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        assert_eq!(
            report(&server, &endpoint, "o").await["server_bidi"],
            json!([true, false])
        );
    });
}

#[test]
fn the_server_sends_datagrams() {
    let server = Server::start(&["--no-web"]);
    with_library(async {
        let endpoint = Endpoint::client().unwrap();
        let session = session(&server, &endpoint, "/datagrams?n=5").await;
        // Loopback may lose some under load, but not all.
        let first = session.recv_datagram().await.unwrap();
        assert!(first.starts_with(b"srv-"), "{first:?}");
    });
}

#[test]
fn draining_leaves_the_session_usable() {
    let server = Server::start(&["--no-web"]);
    with_library(async {
        let endpoint = Endpoint::client().unwrap();
        let session = session(&server, &endpoint, "/drain").await;
        session.draining().await.unwrap();
        let (mut send, mut recv) = session.open_bi().await.unwrap();
        send.write_all(b"still here").await.unwrap();
        send.finish().unwrap();
        assert_eq!(recv.read_to_end(100).await.unwrap(), b"still here");
    });
}
