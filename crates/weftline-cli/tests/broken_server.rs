//! Downloads from a server that does not keep its word.

mod support;

use std::sync::Arc;

use support::{Finished, PATIENCE, weftline};
use weftline::config::ServerConfig;
use weftline_rustls::{DevCertificate, ServerTls, hash};
use weftline_tokio::{Endpoint, Fields, Incoming, ResponseHead, SendStream};

/// Downloads ten bytes of a body that was announced as a hundred, after which `end` ends it.
fn download(end: fn(&mut SendStream)) -> Finished {
    let certificate = DevCertificate::generate(&[], 1).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let serving = async {
        let tls = ServerTls::builder(certificate.identity().unwrap())
            .build()
            .unwrap();
        let config = ServerConfig::builder(Arc::new(tls)).build().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let endpoint = Endpoint::server(listen, Arc::new(config)).unwrap();
        let url = format!("https://{}/", endpoint.local_addr());
        let hash = hash::hex(&certificate.sha256());
        let client = tokio::task::spawn_blocking(move || {
            weftline(&["get", &url, "--cert-hash", &hash, "--timeout", "20"])
        });
        let connection = endpoint.accept().await.unwrap();
        let Incoming::Request(request) = connection.accept().await.unwrap() else {
            panic!("a session, though a download was asked for");
        };
        let mut fields = Fields::new();
        fields.push("content-length", "100");
        let head = ResponseHead {
            status: 200,
            fields,
        };
        let (mut send, _body) = request.respond(head).unwrap();
        send.write_all(b"ten bytes.").await.unwrap();
        end(&mut send);
        client.await.unwrap()
    };
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, serving).await })
        .unwrap()
}

#[test]
fn bodies_that_end_too_early() {
    let finished = download(|send| send.finish().unwrap());
    let line = finished.failure();
    assert!(line.contains("incomplete"), "{line}");
}

#[test]
fn bodies_that_are_broken_off() {
    let finished = download(|send| send.reset(7));
    let line = finished.failure();
    // The reset may overtake the head of the response.
    let said = line.contains("incomplete") || line.contains("broke the exchange off");
    assert!(said, "{line}");
}
