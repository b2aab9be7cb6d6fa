//! One connection: the transmission control block of RFC 9293, section 3.3.1, and what moves it.
//!
//! | file | what |
//! |---|---|
//! | `input.rs` | segment arrives (RFC 9293, 3.10.7) |
//! | `ack.rs` | what an acknowledgment changes: RTT, loss detection, congestion window |
//! | `ecn.rs` | marks instead of losses (RFC 3168) |
//! | `mtu.rs` | the largest packet that the path takes (RFC 1191, RFC 5927, RFC 8899) |
//! | `text.rs` | received data: queues, windows, when to acknowledge |
//! | `output.rs`, `nagle.rs` | what to send next |
//! | `timers.rs` | what is due |
//! | `calls.rs` | what the application asks for (RFC 9293, 3.10.1 to 3.10.6) |

mod ack;
mod calls;
mod detail;
pub(super) mod ecn;
mod input;
mod mtu;
mod nagle;
mod output;
mod text;
mod timers;

use core::time::Duration;
use std::net::SocketAddr;

use super::config::{self, Keepalive, TcpConfig};
use super::congestion::Congestion;
use super::counters::TcpCounters;
use super::event::{CloseReason, State};
use super::listen::SynRecord;
use super::rack::Rack;
use super::reassembly::Reassembly;
use super::receive_queue::ReceiveQueue;
use super::recovery::Recovery;
use super::reply::Replies;
use super::rtt::Rtt;
use super::scoreboard::Scoreboard;
use super::send_buffer::SendBuffer;
use crate::seq::SeqNum;
use crate::time::Instant;
use crate::wire::tcp::{Options, SeqRange, TIMESTAMPS_LEN, Timestamps};
use ecn::Ecn;
pub(super) use output::Turn;
use timers::Timers;

/// RFC 9293, 3.7.1 (MUST-15): what a peer that names no MSS takes.
pub(super) const DEFAULT_MSS_V4: u16 = 536;
/// The same for IPv6.
pub(super) const DEFAULT_MSS_V6: u16 = 1220;
/// Segments acknowledged at once at the start, while the peer's window is small.
const QUICK_ACKS: u8 = 16;

/// What the calls of a connection share with the stack around it.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) config: &'a TcpConfig,
    pub(super) counters: &'a mut TcpCounters,
    pub(super) replies: &'a mut Replies,
}

/// SND of RFC 9293, section 3.3.1.
#[derive(Debug)]
pub(super) struct SendSpace {
    /// ISS.
    pub(super) iss: SeqNum,
    /// SND.UNA.
    pub(super) una: SeqNum,
    /// SND.NXT.
    pub(super) nxt: SeqNum,
    /// SND.WND, in bytes.
    wnd: u32,
    /// SND.WL1.
    wl1: SeqNum,
    /// SND.WL2.
    wl2: SeqNum,
    /// MAX.SND.WND (RFC 5961, 5.2).
    max_wnd: u32,
    /// The peer's window scale.
    shift: u8,
    /// The MSS option that the peer sent.
    peer_mss: u16,
    /// Largest packet that a router said it would take, until it says less.
    path_mtu: u16,
    /// A full segment as it was sent last: payload beside timestamps.
    mss: u32,
    /// The same, once one was acknowledged.
    mss_acked: u32,
    /// Our FIN.
    fin: Fin,
    /// The end of the last segment sent that was not full (Minshall's variant of Nagle).
    small_end: Option<SeqNum>,
    /// When data was sent last.
    last_sent: Instant,
    /// When the pace allows the next packet.
    paced_until: Instant,
    /// The congestion window, nothing else, kept data back.
    cwnd_limited: bool,
    /// The most that was in flight in this round trip, and where the round trip ends.
    round_flight: u32,
    round_end: SeqNum,
    /// Bytes that the application may have waiting.
    limit: u32,
    /// The application has said how many: they do not grow.
    limit_fixed: bool,
}

impl SendSpace {
    /// The application says how many bytes it may have waiting.
    pub(super) fn fix_limit(&mut self, bytes: u32) {
        self.limit = bytes;
        self.limit_fixed = true;
    }
}

/// Our FIN: the sequence number after the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fin {
    No,
    /// The application has closed its side: the FIN follows the data.
    Due,
    /// SND.NXT is after it.
    Sent,
}

/// RCV of RFC 9293, section 3.3.1.
#[derive(Debug)]
pub(super) struct ReceiveSpace {
    /// IRS.
    pub(super) irs: SeqNum,
    /// RCV.NXT.
    pub(super) nxt: SeqNum,
    /// RCV.NXT + RCV.WND as it was told last: it never goes back.
    edge: SeqNum,
    /// Our window scale.
    shift: u8,
    /// RCV.NXT as it was told last (RFC 7323: Last.ACK.sent).
    acked: SeqNum,
    /// The peer's full segment, as seen.
    mss: u32,
    /// The most that the path lets it be: what our SYN tells.
    advertised_mss: u16,
    /// Where the peer's FIN is, if it came before the data that it follows.
    fin: Option<SeqNum>,
    /// A range that came twice, to be reported once (RFC 2883).
    dsack: Option<SeqRange>,
    /// Bytes that may wait for the application.
    limit: u32,
    /// The application has said how many: they do not grow.
    limit_fixed: bool,
    /// Bytes read in this round-trip time, and when it began.
    read: u32,
    read_since: Instant,
    /// When data came last.
    last_data: Instant,
}

impl ReceiveSpace {
    /// The application says how many bytes may wait for it; with `shift`, before the SYN has gone.
    pub(super) fn fix_limit(&mut self, bytes: u32, shift: Option<u8>) {
        self.limit = bytes;
        self.limit_fixed = true;
        self.shift = shift.unwrap_or(self.shift);
    }
}

/// Timestamps, once negotiated (RFC 7323).
#[derive(Debug, Clone, Copy)]
pub(super) struct TimestampState {
    /// What is added to the clock of 1 ms.
    pub(super) offset: u32,
    /// TS.Recent, and when it was taken.
    pub(super) recent: u32,
    pub(super) recent_at: Instant,
}

impl TimestampState {
    /// The timestamp clock (RFC 7323, 5.4): 1 ms.
    pub(super) fn clock(offset: u32, now: Instant) -> u32 {
        // It is meant to wrap.
        (now.as_millis() as u32).wrapping_add(offset)
    }

    /// The option of a segment sent now.
    pub(super) fn option(&self, now: Instant) -> Timestamps {
        Timestamps { value: Self::clock(self.offset, now), echo: self.recent }
    }
}

/// When the next acknowledgment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AckDue {
    No,
    /// With the next data, or when the delayed ACK timer fires.
    Delayed,
    Now,
}

/// What the application waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) connected: bool,
}

/// Keepalive of a connection that has it.
#[derive(Debug)]
struct KeepaliveState {
    settings: Keepalive,
    unanswered: u8,
}

/// Times that few applications set.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// TCP_LINGER2: how long FIN_WAIT_2 lasts, if not as long as everywhere.
    fin_wait_2: Option<Duration>,
    /// RFC 5482.
    user_timeout: Option<Duration>,
    /// SO_LINGER.
    pub(super) linger: Option<Duration>,
}

/// The block.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) state: State,
    pub(super) generation: u32,
    /// See [`FlowEvent`](super::FlowEvent).
    pub(super) instance: u32,
    pub(super) passive: bool,
    /// An application, or an accept queue, holds the handle.
    pub(super) held: bool,
    /// No application has it yet: it waits in its listener's accept queue.
    pub(super) in_accept_queue: bool,
    /// In the queue of connections with something to send.
    pub(super) queued: bool,
    /// No longer in the demultiplexer: closed, or its TIME_WAIT record has taken over.
    pub(super) detached: bool,
    pub(super) waits: Waits,
    /// Why it ended, if it did not just close.
    pub(super) error: Option<CloseReason>,
    pub(super) snd: SendSpace,
    pub(super) rcv: ReceiveSpace,
    pub(super) timestamps: Option<TimestampState>,
    sack: bool,
    ecn: Ecn,
    /// Windows are scaled.
    scaling: bool,
    pub(super) send: SendBuffer,
    pub(super) receive: ReceiveQueue,
    reassembly: Option<Box<Reassembly>>,
    board: Scoreboard,
    rack: Rack,
    rtt: Rtt,
    congestion: Congestion,
    recovery: Recovery,
    mtu: Option<Box<mtu::Search>>,
    timers: Timers,
    /// A SYN or SYN-ACK is to be sent.
    syn_due: bool,
    ack_due: AckDue,
    /// A tail loss probe, a window probe or a keepalive is to be sent.
    probe_due: Option<output::Probe>,
    /// Acknowledgments owed beyond the one, for a peer that counts duplicates.
    duplicate_acks_due: u16,
    quick_acks: u8,
    /// Data goes both ways in turn: an acknowledgment will find data to ride on.
    interactive: bool,
    /// Retransmissions since the last progress.
    retries: u8,
    /// Until when no other challenge ACK goes (RFC 5961, section 7).
    challenged_until: Instant,
    last_heard: Instant,
    pub(super) nodelay: bool,
    cork: nagle::Cork,
    /// TCP_MAXSEG: what the application lets segments be at most.
    pub(super) max_segment: u16,
    limits: Option<Box<Limits>>,
    keepalive: Option<Box<KeepaliveState>>,
}

impl Connection {
    fn new(now: Instant, ends: (SocketAddr, SocketAddr), iss: SeqNum, generation: u32, config: &TcpConfig) -> Self {
        let default_mss = if ends.0.is_ipv4() { DEFAULT_MSS_V4 } else { DEFAULT_MSS_V6 };
        let mss = u32::from(default_mss);
        Connection {
            local: ends.0,
            remote: ends.1,
            state: State::SynSent,
            generation,
            instance: iss.0,
            passive: false,
            held: true,
            in_accept_queue: false,
            queued: false,
            detached: false,
            waits: Waits::default(),
            error: None,
            snd: SendSpace {
                iss,
                una: iss,
                nxt: iss,
                wnd: 0,
                wl1: SeqNum(0),
                wl2: SeqNum(0),
                max_wnd: 0,
                shift: 0,
                peer_mss: default_mss,
                path_mtu: u16::MAX,
                mss,
                mss_acked: 0,
                fin: Fin::No,
                small_end: None,
                last_sent: now,
                paced_until: now,
                cwnd_limited: false,
                round_flight: 0,
                round_end: iss,
                limit: config.initial_send.min(config.max_send),
                limit_fixed: false,
            },
            rcv: ReceiveSpace {
                irs: SeqNum(0),
                nxt: SeqNum(0),
                edge: SeqNum(0),
                shift: if config.window_scaling { config.receive_shift() } else { 0 },
                acked: SeqNum(0),
                // None was seen yet; less than what IPv6 has at least, as in Linux.
                mss: DEFAULT_MSS_V4.into(),
                advertised_mss: default_mss,
                fin: None,
                dsack: None,
                limit: config.initial_receive.min(config.max_receive),
                limit_fixed: false,
                read: 0,
                read_since: now,
                last_data: now,
            },
            timestamps: None,
            sack: false,
            ecn: Ecn::default(),
            scaling: config.window_scaling,
            send: SendBuffer::default(),
            receive: ReceiveQueue::default(),
            reassembly: None,
            board: Scoreboard::default(),
            rack: Rack::default(),
            rtt: Rtt::new(),
            congestion: Congestion::new(config.congestion, mss, config.initial_window),
            recovery: Recovery::new(iss),
            mtu: None,
            timers: Timers::default(),
            syn_due: false,
            ack_due: AckDue::No,
            probe_due: None,
            duplicate_acks_due: 0,
            quick_acks: QUICK_ACKS,
            interactive: false,
            retries: 0,
            challenged_until: Instant::ZERO,
            last_heard: now,
            nodelay: false,
            cork: nagle::Cork::default(),
            max_segment: u16::MAX,
            limits: None,
            keepalive: None,
        }
    }

    /// An active open (RFC 9293, 3.10.1). `timestamp_offset` is there if timestamps are offered.
    pub(super) fn connect(
        now: Instant,
        ends: (SocketAddr, SocketAddr),
        iss: SeqNum,
        timestamp_offset: Option<u32>,
        generation: u32,
        config: &TcpConfig,
    ) -> Self {
        let mut conn = Connection::new(now, ends, iss, generation, config);
        conn.timestamps = timestamp_offset.map(|offset| TimestampState { offset, recent: 0, recent_at: now });
        conn.sack = config.sack;
        conn.ecn.agreed = config.ecn == config::Ecn::Active;
        conn.snd.nxt = iss + 1;
        conn.syn_due = true;
        conn.waits.connected = true;
        conn
    }

    /// The connection that a half-open record becomes when the handshake's ACK has come.
    pub(super) fn accept(now: Instant, record: &SynRecord, generation: u32, config: &TcpConfig) -> Self {
        let mut conn = Connection::new(now, (record.local, record.remote), record.iss, generation, config);
        conn.state = State::Established;
        conn.instance = record.irs.0;
        conn.passive = true;
        conn.in_accept_queue = true;
        conn.snd.una = record.iss + 1;
        conn.snd.nxt = record.iss + 1;
        conn.rcv.irs = record.irs;
        conn.rcv.nxt = record.irs + 1;
        conn.rcv.acked = conn.rcv.nxt;
        conn.rcv.edge = conn.rcv.nxt + record.offered_window(config);
        conn.timestamps = record.timestamps;
        conn.sack = record.sack;
        conn.ecn.agreed = record.ecn;
        conn.nodelay = record.nodelay;
        conn.max_segment = record.max_segment;
        if let Some(bytes) = record.receive_buffer {
            conn.rcv.limit = bytes;
            conn.rcv.limit_fixed = true;
        }
        match record.peer_shift {
            Some(shift) => {
                conn.snd.shift = shift;
                conn.rcv.shift = record.receive_shift(config);
            }
            None => {
                conn.scaling = false;
                conn.rcv.shift = 0;
            }
        }
        if let Some(mss) = record.peer_mss {
            conn.snd.peer_mss = mss;
        }
        conn.snd.wnd = u32::from(record.peer_window);
        conn.snd.max_wnd = conn.snd.wnd;
        conn.snd.wl1 = record.irs;
        conn.snd.wl2 = conn.snd.una;
        if record.retransmits > 0 {
            conn.congestion.syn_was_lost();
        } else if let Some(sent_at) = record.sent_at {
            conn.rtt.sample(now, now.since(sent_at));
        }
        conn
    }

    /// The sequence number of the first byte in the send buffer.
    fn data_start(&self) -> SeqNum {
        // Told apart by the state: the sequence numbers themselves come round every 4 GiB.
        match self.state {
            State::SynSent | State::SynReceived => self.snd.iss + 1,
            _ => self.snd.una,
        }
    }

    /// The sequence number after the last byte in the send buffer: the FIN's, if there is one.
    fn data_end(&self) -> SeqNum {
        // A send buffer is less than 2^31 bytes.
        self.data_start() + self.send.len() as u32
    }

    /// Our FIN was sent and acknowledged.
    fn fin_acknowledged(&self) -> bool {
        // Nothing comes after a FIN.
        self.snd.fin == Fin::Sent && self.snd.una == self.snd.nxt
    }

    /// Bytes that are taken to be in the network. Without SACK each duplicate acknowledgment
    /// stands for a segment that has left it (RFC 5681, 3.2).
    fn in_flight(&self) -> u32 {
        self.board.in_flight().saturating_sub(self.recovery.duplicate_bytes)
    }

    pub(super) fn limits_mut(&mut self) -> &mut Limits {
        self.limits.get_or_insert_default()
    }

    /// Room in the send buffer.
    pub(super) fn send_room(&self) -> usize {
        (self.snd.limit as usize).saturating_sub(self.send.len())
    }

    /// Whether a read would not block.
    pub(super) fn readable(&self) -> bool {
        self.receive.len() > 0 || self.error.is_some() || self.at_end()
    }

    /// The peer has closed its side and everything up to there was read.
    pub(super) fn at_end(&self) -> bool {
        let closed =
            matches!(self.state, State::CloseWait | State::Closing | State::LastAck | State::TimeWait | State::Closed);
        closed && self.receive.len() == 0
    }

    /// Whether enough can be written that it is worth waking for: a third of the buffer.
    pub(super) fn writable(&self) -> bool {
        let room = self.send_room();
        self.error.is_some()
            || !self.state.may_send()
            || (self.state.is_synchronized() && room >= (self.snd.limit / 3) as usize)
    }

    /// Options of a segment that is no SYN.
    fn plain_options(&self, now: Instant) -> Options {
        Options { timestamps: self.timestamps.map(|state| state.option(now)), ..Options::default() }
    }

    /// Bytes that options take from every segment.
    fn fixed_options(&self) -> usize {
        if self.timestamps.is_some() { TIMESTAMPS_LEN } else { 0 }
    }

    /// SRTT.
    #[cfg(test)]
    pub(super) fn smoothed_rtt(&self) -> Option<Duration> {
        self.rtt.smoothed()
    }

    /// What it occupies beside the block itself.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        let Self { board, send, receive, reassembly, keepalive, .. } = self;
        assert!(reassembly.is_none() && keepalive.is_none());
        board.heap() + send.heap() + receive.heap()
    }
}
