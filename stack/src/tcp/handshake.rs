//! Passive opens, from the SYN to the accept queue.

use super::Tcp;
use super::config::SynCookies;
use super::conn::{Connection, DEFAULT_MSS_V4, DEFAULT_MSS_V6};
use super::cookie;
use super::demux::Slot;
use super::event::{ConnId, FlowEvent, TcpEvent};
use super::listen::{Room, SynRecord};
use crate::packet::{Packet, Pool};
use crate::seq::SeqNum;
use crate::time::Instant;
use crate::wire::tcp::Segment;

/// SYN,ACKs resent while a SYN queue is more than half full.
const PRESSED_RETRIES: u8 = 2;

impl Tcp {
    /// A segment that belongs to no connection (RFC 9293, 3.10.7.1 and 3.10.7.2). `iss` is given
    /// if it takes over from a TIME_WAIT record.
    pub(super) fn unknown_segment(
        &mut self,
        now: Instant,
        segment: &Segment,
        iss: Option<SeqNum>,
        packet: Packet,
        pool: &mut Pool,
    ) {
        let flags = segment.flags;
        let Some(index) = self.demux.listener(segment.destination) else {
            pool.give(packet);
            self.replies.reset(segment, &mut self.counters);
            return;
        };
        // LISTEN. First, check for a RST; second, for an ACK; third, for a SYN.
        if flags.rst() {
            return pool.give(packet);
        }
        if flags.ack() {
            return self.acknowledgment_for_listener(now, index, segment, packet, pool);
        }
        pool.give(packet);
        // A SYN with a FIN, or from nowhere, is no request of an honest peer.
        let senseless = flags.fin() || segment.source.port() == 0 || segment.source.ip().is_multicast();
        if !flags.syn() || senseless {
            self.counters.in_errs += u64::from(flags.syn());
            return;
        }
        let Some(listener) = self.listeners.get_mut(index as usize) else { return };
        if listener.is_full() {
            // The peer tries again, perhaps when there is room.
            self.counters.listen_overflows += 1;
            return;
        }
        let (local, remote) = (segment.destination, segment.source);
        let room = self.half_open.room(listener, remote.ip(), &self.config);
        let wanted = match self.config.syn_cookies {
            SynCookies::Never => false,
            SynCookies::UnderPressure => room != Room::Free,
            SynCookies::Always => true,
        };
        // What follows a TIME_WAIT record needs the sequence number that fits to it. Such peers
        // are real: they have had a connection.
        if wanted && iss.is_none() {
            self.counters.syn_queue_cookies += u64::from(room != Room::Free);
            return self.answer_with_cookie(now, index, segment);
        }
        let mut displaced = None;
        if room != Room::Free {
            self.counters.syn_queue_drops += 1;
            displaced = if room == Room::Full { self.half_open.remove_oldest(listener) } else { None };
            if displaced.is_none() {
                return;
            }
        }
        let iss = iss.unwrap_or_else(|| self.secrets.initial_sequence(now, local, remote));
        let offset = self.secrets.timestamp_offset(local, remote);
        let record = SynRecord::new(now, segment, iss, offset, (index, listener), &self.config);
        self.replies.push(record.syn_ack(now, &self.config), &mut self.counters);
        if let Some(Slot::TimeWait(old)) = self.demux.find(local, remote) {
            self.remove_time_wait(old);
            self.counters.time_wait_reused += 1;
        }
        let Some(listener) = self.listeners.get_mut(index as usize) else { return };
        let slot = self.half_open.insert(record, listener, self.config.syn_queue);
        self.demux.insert(local, remote, Slot::SynReceived(slot));
        self.counters.passive_opens += 1;
        if let Some(old) = displaced {
            self.forget_half_open(&old);
        }
        self.opened(local, remote, segment.seq.0, true);
    }

    /// RFC 4987, 3.6: a SYN,ACK that carries all that would be kept. Nothing is reported before
    /// the cookie comes back: the connection begins then.
    fn answer_with_cookie(&mut self, now: Instant, index: u32, syn: &Segment) {
        let Some(listener) = self.listeners.get_mut(index as usize) else { return };
        let (local, remote) = (syn.destination, syn.source);
        let default_mss = if remote.is_ipv4() { DEFAULT_MSS_V4 } else { DEFAULT_MSS_V6 };
        let cookie = cookie::make(&self.secrets, now, syn, syn.options.mss.unwrap_or(default_mss));
        let offset = self.secrets.timestamp_offset(local, remote);
        let mut record = SynRecord::new(now, syn, cookie, offset, (index, listener), &self.config);
        record.shrink();
        let mut answer = record.syn_ack(now, &self.config);
        if let Some(option) = &mut answer.options.timestamps {
            option.value = record.carried().encode(option.value.wrapping_sub(offset)).wrapping_add(offset);
        }
        self.replies.push(answer, &mut self.counters);
        listener.cookies_until = now + cookie::VALID;
        self.cookies_until = listener.cookies_until;
        self.counters.syncookies_sent += 1;
    }

    /// Whether `segment` gives back a SYN cookie of this stack: whoever decides by what connections
    /// there are has to let it in, for this one is not there yet.
    pub fn returns_cookie(&self, now: Instant, segment: &Segment) -> bool {
        if !self.awaits_cookies(now) || !segment.flags.ack() || segment.flags.syn() || segment.flags.rst() {
            return false;
        }
        let listener = self.demux.listener(segment.destination).and_then(|index| self.listeners.get(index as usize));
        listener.is_some_and(|listener| listener.awaits_cookies(now))
            && self.demux.find(segment.destination, segment.source).is_none()
            && cookie::check(&self.secrets, now, segment).is_some()
    }

    /// Whether any SYN cookie may still come back.
    pub fn awaits_cookies(&self, now: Instant) -> bool {
        self.cookies_until > now
    }

    /// RFC 9293, 3.10.7.2, second: an ACK does not belong here, unless it gives back a cookie.
    fn acknowledgment_for_listener(
        &mut self,
        now: Instant,
        index: u32,
        segment: &Segment,
        packet: Packet,
        pool: &mut Pool,
    ) {
        let Some(listener) = self.listeners.get_mut(index as usize) else { return pool.give(packet) };
        let expected = listener.awaits_cookies(now);
        let mss = if expected && !segment.flags.syn() { cookie::check(&self.secrets, now, segment) } else { None };
        let Some(mss) = mss else {
            self.counters.syncookies_failed += u64::from(expected);
            self.replies.reset(segment, &mut self.counters);
            return pool.give(packet);
        };
        self.counters.syncookies_recv += 1;
        if listener.is_full() {
            // The peer sends its data again, perhaps when there is room.
            self.counters.listen_overflows += 1;
            return pool.give(packet);
        }
        let (local, remote) = (segment.destination, segment.source);
        let offset = self.secrets.timestamp_offset(local, remote);
        let record = SynRecord::from_cookie(now, segment, mss, offset, (index, listener), &self.config);
        self.counters.passive_opens += 1;
        self.opened(local, remote, record.irs.0, true);
        self.establish(now, &record, segment, packet, pool);
    }

    /// A segment for a connection in SYN_RCVD (RFC 9293, 3.10.7.4, as far as it can matter there).
    pub(super) fn half_open_segment(
        &mut self,
        now: Instant,
        slot: u32,
        segment: &Segment,
        packet: Packet,
        pool: &mut Pool,
    ) {
        let Some(record) = self.half_open.get(slot) else {
            pool.give(packet);
            return;
        };
        let flags = segment.flags;
        let rcv_nxt = record.irs + 1;
        let window = record.offered_window(&self.config);
        let in_window = segment.seq.after_eq(rcv_nxt) && segment.seq.before_eq(rcv_nxt + window);
        let old_timestamp = match (record.timestamps, segment.options.timestamps) {
            (Some(state), Some(option)) => SeqNum(option.value).before(SeqNum(state.recent)),
            _ => false,
        };
        let syn_again = flags.syn() && segment.seq == record.irs;
        let completes = flags.ack() && segment.ack == record.iss + 1;
        if flags.rst() {
            if segment.seq == rcv_nxt {
                self.remove_half_open(slot);
                self.counters.attempt_fails += 1;
            } else if in_window {
                self.challenge_half_open(now, slot);
            }
        } else if syn_again && !flags.ack() {
            // R3: the SYN,ACK was lost, or is late.
            let answer = record.syn_ack(now, &self.config);
            self.replies.push(answer, &mut self.counters);
        } else if flags.syn() || !in_window || old_timestamp {
            self.challenge_half_open(now, slot);
        } else if flags.ack() && !completes && self.config.shared_addresses {
            self.remove_half_open(slot);
            self.counters.attempt_fails += 1;
        } else if flags.ack() && !completes {
            self.replies.reset(segment, &mut self.counters);
        } else if completes && segment.sequence_len() == 0 && self.defers(slot) {
            // TCP_DEFER_ACCEPT: the peer will come with data, or hear the SYN,ACK again.
            if let Some(record) = self.half_open.get_mut(slot) {
                record.deferred = true;
            }
        } else if completes {
            return self.complete_handshake(now, slot, segment, packet, pool);
        }
        pool.give(packet);
    }

    /// Whether the listener of a record still waits for data.
    fn defers(&self, slot: u32) -> bool {
        self.half_open.get(slot).is_some_and(|record| record.retransmits < record.defer_timeouts)
    }

    fn challenge_half_open(&mut self, now: Instant, slot: u32) {
        let record = self.half_open.get_mut(slot);
        if let Some(answer) = record.and_then(|record| record.challenge_ack(now, &self.config)) {
            self.counters.challenge_acks += 1;
            self.replies.push(answer, &mut self.counters);
        }
    }

    /// The handshake's last ACK, which may bring data, has come.
    fn complete_handshake(&mut self, now: Instant, slot: u32, segment: &Segment, packet: Packet, pool: &mut Pool) {
        let listener = self.half_open.get(slot).map(|record| record.listener);
        let listener = listener.and_then(|index| self.listeners.get_mut(index as usize).map(|found| (index, found)));
        let Some((_, listener)) = listener else {
            pool.give(packet);
            return;
        };
        if listener.is_full() {
            // The SYN,ACK will be sent again, and the peer's answer finds room, or not.
            self.counters.listen_overflows += 1;
            pool.give(packet);
            return;
        }
        let Some(record) = self.half_open.remove(slot, Some(listener)) else {
            pool.give(packet);
            return;
        };
        self.establish(now, &record, segment, packet, pool);
    }

    /// A half-open record becomes a connection in its listener's accept queue.
    fn establish(&mut self, now: Instant, record: &SynRecord, segment: &Segment, packet: Packet, pool: &mut Pool) {
        let listener_index = record.listener;
        let Some(listener) = self.listeners.get_mut(listener_index as usize) else { return pool.give(packet) };
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let conn = Connection::accept(now, record, generation, &self.config);
        // Connections are fewer than 2^32: each takes more than a byte.
        let index = self.connections.insert(Box::new(conn)) as u32;
        self.demux.insert(record.local, record.remote, Slot::Connection(index));
        listener.accept_queue.push_back(ConnId { index, generation });
        if listener.waits {
            listener.waits = false;
            let id = super::ListenerId { index: listener_index, generation: listener.generation };
            self.events.push_back(TcpEvent::Acceptable(id));
        }
        self.flow(FlowEvent::Established { local: record.local, remote: record.remote });
        self.connection_segment(now, index, segment, packet, pool);
    }

    /// A SYN,ACK is due again.
    pub(super) fn half_open_due(&mut self, now: Instant, slot: u32) {
        let Some(record) = self.half_open.get(slot) else { return };
        let listener = self.listeners.get(record.listener as usize);
        let pressed = listener.is_some_and(|listener| listener.is_pressed(self.config.syn_queue));
        // While the queue is more than half full, silent peers have fewer tries, as in Linux.
        let retries =
            if pressed { self.config.syn_ack_retries.min(PRESSED_RETRIES) } else { self.config.syn_ack_retries };
        if record.retransmits > retries {
            self.remove_half_open(slot);
            self.counters.attempt_fails += 1;
            return;
        }
        // Linux: silent while the peer's data is awaited, and once more when that is over.
        if record.deferred && record.retransmits < record.defer_timeouts {
            return;
        }
        self.counters.retrans_segs += 1;
        self.replies.push(record.syn_ack(now, &self.config), &mut self.counters);
    }

    pub(super) fn remove_half_open(&mut self, slot: u32) {
        let listener = self.half_open.get(slot).map_or(u32::MAX, |record| record.listener);
        let listener = self.listeners.get_mut(listener as usize);
        if let Some(record) = self.half_open.remove(slot, listener) {
            self.forget_half_open(&record);
        }
    }

    fn forget_half_open(&mut self, record: &SynRecord) {
        self.demux.remove(record.local, record.remote);
        self.ended(record.local, record.remote, record.irs.0);
    }
}
