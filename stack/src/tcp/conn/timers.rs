//! What is due, and what then.

use core::time::Duration;

use super::output::Probe;
use super::{AckDue, Connection, Context, State};
use crate::tcp::event::CloseReason;
use crate::tcp::piece::Memory;
use crate::tcp::recovery::{Forward, Phase, Undo};
use crate::time::Instant;

/// A tail loss probe waits at least this long: drivers hand packets over in batches.
const MIN_PROBE_DELAY: Duration = Duration::from_millis(2);
/// What a probe waits for a delayed acknowledgment of a single segment (RFC 8985, 7.2: WCDelAckT).
const WORST_DELAYED_ACK: Duration = Duration::from_millis(200);

/// A peer that answers does so to each retransmission; they come at least this often (RFC 6298, 2.5, as Linux has it).
const SHUT_OUT: Duration = Duration::from_secs(120);

/// Deadlines; `FAR_FUTURE` is "not set".
#[derive(Debug)]
pub(super) struct Timers {
    /// RTO (RFC 6298), of a SYN too.
    pub(super) retransmit: Instant,
    /// Tail loss probe (RFC 8985, 7.2).
    pub(super) tail_probe: Instant,
    /// RACK's reordering timer (RFC 8985, 6.2).
    pub(super) reorder: Instant,
    /// Zero window probe (RFC 9293, 3.8.6.1).
    pub(super) persist: Instant,
    pub(super) delayed_ack: Instant,
    pub(super) keepalive: Instant,
    /// User timeout (RFC 9293, 3.10.8; RFC 5482).
    pub(super) user: Instant,
    /// When the pace allows the next packet.
    pub(super) pace: Instant,
    /// End of FIN_WAIT_2 or of lingering, once the application has closed.
    pub(super) lifetime: Instant,
}

const OFF: Instant = Instant::FAR_FUTURE;

impl Default for Timers {
    fn default() -> Self {
        Timers {
            retransmit: OFF,
            tail_probe: OFF,
            reorder: OFF,
            persist: OFF,
            delayed_ack: OFF,
            keepalive: OFF,
            user: OFF,
            pace: OFF,
            lifetime: OFF,
        }
    }
}

impl Timers {
    fn next(&self) -> Instant {
        let Timers { retransmit, tail_probe, reorder, persist, delayed_ack, keepalive, user, pace, lifetime } = *self;
        let loss = retransmit.min(tail_probe).min(reorder).min(persist);
        loss.min(delayed_ack).min(keepalive).min(user).min(pace).min(lifetime)
    }
}

/// If `timer` is due: turns it off and says so.
fn take(timer: &mut Instant, now: Instant) -> bool {
    let due = *timer <= now;
    if due {
        *timer = OFF;
    }
    due
}

impl Connection {
    /// The next deadline; `FAR_FUTURE` if there is none.
    pub(in crate::tcp) fn next_deadline(&self) -> Instant {
        self.timers.next()
    }

    /// Does what is due. Whether it leaves something to send shows at the next turn.
    pub(in crate::tcp) fn handle_timeout(&mut self, now: Instant, cx: &mut Context<'_>, memory: &mut Memory<'_>) {
        if take(&mut self.timers.user, now) {
            return self.time_out(now, cx, memory);
        }
        if take(&mut self.timers.lifetime, now) {
            return self.lifetime_over(now, cx, memory);
        }
        if take(&mut self.timers.delayed_ack, now) && self.ack_due == AckDue::Delayed {
            self.ack_due = AckDue::Now;
            // No data came to ride on.
            self.interactive = false;
            cx.counters.delayed_acks += 1;
        }
        take(&mut self.timers.pace, now);
        if take(&mut self.timers.reorder, now) {
            let flight = self.board.outstanding();
            self.detect_losses(now, 0, false, flight, cx);
        }
        if take(&mut self.timers.tail_probe, now) && !self.board.is_empty() {
            self.probe_due = Some(Probe::Tail);
            // RFC 8985, 7.3: RTO runs from the probe.
            self.timers.retransmit = now + self.rtt.timeout(cx.config);
        }
        if take(&mut self.timers.persist, now) {
            self.persist(now, cx, memory);
        }
        if take(&mut self.timers.keepalive, now) {
            self.keep_alive(now, cx, memory);
        }
        if take(&mut self.timers.retransmit, now) {
            self.retransmission_timeout(now, cx, memory);
        }
    }

    fn max_retries(&self, cx: &Context<'_>) -> u8 {
        match self.state {
            State::SynSent => cx.config.syn_retries,
            State::SynReceived => cx.config.syn_ack_retries,
            _ if !self.held => cx.config.orphan_retries,
            _ => cx.config.retries,
        }
    }

    /// RFC 9293, 3.8.6.1 (MUST-37): the peer is there, and has shut its window over what is in flight. Its
    /// answers acknowledge nothing, for as long as it likes.
    fn is_shut_out(&self, now: Instant) -> bool {
        self.held && self.state.is_synchronized() && self.snd.wnd == 0 && now.since(self.last_heard) < SHUT_OUT
    }

    /// RFC 6298, section 5, steps 5.4 to 5.6, and RFC 8985, 6.3.
    fn retransmission_timeout(&mut self, now: Instant, cx: &mut Context<'_>, memory: &mut Memory<'_>) {
        let opening = matches!(self.state, State::SynSent | State::SynReceived);
        if !opening && self.board.is_empty() {
            // There was no route when data was to go; the next turn tries again.
            return;
        }
        let first_of_episode = self.retries == 0;
        if first_of_episode || !self.is_shut_out(now) {
            self.retries = self.retries.saturating_add(1);
        }
        if self.retries > self.max_retries(cx) {
            return self.time_out(now, cx, memory);
        }
        cx.counters.timeouts += 1;
        if opening {
            self.syn_due = true;
            self.rtt.back_off();
            self.timers.retransmit = now + self.rtt.timeout(cx.config);
            return;
        }
        if self.board.first_is_sacked() {
            self.board.renege();
        }
        let Self { board, recovery, congestion, .. } = self;
        if !recovery.has_timed_out() || first_of_episode {
            // RFC 5681, 3.1: the threshold comes down once for a segment, not at each timeout.
            if !recovery.has_timed_out() {
                recovery.undo = Some(Box::new(Undo::new(congestion.snapshot(), self.snd.una)));
            }
            congestion.congestion_event(now, board.outstanding());
            self.ecn.reduced(self.snd.nxt);
        } else {
            recovery.undo = None;
        }
        recovery.duplicates = 0;
        recovery.duplicate_bytes = 0;
        recovery.probe = None;
        recovery.marked = false;
        // RFC 5682, 2.1, step 1: for the first timeout of a segment.
        recovery.phase = Phase::Timeout(if recovery.undo.is_some() { Forward::Waiting } else { Forward::Off });
        recovery.recover = self.snd.nxt;
        if self.sack {
            self.rack.mark_lost_on_timeout(now, board, self.snd.una, &self.rtt);
        } else {
            board.mark_lost(|_| true);
        }
        congestion.timed_out(board.in_flight());
        self.suspect_mtu(now, cx);
        self.rtt.back_off();
        self.timers.tail_probe = OFF;
        self.timers.reorder = OFF;
        self.timers.retransmit = now + self.rtt.timeout(cx.config);
    }

    /// RFC 6298, 5.1 to 5.3: after data was sent (`restart` false) or acknowledged (true).
    pub(super) fn arm_retransmission(&mut self, now: Instant, restart: bool, cx: &Context<'_>) {
        if self.board.is_empty() {
            self.timers.retransmit = OFF;
            self.timers.tail_probe = OFF;
            self.timers.reorder = OFF;
            return;
        }
        if restart || self.timers.retransmit == OFF {
            self.timers.retransmit = now + self.rtt.timeout(cx.config);
        }
    }

    /// RFC 8985, 7.2: after new data was sent, or acknowledged in order.
    pub(super) fn arm_tail_probe(&mut self, now: Instant) {
        self.timers.tail_probe = OFF;
        if !self.sack || !self.recovery.is_open() || self.board.is_empty() || self.board.sacked() > 0 {
            return;
        }
        if self.recovery.probe.is_some() {
            return;
        }
        let Some(smoothed) = self.rtt.smoothed() else { return };
        let mut delay = 2 * smoothed + MIN_PROBE_DELAY;
        if self.in_flight() <= self.snd.mss {
            delay += WORST_DELAYED_ACK;
        }
        // RFC 8985, 7.2: where RTO would come first, the probe goes in its place.
        self.timers.tail_probe = (now + delay).min(self.timers.retransmit);
    }

    /// RFC 9293, 3.8.6.1: data waits, nothing is in flight, and the window keeps it back.
    pub(super) fn arm_persist(&mut self, now: Instant, cx: &Context<'_>) {
        if self.timers.persist == OFF {
            self.timers.persist = now + self.rtt.timeout(cx.config);
        }
    }

    fn persist(&mut self, now: Instant, cx: &mut Context<'_>, memory: &mut Memory<'_>) {
        self.retries = self.retries.saturating_add(1);
        if self.retries > self.max_retries(cx) {
            return self.time_out(now, cx, memory);
        }
        self.rtt.back_off();
        self.probe_due = Some(Probe::Window);
    }

    /// RFC 9293, 3.8.4.
    fn keep_alive(&mut self, now: Instant, cx: &mut Context<'_>, memory: &mut Memory<'_>) {
        let quiet = now.since(self.last_heard);
        let idle = self.board.is_empty() && self.send.len() == 0;
        let synchronized = self.state.is_synchronized();
        let Some(keepalive) = &mut self.keepalive else { return };
        if !idle || !synchronized || quiet < keepalive.settings.idle {
            keepalive.unanswered = 0;
            let at = self.last_heard + keepalive.settings.idle;
            self.timers.keepalive = if at > now { at } else { now + keepalive.settings.idle };
            return;
        }
        if keepalive.unanswered >= keepalive.settings.count {
            return self.time_out(now, cx, memory);
        }
        keepalive.unanswered += 1;
        self.timers.keepalive = now + keepalive.settings.interval;
        self.probe_due = Some(Probe::Keepalive);
        cx.counters.keepalives += 1;
    }

    /// Starts, or stops, keepalive by its settings.
    pub(super) fn arm_keepalive(&mut self, now: Instant) {
        self.timers.keepalive = match &self.keepalive {
            Some(keepalive) => now + keepalive.settings.idle,
            None => OFF,
        };
    }

    /// RFC 5482: the user timeout runs while something is not acknowledged.
    pub(super) fn arm_user_timeout(&mut self, now: Instant, progress: bool) {
        let waits = !self.board.is_empty() || self.send.len() > 0 || !self.state.is_synchronized();
        match self.limits.as_ref().and_then(|limits| limits.user_timeout) {
            Some(limit) if waits => {
                if progress || self.timers.user == OFF {
                    self.timers.user = now + limit;
                }
            }
            _ => self.timers.user = OFF,
        }
    }

    fn time_out(&mut self, now: Instant, cx: &mut Context<'_>, memory: &mut Memory<'_>) {
        cx.counters.abort_on_timeout += 1;
        self.reset_peer(now, cx);
        self.fail(CloseReason::TimedOut, memory);
    }

    fn lifetime_over(&mut self, now: Instant, cx: &mut Context<'_>, memory: &mut Memory<'_>) {
        if self.state == State::FinWait2 {
            // The peer has all our data and does not close; nobody waits here (as Linux does).
            self.fail(CloseReason::TimedOut, memory);
        } else {
            self.reset_peer(now, cx);
            self.fail(CloseReason::Aborted, memory);
        }
    }

    /// Stops everything.
    pub(super) fn stop_timers(&mut self) {
        self.timers = Timers::default();
    }
}
