//! What workload managers say of systems and servers, and what a choice makes of that.

use std::collections::BTreeMap;

use crate::choice::{Offer, Policy, StandbyPolicy};
use crate::definitions::{Method, Standby, Weights};
use crate::dvipa::{Distribution, DvipaId};
use crate::membership::StackId;
use crate::optlocal;
use crate::vipa::Vipa;

/// What a workload manager says of one system: weights from 0 to [`MOST`](Workload::MOST), as z/OS has
/// them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// The system's, for CP, zAAP and zIIP; `None`: it tells none, which counts as 1.
    pub system: Option<[u8; 3]>,
    /// Its servers', by port.
    pub servers: BTreeMap<u16, ServerLoad>,
}

/// What a workload manager says of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLoad {
    /// Its weight; `None`: that of its system.
    pub weight: Option<u8>,
    /// Abnormal completions of 1,000; 0 is best.
    pub abnormal: u16,
    /// 0 to 100, 100 is best.
    pub health: u8,
}

impl Default for ServerLoad {
    fn default() -> Self {
        ServerLoad { weight: None, abnormal: 0, health: 100 }
    }
}

impl Workload {
    /// The largest weight.
    pub const MOST: u8 = 64;
    /// Servers that one message names.
    pub(crate) const SERVERS: usize = 1024;

    /// Whether it gives any weight.
    fn weighs(&self) -> bool {
        self.system.is_some() || self.servers.values().any(|server| server.weight.is_some())
    }

    /// Within the bounds that weights have.
    fn bounded(mut self) -> Workload {
        let weight = |weight: u8| weight.min(Self::MOST);
        self.system = self.system.map(|weights| weights.map(weight));
        while self.servers.len() > Self::SERVERS {
            self.servers.pop_last();
        }
        for server in self.servers.values_mut() {
            server.weight = server.weight.map(weight);
            (server.abnormal, server.health) = (server.abnormal.min(1000), server.health.min(100));
        }
        self
    }
}

/// Who goes by which policy. `weighs`: a workload manager gives weights, or one is multiplied.
pub(crate) fn policy(method: &Method, weighs: bool) -> Policy {
    match method {
        Method::BaseWlm(_) | Method::ServerWlm(_) if weighs => Policy::Share,
        // Without a workload manager plain round robin (F7.144).
        Method::BaseWlm(_) | Method::ServerWlm(_) | Method::RoundRobin => Policy::InTurn,
        Method::WeightedActive(_) => Policy::Load,
        Method::HotStandby(Standby { switch_back, health_switch, .. }) => {
            Policy::Standby(StandbyPolicy { switch_back: *switch_back, health_switch: *health_switch })
        }
    }
}

/// What a candidate target offers for a port, by the list and its workload manager; `None` if the list does not
/// name it.
pub(crate) fn offer(list: &Distribution, xcf: std::net::IpAddr, port: u16, workload: &Workload) -> Option<Offer> {
    if !list.targets.contains(xcf) {
        return None;
    }
    let server = workload.servers.get(&port).copied().unwrap_or_default();
    let mut offer = Offer { abnormal: server.abnormal, health: server.health, ..Offer::PLAIN };
    match &list.method {
        Method::BaseWlm(processors) => {
            offer.weight = workload.system.map_or(1, |weights| processors.composite(weights));
        }
        // One server for each port of a system: its system's weight is all its own.
        Method::ServerWlm(_) => {
            let system = workload.system.map(|[cp, _, _]| cp);
            offer.weight = server.weight.or(system).unwrap_or(1);
        }
        Method::WeightedActive(weights) => offer.weight = weights.of(xcf).max(Weights::LEAST),
        Method::HotStandby(standby) => offer.rank = standby.rank(xcf)?,
        Method::RoundRobin => {}
    }
    Some(offer)
}

impl Vipa {
    /// What the workload manager of this stack says from now on; all stacks are told, for any of them may route.
    pub fn set_workload(&mut self, now: stack::Instant, workload: Workload) {
        self.advance(now);
        let workload = workload.bounded();
        if self.workload == workload {
            return;
        }
        self.workload = workload;
        let message = self.workload_message();
        self.tell_all(&message);
        self.workload_changed();
    }

    /// What another stack's says.
    pub(crate) fn hear_workload(&mut self, from: StackId, workload: Workload) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let workload = workload.bounded();
        if peer.workload != workload {
            peer.workload = workload;
            self.workload_changed();
        }
    }

    pub(crate) fn workload_changed(&mut self) {
        self.weighs = self.workload.weighs() || self.peers.values().any(|peer| peer.workload.weighs());
        self.dvipas.iter_mut().for_each(|dvipa| dvipa.dpt.reweigh());
    }

    /// A session with a stack begins: neither knows what the other's says.
    pub(crate) fn share_workload(&mut self, stack: StackId) {
        if let Some(peer) = self.peers.get_mut(&stack)
            && core::mem::take(&mut peer.workload) != Workload::default()
        {
            self.workload_changed();
        }
        if self.workload != Workload::default() {
            let message = self.workload_message();
            self.tell(stack, &message);
        }
    }

    fn workload_message(&self) -> crate::wire::message::Message {
        crate::wire::message::Message::Workload { workload: self.workload.clone() }
    }

    /// The workload manager's word of a stack.
    pub(crate) fn workload_of(&self, stack: StackId) -> &Workload {
        self.peers.get(&stack).map_or(&self.workload, |peer| &peer.workload)
    }

    /// The policy by which the DVIPA is distributed now.
    pub(crate) fn policy_of(&self, id: DvipaId) -> Option<Policy> {
        let list = self.dvipa(id).distribution()?;
        Some(policy(&list.method, self.weighs || optlocal::multiplier(list).is_some()))
    }

    /// What a stack offers for a port of the DVIPA.
    pub(crate) fn offer_of(&self, id: DvipaId, port: u16, stack: StackId) -> Option<Offer> {
        let list = self.dvipa(id).distribution()?;
        offer(list, self.address_of(stack), port, self.workload_of(stack))
    }
}
