//! What `netstat` and `status` show.

use std::net::IpAddr;

use stack::Instant;

use crate::action::DropReason;
use crate::choice::{Rating, Row};
use crate::created::Creation;
use crate::definitions::{Method, Moveable, Ports, Standby};
use crate::dvipa::{Dvipa, DvipaId, PRIMARY};
use crate::membership::{Contact, StackId};
use crate::ownership::{Epoch, Standing};
use crate::vipa::Vipa;

/// A DVIPA as VIPADYN shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DvipaStatus {
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
    /// This stack's part.
    pub status: VipaStatus,
    /// Where this stack's part comes from.
    pub origin: VipaOrigin,
    /// This stack's rank: 255 as primary, 1 to 254 as backup, 0 for neither.
    pub rank: u8,
    /// When it goes back to its primary.
    pub moveable: Moveable,
    /// This stack's part in the distribution.
    pub distribution: DistStatus,
    /// XCF address of the owner by the highest claim, if it is in contact.
    pub owner: Option<IpAddr>,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// Whether this stack advertises the DVIPA.
    pub advertised: bool,
    /// Since when it does.
    pub since: Option<Instant>,
    /// Whether the owner's tables are complete.
    pub complete: bool,
    /// XCF addresses of the live stacks that can take over, in the order in which they would.
    pub backups: Vec<IpAddr>,
    /// Ports that are distributed; `None` if the DVIPA is not.
    pub ports: Option<Ports>,
    /// How they are, by the list that is in force.
    pub method: Option<Method>,
    /// XCF addresses of the current actual targets; known to a routing stack only.
    pub targets: Vec<IpAddr>,
}

/// A stack's part in a DVIPA, in z/OS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VipaStatus {
    /// It owns and advertises it.
    Active,
    /// It can take it over.
    Backup,
    /// It gave it up and still routes what reaches it, or is about to own it.
    Moving,
    /// It is stopping in order or deactivated, and still has it or connections on it.
    Quiescing,
    /// Its definition does not count (VARY DEACTIVATE).
    Deactivated,
    /// It is a target, or only knows of it.
    None,
}

/// The statement that gives a stack its part in a DVIPA, in z/OS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VipaOrigin {
    /// VIPADEFINE.
    Define,
    /// VIPABACKUP.
    Backup,
    /// An application's bind inside a VIPARANGE.
    RangeBind,
    /// An application's ioctl inside a VIPARANGE.
    RangeIoctl,
    /// A VIPA list of another stack.
    Target,
}

/// A stack's part in the distribution of a DVIPA, in z/OS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistStatus {
    /// None.
    Neither,
    /// It distributes connections.
    Distributor,
    /// It is a candidate target.
    Target,
    /// Both.
    Both,
}

impl DistStatus {
    pub(crate) fn of(distributes: bool, target: bool) -> Self {
        match (distributes, target) {
            (false, false) => DistStatus::Neither,
            (true, false) => DistStatus::Distributor,
            (false, true) => DistStatus::Target,
            (true, true) => DistStatus::Both,
        }
    }
}

/// A row of the DPT, as VDPT shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DptRow {
    /// The DVIPA.
    pub dvipa: IpAddr,
    /// The port.
    pub port: u16,
    /// XCF address of the target.
    pub target: IpAddr,
    /// Applications that listen there.
    pub ready: u16,
    /// Connections sent there so far.
    pub total: u64,
    /// Connections in the CRT.
    pub active: u32,
    /// Whether new connections go there: it is ready, and in contact.
    pub eligible: bool,
    /// DISTMETHOD of the list in force.
    pub method: DistMethod,
    /// The weight that counts: the workload manager's, divided by what those of all targets have in common, or
    /// WEIGHT; 1 where the method has none.
    pub weight: u8,
    /// Of the workload manager for the system, or for the server, before that; `None`: it gives none.
    pub raw_weight: Option<u8>,
    /// Target server responsiveness in percent, `tcsr` x `cer` x `sef`.
    pub tsr: u8,
    /// Target connectivity success rate.
    pub tcsr: u8,
    /// Connection establishment rate.
    pub cer: u8,
    /// Server efficiency fraction.
    pub sef: u8,
    /// Abnormal completions of 1,000.
    pub abnormal: u16,
    /// Health, 100 is best.
    pub health: u8,
    /// Its part with HOTSTANDBY.
    pub role: Option<StandbyRole>,
    /// With HOTSTANDBY: it gets the connections now.
    pub in_use: bool,
    /// PORT was not written: any server that is bound to the DVIPA counts (z/OS's flag D).
    pub dynamic_port: bool,
}

/// DISTMETHOD, in z/OS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistMethod {
    /// BASEWLM (z/OS's flag B).
    BaseWlm,
    /// ROUNDROBIN (flag R).
    RoundRobin,
    /// SERVERWLM (flag S).
    ServerWlm,
    /// WEIGHTEDACTIVE (flag W).
    WeightedActive,
    /// HOTSTANDBY.
    HotStandby,
}

/// A target's part with HOTSTANDBY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandbyRole {
    /// PREFERRED.
    Preferred,
    /// BACKUP, with its rank.
    Backup(u8),
}

/// An entry of the CRT, as VCRT shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CrtRow {
    /// The DVIPA.
    pub dvipa: IpAddr,
    /// The port at the DVIPA.
    pub port: u16,
    /// Address of the other end.
    pub remote: IpAddr,
    /// Port of the other end.
    pub remote_port: u16,
    /// XCF address of the stack that serves it.
    pub target: IpAddr,
    /// The client has not answered the SYN-ACK yet.
    pub half_open: bool,
    /// The client's initial sequence number.
    pub instance: u32,
}

/// Another stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its XCF address.
    pub xcf: IpAddr,
    /// Its name, once it is known.
    pub name: Option<String>,
    /// Contact with it.
    pub contact: Contact,
    /// Its life, if one is in contact.
    pub incarnation: Option<u64>,
    /// Its process, where it told one.
    pub process: Option<u32>,
    /// Whether it has a network link.
    pub linked: bool,
    /// Whether it is stopping in order.
    pub leaving: bool,
    /// Control datagrams sent to it again.
    pub resent: u64,
}

/// What was counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets for DVIPAs that this stack took in.
    pub local: u64,
    /// Packets forwarded over XCF.
    pub forwarded: u64,
    /// Packets answered as by a closed port (R6, R20).
    pub reset: u64,
    /// Packets that were held (R1).
    pub held: u64,
    /// Connections whose holder was asked for (R1).
    pub asked: u64,
    /// Reports that an audit brought about (R15).
    pub repaired: u64,
    /// Half-open entries that expired (R5).
    pub expired: u64,
    /// Half-open entries that gave way to newer ones (R5).
    pub evicted: u64,
    /// Connections for which the CRT had no room.
    pub refused: u64,
    /// Datagrams and messages of an unknown kind, version or sender (D7).
    pub unknown: u64,
    /// Messages of a known kind that made no sense.
    pub malformed: u64,
    /// Control datagrams of former lives and sessions (R14).
    pub stale: u64,
    /// Times a peer's silence was excused, as its host did not let it run.
    pub excused: u64,
    /// Control datagrams that were sent, those sent again among them.
    pub control_sent: u64,
    /// Their bytes, without what XCF adds to carry them.
    pub control_sent_bytes: u64,
    /// Heartbeats among them.
    pub heartbeats_sent: u64,
    /// Their bytes.
    pub heartbeats_sent_bytes: u64,
    /// Control datagrams that came in, whatever became of them.
    pub control_received: u64,
    /// Their bytes.
    pub control_received_bytes: u64,
    dropped: [u64; DropReason::COUNT],
}

impl Counters {
    pub(crate) fn drop(&mut self, reason: DropReason, count: u64) {
        self.dropped[reason as usize] += count;
    }

    /// Packets dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Every reason and how many packets were dropped for it.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.into_iter().map(|reason| (reason, self.dropped(reason)))
    }
}

impl DistMethod {
    pub(crate) fn of(method: &Method) -> DistMethod {
        match method {
            Method::BaseWlm(_) => DistMethod::BaseWlm,
            Method::RoundRobin => DistMethod::RoundRobin,
            Method::ServerWlm(_) => DistMethod::ServerWlm,
            Method::WeightedActive(_) => DistMethod::WeightedActive,
            Method::HotStandby(_) => DistMethod::HotStandby,
        }
    }

    /// Its keyword.
    pub fn name(self) -> &'static str {
        match self {
            DistMethod::BaseWlm => "BASEWLM",
            DistMethod::RoundRobin => "ROUNDROBIN",
            DistMethod::ServerWlm => "SERVERWLM",
            DistMethod::WeightedActive => "WEIGHTEDACTIVE",
            DistMethod::HotStandby => "HOTSTANDBY",
        }
    }
}

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
