//! Ports for connections that stacks open from a DVIPA (R8): the router leases them in blocks, so
//! that no two stacks use the same one (SYSPLEXPORTS).
//!
//! Each stack has a share of the blocks, every n-th of them, and gets those first. A block of
//! another one's share is only given away while every stack of the cluster is in contact: so the
//! routers of a divided cluster, which do not know of each other's leases, cannot lease the same
//! block either.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use stack::Instant;

use crate::action::Action;
use crate::crt::Flow;
use crate::dvipa::DvipaId;
use crate::membership::{Peer, StackId};
use crate::ownership::{Epoch, Standing};
use crate::vipa::Vipa;
use crate::wire::message::Message;

/// First of the ports that are leased (RFC 6335, section 6: dynamic ports).
const FIRST: u16 = 49_152;
/// Ports in a block (z/OS: 64).
pub(crate) const BLOCK: u16 = 64;
const BLOCKS: u16 = (u16::MAX - FIRST) / BLOCK + 1;

/// Where a connection from a DVIPA may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortLease {
    /// From this port.
    Port(u16),
    /// The router has been asked for more ports; [`Action::PortsLeased`] tells of them.
    Wait,
    /// From any port: the address is no DVIPA of the cluster.
    Any,
}

/// The leases of one DVIPA.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// Blocks of this stack, by their first port.
    own: BTreeSet<u16>,
    /// The last port given out.
    last: u16,
    /// This stack wants one more.
    wanted: bool,
    /// As the router: who has which block.
    table: BTreeMap<u16, StackId>,
}

impl Leases {
    /// Blocks of this stack.
    pub fn own(&self) -> impl Iterator<Item = u16> {
        self.own.iter().copied()
    }

    /// This stack becomes the router: it knows only of its own.
    pub fn begin(&mut self, me: StackId) {
        self.table = self.own.iter().map(|block| (*block, me)).collect();
    }

    /// The stack's leases are void.
    pub fn free(&mut self, stack: StackId) {
        self.table.retain(|_, holder| *holder != stack);
    }

    /// Blocks by holder.
    pub fn table(&self) -> &BTreeMap<u16, StackId> {
        &self.table
    }

    fn of(&self, stack: StackId) -> Vec<u16> {
        self.table.iter().filter(|(_, holder)| **holder == stack).map(|(block, _)| *block).collect()
    }

    /// The next block that may be given to `stack`, one of `count` stacks.
    fn next_free(&self, stack: StackId, count: usize, everybody: bool) -> Option<u16> {
        let first = |index: u16| FIRST + index * BLOCK;
        let free = |index: &u16| !self.table.contains_key(&first(*index));
        let share = |index: &u16| usize::from(*index) % count.max(1) == usize::from(stack.0) % count.max(1);
        let own = (0..BLOCKS).filter(share).find(free);
        own.or_else(|| (0..BLOCKS).find(free).filter(|_| everybody)).map(first)
    }
}

impl Vipa {
    /// A port for a connection that this stack is about to open from `dvipa` to `remote`.
    /// Afterwards poll actions.
    pub fn lease_port(&mut self, now: Instant, dvipa: IpAddr, remote: SocketAddr) -> PortLease {
        self.advance(now);
        let known = self.by_address.get(&dvipa).copied();
        let Some(id) = known.filter(|id| self.dvipa(*id).claim.is_some()) else { return PortLease::Any };
        if let Some(port) = self.free_port(id, remote) {
            return PortLease::Port(port);
        }
        self.dvipa_mut(id).leases.wanted = true;
        self.want_block(id);
        self.free_port(id, remote).map_or(PortLease::Wait, PortLease::Port)
    }

    fn free_port(&mut self, id: DvipaId, remote: SocketAddr) -> Option<u16> {
        let leases = &self.dvipa(id).leases;
        let ports = || leases.own().flat_map(|first| first..=first + (BLOCK - 1));
        let free = |port: &u16| {
            let flow = Flow { remote: remote.ip(), remote_port: remote.port(), dvipa: id, port: *port };
            !self.local.contains_key(&flow)
        };
        let next = ports().filter(|port| *port > leases.last).find(free).or_else(|| ports().find(free))?;
        self.dvipa_mut(id).leases.last = next;
        Some(next)
    }

    /// Asks for a block, if one is wanted.
    pub(crate) fn want_block(&mut self, id: DvipaId) {
        let dvipa = self.dvipa(id);
        if !dvipa.leases.wanted {
            return;
        }
        if matches!(dvipa.standing, Standing::Active) {
            return self.grant(id, self.me);
        }
        let Some(claim) = &dvipa.claim else { return };
        let message = Message::LeaseAsk { dvipa: dvipa.address, epoch: claim.epoch };
        if let Some(owner) = self.stack_of(claim.owner).filter(|owner| *owner != self.me) {
            self.tell(owner, &message);
        }
    }

    fn grant(&mut self, id: DvipaId, stack: StackId) {
        let (count, everybody) = (self.addresses.len(), self.peers.values().all(Peer::is_up));
        let me = self.me;
        let leases = &mut self.dvipa_mut(id).leases;
        if let Some(block) = leases.next_free(stack, count, everybody) {
            leases.table.insert(block, stack);
            if stack == me {
                leases.own.insert(block);
                leases.wanted = false;
            }
        }
        if stack != me {
            self.tell_leases(id, stack);
        }
    }

    fn tell_leases(&mut self, id: DvipaId, stack: StackId) {
        let dvipa = self.dvipa(id);
        let message = Message::Leased { dvipa: dvipa.address, epoch: dvipa.epoch, blocks: dvipa.leases.of(stack) };
        self.tell(stack, &message);
    }

    /// A stack wants one more block. While tables are rebuilt it is not answered: it asks again
    /// once they are complete.
    pub(crate) fn hear_lease_ask(&mut self, from: StackId, id: DvipaId, epoch: Epoch) {
        let dvipa = self.dvipa(id);
        if dvipa.epoch == epoch && matches!(dvipa.standing, Standing::Active) {
            self.grant(id, from);
        }
    }

    /// To a router: the blocks that a stack has. From the router: all that this stack has now.
    pub(crate) fn hear_leased(&mut self, from: StackId, id: DvipaId, epoch: Epoch, blocks: Vec<u16>) {
        let owner = self.address_of(from);
        let dvipa = self.dvipa_mut(id);
        let blocks: BTreeSet<u16> =
            blocks.into_iter().filter(|block| *block >= FIRST && (block - FIRST).is_multiple_of(BLOCK)).collect();
        if dvipa.standing.collects() && dvipa.epoch == epoch {
            let taken = |block: &u16| dvipa.leases.table.get(block).is_some_and(|holder| *holder != from);
            let (lost, kept): (Vec<u16>, Vec<u16>) = blocks.into_iter().partition(taken);
            dvipa.leases.table.extend(kept.into_iter().map(|block| (block, from)));
            // Given to another after this stack was taken for dead.
            if !lost.is_empty() {
                self.tell_leases(id, from);
            }
        } else if dvipa.claim.as_ref().is_some_and(|claim| claim.owner == owner && claim.epoch == epoch) {
            let more = blocks.iter().any(|block| !dvipa.leases.own.contains(block));
            dvipa.leases.own = blocks;
            dvipa.leases.wanted &= !more;
            let dvipa = dvipa.address;
            // Who waits would ask again, and be told the same.
            if more {
                self.actions.push_back(Action::PortsLeased { dvipa });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R8: no block is given twice, each stack gets its share first, and what is not its share only
    /// while everybody is there.
    #[test]
    fn blocks_are_leased_once() {
        let mut leases = Leases::default();
        let stacks = [StackId(0), StackId(1), StackId(2)];
        let mut seen = BTreeSet::new();
        let mut counts = [0; 3];
        'all: loop {
            for stack in stacks {
                let Some(block) = leases.next_free(stack, 3, false) else { break 'all };
                leases.table.insert(block, stack);
                assert!(seen.insert(block));
                counts[usize::from(stack.0)] += 1;
            }
        }
        assert_eq!((counts.iter().sum::<usize>(), counts[1]), (usize::from(BLOCKS), 85));
        let given = leases.of(StackId(1))[0];
        leases.free(StackId(1));
        assert_eq!(leases.next_free(StackId(2), 3, false), None);
        assert_eq!(leases.next_free(StackId(2), 3, true), Some(given));
        assert_eq!(FIRST.checked_add(BLOCKS * BLOCK), None, "up to the last port");
    }
}
