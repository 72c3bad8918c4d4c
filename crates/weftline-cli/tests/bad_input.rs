//! What cannot work: one clear line on stderr, and an exit code that is not 0.

mod support;

use std::net::{TcpListener, UdpSocket};

use support::{Scratch, Server, weftline, weftline_with};

/// The command fails with a line that has all the words.
fn fails(args: &[&str], words: &[&str]) {
    let finished = weftline(args);
    has(finished.failure(), words);
}

fn has(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word:?} is not in: {line}");
    }
}

#[test]
fn usage() {
    fails(&[], &["subcommand", "serve"]);
    fails(&["serve", "--jsno"], &["--jsno", "'--json'"]);
    fails(&["serve", "--listen", "nowhere"], &["nowhere", "--listen"]);
    fails(&["serve", "--cert", "a.pem"], &["--key"]);
    fails(&["serve", "--retry=always"], &["always", "--retry"]);
    fails(
        &["serve", "--max-connections", "0"],
        &["--max-connections", "from 1"],
    );
    fails(&["connect"], &["<URL>"]);
    fails(
        &["connect", "https://a", "--dialect", "99"],
        &["99", "--dialect", "16"],
    );
    fails(
        &["connect", "https://a", "--header", "nothing"],
        &["--header", "Name: value"],
    );
    fails(
        &["get", "https://a", "--timeout", "0"],
        &["--timeout", "seconds"],
    );
    assert_eq!(weftline(&["serve", "--jsno"]).code, Some(2));
}

#[test]
fn urls() {
    fails(
        &["connect", "http://127.0.0.1:1/"],
        &["must begin with https://"],
    );
    fails(&["get", "https://a:99999/"], &["port"]);
    fails(&["get", "https://user@a/"], &["credentials"]);
}

#[test]
fn malformed_hash() {
    let url = "https://127.0.0.1:1/";
    for hash in ["", "12", "zz", &"ab".repeat(33)] {
        fails(
            &["connect", url, "--cert-hash", hash],
            &["--cert-hash", "64 hexadecimal digits"],
        );
    }
}

#[test]
fn trust_is_one_of_three() {
    let url = "https://127.0.0.1:1/";
    fails(
        &["get", url, "--insecure", "--ca", "ca.pem"],
        &["--insecure", "--ca"],
    );
}

#[test]
fn udp_port_in_use() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fails(
        &["serve", "--no-web", "--listen", &address],
        &["cannot listen on", &address, "in use", "--listen"],
    );
}

#[test]
fn web_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fails(
        &["serve", "--listen", "127.0.0.1:0", "--web", &address],
        &["demo page", &address, "in use", "--no-web"],
    );
}

#[test]
fn development_certificates_stay_at_home() {
    fails(
        &["serve", "--no-web", "--listen", "0.0.0.0:0"],
        &["0.0.0.0", "development certificate", "--allow-dev-cert"],
    );
    fails(
        &["serve", "--listen", "127.0.0.1:0", "--web", "0.0.0.0:0"],
        &["demo page", "loopback", "--no-web"],
    );
}

#[test]
fn missing_files() {
    let scratch = Scratch::new("missing");
    let dir = scratch.path().to_str().unwrap();
    assert_eq!(weftline(&["cert", "--out", dir]).code, Some(0));
    let (cert, none) = (scratch.file("cert.pem"), scratch.file("none.pem"));
    fails(
        &["serve", "--no-web", "--cert", &cert, "--key", &none],
        &["cannot read key file", &none],
    );
    fails(
        &["get", "https://127.0.0.1:1/", "--ca", &none],
        &["cannot read", &none],
    );
    fails(
        &[
            "serve",
            "--no-web",
            "--listen",
            "127.0.0.1:0",
            "--client-ca",
            &none,
        ],
        &["cannot read", &none],
    );
}

#[test]
fn keys_of_other_certificates() {
    let (one, other) = (Scratch::new("one"), Scratch::new("other"));
    for scratch in [&one, &other] {
        let dir = scratch.path().to_str().unwrap();
        assert_eq!(weftline(&["cert", "--out", dir]).code, Some(0));
    }
    let (cert, key) = (one.file("cert.pem"), other.file("key.pem"));
    fails(
        &["serve", "--no-web", "--cert", &cert, "--key", &key],
        &["does not belong", &cert, &key],
    );
    fails(
        &["serve", "--no-web", "--cert", &key, "--key", &key],
        &["no certificate", &key],
    );
}

#[test]
fn expired_certificates() {
    let scratch = Scratch::new("expired");
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 10);
    let certificate = params.self_signed(&key).unwrap();
    let (cert_file, key_file) = (scratch.file("cert.pem"), scratch.file("key.pem"));
    std::fs::write(&cert_file, certificate.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    fails(
        &[
            "serve",
            "--no-web",
            "--listen",
            "127.0.0.1:0",
            "--cert",
            &cert_file,
            "--key",
            &key_file,
        ],
        &["expired", "2020-01-10", &cert_file],
    );
}

#[test]
fn certificates_are_not_overwritten() {
    let scratch = Scratch::new("overwrite");
    let dir = scratch.path().to_str().unwrap();
    assert_eq!(weftline(&["cert", "--out", dir]).code, Some(0));
    let before = std::fs::read(scratch.file("key.pem")).unwrap();
    fails(&["cert", "--out", dir], &["is there already", "--force"]);
    assert_eq!(std::fs::read(scratch.file("key.pem")).unwrap(), before);
    let file = scratch.file("key.pem");
    fails(&["cert", "--out", &file], &["cannot write", &file]);
}

#[test]
fn wrong_hash() {
    let server = Server::start(&["--no-web"]);
    let wrong = "ab".repeat(32);
    let finished = weftline(&["connect", &server.url("/echo"), "--cert-hash", &wrong]);
    has(finished.failure(), &[server.hash(), &wrong, "--cert-hash"]);
}

#[test]
fn unknown_authority() {
    let server = Server::start(&["--no-web"]);
    let other = Scratch::new("authority");
    let dir = other.path().to_str().unwrap();
    assert_eq!(weftline(&["cert", "--out", dir]).code, Some(0));
    let finished = weftline(&["get", &server.url("/"), "--ca", &other.file("cert.pem")]);
    has(finished.failure(), &["TLS", "certificate", "--ca"]);
}

#[test]
fn client_certificates() {
    let scratch = Scratch::new("client-ca");
    let dir = scratch.path().to_str().unwrap();
    assert_eq!(weftline(&["cert", "--out", dir]).code, Some(0));
    let server = Server::start(&["--no-web", "--client-ca", &scratch.file("cert.pem")]);
    let finished = server.client("connect", "/echo", &["--bidi", "x"]);
    has(finished.failure(), &["client certificate"]);
}

#[test]
fn unknown_host() {
    let url = "https://no-such-host.invalid/";
    fails(
        &["connect", url, "--timeout", "20"],
        &["address of no-such-host.invalid", "check"],
    );
}

#[test]
fn nobody_at_the_port() {
    let port = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("https://127.0.0.1:{port}/echo");
    let place = format!("127.0.0.1:{port}");
    for command in ["connect", "get"] {
        fails(
            &[command, &url, "--insecure", "--timeout", "1"],
            &[
                "no answer from",
                &place,
                "within 1 s",
                "timed out",
                "--timeout",
            ],
        );
    }
}

#[test]
fn refused_sessions() {
    let server = Server::start(&["--no-web"]);
    let cases: [(&str, &[&str]); 4] = [
        ("/nowhere", &["404", "/nowhere", "check the path"]),
        ("/reject", &["403", "/reject"]),
        ("/close?code=x", &["400"]),
        ("/report", &["400"]),
    ];
    for (path, words) in cases {
        has(
            server.client("connect", path, &["--bidi", "x"]).failure(),
            words,
        );
    }
}

#[test]
fn origins_that_are_not_allowed() {
    let server = Server::start(&["--no-web", "--allow-origin", "https://good.example"]);
    let connect = |origin: &str| {
        let header = format!("Origin: {origin}");
        server.client("connect", "/echo", &["--header", &header, "--bidi", "x"])
    };
    assert_eq!(connect("https://good.example").code, Some(0));
    has(
        connect("https://evil.example").failure(),
        &["403", "Origin"],
    );
}

#[test]
fn failed_downloads() {
    let server = Server::start(&["--no-web"]);
    let scratch = Scratch::new("failed-downloads");
    let file = scratch.file("body");
    let finished = server.client("get", "/nowhere", &["-o", &file]);
    has(finished.failure(), &["/nowhere", "404"]);
    assert!(finished.stdout.is_empty());
    assert!(!scratch.path().join("body").exists());
    has(server.client("get", "/echo", &[]).failure(), &["405"]);
    let nowhere = scratch.file("no/such/dir");
    has(
        server.client("get", "/", &["-o", &nowhere]).failure(),
        &["cannot write", &nowhere],
    );
}

#[test]
fn sessions_and_streams_that_the_server_ends() {
    let server = Server::start(&["--no-web"]);
    let closed = "/close?code=4321&reason=enough%20said%0a";
    // On a stream that is still open when the close comes.
    let args = ["connect", &server.url(closed), "--cert-hash", server.hash()];
    let mut child = support::spawn(&args);
    let stdin = child.stdin.take();
    let finished = support::finished(child);
    drop(stdin);
    has(finished.failure(), &["code 4321", "enough said\\n"]);
    let reset = server.client("connect", "/reset?code=77", &["--bidi", "x"]);
    has(reset.failure(), &["reset", "77"]);
}

#[test]
fn datagrams_that_are_too_long() {
    let server = Server::start(&["--no-web"]);
    let long = "x".repeat(70_000);
    let finished = server.client("connect", "/echo", &["--datagram", &long]);
    has(finished.failure(), &["70000 bytes", "too long"]);
}

#[test]
fn answers_that_do_not_come() {
    let server = Server::start(&["--no-web"]);
    // The sink reads datagrams and answers none.
    let args = ["--timeout", "1", "--datagram", "x"];
    has(
        server.client("connect", "/sink", &args).failure(),
        &["no answer", "1 s", "timed out"],
    );
}

#[test]
fn too_many_connections() {
    let server = Server::start(&["--no-web", "--max-connections", "1"]);
    let mut first = server.client_in_background("/echo");
    let stdin = first.stdin.take();
    server.event("session");
    let second = weftline_with(
        &[
            "connect",
            &server.url("/echo"),
            "--cert-hash",
            server.hash(),
            "--bidi",
            "x",
        ],
        Vec::new(),
    );
    has(second.failure(), &["CONNECTION_REFUSED"]);
    drop(stdin);
    assert_eq!(support::wait(&mut first).code(), Some(0));
}
