//! TIME_WAIT: what is left of a connection for 2 MSL (RFC 9293, 3.6.1), in a small record.

use std::collections::VecDeque;
use std::net::SocketAddr;

use slab::Slab;

use super::conn::TimestampState;
use crate::seq::SeqNum;
use crate::time::Instant;
use crate::wire::tcp::{Codepoint, Flags, Options, Segment};
use core::time::Duration;

/// One ACK in this time to segments that are not acceptable.
const ANSWER_INTERVAL: Duration = Duration::from_millis(500);
/// RFC 6191: an active open may replace a record whose timestamps are this old.
const ACTIVE_REUSE: Duration = Duration::from_secs(1);
/// How far a new connection's ISS lies beyond the old one's SND.NXT: out of any window of it.
const ISS_DISTANCE: u32 = 65_535 + 2;

/// The record.
#[derive(Debug, Clone)]
pub(super) struct TimeWait {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) snd_nxt: SeqNum,
    pub(super) rcv_nxt: SeqNum,
    pub(super) timestamps: Option<TimestampState>,
    pub(super) instance: u32,
    pub(super) passive: bool,
    pub(super) expires: Instant,
    pub(super) answered: Option<Instant>,
    generation: u32,
}

/// What a segment for a record in TIME_WAIT leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// Nothing.
    Ignored,
    /// This ACK.
    Answer(Segment),
    /// It is a SYN of a new connection (RFC 9293, 3.10.7.4; RFC 6191): ours is to start at `iss`.
    NewConnection { iss: SeqNum },
}

impl TimeWait {
    pub(super) fn new(
        ends: (SocketAddr, SocketAddr),
        (snd_nxt, rcv_nxt): (SeqNum, SeqNum),
        timestamps: Option<TimestampState>,
        (instance, passive): (u32, bool),
        expires: Instant,
    ) -> Self {
        TimeWait {
            local: ends.0,
            remote: ends.1,
            snd_nxt,
            rcv_nxt,
            timestamps,
            instance,
            passive,
            expires,
            answered: None,
            generation: 0,
        }
    }

    /// ISS of a connection that follows.
    fn next_iss(&self) -> SeqNum {
        self.snd_nxt + ISS_DISTANCE
    }

    /// Whether an active open may take its place, and from which ISS (RFC 6191, section 2).
    pub(super) fn active_reuse(&self, now: Instant) -> Option<SeqNum> {
        let state = self.timestamps?;
        (now.since(state.recent_at) >= ACTIVE_REUSE).then(|| self.next_iss())
    }

    /// RFC 9293, 3.10.7.4, for TIME-WAIT.
    pub(super) fn segment_arrives(&mut self, now: Instant, segment: &Segment, time_wait: Duration) -> Disposition {
        let flags = segment.flags;
        if flags.rst() {
            // RFC 1337, section 3, fix 1: a RST does not end TIME_WAIT.
            return Disposition::Ignored;
        }
        let (newer, older) = match (self.timestamps, segment.options.timestamps) {
            (Some(state), Some(option)) => {
                let (value, recent) = (SeqNum(option.value), SeqNum(state.recent));
                (value.after(recent), value.before(recent))
            }
            _ => (false, false),
        };
        // RFC 6191, section 2; PAWS refuses a SYN from before.
        if flags.syn() && !flags.ack() && !older && (segment.seq.after(self.rcv_nxt) || newer) {
            return Disposition::NewConnection { iss: self.next_iss() };
        }
        if flags.fin() && segment.end() == self.rcv_nxt {
            // The peer's FIN again: our ACK was lost. 2 MSL begin anew.
            self.expires = now + time_wait;
            return Disposition::Answer(self.acknowledgment(now));
        }
        let expected = segment.sequence_len() == 0 && segment.seq == self.rcv_nxt;
        if expected || self.answered.is_some_and(|at| now.since(at) < ANSWER_INTERVAL) {
            return Disposition::Ignored;
        }
        self.answered = Some(now);
        Disposition::Answer(self.acknowledgment(now))
    }

    /// ACK of the peer's FIN.
    pub(super) fn acknowledgment(&self, now: Instant) -> Segment {
        Segment {
            source: self.local,
            destination: self.remote,
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: Flags::ACK,
            // Whatever it says: the peer has nothing more to send.
            window: u16::MAX,
            options: Options { timestamps: self.timestamps.map(|state| state.option(now)), ..Options::default() },
            payload: 0..0,
            pieces: 1,
            ecn: Codepoint::NotEct,
        }
    }
}

/// All records. They expire in the order in which they came, but for those that began anew.
#[derive(Debug, Default)]
pub(super) struct TimeWaitTable {
    records: Slab<TimeWait>,
    order: VecDeque<(Instant, u32, u32)>,
    generation: u32,
}

impl TimeWaitTable {
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut TimeWait> {
        self.records.get_mut(slot as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &TimeWait> {
        self.records.iter().map(|(_, record)| record)
    }

    /// The records whose own and other end `which` says yes to.
    pub(super) fn between(&self, which: impl Fn(SocketAddr, SocketAddr) -> bool) -> Vec<u32> {
        let chosen = self.records.iter().filter(|(_, record)| which(record.local, record.remote));
        chosen.map(|(slot, _)| slot as u32).collect()
    }

    /// Puts a record in; the oldest comes out if there are `limit` already.
    pub(super) fn insert(&mut self, mut record: TimeWait, limit: usize) -> (u32, Option<TimeWait>) {
        let mut displaced = None;
        while self.records.len() >= limit.max(1) {
            let Some((_, slot, generation)) = self.order.pop_front() else { break };
            if self.is_current(slot, generation) {
                displaced = self.records.try_remove(slot as usize);
                break;
            }
        }
        self.generation = self.generation.wrapping_add(1);
        record.generation = self.generation;
        let expires = record.expires;
        // Records are fewer than 2^32: each takes more than a byte.
        let slot = self.records.insert(record) as u32;
        self.order.push_back((expires, slot, self.generation));
        (slot, displaced)
    }

    fn is_current(&self, slot: u32, generation: u32) -> bool {
        self.records.get(slot as usize).is_some_and(|record| record.generation == generation)
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<TimeWait> {
        let record = self.records.try_remove(slot as usize);
        if self.order.len() > 2 * self.records.len() + 64 {
            let records = &self.records;
            self.order.retain(|&(_, slot, generation)| {
                records.get(slot as usize).is_some_and(|record| record.generation == generation)
            });
        }
        record
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.order.front().map(|entry| entry.0)
    }

    /// Takes out a record that has expired.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<TimeWait> {
        while let Some(&(at, slot, generation)) = self.order.front() {
            if at > now {
                return None;
            }
            self.order.pop_front();
            if !self.is_current(slot, generation) {
                continue;
            }
            let expires = self.records[slot as usize].expires;
            if expires <= now {
                return self.records.try_remove(slot as usize);
            }
            // It began anew. At the end of the queue it may last longer than it must, not less.
            self.order.push_back((expires, slot, generation));
        }
        None
    }
}
