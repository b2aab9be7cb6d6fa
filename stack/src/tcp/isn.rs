//! Initial sequence numbers, timestamp offsets and ephemeral ports: what an attacker off the path
//! must not guess.

use core::hash::Hasher;
use core::ops::RangeInclusive;
use std::net::SocketAddr;

use siphasher::sip::SipHasher13;

use super::demux::FourTuple;
use crate::seq::SeqNum;
use crate::time::Instant;

/// The secrets of one stack.
#[derive(Debug)]
pub(super) struct Secrets {
    key: (u64, u64),
    /// Grows with each port that is given out (RFC 6056, algorithm 3: `next_ephemeral`).
    ports_given: u32,
}

/// Keeps the uses of one key apart.
#[derive(Clone, Copy)]
enum Purpose {
    SequenceNumber = 1,
    TimestampOffset = 2,
    Port = 3,
    CookieBase = 4,
    CookieData = 5,
}

impl Secrets {
    pub(super) fn new(key: (u64, u64)) -> Self {
        Secrets { key, ports_given: 0 }
    }

    fn hash(&self, purpose: Purpose, local: SocketAddr, remote: SocketAddr) -> u32 {
        self.hash_with(purpose, local, remote, 0)
    }

    fn hash_with(&self, purpose: Purpose, local: SocketAddr, remote: SocketAddr, salt: u64) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write_u8(purpose as u8);
        let tuple = FourTuple::new(local, remote);
        tuple.write(&mut hasher);
        hasher.write_u64(salt);
        // Folding the halves keeps all bits in play.
        let hash = hasher.finish();
        (hash ^ hash >> 32) as u32
    }

    /// RFC 6528, section 3: a clock of 4 µs plus a keyed hash of the connection.
    pub(super) fn initial_sequence(&self, now: Instant, local: SocketAddr, remote: SocketAddr) -> SeqNum {
        // The clock is meant to wrap.
        let clock = (now.as_micros() / 4) as u32;
        SeqNum(clock.wrapping_add(self.hash(Purpose::SequenceNumber, local, remote)))
    }

    /// RFC 7323, section 5.4: the offset of TSval. The same connection has the same offset each
    /// time, so that a peer in TIME_WAIT sees timestamps grow from one instance to the next.
    pub(super) fn timestamp_offset(&self, local: SocketAddr, remote: SocketAddr) -> u32 {
        self.hash(Purpose::TimestampOffset, local, remote)
    }

    /// Where the SYN cookies of a connection begin (see `cookie.rs`).
    pub(super) fn cookie_base(&self, (local, remote): (SocketAddr, SocketAddr)) -> u32 {
        self.hash(Purpose::CookieBase, local, remote)
    }

    /// What guards the data of a SYN cookie that was made at tick `count`.
    pub(super) fn cookie_data(&self, (local, remote): (SocketAddr, SocketAddr), irs: SeqNum, count: u32) -> u32 {
        self.hash_with(Purpose::CookieData, local, remote, u64::from(irs.0) << 32 | u64::from(count))
    }

    /// RFC 6056, section 3.3.3: the ports of `range` in an order that depends on the destination;
    /// the first for which `free` says yes.
    pub(super) fn ephemeral_port(
        &mut self,
        range: &RangeInclusive<u16>,
        local: SocketAddr,
        remote: SocketAddr,
        free: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        let count = u32::from(range.end().checked_sub(*range.start())?) + 1;
        let offset = self.hash(Purpose::Port, SocketAddr::new(local.ip(), 0), remote);
        for _ in 0..count {
            let step = offset.wrapping_add(self.ports_given) % count;
            self.ports_given = self.ports_given.wrapping_add(1);
            // The step is less than the count, which fits.
            let port = range.start() + step as u16;
            if free(port) {
                return Some(port);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (SocketAddr, SocketAddr) {
        (SocketAddr::from(([192, 0, 2, 1], 0)), SocketAddr::from(([192, 0, 2, 2], 80)))
    }

    /// RFC 6528: monotonic for one connection, unrelated for another, or under another key.
    #[test]
    fn sequence_numbers_grow_for_the_same_connection() {
        let (local, remote) = ends();
        let secrets = Secrets::new((1, 2));
        let first = secrets.initial_sequence(Instant::from_millis(1), local, remote);
        let second = secrets.initial_sequence(Instant::from_millis(2), local, remote);
        assert_eq!(second - first, 250);
        let other = SocketAddr::new(remote.ip(), 81);
        assert_ne!(secrets.initial_sequence(Instant::from_millis(1), local, other), first);
        assert_ne!(Secrets::new((1, 3)).initial_sequence(Instant::from_millis(1), local, remote), first);
    }

    /// RFC 6056: every port of the range is found, once; then none.
    #[test]
    fn each_port_is_given_once_until_none_is_free() {
        let (local, remote) = ends();
        let mut secrets = Secrets::new((1, 2));
        let mut given = std::collections::BTreeSet::new();
        while let Some(port) = secrets.ephemeral_port(&(100..=131), local, remote, |port| !given.contains(&port)) {
            assert!(given.insert(port));
        }
        assert_eq!(given, (100..=131).collect());
    }
}
