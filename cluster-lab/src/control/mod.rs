//! What the lab's processes say to each other, as lines of JSON.
//!
//! | module | who to whom |
//! |---|---|
//! | `commands` | commands to the supervisor |
//! | `questions` | commands, and the supervisor, to an image |
//! | `images` | the supervisor to the processes that images live in |

mod commands;
mod images;
mod questions;

use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

pub use commands::{DvipaStatus, ImageState, ImageStatus, Reply, Request, Status};
pub use images::{FromImage, Start, ToImage};
pub use questions::{Answer, AppStatus, Cut, DvipaView, Question};

/// Longest line that is read: a CRT of many thousand connections fits.
const MAX_LINE: u64 = 256 << 20;

/// Asks the supervisor with this socket once.
///
/// # Errors
/// If no lab is there, or it ends before it has answered.
pub async fn ask(supervisor: &Path, request: &Request) -> io::Result<Reply> {
    let mut stream = BufReader::new(UnixStream::connect(supervisor).await?);
    write(stream.get_mut(), request).await?;
    read(&mut stream).await?.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the lab has ended"))
}

/// Writes one message as a line.
///
/// # Errors
/// When the other side is gone.
pub async fn write<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line).await
}

/// Reads one message; `None` at the end.
///
/// # Errors
/// When the line is no such message, or longer than any.
pub async fn read<T: DeserializeOwned>(from: &mut BufReader<impl AsyncRead + Unpin>) -> io::Result<Option<T>> {
    use tokio::io::AsyncReadExt;
    let mut line = Vec::new();
    if from.take(MAX_LINE).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}
