use alloc::{vec, vec::Vec};

use proptest::prelude::*;

use super::*;

/// A schedule whose streams always have more to send.
#[derive(Default)]
struct Busy {
    schedule: Schedule,
    ranks: Vec<Option<Rank>>,
}

impl Busy {
    fn with(ranks: &[(i32, u32, i64)]) -> Self {
        let mut busy = Self::default();
        for (slot, &(priority, group, order)) in ranks.iter().enumerate() {
            let rank = Rank {
                priority,
                group,
                order,
            };
            busy.set(slot, Some(rank));
        }
        busy
    }

    fn set(&mut self, slot: usize, rank: Option<Rank>) {
        if slot >= self.ranks.len() {
            self.ranks.resize(slot + 1, None);
        }
        let before = core::mem::replace(&mut self.ranks[slot], rank);
        let mut placed = before.is_some();
        if let Some(before) = before.filter(|before| Some(*before) != rank) {
            self.schedule.set(slot as u32, &mut placed, false, before);
        }
        if let Some(rank) = rank {
            self.schedule.set(slot as u32, &mut placed, true, rank);
        }
    }

    fn turn(&mut self) -> Option<usize> {
        let (rank, slot) = self.schedule.first()?;
        assert_eq!(self.ranks[slot as usize], Some(rank));
        self.schedule.end_turn(slot, rank);
        Some(slot as usize)
    }

    fn turns(&mut self, count: usize) -> Vec<usize> {
        (0..count).map_while(|_| self.turn()).collect()
    }
}

#[test]
fn priorities_are_strict_and_equals_take_turns() {
    let mut busy = Busy::with(&[(0, 0, 0), (5, 0, 0), (5, 0, 0), (-7, 0, 0)]);
    assert_eq!(busy.turns(3), [1, 2, 1]);
    busy.set(1, None);
    assert_eq!(busy.turns(2), [2, 2]);
    busy.set(2, None);
    assert_eq!(busy.turns(2), [0, 0]);
    busy.set(0, None);
    assert_eq!(busy.turns(1), [3]);
    busy.set(3, None);
    assert_eq!(busy.turns(1), []);
    assert!(busy.schedule.is_empty());
}

#[test]
fn orders_are_strict_within_a_group_only() {
    let streams = [
        (0, 0, 0),
        (0, 0, i64::MAX),
        (0, 7, i64::MIN),
        (0, 9, 5),
        (0, 9, 5),
    ];
    let mut busy = Busy::with(&streams);
    // Group 0 had the last turn, as far as a new schedule is concerned.
    assert_eq!(busy.turns(7), [2, 3, 1, 2, 4, 1, 2]);
    busy.set(1, None);
    assert_eq!(busy.turns(4), [3, 0, 2, 4]);
}

#[test]
fn what_is_in_place_keeps_its_turn() {
    let mut busy = Busy::with(&[(0, 0, 0), (0, 0, 0)]);
    let rank = Rank::default();
    busy.set(0, Some(rank));
    assert_eq!(busy.turns(1), [0]);
    // One that comes is last.
    busy.set(2, Some(rank));
    assert_eq!(busy.turns(4), [1, 0, 2, 1]);
}

/// Every stream of the highest order in its group has as many turns as the others there, and every
/// group as many as the others.
#[test]
fn turns_are_fair() {
    let mut streams = Vec::new();
    for (group, size) in [(3, 1), (4, 2), (1000, 10)] {
        streams.extend(core::iter::repeat_n((0, group, 1), size));
        streams.push((0, group, 0));
    }
    let mut busy = Busy::with(&streams);
    let mut count = vec![0; streams.len()];
    for slot in busy.turns(300) {
        count[slot] += 1;
    }
    for (slot, &(_, group, order)) in streams.iter().enumerate() {
        let expected = match (group, order) {
            (_, 0) => 0,
            (3, _) => 100,
            (4, _) => 50,
            _ => 10,
        };
        assert_eq!(count[slot], expected, "{slot}");
    }
}

#[test]
fn forgets_what_has_no_streams() {
    let mut busy = Busy::default();
    for n in 0..1000 {
        let (priority, group, order) = (n / 100, n as u32, i64::from(n));
        let rank = Rank {
            priority,
            group,
            order,
        };
        busy.set(1, Some(rank));
    }
    busy.set(1, None);
    assert!(busy.schedule.classes.len() <= KEPT);
    assert!(busy.schedule.classes.iter().all(|c| c.groups.len() <= KEPT));
    assert!(busy.schedule.accounted_bytes() < 16 << 10);
}

/// The same by lists: of each group, in the order of turns.
#[derive(Default)]
struct Model {
    streams: Vec<(usize, Rank)>,
    last: Vec<(i32, u32)>,
}

impl Model {
    fn set(&mut self, slot: usize, rank: Option<Rank>) {
        let at = self.streams.iter().position(|(other, _)| *other == slot);
        match (at, rank) {
            (Some(at), rank) if Some(self.streams[at].1) != rank => {
                self.streams.remove(at);
                self.set(slot, rank);
            }
            (None, Some(rank)) => self.streams.push((slot, rank)),
            _ => {}
        }
    }

    fn turn(&mut self) -> Option<usize> {
        let priority = self.streams.iter().map(|(_, rank)| rank.priority).max()?;
        let last = self.last.iter().find(|(p, _)| *p == priority);
        let last = last.map_or(0, |(_, group)| *group);
        let of_class = self.streams.iter().filter(|(_, r)| r.priority == priority);
        let groups: Vec<_> = of_class.map(|(_, rank)| rank.group).collect();
        let next = groups.iter().filter(|group| **group > last).min();
        let group = *next.or_else(|| groups.iter().min())?;
        let is_of = |rank: &Rank| (rank.priority, rank.group) == (priority, group);
        let of_group = self.streams.iter().filter(|(_, rank)| is_of(rank));
        let order = of_group.map(|(_, rank)| rank.order).max()?;
        let at = self.streams.iter();
        let at = at.clone().position(|(_, r)| is_of(r) && r.order == order)?;
        self.last.retain(|(p, _)| *p != priority);
        self.last.push((priority, group));
        let stream = self.streams.remove(at);
        self.streams.push(stream);
        Some(stream.0)
    }
}

fn rank() -> impl Strategy<Value = Rank> {
    // Few enough that nothing is forgotten: a group that is remembered keeps its last turn.
    (-1..2, 0_u32..4, -2_i64..2).prop_map(|(priority, group, order)| Rank {
        priority,
        group,
        order,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn behaves_like_lists(
        steps in prop::collection::vec((0_usize..12, prop::option::of(rank()), 0_usize..4), 1..200)
    ) {
        let (mut busy, mut model) = (Busy::default(), Model::default());
        for (slot, rank, turns) in steps {
            busy.set(slot, rank);
            model.set(slot, rank);
            for _ in 0..turns {
                prop_assert_eq!(busy.turn(), model.turn());
            }
            prop_assert_eq!(busy.schedule.len, model.streams.len());
        }
    }
}
