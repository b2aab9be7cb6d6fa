//! UDP sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use stack::udp::UdpId;

use super::super::shared::Shared;
use super::image_ended;

/// A UDP socket of an image.
#[derive(Debug)]
pub struct UdpSocket {
    image: Arc<Shared>,
    id: UdpId,
    local: SocketAddr,
}

impl UdpSocket {
    /// Binds `local`; the unspecified address means every address of the image.
    ///
    /// # Errors
    /// `AddrInUse` if another socket has the same address and port.
    pub fn bind(image: &Arc<Shared>, local: SocketAddr) -> io::Result<Self> {
        let address = Some(local.ip()).filter(|address| !address.is_unspecified());
        let id = image
            .lock()
            .stack
            .udp_mut()
            .bind(address, local.port())
            .map_err(|error| io::Error::new(io::ErrorKind::AddrInUse, format!("cannot bind {local}: {error}")))?;
        Ok(UdpSocket { image: image.clone(), id, local })
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The next datagram: its length (what does not fit is cut off), its source, and the own
    /// address it was sent to, from which a server has to answer.
    ///
    /// # Errors
    /// `NetworkDown` once the image has ended.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, SocketAddr)> {
        std::future::poll_fn(|cx| self.poll_recv(cx, buffer)).await
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr, SocketAddr)>> {
        let mut core = self.image.lock();
        if core.ended {
            return Poll::Ready(Err(image_ended()));
        }
        match core.stack.udp_recv(self.id, buffer) {
            Some(datagram) => Poll::Ready(Ok((datagram.len, datagram.source, datagram.destination))),
            None => {
                core.datagrams.of(self.id.index()).read = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Sends `data` from the own address `source` (the bound one, or one a datagram came to) to `destination`.
    ///
    /// # Errors
    /// No route, or larger than a datagram can be.
    pub fn send_to(&self, data: &[u8], source: SocketAddr, destination: SocketAddr) -> io::Result<()> {
        self.image.lock().stack.udp_send(self.id, source.ip(), destination, data).map_err(io::Error::other)?;
        self.image.kick();
        Ok(())
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let mut core = self.image.lock();
        core.datagrams.of(self.id.index()).read = None;
        core.stack.udp_mut().close(self.id);
    }
}
