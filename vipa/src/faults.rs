//! Faults that no network makes, for tests and the simulator: tables that have drifted, messages that
//! come again although a session lets none.

use std::net::IpAddr;

use crate::crt::{Entry, Evidence, Flow};
use crate::dvipa::{Dvipa, DvipaId};
use crate::membership::StackId;
use crate::ownership::Standing;
use crate::takeback::Ended;
use crate::vipa::Vipa;

impl Vipa {
    /// The router's CRT loses a connection, or gets one that nobody holds; `random` says which.
    /// `false` if there is nothing to spoil.
    #[doc(hidden)]
    pub fn spoil(&mut self, random: u64) -> bool {
        let live: Vec<StackId> = self.live_peers().into_iter().chain([self.me]).collect();
        let Some(id) = self.routed(random) else { return false };
        if random.is_multiple_of(2) {
            let Some(flow) = pick(&self.routed_flows(id), random) else { return false };
            self.take_out(&flow);
            return true;
        }
        let remote = IpAddr::from([198, 51, 100, 254]);
        let flow = Flow { remote, remote_port: (random >> 32) as u16, dvipa: id, port: 60 };
        let Some(target) = pick(&live, random) else { return false };
        self.enter(flow, Entry::new(self.now, random as u32, target, self.mark(id, target), Evidence::Holder))
    }

    /// A message about a connection comes again, long after its time. While reports come in, a former
    /// router's NEWCONN of one that has ended since (I12); else a TERMCONN of one between the same
    /// ends as another that is routed now (I11). Neither may change the CRT. `false` if there is none.
    #[doc(hidden)]
    pub fn stale(&mut self, random: u64) -> bool {
        let gathering = |dvipa: &Dvipa| match &dvipa.standing {
            Standing::Gathering(gathering) => Some(gathering.all_buried()),
            _ => None,
        };
        // Of one that is not live a router's word is not taken anyway.
        let counts = |ended: &Ended| self.is_live(ended.2);
        let ended: Vec<Ended> = self.dvipas.iter().filter_map(gathering).flatten().filter(counts).collect();
        let peers: Vec<StackId> = self.live_peers().into_iter().collect();
        if let (Some((flow, instance, holder)), Some(peer)) = (pick(&ended, random), pick(&peers, random)) {
            let (connection, target) = (self.connection(&flow), self.address_of(holder));
            self.hear_newconn(peer, connection, instance, target, true, None);
            return true;
        }
        let Some(flow) = self.routed(random).and_then(|id| pick(&self.routed_flows(id), random)) else { return false };
        let Some(entry) = self.crt.get(&flow).copied() else { return false };
        self.connection_ended(entry.target, flow, entry.instance.wrapping_sub(1));
        true
    }

    /// Whether reports come in.
    #[doc(hidden)]
    pub fn is_gathering(&self) -> bool {
        self.dvipas.iter().any(|dvipa| matches!(dvipa.standing, Standing::Gathering(_)))
    }

    /// A DVIPA that this stack routes.
    fn routed(&self, random: u64) -> Option<DvipaId> {
        let active = |id: &DvipaId| matches!(self.dvipa(*id).standing, Standing::Active);
        pick(&self.dvipa_ids().filter(active).collect::<Vec<_>>(), random)
    }

    fn routed_flows(&self, id: DvipaId) -> Vec<Flow> {
        let mut flows: Vec<Flow> = self.crt.iter().map(|(flow, _)| flow).filter(|flow| flow.dvipa == id).collect();
        flows.sort_unstable_by_key(|flow| (flow.remote, flow.remote_port, flow.port));
        flows
    }
}

fn pick<T: Copy>(from: &[T], random: u64) -> Option<T> {
    from.get((random >> 8) as usize % from.len().max(1)).copied()
}
