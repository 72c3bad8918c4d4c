use std::{env, process, sync::atomic::AtomicU32, sync::atomic::Ordering};

use weftline::{
    probe::{ConnectionState, Owner},
    wire::{Cid, params::TransportParameters},
};

use super::*;

/// A directory of its own, gone with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weftline-qlog-{}-{number}", process::id());
        Self(env::temp_dir().join(name))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn subject(side: Side) -> Subject {
    let remote = "192.0.2.1:443".parse().unwrap();
    let cid = Cid::new(&[1, 2, 0xab]).unwrap();
    Subject::new(Instant::from_micros(5_000_000), side, cid, remote, None)
}

#[test]
fn files_are_named_by_connection_and_side() {
    let dir = Temporary::new();
    let qlog = Qlog::in_dir(&dir.0).unwrap();
    let probes = [Side::Client, Side::Server, Side::Server].map(|side| {
        let probe = qlog.probe(&subject(side));
        assert!(probe.is_some());
        probe
    });
    drop(probes);
    assert_eq!(
        dir.names(),
        [
            "0102ab_client.sqlog",
            "0102ab_server-2.sqlog",
            "0102ab_server.sqlog"
        ]
    );
    assert!(qlog.take_error().is_none());
}

#[test]
fn a_record_for_each_event() {
    let dir = Temporary::new();
    let qlog = Qlog::in_dir(&dir.0).unwrap();
    let mut probe = qlog.probe(&subject(Side::Server)).unwrap();
    let at = |millis: u64| Instant::from_micros(5_000_000 + millis * 1000);
    let state = ProbeEvent::State(ConnectionState::Handshaking);
    probe.on_event(at(0), &state);
    let params = TransportParameters {
        initial_max_data: 17,
        ..TransportParameters::default()
    };
    probe.on_event(at(3), &ProbeEvent::Parameters(Owner::Remote, &params));
    drop(probe);
    let text = fs::read_to_string(dir.0.join("0102ab_server.sqlog")).unwrap();
    let records: Vec<Value> = text
        .split_terminator('\n')
        .map(|line| {
            let line = line.strip_prefix('\x1e').expect("a record separator");
            serde_json::from_str(line).unwrap()
        })
        .collect();
    assert_eq!(records.len(), 4);
    assert_eq!(records[0]["trace"]["vantage_point"]["type"], "server");
    assert_eq!(records[0]["trace"]["common_fields"]["ODCID"], "0102ab");
    assert_eq!(records[1]["name"], "connectivity:connection_started");
    assert_eq!(records[2]["data"]["new"], "attempted");
    assert_eq!(records[3]["time"], 3.0);
    assert_eq!(records[3]["data"]["initial_max_data"], 17);
}

#[test]
fn errors_are_told_once_and_end_the_log_only() {
    let dir = Temporary::new();
    let qlog = Qlog::in_dir(&dir.0).unwrap();
    fs::remove_dir_all(&dir.0).unwrap();
    assert!(qlog.probe(&subject(Side::Client)).is_none());
    assert!(qlog.take_error().is_some());
    assert!(qlog.take_error().is_none());

    // A file that cannot be written to.
    fs::create_dir_all(&dir.0).unwrap();
    let path = dir.0.join("closed");
    File::create_new(&path).unwrap();
    let subject = subject(Side::Client);
    let mut log = Log {
        out: Some(BufWriter::new(File::open(&path).unwrap())),
        start: subject.now,
        flushed: subject.now,
        events: event::Events::new(&subject),
        error: qlog.error.clone(),
    };
    for state in [ConnectionState::Handshaking, ConnectionState::Closed] {
        log.on_event(subject.now, &ProbeEvent::State(state));
    }
    assert!(log.out.is_none());
    assert!(qlog.take_error().is_some());
}
