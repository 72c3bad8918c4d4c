//! Transport parameters as qlog has them.

use serde_json::{Value, json};
use weftline::wire::{Cid, params::TransportParameters};

/// All but the reset tokens: who knows one can end the connection.
pub(crate) fn of(owner: &str, params: &TransportParameters) -> Value {
    let mut data = json!({ "owner": owner });
    let mut cid = |name: &str, cid: Option<Cid>| {
        if let Some(cid) = cid {
            data[name] = cid.to_string().into();
        }
    };
    cid(
        "original_destination_connection_id",
        params.original_destination_connection_id,
    );
    cid(
        "initial_source_connection_id",
        params.initial_source_connection_id,
    );
    cid(
        "retry_source_connection_id",
        params.retry_source_connection_id,
    );
    let numbers = [
        ("max_idle_timeout", params.max_idle_timeout_ms),
        ("max_udp_payload_size", params.max_udp_payload_size),
        ("ack_delay_exponent", params.ack_delay_exponent.into()),
        ("max_ack_delay", params.max_ack_delay_ms.into()),
        (
            "active_connection_id_limit",
            params.active_connection_id_limit,
        ),
        ("initial_max_data", params.initial_max_data),
        (
            "initial_max_stream_data_bidi_local",
            params.initial_max_stream_data_bidi_local,
        ),
        (
            "initial_max_stream_data_bidi_remote",
            params.initial_max_stream_data_bidi_remote,
        ),
        (
            "initial_max_stream_data_uni",
            params.initial_max_stream_data_uni,
        ),
        ("initial_max_streams_bidi", params.initial_max_streams_bidi),
        ("initial_max_streams_uni", params.initial_max_streams_uni),
        ("max_datagram_frame_size", params.max_datagram_frame_size),
    ];
    for (name, value) in numbers {
        data[name] = value.into();
    }
    data["disable_active_migration"] = params.disable_active_migration.into();
    data["grease_quic_bit"] = params.grease_quic_bit.into();
    data["reset_stream_at"] = params.reset_stream_at.into();
    if let Some(address) = &params.preferred_address {
        let mut value = json!({ "connection_id": address.cid.to_string() });
        if let Some(v4) = address.ipv4 {
            value["ip_v4"] = v4.ip().to_string().into();
            value["port_v4"] = v4.port().into();
        }
        if let Some(v6) = address.ipv6 {
            value["ip_v6"] = v6.ip().to_string().into();
            value["port_v6"] = v6.port().into();
        }
        data["preferred_address"] = value;
    }
    data
}
