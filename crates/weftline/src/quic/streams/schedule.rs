//! Whose turn it is to send.
//!
//! A turn is one frame. Who goes first is a matter of [`Rank`]: priorities are strict; the groups
//! of one priority take turns; within a group higher orders go first, and equals take turns. Streams
//! are linked into rings by their slots, so that a turn costs the same however many there are.

use alloc::vec::Vec;

/// What decides on a stream's turn.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rank {
    /// Higher first, whatever else.
    pub(crate) priority: i32,
    /// Of equal priority, groups take turns.
    pub(crate) group: u32,
    /// Of one group, higher first.
    pub(crate) order: i64,
}

impl Rank {
    /// Whether data of this rank always goes before data of the other.
    pub(crate) fn precedes(&self, other: &Self) -> bool {
        let same = (self.priority, self.group) == (other.priority, other.group);
        self.priority > other.priority || same && self.order > other.order
    }
}

/// Streams with something to send.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// Lowest priority first. A few without streams are kept for their memory.
    classes: Vec<Class>,
    /// The rings, by slot.
    links: Vec<Link>,
    len: usize,
}

/// The streams of one priority.
#[derive(Debug)]
struct Class {
    priority: i32,
    /// In the order of their IDs. A few without streams are kept for their memory.
    groups: Vec<Group>,
    /// The group that had the last turn.
    last: u32,
    len: usize,
}

/// The streams of one group.
#[derive(Debug)]
struct Group {
    id: u32,
    /// Lowest order first; none is empty.
    levels: Vec<Level>,
}

/// Streams that are equals, in a ring.
#[derive(Debug)]
struct Level {
    order: i64,
    /// The slot whose turn it is.
    head: u32,
}

/// The neighbours of a slot in its ring.
#[derive(Copy, Clone, Debug, Default)]
struct Link {
    next: u32,
    previous: u32,
}

impl Schedule {
    /// The slot whose turn it is, and its rank.
    pub(crate) fn first(&self) -> Option<(Rank, u32)> {
        if self.len == 0 {
            return None;
        }
        let class = self.classes.iter().rev().find(|class| class.len > 0)?;
        let group = class.next()?;
        let level = group.levels.last()?;
        let rank = Rank {
            priority: class.priority,
            group: group.id,
            order: level.order,
        };
        Some((rank, level.head))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `slot` at the end of its equals, or takes it out. One that is in place keeps its turn;
    /// before its rank changes it must be taken out.
    #[inline]
    pub(crate) fn set(&mut self, slot: u32, placed: &mut bool, wanted: bool, rank: Rank) {
        if *placed != wanted {
            *placed = wanted;
            match wanted {
                true => self.push(slot, rank),
                false => self.remove(slot, rank),
            }
        }
    }

    /// `slot`, which has this rank, had its turn.
    pub(crate) fn end_turn(&mut self, slot: u32, rank: Rank) {
        let next = self.link(slot).next;
        let Some(class) = self.class_mut(rank.priority) else {
            return;
        };
        class.last = rank.group;
        if let Some(level) = class
            .group_mut(rank.group)
            .and_then(|g| g.level_mut(rank.order))
            && level.head == slot
        {
            level.head = next;
        }
    }

    /// Memory held, in bytes.
    pub(crate) fn accounted_bytes(&self) -> usize {
        let groups = self.classes.iter().flat_map(|class| &class.groups);
        let levels: usize = groups.map(|group| group.levels.capacity()).sum();
        let groups: usize = self.classes.iter().map(|c| c.groups.capacity()).sum();
        self.links.capacity() * size_of::<Link>()
            + self.classes.capacity() * size_of::<Class>()
            + groups * size_of::<Group>()
            + levels * size_of::<Level>()
    }

    fn push(&mut self, slot: u32, rank: Rank) {
        let index = slot as usize;
        if index >= self.links.len() {
            self.links.resize(index + 1, Link::default());
        }
        self.len += 1;
        let class = self.class_or_new(rank.priority);
        class.len += 1;
        let group = class.group_or_new(rank.group);
        let at = group.levels.partition_point(|l| l.order < rank.order);
        match group.levels.get(at) {
            Some(level) if level.order == rank.order => {
                let head = level.head;
                self.insert_before(slot, head);
            }
            _ => {
                let (order, head) = (rank.order, slot);
                group.levels.insert(at, Level { order, head });
                let alone = Link {
                    next: slot,
                    previous: slot,
                };
                self.set_link(slot, alone);
            }
        }
    }

    fn remove(&mut self, slot: u32, rank: Rank) {
        let Link { next, previous } = self.link(slot);
        let Some(class) = self.class_mut(rank.priority) else {
            return;
        };
        let Some(group) = class.group_mut(rank.group) else {
            return;
        };
        let at = group.levels.partition_point(|l| l.order < rank.order);
        let Some(level) = group.levels.get_mut(at) else {
            return;
        };
        if next == slot {
            group.levels.remove(at);
        } else if level.head == slot {
            level.head = next;
        }
        class.len -= 1;
        self.len -= 1;
        self.set_link(
            previous,
            Link {
                next,
                ..self.link(previous)
            },
        );
        self.set_link(
            next,
            Link {
                previous,
                ..self.link(next)
            },
        );
    }

    fn insert_before(&mut self, slot: u32, next: u32) {
        let previous = self.link(next).previous;
        self.set_link(slot, Link { next, previous });
        self.set_link(
            previous,
            Link {
                next: slot,
                ..self.link(previous)
            },
        );
        self.set_link(
            next,
            Link {
                previous: slot,
                ..self.link(next)
            },
        );
    }

    fn link(&self, slot: u32) -> Link {
        self.links.get(slot as usize).copied().unwrap_or_default()
    }

    fn set_link(&mut self, slot: u32, link: Link) {
        if let Some(place) = self.links.get_mut(slot as usize) {
            *place = link;
        }
    }

    fn class_mut(&mut self, priority: i32) -> Option<&mut Class> {
        let at = self.classes.partition_point(|c| c.priority < priority);
        self.classes.get_mut(at).filter(|c| c.priority == priority)
    }

    fn class_or_new(&mut self, priority: i32) -> &mut Class {
        let mut at = self.classes.partition_point(|c| c.priority < priority);
        if self.classes.get(at).is_none_or(|c| c.priority != priority) {
            if self.classes.len() >= KEPT {
                self.classes.retain(|class| class.len > 0);
                at = self.classes.partition_point(|c| c.priority < priority);
            }
            self.classes.insert(at, Class::new(priority));
        }
        &mut self.classes[at]
    }
}

impl Class {
    const fn new(priority: i32) -> Self {
        Self {
            priority,
            groups: Vec::new(),
            last: 0,
            len: 0,
        }
    }

    /// The group whose turn it is: the next one with streams behind the last, in a circle.
    fn next(&self) -> Option<&Group> {
        let after = self.groups.partition_point(|g| g.id <= self.last);
        let (before, behind) = self.groups.split_at(after);
        let mut circle = behind.iter().chain(before);
        circle.find(|group| !group.levels.is_empty())
    }

    fn group_mut(&mut self, id: u32) -> Option<&mut Group> {
        let at = self.groups.partition_point(|g| g.id < id);
        self.groups.get_mut(at).filter(|g| g.id == id)
    }

    fn group_or_new(&mut self, id: u32) -> &mut Group {
        let mut at = self.groups.partition_point(|g| g.id < id);
        if self.groups.get(at).is_none_or(|g| g.id != id) {
            if self.groups.len() >= KEPT {
                self.groups.retain(|group| !group.levels.is_empty());
                at = self.groups.partition_point(|g| g.id < id);
            }
            let levels = Vec::new();
            self.groups.insert(at, Group { id, levels });
        }
        &mut self.groups[at]
    }
}

impl Group {
    fn level_mut(&mut self, order: i64) -> Option<&mut Level> {
        let at = self.levels.partition_point(|l| l.order < order);
        self.levels.get_mut(at).filter(|l| l.order == order)
    }
}

/// With this many priorities, or groups of one, those without a stream are dropped.
const KEPT: usize = 8;

#[cfg(test)]
mod tests;
