//! echo, discard and chargen (RFC 862, 863, 864).

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Datagrams, Listener, Stream, serve};

/// What a connection reads into: little while its peer says little, for tens of thousands of them are
/// idle at once. A read that fills it, or leaves most of it empty, changes that.
const SMALL: usize = 64;
const LARGE: usize = 16 * 1024;

/// RFC 862: sends back what comes in, to the end of the stream.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn echo<L: Listener>(listener: L) -> io::Result<()> {
    serve(listener, |stream, _, _| async move { drop(echo_stream(stream).await) }).await
}

async fn echo_stream(mut stream: impl Stream) -> io::Result<()> {
    let mut buffer = vec![0; SMALL];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..count]).await?;
        match (buffer.len(), count) {
            (SMALL, SMALL) => buffer = vec![0; LARGE],
            (LARGE, ..=SMALL) => buffer = vec![0; SMALL],
            _ => {}
        }
    }
}

/// RFC 862 over UDP.
///
/// # Errors
/// When no more datagrams can be received.
pub async fn echo_datagrams(mut socket: impl Datagrams) -> io::Result<()> {
    let mut buffer = vec![0; 65_535];
    loop {
        let (len, source, destination) = socket.receive(&mut buffer).await?;
        // A datagram may be lost.
        drop(socket.send(&buffer[..len], destination, source).await);
    }
}

/// RFC 863: reads and forgets.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn discard<L: Listener>(listener: L) -> io::Result<()> {
    serve(listener, |mut stream, _, _| async move {
        let mut buffer = vec![0; 64 * 1024];
        while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    })
    .await
}

/// RFC 864: lines of 72 characters, each a step further round the printable ones, until the
/// client has enough.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn chargen<L: Listener>(listener: L) -> io::Result<()> {
    let ring: Vec<u8> = (b' '..=b'~').collect();
    let mut lines = Vec::with_capacity(ring.len() * 74);
    for start in 0..ring.len() {
        lines.extend(ring.iter().cycle().skip(start).take(72));
        lines.extend_from_slice(b"\r\n");
    }
    let lines = std::sync::Arc::new(lines);
    serve(listener, move |mut stream, _, _| {
        let lines = lines.clone();
        async move { while stream.write_all(&lines).await.is_ok() {} }
    })
    .await
}
