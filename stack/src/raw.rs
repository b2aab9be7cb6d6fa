//! Raw sockets: whole IP payloads of one protocol, ICMP among them.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::packet::Packet;
use crate::wire::datagram::Datagram;

/// Bytes that wait on one socket before more are dropped.
const QUEUE_BYTES: usize = 256 * 1024;

/// A raw socket of one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawId(u32);

impl RawId {
    /// A small number, unique among the sockets of now.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A payload handed to an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawReceived {
    /// Bytes copied; what did not fit is cut off.
    pub len: usize,
    /// Who sent it.
    pub source: IpAddr,
    /// The own address that it came to.
    pub destination: IpAddr,
    /// TTL or hop limit that it came with.
    pub hop_limit: u8,
}

#[derive(Debug)]
struct Waiting {
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    payload: Vec<u8>,
}

#[derive(Debug)]
struct Socket {
    protocol: u8,
    address: Option<IpAddr>,
    queue: VecDeque<Waiting>,
    bytes: usize,
    waits: bool,
}

/// All raw sockets of one stack.
#[derive(Debug, Default)]
pub struct Raw {
    sockets: Vec<Option<Socket>>,
    open: usize,
    events: VecDeque<RawId>,
    /// Payloads that found their socket's queue full.
    pub drops: u64,
}

impl Raw {
    /// Opens a socket for packets of `protocol`, to `address` or to every own address.
    pub fn open(&mut self, protocol: u8, address: Option<IpAddr>) -> RawId {
        let index = self.sockets.iter().position(Option::is_none).unwrap_or_else(|| {
            self.sockets.push(None);
            self.sockets.len() - 1
        });
        self.sockets[index] = Some(Socket { protocol, address, queue: VecDeque::new(), bytes: 0, waits: false });
        self.open += 1;
        RawId(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Closes a socket; what waits on it is dropped.
    pub fn close(&mut self, id: RawId) {
        if self.sockets.get_mut(id.index()).and_then(Option::take).is_some() {
            self.open -= 1;
            self.events.retain(|event| *event != id);
        }
    }

    /// The next socket that has become readable after it had nothing.
    pub fn poll_event(&mut self) -> Option<RawId> {
        self.events.pop_front()
    }

    /// The protocol and the address of a socket.
    pub(crate) fn ends(&self, id: RawId) -> Option<(u8, Option<IpAddr>)> {
        self.sockets.get(id.index())?.as_ref().map(|socket| (socket.protocol, socket.address))
    }

    /// Whether somebody has a socket for `protocol`.
    pub(crate) fn serves(&self, protocol: u8) -> bool {
        self.open > 0 && self.sockets.iter().flatten().any(|socket| socket.protocol == protocol)
    }

    /// Gives every socket that wants it a copy; whether there was one.
    pub(crate) fn receive(&mut self, packet: &Packet, datagram: &Datagram) -> bool {
        if self.open == 0 {
            return false;
        }
        let mut taken = false;
        for (index, socket) in self.sockets.iter_mut().enumerate() {
            let Some(socket) = socket else { continue };
            if socket.protocol != datagram.protocol
                || socket.address.is_some_and(|address| address != datagram.destination)
            {
                continue;
            }
            taken = true;
            let payload = &packet.bytes()[datagram.payload.clone()];
            let cost = payload.len() + size_of::<Waiting>();
            if socket.bytes + cost > QUEUE_BYTES {
                self.drops += 1;
                continue;
            }
            socket.bytes += cost;
            let Datagram { source, destination, hop_limit, .. } = *datagram;
            socket.queue.push_back(Waiting { source, destination, hop_limit, payload: payload.to_vec() });
            if std::mem::take(&mut socket.waits) {
                self.events.push_back(RawId(u32::try_from(index).unwrap_or(u32::MAX)));
            }
        }
        taken
    }

    /// The next payload; `None` if there is none, and an event follows once there is.
    pub fn receive_from(&mut self, id: RawId, buffer: &mut [u8]) -> Option<RawReceived> {
        let socket = self.sockets.get_mut(id.index())?.as_mut()?;
        let Some(Waiting { source, destination, hop_limit, payload }) = socket.queue.pop_front() else {
            socket.waits = true;
            return None;
        };
        socket.bytes -= payload.len() + size_of::<Waiting>();
        let len = payload.len().min(buffer.len());
        buffer[..len].copy_from_slice(&payload[..len]);
        Some(RawReceived { len, source, destination, hop_limit })
    }
}
