//! XCF between processes: sealed datagrams over UDP.
//!
//! Who a datagram is from is what its seal proves, not the endpoint that it came from; what is sent
//! goes to the endpoint that the lab has given the peer.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use rand::Rng;
use socket2::{SockAddr, SockRef};
use stack::Packet;
use stack::packet::MAX_PACKET;
use tokio::io::unix::AsyncFd;
use vipa::wire::Datagram;

use super::XcfLink;
use super::refusals::{Alarm, Alarms, Cause, Refusals};
use super::seal::{HEADER, Opened, Seal, TAG};
use crate::key::ClusterKey;

/// Receive buffer asked for on a UDP link: a burst of super-segments must not overrun it.
const UDP_BUFFER: usize = 16 << 20;

/// Datagrams that may be dropped in one go: a flood of forgeries must not keep the image from its
/// other work.
const REFUSED_AT_ONCE: usize = 64;

/// XCF over UDP.
#[derive(Debug)]
pub struct UdpLink {
    own: IpAddr,
    socket: AsyncFd<UdpSocket>,
    peers: HashMap<IpAddr, SockAddr>,
    seal: Seal,
    /// Where what comes in parts is put together to be sealed.
    scratch: Box<[u8]>,
    refusals: Arc<Refusals>,
    alarms: Alarms,
    claims: Alarm,
    /// Lines for the event log; few, as alarms are rare.
    lines: VecDeque<String>,
}

impl UdpLink {
    /// Binds `endpoints[own]` for the life `life` of that stack; all other entries are the peers.
    ///
    /// # Errors
    /// When the endpoint cannot be bound. If that is because another process has it, whoever that
    /// is, it is told so; it goes on.
    pub fn bind(own: IpAddr, life: u64, key: &ClusterKey, endpoints: &HashMap<IpAddr, SocketAddr>) -> io::Result<Self> {
        let local = endpoints
            .get(&own)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("no XCF endpoint for {own}")))?;
        let peers: HashMap<IpAddr, SockAddr> = endpoints
            .iter()
            .filter(|(xcf, _)| **xcf != own)
            .map(|(xcf, endpoint)| (*xcf, SockAddr::from(*endpoint)))
            .collect();
        let salt = rand::rng().next_u32().to_be_bytes();
        let mut seal = Seal::new(key, own, life, salt, peers.keys().copied());
        let socket = UdpSocket::bind(local).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                claim(&mut seal, *local);
                let text = format!(
                    "XCF address {own} is taken: another process has {local}; the running stack goes on. \
                     End it first, or give this one another XCF address"
                );
                io::Error::new(error.kind(), text)
            }
            kind => io::Error::new(kind, format!("cannot bind XCF endpoint {local}: {error}")),
        })?;
        socket.set_nonblocking(true)?;
        // Beyond rmem_max only with CAP_NET_ADMIN, which an image has in its own namespace.
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket.as_fd(), UDP_BUFFER).is_err() {
            SockRef::from(&socket).set_recv_buffer_size(UDP_BUFFER)?;
        }
        Ok(UdpLink {
            own,
            peers,
            seal,
            socket: crate::sys::watch(socket)?,
            scratch: vec![0; HEADER + MAX_PACKET + TAG].into_boxed_slice(),
            refusals: Arc::default(),
            alarms: Alarms::default(),
            claims: Alarm::default(),
            lines: VecDeque::new(),
        })
    }

    /// The life of a peer that has answered this one; `None` if it is not known, or may be that of a recording.
    pub(super) fn proven_life(&self, peer: IpAddr) -> Option<u64> {
        self.seal.proven_life(peer)
    }

    /// Seals what lies in `datagram` between room for header and tag; `None` if the peer is no such one.
    pub(super) fn seal(&mut self, to: IpAddr, life: u64, datagram: &mut [u8]) -> Option<()> {
        self.seal.seal(to, life, datagram)
    }

    /// Opens a datagram that came another way: its sender, and the length of the content behind the header.
    pub(super) fn open(&mut self, datagram: &mut [u8]) -> Option<(IpAddr, usize)> {
        match self.seal.open(datagram) {
            Ok(Opened::Content { from, len }) => Some((from, len)),
            Ok(Opened::Claim { .. }) => None,
            Err(cause) => {
                self.refusals.count(cause);
                None
            }
        }
    }

    fn refuse(&mut self, cause: Cause, from: SocketAddr) {
        self.refusals.count(cause);
        self.lines.extend(self.alarms.line(Instant::now(), cause, from));
    }
}

/// Tells the stack at `endpoint` that its XCF address was wanted.
fn claim(seal: &mut Seal, endpoint: SocketAddr) {
    let mut datagram = [0; HEADER + TAG];
    let any = SocketAddr::new(if endpoint.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() }, 0);
    if seal.seal_claim(&mut datagram).is_some()
        && let Ok(socket) = UdpSocket::bind(any)
    {
        // It is told as a courtesy; this process says what is wrong in any case.
        drop(socket.send_to(&datagram, endpoint));
    }
}

impl XcfLink for UdpLink {
    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<IpAddr>> {
        for _ in 0..REFUSED_AT_ONCE {
            let mut guard = ready!(self.socket.poll_read_ready(cx))?;
            match guard.try_io(|socket| socket.get_ref().recv_from(packet.room(HEADER))) {
                Ok(Ok((len, endpoint))) => match self.seal.open(&mut packet.room(HEADER)[..len]) {
                    Ok(Opened::Content { from, len }) => {
                        packet.filled(len);
                        return Poll::Ready(Ok(from));
                    }
                    Ok(Opened::Claim { life }) => {
                        if self.claims.is_due(Instant::now()) {
                            let own = self.own;
                            self.lines.push_back(format!(
                                "another process (life {life}) claimed this stack's XCF address {own}; it was refused"
                            ));
                        }
                    }
                    Err(cause) => self.refuse(cause, endpoint),
                },
                // A peer's closed port comes back as an error of this socket on some kernels.
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn send(&mut self, to: IpAddr, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let endpoint = self.peers.get(&to).ok_or(io::ErrorKind::HostUnreachable)?;
        let control = parts.first().is_some_and(|part| vipa::wire::classify(part) == Datagram::Control);
        // A datagram for a stack of which no life is known would not be taken in: it is lost.
        for life in self.seal.receivers(to, control).into_iter().flatten() {
            let mut end = HEADER;
            for part in parts {
                let room = self.scratch.get_mut(end..end + part.len()).ok_or(io::ErrorKind::InvalidInput)?;
                room.copy_from_slice(part);
                end += part.len();
            }
            let datagram = self.scratch.get_mut(..end + TAG).ok_or(io::ErrorKind::InvalidInput)?;
            self.seal.seal(to, life, datagram).ok_or(io::ErrorKind::InvalidInput)?;
            SockRef::from(self.socket.get_ref()).send_to(datagram, endpoint)?;
        }
        Ok(())
    }

    fn send_packet(&mut self, to: IpAddr, mut packet: Packet) -> io::Result<Option<Packet>> {
        let endpoint = self.peers.get(&to).ok_or(io::ErrorKind::HostUnreachable)?;
        match self.seal.receivers(to, false) {
            [Some(life), None] if packet.grow(HEADER, TAG) => {
                self.seal.seal(to, life, packet.bytes_mut()).ok_or(io::ErrorKind::InvalidInput)?;
                SockRef::from(self.socket.get_ref()).send_to(packet.bytes(), endpoint)?;
                Ok(Some(packet))
            }
            _ => self.send(to, &[IoSlice::new(packet.bytes())]).map(|()| Some(packet)),
        }
    }

    fn poll_line(&mut self) -> Option<String> {
        self.lines.pop_front()
    }

    fn refusals(&self) -> Arc<Refusals> {
        self.refusals.clone()
    }
}
