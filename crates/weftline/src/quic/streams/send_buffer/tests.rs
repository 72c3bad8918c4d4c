use alloc::{vec, vec::Vec};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Write(usize),
    WriteBytes(usize),
    Send(u64),
    Resend(u64),
    /// What becomes of a sent range, by its place in the list.
    Ack(usize),
    Lose(usize),
    LoseAll,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0usize..3000).prop_map(Op::Write),
        1 => (0usize..40_000).prop_map(Op::Write),
        2 => (0usize..5000).prop_map(Op::WriteBytes),
        6 => (1u64..1500).prop_map(Op::Send),
        4 => (1u64..1500).prop_map(Op::Resend),
        6 => (0usize..20).prop_map(Op::Ack),
        4 => (0usize..20).prop_map(Op::Lose),
        1 => Just(Op::LoseAll),
    ]
}

fn byte(at: u64) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

/// Per offset, what became of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Fate {
    Unsent,
    InFlight,
    Lost,
    Acked,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn behaves_like_a_list(ops in proptest::collection::vec(op(), 1..80)) {
        let (mut buffer, mut spare) = (SendBuffer::default(), Spare::default());
        let mut fates: Vec<Fate> = Vec::new();
        let mut in_flight: Vec<Range<u64>> = Vec::new();
        for op in ops {
            match op {
                Op::Write(len) | Op::WriteBytes(len) => {
                    let data: Vec<u8> = (buffer.end()..).take(len).map(byte).collect();
                    if matches!(op, Op::Write(_)) {
                        buffer.write(&data, &mut spare);
                    } else {
                        buffer.write_bytes(Bytes::from(data), &mut spare);
                    }
                    fates.resize(fates.len() + len, Fate::Unsent);
                }
                Op::Send(max) | Op::Resend(max) => {
                    let range = if matches!(op, Op::Send(_)) {
                        buffer.take_unsent(max)
                    } else {
                        let first = fates.iter().position(|&fate| fate == Fate::Lost);
                        prop_assert_eq!(buffer.first_lost().map(|r| r.start as usize), first);
                        buffer.take_lost(max).unwrap_or(0..0)
                    };
                    let mut out = vec![0; (range.end - range.start) as usize];
                    buffer.copy_to(range.start, &mut out);
                    for (at, got) in range.clone().zip(out) {
                        prop_assert_eq!(got, byte(at));
                        prop_assert!(matches!(fates[at as usize], Fate::Unsent | Fate::Lost));
                        fates[at as usize] = Fate::InFlight;
                    }
                    if !range.is_empty() {
                        in_flight.push(range);
                    }
                }
                Op::Ack(at) if at < in_flight.len() => {
                    let range = in_flight.remove(at);
                    buffer.on_acked(range.clone(), &mut spare);
                    range.for_each(|at| fates[at as usize] = Fate::Acked);
                }
                Op::Lose(at) if at < in_flight.len() => {
                    // Kept in the list: what was thought lost may be acknowledged yet.
                    let range = in_flight[at].clone();
                    buffer.on_lost(range.clone());
                    lose(&mut fates, range);
                }
                Op::LoseAll => {
                    buffer.lose_all();
                    let sent = buffer.sent();
                    lose(&mut fates, 0..sent);
                }
                Op::Ack(_) | Op::Lose(_) => {}
            }
            let base = fates.iter().position(|&fate| fate != Fate::Acked).unwrap_or(fates.len());
            prop_assert_eq!(buffer.buffered() as usize, fates.len() - base);
            prop_assert_eq!(buffer.has_lost(), fates.contains(&Fate::Lost));
            let unsent = fates.iter().filter(|&&fate| fate == Fate::Unsent).count();
            prop_assert_eq!(buffer.unsent() as usize, unsent);
            let held: usize = buffer.chunks.iter().map(Chunk::held).sum();
            prop_assert_eq!(buffer.held, held);
        }
    }
}

fn lose(fates: &mut [Fate], range: Range<u64>) {
    for at in range {
        let fate = &mut fates[at as usize];
        if *fate != Fate::Acked {
            *fate = Fate::Lost;
        }
    }
}

#[test]
fn small_writes_share_chunks() {
    let (mut buffer, mut spare) = (SendBuffer::default(), Spare::default());
    for _ in 0..100_000 {
        buffer.write(b"x", &mut spare);
    }
    assert!(buffer.chunks.len() < 16);
    assert!(buffer.accounted_bytes() < 100_000 + 2 * MAX_CHUNK);
    let mut short = SendBuffer::default();
    short.write(b"hello", &mut spare);
    assert!(short.accounted_bytes() < 1024);
}

#[test]
fn large_writes_are_shared_and_short_ones_copied() {
    let (mut buffer, mut spare) = (SendBuffer::default(), Spare::default());
    let large = Bytes::from(vec![1; 5000]);
    buffer.write_bytes(large.clone(), &mut spare);
    let chunk = buffer.chunks.back().unwrap();
    assert_eq!(chunk.bytes().as_ptr(), large.as_ptr());
    buffer.write_bytes(large.slice(..10), &mut spare);
    buffer.write(b"more", &mut spare);
    assert_eq!(buffer.chunks.len(), 2);
}

#[test]
fn an_empty_buffer_gives_memory_back() {
    let (mut buffer, mut spare) = (SendBuffer::default(), Spare::default());
    buffer.write(&[1; 1 << 20], &mut spare);
    let range = buffer.take_unsent(u64::MAX);
    buffer.on_acked(range, &mut spare);
    assert_eq!(buffer.buffered(), 0);
    assert!(buffer.accounted_bytes() < 1024);
}

#[test]
fn truncated_to_a_prefix() {
    let (mut buffer, mut spare) = (SendBuffer::default(), Spare::default());
    buffer.write(&[1; 1000], &mut spare);
    buffer.write_bytes(Bytes::from(vec![2; 5000]), &mut spare);
    buffer.take_unsent(4000);
    buffer.on_lost(0..4000);
    buffer.on_acked(2000..3000, &mut spare);
    buffer.truncate(500);
    assert_eq!(
        (buffer.end(), buffer.sent(), buffer.unsent()),
        (500, 4000, 0)
    );
    assert_eq!(buffer.take_lost(u64::MAX), Some(0..500));
    assert!(!buffer.has_lost());
    buffer.on_lost(0..4000);
    assert_eq!(buffer.first_lost(), Some(0..500));
    buffer.on_acked(0..4000, &mut spare);
    assert!(!buffer.has_unacked() && !buffer.has_lost());
    buffer.truncate(0);
    assert_eq!((buffer.buffered(), buffer.end()), (0, 500));
}

#[test]
fn the_largest_offsets() {
    let (mut buffer, mut spare) = (SendBuffer::default(), Spare::default());
    let base = (1 << 62) - 11;
    (buffer.base, buffer.sent, buffer.end) = (base, base, base);
    buffer.write(b"0123456789", &mut spare);
    let range = buffer.take_unsent(u64::MAX);
    assert_eq!(range.end, (1 << 62) - 1);
    let mut out = [0; 4];
    buffer.copy_to(range.start + 6, &mut out);
    assert_eq!(&out, b"6789");
    buffer.on_lost(range.clone());
    buffer.on_acked(range, &mut spare);
    assert_eq!(buffer.buffered(), 0);
}
