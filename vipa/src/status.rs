//! What `netstat` and `status` show.

mod counters;
mod views;

use std::net::IpAddr;

use stack::Instant;

pub use self::counters::Counters;
use crate::definitions::{Method, Moveable, Ports};
use crate::membership::Contact;
use crate::ownership::Epoch;

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
