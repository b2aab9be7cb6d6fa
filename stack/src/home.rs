//! The home list: the addresses that this stack owns.

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// What an address of the home list belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The network link.
    Link,
    /// XCF.
    Xcf,
    /// A DVIPA that this stack owns on the network.
    Dvipa,
    /// A DVIPA that this stack serves as a target; it is not advertised (F6.126).
    InternalDvipa,
}

/// One line of the home list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
    /// What it belongs to.
    pub kind: Kind,
}

/// The list, in the order in which addresses came.
#[derive(Clone, Debug, Default)]
pub struct HomeList {
    order: Vec<Home>,
    index: HashMap<IpAddr, Kind, FixedState>,
}

impl HomeList {
    /// Adds an address, or changes what is known of it.
    pub fn add(&mut self, address: IpAddr, prefix: u8, kind: Kind) {
        let home = Home { address, prefix, kind };
        self.index.insert(address, kind);
        match self.order.iter_mut().find(|known| known.address == address) {
            Some(known) => *known = home,
            None => self.order.push(home),
        }
    }

    /// Takes an address away, if it is there.
    pub fn remove(&mut self, address: IpAddr) {
        if self.index.remove(&address).is_some() {
            self.order.retain(|home| home.address != address);
        }
    }

    /// Whether the address is this stack's.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.index.contains_key(&address)
    }

    /// What the address belongs to, if it is this stack's.
    pub fn kind(&self, address: IpAddr) -> Option<Kind> {
        self.index.get(&address).copied()
    }

    /// All addresses, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Home> {
        self.order.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F6.126: a DVIPA is in the list as internal, until the stack owns it.
    #[test]
    fn an_address_stands_once_and_in_its_place() {
        let (link, dvipa) = (IpAddr::from([198, 51, 100, 11]), IpAddr::from([203, 0, 113, 1]));
        let mut home = HomeList::default();
        home.add(link, 24, Kind::Link);
        home.add(dvipa, 26, Kind::InternalDvipa);
        home.add(dvipa, 26, Kind::Dvipa);
        assert_eq!(home.iter().map(|home| home.address).collect::<Vec<_>>(), [link, dvipa]);
        assert_eq!(home.kind(dvipa), Some(Kind::Dvipa));
        home.remove(link);
        home.remove(link);
        assert!(!home.contains(link) && home.contains(dvipa));
    }
}
