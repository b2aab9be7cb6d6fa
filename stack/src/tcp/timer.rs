//! Deadlines: a binary heap in which each record has at most one place.
//!
//! Re-arming is lazy. Most deadlines move later before they are due (each ACK pushes the
//! retransmission out): that costs nothing here, the old place stays, and whoever is woken early
//! sets its deadline again. Only an earlier deadline moves a place.

use crate::time::Instant;

const ABSENT: u32 = u32::MAX;

/// Deadlines of records that are known by small numbers.
#[derive(Debug, Default)]
pub(super) struct TimerQueue {
    heap: Vec<(Instant, u32)>,
    /// Where in the heap each record is.
    places: Vec<u32>,
}

impl TimerQueue {
    /// The first deadline; it may be earlier than what its record wants by now, never later.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.0)
    }

    /// Makes sure that `key` is woken at `at` or before.
    pub(super) fn set(&mut self, key: u32, at: Instant) {
        if at == Instant::FAR_FUTURE {
            return;
        }
        let index = key as usize;
        if index >= self.places.len() {
            self.places.resize(index + 1, ABSENT);
        }
        match self.places[index] {
            ABSENT => {
                self.heap.push((at, key));
                self.up(self.heap.len() - 1);
            }
            place => {
                let place = place as usize;
                if at < self.heap[place].0 {
                    self.heap[place].0 = at;
                    self.up(place);
                }
            }
        }
    }

    /// Forgets `key`.
    pub(super) fn remove(&mut self, key: u32) {
        match self.places.get(key as usize) {
            None | Some(&ABSENT) => {}
            Some(&place) => self.take(place as usize),
        }
    }

    /// Takes out a record whose deadline is `now` or before.
    pub(super) fn pop(&mut self, now: Instant) -> Option<u32> {
        let &(at, key) = self.heap.first()?;
        if at > now {
            return None;
        }
        self.take(0);
        Some(key)
    }

    fn take(&mut self, place: usize) {
        let (_, key) = self.heap.swap_remove(place);
        // Idle connections have no deadline: their places are given back.
        if self.heap.len() < self.heap.capacity() / 4 {
            self.heap.shrink_to(self.heap.len() * 2);
        }
        self.places[key as usize] = ABSENT;
        if place < self.heap.len() {
            self.up(place);
            self.down(place);
        }
    }

    /// Writes down where the entry at `place` is.
    fn settle(&mut self, place: usize) {
        // Places are fewer than records, which are counted in u32.
        self.places[self.heap[place].1 as usize] = place as u32;
    }

    fn up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.heap.swap(parent, place);
            self.settle(place);
            place = parent;
        }
        self.settle(place);
    }

    fn down(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            let Some(&(mut least, _)) = self.heap.get(left) else { break };
            let mut child = left;
            if let Some(&(right, _)) = self.heap.get(left + 1)
                && right < least
            {
                least = right;
                child = left + 1;
            }
            if self.heap[place].0 <= least {
                break;
            }
            self.heap.swap(place, child);
            self.settle(place);
            place = child;
        }
        self.settle(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Whatever is set and removed, deadlines come out in order, one for each record, and none
        /// later than the earliest that was asked for.
        #[test]
        fn deadlines_come_in_order(steps in proptest::collection::vec((0u32..20, 0u64..100, any::<bool>()), 0..200)) {
            let mut queue = TimerQueue::default();
            let mut model = BTreeMap::new();
            for (key, at, remove) in steps {
                if remove {
                    queue.remove(key);
                    model.remove(&key);
                } else {
                    queue.set(key, Instant::from_nanos(at));
                    let entry = model.entry(key).or_insert(at);
                    *entry = (*entry).min(at);
                }
                prop_assert_eq!(queue.next().map(Instant::as_nanos), model.values().min().copied());
            }
            let mut last = 0;
            while let Some(at) = queue.next() {
                prop_assert!(at.as_nanos() >= last);
                last = at.as_nanos();
                let key = queue.pop(at).unwrap();
                prop_assert_eq!(model.remove(&key), Some(last));
            }
            prop_assert!(model.is_empty());
        }
    }
}
