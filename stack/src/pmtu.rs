//! Path MTUs that ICMP has told (RFC 1191, RFC 8201), for everything but TCP, whose connections
//! know their own.

use core::time::Duration;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::icmp::MIN_MTU_V6;
use crate::time::Instant;

/// After this a larger packet is tried again (RFC 1191, section 6.3; RFC 8201, section 5.3).
const LIFE: Duration = Duration::from_secs(600);
/// Destinations that are remembered; the oldest gives way.
const MAX_PATHS: usize = 1024;
/// Smaller values of IPv4 are not believed: they would only serve to make fragments (RFC 1191,
/// section 3, has 68; hosts must take 576 in any case).
const LEAST_V4: u16 = 552;
/// What routers have that do not say their MTU (RFC 1191, section 7.1), the largest first.
const PLATEAUS: [u16; 7] = [32_000, 17_914, 8166, 4352, 2002, 1492, LEAST_V4];

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct PathMtus {
    paths: HashMap<IpAddr, (u16, Instant), FixedState>,
}

impl PathMtus {
    /// A packet to `destination`, of `length` bytes where that is known, was too big for a link of `mtu`.
    pub(crate) fn learn(&mut self, now: Instant, destination: IpAddr, mtu: u16, length: Option<u16>) {
        let mtu = match (destination, mtu) {
            (IpAddr::V6(_), mtu) => mtu.max(MIN_MTU_V6),
            (IpAddr::V4(_), 0) => {
                let below = length.unwrap_or(u16::MAX);
                PLATEAUS.into_iter().find(|plateau| *plateau < below).unwrap_or(LEAST_V4)
            }
            (IpAddr::V4(_), mtu) => mtu.max(LEAST_V4),
        };
        if self.paths.get(&destination).is_some_and(|(known, since)| *known <= mtu && now - *since < LIFE) {
            return;
        }
        if self.paths.len() >= MAX_PATHS && !self.paths.contains_key(&destination) {
            // Rare: only forged errors tell of so many.
            if let Some(oldest) = self.paths.iter().min_by_key(|(_, (_, since))| *since).map(|(to, _)| *to) {
                self.paths.remove(&oldest);
            }
        }
        self.paths.insert(destination, (mtu, now));
    }

    /// What fits on the way to `destination`, of which the first link takes `mtu`.
    pub(crate) fn limit(&mut self, now: Instant, destination: IpAddr, mtu: u16) -> u16 {
        match self.paths.get(&destination) {
            None => mtu,
            Some((_, since)) if now - *since >= LIFE => {
                self.paths.remove(&destination);
                mtu
            }
            Some((known, _)) => mtu.min(*known),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(1);

    /// RFC 8201, section 4: never below 1280, and never larger by an error; section 5.3: forgotten
    /// after ten minutes. RFC 1191, section 7.1: plateaus for routers that do not tell.
    #[test]
    fn errors_lower_the_path_mtu_for_a_while() {
        let (v6, v4) = (IpAddr::from([9u16; 8]), IpAddr::from([198, 51, 100, 1]));
        let mut paths = PathMtus::default();
        paths.learn(NOW, v6, 1400, None);
        paths.learn(NOW, v6, 1450, None);
        assert_eq!(paths.limit(NOW, v6, 1500), 1400);
        paths.learn(NOW, v6, 100, None);
        assert_eq!(paths.limit(NOW, v6, 1500), 1280);
        assert_eq!(paths.limit(NOW + LIFE, v6, 1500), 1500);
        paths.learn(NOW, v4, 0, Some(1500));
        assert_eq!(paths.limit(NOW, v4, 1500), 1492);
        paths.learn(NOW, v4, 1, None);
        assert_eq!(paths.limit(NOW, v4, 1500), LEAST_V4);
    }

    /// RFC 5927: forged errors fill no memory.
    #[test]
    fn the_table_is_bounded() {
        let mut paths = PathMtus::default();
        for number in 0..5000u32 {
            paths.learn(NOW + Duration::from_nanos(number.into()), IpAddr::from(number.to_be_bytes()), 1000, None);
        }
        assert_eq!(paths.paths.len(), MAX_PATHS);
        assert_eq!(paths.limit(NOW, IpAddr::from(4999u32.to_be_bytes()), 1500), 1000, "the newest are there");
    }
}
