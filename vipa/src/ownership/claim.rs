//! Claims on DVIPAs, and what orders them.

use core::fmt;
use std::net::IpAddr;

use crate::dvipa::Distribution;

/// An ownership epoch: each claim on a DVIPA has one higher than all before it (I2). Two stacks
/// that claim in the same round differ in rank, and the higher rank wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Counts up over all owners; never below the number of its claimer's life.
    pub round: u64,
    /// The claimer's: 255 for the primary.
    pub rank: u8,
}

impl Epoch {
    /// Before every claim.
    pub const NONE: Epoch = Epoch { round: 0, rank: 0 };
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.round, self.rank)
    }
}

/// How far a claim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Advertised; the tables are being rebuilt from the stacks' reports.
    Rebuilding,
    /// Not advertised yet: the stack `from` routes until the tables are complete (R2).
    TakingBack { from: IpAddr },
    /// Advertised, tables complete.
    Active,
    /// Given up, and nobody else can have it now: nobody routes.
    Released,
}

/// A stack's claim on a DVIPA, and the list it goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub epoch: Epoch,
    pub owner: IpAddr,
    /// The owner's life.
    pub incarnation: u64,
    pub phase: Phase,
    pub prefix: u8,
    pub distribution: Option<Distribution>,
}

impl Claim {
    /// Claims are ordered by epoch. Two lives of one stack, cut off from all others, may claim
    /// with the same epoch: the later life wins.
    pub(super) fn order(&self) -> (Epoch, u64) {
        (self.epoch, self.incarnation)
    }

    /// Whether the tables of the owner are complete.
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Active
    }

    /// FNV-1a over what orders the claim: part of the protocol, so that all stacks agree on it.
    pub(super) fn digest(&self, dvipa: IpAddr) -> u64 {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let add = |hash: u64, bytes: &[u8]| bytes.iter().fold(hash, step);
        let hash = match dvipa {
            IpAddr::V4(v4) => add(0xcbf2_9ce4_8422_2325, &v4.octets()),
            IpAddr::V6(v6) => add(0xcbf2_9ce4_8422_2325, &v6.octets()),
        };
        let hash = add(hash, &self.epoch.round.to_be_bytes());
        add(add(hash, &[self.epoch.rank]), &self.incarnation.to_be_bytes())
    }
}
