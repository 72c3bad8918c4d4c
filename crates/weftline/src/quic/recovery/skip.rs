//! When to leave out a packet number.

/// Leaves out one number at random in every stretch of packets. The stretches double, so a long
/// transfer is hardly slowed while a cheat is soon caught.
#[derive(Clone, Debug, Default)]
pub(crate) struct SkipPlan {
    next: Option<u64>,
    stretch: u64,
}

impl SkipPlan {
    /// Whether `number` is to be left out. `random` is asked when the next one is chosen.
    pub(crate) fn is_due(&mut self, number: u64, random: impl FnOnce() -> u64) -> bool {
        let due = match self.next {
            Some(next) if number < next => return false,
            Some(_) => true,
            None => false,
        };
        self.stretch = (self.stretch * 2).clamp(STRETCH_MIN, STRETCH_MAX);
        self.next = Some(number + self.stretch + random() % self.stretch);
        due
    }
}

const STRETCH_MIN: u64 = 128;
const STRETCH_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn stretches_double() {
        let mut plan = SkipPlan::default();
        let skipped: Vec<u64> = (0..1_000_000).filter(|&n| plan.is_due(n, || 5)).collect();
        assert_eq!(skipped.first(), Some(&(128 + 5)));
        assert_eq!(skipped.get(1), Some(&(133 + 256 + 5)));
        let steps = skipped.iter().zip(skipped.iter().skip(1));
        assert!(steps.clone().all(|(a, b)| b - a <= STRETCH_MAX + 5));
        assert!(steps.clone().any(|(a, b)| b - a == STRETCH_MAX + 5));
        assert!(steps.clone().all(|(a, b)| b - a > STRETCH_MIN));
    }

    #[test]
    fn random_is_asked_only_when_needed() {
        let mut plan = SkipPlan::default();
        assert!(!plan.is_due(0, || 0));
        assert!(!plan.is_due(1, || unreachable!()));
    }
}
