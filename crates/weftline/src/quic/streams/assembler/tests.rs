use alloc::{collections::BTreeMap, vec, vec::Vec};

use proptest::prelude::*;

use super::*;

const GAPS: usize = 1024;

#[derive(Clone, Debug)]
enum Op {
    Insert { ahead: i64, len: usize, fill: u8 },
    Read(usize),
    ReadInto(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (-40_000i64..60_000, 0usize..40_000, any::<u8>())
            .prop_map(|(ahead, len, fill)| Op::Insert { ahead, len, fill }),
        4 => (-20i64..60, 0usize..40, any::<u8>())
            .prop_map(|(ahead, len, fill)| Op::Insert { ahead, len, fill }),
        2 => (0usize..50_000).prop_map(Op::Read),
        2 => (0usize..50).prop_map(Op::Read),
        2 => (0usize..50_000).prop_map(Op::ReadInto),
    ]
}

/// Offset by offset, the byte that arrived first.
#[derive(Default)]
struct Model {
    bytes: BTreeMap<u64, u8>,
    read: u64,
}

impl Model {
    fn read(&mut self, max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < max
            && let Some(&byte) = self.bytes.get(&self.read)
        {
            out.push(byte);
            self.read += 1;
        }
        out
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn behaves_like_a_map(ops in proptest::collection::vec(op(), 1..40)) {
        let (mut assembler, mut model) = (Assembler::default(), Model::default());
        let mut spare = Spare::default();
        for (turn, op) in ops.into_iter().enumerate() {
            match op {
                Op::Insert { ahead, len, fill } => {
                    let offset = assembler.end().saturating_add_signed(ahead);
                    let data: Vec<u8> = (0..len).map(|i| fill ^ (i as u8) ^ (turn as u8)).collect();
                    assembler.insert(offset, &data, GAPS, &mut spare).unwrap();
                    for (at, &byte) in (offset..).zip(&data) {
                        model.bytes.entry(at).or_insert(byte);
                    }
                }
                Op::Read(max) => {
                    let bytes = assembler.read(max, &mut spare).unwrap_or_default();
                    prop_assert!(bytes.len() <= max);
                    prop_assert_eq!(&bytes[..], &model.read(bytes.len())[..]);
                    let more = model.bytes.contains_key(&model.read);
                    prop_assert!(!bytes.is_empty() || max == 0 || !more);
                }
                Op::ReadInto(max) => {
                    let mut out = vec![0; max];
                    let len = assembler.read_into(&mut out, &mut spare);
                    prop_assert_eq!(&out[..len], &model.read(max)[..]);
                }
            }
            prop_assert_eq!(assembler.read_offset(), model.read);
            let held: usize = assembler.blocks.iter().map(|b| b.data.capacity()).sum();
            prop_assert_eq!(assembler.held, held);
            let span = model.bytes.last_key_value().map_or(0, |(&at, _)| at + 1 - model.read.min(at + 1));
            prop_assert!(held as u64 <= span + 2 * BLOCK as u64, "{held} bytes for {span}");
        }
    }
}

fn drain(assembler: &mut Assembler, spare: &mut Spare) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = assembler.read(usize::MAX, spare) {
        all.extend_from_slice(&bytes);
    }
    all
}

#[test]
fn bytes_one_by_one_cost_what_they_weigh() {
    let (mut assembler, mut spare) = (Assembler::default(), Spare::default());
    for at in (0..100_000).rev() {
        // Not in order, so that every one opens or moves a gap.
        assembler.insert(at, &[at as u8], GAPS, &mut spare).unwrap();
    }
    assert!(assembler.accounted_bytes() < 100_000 + 2 * BLOCK);
    let all = drain(&mut assembler, &mut spare);
    assert!(all.iter().enumerate().all(|(at, &byte)| byte == at as u8));
    assert_eq!(all.len(), 100_000);
}

#[test]
fn gaps_are_bounded() {
    let (mut assembler, mut spare) = (Assembler::default(), Spare::default());
    for piece in 1..=8 {
        assembler.insert(piece * 2, b"x", 8, &mut spare).unwrap();
    }
    let one_more = assembler.insert(18, b"x", 8, &mut spare);
    assert_eq!(one_more, Err(TooManyGaps));
    assembler.insert(17, b"x", 8, &mut spare).unwrap();
    assembler.insert(0, b"ab", 8, &mut spare).unwrap();
    assembler.insert(19, b"x", 8, &mut spare).unwrap();
    assert_eq!(drain(&mut assembler, &mut spare), b"abx");
}

#[test]
fn one_byte_far_away_costs_one_block() {
    let (mut assembler, mut spare) = (Assembler::default(), Spare::default());
    let far = (1 << 62) - 2;
    assembler.insert(far, b"x", GAPS, &mut spare).unwrap();
    assembler.insert(0, b"ab", GAPS, &mut spare).unwrap();
    assert!(assembler.accounted_bytes() < 2 * BLOCK);
    assert_eq!(drain(&mut assembler, &mut spare), b"ab");
    assert!(assembler.has_unread());
}

#[test]
fn an_idle_stream_holds_next_to_nothing() {
    let (mut assembler, mut spare) = (Assembler::default(), Spare::default());
    let mut offset = 0;
    for len in [100, 1000, 200_000, 100, 100] {
        assembler
            .insert(offset, &vec![7; len], GAPS, &mut spare)
            .unwrap();
        offset += len as u64;
        assert_eq!(drain(&mut assembler, &mut spare).len(), len);
        assert!(assembler.accounted_bytes() < 1024, "after {len}");
    }
}

#[test]
fn whole_blocks_are_handed_over() {
    let (mut assembler, mut spare) = (Assembler::default(), Spare::default());
    for frame in 0..32 {
        assembler
            .insert(frame * 1024, &[frame as u8; 1024], GAPS, &mut spare)
            .unwrap();
    }
    let block = assembler.blocks.front().unwrap().data.as_ptr();
    let bytes = assembler.read(100_000, &mut spare).unwrap();
    assert_eq!((bytes.as_ptr(), bytes.len()), (block, BLOCK));
    let part = assembler.read(1000, &mut spare).unwrap();
    assert_eq!(part.len(), 1000);
    assert_eq!(
        assembler.read(100_000, &mut spare).unwrap().len(),
        BLOCK - 1000
    );
}

#[test]
fn the_first_copy_counts() {
    let (mut assembler, mut spare) = (Assembler::default(), Spare::default());
    assembler.insert(2, b"cd", GAPS, &mut spare).unwrap();
    assembler.insert(0, b"ABCDEF", GAPS, &mut spare).unwrap();
    assembler
        .insert(0, b"xxxxxxxxGH", GAPS, &mut spare)
        .unwrap();
    assert_eq!(drain(&mut assembler, &mut spare), b"ABcdEFxxGH");
    assembler.insert(0, b"zzzz", GAPS, &mut spare).unwrap();
    assert_eq!(assembler.readable(), 0);
}
