//! The largest packet that the path takes: by what routers say (RFC 1191, RFC 8201), believed as
//! far as RFC 5927 allows, and where none says anything, by what arrives (RFC 4821, RFC 8899).

use core::time::Duration;

use super::{Connection, Context, State};
use crate::egress::Path;
use crate::tcp::recovery::Phase;
use crate::time::Instant;
use crate::wire::tcp::SeqRange;

/// No router on the way may take less (RFC 8200, section 5).
const MIN_V6: u16 = 1280;
/// A link of less carries no TCP of today (RFC 1191, section 7: the smallest plateaus are 68 and
/// 296); a claim below is taken for this.
const MIN_V4: u16 = 296;
/// Works nearly everywhere (RFC 8899, section 5.1.2: BASE_PLPMTU).
const BASE_V4: u16 = 1200;
/// Timeouts of one segment after which its size may be the reason (RFC 4821, section 7.7): three,
/// as in Linux; and for sizes that nearly every path takes, more.
const BLACK_HOLE_TIMEOUTS: u8 = 3;
const SMALL_BLACK_HOLE_TIMEOUTS: u8 = 6;
/// How near the search comes (RFC 4821, section 7.6.1 leaves it open).
const CLOSE_ENOUGH: u16 = 16;
/// After that long the path may be another (RFC 1191, section 6.3; RFC 8899: PMTU_RAISE_TIMER).
const RAISE: Duration = Duration::from_secs(600);
/// RFC 1191, section 7: for routers that do not say what they take.
const PLATEAUS: [u16; 9] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, MIN_V4];

/// What is known once packets were too big. Few connections ever have one.
#[derive(Debug)]
pub(super) struct Search {
    /// A router's claim that is to prove itself by a timeout (RFC 5927, section 7.2).
    claim: Option<u16>,
    /// What is taken to arrive until more has (RFC 4821, section 7.1: search_low), if that is not what goes.
    low: Option<u16>,
    /// The smallest packet that is known not to arrive.
    too_big: u16,
    /// A probe that is out: its place in sequence space and its size as a packet.
    probe: Option<(SeqRange, u16)>,
    /// When to look for more.
    again: Instant,
}

impl Connection {
    fn mtu_floor(&self) -> u16 {
        if self.local.is_ipv4() { MIN_V4 } else { MIN_V6 }
    }

    /// A full segment as a packet, as it goes now.
    fn packet_size(&self) -> u16 {
        let headers = if self.local.is_ipv4() { 40 } else { 60 };
        // A segment is less than 64 KiB.
        (self.snd.mss as u16).saturating_add(headers + self.fixed_options() as u16)
    }

    /// RFC 1191, section 6.4: a router takes only `mtu`, about a segment that is out. Where
    /// segments of that size have arrived, the claim waits for a timeout (RFC 5927, 7.2): an
    /// attacker could say so as well.
    pub(in crate::tcp) fn packet_too_big(&mut self, now: Instant, mtu: u16) {
        let size = self.packet_size();
        let mtu = match mtu {
            0 => PLATEAUS.into_iter().find(|plateau| *plateau < size).unwrap_or(MIN_V4),
            mtu => mtu,
        };
        if !self.local.is_ipv4() && mtu < MIN_V6 {
            // RFC 8201, section 4.
            return;
        }
        let mtu = mtu.max(self.mtu_floor());
        if let Some(search) = &mut self.mtu
            && let Some((_, probe)) = search.probe
            && mtu < probe
            && mtu >= size
        {
            // That was about the probe. It is still out: that it is lost says nothing of congestion (RFC 4821, 7.5).
            search.too_big = search.too_big.min(probe).min(mtu + 1);
            return;
        }
        if mtu >= size {
            return;
        }
        if self.state.is_synchronized() && self.snd.mss_acked >= self.snd.mss {
            self.search(now).claim = Some(mtu);
        } else {
            self.take_mtu(now, mtu);
            let search = self.search(now);
            search.too_big = mtu + 1;
            search.again = now + RAISE;
        }
    }

    fn search(&mut self, now: Instant) -> &mut Search {
        let again = now + RAISE;
        self.mtu
            .get_or_insert_with(|| Box::new(Search { claim: None, low: None, too_big: u16::MAX, probe: None, again }))
    }

    /// RFC 4821, section 7.2: the connection searches from the beginning, whatever its link takes later.
    pub(super) fn begin_search(&mut self, now: Instant, path: &Path, low: u16) {
        self.snd.path_mtu = path.mtu;
        let search = self.search(now);
        search.low = Some(low);
        search.again = now;
    }

    /// What is in flight goes again in smaller pieces, without a change of the congestion window.
    fn take_mtu(&mut self, _now: Instant, mtu: u16) {
        self.snd.path_mtu = mtu;
        self.snd.mss_acked = 0;
        if self.state.is_synchronized() {
            self.board.mark_lost(|_| true);
        }
    }

    /// After a retransmission timeout: a claim has proved itself, or nobody said anything and large
    /// segments do not arrive (RFC 4821, section 7.7).
    pub(super) fn suspect_mtu(&mut self, now: Instant, cx: &mut Context<'_>) {
        let size = self.packet_size();
        if let Some(search) = &mut self.mtu {
            if let Some((_, probe)) = search.probe.take() {
                search.too_big = search.too_big.min(probe);
            }
            if let Some(claim) = search.claim.take().filter(|claim| *claim < size) {
                search.too_big = claim + 1;
                search.again = now + RAISE;
                return self.take_mtu(now, claim);
            }
        }
        let floor = self.mtu_floor();
        let base = if self.local.is_ipv4() { BASE_V4 } else { MIN_V6 };
        let large = self.board.first_len() >= self.snd.mss;
        let timeouts = if size > base { BLACK_HOLE_TIMEOUTS } else { SMALL_BLACK_HOLE_TIMEOUTS };
        if self.retries < timeouts || !large || size <= floor || self.state == State::SynReceived {
            return;
        }
        cx.counters.mtu_failures += 1;
        let smaller = if size > base { base } else { (size / 2).max(floor) };
        self.take_mtu(now, smaller);
        let search = self.search(now);
        search.too_big = search.too_big.min(size);
        search.again = now;
    }

    /// SND.UNA has moved on: whether a probe arrived.
    pub(super) fn mtu_acknowledged(&mut self, now: Instant, advanced: u32, cx: &mut Context<'_>) {
        if advanced >= self.snd.mss {
            self.snd.mss_acked = self.snd.mss;
        }
        let una = self.snd.una;
        let Some(search) = &mut self.mtu else { return };
        if search.claim.is_some() && self.retries == 0 && self.recovery.is_open() && self.board.is_empty() {
            // Everything arrived: the claim was forged.
            search.claim = None;
        }
        if let Some((_, size)) = search.probe.take_if(|(range, _)| una.after_eq(range.end)) {
            cx.counters.mtu_successes += 1;
            self.snd.path_mtu = size;
            search.low = None;
            search.again = now;
        }
    }

    /// Whether what was just found lost is a probe, and nothing else: that says nothing of
    /// congestion (RFC 4821, section 7.5).
    pub(super) fn is_probe_lost(&mut self, lost: u32, cx: &mut Context<'_>) -> bool {
        let first = self.board.next_lost();
        let Some(search) = &mut self.mtu else { return false };
        let found = search.probe.take_if(|(range, _)| first == Some(*range) && range.end - range.start == lost);
        if let Some((_, size)) = found {
            cx.counters.mtu_failures += 1;
            search.too_big = search.too_big.min(size);
        }
        found.is_some()
    }

    /// RFC 4821, section 7.4: the payload of a probe that is to go now, if there is enough to send
    /// behind it that its loss would show. `headers` is what comes before the payload.
    pub(super) fn mtu_probe(&mut self, now: Instant, path: &Path, headers: u32, sendable: u32) -> Option<u32> {
        if self.snd.path_mtu >= path.mtu || self.recovery.phase != Phase::Open || self.board.sacked() > 0 {
            return None;
        }
        let peer = self.snd.peer_mss.saturating_add(if self.local.is_ipv4() { 40 } else { 60 });
        let search = self.mtu.as_mut()?;
        if search.probe.is_some() || now < search.again || search.claim.is_some() {
            return None;
        }
        let high = search.too_big.min(path.mtu.min(peer).saturating_add(1));
        if high.saturating_sub(self.snd.path_mtu) <= CLOSE_ENOUGH {
            search.again = now + RAISE;
            // By then another path may take more.
            search.too_big = u16::MAX;
            return None;
        }
        let size = match search.low {
            Some(low) => low.midpoint(high),
            // The links' own sizes are where it most often ends: the first probe asks for all.
            None if search.too_big > path.mtu.min(peer) => high - 1,
            None => self.snd.path_mtu.midpoint(high),
        };
        let payload = u32::from(size).saturating_sub(headers);
        (payload > self.snd.mss && sendable >= payload + 4 * self.snd.mss).then_some(payload)
    }

    /// A probe went.
    pub(super) fn mtu_probe_sent(&mut self, range: SeqRange, headers: u32) {
        if let Some(search) = &mut self.mtu {
            // A packet is less than 64 KiB.
            search.probe = Some((range, (range.end - range.start + headers) as u16));
        }
    }
}
