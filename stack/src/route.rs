//! Links and routes: the way out to a destination, by the longest prefix.

use std::net::IpAddr;

use crate::egress::{LinkId, Path, Paths};

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub id: LinkId,
    /// Its name, for people.
    pub name: String,
    /// Largest IP packet on the wire.
    pub mtu: u16,
    /// Largest super-segment it takes; 0 if it takes none.
    pub max_super: u16,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// First address of the destination network.
    pub destination: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
    /// The link.
    pub link: LinkId,
    /// Next hop on the link, if it is not the destination itself.
    pub next_hop: Option<IpAddr>,
    /// Among routes to one network the lowest wins.
    pub metric: u32,
}

impl Route {
    /// The default route of `address`'s family.
    pub fn default_for(address: IpAddr, link: LinkId, next_hop: Option<IpAddr>) -> Route {
        let destination = match address {
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(_) => IpAddr::from([0; 16]),
        };
        Route { destination, prefix: 0, link, next_hop, metric: 0 }
    }

    fn covers(&self, address: IpAddr) -> bool {
        match (self.destination, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(32 - u32::from(self.prefix.min(32))).unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(128 - u32::from(self.prefix.min(128))).unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

/// Links and routes of one stack.
#[derive(Clone, Debug)]
pub struct Routes {
    links: Vec<Link>,
    hop_limit: u8,
    /// Longest prefix first, then the lowest metric: the first that covers an address is the best.
    /// A stack has a handful of routes, so that a walk beats any tree.
    routes: Vec<Route>,
}

impl Routes {
    /// None yet; what the stack itself sends begins with `hop_limit`.
    pub fn new(hop_limit: u8) -> Self {
        Routes { links: Vec::new(), hop_limit, routes: Vec::new() }
    }

    /// From now on what the stack itself sends begins with this hop limit.
    pub fn set_hop_limit(&mut self, hop_limit: u8) {
        self.hop_limit = hop_limit;
    }

    /// Adds a link, or changes what is known of it.
    pub fn add_link(&mut self, link: Link) {
        self.links.retain(|known| known.id != link.id);
        self.links.push(link);
    }

    /// The links.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Adds a route in place of any to the same network with the same metric.
    pub fn replace(&mut self, route: Route) {
        self.routes.retain(|known| {
            (known.destination, known.prefix, known.metric) != (route.destination, route.prefix, route.metric)
        });
        self.routes.push(route);
        self.routes.sort_by_key(|route| (u8::MAX - route.prefix, route.metric));
    }

    /// Takes away every route to the network.
    pub fn remove(&mut self, destination: IpAddr, prefix: u8) {
        self.routes.retain(|known| (known.destination, known.prefix) != (destination, prefix));
    }

    /// The routes, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }
}

impl Paths for Routes {
    fn path(&self, _source: IpAddr, destination: IpAddr) -> Option<Path> {
        let route = self.routes.iter().find(|route| route.covers(destination))?;
        let link = self.links.iter().find(|link| link.id == route.link)?;
        Some(Path {
            link: link.id,
            next_hop: route.next_hop,
            mtu: link.mtu,
            max_super: link.max_super,
            hop_limit: self.hop_limit,
        })
    }
}
