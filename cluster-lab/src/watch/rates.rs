//! How fast counters grow, over the last second.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::Count;

/// How far back a rate looks, in microseconds: far enough to be steady, near enough to follow.
const WINDOW: u64 = 1_000_000;
/// Two looks that are nearer to each other say little.
const LEAST: u64 = 100_000;

/// Packets and bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    /// Packets a second.
    pub packets: f64,
    /// Bytes a second.
    pub bytes: f64,
}

/// Counters by a key that tells one life of them from the next: a counter never goes back.
#[derive(Debug)]
pub(super) struct Rates<K> {
    looks: VecDeque<(u64, BTreeMap<K, Count>)>,
}

impl<K: Ord> Default for Rates<K> {
    fn default() -> Self {
        Rates { looks: VecDeque::new() }
    }
}

impl<K: Ord> Rates<K> {
    /// What the counters were at `at`, in microseconds.
    pub fn look(&mut self, at: u64, counts: BTreeMap<K, Count>) {
        self.looks.push_back((at, counts));
        // One look from before the window stays: it is where the window begins.
        while self.looks.get(1).is_some_and(|(next, _)| next + WINDOW <= at) {
            self.looks.pop_front();
        }
    }

    /// How fast the counter of `key` grows.
    pub fn of(&self, key: &K) -> Rate {
        let known = |(at, counts): &(u64, BTreeMap<K, Count>)| Some((*at, *counts.get(key)?));
        let Some((now, last)) = self.looks.back().and_then(known) else { return Rate::default() };
        let Some((then, first)) = self.looks.iter().find_map(known) else { return Rate::default() };
        if now.saturating_sub(then) < LEAST {
            return Rate::default();
        }
        let seconds = (now - then) as f64 / 1e6;
        let grown = |last: u64, first: u64| last.saturating_sub(first) as f64 / seconds;
        Rate { packets: grown(last.packets, first.packets), bytes: grown(last.bytes, first.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_second() {
        let mut rates = Rates::default();
        let mut look = |at: u64, packets| {
            rates.look(at * 1000, BTreeMap::from([("a", Count { packets, bytes: packets * 100 })]));
            rates.of(&"a")
        };
        assert_eq!(look(0, 0), Rate::default());
        assert_eq!(look(50, 50), Rate::default(), "too short to tell");
        assert_eq!(look(500, 500), Rate { packets: 1000.0, bytes: 100_000.0 });
        assert_eq!(look(1000, 500).packets, 500.0);
        assert_eq!(look(1500, 500).packets, 0.0);
        assert_eq!(look(2500, 1500).packets, 1000.0);
        assert_eq!(rates.of(&"b"), Rate::default());
    }
}
