//! The stack: what is between its links and its sockets.

mod identification;
mod input;
mod output;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use core::time::Duration;
use thiserror::Error;

use crate::address::is_unicast;
use crate::counters::Counters;
use crate::egress::{LinkId, Paths};
use crate::home::{HomeList, Kind};
use crate::icmp;
use crate::packet::{Packet, Pool};
use crate::pmtu::PathMtus;
use crate::raw::{Raw, RawId, RawReceived};
use crate::reassembly::Reassembly;
use crate::route::Routes;
use crate::tcp::{ConnId, ConnectError, SocketError, Tcp, TcpConfig};
use crate::time::Instant;
use crate::udp::{self, Received, Udp, UdpCounters, UdpId};
use crate::wire::checksum;
use crate::wire::datagram::Datagram;
use crate::wire::ip::{self, protocol};
use identification::Identifications;
use output::Outgoing;

/// The link that packets to one of the own addresses come in by.
const LOOPED: LinkId = LinkId(u8::MAX);

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
    /// Bytes that they may occupy.
    pub max_queue_bytes: usize,
    /// Bytes that wait on one UDP socket before more are dropped.
    pub udp_receive: usize,
    /// How long the parts of a datagram wait for the rest (RFC 1122, section 3.3.2; RFC 8200, section 4.5).
    pub reassembly_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            tcp: TcpConfig::default(),
            hop_limit: 64,
            forward: false,
            pool: 256,
            max_queue: 1024,
            max_queue_bytes: 8 * 1024 * 1024,
            udp_receive: udp::QUEUE_BYTES,
            reassembly_timeout: Duration::from_secs(60),
        }
    }
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
    raw: Raw,
    path_mtus: PathMtus,
    /// Packets of the stack's own, and those that it passes on, to leave in order.
    queue: VecDeque<Outgoing>,
    queue_bytes: usize,
    /// Packets to one of the own addresses.
    looped: VecDeque<Packet>,
    identifications: Identifications,
    counters: Counters,
}

impl Stack {
    /// A stack without addresses, links and routes. All its random choices come from `seed`.
    pub fn new(config: Config, seed: u64) -> Self {
        Stack {
            tcp: Tcp::new(config.tcp.clone(), seed),
            pool: Pool::new(config.pool),
            home: HomeList::default(),
            routes: Routes::new(config.hop_limit),
            udp: Udp::new(config.udp_receive),
            reassembly: Reassembly::new(config.reassembly_timeout),
            errors: icmp::RateLimit::new(50, Duration::from_millis(1)),
            raw: Raw::default(),
            path_mtus: PathMtus::default(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            looped: VecDeque::new(),
            identifications: Identifications::new(seed),
            counters: Counters::default(),
            config,
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// From now on these settings count: for new connections, and where that is possible for those
    /// that are there.
    pub fn configure(&mut self, config: Config) {
        self.tcp.configure(config.tcp.clone());
        self.routes.set_hop_limit(config.hop_limit);
        self.udp.set_queue_bytes(config.udp_receive);
        self.reassembly.set_timeout(config.reassembly_timeout);
        self.config = config;
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

    /// Raw sockets.
    pub fn raw_mut(&mut self) -> &mut Raw {
        &mut self.raw
    }

    /// Bytes that wait for the rest of their datagrams.
    pub fn reassembly_bytes(&self) -> usize {
        self.reassembly.bytes()
    }

    /// Counters of IP and ICMP.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counters of UDP.
    pub fn udp_counters(&self) -> &UdpCounters {
        self.udp.counters()
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

    /// Reads up to `max` bytes, which `take` gets slice by slice; zero bytes mean the end of the stream.
    ///
    /// # Errors
    /// As [`tcp_recv`](Stack::tcp_recv).
    pub fn tcp_recv_with(
        &mut self,
        now: Instant,
        id: ConnId,
        max: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, SocketError> {
        self.tcp.recv_with(now, id, max, &mut self.pool, take)
    }

    /// Closes a connection and releases its handle.
    pub fn tcp_close(&mut self, now: Instant, id: ConnId) {
        self.tcp.close(now, id, &mut self.pool);
    }

    /// Resets a connection and releases its handle.
    pub fn tcp_abort(&mut self, now: Instant, id: ConnId) {
        self.tcp.abort(now, id, &mut self.pool);
    }

    /// Resets every connection whose own and other end `which` says yes to. Whoever holds one is told, as if its
    /// peer had.
    pub fn tcp_abort_all(&mut self, now: Instant, which: impl Fn(SocketAddr, SocketAddr) -> bool) {
        self.tcp.abort_all(now, which, &mut self.pool);
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
            // Given when it is cut (RFC 6864, section 4.1).
            identification: 0,
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

    /// The next payload of a raw socket; `None` if there is none yet.
    pub fn raw_recv(&mut self, id: RawId, buffer: &mut [u8]) -> Option<RawReceived> {
        self.raw.receive_from(id, buffer)
    }

    /// Sends `data` as the whole payload of a packet of the socket's protocol, from `source` or an
    /// address of the stack's choice. The checksum of ICMP and ICMPv6 is put in (RFC 3542, section 3.1).
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn raw_send(
        &mut self,
        id: RawId,
        source: Option<IpAddr>,
        destination: IpAddr,
        hop_limit: Option<u8>,
        data: &[u8],
    ) -> Result<(), SendError> {
        let (protocol, address) = self.raw.ends(id).ok_or(SendError::Closed)?;
        let source = match source.or(address) {
            Some(source) => source,
            None => self.source_for(destination).ok_or(SendError::Unreachable)?,
        };
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(SendError::Unreachable);
        }
        let header = ip::Header {
            source,
            destination,
            protocol,
            hop_limit: hop_limit.unwrap_or(self.config.hop_limit),
            traffic_class: 0,
            identification: 0,
            dont_fragment: false,
            payload_len: data.len(),
        };
        let mut bytes = vec![0; ip::MAX_HEADER + data.len()];
        let at = ip::emit(&header, &mut bytes);
        bytes.truncate(at + data.len());
        if bytes.len() > crate::packet::MAX_PACKET {
            return Err(SendError::TooLong);
        }
        bytes[at..].copy_from_slice(data);
        if protocol == (if source.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 }) {
            icmp::seal(source, destination, &mut bytes[at..]);
            let counters = self.counters.icmp(source);
            counters.out_msgs += 1;
            counters.out_types[usize::from(data.first().copied().unwrap_or(0))] += 1;
        }
        self.enqueue(Packet::copy_of(&bytes));
        Ok(())
    }

    /// Answers a TCP packet as a closed port does, whoever's address it is for (R6, R20).
    pub fn reset(&mut self, _now: Instant, packet: Packet) {
        if let Ok(datagram) = Datagram::parse(packet.bytes())
            && datagram.protocol == protocol::TCP
            && !datagram.is_fragment()
            && datagram.fault.is_none()
            && is_unicast(datagram.source)
            && is_unicast(datagram.destination)
            && datagram.source != datagram.destination
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
        let Stack { reassembly, counters, .. } = self;
        reassembly.expire(now, |source, first| {
            counters.ip(source).reasm_fails += 1;
            expired.extend(first);
        });
        for packet in expired {
            if let Ok(datagram) = Datagram::parse(packet.bytes()) {
                self.refuse(now, icmp::Error::ReassemblyTimeExceeded, packet, &datagram);
            }
        }
    }
}
