//! ICMP (RFC 792, RFC 1122 section 3.2.2): echo, and errors about packets that cannot be served.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::packet::Packet;
use crate::time::Instant;
use crate::wire::checksum;
use crate::wire::datagram::Datagram;
use crate::wire::flow::Flow;
use crate::wire::ip::{self, protocol};

/// Message types.
mod kind {
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const ECHO: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
}

/// Errors that this stack sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nobody serves the protocol.
    ProtocolUnreachable,
    /// Nobody listens on the UDP port.
    PortUnreachable,
    /// The next link takes no larger packet than this, and DF is set (RFC 1191).
    FragmentationNeeded {
        /// MTU of that link.
        mtu: u16,
    },
    /// No route.
    NetworkUnreachable,
    /// The TTL ran out on the way.
    TtlExceeded,
    /// A fragment's datagram did not become whole in time.
    ReassemblyTimeExceeded,
}

impl Error {
    /// Type, code, and the second word of the header.
    fn fields(self) -> (u8, u8, u32) {
        match self {
            Error::NetworkUnreachable => (kind::UNREACHABLE, 0, 0),
            Error::ProtocolUnreachable => (kind::UNREACHABLE, 2, 0),
            Error::PortUnreachable => (kind::UNREACHABLE, 3, 0),
            Error::FragmentationNeeded { mtu } => (kind::UNREACHABLE, 4, u32::from(mtu)),
            Error::TtlExceeded => (kind::TIME_EXCEEDED, 0, 0),
            Error::ReassemblyTimeExceeded => (kind::TIME_EXCEEDED, 1, 0),
        }
    }
}

/// An error that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Type and code.
    pub code: (u8, u8),
    /// MTU, if it says that a packet was too big.
    pub mtu: u16,
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

/// Reads an ICMPv4 message.
pub fn read(packet: &[u8], datagram: &Datagram) -> Message {
    let body = &packet[datagram.payload.clone()];
    if body.len() < 8 || checksum::fold(checksum::sum(body)) != 0xffff {
        return Message::Malformed;
    }
    match body[0] {
        kind::ECHO => {
            let mut reply = build(datagram.destination, datagram.source, body);
            let at = reply.len() - body.len();
            let bytes = reply.bytes_mut();
            bytes[at] = kind::ECHO_REPLY;
            seal(&mut bytes[at..]);
            Message::Echo(reply)
        }
        kind::UNREACHABLE | kind::TIME_EXCEEDED => match Flow::peek(&body[8..]) {
            Some(about) => {
                Message::Report(Report { code: (body[0], body[1]), mtu: u16::from_be_bytes([body[6], body[7]]), about })
            }
            None => Message::Malformed,
        },
        _ => Message::Other,
    }
}

/// The error about `packet`, or nothing where RFC 1122, section 3.2.2, forbids one: about ICMP
/// errors, later fragments, and anything that was not sent from one host to one host.
pub fn error(error: Error, packet: &[u8], datagram: &Datagram, from: IpAddr) -> Option<Packet> {
    let unicast = |address: IpAddr| match address {
        IpAddr::V4(v4) => !(v4.is_broadcast() || v4.is_multicast() || v4.is_unspecified() || v4.is_loopback()),
        IpAddr::V6(_) => false,
    };
    let is_error = datagram.protocol == protocol::ICMP
        && !matches!(packet.get(datagram.payload.start), Some(&(kind::ECHO | kind::ECHO_REPLY)));
    if is_error || datagram.fragment_offset != 0 || !unicast(datagram.source) || !unicast(datagram.destination) {
        return None;
    }
    let (kind, code, word) = error.fields();
    // RFC 1812, 4.3.2.3: as much as fits into 576 bytes.
    let quoted = &packet[..datagram.payload.end.min(576 - 28)];
    let mut body = Vec::with_capacity(8 + quoted.len());
    body.extend_from_slice(&[kind, code, 0, 0]);
    body.extend_from_slice(&word.to_be_bytes());
    body.extend_from_slice(quoted);
    seal(&mut body);
    Some(build(from, datagram.source, &body))
}

fn seal(body: &mut [u8]) {
    body[2..4].fill(0);
    let sum = !checksum::fold(checksum::sum(body));
    body[2..4].copy_from_slice(&sum.to_be_bytes());
}

fn build(source: IpAddr, destination: IpAddr, body: &[u8]) -> Packet {
    let header = ip::Header {
        source,
        destination,
        protocol: protocol::ICMP,
        hop_limit: 64,
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

/// A token bucket: errors of a stack, all together (RFC 1812, 4.3.2.8).
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

/// Where an address is unknown: the unspecified one.
pub const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
