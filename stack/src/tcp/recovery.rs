//! Where a connection stands in repairing losses: fast recovery with proportional rate reduction
//! (RFC 6937), recovery after a timeout, and what undoes either (RFC 4015, RFC 3708).

use crate::seq::SeqNum;
use crate::wire::tcp::SeqRange;

/// The phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// Fast recovery.
    Fast(ProportionalRate),
    /// After a retransmission timeout.
    Timeout(Forward),
}

/// RFC 6937, section 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProportionalRate {
    /// RecoverFS.
    flight: u32,
    /// prr_delivered.
    delivered: u32,
    /// prr_out.
    pub(super) out: u32,
}

impl ProportionalRate {
    pub(super) fn new(flight: u32) -> Self {
        ProportionalRate { flight: flight.max(1), delivered: 0, out: 0 }
    }

    /// How many bytes may be sent after an acknowledgment that delivered `delivered` bytes.
    /// `progress`: it moved SND.UNA and showed no new loss.
    pub(super) fn allowance(&mut self, delivered: u32, pipe: u32, threshold: u32, mss: u32, progress: bool) -> u32 {
        self.delivered = self.delivered.saturating_add(delivered);
        let allowance = if pipe > threshold {
            let share = (u64::from(self.delivered) * u64::from(threshold)).div_ceil(u64::from(self.flight));
            u32::try_from(share).unwrap_or(u32::MAX).saturating_sub(self.out)
        } else {
            let conservation = self.delivered.saturating_sub(self.out).max(delivered);
            // The slow start reduction bound only while it goes well (RFC 9937).
            let limit = if progress { conservation.saturating_add(mss) } else { conservation };
            limit.min(threshold - pipe)
        };
        // Entering recovery sends one segment in any case.
        if self.out == 0 { allowance.max(mss) } else { allowance }
    }
}

/// Where F-RTO stands after a timeout (RFC 5682).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forward {
    /// The timeout is taken for right.
    Off,
    /// The first segment was sent again; nothing came since.
    Waiting,
    /// That many new segments may go before anything else is sent again.
    Trying(u8),
}

/// A tail loss probe that is out (RFC 8985, section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TailProbe {
    /// TLP.end_seq.
    pub(super) end: SeqNum,
    /// TLP.is_retrans.
    pub(super) retransmission: bool,
}

/// What brings a window back after a reduction that was a mistake.
#[derive(Debug, Clone, Copy)]
pub(super) struct Undo {
    /// Congestion window and threshold before it.
    pub(super) windows: (u32, u32),
    /// SND.UNA at that time: what is below says nothing.
    pub(super) start: SeqNum,
    /// TSval of the first retransmission, once it was sent and as long as no acknowledgment has
    /// moved on: an older echo is for the original.
    pub(super) retransmitted: Option<u32>,
    /// Bytes retransmitted, less those that a DSACK told of: none left, none was needed (RFC 3708).
    pub(super) needed: Option<u32>,
}

impl Undo {
    pub(super) fn new(windows: (u32, u32), start: SeqNum) -> Self {
        Undo { windows, start, retransmitted: None, needed: None }
    }

    /// `bytes` were sent again, with this TSval if there are timestamps.
    pub(super) fn sent_again(&mut self, bytes: u32, stamp: Option<u32>) {
        if self.needed.is_none() {
            self.retransmitted = stamp;
        }
        self.needed = Some(self.needed.unwrap_or(0).saturating_add(bytes));
    }

    /// A DSACK came. Says whether by now all that was sent again had arrived before.
    pub(super) fn duplicate(&mut self, range: SeqRange) -> bool {
        match &mut self.needed {
            Some(needed) if range.start.after_eq(self.start) && *needed > 0 => {
                *needed = needed.saturating_sub(range.end - range.start);
                *needed == 0
            }
            _ => false,
        }
    }
}

/// The state.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) phase: Phase,
    /// SND.NXT when the phase began: acknowledged, the phase is over.
    pub(super) recover: SeqNum,
    /// Not there while nothing is lost.
    pub(super) undo: Option<Box<Undo>>,
    /// Fast recovery is for a congestion mark: nothing is known to be lost (RFC 3168).
    pub(super) marked: bool,
    /// Duplicate acknowledgments in a row, without SACK.
    pub(super) duplicates: u32,
    /// Bytes that they stand for.
    pub(super) duplicate_bytes: u32,
    pub(super) probe: Option<TailProbe>,
}

impl Recovery {
    pub(super) fn new(iss: SeqNum) -> Self {
        Recovery {
            phase: Phase::Open,
            recover: iss,
            undo: None,
            marked: false,
            duplicates: 0,
            duplicate_bytes: 0,
            probe: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(super) fn has_timed_out(&self) -> bool {
        matches!(self.phase, Phase::Timeout(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6937, section 4 (figure 1's numbers): 20 segments in flight, the first lost, threshold
    /// 10: one segment goes for two that arrive, and at the end the window is the threshold.
    #[test]
    fn sends_in_proportion_to_what_arrives() {
        let (mss, threshold) = (1000, 10_000);
        let mut prr = ProportionalRate::new(20 * mss);
        let mut pipe = 19 * mss;
        let mut sent = 0;
        for _ in 0..19 {
            pipe -= mss;
            let allowed = prr.allowance(mss, pipe, threshold, mss, false) / mss * mss;
            prr.out += allowed;
            pipe += allowed;
            sent += allowed;
        }
        assert_eq!(sent, 10 * mss);
        assert_eq!(pipe, 10 * mss);
    }
}
