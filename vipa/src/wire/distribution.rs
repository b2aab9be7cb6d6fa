//! How a DVIPA is distributed, on XCF.
//!
//! A message first says what the earliest version said: ports, targets, and weights if there are any. At its
//! very end, where earlier versions ignore what they find, stands all the rest, with its length. So an older
//! stack reads any list, and goes by the nearest thing that it knows: WEIGHTEDACTIVE if there are weights, else
//! one target after the other. And where a later version writes a method that this one does not know, this
//! one does the same.

use super::cursor::{Reader, put_address, put_list, put_optional};
use crate::definitions::{Crossover, Method, Options, PortRange, Ports, Processors, Standby, Targets, Weights};
use crate::dvipa::Distribution;

mod method {
    pub const BASEWLM: u8 = 0;
    pub const ROUNDROBIN: u8 = 1;
    pub const SERVERWLM: u8 = 2;
    pub const WEIGHTEDACTIVE: u8 = 3;
    pub const HOTSTANDBY: u8 = 4;
}

/// What every version reads.
pub(super) fn put_distribution(out: &mut Vec<u8>, distribution: &Distribution) {
    let ports = match &distribution.ports {
        Ports::Every => None,
        Ports::List(ports) => Some(ports),
    };
    put_optional(out, ports, |out, ports| {
        put_list(out, ports, |out, range| {
            out.extend(range.first.to_be_bytes());
            out.extend(range.last.to_be_bytes());
        });
    });
    let targets = match &distribution.targets {
        Targets::All => None,
        Targets::List(targets) => Some(targets),
    };
    put_optional(out, targets, |out, targets| put_list(out, targets, |out, target| put_address(out, *target)));
    let weights = match &distribution.method {
        Method::WeightedActive(Weights(weights)) => Some(weights.iter().collect::<Vec<_>>()),
        Method::BaseWlm(_) | Method::RoundRobin | Method::ServerWlm(_) | Method::HotStandby(_) => None,
    };
    put_optional(out, weights.as_ref(), |out, weights| {
        put_list(out, weights, |out, (target, weight)| {
            put_address(out, **target);
            out.push(**weight);
        });
    });
}

pub(super) fn distribution(reader: &mut Reader<'_>) -> Option<Distribution> {
    let range = |reader: &mut Reader<'_>| Some(PortRange { first: reader.u16()?, last: reader.u16()? });
    let ports = reader.optional(|reader| reader.list(range))?;
    let targets = reader.optional(|reader| reader.list(Reader::address))?;
    let weight = |reader: &mut Reader<'_>| Some((reader.address()?, reader.u8()?));
    // The first version knew no methods, and wrote nothing here.
    let weights = match reader.0.is_empty() {
        true => None,
        false => reader.optional(|reader| reader.list(weight))?,
    };
    Some(Distribution {
        method: weights.map_or(Method::RoundRobin, |list| Method::WeightedActive(Weights(list.into_iter().collect()))),
        ports: ports.map_or(Ports::Every, Ports::List),
        targets: targets.map_or(Targets::All, Targets::List),
        options: Options::default(),
    })
}

/// The rest, at the end of a message.
pub(super) fn put_more(out: &mut Vec<u8>, distribution: Option<&Distribution>) {
    put_optional(out, distribution, |out, distribution| {
        let start = out.len();
        out.extend([0; 2]);
        let Options { sysplex_ports, optlocal, timed_affinity } = distribution.options;
        out.push(u8::from(sysplex_ports));
        put_optional(out, optlocal.as_ref(), |out, value| out.push(*value));
        out.extend(timed_affinity.to_be_bytes());
        put_method(out, &distribution.method);
        // At most 32 targets have a rank each.
        let length = u16::try_from(out.len() - start - 2).unwrap_or(u16::MAX);
        out[start..start + 2].copy_from_slice(&length.to_be_bytes());
    });
}

/// Reads the rest, if the sender wrote it.
pub(super) fn read_more(reader: &mut Reader<'_>, distribution: Option<&mut Distribution>) -> Option<()> {
    if reader.0.is_empty() {
        return Some(());
    }
    let written = reader.optional(|reader| {
        let length = reader.u16()?;
        reader.bytes(length.into())
    })?;
    let (Some(written), Some(distribution)) = (written, distribution) else { return Some(()) };
    let mut more = Reader(written);
    distribution.options =
        Options { sysplex_ports: more.u8()? != 0, optlocal: more.optional(Reader::u8)?, timed_affinity: more.u16()? };
    read_method(&mut more, &mut distribution.method)
}

fn put_method(out: &mut Vec<u8>, method: &Method) {
    match method {
        Method::BaseWlm(Processors { cp, zaap, ziip }) => out.extend([method::BASEWLM, *cp, *zaap, *ziip]),
        Method::RoundRobin => out.push(method::ROUNDROBIN),
        Method::ServerWlm(Crossover { zaap, ziip, importance }) => {
            out.extend([method::SERVERWLM, *zaap, *ziip, *importance]);
        }
        Method::WeightedActive(_) => out.push(method::WEIGHTEDACTIVE),
        Method::HotStandby(Standby { ranks, switch_back, health_switch }) => {
            out.extend([method::HOTSTANDBY, u8::from(*switch_back), u8::from(*health_switch)]);
            put_list(out, &ranks.iter().collect::<Vec<_>>(), |out, (target, rank)| {
                put_address(out, **target);
                out.push(**rank);
            });
        }
    }
}

/// `method` is what every version has read.
fn read_method(reader: &mut Reader<'_>, method: &mut Method) -> Option<()> {
    match reader.u8()? {
        method::BASEWLM => {
            let [cp, zaap, ziip] = reader.array()?;
            *method = Method::BaseWlm(Processors { cp, zaap, ziip });
        }
        method::ROUNDROBIN => *method = Method::RoundRobin,
        method::SERVERWLM => {
            let [zaap, ziip, importance] = reader.array()?;
            *method = Method::ServerWlm(Crossover { zaap, ziip, importance });
        }
        method::HOTSTANDBY => {
            let [switch_back, health_switch] = reader.array()?.map(|flag: u8| flag != 0);
            let rank = |reader: &mut Reader<'_>| Some((reader.address()?, reader.u8()?));
            let ranks = reader.list(rank)?.into_iter().collect();
            *method = Method::HotStandby(Standby { ranks, switch_back, health_switch });
        }
        // Its weights have been read, or a later version's method is not known here.
        _ => {}
    }
    Some(())
}

impl Distribution {
    /// What a stack of an earlier version tells on of this.
    pub(crate) fn as_earlier(&self) -> Distribution {
        let method = match &self.method {
            Method::WeightedActive(weights) => Method::WeightedActive(weights.clone()),
            Method::BaseWlm(_) | Method::RoundRobin | Method::ServerWlm(_) | Method::HotStandby(_) => {
                Method::RoundRobin
            }
        };
        Distribution { method, options: Options::default(), ..self.clone() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn addresses() -> impl Strategy<Value = IpAddr> {
        prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
    }

    fn methods() -> impl Strategy<Value = Method> {
        let by_address = || prop::collection::btree_map(addresses(), any::<u8>(), 0..5);
        prop_oneof![
            Just(Method::RoundRobin),
            any::<[u8; 3]>().prop_map(|[cp, zaap, ziip]| Method::BaseWlm(Processors { cp, zaap, ziip })),
            any::<[u8; 3]>().prop_map(|[zaap, ziip, importance]| Method::ServerWlm(Crossover {
                zaap,
                ziip,
                importance
            })),
            by_address().prop_map(|weights| Method::WeightedActive(Weights(weights))),
            (by_address(), any::<[bool; 2]>()).prop_map(|(ranks, [switch_back, health_switch])| {
                Method::HotStandby(Standby { ranks, switch_back, health_switch })
            }),
        ]
    }

    pub(in crate::wire) fn distributions() -> impl Strategy<Value = Distribution> {
        let range = (any::<u16>(), any::<u16>()).prop_map(|(first, last)| PortRange { first, last });
        let ports = prop_oneof![Just(Ports::Every), prop::collection::vec(range, 0..5).prop_map(Ports::List)];
        let targets = prop_oneof![Just(Targets::All), prop::collection::vec(addresses(), 0..5).prop_map(Targets::List)];
        let options = (any::<bool>(), any::<Option<u8>>(), any::<u16>())
            .prop_map(|(sysplex_ports, optlocal, timed_affinity)| Options { sysplex_ports, optlocal, timed_affinity });
        (methods(), ports, targets, options).prop_map(|(method, ports, targets, options)| Distribution {
            method,
            ports,
            targets,
            options,
        })
    }

    proptest! {
        /// D7: an earlier version reads the nearest thing that it knows; and so does this one of what an
        /// earlier one wrote, or of a method that comes later.
        #[test]
        fn versions_understand_each_other(written in distributions()) {
            let mut first = Vec::new();
            put_distribution(&mut first, &written);
            let mut reader = Reader(&first);
            let mut read = distribution(&mut reader);
            prop_assert_eq!(read_more(&mut reader, read.as_mut()), Some(()));
            prop_assert_eq!(read, Some(written.as_earlier()));
            let mut more = Vec::new();
            put_more(&mut more, Some(&written));
            // One byte says that something follows, two how long it is; the method comes after the options.
            let method = 3 + 1 + if written.options.optlocal.is_some() { 2 } else { 1 } + 2;
            more[method] = 200;
            let mut read = written.as_earlier();
            prop_assert_eq!(read_more(&mut Reader(&more), Some(&mut read)), Some(()));
            prop_assert_eq!(read, Distribution { options: written.options, ..written.as_earlier() });
        }
    }
}
