//! What to send next (RFC 9293, 3.8; RFC 5681; RFC 6675): one packet or super-segment a turn.

use core::time::Duration;

use super::{AckDue, Connection, Context, Fin, State};
use crate::egress::{Egress, Path};
use crate::seq::SeqNum;
use crate::tcp::recovery::{Forward, Phase, TailProbe};
use crate::tcp::reply::{ip_header, mss_of, transmit};
use crate::time::Instant;
use crate::wire::tcp::{Codepoint, Flags, MIN_HEADER, Options, Segment, SeqRange};

/// What a late timer costs at most: drivers' clocks tick in milliseconds.
const PACING_SLACK: Duration = Duration::from_millis(2);

/// Below that a burst is as long as a window.
const LAN_RTT: Duration = Duration::from_millis(2);

/// A peer that takes less gets as much, options included, as Linux does: else a SYN with an MSS of 1 makes
/// a packet of each byte (CVE-2019-11479).
const LEAST_MSS: u16 = 48;

/// Whether a turn sent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tcp) enum Turn {
    /// It did; there may be more.
    Sent,
    /// There is nothing to send now.
    Idle,
}

/// A segment that a timer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Tail loss probe (RFC 8985, 7.3).
    Tail,
    /// Zero window probe (RFC 9293, 3.8.6.1).
    Window,
    /// RFC 9293, 3.8.4.
    Keepalive,
}

/// Sizes on the path of this turn.
struct Sizes {
    /// Payload of a full segment beside the options of this turn.
    mss: u32,
    /// Most payload for one packet: a multiple of `mss`.
    packet: u32,
    /// Bytes before the payload.
    headers: u32,
    path: Path,
}

/// What a turn has decided to send.
struct Data {
    range: SeqRange,
    retransmission: bool,
    /// It goes as one packet, larger than what is known to arrive (RFC 4821).
    mtu_probe: bool,
}

impl Data {
    fn new(start: SeqNum, len: u32, retransmission: bool) -> Data {
        Data { range: SeqRange { start, end: start + len }, retransmission, mtu_probe: false }
    }
}

impl Connection {
    /// Sends one packet, if there is one to send.
    pub(in crate::tcp) fn turn(
        &mut self,
        now: Instant,
        path: Option<Path>,
        out: &mut dyn Egress,
        cx: &mut Context<'_>,
    ) -> Turn {
        if matches!(self.state, State::Closed | State::TimeWait) {
            return Turn::Idle;
        }
        let Some(path) = path else {
            self.no_route(now, cx);
            return Turn::Idle;
        };
        if self.syn_due {
            self.send_syn(now, &path, out, cx);
            return Turn::Sent;
        }
        if self.state == State::SynSent {
            return Turn::Idle;
        }
        if self.snd.path_mtu == u16::MAX
            && let Some(low) = cx.config.search_mtu_from
        {
            self.begin_search(now, &path, low);
        }
        let mut options = self.plain_options(now);
        if self.ack_due != AckDue::No || self.reassembly.is_some() {
            options.sack = self.sack_blocks();
        }
        let sizes = self.sizes(&path, &options, cx);
        if self.state != State::SynReceived
            && let Some(data) = self.choose(now, &sizes, cx)
        {
            self.send_data(now, data, options, &sizes, &path, out, cx);
            return Turn::Sent;
        }
        if let Some(probe) = self.probe_due.take()
            && probe != Probe::Tail
        {
            if probe == Probe::Window {
                cx.counters.window_probes += 1;
                self.arm_persist(now, cx);
            }
            // A sequence number that is known is answered in every case, as Linux uses it:
            // what the peer takes of it is the acknowledgment.
            let segment = self.acknowledgment(self.snd.una - 1, options);
            transmit(&segment, &[], None, &path, out);
            cx.counters.out_segs += 1;
            return Turn::Sent;
        }
        if self.ack_due == AckDue::Now {
            if self.duplicate_acks_due > 1 {
                self.duplicate_acks_due -= 1;
            } else {
                self.duplicate_acks_due = 0;
                self.ack_due = AckDue::No;
            }
            let segment = self.acknowledgment(self.snd.nxt, options);
            transmit(&segment, &[], None, &path, out);
            cx.counters.out_segs += 1;
            return Turn::Sent;
        }
        Turn::Idle
    }

    /// Nothing is lost without a route but time: RTO brings the next try. Acknowledgments are gone,
    /// as if the network had dropped them.
    fn no_route(&mut self, now: Instant, cx: &mut Context<'_>) {
        cx.counters.no_route += 1;
        self.ack_due = AckDue::No;
        self.duplicate_acks_due = 0;
        let waits = self.syn_due || self.send.len() > 0 || self.snd.fin == Fin::Due;
        if waits && self.timers.retransmit == Instant::FAR_FUTURE {
            self.timers.retransmit = now + self.rtt.timeout(cx.config);
        }
    }

    fn sizes(&mut self, path: &Path, options: &Options, cx: &Context<'_>) -> Sizes {
        let ipv4 = self.local.is_ipv4();
        self.rcv.advertised_mss = mss_of(path, ipv4);
        let path_mtu = path.mtu.min(self.snd.path_mtu);
        let base = u32::from(
            mss_of(&Path { mtu: path_mtu, ..*path }, ipv4).min(self.snd.peer_mss.max(LEAST_MSS)).min(self.max_segment),
        );
        let fixed = self.fixed_options() as u32;
        let full = base.saturating_sub(fixed).max(8);
        if full != self.snd.mss {
            let nothing_sent = self.snd.nxt == self.snd.iss + 1;
            self.snd.mss = full;
            self.congestion.set_mss(full, nothing_sent);
        }
        let options_len = options.len() as u32;
        let mss = base.saturating_sub(options_len).max(8);
        let headers = ip_header(ipv4) as u32 + MIN_HEADER as u32 + options_len;
        let mut room = u32::from(path.max_super).saturating_sub(headers);
        if room > mss
            && let Some(share) = self.burst()
        {
            room = room.min(share.max(cx.config.min_burst.saturating_mul(mss)));
        }
        Sizes { mss, packet: (room / mss * mss).max(mss), headers, path: *path }
    }

    /// On a path that is not a LAN's, what goes at once is what goes in a millisecond: a burst fills
    /// queues on the way, and others' packets are dropped for it (Linux: TSO autosizing).
    fn burst(&self) -> Option<u32> {
        if let Some(rate) = self.congestion.pacing_rate() {
            return Some(u32::try_from(rate / 1000).unwrap_or(u32::MAX));
        }
        let rtt = self.rtt.smoothed().filter(|rtt| *rtt > LAN_RTT)?;
        let share = u64::from(self.congestion.window()) * 1_000_000 / u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
        Some(u32::try_from(share).unwrap_or(u32::MAX))
    }

    /// Which bytes go now: lost ones first, then new ones.
    fn choose(&mut self, now: Instant, sizes: &Sizes, cx: &mut Context<'_>) -> Option<Data> {
        let in_flight = self.in_flight();
        if self.snd.paced_until > now && self.is_paced(now, cx) {
            return None;
        }
        match self.recovery.phase {
            Phase::Timeout(Forward::Trying(0)) => return None,
            Phase::Timeout(Forward::Trying(left)) => {
                // RFC 5682, 2.1, step 2b; without anything new, the timeout is taken for right.
                let one = Sizes { packet: sizes.mss, ..*sizes };
                let data = self.choose_new(now, in_flight, &one, cx);
                let forward = if data.is_some() { Forward::Trying(left - 1) } else { Forward::Off };
                self.recovery.phase = Phase::Timeout(forward);
                if data.is_some() {
                    return data;
                }
            }
            Phase::Timeout(Forward::Off | Forward::Waiting) | Phase::Fast(_) | Phase::Open => {}
        }
        if let Some(lost) = self.board.next_lost() {
            return self.choose_lost(lost, in_flight, sizes);
        }
        if self.probe_due == Some(Probe::Tail) {
            self.probe_due = None;
            if let Some(data) = self.choose_tail_probe(sizes) {
                cx.counters.loss_probes += 1;
                return Some(data);
            }
        }
        self.choose_new(now, in_flight, sizes, cx)
    }

    /// Bytes per second at which to send; `None`: as the window allows. In congestion avoidance on a path
    /// that is not a LAN's the window goes evenly, a little faster than it is acknowledged so that it may
    /// grow (Linux: 120 %): bursts overflow queues that others fill too. Slow start has its
    /// acknowledgments for a clock, recovery PRR.
    fn pacing_rate(&self, cx: &Context<'_>) -> Option<u64> {
        if self.congestion.models_path() {
            return self.congestion.pacing_rate();
        }
        let avoids = cx.config.pacing && !self.congestion.in_slow_start() && self.recovery.is_open();
        let rtt = self.rtt.smoothed().filter(|rtt| avoids && *rtt > LAN_RTT)?;
        let a_second = u64::from(self.congestion.window()) * 1_200_000_000;
        Some(a_second / u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Whether the pace keeps back what could go; then a timer tells when it may.
    fn is_paced(&mut self, now: Instant, cx: &Context<'_>) -> bool {
        if self.pacing_rate(cx).is_none() {
            self.snd.paced_until = now;
            return false;
        }
        let unsent = self.snd.fin != Fin::Sent && (self.data_end() != self.snd.nxt || self.snd.fin == Fin::Due);
        if unsent || self.board.next_lost().is_some() {
            self.timers.pace = self.snd.paced_until;
        }
        true
    }

    /// `bytes` went: the pace allows the next after the time that they take.
    fn pace(&mut self, now: Instant, bytes: u32, cx: &Context<'_>) {
        if let Some(rate) = self.pacing_rate(cx) {
            let nanos = u64::from(bytes).saturating_mul(1_000_000_000) / rate.max(1);
            // What a late timer has missed is made up for.
            let missed = now.since(self.snd.paced_until).min(PACING_SLACK);
            self.snd.paced_until = now + Duration::from_nanos(nanos).saturating_sub(missed);
        }
    }

    fn choose_lost(&mut self, lost: SeqRange, in_flight: u32, sizes: &Sizes) -> Option<Data> {
        let window_end = self.snd.una + self.snd.wnd;
        let first = lost.start == self.snd.una;
        let allowed = self.congestion.window().saturating_sub(in_flight);
        if allowed < sizes.mss && in_flight > 0 {
            self.snd.cwnd_limited = true;
            return None;
        }
        let cwnd_room = (allowed / sizes.mss * sizes.mss).max(sizes.mss);
        // A window that has shrunk takes the first segment all the same, as a probe.
        let window_room = if lost.start.before(window_end) { window_end - lost.start } else { 0 };
        let room = if first { window_room.max(sizes.mss) } else { window_room };
        let len = (lost.end - lost.start).min(cwnd_room).min(room).min(sizes.packet);
        (len > 0).then(|| Data::new(lost.start, len, true))
    }

    /// RFC 8985, 7.3: new data if there is any, else the last segment once more.
    fn choose_tail_probe(&mut self, sizes: &Sizes) -> Option<Data> {
        if self.board.is_empty() || !self.recovery.is_open() || self.recovery.probe.is_some() {
            return None;
        }
        let (nxt, una) = (self.snd.nxt, self.snd.una);
        let window_end = una + self.snd.wnd;
        let window_room = if nxt.before(window_end) { window_end - nxt } else { 0 };
        let unsent = if self.snd.fin == Fin::Sent { 0 } else { self.data_end() - nxt };
        let fresh = unsent.min(window_room).min(sizes.mss);
        self.recovery.probe = Some(TailProbe { end: nxt + fresh, retransmission: fresh == 0 });
        if fresh > 0 {
            return Some(Data::new(nxt, fresh, false));
        }
        let len = (nxt - una).min(sizes.mss);
        Some(Data::new(nxt - len, len, true))
    }

    /// RFC 9293, 3.7.4 and 3.8.6.2.1 (Nagle, silly windows); RFC 5681.
    fn choose_new(&mut self, now: Instant, in_flight: u32, sizes: &Sizes, cx: &Context<'_>) -> Option<Data> {
        if self.snd.fin == Fin::Sent {
            return None;
        }
        let (nxt, una) = (self.snd.nxt, self.snd.una);
        let unsent = self.data_end() - nxt;
        if unsent == 0 {
            self.snd.cwnd_limited = false;
            self.congestion.app_limited(in_flight);
            if self.snd.fin != Fin::Due {
                return None;
            }
            // A FIN alone takes no room in a window.
            return Some(Data::new(nxt, 1, false));
        }
        self.restart_if_idle(now, cx);
        let window_end = una + self.snd.wnd;
        let window_room = if nxt.before(window_end) { window_end - nxt } else { 0 };
        let cwnd_room = self.congestion.window().saturating_sub(in_flight);
        let sendable = unsent.min(window_room);
        self.snd.cwnd_limited = sendable > cwnd_room;
        // No packet is more than half of the window: acknowledgments are to come as others go.
        let half = self.congestion.window() / 2 / sizes.mss * sizes.mss;
        let room = sendable.min(cwnd_room).min(sizes.packet.min(half.max(sizes.mss)));
        if self.mtu.is_some()
            && let Some(len) = self.mtu_probe(now, &sizes.path, sizes.headers, sendable.min(cwnd_room))
        {
            return Some(Data { mtu_probe: true, ..Data::new(nxt, len, false) });
        }

        // What waits under a cork waits no longer than data for a window does.
        let overridden = self.probe_due == Some(Probe::Window);
        let small_may_go = overridden || self.small_may_go();
        let len = if room >= sizes.mss {
            let tail = room % sizes.mss;
            if room == unsent && (tail == 0 || small_may_go) { room } else { room - tail }
        } else if room == unsent && small_may_go {
            room
        } else if sendable < sizes.mss && sendable < unsent && sendable > 0 && sendable <= cwnd_room {
            // The window is small: half of the largest it ever was, or what the persist timer
            // overrides it for.
            if sendable >= self.snd.max_wnd / 2 || overridden { sendable } else { 0 }
        } else {
            0
        };
        if len == 0 {
            let held = self.is_corked() || window_room < unsent.min(sizes.mss);
            if self.board.is_empty() && held && self.probe_due.is_none() {
                self.arm_persist(now, cx);
            }
            return None;
        }
        if self.worth_waiting(now, len, sendable, in_flight, sizes) {
            self.snd.cwnd_limited = true;
            return None;
        }
        let fin = u32::from(self.snd.fin == Fin::Due && len == unsent);
        Some(Data::new(nxt, len + fin, false))
    }

    /// With much in flight, acknowledgments come soon: a large super-segment then costs less than
    /// several small ones now. Soon is within half of a round trip, as in Linux.
    fn worth_waiting(&self, now: Instant, len: u32, sendable: u32, in_flight: u32, sizes: &Sizes) -> bool {
        self.recovery.is_open()
            && sizes.packet > sizes.mss
            && len < sendable
            && len < sizes.packet / 2
            && len < self.congestion.window() / 4
            && in_flight > self.congestion.window() / 2
            && self.board.first_sent_at().zip(self.rtt.smoothed()).is_some_and(|(at, rtt)| now.since(at) >= rtt / 2)
    }

    /// RFC 5681, 4.1.
    fn restart_if_idle(&mut self, now: Instant, cx: &Context<'_>) {
        if cx.config.slow_start_after_idle
            && self.board.is_empty()
            && now.since(self.snd.last_sent) > self.rtt.timeout(cx.config)
        {
            self.congestion.restart_after_idle();
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one turn's facts, used once")]
    fn send_data(
        &mut self,
        now: Instant,
        data: Data,
        options: Options,
        sizes: &Sizes,
        path: &Path,
        out: &mut dyn Egress,
        cx: &mut Context<'_>,
    ) {
        let Data { range, retransmission, mtu_probe } = data;
        let data_start = self.data_start();
        let data_end = self.data_end();
        let text_end = range.end.earliest(data_end);
        let text = if range.start.before(text_end) { text_end - range.start } else { 0 };
        let fin = range.end.after(data_end);
        let mut segment = self.acknowledgment(range.start, options);
        self.ack_due = AckDue::No;
        self.duplicate_acks_due = 0;
        let probe = !retransmission && self.probe_due == Some(Probe::Window);
        if probe {
            self.probe_due = None;
        }
        let slices = self.send.slices((range.start - data_start) as usize, text as usize);
        let text: u32 = slices.as_slice().iter().map(|slice| slice.len() as u32).sum();
        let fin = fin && range.start + text == data_end;
        let range = SeqRange { start: range.start, end: range.start + text + u32::from(fin) };
        if fin {
            segment.flags |= Flags::FIN;
        }
        // RFC 9293, 3.9.1.2: the last of the data (MUST-61); and what fills the window, for the peer has to
        // read before more can come (Linux: from half of the window on).
        let last = range.start + text == data_end && (self.pushes() || probe);
        if text > 0 && (last || range.start + text == self.snd.una + self.snd.wnd) {
            segment.flags |= Flags::PSH;
        }
        if text > 0 && !retransmission {
            let (ecn, flags) = self.ecn.data_sent();
            segment.ecn = ecn;
            segment.flags |= flags;
        }
        // A full segment is less than 64 KiB.
        let piece = (text > sizes.mss && !mtu_probe).then_some(sizes.mss as u16);
        if piece.is_some() {
            // Whoever puts the pieces together again need not wait for more (as Linux does).
            segment.flags |= Flags::PSH;
        }
        transmit(&segment, slices.as_slice(), piece, path, out);
        self.pace(now, text, cx);
        let pieces = u64::from(text.div_ceil(sizes.mss).max(1));
        if retransmission {
            cx.counters.retrans_segs += pieces;
            self.retransmitted(now, range);
        } else {
            cx.counters.out_segs += pieces;
            // Minshall's variant of Nagle: a probe is no small segment.
            let small = !mtu_probe && !text.is_multiple_of(sizes.mss);
            self.sent(now, range, small.then_some(range.start + text), fin, cx);
            if mtu_probe {
                self.mtu_probe_sent(range, sizes.headers);
            }
        }
        if let Phase::Fast(rate) = &mut self.recovery.phase {
            rate.out = rate.out.saturating_add(text);
        }
    }

    fn retransmitted(&mut self, now: Instant, range: SeqRange) {
        let state = self.congestion.sent(now, self.board.in_flight());
        self.board.retransmitted(range, now, state);
        if let Some(undo) = &mut self.recovery.undo {
            undo.sent_again(range.end - range.start, self.timestamps.map(|state| state.option(now).value));
        }
        self.timers.tail_probe = Instant::FAR_FUTURE;
    }

    /// New data has gone; `small_end`: the end of its last segment, if that is not full.
    fn sent(&mut self, now: Instant, range: SeqRange, small_end: Option<SeqNum>, fin: bool, cx: &Context<'_>) {
        let state = self.congestion.sent(now, self.board.in_flight());
        self.board.sent(range.start, range.end, now, state);
        self.snd.nxt = range.end;
        let flight = self.board.outstanding();
        if self.snd.una.after_eq(self.snd.round_end) || flight > self.snd.round_flight {
            self.snd.round_flight = flight;
            self.snd.round_end = range.end;
        }
        self.snd.last_sent = now;
        if fin {
            self.snd.fin = Fin::Sent;
        }
        self.snd.small_end = small_end.or(self.snd.small_end);
        let received = self.rcv.nxt != self.rcv.irs + 1;
        if received && now.since(self.rcv.last_data) < cx.config.delayed_ack {
            self.interactive = true;
        }
        self.timers.persist = Instant::FAR_FUTURE;
        self.arm_retransmission(now, false, cx);
        self.arm_tail_probe(now);
        self.arm_user_timeout(now, false);
    }

    /// A segment without payload that acknowledges what is here; the timers know.
    fn acknowledgment(&mut self, seq: SeqNum, options: Options) -> Segment {
        self.timers.delayed_ack = Instant::FAR_FUTURE;
        if self.ack_due == AckDue::Delayed {
            self.ack_due = AckDue::No;
        }
        let window = self.advertise_window();
        Segment { window, ..self.bare_segment(Flags::ACK | self.ecn.echo_flags(), seq, options) }
    }

    /// A segment without payload and window.
    pub(super) fn bare_segment(&self, flags: Flags, seq: SeqNum, options: Options) -> Segment {
        Segment {
            source: self.local,
            destination: self.remote,
            seq,
            ack: self.rcv.nxt,
            flags,
            window: 0,
            options,
            payload: 0..0,
            pieces: 1,
            ecn: Codepoint::NotEct,
        }
    }

    /// SYN, or SYN,ACK of a simultaneous open.
    fn send_syn(&mut self, now: Instant, path: &Path, out: &mut dyn Egress, cx: &mut Context<'_>) {
        self.syn_due = false;
        self.ack_due = AckDue::No;
        let answers = self.state == State::SynReceived;
        let flags = if answers { Flags::SYN | Flags::ACK } else { Flags::SYN };
        let flags = flags | self.ecn.syn_flags(answers, self.retries == 0);
        let mut segment = self.bare_segment(flags, self.snd.iss, self.plain_options(now));
        if !answers {
            segment.ack = SeqNum(0);
        }
        // The window of a SYN is never scaled (RFC 7323, 2.2).
        segment.window = u16::try_from(self.rcv.limit).unwrap_or(u16::MAX);
        segment.options = Options {
            mss: Some(mss_of(path, self.local.is_ipv4()).min(self.max_segment)),
            window_scale: self.scaling.then_some(self.rcv.shift),
            sack_permitted: self.sack,
            timestamps: segment.options.timestamps,
            ..Options::default()
        };
        transmit(&segment, &[], None, path, out);
        if self.retries == 0 {
            cx.counters.out_segs += 1;
            self.snd.last_sent = now;
        } else {
            cx.counters.retrans_segs += 1;
        }
        if self.timers.retransmit == Instant::FAR_FUTURE {
            self.timers.retransmit = now + self.rtt.timeout(cx.config);
        }
        self.arm_user_timeout(now, false);
    }
}
