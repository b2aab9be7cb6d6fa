//! Applications on images. They take any stream, so that they run on an image's sockets and, in
//! their tests, on the host's.

mod http;
mod proxy;
mod simple;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::places::ACCEPT_PAUSE;

pub use http::http;
pub use proxy::relay;
pub use simple::{chargen, discard, echo, echo_datagrams};

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Ends it so that its peer sees that something went wrong, not the end of the stream.
    fn reset(&mut self);
}

impl Stream for tokio::net::TcpStream {
    fn reset(&mut self) {
        // Its closing is then a RST. If it is gone already, so much the better.
        let _ = self.set_zero_linger();
    }
}

impl Stream for tokio::net::UnixStream {
    /// It has no such end: to close it must do.
    fn reset(&mut self) {}
}

/// Takes connections in.
#[async_trait]
pub trait Listener: Send + 'static {
    /// The connections.
    type Stream: Stream;

    /// The next connection, its peer, and the own address it was made to.
    ///
    /// # Errors
    /// When there will be no more.
    async fn accept(&mut self) -> io::Result<(Self::Stream, SocketAddr, SocketAddr)>;
}

#[async_trait]
impl Listener for tokio::net::TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&mut self) -> io::Result<(Self::Stream, SocketAddr, SocketAddr)> {
        loop {
            // Who is gone already has no address of ours any more.
            let taken = tokio::net::TcpListener::accept(self).await;
            match taken.and_then(|(stream, peer)| stream.local_addr().map(|local| (stream, peer, local))) {
                Ok(taken) => return Ok(taken),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

/// Sends and receives datagrams.
#[async_trait]
pub trait Datagrams: Send + 'static {
    /// The next datagram: its length, its source, and the own address it came to.
    ///
    /// # Errors
    /// When there will be no more.
    async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, SocketAddr)>;

    /// Sends a datagram from `source` to `destination`.
    ///
    /// # Errors
    /// When it cannot be sent; others may.
    async fn send(&mut self, data: &[u8], source: SocketAddr, destination: SocketAddr) -> io::Result<()>;
}

/// Opens connections, on the host's side or by an image's stack.
#[async_trait]
pub trait Dialer: Send + Sync + 'static {
    /// A connection to `target`: `ADDRESS:PORT`, or on the host's side `unix:` and a path.
    ///
    /// # Errors
    /// When the server cannot be reached.
    async fn dial(&self, target: &str) -> io::Result<Box<dyn Stream>>;
}

/// Accepts for ever; each connection is served by a task of its own, which outlives the listener (R7).
async fn serve<L, F, S>(mut listener: L, service: S) -> io::Result<()>
where
    L: Listener,
    S: Fn(L::Stream, SocketAddr, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let (stream, peer, local) = listener.accept().await?;
        tokio::spawn(service(stream, peer, local));
    }
}

/// For the host's side, directly: no namespace is in the way.
#[derive(Debug)]
pub struct HostDialer;

#[async_trait]
impl Dialer for HostDialer {
    async fn dial(&self, target: &str) -> io::Result<Box<dyn Stream>> {
        match target.strip_prefix("unix:") {
            Some(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
            None => {
                let stream = tokio::net::TcpStream::connect(target).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// A dialer that many connections share.
pub type SharedDialer = Arc<dyn Dialer>;

#[cfg(test)]
mod tests;
