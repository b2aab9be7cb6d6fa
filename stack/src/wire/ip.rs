//! IP headers as this stack sends them.

use std::net::IpAddr;

use super::checksum;

/// Longest header that [`emit`] writes.
pub const MAX_HEADER: usize = 40;

/// Protocol numbers.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
}

/// The fields of a header to send.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Protocol number.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// DSCP and ECN bits.
    pub traffic_class: u8,
    /// IPv4 identification (RFC 6864: any value for atomic datagrams).
    pub identification: u16,
    /// IPv4 Don't Fragment.
    pub dont_fragment: bool,
    /// Bytes that follow the header.
    pub payload_len: usize,
}

/// Writes the header to the start of `buffer`; returns its length: 20 for IPv4, 40 for IPv6.
///
/// # Panics
/// If the buffer is shorter than the header, or the addresses are of two families: both are
/// mistakes of the caller, not of the input.
pub fn emit(header: &Header, buffer: &mut [u8]) -> usize {
    match (header.source, header.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = u16::try_from(20 + header.payload_len).unwrap_or(u16::MAX);
            let out = &mut buffer[..20];
            out[0] = 0x45;
            out[1] = header.traffic_class;
            out[2..4].copy_from_slice(&total.to_be_bytes());
            out[4..6].copy_from_slice(&header.identification.to_be_bytes());
            out[6..8].copy_from_slice(&(if header.dont_fragment { 0x4000u16 } else { 0 }).to_be_bytes());
            out[8] = header.hop_limit;
            out[9] = header.protocol;
            out[10..12].fill(0);
            out[12..16].copy_from_slice(&source.octets());
            out[16..20].copy_from_slice(&destination.octets());
            let sum = !checksum::fold(checksum::sum(out));
            out[10..12].copy_from_slice(&sum.to_be_bytes());
            20
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let length = u16::try_from(header.payload_len).unwrap_or(u16::MAX);
            let out = &mut buffer[..40];
            out[0..4].copy_from_slice(&(0x6000_0000 | u32::from(header.traffic_class) << 20).to_be_bytes());
            out[4..6].copy_from_slice(&length.to_be_bytes());
            out[6] = header.protocol;
            out[7] = header.hop_limit;
            out[8..24].copy_from_slice(&source.octets());
            out[24..40].copy_from_slice(&destination.octets());
            40
        }
        _ => panic!("addresses of two families in one packet"),
    }
}

/// One hop less (RFC 1624): the header checksum of IPv4 is updated, not computed anew.
pub fn decrement_hop_limit(packet: &mut [u8]) {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) if packet.len() >= 20 => {
            let old = u16::from_be_bytes([packet[8], packet[9]]);
            packet[8] = packet[8].saturating_sub(1);
            let new = u16::from_be_bytes([packet[8], packet[9]]);
            let sum = u16::from_be_bytes([packet[10], packet[11]]);
            // HC' = ~(~HC + ~m + m')
            let sum = !checksum::fold(u64::from(!sum) + u64::from(!old) + u64::from(new));
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        Some(6) if packet.len() >= 40 => packet[7] = packet[7].saturating_sub(1),
        _ => {}
    }
}

/// Sets the codepoint "congestion experienced" (RFC 3168, section 5), for whoever then sets the
/// checksum anew.
///
/// # Panics
/// If `header` is shorter than two bytes: the caller has read it.
pub fn mark(header: &mut [u8]) {
    header[1] |= if header[0] >> 4 == 4 { 0x03 } else { 0x30 };
}

/// Makes an IPv4 header one of a fragment: `offset` and `length` in bytes of payload.
///
/// # Panics
/// If `header` is shorter than 20 bytes: the caller has read it.
pub fn set_fragment(header: &mut [u8], offset: usize, more: bool, length: usize) {
    let total = u16::try_from(header.len() + length).unwrap_or(u16::MAX);
    // 13 bits, in units of eight bytes.
    let field = u16::try_from(offset / 8).unwrap_or(0x1fff) & 0x1fff | if more { 0x2000 } else { 0 };
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[6..8].copy_from_slice(&field.to_be_bytes());
    header[10..12].fill(0);
    let sum = !checksum::fold(checksum::sum(header));
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}
