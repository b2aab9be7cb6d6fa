//! Segment arrives: RFC 9293, section 3.10.7, in its order.

use core::time::Duration;

use super::{AckDue, Connection, Context, Fin, State, TimestampState};
use crate::packet::Packet;
use crate::seq::SeqNum;
use crate::tcp::chunk::ChunkPool;
use crate::tcp::config::MAX_WINDOW_SHIFT;
use crate::tcp::event::CloseReason;
use crate::tcp::piece::Memory;
use crate::time::Instant;
use crate::wire::tcp::{Flags, Segment};

/// RFC 7323, 5.5: a timestamp older than this says nothing.
const TIMESTAMP_LIFETIME: Duration = Duration::from_secs(24 * 24 * 3600);

impl Connection {
    /// Takes a segment of this connection in.
    pub(in crate::tcp) fn segment_arrives(
        &mut self,
        now: Instant,
        segment: &Segment,
        packet: Packet,
        cx: &mut Context<'_>,
        memory: &mut Memory<'_>,
    ) {
        if self.state == State::SynSent {
            self.syn_sent(now, segment, cx, memory);
            memory.pool.give(packet);
            return;
        }
        let crossed;
        let segment = if self.is_crossed_syn_ack(segment) {
            // Figure 8 of RFC 9293, line 6: the other SYN,ACK of a simultaneous open. Its SYN is
            // known; the rest is an acknowledgment.
            crossed = Segment { seq: segment.seq + 1, flags: segment.flags.without(Flags::SYN), ..segment.clone() };
            &crossed
        } else {
            segment
        };
        if let Some(packet) = self.synchronized(now, segment, packet, cx, memory) {
            memory.pool.give(packet);
        }
        if self.state == State::FinWait2 && !self.held && self.timers.lifetime == Instant::FAR_FUTURE {
            self.timers.lifetime = now + self.fin_wait_2(cx);
        }
    }

    fn is_crossed_syn_ack(&self, segment: &Segment) -> bool {
        self.state == State::SynReceived
            && segment.flags.syn()
            && segment.flags.ack()
            && !segment.flags.rst()
            && segment.seq == self.rcv.irs
            && segment.ack == self.snd.iss + 1
    }

    /// RFC 9293, 3.10.7.3: SYN-SENT STATE.
    fn syn_sent(&mut self, now: Instant, segment: &Segment, cx: &mut Context<'_>, memory: &mut Memory<'_>) {
        let flags = segment.flags;
        // First, check the ACK bit.
        let acceptable = flags.ack() && segment.ack.after(self.snd.iss) && segment.ack.before_eq(self.snd.nxt);
        if flags.ack() && !acceptable {
            cx.replies.reset(segment, cx.counters);
            return;
        }
        // Second, check the RST bit.
        if flags.rst() {
            if acceptable {
                cx.counters.attempt_fails += 1;
                self.fail(CloseReason::Refused, memory);
            }
            return;
        }
        // Fourth, check the SYN bit.
        if !flags.syn() {
            return;
        }
        self.rcv.irs = segment.seq;
        self.rcv.nxt = segment.seq + 1;
        self.rcv.acked = self.rcv.nxt;
        // The window that our SYN told, from its own place in sequence space.
        self.rcv.edge = self.rcv.nxt + self.rcv.limit.min(u32::from(u16::MAX));
        self.last_heard = now;
        self.rcv.last_data = now;
        self.negotiate(now, segment);
        if acceptable {
            self.snd.una = segment.ack;
            if self.retries == 0 {
                self.rtt.sample(now, now.since(self.snd.last_sent));
            } else {
                self.congestion.syn_was_lost();
            }
            self.establish(now, segment);
            self.ack_due = AckDue::Now;
        } else {
            // Simultaneous open: a SYN,ACK goes.
            self.state = State::SynReceived;
            self.syn_due = true;
            self.retries = 0;
        }
        // Data on a SYN is left for the peer to send again: it is not acknowledged.
    }

    /// What the peer's SYN offers.
    fn negotiate(&mut self, now: Instant, segment: &Segment) {
        let options = &segment.options;
        if let Some(mss) = options.mss {
            self.snd.peer_mss = mss;
        }
        match options.window_scale {
            Some(shift) if self.scaling => self.snd.shift = shift.min(MAX_WINDOW_SHIFT),
            _ => {
                self.scaling = false;
                self.rcv.shift = 0;
            }
        }
        self.sack = self.sack && options.sack_permitted;
        self.ecn.negotiate(segment);
        self.timestamps = match (self.timestamps, options.timestamps) {
            (Some(state), Some(option)) => Some(TimestampState { recent: option.value, recent_at: now, ..state }),
            _ => None,
        };
    }

    fn establish(&mut self, now: Instant, segment: &Segment) {
        self.state = if self.snd.fin == Fin::No { State::Established } else { State::FinWait1 };
        self.retries = 0;
        self.syn_due = false;
        self.rtt.reset_backoff();
        self.timers.retransmit = Instant::FAR_FUTURE;
        self.snd.wl1 = segment.seq - 1;
        self.update_window(segment);
        self.arm_keepalive(now);
        self.arm_user_timeout(now, true);
    }

    /// RFC 9293, 3.10.7.4: OTHER STATES. Returns the packet unless its payload was kept.
    fn synchronized(
        &mut self,
        now: Instant,
        segment: &Segment,
        packet: Packet,
        cx: &mut Context<'_>,
        memory: &mut Memory<'_>,
    ) -> Option<Packet> {
        let flags = segment.flags;
        // RFC 7323, 5.3, R1: PAWS goes first, but not for a RST.
        if !flags.rst()
            && let Some(state) = self.timestamps
        {
            match segment.options.timestamps {
                // RFC 7323, 3.2: timestamps were agreed on, so they must be there.
                None => return Some(packet),
                Some(option)
                    if SeqNum(option.value).before(SeqNum(state.recent))
                        && now.since(state.recent_at) < TIMESTAMP_LIFETIME
                        && !self.is_overtaken(segment, state.recent.wrapping_sub(option.value), cx) =>
                {
                    cx.counters.paws_estab += 1;
                    self.answer_unacceptable(now, segment, cx);
                    return Some(packet);
                }
                Some(_) => {}
            }
        }
        if self.state == State::SynReceived && flags.syn() && !flags.rst() && segment.seq == self.rcv.irs {
            // The peer has not seen our SYN,ACK.
            self.syn_due = true;
            return Some(packet);
        }
        // First, check sequence number.
        if !self.acceptable(segment) {
            if flags.rst() {
                return Some(packet);
            }
            let end = segment.seq + segment.payload_len();
            if segment.payload_len() > 0 && end.before_eq(self.rcv.nxt) {
                self.report_duplicate(segment.seq, end, cx);
            }
            cx.counters.beyond_window += u64::from(segment.seq.after(self.receive_edge()));
            self.answer_unacceptable(now, segment, cx);
            return Some(packet);
        }
        // Second, check the RST bit (RFC 5961, 3.2).
        if flags.rst() {
            if segment.seq == self.rcv.nxt {
                self.reset_by_peer(cx, memory);
            } else {
                self.challenge(now, cx);
            }
            return Some(packet);
        }
        // Fourth, check the SYN bit (RFC 5961, 4.2).
        if flags.syn() {
            self.challenge(now, cx);
            return Some(packet);
        }
        // Fifth, check the ACK field.
        if !flags.ack() {
            return Some(packet);
        }
        if self.state == State::SynReceived {
            if !(segment.ack.after(self.snd.una) && segment.ack.before_eq(self.snd.nxt)) {
                cx.replies.reset(segment, cx.counters);
                return Some(packet);
            }
            self.snd.una = self.snd.iss + 1;
            self.establish(now, segment);
        }
        // RFC 5961, 5.2: neither for what was not sent, nor from another age.
        if segment.ack.after(self.snd.nxt) || segment.ack.before(self.snd.una - self.snd.max_wnd) {
            self.challenge(now, cx);
            return Some(packet);
        }
        // RFC 7323, 5.3, R3: only what is acceptable tells a timestamp, its acknowledgment included.
        self.update_timestamp(now, segment);
        self.last_heard = now;
        if let Some(keepalive) = &mut self.keepalive {
            keepalive.unanswered = 0;
        }
        self.acknowledged(now, segment, cx, memory);
        if self.fin_acknowledged() {
            match self.state {
                State::FinWait1 => self.state = State::FinWait2,
                State::Closing => self.state = State::TimeWait,
                State::LastAck => {
                    self.finish(memory);
                    return Some(packet);
                }
                _ => {}
            }
        }
        // Sixth, check the URG bit: the urgent pointer is not used (RFC 6093); its data is in line.
        // Seventh, process the segment text.
        let receiving = matches!(self.state, State::Established | State::FinWait1 | State::FinWait2);
        let text_end = segment.seq + segment.payload_len();
        if receiving && !self.held && text_end.after(self.rcv.nxt) && segment.payload_len() > 0 {
            // RFC 2525, 2.17, and RFC 9293, 3.6.1: nobody will read this.
            // The RST has the sequence number that the peer expects: ours may be ahead of it.
            cx.counters.abort_on_data += 1;
            cx.replies.reset(segment, cx.counters);
            self.fail(CloseReason::Aborted, memory);
            return Some(packet);
        }
        let left = if receiving && segment.payload_len() > 0 {
            self.note_marks(segment, cx);
            self.segment_text(now, segment, packet, cx, memory);
            None
        } else {
            Some(packet)
        };
        // Eighth, check the FIN bit.
        if receiving && flags.fin() && text_end.after_eq(self.rcv.nxt) && text_end.before_eq(self.receive_edge()) {
            self.rcv.fin = Some(text_end);
            if text_end.after(self.rcv.nxt) {
                self.ack_due = AckDue::Now;
            }
            self.try_fin(now, cx);
        } else if receiving {
            self.try_fin(now, cx);
        } else if flags.fin() {
            // Sent again: our acknowledgment was lost.
            self.ack_due = AckDue::Now;
        }
        left
    }

    /// Whether PAWS would refuse no old duplicate, but an acknowledgment that others have overtaken
    /// on the way: it says nothing but what has arrived (by SACK), and is `age` milliseconds older,
    /// which is not long. Linux lets it pass too.
    fn is_overtaken(&self, segment: &Segment, age: u32, cx: &Context<'_>) -> bool {
        segment.flags.ack()
            && segment.sequence_len() == 0
            && segment.seq == self.rcv.nxt
            && segment.ack == self.snd.una
            && u32::from(segment.window) << self.snd.shift == self.snd.wnd
            && Duration::from_millis(u64::from(age)) < self.rtt.timeout(cx.config)
    }

    /// RFC 9293, 3.10.7.4, table 6, with two allowances: a segment without data may lie at the
    /// right edge (it may have overtaken the data before it), and a shut window takes the
    /// acknowledgment of a segment that begins at RCV.NXT.
    fn acceptable(&self, segment: &Segment) -> bool {
        let edge = self.receive_edge();
        if segment.sequence_len() == 0 {
            return segment.seq.after_eq(self.rcv.nxt) && segment.seq.before_eq(edge);
        }
        segment.seq == self.rcv.nxt || (segment.seq.before(edge) && segment.end().after(self.rcv.nxt))
    }

    /// RFC 9293, 3.10.7.4, first: an unacceptable segment is answered. One without data is
    /// answered at a limited rate, so that two confused ends do not answer each other for ever.
    fn answer_unacceptable(&mut self, now: Instant, segment: &Segment, cx: &mut Context<'_>) {
        if segment.payload_len() > 0 || segment.flags.fin() {
            self.ack_due = AckDue::Now;
        } else {
            self.challenge(now, cx);
        }
    }

    /// RFC 5961: a challenge ACK. Section 7 bounds them, for each connection: a bound over all of them could
    /// be read from outside (CVE-2016-5696).
    fn challenge(&mut self, now: Instant, cx: &mut Context<'_>) {
        if now < self.challenged_until {
            return;
        }
        self.challenged_until = now + cx.config.challenge_interval;
        cx.counters.challenge_acks += 1;
        self.ack_due = AckDue::Now;
    }

    /// RFC 7323, 4.3, rule 2, with BSD's bound: the segment reaches to Last.ACK.sent. So the answer
    /// to a retransmission echoes it, not what it repeats.
    fn update_timestamp(&mut self, now: Instant, segment: &Segment) {
        let spans = segment.seq.before_eq(self.rcv.acked) && segment.end().after_eq(self.rcv.acked);
        if let (Some(state), Some(option)) = (&mut self.timestamps, segment.options.timestamps)
            && spans
            && !SeqNum(option.value).before(SeqNum(state.recent))
        {
            state.recent = option.value;
            state.recent_at = now;
        }
    }

    fn reset_by_peer(&mut self, cx: &mut Context<'_>, memory: &mut Memory<'_>) {
        match self.state {
            State::SynReceived => {
                cx.counters.attempt_fails += 1;
                self.fail(CloseReason::Refused, memory);
            }
            State::Established | State::CloseWait => {
                cx.counters.estab_resets += 1;
                self.fail(CloseReason::Reset, memory);
            }
            State::FinWait1 | State::FinWait2 => self.fail(CloseReason::Reset, memory),
            // Both sides have closed: this is no error to anybody.
            _ => self.finish(memory),
        }
    }

    /// Sends a RST that the peer will take (RFC 9293, 3.10.5), if it knows of the connection.
    pub(super) fn reset_peer(&mut self, now: Instant, cx: &mut Context<'_>) {
        if self.state == State::SynSent || self.state == State::Closed {
            return;
        }
        // RFC 7323, 3.2: a RST may have them too.
        let options = self.plain_options(now);
        let segment = self.bare_segment(Flags::RST | Flags::ACK, self.snd.nxt, options);
        cx.replies.push(segment, cx.counters);
    }

    /// CLOSED, because of `reason`. What was received can still be read.
    pub(in crate::tcp) fn fail(&mut self, reason: CloseReason, memory: &mut Memory<'_>) {
        self.error = Some(reason);
        self.finish(memory);
    }

    /// CLOSED.
    pub(super) fn finish(&mut self, memory: &mut Memory<'_>) {
        self.state = State::Closed;
        self.release_sending(memory);
    }

    /// Nothing will be sent by this block any more, nor put in order.
    fn release_sending(&mut self, memory: &mut Memory<'_>) {
        self.stop_sending(memory.chunks);
        if let Some(mut queue) = self.reassembly.take() {
            queue.clear(memory);
        }
    }

    /// Nothing will be sent by this block any more.
    pub(in crate::tcp) fn stop_sending(&mut self, chunks: &mut ChunkPool) {
        self.send.clear(chunks);
        self.board.clear();
        self.stop_timers();
        self.ack_due = AckDue::No;
        self.duplicate_acks_due = 0;
        self.probe_due = None;
        self.syn_due = false;
    }
}
