//! `weftline qlog`: what a log tells, in short.

use std::{collections::BTreeMap, fs::File, io::BufReader};

use serde_json::{Value, json};
use weftline_qlog::{Packets, ReadError, Reader, Session, Summary};

use crate::{
    args::QlogArgs,
    failure::{Failure, printable},
    output::print,
};

/// `weftline qlog`.
pub(crate) fn run(args: &QlogArgs) -> Result<(), Failure> {
    let name = args.file.display();
    let file = File::open(&args.file)
        .map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
    let summary = Reader::new(BufReader::new(file))
        .and_then(|mut reader| Summary::read(&mut reader))
        .map_err(|error| unreadable(&args.file.display().to_string(), &error))?;
    if args.json {
        return print(&object(&summary).to_string());
    }
    lines(&summary)
        .iter()
        .try_for_each(|line| print(&printable(line)))
}

fn unreadable(name: &str, error: &ReadError) -> Failure {
    let failure = Failure::new(format!("cannot read {name}: {error}"));
    match error {
        ReadError::NotQlog(_) => {
            failure.advice("--qlog-dir of serve, connect and get makes such files")
        }
        _ => failure,
    }
}

fn lines(log: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |what: &str, text: String| lines.push(format!("{what:<12} {text}"));
    line(
        "log",
        format!(
            "{}, {} events in {}",
            log.title,
            log.events,
            ms(log.duration)
        ),
    );
    if log.truncated {
        line("", "the last record is cut off".into());
    }
    let alpn = log.alpn.as_deref().unwrap_or("none");
    let version = log.version.as_deref().unwrap_or("unknown");
    line("protocol", format!("QUIC version {version}, {alpn}"));
    line("handshake", handshake(log));
    line("sent", packets(&log.sent));
    line("received", packets(&log.received));
    line("lost", triggers(&log.lost));
    line("dropped", triggers(&log.dropped));
    let rtt = |rtt: Option<f64>| rtt.map_or("-".to_owned(), ms);
    line(
        "rtt",
        format!(
            "min {}, max {}, smoothed at the end {}; probe timeouts in a row: {}",
            rtt(log.rtt.min),
            rtt(log.rtt.max),
            rtt(log.rtt.smoothed),
            log.pto_count_max
        ),
    );
    if let Some(window) = log.window {
        let text = format!(
            "min {}, max {}, last {} bytes",
            window.min, window.max, window.last
        );
        line("window", text);
    }
    line(
        "streams",
        format!(
            "{} opened, {} reset, {} closed",
            log.streams_opened, log.streams_reset, log.streams_closed
        ),
    );
    let datagrams = |packets: &Packets| packets.frames.get("datagram").copied().unwrap_or(0);
    line(
        "datagrams",
        format!(
            "{} sent, {} received, {} dropped here",
            datagrams(&log.sent),
            datagrams(&log.received),
            log.datagrams_dropped
        ),
    );
    for (time, path) in log.paths.iter().skip(1) {
        line("path", format!("{path} from {} on", ms(*time)));
    }
    for it in &log.sessions {
        line("session", session(it));
    }
    line(
        "close",
        log.close
            .clone()
            .unwrap_or_else(|| "none in the log".into()),
    );
    lines
}

fn handshake(log: &Summary) -> String {
    let steps = [
        ("first packet sent", log.handshake.first_sent),
        ("received", log.handshake.first_received),
        ("1-RTT keys", log.handshake.one_rtt_keys),
        ("complete", log.handshake.complete),
        ("confirmed", log.handshake.confirmed),
    ];
    let known: Vec<_> = steps
        .iter()
        .filter_map(|(what, at)| Some(format!("{what} {}", ms((*at)?))))
        .collect();
    known.join(", ")
}

fn packets(packets: &Packets) -> String {
    let mut frames: Vec<_> = packets.frames.iter().collect();
    frames.sort_by(|a, b| b.1.cmp(a.1));
    let frames: Vec<_> = frames
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    format!(
        "{} packets, {} bytes: {}",
        packets.count,
        packets.bytes,
        frames.join(", ")
    )
}

fn triggers(by_trigger: &BTreeMap<String, u64>) -> String {
    let total: u64 = by_trigger.values().sum();
    let each: Vec<_> = by_trigger
        .iter()
        .map(|(trigger, count)| format!("{trigger} {count}"))
        .collect();
    match each.is_empty() {
        true => "none".into(),
        false => format!("{total}: {}", each.join(", ")),
    }
}

fn session(session: &Session) -> String {
    let begin = format!(
        "{} ({}), established {}",
        session.id,
        session.dialect,
        ms(session.established)
    );
    match &session.closed {
        Some((at, code, reason)) if reason.is_empty() => {
            format!("{begin}, closed {} with code {code}", ms(*at))
        }
        Some((at, code, reason)) => {
            format!("{begin}, closed {} with code {code}, \"{reason}\"", ms(*at))
        }
        None => begin,
    }
}

fn ms(millis: f64) -> String {
    format!("{millis:.3} ms")
}

fn object(log: &Summary) -> Value {
    let handshake = &log.handshake;
    let sessions: Vec<_> = log.sessions.iter().map(session_object).collect();
    let timed = |list: &[(f64, String)]| -> Vec<_> {
        list.iter()
            .map(|(time, what)| json!({ "time": time, "new": what }))
            .collect()
    };
    json!({
        "title": log.title,
        "vantage_point": log.vantage_point,
        "version": log.version,
        "alpn": log.alpn,
        "events": log.events,
        "duration": log.duration,
        "truncated": log.truncated,
        "handshake": {
            "first_sent": handshake.first_sent,
            "first_received": handshake.first_received,
            "handshake_keys": handshake.handshake_keys,
            "one_rtt_keys": handshake.one_rtt_keys,
            "complete": handshake.complete,
            "confirmed": handshake.confirmed,
        },
        "sent": packets_object(&log.sent),
        "received": packets_object(&log.received),
        "lost": log.lost,
        "dropped": log.dropped,
        "rtt": { "min": log.rtt.min, "max": log.rtt.max, "smoothed": log.rtt.smoothed },
        "window": log.window.map(|window| {
            json!({ "min": window.min, "max": window.max, "last": window.last })
        }),
        "congestion": timed(&log.congestion),
        "pto_count_max": log.pto_count_max,
        "key_updates": log.key_updates,
        "paths": timed(&log.paths),
        "mtu": log.mtu,
        "streams": {
            "opened": log.streams_opened,
            "reset": log.streams_reset,
            "closed": log.streams_closed,
        },
        "datagrams_dropped": log.datagrams_dropped,
        "sessions": sessions,
        "close": log.close,
    })
}

fn packets_object(packets: &Packets) -> Value {
    json!({ "packets": packets.count, "bytes": packets.bytes, "frames": packets.frames })
}

fn session_object(session: &Session) -> Value {
    let closed = session
        .closed
        .as_ref()
        .map(|(time, code, reason)| json!({ "time": time, "code": code, "reason": reason }));
    json!({
        "id": session.id,
        "dialect": session.dialect,
        "established": session.established,
        "closed": closed,
    })
}
