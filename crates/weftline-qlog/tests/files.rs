//! Logs of whole connections in a simulated network: their form, and that they say what happened.

use std::{
    collections::BTreeSet,
    env, fs,
    io::BufReader,
    path::PathBuf,
    process,
    sync::{Arc, atomic::AtomicU32, atomic::Ordering},
    time::Duration,
};

use serde_json::Value;
use weftline::{
    Stats,
    config::{ClientConfig, EndpointConfig, ServerConfig},
    crypto::null::{NullClient, NullServer},
};
use weftline_qlog::{Packets, Qlog, Reader, Record, Summary};
use weftline_sim::{
    LinkConfig, World,
    apps::{Echo, Node, Plan, Transfer},
};

struct Run {
    dir: PathBuf,
    stats: Stats,
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn link(loss: f64) -> LinkConfig {
    LinkConfig {
        latency: Duration::from_millis(20),
        jitter: Duration::ZERO,
        bandwidth: Some(20_000_000),
        queue: 64 << 10,
        loss,
        duplication: 0.0,
        corruption: 0.0,
        reorder: 0.0,
        mtu: 1500,
    }
}

/// A session that moves some data, logged at both ends.
fn run(loss: f64) -> Run {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = env::temp_dir().join(format!("weftline-qlog-files-{}-{number}", process::id()));
    let qlog = Arc::new(Qlog::in_dir(&dir).unwrap());
    let server = ServerConfig::builder(Arc::new(NullServer::insecure())).probe(qlog.clone());
    let client = ClientConfig::builder(Arc::new(NullClient::insecure())).probe(qlog.clone());
    let (server, client) = (server.build().unwrap(), client.build().unwrap());
    let configs = [
        EndpointConfig::client(),
        EndpointConfig::server(Arc::new(server)),
    ];
    let plan = Plan {
        streams: 3,
        bytes: 100 << 10,
        datagrams: 5,
    };
    let apps = [
        Node::Transfer(Transfer::new(Arc::new(client), plan)),
        Node::Echo(Echo::default()),
    ];
    let mut world = World::new(7, &link(loss), configs, apps);
    world.run(Duration::from_secs(60)).unwrap();
    let node = world.node(0);
    let Node::Transfer(transfer) = &node.app else {
        panic!("the client transfers");
    };
    let id = transfer.conn().unwrap();
    let connection = node.endpoint.connection(id).expect("it is not drained yet");
    let stats = connection.stats();
    connection.close(0x100, "done");
    world.run_for(Duration::from_secs(10)).unwrap();
    drop(world);
    assert!(qlog.take_error().is_none());
    Run { dir, stats }
}

impl Run {
    fn file(&self, side: &str) -> Reader<BufReader<fs::File>> {
        let mut entries = fs::read_dir(&self.dir).unwrap();
        let path = entries.find_map(|entry| {
            let path = entry.unwrap().path();
            path.to_str()?.contains(side).then_some(path)
        });
        let file = fs::File::open(path.expect("a log of this side")).unwrap();
        Reader::new(BufReader::new(file)).unwrap()
    }

    fn records(&self, side: &str) -> Vec<Record> {
        let mut reader = self.file(side);
        let mut records = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            records.push(record);
        }
        records
    }

    fn summary(&self, side: &str) -> Summary {
        Summary::read(&mut self.file(side)).unwrap()
    }
}

/// The fields that an event must have, and what else it may have, by the schema of qlog 0.3
/// (draft-ietf-quic-qlog-quic-events-04, draft-ietf-quic-qlog-h3-events-04).
const SCHEMA: &[(&str, &[&str])] = &[
    ("connectivity:connection_started", &["src_ip", "dst_ip"]),
    ("connectivity:connection_closed", &[]),
    ("connectivity:connection_state_updated", &["new"]),
    ("connectivity:mtu_updated", &["new"]),
    ("connectivity:path_updated", &["new"]),
    ("transport:version_information", &[]),
    ("transport:alpn_information", &[]),
    ("transport:parameters_set", &[]),
    ("transport:packet_sent", &["header"]),
    ("transport:packet_received", &["header"]),
    ("transport:packet_dropped", &[]),
    ("transport:packet_buffered", &[]),
    ("transport:packets_acked", &[]),
    ("transport:stream_state_updated", &["stream_id", "new"]),
    ("security:key_updated", &["key_type", "new"]),
    ("security:key_discarded", &["key_type"]),
    ("recovery:metrics_updated", &[]),
    ("recovery:congestion_state_updated", &["new"]),
    ("recovery:packet_lost", &[]),
    ("http:parameters_set", &[]),
    ("weftline:datagrams_dropped", &[]),
    (
        "webtransport:session_established",
        &["session_id", "dialect"],
    ),
    ("webtransport:session_closed", &["session_id", "code"]),
];

/// Likewise of frames.
const FRAMES: &[(&str, &[&str])] = &[
    ("padding", &[]),
    ("ping", &[]),
    ("ack", &["acked_ranges"]),
    ("immediate_ack", &[]),
    (
        "ack_frequency",
        &["sequence_number", "ack_eliciting_threshold"],
    ),
    ("reset_stream", &["stream_id", "error_code", "final_size"]),
    (
        "reset_stream_at",
        &["stream_id", "error_code", "final_size", "reliable_size"],
    ),
    ("stop_sending", &["stream_id", "error_code"]),
    ("crypto", &["offset", "length"]),
    ("new_token", &["token"]),
    ("stream", &["stream_id", "offset", "length"]),
    ("max_data", &["maximum"]),
    ("max_stream_data", &["stream_id", "maximum"]),
    ("max_streams", &["stream_type", "maximum"]),
    ("data_blocked", &["limit"]),
    ("stream_data_blocked", &["stream_id", "limit"]),
    ("streams_blocked", &["stream_type", "limit"]),
    (
        "new_connection_id",
        &["sequence_number", "retire_prior_to", "connection_id"],
    ),
    ("retire_connection_id", &["sequence_number"]),
    ("path_challenge", &[]),
    ("path_response", &[]),
    ("connection_close", &[]),
    ("handshake_done", &[]),
    ("datagram", &[]),
    ("unknown", &["frame_type_bytes"]),
];

fn check_fields(what: &str, value: &Value, name: &str, schema: &[(&str, &[&str])]) {
    let (_, fields) = schema
        .iter()
        .find(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("no schema for the {what} {name}"));
    for field in *fields {
        assert!(value.get(*field).is_some(), "{name} without {field}");
    }
}

fn check_packet(name: &str, data: &Value) {
    let packet_type = data["header"]["packet_type"].as_str().unwrap();
    assert!(["initial", "handshake", "0RTT", "1RTT", "unknown"].contains(&packet_type));
    if ["transport:packet_sent", "transport:packet_received"].contains(&name) {
        assert!(data["header"]["packet_number"].is_u64());
        assert!(data["raw"]["length"].as_u64().unwrap() > 20);
        let frames = data["frames"].as_array().unwrap();
        assert!(!frames.is_empty());
        for frame in frames {
            let frame_type = frame["frame_type"].as_str().unwrap();
            check_fields("frame", frame, frame_type, FRAMES);
            if frame_type == "ack" {
                let ranges = frame["acked_ranges"].as_array().unwrap();
                assert!(ranges.iter().all(|r| r[0].as_u64() <= r[1].as_u64()));
            }
        }
    }
}

#[test]
fn files_have_the_form_that_tools_expect() {
    let run = run(0.02);
    for side in ["client", "server"] {
        let reader = run.file(side);
        let header = reader.header();
        // What qvis looks for.
        assert_eq!(header["qlog_version"], "0.3");
        assert_eq!(header["qlog_format"], "JSON-SEQ");
        assert_eq!(header["trace"]["vantage_point"]["type"], side);
        let common = &header["trace"]["common_fields"];
        assert_eq!(common["time_format"], "relative");
        assert!(common["reference_time"].is_f64());

        let records = run.records(side);
        assert!(records.is_sorted_by_key(|record| record.time));
        for record in &records {
            check_fields("event", &record.data, &record.name, SCHEMA);
            if record.name.contains(":packet_") {
                check_packet(&record.name, &record.data);
            }
        }
        let names: BTreeSet<_> = records.iter().map(|record| record.name.as_str()).collect();
        for wanted in [
            "connectivity:connection_started",
            "connectivity:connection_state_updated",
            "connectivity:connection_closed",
            "transport:version_information",
            "transport:alpn_information",
            "transport:parameters_set",
            "transport:packet_sent",
            "transport:packet_received",
            "transport:packets_acked",
            "recovery:packet_lost",
            "recovery:metrics_updated",
            "recovery:congestion_state_updated",
            "security:key_updated",
            "security:key_discarded",
            "transport:stream_state_updated",
            "http:parameters_set",
            "webtransport:session_established",
        ] {
            assert!(names.contains(wanted), "no {wanted} in the {side}'s log");
        }
    }
}

#[test]
fn the_summary_agrees_with_the_figures_and_the_other_end() {
    let run = run(0.0);
    let (client, server) = (run.summary("client"), run.summary("server"));
    // What came after the figures were taken is the close.
    assert!(client.sent.count > run.stats.packets_sent);
    assert!(client.received.count >= run.stats.packets_received);
    assert!(client.lost.is_empty() && server.lost.is_empty());
    assert!(client.dropped.is_empty() && server.dropped.is_empty());
    // A close is repeated while packets come, and nobody listens any more.
    let open = |packets: &Packets| {
        let mut frames = packets.frames.clone();
        assert!(frames.remove("connection_close") <= Some(5));
        frames
    };
    assert_eq!(open(&client.sent), open(&server.received));
    assert_eq!(server.received.frames["connection_close"], 1);
    for summary in [&client, &server] {
        assert_eq!(summary.version.as_deref(), Some("00000001"));
        assert_eq!(summary.alpn.as_deref(), Some("h3"));
        let handshake = &summary.handshake;
        assert!(handshake.one_rtt_keys <= handshake.complete);
        assert!(handshake.complete <= handshake.confirmed);
        let rtt = summary.rtt.min.unwrap();
        assert!((40.0..60.0).contains(&rtt), "{rtt}");
        assert_eq!(summary.sessions.len(), 1);
        assert!(summary.streams_opened >= 3);
        let window = summary.window.unwrap();
        assert!(window.min <= window.last && window.last <= window.max);
        assert!(!summary.truncated);
    }
    assert_eq!(
        client.close.as_deref(),
        Some("by local, application code 0x100, application, \"done\"")
    );
    assert_eq!(
        server.close.as_deref(),
        Some("by remote, application code 0x100, application, \"done\"")
    );
}

#[test]
fn a_lossy_path_shows() {
    let run = run(0.05);
    let client = run.summary("client");
    assert_eq!(client.lost.values().sum::<u64>(), run.stats.packets_lost);
    assert!(run.stats.packets_lost > 0);
}
