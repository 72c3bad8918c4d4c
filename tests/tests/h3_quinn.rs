//! The crates `h3` and `quinn` as peer for plain HTTP/3, in both roles.

mod common;
mod h3_peer;

use bytes::{Buf, Bytes};
use common::{certificate, our_connection, our_request, pattern, serving, within};
use h3_peer::{peer_client, peer_request, peer_server};
use http::{Request, StatusCode};
use tokio::task::JoinSet;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn client_gets_answers() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(server.local_addr(), &certificate).await;
        for (method, path, body, status, expected) in [
            ("GET", "/hello", vec![], 200, b"hello".to_vec()),
            ("GET", "/bytes/100000", vec![], 200, pattern(100_000)),
            ("GET", "/bytes/0", vec![], 200, vec![]),
            ("GET", "/nowhere", vec![], 404, vec![]),
            ("POST", "/echo", pattern(70_000), 200, pattern(70_000)),
            ("POST", "/echo", vec![], 200, vec![]),
        ] {
            let requests = peer.requests.clone();
            let (head, answer) = peer_request(requests, method, path, body).await;
            assert_eq!(head.status(), status, "{method} {path}");
            assert_eq!(head.headers()["server"], "weftline");
            assert!(
                answer == expected,
                "{method} {path}: {} bytes",
                answer.len()
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_moves_10_mib_each_way() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(server.local_addr(), &certificate).await;
        let path = format!("/bytes/{}", 10 * MIB);
        let data = pattern(10 * MIB);
        let (_, answer) = peer_request(peer.requests.clone(), "GET", &path, vec![]).await;
        assert!(answer == data, "the body is what was asked for");
        let requests = peer.requests.clone();
        let (_, answer) = peer_request(requests, "POST", "/echo", data.clone()).await;
        assert!(answer == data, "the echo is what was sent");
    })
    .await;
}

#[tokio::test]
async fn client_makes_20_requests_at_once() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let peer = peer_client(server.local_addr(), &certificate).await;
        // More in all than our limit of streams, so that credit has to come back.
        for round in 0..8 {
            let mut answers = JoinSet::new();
            for i in 0..20 {
                let body = pattern(round * 5000 + i * 10);
                let requests = peer.requests.clone();
                answers.spawn(async move {
                    let echo = peer_request(requests, "POST", "/echo", body.clone()).await;
                    echo.0.status() == StatusCode::OK && echo.1 == body
                });
            }
            assert!(answers.join_all().await.into_iter().all(|same| same));
        }
    })
    .await;
}

/// Trailers of a request are for nobody here, but end its body like any end.
#[tokio::test]
async fn client_sends_trailers() {
    within(async {
        let certificate = certificate();
        let server = serving(&certificate);
        let mut peer = peer_client(server.local_addr(), &certificate).await;
        let request = Request::post("https://localhost/echo").body(());
        let request = request.expect("a request");
        let mut stream = peer.requests.send_request(request).await.expect("a stream");
        stream
            .send_data(Bytes::from_static(b"body"))
            .await
            .expect("room");
        let mut trailers = http::HeaderMap::new();
        trailers.insert("checksum", http::HeaderValue::from_static("none"));
        stream.send_trailers(trailers).await.expect("room");
        stream.finish().await.expect("an end");
        let head = stream.recv_response().await.expect("a response");
        assert_eq!(head.status(), 200);
        let mut chunk = stream.recv_data().await.expect("data").expect("data");
        assert_eq!(chunk.copy_to_bytes(chunk.remaining()), "body");
        assert!(stream.recv_data().await.expect("an end").is_none());
    })
    .await;
}

#[tokio::test]
async fn server_answers() {
    within(async {
        let certificate = certificate();
        let server = peer_server(&certificate);
        let (_client, connection) = our_connection(server.address, &certificate).await;
        for (method, path, body, status, expected) in [
            ("GET", "/hello", vec![], 200, b"hello".to_vec()),
            ("GET", "/bytes/100000", vec![], 200, pattern(100_000)),
            ("GET", "/bytes/0", vec![], 200, vec![]),
            ("GET", "/nowhere", vec![], 404, vec![]),
            ("POST", "/echo", pattern(70_000), 200, pattern(70_000)),
            ("POST", "/echo", vec![], 200, vec![]),
        ] {
            let answer = our_request(&connection, method, path, body).await;
            assert_eq!(
                (answer.0, answer.1.as_slice()),
                (status, &b"h3"[..]),
                "{method} {path}"
            );
            assert!(
                answer.2 == expected,
                "{method} {path}: {} bytes",
                answer.2.len()
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_moves_10_mib_each_way() {
    within(async {
        let certificate = certificate();
        let server = peer_server(&certificate);
        let (_client, connection) = our_connection(server.address, &certificate).await;
        let path = format!("/bytes/{}", 10 * MIB);
        let data = pattern(10 * MIB);
        let (_, _, answer) = our_request(&connection, "GET", &path, vec![]).await;
        assert!(answer == data, "the body is what was asked for");
        let (_, _, answer) = our_request(&connection, "POST", "/echo", data.clone()).await;
        assert!(answer == data, "the echo is what was sent");
    })
    .await;
}

#[tokio::test]
async fn server_answers_20_requests_at_once() {
    within(async {
        let certificate = certificate();
        let server = peer_server(&certificate);
        let (_client, connection) = our_connection(server.address, &certificate).await;
        for round in 0..8 {
            let mut answers = JoinSet::new();
            for i in 0..20 {
                let body = pattern(round * 5000 + i * 10);
                let connection = connection.clone();
                answers.spawn(async move {
                    let echo = our_request(&connection, "POST", "/echo", body.clone()).await;
                    echo.0 == 200 && echo.2 == body
                });
            }
            assert!(answers.join_all().await.into_iter().all(|same| same));
        }
    })
    .await;
}
