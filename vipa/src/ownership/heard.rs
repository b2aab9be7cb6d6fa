//! What the claims of other stacks lead to: following, contradicting, giving way.

use super::{Claim, Epoch, Phase, Standing};
use crate::action::Action;
use crate::dvipa::{Dvipa, DvipaId};
use crate::event::Event;
use crate::guard::Guard;
use crate::membership::StackId;
use crate::vipa::Vipa;
use crate::wire::message::Message;

impl Vipa {
    /// A claim was heard, from its owner or from another stack that knows of it.
    pub(crate) fn hear_claim(&mut self, from: StackId, id: DvipaId, claim: Claim) {
        if !self.is_plausible(id, claim.epoch) {
            return self.counters.malformed += 1;
        }
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

    /// Whether an epoch is one that a stack in its right mind can have: rounds begin with numbers of lives, and
    /// grow by one. One wrong number must not be the last: nobody could claim after that.
    fn is_plausible(&self, id: DvipaId, epoch: Epoch) -> bool {
        /// Of milliseconds, as lives are numbered, 8,900 years: more than a clock that is set from 1970 leaps. And
        /// a 65,536th of all rounds.
        const LEAP: u64 = 1 << 48;
        let known = self.dvipa(id).claim.as_ref().map_or(0, |claim| claim.epoch.round);
        epoch.round <= known.max(self.config.incarnation).saturating_add(LEAP)
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
        let believed_until = self.now + self.config.timing.silence;
        let dvipa = self.dvipa_mut(id);
        dvipa.believed_until = Some(believed_until);
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
        if self.dvipa(id).half_open() > 0 {
            self.remove_where(|flow, entry| flow.dvipa == id && entry.is_half_open());
        }
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
}

#[cfg(test)]
mod tests {
    use stack::Instant;

    use super::*;
    use crate::config::Config;
    use crate::definitions::{Define, Moveable};

    /// R11, R18: a claim with a round that no count comes to is none; after the highest that counts the DVIPA still
    /// moves.
    #[test]
    fn no_round_is_the_last() {
        let address = [203, 0, 113, 1].into();
        let mut config = Config::new("MVS1", [192, 0, 2, 1].into(), 7);
        config.peers = vec![[192, 0, 2, 2].into()];
        config.linked = true;
        config.definitions.defines.push(Define { address, prefix: 24, moveable: Moveable::Immediate });
        let mut vipa = Vipa::new(config, 1, Instant::ZERO);
        vipa.handle_timeout(Instant::from_millis(300));
        let (id, peer) = (vipa.by_address[&address], StackId(1));
        let own = vipa.dvipa(id).claim.clone().unwrap();
        assert!(vipa.is_mine(&own));
        let claim = |round| Claim { epoch: Epoch { round, rank: 9 }, owner: [192, 0, 2, 2].into(), ..own.clone() };
        let highest = own.epoch.round + (1 << 48);
        for round in [u64::MAX, u64::MAX - 1, highest + 1] {
            vipa.hear_claim(peer, id, claim(round));
            assert_eq!(vipa.dvipa(id).claim.as_ref(), Some(&own));
        }
        assert_eq!(vipa.counters.malformed, 3);
        // Its owner does not come: this stack claims anew.
        vipa.hear_claim(peer, id, claim(highest));
        assert!(!vipa.is_mine(vipa.dvipa(id).claim.as_ref().unwrap()));
        vipa.handle_timeout(Instant::from_millis(800));
        let after = vipa.dvipa(id).claim.clone().unwrap();
        assert!(vipa.is_mine(&after));
        assert_eq!(after.epoch.round, highest + 1);
    }
}
