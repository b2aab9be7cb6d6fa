//! TCP (RFC 9293), sans-IO.
//!
//! Segments go in by [`Tcp::receive`], time by [`Tcp::handle_timeout`], calls of applications by
//! [`Tcp::listen`], [`Tcp::connect`], [`Tcp::send`], [`Tcp::recv`] and their like. After any of
//! them packets may wait for [`Tcp::poll_transmit`], events for [`Tcp::poll_event`] and
//! [`Tcp::poll_flow`], and [`Tcp::next_deadline`] may have changed.
//!
//! | file | what |
//! |---|---|
//! | `socket.rs`, `options.rs`, `detail.rs` | the calls of applications |
//! | `handshake.rs`, `listen.rs`, `cookie.rs` | passive opens: listeners, SYN_RCVD records, SYN cookies, accept queues |
//! | `conn/` | a connection |
//! | `time_wait.rs` | what is left of it |
//! | `send_buffer.rs`, `receive_queue.rs`, `reassembly.rs`, `piece.rs`, `chunk.rs` | bytes |
//! | `scoreboard.rs`, `rack.rs`, `recovery.rs`, `rtt.rs`, `rate.rs`, `congestion/` | loss and rate |
//! | `demux.rs`, `timer.rs`, `isn.rs`, `reply.rs` | what all share |
//!
//! # What it has
//!
//! Each test names the section that it proves; all are in `tests/` beside this file, unless said
//! otherwise. Suites that others wrote: `tests/packetdrill` of the workspace.
//!
//! | Feature | Where | Proved by | What is not there, and why |
//! |---|---|---|---|
//! | RFC 9293: all states, simultaneous open and close, half-close | `conn/`, `handshake.rs`, `time_wait.rs` | `handshake.rs`, `close.rs`, `data.rs`, `reset.rs` | urgent data is taken in order, without a mark (RFC 6093 discourages it) |
//! | Listen backlog: SYN queue apart from accept queue | `listen.rs` | `the_syn_queue_is_bounded`, `the_accept_queue_is_bounded` | |
//! | SYN cookies (RFC 4987, 3.6) | `cookie.rs` | `cookies.rs` | without timestamps: no window scale, no SACK |
//! | Window scale, timestamps, PAWS (RFC 7323) | `conn/` | `paws_refuses_old_segments`, `timestamps_are_echoed` | |
//! | SACK (RFC 2018), DSACK (RFC 2883), RFC 6675 | `scoreboard.rs`, `receive_queue.rs` | `sack_and_dsack_are_sent`, `only_what_is_lost_is_sent_again`, `reneging_is_survived` | |
//! | RACK-TLP (RFC 8985), PRR (RFC 6937) | `rack.rs`, `recovery.rs` | `a_lost_retransmission_is_found`, `reordering_is_learnt`, `a_lost_tail_is_probed` | |
//! | F-RTO (RFC 5682), Eifel (RFC 3522, RFC 4015) | `recovery.rs` | `forward.rs`, `a_spurious_timeout_is_undone` | |
//! | CUBIC (RFC 9438), HyStart++ (RFC 9406), NewReno (RFC 5681, RFC 6582) | `congestion/` | `congestion/tests.rs`, `paths.rs` | |
//! | BBR (draft-cardwell-iccrg-bbr-congestion-control) | `congestion/bbr.rs` | `bbr_bears_random_loss`, `bbr_keeps_the_queue_short` | version 1; off by default, as its fairness is disputed |
//! | ECN (RFC 3168) | `conn/ecn.rs` | `ecn.rs` | not AccECN (a draft while this was written) |
//! | Pacing | `conn/output.rs`, `congestion/bbr.rs` | `bbr_keeps_the_queue_short`, `a_window_goes_evenly` | loss-based control: in congestion avoidance, where the path is longer than a LAN's |
//! | Delayed ACK, Nagle, silly windows, zero-window probes (RFC 9293, 3.7.4 and 3.8.6) | `conn/output.rs`, `conn/nagle.rs`, `conn/timers.rs` | `data.rs` | |
//! | Keepalive (RFC 9293, 3.8.4), user timeout (RFC 5482) | `conn/timers.rs` | `timers.rs` | the timeout is not told to the peer |
//! | TIME_WAIT in a small record (RFC 1337, RFC 6191) | `time_wait.rs` | `close.rs` | |
//! | Challenge ACKs (RFC 5961), rate-limited for each connection, half-open or not | `conn/input.rs`, `listen.rs` | `reset.rs`, `handshake.rs` | |
//! | Initial sequence numbers (RFC 6528), ports (RFC 6056, algorithm 3) | `isn.rs` | tests in `isn.rs` | |
//! | Path MTU discovery (RFC 1191, RFC 8201), PLPMTUD (RFC 4821, RFC 8899), forged errors (RFC 5927) | `conn/mtu.rs` | `mtu.rs`, `icmp_errors_are_checked` | |
//! | Buffers that tune themselves | `send_buffer.rs`, `receive_queue.rs` | `buffers_grow_to_fill_long_fat_pipes`, `the_receive_buffer_grows_with_use` | |
//! | Super-segments in and out, checksum offload | `conn/output.rs` | `super_segments_leave_as_the_device_wants_them`, `a_lost_piece_is_sent_alone` | |
//! | Counters with the MIB's names (RFC 4022) | `counters.rs` | tests in `counters.rs` | |
//! | Connections found in O(1), timers set and fired in O(log n) | `demux.rs`, `timer.rs` | tests in `timer.rs` | |
//! | TCP Fast Open (RFC 7413), MPTCP (RFC 8684), TCP-AO (RFC 5925) | none | | no server of the product asks for them |

mod chunk;
mod config;
mod congestion;
mod conn;
mod cookie;
mod counters;
mod demux;
mod detail;
mod event;
mod handshake;
mod isn;
mod listen;
mod options;
mod piece;
mod rack;
mod rate;
mod reassembly;
mod receive_queue;
mod recovery;
mod reply;
mod rtt;
mod scoreboard;
mod send_buffer;
mod socket;
#[cfg(test)]
mod tests;
mod time_wait;
mod timer;

use std::collections::VecDeque;
use std::net::SocketAddr;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use slab::Slab;

use crate::egress::{Egress, Paths};
use crate::packet::{Packet, Pool};
use crate::seq::SeqNum;
use crate::time::Instant;
use crate::wire::tcp::Segment;
use chunk::ChunkPool;
pub use config::{CongestionControl, Ecn, Keepalive, ListenOptions, SynCookies, TcpConfig, UnknownCongestionControl};
use conn::{Connection, Context, Turn};
pub use counters::TcpCounters;
use demux::{Demux, Slot};
pub use detail::{ConnDetail, RecoveryState};
pub use event::{
    CloseReason, ConnId, ConnInfo, ConnectError, FlowEvent, IcmpError, ListenError, ListenerId, ListenerInfo,
    SocketError, State, TcpEvent,
};
use isn::Secrets;
use listen::{Listener, SynTable};
use piece::Memory;
use reply::{Replies, mss_of, transmit};
use time_wait::{Disposition, TimeWait, TimeWaitTable};
use timer::TimerQueue;

/// All listeners, connections and TIME_WAIT records of one stack.
#[derive(Debug)]
pub struct Tcp {
    config: TcpConfig,
    secrets: Secrets,
    demux: Demux,
    listeners: Slab<Listener>,
    half_open: SynTable,
    /// Until when a SYN cookie may come back.
    cookies_until: Instant,
    connections: Slab<Box<Connection>>,
    time_wait: TimeWaitTable,
    timers: TimerQueue,
    /// Connections that may have something to send, each once, in the order of their turns.
    turns: VecDeque<u32>,
    replies: Replies,
    events: VecDeque<TcpEvent>,
    flows: VecDeque<FlowEvent>,
    chunks: ChunkPool,
    counters: TcpCounters,
    generation: u32,
}

impl Tcp {
    /// An empty TCP. Everything random in it comes from `seed`: secret, in a stack that strangers
    /// can reach.
    pub fn new(config: TcpConfig, seed: u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Tcp {
            secrets: Secrets::new((random.next_u64(), random.next_u64())),
            demux: Demux::new(random.next_u64()),
            listeners: Slab::new(),
            half_open: SynTable::new(random.next_u64()),
            cookies_until: Instant::ZERO,
            connections: Slab::new(),
            time_wait: TimeWaitTable::default(),
            timers: TimerQueue::default(),
            turns: VecDeque::new(),
            replies: Replies::new(config.max_replies),
            events: VecDeque::new(),
            flows: VecDeque::new(),
            chunks: ChunkPool::default(),
            counters: TcpCounters::default(),
            generation: 0,
            config,
        }
    }

    /// Takes in a segment for an address of this stack, its checksum verified. `packet` is the
    /// packet that [`Segment::payload`] lies in; it is kept until read, or goes to `pool`.
    pub fn receive(&mut self, now: Instant, segment: Segment, packet: Packet, pool: &mut Pool) {
        self.counters.in_segs += u64::from(segment.pieces);
        match self.demux.find(segment.destination, segment.source) {
            Some(Slot::Connection(index)) => self.connection_segment(now, index, &segment, packet, pool),
            Some(Slot::SynReceived(slot)) => self.half_open_segment(now, slot, &segment, packet, pool),
            Some(Slot::TimeWait(slot)) => self.time_wait_segment(now, slot, &segment, packet, pool),
            None => self.unknown_segment(now, &segment, None, packet, pool),
        }
    }

    fn connection_segment(&mut self, now: Instant, index: u32, segment: &Segment, packet: Packet, pool: &mut Pool) {
        self.with_connection(index, pool, |conn, cx, memory| {
            conn.segment_arrives(now, segment, packet, cx, memory);
        });
        self.settle(now, index);
    }

    fn time_wait_segment(&mut self, now: Instant, slot: u32, segment: &Segment, packet: Packet, pool: &mut Pool) {
        let Some(record) = self.time_wait.get_mut(slot) else { return pool.give(packet) };
        match record.segment_arrives(now, segment, self.config.time_wait) {
            Disposition::Ignored => {}
            Disposition::Answer(answer) => self.replies.push(answer, &mut self.counters),
            Disposition::NewConnection { iss } => {
                return self.unknown_segment(now, segment, Some(iss), packet, pool);
            }
        }
        pool.give(packet);
    }

    fn remove_time_wait(&mut self, slot: u32) {
        if let Some(record) = self.time_wait.remove(slot) {
            self.demux.remove(record.local, record.remote);
            self.ended(record.local, record.remote, record.instance);
        }
    }

    /// Fires what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant, pool: &mut Pool) {
        while let Some(index) = self.timers.pop(now) {
            self.with_connection(index, pool, |conn, cx, memory| conn.handle_timeout(now, cx, memory));
            self.settle(now, index);
        }
        while let Some(slot) = self.half_open.pop_due(now, &self.config) {
            self.half_open_due(now, slot);
        }
        while let Some(record) = self.time_wait.pop_expired(now) {
            self.demux.remove(record.local, record.remote);
            self.ended(record.local, record.remote, record.instance);
        }
    }

    /// When [`handle_timeout`](Tcp::handle_timeout) is to be called next. It may come early.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.timers.next(), self.half_open.next_deadline(), self.time_wait.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Sends up to `budget` packets, connections in turn; `true` if more wait.
    pub fn poll_transmit(&mut self, now: Instant, paths: &dyn Paths, out: &mut dyn Egress, mut budget: usize) -> bool {
        while budget > 0
            && let Some(reply) = self.replies.pop()
        {
            self.transmit_reply(reply, paths, out);
            budget -= 1;
        }
        while budget > 0
            && let Some(index) = self.turns.pop_front()
        {
            let Some(conn) = self.connections.get_mut(index as usize) else { continue };
            conn.queued = false;
            let path = paths.path(conn.local.ip(), conn.remote.ip());
            let cx = &mut Context { config: &self.config, counters: &mut self.counters, replies: &mut self.replies };
            let turn = conn.turn(now, path, out, cx);
            self.timers.set(index, conn.next_deadline());
            if turn == Turn::Sent {
                conn.queued = true;
                self.turns.push_back(index);
                budget -= 1;
            }
        }
        !self.turns.is_empty() || !self.replies.is_empty()
    }

    fn transmit_reply(&mut self, mut reply: Segment, paths: &dyn Paths, out: &mut dyn Egress) {
        let Some(path) = paths.path(reply.source.ip(), reply.destination.ip()) else {
            self.counters.no_route += 1;
            return;
        };
        if reply.flags.syn() {
            // What the application wants less than the path takes (TCP_MAXSEG) is in it already.
            let most = mss_of(&path, reply.source.is_ipv4());
            reply.options.mss = Some(reply.options.mss.map_or(most, |mss| mss.min(most)));
        }
        transmit(&reply, &[], None, &path, out);
        self.counters.out_segs += 1;
    }

    /// The next event for a socket.
    pub fn poll_event(&mut self) -> Option<TcpEvent> {
        self.events.pop_front()
    }

    /// The next event for the VIPA function.
    pub fn poll_flow(&mut self) -> Option<FlowEvent> {
        self.flows.pop_front()
    }

    /// Answers a segment as a stack does that has no such connection and no such listener
    /// (R6, R20), whatever connections there are.
    pub fn reset_for(&mut self, segment: &Segment) {
        self.replies.reset(segment, &mut self.counters);
    }

    /// An ICMP error came about a segment with sequence number `seq` that `local` sent to `remote`.
    /// It is believed only if that segment is out (RFC 5927, section 4.1).
    pub fn icmp_error(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        seq: SeqNum,
        error: IcmpError,
        pool: &mut Pool,
    ) {
        let Some(Slot::Connection(index)) = self.demux.find(local, remote) else { return };
        self.with_connection(index, pool, |conn, _, memory| {
            if !conn.is_outstanding(seq) {
                return;
            }
            match error {
                IcmpError::PacketTooBig { mtu } => conn.packet_too_big(now, mtu),
                // RFC 5927, section 4: hard only while connecting.
                IcmpError::PortUnreachable if conn.is_connecting() => conn.fail(CloseReason::Refused, memory),
                IcmpError::PortUnreachable | IcmpError::Soft => {}
            }
        });
        self.settle(now, index);
    }

    /// All connections, SYN_RCVD and TIME_WAIT ones included, in no particular order.
    pub fn connections(&self) -> impl Iterator<Item = ConnInfo> {
        let full = self.connections.iter().filter(|(_, conn)| !conn.detached).map(|(_, conn)| ConnInfo {
            local: conn.local,
            remote: conn.remote,
            state: conn.state,
            send_queue: conn.send.len(),
            receive_queue: conn.receive.len(),
            instance: conn.instance,
            passive: conn.passive,
            held: conn.held,
        });
        let small = |local, remote, state, instance, passive| ConnInfo {
            local,
            remote,
            state,
            send_queue: 0,
            receive_queue: 0,
            instance,
            passive,
            held: false,
        };
        let half_open = self.half_open.iter();
        let half_open =
            half_open.map(move |record| small(record.local, record.remote, State::SynReceived, record.irs.0, true));
        let time_wait = self.time_wait.iter();
        let time_wait = time_wait
            .map(move |record| small(record.local, record.remote, State::TimeWait, record.instance, record.passive));
        full.chain(half_open).chain(time_wait)
    }

    /// All listeners.
    pub fn listeners(&self) -> impl Iterator<Item = ListenerInfo> {
        self.listeners.iter().map(|(_, listener)| listener.info())
    }

    /// From now on these settings count, for new connections in any case. What a receive buffer may
    /// grow to stays within what the window scale can say that is offered since the beginning.
    pub fn configure(&mut self, config: TcpConfig) {
        let scale_for = self.config.max_receive.max(self.config.scale_for);
        let most = u32::from(u16::MAX) << self.config.receive_shift();
        let max_receive = config.max_receive.min(most);
        self.config = TcpConfig { max_receive, scale_for, ..config };
    }

    /// A segment was dropped before it could be looked at: wrong checksum or header.
    pub(crate) fn count_malformed(&mut self) {
        self.counters.in_errs += 1;
    }

    /// What has been counted.
    pub fn counters(&self) -> &TcpCounters {
        &self.counters
    }

    /// The settings.
    pub fn config(&self) -> &TcpConfig {
        &self.config
    }

    /// Lends a connection what it needs of the rest.
    fn with_connection<R>(
        &mut self,
        index: u32,
        pool: &mut Pool,
        call: impl FnOnce(&mut Connection, &mut Context<'_>, &mut Memory<'_>) -> R,
    ) -> Option<R> {
        let conn = self.connections.get_mut(index as usize)?;
        let mut cx = Context { config: &self.config, counters: &mut self.counters, replies: &mut self.replies };
        let mut memory = Memory { pool, chunks: &mut self.chunks };
        Some(call(conn, &mut cx, &mut memory))
    }

    /// After a connection has moved: its turn, its timer, its events, its end.
    fn settle(&mut self, now: Instant, index: u32) {
        let Some(conn) = self.connections.get_mut(index as usize) else { return };
        let id = ConnId { index, generation: conn.generation };
        if conn.held {
            if conn.waits.connected && conn.state.is_synchronized() {
                conn.waits.connected = false;
                self.events.push_back(TcpEvent::Connected(id));
                if self.config.flow_events {
                    self.flows.push_back(FlowEvent::Established { local: conn.local, remote: conn.remote });
                }
            }
            if conn.waits.read && conn.readable() {
                conn.waits.read = false;
                self.events.push_back(TcpEvent::Readable(id));
            }
            if conn.waits.write && conn.writable() {
                conn.waits.write = false;
                self.events.push_back(TcpEvent::Writable(id));
            }
        }
        if conn.detached {
            if !conn.held {
                self.connections.remove(index as usize);
            }
            return;
        }
        match conn.state {
            State::TimeWait => self.enter_time_wait(now, index),
            State::Closed => self.leave(index),
            _ => {
                self.timers.set(index, conn.next_deadline());
                if !conn.queued {
                    conn.queued = true;
                    self.turns.push_back(index);
                }
            }
        }
    }

    /// A small record takes the place of the connection; what the application has not read stays.
    fn enter_time_wait(&mut self, now: Instant, index: u32) {
        let Some(conn) = self.connections.get_mut(index as usize) else { return };
        conn.detached = true;
        conn.stop_sending(&mut self.chunks);
        let (local, remote) = (conn.local, conn.remote);
        let record = TimeWait::new(
            (local, remote),
            (conn.snd.nxt, conn.rcv.nxt),
            conn.timestamps,
            (conn.instance, conn.passive),
            now + self.config.time_wait,
        );
        // The FIN that led here is to be acknowledged.
        self.replies.push(record.acknowledgment(now), &mut self.counters);
        let (slot, displaced) = self.time_wait.insert(record, self.config.max_time_wait);
        self.demux.insert(local, remote, Slot::TimeWait(slot));
        self.counters.time_wait += 1;
        self.timers.remove(index);
        if !conn.held {
            self.connections.remove(index as usize);
        }
        if let Some(old) = displaced {
            self.counters.time_wait_overflow += 1;
            self.demux.remove(old.local, old.remote);
            self.ended(old.local, old.remote, old.instance);
        }
    }

    /// CLOSED: nothing is left but what the application still has.
    fn leave(&mut self, index: u32) {
        let Some(conn) = self.connections.get_mut(index as usize) else { return };
        conn.detached = true;
        let (local, remote, instance) = (conn.local, conn.remote, conn.instance);
        if conn.held
            && let Some(reason) = conn.error
        {
            self.events.push_back(TcpEvent::Closed(ConnId { index, generation: conn.generation }, reason));
        }
        self.timers.remove(index);
        if !conn.held {
            self.connections.remove(index as usize);
        }
        self.demux.remove(local, remote);
        self.ended(local, remote, instance);
    }

    fn opened(&mut self, local: SocketAddr, remote: SocketAddr, instance: u32, passive: bool) {
        self.flow(FlowEvent::Opened { local, remote, instance, passive });
    }

    fn ended(&mut self, local: SocketAddr, remote: SocketAddr, instance: u32) {
        self.flow(FlowEvent::Ended { local, remote, instance });
    }

    fn flow(&mut self, event: FlowEvent) {
        if self.config.flow_events {
            self.flows.push_back(event);
        }
    }

    fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }
}
