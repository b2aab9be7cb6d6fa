//! What a stack knows of one DVIPA.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use stack::Instant;

use crate::affinity::{Affinities, Scope};
use crate::audit::{Routed, Tally};
use crate::created::Created;
use crate::crt::{Entry, Flow};
use crate::definitions::{Define, Definitions, Distribute, Method, Moveable, Options, Ports, Targets};
use crate::distribution::Dpt;
use crate::leases::Leases;
use crate::membership::StackId;
use crate::ownership::{Claim, Epoch, Standing};
use crate::responsiveness::{Arrivals, Measures};

/// A DVIPA's index in this stack's table. Other stacks number them otherwise: on XCF a DVIPA is
/// named by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DvipaId(pub u16);

/// Rank of the primary (z/OS shows it as 255).
pub(crate) const PRIMARY: u8 = 255;

/// What one stack's profile says of a DVIPA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Definition {
    /// [`PRIMARY`], a backup's rank, or 0: the profile only has a VIPADISTribute for it.
    pub rank: u8,
    pub moveable: Moveable,
    /// A backup that may create the DVIPA before a primary was seen.
    pub create: bool,
    pub prefix: Option<u8>,
    /// The stack's own VIPADISTribute (D3, D5).
    pub distribution: Option<Distribution>,
    /// An application of the stack has made the DVIPA (D4).
    pub created: Option<Created>,
}

/// How a DVIPA is distributed: method, ports and candidate targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Distribution {
    pub method: Method,
    pub ports: Ports,
    pub targets: Targets,
    pub options: Options,
}

/// What the primary's profile said when it was last heard; kept by every stack and told on, so
/// that a backup can go by it although both have restarted since (F6.134).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Primary {
    /// The primary's life: the latest one counts.
    pub incarnation: u64,
    pub moveable: Moveable,
    pub prefix: u8,
    pub distribution: Option<Distribution>,
}

/// One DVIPA.
#[derive(Debug)]
pub(crate) struct Dvipa {
    pub address: IpAddr,
    /// What the profiles of the stacks say, this one's among them.
    pub definitions: BTreeMap<StackId, Definition>,
    pub primary: Option<Primary>,
    /// The highest claim seen.
    pub claim: Option<Claim>,
    /// While the owner by `claim` takes back: the stack that still routes, and its epoch.
    pub acting: Option<(StackId, Epoch)>,
    /// The stack that the owner by `claim` has taken the DVIPA back from, and its epoch.
    pub before: Option<(StackId, Epoch)>,
    /// `claim` is news: for so long its owner is taken to be alive, even if this stack does not hear it. Two that learn
    /// of each other's claims and took each other for silent would claim in turn, as fast as messages go.
    pub believed_until: Option<Instant>,
    /// This stack's own part.
    pub standing: Standing,
    /// The epoch of this stack's last claim.
    pub epoch: Epoch,
    pub advertised: bool,
    /// When it was advertised last.
    pub since: Instant,
    /// In the home list; `Some(true)` as internal.
    pub home: Option<bool>,
    pub dpt: Dpt,
    /// Connections of this stack itself on the DVIPA.
    pub held: usize,
    /// The primary has been told that it may take back (MOVEable WHENIDLE).
    pub idle_told: bool,
    /// CRT entries by the stack that they point to.
    pub routed: BTreeMap<StackId, Routed>,
    /// Connections of this stack itself.
    pub own: Tally,
    /// Audits in a row that found a difference.
    pub drifts: u8,
    pub leases: Leases,
    /// Where clients' next connections go, while this stack routes.
    pub clients: Affinities,
    /// Clients of this stack itself.
    pub own_clients: Affinities,
    /// How targets answer, while this stack routes.
    pub measures: Measures,
    /// What comes to this stack from its router, by port.
    pub arrivals: BTreeMap<u16, Arrivals>,
}

impl Dvipa {
    pub fn new(address: IpAddr) -> Self {
        Dvipa {
            address,
            definitions: BTreeMap::new(),
            primary: None,
            claim: None,
            acting: None,
            before: None,
            believed_until: None,
            standing: Standing::Standby,
            epoch: Epoch::NONE,
            advertised: false,
            since: Instant::ZERO,
            home: None,
            dpt: Dpt::default(),
            held: 0,
            idle_told: false,
            routed: BTreeMap::new(),
            own: Tally::default(),
            drifts: 0,
            leases: Leases::default(),
            clients: Affinities::default(),
            own_clients: Affinities::default(),
            measures: Measures::default(),
            arrivals: BTreeMap::new(),
        }
    }

    /// The list that is in force: what the highest claim says.
    pub fn distribution(&self) -> Option<&Distribution> {
        self.claim.as_ref().and_then(|claim| claim.distribution.as_ref())
    }

    /// D5: the list that stack `own` uses once it routes: its own, else the primary's, else the
    /// one that was last in use.
    pub fn list_of(&self, own: StackId) -> Option<Distribution> {
        let explicit = self.definitions.get(&own).and_then(|definition| definition.distribution.as_ref());
        let inherited = match &self.primary {
            Some(primary) => primary.distribution.as_ref(),
            None => self.distribution(),
        };
        explicit.or(inherited).cloned()
    }

    /// The prefix that stack `own` advertises: its own, else the primary's, else the last one.
    pub fn prefix_of(&self, own: StackId) -> u8 {
        let host = if self.address.is_ipv4() { 32 } else { 128 };
        let explicit = self.definitions.get(&own).and_then(|definition| definition.prefix);
        let inherited = || self.primary.as_ref().map(|primary| primary.prefix);
        explicit.or_else(inherited).or_else(|| self.claim.as_ref().map(|claim| claim.prefix)).unwrap_or(host)
    }

    /// Whether the list that is in force names the stack with XCF address `xcf`.
    pub fn has_target(&self, xcf: IpAddr) -> bool {
        self.distribution().is_some_and(|distribution| distribution.targets.contains(xcf))
    }

    /// Whether any list that was ever in force may have named the stack: with another owner the list may be
    /// another (D5), but connections stay where they are.
    pub fn ever_had_target(&self, xcf: IpAddr) -> bool {
        let explicit = self.definitions.values().filter_map(|definition| definition.distribution.as_ref());
        let inherited = self.primary.iter().filter_map(|primary| primary.distribution.as_ref());
        explicit.chain(inherited).chain(self.distribution()).any(|list| list.targets.contains(xcf))
    }

    /// A connection was entered into the CRT (I21).
    pub fn entered(&mut self, flow: &Flow, entry: &Entry) {
        if self.affinity(flow.port).is_some() {
            self.clients.entered(flow.remote, flow.port, entry.target);
        }
        self.dpt.entered(flow.port, entry.target);
        self.routed.entry(entry.target).or_default().entered(flow, entry);
    }

    /// A connection was taken out of the CRT (I21).
    pub fn left(&mut self, now: Instant, flow: &Flow, entry: &Entry) {
        if let Some(time) = self.affinity(flow.port) {
            self.clients.left(flow.remote, flow.port, entry.target, now + time);
        }
        self.dpt.left(flow.port, entry.target);
        self.routed.entry(entry.target).or_default().left(flow, entry);
    }

    /// A connection of the CRT is no longer half-open.
    pub fn went_on(&mut self, entry: &Entry) {
        self.routed.entry(entry.target).or_default().went_on(entry);
    }

    /// Half-open entries of the CRT.
    pub fn half_open(&self) -> u32 {
        self.routed.values().map(Routed::half_open).sum()
    }

    /// TIMEDAFFINITY of a port that is distributed, if it has any.
    pub fn affinity(&self, port: u16) -> Option<Duration> {
        let list = self.distribution().filter(|list| list.options.timed_affinity > 0 && list.ports.contains(port))?;
        Some(Duration::from_secs(list.options.timed_affinity.into()))
    }

    /// What decides which connections have an affinity.
    pub fn affinity_scope(&self) -> Scope {
        let list = self.distribution().filter(|list| list.options.timed_affinity > 0)?;
        Some((list.options.timed_affinity, list.ports.clone()))
    }

    /// This stack routes no more, or anew: what it knew as a router goes.
    pub fn forget_routing(&mut self) {
        self.dpt.clear();
        self.routed.clear();
        self.clients.clear();
        self.measures.clear();
    }

    /// Whether connections to `port` are distributed, rather than taken by the owner itself.
    pub fn distributes(&self, port: u16) -> bool {
        self.distribution().is_some_and(|distribution| distribution.ports.contains(port))
    }

    /// Remembers what another stack has heard of the primary's profile. One of an earlier version tells on
    /// only what it understands (D7): if that is all that is new in it, it is not news.
    pub fn hear_primary(&mut self, primary: Primary) {
        let as_earlier = |known: &Primary| known.distribution.as_ref().map(Distribution::as_earlier);
        let known = self.primary.as_ref().filter(|known| known.incarnation == primary.incarnation);
        if known.is_none_or(|known| as_earlier(known) != primary.distribution) {
            self.learn_primary(primary);
        }
    }

    /// Remembers what the primary's profile says, unless a later life of it has spoken.
    pub fn learn_primary(&mut self, primary: Primary) {
        if self.primary.as_ref().is_none_or(|known| known.incarnation <= primary.incarnation) {
            self.primary = Some(primary);
        }
    }
}

/// The definitions of a profile, one for each DVIPA, in the order in which it names them.
pub(crate) fn by_address(definitions: &Definitions) -> Vec<(IpAddr, Definition)> {
    let Definitions { defines, backups, ranges: _, distributes } = definitions;
    let mut table: Vec<(IpAddr, Definition)> = Vec::new();
    for Define { address, prefix, moveable } in defines {
        let definition = slot(&mut table, *address);
        definition.rank = PRIMARY;
        definition.prefix = Some(*prefix);
        definition.moveable = *moveable;
    }
    for backup in backups {
        let definition = slot(&mut table, backup.address);
        // One VIPADEFine or VIPABackup for each DVIPA: profiles with both are refused when read.
        if definition.rank == PRIMARY {
            continue;
        }
        definition.rank = backup.rank;
        if let Some((moveable, prefix)) = backup.create {
            definition.create = true;
            definition.moveable = moveable;
            definition.prefix = Some(prefix);
        }
    }
    for Distribute { address, method, ports, targets, options } in distributes {
        let (method, ports, targets, options) = (method.clone(), ports.clone(), targets.clone(), *options);
        slot(&mut table, *address).distribution = Some(Distribution { method, ports, targets, options });
    }
    table
}

fn slot(table: &mut Vec<(IpAddr, Definition)>, address: IpAddr) -> &mut Definition {
    let at = table.iter().position(|(known, _)| *known == address).unwrap_or_else(|| {
        table.push((address, Definition::default()));
        table.len() - 1
    });
    &mut table[at].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::Standby;

    /// D7: what a stack of an earlier version tells on of the primary's list takes nothing away from what is known of
    /// it; a later life of the primary, or another list, does count.
    #[test]
    fn an_earlier_version_takes_nothing_away() {
        let method = Method::HotStandby(Standby::default());
        let options = Options { timed_affinity: 30, ..Options::default() };
        let whole = Distribution { method, ports: Ports::Every, targets: Targets::All, options };
        let primary = |incarnation, distribution: &Distribution| Primary {
            incarnation,
            moveable: Moveable::Immediate,
            prefix: 24,
            distribution: Some(distribution.clone()),
        };
        let mut dvipa = Dvipa::new([203, 0, 113, 1].into());
        dvipa.hear_primary(primary(2, &whole.as_earlier()));
        assert_eq!(dvipa.primary, Some(primary(2, &whole.as_earlier())), "better than nothing");
        dvipa.hear_primary(primary(2, &whole));
        dvipa.hear_primary(primary(2, &whole.as_earlier()));
        assert_eq!(dvipa.primary, Some(primary(2, &whole)));
        let other = Distribution { ports: Ports::List(Vec::new()), ..whole.as_earlier() };
        dvipa.hear_primary(primary(2, &other));
        assert_eq!(dvipa.primary, Some(primary(2, &other)));
        dvipa.hear_primary(primary(1, &whole));
        assert_eq!(dvipa.primary, Some(primary(2, &other)), "an earlier life");
        dvipa.hear_primary(primary(3, &whole.as_earlier()));
        assert_eq!(dvipa.primary, Some(primary(3, &whole.as_earlier())), "a later one");
    }
}
