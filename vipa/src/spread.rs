//! A hash map for a million small entries: one cache miss for a lookup, and it grows in small steps.
//!
//! Keys and values lie in the table itself, by linear probing, so that a lookup reads one place of memory;
//! a table with separate control bytes reads two. And a table that grows moves all that it holds at
//! once, and is rather empty just afterwards. This one has parts that grow one after another, because keys
//! are spread over them unevenly: the last gets half as many again as the first. So at any size three
//! fifths of it are in use, and no insertion moves more than a twentieth of what is here.

use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::mem::size_of;

use foldhash::fast::FixedState;

const PARTS: usize = 32;
/// Steps in which the sizes of the parts differ.
const STEPS: usize = 1024;
/// Slots of the smallest part that is not empty.
const LEAST: usize = 8;

/// The part of a hash's step: part n begins at STEPS * 2 * (1.5^(n / PARTS) - 1).
static PART_OF: [u8; STEPS] = {
    // 1.5^(1 / PARTS)
    const RATIO: f64 = 1.012_751_283_468_622_3;
    let mut table = [0; STEPS];
    let (mut part, mut end) = (0, RATIO);
    let mut step = 0;
    while step < STEPS {
        while 1.0 + step as f64 / (2 * STEPS) as f64 >= end && part as usize + 1 < PARTS {
            part += 1;
            end *= RATIO;
        }
        table[step] = part;
        step += 1;
    }
    table
};

/// The map. Lookups allocate nothing. Its slots are aligned as `A` is.
pub(crate) struct Spread<K, V, A = ()> {
    parts: [Part<K, V, A>; PARTS],
    len: usize,
    hasher: FixedState,
}

/// Why an entry was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A table of its own, at most three quarters full.
struct Part<K, V, A> {
    slots: Vec<Slot<K, V, A>>,
    len: usize,
}

struct Slot<K, V, A> {
    entry: Option<(K, V)>,
    _aligned: [A; 0],
}

impl<K, V, A> Slot<K, V, A> {
    const FREE: Self = Slot { entry: None, _aligned: [] };
}

/// Bytes of a slot.
pub(crate) const fn slot_size<K, V, A>() -> usize {
    size_of::<Slot<K, V, A>>()
}

/// Where a key is, or the first free slot after where it would have been.
enum Place {
    At(usize),
    Free(usize),
    /// The part has no slot yet.
    Nowhere,
}

impl<K: Eq + Hash, V, A> Spread<K, V, A> {
    /// An empty one. `seed` keeps strangers from choosing keys that collide.
    pub fn new(seed: u64) -> Self {
        let parts = core::array::from_fn(|_| Part { slots: Vec::new(), len: 0 });
        Spread { parts, len: 0, hasher: FixedState::with_seed(seed) }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The key's hash and part. The slot comes from the other end of the hash.
    fn part_of(&self, key: &K) -> (u64, usize) {
        let hash = self.hasher.hash_one(key);
        (hash, PART_OF[hash as usize % STEPS].into())
    }

    #[inline(always)]
    pub fn get(&self, key: &K) -> Option<&V> {
        let (hash, part) = self.part_of(key);
        let part = &self.parts[part];
        match part.find(hash, key) {
            Place::At(slot) => part.slots[slot].entry.as_ref().map(|(_, value)| value),
            Place::Free(_) | Place::Nowhere => None,
        }
    }

    #[inline(always)]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (hash, part) = self.part_of(key);
        let part = &mut self.parts[part];
        match part.find(hash, key) {
            Place::At(slot) => part.slots[slot].entry.as_mut().map(|(_, value)| value),
            Place::Free(_) | Place::Nowhere => None,
        }
    }

    /// Puts a value in, in place of a former one, which is returned. If it is `full`, nothing else.
    ///
    /// # Errors
    /// It is full, and has no such key.
    pub fn put(&mut self, key: K, value: V, full: bool) -> Result<Option<V>, Full> {
        let (hash, part) = self.part_of(&key);
        let Spread { parts, len, hasher } = self;
        let part = &mut parts[part];
        let place = part.find(hash, &key);
        if let Place::At(slot) = place {
            return Ok(part.slots[slot].entry.replace((key, value)).map(|(_, before)| before));
        }
        if full {
            return Err(Full);
        }
        *len += 1;
        part.len += 1;
        match place {
            Place::Free(slot) if !part.is_crowded() => part.slots[slot].entry = Some((key, value)),
            _ => {
                part.rebuild(LEAST.max(part.slots.len() / 2 * 3), hasher, |_, _| true);
                part.settle(hash, (key, value));
            }
        }
        Ok(None)
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (hash, part) = self.part_of(key);
        let Spread { parts, len, hasher } = self;
        let Place::At(slot) = parts[part].find(hash, key) else { return None };
        *len -= 1;
        parts[part].remove(slot, hasher).map(|(_, value)| value)
    }

    /// Takes out everything for which `keep` says no. A part in which all of it stays is only read.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        let Spread { parts, len, hasher } = self;
        for part in parts.iter_mut() {
            let goes = |slot: &Slot<K, V, A>| slot.entry.as_ref().is_some_and(|(key, value)| !keep(key, value));
            let Some(first) = part.slots.iter().position(goes) else { continue };
            part.slots[first].entry = None;
            // Nothing is asked about twice.
            let mut asked = part.slots[..first].iter().filter(|slot| slot.entry.is_some()).count();
            part.rebuild(part.slots.len(), hasher, |key, value| match asked {
                0 => keep(key, value),
                _ => {
                    asked -= 1;
                    true
                }
            });
            part.len = part.entries().count();
        }
        *len = parts.iter().map(|part| part.len).sum();
    }

    /// Everything, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.iter().flat_map(Part::entries).map(|(key, value)| (key, value))
    }
}

impl<K: Eq + Hash, V, A> Part<K, V, A> {
    fn entries(&self) -> impl Iterator<Item = &(K, V)> {
        self.slots.iter().filter_map(|slot| slot.entry.as_ref())
    }

    fn is_crowded(&self) -> bool {
        self.len * 4 > self.slots.len() * 3
    }

    /// The slot where the search for a hash begins: the hash as a fraction of the table.
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    // It ends: a quarter of the slots is free.
    #[inline(always)]
    fn find(&self, hash: u64, key: &K) -> Place {
        let mut slot = self.home(hash);
        loop {
            let Some(Slot { entry, .. }) = self.slots.get(slot) else { return Place::Nowhere };
            match entry {
                Some((known, _)) if known == key => return Place::At(slot),
                Some(_) => slot = self.after(slot),
                None => return Place::Free(slot),
            }
        }
    }

    /// Puts in what is not here, where there is room.
    fn settle(&mut self, hash: u64, entry: (K, V)) {
        let mut slot = self.home(hash);
        while self.slots[slot].entry.is_some() {
            slot = self.after(slot);
        }
        self.slots[slot].entry = Some(entry);
    }

    /// Takes out what is in a slot; what comes behind it moves up, so that no search ends too early.
    fn remove(&mut self, slot: usize, hasher: &FixedState) -> Option<(K, V)> {
        let removed = self.slots[slot].entry.take();
        self.len -= 1;
        let (mut gap, mut slot) = (slot, self.after(slot));
        while let Some((key, _)) = &self.slots[slot].entry {
            let home = self.home(hasher.hash_one(key));
            // Between the gap and its place, around the end of the table: it stays.
            let stays = if gap < slot { (gap + 1..=slot).contains(&home) } else { home > gap || home <= slot };
            if !stays {
                self.slots.swap(gap, slot);
                gap = slot;
            }
            slot = self.after(slot);
        }
        removed
    }

    /// Takes `slots` slots for what `keep` says yes to.
    fn rebuild(&mut self, slots: usize, hasher: &FixedState, mut keep: impl FnMut(&K, &V) -> bool) {
        let mut empty = Vec::new();
        empty.resize_with(slots, || Slot::FREE);
        for entry in core::mem::replace(&mut self.slots, empty).into_iter().filter_map(|slot| slot.entry) {
            if keep(&entry.0, &entry.1) {
                self.settle(hasher.hash_one(&entry.0), entry);
            }
        }
    }
}

impl<K: fmt::Debug + Eq + Hash, V: fmt::Debug, A> fmt::Debug for Spread<K, V, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// It is a map.
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0u8..5, 0u16..300, any::<u32>()), 0..2000)) {
            let mut spread: Spread<u16, u32> = Spread::new(7);
            let mut model = BTreeMap::new();
            for (step, key, value) in steps {
                match step {
                    0 | 1 => prop_assert_eq!(spread.remove(&key), model.remove(&key)),
                    2 => prop_assert_eq!(spread.get_mut(&key), model.get_mut(&key)),
                    _ => prop_assert_eq!(spread.put(key, value, false), Ok(model.insert(key, value))),
                }
                prop_assert_eq!(spread.get(&key), model.get(&key));
                prop_assert_eq!(spread.len(), model.len());
            }
            prop_assert!((0..300).all(|key| spread.get(&key) == model.get(&key)));
            let mut asked = BTreeMap::new();
            spread.retain(|key, _| {
                *asked.entry(*key).or_insert(0) += 1;
                key % 3 > 0
            });
            prop_assert!(asked.len() == model.len() && asked.values().all(|times| *times == 1));
            model.retain(|key, _| key % 3 > 0);
            prop_assert_eq!(spread.len(), model.len());
            prop_assert!((0..300).all(|key| spread.get(&key) == model.get(&key)));
            prop_assert_eq!(spread.iter().map(|(key, value)| (*key, *value)).collect::<BTreeMap<_, _>>(), model);
        }
    }

    /// The last part gets half as much again as the first one does, and none more than a twentieth; searches
    /// are short in all of them, at any size.
    #[test]
    fn keys_are_spread_unevenly() {
        let mut spread: Spread<u32, ()> = Spread::new(7);
        for key in 0..100_000u32 {
            assert_eq!(spread.put(key, (), false), Ok(None));
            if key % 10_000 == 0 {
                let farther = |part: &Part<u32, (), ()>| {
                    let search = |(slot, held): (usize, &Slot<u32, (), ()>)| {
                        let home = part.home(spread.hasher.hash_one(held.entry.as_ref()?.0));
                        Some((slot + part.slots.len() - home) % part.slots.len())
                    };
                    part.slots.iter().enumerate().filter_map(search).sum::<usize>()
                };
                let farther = spread.parts.iter().map(farther).sum::<usize>();
                assert!(farther <= 2 * spread.len(), "{farther} for {}", spread.len());
            }
        }
        let share = |part: usize| spread.parts[part].len as f64 / spread.len() as f64;
        assert!((1.3..1.7).contains(&(share(PARTS - 1) / share(0))), "{} {}", share(0), share(PARTS - 1));
        assert!((0..PARTS).all(|part| (0.02..0.05).contains(&share(part))));
    }
}
