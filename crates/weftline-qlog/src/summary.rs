//! What a log says, in short.

use std::{collections::BTreeMap, io::BufRead};

use serde_json::Value;

use crate::{ReadError, Reader, Record};

/// A log in short. Times are milliseconds since its beginning.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// What the file calls itself.
    pub title: String,
    /// Whose log it is: `client` or `server`.
    pub vantage_point: String,
    /// The version of QUIC, in hexadecimal digits.
    pub version: Option<String>,
    /// The application protocol.
    pub alpn: Option<String>,
    /// Events in it.
    pub events: u64,
    /// When the last one happened.
    pub duration: f64,
    /// Whether its last record is cut off.
    pub truncated: bool,
    /// How the handshake went.
    pub handshake: Handshake,
    /// Packets sent.
    pub sent: Packets,
    /// Packets received.
    pub received: Packets,
    /// Packets dropped, by trigger.
    pub dropped: BTreeMap<String, u64>,
    /// Packets lost, by trigger.
    pub lost: BTreeMap<String, u64>,
    /// Round-trip times.
    pub rtt: Rtt,
    /// The congestion window; `None` when nothing tells of it.
    pub window: Option<Window>,
    /// States of congestion control, in order.
    pub congestion: Vec<(f64, String)>,
    /// Probe timeouts, at most, in a row.
    pub pto_count_max: u64,
    /// Updates of the 1-RTT keys.
    pub key_updates: u64,
    /// Paths in use, in order, by the peer's address.
    pub paths: Vec<(f64, String)>,
    /// The size of datagrams at the end.
    pub mtu: Option<u64>,
    /// Streams opened.
    pub streams_opened: u64,
    /// Streams reset or stopped.
    pub streams_reset: u64,
    /// Streams closed.
    pub streams_closed: u64,
    /// Datagrams dropped here.
    pub datagrams_dropped: u64,
    /// WebTransport sessions, in the order they were established.
    pub sessions: Vec<Session>,
    /// How the connection ended: the words of the log.
    pub close: Option<String>,
}

/// When the handshake came how far.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Handshake {
    /// The first packet was sent.
    pub first_sent: Option<f64>,
    /// The first packet was received.
    pub first_received: Option<f64>,
    /// There were keys for Handshake packets.
    pub handshake_keys: Option<f64>,
    /// There were keys for 1-RTT packets.
    pub one_rtt_keys: Option<f64>,
    /// It was complete.
    pub complete: Option<f64>,
    /// It was confirmed.
    pub confirmed: Option<f64>,
}

/// Packets of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packets {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The frames in them, by type.
    pub frames: BTreeMap<String, u64>,
}

/// Round-trip times in milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Rtt {
    /// The smallest.
    pub min: Option<f64>,
    /// The largest sample.
    pub max: Option<f64>,
    /// The smoothed one at the end.
    pub smoothed: Option<f64>,
}

/// The congestion window in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// At its smallest.
    pub min: u64,
    /// At its largest.
    pub max: u64,
    /// At the end.
    pub last: u64,
}

/// A WebTransport session.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Session {
    /// Its CONNECT stream.
    pub id: u64,
    /// Its dialect.
    pub dialect: String,
    /// When it was established.
    pub established: f64,
    /// When it ended, the application's code and reason.
    pub closed: Option<(f64, u64, String)>,
}

impl Summary {
    /// Reads a log to its end.
    pub fn read<R: BufRead>(reader: &mut Reader<R>) -> Result<Self, ReadError> {
        let header = reader.header();
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
        let mut summary = Self {
            title: text(header.get("title")),
            vantage_point: text(header.pointer("/trace/vantage_point/type")),
            ..Self::default()
        };
        while let Some(record) = reader.next_record()? {
            summary.take(&record);
        }
        summary.truncated = reader.is_truncated();
        Ok(summary)
    }

    fn take(&mut self, record: &Record) {
        let (time, data) = (record.time, &record.data);
        self.events += 1;
        self.duration = self.duration.max(time);
        let (category, name) = record.name.split_once(':').unwrap_or(("", &record.name));
        match name {
            "packet_sent" => {
                self.handshake.first_sent.get_or_insert(time);
                self.sent.take(data);
            }
            "packet_received" => {
                self.handshake.first_received.get_or_insert(time);
                self.received.take(data);
            }
            "packet_dropped" => count(&mut self.dropped, data),
            "packet_lost" => count(&mut self.lost, data),
            "metrics_updated" | "recovery_metrics_updated" => self.take_metrics(data),
            "congestion_state_updated" => self.congestion.push((time, text(data, "new"))),
            "connection_state_updated" => self.take_state(time, data),
            "connection_closed" => self.close = Some(close_text(data)),
            "key_updated" => self.take_keys(time, data),
            "version_information" => self.version = optional(data, "chosen_version"),
            "alpn_information" => self.alpn = optional(data, "chosen_alpn"),
            "path_updated" => {
                let path = text(data, "new");
                if self.paths.last().is_none_or(|(_, last)| *last != path) {
                    self.paths.push((time, path));
                }
            }
            "mtu_updated" => self.mtu = number(data, "new"),
            "stream_state_updated" => match text(data, "new").as_str() {
                "open" => self.streams_opened += 1,
                "reset_sent" | "reset_received" => self.streams_reset += 1,
                "closed" => self.streams_closed += 1,
                _ => {}
            },
            "datagrams_dropped" => {
                let dropped = |name| number(data, name).unwrap_or(0);
                self.datagrams_dropped += dropped("incoming") + dropped("outgoing");
            }
            "session_established" if category == "webtransport" => self.sessions.push(Session {
                id: number(data, "session_id").unwrap_or(0),
                dialect: text(data, "dialect"),
                established: time,
                closed: None,
            }),
            "session_closed" if category == "webtransport" => self.take_session_closed(time, data),
            _ => {}
        }
    }

    fn take_metrics(&mut self, data: &Value) {
        let float = |name| data.get(name).and_then(Value::as_f64);
        // Zero stands for none yet.
        if let Some(min) = float("min_rtt").filter(|min| *min > 0.0) {
            self.rtt.min = Some(min);
        }
        if let Some(latest) = float("latest_rtt").filter(|latest| *latest > 0.0) {
            self.rtt.max = Some(self.rtt.max.map_or(latest, |max| max.max(latest)));
        }
        self.rtt.smoothed = float("smoothed_rtt").or(self.rtt.smoothed);
        if let Some(now) = number(data, "congestion_window") {
            let before = self.window.unwrap_or(Window {
                min: now,
                max: now,
                last: now,
            });
            self.window = Some(Window {
                min: before.min.min(now),
                max: before.max.max(now),
                last: now,
            });
        }
        let ptos = number(data, "pto_count").unwrap_or(0);
        self.pto_count_max = self.pto_count_max.max(ptos);
    }

    fn take_state(&mut self, time: f64, data: &Value) {
        match text(data, "new").as_str() {
            "handshake_complete" | "handshake_completed" => {
                self.handshake.complete.get_or_insert(time);
            }
            "handshake_confirmed" => {
                // A server's handshake is complete and confirmed at once.
                self.handshake.complete.get_or_insert(time);
                self.handshake.confirmed.get_or_insert(time);
            }
            _ => {}
        }
    }

    fn take_keys(&mut self, time: f64, data: &Value) {
        let key_type = text(data, "key_type");
        if key_type.contains("handshake") {
            self.handshake.handshake_keys.get_or_insert(time);
        } else if key_type.contains("1rtt") {
            self.handshake.one_rtt_keys.get_or_insert(time);
            let generation = number(data, "generation").unwrap_or(0);
            self.key_updates = self.key_updates.max(generation);
        }
    }

    fn take_session_closed(&mut self, time: f64, data: &Value) {
        let id = number(data, "session_id").unwrap_or(0);
        let code = number(data, "code").unwrap_or(0);
        if let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) {
            session.closed = Some((time, code, text(data, "reason")));
        }
    }
}

impl Packets {
    fn take(&mut self, data: &Value) {
        self.count += 1;
        let len = data.pointer("/raw/length").and_then(Value::as_u64);
        self.bytes += len.unwrap_or(0);
        let frames = data.get("frames").and_then(Value::as_array);
        for frame in frames.into_iter().flatten() {
            *self.frames.entry(text(frame, "frame_type")).or_default() += 1;
        }
    }
}

fn count(by_trigger: &mut BTreeMap<String, u64>, data: &Value) {
    let trigger = optional(data, "trigger").unwrap_or_else(|| "unknown".to_owned());
    *by_trigger.entry(trigger).or_default() += 1;
}

fn close_text(data: &Value) -> String {
    let mut parts = vec![format!("by {}", text(data, "owner"))];
    for (field, what) in [
        ("connection_code", "transport code"),
        ("application_code", "application code"),
    ] {
        if let Some(code) = number(data, field) {
            parts.push(format!("{what} 0x{code:x}"));
        }
    }
    parts.extend(optional(data, "trigger"));
    let reason = optional(data, "reason").filter(|reason| !reason.is_empty());
    parts.extend(reason.map(|reason| format!("\"{reason}\"")));
    parts.join(", ")
}

fn text(data: &Value, field: &str) -> String {
    optional(data, field).unwrap_or_default()
}

fn optional(data: &Value, field: &str) -> Option<String> {
    data.get(field)?.as_str().map(str::to_owned)
}

fn number(data: &Value, field: &str) -> Option<u64> {
    data.get(field)?.as_u64()
}
