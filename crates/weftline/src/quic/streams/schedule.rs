//! Whose turn it is to send.

use alloc::{collections::VecDeque, vec::Vec};

/// Streams with something to send: the highest priority first, in turn within one.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// Highest priority first. A few empty ones are kept for their memory.
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    priority: i32,
    slots: VecDeque<u32>,
}

impl Schedule {
    /// The slot whose turn it is, and its priority.
    pub(crate) fn first(&self) -> Option<(i32, u32)> {
        self.levels
            .iter()
            .find_map(|level| Some((level.priority, *level.slots.front()?)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// Moves `slot` from the place it has (`place`) to the end of `priority`, or out of the
    /// schedule. One that is in place already keeps its turn.
    #[inline]
    pub(crate) fn set(&mut self, slot: u32, place: &mut Option<i32>, priority: Option<i32>) {
        if *place != priority {
            self.move_to(slot, place, priority);
        }
    }

    fn move_to(&mut self, slot: u32, place: &mut Option<i32>, priority: Option<i32>) {
        if let Some(old) = place.take() {
            self.remove(slot, old);
        }
        if let Some(priority) = priority {
            self.push(slot, priority);
        }
        *place = priority;
    }

    /// Ends the turn of `slot`: if it was first, it goes to the end.
    pub(crate) fn end_turn(&mut self, slot: u32, place: Option<i32>) {
        if let Some(level) = place.and_then(|priority| self.level_mut(priority))
            && level.slots.front() == Some(&slot)
        {
            level.slots.rotate_left(1);
        }
    }

    fn push(&mut self, slot: u32, priority: i32) {
        let index = self.levels.partition_point(|l| l.priority > priority);
        match self.levels.get_mut(index) {
            Some(level) if level.priority == priority => level.slots.push_back(slot),
            _ => {
                if self.levels.len() >= KEPT_LEVELS {
                    self.levels.retain(|level| !level.slots.is_empty());
                }
                let index = self.levels.partition_point(|l| l.priority > priority);
                let slots = VecDeque::from([slot]);
                self.levels.insert(index, Level { priority, slots });
            }
        }
    }

    fn remove(&mut self, slot: u32, priority: i32) {
        let Some(level) = self.level_mut(priority) else {
            return;
        };
        // It is nearly always at one of the ends: it just had its turn.
        if level.slots.front() == Some(&slot) {
            level.slots.pop_front();
        } else if level.slots.back() == Some(&slot) {
            level.slots.pop_back();
        } else {
            level.slots.retain(|&other| other != slot);
        }
    }

    fn level_mut(&mut self, priority: i32) -> Option<&mut Level> {
        let index = self.levels.partition_point(|l| l.priority > priority);
        let level = self.levels.get_mut(index)?;
        (level.priority == priority).then_some(level)
    }
}

/// With this many priorities in the list, those without a stream are dropped from it.
const KEPT_LEVELS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_turns_by_priority() {
        let mut schedule = Schedule::default();
        let mut places = [None; 4];
        for (slot, priority) in [(0, 0), (1, 5), (2, 5), (3, -7)] {
            schedule.set(slot, &mut places[slot as usize], Some(priority));
        }
        let mut turn = || {
            let (_, slot) = schedule.first()?;
            schedule.end_turn(slot, places[slot as usize]);
            Some(slot)
        };
        assert_eq!([turn(), turn(), turn()], [Some(1), Some(2), Some(1)]);
        schedule.set(1, &mut places[1], None);
        schedule.set(2, &mut places[2], Some(-7));
        assert_eq!(schedule.first(), Some((0, 0)));
        schedule.set(0, &mut places[0], None);
        assert_eq!(schedule.first(), Some((-7, 3)));
        schedule.set(3, &mut places[3], None);
        assert_eq!(schedule.first(), Some((-7, 2)));
        schedule.set(2, &mut places[2], None);
        assert!(schedule.is_empty());
        assert_eq!(places, [None; 4]);
    }

    #[test]
    fn forgets_priorities_without_streams() {
        let mut schedule = Schedule::default();
        for priority in 0..1000 {
            let mut place = None;
            schedule.set(1, &mut place, Some(priority));
            schedule.set(1, &mut place, None);
        }
        assert!(schedule.levels.len() <= KEPT_LEVELS);
    }
}
