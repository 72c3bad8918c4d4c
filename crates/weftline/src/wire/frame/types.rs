//! The numbers of frame types, and where each may appear (RFC 9000, section 12.4, table 3; RFC
//! 9221).

use crate::wire::packet::PacketType;

/// PADDING.
pub const PADDING: u64 = 0x00;
/// PING.
pub const PING: u64 = 0x01;
/// ACK.
pub const ACK: u64 = 0x02;
/// ACK with ECN counts.
pub const ACK_ECN: u64 = 0x03;
/// RESET_STREAM.
pub const RESET_STREAM: u64 = 0x04;
/// STOP_SENDING.
pub const STOP_SENDING: u64 = 0x05;
/// CRYPTO.
pub const CRYPTO: u64 = 0x06;
/// NEW_TOKEN.
pub const NEW_TOKEN: u64 = 0x07;
/// STREAM, without any of the three bits below.
pub const STREAM: u64 = 0x08;
/// Bit of a STREAM type: the stream ends with this frame.
pub const STREAM_FIN: u64 = 0x01;
/// Bit of a STREAM type: there is a length field.
pub const STREAM_LEN: u64 = 0x02;
/// Bit of a STREAM type: there is an offset field.
pub const STREAM_OFF: u64 = 0x04;
/// STREAM with all its bits: the last of its types.
pub const STREAM_LAST: u64 = STREAM | STREAM_FIN | STREAM_LEN | STREAM_OFF;
/// MAX_DATA.
pub const MAX_DATA: u64 = 0x10;
/// MAX_STREAM_DATA.
pub const MAX_STREAM_DATA: u64 = 0x11;
/// MAX_STREAMS for bidirectional streams.
pub const MAX_STREAMS_BIDI: u64 = 0x12;
/// MAX_STREAMS for unidirectional streams.
pub const MAX_STREAMS_UNI: u64 = 0x13;
/// DATA_BLOCKED.
pub const DATA_BLOCKED: u64 = 0x14;
/// STREAM_DATA_BLOCKED.
pub const STREAM_DATA_BLOCKED: u64 = 0x15;
/// STREAMS_BLOCKED for bidirectional streams.
pub const STREAMS_BLOCKED_BIDI: u64 = 0x16;
/// STREAMS_BLOCKED for unidirectional streams.
pub const STREAMS_BLOCKED_UNI: u64 = 0x17;
/// NEW_CONNECTION_ID.
pub const NEW_CONNECTION_ID: u64 = 0x18;
/// RETIRE_CONNECTION_ID.
pub const RETIRE_CONNECTION_ID: u64 = 0x19;
/// PATH_CHALLENGE.
pub const PATH_CHALLENGE: u64 = 0x1a;
/// PATH_RESPONSE.
pub const PATH_RESPONSE: u64 = 0x1b;
/// CONNECTION_CLOSE by QUIC.
pub const CONNECTION_CLOSE: u64 = 0x1c;
/// CONNECTION_CLOSE by the application.
pub const CONNECTION_CLOSE_APP: u64 = 0x1d;
/// HANDSHAKE_DONE.
pub const HANDSHAKE_DONE: u64 = 0x1e;
/// IMMEDIATE_ACK (draft-ietf-quic-ack-frequency).
pub const IMMEDIATE_ACK: u64 = 0x1f;
/// RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset).
pub const RESET_STREAM_AT: u64 = 0x24;
/// DATAGRAM, up to the end of the packet.
pub const DATAGRAM: u64 = 0x30;
/// DATAGRAM with a length field.
pub const DATAGRAM_LEN: u64 = 0x31;
/// ACK_FREQUENCY (draft-ietf-quic-ack-frequency).
pub const ACK_FREQUENCY: u64 = 0xaf;

/// Whether a packet with this frame must be acknowledged. Unknown types count as such.
pub fn is_ack_eliciting(frame_type: u64) -> bool {
    rule(frame_type) & N == 0
}

/// Whether a packet that holds only such frames probes a path without migrating to it (RFC 9000,
/// section 9.1).
pub fn is_probing(frame_type: u64) -> bool {
    rule(frame_type) & P != 0
}

/// Whether this frame may be in packets of this type. Elsewhere it is a PROTOCOL_VIOLATION.
pub fn is_allowed_in(frame_type: u64, packet_type: PacketType) -> bool {
    let packet = match packet_type {
        PacketType::Initial => I,
        PacketType::Handshake => H,
        PacketType::ZeroRtt => Z,
        PacketType::OneRtt => O,
    };
    rule(frame_type) & packet != 0
}

fn rule(frame_type: u64) -> u8 {
    match frame_type {
        RESET_STREAM_AT | DATAGRAM | DATAGRAM_LEN => Z | O,
        IMMEDIATE_ACK | ACK_FREQUENCY => O,
        _ => usize::try_from(frame_type)
            .ok()
            .and_then(|index| RULES.get(index))
            .copied()
            .unwrap_or_default(),
    }
}

// The RFC's letters: in Initial, Handshake, 0-RTT and 1-RTT packets; not ack-eliciting; probing.
const I: u8 = 0x01;
const H: u8 = 0x02;
const Z: u8 = 0x04;
const O: u8 = 0x08;
const N: u8 = 0x10;
const P: u8 = 0x20;

/// Indexed by frame type.
const RULES: [u8; 0x1f] = [
    I | H | Z | O | N | P, // PADDING
    I | H | Z | O,         // PING
    I | H | O | N,         // ACK
    I | H | O | N,         // ACK with ECN
    Z | O,                 // RESET_STREAM
    Z | O,                 // STOP_SENDING
    I | H | O,             // CRYPTO
    O,                     // NEW_TOKEN
    Z | O,                 // STREAM
    Z | O,
    Z | O,
    Z | O,
    Z | O,
    Z | O,
    Z | O,
    Z | O,
    Z | O,             // MAX_DATA
    Z | O,             // MAX_STREAM_DATA
    Z | O,             // MAX_STREAMS bidirectional
    Z | O,             // MAX_STREAMS unidirectional
    Z | O,             // DATA_BLOCKED
    Z | O,             // STREAM_DATA_BLOCKED
    Z | O,             // STREAMS_BLOCKED bidirectional
    Z | O,             // STREAMS_BLOCKED unidirectional
    Z | O | P,         // NEW_CONNECTION_ID
    O,                 // RETIRE_CONNECTION_ID: the table has a 0 here, the words below it none
    Z | O | P,         // PATH_CHALLENGE
    O | P,             // PATH_RESPONSE
    I | H | Z | O | N, // CONNECTION_CLOSE by QUIC
    Z | O | N,         // CONNECTION_CLOSE by the application
    O,                 // HANDSHAKE_DONE
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 3 once more, as the RFC prints it, with the extensions.
    const TABLE: [(u64, u64, &str, &str); 29] = [
        (0x00, 0x00, "IH01", "NP"),
        (0x01, 0x01, "IH01", ""),
        (0x02, 0x03, "IH_1", "N"),
        (0x04, 0x04, "__01", ""),
        (0x05, 0x05, "__01", ""),
        (0x06, 0x06, "IH_1", ""),
        (0x07, 0x07, "___1", ""),
        (0x08, 0x0f, "__01", ""),
        (0x10, 0x10, "__01", ""),
        (0x11, 0x11, "__01", ""),
        (0x12, 0x13, "__01", ""),
        (0x14, 0x14, "__01", ""),
        (0x15, 0x15, "__01", ""),
        (0x16, 0x17, "__01", ""),
        (0x18, 0x18, "__01", "P"),
        // "It is not possible" in 0-RTT, says section 12.5 against its table.
        (0x19, 0x19, "___1", ""),
        (0x1a, 0x1a, "__01", "P"),
        (0x1b, 0x1b, "___1", "P"),
        (0x1c, 0x1c, "IH01", "N"),
        (0x1d, 0x1d, "__01", "N"),
        (0x1e, 0x1e, "___1", ""),
        (0x1f, 0x1f, "___1", ""),
        (0x20, 0x23, "____", ""),
        (0x24, 0x24, "__01", ""),
        (0x25, 0x2f, "____", ""),
        (0x30, 0x31, "__01", ""),
        (0x32, 0xae, "____", ""),
        (0xaf, 0xaf, "___1", ""),
        (0xb0, 0xff, "____", ""),
    ];

    #[test]
    fn rfc9000_table_3() {
        for (first, last, packets, flags) in TABLE {
            for frame_type in first..=last {
                for (packet_type, letter) in [
                    (PacketType::Initial, 'I'),
                    (PacketType::Handshake, 'H'),
                    (PacketType::ZeroRtt, '0'),
                    (PacketType::OneRtt, '1'),
                ] {
                    assert_eq!(
                        is_allowed_in(frame_type, packet_type),
                        packets.contains(letter),
                        "{frame_type:#x} in {packet_type:?}"
                    );
                }
                assert_eq!(is_ack_eliciting(frame_type), !flags.contains('N'));
                assert_eq!(is_probing(frame_type), flags.contains('P'));
            }
        }
        assert!(!is_allowed_in(u64::MAX, PacketType::OneRtt));
    }
}
