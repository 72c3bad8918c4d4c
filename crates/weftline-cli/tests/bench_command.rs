//! `weftline bench` against `weftline serve`, over WebTransport and raw QUIC.

mod support;

use serde_json::Value;
use support::{Finished, Server, weftline};

const KINDS: [&str; 7] = [
    "bulk",
    "echo",
    "rpc",
    "datagram",
    "handshake",
    "streams",
    "idle",
];

fn bench(server: &Server, kind: &str, path: &str, args: &[&str]) -> Finished {
    let url = server.url(path);
    let always = ["bench", kind, &url, "--cert-hash", server.hash()];
    weftline(&[&always[..], args].concat())
}

/// The figures of a short run.
fn figures(server: &Server, kind: &str, args: &[&str]) -> Value {
    let short = ["--seconds", "0.2", "--json"];
    let finished = bench(server, kind, "/bench", &[&short[..], args].concat());
    let mut events = finished.events();
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

fn positive(figures: &Value, names: &[&str]) {
    for name in names {
        let value = figures[*name].as_f64();
        assert!(value.is_some_and(|value| value > 0.0), "{name}: {figures}");
    }
}

fn every_kind(transport: &str, args: &[&str]) {
    let server = Server::start(&["--no-web", "--raw"]);
    for kind in KINDS {
        let args = [&["--concurrency", "3"], args].concat();
        let figures = figures(&server, kind, &args);
        assert_eq!(figures["event"], "bench");
        assert_eq!(
            (&figures["bench"], &figures["transport"]),
            (&kind.into(), &transport.into())
        );
        match kind {
            "bulk" => {
                positive(&figures["upload"], &["bytes", "seconds", "mbit_per_second"]);
                positive(
                    &figures["download"],
                    &["bytes", "seconds", "mbit_per_second"],
                );
            }
            "datagram" => {
                positive(&figures, &["datagrams", "received", "datagrams_per_second"]);
                let count = |name: &str| figures[name].as_u64().unwrap();
                assert_eq!(count("received") + count("lost"), count("datagrams"));
            }
            "idle" => {
                assert_eq!(figures["connections"], 3);
                positive(
                    &figures,
                    &["connections_per_second", "memory_per_connection"],
                );
            }
            "streams" => positive(&figures, &["streams", "streams_per_second"]),
            _ => {
                let latency = &figures["latency_us"];
                positive(latency, &["p50", "p90", "p99", "max", "mean"]);
                assert!(
                    latency["p50"].as_u64() <= latency["max"].as_u64(),
                    "{latency}"
                );
            }
        }
    }
}

#[test]
fn every_kind_over_webtransport() {
    every_kind("WebTransport", &[]);
}

#[test]
fn every_kind_over_raw_quic() {
    every_kind("raw QUIC", &["--raw"]);
}

#[test]
fn as_many_bytes_as_asked_for() {
    let server = Server::start(&["--no-web", "--raw"]);
    for raw in [&["--raw"][..], &[]] {
        let args = [
            "--bytes",
            "3000001",
            "--size",
            "1000000",
            "--concurrency",
            "2",
        ];
        let figures = figures(&server, "bulk", &[&args[..], raw].concat());
        assert_eq!(figures["upload"]["bytes"], 3_000_001);
        assert_eq!(figures["download"]["bytes"], 3_000_001);
    }
}

#[test]
fn a_summary_for_people() {
    let server = Server::start(&["--no-web"]);
    let finished = bench(&server, "rpc", "/bench", &["--seconds", "0.1"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let text = String::from_utf8(finished.stdout).unwrap();
    for words in [
        "rpc over WebTransport",
        "requests in",
        "latency: p50",
        "packets lost",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

fn fails(finished: &Finished, words: &[&str]) {
    let line = finished.failure();
    for word in words {
        assert!(line.contains(word), "{word:?} is not in: {line}");
    }
}

#[test]
fn bad_arguments() {
    let url = "https://127.0.0.1:1/bench";
    let cases: [(&[&str], &[&str]); 8] = [
        (&["bench"], &["<KIND>"]),
        (&["bench", "rpc"], &["<URL>"]),
        (&["bench", "speed", url], &["speed", "bulk"]),
        (
            &["bench", "rpc", url, "--seconds", "0"],
            &["--seconds", "0.001"],
        ),
        (
            &["bench", "bulk", url, "--bytes", "0"],
            &["--bytes", "from 1"],
        ),
        (
            &["bench", "rpc", url, "--concurrency", "0"],
            &["--concurrency", "10000"],
        ),
        (
            &["bench", "rpc", url, "--size", "many"],
            &["--size", "2^30"],
        ),
        (&["bench", "rpc", "http://a"], &["https://"]),
    ];
    for (args, words) in cases {
        fails(&weftline(args), words);
    }
}

#[test]
fn servers_that_cannot_be_measured() {
    let server = Server::start(&["--no-web"]);
    // It serves no raw QUIC.
    fails(&bench(&server, "rpc", "/bench", &["--raw"]), &["protocol"]);
    // What echoes everything does not count.
    fails(
        &bench(&server, "streams", "/echo", &["--seconds", "0.1"]),
        &["protocol", "/bench"],
    );
    fails(
        &bench(&server, "bulk", "/echo", &["--size", "10"]),
        &["protocol", "/bench"],
    );
    fails(
        &bench(&server, "rpc", "/nowhere", &[]),
        &["refused", "check the path"],
    );
    let long = ["--size", "100000", "--seconds", "0.1"];
    fails(
        &bench(&server, "datagram", "/bench", &long),
        &["too long", "--size"],
    );
}
