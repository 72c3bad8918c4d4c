//! What the command logs, and what it says of logs.

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{Scratch, Server, weftline};

/// The only log in a directory.
fn only_log(dir: &Path) -> String {
    let names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names[0].to_str().unwrap().to_owned()
}

#[test]
fn both_ends_log_a_session_and_the_logs_agree() {
    let scratch = Scratch::new("qlog");
    let (ours, theirs) = (scratch.path().join("client"), scratch.path().join("server"));
    let mut server = Server::start(&["--no-web", "--qlog-dir", theirs.to_str().unwrap()]);
    let args = ["--json", "--bidi", "hello", "--datagram", "ping"];
    let args = [&args[..], &["--qlog-dir", ours.to_str().unwrap()]].concat();
    let finished = server.client("connect", "/echo", &args);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    server.signal("INT");
    assert_eq!(server.wait(), Some(0));

    let (ours, theirs) = (only_log(&ours), only_log(&theirs));
    assert!(ours.ends_with("_client.sqlog") && theirs.ends_with("_server.sqlog"));
    let summary = |file: &str| -> Value {
        let finished = weftline(&["qlog", "--json", file]);
        let events = finished.events();
        assert_eq!(events.len(), 1);
        events[0].clone()
    };
    let (client, server) = (summary(&ours), summary(&theirs));
    assert_eq!(client["vantage_point"], "client");
    assert_eq!(server["vantage_point"], "server");
    for log in [&client, &server] {
        assert_eq!(log["alpn"], "h3");
        assert_eq!(log["truncated"], false);
        assert!(log["handshake"]["confirmed"].is_f64(), "{log:#}");
        assert!(log["rtt"]["min"].is_f64());
        assert!(log["window"]["min"].as_u64() <= log["window"]["max"].as_u64());
        assert_eq!(log["sessions"][0]["id"], 0);
        assert!(log["sessions"][0]["established"].is_f64());
        assert!(log["sent"]["frames"]["datagram"].as_u64() >= Some(1));
        assert!(log["close"].as_str().unwrap().contains("0x100"));
    }

    let text = weftline(&["qlog", &ours]);
    assert_eq!(text.code, Some(0));
    let text = String::from_utf8(text.stdout).unwrap();
    for wanted in [
        "handshake",
        "confirmed",
        "rtt",
        "window",
        "session",
        "close",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in:\n{text}");
    }
}

#[test]
fn secrets_are_logged_on_request_and_it_is_said() {
    let scratch = Scratch::new("keylog");
    let file = scratch.file("keys");
    let server = Server::start(&["--no-web"]);
    let args = ["--json", "--bidi", "hello", "--keylog", &file];
    let finished = server.client("connect", "/echo", &args);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(
        finished
            .stderr
            .starts_with("weftline: note: TLS secrets go to ")
    );
    assert!(finished.stderr.contains(&file));
    let text = fs::read_to_string(&file).unwrap();
    for label in [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
    ] {
        let line = text.lines().find(|line| line.starts_with(label));
        let words: Vec<_> = line.unwrap().split(' ').collect();
        assert_eq!((words.len(), words[1].len()), (3, 64));
    }

    let quiet = server.client("connect", "/echo", &["--json", "--bidi", "hello"]);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn what_cannot_be_logged_to_or_read() {
    let scratch = Scratch::new("nolog");
    let (none, junk) = (scratch.file("none"), scratch.file("junk"));
    fs::write(&junk, "{\"not\": \"a log\"}\n").unwrap();
    let fails = |args: &[&str], words: &[&str]| {
        let finished = weftline(args);
        let line = finished.failure();
        for word in words {
            assert!(line.contains(word), "{word:?} is not in: {line}");
        }
    };
    fails(&["qlog"], &["<FILE>"]);
    fails(&["qlog", &none], &["cannot read", &none]);
    fails(&["qlog", &junk], &[&junk, "not a qlog file", "--qlog-dir"]);
    fs::write(&junk, "").unwrap();
    fails(&["qlog", &junk], &["empty"]);
    let header = "\u{1e}{\"qlog_version\":\"0.3\",\"trace\":{}}\n";
    fs::write(&junk, format!("{header}\u{1e}junk\n")).unwrap();
    fails(&["qlog", &junk], &[&junk, "record 2"]);
    // A file where a directory should be.
    let url = "https://127.0.0.1:1/";
    fails(
        &["get", url, "--qlog-dir", &junk],
        &["cannot log into", &junk, "--qlog-dir"],
    );
    fails(
        &[
            "serve",
            "--no-web",
            "--listen",
            "127.0.0.1:0",
            "--qlog-dir",
            &junk,
        ],
        &["cannot log into"],
    );
    // A key log that cannot be opened is said after the note that there is to be one.
    let missing = scratch.file("missing/keys");
    let finished = weftline(&["get", url, "--insecure", "--keylog", &missing]);
    assert_eq!(finished.code, Some(1));
    let last = finished.stderr.lines().last().unwrap();
    assert!(
        last.contains("cannot write key log") && last.contains(&missing),
        "{last}"
    );
}
