//! Events as qlog has them (draft-ietf-quic-qlog-quic-events-04).

use std::{net::SocketAddr, time::Duration};

use serde_json::{Map, Value, json};
use weftline::{
    Ecn, Side, StreamId,
    crypto::Level,
    event::{CloseReason, ClosedBy, ErrorSpace},
    probe::{
        CongestionState, ConnectionState, DropTrigger, LossTrigger, Metrics, Owner, Packet,
        PathInfo, ProbeEvent, SentNumber, StreamState, Subject, UnopenedPacket,
    },
    wire::{Dir, h3::Settings, packet::PacketType},
};

use crate::{frame, params};

/// Makes events, and remembers what they were like before.
pub(crate) struct Events {
    side: Side,
    state: Option<&'static str>,
    congestion: Option<String>,
    metrics: Metrics,
    mtu: Option<u16>,
    path: Option<SocketAddr>,
}

/// The name of an event, and its data.
pub(crate) type Event = (&'static str, Value);

impl Events {
    pub(crate) fn new(subject: &Subject) -> Self {
        Self {
            side: subject.side,
            state: None,
            congestion: None,
            metrics: Metrics::default(),
            mtu: None,
            path: None,
        }
    }

    /// The connection begins.
    pub(crate) fn started(&self, subject: &Subject) -> Event {
        let mut data = json!({
            "ip_version": if subject.remote.is_ipv4() { "v4" } else { "v6" },
            "src_ip": subject.local.map(|ip| ip.to_string()).unwrap_or_default(),
            "dst_ip": subject.remote.ip().to_string(),
            "protocol": "QUIC",
            "dst_port": subject.remote.port(),
        });
        let cid = match subject.side {
            Side::Client => "dst_cid",
            Side::Server => "src_cid",
        };
        data[cid] = subject.original_cid.to_string().into();
        ("connectivity:connection_started", data)
    }

    /// `None` for what has no place in a log.
    pub(crate) fn of(&mut self, event: &ProbeEvent<'_>) -> Option<Event> {
        Some(match event {
            ProbeEvent::Version(version) => (
                "transport:version_information",
                json!({ "chosen_version": format!("{:08x}", version.0) }),
            ),
            ProbeEvent::Alpn(alpn) => (
                "transport:alpn_information",
                json!({ "chosen_alpn": String::from_utf8_lossy(alpn) }),
            ),
            ProbeEvent::Parameters(by, params) => {
                ("transport:parameters_set", params::of(owner(*by), params))
            }
            ProbeEvent::State(state) => self.state(*state),
            ProbeEvent::Closed(reason) => ("connectivity:connection_closed", closed(reason)),
            ProbeEvent::PacketSent(packet) => ("transport:packet_sent", packet_data(packet)),
            ProbeEvent::PacketReceived(packet) => {
                ("transport:packet_received", packet_data(packet))
            }
            ProbeEvent::PacketHeld(packet) => (
                "transport:packet_buffered",
                unopened(packet, "keys_unavailable"),
            ),
            ProbeEvent::PacketDropped(packet, trigger) => (
                "transport:packet_dropped",
                unopened(packet, dropped(*trigger)),
            ),
            ProbeEvent::PacketAcked(packet) => (
                "transport:packets_acked",
                json!({
                    "packet_number_space": space(packet.packet_type),
                    "packet_numbers": [packet.number],
                }),
            ),
            ProbeEvent::PacketLost(packet, trigger) => {
                ("recovery:packet_lost", lost(packet, *trigger))
            }
            ProbeEvent::Metrics(metrics) => return self.metrics(metrics),
            ProbeEvent::CongestionState(state) => self.congestion(*state),
            ProbeEvent::KeysInstalled(level) => {
                return self.keys("security:key_updated", *level, 0);
            }
            ProbeEvent::KeysUpdated(generation) => {
                return self.keys("security:key_updated", Level::OneRtt, *generation);
            }
            ProbeEvent::KeysDiscarded(level) => {
                return self.keys("security:key_discarded", *level, 0);
            }
            ProbeEvent::Path(path) => self.path(path),
            ProbeEvent::Mtu(mtu) => {
                let old = self.mtu.replace(*mtu);
                ("connectivity:mtu_updated", with_old(old, *mtu))
            }
            ProbeEvent::Stream(id, state) => {
                ("transport:stream_state_updated", stream(*id, *state))
            }
            ProbeEvent::DatagramsDropped { incoming, outgoing } => (
                "weftline:datagrams_dropped",
                json!({ "incoming": incoming, "outgoing": outgoing }),
            ),
            ProbeEvent::Settings(by, settings) => {
                ("http:parameters_set", http_settings(owner(*by), settings))
            }
            ProbeEvent::SessionEstablished {
                id,
                dialect,
                protocol,
            } => (
                "webtransport:session_established",
                json!({ "session_id": id.as_u64(), "dialect": dialect, "protocol": protocol }),
            ),
            ProbeEvent::SessionClosed { id, code, reason } => (
                "webtransport:session_closed",
                json!({ "session_id": id.as_u64(), "code": code, "reason": reason }),
            ),
            // What later versions of the core tell.
            _ => return None,
        })
    }

    fn state(&mut self, state: ConnectionState) -> Event {
        let new = match state {
            ConnectionState::Handshaking => "attempted",
            ConnectionState::Established => "handshake_complete",
            ConnectionState::Confirmed => "handshake_confirmed",
            ConnectionState::Closing => "closing",
            ConnectionState::Draining => "draining",
            _ => "closed",
        };
        let old = self.state.replace(new);
        ("connectivity:connection_state_updated", with_old(old, new))
    }

    fn congestion(&mut self, state: CongestionState) -> Event {
        let new = match state {
            CongestionState::SlowStart => "slow_start",
            CongestionState::CongestionAvoidance => "congestion_avoidance",
            _ => "unknown",
        };
        let old = self.congestion.replace(new.into());
        ("recovery:congestion_state_updated", with_old(old, new))
    }

    /// Only what changed.
    fn metrics(&mut self, new: &Metrics) -> Option<Event> {
        let old = core::mem::replace(&mut self.metrics, *new);
        let mut data = Map::new();
        let mut put = |name: &str, changed: bool, value: Value| {
            if changed {
                data.insert(name.into(), value);
            }
        };
        let rtt = |rtt: Duration| Value::from(millis(rtt));
        put("min_rtt", new.min_rtt != old.min_rtt, rtt(new.min_rtt));
        let smoothed = new.smoothed_rtt;
        put("smoothed_rtt", smoothed != old.smoothed_rtt, rtt(smoothed));
        put(
            "latest_rtt",
            new.latest_rtt != old.latest_rtt,
            rtt(new.latest_rtt),
        );
        let variation = new.rtt_variation;
        put(
            "rtt_variance",
            variation != old.rtt_variation,
            rtt(variation),
        );
        put(
            "pto_count",
            new.pto_count != old.pto_count,
            new.pto_count.into(),
        );
        let window = new.congestion_window;
        put(
            "congestion_window",
            window != old.congestion_window,
            window.into(),
        );
        let in_flight = new.bytes_in_flight;
        put(
            "bytes_in_flight",
            in_flight != old.bytes_in_flight,
            in_flight.into(),
        );
        if let Some(ssthresh) = new.ssthresh {
            put("ssthresh", new.ssthresh != old.ssthresh, ssthresh.into());
        }
        if let Some(rate) = new.pacing_rate {
            // In bits.
            let rate = rate.saturating_mul(8);
            put(
                "pacing_rate",
                new.pacing_rate != old.pacing_rate,
                rate.into(),
            );
        }
        (!data.is_empty()).then(|| ("recovery:metrics_updated", data.into()))
    }

    /// Both ends' keys change at once; one event stands for them, in this end's name. The keys
    /// themselves are nobody's business.
    fn keys(&self, name: &'static str, level: Level, generation: u64) -> Option<Event> {
        let secret = match level {
            Level::Initial => "initial",
            Level::Handshake => "handshake",
            Level::OneRtt => "1rtt",
            #[allow(
                unreachable_patterns,
                reason = "there may be levels this does not know"
            )]
            _ => return None,
        };
        let mut data = json!({ "key_type": format!("{}_{secret}_secret", side(self.side)) });
        if name == "security:key_updated" {
            data["new"] = "".into();
        }
        if level == Level::OneRtt {
            data["generation"] = generation.into();
        }
        data["trigger"] = if generation == 0 { "tls" } else { "update" }.into();
        Some((name, data))
    }

    fn path(&mut self, path: &PathInfo) -> Event {
        let old = self.path.replace(path.remote);
        let mut data = with_old(old.map(|old| old.to_string()), path.remote.to_string());
        data["validated"] = path.validated.into();
        ("connectivity:path_updated", data)
    }
}

fn with_old<O: Into<Value>, N: Into<Value>>(old: Option<O>, new: N) -> Value {
    match old {
        Some(old) => json!({ "old": old.into(), "new": new.into() }),
        None => json!({ "new": new.into() }),
    }
}

fn packet_data(packet: &Packet<'_>) -> Value {
    let frames: Vec<_> = packet
        .frames
        .iter()
        .map(|frame| frame::of(&frame))
        .collect();
    let mut data = json!({
        "header": {
            "packet_type": packet_type(packet.packet_type),
            "packet_number": packet.number,
            "dcid": packet.destination.to_string(),
        },
        "raw": { "length": packet.len, "payload_length": packet.frames.len() },
        "frames": frames,
    });
    if packet.mtu_probe {
        data["is_mtu_probe_packet"] = true.into();
    }
    if let Some(ecn) = packet.ecn {
        data["ecn"] = match ecn {
            Ecn::Ect0 => "ECT(0)",
            Ecn::Ect1 => "ECT(1)",
            Ecn::Ce => "CE",
        }
        .into();
    }
    data
}

fn unopened(packet: &UnopenedPacket, trigger: &str) -> Value {
    json!({
        "header": { "packet_type": packet.packet_type.map_or("unknown", packet_type) },
        "raw": { "length": packet.len },
        "trigger": trigger,
    })
}

const fn dropped(trigger: DropTrigger) -> &'static str {
    match trigger {
        DropTrigger::Malformed => "invalid",
        DropTrigger::Unwanted => "rejected",
        DropTrigger::Undecryptable => "decryption_failure",
        DropTrigger::KeyUnavailable => "key_unavailable",
        DropTrigger::Duplicate => "duplicate",
        _ => "general",
    }
}

fn lost(packet: &SentNumber, trigger: LossTrigger) -> Value {
    let trigger = match trigger {
        LossTrigger::Time => "time_threshold",
        _ => "reordering_threshold",
    };
    json!({
        "header": {
            "packet_type": packet_type(packet.packet_type),
            "packet_number": packet.number,
        },
        "trigger": trigger,
    })
}

fn closed(reason: &CloseReason) -> Value {
    let (by, trigger) = match reason.by {
        ClosedBy::Local => ("local", "application"),
        ClosedBy::Peer if reason.space == ErrorSpace::Application => ("remote", "application"),
        ClosedBy::Peer => ("remote", "error"),
        ClosedBy::Timeout => ("local", "idle_timeout"),
        ClosedBy::Reset => ("remote", "stateless_reset"),
        ClosedBy::Version => ("local", "version_mismatch"),
        ClosedBy::Fault => ("local", "error"),
    };
    let code = match reason.space {
        ErrorSpace::Transport => "connection_code",
        ErrorSpace::Application => "application_code",
    };
    json!({ "owner": by, code: reason.code, "reason": reason.reason, "trigger": trigger })
}

fn stream(id: StreamId, state: StreamState) -> Value {
    let (new, side) = match state {
        StreamState::Open => ("open", None),
        StreamState::Reset | StreamState::Stopped => ("reset_sent", Some("sending")),
        StreamState::Delivered => ("data_received", Some("sending")),
        _ => ("closed", None),
    };
    let stream_type = match id.dir() {
        Dir::Bi => "bidirectional",
        Dir::Uni => "unidirectional",
    };
    let mut data = json!({ "stream_id": id.as_u64(), "stream_type": stream_type, "new": new });
    if let Some(side) = side {
        data["stream_side"] = side.into();
    }
    data
}

/// Those with a name of their own, and the others by their number.
fn http_settings(owner: &str, settings: &Settings) -> Value {
    let mut data = json!({ "owner": owner });
    for (id, value) in settings.iter() {
        let name = match id {
            0x01 => "max_table_capacity".to_owned(),
            0x06 => "max_field_section_size".to_owned(),
            0x07 => "blocked_streams_count".to_owned(),
            0x08 => "extended_connect".to_owned(),
            0x33 => "h3_datagram".to_owned(),
            id => format!("0x{id:x}"),
        };
        data[name] = value.into();
    }
    data
}

pub(crate) const fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

const fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::Local => "local",
        Owner::Remote => "remote",
    }
}

const fn packet_type(packet_type: PacketType) -> &'static str {
    match packet_type {
        PacketType::Initial => "initial",
        PacketType::ZeroRtt => "0RTT",
        PacketType::Handshake => "handshake",
        PacketType::OneRtt => "1RTT",
    }
}

const fn space(packet_type: PacketType) -> &'static str {
    match packet_type {
        PacketType::Initial => "initial",
        PacketType::Handshake => "handshake",
        PacketType::ZeroRtt | PacketType::OneRtt => "application_data",
    }
}

/// Milliseconds, with those behind the point that microseconds are.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
