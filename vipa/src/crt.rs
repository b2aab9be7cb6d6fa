//! The current routing table: which stack serves which connection.

use core::time::Duration;
use std::collections::VecDeque;

use stack::Instant;

pub(crate) use crate::flows::Flow;
use crate::flows::{Flows, slot_sizes};
use crate::membership::StackId;
pub(crate) use crate::spread::Full;

/// What the table knows of a connection. Packed: there may be a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(Rust, packed(2))]
pub(crate) struct Entry {
    /// The client's initial sequence number: tells a connection from the next one between the
    /// same ends (I11, I12).
    pub instance: u32,
    /// The stack that serves it.
    pub target: StackId,
    /// Age, in seconds that wrap.
    created: Seconds,
    /// Round of the target's report that last confirmed it.
    pub mark: u8,
    pub evidence: Evidence,
}

/// What speaks for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Its SYN passed; nobody has said yet that the handshake went on (R5).
    HalfOpen,
    /// The client has sent something after its SYN.
    Client,
    /// Its target holds it, by its own word.
    Holder,
    /// As before; the SYN of the next connection between the same ends has gone to its target since.
    Renewed,
}

impl Entry {
    pub fn new(now: Instant, instance: u32, target: StackId, mark: u8, evidence: Evidence) -> Self {
        Entry { instance, target, created: Seconds::of(now), mark, evidence }
    }

    pub fn is_half_open(&self) -> bool {
        self.evidence == Evidence::HalfOpen
    }

    /// Whole seconds since it was made.
    pub fn age(&self, now: Instant) -> u16 {
        Seconds::of(now).0.wrapping_sub(self.created.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seconds(u16);

impl Seconds {
    /// Wraps after 18 hours; an age is only compared with a few seconds.
    fn of(now: Instant) -> Self {
        Seconds((now.as_millis() / 1000) as u16)
    }
}

// Three fifths of the slots are in use, at any size: an entry takes 33 bytes, or 53.
const _: () = assert!(slot_sizes::<Entry>()[0] == 20 && slot_sizes::<Entry>()[1] == 32);

/// When an entry that was made without its holder's word is looked at.
#[derive(Clone, Copy, Debug)]
struct Expiry {
    at: Instant,
    flow: Flow,
    instance: u32,
    /// Tells the entry from a later one for the same SYN, which its client has sent again.
    created: Seconds,
}

/// Expiries that are looked at for each new one, while those of established connections are sorted out.
const SORTED_AT_ONCE: usize = 4;

/// The table. Lookups are O(1); nothing is allocated by them.
#[derive(Debug)]
pub(crate) struct Crt {
    entries: Flows<Entry>,
    limit: usize,
    half_open_limit: usize,
    half_open: usize,
    /// Entries that were made without their holder's word, in the order in which they expire. What
    /// became of each is seen when its turn comes.
    expiry: VecDeque<Expiry>,
    /// Those before them, of entries that were half-open when they were last looked at.
    sorted: VecDeque<Expiry>,
    /// `expiry` has become long: step by step, what matters of it goes to `sorted`.
    sorting: bool,
    half_open_life: Duration,
    /// How often all of it was looked at.
    #[cfg(test)]
    pub passes: usize,
}

impl Crt {
    /// An empty table for `limit` entries, at most `half_open_limit` of them half-open. `seed`
    /// keeps clients from choosing ports that collide.
    pub fn new(seed: u64, limit: usize, half_open_limit: usize, half_open_life: Duration) -> Self {
        let (entries, expiry, sorted) = (Flows::new(seed), VecDeque::new(), VecDeque::new());
        Crt {
            entries,
            limit,
            half_open_limit,
            half_open: 0,
            expiry,
            sorted,
            sorting: false,
            half_open_life,
            #[cfg(test)]
            passes: 0,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no room for one more connection.
    pub fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// The entry of a connection.
    #[inline(always)]
    pub fn get(&self, flow: &Flow) -> Option<&Entry> {
        self.entries.get(flow)
    }

    /// The entry of a connection whose client sends something after its SYN: it is no longer
    /// half-open (R5). With it, whether it was so until now.
    pub fn established(&mut self, flow: &Flow) -> Option<(Entry, bool)> {
        let entry = self.entries.get_mut(flow)?;
        let was_half_open = entry.is_half_open();
        if was_half_open {
            entry.evidence = Evidence::Client;
        }
        let entry = *entry;
        self.half_open -= usize::from(was_half_open);
        Some((entry, was_half_open))
    }

    /// The SYN of the next connection between the same ends goes to the target of this one.
    pub fn renew(&mut self, flow: &Flow) {
        if let Some(entry) = self.entries.get_mut(flow).filter(|entry| !entry.is_half_open()) {
            entry.evidence = Evidence::Renewed;
        }
    }

    /// Enters a connection, in place of a former one between the same ends, which is returned.
    ///
    /// # Errors
    /// The table is full of other connections.
    pub fn insert(&mut self, now: Instant, flow: Flow, entry: Entry) -> Result<Option<Entry>, Full> {
        let full = self.is_full();
        let created = Seconds::of(now);
        let entry = if entry.evidence == Evidence::Holder { entry } else { Entry { created, ..entry } };
        let before = self.entries.put(flow, entry, full)?;
        self.half_open -= usize::from(before.is_some_and(|before| before.is_half_open()));
        self.half_open += usize::from(entry.is_half_open());
        if entry.evidence != Evidence::Holder {
            self.sort_out();
            let Entry { instance, .. } = entry;
            self.expiry.push_back(Expiry { at: now + self.half_open_life, flow, instance, created });
        }
        Ok(before)
    }

    /// Takes a connection out.
    pub fn remove(&mut self, flow: &Flow) -> Option<Entry> {
        let entry = self.entries.remove(flow)?;
        self.half_open -= usize::from(entry.is_half_open());
        Some(entry)
    }

    /// Takes out every entry for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&Flow, &Entry) -> bool) {
        #[cfg(test)]
        {
            self.passes += 1;
        }
        let mut lost = 0;
        self.entries.retain(|flow, entry| {
            let kept = keep(flow, entry);
            lost += usize::from(!kept && entry.is_half_open());
            kept
        });
        self.half_open -= lost;
    }

    /// Every entry, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (Flow, &Entry)> {
        self.entries.iter()
    }

    /// Whether one more half-open entry needs an older one to go.
    pub fn crowded(&self) -> bool {
        self.half_open >= self.half_open_limit || (self.is_full() && self.half_open > 0)
    }

    /// Takes out the half-open entry that has waited longest: a flood of SYNs pushes out its own
    /// kind, never an established entry (I22).
    pub fn evict(&mut self) -> Option<(Flow, Entry)> {
        while let Some(expiry) = self.pop_expiry(|_| true) {
            if self.made(&expiry).is_some_and(Entry::is_half_open) {
                return self.remove(&expiry.flow).map(|entry| (expiry.flow, entry));
            }
        }
        None
    }

    /// The next entry that was made, without word from its target, so long ago that by now the
    /// target has to know of it. If it is half-open, it has been taken out (R5); the entry says
    /// which.
    pub fn expire(&mut self, now: Instant) -> Option<(Flow, Entry)> {
        while let Some(expiry) = self.pop_expiry(|expiry| expiry.at <= now) {
            if let Some(entry) = self.made(&expiry).copied() {
                if entry.is_half_open() {
                    self.remove(&expiry.flow);
                }
                return Some((expiry.flow, entry));
            }
        }
        None
    }

    /// When [`expire`](Crt::expire) may have the next one.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.sorted.front().or(self.expiry.front()).map(|expiry| expiry.at)
    }

    /// The entry that is to be looked at, if it is still there.
    fn made(&self, expiry: &Expiry) -> Option<&Entry> {
        let of = |entry: &&Entry| (entry.instance, entry.created) == (expiry.instance, expiry.created);
        self.get(&expiry.flow).filter(of)
    }

    /// The first of all expiries, if it is such a one.
    fn pop_expiry(&mut self, wanted: impl Fn(&Expiry) -> bool) -> Option<Expiry> {
        let first = if self.sorted.is_empty() { &mut self.expiry } else { &mut self.sorted };
        first.pop_front_if(|expiry| wanted(expiry))
    }

    /// Keeps the expiries within three times the bound of half-open entries: at a high rate of connections, those
    /// that have been established are not looked at again. A little for each new one, so that no packet waits for
    /// all of them.
    fn sort_out(&mut self) {
        self.sorting |= self.expiry.len() >= 2 * self.half_open_limit.max(32);
        for _ in 0..SORTED_AT_ONCE {
            if !self.sorting {
                return;
            }
            match self.expiry.pop_front() {
                Some(expiry) if self.made(&expiry).is_some_and(Entry::is_half_open) => self.sorted.push_back(expiry),
                Some(_) => {}
                None => {
                    core::mem::swap(&mut self.expiry, &mut self.sorted);
                    self.sorting = false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::dvipa::DvipaId;

    fn flow(port: u16) -> Flow {
        Flow { remote: IpAddr::from([198, 51, 100, 1]), remote_port: port, dvipa: DvipaId(0), port: 60 }
    }

    fn entry(now: Instant, instance: u32, half_open: bool) -> Entry {
        let evidence = if half_open { Evidence::HalfOpen } else { Evidence::Holder };
        Entry::new(now, instance, StackId(1), 0, evidence)
    }

    fn table(limit: usize, half_open: usize) -> Crt {
        Crt::new(1, limit, half_open, Duration::from_secs(30))
    }

    /// R5: half-open entries expire, established ones do not.
    #[test]
    fn half_open_entries_expire() {
        let start = Instant::from_millis(5);
        let mut crt = table(10, 10);
        crt.insert(start, flow(1), entry(start, 1, true)).unwrap();
        crt.insert(start, flow(2), entry(start, 2, true)).unwrap();
        assert!(!crt.established(&flow(2)).unwrap().0.is_half_open());
        let due = start + Duration::from_secs(30);
        assert_eq!(crt.next_deadline(), Some(due));
        let expired = |crt: &mut Crt| crt.expire(due).map(|(flow, entry)| (flow, entry.is_half_open()));
        assert_eq!(expired(&mut crt), Some((flow(1), true)));
        assert_eq!(expired(&mut crt), Some((flow(2), false)));
        assert_eq!(expired(&mut crt), None);
        assert_eq!((crt.len(), crt.half_open, crt.next_deadline()), (1, 0, None));
    }

    /// R5: an entry for a SYN that was sent again has a life of its own, though its target died before.
    #[test]
    fn a_second_entry_does_not_expire_with_the_first() {
        let (start, life) = (Instant::from_millis(5), Duration::from_secs(30));
        let mut crt = table(10, 10);
        crt.insert(start, flow(1), entry(start, 1, true)).unwrap();
        crt.remove(&flow(1));
        let again = start + Duration::from_secs(20);
        crt.insert(again, flow(1), entry(start, 1, true)).unwrap();
        assert_eq!(crt.expire(start + life), None);
        assert_eq!(crt.expire(again + life).map(|(flow, _)| flow), Some(flow(1)));
    }

    /// R5, I22: a flood of SYNs pushes out the oldest half-open entries, no established one, and
    /// no bookkeeping grows past its bound.
    #[test]
    fn a_flood_pushes_out_its_own_kind() {
        let now = Instant::from_millis(5);
        let mut crt = table(1000, 50);
        for port in 0..100 {
            crt.insert(now, flow(port), entry(now, 1, false)).unwrap();
        }
        for port in 1000..9000 {
            if crt.crowded() {
                crt.evict().unwrap();
            }
            crt.insert(now, flow(port), entry(now, 1, true)).unwrap();
        }
        assert_eq!((crt.len(), crt.half_open), (150, 50));
        assert!(crt.expiry.len() + crt.sorted.len() <= 150);
        assert!((0..100).all(|port| crt.get(&flow(port)).is_some()));
    }

    /// R5: whatever is established meanwhile, half-open entries expire in the order in which they were made, and
    /// what is remembered for it stays within its bound.
    #[test]
    fn half_open_entries_expire_in_order_among_many() {
        let mut crt = table(100_000, 50);
        let made = |port: u16| Instant::from_millis(port.into());
        let mut half_open = Vec::new();
        for port in 1..20_000 {
            crt.insert(made(port), flow(port), entry(made(port), 1, true)).unwrap();
            match port % 500 {
                7 => half_open.push(port),
                _ => assert!(crt.established(&flow(port)).is_some()),
            }
            assert!(crt.expiry.len() + crt.sorted.len() <= 150, "{port}");
        }
        assert_eq!(crt.next_deadline(), Some(made(7) + Duration::from_secs(30)));
        let late = made(20_000) + Duration::from_secs(30);
        let expired: Vec<u16> = core::iter::from_fn(|| crt.expire(late))
            .filter_map(|(flow, entry)| entry.is_half_open().then_some(flow.remote_port))
            .collect();
        assert_eq!(expired, half_open);
        assert_eq!((crt.half_open, crt.next_deadline()), (0, None));
    }

    #[test]
    fn a_full_table_takes_no_more_but_replaces() {
        let now = Instant::from_millis(5);
        let mut crt = table(1, 1);
        crt.insert(now, flow(1), entry(now, 1, false)).unwrap();
        assert_eq!(crt.insert(now, flow(2), entry(now, 1, false)), Err(Full));
        assert_eq!(crt.insert(now, flow(1), entry(now, 2, false)).unwrap().map(|old| old.instance), Some(1));
        crt.retain(|_, entry| entry.instance != 2);
        assert_eq!((crt.len(), crt.remove(&flow(1))), (0, None));
    }

    #[test]
    fn age_survives_the_wrap() {
        let made = Instant::from_millis(65_535_000);
        assert_eq!(entry(made, 1, false).age(made + Duration::from_secs(3)), 3);
    }
}
