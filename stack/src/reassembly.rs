//! Reassembly of fragments (RFC 791, RFC 815): bounded, and without overlaps (RFC 5722).

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::packet::Packet;
use crate::time::Instant;
use crate::wire::checksum;
use crate::wire::datagram::Datagram;
use crate::wire::ip;

/// How long the parts of a datagram wait for the rest.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Datagrams that are put together at a time; the oldest gives way.
const MAX_DATAGRAMS: usize = 64;
/// The same from one source.
const MAX_PER_SOURCE: usize = 16;
/// Parts of one datagram.
const MAX_PARTS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    identification: u32,
}

#[derive(Debug)]
struct Partial {
    key: Key,
    began: Instant,
    /// Payload parts by their offset; they do not overlap.
    parts: BTreeMap<u32, Vec<u8>>,
    /// The first fragment's header, once that came.
    header: Option<Vec<u8>>,
    /// Length of the payload, once the last fragment came.
    length: Option<u32>,
    /// Codepoints of the parts (RFC 3168, section 5.3), a bit for each.
    codepoints: u8,
    /// An overlap was seen: what is left of the datagram is swallowed.
    poisoned: bool,
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
        next == length && self.header.is_some()
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

    /// The datagram, whole: the first fragment's header with its fields put right.
    fn join(self) -> Option<Packet> {
        let marked = self.marked()?;
        let mut bytes = self.header?;
        if marked {
            ip::mark(&mut bytes);
        }
        let header = bytes.len();
        self.parts.into_values().for_each(|part| bytes.extend_from_slice(&part));
        let total = u16::try_from(bytes.len()).ok()?;
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes[6..8].fill(0);
        bytes[10..12].fill(0);
        let sum = !checksum::fold(checksum::sum(&bytes[..header]));
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
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
}

/// Datagrams that are being put together, the oldest first.
#[derive(Debug, Default)]
pub struct Reassembly {
    partial: Vec<Partial>,
}

impl Reassembly {
    /// Takes a fragment in. `packet` is what `datagram` was read from.
    pub fn add(&mut self, now: Instant, packet: &[u8], datagram: &Datagram) -> Outcome {
        let payload = &packet[datagram.payload.clone()];
        let end = datagram.fragment_offset as usize + payload.len();
        let aligned = !datagram.more_fragments || payload.len().is_multiple_of(8);
        if payload.is_empty() || !aligned || datagram.payload.start + end > usize::from(u16::MAX) {
            return Outcome::Dropped;
        }
        let key = Key {
            source: datagram.source,
            destination: datagram.destination,
            protocol: datagram.protocol,
            identification: datagram.identification,
        };
        let index = self.partial.iter().position(|partial| partial.key == key).unwrap_or_else(|| self.begin(now, key));
        let partial = &mut self.partial[index];
        if partial.poisoned {
            return Outcome::Dropped;
        }
        // At most 65,535, see above.
        let (start, end) = (datagram.fragment_offset, end as u32);
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
            return Outcome::Dropped;
        }
        if start == 0 {
            partial.header = Some(packet[..datagram.payload.start].to_vec());
        }
        if !datagram.more_fragments {
            partial.length = Some(end);
        }
        partial.codepoints |= 1 << (datagram.traffic_class & 3);
        partial.parts.insert(start, payload.to_vec());
        if !partial.complete() {
            return Outcome::Incomplete;
        }
        self.partial.remove(index).join().map_or(Outcome::Dropped, Outcome::Complete)
    }

    fn begin(&mut self, now: Instant, key: Key) -> usize {
        let of_source = self.partial.iter().filter(|partial| partial.key.source == key.source).count();
        if of_source >= MAX_PER_SOURCE {
            if let Some(oldest) = self.partial.iter().position(|partial| partial.key.source == key.source) {
                self.partial.remove(oldest);
            }
        } else if self.partial.len() >= MAX_DATAGRAMS {
            self.partial.remove(0);
        }
        self.partial.push(Partial {
            key,
            began: now,
            parts: BTreeMap::new(),
            header: None,
            codepoints: 0,
            length: None,
            poisoned: false,
        });
        self.partial.len() - 1
    }

    /// When the oldest datagram is given up.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.partial.first().map(|oldest| oldest.began + TIMEOUT)
    }

    /// Gives up what is too old; for each whose first fragment came, that fragment as far as a
    /// quotation needs it.
    pub fn expire(&mut self, now: Instant, mut quote: impl FnMut(&[u8])) {
        while self.next_deadline().is_some_and(|at| at <= now) {
            let old = self.partial.remove(0);
            if let (Some(mut header), Some(first)) = (old.header, old.parts.get(&0)) {
                header.extend_from_slice(first);
                quote(&header);
            }
        }
    }
}
