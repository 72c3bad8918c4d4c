//! The server and the clients of the command, against each other on loopback.

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};
use support::{PATIENCE, Scratch, Server, finished, pattern, weftline};
use weftline_rustls::hash;

#[test]
fn the_first_line_says_where_the_server_is() {
    let server = Server::start(&["--web", "127.0.0.1:0"]);
    let keys: Vec<_> = server.ready.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["event", "url", "cert_sha256", "web"]);
    assert_eq!(server.ready["event"], "ready");
    assert!(server.url("").starts_with("https://127.0.0.1:"));
    assert!(hash::parse_sha256(server.hash()).is_some());
    assert!(
        server.ready["web"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );

    let server = Server::start(&["--no-web"]);
    assert_eq!(server.ready["web"], Value::Null);
}

#[test]
fn the_demo_page_is_served() {
    let server = Server::start(&["--web", "127.0.0.1:0"]);
    let address = server.ready["web"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    };
    let page = get("/");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(page.contains(server.hash()) && page.contains(&server.url("")));
    assert!(get("/other").starts_with("HTTP/1.1 404 "));
}

#[test]
fn texts_come_back_in_every_way() {
    let server = Server::start(&["--no-web", "--protocol", "any"]);
    for dialect in ["auto", "02", "07", "13", "16"] {
        let args = [
            "--json",
            "--dialect",
            dialect,
            "--protocol",
            "weft",
            "--bidi",
            "one",
            "--bidi",
            "zwei \u{1F44B}",
            "--uni",
            "three",
            "--datagram",
            "four",
        ];
        let events = server.client("connect", "/echo", &args).events();
        assert_eq!(events[0]["event"], "session", "{dialect}");
        if dialect != "auto" {
            assert_eq!(events[0]["dialect"], dialect);
        }
        let rest: Vec<_> = events[1..].to_vec();
        let expected = [
            json!({"event": "bidi", "text": "one"}),
            json!({"event": "bidi", "text": "zwei \u{1F44B}"}),
            json!({"event": "uni", "text": "three"}),
            json!({"event": "datagram", "text": "four"}),
            json!({"event": "closed", "code": 0, "reason": ""}),
        ];
        assert_eq!(rest, expected, "{dialect}");
    }
}

#[test]
fn protocols_are_agreed_on() {
    let server = Server::start(&["--no-web", "--protocol", "b"]);
    let args = [
        "--json",
        "--protocol",
        "a",
        "--protocol",
        "b",
        "--bidi",
        "x",
    ];
    let events = server.client("connect", "/echo", &args).events();
    assert_eq!(events[0]["protocol"], "b");
    let args = ["--json", "--protocol", "a", "--bidi", "x"];
    let events = server.client("connect", "/echo", &args).events();
    assert_eq!(events[0]["protocol"], Value::Null);
}

#[test]
fn stdin_comes_back_byte_for_byte() {
    let server = Server::start(&["--no-web"]);
    let data = pattern(4 << 20, 7);
    let finished = server.client_with("connect", "/echo", &[], data.clone());
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    assert!(
        finished.stdout == data,
        "{} bytes came back",
        finished.stdout.len()
    );

    let empty = server.client("connect", "/echo", &[]);
    assert_eq!((empty.code, empty.stdout.len()), (Some(0), 0));

    let lines = server.client_with("connect", "/echo", &["--json"], b"a\nb".to_vec());
    let lines = &lines.events()[1..];
    assert_eq!(lines[0], json!({"event": "bidi", "text": "a"}));
    assert_eq!(lines[1], json!({"event": "bidi", "text": "b"}));
    assert_eq!(lines[2]["event"], "closed");
}

#[test]
fn sinks_count_and_sources_send() {
    let server = Server::start(&["--no-web"]);
    let sunk = server.client_with("connect", "/sink", &[], vec![1; 300_000]);
    assert_eq!(str::from_utf8(&sunk.stdout).unwrap(), r#"{"bytes":300000}"#);
    let sent = server.client("connect", "/source?bytes=300000", &[]);
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    assert!(sent.stdout == pattern(300_000, 0));
}

#[test]
fn downloads() {
    let server = Server::start(&["--no-web"]);
    let scratch = Scratch::new("downloads");
    let file = scratch.file("body");
    let finished = server.client("get", "/bytes/1000000", &["-o", &file]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    assert!(std::fs::read(&file).unwrap() == pattern(1_000_000, 0));

    let finished = server.client("get", "/bytes/5000", &[]);
    assert!(finished.stdout == pattern(5000, 0));
    assert_eq!(server.client("get", "/healthz", &[]).stdout, b"ok\n");
    assert_eq!(server.client("get", "/bytes/0", &[]).stdout, b"");
    let page = server.client("get", "/", &[]).stdout;
    assert!(page.starts_with(b"<!doctype html>"));
}

#[test]
fn figures_are_json() {
    let server = Server::start(&["--no-web"]);
    let ask = |path| -> Value {
        let events = server
            .client("connect", path, &["--json", "--bidi", ""])
            .events();
        serde_json::from_str(events[1]["text"].as_str().unwrap()).unwrap()
    };
    let stats = ask("/stats");
    assert!(
        stats["connection"]["packets_sent"].as_u64().unwrap() > 0,
        "{stats}"
    );
    let status = ask("/status");
    assert_eq!(
        status["sessions"],
        json!({"open": 1, "total": 2}),
        "{status}"
    );
}

#[test]
fn the_server_says_what_happens() {
    let server = Server::start(&["--no-web"]);
    assert_eq!(
        server
            .client("connect", "/echo?id=x", &["--bidi", "a"])
            .code,
        Some(0)
    );
    assert!(server.event("connection")["remote"].is_string());
    let session = server.event("session");
    assert_eq!(
        (&session["path"], &session["status"]),
        (&json!("/echo?id=x"), &json!(200))
    );
    let closed = server.event("session-closed");
    assert_eq!(
        (&closed["code"], &closed["by"]),
        (&json!(0), &json!("peer"))
    );
    server.event("connection-closed");
    assert_ne!(server.client("connect", "/nowhere", &[]).code, Some(0));
    assert_eq!(server.event("session-refused")["status"], 404);
    assert_ne!(server.client("get", "/nowhere", &[]).code, Some(0));
    assert_eq!(server.event("request")["status"], 404);
}

#[cfg(unix)]
#[test]
fn a_signal_drains_and_the_exit_code_is_0() {
    for signal in ["INT", "TERM"] {
        let mut server = Server::start(&["--no-web"]);
        server.signal(signal);
        server.event("draining");
        assert_eq!(server.wait(), Some(0), "{signal}");
    }
}

#[cfg(unix)]
#[test]
fn draining_does_not_wait_for_ever() {
    let mut server = Server::start(&["--no-web"]);
    let mut client = server.client_in_background("/echo");
    let stdin = client.stdin.take();
    server.event("session");
    server.signal("INT");
    server.event("stopped");
    assert_eq!(server.wait(), Some(0));
    // Told that the session is over, though its stdin is open.
    let client = finished(client);
    drop(stdin);
    let line = client.failure();
    assert!(
        line.contains("closed the session with code 0: \"the server is stopping\""),
        "{line}"
    );
}

#[cfg(unix)]
#[test]
fn a_second_signal_stops_at_once() {
    let mut server = Server::start(&["--no-web"]);
    let mut client = server.client_in_background("/echo");
    let stdin = client.stdin.take();
    server.event("session");
    server.signal("INT");
    server.event("draining");
    server.signal("INT");
    assert_eq!(server.wait(), Some(1));
    let _ = client.kill();
    let _ = client.wait();
    drop(stdin);
}

#[test]
fn certificates_for_the_server_and_its_clients() {
    let scratch = Scratch::new("certificates");
    let (cert, key) = (scratch.file("cert.pem"), scratch.file("key.pem"));
    let dir = scratch.path().to_str().unwrap();
    let made = weftline(&["cert", "--out", dir]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let server = Server::start(&["--no-web", "--cert", &cert, "--key", &key]);
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(
        said.contains(server.hash()) && said.contains("serverCertificateHashes"),
        "{said}"
    );
    let with_ca = weftline(&[
        "connect",
        &server.url("/echo"),
        "--ca",
        &cert,
        "--bidi",
        "x",
    ]);
    assert_eq!(with_ca.code, Some(0), "{}", with_ca.stderr);
    let insecure = weftline(&["get", &server.url("/healthz"), "--insecure"]);
    assert_eq!(insecure.code, Some(0), "{}", insecure.stderr);
}

#[cfg(unix)]
#[test]
fn keys_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("modes");
    let key = scratch.file("key.pem");
    std::fs::write(&key, "an old key").unwrap();
    let dir = scratch.path().to_str().unwrap();
    assert_eq!(weftline(&["cert", "--out", dir, "--force"]).code, Some(0));
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
