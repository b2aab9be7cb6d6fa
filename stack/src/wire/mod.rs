//! Wire formats, apart from their meaning.

pub mod checksum;
pub mod datagram;
pub mod extension;
pub mod flow;
pub mod ip;
pub mod options;
pub mod segment;
pub mod tcp;

/// Length of the IP header and the TCP header behind it, as far as they are there.
pub fn header_len(packet: &[u8]) -> usize {
    let ip = match packet.first() {
        Some(byte) if byte >> 4 == 4 => usize::from(byte & 0x0f) * 4,
        _ => 40,
    };
    let tcp = packet.get(ip + 12).map_or(0, |byte| usize::from(byte >> 4) * 4);
    packet.len().min(ip + tcp)
}
