//! Which flow a packet belongs to, found without checking more: for packets that an ICMP error quotes, which may
//! be cut anywhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::extension::{self, header};
use super::ip::protocol;
use super::tcp::Flags;
use crate::seq::SeqNum;

/// Which packet belongs to which flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Source address, and port where the protocol has ports and this is no later fragment.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// Protocol number.
    pub protocol: u8,
    /// TCP's control bits; none for other protocols, and where a quote ends before them (RFC 792: eight bytes are
    /// there).
    pub flags: Flags,
    /// TCP's sequence number; zero for other protocols.
    pub seq: SeqNum,
    /// Whether the packet is a fragment.
    pub fragment: bool,
}

fn bytes<const N: usize>(packet: &[u8], at: usize) -> Option<[u8; N]> {
    packet.get(at..at + N)?.try_into().ok()
}

fn u16_at(packet: &[u8], at: usize) -> Option<u16> {
    bytes(packet, at).map(u16::from_be_bytes)
}

/// RFC 8200, section 4: what is behind the extension headers, where, and of a fragment its offset.
/// A packet that an ICMP error quotes may be cut anywhere.
fn skip(packet: &[u8]) -> Option<(u8, usize, Option<u16>)> {
    let (mut next, mut at, mut offset) = (*packet.get(6)?, 40, None);
    for _ in 0..extension::MAX_HEADERS {
        let length = match next {
            header::HOP_BY_HOP | header::ROUTING | header::DESTINATION => usize::from(*packet.get(at + 1)?) * 8 + 8,
            header::FRAGMENT => {
                let field = u16_at(packet, at + 2)?;
                // An atomic fragment is a whole datagram (RFC 6946); what it is within the datagram's
                // first fragment is not known yet.
                offset = offset.or((field & 0xfff9 != 0).then_some(field & 0xfff8));
                8
            }
            _ => break,
        };
        next = *packet.get(at)?;
        at += length;
        if offset.is_some_and(|offset| offset != 0) {
            break;
        }
    }
    Some((next, at, offset))
}

impl Flow {
    /// Looks into `packet`; `None` if it is no IP packet, or too short for what it should hold.
    pub fn peek(packet: &[u8]) -> Option<Flow> {
        let (source, destination, protocol, at, fragment, later): (IpAddr, IpAddr, u8, usize, bool, bool) =
            match packet.first()? >> 4 {
                4 => {
                    let at = usize::from(packet[0] & 0x0f) * 4;
                    let source: [u8; 4] = bytes(packet, 12)?;
                    let destination: [u8; 4] = bytes(packet, 16)?;
                    let fragment = u16_at(packet, 6)?;
                    if at < 20 {
                        return None;
                    }
                    let later = fragment & 0x1fff != 0;
                    let source = Ipv4Addr::from(source).into();
                    let destination = Ipv4Addr::from(destination).into();
                    (source, destination, packet[9], at, fragment & 0x3fff != 0, later)
                }
                6 => {
                    let source: [u8; 16] = bytes(packet, 8)?;
                    let destination: [u8; 16] = bytes(packet, 24)?;
                    let source = Ipv6Addr::from(source).into();
                    let destination = Ipv6Addr::from(destination).into();
                    let (protocol, at, offset) = skip(packet)?;
                    (source, destination, protocol, at, offset.is_some(), offset.is_some_and(|offset| offset != 0))
                }
                _ => return None,
            };
        let mut flow = Flow {
            source: SocketAddr::new(source, 0),
            destination: SocketAddr::new(destination, 0),
            protocol,
            flags: Flags::default(),
            seq: SeqNum::default(),
            fragment,
        };
        if later {
            return Some(flow);
        }
        if protocol == protocol::TCP || protocol == protocol::UDP {
            flow.source.set_port(u16_at(packet, at)?);
            flow.destination.set_port(u16_at(packet, at + 2)?);
        }
        if protocol == protocol::TCP {
            flow.seq = SeqNum(u32::from_be_bytes(bytes(packet, at + 4)?));
            flow.flags = packet.get(at + 13).map_or_else(Flags::default, |bits| Flags(*bits));
        }
        Some(flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing: a first fragment (RFC 8200, section 4.5) with an atomic one (RFC 6946) in it
    /// is a fragment.
    #[test]
    fn an_atomic_fragment_in_a_first_one_changes_nothing() {
        let mut packet = vec![0; 40];
        (packet[0], packet[6]) = (0x60, header::FRAGMENT);
        packet.extend_from_slice(&[header::FRAGMENT, 0, 0, 1, 0, 0, 0, 9]);
        packet.extend_from_slice(&[protocol::UDP, 0, 0, 0, 0, 0, 0, 9]);
        packet.extend_from_slice(&[0, 7, 0, 9, 0, 8, 0, 0]);
        let flow = Flow::peek(&packet).unwrap();
        assert!(flow.fragment);
        assert_eq!((flow.protocol, flow.source.port(), flow.destination.port()), (protocol::UDP, 7, 9));
    }
}
