//! ICMP (RFC 792, RFC 1122 section 3.2.2) and ICMPv6 (RFC 4443): echo, and errors about packets
//! that cannot be served.

use core::time::Duration;
use std::net::IpAddr;

use crate::address::is_unicast;
use crate::packet::Packet;
use crate::time::Instant;
use crate::wire::checksum;
use crate::wire::datagram::Datagram;
use crate::wire::extension::code;
use crate::wire::flow::Flow;
use crate::wire::ip::{self, protocol};

/// Message types of ICMP.
mod v4 {
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const ECHO: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// Message types of ICMPv6.
mod v6 {
    pub const UNREACHABLE: u8 = 1;
    pub const PACKET_TOO_BIG: u8 = 2;
    pub const TIME_EXCEEDED: u8 = 3;
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// From here on messages are no errors (RFC 4443, section 2.1).
    pub const INFORMATIONAL: u8 = 128;
    pub const ECHO: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
}

/// The smallest MTU of an IPv6 link (RFC 8200, section 5).
pub const MIN_MTU_V6: u16 = 1280;
/// The smallest MTU of an IPv4 link (RFC 791).
pub const MIN_MTU_V4: u16 = 68;
/// Length of the header.
pub const HEADER: usize = 8;

/// Errors that this stack sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nobody serves the protocol.
    ProtocolUnreachable,
    /// Nobody listens on the UDP port.
    PortUnreachable,
    /// The next link takes no larger packet than this, and routers may not cut it (RFC 1191, RFC 8201).
    FragmentationNeeded {
        /// MTU of that link.
        mtu: u16,
    },
    /// No route.
    NetworkUnreachable,
    /// A source route goes on from here, and is not followed (RFC 1812, section 5.2.4.1).
    SourceRouteFailed,
    /// The TTL ran out on the way.
    TtlExceeded,
    /// A fragment's datagram did not become whole in time.
    ReassemblyTimeExceeded,
    /// A header contradicts itself, or says what is not known here.
    ParameterProblem {
        /// Of ICMPv6; zero in ICMP.
        code: u8,
        /// The byte at fault.
        pointer: u32,
        /// Sent even about packets to a group.
        to_multicast: bool,
    },
}

impl Error {
    /// Type, code, and the second word of the header.
    fn fields(self, about: &Datagram) -> (u8, u8, u32) {
        let ipv4 = about.source.is_ipv4();
        match self {
            Error::NetworkUnreachable if ipv4 => (v4::UNREACHABLE, 0, 0),
            Error::NetworkUnreachable => (v6::UNREACHABLE, 0, 0),
            Error::ProtocolUnreachable if ipv4 => (v4::UNREACHABLE, 2, 0),
            // RFC 4443, section 3.4.
            Error::ProtocolUnreachable => {
                (v6::PARAMETER_PROBLEM, code::NEXT_HEADER, u32::try_from(about.protocol_at).unwrap_or(u32::MAX))
            }
            Error::PortUnreachable if ipv4 => (v4::UNREACHABLE, 3, 0),
            Error::PortUnreachable => (v6::UNREACHABLE, 4, 0),
            Error::FragmentationNeeded { mtu } if ipv4 => (v4::UNREACHABLE, 4, u32::from(mtu)),
            Error::FragmentationNeeded { mtu } => (v6::PACKET_TOO_BIG, 0, u32::from(mtu)),
            Error::SourceRouteFailed => (v4::UNREACHABLE, 5, 0),
            Error::TtlExceeded if ipv4 => (v4::TIME_EXCEEDED, 0, 0),
            Error::TtlExceeded => (v6::TIME_EXCEEDED, 0, 0),
            Error::ReassemblyTimeExceeded if ipv4 => (v4::TIME_EXCEEDED, 1, 0),
            Error::ReassemblyTimeExceeded => (v6::TIME_EXCEEDED, 1, 0),
            Error::ParameterProblem { pointer, .. } if ipv4 => (v4::PARAMETER_PROBLEM, 0, pointer << 24),
            Error::ParameterProblem { code, pointer, .. } => (v6::PARAMETER_PROBLEM, code, pointer),
        }
    }

    /// RFC 4443, section 2.4 e.3.
    fn to_multicast(self) -> bool {
        matches!(self, Error::FragmentationNeeded { .. } | Error::ParameterProblem { to_multicast: true, .. })
    }
}

/// What an error that came in says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A packet was too big for a link of this MTU; zero if a router before RFC 1191 did not say.
    PacketTooBig(u16),
    /// Nobody serves the port, or the protocol.
    Refused,
    /// Anything else: it may pass.
    Soft,
}

/// An error that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it says.
    pub reason: Reason,
    /// The packet it is about: one that we sent.
    pub about: Flow,
}

/// What an ICMP message asks of this stack.
#[derive(Clone, Debug)]
pub enum Message {
    /// An echo request; its reply, whole.
    Echo(Packet),
    /// An error about a packet of ours.
    Report(Report),
    /// Nothing.
    Other,
    /// Wrong checksum or too short.
    Malformed,
}

/// The checksum of a message: ICMPv6 has the pseudo-header in it (RFC 4443, section 2.3).
fn sum(source: IpAddr, destination: IpAddr, body: &[u8]) -> u16 {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let pseudo = match source {
        IpAddr::V4(_) => 0,
        IpAddr::V6(_) => checksum::pseudo_header(source, destination, protocol::ICMPV6, length),
    };
    checksum::fold(pseudo + checksum::sum(body))
}

/// Reads an ICMP or ICMPv6 message. Whether the checksum is right is checked in any case: no
/// device takes that off the stack.
pub fn read(packet: &[u8], datagram: &Datagram, hop_limit: u8) -> Message {
    let body = &packet[datagram.payload.clone()];
    if body.len() < HEADER || sum(datagram.source, datagram.destination, body) != 0xffff {
        return Message::Malformed;
    }
    let reply = match datagram.source {
        IpAddr::V4(_) if body[0] == v4::ECHO => Some(v4::ECHO_REPLY),
        IpAddr::V6(_) if body[0] == v6::ECHO => Some(v6::ECHO_REPLY),
        _ => None,
    };
    if let Some(kind) = reply {
        // RFC 1122, section 3.2.2.6: never to a group.
        if !is_unicast(datagram.source) {
            return Message::Other;
        }
        let mut body = body.to_vec();
        body[0] = kind;
        return Message::Echo(message(datagram.destination, datagram.source, hop_limit, &mut body));
    }
    let word = u32::from_be_bytes([body[4], body[5], body[6], body[7]]);
    let reason = match (datagram.source, body[0], body[1]) {
        // RFC 1191, section 4: the lower half of the word.
        (IpAddr::V4(_), v4::UNREACHABLE, 4) => Reason::PacketTooBig(word as u16),
        (IpAddr::V4(_), v4::UNREACHABLE, 2 | 3) => Reason::Refused,
        (IpAddr::V4(_), v4::UNREACHABLE | v4::TIME_EXCEEDED | v4::PARAMETER_PROBLEM, _) => Reason::Soft,
        (IpAddr::V6(_), v6::PACKET_TOO_BIG, _) => match u16::try_from(word).unwrap_or(u16::MAX) {
            // RFC 8201, section 4: no link has less.
            ..MIN_MTU_V6 => return Message::Malformed,
            mtu => Reason::PacketTooBig(mtu),
        },
        (IpAddr::V6(_), v6::UNREACHABLE, 4) => Reason::Refused,
        (IpAddr::V6(_), v6::PARAMETER_PROBLEM, code::NEXT_HEADER) => Reason::Refused,
        // RFC 4443, section 2.4 a: errors of unknown type go to the upper layer too.
        (IpAddr::V6(_), kind, _) if kind < v6::INFORMATIONAL => Reason::Soft,
        _ => return Message::Other,
    };
    match Flow::peek(&body[HEADER..]) {
        // RFC 5927, section 4: it quotes a packet that went from here.
        Some(about) if about.source.ip() == datagram.destination => Message::Report(Report { reason, about }),
        Some(_) => Message::Other,
        None => Message::Malformed,
    }
}

/// Whether the packet is, or may be, an ICMP error itself.
fn is_error(packet: &[u8], datagram: &Datagram) -> bool {
    let kind = packet.get(datagram.payload.start).filter(|_| datagram.fragment_offset == 0);
    match (datagram.protocol, kind) {
        (protocol::ICMP, Some(kind)) => !matches!(*kind, v4::ECHO | v4::ECHO_REPLY),
        // A redirect is none, but is treated as one (RFC 4443, section 2.4 e.2).
        (protocol::ICMPV6, Some(kind)) => *kind < v6::INFORMATIONAL || *kind == 137,
        (protocol::ICMP | protocol::ICMPV6, None) => true,
        _ => false,
    }
}

/// The error about `packet`, or nothing where one is forbidden (RFC 1122, section 3.2.2; RFC 4443,
/// section 2.4 e): about ICMP errors, IPv4's later fragments, and anything that was not sent from
/// one host to one host.
pub fn error(error: Error, packet: &[u8], datagram: &Datagram, from: IpAddr, hop_limit: u8) -> Option<Packet> {
    let later_fragment = datagram.source.is_ipv4() && datagram.fragment_offset != 0;
    let to_one = is_unicast(datagram.destination) || datagram.source.is_ipv6() && error.to_multicast();
    if is_error(packet, datagram) || later_fragment || !is_unicast(datagram.source) || !to_one {
        return None;
    }
    let (kind, code, word) = error.fields(datagram);
    let room = match from {
        // RFC 1812, section 4.3.2.3: as much as fits into 576 bytes.
        IpAddr::V4(_) => 576 - 20 - HEADER,
        // RFC 4443, section 2.4 c.
        IpAddr::V6(_) => usize::from(MIN_MTU_V6) - 40 - HEADER,
    };
    let quoted = &packet[..datagram.payload.end.min(room)];
    let mut body = Vec::with_capacity(HEADER + quoted.len());
    body.extend_from_slice(&[kind, code, 0, 0]);
    body.extend_from_slice(&word.to_be_bytes());
    body.extend_from_slice(quoted);
    Some(message(from, datagram.source, hop_limit, &mut body))
}

/// The body of an echo request, for [`message`] or a raw socket.
pub fn echo_request(ipv4: bool, identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
    let mut body = vec![if ipv4 { v4::ECHO } else { v6::ECHO }, 0, 0, 0];
    body.extend_from_slice(&identifier.to_be_bytes());
    body.extend_from_slice(&sequence.to_be_bytes());
    body.extend_from_slice(data);
    body
}

/// Puts the checksum into a message.
pub fn seal(source: IpAddr, destination: IpAddr, body: &mut [u8]) {
    if body.len() >= 4 {
        body[2..4].fill(0);
        let sum = !sum(source, destination, body);
        body[2..4].copy_from_slice(&sum.to_be_bytes());
    }
}

/// A whole packet around a message, whose checksum is put in.
pub fn message(source: IpAddr, destination: IpAddr, hop_limit: u8, body: &mut [u8]) -> Packet {
    seal(source, destination, body);
    let header = ip::Header {
        source,
        destination,
        protocol: if source.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 },
        hop_limit,
        traffic_class: 0,
        identification: 0,
        dont_fragment: false,
        payload_len: body.len(),
    };
    let mut bytes = vec![0; ip::MAX_HEADER + body.len()];
    let at = ip::emit(&header, &mut bytes);
    bytes[at..at + body.len()].copy_from_slice(body);
    Packet::copy_of(&bytes[..at + body.len()])
}

/// A token bucket: errors of a stack, all together (RFC 1812, 4.3.2.8; RFC 4443, section 2.4 f).
#[derive(Debug)]
pub struct RateLimit {
    tokens: u32,
    burst: u32,
    every: Duration,
    last: Instant,
}

impl RateLimit {
    /// One every `every`, and `burst` at a time.
    pub fn new(burst: u32, every: Duration) -> Self {
        RateLimit { tokens: burst, burst, every, last: Instant::ZERO }
    }

    /// Whether one may go now.
    pub fn allows(&mut self, now: Instant) -> bool {
        let every = self.every.as_nanos().max(1);
        let earned = (now - self.last).as_nanos() / every;
        if earned > 0 {
            self.tokens = self.burst.min(self.tokens.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)));
            self.last = now;
        }
        let allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        allowed
    }
}
