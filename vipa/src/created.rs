//! DVIPAs that applications make by binding an address of a VIPARange (D4), and how they move
//! (Figures 11 and 12).
//!
//! Whoever binds the address last owns it, unless its range is DISRUPTIVE: then the first one keeps it.
//! A bind that comes before this stack has found the others is kept for itself until then; only then
//! can be said who was first.
//! Taking it from the stack that had it is a takeback like
//! any other (see `takeback`): every stack reports what it holds, the former owner hands its table
//! over and steps back, and connections go on where they are, through however many moves. Once
//! nobody has it bound any more, a stack that still serves connections on it keeps it, until the
//! last of them has ended.

use std::net::IpAddr;

use stack::Instant;
use thiserror::Error;

use crate::action::{Action, Broken};
use crate::dvipa::{Definition, DvipaId};
use crate::event::Event;
use crate::membership::StackId;
use crate::ownership::{Epoch, Phase};
use crate::vipa::Vipa;

/// How an application makes a DVIPA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Creation {
    /// By bind(): the DVIPA lasts as long as somebody listens on it.
    Bind,
    /// By ioctl (SIOCSVIPA, the MODDVIPA utility): it lasts until it is deleted the same way.
    Ioctl,
}

/// Where a stack's right to a DVIPA of a range comes from, as it tells the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Created {
    pub how: Creation,
    /// The range says MOVEable DISRUPTive.
    pub disruptive: bool,
    /// Round of the ownership epoch when it was made: of two stacks the later has the better right.
    pub since: u64,
}

/// A DVIPA that an application of this stack has made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub created: Created,
    pub prefix: u8,
    /// Somebody here has it. If not, only connections are left.
    pub bound: bool,
}

/// Rank of a stack that has the address bound.
pub(crate) const BOUND: u8 = 2;
/// Rank of one that only has connections left on it.
pub(crate) const REMNANT: u8 = 1;

/// What became of [`Vipa::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The DVIPA is this stack's now.
    New,
    /// It was already; z/OS warns if an ioctl meets that.
    Here,
}

/// Why an application cannot have a DVIPA (zos.md, section 3: creation conflict matrix).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Conflict {
    /// The address is in no VIPARANGE of this stack.
    #[error("the address is in no VIPARANGE of this stack")]
    NotInRange,
    /// A VIPADEFINE or VIPABACKUP names it.
    #[error("VIPADEFINE or VIPABACKUP of {0} names it")]
    Defined(String),
    /// An application of another stack has it, and may not lose it.
    #[error("an application of {0} has it")]
    Taken(String),
    /// This stack has no network link, or is not in the sysplex group.
    #[error("this stack cannot own DVIPAs: it has no network link, or is not in the group")]
    Unable,
    /// The stack's tables have no room for one more.
    #[error("this stack has known {0} DVIPAs since it joined the group, and has no room for one more")]
    TooMany(usize),
}

impl Vipa {
    /// An application wants `address`, and nobody here has it yet (D4, F11.500). Afterwards poll
    /// actions: the address is in the home list then. Until this stack has found the others, nobody can
    /// say whether it may have it: [`Event::BindRefused`] follows if not.
    ///
    /// # Errors
    /// As the conflict matrix has it.
    pub fn create(&mut self, now: Instant, address: IpAddr, how: Creation) -> Result<Outcome, Conflict> {
        self.advance(now);
        if self.is_defined_here(address) {
            return match how {
                Creation::Bind => Ok(Outcome::Here),
                Creation::Ioctl => Err(Conflict::Defined(self.config.name.clone())),
            };
        }
        // An address of no range is nothing that this stack could be unable to make.
        let range = *self.config.definitions.range_of(address).ok_or(Conflict::NotInRange)?;
        if how == Creation::Bind && self.is_target_of(address) {
            return Ok(Outcome::Here);
        }
        if self.outside || self.leaving.is_some() {
            return Err(Conflict::Unable);
        }
        if self.created.get(&address).is_some_and(|own| own.bound) {
            return Ok(Outcome::Here);
        }
        if self.discovered {
            self.conflict(address, how, range.disruptive)?;
        }
        let id = self.learn(address).ok_or(Conflict::TooMany(self.config.limits.dvipas))?;
        let created = Created { how, disruptive: range.disruptive, since: self.next_since(id) };
        self.created.insert(address, Own { created, prefix: range.prefix, bound: true });
        self.reprofile();
        self.update_home(id);
        Ok(Outcome::New)
    }

    /// The others are found: what applications have bound until now comes after what there is already. Who may
    /// not have it has bound an address that is not here.
    pub(crate) fn settle_created(&mut self) {
        let early: Vec<(IpAddr, Created)> = self.created.iter().map(|(address, own)| (*address, own.created)).collect();
        for (address, Created { how, disruptive, .. }) in early {
            let conflict = match self.is_defined_here(address) || how == Creation::Bind && self.is_target_of(address) {
                // It is as any server of this stack.
                true => None,
                false => match self.conflict(address, how, disruptive) {
                    Ok(()) => {
                        let since = self.by_address.get(&address).map_or(1, |id| self.next_since(*id));
                        if let Some(own) = self.created.get_mut(&address) {
                            own.created.since = since;
                        }
                        continue;
                    }
                    Err(conflict) => Some(conflict),
                },
            };
            self.created.remove(&address);
            if let Some(id) = self.by_address.get(&address).copied() {
                self.update_home(id);
            }
            if let Some(conflict) = conflict {
                self.event(Event::BindRefused { dvipa: address, why: conflict.to_string() });
            }
        }
        self.reprofile();
    }

    /// Later than all that is known of the DVIPA.
    fn next_since(&self, id: DvipaId) -> u64 {
        let dvipa = self.dvipa(id);
        let claimed = dvipa.claim.as_ref().map(|claim| claim.epoch.round);
        let made = dvipa.definitions.values().filter_map(|definition| Some(definition.created?.since));
        made.chain(claimed).max().unwrap_or(0).saturating_add(1)
    }

    /// An application gives `address` up: the last socket bound to it is closed, or an ioctl says
    /// so. Connections go on.
    pub fn delete(&mut self, now: Instant, address: IpAddr, how: Creation) {
        self.advance(now);
        if let Some(own) = self.created.get_mut(&address).filter(|own| own.created.how == how) {
            own.bound = false;
            self.reprofile();
            self.sweep_created();
        }
    }

    fn is_defined_here(&self, address: IpAddr) -> bool {
        let definition = self.by_address.get(&address).and_then(|id| self.dvipa(*id).definitions.get(&self.me));
        definition.is_some_and(|definition| definition.created.is_none() && definition.rank > 0)
    }

    /// Whether the DVIPA is another stack's by its profile, and distributed to this one: who binds it here
    /// is a server of it.
    fn is_target_of(&self, address: IpAddr) -> bool {
        let Some(dvipa) = self.by_address.get(&address).map(|id| self.dvipa(*id)) else { return false };
        let defined = |(stack, definition): (&StackId, &Definition)| {
            self.is_live(*stack) && definition.created.is_none() && definition.rank > 0
        };
        dvipa.ever_had_target(self.config.xcf) && dvipa.definitions.iter().any(defined)
    }

    /// What stands against a second stack that makes the DVIPA.
    fn conflict(&self, address: IpAddr, how: Creation, disruptive: bool) -> Result<(), Conflict> {
        if !self.config.linked {
            return Err(Conflict::Unable);
        }
        let Some(id) = self.by_address.get(&address) else { return Ok(()) };
        for (stack, definition) in &self.dvipa(*id).definitions {
            if *stack == self.me || !self.is_live(*stack) || definition.rank == 0 {
                continue;
            }
            match (definition.created.map(|first| first.how), how) {
                (None, _) => return Err(Conflict::Defined(self.label_of(*stack))),
                // Only connections are left there.
                (Some(_), _) if definition.rank == REMNANT => {}
                (Some(Creation::Bind), Creation::Bind) if disruptive => {
                    return Err(Conflict::Taken(self.label_of(*stack)));
                }
                (Some(Creation::Ioctl), Creation::Bind) => return Err(Conflict::Taken(self.label_of(*stack))),
                (Some(Creation::Bind), _) | (Some(Creation::Ioctl), Creation::Ioctl) => {}
            }
        }
        Ok(())
    }

    /// Another stack has made a DVIPA that is this one's too: by the conflict matrix an ioctl takes
    /// it away from a bind, and from another ioctl if the range is DISRUPTIVE.
    pub(crate) fn yield_created(&mut self, address: IpAddr, stack: StackId, second: &Definition) {
        let me = self.me;
        let (Some(own), Some(theirs)) = (self.created.get_mut(&address), second.created) else { return };
        if second.rank != BOUND {
            return;
        }
        let later = theirs.since > own.created.since;
        let lost = match (own.created.how, theirs.how) {
            (Creation::Bind, Creation::Ioctl) => true,
            (Creation::Ioctl, Creation::Ioctl) => theirs.disruptive,
            (_, Creation::Bind) => false,
        };
        if later && lost {
            self.created.remove(&address);
            self.actions.push_back(Action::Break(Broken::All(address)));
            self.reprofile();
            return;
        }
        // Neither knew of the other, as while they were cut off: had it known, the later one would not have got
        // it. No connection is hurt (R12): those that it serves go on.
        let second = (own.created.since, me) > (theirs.since, stack);
        let refused = own.created.how == Creation::Bind && (own.created.disruptive || theirs.how == Creation::Ioctl);
        if own.bound && second && refused {
            own.bound = false;
            let why = Conflict::Taken(self.label_of(stack)).to_string();
            self.event(Event::BindRefused { dvipa: address, why });
            self.reprofile();
        }
    }

    /// DVIPAs of ranges of which nothing is left here: no application, no connection, and none of
    /// another stack that this one routes (F12.528).
    pub(crate) fn sweep_created(&mut self) {
        let spent = |(address, own): (&IpAddr, &Own)| {
            let dvipa = self.dvipa(*self.by_address.get(address)?);
            let routes = dvipa.standing.collects() && dvipa.dpt.connections() > 0;
            (!own.bound && dvipa.held == 0 && !routes).then_some(*address)
        };
        let spent: Vec<IpAddr> = self.created.iter().filter_map(spent).collect();
        if spent.is_empty() {
            return;
        }
        self.created.retain(|address, _| !spent.contains(address));
        self.reprofile();
    }

    /// What this stack tells of a DVIPA that it has made.
    pub(crate) fn created_definition(own: &Own) -> Definition {
        Definition {
            rank: if own.bound { BOUND } else { REMNANT },
            prefix: Some(own.prefix),
            create: true,
            created: Some(own.created),
            ..Definition::default()
        }
    }

    /// This stack has given the DVIPA up, and nobody else can have it.
    pub(crate) fn release(&mut self, id: DvipaId) {
        let until = self.now + self.config.timing.grace;
        let (owner, incarnation) = (self.config.xcf, self.config.incarnation);
        let dvipa = self.dvipa_mut(id);
        if let Some(claim) = &mut dvipa.claim {
            if (claim.owner, claim.incarnation) != (owner, incarnation) {
                // The claim of a stack that is gone stays as it was: this one comes after it.
                let epoch = Epoch { round: claim.epoch.round.saturating_add(1), rank: 0 };
                (claim.epoch, claim.owner, claim.incarnation) = (epoch, owner, incarnation);
            }
            claim.phase = Phase::Released;
        }
        dvipa.acting = None;
        dvipa.standing = crate::ownership::Standing::Former { until };
        let address = dvipa.address;
        if core::mem::take(&mut dvipa.advertised) {
            self.actions.push_back(Action::Withdraw { address });
        }
        self.event(Event::Released { dvipa: address });
        self.announce(id);
        self.update_home(id);
        self.reexamine(id);
    }
}
