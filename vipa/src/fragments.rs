//! R10: all fragments of a datagram go where its first one goes, in whatever order they come.
//! Only the first names the connection; the others borrow what it said, or wait for it.

use core::time::Duration;
use std::collections::VecDeque;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use stack::{Instant, Packet};

use crate::action::{Disposition, DropReason, Origin};
use crate::vipa::Vipa;
use crate::wire::packet::{Content, Fragment, View};

/// How long fragments of one datagram may be apart (RFC 791 suggests 15 s for its reassembly).
const LIFE: Duration = Duration::from_secs(15);
/// Fragments that wait in all.
const WAITING: usize = 256;

/// RFC 791, section 3.2: what the fragments of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
    protocol: u8,
}

impl Key {
    fn new(view: &View, fragment: Fragment) -> Self {
        let Fragment { identification, protocol, first: _ } = fragment;
        Key { source: view.source, destination: view.destination, identification, protocol }
    }
}

#[derive(Debug, Default)]
struct Fragmented {
    /// What the first fragment carries.
    content: Option<Content>,
    waiting: Vec<(Packet, Origin)>,
}

/// Datagrams whose fragments are under way.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    table: HashMap<Key, Fragmented, FixedState>,
    order: VecDeque<(Instant, Key)>,
    waiting: usize,
}

impl Fragments {
    /// What the first fragment of this one's datagram carried, if that has come.
    pub fn content(&self, view: &View, fragment: Fragment) -> Option<Content> {
        self.table.get(&Key::new(view, fragment))?.content
    }

    /// When the oldest datagram is given up.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.order.front().map(|(at, _)| *at)
    }

    fn entry(&mut self, key: Key, until: Instant) -> &mut Fragmented {
        let order = &mut self.order;
        self.table.entry(key).or_insert_with(|| {
            order.push_back((until, key));
            Fragmented::default()
        })
    }

    /// Forgets datagrams that began before `now` or exceed the bound. Returns the fragments that
    /// waited in vain.
    fn forget(&mut self, now: Instant, most: usize) -> usize {
        let mut dropped = 0;
        while let Some((_, key)) = self.order.front().filter(|(at, _)| *at <= now || self.order.len() > most) {
            dropped += self.table.remove(key).map_or(0, |fragmented| fragmented.waiting.len());
            self.order.pop_front();
        }
        self.waiting -= dropped;
        dropped
    }
}

impl Vipa {
    /// Keeps a fragment until its datagram's first one comes.
    pub(crate) fn keep_fragment(
        &mut self,
        view: &View,
        fragment: Fragment,
        packet: Packet,
        origin: Origin,
    ) -> Disposition {
        if self.fragments.waiting >= WAITING {
            self.counters.drop(DropReason::Fragment, 1);
            return Disposition::Drop(packet, DropReason::Fragment);
        }
        self.fragments.waiting += 1;
        let mut copy = Packet::copy_of(packet.bytes());
        copy.offload = packet.offload;
        self.fragments.entry(Key::new(view, fragment), self.now + LIFE).waiting.push((copy, origin));
        self.counters.held += 1;
        self.expire_fragments();
        Disposition::Held
    }

    /// The first fragment has come and was decided about: the others follow it.
    pub(crate) fn first_fragment(&mut self, view: &View, fragment: Fragment) {
        let until = self.now + LIFE;
        let fragmented = self.fragments.entry(Key::new(view, fragment), until);
        fragmented.content = Some(view.content);
        let waiting = core::mem::take(&mut fragmented.waiting);
        self.fragments.waiting -= waiting.len();
        for (packet, origin) in waiting {
            let disposition = self.dispose(packet, origin);
            self.act_on(disposition);
        }
        self.expire_fragments();
    }

    /// Gives up what has waited too long, or is too much.
    pub(crate) fn expire_fragments(&mut self) {
        let dropped = self.fragments.forget(self.now, self.config.limits.fragmented);
        self.counters.drop(DropReason::Fragment, dropped as u64);
        self.deadline_changed();
    }
}
