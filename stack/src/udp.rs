//! UDP (RFC 768): sockets with bounded queues.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use thiserror::Error;

use crate::counters::counters;
use crate::packet::{Checksum, Packet, Pool};
use crate::wire::checksum;
use crate::wire::datagram::Datagram;
use crate::wire::ip::protocol;

/// Length of the header.
pub const HEADER: usize = 8;

/// Bytes that wait on one socket before more are dropped, unless set otherwise.
pub(crate) const QUEUE_BYTES: usize = 256 * 1024;

/// A socket of one [`Udp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UdpId(u32);

impl UdpId {
    /// A small number, unique among the sockets of now.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Something that a socket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpEvent {
    /// There is a datagram.
    Readable(UdpId),
}

/// Why a socket cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BindError {
    /// Another socket has this address and port.
    #[error("address already in use")]
    InUse,
    /// Port zero.
    #[error("port zero cannot be bound")]
    PortZero,
}

/// A datagram handed to an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes copied; what did not fit is cut off.
    pub len: usize,
    /// Who sent it.
    pub source: SocketAddr,
    /// The own address that it came to.
    pub destination: SocketAddr,
}

counters! {
    /// What UDP has counted (RFC 4113).
    UdpCounters:
    /// Datagrams handed to a socket.
    in_datagrams = "udpInDatagrams",
    /// Datagrams to a port that nobody has.
    no_ports = "udpNoPorts",
    /// Datagrams that could not be handed over for another reason.
    in_errors = "udpInErrors",
    /// Datagrams sent.
    out_datagrams = "udpOutDatagrams",
}

#[derive(Debug)]
struct Socket {
    address: Option<IpAddr>,
    port: u16,
    queue: VecDeque<(SocketAddr, SocketAddr, Packet)>,
    bytes: usize,
    waits: bool,
}

/// What became of a datagram that came in.
#[derive(Debug)]
pub(crate) enum Delivery {
    Done,
    /// Nobody has the port: the packet, to answer with an ICMP error.
    NoPort(Packet),
}

/// All UDP sockets of one stack.
#[derive(Debug)]
pub struct Udp {
    queue_bytes: usize,
    sockets: Vec<Option<Socket>>,
    ports: HashMap<(Option<IpAddr>, u16), UdpId, FixedState>,
    events: VecDeque<UdpEvent>,
    pub(crate) counters: UdpCounters,
}

impl Udp {
    /// Without sockets; on each of them `queue_bytes` bytes may wait.
    pub(crate) fn new(queue_bytes: usize) -> Self {
        Udp {
            queue_bytes,
            sockets: Vec::new(),
            ports: HashMap::default(),
            events: VecDeque::new(),
            counters: UdpCounters::default(),
        }
    }

    /// From now on so many bytes may wait on each socket.
    pub(crate) fn set_queue_bytes(&mut self, queue_bytes: usize) {
        self.queue_bytes = queue_bytes;
    }

    /// Whether somebody has this address and port.
    pub(crate) fn is_bound(&self, local: SocketAddr) -> bool {
        self.ports.contains_key(&(Some(local.ip()), local.port())) || self.ports.contains_key(&(None, local.port()))
    }

    /// Binds `port` on `address`, or on every address.
    ///
    /// # Errors
    /// If it cannot be bound.
    pub fn bind(&mut self, address: Option<IpAddr>, port: u16) -> Result<UdpId, BindError> {
        if port == 0 {
            return Err(BindError::PortZero);
        }
        if self.ports.contains_key(&(address, port)) {
            return Err(BindError::InUse);
        }
        let index = self.sockets.iter().position(Option::is_none).unwrap_or_else(|| {
            self.sockets.push(None);
            self.sockets.len() - 1
        });
        let id = UdpId(u32::try_from(index).unwrap_or(u32::MAX));
        self.sockets[index] = Some(Socket { address, port, queue: VecDeque::new(), bytes: 0, waits: false });
        self.ports.insert((address, port), id);
        Ok(id)
    }

    /// Closes a socket; what waits on it is dropped.
    pub fn close(&mut self, id: UdpId) {
        if let Some(socket) = self.sockets.get_mut(id.index()).and_then(Option::take) {
            self.ports.remove(&(socket.address, socket.port));
            self.events.retain(|event| *event != UdpEvent::Readable(id));
        }
    }

    /// The port that a socket is bound to.
    pub fn port(&self, id: UdpId) -> Option<u16> {
        self.sockets.get(id.index())?.as_ref().map(|socket| socket.port)
    }

    /// All sockets: address, `None` for every address, port, and bytes that wait.
    pub fn sockets(&self) -> impl Iterator<Item = (Option<IpAddr>, u16, usize)> {
        self.sockets.iter().flatten().map(|socket| (socket.address, socket.port, socket.bytes))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<UdpEvent> {
        self.events.pop_front()
    }

    /// Counters.
    pub fn counters(&self) -> &UdpCounters {
        &self.counters
    }

    pub(crate) fn receive(&mut self, mut packet: Packet, datagram: &Datagram, pool: &mut Pool) -> Delivery {
        let body = &packet.bytes()[datagram.payload.clone()];
        let word = |at: usize| body.get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]));
        let (source, port, length, sum) = (word(0), word(2), usize::from(word(4)), word(6));
        let intact = body.len() >= HEADER && (HEADER..=body.len()).contains(&length) && {
            // A checksum of zero means that the sender computed none; not so over IPv6 (RFC 8200, section 8.1).
            packet.offload.checksum != Checksum::Unverified || sum == 0 && datagram.source.is_ipv4() || {
                let pseudo = checksum::pseudo_header(
                    datagram.source,
                    datagram.destination,
                    protocol::UDP,
                    u32::try_from(length).unwrap_or(u32::MAX),
                );
                checksum::fold(pseudo + checksum::sum(&body[..length])) == 0xffff
            }
        };
        if !intact {
            self.counters.in_errors += 1;
            pool.give(packet);
            return Delivery::Done;
        }
        let id = self.ports.get(&(Some(datagram.destination), port)).or_else(|| self.ports.get(&(None, port)));
        let Some((id, socket)) = id.and_then(|id| Some((*id, self.sockets.get_mut(id.index())?.as_mut()?))) else {
            self.counters.no_ports += 1;
            return Delivery::NoPort(packet);
        };
        let start = datagram.payload.start;
        packet.truncate(start + length);
        packet.trim_front(start + HEADER);
        // Small datagrams do not hold a large buffer.
        let held = Packet::copy_of(packet.bytes());
        pool.give(packet);
        if socket.bytes + held.footprint() > self.queue_bytes {
            self.counters.in_errors += 1;
            return Delivery::Done;
        }
        self.counters.in_datagrams += 1;
        socket.bytes += held.footprint();
        let from = SocketAddr::new(datagram.source, source);
        socket.queue.push_back((from, SocketAddr::new(datagram.destination, port), held));
        if std::mem::take(&mut socket.waits) {
            self.events.push_back(UdpEvent::Readable(id));
        }
        Delivery::Done
    }

    /// The next datagram; `None` if there is none, and an event follows once there is.
    pub fn receive_from(&mut self, id: UdpId, buffer: &mut [u8]) -> Option<Received> {
        let socket = self.sockets.get_mut(id.index())?.as_mut()?;
        let Some((source, destination, packet)) = socket.queue.pop_front() else {
            socket.waits = true;
            return None;
        };
        socket.bytes -= packet.footprint();
        let len = packet.len().min(buffer.len());
        buffer[..len].copy_from_slice(&packet.bytes()[..len]);
        Some(Received { len, source, destination })
    }
}
