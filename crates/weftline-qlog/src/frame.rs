//! Frames as qlog has them.

use serde_json::{Value, json};
use weftline::wire::{
    Dir,
    frame::{Ack, ConnectionClose, Frame},
};

use crate::event::millis;

/// A frame without its payload.
pub(crate) fn of(frame: &Frame<'_>) -> Value {
    match frame {
        Frame::Padding(len) => json!({ "frame_type": "padding", "payload_length": len }),
        Frame::Ping => json!({ "frame_type": "ping" }),
        Frame::ImmediateAck => json!({ "frame_type": "immediate_ack" }),
        Frame::AckFrequency(f) => json!({
            "frame_type": "ack_frequency",
            "sequence_number": f.sequence,
            "ack_eliciting_threshold": f.ack_eliciting_threshold,
            "requested_max_ack_delay": f.max_ack_delay_us,
            "reordering_threshold": f.reordering_threshold,
        }),
        Frame::Ack(ack) => acknowledgement(ack),
        Frame::ResetStream(f) => json!({
            "frame_type": "reset_stream",
            "stream_id": f.id.as_u64(),
            "error_code": f.code,
            "final_size": f.final_size,
        }),
        Frame::ResetStreamAt(f) => json!({
            "frame_type": "reset_stream_at",
            "stream_id": f.id.as_u64(),
            "error_code": f.code,
            "final_size": f.final_size,
            "reliable_size": f.reliable_size,
        }),
        Frame::StopSending(f) => json!({
            "frame_type": "stop_sending",
            "stream_id": f.id.as_u64(),
            "error_code": f.code,
        }),
        Frame::Crypto(f) => json!({
            "frame_type": "crypto",
            "offset": f.offset,
            "length": f.data.len(),
        }),
        Frame::NewToken(f) => json!({
            "frame_type": "new_token",
            "token": { "raw": { "length": f.token.len() } },
        }),
        Frame::Stream(f) => json!({
            "frame_type": "stream",
            "stream_id": f.id.as_u64(),
            "offset": f.offset,
            "length": f.data.len(),
            "fin": f.fin,
        }),
        Frame::MaxData(f) => json!({ "frame_type": "max_data", "maximum": f.maximum }),
        Frame::MaxStreamData(f) => json!({
            "frame_type": "max_stream_data",
            "stream_id": f.id.as_u64(),
            "maximum": f.maximum,
        }),
        Frame::MaxStreams(f) => json!({
            "frame_type": "max_streams",
            "stream_type": direction(f.dir),
            "maximum": f.maximum,
        }),
        Frame::DataBlocked(f) => json!({ "frame_type": "data_blocked", "limit": f.limit }),
        Frame::StreamDataBlocked(f) => json!({
            "frame_type": "stream_data_blocked",
            "stream_id": f.id.as_u64(),
            "limit": f.limit,
        }),
        Frame::StreamsBlocked(f) => json!({
            "frame_type": "streams_blocked",
            "stream_type": direction(f.dir),
            "limit": f.limit,
        }),
        // Without the reset token: who knows it can end the connection.
        Frame::NewConnectionId(f) => json!({
            "frame_type": "new_connection_id",
            "sequence_number": f.sequence,
            "retire_prior_to": f.retire_prior_to,
            "connection_id_length": f.cid.len(),
            "connection_id": f.cid.to_string(),
        }),
        Frame::RetireConnectionId(f) => json!({
            "frame_type": "retire_connection_id",
            "sequence_number": f.sequence,
        }),
        Frame::PathChallenge(f) => json!({ "frame_type": "path_challenge", "data": hex(&f.data) }),
        Frame::PathResponse(f) => json!({ "frame_type": "path_response", "data": hex(&f.data) }),
        Frame::ConnectionClose(close) => connection_close(close),
        Frame::HandshakeDone => json!({ "frame_type": "handshake_done" }),
        Frame::Datagram(f) => json!({ "frame_type": "datagram", "length": f.data.len() }),
        #[allow(unreachable_patterns, reason = "the core may come to know more frames")]
        other => json!({ "frame_type": "unknown", "frame_type_bytes": other.frame_type() }),
    }
}

/// Delays are told as they are on the wire, in units of 8 microseconds: the exponent that every
/// peer but odd ones uses.
fn acknowledgement(ack: &Ack<'_>) -> Value {
    let ranges: Vec<_> = ack
        .ranges()
        .map(|range| json!([range.start(), range.end()]))
        .collect();
    let delay = std::time::Duration::from_micros(ack.delay.saturating_mul(8));
    let mut frame = json!({
        "frame_type": "ack",
        "ack_delay": millis(delay),
        "acked_ranges": ranges,
    });
    if let Some(ecn) = ack.ecn {
        frame["ect0"] = ecn.ect0.into();
        frame["ect1"] = ecn.ect1.into();
        frame["ce"] = ecn.ce.into();
    }
    frame
}

fn connection_close(close: &ConnectionClose<'_>) -> Value {
    let reason = String::from_utf8_lossy(close.reason());
    match close {
        ConnectionClose::Transport {
            code, frame_type, ..
        } => json!({
            "frame_type": "connection_close",
            "error_space": "transport",
            "error_code": code,
            "reason": reason,
            "trigger_frame_type": frame_type,
        }),
        ConnectionClose::Application { code, .. } => json!({
            "frame_type": "connection_close",
            "error_space": "application",
            "error_code": code,
            "reason": reason,
        }),
    }
}

const fn direction(dir: Dir) -> &'static str {
    match dir {
        Dir::Bi => "bidirectional",
        Dir::Uni => "unidirectional",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
