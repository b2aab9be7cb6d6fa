//! RACK: loss detection by time (RFC 8985, section 6).

use core::time::Duration;

use super::rtt::Rtt;
use super::scoreboard::{Record, Scoreboard, Verdict};
use crate::seq::SeqNum;
use crate::time::Instant;

/// Recoveries for which a wider reordering window is kept.
const REO_WND_PERSIST: u8 = 16;
/// SACKed segments that stand for a loss while no reordering was seen.
pub(super) const DUP_THRESH: u32 = 3;
/// A reordering timer below this would fire before the receiver could have answered: drivers
/// hand packets over in batches.
const MIN_TIMER: Duration = Duration::from_millis(1);

/// Where RACK stands.
#[derive(Debug, Default)]
pub(super) struct Rack {
    /// The latest sent of all segments that were delivered, and when (RACK.segment, RACK.xmit_ts,
    /// RACK.end_seq).
    latest: Option<(Instant, SeqNum)>,
    /// RACK.rtt, in nanoseconds.
    rtt: u64,
    /// RACK.fack: the highest sequence number delivered.
    highest: Option<SeqNum>,
    reordering_seen: bool,
    /// The furthest that a range was overtaken, in bytes.
    extent: u32,
    /// By how much segments came late that were sent once: what a window would have had to be.
    /// In nanoseconds.
    lateness: u64,
    /// RACK.reo_wnd_mult, less one.
    extra_mult: u8,
    persist: u8,
    /// RACK.dsack_round.
    dsack_round: Option<SeqNum>,
}

fn nanos(time: Duration) -> u64 {
    // Half an hour is more than any RTT.
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 16)
}

/// `a` was sent after `b` (RFC 8985, section 5.1: RACK_sent_after).
fn sent_after(a: (Instant, SeqNum), b: (Instant, SeqNum)) -> bool {
    a.0 > b.0 || (a.0 == b.0 && a.1.after(b.1))
}

impl Rack {
    /// RACK.rtt.
    pub(super) fn rtt(&self) -> Duration {
        Duration::from_nanos(self.rtt)
    }

    /// Steps 1 to 3 for one range that was delivered. `echo_is_older`: the timestamp that came back
    /// was made before the range was sent last. `rtt_before`: RACK.rtt before the acknowledgment.
    pub(super) fn delivered(
        &mut self,
        now: Instant,
        record: &Record,
        rtt: &Rtt,
        echo_is_older: bool,
        rtt_before: Duration,
    ) {
        let sample = now.since(record.sent_at);
        // Step 2: an acknowledgment that may be for the first transmission says nothing.
        if record.retransmitted && (echo_is_older || rtt.minimum().is_some_and(|minimum| sample < minimum)) {
            return;
        }
        // Section 5.2: the RTT of what was delivered most recently. Of what one acknowledgment delivers
        // that is the last in the stream, as in Linux.
        self.rtt = nanos(sample);
        let sent = (record.sent_at, record.end);
        if self.latest.is_none_or(|latest| sent_after(sent, latest)) {
            self.latest = Some(sent);
        }
        // Step 3.
        match self.highest {
            Some(highest) if record.end.before(highest) => {
                if !record.retransmitted {
                    self.reordering_seen = true;
                    self.extent = self.extent.max(highest - record.start);
                    let late = nanos(sample.saturating_sub(rtt_before));
                    if late > self.lateness / 2 {
                        self.lateness = self.lateness.max(late);
                        self.persist = REO_WND_PERSIST;
                    }
                }
            }
            _ => self.highest = Some(record.end),
        }
    }

    /// The furthest that a segment was overtaken by others, in bytes.
    pub(super) fn reordering(&self) -> u32 {
        self.extent
    }

    /// A DSACK came: the window was too small (step 4).
    pub(super) fn dsack(&mut self, una: SeqNum, nxt: SeqNum) {
        if self.dsack_round.is_some_and(|round| una.after_eq(round)) {
            self.dsack_round = None;
        }
        if self.dsack_round.is_none() {
            self.dsack_round = Some(nxt);
            self.extra_mult = self.extra_mult.saturating_add(1).min(15);
            self.persist = REO_WND_PERSIST;
        }
    }

    /// A recovery is over (step 4).
    pub(super) fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.extra_mult = 0;
            self.lateness = 0;
        }
    }

    fn reordering_window(&self, rtt: &Rtt, in_recovery: bool, sacked_segments: u32) -> Duration {
        if !self.reordering_seen && (in_recovery || sacked_segments >= DUP_THRESH) {
            return Duration::ZERO;
        }
        let minimum = rtt.minimum().unwrap_or_default();
        let window = minimum * (u32::from(self.extra_mult) + 1) / 4;
        // What was seen tells more than a part of the smallest RTT, which itself may be that of a
        // segment that overtook all others.
        let window = window.max(Duration::from_nanos(self.lateness + self.lateness / 8));
        window.min(rtt.smoothed().unwrap_or(window))
    }

    /// Step 5: takes for lost what was sent long enough before the latest arrivals. Returns the
    /// bytes, and when to look again.
    pub(super) fn detect(
        &self,
        now: Instant,
        board: &mut Scoreboard,
        rtt: &Rtt,
        in_recovery: bool,
        mss: u32,
    ) -> (u32, Option<Instant>) {
        let Some(latest) = self.latest else { return (0, None) };
        let window = self.reordering_window(rtt, in_recovery, board.sacked() / mss.max(1));
        let mut again: Option<Instant> = None;
        let bytes = board.judge(|record| {
            if !sent_after(latest, (record.sent_at, record.end)) {
                // What follows one that was sent once was sent first after it, and so again.
                return if record.retransmitted { Verdict::Kept } else { Verdict::Over };
            }
            let due = record.sent_at + self.rtt() + window;
            if due <= now {
                return Verdict::Lost;
            }
            again = Some(again.map_or(due, |again| again.max(due)));
            Verdict::Kept
        });
        (bytes, again.map(|due| due.max(now + MIN_TIMER)))
    }

    /// Section 6.3: what to take for lost at a retransmission timeout.
    pub(super) fn mark_lost_on_timeout(&self, now: Instant, board: &mut Scoreboard, una: SeqNum, rtt: &Rtt) {
        let window = self.reordering_window(rtt, true, 0);
        board.mark_lost(|record| record.start == una || record.sent_at + self.rtt() + window <= now);
    }
}
