//! Passive opens, from the SYN to the accept queue.

use super::Tcp;
use super::conn::Connection;
use super::demux::Slot;
use super::event::{ConnId, TcpEvent};
use super::listen::SynRecord;
use crate::packet::{Packet, Pool};
use crate::seq::SeqNum;
use crate::time::Instant;
use crate::wire::tcp::Segment;

impl Tcp {
    /// A segment that belongs to no connection (RFC 9293, 3.10.7.1 and 3.10.7.2). `iss` is given
    /// if it takes over from a TIME_WAIT record.
    pub(super) fn unknown_segment(&mut self, now: Instant, segment: &Segment, iss: Option<SeqNum>) {
        let flags = segment.flags;
        let Some(index) = self.demux.listener(segment.destination) else {
            self.replies.reset(segment, &mut self.counters);
            return;
        };
        // LISTEN. First, check for a RST; second, for an ACK; third, for a SYN.
        if flags.rst() {
            return;
        }
        if flags.ack() {
            self.replies.reset(segment, &mut self.counters);
            return;
        }
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
        let iss = iss.unwrap_or_else(|| self.secrets.initial_sequence(now, local, remote));
        let offset = self.secrets.timestamp_offset(local, remote);
        let record = SynRecord::new(now, segment, iss, offset, (index, listener), &self.config);
        self.replies.push(record.syn_ack(now, &self.config), &mut self.counters);
        let (slot, displaced) = self.half_open.insert(record, listener, self.config.syn_queue);
        self.demux.insert(local, remote, Slot::SynReceived(slot));
        self.counters.passive_opens += 1;
        if let Some(old) = displaced {
            self.counters.syn_queue_drops += 1;
            self.forget_half_open(&old);
        }
        self.opened(local, remote, segment.seq.0, true);
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
        if let Some(record) = self.half_open.get(slot) {
            self.counters.challenge_acks += 1;
            self.replies.push(record.challenge_ack(now, &self.config), &mut self.counters);
        }
    }

    /// The handshake's last ACK, which may bring data, has come.
    fn complete_handshake(&mut self, now: Instant, slot: u32, segment: &Segment, packet: Packet, pool: &mut Pool) {
        let listener = self.half_open.get(slot).map(|record| record.listener);
        let listener = listener.and_then(|index| self.listeners.get_mut(index as usize).map(|found| (index, found)));
        let Some((listener_index, listener)) = listener else {
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
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let conn = Connection::accept(now, &record, generation, &self.config);
        // Connections are fewer than 2^32: each takes more than a byte.
        let index = self.connections.insert(Box::new(conn)) as u32;
        self.demux.insert(record.local, record.remote, Slot::Connection(index));
        listener.accept_queue.push_back(ConnId { index, generation });
        if listener.waits {
            listener.waits = false;
            let id = super::ListenerId { index: listener_index, generation: listener.generation };
            self.events.push_back(TcpEvent::Acceptable(id));
        }
        self.connection_segment(now, index, segment, packet, pool);
    }

    /// A SYN,ACK is due again.
    pub(super) fn half_open_due(&mut self, now: Instant, slot: u32) {
        let Some(record) = self.half_open.get(slot) else { return };
        if record.retransmits > self.config.syn_ack_retries {
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
