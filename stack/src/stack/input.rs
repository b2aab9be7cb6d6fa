//! What comes in: delivered, passed on, or refused.

use std::net::IpAddr;

use super::{LOOPED, Stack};
use crate::address::{is_link_local, is_unicast};
use crate::egress::{LinkId, Paths};
use crate::home::Kind;
use crate::icmp::{self, Reason};
use crate::packet::{Checksum, Packet, SegmentKind, Segmentation};
use crate::reassembly::Outcome;
use crate::tcp::IcmpError;
use crate::time::Instant;
use crate::udp::Delivery;
use crate::wire::datagram::{Datagram, Fault, Malformed};
use crate::wire::extension::header;
use crate::wire::flow::Flow;
use crate::wire::ip::{self, protocol};
use crate::wire::tcp::{Codepoint, Segment};
use crate::wire::{checksum, options};

impl Stack {
    /// A packet came in by `link`. Poll transmissions and events afterwards.
    pub fn receive(&mut self, now: Instant, link: LinkId, packet: Packet) {
        let counters = match packet.bytes().first().map(|byte| byte >> 4) {
            Some(6) => &mut self.counters.v6,
            _ => &mut self.counters.v4,
        };
        counters.in_receives += 1;
        counters.in_octets += packet.len() as u64;
        let datagram = match Datagram::parse(packet.bytes()) {
            Ok(datagram) => datagram,
            Err(error) => {
                match error {
                    Malformed::Truncated => counters.in_truncated_pkts += 1,
                    Malformed::Header | Malformed::Checksum => counters.in_hdr_errors += 1,
                }
                return self.pool.give(packet);
            }
        };
        if link != LOOPED && self.is_martian(&datagram) {
            let counters = self.counters.ip(datagram.source);
            counters.in_addr_errors += 1;
            counters.in_martians += 1;
            return self.pool.give(packet);
        }
        if !is_sound(&packet, &datagram) {
            let counters = self.counters.ip(datagram.source);
            counters.in_discards += 1;
            counters.in_bad_offload += 1;
            return self.pool.give(packet);
        }
        if self.home.contains(datagram.destination) {
            self.deliver(now, packet, datagram);
        } else if self.config.forward {
            self.forward(now, packet, &datagram);
        } else {
            self.counters.ip(datagram.source).in_addr_errors += 1;
            self.pool.give(packet);
        }
    }

    /// RFC 1812, section 5.3.7: a source that no other host can have; the land attack among them. A
    /// DVIPA may come from the stack that has it now, or had it a moment ago; and a connection of this
    /// stack to a DVIPA may come back from the stack that routes for it. What is not TCP could go round
    /// for ever if its source were forged (two echo servers).
    fn is_martian(&self, datagram: &Datagram) -> bool {
        let Datagram { source, destination, .. } = *datagram;
        let comes_back = || datagram.protocol == protocol::TCP && self.is_dvipa(destination);
        source == destination
            || !is_unicast(source)
            || matches!(self.home.kind(source), Some(Kind::Link | Kind::Xcf)) && !comes_back()
    }

    fn is_dvipa(&self, address: IpAddr) -> bool {
        matches!(self.home.kind(address), Some(Kind::Dvipa | Kind::InternalDvipa))
    }

    pub(super) fn deliver(&mut self, now: Instant, packet: Packet, datagram: Datagram) {
        if let Some(fault) = datagram.fault {
            return self.refuse_fault(now, fault, packet, &datagram);
        }
        if datagram.is_fragment() {
            return self.reassemble(now, packet, &datagram);
        }
        let ipv4 = datagram.source.is_ipv4();
        self.counters.ip(datagram.source).in_delivers += 1;
        let raw = self.raw.receive(&packet, &datagram);
        match datagram.protocol {
            protocol::TCP => self.deliver_tcp(now, packet, &datagram),
            protocol::UDP => {
                if let Delivery::NoPort(packet) = self.udp.receive(packet, &datagram, &mut self.pool) {
                    self.refuse(now, icmp::Error::PortUnreachable, packet, &datagram);
                }
            }
            protocol::ICMP if ipv4 => self.deliver_icmp(now, packet, &datagram),
            protocol::ICMPV6 if !ipv4 => self.deliver_icmp(now, packet, &datagram),
            // RFC 8200, section 4.7: nothing follows.
            header::NONE if !ipv4 => self.pool.give(packet),
            _ if raw => self.pool.give(packet),
            _ => {
                self.counters.ip(datagram.source).in_unknown_protos += 1;
                self.refuse(now, icmp::Error::ProtocolUnreachable, packet, &datagram);
            }
        }
    }

    fn reassemble(&mut self, now: Instant, packet: Packet, datagram: &Datagram) {
        let counters = self.counters.ip(datagram.source);
        counters.reasm_reqds += 1;
        let outcome = self.reassembly.add(now, packet.bytes(), datagram);
        match outcome {
            Outcome::Incomplete => {}
            Outcome::Dropped => counters.reasm_fails += 1,
            Outcome::Problem { code, pointer } => {
                counters.reasm_fails += 1;
                let error = icmp::Error::ParameterProblem { code, pointer, to_multicast: false };
                return self.refuse(now, error, packet, datagram);
            }
            Outcome::Complete(whole) => match Datagram::parse(whole.bytes()) {
                // A fragment of a fragment serves nobody.
                Ok(datagram) if !datagram.is_fragment() => {
                    counters.reasm_oks += 1;
                    self.deliver(now, whole, datagram);
                }
                _ => counters.reasm_fails += 1,
            },
        }
        self.pool.give(packet);
    }

    /// The segment in a packet, if it is sound.
    pub(super) fn segment(packet: &Packet, datagram: &Datagram) -> Option<Segment> {
        let transport = packet.bytes().get(datagram.payload.clone())?;
        if packet.offload.checksum == Checksum::Unverified {
            let length = u32::try_from(transport.len()).ok()?;
            let pseudo = checksum::pseudo_header(datagram.source, datagram.destination, protocol::TCP, length);
            if checksum::fold(pseudo + checksum::sum(transport)) != 0xffff {
                return None;
            }
        }
        let piece = packet.offload.segmentation.map(|segmentation| segmentation.size);
        let segment =
            Segment::parse(transport, datagram.payload.start, datagram.source, datagram.destination, piece).ok()?;
        Some(Segment { ecn: Codepoint::of(datagram.traffic_class), ..segment })
    }

    fn deliver_tcp(&mut self, now: Instant, packet: Packet, datagram: &Datagram) {
        match Self::segment(&packet, datagram) {
            Some(segment) => self.tcp.receive(now, segment, packet, &mut self.pool),
            None => {
                self.tcp.count_malformed();
                self.pool.give(packet);
            }
        }
    }

    fn deliver_icmp(&mut self, now: Instant, packet: Packet, datagram: &Datagram) {
        let counters = self.counters.icmp(datagram.source);
        counters.in_msgs += 1;
        if let Some(kind) = packet.bytes().get(datagram.payload.start) {
            counters.in_types[usize::from(*kind)] += 1;
        }
        match icmp::read(packet.bytes(), datagram, self.config.hop_limit) {
            icmp::Message::Echo(reply) => self.send_icmp(reply),
            icmp::Message::Report(report) => self.reported(now, &report),
            icmp::Message::Other => {}
            icmp::Message::Malformed => counters.in_errors += 1,
        }
        self.pool.give(packet);
    }

    /// An ICMP error about a packet of ours.
    fn reported(&mut self, now: Instant, report: &icmp::Report) {
        let Flow { source, destination, protocol, seq, .. } = report.about;
        match (protocol, report.reason) {
            (protocol::TCP, reason) => {
                let error = match reason {
                    Reason::PacketTooBig(mtu) => IcmpError::PacketTooBig { mtu },
                    Reason::Refused => IcmpError::PortUnreachable,
                    Reason::Soft => IcmpError::Soft,
                };
                self.tcp.icmp_error(now, source, destination, seq, error, &mut self.pool);
            }
            // RFC 5927, section 4: only about what may have gone from here.
            (protocol::UDP, Reason::PacketTooBig(mtu)) if self.udp.is_bound(source) => {
                self.path_mtus.learn(now, destination.ip(), mtu, None);
            }
            (protocol::ICMP | protocol::ICMPV6, Reason::PacketTooBig(mtu)) => {
                self.path_mtus.learn(now, destination.ip(), mtu, None);
            }
            (protocol, Reason::PacketTooBig(mtu)) if self.raw.serves(protocol) => {
                self.path_mtus.learn(now, destination.ip(), mtu, None);
            }
            _ => {}
        }
    }

    /// What is wrong with options or extension headers.
    fn refuse_fault(&mut self, now: Instant, fault: Fault, packet: Packet, datagram: &Datagram) {
        self.counters.ip(datagram.source).in_hdr_errors += 1;
        let error = match fault {
            Fault::V4(options::Fault::SourceRoute) => Some(icmp::Error::SourceRouteFailed),
            Fault::V4(options::Fault::Parameter(pointer)) => {
                Some(icmp::Error::ParameterProblem { code: 0, pointer: pointer.into(), to_multicast: false })
            }
            Fault::V6(problem) => problem.code.map(|code| icmp::Error::ParameterProblem {
                code,
                pointer: problem.pointer,
                to_multicast: problem.to_multicast,
            }),
        };
        match error {
            Some(error) => self.refuse(now, error, packet, datagram),
            None => self.pool.give(packet),
        }
    }

    /// Answers with an ICMP error where that is allowed.
    pub(super) fn refuse(&mut self, now: Instant, error: icmp::Error, packet: Packet, datagram: &Datagram) {
        // RFC 4443, section 2.2.
        let from = if self.home.contains(datagram.destination) && is_unicast(datagram.destination) {
            Some(datagram.destination)
        } else {
            self.source_for(datagram.source)
        };
        if let Some(from) = from
            && let Some(message) = icmp::error(error, packet.bytes(), datagram, from, self.config.hop_limit)
        {
            if self.errors.allows(now) {
                self.counters.icmp(from).out_errors += 1;
                self.send_icmp(message);
            } else {
                self.counters.icmp(from).out_rate_limited += 1;
            }
        }
        self.pool.give(packet);
    }

    /// Sends an ICMP message that is whole already.
    fn send_icmp(&mut self, message: Packet) {
        let from_v4 = message.bytes()[0] >> 4 == 4;
        let (at, counters) = if from_v4 { (20, &mut self.counters.icmp) } else { (40, &mut self.counters.icmpv6) };
        counters.out_msgs += 1;
        if let Some(kind) = message.bytes().get(at) {
            counters.out_types[usize::from(*kind)] += 1;
        }
        self.enqueue(message);
    }

    /// RFC 1812, 5.3.1; RFC 8200: a packet for somebody else.
    fn forward(&mut self, now: Instant, mut packet: Packet, datagram: &Datagram) {
        self.counters.ip(datagram.source).in_forw_datagrams += 1;
        if let Some(fault) = datagram.fault.filter(Fault::on_path) {
            return self.refuse_fault(now, fault, packet, datagram);
        }
        if !is_unicast(datagram.destination) || is_link_local(datagram.destination) || is_link_local(datagram.source) {
            self.counters.ip(datagram.source).in_addr_errors += 1;
            return self.pool.give(packet);
        }
        if datagram.hop_limit <= 1 {
            self.counters.ip(datagram.source).in_hdr_errors += 1;
            return self.refuse(now, icmp::Error::TtlExceeded, packet, datagram);
        }
        let Some(path) = self.routes.path(datagram.source, datagram.destination) else {
            self.counters.ip(datagram.source).in_no_routes += 1;
            return self.refuse(now, icmp::Error::NetworkUnreachable, packet, datagram);
        };
        // What counts is whether each piece of a super-segment fits, not the whole.
        let size = match packet.offload.segmentation {
            Some(Segmentation { size, .. }) => {
                let start = datagram.payload.start;
                let transport = packet.bytes().get(start + 12).map_or(0, |byte| usize::from(byte >> 4) * 4);
                (start + transport + usize::from(size)).min(datagram.payload.end)
            }
            None => datagram.payload.end,
        };
        let cannot_be_cut = datagram.dont_fragment || packet.offload.segmentation.is_some();
        if size > usize::from(path.mtu) && cannot_be_cut {
            self.counters.ip(datagram.source).out_frag_fails += 1;
            return self.refuse(now, icmp::Error::FragmentationNeeded { mtu: path.mtu }, packet, datagram);
        }
        packet.truncate(datagram.payload.end);
        ip::decrement_hop_limit(packet.bytes_mut());
        self.counters.ip(datagram.source).out_forw_datagrams += 1;
        self.enqueue_forwarded(packet);
    }
}

/// Whether the offload facts fit the packet: a device, or another stack, may tell anything.
fn is_sound(packet: &Packet, datagram: &Datagram) -> bool {
    let offload = packet.offload;
    if let Some(Segmentation { kind, size }) = offload.segmentation {
        let (transport, ipv4) = (datagram.protocol, datagram.source.is_ipv4());
        let fits = match kind {
            SegmentKind::TcpV4 => transport == protocol::TCP && ipv4,
            SegmentKind::TcpV6 => transport == protocol::TCP && !ipv4,
            // Nobody was told that this stack takes them.
            SegmentKind::Udp => false,
        };
        if !fits || size == 0 || datagram.is_fragment() {
            return false;
        }
    }
    match offload.checksum {
        Checksum::Unverified | Checksum::Valid => true,
        Checksum::Partial { start, offset } => {
            let (start, offset) = (usize::from(start), usize::from(offset));
            let expected = match datagram.protocol {
                protocol::TCP => start == datagram.payload.start && offset == 16,
                protocol::UDP => start == datagram.payload.start && offset == 6,
                // A tunnel's inner packet, perhaps.
                _ => start >= datagram.payload.start,
            };
            expected && start + offset + 2 <= datagram.payload.end && !datagram.is_fragment()
        }
    }
}

/// The version of IP that a packet claims.
pub(super) fn family(packet: &Packet) -> IpAddr {
    match packet.bytes().first().map(|byte| byte >> 4) {
        Some(6) => IpAddr::from([0; 16]),
        _ => IpAddr::from([0; 4]),
    }
}
