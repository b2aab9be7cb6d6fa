//! XCF between processes.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use socket2::{SockAddr, SockRef};
use stack::Packet;
use tokio::io::unix::AsyncFd;

use super::XcfLink;

/// Receive buffer asked for on a UDP link: a burst of super-segments must not overrun it.
const UDP_BUFFER: usize = 16 << 20;

/// XCF over UDP, between processes.
#[derive(Debug)]
pub struct UdpLink {
    socket: AsyncFd<UdpSocket>,
    by_xcf: HashMap<IpAddr, SockAddr>,
    by_endpoint: HashMap<SocketAddr, IpAddr>,
}

impl UdpLink {
    /// Binds `endpoints[own]`; all other entries are the peers.
    ///
    /// # Errors
    /// When the endpoint cannot be bound, most often because another program has the port.
    pub fn bind(own: IpAddr, endpoints: &HashMap<IpAddr, SocketAddr>) -> io::Result<Self> {
        let local = endpoints
            .get(&own)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("no XCF endpoint for {own}")))?;
        let socket = UdpSocket::bind(local)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot bind XCF endpoint {local}: {error}")))?;
        socket.set_nonblocking(true)?;
        // Beyond rmem_max only with CAP_NET_ADMIN, which an image has in its own namespace.
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket.as_fd(), UDP_BUFFER).is_err() {
            SockRef::from(&socket).set_recv_buffer_size(UDP_BUFFER)?;
        }
        let peers = endpoints.iter().filter(|(xcf, _)| **xcf != own);
        Ok(UdpLink {
            by_xcf: peers.clone().map(|(xcf, endpoint)| (*xcf, SockAddr::from(*endpoint))).collect(),
            by_endpoint: peers.map(|(xcf, endpoint)| (*endpoint, *xcf)).collect(),
            socket: crate::sys::watch(socket)?,
        })
    }
}

impl XcfLink for UdpLink {
    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<IpAddr>> {
        loop {
            let mut guard = ready!(self.socket.poll_read_ready(cx))?;
            match guard.try_io(|socket| socket.get_ref().recv_from(packet.room(0))) {
                Ok(Ok((len, endpoint))) => {
                    // Whoever is not a peer has no business here; the datagram is dropped.
                    let Some(xcf) = self.by_endpoint.get(&endpoint) else { continue };
                    packet.filled(len);
                    return Poll::Ready(Ok(*xcf));
                }
                // A peer's closed port comes back as an error of this socket on some kernels.
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }

    fn send(&mut self, to: IpAddr, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let endpoint = self.by_xcf.get(&to).ok_or(io::ErrorKind::HostUnreachable)?;
        SockRef::from(self.socket.get_ref()).send_to_vectored(parts, endpoint).map(drop)
    }
}
