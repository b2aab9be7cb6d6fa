//! The stack: what is between its links and its sockets.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use core::time::Duration;
use thiserror::Error;

use crate::egress::{Egress, LinkId, Paths, Transmit};
use crate::home::{HomeList, Kind};
use crate::icmp;
use crate::packet::{Checksum, Offload, Packet, Pool};
use crate::reassembly::{Outcome, Reassembly};
use crate::route::Routes;
use crate::tcp::{ConnId, ConnectError, IcmpError, SocketError, Tcp, TcpConfig};
use crate::time::Instant;
use crate::udp::{self, Delivery, Received, Udp, UdpCounters, UdpId};
use crate::wire::checksum;
use crate::wire::datagram::{Datagram, Malformed};
use crate::wire::ip::{self, protocol};
use crate::wire::tcp::{Codepoint, Segment};

/// Settings of a stack.
#[derive(Clone, Debug)]
pub struct Config {
    /// TCP's own.
    pub tcp: TcpConfig,
    /// TTL of packets that this stack sends.
    pub hop_limit: u8,
    /// Whether packets for others are passed on (RFC 1122, 3.3.5: off for a host).
    pub forward: bool,
    /// Free packet buffers that are kept.
    pub pool: usize,
    /// Packets of the stack's own (replies, datagrams) that wait to leave.
    pub max_queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { tcp: TcpConfig::default(), hop_limit: 64, forward: false, pool: 256, max_queue: 1024 }
    }
}

/// MIB counters (RFC 4293).
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "the MIB's names")]
pub struct IpCounters {
    pub in_receives: u64,
    pub in_hdr_errors: u64,
    pub in_addr_errors: u64,
    pub in_truncated_pkts: u64,
    pub in_unknown_protos: u64,
    pub in_delivers: u64,
    pub forwarded: u64,
    pub in_no_routes: u64,
    pub reasm_reqds: u64,
    pub reasm_oks: u64,
    pub reasm_fails: u64,
    pub out_requests: u64,
    pub out_no_routes: u64,
    pub out_discards: u64,
    pub out_frag_creates: u64,
    pub in_tcp_errors: u64,
    pub icmp_in_msgs: u64,
    pub icmp_in_errors: u64,
    pub icmp_out_msgs: u64,
}

/// Why a connection could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// No route, or no address of this stack to send from.
    #[error("network unreachable")]
    Unreachable,
    /// TCP refused.
    #[error(transparent)]
    Tcp(#[from] ConnectError),
}

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// No route, or no address of this stack to send from.
    #[error("network unreachable")]
    Unreachable,
    /// More than a datagram can hold.
    #[error("message too long")]
    TooLong,
    /// No such socket.
    #[error("no such socket")]
    Closed,
}

/// See the module.
#[derive(Debug)]
pub struct Stack {
    config: Config,
    home: HomeList,
    routes: Routes,
    pool: Pool,
    tcp: Tcp,
    udp: Udp,
    reassembly: Reassembly,
    errors: icmp::RateLimit,
    /// Packets of the stack's own, to leave in order.
    queue: VecDeque<Packet>,
    /// Packets to one of the own addresses.
    looped: VecDeque<Packet>,
    identification: u16,
    counters: IpCounters,
}

impl Stack {
    /// A stack without addresses, links and routes. All its random choices come from `seed`.
    pub fn new(config: Config, seed: u64) -> Self {
        Stack {
            tcp: Tcp::new(config.tcp.clone(), seed),
            pool: Pool::new(config.pool),
            home: HomeList::default(),
            routes: Routes::default(),
            udp: Udp::default(),
            reassembly: Reassembly::default(),
            errors: icmp::RateLimit::new(50, Duration::from_millis(1)),
            queue: VecDeque::new(),
            looped: VecDeque::new(),
            identification: u16::from_be_bytes([seed.to_be_bytes()[0], seed.to_be_bytes()[1]]),
            counters: IpCounters::default(),
            config,
        }
    }

    /// The home list.
    pub fn home(&self) -> &HomeList {
        &self.home
    }

    /// The home list, to change.
    pub fn home_mut(&mut self) -> &mut HomeList {
        &mut self.home
    }

    /// Links and routes.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Links and routes, to change.
    pub fn routes_mut(&mut self) -> &mut Routes {
        &mut self.routes
    }

    /// Free packet buffers.
    pub fn pool_mut(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// TCP.
    pub fn tcp(&self) -> &Tcp {
        &self.tcp
    }

    /// TCP, to call its sockets. Poll transmissions and events afterwards.
    pub fn tcp_mut(&mut self) -> &mut Tcp {
        &mut self.tcp
    }

    /// UDP.
    pub fn udp(&self) -> &Udp {
        &self.udp
    }

    /// UDP, to call its sockets.
    pub fn udp_mut(&mut self) -> &mut Udp {
        &mut self.udp
    }

    /// Counters of IP and ICMP.
    pub fn counters(&self) -> &IpCounters {
        &self.counters
    }

    /// Counters of UDP.
    pub fn udp_counters(&self) -> &UdpCounters {
        self.udp.counters()
    }

    /// A packet came in by `link`. Poll transmissions and events afterwards.
    pub fn receive(&mut self, now: Instant, link: LinkId, packet: Packet) {
        self.counters.in_receives += 1;
        let datagram = match Datagram::parse(packet.bytes()) {
            Ok(datagram) => datagram,
            Err(error) => {
                match error {
                    Malformed::Truncated => self.counters.in_truncated_pkts += 1,
                    Malformed::Header | Malformed::Checksum => self.counters.in_hdr_errors += 1,
                }
                return self.pool.give(packet);
            }
        };
        if self.home.contains(datagram.destination) {
            self.deliver(now, packet, datagram);
        } else if self.config.forward {
            self.forward(now, packet, &datagram);
        } else {
            let _ = link;
            self.counters.in_addr_errors += 1;
            self.pool.give(packet);
        }
    }

    fn deliver(&mut self, now: Instant, packet: Packet, datagram: Datagram) {
        if datagram.is_fragment() {
            self.counters.reasm_reqds += 1;
            let outcome = self.reassembly.add(now, packet.bytes(), &datagram);
            self.pool.give(packet);
            match outcome {
                Outcome::Incomplete => {}
                Outcome::Dropped => self.counters.reasm_fails += 1,
                Outcome::Complete(whole) => {
                    self.counters.reasm_oks += 1;
                    if let Ok(datagram) = Datagram::parse(whole.bytes()) {
                        self.deliver(now, whole, datagram);
                    }
                }
            }
            return;
        }
        self.counters.in_delivers += 1;
        match datagram.protocol {
            protocol::TCP => self.deliver_tcp(now, packet, &datagram),
            protocol::UDP => {
                if let Delivery::NoPort(packet) = self.udp.receive(packet, &datagram, &mut self.pool) {
                    self.refuse(now, icmp::Error::PortUnreachable, packet, &datagram);
                }
            }
            protocol::ICMP if datagram.source.is_ipv4() => self.deliver_icmp(now, packet, &datagram),
            _ => {
                self.counters.in_unknown_protos += 1;
                self.refuse(now, icmp::Error::ProtocolUnreachable, packet, &datagram);
            }
        }
    }

    /// The segment in a packet, if it is sound.
    fn segment(packet: &Packet, datagram: &Datagram) -> Option<Segment> {
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
                self.counters.in_tcp_errors += 1;
                self.pool.give(packet);
            }
        }
    }

    fn deliver_icmp(&mut self, now: Instant, packet: Packet, datagram: &Datagram) {
        self.counters.icmp_in_msgs += 1;
        match icmp::read(packet.bytes(), datagram) {
            icmp::Message::Echo(reply) => {
                self.counters.icmp_out_msgs += 1;
                self.enqueue(reply);
            }
            icmp::Message::Report(report) if report.about.protocol == protocol::TCP => {
                let error = match report.code {
                    (3, 4) => IcmpError::PacketTooBig { mtu: report.mtu },
                    (3, 2 | 3) => IcmpError::PortUnreachable,
                    _ => IcmpError::Soft,
                };
                self.tcp.icmp_error(
                    now,
                    report.about.source,
                    report.about.destination,
                    report.about.seq,
                    error,
                    &mut self.pool,
                );
            }
            icmp::Message::Report(_) | icmp::Message::Other => {}
            icmp::Message::Malformed => self.counters.icmp_in_errors += 1,
        }
        self.pool.give(packet);
    }

    /// Answers with an ICMP error where that is allowed.
    fn refuse(&mut self, now: Instant, error: icmp::Error, packet: Packet, datagram: &Datagram) {
        let from = if self.home.contains(datagram.destination) {
            Some(datagram.destination)
        } else {
            self.source_for(datagram.source)
        };
        if let Some(from) = from
            && let Some(message) = icmp::error(error, packet.bytes(), datagram, from)
            && self.errors.allows(now)
        {
            self.counters.icmp_out_msgs += 1;
            self.enqueue(message);
        }
        self.pool.give(packet);
    }

    /// RFC 1812, 5.3.1: a packet for somebody else.
    fn forward(&mut self, now: Instant, mut packet: Packet, datagram: &Datagram) {
        if datagram.hop_limit <= 1 {
            return self.refuse(now, icmp::Error::TtlExceeded, packet, datagram);
        }
        let Some(path) = self.routes.path(datagram.source, datagram.destination) else {
            self.counters.in_no_routes += 1;
            return self.refuse(now, icmp::Error::NetworkUnreachable, packet, datagram);
        };
        // What counts is whether each piece of a super-segment fits, not the whole.
        let piece = match packet.offload.segmentation {
            Some(segmentation) => usize::from(segmentation.size) + 120,
            None => datagram.payload.end,
        };
        if piece > usize::from(path.mtu) && packet.offload.segmentation.is_none() && datagram.dont_fragment {
            return self.refuse(now, icmp::Error::FragmentationNeeded { mtu: path.mtu }, packet, datagram);
        }
        ip::decrement_hop_limit(packet.bytes_mut());
        self.counters.forwarded += 1;
        self.enqueue(packet);
    }

    fn enqueue(&mut self, packet: Packet) {
        if self.queue.len() >= self.config.max_queue {
            self.counters.out_discards += 1;
            self.pool.give(packet);
        } else {
            self.queue.push_back(packet);
        }
    }

    /// The address that packets to `destination` are sent from: the link's where there is one, else XCF's.
    fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        if self.home.contains(destination) {
            return Some(destination);
        }
        self.routes.path(destination, destination)?;
        let of =
            |kind| self.home.iter().find(|home| home.kind == kind && home.address.is_ipv4() == destination.is_ipv4());
        of(Kind::Link).or_else(|| of(Kind::Xcf)).map(|home| home.address)
    }

    /// Opens a connection to `remote`, from `local` or from an address and port of the stack's choice.
    ///
    /// # Errors
    /// If there is no way to start.
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> Result<ConnId, OpenError> {
        let local = match local {
            Some(local) if !local.ip().is_unspecified() => local,
            other => {
                let source = self.source_for(remote.ip()).ok_or(OpenError::Unreachable)?;
                SocketAddr::new(source, other.map_or(0, |local| local.port()))
            }
        };
        Ok(self.tcp.connect(now, local, remote)?)
    }

    /// Reads from a connection; zero bytes mean the end of the stream.
    ///
    /// # Errors
    /// If there is nothing to read, now or for ever.
    pub fn tcp_recv(&mut self, now: Instant, id: ConnId, buffer: &mut [u8]) -> Result<usize, SocketError> {
        self.tcp.recv(now, id, buffer, &mut self.pool)
    }

    /// Closes a connection and releases its handle.
    pub fn tcp_close(&mut self, now: Instant, id: ConnId) {
        self.tcp.close(now, id, &mut self.pool);
    }

    /// Resets a connection and releases its handle.
    pub fn tcp_abort(&mut self, now: Instant, id: ConnId) {
        self.tcp.abort(now, id, &mut self.pool);
    }

    /// Resets every connection and releases its handle, as a stack does that ends in order; with an
    /// address only those that have it as their own.
    pub fn tcp_abort_all(&mut self, now: Instant, local: Option<IpAddr>) {
        self.tcp.abort_all(now, local, &mut self.pool);
    }

    /// The next datagram of a socket; `None` if there is none yet.
    pub fn udp_recv(&mut self, id: UdpId, buffer: &mut [u8]) -> Option<Received> {
        self.udp.receive_from(id, buffer)
    }

    /// Sends a datagram from `source`, or from an address of the stack's choice if that is unspecified.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn udp_send(
        &mut self,
        id: UdpId,
        source: IpAddr,
        destination: SocketAddr,
        data: &[u8],
    ) -> Result<(), SendError> {
        let port = self.udp.port(id).ok_or(SendError::Closed)?;
        let source = match source {
            chosen if !chosen.is_unspecified() => chosen,
            _ => self.source_for(destination.ip()).ok_or(SendError::Unreachable)?,
        };
        let length = u16::try_from(udp::HEADER + data.len()).map_err(|_| SendError::TooLong)?;
        let header = ip::Header {
            source,
            destination: destination.ip(),
            protocol: protocol::UDP,
            hop_limit: self.config.hop_limit,
            traffic_class: 0,
            identification: self.next_identification(),
            dont_fragment: false,
            payload_len: usize::from(length),
        };
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(SendError::Unreachable);
        }
        let mut bytes = vec![0; ip::MAX_HEADER + usize::from(length)];
        let at = ip::emit(&header, &mut bytes);
        bytes.truncate(at + usize::from(length));
        if bytes.len() > crate::packet::MAX_PACKET {
            return Err(SendError::TooLong);
        }
        bytes[at..at + 2].copy_from_slice(&port.to_be_bytes());
        bytes[at + 2..at + 4].copy_from_slice(&destination.port().to_be_bytes());
        bytes[at + 4..at + 6].copy_from_slice(&length.to_be_bytes());
        bytes[at + 8..].copy_from_slice(data);
        let pseudo = checksum::pseudo_header(source, destination.ip(), protocol::UDP, u32::from(length));
        // Zero would mean 'none': it is sent as its other form.
        let sum = match !checksum::fold(pseudo + checksum::sum(&bytes[at..])) {
            0 => 0xffff,
            sum => sum,
        };
        bytes[at + 6..at + 8].copy_from_slice(&sum.to_be_bytes());
        self.udp.counters.out_datagrams += 1;
        self.enqueue(Packet::copy_of(&bytes));
        Ok(())
    }

    fn next_identification(&mut self) -> u16 {
        self.identification = self.identification.wrapping_add(1);
        self.identification
    }

    /// Answers a TCP packet as a closed port does, whoever's address it is for (R6, R20).
    pub fn reset(&mut self, _now: Instant, packet: Packet) {
        if let Ok(datagram) = Datagram::parse(packet.bytes())
            && datagram.protocol == protocol::TCP
            && !datagram.is_fragment()
            && let Some(segment) = Self::segment(&packet, &datagram)
        {
            self.tcp.reset_for(&segment);
        }
        self.pool.give(packet);
    }

    /// Whether a packet gives back a SYN cookie of this stack, and so belongs here although there
    /// is no such connection yet (RFC 4987, 3.6). Costs one comparison while there are no cookies.
    pub fn returns_cookie(&self, now: Instant, packet: &Packet) -> bool {
        self.tcp.awaits_cookies(now)
            && Datagram::parse(packet.bytes()).is_ok_and(|datagram| {
                datagram.protocol == protocol::TCP
                    && !datagram.is_fragment()
                    && self.home.contains(datagram.destination)
                    && Self::segment(packet, &datagram).is_some_and(|segment| self.tcp.returns_cookie(now, &segment))
            })
    }

    /// When [`handle_timeout`](Stack::handle_timeout) is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.tcp.next_deadline(), self.reassembly.next_deadline()].into_iter().flatten().min()
    }

    /// Does what is due. Poll transmissions and events afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tcp.handle_timeout(now, &mut self.pool);
        let mut expired = Vec::new();
        self.reassembly.expire(now, |quoted| expired.push(Packet::copy_of(quoted)));
        for packet in expired {
            self.counters.reasm_fails += 1;
            // A fragment's total length may say less than what is quoted; it parses all the same.
            if let Ok(datagram) = Datagram::parse(packet.bytes()) {
                self.refuse(now, icmp::Error::ReassemblyTimeExceeded, packet, &datagram);
            }
        }
    }

    /// Lets up to about `budget` packets leave; `true` if more wait.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut dyn Egress, budget: usize) -> bool {
        for _ in 0..budget {
            let Some(packet) = self.queue.pop_front() else { break };
            self.send_own(packet, out);
        }
        let Stack { tcp, routes, home, looped, pool, counters, config, .. } = self;
        let mut sorter = Sorter { home, looped, pool, counters, room: config.max_queue, out };
        let mut more = tcp.poll_transmit(now, &*routes, &mut sorter, budget);
        more |= !self.queue.is_empty();
        for _ in 0..self.looped.len() {
            let Some(packet) = self.looped.pop_front() else { break };
            self.receive(now, LinkId(u8::MAX), packet);
            more = true;
        }
        more
    }

    fn send_own(&mut self, packet: Packet, out: &mut dyn Egress) {
        let Ok(datagram) = Datagram::parse(packet.bytes()) else { return self.pool.give(packet) };
        self.counters.out_requests += 1;
        if self.home.contains(datagram.destination) {
            if self.looped.len() < self.config.max_queue {
                self.looped.push_back(packet);
            }
            return;
        }
        let Some(path) = self.routes.path(datagram.source, datagram.destination) else {
            self.counters.out_no_routes += 1;
            return self.pool.give(packet);
        };
        let transmit = |header: &[u8], payload: &[u8], offload: Offload, out: &mut dyn Egress| {
            out.transmit(Transmit {
                destination: datagram.destination,
                link: path.link,
                next_hop: path.next_hop,
                header,
                payload: &[payload],
                offload,
            });
        };
        let (header, payload) = packet.bytes().split_at(datagram.payload.start);
        if packet.len() <= usize::from(path.mtu) || packet.offload.segmentation.is_some() {
            transmit(header, payload, packet.offload, out);
        } else {
            // RFC 791: fragments of a multiple of eight bytes.
            let size = (usize::from(path.mtu).saturating_sub(header.len()) & !7).max(8);
            let last = payload.len().div_ceil(size) - 1;
            for (index, part) in payload.chunks(size).enumerate() {
                let mut header = header.to_vec();
                ip::set_fragment(&mut header, index * size, index < last, part.len());
                self.counters.out_frag_creates += 1;
                transmit(&header, part, Offload::default(), out);
            }
        }
        self.pool.give(packet);
    }
}

/// Keeps packets to the own addresses inside.
struct Sorter<'a> {
    home: &'a HomeList,
    looped: &'a mut VecDeque<Packet>,
    pool: &'a mut Pool,
    counters: &'a mut IpCounters,
    room: usize,
    out: &'a mut dyn Egress,
}

impl Egress for Sorter<'_> {
    fn transmit(&mut self, packet: Transmit<'_>) {
        self.counters.out_requests += 1;
        if !self.home.contains(packet.destination) {
            return self.out.transmit(packet);
        }
        if self.looped.len() >= self.room {
            self.counters.out_discards += 1;
            return;
        }
        let mut copy = self.pool.take();
        let mut len = 0;
        for part in std::iter::once(&packet.header).chain(packet.payload) {
            copy.room(0)[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        copy.filled(len);
        copy.offload = packet.offload;
        self.looped.push_back(copy);
    }
}
