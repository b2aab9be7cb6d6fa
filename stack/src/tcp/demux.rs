//! From the addresses and ports of a segment to the record that it belongs to, in O(1).

use core::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use foldhash::quality::FixedState;
use hashbrown::HashMap;

/// Both ends of a connection, packed for hashing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

impl Hash for FourTuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.write(state);
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

/// The tables.
#[derive(Debug)]
pub(super) struct Demux {
    connections: HashMap<FourTuple, Slot, FixedState>,
    listeners: HashMap<(Option<IpAddr>, u16), u32, FixedState>,
}

impl Demux {
    pub(super) fn new(seed: u64) -> Self {
        Demux {
            connections: HashMap::with_hasher(FixedState::with_seed(seed)),
            listeners: HashMap::with_hasher(FixedState::with_seed(seed)),
        }
    }

    pub(super) fn find(&self, local: SocketAddr, remote: SocketAddr) -> Option<Slot> {
        self.connections.get(&FourTuple::new(local, remote)).copied()
    }

    pub(super) fn insert(&mut self, local: SocketAddr, remote: SocketAddr, slot: Slot) {
        self.connections.insert(FourTuple::new(local, remote), slot);
    }

    pub(super) fn remove(&mut self, local: SocketAddr, remote: SocketAddr) {
        self.connections.remove(&FourTuple::new(local, remote));
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
