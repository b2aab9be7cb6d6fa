//! Why a connection went where it went.
//!
//! A router remembers the reasons of its latest decisions, in a ring that takes no memory once it is full. Of
//! other connections it says what it can: their targets have reported them, or they are older.

use std::net::{IpAddr, SocketAddr};

use stack::Instant;

use crate::crt::Flow;
use crate::membership::StackId;
use crate::status::DistMethod;
use crate::vipa::Vipa;

/// What decided about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The distribution method.
    Method,
    /// TIMEDAFFINITY: the client has had connections there.
    Affinity,
    /// OPTLOCAL: the client is on this stack, and its own server copes.
    OptLocal,
    /// The method, with the weight of the client's own stack multiplied (OPTLOCAL 2 to 16).
    Favoured(u8),
    /// The port is not distributed, or none but this stack serves it: the owner took it itself.
    Owner,
}

/// A connection, and all that is known of why it is where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// DVIPA and port.
    pub server: SocketAddr,
    /// The client.
    pub client: SocketAddr,
    /// XCF address of its target.
    pub target: IpAddr,
    /// It is in the CRT now.
    pub exists: bool,
    /// How it came there.
    pub story: Story,
}

/// How a connection came to its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Story {
    /// This stack decided.
    Decided(Decided),
    /// Its target, or the router before, has reported it: after a takeover, or because it opened the connection
    /// itself.
    Reported,
    /// This stack has decided about so many others since, and remembers no more of it; or its target reported it.
    Forgotten(usize),
}

/// A decision, as things were at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// How long ago, in milliseconds.
    pub ago: u64,
    /// DISTMETHOD; `None` if the port was not distributed.
    pub method: Option<DistMethod>,
    /// What decided.
    pub why: Why,
    /// Its candidates, in the order of their XCF addresses.
    pub candidates: Vec<CandidateView>,
}

/// A candidate at the moment of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateView {
    /// XCF address.
    pub target: IpAddr,
    /// Applications that listened.
    pub ready: u16,
    /// It could be reached.
    pub reachable: bool,
    /// The weight that counted.
    pub weight: u8,
    /// Target server responsiveness, in percent.
    pub tsr: u8,
    /// Active connections before this one.
    pub active: u32,
    /// HOTSTANDBY's rank: 255 is PREFERRED; 0: none.
    pub rank: u8,
}

/// As [`CandidateView`], small.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    stack: StackId,
    ready: u16,
    reachable: bool,
    weight: u8,
    tsr: u8,
    rank: u8,
    active: u32,
}

#[derive(Debug)]
struct Decision {
    at: Instant,
    flow: Flow,
    instance: u32,
    target: StackId,
    method: Option<DistMethod>,
    why: Why,
    candidates: Vec<Candidate>,
}

/// The latest decisions.
#[derive(Debug)]
pub(crate) struct Decisions {
    ring: Vec<Decision>,
    /// The oldest, once the ring is full.
    oldest: usize,
    most: usize,
}

impl Decisions {
    pub fn new(most: usize) -> Self {
        Decisions { ring: Vec::new(), oldest: 0, most }
    }

    /// The latest first.
    fn iter(&self) -> impl Iterator<Item = &Decision> {
        let (newer, older) = self.ring.split_at(self.oldest);
        newer.iter().rev().chain(older.iter().rev())
    }

    pub fn clear(&mut self) {
        (self.oldest, self.ring) = (0, Vec::new());
    }

    fn is_full(&self) -> bool {
        self.ring.len() >= self.most
    }
}

impl Vipa {
    /// Remembers a decision before its connection is entered.
    pub(crate) fn remember_decision(&mut self, flow: &Flow, instance: u32, target: StackId, why: Why) {
        if self.decisions.most == 0 {
            return;
        }
        // Its list of candidates is used again.
        let mut candidates = match self.decisions.is_full() {
            true => core::mem::take(&mut self.decisions.ring[self.decisions.oldest].candidates),
            false => Vec::new(),
        };
        candidates.clear();
        let dvipa = self.dvipa(flow.dvipa);
        let list = dvipa.distribution().filter(|list| list.ports.contains(flow.port));
        let listed = dvipa.dpt.rated(flow.port).filter(|(_, _, rating)| rating.listed);
        candidates.extend(listed.map(|(stack, row, rating)| Candidate {
            stack,
            ready: row.ready,
            reachable: self.is_live(stack),
            weight: rating.weight,
            tsr: row.vitals.tsr(),
            rank: rating.rank,
            active: row.active,
        }));
        let method = list.map(|list| DistMethod::of(&list.method));
        let decision = Decision { at: self.now, flow: *flow, instance, target, method, why, candidates };
        let Decisions { ring, oldest, most } = &mut self.decisions;
        if ring.len() < *most {
            ring.push(decision);
        } else {
            ring[*oldest] = decision;
            *oldest = (*oldest + 1) % *most;
        }
    }

    /// Why connections are where they are: those of one client's address and port, else those about which this stack
    /// decided last. The latest comes first. Nothing, unless this stack routes.
    pub fn explain(&self, client: Option<SocketAddr>) -> Vec<Explanation> {
        let about = |flow: &Flow| client.is_none_or(|client| client == SocketAddr::new(flow.remote, flow.remote_port));
        let decisions = self.decisions.iter().filter(|decision| about(&decision.flow));
        let mut explanations: Vec<Explanation> = decisions.map(|decision| self.decided(decision)).collect();
        let routed = self.dvipa_ids().filter(|id| self.dvipa(*id).standing.collects());
        if let Some(client) = client {
            // A client has few connections from one port: it is looked for by hand.
            let entries = routed.flat_map(|id| {
                let ports = self.dvipa(id).dpt.rows().into_iter().map(|(port, ..)| port);
                let ports: std::collections::BTreeSet<u16> = ports.collect();
                ports.into_iter().map(move |port| Flow {
                    remote: client.ip(),
                    remote_port: client.port(),
                    dvipa: id,
                    port,
                })
            });
            let known = |flow: &Flow| {
                let instance = self.crt.get(flow).map(|entry| entry.instance);
                self.decisions.iter().any(|one| one.flow == *flow && Some(one.instance) == instance)
            };
            explanations.extend(entries.filter(|flow| !known(flow)).filter_map(|flow| self.undecided(&flow)));
        }
        explanations
    }

    fn decided(&self, decision: &Decision) -> Explanation {
        let Decision { at, flow, instance, target, method, why, candidates } = decision;
        let view = |candidate: &Candidate| {
            let Candidate { stack, ready, reachable, weight, tsr, rank, active } = *candidate;
            CandidateView { target: self.address_of(stack), ready, reachable, weight, tsr, active, rank }
        };
        let connection = self.connection(flow);
        Explanation {
            server: connection.local,
            client: connection.remote,
            target: self.address_of(*target),
            exists: self.exists(flow, *instance),
            story: Story::Decided(Decided {
                ago: u64::try_from(self.now.since(*at).as_millis()).unwrap_or(u64::MAX),
                method: *method,
                why: *why,
                candidates: candidates.iter().map(view).collect(),
            }),
        }
    }

    /// In the CRT, or, as only what stayed here is remembered by a stack that does not route, here.
    fn exists(&self, flow: &Flow, instance: u32) -> bool {
        match self.dvipa(flow.dvipa).standing.collects() {
            true => self.crt.get(flow).is_some_and(|entry| entry.instance == instance),
            false => self.local.get(flow).is_some_and(|held| held.instance == instance),
        }
    }

    /// An entry of the CRT of which no decision is remembered.
    fn undecided(&self, flow: &Flow) -> Option<Explanation> {
        let entry = self.crt.get(flow)?;
        let connection = self.connection(flow);
        Some(Explanation {
            server: connection.local,
            client: connection.remote,
            target: self.address_of(entry.target),
            exists: true,
            story: match self.decisions.is_full() {
                true => Story::Forgotten(self.decisions.most),
                false => Story::Reported,
            },
        })
    }
}
