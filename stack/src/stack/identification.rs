//! Identification of datagrams that are sent in fragments (RFC 6864; RFC 7739, section 5.4).

use core::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

/// Counters of many destinations each: none can be told from outside by another's.
const COUNTERS: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Identifications {
    seed: u64,
    counters: Box<[u32; COUNTERS]>,
}

impl Identifications {
    pub(super) fn new(seed: u64) -> Self {
        Identifications { seed, counters: Box::new([0; COUNTERS]) }
    }

    /// The next one for datagrams from `source` to `destination`.
    pub(super) fn next(&mut self, source: IpAddr, destination: IpAddr) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.seed, self.seed.rotate_left(17) ^ 0x6672_6167);
        for address in [source, destination] {
            match address {
                IpAddr::V4(v4) => hasher.write(&v4.octets()),
                IpAddr::V6(v6) => hasher.write(&v6.octets()),
            }
        }
        let hash = hasher.finish();
        // One half chooses the counter, the other where it begins.
        let counter = &mut self.counters[hash as usize % COUNTERS];
        *counter = counter.wrapping_add(1);
        ((hash >> 32) as u32).wrapping_add(*counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7739: what one destination sees says nothing about what the next gets.
    #[test]
    fn each_pair_has_its_own_sequence() {
        let (here, there) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        let mut one = Identifications::new(1);
        let first = one.next(here, there);
        assert_eq!(one.next(here, there), first.wrapping_add(1));
        assert!(one.next(here, here).wrapping_sub(first) > 1000);
        assert_ne!(Identifications::new(2).next(here, there), first);
    }
}
