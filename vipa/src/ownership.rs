//! Who routes for a DVIPA: claims, takeover (Figure 9), and giving way.
//!
//! Whoever wants a DVIPA claims it with an epoch higher than any it has seen, and tells all. The
//! highest claim wins; whoever sees a higher one than its own gives way (R11, R12). Everything
//! else follows from three questions, asked again after each change in [`Vipa::consider`]: is the
//! owner by the highest claim alive? If not, is this stack the best that is? If so, is this stack
//! the primary, and may it take the DVIPA back?
//!
//! ```text
//!             claim, nobody routes            all reports in
//!   Standby ─────────────────────> Gathering ───────────────> Active
//!      ^  \                            ^                      │    │ TAKEBACK
//!      │   ── claim, take back ────────┘                      │    v
//!      │                                         higher claim │  Yielding
//!      │           grace over                                 v    │ new owner active
//!      └─────────────────────────── Former <──────────────────┴────┘
//! ```

mod claim;
mod heard;

use std::collections::BTreeSet;

use stack::Instant;

pub use self::claim::Epoch;
pub(crate) use self::claim::{Claim, Phase};
use crate::action::Action;
use crate::crt::{Entry, Evidence};
use crate::definitions::Moveable;
use crate::dvipa::{Definition, Dvipa, DvipaId, PRIMARY};
use crate::event::Event;
use crate::guard::Guard;
use crate::membership::StackId;
use crate::responsiveness::Measure;
use crate::takeback::{Gathering, Release};
use crate::vipa::Vipa;
use crate::wire::message::Message;

/// This stack's own part in a DVIPA.
#[derive(Debug)]
pub(crate) enum Standing {
    /// It routes nothing.
    Standby,
    /// It has claimed, and gathers reports.
    Gathering(Gathering),
    /// It routes; its tables are complete.
    Active,
    /// It still routes what it knows, everything else goes to the stack that takes back (F10.306).
    Yielding,
    /// It is not the owner any more, but what still reaches it goes where it belongs (R2).
    Former { until: Instant },
}

impl Standing {
    /// Whether reports from targets concern this stack.
    pub fn collects(&self) -> bool {
        matches!(self, Standing::Gathering(_) | Standing::Active | Standing::Yielding)
    }
}

impl Vipa {
    /// Whether the highest claim on the DVIPA is this life's.
    pub(crate) fn is_mine(&self, claim: &Claim) -> bool {
        claim.owner == self.config.xcf && claim.incarnation == self.config.incarnation
    }

    /// The owner by the highest claim, if it is this stack or a peer that is up.
    pub(crate) fn live_owner(&self, id: DvipaId) -> Option<StackId> {
        let claim = self.dvipa(id).claim.as_ref().filter(|claim| claim.phase != Phase::Released)?;
        if self.is_mine(claim) {
            return Some(self.me);
        }
        let stack = self.stack_of(claim.owner)?;
        let peer = self.peers.get(&stack)?;
        (peer.is_up() && peer.session.incarnation() == Some(claim.incarnation)).then_some(stack)
    }

    /// Whether an owner that this stack has no contact with may well be alive.
    fn is_owner_elsewhere(&self, dvipa: &Dvipa) -> bool {
        let Some(claim) = dvipa.claim.as_ref().filter(|claim| claim.phase != Phase::Released) else { return false };
        let Some(peer) = self.stack_of(claim.owner).and_then(|stack| self.peers.get(&stack)) else { return false };
        // One that is up in another life has lost what it owned; it claims anew, or another does.
        let absent = !peer.is_up() && !peer.session.is_over(claim.incarnation);
        absent && (dvipa.believed_until.is_some() || self.is_vouched(peer))
    }

    /// Whether a stack may own the DVIPA: it has a network link, is not about to stop, and its
    /// profile or an application of it says so.
    fn may_own(&self, id: DvipaId, stack: StackId) -> bool {
        let dvipa = self.dvipa(id);
        let Some(definition) = dvipa.definitions.get(&stack).filter(|definition| definition.rank > 0) else {
            return false;
        };
        // z/OS: a plain backup does not create a DVIPA that was never active anywhere.
        let creates = dvipa.claim.is_some() || definition.rank == PRIMARY || definition.create;
        let fit = match self.peers.get(&stack) {
            Some(peer) => peer.is_up() && peer.linked && !peer.leaving,
            None => self.config.linked && self.leaving.is_none(),
        };
        creates && fit && self.outranked(id, stack).is_none()
    }

    /// Of two stacks that may own a DVIPA the one with the greater right does: the higher rank, and
    /// of a range's DVIPA the later maker.
    fn right(&self, id: DvipaId, stack: StackId) -> (u8, u64, StackId) {
        let definition = self.dvipa(id).definitions.get(&stack);
        let since = definition.and_then(|definition| definition.created).map_or(0, |created| created.since);
        (definition.map_or(0, |definition| definition.rank), since, stack)
    }

    /// The stack that is to own the DVIPA once its owner is gone or leaves: of those in contact
    /// that may, the one with the greatest right (F9.201).
    pub(crate) fn best(&self, id: DvipaId) -> Option<StackId> {
        let able = self.dvipa(id).definitions.keys().copied().filter(|stack| self.may_own(id, *stack));
        able.max_by_key(|stack| self.right(id, *stack))
    }

    /// Looks at one DVIPA after a change: claims it if that falls to this stack, gives it up if
    /// nobody may own it any more, and brings the list up to date by which it is distributed.
    pub(crate) fn consider(&mut self, id: DvipaId) {
        // R11: who has just slept claims nothing before it knows what the others have claimed.
        if !self.discovered || self.is_dazed() && self.guards(Guard::Silent) {
            return;
        }
        let (best, owner) = (self.best(id), self.live_owner(id));
        if owner == Some(self.me) {
            return match best {
                None if self.leaving.is_none() => self.release(id),
                _ => self.relist(id),
            };
        }
        let dvipa = self.dvipa(id);
        let Some(claim) = &dvipa.claim else {
            if best == Some(self.me) {
                self.claim(id, Phase::Rebuilding);
            }
            return;
        };
        // R18: whoever was taking it from this stack is gone, and by now nobody else may have it.
        let abandoned = owner.is_none() && best.is_none() && dvipa.standing.collects();
        if abandoned && self.leaving.is_none() && !self.is_owner_elsewhere(dvipa) {
            return self.release(id);
        }
        if best != Some(self.me) {
            return;
        }
        match owner {
            // One takeback at a time: what is being taken back has no complete tables yet.
            Some(owner) if claim.phase == Phase::Active && self.takes_back(id, owner) => self.take_back(id, owner),
            Some(_) => {}
            None if self.is_owner_elsewhere(dvipa) => {}
            None => self.claim(id, Phase::Rebuilding),
        }
    }

    /// Whether this stack, which has the greatest right to the DVIPA, takes it from a live owner.
    fn takes_back(&self, id: DvipaId, owner: StackId) -> bool {
        let Some(peer) = self.peers.get(&owner) else { return false };
        let dvipa = self.dvipa(id);
        let (mine, theirs) = (dvipa.definitions.get(&self.me), dvipa.definitions.get(&owner));
        let primary = mine.is_some_and(|mine| mine.rank == PRIMARY && mine.moveable == Moveable::Immediate);
        let made = |one: Option<&Definition>| one.is_some_and(|one| one.created.is_some());
        let later = made(mine) && made(theirs) && self.right(id, self.me) > self.right(id, owner);
        let primary = primary && dvipa.claim.as_ref().is_some_and(|claim| claim.epoch.rank != PRIMARY);
        // Until its list has come, nobody knows whether it may own the DVIPA.
        peer.leaving || peer.listed && (!self.may_own(id, owner) || later) || primary
    }

    /// D6: the list or the prefix by which this stack routes has changed: it claims again, with its
    /// tables as they are.
    fn relist(&mut self, id: DvipaId) {
        let me = self.me;
        let dvipa = self.dvipa_mut(id);
        if !matches!(dvipa.standing, Standing::Active) {
            return;
        }
        let (prefix, distribution, scope) = (dvipa.prefix_of(me), dvipa.list_of(me), dvipa.affinity_scope());
        let Some(claim) = &mut dvipa.claim else { return };
        if (claim.prefix, &claim.distribution) == (prefix, &distribution) {
            return;
        }
        claim.epoch.round = claim.epoch.round.saturating_add(1);
        (claim.prefix, claim.distribution) = (prefix, distribution);
        let (address, epoch) = (dvipa.address, claim.epoch);
        dvipa.epoch = epoch;
        // Targets count by epoch: of what was sent in the one before they know nothing any more.
        dvipa.measures.values_mut().for_each(Measure::forget_sent);
        self.recount_affinities(id, &scope);
        self.event(Event::Relisted { dvipa: address, epoch });
        for (port, stack, _) in self.dvipa(id).dpt.rows() {
            if stack == me {
                self.dvipa_mut(id).dpt.set_ready(port, me, 0);
            }
        }
        for (port, listeners) in self.listeners_on(id) {
            self.dvipa_mut(id).dpt.set_ready(port, me, listeners);
        }
        self.update_home(id);
        self.announce(id);
        self.reexamine(id);
    }

    /// Begins to take the DVIPA from the live stack `from`, without a gap (F10.300).
    pub(crate) fn take_back(&mut self, id: DvipaId, from: StackId) {
        self.claim(id, Phase::TakingBack { from: self.address_of(from) });
    }

    fn claim(&mut self, id: DvipaId, phase: Phase) {
        let (now, me) = (self.now, self.me);
        let awaiting = self.live_peers();
        let from = match phase {
            Phase::TakingBack { from } => self.stack_of(from),
            Phase::Rebuilding | Phase::Active | Phase::Released => None,
        };
        let (owner, incarnation) = (self.config.xcf, self.config.incarnation);
        let until = now + self.config.timing.rebuild_wait;
        let dvipa = self.dvipa_mut(id);
        let before = dvipa.claim.as_ref().map_or(Epoch::NONE, |claim| claim.epoch);
        let rank = dvipa.definitions.get(&me).map_or(0, |definition| match definition.created {
            // A sysplex has 32 systems: this tells those apart that claim in the same round.
            Some(_) => (me.0 + 1).min(u16::from(PRIMARY - 1)) as u8,
            None => definition.rank,
        });
        // I2: a former life of this stack may have claimed what nobody else has heard of.
        let epoch = Epoch { round: before.round.saturating_add(1).max(incarnation), rank };
        let former = dvipa.claim.as_ref().filter(|claim| claim.phase != Phase::Released && claim.owner != owner);
        let former = former.map(|claim| claim.owner);
        let (prefix, distribution, scope) = (dvipa.prefix_of(me), dvipa.list_of(me), dvipa.affinity_scope());
        dvipa.acting = from.map(|stack| (stack, before));
        dvipa.before = dvipa.acting;
        dvipa.believed_until = None;
        dvipa.claim = Some(Claim { epoch, owner, incarnation, phase, prefix, distribution });
        dvipa.epoch = epoch;
        dvipa.idle_told = false;
        dvipa.standing = Standing::Gathering(Gathering::new(awaiting, until, from.map(Release::new)));
        dvipa.leases.begin(me);
        dvipa.measures.clear();
        let address = dvipa.address;
        self.recount_affinities(id, &scope);
        for stack in self.stack_ids() {
            self.dvipa_mut(id).dpt.clear_ready(stack);
        }
        self.enter_own(id);
        self.take_own_affinities(id);
        self.update_home(id);
        match from {
            None => {
                self.advertise(id);
                let from = former.and_then(|xcf| self.stack_of(xcf)).map(|stack| self.label_of(stack));
                self.event(Event::Claimed { dvipa: address, epoch, from });
            }
            Some(from) => {
                let from = self.label_of(from);
                self.event(Event::TakingBack { dvipa: address, epoch, from });
            }
        }
        self.announce(id);
        self.gathered(id);
    }

    /// What this stack serves itself goes into its own tables.
    pub(crate) fn enter_own(&mut self, id: DvipaId) {
        let (now, me) = (self.now, self.me);
        for (port, listeners) in self.listeners_on(id) {
            self.dvipa_mut(id).dpt.set_ready(port, me, listeners);
        }
        let mark = self.next_mark(id, me);
        let held: Vec<_> = self.held_on(id).collect();
        for (flow, held) in held {
            self.enter(flow, Entry::new(now, held.instance, me, mark, Evidence::Holder));
        }
        self.sweep(id, me);
    }

    /// F5.102, F9.201, F9.212: tells all stacks of this stack's claim.
    pub(crate) fn announce(&mut self, id: DvipaId) {
        let dvipa = self.dvipa(id);
        if let Some(claim) = dvipa.claim.clone() {
            let message = Message::Claim { dvipa: dvipa.address, claim };
            self.tell_all(&message);
        }
    }

    pub(crate) fn advertise(&mut self, id: DvipaId) {
        let (me, now) = (self.me, self.now);
        let dvipa = self.dvipa_mut(id);
        if !core::mem::replace(&mut dvipa.advertised, true) {
            dvipa.since = now;
        }
        let (address, prefix) = (dvipa.address, dvipa.prefix_of(me));
        self.actions.push_back(Action::Advertise { address, prefix });
    }

    /// The tables are complete: this stack is the routing stack like any other from now on.
    pub(crate) fn activate(&mut self, id: DvipaId, missing: Vec<StackId>) {
        let dvipa = self.dvipa_mut(id);
        dvipa.standing = Standing::Active;
        dvipa.acting = None;
        if let Some(claim) = &mut dvipa.claim {
            claim.phase = Phase::Active;
        }
        let (address, epoch, connections) = (dvipa.address, dvipa.epoch, dvipa.dpt.connections());
        let from = dvipa.before.filter(|_| !dvipa.advertised).map(|(stack, _)| stack);
        if !dvipa.advertised {
            self.advertise(id);
        }
        let missing = missing.into_iter().map(|stack| self.label_of(stack)).collect();
        let from = from.map(|stack| self.label_of(stack));
        self.event(Event::Active { dvipa: address, epoch, connections, from, missing });
        self.announce(id);
        self.reexamine(id);
        self.want_block(id);
        self.relist(id);
        self.sweep_created();
    }

    /// This stack's rank for the DVIPA; 0 if it has none, or none that counts.
    fn own_rank(&self, id: DvipaId) -> u8 {
        self.dvipa(id).definitions.get(&self.me).map_or(0, |definition| definition.rank)
    }

    /// Former owners whose time is over clean their tables (F10.310).
    pub(crate) fn retire(&mut self) {
        let over = |dvipa: &Dvipa| matches!(dvipa.standing, Standing::Former { until } if until <= self.now);
        let over: BTreeSet<DvipaId> = self.dvipa_ids().filter(|id| over(self.dvipa(*id))).collect();
        if over.is_empty() {
            return;
        }
        // One look at the table for all of them.
        self.crt.retain(|flow, _| !over.contains(&flow.dvipa));
        for id in over {
            let dvipa = self.dvipa_mut(id);
            dvipa.forget_routing();
            dvipa.standing = Standing::Standby;
            self.update_home(id);
        }
    }

    /// Brings the home list up to date: an owner has the address, a candidate target has it as
    /// internal (F6.126), and so has a stack that still holds connections on it.
    pub(crate) fn update_home(&mut self, id: DvipaId) {
        let (me, xcf) = (self.me, self.config.xcf);
        let bound = self.created.get(&self.dvipa(id).address).is_some_and(|own| own.bound);
        let dvipa = self.dvipa_mut(id);
        let target = dvipa.has_target(xcf) || bound;
        let needed = match dvipa.standing {
            Standing::Gathering(_) | Standing::Active | Standing::Yielding => Some(false),
            Standing::Former { .. } => Some(true),
            Standing::Standby => (target || dvipa.held > 0).then_some(true),
        };
        if dvipa.home == needed {
            return;
        }
        dvipa.home = needed;
        let (address, prefix) = (dvipa.address, dvipa.prefix_of(me));
        self.actions.push_back(match needed {
            Some(internal) => Action::AddHome { address, prefix, internal },
            None => Action::RemoveHome { address },
        });
    }
}
