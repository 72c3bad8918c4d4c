use std::{
    fmt,
    sync::{Arc, Mutex},
};

use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::with_default,
};
use weftline::{
    Side,
    probe::ConnectionState,
    wire::{Cid, StreamId},
};

use super::*;

/// Notes spans and events, of this level and more important ones.
struct Notes {
    max: Level,
    lines: Arc<Mutex<Vec<String>>>,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl Notes {
    fn note(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "weftline" && *metadata.level() <= self.max
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(format!("span {}", span.metadata().name()));
        span.record(&mut line);
        self.note(line.0);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.note(line.0);
    }

    fn enter(&self, _: &Id) {
        self.note("enter".into());
    }

    fn exit(&self, _: &Id) {
        self.note("exit".into());
    }
}

fn noted(max: Level) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let notes = Notes {
        max,
        lines: lines.clone(),
    };
    with_default(notes, || {
        let remote = "192.0.2.1:443".parse().unwrap();
        let cid = Cid::new(&[1, 2, 3]).unwrap();
        let subject = Subject::new(Instant::ZERO, Side::Server, cid, remote, None);
        let mut probe = Tracing.probe(&subject).expect("it watches everything");
        let state = ProbeEvent::State(ConnectionState::Confirmed);
        probe.on_event(Instant::ZERO, &state);
        let stream = ProbeEvent::Stream(StreamId::from_u64(4), weftline::probe::StreamState::Open);
        probe.on_event(Instant::ZERO, &stream);
    });
    let lines = lines.lock().unwrap();
    lines.clone()
}

#[test]
fn a_span_for_the_connection_and_events_in_it() {
    let lines = noted(Level::INFO);
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines[0].starts_with("span connection"), "{}", lines[0]);
    assert!(lines[0].contains("cid=010203"), "{}", lines[0]);
    assert!(lines[0].contains("remote=192.0.2.1:443"), "{}", lines[0]);
    assert_eq!(lines[1], "enter");
    assert!(
        lines[2].contains("connection_state_updated"),
        "{}",
        lines[2]
    );
    assert!(lines[2].contains("handshake_confirmed"), "{}", lines[2]);
}

#[test]
fn streams_are_for_those_who_want_to_trace() {
    let lines = noted(Level::TRACE);
    assert!(
        lines.iter().any(|line| line.starts_with("TRACE")),
        "{lines:#?}"
    );
}
