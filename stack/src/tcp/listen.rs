//! Listeners, and connections in SYN_RCVD: small records, bounded, the oldest gives way.

use core::time::Duration;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use slab::Slab;

use super::config::{Ecn, ListenOptions, MAX_WINDOW_SHIFT, TcpConfig, shift_for};
use super::conn::{TimestampState, ecn};
use super::cookie::Carried;
use super::event::{ConnId, ListenerInfo};
use super::rtt::Rtt;
use super::timer::TimerQueue;
use crate::seq::SeqNum;
use crate::time::Instant;
use crate::wire::tcp::{Codepoint, Flags, Options, Segment};

/// A listener (RFC 9293, LISTEN).
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) options: ListenOptions,
    pub(super) generation: u32,
    /// Established connections that wait to be accepted.
    pub(super) accept_queue: VecDeque<ConnId>,
    /// Half-open records by age: slot and generation. Those that are gone stay until they come to
    /// the front, or are swept.
    order: VecDeque<(u32, u32)>,
    half_open: usize,
    /// The application waits for a connection.
    pub(super) waits: bool,
    /// Until when a SYN cookie may come back.
    pub(super) cookies_until: Instant,
}

impl Listener {
    pub(super) fn new(address: Option<IpAddr>, port: u16, options: ListenOptions, generation: u32) -> Self {
        Listener {
            address,
            port,
            options,
            generation,
            accept_queue: VecDeque::new(),
            order: VecDeque::new(),
            half_open: 0,
            waits: false,
            cookies_until: Instant::ZERO,
        }
    }

    /// Whether no further connection can wait here.
    pub(super) fn is_full(&self) -> bool {
        self.accept_queue.len() >= self.options.backlog.max(1)
    }

    /// Whether a SYN cookie may still come back.
    pub(super) fn awaits_cookies(&self, now: Instant) -> bool {
        self.cookies_until > now
    }

    /// Whether records are so many that those of silent peers should go early.
    pub(super) fn is_pressed(&self, limit: usize) -> bool {
        2 * self.half_open > limit.max(8)
    }

    pub(super) fn info(&self) -> ListenerInfo {
        ListenerInfo {
            address: self.address,
            port: self.port,
            accept_queue: self.accept_queue.len(),
            syn_queue: self.half_open,
            backlog: self.options.backlog,
        }
    }
}

/// A connection in SYN_RCVD that a listener will have.
#[derive(Debug)]
pub(super) struct SynRecord {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) iss: SeqNum,
    pub(super) irs: SeqNum,
    pub(super) peer_mss: Option<u16>,
    /// The peer's window scale, if windows are scaled.
    pub(super) peer_shift: Option<u8>,
    pub(super) peer_window: u16,
    pub(super) timestamps: Option<TimestampState>,
    pub(super) sack: bool,
    pub(super) ecn: bool,
    pub(super) nodelay: bool,
    /// What segments may be at most, as the application wants it.
    pub(super) max_segment: u16,
    /// The receive buffer, if the application has said what it is.
    pub(super) receive_buffer: Option<u32>,
    /// The handshake's last ACK has come, but the listener waits for data.
    pub(super) deferred: bool,
    /// For how many timeouts it waits.
    pub(super) defer_timeouts: u8,
    /// When the SYN,ACK went first, if that is known.
    pub(super) sent_at: Option<Instant>,
    pub(super) retransmits: u8,
    pub(super) listener: u32,
    /// Until when no other challenge ACK goes (RFC 5961, section 7).
    challenged_until: Instant,
    generation: u32,
    resend_at: Instant,
}

impl SynRecord {
    /// What a SYN to listener `listener` asks for.
    pub(super) fn new(
        now: Instant,
        syn: &Segment,
        iss: SeqNum,
        timestamp_offset: u32,
        listener: (u32, &Listener),
        config: &TcpConfig,
    ) -> Self {
        let options = &syn.options;
        let scale = options.window_scale.filter(|_| config.window_scaling);
        let timestamps = options.timestamps.filter(|_| config.timestamps).map(|option| TimestampState {
            offset: timestamp_offset,
            recent: option.value,
            recent_at: now,
        });
        SynRecord {
            local: syn.destination,
            remote: syn.source,
            iss,
            irs: syn.seq,
            peer_mss: options.mss,
            peer_shift: scale.map(|shift| shift.min(MAX_WINDOW_SHIFT)),
            peer_window: syn.window,
            timestamps,
            sack: config.sack && options.sack_permitted,
            ecn: config.ecn != Ecn::Off && ecn::is_asked(syn),
            nodelay: listener.1.options.nodelay,
            max_segment: listener.1.options.max_segment.unwrap_or(u16::MAX),
            receive_buffer: listener.1.options.receive_buffer,
            deferred: false,
            defer_timeouts: timeouts_within(listener.1.options.defer_accept, config),
            sent_at: Some(now),
            retransmits: 0,
            listener: listener.0,
            challenged_until: Instant::ZERO,
            generation: 0,
            resend_at: now + config.initial_rto,
        }
    }

    /// Makes it fit into a cookie: without timestamps there is no room for options.
    pub(super) fn shrink(&mut self) {
        if self.timestamps.is_none() {
            self.peer_shift = None;
            self.sack = false;
            self.ecn = false;
        }
    }

    /// What else the timestamp of a cookie carries.
    pub(super) fn carried(&self) -> Carried {
        Carried { peer_shift: self.peer_shift, sack: self.sack, ecn: self.ecn }
    }

    /// The record that a cookie stood for: `ack` gave it back, with the MSS that it carried.
    pub(super) fn from_cookie(
        now: Instant,
        ack: &Segment,
        mss: u16,
        timestamp_offset: u32,
        listener: (u32, &Listener),
        config: &TcpConfig,
    ) -> Self {
        let stamps = ack.options.timestamps.filter(|_| config.timestamps);
        let carried = stamps.map(|option| Carried::decode(option.echo.wrapping_sub(timestamp_offset)));
        let options = Options {
            mss: Some(mss),
            window_scale: carried.and_then(|carried| carried.peer_shift),
            sack_permitted: carried.is_some_and(|carried| carried.sack),
            timestamps: stamps,
            ..Options::default()
        };
        let syn = Segment { seq: ack.seq - 1, options, ..ack.clone() };
        let record = SynRecord::new(now, &syn, ack.ack - 1, timestamp_offset, listener, config);
        let ecn = config.ecn != Ecn::Off && carried.is_some_and(|carried| carried.ecn);
        SynRecord { sent_at: None, ecn, ..record }
    }

    /// The window that the SYN,ACK offers: never scaled (RFC 7323, 2.2).
    pub(super) fn offered_window(&self, config: &TcpConfig) -> u32 {
        let buffer = self.receive_buffer.unwrap_or(config.initial_receive.min(config.max_receive));
        buffer.min(u32::from(u16::MAX))
    }

    /// The window scale that the SYN,ACK offers, if windows are scaled.
    pub(super) fn receive_shift(&self, config: &TcpConfig) -> u8 {
        self.receive_buffer.map_or_else(|| config.receive_shift(), shift_for)
    }

    fn segment(&self, flags: Flags, seq: SeqNum, window: u32, options: Options) -> Segment {
        Segment {
            source: self.local,
            destination: self.remote,
            seq,
            ack: self.irs + 1,
            flags,
            window: u16::try_from(window).unwrap_or(u16::MAX),
            options,
            payload: 0..0,
            pieces: 1,
            ecn: Codepoint::NotEct,
        }
    }

    /// SYN,ACK. The MSS is put in when the path is known.
    pub(super) fn syn_ack(&self, now: Instant, config: &TcpConfig) -> Segment {
        let options = Options {
            mss: (self.max_segment < u16::MAX).then_some(self.max_segment),
            window_scale: self.peer_shift.map(|_| self.receive_shift(config)),
            sack_permitted: self.sack,
            timestamps: self.timestamps.map(|state| state.option(now)),
            ..Options::default()
        };
        // RFC 3168, 6.1.1.
        let ecn = if self.ecn { Flags::ECE } else { Flags::default() };
        self.segment(Flags::SYN | Flags::ACK | ecn, self.iss, self.offered_window(config), options)
    }

    /// What answers a segment that does not belong here (RFC 5961), unless one did a moment ago (section 7).
    pub(super) fn challenge_ack(&mut self, now: Instant, config: &TcpConfig) -> Option<Segment> {
        if now < self.challenged_until {
            return None;
        }
        self.challenged_until = now + config.challenge_interval;
        let options = Options { timestamps: self.timestamps.map(|state| state.option(now)), ..Options::default() };
        let shift = self.peer_shift.map_or(0, |_| self.receive_shift(config));
        Some(self.segment(Flags::ACK, self.iss + 1, self.offered_window(config) >> shift, options))
    }
}

/// How many timeouts of a SYN,ACK it takes until `time` has gone by.
fn timeouts_within(time: Duration, config: &TcpConfig) -> u8 {
    let mut timeout = Rtt::new();
    let (mut count, mut gone) = (0, Duration::ZERO);
    while gone < time && count < u8::MAX {
        gone += timeout.timeout(config);
        timeout.back_off();
        count += 1;
    }
    count
}

/// All records in SYN_RCVD, with their timers.
#[derive(Debug)]
pub(super) struct SynTable {
    records: Slab<SynRecord>,
    timers: TimerQueue,
    /// Records of each remote address.
    peers: HashMap<IpAddr, usize, FixedState>,
    generation: u32,
}

/// What room there is for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// The listener, or the stack, has as many as it may.
    Full,
    /// The peer has as many as it may.
    PeerFull,
}

impl SynTable {
    pub(super) fn new(seed: u64) -> Self {
        SynTable {
            records: Slab::new(),
            timers: TimerQueue::default(),
            peers: HashMap::with_hasher(FixedState::with_seed(seed)),
            generation: 0,
        }
    }

    /// Whether a record for `peer` finds room.
    pub(super) fn room(&self, listener: &Listener, peer: IpAddr, config: &TcpConfig) -> Room {
        if self.peers.get(&peer).is_some_and(|&count| count >= config.max_half_open_per_peer.max(1)) {
            Room::PeerFull
        } else if listener.half_open >= config.syn_queue.max(1) || self.records.len() >= config.max_half_open.max(1) {
            Room::Full
        } else {
            Room::Free
        }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&SynRecord> {
        self.records.get(slot as usize)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut SynRecord> {
        self.records.get_mut(slot as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &SynRecord> {
        self.records.iter().map(|(_, record)| record)
    }

    /// Takes out the oldest record of a listener.
    pub(super) fn remove_oldest(&mut self, listener: &mut Listener) -> Option<SynRecord> {
        while let Some((slot, generation)) = listener.order.pop_front() {
            if self.is_current(slot, generation) {
                return self.remove(slot, Some(listener));
            }
        }
        None
    }

    /// Puts a record in, for which there is room.
    pub(super) fn insert(&mut self, mut record: SynRecord, listener: &mut Listener, limit: usize) -> u32 {
        if listener.order.len() > 2 * limit.max(16) {
            let records = &self.records;
            listener.order.retain(|&(slot, generation)| {
                records.get(slot as usize).is_some_and(|record| record.generation == generation)
            });
        }
        self.generation = self.generation.wrapping_add(1);
        record.generation = self.generation;
        *self.peers.entry(record.remote.ip()).or_default() += 1;
        let resend_at = record.resend_at;
        // Records are fewer than 2^32: each takes more than a byte.
        let slot = self.records.insert(record) as u32;
        self.timers.set(slot, resend_at);
        listener.order.push_back((slot, self.generation));
        listener.half_open += 1;
        slot
    }

    fn is_current(&self, slot: u32, generation: u32) -> bool {
        self.records.get(slot as usize).is_some_and(|record| record.generation == generation)
    }

    /// Takes a record out.
    pub(super) fn remove(&mut self, slot: u32, listener: Option<&mut Listener>) -> Option<SynRecord> {
        let record = self.records.try_remove(slot as usize)?;
        self.timers.remove(slot);
        if let Some(count) = self.peers.get_mut(&record.remote.ip()) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&record.remote.ip());
            }
        }
        if let Some(listener) = listener {
            listener.half_open = listener.half_open.saturating_sub(1);
        }
        Some(record)
    }

    /// The records whose own and other end `which` says yes to.
    pub(super) fn between(&self, which: impl Fn(SocketAddr, SocketAddr) -> bool) -> Vec<u32> {
        let chosen = self.records.iter().filter(|(_, record)| which(record.local, record.remote));
        chosen.map(|(slot, _)| slot as u32).collect()
    }

    /// The records of a listener that goes.
    pub(super) fn of_listener(&self, listener: &Listener) -> Vec<u32> {
        let current = listener.order.iter().filter(|&&(slot, generation)| self.is_current(slot, generation));
        current.map(|&(slot, _)| slot).collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// A record whose SYN,ACK is due again (RFC 6298), with its timer set for the next time.
    pub(super) fn pop_due(&mut self, now: Instant, config: &TcpConfig) -> Option<u32> {
        let slot = self.timers.pop(now)?;
        if let Some(record) = self.records.get_mut(slot as usize) {
            record.retransmits = record.retransmits.saturating_add(1);
            let mut timeout = Rtt::new();
            (0..record.retransmits).for_each(|_| timeout.back_off());
            record.resend_at = now + timeout.timeout(config);
            self.timers.set(slot, record.resend_at);
        }
        Some(slot)
    }
}
