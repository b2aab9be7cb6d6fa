//! TIMEDAFFINITY: a client's connections to one server go to the same target, while it has any and for some time
//! after the last one.
//!
//! The routing stack keeps one table of all clients, each target one of its own. Affinities with connections come
//! back by themselves when another stack takes over, with what it hears of those; targets report the others
//! (F9.202). An affinity whose target cannot take the next connection ends: it goes to the one chosen then.

use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use stack::Instant;

use crate::crt::Flow;
use crate::definitions::Ports;
use crate::dvipa::{Dvipa, DvipaId};
use crate::membership::StackId;
use crate::ownership::Epoch;
use crate::vipa::Vipa;
use crate::wire::message::Message;

/// Ports with affinity, and for how many seconds.
pub(crate) type Scope = Option<(u16, Ports)>;

/// Clients and servers of one DVIPA in one table; those that come when it is full have no affinity.
const MOST: usize = 1 << 16;

/// What is known of a client's connections to one server.
#[derive(Clone, Debug)]
struct Known {
    /// Where its latest connection went, and the next one goes.
    target: StackId,
    /// When that ends, once the client has no connection there.
    until: Instant,
    /// Its connections at each target that has any: it may have some that are older than its affinity.
    connections: Vec<(StackId, u32)>,
}

impl Known {
    fn at(&self, target: StackId) -> u32 {
        self.connections.iter().find(|(one, _)| *one == target).map_or(0, |(_, count)| *count)
    }

    /// The target of the next connection: as decided last; when that is over, one where the client has any.
    fn next(&self, now: Instant) -> Option<StackId> {
        match self.until > now || self.at(self.target) > 0 {
            true => Some(self.target),
            false => self.connections.first().map(|(target, _)| *target),
        }
    }
}

/// The affinities of one DVIPA, by client and port.
#[derive(Debug, Default)]
pub(crate) struct Affinities {
    table: HashMap<(IpAddr, u16), Known, FixedState>,
}

impl Affinities {
    /// The target that the client's next connection to the port goes to.
    pub fn target(&self, client: IpAddr, port: u16, now: Instant) -> Option<StackId> {
        self.table.get(&(client, port))?.next(now)
    }

    /// A connection of the client is at the target: the timer stops.
    pub fn entered(&mut self, client: IpAddr, port: u16, target: StackId) {
        let Some(known) = self.known(client, port, target, Instant::ZERO) else { return };
        known.target = target;
        match known.connections.iter_mut().find(|(one, _)| *one == target) {
            Some((_, count)) => *count += 1,
            None => known.connections.push((target, 1)),
        }
    }

    /// A connection of the client is no longer there: with the last one the timer starts.
    pub fn left(&mut self, client: IpAddr, port: u16, target: StackId, until: Instant) {
        let Some(known) = self.table.get_mut(&(client, port)) else { return };
        let Some(at) = known.connections.iter().position(|(one, _)| *one == target) else { return };
        known.connections[at].1 -= 1;
        if known.connections[at].1 == 0 {
            known.connections.remove(at);
            if known.target == target {
                known.until = until;
            }
        }
    }

    /// A target knows the client, which has no connection now.
    pub fn report(&mut self, client: IpAddr, port: u16, target: StackId, until: Instant) {
        self.known(client, port, target, until);
    }

    /// What is known of the client, from now on if there is room.
    fn known(&mut self, client: IpAddr, port: u16, target: StackId, until: Instant) -> Option<&mut Known> {
        let key = (client, port);
        if self.table.len() >= MOST && !self.table.contains_key(&key) {
            return None;
        }
        Some(self.table.entry(key).or_insert_with(|| Known { target, until, connections: Vec::new() }))
    }

    /// Those whose time is over go.
    pub fn expire(&mut self, now: Instant) {
        self.table.retain(|_, known| {
            let next = known.next(now);
            known.target = next.unwrap_or(known.target);
            next.is_some()
        });
    }

    pub fn clear(&mut self) {
        self.table.clear();
    }

    /// Client, port, target, connections there, and when it ends if they are none; in order.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, u16, StackId, u32, Instant)> {
        let row = |(&(client, port), known): (&(IpAddr, u16), &Known)| {
            (client, port, known.target, known.at(known.target), known.until)
        };
        let mut all: Vec<_> = self.table.iter().map(row).collect();
        all.sort_unstable();
        all.into_iter()
    }

    /// Those without a connection that are not over.
    fn idle(&self, now: Instant) -> impl Iterator<Item = (IpAddr, u16, Instant)> {
        let idle = self.iter().filter(move |(.., connections, until)| *connections == 0 && *until > now);
        idle.map(|(client, port, _, _, until)| (client, port, until))
    }
}

impl Vipa {
    /// A connection of this stack itself has begun.
    pub(crate) fn affinity_begins(&mut self, flow: &Flow) {
        let me = self.me;
        let dvipa = self.dvipa_mut(flow.dvipa);
        if dvipa.affinity(flow.port).is_some() {
            dvipa.own_clients.entered(flow.remote, flow.port, me);
        }
    }

    /// A connection of this stack itself has ended.
    pub(crate) fn affinity_ends(&mut self, flow: &Flow) {
        let (me, now) = (self.me, self.now);
        let dvipa = self.dvipa_mut(flow.dvipa);
        if let Some(time) = dvipa.affinity(flow.port) {
            dvipa.own_clients.left(flow.remote, flow.port, me, now + time);
        }
    }

    /// What a router has to know of this stack's clients that have no connection now.
    pub(crate) fn affinity_messages(&self, id: DvipaId, epoch: Epoch) -> impl Iterator<Item = Message> {
        let (dvipa, now) = (self.dvipa(id), self.now);
        let address = dvipa.address;
        dvipa.own_clients.idle(now).map(move |(client, port, until)| Message::Affinity {
            dvipa: address,
            epoch,
            client,
            port,
            // At most 9,999 seconds.
            left: u32::try_from(until.since(now).as_millis()).unwrap_or(u32::MAX),
        })
    }

    /// A target knows a client that has no connection now.
    pub(crate) fn hear_affinity(&mut self, from: StackId, id: DvipaId, epoch: Epoch, key: (IpAddr, u16), left: u32) {
        let now = self.now;
        let dvipa = self.dvipa_mut(id);
        let (client, port) = key;
        if let Some(time) = dvipa.affinity(port).filter(|_| dvipa.epoch == epoch && dvipa.standing.collects()) {
            let left = Duration::from_millis(left.into()).min(time);
            dvipa.clients.report(client, port, from, now + left);
        }
    }

    /// This stack routes from now on: what it knows as a target goes into the router's table.
    pub(crate) fn take_own_affinities(&mut self, id: DvipaId) {
        let (me, now) = (self.me, self.now);
        let dvipa = self.dvipa_mut(id);
        for (client, port, until) in dvipa.own_clients.idle(now).collect::<Vec<_>>() {
            dvipa.clients.report(client, port, me, until);
        }
    }

    /// Another list counts, which had `before` in place of its affinity. If that is another one, all are counted
    /// anew: what has no connection is forgotten.
    pub(crate) fn recount_affinities(&mut self, id: DvipaId, before: &Scope) {
        let Vipa { dvipas, crt, local, me, .. } = self;
        let Some(dvipa) = dvipas.get_mut(usize::from(id.0)).filter(|dvipa| dvipa.affinity_scope() != *before) else {
            return;
        };
        dvipa.clients.clear();
        dvipa.own_clients.clear();
        let counted = |flow: &Flow, dvipa: &Dvipa| flow.dvipa == id && dvipa.affinity(flow.port).is_some();
        for (flow, entry) in crt.iter() {
            if counted(&flow, dvipa) {
                dvipa.clients.entered(flow.remote, flow.port, entry.target);
            }
        }
        for (flow, _) in local.iter() {
            if counted(&flow, dvipa) {
                dvipa.own_clients.entered(flow.remote, flow.port, *me);
            }
        }
    }

    /// All affinities that this stack knows as a router, else as a target: DVIPA, port, client, XCF address of the
    /// target, connections there.
    pub fn affinities(&self) -> Vec<(IpAddr, u16, IpAddr, IpAddr, u32)> {
        let of = |dvipa: &Dvipa| {
            let table = if dvipa.standing.collects() { &dvipa.clients } else { &dvipa.own_clients };
            let row = |(client, port, target, connections, _)| {
                (dvipa.address, port, client, self.address_of(target), connections)
            };
            table.iter().map(row).collect::<Vec<_>>()
        };
        self.dvipas.iter().flat_map(of).collect()
    }

    pub(crate) fn expire_affinities(&mut self) {
        let now = self.now;
        for dvipa in &mut self.dvipas {
            dvipa.clients.expire(now);
            dvipa.own_clients.expire(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    /// The timer starts with the last connection's end and stops with the next one's beginning.
    #[test]
    fn the_timer_starts_at_zero() {
        let (at, target) = (Instant::from_millis, StackId(1));
        let mut table = Affinities::default();
        assert_eq!(table.target(client(1), 60, at(0)), None);
        table.entered(client(1), 60, target);
        table.entered(client(1), 60, target);
        table.left(client(1), 60, target, at(100));
        table.expire(at(500));
        assert_eq!(table.target(client(1), 60, at(500)), Some(target), "it has a connection");
        assert_eq!((table.target(client(1), 61, at(0)), table.target(client(2), 60, at(0))), (None, None));
        table.left(client(1), 60, target, at(1000));
        assert_eq!(table.target(client(1), 60, at(999)), Some(target));
        assert_eq!(table.target(client(1), 60, at(1000)), None);
        table.entered(client(1), 60, target);
        table.expire(at(9999));
        assert_eq!(table.target(client(1), 60, at(9999)), Some(target), "the timer has stopped");
    }

    /// Another target's connection ends an affinity; what then ends at the first one counts no more.
    #[test]
    fn the_latest_target_counts() {
        let mut table = Affinities::default();
        table.entered(client(1), 60, StackId(1));
        table.entered(client(1), 60, StackId(2));
        table.left(client(1), 60, StackId(1), Instant::from_millis(5));
        assert_eq!(table.target(client(1), 60, Instant::from_millis(9)), Some(StackId(2)));
    }

    /// A client whose last decision is over goes where it has a connection still.
    #[test]
    fn an_older_target_that_still_has_one_is_next() {
        let at = Instant::from_millis;
        let mut table = Affinities::default();
        table.entered(client(1), 60, StackId(1));
        table.entered(client(1), 60, StackId(2));
        table.left(client(1), 60, StackId(2), at(5));
        assert_eq!(table.target(client(1), 60, at(4)), Some(StackId(2)));
        assert_eq!(table.target(client(1), 60, at(5)), Some(StackId(1)));
        table.expire(at(5));
        let rows: Vec<_> = table.iter().map(|(.., target, connections, _)| (target, connections)).collect();
        assert_eq!(rows, [(StackId(1), 1)], "and it is shown there");
        table.left(client(1), 60, StackId(1), at(9));
        table.expire(at(9));
        assert_eq!(table.iter().count(), 0);
    }

    /// It is bounded, and what is over makes room.
    #[test]
    fn the_table_is_bounded() {
        let mut table = Affinities::default();
        for number in 0..MOST as u32 + 10 {
            table.entered(client(number), 60, StackId(1));
        }
        assert_eq!(table.iter().count(), MOST);
        table.left(client(0), 60, StackId(1), Instant::from_millis(5));
        table.expire(Instant::from_millis(5));
        table.entered(client(MOST as u32 + 10), 60, StackId(1));
        assert_eq!(table.target(client(MOST as u32 + 10), 60, Instant::ZERO), Some(StackId(1)));
    }
}
