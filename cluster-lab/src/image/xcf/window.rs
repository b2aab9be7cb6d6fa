//! Which counters have come already, as RFC 6479 keeps them.

/// Counters below the highest that may still come, each once.
const WINDOW: u64 = 2048;
const BLOCK: u64 = 64;
/// A power of two, and more than the window, so that blocks are cleared whole.
const BLOCKS: usize = 64;

/// A sliding window over the counters of one life of one sender.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// One more than the highest counter that has come.
    next: u64,
    seen: [u64; BLOCKS],
}

impl Default for Window {
    fn default() -> Self {
        Window { next: 0, seen: [0; BLOCKS] }
    }
}

impl Window {
    /// Whether `counter` may come: not seen yet, and not older than the window.
    pub fn is_fresh(&self, counter: u64) -> bool {
        if counter >= self.next {
            // The highest number of all has no successor.
            return counter != u64::MAX;
        }
        self.next - counter <= WINDOW && self.seen[block(counter)] & bit(counter) == 0
    }

    /// Notes that `counter`, which is fresh, has come.
    pub fn note(&mut self, counter: u64) {
        if counter >= self.next {
            // All blocks that the window newly enters. The highest one seen so far is kept.
            let entered = (self.next.div_ceil(BLOCK)..=counter / BLOCK).rev().take(BLOCKS);
            entered.for_each(|number| self.seen[block(number * BLOCK)] = 0);
            self.next = counter + 1;
        }
        self.seen[block(counter)] |= bit(counter);
    }
}

fn block(counter: u64) -> usize {
    (counter / BLOCK) as usize % BLOCKS
}

fn bit(counter: u64) -> u64 {
    1 << (counter % BLOCK)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a set of all that has come: any order, any leaps.
        #[test]
        fn each_counter_comes_once_within_the_window(
            steps in prop::collection::vec((any::<bool>(), prop_oneof![0..70u64, 0..5000u64, 0..u64::MAX / 2]), 1..400)
        ) {
            let (mut window, mut seen, mut next) = (Window::default(), BTreeSet::new(), 0u64);
            for (forward, step) in steps {
                let counter = if forward { next.saturating_add(step) } else { next.saturating_sub(step) };
                let fresh = counter != u64::MAX && next.saturating_sub(counter) <= WINDOW && !seen.contains(&counter);
                prop_assert_eq!(window.is_fresh(counter), fresh, "{} at {}", counter, next);
                if fresh {
                    window.note(counter);
                    seen.insert(counter);
                    next = next.max(counter + 1);
                }
            }
        }
    }
}
