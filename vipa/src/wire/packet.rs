//! What routing has to know of an IP packet; nothing is changed, nothing is verified that the
//! serving stack will verify anyway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use stack::wire::ip::protocol;

/// IPv6 extension headers that may stand before the transport header (RFC 8200, section 4.1).
mod extension {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const DESTINATION: u8 = 60;
    /// More in one packet have no honest use.
    pub const MOST: usize = 8;
}

/// One end's address and port, and the other's, of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub source: u16,
    pub destination: u16,
}

/// A packet as routing sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub fragment: Option<Fragment>,
    pub content: Content,
}

/// Which datagram a fragment belongs to, together with the addresses (RFC 791, RFC 8200).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub identification: u32,
    pub protocol: u8,
    /// The one that carries the transport header.
    pub first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Tcp(Segment),
    /// An ICMP error about a TCP segment that was sent from `local_port` of the destination to
    /// the remote end (R9).
    TcpError {
        remote: IpAddr,
        remote_port: u16,
        local_port: u16,
    },
    /// Anything else, and fragments after the first.
    Other,
}

/// The routing facts of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub ports: Ports,
    pub sequence: u32,
    pub flags: u8,
}

impl Segment {
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

    /// A client's first segment.
    pub fn opens(&self) -> bool {
        self.flags & (Self::SYN | Self::ACK | Self::RST | Self::FIN) == Self::SYN
    }

    pub fn resets(&self) -> bool {
        self.flags & Self::RST != 0
    }
}

impl View {
    /// `None` if the packet is no whole IP packet.
    pub fn of(packet: &[u8]) -> Option<View> {
        match packet.first()? >> 4 {
            4 => View::of_v4(packet),
            6 => View::of_v6(packet),
            _ => None,
        }
    }

    fn of_v4(packet: &[u8]) -> Option<View> {
        let (header, _) = packet.split_first_chunk::<20>()?;
        let length = usize::from(header[0] & 0xf) * 4;
        let payload = packet.get(length.max(20)..)?;
        let fragmentation = u16::from_be_bytes([header[6], header[7]]);
        let (more, offset) = (fragmentation & 0x2000 != 0, fragmentation & 0x1fff);
        let fragment = (more || offset != 0).then(|| Fragment {
            identification: u16::from_be_bytes([header[4], header[5]]).into(),
            protocol: header[9],
            first: offset == 0,
        });
        let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
        Some(View {
            source: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
            destination: destination.into(),
            fragment,
            content: content(header[9], fragment, payload, destination.into()),
        })
    }

    fn of_v6(packet: &[u8]) -> Option<View> {
        let (header, mut payload) = packet.split_first_chunk::<40>()?;
        let (source, destination) = (v6(header, 8)?, v6(header, 24)?);
        let (mut next, mut fragment) = (header[6], None);
        for _ in 0..extension::MOST {
            let length = match next {
                extension::HOP_BY_HOP | extension::ROUTING | extension::DESTINATION => {
                    usize::from(*payload.get(1)?) * 8 + 8
                }
                extension::FRAGMENT => {
                    let field = payload.first_chunk::<8>()?;
                    let offset = u16::from_be_bytes([field[2], field[3]]);
                    // An atomic fragment is a whole datagram (RFC 6946). Of the fragments of one datagram
                    // only the identification has to agree (RFC 8200, section 4.5).
                    fragment = fragment.or((offset & 0xfff9 != 0).then(|| Fragment {
                        identification: u32::from_be_bytes([field[4], field[5], field[6], field[7]]),
                        protocol: 0,
                        first: offset & 0xfff8 == 0,
                    }));
                    8
                }
                _ => break,
            };
            next = *payload.first()?;
            payload = payload.get(length..)?;
            if fragment.is_some_and(|fragment| !fragment.first) {
                break;
            }
        }
        let content = content(next, fragment, payload, destination.into());
        Some(View { source: source.into(), destination: destination.into(), fragment, content })
    }
}

fn v6(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    bytes.get(at..)?.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets))
}

fn content(protocol: u8, fragment: Option<Fragment>, payload: &[u8], destination: IpAddr) -> Content {
    if fragment.is_some_and(|fragment| !fragment.first) {
        return Content::Other;
    }
    let read = match protocol {
        protocol::TCP => segment(payload).map(Content::Tcp),
        protocol::ICMP if destination.is_ipv4() => icmp_error(payload, &[3, 4, 11, 12], destination),
        protocol::ICMPV6 if destination.is_ipv6() => icmp_error(payload, &[1, 2, 3, 4], destination),
        _ => None,
    };
    read.unwrap_or(Content::Other)
}

fn segment(payload: &[u8]) -> Option<Segment> {
    let header = payload.first_chunk::<20>()?;
    Some(Segment {
        ports: ports(header)?,
        sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        flags: header[13],
    })
}

fn ports(transport: &[u8]) -> Option<Ports> {
    let [a, b, c, d] = *transport.first_chunk::<4>()?;
    Some(Ports { source: u16::from_be_bytes([a, b]), destination: u16::from_be_bytes([c, d]) })
}

/// R9: the packet that an ICMP error quotes went the other way: its source is the DVIPA. Only
/// eight bytes of its transport header are certain to be there (RFC 792).
fn icmp_error(payload: &[u8], kinds: &[u8], destination: IpAddr) -> Option<Content> {
    let (kind, quoted) = (payload.first()?, payload.get(8..)?);
    if !kinds.contains(kind) {
        return None;
    }
    let (source, remote, protocol, transport) = match destination {
        IpAddr::V4(_) => {
            let header = quoted.first_chunk::<20>()?;
            let length = usize::from(header[0] & 0xf) * 4;
            let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
            let remote = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
            (source.into(), remote.into(), header[9], quoted.get(length.max(20)..)?)
        }
        IpAddr::V6(_) => {
            let source: IpAddr = v6(quoted, 8)?.into();
            (source, v6(quoted, 24)?.into(), *quoted.get(6)?, quoted.get(40..)?)
        }
    };
    let ports = ports(transport)?;
    (source == destination && protocol == protocol::TCP).then_some(Content::TcpError {
        remote,
        remote_port: ports.destination,
        local_port: ports.source,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stack::wire::ip::{Header, emit};

    use super::*;

    fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 40];
        let header = Header {
            source,
            destination,
            protocol,
            hop_limit: 64,
            traffic_class: 0,
            identification: 7,
            dont_fragment: false,
            payload_len: payload.len(),
        };
        let length = emit(&header, &mut packet);
        packet.truncate(length);
        packet.extend(payload);
        packet
    }

    fn tcp(source: u16, destination: u16, sequence: u32, flags: u8) -> Vec<u8> {
        let mut segment = vec![0; 20];
        segment[..2].copy_from_slice(&source.to_be_bytes());
        segment[2..4].copy_from_slice(&destination.to_be_bytes());
        segment[4..8].copy_from_slice(&sequence.to_be_bytes());
        segment[13] = flags;
        segment
    }

    fn pairs() -> [(IpAddr, IpAddr); 2] {
        [
            ("198.51.100.1".parse().unwrap(), "203.0.113.1".parse().unwrap()),
            ("2001:db8::1".parse().unwrap(), "2001:db8:1::1".parse().unwrap()),
        ]
    }

    #[test]
    fn segments_are_seen() {
        for (client, dvipa) in pairs() {
            let view = View::of(&ip(client, dvipa, protocol::TCP, &tcp(40000, 60, 99, Segment::SYN))).unwrap();
            assert_eq!((view.source, view.destination, view.fragment), (client, dvipa, None));
            let ports = Ports { source: 40000, destination: 60 };
            let segment = Segment { ports, sequence: 99, flags: Segment::SYN };
            assert_eq!(view.content, Content::Tcp(segment));
            assert!(segment.opens() && !segment.resets());
            assert!(!Segment { flags: Segment::SYN | Segment::ACK, ..segment }.opens());
        }
    }

    /// R9: the error is about the connection that the quoted packet belongs to.
    #[test]
    fn icmp_errors_are_seen_by_what_they_quote() {
        for ((client, dvipa), (protocol, kind)) in pairs().into_iter().zip([(protocol::ICMP, 3), (protocol::ICMPV6, 2)])
        {
            let router = client;
            let mut error = vec![kind, 4, 0, 0, 0, 0, 5, 0];
            error.extend(&ip(dvipa, client, protocol::TCP, &tcp(60, 40000, 1, Segment::ACK)));
            let expected = Content::TcpError { remote: client, remote_port: 40000, local_port: 60 };
            assert_eq!(View::of(&ip(router, dvipa, protocol, &error)).unwrap().content, expected);
            let mut quoting_another = error.clone();
            quoting_another[8 + 15] ^= 1;
            assert_eq!(View::of(&ip(router, dvipa, protocol, &quoting_another)).unwrap().content, Content::Other);
            error[0] = 200;
            assert_eq!(View::of(&ip(router, dvipa, protocol, &error)).unwrap().content, Content::Other);
        }
    }

    /// R10: only the first fragment has ports, all name their datagram.
    #[test]
    fn fragments_are_seen() {
        let (client, dvipa) = pairs()[0];
        let mut first = ip(client, dvipa, protocol::TCP, &tcp(40000, 60, 99, Segment::ACK));
        first[6] = 0x20;
        let view = View::of(&first).unwrap();
        assert_eq!(view.fragment, Some(Fragment { identification: 7, protocol: protocol::TCP, first: true }));
        assert!(matches!(view.content, Content::Tcp(_)));
        let mut last = ip(client, dvipa, protocol::TCP, &tcp(40000, 60, 99, Segment::ACK));
        last[7] = 3;
        let view = View::of(&last).unwrap();
        assert_eq!(view.fragment.map(|fragment| fragment.first), Some(false));
        assert_eq!(view.content, Content::Other);
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(mut bytes: Vec<u8>, version in prop_oneof![Just(0x45u8), Just(0x60), any::<u8>()]) {
            if let Some(first) = bytes.first_mut() {
                *first = version;
            }
            View::of(&bytes);
        }

        #[test]
        fn cut_packets_are_looked_at(which in 0usize..2, cut in 0usize..200, quote: bool, noise: Vec<u8>) {
            let (client, dvipa) = pairs()[which];
            let inner = ip(dvipa, client, protocol::TCP, &noise);
            let protocols = [(protocol::ICMP, 3), (protocol::ICMPV6, 2)];
            let mut error = vec![protocols[which].1, 0, 0, 0, 0, 0, 0, 0];
            error.extend(&inner);
            let packet = if quote { ip(client, dvipa, protocols[which].0, &error) } else { ip(client, dvipa, protocol::TCP, &noise) };
            View::of(&packet[..cut.min(packet.len())]);
        }
    }
}
