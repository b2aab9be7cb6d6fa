//! What an acknowledgment changes on the sending side.

use core::time::Duration;

use super::{Connection, Context, State, TimestampState};
use crate::seq::SeqNum;
use crate::tcp::congestion::{Acked, Delivery};
use crate::tcp::piece::Memory;
use crate::tcp::rack::DUP_THRESH;
use crate::tcp::recovery::{Forward, Phase, ProportionalRate, Undo};
use crate::tcp::scoreboard::Record;
use crate::time::Instant;
use crate::wire::tcp::{Segment, SeqRange};

/// A timestamp echo older than this is not from this connection's segments.
const MAX_ECHO_AGE_MS: u32 = 3_600_000;

/// What an acknowledgment delivered.
#[derive(Default)]
struct Delivered {
    bytes: u32,
    /// The RTT sample: the age of the oldest range, if all were sent once. If a repaired loss is
    /// among them, the others may have waited for it at the receiver; then the age of what was
    /// retransmitted counts, if the timestamp tells which transmission is answered.
    sample: Option<Duration>,
    /// Age of the newest range, if all were sent once.
    newest: Option<Duration>,
    dsack: bool,
    /// Something arrived that was sent once, before the last timeout.
    original: bool,
    /// Nothing of what was sent again since the window came down was needed.
    unneeded: bool,
}

impl Connection {
    /// RFC 9293, 3.10.7.4, fifth: the part for an acknowledgment between SND.UNA and SND.NXT.
    pub(super) fn acknowledged(
        &mut self,
        now: Instant,
        segment: &Segment,
        cx: &mut Context<'_>,
        memory: &mut Memory<'_>,
    ) {
        self.release_more();
        let before = self.snd.una;
        let ack = segment.ack.latest(before);
        let advanced = ack - before;
        let had_flight = !self.board.is_empty();
        let cwnd_limited = self.uses_window();
        let prior_in_flight = self.board.in_flight();
        let delivered = self.deliver(now, ack, segment, cx);

        if advanced > 0 {
            self.snd.una = ack;
            self.send.consume(advanced as usize, memory.chunks);
            self.forget_small();
            self.retries = 0;
        } else if !had_flight && self.held {
            // A probe was answered. Such a peer may keep the window shut for ever (RFC 9293, 3.8.6.1, MUST-37), but
            // not if its connection was left by the application: it would keep the memory too.
            self.retries = 0;
        }
        if advanced > 0 {
            self.mtu_acknowledged(now, advanced, cx);
        }
        let window_changed = !segment.ack.before(before) && self.update_window(segment);
        if !had_flight {
            if window_changed && self.snd.wnd > 0 {
                // Until then probes come at growing intervals.
                self.retries = 0;
                self.rtt.reset_backoff();
            }
            return;
        }
        if delivered.bytes > 0 {
            self.rtt.reset_backoff();
        }
        if let Some(sample) = delivered.sample {
            self.rtt.sample(now, sample);
        }
        if advanced > 0 {
            self.arm_user_timeout(now, true);
        }
        let duplicate = advanced == 0
            && segment.ack == before
            && segment.sequence_len() == 0
            && !window_changed
            && !self.board.is_empty();
        self.tail_probe_acknowledged(now, ack, advanced, delivered.dsack);
        let flight = self.snd.nxt - before;
        let lost = self.recover(now, &delivered, (advanced, flight), duplicate, segment, cx);
        self.echoed(now, segment, flight);

        if self.congestion.models_path() && delivered.bytes > 0 {
            self.congestion.model(&Delivery {
                now,
                rtt: delivered.newest,
                bytes: delivered.bytes,
                lost,
                in_flight: self.in_flight(),
                prior_in_flight,
                minimum_rtt: self.rtt.minimum(),
                recovering: !self.recovery.is_open() && !self.recovery.marked,
            });
        } else if advanced > 0 && delivered.bytes > 0 && cwnd_limited && !matches!(self.recovery.phase, Phase::Fast(_))
        {
            self.congestion.acked(&Acked {
                now,
                bytes: delivered.bytes,
                una: self.snd.una,
                nxt: self.snd.nxt,
                rtt: delivered.newest,
                smoothed_rtt: self.rtt.smoothed().unwrap_or_default(),
            });
        }
        if !self.snd.limit_fixed {
            let wanted = self.congestion.window().saturating_mul(2).min(cx.config.max_send);
            self.snd.limit = self.snd.limit.max(wanted);
        }
        // RFC 6298, 5.2 and 5.3.
        if advanced > 0 || self.board.is_empty() {
            self.arm_retransmission(now, true, cx);
            self.arm_tail_probe(now);
        }
    }

    /// Whether the congestion window is what holds sending back, so that it may grow (RFC 5681, 3.1;
    /// RFC 7661, 4.2: in slow start it is validated while half of it is used).
    fn uses_window(&self) -> bool {
        self.snd.cwnd_limited
            || (self.congestion.in_slow_start() && self.congestion.window() / 2 < self.snd.round_flight)
    }

    /// Applies the cumulative acknowledgment and the SACK blocks to the scoreboard.
    fn deliver(&mut self, now: Instant, ack: SeqNum, segment: &Segment, cx: &mut Context<'_>) -> Delivered {
        let mut delivered = Delivered::default();
        let Self { board, rack, rtt, recovery, timestamps, snd, congestion, .. } = self;
        let echo = timestamps.and(segment.options.timestamps).map(|option| option.echo);
        let offset = timestamps.map_or(0, |state| state.offset);
        let blocks = if self.sack { segment.options.sack.as_slice() } else { &[] };
        if let [first, rest @ ..] = blocks {
            // RFC 2883, section 4: the first block tells of a duplicate.
            let within = |outer: &SeqRange| first.start.after_eq(outer.start) && first.end.before_eq(outer.end);
            delivered.dsack = first.end.before_eq(segment.ack) || rest.first().is_some_and(within);
            if delivered.dsack {
                cx.counters.dsack_received += 1;
                rack.dsack(ack, snd.nxt);
                // RFC 3708: all that was sent again had arrived.
                delivered.unneeded = recovery.undo.as_mut().is_some_and(|undo| undo.duplicate(*first));
            }
        }
        let rack_rtt = rack.rtt();
        let mut oldest = None;
        let mut repaired = false;
        let mut original = false;
        let mut retransmission = None;
        let clock = TimestampState::clock(offset, now);
        let mut newest: Option<Duration> = None;
        let mut note = |record: &Record| {
            // RFC 8985, 6.2, step 2: the echo tells which transmission this answers.
            let echo_is_older =
                echo.is_some_and(|echo| SeqNum(echo).before(SeqNum(TimestampState::clock(offset, record.sent_at))));
            rack.delivered(now, record, rtt, echo_is_older, rack_rtt);
            congestion.arrived(now, record.len(), record.state, record.sent_at);
            let age = now.since(record.sent_at);
            if !record.retransmitted {
                original |= record.end.before_eq(recovery.recover);
                oldest.get_or_insert(age);
                newest = Some(newest.map_or(age, |newest| newest.min(age)));
                return;
            }
            repaired = true;
            let since_echo = echo.filter(|&echo| echo != 0).map(|echo| clock.wrapping_sub(echo));
            match since_echo {
                Some(_) if !echo_is_older => retransmission = Some(age),
                // Too early for an answer to the retransmission: the original was slow.
                Some(ms) if rtt.minimum().is_some_and(|minimum| age < minimum) && ms < MAX_ECHO_AGE_MS => {
                    retransmission = Some(Duration::from_millis(u64::from(ms)));
                }
                _ => {}
            }
        };
        delivered.bytes = board.acknowledge(ack, &mut note);
        // From the left, so that what one acknowledgment tells of does not look reordered.
        let mut ascending = segment.options.sack;
        ascending.sort();
        for block in &ascending.as_slice()[..blocks.len()] {
            let valid = block.start.before(block.end) && block.start.after(ack) && block.end.before_eq(snd.nxt);
            if valid {
                delivered.bytes += board.sack(*block, snd.mss, &mut note);
            }
        }
        if !self.sack && ack.after(snd.una) {
            // One segment filled the hole; the others duplicates have counted already.
            let counted = (ack - snd.una).saturating_sub(snd.mss).min(recovery.duplicate_bytes);
            recovery.duplicate_bytes = if recovery.is_open() { 0 } else { recovery.duplicate_bytes - counted };
            delivered.bytes = delivered.bytes.saturating_sub(counted);
        }
        delivered.original = original;
        delivered.sample = if repaired { retransmission } else { oldest };
        delivered.newest = if repaired { None } else { newest };
        delivered
    }

    /// RFC 9293, 3.10.7.4: SND.WND, SND.WL1, SND.WL2. Says whether the window changed.
    pub(super) fn update_window(&mut self, segment: &Segment) -> bool {
        let newer =
            self.snd.wl1.before(segment.seq) || (self.snd.wl1 == segment.seq && self.snd.wl2.before_eq(segment.ack));
        if !newer {
            return false;
        }
        let shift = if segment.flags.syn() { 0 } else { self.snd.shift };
        let window = u32::from(segment.window) << shift;
        let changed = window != self.snd.wnd;
        self.snd.wnd = window;
        self.snd.wl1 = segment.seq;
        self.snd.wl2 = segment.ack;
        self.snd.max_wnd = self.snd.max_wnd.max(window);
        if changed {
            self.timers.persist = Instant::FAR_FUTURE;
        }
        changed
    }

    /// RFC 8985, 7.4.
    fn tail_probe_acknowledged(&mut self, now: Instant, ack: SeqNum, advanced: u32, dsack: bool) {
        let Some(probe) = self.recovery.probe else { return };
        if ack.before(probe.end) {
            return;
        }
        if !probe.retransmission || dsack {
            self.recovery.probe = None;
        } else if ack.after(probe.end) {
            // The probe repaired a loss that nothing else showed.
            self.recovery.probe = None;
            if self.recovery.is_open() {
                self.congestion.congestion_event(now, self.board.outstanding().saturating_add(advanced));
                let threshold = self.congestion.threshold();
                self.congestion.set_window(threshold);
            }
        } else if advanced == 0 {
            // Original and probe have both arrived.
            self.recovery.probe = None;
        }
    }

    fn recover(
        &mut self,
        now: Instant,
        delivered: &Delivered,
        (advanced, flight): (u32, u32),
        duplicate: bool,
        segment: &Segment,
        cx: &mut Context<'_>,
    ) -> u32 {
        let mut delivered_bytes = delivered.bytes;
        if !self.sack {
            if advanced > 0 {
                self.recovery.duplicates = 0;
            } else if duplicate {
                self.recovery.duplicates = self.recovery.duplicates.saturating_add(1);
                let counted = self.recovery.duplicate_bytes.saturating_add(self.snd.mss);
                self.recovery.duplicate_bytes = counted.min(self.board.in_flight());
                delivered_bytes += self.snd.mss;
            }
        }
        let spurious = advanced > 0 && !self.recovery.is_open() && self.was_spurious(segment);
        let spurious = spurious || self.forward_acknowledgment(delivered, advanced, duplicate);
        if spurious || delivered.unneeded {
            self.undo_recovery(cx);
            return 0;
        }
        let over = advanced > 0 && self.snd.una.after_eq(self.recovery.recover);
        match self.recovery.phase {
            Phase::Fast(_) if over => {
                let threshold = self.congestion.threshold();
                self.congestion.set_window(threshold);
                self.end_recovery();
            }
            Phase::Timeout(_) if over => self.end_recovery(),
            _ => {}
        }
        if !self.sack {
            let mss = self.snd.mss;
            match self.recovery.phase {
                // RFC 6582, 3.2, step 2: not for duplicates of what a timeout sent again.
                Phase::Open
                    if duplicate
                        && self.recovery.duplicates == DUP_THRESH
                        && self.snd.una.after_eq(self.recovery.recover) =>
                {
                    self.board.mark_first_lost(mss);
                    self.enter_fast_recovery(now, flight, cx);
                }
                // The window is down for a mark, and now something is lost as well.
                Phase::Fast(_) if self.recovery.marked && duplicate && self.recovery.duplicates == DUP_THRESH => {
                    self.board.mark_first_lost(mss);
                    self.lost_behind_mark(cx);
                }
                // Step 3: a partial acknowledgment shows the next loss.
                Phase::Fast(_) if advanced > 0 && !self.recovery.marked => self.board.mark_first_lost(mss),
                _ => {}
            }
        }
        let lost = self.detect_losses(now, delivered_bytes, advanced > 0, flight, cx);
        if self.recovery.is_open() && over {
            // Kept close, so that it never lies half the sequence space behind.
            self.recovery.recover = self.snd.una;
        }
        lost
    }

    /// RACK, and the window in fast recovery. Also when the reordering timer fires. `flight` is
    /// what was out before this acknowledgment. Returns the bytes found lost.
    pub(super) fn detect_losses(
        &mut self,
        now: Instant,
        delivered: u32,
        progress: bool,
        flight: u32,
        cx: &mut Context<'_>,
    ) -> u32 {
        let mut new_loss = 0;
        self.timers.reorder = Instant::FAR_FUTURE;
        let watch = self.board.sacked() > 0 || !self.recovery.is_open();
        if self.sack && watch && !self.board.is_empty() {
            let open = self.recovery.is_open();
            let repairing = !open && !self.recovery.marked;
            let (lost, again) = self.rack.detect(now, &mut self.board, &self.rtt, repairing, self.snd.mss);
            new_loss = lost;
            if let Some(at) = again {
                self.timers.reorder = at;
            }
            if lost > 0 && self.mtu.is_some() && self.is_probe_lost(lost, cx) {
                new_loss = 0;
            } else if lost > 0 && open {
                self.enter_fast_recovery(now, flight, cx);
            } else if lost > 0 && self.recovery.marked {
                self.lost_behind_mark(cx);
            }
        }
        let pipe = self.in_flight();
        if let Phase::Fast(rate) = &mut self.recovery.phase {
            let threshold = self.congestion.threshold();
            let allowance = rate.allowance(delivered, pipe, threshold, self.snd.mss, progress && new_loss == 0);
            self.congestion.set_window(pipe.saturating_add(allowance));
        }
        new_loss
    }

    /// A loss in the round trip after a mark (RFC 3168): the window is down already.
    fn lost_behind_mark(&mut self, cx: &mut Context<'_>) {
        self.recovery.marked = false;
        self.recovery.recover = self.snd.nxt;
        cx.counters.fast_recoveries += 1;
    }

    /// RFC 6675, section 5, step 4.
    fn enter_fast_recovery(&mut self, now: Instant, flight: u32, cx: &mut Context<'_>) {
        cx.counters.fast_recoveries += 1;
        self.recovery.undo = Some(Box::new(Undo::new(self.congestion.snapshot(), self.snd.una)));
        self.congestion.congestion_event(now, flight);
        self.ecn.reduced(self.snd.nxt);
        self.recovery.phase = Phase::Fast(ProportionalRate::new(flight));
        self.recovery.recover = self.snd.nxt;
        self.recovery.probe = None;
        self.timers.tail_probe = Instant::FAR_FUTURE;
    }

    /// A DSACK may still undo what this recovery did.
    fn end_recovery(&mut self) {
        self.recovery.phase = Phase::Open;
        self.recovery.marked = false;
        self.recovery.duplicates = 0;
        self.recovery.duplicate_bytes = 0;
        self.rack.recovered();
    }

    /// RFC 3522 (Eifel detection): the first acknowledgment that moves on echoes a timestamp from
    /// before the retransmission, so it answers the original.
    fn was_spurious(&mut self, segment: &Segment) -> bool {
        // Only the first acknowledgment tells.
        let sent = self.recovery.undo.as_mut().and_then(|undo| undo.retransmitted.take());
        let echo = self.timestamps.and(segment.options.timestamps).map(|option| option.echo);
        matches!((sent, echo), (Some(sent), Some(echo)) if SeqNum(echo).before(SeqNum(sent)))
    }

    /// F-RTO (RFC 5682, sections 2.1 and 3.1): says whether a timeout was spurious, for what was
    /// sent once, before it, arrives after it.
    fn forward_acknowledgment(&mut self, delivered: &Delivered, advanced: u32, duplicate: bool) -> bool {
        let covered = self.snd.una.after_eq(self.recovery.recover);
        let Phase::Timeout(forward) = &mut self.recovery.phase else { return false };
        if *forward != Forward::Off && delivered.original {
            return true;
        }
        *forward = match *forward {
            // Step 2b: two new segments, to see what their acknowledgments say.
            Forward::Waiting if advanced > 0 && !covered => Forward::Trying(2),
            // Steps 2a and 3a: the timeout was right.
            Forward::Waiting if duplicate || covered => Forward::Off,
            Forward::Trying(_) if duplicate || delivered.bytes > 0 => Forward::Off,
            same => same,
        };
        false
    }

    /// RFC 4015.
    fn undo_recovery(&mut self, cx: &mut Context<'_>) {
        if self.recovery.has_timed_out() {
            cx.counters.spurious_rtos += 1;
        }
        if let Some(undo) = self.recovery.undo.take() {
            cx.counters.undone += 1;
            self.congestion.undo(undo.windows);
        }
        self.board.unmark_lost();
        self.end_recovery();
    }

    /// RFC 5927, section 4.1: only an error about a segment that is out is believed.
    pub(in crate::tcp) fn is_outstanding(&self, seq: SeqNum) -> bool {
        seq.after_eq(self.snd.una) && seq.before(self.snd.nxt)
    }

    /// Whether our SYN was refused by an ICMP error that is hard while connecting.
    pub(in crate::tcp) fn is_connecting(&self) -> bool {
        matches!(self.state, State::SynSent | State::SynReceived)
    }
}
