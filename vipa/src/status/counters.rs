//! What is counted.

use crate::action::DropReason;

/// What was counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets for DVIPAs that this stack took in.
    pub local: u64,
    /// Packets forwarded over XCF.
    pub forwarded: u64,
    /// Packets answered as by a closed port (R6, R20).
    pub reset: u64,
    /// Packets that were held (R1).
    pub held: u64,
    /// Connections whose holder was asked for (R1).
    pub asked: u64,
    /// Reports that an audit brought about (R15).
    pub repaired: u64,
    /// Half-open entries that expired (R5).
    pub expired: u64,
    /// Half-open entries that gave way to newer ones (R5).
    pub evicted: u64,
    /// Connections for which the CRT had no room.
    pub refused: u64,
    /// Datagrams and messages of an unknown kind, version or sender (D7).
    pub unknown: u64,
    /// Messages of a known kind that made no sense.
    pub malformed: u64,
    /// Control datagrams of former lives and sessions (R14).
    pub stale: u64,
    /// Times a peer's silence was excused, as its host did not let it run.
    pub excused: u64,
    /// Control datagrams that were sent, those sent again among them.
    pub control_sent: u64,
    /// Their bytes, without what XCF adds to carry them.
    pub control_sent_bytes: u64,
    /// Heartbeats among them.
    pub heartbeats_sent: u64,
    /// Their bytes.
    pub heartbeats_sent_bytes: u64,
    /// Control datagrams that came in, whatever became of them.
    pub control_received: u64,
    /// Their bytes.
    pub control_received_bytes: u64,
    dropped: [u64; DropReason::COUNT],
}

impl Counters {
    pub(crate) fn drop(&mut self, reason: DropReason, count: u64) {
        self.dropped[reason as usize] += count;
    }

    /// Packets dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Every reason and how many packets were dropped for it.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.into_iter().map(|reason| (reason, self.dropped(reason)))
    }
}
