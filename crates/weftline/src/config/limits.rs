//! Every bound on what a peer can make us hold or do, in one place.

use core::time::Duration;

/// Bounds on memory and work. Each has a default that is safe for a public server, and a test in
/// `tests/limits.rs` that crosses it.
///
/// Windows are bounds too: a peer can never have more stream data held here than
/// [`Limits::connection_window_max`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    // Endpoint.
    /// Connections an endpoint holds at once; an Initial past it is answered with
    /// CONNECTION_REFUSED.
    pub connections: usize,
    /// Connections in their handshake at once; past it likewise CONNECTION_REFUSED.
    pub handshakes: usize,
    /// Clients that wait for the application to let them in ([`Admission::Ask`](super::Admission));
    /// past it likewise CONNECTION_REFUSED. They wait as long as a handshake may take.
    pub incoming: usize,
    /// Bytes of their datagrams, held until then; past it datagrams are dropped.
    pub incoming_bytes: usize,
    /// Tokens of NEW_TOKEN frames remembered as used; past it the oldest are forgotten, and no
    /// token that is as old counts any more.
    pub used_tokens: usize,
    /// Tokens of servers that a client's endpoint keeps for later connections; past it, or two of
    /// one server, the oldest are forgotten.
    pub stored_tokens: usize,
    /// Packets in one datagram; the rest of the datagram is dropped.
    pub packets_per_datagram: usize,

    /// Answers without a connection (Version Negotiation, refusals, stateless resets) waiting to be
    /// sent; past it datagrams are not answered.
    pub pending_answers: usize,
    /// The least time between two stateless resets.
    pub stateless_reset_interval: Duration,

    // Handshake.
    /// How long a handshake may take before the connection is given up.
    pub handshake_timeout: Duration,
    /// CRYPTO data held or expected ahead at one level, in bytes; past it CRYPTO_BUFFER_EXCEEDED.
    pub crypto_buffer: usize,
    /// Datagrams held, packet by packet, because their keys are not there yet; past it, or 1500
    /// bytes for each, they are dropped.
    pub undecryptable_datagrams: usize,
    /// Sessions that a server gave to resume and that were not stored yet, per connection; the
    /// oldest are dropped.
    pub session_tickets: usize,

    // Streams.
    /// Bidirectional streams a peer may have open at once, up to 2^20; past it STREAM_LIMIT_ERROR.
    pub streams_bidi: u64,
    /// Unidirectional streams a peer may have open at once, up to 2^20; past it
    /// STREAM_LIMIT_ERROR.
    pub streams_uni: u64,
    /// Receive window of a stream at the start, in bytes; past it FLOW_CONTROL_ERROR.
    pub stream_window: u64,
    /// Receive window of a stream to which tuning may raise it, in bytes.
    pub stream_window_max: u64,
    /// Receive window of a connection at the start, in bytes; past it FLOW_CONTROL_ERROR.
    pub connection_window: u64,
    /// Receive window of a connection to which tuning may raise it, in bytes.
    pub connection_window_max: u64,
    /// Gaps in the received data of one stream; past it the connection closes with
    /// INTERNAL_ERROR, as memory per byte would be out of proportion. In CRYPTO data they count
    /// likewise, with CRYPTO_BUFFER_EXCEEDED.
    pub stream_gaps: usize,
    /// Unacknowledged and unsent data held per stream, in bytes; past it writes are `Blocked`.
    pub stream_send_buffer: usize,
    /// Unacknowledged and unsent data held per connection, in bytes; past it writes are `Blocked`.
    /// At most half of it is data that the credit of its own stream does not let go.
    pub connection_send_buffer: usize,

    // Packets.
    /// Ranges of received packet numbers remembered; the oldest are forgotten and packets below
    /// them are treated as duplicates.
    pub ack_ranges: usize,
    /// Sent packets tracked at once; past it nothing but acknowledgements and probes is sent.
    pub sent_packets: usize,
    /// Connection IDs of the peer's that we hold (`active_connection_id_limit`); past it
    /// CONNECTION_ID_LIMIT_ERROR.
    pub peer_cids: usize,
    /// RETIRE_CONNECTION_ID frames that the peer has not acknowledged; past it
    /// CONNECTION_ID_LIMIT_ERROR.
    pub pending_retirements: usize,
    /// PATH_RESPONSE frames waiting to be sent; the oldest are dropped.
    pub path_responses: usize,

    // Datagrams.
    /// Datagrams received and not yet taken, per connection; the oldest are dropped, of the session
    /// that holds most.
    pub datagrams_in: usize,
    /// Their bytes.
    pub datagram_bytes_in: usize,
    /// Datagrams queued to send, per connection; past it sending gives `Full`.
    pub datagrams_out: usize,
    /// Their bytes.
    pub datagram_bytes_out: usize,

    // HTTP/3.
    /// Size of a field section: names and values plus 32 for each field (RFC 9114, section
    /// 4.2.2). Advertised, and enforced while decoding; past it a server answers 431, a client
    /// resets the request with H3_EXCESSIVE_LOAD.
    pub field_section: usize,
    /// Fields in a section; past it as for `field_section`.
    pub fields: usize,
    /// Payload of SETTINGS and other control frames; past it the connection closes with
    /// H3_EXCESSIVE_LOAD.
    pub control_frame: usize,
    /// Settings in a SETTINGS frame; past it the connection closes with H3_EXCESSIVE_LOAD.
    pub settings: usize,
    /// Bytes of unknown frames skipped per stream; past it the connection closes with
    /// H3_EXCESSIVE_LOAD. Of unknown capsules likewise, where only the session ends.
    pub skipped: u64,
    /// Interim (1xx) responses to one request; past it the request is reset with
    /// H3_EXCESSIVE_LOAD.
    pub interim_responses: usize,
    /// Requests a peer may reset before they are complete, in a row; past it the connection
    /// closes with H3_EXCESSIVE_LOAD.
    pub resets_in_a_row: usize,

    // WebTransport.
    /// Sessions on one connection when session flow control is on; one without it. Requests past
    /// it are reset with H3_REQUEST_REJECTED.
    pub sessions: usize,
    /// Streams that arrived before their session; past it they are refused with
    /// WT_BUFFERED_STREAM_REJECTED.
    pub early_streams: usize,
    /// Datagrams that arrived before their session; past it they are dropped.
    pub early_datagrams: usize,
    /// Their bytes.
    pub early_datagram_bytes: usize,
    /// How long early streams wait for their session, and a request for the peer's SETTINGS.
    pub early_timeout: Duration,
    /// How long early datagrams wait for their session.
    pub early_datagram_timeout: Duration,
    /// How long a session waits for an answer: the application's on a server, the peer's on a
    /// client.
    pub session_timeout: Duration,
    /// Value of a capsule that is held to be parsed, and what is held of a CONNECT stream before
    /// its session is accepted. Longer datagrams in capsules are skipped unheld; a longer reason
    /// for closing, in dialects that leave its length open, ends the session with
    /// H3_EXCESSIVE_LOAD (in the others 1024 bytes are the limit, and H3_MESSAGE_ERROR the code).
    pub capsule: usize,
    /// Data a session's peer may send on its streams at the start, in bytes, when session flow
    /// control is on (WT_INITIAL_MAX_DATA); past it WT_FLOW_CONTROL_ERROR. Tuning may raise it to
    /// `connection_window_max`.
    pub session_window: u64,
    /// Streams of each direction a session's peer may open beyond those closed, when session flow
    /// control is on; past it WT_FLOW_CONTROL_ERROR.
    pub session_streams: u64,
    /// Ended sessions remembered, so that their late streams are told from early ones.
    pub closed_sessions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            handshakes: 4096,
            incoming: 1024,
            incoming_bytes: 4 << 20,
            used_tokens: 65_536,
            stored_tokens: 256,
            packets_per_datagram: 5,
            pending_answers: 64,
            stateless_reset_interval: Duration::from_millis(20),
            handshake_timeout: Duration::from_secs(10),
            crypto_buffer: 64 << 10,
            undecryptable_datagrams: 10,
            session_tickets: 4,
            streams_bidi: 100,
            streams_uni: 103,
            stream_window: 256 << 10,
            stream_window_max: 6 << 20,
            connection_window: 1 << 20,
            connection_window_max: 15 << 20,
            stream_gaps: 1024,
            stream_send_buffer: 1 << 20,
            connection_send_buffer: 8 << 20,
            ack_ranges: 64,
            sent_packets: 20_000,
            peer_cids: 4,
            pending_retirements: 12,
            path_responses: 4,
            datagrams_in: 128,
            datagram_bytes_in: 256 << 10,
            datagrams_out: 64,
            datagram_bytes_out: 128 << 10,
            field_section: 16 << 10,
            fields: 128,
            control_frame: 1024,
            settings: 64,
            skipped: 1 << 20,
            interim_responses: 5,
            resets_in_a_row: 200,
            sessions: 16,
            early_streams: 16,
            early_datagrams: 16,
            early_datagram_bytes: 16 << 10,
            early_timeout: Duration::from_secs(5),
            early_datagram_timeout: Duration::from_millis(500),
            session_timeout: Duration::from_secs(10),
            capsule: 2048,
            session_window: 1 << 20,
            session_streams: 100,
            closed_sessions: 16,
        }
    }
}
