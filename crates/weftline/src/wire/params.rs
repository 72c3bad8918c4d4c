//! Transport parameters (RFC 9000, section 18), with those of DATAGRAM frames (RFC 9221), version
//! negotiation (RFC 9368), the greased fixed bit (RFC 9287), RESET_STREAM_AT and ACK frequency.

use alloc::vec::Vec;

use super::frame::MAX_STREAM_COUNT;
use super::{Cid, Reader, ResetToken, Side, Truncated, varint};

mod preferred_address;
#[cfg(test)]
mod tests;
mod version_information;

pub use preferred_address::PreferredAddress;
pub use version_information::{MAX_VERSIONS, VersionInformation};

/// What an endpoint tells its peer in the handshake. Absent parameters have the RFC's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportParameters {
    /// The destination connection ID of the client's first Initial. Servers only, and they must.
    pub original_destination_connection_id: Option<Cid>,
    /// Silence after which the sender drops the connection, in milliseconds; 0 for never.
    pub max_idle_timeout_ms: u64,
    /// What proves a stateless reset under the handshake's connection ID. Servers only.
    pub stateless_reset_token: Option<ResetToken>,
    /// The largest UDP payload the sender takes; at least 1200.
    pub max_udp_payload_size: u64,
    /// The first limit on the data of the whole connection, in bytes.
    pub initial_max_data: u64,
    /// The first limit on each bidirectional stream the sender opens, in bytes.
    pub initial_max_stream_data_bidi_local: u64,
    /// The first limit on each bidirectional stream the receiver opens, in bytes.
    pub initial_max_stream_data_bidi_remote: u64,
    /// The first limit on each unidirectional stream the receiver opens, in bytes.
    pub initial_max_stream_data_uni: u64,
    /// How many bidirectional streams the receiver may open at first; at most 2^60.
    pub initial_max_streams_bidi: u64,
    /// How many unidirectional streams the receiver may open at first; at most 2^60.
    pub initial_max_streams_uni: u64,
    /// The delay in the sender's ACK frames counts 2 to this power microseconds; at most 20.
    pub ack_delay_exponent: u8,
    /// The longest the sender delays an acknowledgement, in milliseconds; below 2^14.
    pub max_ack_delay_ms: u16,
    /// The sender cannot bear migration away from the address of the handshake.
    pub disable_active_migration: bool,
    /// An address to move to after the handshake. Servers only.
    pub preferred_address: Option<PreferredAddress>,
    /// How many connection IDs of the receiver's the sender keeps; at least 2.
    pub active_connection_id_limit: u64,
    /// The source connection ID of the sender's first Initial. Both must send it.
    pub initial_source_connection_id: Option<Cid>,
    /// The source connection ID of the Retry packet. Servers that sent one only, and they must.
    pub retry_source_connection_id: Option<Cid>,
    /// The largest DATAGRAM frame the sender takes, with its type and length; 0 for none.
    pub max_datagram_frame_size: u64,
    /// The sender takes packets without the fixed bit.
    pub grease_quic_bit: bool,
    /// The sender takes RESET_STREAM_AT frames.
    pub reset_stream_at: bool,
    /// The same under the number of older drafts, which some peers look for.
    pub reset_stream_at_old: bool,
    /// The sender takes ACK_FREQUENCY and IMMEDIATE_ACK frames; the least delay of acknowledgements
    /// that may be asked of it, in microseconds. No more than `max_ack_delay_ms`.
    pub min_ack_delay_us: Option<u64>,
    /// The version in use and those the sender would use.
    pub version_information: Option<VersionInformation>,
}

impl Default for TransportParameters {
    fn default() -> Self {
        Self {
            original_destination_connection_id: None,
            max_idle_timeout_ms: 0,
            stateless_reset_token: None,
            max_udp_payload_size: 65_527,
            initial_max_data: 0,
            initial_max_stream_data_bidi_local: 0,
            initial_max_stream_data_bidi_remote: 0,
            initial_max_stream_data_uni: 0,
            initial_max_streams_bidi: 0,
            initial_max_streams_uni: 0,
            ack_delay_exponent: 3,
            max_ack_delay_ms: 25,
            disable_active_migration: false,
            preferred_address: None,
            active_connection_id_limit: 2,
            initial_source_connection_id: None,
            retry_source_connection_id: None,
            max_datagram_frame_size: 0,
            grease_quic_bit: false,
            reset_stream_at: false,
            reset_stream_at_old: false,
            min_ack_delay_us: None,
            version_information: None,
        }
    }
}

/// The parameters cannot be accepted: the connection closes with TRANSPORT_PARAMETER_ERROR for this
/// reason.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transport parameters: {0}")]
pub struct ParamsError(pub &'static str);

impl TransportParameters {
    /// Reads what `sender` sent, and checks all that can be checked without knowing the connection
    /// (RFC 9000, sections 7.4 and 18.2). Whether the connection IDs are there and right is left to
    /// the caller (section 7.3). Parameters we do not know are skipped.
    pub fn parse(bytes: &[u8], sender: Side) -> Result<Self, ParamsError> {
        let mut params = Self::default();
        let mut seen = 0_u32;
        let mut r = Reader::new(bytes);
        while !r.is_empty() {
            let id = r.varint().map_err(cut)?;
            let value = r.varint_prefixed().map_err(cut)?;
            let Some(bit) = KNOWN.iter().position(|known| *known == id) else {
                continue;
            };
            if seen & 1 << bit != 0 {
                return Err(ParamsError("a parameter appears twice"));
            }
            seen |= 1 << bit;
            if sender == Side::Client && SERVER_ONLY.contains(&id) {
                return Err(ParamsError("a client sent a parameter of servers"));
            }
            params.set(id, value, sender)?;
        }
        params.check_preferred_address()?;
        params.check_min_ack_delay()?;
        Ok(params)
    }

    fn set(&mut self, id: u64, value: &[u8], sender: Side) -> Result<(), ParamsError> {
        match id {
            ORIGINAL_DESTINATION_CONNECTION_ID => {
                self.original_destination_connection_id = Some(cid(value)?);
            }
            MAX_IDLE_TIMEOUT => self.max_idle_timeout_ms = number(value)?,
            STATELESS_RESET_TOKEN => {
                let token = value
                    .try_into()
                    .map_err(|_| ParamsError("stateless_reset_token is not 16 bytes"))?;
                self.stateless_reset_token = Some(ResetToken(token));
            }
            MAX_UDP_PAYLOAD_SIZE => self.max_udp_payload_size = max_udp_payload_size(value)?,
            INITIAL_MAX_DATA => self.initial_max_data = number(value)?,
            INITIAL_MAX_STREAM_DATA_BIDI_LOCAL => {
                self.initial_max_stream_data_bidi_local = number(value)?;
            }
            INITIAL_MAX_STREAM_DATA_BIDI_REMOTE => {
                self.initial_max_stream_data_bidi_remote = number(value)?;
            }
            INITIAL_MAX_STREAM_DATA_UNI => self.initial_max_stream_data_uni = number(value)?,
            INITIAL_MAX_STREAMS_BIDI => self.initial_max_streams_bidi = stream_count(value)?,
            INITIAL_MAX_STREAMS_UNI => self.initial_max_streams_uni = stream_count(value)?,
            ACK_DELAY_EXPONENT => self.ack_delay_exponent = ack_delay_exponent(value)?,
            MAX_ACK_DELAY => self.max_ack_delay_ms = max_ack_delay(value)?,
            DISABLE_ACTIVE_MIGRATION => self.disable_active_migration = flag(value)?,
            PREFERRED_ADDRESS => self.preferred_address = Some(PreferredAddress::parse(value)?),
            ACTIVE_CONNECTION_ID_LIMIT => {
                self.active_connection_id_limit = active_connection_id_limit(value)?;
            }
            INITIAL_SOURCE_CONNECTION_ID => self.initial_source_connection_id = Some(cid(value)?),
            RETRY_SOURCE_CONNECTION_ID => self.retry_source_connection_id = Some(cid(value)?),
            MAX_DATAGRAM_FRAME_SIZE => self.max_datagram_frame_size = number(value)?,
            GREASE_QUIC_BIT => self.grease_quic_bit = flag(value)?,
            RESET_STREAM_AT => self.reset_stream_at = flag(value)?,
            RESET_STREAM_AT_OLD => self.reset_stream_at_old = flag(value)?,
            MIN_ACK_DELAY => self.min_ack_delay_us = Some(number(value)?),
            VERSION_INFORMATION => {
                self.version_information = Some(VersionInformation::parse(value, sender)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// A server that has no connection IDs cannot have one for another address.
    fn check_preferred_address(&self) -> Result<(), ParamsError> {
        if self.preferred_address.is_some() && self.initial_source_connection_id == Some(Cid::EMPTY)
        {
            return Err(ParamsError("preferred_address without a connection ID"));
        }
        Ok(())
    }

    /// draft-ietf-quic-ack-frequency, section 3.
    fn check_min_ack_delay(&self) -> Result<(), ParamsError> {
        let max = u64::from(self.max_ack_delay_ms) * 1000;
        if self.min_ack_delay_us.is_some_and(|min| min > max) {
            return Err(ParamsError("min_ack_delay is above max_ack_delay"));
        }
        Ok(())
    }

    /// Their encoding. Values that are the default are left out. `grease` is one more parameter to
    /// send, with a number from [`grease_id`] and any value, so that peers stay used to unknown
    /// ones. Setting parameters of servers only is up to the caller.
    pub fn encode(&self, grease: Option<(u64, &[u8])>) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        self.encode_numbers(&mut out);
        self.encode_flags(&mut out);
        self.encode_bytes(&mut out);
        if let Some((id, value)) = grease {
            put(&mut out, id, value);
        }
        out
    }

    fn encode_numbers(&self, out: &mut Vec<u8>) {
        let default = Self::default();
        let mut number = |id, value: u64, default: u64| {
            if value != default {
                put_number(out, id, value);
            }
        };
        number(MAX_IDLE_TIMEOUT, self.max_idle_timeout_ms, 0);
        number(
            MAX_UDP_PAYLOAD_SIZE,
            self.max_udp_payload_size,
            default.max_udp_payload_size,
        );
        number(INITIAL_MAX_DATA, self.initial_max_data, 0);
        let local = self.initial_max_stream_data_bidi_local;
        number(INITIAL_MAX_STREAM_DATA_BIDI_LOCAL, local, 0);
        let remote = self.initial_max_stream_data_bidi_remote;
        number(INITIAL_MAX_STREAM_DATA_BIDI_REMOTE, remote, 0);
        let uni = self.initial_max_stream_data_uni;
        number(INITIAL_MAX_STREAM_DATA_UNI, uni, 0);
        number(INITIAL_MAX_STREAMS_BIDI, self.initial_max_streams_bidi, 0);
        number(INITIAL_MAX_STREAMS_UNI, self.initial_max_streams_uni, 0);
        number(
            ACK_DELAY_EXPONENT,
            self.ack_delay_exponent.into(),
            default.ack_delay_exponent.into(),
        );
        number(
            MAX_ACK_DELAY,
            self.max_ack_delay_ms.into(),
            default.max_ack_delay_ms.into(),
        );
        number(
            ACTIVE_CONNECTION_ID_LIMIT,
            self.active_connection_id_limit,
            default.active_connection_id_limit,
        );
        number(MAX_DATAGRAM_FRAME_SIZE, self.max_datagram_frame_size, 0);
        if let Some(delay) = self.min_ack_delay_us {
            put_number(out, MIN_ACK_DELAY, delay);
        }
    }

    fn encode_flags(&self, out: &mut Vec<u8>) {
        for (id, is_set) in [
            (DISABLE_ACTIVE_MIGRATION, self.disable_active_migration),
            (GREASE_QUIC_BIT, self.grease_quic_bit),
            (RESET_STREAM_AT, self.reset_stream_at),
            (RESET_STREAM_AT_OLD, self.reset_stream_at_old),
        ] {
            if is_set {
                put(out, id, &[]);
            }
        }
    }

    fn encode_bytes(&self, out: &mut Vec<u8>) {
        let original = &self.original_destination_connection_id;
        for (id, cid) in [
            (ORIGINAL_DESTINATION_CONNECTION_ID, original),
            (
                INITIAL_SOURCE_CONNECTION_ID,
                &self.initial_source_connection_id,
            ),
            (RETRY_SOURCE_CONNECTION_ID, &self.retry_source_connection_id),
        ] {
            if let Some(cid) = cid {
                put(out, id, cid);
            }
        }
        if let Some(token) = &self.stateless_reset_token {
            put(out, STATELESS_RESET_TOKEN, &token.0);
        }
        if let Some(address) = &self.preferred_address {
            put_with(out, PREFERRED_ADDRESS, |value| address.encode(value));
        }
        if let Some(information) = &self.version_information {
            put_with(out, VERSION_INFORMATION, |value| information.encode(value));
        }
    }
}

/// A parameter number that means nothing: the `n`th of those reserved for it (RFC 9000, section
/// 18.1).
pub const fn grease_id(n: u32) -> u64 {
    31 * n as u64 + 27
}

fn number(value: &[u8]) -> Result<u64, ParamsError> {
    match varint::decode(value) {
        Some((number, [])) => Ok(number),
        _ => Err(ParamsError("a number is malformed")),
    }
}

fn flag(value: &[u8]) -> Result<bool, ParamsError> {
    if !value.is_empty() {
        return Err(ParamsError("a flag has a value"));
    }
    Ok(true)
}

fn cid(value: &[u8]) -> Result<Cid, ParamsError> {
    Cid::new(value).ok_or(ParamsError("a connection ID is longer than 20 bytes"))
}

fn stream_count(value: &[u8]) -> Result<u64, ParamsError> {
    match number(value)? {
        count @ ..=MAX_STREAM_COUNT => Ok(count),
        _ => Err(ParamsError("initial_max_streams is above 2^60")),
    }
}

fn max_udp_payload_size(value: &[u8]) -> Result<u64, ParamsError> {
    match number(value)? {
        size @ 1200.. => Ok(size),
        _ => Err(ParamsError("max_udp_payload_size is below 1200")),
    }
}

fn ack_delay_exponent(value: &[u8]) -> Result<u8, ParamsError> {
    match number(value)? {
        exponent @ ..=20 => Ok(exponent as u8),
        _ => Err(ParamsError("ack_delay_exponent is above 20")),
    }
}

fn max_ack_delay(value: &[u8]) -> Result<u16, ParamsError> {
    match number(value)? {
        delay @ ..0x4000 => Ok(delay as u16),
        _ => Err(ParamsError("max_ack_delay is 2^14 ms or more")),
    }
}

fn active_connection_id_limit(value: &[u8]) -> Result<u64, ParamsError> {
    match number(value)? {
        limit @ 2.. => Ok(limit),
        _ => Err(ParamsError("active_connection_id_limit is below 2")),
    }
}

fn cut(_: Truncated) -> ParamsError {
    ParamsError("they end inside a parameter")
}

fn put(out: &mut Vec<u8>, id: u64, value: &[u8]) {
    put_varint(out, id);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Puts a value that is written on its own first, as its length comes before it.
fn put_with(out: &mut Vec<u8>, id: u64, encode: impl FnOnce(&mut Vec<u8>)) {
    let mut value = Vec::new();
    encode(&mut value);
    put(out, id, &value);
}

fn put_number(out: &mut Vec<u8>, id: u64, value: u64) {
    put_varint(out, id);
    put_varint(out, varint::len(value) as u64);
    put_varint(out, value);
}

fn put_varint(out: &mut Vec<u8>, value: u64) {
    let start = out.len();
    out.resize(start + varint::len(value), 0);
    varint::encode(value, out.get_mut(start..).unwrap_or_default());
}

const ORIGINAL_DESTINATION_CONNECTION_ID: u64 = 0x00;
const MAX_IDLE_TIMEOUT: u64 = 0x01;
const STATELESS_RESET_TOKEN: u64 = 0x02;
const MAX_UDP_PAYLOAD_SIZE: u64 = 0x03;
const INITIAL_MAX_DATA: u64 = 0x04;
const INITIAL_MAX_STREAM_DATA_BIDI_LOCAL: u64 = 0x05;
const INITIAL_MAX_STREAM_DATA_BIDI_REMOTE: u64 = 0x06;
const INITIAL_MAX_STREAM_DATA_UNI: u64 = 0x07;
const INITIAL_MAX_STREAMS_BIDI: u64 = 0x08;
const INITIAL_MAX_STREAMS_UNI: u64 = 0x09;
const ACK_DELAY_EXPONENT: u64 = 0x0a;
const MAX_ACK_DELAY: u64 = 0x0b;
const DISABLE_ACTIVE_MIGRATION: u64 = 0x0c;
const PREFERRED_ADDRESS: u64 = 0x0d;
const ACTIVE_CONNECTION_ID_LIMIT: u64 = 0x0e;
const INITIAL_SOURCE_CONNECTION_ID: u64 = 0x0f;
const RETRY_SOURCE_CONNECTION_ID: u64 = 0x10;
const VERSION_INFORMATION: u64 = 0x11;
const RESET_STREAM_AT: u64 = 0x1d;
const MAX_DATAGRAM_FRAME_SIZE: u64 = 0x20;
const GREASE_QUIC_BIT: u64 = 0x2ab2;
const MIN_ACK_DELAY: u64 = 0xff04_de1b;
const RESET_STREAM_AT_OLD: u64 = 0x17_f758_6d2c_b571;

/// All of them, to tell which appeared. At most 32.
const KNOWN: [u64; 23] = [
    ORIGINAL_DESTINATION_CONNECTION_ID,
    MAX_IDLE_TIMEOUT,
    STATELESS_RESET_TOKEN,
    MAX_UDP_PAYLOAD_SIZE,
    INITIAL_MAX_DATA,
    INITIAL_MAX_STREAM_DATA_BIDI_LOCAL,
    INITIAL_MAX_STREAM_DATA_BIDI_REMOTE,
    INITIAL_MAX_STREAM_DATA_UNI,
    INITIAL_MAX_STREAMS_BIDI,
    INITIAL_MAX_STREAMS_UNI,
    ACK_DELAY_EXPONENT,
    MAX_ACK_DELAY,
    DISABLE_ACTIVE_MIGRATION,
    PREFERRED_ADDRESS,
    ACTIVE_CONNECTION_ID_LIMIT,
    INITIAL_SOURCE_CONNECTION_ID,
    RETRY_SOURCE_CONNECTION_ID,
    VERSION_INFORMATION,
    RESET_STREAM_AT,
    MAX_DATAGRAM_FRAME_SIZE,
    GREASE_QUIC_BIT,
    RESET_STREAM_AT_OLD,
    MIN_ACK_DELAY,
];

const SERVER_ONLY: [u64; 4] = [
    ORIGINAL_DESTINATION_CONNECTION_ID,
    STATELESS_RESET_TOKEN,
    PREFERRED_ADDRESS,
    RETRY_SOURCE_CONNECTION_ID,
];
