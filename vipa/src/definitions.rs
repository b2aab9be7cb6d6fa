//! What a VIPADynamic block says, once read.

use std::collections::BTreeMap;
use std::net::IpAddr;

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest active connections for its WEIGHT.
    WeightedActive(Weights),
}

/// WEIGHT of each target, by XCF address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights(pub BTreeMap<IpAddr, u8>);

impl Weights {
    /// The weight of a target for which none is written.
    pub const DEFAULT: u8 = 10;

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
