//! Received data: what is taken in, what window is told, when it is acknowledged.

use core::time::Duration;

use super::{AckDue, Connection, Context, State};
use crate::packet::Packet;
use crate::seq::SeqNum;
use crate::tcp::piece::Memory;
use crate::time::Instant;
use crate::wire::tcp::{SackBlocks, Segment, SeqRange};

/// The shortest time over which the receive buffer is tuned.
const MIN_TUNING: Duration = Duration::from_millis(1);

impl Connection {
    /// The right edge of what may come: never less than what the peer was told.
    pub(super) fn receive_edge(&self) -> SeqNum {
        self.rcv.edge.latest(self.rcv.nxt)
    }

    /// RCV.WND: bytes that the peer may send, as it was told.
    pub(super) fn receive_window(&self) -> u32 {
        self.receive_edge() - self.rcv.nxt
    }

    /// RFC 9293, 3.10.7.4, seventh: takes in the payload of an acceptable segment that overlaps
    /// the window, or begins at RCV.NXT while the window is shut.
    pub(super) fn segment_text(
        &mut self,
        now: Instant,
        segment: &Segment,
        mut packet: Packet,
        cx: &mut Context<'_>,
        memory: &mut Memory<'_>,
    ) {
        let start = segment.seq.latest(self.rcv.nxt);
        let end = segment.seq + segment.payload_len();
        if segment.seq.before(self.rcv.nxt) {
            // RFC 2883: part of it came before.
            self.report_duplicate(segment.seq, self.rcv.nxt.earliest(end), cx);
        }
        if !start.before(end) {
            // All of it is known: tell where we are.
            self.ack_due = AckDue::Now;
            memory.pool.give(packet);
            return;
        }
        // RFC 9293, 3.10.7.4: what lies beyond the window may be cut off. As in Linux, it is taken all
        // the same if nothing waits to be read, for then there is room and it need not come again;
        // otherwise the segment is not taken at all. No peer that keeps to the window sends it.
        let beyond = end.after(self.receive_edge());
        if beyond && self.receive.len() > 0 {
            cx.counters.beyond_window += 1;
            self.ack_due = AckDue::Now;
            memory.pool.give(packet);
            return;
        }
        packet.trim_front(segment.payload.start + (start - segment.seq) as usize);
        packet.truncate((end - start) as usize);
        let piece = segment.payload_len() / segment.pieces.max(1);
        self.rcv.mss = self.rcv.mss.max(piece.min(u32::from(u16::MAX)));
        // Twice the window: buffers hold more than the bytes in them.
        let budget = 2 * self.rcv.limit as usize;

        if start == self.rcv.nxt {
            self.receive.push(packet, budget, memory);
            self.rcv.nxt = end;
            if let Some(known) = self.reassembly.as_ref().and_then(|queue| queue.first_before(end)) {
                // RFC 2883, 4.2: it brings again what came out of order.
                self.report_duplicate(known.start, known.end, cx);
            }
            if let Some(queue) = &mut self.reassembly {
                while let Some(piece) = queue.take(self.rcv.nxt, memory) {
                    // A piece is at most 64 KiB.
                    self.rcv.nxt += piece.len() as u32;
                    self.receive.push_piece(piece, memory);
                }
                if queue.is_empty() {
                    self.reassembly = None;
                }
                // RFC 5681, 4.2: at once while there is, or was, a gap.
                self.ack_due = AckDue::Now;
            }
            if beyond {
                // RFC 9293, 3.8.6.3, wants every second segment of a stream acknowledged. This one has run
                // into a shut window: until the application has read, nothing more can come (as in Linux).
                self.delay_ack(now, cx);
            } else {
                self.schedule_ack(now, segment.pieces, cx);
            }
        } else {
            cx.counters.ofo_queue += 1;
            let inserted = self.reassembly.get_or_insert_default().insert(start, packet, budget, memory);
            if let Some(duplicate) = inserted.duplicate {
                self.report_duplicate(duplicate.start, duplicate.end, cx);
            } else if !inserted.new {
                cx.counters.ofo_drop += 1;
            }
            if inserted.new {
                self.make_room_beyond_gap(end, cx);
            }
            if self.reassembly.as_ref().is_some_and(|queue| queue.is_empty()) {
                self.reassembly = None;
            }
            self.ack_due = AckDue::Now;
            if !self.sack {
                // Without SACK the peer counts duplicates: each gets its own (RFC 5681, 3.2).
                self.duplicate_acks_due = self.duplicate_acks_due.saturating_add(1);
            }
        }
        self.rcv.last_data = now;
    }

    /// RFC 9293, 3.8.6.3: every second full segment is acknowledged, nothing waits longer than the
    /// delayed ACK timer. A super-segment counts as its pieces.
    fn schedule_ack(&mut self, now: Instant, pieces: u32, cx: &Context<'_>) {
        if self.ack_due == AckDue::Now {
            return;
        }
        let waiting = self.rcv.nxt - self.rcv.acked;
        if pieces >= 2 || waiting >= 2 * self.rcv.mss {
            self.ack_due = AckDue::Now;
        } else if self.quick_acks > 0 && !self.interactive {
            self.quick_acks -= 1;
            self.ack_due = AckDue::Now;
        } else {
            self.delay_ack(now, cx);
        }
    }

    /// What has come is acknowledged with the next data, or a little later.
    fn delay_ack(&mut self, now: Instant, cx: &Context<'_>) {
        if self.ack_due == AckDue::No {
            self.ack_due = AckDue::Delayed;
            self.timers.delayed_ack = now + cx.config.delayed_ack;
        }
    }

    /// RFC 2883: a range that came twice is reported once.
    pub(super) fn report_duplicate(&mut self, start: SeqNum, end: SeqNum, cx: &mut Context<'_>) {
        if self.sack && start.before(end) {
            self.rcv.dsack = Some(SeqRange { start, end });
            cx.counters.dsack_sent += 1;
        }
        self.ack_due = AckDue::Now;
    }

    /// RFC 9293, 3.10.7.4, eighth: the peer's FIN, once everything before it is here.
    pub(super) fn try_fin(&mut self, now: Instant, cx: &Context<'_>) {
        if self.rcv.fin != Some(self.rcv.nxt) {
            return;
        }
        self.rcv.fin = None;
        self.rcv.nxt += 1;
        // What is acknowledged now is all that the peer ever sends: a report of a duplicate, to which
        // RFC 2883 obliges nobody, is of no use to it any more. Linux drops it too.
        self.rcv.dsack = None;
        // Nothing came before it that the application would answer, or there is no window to tell.
        let alone = self.rcv.nxt == self.rcv.irs + 2 || self.receive_window() == 0;
        if self.state == State::Established && !alone {
            // Our own FIN is likely soon: the acknowledgment may ride on it (RFC 9293, 3.8.6.3).
            self.delay_ack(now, cx);
        } else {
            self.ack_due = AckDue::Now;
        }
        self.state = match self.state {
            State::SynReceived | State::Established => State::CloseWait,
            State::FinWait1 => State::Closing,
            State::FinWait2 => State::TimeWait,
            other => other,
        };
    }

    /// The window field of a segment that goes now; what it says is then held to. RFC 9293,
    /// 3.8.6.2.2: the right edge moves by a full segment or half the buffer at least, never back.
    pub(super) fn advertise_window(&mut self) -> u16 {
        let told = self.receive_window();
        let free = self.rcv.limit.saturating_sub(u32::try_from(self.receive.len()).unwrap_or(u32::MAX));
        let worthwhile = (self.rcv.limit / 2).min(self.rcv.mss);
        let window = if free < told.saturating_add(worthwhile) {
            told
        } else if self.rcv.shift == 0 && free > self.rcv.mss {
            // In full segments where each byte can be told, as in Linux: the peer's last one is full.
            free - free % self.rcv.mss
        } else {
            free
        };
        // Rounding down may take back less than one unit of the scale (RFC 7323, 2.4).
        let field = u16::try_from(window >> self.rcv.shift).unwrap_or(u16::MAX);
        let edge = self.rcv.nxt + (u32::from(field) << self.rcv.shift);
        self.rcv.edge = self.receive_edge().latest(edge);
        self.rcv.acked = self.rcv.nxt;
        field
    }

    /// After the application has read: whether the window has opened enough to tell the peer.
    fn window_update_due(&self) -> bool {
        let told = self.receive_window();
        let free = self.rcv.limit.saturating_sub(u32::try_from(self.receive.len()).unwrap_or(u32::MAX));
        let worthwhile = (self.rcv.limit / 2).min(self.rcv.mss);
        let maximum = u32::from(u16::MAX) << self.rcv.shift;
        let open = matches!(self.state, State::Established | State::FinWait1 | State::FinWait2);
        open && free.min(maximum) >= told.saturating_mul(2).max(told.saturating_add(worthwhile))
    }

    /// Moves received bytes to the application.
    pub(super) fn read(
        &mut self,
        now: Instant,
        max: usize,
        take: &mut dyn FnMut(&[u8]),
        cx: &Context<'_>,
        memory: &mut Memory<'_>,
    ) -> usize {
        let count = self.receive.read(max, take, memory);
        // At most 4 GiB are asked for at once.
        self.tune_receive_buffer(now, count as u32, cx);
        if self.window_update_due() {
            self.ack_due = AckDue::Now;
        }
        count
    }

    /// Dynamic right-sizing: the buffer is to hold twice what the application reads in one RTT.
    fn tune_receive_buffer(&mut self, now: Instant, count: u32, cx: &Context<'_>) {
        self.rcv.read = self.rcv.read.saturating_add(count);
        let round = self.rtt.smoothed().unwrap_or(MIN_TUNING).max(MIN_TUNING);
        if now.since(self.rcv.read_since) < round {
            return;
        }
        let over = now.since(self.rcv.read_since).as_nanos().max(1);
        let in_round = u128::from(self.rcv.read) * round.as_nanos() / over;
        let wanted = u32::try_from(2 * in_round).unwrap_or(u32::MAX);
        if wanted > self.rcv.limit && !self.rcv.limit_fixed {
            self.rcv.limit = wanted.min(cx.config.max_receive);
        }
        self.rcv.read = 0;
        self.rcv.read_since = now;
    }

    /// What comes behind a gap cannot be read before the gap is filled, a round trip later: the buffer is
    /// to hold twice of it, as of what is read (RFC 9293, 3.8.6, leaves the window to the receiver). As
    /// in Linux, not before an application has the connection.
    fn make_room_beyond_gap(&mut self, end: SeqNum, cx: &Context<'_>) {
        if !self.rcv.limit_fixed && !self.in_accept_queue {
            let wanted = (end - self.rcv.nxt).saturating_mul(2).min(cx.config.max_receive);
            self.rcv.limit = self.rcv.limit.max(wanted);
        }
    }

    /// SACK blocks for the next acknowledgment: DSACK first (RFC 2883), then the latest ranges.
    pub(super) fn sack_blocks(&mut self) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        if !self.sack {
            return blocks;
        }
        if let Some(duplicate) = self.rcv.dsack.take() {
            blocks.push(duplicate);
        }
        if let Some(queue) = &self.reassembly {
            queue.ranges().iter().for_each(|range| blocks.push(*range));
        }
        // Beside timestamps there is room for three (RFC 2018, section 3).
        blocks.truncate(if self.timestamps.is_some() { 3 } else { 4 });
        blocks
    }
}
