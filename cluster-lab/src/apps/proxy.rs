//! relay: a real server behind a DVIPA.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};

use super::{Listener, SharedDialer, Stream, serve};

/// What is copied at a time, each way.
const BUFFER: usize = 64 * 1024;

/// Passes every connection on to `target`; with `proxy_protocol` the server is told the client's
/// address first.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn relay<L: Listener>(
    listener: L,
    dialer: SharedDialer,
    target: &str,
    proxy_protocol: bool,
) -> io::Result<()> {
    let target = std::sync::Arc::<str>::from(target);
    serve(listener, move |stream, peer, local| {
        let (dialer, target) = (dialer.clone(), target.clone());
        let header = proxy_protocol.then(|| header(peer, local));
        async move {
            if let Err(error) = pass(stream, &dialer, &target, header).await {
                tracing::debug!(%target, %peer, %error, "relay");
            }
        }
    })
    .await
}

async fn pass(mut client: impl Stream, dialer: &SharedDialer, target: &str, header: Option<Vec<u8>>) -> io::Result<()> {
    // A client of a server that cannot be reached sees its connection closed.
    let mut server = dialer.dial(target).await?;
    if let Some(header) = header {
        server.write_all(&header).await?;
    }
    let passed = copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER).await;
    if passed.is_err() {
        // Who is reset on one side must not look complete on the other.
        client.reset();
        server.reset();
    }
    passed.map(drop)
}

/// PROXY protocol, version 2, section 2.2 of its specification: a connection on behalf of `peer`.
fn header(peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    // Version 2, command PROXY.
    header.push(0x21);
    match (peer, local) {
        (SocketAddr::V4(peer), SocketAddr::V4(local)) => {
            header.extend_from_slice(&[0x11, 0, 12]);
            header.extend_from_slice(&peer.ip().octets());
            header.extend_from_slice(&local.ip().octets());
        }
        (SocketAddr::V6(peer), SocketAddr::V6(local)) => {
            header.extend_from_slice(&[0x21, 0, 36]);
            header.extend_from_slice(&peer.ip().octets());
            header.extend_from_slice(&local.ip().octets());
        }
        _ => {
            // Families never differ on one connection: unspecified, no addresses.
            header.extend_from_slice(&[0, 0, 0]);
            return header;
        }
    }
    header.extend_from_slice(&peer.port().to_be_bytes());
    header.extend_from_slice(&local.port().to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout of the specification, byte for byte.
    #[test]
    fn the_proxy_header_names_both_ends() {
        let header = header("198.51.100.1:40000".parse().unwrap(), "203.0.113.1:80".parse().unwrap());
        assert_eq!(&header[..12], b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a");
        assert_eq!(&header[12..16], [0x21, 0x11, 0, 12]);
        assert_eq!(&header[16..24], [198, 51, 100, 1, 203, 0, 113, 1]);
        assert_eq!(&header[24..], [0x9c, 0x40, 0, 80]);
    }
}
