//! TCP sockets.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use stack::Instant;
use stack::tcp::{ConnId, Keepalive, ListenOptions, ListenerId, SocketError, State};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use vipa::{Creation, PortLease};

use super::super::shared::{Core, Shared};
use super::{image_ended, io_error};

/// How long a connection from a DVIPA waits for a port.
const LEASE_WAIT: Duration = Duration::from_secs(10);

/// A listening socket of an image.
#[derive(Debug)]
pub struct TcpListener {
    image: Arc<Shared>,
    id: ListenerId,
    local: SocketAddr,
}

impl TcpListener {
    /// Listens on `local`; the unspecified address means every address of the image. The address
    /// need not be in the home list yet: a DVIPA appears there once a routing stack names it, and one
    /// of a VIPARANGE is made by this call (D4).
    ///
    /// # Errors
    /// `AddrInUse` if another listener has the same address and port, `AddrNotAvailable` if the
    /// DVIPA may not be made here.
    pub fn bind(image: &Arc<Shared>, local: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        let address = Some(local.ip()).filter(|address| !address.is_unspecified());
        let mut core = image.lock();
        let created = match address {
            Some(address) => core.bind_dvipa(image.now(), address)?,
            None => false,
        };
        let id = core.stack.tcp_mut().listen(address, local.port(), options).map_err(|error| {
            if created {
                core.vipa.delete(image.now(), local.ip(), Creation::Bind);
            }
            io::Error::new(io::ErrorKind::AddrInUse, format!("cannot listen on {local}: {error}"))
        })?;
        drop(core);
        image.kick();
        Ok(TcpListener { image: image.clone(), id, local })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The next established connection.
    ///
    /// # Errors
    /// `NetworkDown` once the image has ended.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let mut core = self.image.lock();
        if core.ended {
            return Poll::Ready(Err(image_ended()));
        }
        let (id, peer) = loop {
            let Some(id) = core.stack.tcp_mut().accept(self.id) else {
                core.listeners.of(self.id.index()).read = Some(cx.waker().clone());
                return Poll::Pending;
            };
            // One that is gone already is no reason to stop listening.
            if let Ok(peer) = core.stack.tcp().peer_addr(id) {
                break (id, peer);
            }
        };
        if let keepalive @ Some(_) = core.settings.keepalive() {
            let now = self.image.now();
            // It may have been reset meanwhile.
            let _ = core.stack.tcp_mut().set_keepalive(now, id, keepalive);
        }
        Poll::Ready(Ok((TcpStream { image: self.image.clone(), id, write_shut: false }, peer)))
    }

    /// As [`poll_accept`](Self::poll_accept).
    ///
    /// # Errors
    /// `NetworkDown` once the image has ended.
    pub async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let now = self.image.now();
        let mut core = self.image.lock();
        core.stack.tcp_mut().close_listener(now, self.id);
        core.listeners.of(self.id.index()).read = None;
        drop(core);
        self.image.kick();
    }
}

/// Opens a connection from a port that the routing stack leases for this address, if it is a DVIPA
/// (R8).
async fn connect_leased(image: &Arc<Shared>, local: SocketAddr, remote: SocketAddr) -> io::Result<ConnId> {
    std::future::poll_fn(|cx| {
        let mut core = image.lock();
        if core.ended {
            return Poll::Ready(Err(image_ended()));
        }
        let now = image.now();
        let port = match core.vipa.lease_port(now, local.ip(), remote) {
            PortLease::Port(port) => port,
            PortLease::Any => 0,
            PortLease::Wait => {
                core.leased.push(cx.waker().clone());
                drop(core);
                image.kick();
                return Poll::Pending;
            }
        };
        let local = SocketAddr::new(local.ip(), port);
        Poll::Ready(core.stack.tcp_connect(now, Some(local), remote).map_err(io::Error::other))
    })
    .await
}

/// A connection of an image. Dropping it closes it; the FIN handshake goes on without it.
#[derive(Debug)]
pub struct TcpStream {
    image: Arc<Shared>,
    id: ConnId,
    write_shut: bool,
}

impl TcpStream {
    /// Opens a connection from `local` (chosen by the stack if `None`) to `remote`, which may be a DVIPA.
    ///
    /// # Errors
    /// No route, no free port, or what the peer or the network answered.
    pub async fn connect(image: &Arc<Shared>, local: Option<SocketAddr>, remote: SocketAddr) -> io::Result<Self> {
        let id = match local {
            Some(local) if local.port() == 0 && !local.ip().is_unspecified() => {
                tokio::time::timeout(LEASE_WAIT, connect_leased(image, local, remote)).await??
            }
            local => {
                let mut core = image.lock();
                let to_dvipa = || core.vipa.client_address(remote.ip()).map(|own| SocketAddr::new(own, 0));
                let local = local.or_else(to_dvipa);
                core.stack.tcp_connect(image.now(), local, remote).map_err(io::Error::other)?
            }
        };
        image.kick();
        let stream = TcpStream { image: image.clone(), id, write_shut: false };
        std::future::poll_fn(|cx| {
            let mut core = stream.image.lock();
            match core.stack.tcp().state(id) {
                Ok(State::SynSent | State::SynReceived) if !core.ended => {
                    core.connections.of(id.index()).write = Some(cx.waker().clone());
                    Poll::Pending
                }
                Ok(State::SynSent | State::SynReceived) => Poll::Ready(Err(image_ended())),
                // Reading tells why it ended.
                Ok(State::Closed) => {
                    let ended = core.stack.tcp_recv(stream.image.now(), id, &mut [0]).map(drop);
                    Poll::Ready(ended.map_err(io_error))
                }
                result => Poll::Ready(result.map(drop).map_err(io_error)),
            }
        })
        .await?;
        Ok(stream)
    }

    /// The own end.
    ///
    /// # Errors
    /// `NotConnected` if the connection is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.image.lock().stack.tcp().local_addr(self.id).map_err(io_error)
    }

    /// The other end.
    ///
    /// # Errors
    /// `NotConnected` if the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.image.lock().stack.tcp().peer_addr(self.id).map_err(io_error)
    }

    /// Switches Nagle's algorithm off (`true`) or on.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.option(|core, now| core.stack.tcp_mut().set_nodelay(now, self.id, nodelay))
    }

    /// Sets keepalive probes; `None` switches them off.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        self.option(|core, now| core.stack.tcp_mut().set_keepalive(now, self.id, keepalive))
    }

    /// How long sent data may stay unacknowledged (RFC 5482); `None` leaves it to the retransmission bound.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.option(|core, now| core.stack.tcp_mut().set_user_timeout(now, self.id, timeout))
    }

    fn option(&self, set: impl FnOnce(&mut Core, Instant) -> Result<(), SocketError>) -> io::Result<()> {
        let now = self.image.now();
        set(&mut self.image.lock(), now).map_err(io_error)?;
        self.image.kick();
        Ok(())
    }

    /// Resets the connection.
    pub fn reset(&mut self) {
        let now = self.image.now();
        self.image.lock().stack.tcp_abort(now, self.id);
        self.image.kick();
    }

    /// One attempt of a socket call; waits as `register` says if it would block.
    fn attempt<T>(
        &self,
        call: impl FnOnce(&mut Core) -> Result<T, SocketError>,
        register: impl FnOnce(&mut Core),
    ) -> Poll<io::Result<T>> {
        let mut core = self.image.lock();
        if core.ended {
            return Poll::Ready(Err(image_ended()));
        }
        let result = call(&mut core);
        if let Err(SocketError::WouldBlock) = result {
            register(&mut core);
            return Poll::Pending;
        }
        drop(core);
        // Data to send, or a window to announce.
        self.image.kick();
        Poll::Ready(result.map_err(io_error))
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let now = self.image.now();
        self.attempt(
            |core| {
                // A buffer as large as hyper's is not filled with zeros first, to be overwritten.
                core.stack.tcp_recv_with(now, self.id, buf.remaining(), &mut |bytes| buf.put_slice(bytes)).map(drop)
            },
            |core| core.connections.of(self.id.index()).read = Some(cx.waker().clone()),
        )
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let now = self.image.now();
        self.attempt(
            |core| core.stack.tcp_mut().send_vectored(now, self.id, bufs),
            |core| core.connections.of(self.id.index()).write = Some(cx.waker().clone()),
        )
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.write_shut {
            self.write_shut = true;
            let now = self.image.now();
            self.image.lock().stack.tcp_mut().shutdown_write(now, self.id);
            self.image.kick();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let now = self.image.now();
        let mut core = self.image.lock();
        let waiting = core.connections.of(self.id.index());
        (waiting.read, waiting.write) = (None, None);
        core.stack.tcp_close(now, self.id);
        drop(core);
        self.image.kick();
    }
}
