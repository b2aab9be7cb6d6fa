//! Reassembly of fragments (RFC 791, RFC 815; RFC 8200, section 4.5): bounded, and without
//! overlaps (RFC 5722).

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::packet::{MAX_PACKET, Packet};
use crate::time::Instant;
use crate::wire::checksum;
use crate::wire::datagram::Datagram;
use crate::wire::{extension, ip};

/// Datagrams that are put together at a time; the oldest gives way.
const MAX_DATAGRAMS: usize = 64;
/// The same from one source.
const MAX_PER_SOURCE: usize = 16;
/// Bytes that all parts occupy together; the oldest datagrams give way.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// The same from one source.
const MAX_BYTES_PER_SOURCE: usize = 512 * 1024;
/// Parts of one datagram: enough for the largest over a link of 576 bytes.
const MAX_PARTS: usize = 128;
/// What a part costs besides its bytes.
const OVERHEAD: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    /// Of IPv4; the fragments of one IPv6 datagram may name different headers (RFC 8200, section 4.5).
    protocol: u8,
    identification: u32,
}

/// What is in front of the payload, from the first fragment.
#[derive(Debug)]
struct Front {
    bytes: Vec<u8>,
    /// IPv6: the field that named the Fragment header, and what that header named.
    next: Option<(usize, u8)>,
}

#[derive(Debug)]
struct Partial {
    key: Key,
    began: Instant,
    /// Payload parts by their offset; they do not overlap.
    parts: BTreeMap<u32, Vec<u8>>,
    front: Option<Front>,
    /// Length of the payload, once the last fragment came.
    length: Option<u32>,
    /// Codepoints of the parts (RFC 3168, section 5.3), a bit for each.
    codepoints: u8,
    /// An overlap was seen: what is left of the datagram is swallowed.
    poisoned: bool,
    /// Bytes that it occupies.
    bytes: usize,
}

impl Partial {
    fn complete(&self) -> bool {
        let Some(length) = self.length else { return false };
        let mut next = 0;
        for (offset, part) in &self.parts {
            if *offset != next {
                return false;
            }
            // Checked to fit into a datagram when it was put in.
            next += part.len() as u32;
        }
        next == length && self.front.is_some()
    }

    /// RFC 3168, section 5.3: one mark marks the whole; but a part that takes no marks beside one
    /// that has one means that somebody cheats: then the datagram is dropped.
    fn marked(&self) -> Option<bool> {
        const NOT_ECT: u8 = 1 << 0;
        const CE: u8 = 1 << 3;
        match (self.codepoints & CE != 0, self.codepoints & NOT_ECT != 0) {
            (true, true) => None,
            (marked, _) => Some(marked),
        }
    }

    /// The datagram, whole: the first fragment's headers with their fields put right, the Fragment
    /// header gone.
    fn join(self) -> Option<Packet> {
        let marked = self.marked()?;
        let Front { mut bytes, next } = self.front?;
        if marked {
            ip::mark(&mut bytes);
        }
        let header = bytes.len();
        self.parts.into_values().for_each(|part| bytes.extend_from_slice(&part));
        if bytes.len() > MAX_PACKET {
            return None;
        }
        match next {
            None => {
                let total = u16::try_from(bytes.len()).ok()?;
                bytes[2..4].copy_from_slice(&total.to_be_bytes());
                bytes[6..8].fill(0);
                bytes[10..12].fill(0);
                let sum = !checksum::fold(checksum::sum(&bytes[..header]));
                bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            Some((at, next)) => {
                let payload = u16::try_from(bytes.len() - 40).ok()?;
                bytes[4..6].copy_from_slice(&payload.to_be_bytes());
                bytes[at] = next;
            }
        }
        Some(Packet::copy_of(&bytes))
    }
}

/// What a fragment led to.
#[derive(Debug)]
pub enum Outcome {
    /// The rest is still to come.
    Incomplete,
    /// The datagram is whole.
    Complete(Packet),
    /// The fragment was dropped: malformed, overlapping, or too many.
    Dropped,
    /// The fragment was dropped, and an IPv6 source is told by a Parameter Problem (RFC 8200,
    /// section 4.5; RFC 7112).
    Problem {
        /// Its code.
        code: u8,
        /// The byte of the fragment at fault.
        pointer: u32,
    },
}

/// Datagrams that are being put together, the oldest first.
#[derive(Debug)]
pub struct Reassembly {
    timeout: Duration,
    partial: Vec<Partial>,
    bytes: usize,
}

impl Default for Reassembly {
    /// RFC 1122, section 3.3.2; RFC 8200, section 4.5.
    fn default() -> Self {
        Reassembly::new(Duration::from_secs(60))
    }
}

impl Reassembly {
    /// With nothing in it. The parts of a datagram wait for the rest for `timeout`.
    pub fn new(timeout: Duration) -> Self {
        Reassembly { timeout, partial: Vec::new(), bytes: 0 }
    }

    /// From now on parts wait so long.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a fragment in. `packet` is what `datagram` was read from.
    pub fn add(&mut self, now: Instant, packet: &[u8], datagram: &Datagram) -> Outcome {
        let payload = &packet[datagram.payload.clone()];
        let (v6, end) = (datagram.source.is_ipv6(), datagram.fragment_offset as usize + payload.len());
        let problem = |code, pointer: usize| match v6 {
            true => Outcome::Problem { code, pointer: u32::try_from(pointer).unwrap_or(u32::MAX) },
            false => Outcome::Dropped,
        };
        if datagram.more_fragments && !payload.len().is_multiple_of(8) {
            // It points at the payload length.
            return problem(extension::code::FIELD, 4);
        }
        // The Fragment header is no part of the datagram.
        let front = datagram.payload.start - if v6 { 8 } else { 0 };
        if front + end > MAX_PACKET {
            // It points at the fragment offset.
            return problem(extension::code::FIELD, datagram.payload.start.saturating_sub(6));
        }
        if payload.is_empty() {
            return Outcome::Dropped;
        }
        if v6 && datagram.fragment_offset == 0 && !extension::is_complete(datagram.protocol, payload) {
            return problem(extension::code::INCOMPLETE, 0);
        }
        let key = Key {
            source: datagram.source,
            destination: datagram.destination,
            protocol: if v6 { 0 } else { datagram.protocol },
            identification: datagram.identification,
        };
        self.make_room(&key, payload.len() + OVERHEAD);
        let index = self.partial.iter().position(|partial| partial.key == key).unwrap_or_else(|| self.begin(now, key));
        let partial = &mut self.partial[index];
        if partial.poisoned {
            return Outcome::Dropped;
        }
        // At most 65,535, see above.
        let (start, end) = (datagram.fragment_offset, end as u32);
        if partial.parts.get(&start).is_some_and(|known| known == payload) {
            // RFC 8200, section 4.5: an exact duplicate is no overlap.
            return Outcome::Incomplete;
        }
        let overlaps = partial.parts.range(..end).next_back().is_some_and(|(at, part)| at + part.len() as u32 > start);
        let contradicts = match (partial.length, datagram.more_fragments) {
            (Some(length), true) => end > length,
            (Some(length), false) => end != length,
            (None, false) => partial.parts.last_key_value().is_some_and(|(at, part)| at + part.len() as u32 > end),
            (None, true) => false,
        };
        if overlaps || contradicts || partial.parts.len() == MAX_PARTS {
            // RFC 5722: the whole datagram is dropped, with all parts that are still to come.
            partial.poisoned = true;
            partial.parts.clear();
            self.bytes -= std::mem::take(&mut partial.bytes);
            return Outcome::Dropped;
        }
        if start == 0 {
            let next = v6.then_some((datagram.fragment_named_at, datagram.protocol));
            partial.front = Some(Front { bytes: packet[..front].to_vec(), next });
        }
        if !datagram.more_fragments {
            partial.length = Some(end);
        }
        partial.codepoints |= 1 << (datagram.traffic_class & 3);
        partial.parts.insert(start, payload.to_vec());
        partial.bytes += payload.len() + OVERHEAD;
        self.bytes += payload.len() + OVERHEAD;
        if !partial.complete() {
            return Outcome::Incomplete;
        }
        self.remove(index).join().map_or(Outcome::Dropped, Outcome::Complete)
    }

    fn remove(&mut self, index: usize) -> Partial {
        let partial = self.partial.remove(index);
        self.bytes -= partial.bytes;
        partial
    }

    /// Sees to it that `bytes` more fit for the datagram `key`: of the same source first, then of
    /// all, the oldest gives way.
    fn make_room(&mut self, key: &Key, bytes: usize) {
        let of_source = |partial: &&Partial| partial.key.source == key.source;
        while self.partial.iter().filter(of_source).map(|partial| partial.bytes).sum::<usize>() + bytes
            > MAX_BYTES_PER_SOURCE
            && let Some(oldest) = self.partial.iter().position(|partial| partial.key.source == key.source)
        {
            self.remove(oldest);
        }
        while self.bytes + bytes > MAX_BYTES && !self.partial.is_empty() {
            self.remove(0);
        }
    }

    fn begin(&mut self, now: Instant, key: Key) -> usize {
        let of_source = self.partial.iter().filter(|partial| partial.key.source == key.source).count();
        if of_source >= MAX_PER_SOURCE {
            if let Some(oldest) = self.partial.iter().position(|partial| partial.key.source == key.source) {
                self.remove(oldest);
            }
        } else if self.partial.len() >= MAX_DATAGRAMS {
            self.remove(0);
        }
        self.partial.push(Partial {
            key,
            began: now,
            parts: BTreeMap::new(),
            front: None,
            codepoints: 0,
            length: None,
            poisoned: false,
            bytes: 0,
        });
        self.partial.len() - 1
    }

    /// When the oldest datagram is given up.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.partial.first().map(|oldest| oldest.began + self.timeout)
    }

    /// Gives up what is too old: from whom each was, and its first fragment, if that came.
    pub fn expire(&mut self, now: Instant, mut quote: impl FnMut(IpAddr, Option<Packet>)) {
        while self.next_deadline().is_some_and(|at| at <= now) {
            let Partial { key, parts, front, .. } = self.remove(0);
            let first = front.zip(parts.get(&0)).map(|(Front { mut bytes, next }, first)| {
                if let Some((_, next)) = next {
                    let [a, b, c, d] = key.identification.to_be_bytes();
                    bytes.extend_from_slice(&[next, 0, 0, 1, a, b, c, d]);
                }
                bytes.extend_from_slice(first);
                Packet::copy_of(&bytes)
            });
            quote(key.source, first);
        }
    }

    /// Whether nothing is being put together.
    pub fn is_empty(&self) -> bool {
        self.partial.is_empty()
    }
}
