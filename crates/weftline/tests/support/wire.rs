//! HTTP/3 and WebTransport, byte by byte.

use weftline::wire::{
    StreamId,
    h3::{FrameHeader, Settings, Varints, capsule, frame, settings, stream_type},
    qpack::{Decoder, Encoder, SectionLimits},
};

/// A frame of HTTP/3.
pub(crate) fn h3_frame(ty: u64, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u64;
    [&FrameHeader { ty, len }.encode()[..], payload].concat()
}

/// A HEADERS frame.
pub(crate) fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = Vec::new();
    let mut encoder = Encoder::new(&mut section);
    for (name, value) in fields {
        encoder.field(name.as_bytes(), value.as_bytes());
    }
    h3_frame(frame::HEADERS, &section)
}

/// The head of a GET request with these fields.
pub(crate) fn get(more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "victim.test"),
        (":path", "/"),
    ];
    headers(&[&pseudo[..], more].concat())
}

/// A request for a session.
pub(crate) fn connect(protocol: &str) -> Vec<u8> {
    connect_with(protocol, &[])
}

/// A request for a session with these fields.
pub(crate) fn connect_with(protocol: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", "CONNECT"),
        (":scheme", "https"),
        (":authority", "victim.test"),
        (":path", "/"),
        (":protocol", protocol),
    ];
    headers(&[&pseudo[..], more].concat())
}

/// The `:status` at the beginning of a message.
pub(crate) fn status(message: &[u8]) -> String {
    let mut reader = weftline::wire::Reader::new(message);
    let header = FrameHeader::parse(&mut reader).unwrap();
    assert_eq!(header.ty, frame::HEADERS);
    let section = reader.bytes(header.len as usize).unwrap();
    let limits = SectionLimits {
        size: 1 << 16,
        fields: 100,
    };
    let mut decoder = Decoder::new(section, limits).unwrap();
    let line = decoder.next_line().unwrap().unwrap();
    assert_eq!(line.name, b":status");
    String::from_utf8(line.value.to_vec()).unwrap()
}

/// A control stream that begins with the SETTINGS of draft 16, and `more`.
pub(crate) fn control_stream(more: &[(u64, u64)]) -> Vec<u8> {
    let basic = [
        (settings::ENABLE_CONNECT_PROTOCOL, 1),
        (settings::H3_DATAGRAM, 1),
        (DRAFT_16, 1),
    ];
    raw_control_stream(&[&basic, more].concat())
}

/// A control stream with these SETTINGS.
pub(crate) fn raw_control_stream(pairs: &[(u64, u64)]) -> Vec<u8> {
    let mut settings = Settings::new();
    for &(id, value) in pairs {
        settings.set(id, value);
    }
    let mut payload = Vec::new();
    settings.encode(&mut payload);
    let mut out = vec![stream_type::CONTROL as u8];
    out.extend(h3_frame(frame::SETTINGS, &payload));
    out
}

/// The beginning of a unidirectional stream of a session.
pub(crate) fn uni_header(session: StreamId) -> Vec<u8> {
    Varints::new([0x54, session.as_u64()]).to_vec()
}

/// A capsule in a DATA frame.
pub(crate) fn capsule(ty: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    capsule::encode(ty, value, &mut out);
    h3_frame(frame::DATA, &out)
}

/// A datagram of a session.
pub(crate) fn datagram(session: StreamId, payload: &[u8]) -> Vec<u8> {
    [&weftline::wire::h3::datagram::prefix(session)[..], payload].concat()
}

pub(crate) const DRAFT_07: u64 = 0xc671_706a;
pub(crate) const DRAFT_16: u64 = 0x2c7c_f000;

pub(crate) const INITIAL_MAX_DATA: u64 = 0x2b61;
pub(crate) const INITIAL_MAX_STREAMS_UNI: u64 = 0x2b64;
pub(crate) const INITIAL_MAX_STREAMS_BIDI: u64 = 0x2b65;

/// Settings that turn session flow control on.
pub(crate) const FLOW_CONTROL: [(u64, u64); 3] = [
    (INITIAL_MAX_DATA, 1 << 20),
    (INITIAL_MAX_STREAMS_UNI, 100),
    (INITIAL_MAX_STREAMS_BIDI, 100),
];

/// WT_CLOSE_SESSION.
pub(crate) const CLOSE: u64 = 0x2843;
/// A type of frames and capsules that means nothing.
pub(crate) const GREASE: u64 = 0x40;

// Draft 16, section 9.5.
pub(crate) const BUFFERED_STREAM_REJECTED: u64 = 0x3994_bd84;
pub(crate) const SESSION_GONE: u64 = 0x170d_7b68;
pub(crate) const SESSION_FLOW_CONTROL: u64 = 0x045d_4487;
