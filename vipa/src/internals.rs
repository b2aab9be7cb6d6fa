//! Tables of the core by themselves, for benchmarks and for what counts memory and instructions. Nothing
//! else uses this, and nothing promises that it stays.

use std::net::SocketAddr;

use stack::Instant;

use crate::choice::{Offer, Policy};
use crate::crt::{Crt, Entry, Evidence, Flow};
use crate::distribution::Dpt;
use crate::dvipa::DvipaId;
use crate::membership::StackId;
use crate::{Epoch, Limits, Method, Timing, workload};

/// A CRT with the default bounds.
#[derive(Debug)]
pub struct RoutingTable(Crt);

impl RoutingTable {
    /// An empty one.
    pub fn new(seed: u64) -> Self {
        let (limits, timing) = (Limits::default(), Timing::default());
        RoutingTable(Crt::new(seed, limits.crt, limits.half_open, timing.half_open))
    }

    fn flow(client: SocketAddr) -> Flow {
        Flow { remote: client.ip(), remote_port: client.port(), dvipa: DvipaId(0), port: 60 }
    }

    /// Enters the client's connection: by its holder's word, or by its SYN and what followed. `false` if there
    /// is no room.
    pub fn insert(&mut self, now: Instant, client: SocketAddr, target: u16, reported: bool) -> bool {
        let evidence = if reported { Evidence::Holder } else { Evidence::Client };
        let entry = Entry::new(now, client.port().into(), StackId(target), 0, evidence);
        self.0.insert(now, Self::flow(client), entry).is_ok()
    }

    // Inlined, as in the core itself: else the time of handing an address over counts too.
    /// Which target serves the client's connection.
    #[inline]
    pub fn target(&self, client: SocketAddr) -> Option<u16> {
        self.0.get(&Self::flow(client)).map(|entry| entry.target.0)
    }

    /// Takes the client's connection out.
    pub fn remove(&mut self, client: SocketAddr) -> bool {
        self.0.remove(&Self::flow(client)).is_some()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The DPT of one DVIPA, with targets that are all ready for one port.
#[derive(Debug)]
pub struct TargetTable {
    dpt: Dpt,
    policy: Policy,
    weights: Vec<u8>,
}

impl TargetTable {
    /// So many targets; by a method that has weights, each by its own.
    pub fn new(targets: u16, method: &Method, weights: Vec<u8>) -> Self {
        let mut dpt = Dpt::default();
        (0..targets).for_each(|target| dpt.set_ready(60, StackId(target), 1));
        TargetTable { dpt, policy: workload::policy(method, true), weights }
    }

    /// The target of a new connection.
    pub fn choose(&mut self) -> Option<u16> {
        let offer = |stack: StackId| {
            let weight = self.weights.get(usize::from(stack.0)).copied().unwrap_or(1);
            Some(Offer { weight, rank: weight, ..Offer::PLAIN })
        };
        let list = (Epoch { round: 1, rank: 1 }, 1);
        self.dpt.choose(60, self.policy, list, None, offer, |_| true).map(|chosen| chosen.0)
    }

    /// A connection goes to the target.
    pub fn entered(&mut self, target: u16) {
        self.dpt.entered(60, StackId(target));
    }

    /// A connection of the target has ended.
    pub fn left(&mut self, target: u16) {
        self.dpt.left(60, StackId(target));
    }
}
