//! What a device does to a super-segment: cuts it (TSO), and sums it up.

/// Flags of TCP that only the last piece keeps: FIN and PSH.
const LAST_ONLY: u8 = 0x09;
/// CWR, which only the first keeps (RFC 3168, 6.1.2).
const FIRST_ONLY: u8 = 0x80;

/// The packet that has the headers of a super-segment and `payload`, which begins `offset` bytes into
/// the whole.
pub fn piece(header: &[u8], payload: &[u8], offset: usize, last: bool) -> Vec<u8> {
    let mut packet = [header, payload].concat();
    let v4 = packet.first().is_some_and(|first| first >> 4 == 4);
    let at = if v4 { 20 } else { 40 };
    if packet.len() < at + 20 {
        return packet;
    }
    // Packets are at most 64 KiB.
    let length = packet.len() as u16;
    if v4 {
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet[10..12].fill(0);
        let sum = !fold(sum(&packet[..20]));
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        packet[4..6].copy_from_slice(&(length - 40).to_be_bytes());
    }
    let tcp = &mut packet[at..];
    let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(offset as u32);
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    if !last {
        tcp[13] &= !LAST_ONLY;
    }
    if offset > 0 {
        tcp[13] &= !FIRST_ONLY;
    }
    tcp[16..18].fill(0);
    // The pseudo-header: addresses, protocol, length.
    let addresses = if v4 { 12..20 } else { 8..40 };
    let transport = u64::from(length) - at as u64;
    let total = sum(&packet[addresses]) + 6 + transport + sum(&packet[at..]);
    let checksum = !fold(total);
    packet[at + 16..at + 18].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// RFC 1071.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let pairs = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low)));
    pairs.sum()
}

pub(crate) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
