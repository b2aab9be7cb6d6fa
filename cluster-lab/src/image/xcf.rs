//! XCF links: what carries datagrams from one image to another. The protocol inside them is the
//! VIPA core's; a link only moves bytes, and may lose them.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use socket2::{SockAddr, SockRef};
use stack::{Offload, Packet, Pool};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

/// Receive buffer asked for on a UDP link: a burst of super-segments must not overrun it.
const UDP_BUFFER: usize = 16 << 20;

/// Datagrams that wait on an in-process link before more are dropped.
const CHANNEL_DEPTH: usize = 4096;

/// One image's attachment to XCF.
pub trait XcfLink: Send {
    /// The next datagram and the XCF address of its sender. Headroom of `packet` is kept free.
    ///
    /// # Errors
    /// When the link itself broke; a lost datagram is no error.
    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<IpAddr>>;

    /// Sends the concatenation of `parts` to the image with XCF address `to`.
    ///
    /// # Errors
    /// The datagram was not sent: unknown peer, no room. Losing it is allowed.
    fn send(&mut self, to: IpAddr, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// Sends a whole packet; hands back the buffer if it is free again.
    ///
    /// # Errors
    /// As for [`send`](XcfLink::send).
    fn send_packet(&mut self, to: IpAddr, packet: Packet) -> io::Result<Option<Packet>> {
        self.send(to, &[IoSlice::new(packet.bytes())]).map(|()| Some(packet))
    }
}

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

/// A datagram on an in-process link.
type Carried = (IpAddr, Packet);

/// All in-process links of one process.
#[derive(Clone, Debug)]
pub struct Exchange {
    inboxes: Arc<Mutex<HashMap<IpAddr, mpsc::Sender<Carried>>>>,
    pool: Arc<Mutex<Pool>>,
}

impl Default for Exchange {
    fn default() -> Self {
        Exchange { inboxes: Arc::default(), pool: Arc::new(Mutex::new(Pool::new(256))) }
    }
}

impl Exchange {
    /// Attaches the image with XCF address `own`, in place of a former life of it.
    pub fn attach(&self, own: IpAddr) -> ChannelLink {
        let (sender, inbox) = mpsc::channel(CHANNEL_DEPTH);
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner).insert(own, sender.clone());
        ChannelLink { own, inbox, sender, exchange: self.clone() }
    }
}

/// XCF inside one process.
#[derive(Debug)]
pub struct ChannelLink {
    own: IpAddr,
    inbox: mpsc::Receiver<Carried>,
    sender: mpsc::Sender<Carried>,
    exchange: Exchange,
}

impl ChannelLink {
    fn put(&self, to: IpAddr, packet: Packet) -> io::Result<()> {
        let inboxes = self.exchange.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let inbox = inboxes.get(&to).ok_or(io::ErrorKind::HostUnreachable)?;
        inbox.try_send((self.own, packet)).map_err(|_| io::ErrorKind::WouldBlock.into())
    }
}

impl XcfLink for ChannelLink {
    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<IpAddr>> {
        // Never closed: `sender` keeps the channel open.
        let Some((from, mut received)) = ready!(self.inbox.poll_recv(cx)) else { return Poll::Pending };
        received.offload = Offload::default();
        let spare = std::mem::replace(packet, received);
        self.exchange.pool.lock().unwrap_or_else(PoisonError::into_inner).give(spare);
        Poll::Ready(Ok(from))
    }

    fn send(&mut self, to: IpAddr, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut packet = self.exchange.pool.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut len = 0;
        for part in parts {
            let room = packet.room(0).get_mut(len..len + part.len()).ok_or(io::ErrorKind::InvalidInput)?;
            room.copy_from_slice(part);
            len += part.len();
        }
        packet.filled(len);
        self.put(to, packet)
    }

    fn send_packet(&mut self, to: IpAddr, packet: Packet) -> io::Result<Option<Packet>> {
        self.put(to, packet).map(|()| None)
    }
}

impl Drop for ChannelLink {
    fn drop(&mut self) {
        let mut inboxes = self.exchange.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        // A new life may have attached already.
        if inboxes.get(&self.own).is_some_and(|sender| sender.same_channel(&self.sender)) {
            inboxes.remove(&self.own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn exchange_datagrams(a: &mut dyn XcfLink, b: &mut dyn XcfLink, to_b: IpAddr, from_a: IpAddr) {
        a.send(to_b, &[IoSlice::new(b"one "), IoSlice::new(b"datagram")]).unwrap();
        let mut packet = Packet::full_size();
        assert_eq!(poll_fn(|cx| b.poll_recv(cx, &mut packet)).await.unwrap(), from_a);
        assert_eq!(packet.bytes(), b"one datagram");
        assert!(packet.headroom() > 0);
        a.send_packet(to_b, Packet::copy_of(b"packet")).unwrap();
        assert_eq!(poll_fn(|cx| b.poll_recv(cx, &mut packet)).await.unwrap(), from_a);
        assert_eq!(packet.bytes(), b"packet");
        assert!(a.send("192.0.2.99".parse().unwrap(), &[IoSlice::new(b"x")]).is_err());
    }

    #[tokio::test]
    async fn in_process_links_carry_datagrams_and_forget_the_dead() {
        let (one, two) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let exchange = Exchange::default();
        let (mut a, mut b) = (exchange.attach(one), exchange.attach(two));
        exchange_datagrams(&mut a, &mut b, two, one).await;
        let reborn = exchange.attach(two);
        drop(b);
        a.send(two, &[IoSlice::new(b"to the new life")]).unwrap();
        drop(reborn);
        assert_eq!(a.send(two, &[IoSlice::new(b"x")]).unwrap_err().kind(), io::ErrorKind::HostUnreachable);
    }

    #[tokio::test]
    async fn udp_links_carry_datagrams() {
        let (one, two): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let free = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let endpoints = HashMap::from([(one, free()), (two, free())]);
        let (mut a, mut b) = (UdpLink::bind(one, &endpoints).unwrap(), UdpLink::bind(two, &endpoints).unwrap());
        exchange_datagrams(&mut a, &mut b, two, one).await;
    }
}
