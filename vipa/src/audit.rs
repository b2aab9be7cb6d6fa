//! The audit (R15): whatever went wrong with the router's tables, it is found and repaired.
//!
//! Now and then the router tells each stack how many connections its CRT has for it, and a digest
//! of them and of the stack's DPT rows. If that is not what the stack itself knows, twice in a row
//! (once may be a message under way), the stack sends its complete report: what is missing is
//! entered, and what it does not name is removed.

use std::net::IpAddr;

use crate::crt::{Entry, Flow};
use crate::dvipa::DvipaId;
use crate::guard::Guard;
use crate::membership::StackId;
use crate::ownership::{Epoch, Standing};
use crate::vipa::Vipa;
use crate::wire::message::Message;

/// A set of connections, as far as a comparison goes: kept up to date with each change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub count: u32,
    /// Sum of the connections' fingerprints, so that their order does not matter.
    pub digest: u64,
}

impl Tally {
    pub fn add(&mut self, flow: &Flow, instance: u32) {
        self.count = self.count.wrapping_add(1);
        self.digest = self.digest.wrapping_add(fingerprint(flow, instance));
    }

    pub fn subtract(&mut self, flow: &Flow, instance: u32) {
        self.count = self.count.wrapping_sub(1);
        self.digest = self.digest.wrapping_sub(fingerprint(flow, instance));
    }
}

/// What the CRT has for one target of a DVIPA.
#[derive(Debug, Default)]
pub(crate) struct Routed {
    pub tally: Tally,
    /// Round of the target's report that now counts: what a report names carries it (see [`Entry::mark`]).
    pub mark: u8,
    /// Entries that are not half-open, and those of them that carry the mark. No more than do: whether a report has
    /// left something out is seen without a look at the table.
    firm: u32,
    marked: u32,
}

impl Routed {
    pub fn entered(&mut self, flow: &Flow, entry: &Entry) {
        self.tally.add(flow, entry.instance);
        if !entry.is_half_open() {
            self.went_on(entry);
        }
    }

    /// An entry is no longer half-open.
    pub fn went_on(&mut self, entry: &Entry) {
        self.firm = self.firm.wrapping_add(1);
        self.marked = self.marked.wrapping_add(u32::from(entry.mark == self.mark));
    }

    pub fn left(&mut self, flow: &Flow, entry: &Entry) {
        self.tally.subtract(flow, entry.instance);
        if !entry.is_half_open() {
            self.firm = self.firm.wrapping_sub(1);
            // Marks come again after 256 reports: one that carried it since then was not counted.
            self.marked = self.marked.saturating_sub(u32::from(entry.mark == self.mark));
        }
    }

    /// A report begins.
    pub fn next_mark(&mut self) -> u8 {
        self.mark = self.mark.wrapping_add(1);
        self.marked = 0;
        self.mark
    }

    /// Whether all but half-open entries carry the mark.
    pub fn is_confirmed(&self) -> bool {
        self.firm == self.marked
    }

    pub fn half_open(&self) -> u32 {
        self.tally.count.wrapping_sub(self.firm)
    }
}

/// Part of the protocol: all stacks compute the same. The DVIPA is not in it, its number differs
/// from stack to stack.
fn fingerprint(flow: &Flow, instance: u32) -> u64 {
    let (high, low) = match flow.remote {
        IpAddr::V4(v4) => (0, u64::from(v4.to_bits())),
        IpAddr::V6(v6) => ((v6.to_bits() >> 64) as u64, v6.to_bits() as u64),
    };
    let ports = u64::from(flow.remote_port) << 48 | u64::from(flow.port) << 32 | u64::from(instance);
    [low, high, ports].into_iter().fold(0x9e37_79b9_7f4a_7c15, |hash, word| mix(hash ^ word))
}

/// The finalizer of SplitMix64.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Digest of a stack's servers: ports and listeners.
fn servers_digest(servers: impl Iterator<Item = (u16, u16)>) -> u64 {
    servers.fold(0, |sum, (port, listeners)| sum.wrapping_add(mix(u64::from(port) << 16 | u64::from(listeners))))
}

impl Vipa {
    /// Compares the tables of every DVIPA that this stack routes with what the stacks hold.
    pub(crate) fn audit(&mut self) {
        if self.now < self.next_audit {
            return;
        }
        self.next_audit = self.now + self.config.timing.audit;
        for id in self.dvipa_ids() {
            if !matches!(self.dvipa(id).standing, Standing::Active) {
                continue;
            }
            self.audit_own(id);
            for stack in self.live_peers() {
                let dvipa = self.dvipa(id);
                let rows = dvipa.dpt.rows().into_iter().filter(|(_, who, row)| *who == stack && row.ready > 0);
                let message = Message::Audit {
                    dvipa: dvipa.address,
                    epoch: dvipa.epoch,
                    tally: dvipa.routed.get(&stack).map(|routed| routed.tally).unwrap_or_default(),
                    servers: servers_digest(rows.map(|(port, _, row)| (port, row.ready))),
                };
                self.tell(stack, &message);
            }
        }
    }

    /// Entries that point to this stack itself.
    fn audit_own(&mut self, id: DvipaId) {
        let dvipa = self.dvipa(id);
        let routed = dvipa.routed.get(&self.me).map(|routed| routed.tally);
        let same = routed.unwrap_or_default() == dvipa.own;
        if !same && self.guards(Guard::Audit) {
            self.enter_own(id);
        }
    }

    /// The router's tables, as far as they are about this stack.
    pub(crate) fn hear_audit(&mut self, from: StackId, id: DvipaId, epoch: Epoch, tally: Tally, servers: u64) {
        if !self.guards(Guard::Audit) || !self.reports_to(id, from, epoch) {
            return;
        }
        let known = servers_digest(self.listeners_on(id).into_iter());
        let dvipa = self.dvipa_mut(id);
        if (tally, servers) == (dvipa.own, known) {
            dvipa.drifts = 0;
            return;
        }
        dvipa.drifts += 1;
        if dvipa.drifts >= 2 {
            dvipa.drifts = 0;
            self.counters.repaired += 1;
            self.report(id, from);
        }
    }
}
