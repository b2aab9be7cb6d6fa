//! What the whole group has to do with each DVIPA, as one of its stacks knows it (DISPLAY SYSPLEX).

use std::net::IpAddr;

use crate::created::BOUND;
use crate::dvipa::{Dvipa, DvipaId};
use crate::membership::StackId;
use crate::ownership::Phase;
use crate::status::{DistStatus, VipaStatus};
use crate::vipa::Vipa;

/// A DVIPA and every stack that has a part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysplexDvipa {
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
    /// The owner first, then those that can take over, the next in rank first, then targets.
    pub stacks: Vec<SysplexStack>,
}

/// A stack's part in a DVIPA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysplexStack {
    /// Its name.
    pub name: String,
    /// What it is to the DVIPA.
    pub status: VipaStatus,
    /// 255 as primary, 1 to 254 as backup, 0 for neither.
    pub rank: u8,
    /// Its part in the distribution.
    pub distribution: DistStatus,
}

/// A member of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its XCF address.
    pub xcf: IpAddr,
    /// It is stopping in order, or leaving the group.
    pub leaving: bool,
}

impl Vipa {
    /// Every DVIPA that a live stack has a part in.
    pub fn sysplex(&self) -> Vec<SysplexDvipa> {
        let view = |id: DvipaId| {
            let dvipa = self.dvipa(id);
            let prefix = dvipa.prefix_of(self.live_owner(id).unwrap_or(self.me));
            let mut parts: Vec<_> = self
                .stack_ids()
                .filter(|stack| self.is_live(*stack))
                .filter_map(|stack| self.part(id, stack))
                .collect();
            // Stable: of equals the one with the lower XCF address stays first.
            parts.sort_by_key(|part| (part.status != VipaStatus::Active, u8::MAX - part.rank));
            SysplexDvipa { address: dvipa.address, prefix, stacks: parts }
        };
        self.dvipa_ids().map(view).filter(|dvipa| !dvipa.stacks.is_empty()).collect()
    }

    /// The stacks of the group that are in contact, this one among them; none outside the group.
    pub fn members(&self) -> Vec<Member> {
        let live = self.stack_ids().filter(|stack| self.in_group() && self.is_live(*stack));
        let leaving = |stack| match self.peers.get(&stack) {
            Some(peer) => peer.leaving,
            None => self.leaving.is_some(),
        };
        live.map(|stack| Member { name: self.label_of(stack), xcf: self.address_of(stack), leaving: leaving(stack) })
            .collect()
    }

    /// What a live stack is to a DVIPA, if it is anything.
    fn part(&self, id: DvipaId, stack: StackId) -> Option<SysplexStack> {
        let dvipa = self.dvipa(id);
        let rank = dvipa.definitions.get(&stack).map_or(0, |definition| definition.rank);
        let status = if stack == self.me { self.vipa_status(dvipa) } else { self.status_of(id, stack) };
        let distribution = self.distribution_of(dvipa, stack);
        let nothing = status == VipaStatus::None && distribution == DistStatus::Neither;
        (!nothing).then(|| SysplexStack { name: self.label_of(stack), status, rank, distribution })
    }

    /// What another stack is to a DVIPA, by its claim and its definitions.
    fn status_of(&self, id: DvipaId, stack: StackId) -> VipaStatus {
        let dvipa = self.dvipa(id);
        let leaving = self.peers.get(&stack).is_some_and(|peer| peer.leaving);
        let taking_back = dvipa.claim.as_ref().is_some_and(|claim| matches!(claim.phase, Phase::TakingBack { .. }));
        let acts = dvipa.acting.is_some_and(|(acting, _)| acting == stack);
        let owns = self.live_owner(id) == Some(stack);
        match dvipa.definitions.get(&stack) {
            _ if (owns || acts) && leaving => VipaStatus::Quiescing,
            _ if owns && taking_back => VipaStatus::Moving,
            _ if owns || acts => VipaStatus::Active,
            Some(definition) if definition.created.is_some() && definition.rank < BOUND => VipaStatus::Moving,
            Some(definition) if definition.rank > 0 => VipaStatus::Backup,
            _ => VipaStatus::None,
        }
    }

    fn distribution_of(&self, dvipa: &Dvipa, stack: StackId) -> DistStatus {
        if stack == self.me {
            return self.dist_status(dvipa);
        }
        let Some(distribution) = dvipa.distribution() else { return DistStatus::Neither };
        let xcf = self.address_of(stack);
        let owns = dvipa.claim.as_ref().is_some_and(|claim| claim.owner == xcf && claim.phase != Phase::Released);
        let acts = dvipa.acting.is_some_and(|(acting, _)| acting == stack);
        DistStatus::of(owns || acts, distribution.targets.contains(xcf))
    }
}
