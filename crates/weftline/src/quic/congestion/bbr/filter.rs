//! The largest value of a while.

/// The largest of what was seen in two slots of time, the current and the one before.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct MaxOfTwo {
    current: u64,
    previous: u64,
}

impl MaxOfTwo {
    pub(super) fn get(self) -> u64 {
        self.current.max(self.previous)
    }

    pub(super) fn update(&mut self, value: u64) {
        self.current = self.current.max(value);
    }

    /// The next slot begins.
    pub(super) fn advance(&mut self) {
        self.previous = self.current;
        self.current = 0;
    }

    pub(super) fn is_current_empty(self) -> bool {
        self.current == 0
    }
}
