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

use core::fmt;
use std::net::IpAddr;

use stack::Instant;

use crate::action::Action;
use crate::crt::{Entry, Evidence};
use crate::definitions::Moveable;
use crate::dvipa::{Definition, Distribution, Dvipa, DvipaId, PRIMARY};
use crate::event::Event;
use crate::guard::Guard;
use crate::membership::StackId;
use crate::takeback::{Gathering, Release};
use crate::vipa::Vipa;
use crate::wire::message::Message;

/// An ownership epoch: each claim on a DVIPA has one higher than all before it (I2). Two stacks
/// that claim in the same round differ in rank, and the higher rank wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Counts up over all owners; never below the number of its claimer's life.
    pub round: u64,
    /// The claimer's: 255 for the primary.
    pub rank: u8,
}

impl Epoch {
    /// Before every claim.
    pub const NONE: Epoch = Epoch { round: 0, rank: 0 };
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.round, self.rank)
    }
}

/// How far a claim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Advertised; the tables are being rebuilt from the stacks' reports.
    Rebuilding,
    /// Not advertised yet: the stack `from` routes until the tables are complete (R2).
    TakingBack { from: IpAddr },
    /// Advertised, tables complete.
    Active,
    /// Given up, and nobody else can have it now: nobody routes.
    Released,
}

/// A stack's claim on a DVIPA, and the list it goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub epoch: Epoch,
    pub owner: IpAddr,
    /// The owner's life.
    pub incarnation: u64,
    pub phase: Phase,
    pub prefix: u8,
    pub distribution: Option<Distribution>,
}

impl Claim {
    /// Claims are ordered by epoch. Two lives of one stack, cut off from all others, may claim
    /// with the same epoch: the later life wins.
    fn order(&self) -> (Epoch, u64) {
        (self.epoch, self.incarnation)
    }

    /// Whether the tables of the owner are complete.
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Active
    }

    /// FNV-1a over what orders the claim: part of the protocol, so that all stacks agree on it.
    fn digest(&self, dvipa: IpAddr) -> u64 {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let add = |hash: u64, bytes: &[u8]| bytes.iter().fold(hash, step);
        let hash = match dvipa {
            IpAddr::V4(v4) => add(0xcbf2_9ce4_8422_2325, &v4.octets()),
            IpAddr::V6(v6) => add(0xcbf2_9ce4_8422_2325, &v6.octets()),
        };
        let hash = add(hash, &self.epoch.round.to_be_bytes());
        add(add(hash, &[self.epoch.rank]), &self.incarnation.to_be_bytes())
    }
}

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
    fn is_owner_elsewhere(&self, claim: &Claim) -> bool {
        if claim.phase == Phase::Released {
            return false;
        }
        let Some(peer) = self.stack_of(claim.owner).and_then(|stack| self.peers.get(&stack)) else { return false };
        // One that is up in another life has lost what it owned; it claims anew, or another does.
        !peer.is_up() && !peer.session.is_over(claim.incarnation) && self.is_vouched(peer)
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
        let Some(claim) = &self.dvipa(id).claim else {
            if best == Some(self.me) {
                self.claim(id, Phase::Rebuilding);
            }
            return;
        };
        // R18: whoever was taking it from this stack is gone, and by now nobody else may have it.
        let abandoned = owner.is_none() && best.is_none() && self.dvipa(id).standing.collects();
        if abandoned && self.leaving.is_none() && !self.is_owner_elsewhere(claim) {
            return self.release(id);
        }
        if best != Some(self.me) {
            return;
        }
        match owner {
            // One takeback at a time: what is being taken back has no complete tables yet.
            Some(owner) if claim.phase == Phase::Active && self.takes_back(id, owner) => self.take_back(id, owner),
            Some(_) => {}
            None if self.is_owner_elsewhere(claim) => {}
            None => self.claim(id, Phase::Rebuilding),
        }
    }

    /// Whether this stack, which has the greatest right to the DVIPA, takes it from a live owner.
    fn takes_back(&self, id: DvipaId, owner: StackId) -> bool {
        let dvipa = self.dvipa(id);
        let (mine, theirs) = (dvipa.definitions.get(&self.me), dvipa.definitions.get(&owner));
        // Until its list has come, nobody knows whether it may own the DVIPA.
        let listed = self.peers.get(&owner).is_some_and(|peer| peer.listed);
        let leaves = self.peers.get(&owner).is_some_and(|peer| peer.leaving);
        let primary = mine.is_some_and(|mine| mine.rank == PRIMARY && mine.moveable == Moveable::Immediate);
        let made = |one: Option<&Definition>| one.is_some_and(|one| one.created.is_some());
        let later = made(mine) && made(theirs) && self.right(id, self.me) > self.right(id, owner);
        let primary = primary && dvipa.claim.as_ref().is_some_and(|claim| claim.epoch.rank != PRIMARY);
        leaves || listed && (!self.may_own(id, owner) || later) || primary
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
        claim.epoch.round += 1;
        (claim.prefix, claim.distribution) = (prefix, distribution);
        let (address, epoch) = (dvipa.address, claim.epoch);
        dvipa.epoch = epoch;
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
        let epoch = Epoch { round: (before.round + 1).max(incarnation), rank };
        let former = dvipa.claim.as_ref().filter(|claim| claim.phase != Phase::Released && claim.owner != owner);
        let former = former.map(|claim| claim.owner);
        let (prefix, distribution, scope) = (dvipa.prefix_of(me), dvipa.list_of(me), dvipa.affinity_scope());
        dvipa.acting = from.map(|stack| (stack, before));
        dvipa.before = dvipa.acting;
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

    /// A claim was heard, from its owner or from another stack that knows of it.
    pub(crate) fn hear_claim(&mut self, from: StackId, id: DvipaId, claim: Claim) {
        let own = self.is_mine(&claim);
        let dvipa = self.dvipa(id);
        let order = claim.order().cmp(&dvipa.claim.as_ref().map_or((Epoch::NONE, 0), Claim::order));
        match order {
            core::cmp::Ordering::Less if self.guards(Guard::Epoch) => self.contradict(from, id, &claim),
            core::cmp::Ordering::Less if own => {}
            core::cmp::Ordering::Less => self.follow(id, claim),
            core::cmp::Ordering::Equal if !own => {
                self.hear_list(from, id, &claim);
                self.hear_phase(id, claim.phase);
            }
            core::cmp::Ordering::Equal => {}
            core::cmp::Ordering::Greater => self.follow(id, claim),
        }
    }

    /// D7: a stack of an earlier version may have told of the claim first, and of its list only what it understands;
    /// the owner itself knows best.
    fn hear_list(&mut self, from: StackId, id: DvipaId, claim: &Claim) {
        let owner = claim.owner == self.address_of(from);
        let dvipa = self.dvipa_mut(id);
        let scope = dvipa.affinity_scope();
        let known = dvipa.claim.as_mut().filter(|known| owner && known.distribution != claim.distribution);
        if let Some(known) = known {
            known.distribution.clone_from(&claim.distribution);
            self.recount_affinities(id, &scope);
        }
    }

    /// R12: who follows a lower claim learns of the higher one. If it was this stack's, the other
    /// may have turned the network's route to itself: it is turned back.
    fn contradict(&mut self, from: StackId, id: DvipaId, lower: &Claim) {
        let dvipa = self.dvipa(id);
        let Some(known) = dvipa.claim.clone() else { return };
        let rival = lower.owner != known.owner && lower.owner == self.address_of(from);
        let message = Message::Claim { dvipa: dvipa.address, claim: known.clone() };
        self.tell(from, &message);
        if rival {
            self.turn_route(id);
        }
    }

    /// A number that is the same on all stacks that know the same claims.
    pub(crate) fn claims_digest(&self) -> u64 {
        let claims = self.dvipas.iter().filter_map(|dvipa| Some((dvipa.address, dvipa.claim.as_ref()?)));
        claims.fold(0, |digest, (address, claim)| digest ^ claim.digest(address))
    }

    /// R12, R13: whoever made a claim may have died before all knew of it. Stacks whose digests
    /// differ tell each other what they know; once may be a claim that is still under way.
    pub(crate) fn compare_claims(&mut self, from: StackId, digest: u64) {
        const AGAIN: u8 = 12;
        let same = digest == self.claims_digest();
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.disagreements = if same { 0 } else { peer.disagreements % AGAIN + 1 };
        if peer.disagreements == 2 {
            let claim = |dvipa: &Dvipa| Some(Message::Claim { dvipa: dvipa.address, claim: dvipa.claim.clone()? });
            let messages: Vec<Message> = self.dvipas.iter().filter_map(claim).collect();
            messages.iter().for_each(|message| self.tell(from, message));
        }
    }

    /// R12: a stack that can own DVIPAs of this one is back in contact, or gone. If it has owned one
    /// for a while and heard from others that it should not, the network has no route any more.
    pub(crate) fn outshine(&mut self, stack: StackId) {
        for id in self.dvipa_ids() {
            let definitions = &self.dvipa(id).definitions;
            let able = definitions.get(&stack).is_some_and(|definition| definition.rank > 0);
            // A former life of it may have made the same DVIPA.
            if able || definitions.get(&self.me).is_some_and(|own| own.created.is_some()) {
                self.turn_route(id);
            }
        }
    }

    /// Turns the network's route here again, if this stack owns the DVIPA: one that yields already
    /// does not, nor one that has just slept and may have been replaced.
    pub(crate) fn turn_route(&mut self, id: DvipaId) {
        let dvipa = self.dvipa(id);
        let owns = dvipa.advertised && dvipa.claim.as_ref().is_some_and(|claim| self.is_mine(claim));
        if owns && !self.is_dazed() {
            self.advertise(id);
        }
    }

    /// The owner got further with the claim that this stack knows already.
    fn hear_phase(&mut self, id: DvipaId, phase: Phase) {
        let dvipa = self.dvipa_mut(id);
        let Some(claim) = &mut dvipa.claim else { return };
        let further = match (claim.phase, phase) {
            (Phase::Released, _) => false,
            (_, Phase::Released) => true,
            (Phase::Active, _) => false,
            (Phase::Rebuilding, _) => phase == Phase::Active,
            (Phase::TakingBack { .. }, _) => !matches!(phase, Phase::TakingBack { .. }),
        };
        if !further {
            return;
        }
        claim.phase = phase;
        dvipa.acting = None;
        if dvipa.standing.collects() {
            self.step_down(id);
        }
        if phase == Phase::Active {
            self.want_block(id);
        }
        self.check_left();
        self.consider(id);
    }

    /// A higher claim: this stack goes by it from now on.
    fn follow(&mut self, id: DvipaId, claim: Claim) {
        let (me, xcf) = (self.me, self.config.xcf);
        let from = match claim.phase {
            Phase::TakingBack { from } => self.stack_of(from),
            Phase::Rebuilding | Phase::Active | Phase::Released => None,
        };
        let owner = self.stack_of(claim.owner).filter(|_| claim.owner != xcf);
        let dvipa = self.dvipa_mut(id);
        let collects = dvipa.standing.collects();
        let yields = from == Some(me) && matches!(dvipa.standing, Standing::Active | Standing::Yielding);
        let before = dvipa.claim.as_ref().map_or(Epoch::NONE, |claim| claim.epoch);
        dvipa.acting = from.map(|stack| (stack, if stack == me { dvipa.epoch } else { before }));
        dvipa.before = dvipa.acting;
        let scope = dvipa.affinity_scope();
        dvipa.claim = Some(claim);
        let epoch = dvipa.claim.as_ref().map_or(Epoch::NONE, |claim| claim.epoch);
        let former = matches!(dvipa.standing, Standing::Former { .. });
        let address = dvipa.address;
        self.recount_affinities(id, &scope);
        if collects && !yields {
            self.step_down(id);
        }
        self.update_home(id);
        if let Some(owner) = owner {
            // Whoever it gave way to before is not the owner either: this one may have no route since.
            if former {
                self.tell(owner, &Message::Released { dvipa: address, epoch });
            }
            self.report(id, owner);
        }
        self.check_left();
        self.consider(id);
    }

    /// F10.310: this stack is not the owner any more. What still reaches it is sent on for a while.
    fn step_down(&mut self, id: DvipaId) {
        let until = if self.guards(Guard::Grace) { self.now + self.config.timing.grace } else { self.now };
        let owner = self.dvipa(id).claim.as_ref().and_then(|claim| self.stack_of(claim.owner));
        let owner = owner.filter(|owner| *owner != self.me);
        // A yielding stack has handed everything over already.
        if let Some(owner) = owner
            && !matches!(self.dvipa(id).standing, Standing::Yielding)
        {
            self.hand_over(id, owner);
            let dvipa = self.dvipa(id);
            if let Some(epoch) = dvipa.claim.as_ref().map(|claim| claim.epoch) {
                let message = Message::Released { dvipa: dvipa.address, epoch };
                self.tell(owner, &message);
            }
        }
        // R3: whoever decides now may have decided otherwise about SYNs that are under way.
        self.remove_where(|flow, entry| flow.dvipa == id && entry.is_half_open());
        let owner = owner.map(|owner| self.label_of(owner));
        let dvipa = self.dvipa_mut(id);
        dvipa.standing = Standing::Former { until };
        let address = dvipa.address;
        if core::mem::take(&mut dvipa.advertised) {
            self.actions.push_back(Action::Withdraw { address });
        }
        let surrendered = self.leaving.is_some() || self.own_rank(id) == 0;
        self.event(Event::SteppedDown { dvipa: address, owner, surrendered });
        self.update_home(id);
        self.reexamine(id);
    }

    /// This stack's rank for the DVIPA; 0 if it has none, or none that counts.
    fn own_rank(&self, id: DvipaId) -> u8 {
        self.dvipa(id).definitions.get(&self.me).map_or(0, |definition| definition.rank)
    }

    /// Former owners whose time is over clean their tables (F10.310).
    pub(crate) fn retire(&mut self) {
        let now = self.now;
        for id in self.dvipa_ids() {
            if matches!(self.dvipa(id).standing, Standing::Former { until } if until <= now) {
                self.crt.retain(|flow, _| flow.dvipa != id);
                let dvipa = self.dvipa_mut(id);
                dvipa.forget_routing();
                dvipa.standing = Standing::Standby;
                self.update_home(id);
            }
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
