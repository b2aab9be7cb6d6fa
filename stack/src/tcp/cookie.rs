//! SYN cookies (RFC 4987, section 3.6): what a half-open record would remember, in the initial
//! sequence number and in the timestamp of the SYN,ACK, so that a flood of SYNs takes no memory.
//!
//! The sequence number carries, as in Linux, eight bits of a clock and the class of the MSS, both
//! under keyed hashes of addresses, ports and the peer's sequence number; the hash that guards
//! them changes with the clock. The low bits of the timestamp carry the peer's window scale, SACK
//! and ECN: without timestamps a connection from a cookie has none of these.

use core::time::Duration;
use std::net::SocketAddr;

use super::isn::Secrets;
use crate::seq::SeqNum;
use crate::time::Instant;
use crate::wire::tcp::Segment;

/// The clock's tick.
const PERIOD: Duration = Duration::from_secs(60);
/// Ticks that a cookie lives.
const MAX_AGE: u32 = 2;
/// After the last cookie of a listener, how long one may still come back.
pub(super) const VALID: Duration = Duration::from_secs(PERIOD.as_secs() * MAX_AGE as u64);

/// Classes of the MSS: what is seen most (Ethernet, tunnels, jumbo frames, large TUNs), and a floor.
const MSS_V4: [u16; 8] = [216, 536, 1300, 1440, 1460, 4012, 8960, 32_728];
const MSS_V6: [u16; 8] = [576, 1220, 1380, 1420, 1440, 4052, 8940, 32_708];

/// Where the class lies, below the clock.
const DATA_BITS: u32 = 24;
const DATA_MASK: u32 = (1 << DATA_BITS) - 1;

/// Bits of the timestamp that carry options.
const OPTION_BITS: u32 = 6;
const OPTION_MASK: u32 = (1 << OPTION_BITS) - 1;
/// The window scale that stands for "none": more than RFC 7323 allows.
const NO_SCALE: u32 = 0xf;
const SACK_BIT: u32 = 1 << 4;
const ECN_BIT: u32 = 1 << 5;

/// What the timestamp carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) peer_shift: Option<u8>,
    pub(super) sack: bool,
    pub(super) ecn: bool,
}

impl Carried {
    /// TSval (without the connection's offset) that carries this: the last value up to `clock`
    /// whose low bits say it, so that later ones are larger.
    pub(super) fn encode(self, clock: u32) -> u32 {
        let scale = self.peer_shift.map_or(NO_SCALE, u32::from).min(NO_SCALE);
        let bits = scale | if self.sack { SACK_BIT } else { 0 } | if self.ecn { ECN_BIT } else { 0 };
        let value = clock & !OPTION_MASK | bits;
        if SeqNum(value).after(SeqNum(clock)) { value.wrapping_sub(1 << OPTION_BITS) } else { value }
    }

    /// What an echoed TSval (without the offset) says.
    pub(super) fn decode(value: u32) -> Carried {
        let scale = value & NO_SCALE;
        Carried {
            // Four bits.
            peer_shift: (scale != NO_SCALE).then_some(scale as u8),
            sack: value & SACK_BIT != 0,
            ecn: value & ECN_BIT != 0,
        }
    }
}

fn classes(peer: SocketAddr) -> &'static [u16; 8] {
    if peer.is_ipv4() { &MSS_V4 } else { &MSS_V6 }
}

fn clock(now: Instant) -> u32 {
    // Only its difference counts, and eight bits of it.
    (now.as_millis() / PERIOD.as_millis() as u64) as u32
}

/// The initial sequence number that answers `syn`.
pub(super) fn make(secrets: &Secrets, now: Instant, syn: &Segment, peer_mss: u16) -> SeqNum {
    let class = classes(syn.source).iter().rposition(|&class| class <= peer_mss).unwrap_or(0);
    let (ends, count) = ((syn.destination, syn.source), clock(now));
    let data = secrets.cookie_data(ends, syn.seq, count).wrapping_add(class as u32) & DATA_MASK;
    let base = secrets.cookie_base(ends).wrapping_add(syn.seq.0);
    SeqNum(base.wrapping_add(count << DATA_BITS).wrapping_add(data))
}

/// The MSS class of the cookie that `ack`, the last of a handshake, gives back; `None` if it is
/// none of ours, or too old.
pub(super) fn check(secrets: &Secrets, now: Instant, ack: &Segment) -> Option<u16> {
    let ends = (ack.destination, ack.source);
    let (irs, cookie) = (ack.seq - 1, ack.ack - 1);
    let plain = cookie.0.wrapping_sub(secrets.cookie_base(ends)).wrapping_sub(irs.0);
    let count = clock(now);
    let age = count.wrapping_sub(plain >> DATA_BITS) & (u32::MAX >> DATA_BITS);
    if age >= MAX_AGE {
        return None;
    }
    let class = plain.wrapping_sub(secrets.cookie_data(ends, irs, count.wrapping_sub(age))) & DATA_MASK;
    classes(ack.source).get(class as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp::{Codepoint, Flags, Options};
    use proptest::prelude::*;

    fn segment(flags: Flags, seq: SeqNum, ack: SeqNum) -> Segment {
        Segment {
            source: SocketAddr::from(([198, 51, 100, 7], 4000)),
            destination: SocketAddr::from(([192, 0, 2, 1], 80)),
            seq,
            ack,
            flags,
            window: 100,
            options: Options::default(),
            payload: 0..0,
            pieces: 1,
            ecn: Codepoint::NotEct,
        }
    }

    proptest! {
        /// RFC 4987, 3.6: a cookie gives back the class of the MSS until it is too old, to its own
        /// peer and sequence number only.
        #[test]
        fn a_cookie_comes_back(seq in any::<u32>(), mss in any::<u16>(), at in 0u64..1 << 40, after in 0u64..300_000) {
            let secrets = Secrets::new((1, 2));
            let made = Instant::from_millis(at);
            let syn = segment(Flags::SYN, SeqNum(seq), SeqNum(0));
            let cookie = make(&secrets, made, &syn, mss);
            let ack = segment(Flags::ACK, syn.seq + 1, cookie + 1);
            let now = made + Duration::from_millis(after);
            let got = check(&secrets, now, &ack);
            if after < 60_000 {
                prop_assert!(got.is_some_and(|class| class <= mss.max(216)), "{:?}", got);
            }
            if after >= 120_000 {
                prop_assert_eq!(got, None);
            }
            let stranger = Segment { source: SocketAddr::from(([198, 51, 100, 8], 4000)), ..ack.clone() };
            prop_assert_eq!(check(&secrets, now, &stranger), None);
            prop_assert_eq!(check(&secrets, now, &Segment { seq: ack.seq + 1, ..ack.clone() }), None);
            prop_assert_eq!(check(&Secrets::new((1, 3)), now, &ack), None);
        }

        /// RFC 7323, 5.4: the timestamp that carries options is not later than the clock, and not
        /// much earlier.
        #[test]
        fn a_timestamp_carries_options(clock in any::<u32>(), shift in proptest::option::of(0u8..15), sack in any::<bool>(), ecn in any::<bool>()) {
            let carried = Carried { peer_shift: shift, sack, ecn };
            let value = carried.encode(clock);
            prop_assert!(clock.wrapping_sub(value) < 64);
            prop_assert_eq!(Carried::decode(value), carried);
        }
    }
}
