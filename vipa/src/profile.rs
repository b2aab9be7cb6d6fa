//! What an operator changes while the stack runs: profiles (D6), and VARY TCPIP,,SYSPLEX.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use stack::Instant;
use thiserror::Error;

use crate::created::BOUND;
use crate::definitions::Definitions;
use crate::dvipa::{Definition, DvipaId, PRIMARY, Primary, by_address};
use crate::event::Event;
use crate::membership::StackId;
use crate::vipa::Vipa;

/// What QUIESCE keeps new connections from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiesce {
    /// This stack as a target, whatever the port.
    Target,
    /// Servers of this stack on one port.
    Port(u16),
    /// One server of this stack (JOBNAME).
    Server {
        /// Where it listens; `None` for every address.
        address: Option<IpAddr>,
        /// Its port.
        port: u16,
    },
}

/// What is quiesced here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quiesced {
    target: bool,
    ports: BTreeSet<u16>,
    servers: BTreeSet<(u16, Option<IpAddr>)>,
}

impl Quiesced {
    /// Whether a server that listens on `port`, at one address or at every address, gets nothing new.
    pub fn covers(&self, port: u16, address: Option<IpAddr>) -> bool {
        self.target || self.ports.contains(&port) || self.servers.contains(&(port, address))
    }
}

/// Why a command changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// DEACTIVATE and REACTIVATE are for VIPADEFINE and VIPABACKUP.
    #[error("{0} is in no VIPADEFINE or VIPABACKUP of this stack")]
    NotDefined(IpAddr),
    /// It is deactivated, or active, already.
    #[error("{0} is so already")]
    Already(IpAddr),
    /// Another stack has the rank.
    #[error("{stack} has rank {rank} for {dvipa} already: expected a rank of its own for each stack")]
    Rank {
        /// The DVIPA.
        dvipa: IpAddr,
        /// The rank, 255 for VIPADEFINE.
        rank: u8,
        /// Who has it.
        stack: String,
    },
    /// An application has made it (zos.md, section 3: creation conflict matrix).
    #[error("{dvipa} cannot be defined: an application of {stack} has made it; stop that first")]
    Made {
        /// The DVIPA.
        dvipa: IpAddr,
        /// The stack of that application.
        stack: String,
    },
}

impl Vipa {
    /// VARY OBEYFILE: this is the VIPADynamic block from now on (D6). The same block again changes
    /// nothing (I23).
    ///
    /// # Errors
    /// If another stack has one of its ranks, or an application one of its DVIPAs; then nothing is changed.
    pub fn redefine(&mut self, now: Instant, definitions: Definitions) -> Result<(), Refusal> {
        self.advance(now);
        for (address, definition) in by_address(&definitions) {
            let Some(id) = self.by_address.get(&address).copied().filter(|_| definition.rank > 0) else { continue };
            let own = self.dvipa(id).definitions.get(&self.me);
            let had = own.is_some_and(|own| own.rank == definition.rank && own.created.is_none());
            let rival = self.dvipa(id).definitions.iter().find(|(stack, theirs)| {
                let same = theirs.rank == definition.rank && theirs.created.is_none();
                **stack != self.me && same && self.is_live(**stack)
            });
            if let Some((stack, _)) = rival.filter(|_| !had) {
                let stack = self.label_of(*stack);
                return Err(Refusal::Rank { dvipa: address, rank: definition.rank, stack });
            }
            if let Some(stack) = self.maker(id).filter(|_| !self.config.definitions.names(address)) {
                return Err(Refusal::Made { dvipa: address, stack: self.label_of(stack) });
            }
        }
        self.deactivated.retain(|address| definitions.names(*address));
        self.config.definitions = definitions;
        self.reprofile();
        Ok(())
    }

    /// VARY SYSPLEX,DEACTIVATE: as if the definition were deleted, but it is kept.
    ///
    /// # Errors
    /// If there is none, or it is deactivated already.
    pub fn deactivate(&mut self, now: Instant, dvipa: IpAddr) -> Result<(), Refusal> {
        self.advance(now);
        if !self.config.definitions.names(dvipa) {
            return Err(Refusal::NotDefined(dvipa));
        }
        if !self.deactivated.insert(dvipa) {
            return Err(Refusal::Already(dvipa));
        }
        self.reprofile();
        Ok(())
    }

    /// VARY SYSPLEX,REACTIVATE: the definition counts again.
    ///
    /// # Errors
    /// If it is not deactivated.
    pub fn reactivate(&mut self, now: Instant, dvipa: IpAddr) -> Result<(), Refusal> {
        self.advance(now);
        if !self.config.definitions.names(dvipa) {
            return Err(Refusal::NotDefined(dvipa));
        }
        if !self.deactivated.remove(&dvipa) {
            return Err(Refusal::Already(dvipa));
        }
        self.reprofile();
        Ok(())
    }

    /// Whether the definition of a DVIPA does not count (VARY SYSPLEX,DEACTIVATE).
    pub fn is_deactivated(&self, dvipa: IpAddr) -> bool {
        self.deactivated.contains(&dvipa)
    }

    /// VARY SYSPLEX,QUIESCE: no new connections come here; those that there are go on (I14).
    pub fn quiesce(&mut self, now: Instant, what: Quiesce) {
        self.set_quiesced(now, what, true);
    }

    /// VARY SYSPLEX,RESUME: new connections come again.
    pub fn resume(&mut self, now: Instant, what: Quiesce) {
        self.set_quiesced(now, what, false);
    }

    /// Whether new connections are kept from this stack as a target.
    pub fn is_quiesced(&self) -> bool {
        self.quiesced.target
    }

    /// Whether new connections are kept from the server that listens there.
    pub fn is_server_quiesced(&self, address: Option<IpAddr>, port: u16) -> bool {
        self.quiesced.covers(port, address)
    }

    /// Ports on which new connections are kept from every server of this stack.
    pub fn quiesced_ports(&self) -> Vec<u16> {
        self.quiesced.ports.iter().copied().collect()
    }

    fn set_quiesced(&mut self, now: Instant, what: Quiesce, on: bool) {
        self.advance(now);
        let Quiesced { target, ports, servers } = &mut self.quiesced;
        match (what, on) {
            (Quiesce::Target, _) => *target = on,
            (Quiesce::Port(port), true) => drop(ports.insert(port)),
            (Quiesce::Port(port), false) => drop(ports.remove(&port)),
            (Quiesce::Server { address, port }, true) => drop(servers.insert((port, address))),
            (Quiesce::Server { address, port }, false) => drop(servers.remove(&(port, address))),
        }
        let listeners: Vec<_> = self.listeners.keys().copied().collect();
        for (port, address) in listeners {
            self.listeners_changed(address, port);
        }
    }

    /// What this stack has to say of each DVIPA: its profile, less what is deactivated, and what its
    /// applications have made.
    fn own_definitions(&self) -> BTreeMap<IpAddr, Definition> {
        let profile = by_address(&self.config.definitions).into_iter();
        let mut own: BTreeMap<_, _> = profile.filter(|(address, _)| !self.deactivated.contains(address)).collect();
        // What is bound before the others are found may be another's already.
        for (address, created) in self.created.iter().filter(|_| self.discovered) {
            own.entry(*address).or_insert_with(|| Vipa::created_definition(created));
        }
        own
    }

    /// Brings what this stack has said up to date: the complete list goes to every stack, but only
    /// if anything in it has changed (D6, F5.102, I23).
    pub(crate) fn reprofile(&mut self) {
        if self.outside {
            return;
        }
        let (me, incarnation) = (self.me, self.config.incarnation);
        if self.replace_definitions(me, incarnation, self.own_definitions()) {
            let peers: Vec<StackId> = self.peers.keys().copied().collect();
            peers.into_iter().for_each(|peer| self.send_list(peer));
            self.reconsider();
        }
    }

    /// This is all that a stack's profile says (F5.100, F6.132-135). `true` if it said something
    /// else before.
    pub(crate) fn replace_definitions(
        &mut self,
        stack: StackId,
        incarnation: u64,
        mut list: BTreeMap<IpAddr, Definition>,
    ) -> bool {
        let mut changed = false;
        for address in list.keys().copied().collect::<Vec<_>>() {
            self.learn(address);
        }
        for id in self.dvipa_ids() {
            let dvipa = self.dvipa_mut(id);
            let definition = list.remove(&dvipa.address);
            if dvipa.definitions.get(&stack) == definition.as_ref() {
                continue;
            }
            changed = true;
            match definition {
                None => drop(dvipa.definitions.remove(&stack)),
                Some(definition) => {
                    let Definition { rank, moveable, prefix, distribution, .. } = definition.clone();
                    if let Some(prefix) = prefix.filter(|_| rank == PRIMARY) {
                        dvipa.learn_primary(Primary { incarnation, moveable, prefix, distribution });
                    }
                    dvipa.definitions.insert(stack, definition.clone());
                    let address = dvipa.address;
                    if stack != self.me {
                        self.yield_created(address, stack, &definition);
                        self.dispute(id, stack);
                    }
                }
            }
            self.update_home(id);
        }
        changed
    }

    /// The stack because of which another one's definition does not count. Of two with the same rank that is the
    /// one that owns the DVIPA, else the one that runs longer. And as long as an application has made the DVIPA
    /// and owns it, no definition counts.
    pub(crate) fn outranked(&self, id: DvipaId, stack: StackId) -> Option<StackId> {
        let definitions = &self.dvipa(id).definitions;
        let definition = definitions.get(&stack).filter(|one| one.rank > 0 && one.created.is_none())?;
        let owner = self.live_owner(id);
        if owner == Some(stack) {
            return None;
        }
        let leaves = |stack: &StackId| match self.peers.get(stack) {
            Some(peer) => peer.leaving,
            None => self.leaving.is_some(),
        };
        if let Some(maker) = owner.filter(|owner| self.has_made(id, *owner) && !leaves(owner)) {
            return Some(maker);
        }
        let rivals = definitions.iter().filter(|(other, theirs)| {
            let same = theirs.rank == definition.rank && theirs.created.is_none();
            **other != stack && same && self.is_live(**other)
        });
        let age = |stack: StackId| match self.peers.get(&stack) {
            Some(peer) => peer.announced.unwrap_or(u64::MAX),
            None => self.config.incarnation,
        };
        let better = |other: &StackId| owner == Some(*other) || (age(*other), *other) < (age(stack), stack);
        rivals.map(|(other, _)| *other).find(better)
    }

    /// A stack that lives, an application of which has made the DVIPA.
    fn maker(&self, id: DvipaId) -> Option<StackId> {
        let definitions = &self.dvipa(id).definitions;
        definitions.keys().copied().find(|stack| self.is_live(*stack) && self.has_made(id, *stack))
    }

    fn has_made(&self, id: DvipaId, stack: StackId) -> bool {
        let definition = self.dvipa(id).definitions.get(&stack);
        definition.is_some_and(|definition| definition.created.is_some() && definition.rank == BOUND)
    }

    /// Tells of a rank that two stacks claim, or of a definition of what an application has made; both stacks
    /// find the same.
    fn dispute(&mut self, id: DvipaId, stack: StackId) {
        for (one, other) in [(stack, self.me), (self.me, stack)] {
            if self.outranked(id, one) == Some(other) {
                let dvipa = self.dvipa(id);
                let (address, rank) = (dvipa.address, dvipa.definitions.get(&one).map_or(0, |one| one.rank));
                let (refused, holder) = (self.label_of(one), self.label_of(other));
                self.event(match self.has_made(id, other) {
                    true => Event::DefinitionRefused { dvipa: address, refused, holder },
                    false => Event::RankRefused { dvipa: address, rank, refused, holder },
                });
            }
        }
    }
}

impl Definitions {
    /// Whether a VIPADEFine or VIPABackup names the address.
    pub(crate) fn names(&self, address: IpAddr) -> bool {
        self.defines.iter().any(|define| define.address == address)
            || self.backups.iter().any(|backup| backup.address == address)
    }
}
