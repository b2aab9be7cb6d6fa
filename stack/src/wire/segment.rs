//! Cutting super-segments into the packets that they stand for, for links that cannot.

use std::net::IpAddr;

use super::checksum;
use super::datagram::Datagram;
use super::ip::protocol;
use crate::packet::{Checksum, Packet};

/// Completes a checksum that was left to the device. `false` if the packet is too short for what
/// its offload facts say: it is malformed.
#[must_use]
pub fn complete_checksum(packet: &mut Packet) -> bool {
    let Checksum::Partial { start, offset } = packet.offload.checksum else { return true };
    let (start, field) = (usize::from(start), usize::from(start) + usize::from(offset));
    let Some(part) = packet.bytes().get(start..).filter(|part| part.len() >= usize::from(offset) + 2) else {
        return false;
    };
    // The field holds the pseudo-header's sum, and so takes part in it.
    let sum = match !checksum::fold(checksum::sum(part)) {
        // RFC 768: to UDP zero says that there is none; both are the same sum.
        0 => 0xffff,
        sum => sum,
    };
    packet.bytes_mut()[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    packet.offload.checksum = Checksum::Valid;
    true
}

/// Calls `each` with every packet that the TCP super-segment `bytes` stands for, `size` bytes of
/// payload each; identification, sequence number, control bits and checksums as a sender without
/// offload would have set them. `false`, and no call, if it is no TCP packet.
pub fn split(bytes: &[u8], size: u16, mut each: impl FnMut(&[u8])) -> bool {
    let Ok(datagram) = Datagram::parse(bytes) else { return false };
    let at = datagram.payload.start;
    let Some(data_offset) = bytes.get(at + 12).map(|byte| usize::from(byte >> 4) * 4) else { return false };
    let (headers, end) = (at + data_offset, datagram.payload.end);
    if datagram.protocol != protocol::TCP || data_offset < 20 || headers > end || size == 0 {
        return false;
    }
    let mut piece = vec![0; headers + usize::from(size)];
    let seq = u32::from_be_bytes([bytes[at + 4], bytes[at + 5], bytes[at + 6], bytes[at + 7]]);
    let identification = u16::from_be_bytes([bytes[4], bytes[5]]);
    let count = (end - headers).div_ceil(usize::from(size)).max(1);
    for index in 0..count {
        let skip = index * usize::from(size);
        let payload = &bytes[headers + skip..end.min(headers + skip + usize::from(size))];
        let len = headers + payload.len();
        let piece = &mut piece[..len];
        piece[..headers].copy_from_slice(&bytes[..headers]);
        piece[headers..].copy_from_slice(payload);
        // Within one packet: fewer than 65,536 bytes and pieces.
        piece[at + 4..at + 8].copy_from_slice(&seq.wrapping_add(skip as u32).to_be_bytes());
        let (first, last) = (index == 0, index + 1 == count);
        // FIN and PSH belong to the last piece, CWR to the first (RFC 3168, 6.1.2).
        let mask = if last { 0xff } else { !0x09 } & if first { 0xff } else { !0x80 };
        piece[at + 13] &= mask;
        match datagram.source {
            IpAddr::V4(_) => {
                piece[2..4].copy_from_slice(&(len as u16).to_be_bytes());
                piece[4..6].copy_from_slice(&identification.wrapping_add(index as u16).to_be_bytes());
                piece[10..12].fill(0);
                let sum = !checksum::fold(checksum::sum(&piece[..at]));
                piece[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            IpAddr::V6(_) => piece[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes()),
        }
        piece[at + 16..at + 18].fill(0);
        let pseudo = checksum::pseudo_header(datagram.source, datagram.destination, protocol::TCP, (len - at) as u32);
        let sum = !checksum::fold(pseudo + checksum::sum(&piece[at..]));
        piece[at + 16..at + 18].copy_from_slice(&sum.to_be_bytes());
        each(piece);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 768: a sum of zero goes as all ones, for zero says that there is none. To TCP both are the same.
    #[test]
    fn a_sum_of_zero_is_sent_as_all_ones() {
        let mut packet = Packet::copy_of(&[0; 30]);
        packet.bytes_mut()[28..].fill(0xff);
        packet.offload.checksum = Checksum::Partial { start: 20, offset: 6 };
        assert!(complete_checksum(&mut packet));
        assert_eq!(packet.bytes()[26..28], [0xff, 0xff]);
        assert_eq!(checksum::fold(checksum::sum(&packet.bytes()[20..])), 0xffff, "it is right");
    }
}
