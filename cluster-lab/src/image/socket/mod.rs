//! Sockets of an image for tokio: any server that takes `AsyncRead + AsyncWrite` runs on them.

mod tcp;
mod udp;

pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;

use std::io;

use stack::tcp::{CloseReason, SocketError};

/// The `io::Error` a program expects for `error`.
fn io_error(error: SocketError) -> io::Error {
    use io::ErrorKind;
    let kind = match error {
        SocketError::WouldBlock => ErrorKind::WouldBlock,
        SocketError::Unknown => ErrorKind::NotConnected,
        SocketError::BrokenPipe => ErrorKind::BrokenPipe,
        SocketError::Ended(CloseReason::Refused) => ErrorKind::ConnectionRefused,
        SocketError::Ended(CloseReason::Reset) => ErrorKind::ConnectionReset,
        SocketError::Ended(CloseReason::TimedOut) => ErrorKind::TimedOut,
        SocketError::Ended(CloseReason::Aborted) => ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error)
}

fn image_ended() -> io::Error {
    io::Error::new(io::ErrorKind::NetworkDown, "the image has ended")
}
