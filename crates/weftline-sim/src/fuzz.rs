//! Bodies of the fuzz targets: plain functions that panic when something is wrong.
//!
//! `fuzz/` holds shims for cargo-fuzz; `tests/corpus.rs` runs the same functions over the committed
//! corpus on stable Rust.

use weftline::wire::{
    Reader, Side, Writer,
    frame::Frame,
    h3::{
        FrameReader, Settings,
        capsule::{self, CapsuleReader, CapsuleStep},
    },
    packet::{Invariant, Packet, PacketType},
    params::TransportParameters,
    qpack::{DecodeError, Decoder, Encoder, SectionLimits, field_size},
    sf,
};

mod server;

pub use server::server_datagrams;

/// A target: its name, which is that of its shim and its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("packet_header", packet_header),
    ("frames", frames),
    ("transport_parameters", transport_parameters),
    ("h3_frames", h3_frames),
    ("h3_settings", h3_settings),
    ("qpack_section", qpack_section),
    ("capsules", capsules),
    ("structured_field", structured_field),
    ("server_datagrams", server_datagrams),
];

/// A datagram, walked packet by packet as a receiver does before it has keys.
pub fn packet_header(data: &[u8]) {
    let Some((&cid_len, datagram)) = data.split_first() else {
        return;
    };
    let cid_len = usize::from(cid_len % 21);
    let mut datagram = datagram.to_vec();
    let mut rest = &mut datagram[..];
    while !rest.is_empty() {
        let before = rest.to_vec();
        let header = match Packet::parse(rest, cid_len) {
            Ok(Packet::Protected(header)) => header,
            Ok(Packet::Retry(_) | Packet::VersionNegotiation(_)) | Err(_) => return,
        };
        assert!(
            0 < header.end && header.end <= rest.len(),
            "the packet ends in the datagram"
        );
        assert!(header.number_at <= header.end);
        assert!(header.token(rest).len() < header.end);
        let invariant = Invariant::parse(rest, cid_len).expect("what parses has the invariants");
        assert_eq!(invariant.destination(), &header.destination[..]);
        if let Some(sample) = header.sample(rest) {
            // Any mask will do: taking it off twice must restore what was protected.
            let mask = [sample[0], sample[1], sample[2], sample[3], sample[4]];
            let plain = header
                .unprotect(rest, mask)
                .expect("a sample means room for a number");
            assert!(plain.payload_at <= header.end);
            assert!((1..=4).contains(&plain.number.len()));
            let expanded = plain.number.expand(Some(u64::from(plain.number.value())));
            let bits = 8 * plain.number.len() as u32;
            assert_eq!(
                expanded & ((1 << bits) - 1),
                u64::from(plain.number.value())
            );
            assert_eq!(
                rest[header.end..],
                before[header.end..],
                "other packets are untouched"
            );
        }
        rest = &mut rest[header.end..];
    }
}

/// The payload of a packet: what parses must encode to something that parses the same.
pub fn frames(payload: &[u8]) {
    let mut reader = Reader::new(payload);
    let mut buffer = vec![0; payload.len() + 64];
    while !reader.is_empty() {
        let before = reader.remaining();
        let Ok(frame) = Frame::parse(&mut reader) else {
            assert_eq!(
                reader.remaining(),
                before,
                "a frame that does not parse takes nothing"
            );
            return;
        };
        let taken = before - reader.remaining();
        assert!(taken > 0, "progress");
        let len = frame.encoded_len();
        // We always write a length; the last frame of a packet may have come without.
        let spared = if reader.is_empty() { 8 } else { 0 };
        assert!(
            len <= taken + spared,
            "{frame:?} takes {len} bytes but came in {taken}"
        );
        let mut writer = Writer::new(&mut buffer);
        frame.encode(&mut writer).expect("there is room");
        assert_eq!(writer.position(), len);
        // Compared as bytes: an ACK keeps its ranges as they came, in however long integers.
        let encoded = writer.written().to_vec();
        let mut again = Reader::new(&encoded);
        let parsed = Frame::parse(&mut again).expect("our own encoding parses");
        assert!(again.is_empty());
        let mut twice = vec![0; encoded.len()];
        let mut writer = Writer::new(&mut twice);
        parsed.encode(&mut writer).expect("it is as long as before");
        assert_eq!(writer.written(), encoded, "{frame:?}");
        if let Frame::Ack(ack) = frame {
            let mut last = None;
            for range in ack.ranges() {
                assert!(range.start() <= range.end());
                assert!(
                    last.is_none_or(|smallest| *range.end() < smallest),
                    "ranges descend"
                );
                last = Some(*range.start());
            }
        }
        for packet_type in [
            PacketType::Initial,
            PacketType::ZeroRtt,
            PacketType::Handshake,
        ] {
            let allowed = frame.is_allowed_in(packet_type);
            assert!(
                !allowed || frame.is_allowed_in(PacketType::OneRtt),
                "1-RTT allows most"
            );
        }
    }
}

/// Transport parameters of either side.
pub fn transport_parameters(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let side = if first & 1 == 0 {
        Side::Client
    } else {
        Side::Server
    };
    let Ok(parameters) = TransportParameters::parse(data, side) else {
        return;
    };
    let encoded = parameters.encode(None);
    let again = TransportParameters::parse(&encoded, side);
    assert_eq!(again.as_ref(), Ok(&parameters));
}

/// A stream of HTTP/3 frames, in pieces of any size.
pub fn h3_frames(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else {
        return;
    };
    let whole = h3_frame_headers(stream, stream.len());
    let pieces = h3_frame_headers(stream, usize::from(piece % 16) + 1);
    assert_eq!(whole, pieces, "the size of the pieces changes nothing");
}

/// The types and lengths of the frames in `stream`.
fn h3_frame_headers(stream: &[u8], piece: usize) -> Vec<(u64, u64)> {
    let mut headers = Vec::new();
    let mut reader = FrameReader::new();
    let mut skip = 0;
    for mut input in stream.chunks(piece.max(1)) {
        while !input.is_empty() {
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(input.len());
            input = &input[skipped..];
            skip -= skipped as u64;
            if skip > 0 || input.is_empty() {
                continue;
            }
            let before = input.len();
            if let Some(header) = reader.feed(&mut input) {
                headers.push((header.ty, header.len));
                skip = header.len;
                reader = FrameReader::new();
            }
            assert!(input.len() < before, "progress");
        }
    }
    headers
}

/// The payload of a SETTINGS frame.
pub fn h3_settings(payload: &[u8]) {
    const MAX: usize = 64;
    match Settings::parse(payload, MAX) {
        Ok(settings) => {
            assert!(settings.iter().count() <= MAX);
            let mut encoded = Vec::new();
            settings.encode(&mut encoded);
            assert!(encoded.len() <= payload.len());
            assert_eq!(Settings::parse(&encoded, MAX), Ok(settings));
        }
        Err(error) => {
            assert!(
                (0x100..0x111).contains(&error.code()),
                "an HTTP/3 error code"
            );
        }
    }
}

/// An encoded field section.
pub fn qpack_section(section: &[u8]) {
    let limits = SectionLimits {
        size: 4096,
        fields: 32,
    };
    let mut fields = Vec::new();
    let mut decode = || -> Result<(), DecodeError> {
        let mut decoder = Decoder::new(section, limits)?;
        while let Some(line) = decoder.next_line()? {
            fields.push((line.name.to_vec(), line.value.to_vec()));
        }
        Ok(())
    };
    let outcome = decode();
    let size: usize = fields
        .iter()
        .map(|(name, value)| field_size(name, value))
        .sum();
    assert!(
        size <= limits.size && fields.len() <= limits.fields,
        "limits hold while decoding"
    );
    if outcome.is_err() {
        return;
    }
    let mut encoded = Vec::new();
    let mut encoder = Encoder::new(&mut encoded);
    fields
        .iter()
        .for_each(|(name, value)| encoder.field(name, value));
    let mut decoder = Decoder::new(&encoded, limits).expect("our own encoding decodes");
    for (name, value) in &fields {
        let line = decoder
            .next_line()
            .expect("our own encoding decodes")
            .expect("all lines");
        assert_eq!((line.name, line.value), (&name[..], &value[..]));
    }
    assert_eq!(decoder.next_line(), Ok(None));
}

/// Capsules, in pieces of any size.
pub fn capsules(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else {
        return;
    };
    let whole = capsule_values(stream, stream.len());
    let pieces = capsule_values(stream, usize::from(piece % 16) + 1);
    assert_eq!(whole, pieces, "the size of the pieces changes nothing");
    for (ty, value) in whole {
        let mut encoded = Vec::new();
        capsule::encode(ty, &value, &mut encoded);
        assert_eq!(
            capsule_values(&encoded, encoded.len()),
            [(ty, value.clone())]
        );
        if let Ok((code, message)) = capsule::decode_close(&value) {
            assert!(message.len() <= 1024);
            let mut close = Vec::new();
            capsule::encode_close(ty, code, message, &mut close);
            assert_eq!(close, encoded);
        }
    }
}

/// The capsules of `stream` whose values are short enough to hold.
fn capsule_values(stream: &[u8], piece: usize) -> Vec<(u64, Vec<u8>)> {
    const MAX_VALUE: usize = 2048;
    let mut values = Vec::new();
    let mut reader = CapsuleReader::new();
    for mut input in stream.chunks(piece.max(1)) {
        loop {
            match reader.feed(&mut input) {
                CapsuleStep::NeedMore => break,
                CapsuleStep::Begin(_) => {
                    // Too long a value is refused here, and skipped.
                    let _ = reader.hold(MAX_VALUE);
                }
                CapsuleStep::Value { ty, value } => {
                    assert!(value.len() <= MAX_VALUE);
                    values.push((ty, value.to_vec()));
                }
            }
        }
        assert!(input.is_empty(), "all input is taken");
    }
    values
}

/// The value of a field with subprotocols.
pub fn structured_field(field: &[u8]) {
    if let Some(list) = sf::parse_list(field, 16) {
        assert!(list.len() <= 16);
        let total: usize = list.iter().map(String::len).sum();
        assert!(total <= field.len());
        if let Ok(text) = sf::serialize_list(&list) {
            assert_eq!(sf::parse_list(text.as_bytes(), 16), Some(list));
        }
    }
    if let Some(item) = sf::parse_item(field) {
        let text = sf::serialize_string(&item).expect("what parses is printable");
        assert_eq!(sf::parse_item(text.as_bytes()), Some(item));
    }
}
