//! What a VIPADynamic block says, once read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::status::DistMethod;

/// The VIPADynamic block of one stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// VIPADEFine: this stack is the primary for these (D1).
    pub defines: Vec<Define>,
    /// VIPABackup: this stack can take these over (D2).
    pub backups: Vec<Backup>,
    /// VIPARange: an application's bind to one of these creates the DVIPA (D4).
    pub ranges: Vec<Range>,
    /// VIPADISTribute: how connections to these are distributed (D3, D5).
    pub distributes: Vec<Distribute>,
}

impl Definitions {
    /// The most specific VIPARange that `address` is in.
    pub fn range_of(&self, address: IpAddr) -> Option<&Range> {
        self.ranges.iter().filter(|range| range.contains(address)).max_by_key(|range| range.prefix)
    }
}

/// When a DVIPA goes back to its primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moveable {
    /// As soon as the primary is back.
    #[default]
    Immediate,
    /// Once the stack that has it holds no connection.
    WhenIdle,
}

/// One address of a VIPADEFine statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Define {
    /// The DVIPA.
    pub address: IpAddr,
    /// Length of the prefix that the mask gives; advertised with the address.
    pub prefix: u8,
    /// MOVEable.
    pub moveable: Moveable,
}

/// One address of a VIPABackup statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The DVIPA.
    pub address: IpAddr,
    /// 1 to 254; the higher takes over first.
    pub rank: u8,
    /// MOVEable with a mask: the backup may create the DVIPA although no primary was seen yet.
    pub create: Option<(Moveable, u8)>,
}

/// One VIPARange statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// An address of the range; its prefix is what counts.
    pub address: IpAddr,
    /// Length of the prefix that the mask gives.
    pub prefix: u8,
    /// MOVEable DISRUPTive: a DVIPA of the range does not move while the first application has it.
    pub disruptive: bool,
}

impl Range {
    /// Whether `address` is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differ = |width: u32, bits: u128| bits.checked_shr(width - u32::from(self.prefix).min(width)).unwrap_or(0);
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => differ(32, u128::from(a.to_bits() ^ b.to_bits())) == 0,
            (IpAddr::V6(a), IpAddr::V6(b)) => differ(128, a.to_bits() ^ b.to_bits()) == 0,
            _ => false,
        }
    }
}

/// DISTMethod: which target gets a new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// By the weights that a workload manager gives systems; one after the other while it gives none.
    BaseWlm(Processors),
    /// One after the other.
    RoundRobin,
    /// By the weights that a workload manager gives servers, else their systems.
    ServerWlm(Crossover),
    /// The one with the fewest active connections for its WEIGHT.
    WeightedActive(Weights),
    /// All to one target, the next only if that fails.
    HotStandby(Standby),
}

impl Default for Method {
    fn default() -> Self {
        Method::BaseWlm(Processors::default())
    }
}

impl Method {
    /// Its keyword.
    pub fn name(&self) -> &'static str {
        DistMethod::of(self).name()
    }
}

/// PROCTYPE: how much each kind of processor counts in a system's weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processors {
    /// General purpose processors.
    pub cp: u8,
    /// zAAPs.
    pub zaap: u8,
    /// zIIPs.
    pub ziip: u8,
}

impl Default for Processors {
    /// Without PROCTYPE only general purpose processors count.
    fn default() -> Self {
        Processors { cp: 1, zaap: 0, ziip: 0 }
    }
}

impl Processors {
    /// Most that one kind can count.
    pub const MOST: u8 = 99;

    /// A system's composite weight from its weights for CP, zAAP and zIIP: the mean in these proportions,
    /// rounded up so that no system with capacity counts nothing. z/OS does not say how it rounds.
    pub fn composite(&self, [cp, zaap, ziip]: [u8; 3]) -> u8 {
        let shares = [(self.cp, cp), (self.zaap, zaap), (self.ziip, ziip)];
        let total: u32 = shares.iter().map(|(share, _)| u32::from(*share)).sum();
        let sum: u32 = shares.iter().map(|(share, weight)| u32::from(*share) * u32::from(*weight)).sum();
        // A mean of numbers of 8 bits has 8 bits.
        sum.div_ceil(total.max(1)) as u8
    }
}

/// SERVERWLM's PROCXCOST and ILWEIGHTING. Images of this lab have general purpose processors only, and their
/// work has one importance: both are kept and shown, and change no weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossover {
    /// What zAAP work costs on a CP, 1 to 100.
    pub zaap: u8,
    /// What zIIP work costs on a CP, 1 to 100.
    pub ziip: u8,
    /// How much displaceable capacity of lower importance counts, 0 to 3.
    pub importance: u8,
}

impl Default for Crossover {
    fn default() -> Self {
        Crossover { zaap: 1, ziip: 1, importance: 0 }
    }
}

/// The parts that targets have with HOTSTANDBY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby {
    /// Rank of each target by its XCF address: [`PREFERRED`](Standby::PREFERRED), or a BACKUP's, 1 to 254.
    pub ranks: BTreeMap<IpAddr, u8>,
    /// AUTOSWITCHBACK: the preferred target gets connections again as soon as it can take them.
    pub switch_back: bool,
    /// HEALTHSWITCH: a target that is not well is as one that does not listen.
    pub health_switch: bool,
}

impl Standby {
    /// Rank of the PREFERRED target.
    pub const PREFERRED: u8 = 255;
    /// Rank of a BACKUP for which none is written.
    pub const BACKUP: u8 = 1;

    /// The rank of the stack with XCF address `xcf`, if it has a part.
    pub fn rank(&self, xcf: IpAddr) -> Option<u8> {
        self.ranks.get(&xcf).copied()
    }
}

impl Default for Standby {
    fn default() -> Self {
        Standby { ranks: BTreeMap::new(), switch_back: true, health_switch: true }
    }
}

/// What a VIPADISTribute says besides method, ports and targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// SYSPLEXPorts. Ports for connections from a distributed DVIPA are leased by the routing stack whether
    /// it is written or not: without that two targets could pick the same one (R8).
    pub sysplex_ports: bool,
    /// OPTLOCAL and its value, 0 to 16; `None`: NOOPTLOCAL.
    pub optlocal: Option<u8>,
    /// TIMEDAFFinity: a client's next connection goes where its last one was, if it comes within so many
    /// seconds; 0: no affinity.
    pub timed_affinity: u16,
}

/// WEIGHT of each target, by XCF address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights(pub BTreeMap<IpAddr, u8>);

impl Weights {
    /// The weight of a target for which none is written.
    pub const DEFAULT: u8 = 10;
    /// The smallest.
    pub const LEAST: u8 = 1;

    /// The weight of the stack with XCF address `xcf`.
    pub fn of(&self, xcf: IpAddr) -> u8 {
        self.0.get(&xcf).copied().unwrap_or(Self::DEFAULT)
    }
}

/// One VIPADISTribute statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribute {
    /// The DVIPA.
    pub address: IpAddr,
    /// DISTMethod.
    pub method: Method,
    /// PORT.
    pub ports: Ports,
    /// DESTIP.
    pub targets: Targets,
    /// Everything else.
    pub options: Options,
}

/// The ports of a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// No PORT keyword: every port on which a server bound to the DVIPA listens.
    Every,
    /// These, in the order written.
    List(Vec<PortRange>),
}

impl Ports {
    /// Whether `port` is among them.
    pub fn contains(&self, port: u16) -> bool {
        match self {
            Ports::Every => port != 0,
            Ports::List(ranges) => ranges.iter().any(|range| (range.first..=range.last).contains(&port)),
        }
    }
}

/// A port, or `first-last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// First port of the range.
    pub first: u16,
    /// Last port of the range, not below `first`.
    pub last: u16,
}

/// The candidate targets of a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Every stack of the cluster, those that join later too.
    All,
    /// The stacks with these XCF addresses.
    List(Vec<IpAddr>),
}

impl Targets {
    /// Whether the stack with XCF address `xcf` is among them.
    pub fn contains(&self, xcf: IpAddr) -> bool {
        match self {
            Targets::All => true,
            Targets::List(list) => list.contains(&xcf),
        }
    }
}
