//! How what is shown is gathered.

use std::net::IpAddr;

use super::{
    Counters, CrtRow, DistMethod, DistStatus, DptRow, DvipaStatus, PeerStatus, StandbyRole, VipaOrigin, VipaStatus,
};
use crate::choice::{Rating, Row};
use crate::created::Creation;
use crate::definitions::{Method, Ports, Standby};
use crate::dvipa::{Dvipa, DvipaId, PRIMARY};
use crate::membership::StackId;
use crate::ownership::{Epoch, Standing};
use crate::vipa::Vipa;

impl Vipa {
    /// All DVIPAs that this stack knows.
    pub fn dvipas(&self) -> Vec<DvipaStatus> {
        self.dvipa_ids()
            .map(|id| {
                let dvipa = self.dvipa(id);
                let own = dvipa.definitions.get(&self.me);
                let owner = self.live_owner(id);
                let mut targets: Vec<StackId> = dvipa
                    .dpt
                    .rows()
                    .into_iter()
                    .filter(|(_, _, row)| row.ready > 0)
                    .map(|(_, stack, _)| stack)
                    .collect();
                targets.retain(|stack| self.is_live(*stack));
                targets.sort_unstable();
                targets.dedup();
                DvipaStatus {
                    address: dvipa.address,
                    prefix: dvipa.prefix_of(self.me),
                    status: self.vipa_status(dvipa),
                    origin: match own.map(|definition| (definition.created, definition.rank)) {
                        Some((Some(created), _)) if created.how == Creation::Bind => VipaOrigin::RangeBind,
                        Some((Some(_), _)) => VipaOrigin::RangeIoctl,
                        Some((None, PRIMARY)) => VipaOrigin::Define,
                        Some((None, 1..)) => VipaOrigin::Backup,
                        Some((None, 0)) | None => VipaOrigin::Target,
                    },
                    rank: own.map_or(0, |definition| definition.rank),
                    moveable: own.map(|definition| definition.moveable).unwrap_or_default(),
                    distribution: self.dist_status(dvipa),
                    owner: owner.map(|owner| self.address_of(owner)),
                    epoch: dvipa.claim.as_ref().map_or(Epoch::NONE, |claim| claim.epoch),
                    advertised: dvipa.advertised,
                    since: Some(dvipa.since).filter(|_| dvipa.advertised),
                    complete: dvipa.claim.as_ref().is_some_and(|claim| claim.is_complete()),
                    backups: self.backups(dvipa, owner),
                    ports: dvipa.distribution().map(|distribution| distribution.ports.clone()),
                    method: dvipa.distribution().map(|distribution| distribution.method.clone()),
                    targets: targets.into_iter().map(|stack| self.address_of(stack)).collect(),
                }
            })
            .collect()
    }

    /// Every DVIPA with the highest epoch that this stack knows, and whether it advertises it.
    pub fn ownership(&self) -> impl Iterator<Item = (IpAddr, Epoch, bool)> {
        let row = |dvipa: &Dvipa| {
            let epoch = dvipa.claim.as_ref().map_or(Epoch::NONE, |claim| claim.epoch);
            (dvipa.address, epoch, dvipa.advertised)
        };
        self.dvipas.iter().map(row)
    }

    pub(crate) fn vipa_status(&self, dvipa: &Dvipa) -> VipaStatus {
        if self.deactivated.contains(&dvipa.address) {
            let busy = dvipa.standing.collects() || dvipa.held > 0;
            return if busy { VipaStatus::Quiescing } else { VipaStatus::Deactivated };
        }
        let moving = dvipa.held > 0 && dvipa.definitions.get(&self.me).is_some_and(|own| own.created.is_some());
        match dvipa.standing {
            Standing::Standby if moving => VipaStatus::Moving,
            Standing::Gathering(_) | Standing::Active | Standing::Yielding if self.leaving.is_some() => {
                VipaStatus::Quiescing
            }
            Standing::Active => VipaStatus::Active,
            Standing::Gathering(_) if dvipa.advertised => VipaStatus::Active,
            Standing::Gathering(_) | Standing::Yielding | Standing::Former { .. } => VipaStatus::Moving,
            Standing::Standby => match dvipa.definitions.get(&self.me) {
                Some(definition) if definition.rank > 0 => VipaStatus::Backup,
                _ => VipaStatus::None,
            },
        }
    }

    pub(crate) fn dist_status(&self, dvipa: &Dvipa) -> DistStatus {
        let Some(distribution) = dvipa.distribution() else { return DistStatus::Neither };
        DistStatus::of(dvipa.standing.collects(), distribution.targets.contains(self.config.xcf))
    }

    fn backups(&self, dvipa: &Dvipa, owner: Option<StackId>) -> Vec<IpAddr> {
        let able = dvipa
            .definitions
            .iter()
            .filter(|(stack, definition)| definition.rank > 0 && Some(**stack) != owner && self.is_live(**stack));
        let mut ranked: Vec<_> = able.map(|(stack, definition)| (definition.rank, *stack)).collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        ranked.into_iter().map(|(_, stack)| self.address_of(stack)).collect()
    }

    /// The DPT, by DVIPA, port and target.
    pub fn dpt(&self) -> Vec<DptRow> {
        let ports = self.dvipa_ids().flat_map(|id| {
            let mut ports: Vec<u16> = self.dvipa(id).dpt.rows().into_iter().map(|(port, ..)| port).collect();
            ports.dedup();
            ports.into_iter().map(move |port| (id, port))
        });
        ports.flat_map(|(id, port)| self.dpt_of(id, port)).collect()
    }

    /// The rows of one port.
    pub(crate) fn dpt_of(&self, id: DvipaId, port: u16) -> Vec<DptRow> {
        let dvipa = self.dvipa(id);
        let Some((list, policy)) = dvipa.distribution().zip(self.policy_of(id)).filter(|_| dvipa.distributes(port))
        else {
            return Vec::new();
        };
        let offer = |stack: StackId| self.offer_of(id, port, stack);
        let (rows, in_use) = dvipa.dpt.ratings(port, policy, offer, |stack| self.is_live(stack));
        let row = |(stack, row, rating): (StackId, Row, Rating)| {
            let (target, workload) = (self.address_of(stack), self.workload_of(stack));
            let system = workload.system.map(|weights| match &list.method {
                Method::BaseWlm(processors) => processors.composite(weights),
                _ => weights[0],
            });
            let server = workload.servers.get(&port).and_then(|server| server.weight);
            DptRow {
                dvipa: dvipa.address,
                port,
                target,
                ready: row.ready,
                total: row.total,
                active: row.active,
                eligible: row.ready > 0 && self.is_live(stack) && rating.listed,
                method: DistMethod::of(&list.method),
                weight: rating.weight,
                raw_weight: match &list.method {
                    Method::ServerWlm(_) => server.or(system),
                    _ => system,
                },
                tsr: row.vitals.tsr(),
                tcsr: row.vitals.tcsr,
                cer: row.vitals.cer,
                sef: row.vitals.sef,
                abnormal: rating.abnormal,
                health: rating.health,
                role: match &list.method {
                    Method::HotStandby(standby) => standby.rank(target).map(|rank| match rank {
                        Standby::PREFERRED => StandbyRole::Preferred,
                        rank => StandbyRole::Backup(rank),
                    }),
                    _ => None,
                },
                in_use: in_use == Some(stack),
                dynamic_port: list.ports == Ports::Every,
            }
        };
        rows.into_iter().map(row).collect()
    }

    /// The CRT: on a routing stack every connection that it routes, on another one its own.
    pub fn crt(&self) -> Vec<CrtRow> {
        let routed = self.crt.iter().map(|(flow, entry)| CrtRow {
            dvipa: self.dvipa(flow.dvipa).address,
            port: flow.port,
            remote: flow.remote,
            remote_port: flow.remote_port,
            target: self.address_of(entry.target),
            half_open: entry.is_half_open(),
            instance: entry.instance,
        });
        let own = self.local.iter().filter(|(flow, _)| self.crt.get(flow).is_none()).map(|(flow, held)| CrtRow {
            dvipa: self.dvipa(flow.dvipa).address,
            port: flow.port,
            remote: flow.remote,
            remote_port: flow.remote_port,
            target: self.config.xcf,
            half_open: false,
            instance: held.instance,
        });
        let mut rows: Vec<CrtRow> = routed.chain(own).collect();
        rows.sort_unstable();
        rows
    }

    /// Blocks of 64 ports that are leased, by DVIPA, first port and XCF address; known to a routing
    /// stack only (R8).
    pub fn leases(&self) -> Vec<(IpAddr, u16, IpAddr)> {
        let of = |dvipa: &Dvipa| {
            let rows =
                dvipa.leases.table().iter().map(|(block, stack)| (dvipa.address, *block, self.address_of(*stack)));
            rows.collect::<Vec<_>>()
        };
        self.dvipas.iter().filter(|dvipa| dvipa.standing.collects()).flat_map(of).collect()
    }

    /// Entries in the CRT.
    pub fn crt_len(&self) -> usize {
        self.crt.len()
    }

    /// The other stacks, by XCF address.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let peers = self.peers.values().map(|peer| PeerStatus {
            xcf: peer.xcf,
            name: peer.name.clone(),
            contact: peer.contact,
            incarnation: peer.session.incarnation(),
            process: peer.process,
            linked: peer.linked,
            leaving: peer.leaving,
            resent: peer.session.resent,
        });
        peers.collect()
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Packets that wait for their connection's holder to be known, and open questions for it.
    pub fn waiting(&self) -> (usize, usize) {
        (self.hold.packets(), self.hold.questions())
    }
}
