//! From the addresses and ports of a segment to the record that it belongs to, in O(1).

use core::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use foldhash::quality::FixedState;
use hashbrown::HashMap;

/// Both ends of a connection, as words to hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct FourTuple {
    local: u128,
    remote: u128,
    ports: u32,
}

impl FourTuple {
    pub(super) fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        FourTuple {
            local: bits(local.ip()),
            remote: bits(remote.ip()),
            ports: u32::from(local.port()) << 16 | u32::from(remote.port()),
        }
    }

    pub(super) fn write<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u128(self.local);
        hasher.write_u128(self.remote);
        hasher.write_u32(self.ports);
    }
}

/// IPv4 addresses as IPv4-mapped ones (RFC 4291, 2.5.5.2), which no packet carries.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Which record a connection has now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// A full connection.
    Connection(u32),
    /// A half-open one.
    SynReceived(u32),
    /// One that has ended.
    TimeWait(u32),
}

/// A slot in four bytes.
#[derive(Clone, Copy, Debug)]
struct Packed(u32);

impl From<Slot> for Packed {
    fn from(slot: Slot) -> Self {
        // Records are fewer than 2^30: each takes more than four bytes.
        let (index, kind) = match slot {
            Slot::Connection(index) => (index, 0),
            Slot::SynReceived(index) => (index, 1),
            Slot::TimeWait(index) => (index, 2),
        };
        Packed(index << 2 | kind)
    }
}

impl From<Packed> for Slot {
    fn from(Packed(packed): Packed) -> Self {
        let index = packed >> 2;
        match packed & 3 {
            0 => Slot::Connection(index),
            1 => Slot::SynReceived(index),
            _ => Slot::TimeWait(index),
        }
    }
}

/// Both ends of an IPv4 connection: a third of what those of an IPv6 one take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ends4 {
    addresses: [u32; 2],
    ports: u32,
}

/// The same for IPv6, without padding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ends6 {
    addresses: [[u32; 4]; 2],
    ports: u32,
}

impl Hash for Ends4 {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [local, remote] = self.addresses.map(u128::from);
        state.write_u128(local << 64 | remote << 32 | u128::from(self.ports));
    }
}

impl Hash for Ends6 {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let whole = |words: [u32; 4]| words.into_iter().fold(0, |bits, word| bits << 32 | u128::from(word));
        self.addresses.map(whole).into_iter().for_each(|address| state.write_u128(address));
        state.write_u32(self.ports);
    }
}

const _: () = assert!(size_of::<(Ends4, Packed)>() == 16);
const _: () = assert!(size_of::<(Ends6, Packed)>() == 40);

/// Ends of either family.
enum Ends {
    V4(Ends4),
    V6(Ends6),
}

impl Ends {
    fn of(local: SocketAddr, remote: SocketAddr) -> Self {
        let ports = u32::from(local.port()) << 16 | u32::from(remote.port());
        match (local.ip(), remote.ip()) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                Ends::V4(Ends4 { addresses: [local.to_bits(), remote.to_bits()], ports })
            }
            // No packet has one of each.
            (local, remote) => {
                let words = |bits: u128| [96, 64, 32, 0].map(|shift| (bits >> shift) as u32);
                Ends::V6(Ends6 { addresses: [words(bits(local)), words(bits(remote))], ports })
            }
        }
    }
}

/// The tables.
#[derive(Debug)]
pub(super) struct Demux {
    v4: HashMap<Ends4, Packed, FixedState>,
    v6: HashMap<Ends6, Packed, FixedState>,
    listeners: HashMap<(Option<IpAddr>, u16), u32, FixedState>,
}

impl Demux {
    pub(super) fn new(seed: u64) -> Self {
        Demux {
            v4: HashMap::with_hasher(FixedState::with_seed(seed)),
            v6: HashMap::with_hasher(FixedState::with_seed(seed)),
            listeners: HashMap::with_hasher(FixedState::with_seed(seed)),
        }
    }

    pub(super) fn find(&self, local: SocketAddr, remote: SocketAddr) -> Option<Slot> {
        let found = match Ends::of(local, remote) {
            Ends::V4(ends) => self.v4.get(&ends),
            Ends::V6(ends) => self.v6.get(&ends),
        };
        found.map(|packed| Slot::from(*packed))
    }

    pub(super) fn insert(&mut self, local: SocketAddr, remote: SocketAddr, slot: Slot) {
        match Ends::of(local, remote) {
            Ends::V4(ends) => self.v4.insert(ends, slot.into()),
            Ends::V6(ends) => self.v6.insert(ends, slot.into()),
        };
    }

    pub(super) fn remove(&mut self, local: SocketAddr, remote: SocketAddr) {
        match Ends::of(local, remote) {
            Ends::V4(ends) => self.v4.remove(&ends),
            Ends::V6(ends) => self.v6.remove(&ends),
        };
    }

    /// The listener for `local`: the one on the address goes before the one on every address.
    pub(super) fn listener(&self, local: SocketAddr) -> Option<u32> {
        let exact = self.listeners.get(&(Some(local.ip()), local.port()));
        exact.or_else(|| self.listeners.get(&(None, local.port()))).copied()
    }

    /// Whether exactly this is listened on.
    pub(super) fn is_listening(&self, address: Option<IpAddr>, port: u16) -> bool {
        self.listeners.contains_key(&(address, port))
    }

    pub(super) fn listen(&mut self, address: Option<IpAddr>, port: u16, listener: u32) {
        self.listeners.insert((address, port), listener);
    }

    pub(super) fn unlisten(&mut self, address: Option<IpAddr>, port: u16) {
        self.listeners.remove(&(address, port));
    }
}
