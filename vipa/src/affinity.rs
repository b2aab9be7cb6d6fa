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
use crate::dvipa::DvipaId;
use crate::membership::StackId;
use crate::ownership::Epoch;
use crate::vipa::Vipa;
use crate::wire::message::Message;

/// Clients and servers of one DVIPA in one table; those that come when it is full have no affinity.
const MOST: usize = 1 << 16;

/// Where a client's next connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Affinity {
    pub target: StackId,
    /// Connections that the client has there.
    pub connections: u32,
    /// When it ends, once they are none.
    pub until: Instant,
}

/// The affinities of one DVIPA, by client and port.
#[derive(Debug, Default)]
pub(crate) struct Affinities {
    table: HashMap<(IpAddr, u16), Affinity, FixedState>,
}

impl Affinities {
    /// The target that the client's next connection to the port goes to.
    pub fn target(&self, client: IpAddr, port: u16, now: Instant) -> Option<StackId> {
        let affinity = self.table.get(&(client, port))?;
        (affinity.connections > 0 || affinity.until > now).then_some(affinity.target)
    }

    /// A connection of the client is at the target: the timer stops.
    pub fn entered(&mut self, client: IpAddr, port: u16, target: StackId) {
        let fresh = Affinity { target, connections: 0, until: Instant::ZERO };
        let key = (client, port);
        if self.table.len() >= MOST && !self.table.contains_key(&key) {
            return;
        }
        let affinity = self.table.entry(key).or_insert(fresh);
        if affinity.target != target {
            *affinity = fresh;
        }
        affinity.connections += 1;
    }

    /// A connection of the client is no longer there: with the last one the timer starts.
    pub fn left(&mut self, client: IpAddr, port: u16, target: StackId, until: Instant) {
        let known = self.table.get_mut(&(client, port)).filter(|affinity| affinity.target == target);
        if let Some(affinity) = known.filter(|affinity| affinity.connections > 0) {
            affinity.connections -= 1;
            affinity.until = until;
        }
    }

    /// A target knows the client, which has no connection now.
    pub fn report(&mut self, client: IpAddr, port: u16, target: StackId, until: Instant) {
        if self.table.len() < MOST {
            self.table.entry((client, port)).or_insert(Affinity { target, connections: 0, until });
        }
    }

    /// Those whose time is over go.
    pub fn expire(&mut self, now: Instant) {
        self.table.retain(|_, affinity| affinity.connections > 0 || affinity.until > now);
    }

    pub fn clear(&mut self) {
        self.table.clear();
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = ((IpAddr, u16), Affinity)> {
        let mut all: Vec<_> = self.table.iter().map(|(key, affinity)| (*key, *affinity)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter()
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
        let idle = dvipa.own_clients.iter().filter(move |(_, one)| one.connections == 0 && one.until > now);
        idle.map(move |((client, port), affinity)| Message::Affinity {
            dvipa: address,
            epoch,
            client,
            port,
            // At most 9,999 seconds.
            left: u32::try_from(affinity.until.since(now).as_millis()).unwrap_or(u32::MAX),
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
        let idle = dvipa.own_clients.iter().filter(|(_, one)| one.connections == 0 && one.until > now);
        for ((client, port), affinity) in idle.collect::<Vec<_>>() {
            dvipa.clients.report(client, port, me, affinity.until);
        }
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
