//! The simulated cluster: who is primary, backup and target of what.
//!
//! The first and the last image are each the primary of a DVIPA and back the other's up; the second
//! backs the first one's up too, by a higher rank. These three have network links, and a VIPARANGE.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use vipa::{
    Backup, Crossover, Define, Definitions, Distribute, Method, Moveable, Options, PortRange, Ports, Range, Standby,
    Targets, Weights,
};

use super::plan::{Plan, Spread};

/// Port of the distributed servers.
pub(super) const PORT: u16 = 60;

pub(super) fn dva() -> IpAddr {
    IpAddr::from([203, 0, 113, 1])
}

pub(super) fn dvb() -> IpAddr {
    IpAddr::from([203, 0, 113, 65])
}

/// A server in the VIPARANGE.
pub(super) fn moving() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 200], 80))
}

pub(super) fn xcf(index: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, index as u8 + 1])
}

pub(super) fn name(index: usize) -> String {
    format!("MVS{}", index + 1)
}

/// The image with this XCF address.
pub(super) fn index(xcf: IpAddr) -> usize {
    match xcf {
        IpAddr::V4(v4) => usize::from(v4.octets()[3]).wrapping_sub(1),
        IpAddr::V6(_) => usize::MAX,
    }
}

pub(super) struct Layout {
    images: usize,
}

impl Layout {
    pub fn new(images: usize) -> Layout {
        Layout { images }
    }

    /// Images with a network link.
    pub fn linked(&self) -> Vec<usize> {
        vec![0, 1, self.images - 1]
    }

    pub fn link(&self, index: usize) -> Option<IpAddr> {
        self.linked().contains(&index).then(|| IpAddr::from([198, 51, 100, 10 + index as u8]))
    }

    pub fn primary(&self, dvipa: IpAddr) -> usize {
        if dvipa == dva() { 0 } else { self.images - 1 }
    }

    /// Servers that an image runs.
    pub fn servers(&self, _index: usize) -> BTreeSet<SocketAddr> {
        [dva(), dvb()].map(|dvipa| SocketAddr::new(dvipa, PORT)).into()
    }

    fn distribute(&self, address: IpAddr, targets: Targets, plan: &Plan) -> Distribute {
        let by_image = |value: fn(u8) -> u8| (0..self.images).map(|index| (xcf(index), value(index as u8))).collect();
        let method = match plan.spread {
            Spread::RoundRobin => Method::RoundRobin,
            Spread::BaseWlm => Method::default(),
            Spread::ServerWlm => Method::ServerWlm(Crossover::default()),
            Spread::WeightedActive => Method::WeightedActive(Weights(by_image(|index| 1 + index * 7))),
            // The second is preferred: it is a target of both, whoever routes.
            Spread::HotStandby { switch_back } => {
                let ranks = by_image(|index| if index == 1 { Standby::PREFERRED } else { 10 + index });
                Method::HotStandby(Standby { ranks, switch_back, health_switch: true })
            }
        };
        let ports = Ports::List(vec![PortRange { first: PORT, last: PORT }]);
        let timed_affinity = if plan.affinity { 2 } else { 0 };
        Distribute { address, method, ports, targets, options: Options { timed_affinity, ..Options::default() } }
    }

    pub fn definitions(&self, index: usize, plan: &Plan) -> Definitions {
        let last = self.images - 1;
        let moveable = if plan.when_idle { Moveable::WhenIdle } else { Moveable::Immediate };
        let define = |address| Define { address, prefix: 26, moveable };
        let backup = |address, rank| Backup { address, rank, create: None };
        let mut definitions = Definitions::default();
        if self.link(index).is_some() {
            let address = IpAddr::from([203, 0, 113, 192]);
            definitions.ranges.push(Range { address, prefix: 26, disruptive: false });
        }
        if index == 0 {
            definitions.defines.push(define(dva()));
            definitions.backups.push(backup(dvb(), 30));
            let targets = Targets::List((0..last).map(xcf).collect());
            definitions.distributes.push(self.distribute(dva(), targets, plan));
        } else if index == last {
            definitions.defines.push(define(dvb()));
            definitions.backups.push(backup(dva(), 10));
            definitions.distributes.push(self.distribute(dvb(), Targets::All, plan));
            let targets = Targets::List((1..last).map(xcf).collect());
            definitions.distributes.push(self.distribute(dva(), targets, plan));
        } else if index == 1 {
            definitions.backups.push(backup(dva(), 20));
        }
        definitions
    }
}

/// A control datagram between a stack of an earlier version and another. It knows no kinds that came
/// later: what it sends has none of them (`sent`), and those that it gets mean nothing to it.
pub(super) fn of_earlier_version(bytes: Vec<u8>, sent: bool) -> Vec<u8> {
    const HEADER: usize = 44;
    const LATEST: u16 = 18;
    const UNKNOWN: u16 = 0x8000;
    if vipa::wire::classify(&bytes) != vipa::wire::Datagram::Control || bytes.len() < HEADER {
        return bytes;
    }
    let (header, mut rest) = bytes.split_at(HEADER);
    let mut out = header.to_vec();
    while let [k1, k2, l1, l2, ..] = *rest {
        let end = (4 + usize::from(u16::from_be_bytes([l1, l2]))).min(rest.len());
        let (item, after) = rest.split_at(end);
        match u16::from_be_bytes([k1, k2]) {
            ..=LATEST => out.extend(item),
            _ if sent => {}
            kind => {
                out.extend((kind | UNKNOWN).to_be_bytes());
                out.extend(&item[2..]);
            }
        }
        rest = after;
    }
    out
}
