//! The Internet checksum (RFC 1071).

use std::net::IpAddr;

/// The one's complement sum of `bytes`, not folded to 16 bits and not complemented; `bytes`
/// starts at an even offset of what is summed. Sums of parts may be added.
pub fn sum(bytes: &[u8]) -> u64 {
    let mut total = 0u64;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        // A chunk of four is four bytes long.
        total += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    }
    match *words.remainder() {
        [a] => total += u64::from(u16::from_be_bytes([a, 0])),
        [a, b] => total += u64::from(u16::from_be_bytes([a, b])),
        [a, b, c] => total += u64::from(u16::from_be_bytes([a, b])) + u64::from(u16::from_be_bytes([c, 0])),
        _ => {}
    }
    total
}

/// Folds a sum to 16 bits, without complementing it.
pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    // At most 0xffff here.
    sum as u16
}

/// The sum over the pseudo-header of TCP or UDP (RFC 9293 section 3.1, RFC 8200 section 8.1).
/// Addresses of different families never meet in one packet; they would count as zero.
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: u32) -> u64 {
    let addresses = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => sum(&s.octets()) + sum(&d.octets()),
        (IpAddr::V6(s), IpAddr::V6(d)) => sum(&s.octets()) + sum(&d.octets()),
        _ => 0,
    };
    addresses + u64::from(protocol) + u64::from(length)
}
