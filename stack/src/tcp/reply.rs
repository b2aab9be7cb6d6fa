//! Segments that belong to no connection, or to none any more: they wait here for the next
//! transmission, in bounded number.

use std::collections::VecDeque;

use super::counters::TcpCounters;
use crate::egress::{Egress, Path, Transmit};
use crate::packet::{Checksum, Offload, SegmentKind, Segmentation};
use crate::seq::SeqNum;
use crate::wire::checksum;
use crate::wire::ip::{self, protocol};
use crate::wire::tcp::{CHECKSUM_OFFSET, Codepoint, Flags, MAX_HEADER, MIN_HEADER, Options, Segment};

/// The queue.
#[derive(Debug)]
pub(super) struct Replies {
    queue: VecDeque<Segment>,
    limit: usize,
}

impl Replies {
    pub(super) fn new(limit: usize) -> Self {
        Replies { queue: VecDeque::new(), limit }
    }

    /// Queues a segment without payload.
    pub(super) fn push(&mut self, segment: Segment, counters: &mut TcpCounters) {
        if self.queue.len() >= self.limit {
            counters.reply_drops += 1;
            return;
        }
        if segment.flags.rst() {
            counters.out_rsts += 1;
        }
        self.queue.push_back(segment);
    }

    /// Answers as a closed port does (RFC 9293, 3.10.7.1).
    pub(super) fn reset(&mut self, segment: &Segment, counters: &mut TcpCounters) {
        if segment.flags.rst() {
            return;
        }
        let (seq, ack, flags) = if segment.flags.ack() {
            (segment.ack, SeqNum(0), Flags::RST)
        } else {
            (SeqNum(0), segment.end(), Flags::RST | Flags::ACK)
        };
        let answer = Segment {
            source: segment.destination,
            destination: segment.source,
            seq,
            ack,
            flags,
            window: 0,
            options: Options::default(),
            payload: 0..0,
            pieces: 1,
            ecn: Codepoint::NotEct,
        };
        self.push(answer, counters);
    }

    pub(super) fn pop(&mut self) -> Option<Segment> {
        self.queue.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// The largest payload that a packet without options takes on this path: the MSS option
/// (RFC 9293, 3.7.1; RFC 6691).
pub(super) fn mss_of(path: &Path, ipv4: bool) -> u16 {
    // No IPv4 link has less than 68 bytes, no IPv6 link less than 1280.
    path.mtu.saturating_sub(ip_header(ipv4) as u16 + MIN_HEADER as u16).max(28)
}

/// Length of the IP headers that this stack writes.
pub(super) fn ip_header(ipv4: bool) -> usize {
    if ipv4 { 20 } else { 40 }
}

/// Writes the headers of `segment` and hands it over with `payload`. `piece` is the payload size of
/// the segments that it stands for, if it is longer than one.
pub(super) fn transmit(segment: &Segment, payload: &[&[u8]], piece: Option<u16>, path: &Path, out: &mut dyn Egress) {
    let (source, destination) = (segment.source.ip(), segment.destination.ip());
    let mut header = [0u8; ip::MAX_HEADER + MAX_HEADER];
    let ip_len = ip_header(source.is_ipv4());
    let tcp_len = segment.emit(&mut header[ip_len..]);
    let payload_len: usize = payload.iter().map(|slice| slice.len()).sum();
    let transport_len = tcp_len + payload_len;
    let fields = ip::Header {
        source,
        destination,
        protocol: protocol::TCP,
        hop_limit: path.hop_limit,
        traffic_class: segment.ecn as u8,
        identification: 0,
        dont_fragment: true,
        payload_len: transport_len,
    };
    ip::emit(&fields, &mut header);
    // A packet is at most 64 KiB.
    let pseudo = checksum::pseudo_header(source, destination, protocol::TCP, transport_len as u32);
    let offloaded = path.max_super > 0 && payload_len > 0;
    let (field, checksum) = if offloaded {
        // The pseudo-header's part; the device adds the rest.
        (checksum::fold(pseudo), Checksum::Partial { start: ip_len as u16, offset: CHECKSUM_OFFSET })
    } else {
        let sum = pseudo + checksum::sum(&header[ip_len..ip_len + tcp_len]) + sum_slices(payload);
        (!checksum::fold(sum), Checksum::Valid)
    };
    let at = ip_len + usize::from(CHECKSUM_OFFSET);
    header[at..at + 2].copy_from_slice(&field.to_be_bytes());
    let kind = if source.is_ipv4() { SegmentKind::TcpV4 } else { SegmentKind::TcpV6 };
    out.transmit(Transmit {
        destination,
        link: path.link,
        next_hop: path.next_hop,
        header: &header[..ip_len + tcp_len],
        payload,
        offload: Offload { checksum, segmentation: piece.map(|size| Segmentation { kind, size }) },
    });
}

/// The sum over slices that need not end at even offsets: at an odd one the bytes change places
/// (RFC 1071, 2.B).
fn sum_slices(slices: &[&[u8]]) -> u64 {
    let mut odd = false;
    let mut total = 0;
    for slice in slices {
        let sum = checksum::fold(checksum::sum(slice));
        total += u64::from(if odd { sum.swap_bytes() } else { sum });
        odd ^= slice.len() % 2 == 1;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// RFC 1071: the sum does not depend on where the bytes are cut.
        #[test]
        fn slices_sum_to_the_whole(bytes in proptest::collection::vec(any::<u8>(), 0..200), cuts in any::<[u8; 2]>()) {
            let mut cuts = cuts.map(|cut| usize::from(cut) % (bytes.len() + 1));
            cuts.sort_unstable();
            let parts = [&bytes[..cuts[0]], &bytes[cuts[0]..cuts[1]], &bytes[cuts[1]..]];
            prop_assert_eq!(checksum::fold(sum_slices(&parts)), checksum::fold(checksum::sum(&bytes)));
        }
    }
}
