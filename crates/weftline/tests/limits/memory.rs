//! All limits together.

use weftline::{
    Dir,
    config::Limits,
    wire::frame::{Crypto, Frame},
};

use crate::support::{Attack, bidi, stream, uni, wire};

/// A peer fills everything there is to fill, and nobody takes anything away: memory stays within
/// what the limits add up to.
#[test]
fn memory_has_a_bound() {
    let mut limits = Limits::default();
    small(&mut limits);
    let bound = worst_case(&limits);
    let (mut attack, session) = Attack::with_flow_control(small);
    let stranger = bidi(100);
    let check = |attack: &mut Attack| {
        attack.assert_alive();
        let memory = attack.stats().memory;
        assert!(memory <= bound, "{memory} bytes, but {bound} at most");
        memory
    };

    // A request that waits for its answer, as large as it may be, with capsules behind it.
    let pad = "v".repeat(limits.field_section - 400);
    let head = wire::connect_with("webtransport-h3", &[("x", &pad)]);
    attack.send(bidi(1), &head);
    attack.send(bidi(1), &wire::capsule(wire::GREASE, &[0; 3000]));
    check(&mut attack);
    // Heads that never become whole.
    let section = vec![0; limits.field_section];
    let unfinished = wire::h3_frame(1, &section);
    for n in 2..limits.streams_bidi {
        attack.send(bidi(n), &unfinished[..unfinished.len() - 1]);
        check(&mut attack);
    }
    // Every second piece of streams: of a session, of one that never comes, and of none.
    for n in 1..limits.streams_uni {
        let header = match n {
            1..=2 => wire::uni_header(session.stream()),
            3..=6 => wire::uni_header(stranger),
            _ => vec![],
        };
        attack.send(uni(n), &header);
    }
    let step = limits.stream_window / limits.stream_gaps as u64;
    let limit = attack.heard(|frame| match frame {
        Frame::MaxData(f) => Some(f.maximum),
        _ => None,
    });
    let limit = limit.into_iter().max().unwrap_or(limits.connection_window);
    let mut credit = limit - attack.total_sent();
    for n in 1..limits.streams_uni {
        for at in (0..limits.stream_gaps as u64 - 1).map(|piece| 10 + piece * step) {
            if credit >= step {
                credit -= step;
                let data = vec![7; step as usize / 2];
                attack.say(&[stream(uni(n), at, &data, false)]);
            }
        }
        check(&mut attack);
    }
    // Every second byte of the handshake, behind its end.
    for piece in 0..limits.stream_gaps as u64 {
        let offset = 1 + 2 * piece + limits.crypto_buffer as u64 / 2;
        attack.say(&[Frame::Crypto(Crypto { offset, data: b"x" })]);
    }
    check(&mut attack);
    // Datagrams, large and empty, in packets of which every second is missing.
    for n in 0..200 {
        attack.skip_packet_number();
        let payload = vec![0; if n % 2 == 0 { 0 } else { 1000 }];
        attack.send_datagram(session.stream(), &payload);
        attack.send_datagram(stranger, &payload);
        check(&mut attack);
    }
    // The application has much to say, and the peer acknowledges nothing.
    for _ in 0..4 {
        let id = attack.conn().open_stream(session, Dir::Uni).unwrap();
        while attack.conn().write(id, &[0; 1000]).is_ok() {}
        while attack.conn().send_datagram(session, &[0; 1000]).is_ok() {}
        attack.events();
        check(&mut attack);
    }
    let memory = check(&mut attack);
    let sure = limits.connection_window as usize + limits.connection_send_buffer;
    assert!(memory > 2 * sure, "{memory} of {bound}: that was no attack");
}

fn small(l: &mut Limits) {
    (l.streams_bidi, l.streams_uni) = (6, 10);
    (l.stream_window, l.stream_window_max) = (16 << 10, 16 << 10);
    (l.connection_window, l.connection_window_max) = (64 << 10, 64 << 10);
    l.stream_gaps = 32;
    (l.stream_send_buffer, l.connection_send_buffer) = (16 << 10, 32 << 10);
    (l.crypto_buffer, l.sent_packets, l.ack_ranges) = (4096, 200, 16);
    (l.datagrams_in, l.datagram_bytes_in) = (20, 10_000);
    (l.datagrams_out, l.datagram_bytes_out) = (10, 5000);
    (l.field_section, l.fields, l.sessions) = (4096, 32, 2);
    (l.early_streams, l.early_datagrams, l.early_datagram_bytes) = (4, 8, 4000);
}

/// What a connection with these limits can hold for its peer.
fn worst_case(l: &Limits) -> usize {
    // A range or a list entry; lists have twice the room they need at the most.
    let entry = 2 * 64;
    let pieces = l.stream_gaps * entry;
    // Data is held in blocks of 16 KiB, of which the first and the last may be used in part.
    let block = 16 << 10;
    let streams = l.streams_bidi as usize + l.streams_uni as usize;
    let ours = 16;
    let head = l.field_section + l.fields * entry;
    [
        l.connection_window_max as usize,
        streams * (block + pieces) + (streams + ours) * 1024,
        l.streams_bidi as usize * 2 * l.field_section,
        2 * l.connection_send_buffer,
        3 * (l.crypto_buffer + block + pieces),
        l.datagram_bytes_in + l.datagrams_in * entry,
        2 * l.datagram_bytes_out + l.datagrams_out * entry,
        l.early_datagram_bytes + (l.early_datagrams + l.early_streams) * entry,
        l.sessions * (head + l.capsule + 1024),
        l.ack_ranges * entry,
        // A packet and up to four frames; and those that only acknowledge.
        (5 * l.sent_packets + 2 * 1024) * entry,
        // Spare buffers, and queues between the layers.
        4 * (32 << 10),
    ]
    .into_iter()
    .sum()
}
