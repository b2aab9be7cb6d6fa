//! Tables of connections, by both their ends.

use core::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::dvipa::DvipaId;
use crate::spread::{Full, Spread, slot_size};

/// A connection of a DVIPA, as tables name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    /// Address of the other end.
    pub remote: IpAddr,
    /// Port of the other end.
    pub remote_port: u16,
    pub dvipa: DvipaId,
    /// Port at the DVIPA.
    pub port: u16,
}

/// A table by connection.
#[derive(Debug)]
pub(crate) struct Flows<V> {
    v4: Spread<Key<u32>, V>,
    v6: Spread<Key<u128>, V, HalfLine>,
}

/// Half of a cache line: a slot that fits there lies in one line.
#[derive(Debug)]
#[repr(align(32))]
struct HalfLine;

/// Bytes of a slot for a connection of IPv4, and of IPv6.
pub(crate) const fn slot_sizes<V>() -> [usize; 2] {
    [slot_size::<Key<u32>, V, ()>(), slot_size::<Key<u128>, V, HalfLine>()]
}

impl<V> Flows<V> {
    /// An empty one. `seed` keeps clients from choosing ports that collide.
    pub fn new(seed: u64) -> Self {
        Flows { v4: Spread::new(seed), v6: Spread::new(seed) }
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    // Inlined down to the slot: an address that is handed over in memory is written in pieces that overlap
    // the words which the hash reads, and the processor then waits for the lookup before this one.
    #[inline(always)]
    pub fn get(&self, flow: &Flow) -> Option<&V> {
        match flow.remote {
            IpAddr::V4(remote) => self.v4.get(&Key::new(flow, remote.to_bits())),
            IpAddr::V6(remote) => self.v6.get(&Key::new(flow, remote.to_bits())),
        }
    }

    #[inline(always)]
    pub fn get_mut(&mut self, flow: &Flow) -> Option<&mut V> {
        match flow.remote {
            IpAddr::V4(remote) => self.v4.get_mut(&Key::new(flow, remote.to_bits())),
            IpAddr::V6(remote) => self.v6.get_mut(&Key::new(flow, remote.to_bits())),
        }
    }

    pub fn contains_key(&self, flow: &Flow) -> bool {
        self.get(flow).is_some()
    }

    /// Puts a value in, in place of a former one, which is returned. If it is `full`, nothing else.
    ///
    /// # Errors
    /// It is full, and has no such connection.
    pub fn put(&mut self, flow: Flow, value: V, full: bool) -> Result<Option<V>, Full> {
        match flow.remote {
            IpAddr::V4(remote) => self.v4.put(Key::new(&flow, remote.to_bits()), value, full),
            IpAddr::V6(remote) => self.v6.put(Key::new(&flow, remote.to_bits()), value, full),
        }
    }

    pub fn insert(&mut self, flow: Flow, value: V) -> Option<V> {
        // It is never full.
        self.put(flow, value, false).unwrap_or_default()
    }

    pub fn remove(&mut self, flow: &Flow) -> Option<V> {
        match flow.remote {
            IpAddr::V4(remote) => self.v4.remove(&Key::new(flow, remote.to_bits())),
            IpAddr::V6(remote) => self.v6.remove(&Key::new(flow, remote.to_bits())),
        }
    }

    /// Takes out everything for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&Flow, &V) -> bool) {
        self.v4.retain(|key, value| keep(&key.flow(v4), value));
        self.v6.retain(|key, value| keep(&key.flow(v6), value));
    }

    /// Takes out everything.
    pub fn clear(&mut self) {
        self.retain(|_, _| false);
    }

    /// Everything, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (Flow, &V)> {
        let four = self.v4.iter().map(|(key, value)| (key.flow(v4), value));
        four.chain(self.v6.iter().map(|(key, value)| (key.flow(v6), value)))
    }
}

/// An address as a number: whole words are hashed and compared, which is several times faster.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(Rust, packed(2))]
struct Key<A> {
    remote: A,
    remote_port: u16,
    port: u16,
    dvipa: DvipaId,
}

impl<A: Copy> Key<A> {
    fn new(flow: &Flow, remote: A) -> Self {
        Key { remote, remote_port: flow.remote_port, port: flow.port, dvipa: flow.dvipa }
    }

    fn flow(&self, address: impl Fn(A) -> IpAddr) -> Flow {
        let Key { remote, remote_port, port, dvipa } = *self;
        Flow { remote: address(remote), remote_port, dvipa, port }
    }

    fn rest(&self) -> u64 {
        u64::from(self.remote_port) << 32 | u64::from(self.port) << 16 | u64::from(self.dvipa.0)
    }
}

impl Hash for Key<u32> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from(self.remote) << 64 | u128::from(self.rest()));
    }
}

impl Hash for Key<u128> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.remote);
        state.write_u64(self.rest());
    }
}

fn v4(remote: u32) -> IpAddr {
    Ipv4Addr::from_bits(remote).into()
}

fn v6(remote: u128) -> IpAddr {
    Ipv6Addr::from_bits(remote).into()
}

impl core::fmt::Debug for Key<u32> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.flow(v4).fmt(f)
    }
}

impl core::fmt::Debug for Key<u128> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.flow(v6).fmt(f)
    }
}
